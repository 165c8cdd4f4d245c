//! Images to put into the registry: of layers whose bytes follow from a seed, so that a test names them by a number.

use bytes::Bytes;
use serde_json::{Value, json};

use super::FakeRegistry;
use super::content::{Content, digest_of, digest_with};
use super::manifests::{index_of, referrers_of};
use super::state::{INDEX_TYPE, MANIFEST_TYPE, State};

const DOCKER_MANIFEST_TYPE: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_INDEX_TYPE: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// A layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layer {
    pub(crate) seed: u64,
    pub(crate) size: u64,
    urls: Vec<String>,
}

impl Layer {
    /// The first `size` bytes that follow from `seed`.
    pub(crate) fn new(seed: u64, size: u64) -> Self {
        Self {
            seed,
            size,
            urls: Vec::new(),
        }
    }

    /// Kept at `url`, and not in the registry.
    pub(crate) fn foreign(mut self, url: &str) -> Self {
        self.urls.push(url.to_owned());
        self
    }

    /// Its sha256 digest.
    pub(crate) fn digest(&self) -> String {
        Content::made(self.seed, self.size)
            .digest("sha256")
            .unwrap()
    }
}

/// An image, an artifact, or an index of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Image {
    layers: Vec<Layer>,
    /// Of an index.
    children: Option<Vec<Self>>,
    platform: Option<String>,
    is_docker: bool,
    is_sha512: bool,
    /// Fields of the manifest besides, in the order given.
    fields: Vec<(String, Value)>,
}

impl Image {
    /// An OCI image of `layers`.
    pub(crate) fn new(layers: impl IntoIterator<Item = Layer>) -> Self {
        Self {
            layers: layers.into_iter().collect(),
            ..Self::default()
        }
    }

    /// An OCI image of one layer for each size, its bytes following from `seed`, `seed` + 1 and so on.
    pub(crate) fn sized(seed: u64, sizes: &[u64]) -> Self {
        Self::new(
            (seed..)
                .zip(sizes)
                .map(|(seed, size)| Layer::new(seed, *size)),
        )
    }

    /// An index of `children`.
    pub(crate) fn index(children: impl IntoIterator<Item = Self>) -> Self {
        Self {
            children: Some(children.into_iter().collect()),
            ..Self::default()
        }
    }

    /// Of Docker's media types; an index with its children.
    pub(crate) fn docker(mut self) -> Self {
        self.is_docker = true;
        self.children = self
            .children
            .map(|children| children.into_iter().map(Self::docker).collect());
        self
    }

    /// Its blobs named by sha512.
    pub(crate) fn sha512(mut self) -> Self {
        self.is_sha512 = true;
        self
    }

    /// `os/architecture` or `os/architecture/variant`.
    pub(crate) fn platform(mut self, platform: &str) -> Self {
        self.platform = Some(platform.to_owned());
        self
    }

    pub(crate) fn annotation(self, name: &str, value: &str) -> Self {
        let mut annotations = self
            .fields
            .iter()
            .find(|(known, _)| known == "annotations")
            .map_or_else(|| json!({}), |(_, value)| value.clone());
        annotations[name] = value.into();
        self.field("annotations", annotations)
    }

    pub(crate) fn artifact_type(self, kind: &str) -> Self {
        self.field("artifactType", kind.into())
    }

    /// Refers to the manifest `digest`, whose size nobody looks at here.
    pub(crate) fn subject(self, digest: &str) -> Self {
        let subject = json!({"mediaType": MANIFEST_TYPE, "digest": digest, "size": 2});
        self.field("subject", subject)
    }

    /// Sets a field of the manifest.
    pub(crate) fn field(mut self, name: &str, value: Value) -> Self {
        self.fields.retain(|(known, _)| known != name);
        self.fields.push((name.to_owned(), value));
        self
    }

    /// The layers.
    pub(crate) fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// What its blobs weigh that are in the registry, each counted once, its children's too; configs not.
    pub(crate) fn layer_bytes(&self) -> u64 {
        let mut seen: Vec<&Layer> = Vec::new();
        let mut rest = vec![self];
        while let Some(image) = rest.pop() {
            rest.extend(image.children.iter().flatten());
            for layer in &image.layers {
                if layer.urls.is_empty() && !seen.contains(&layer) {
                    seen.push(layer);
                }
            }
        }
        seen.into_iter().map(|layer| layer.size).sum()
    }

    fn media_type(&self) -> &'static str {
        match (self.is_docker, self.children.is_some()) {
            (false, false) => MANIFEST_TYPE,
            (false, true) => INDEX_TYPE,
            (true, false) => DOCKER_MANIFEST_TYPE,
            (true, true) => DOCKER_INDEX_TYPE,
        }
    }

    fn blob_type(&self, what: &str) -> String {
        match (self.is_docker, what) {
            (false, "config") => "application/vnd.oci.image.config.v1+json".to_owned(),
            (false, "foreign") => {
                "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip".to_owned()
            }
            (false, _) => "application/vnd.oci.image.layer.v1.tar+gzip".to_owned(),
            (true, "config") => "application/vnd.docker.container.image.v1+json".to_owned(),
            (true, "foreign") => {
                "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip".to_owned()
            }
            (true, _) => "application/vnd.docker.image.rootfs.diff.tar.gzip".to_owned(),
        }
    }

    fn platform_object(&self) -> Option<Value> {
        let mut parts = self.platform.as_deref()?.split('/');
        let mut platform = json!({"os": parts.next()?, "architecture": parts.next()?});
        if let Some(variant) = parts.next() {
            platform["variant"] = variant.into();
        }
        Some(platform)
    }

    /// Stores it; its digest and the length of its manifest.
    fn store(&self, state: &mut State, path: &str, tag: Option<&str>) -> (String, usize) {
        let mut document = json!({"schemaVersion": 2, "mediaType": self.media_type()});
        if let Some(children) = &self.children {
            let descriptors: Vec<Value> = children
                .iter()
                .map(|child| {
                    let (digest, size) = child.store(state, path, None);
                    let kind = child.media_type();
                    let mut one = json!({"mediaType": kind, "digest": digest, "size": size});
                    if let Some(platform) = child.platform_object() {
                        one["platform"] = platform;
                    }
                    one
                })
                .collect();
            document["manifests"] = descriptors.into();
        } else {
            let algorithm = if self.is_sha512 { "sha512" } else { "sha256" };
            let repository = state.repository(path);
            let layers: Vec<Value> = self
                .layers
                .iter()
                .map(|layer| {
                    let content = Content::made(layer.seed, layer.size);
                    let digest = content.digest(algorithm).unwrap();
                    if !layer.urls.is_empty() {
                        let kind = self.blob_type("foreign");
                        return json!({"mediaType": kind, "digest": digest, "size": layer.size, "urls": layer.urls});
                    }
                    repository.blobs.insert(digest.clone(), content);
                    json!({"mediaType": self.blob_type("layer"), "digest": digest, "size": layer.size})
                })
                .collect();
            let mut config = self.platform_object().unwrap_or_else(|| json!({}));
            config["rootfs"] = json!({"type": "layers", "diff_ids": layers.iter().map(|layer| &layer["digest"]).collect::<Vec<_>>()});
            let config = Bytes::from(config.to_string());
            let digest = digest_with(algorithm, &config).unwrap();
            document["config"] = json!({"mediaType": self.blob_type("config"), "digest": digest, "size": config.len()});
            repository.blobs.insert(digest, Content::Held(config));
            document["layers"] = layers.into();
        }
        for (name, value) in &self.fields {
            document[name] = value.clone();
        }
        let content = document.to_string();
        let length = content.len();
        let repository = state.repository(path);
        (
            repository.put_manifest(tag, self.media_type(), content),
            length,
        )
    }
}

impl FakeRegistry {
    /// Puts `image` into the repository `path` as `tag`. Returns its digest.
    pub(crate) fn add_image(&self, path: &str, tag: &str, image: &Image) -> String {
        let mut state = self.shared.state.lock();
        image.store(&mut state, path, Some(tag)).0
    }

    /// Puts `image` into the repository `path`, without a tag. Returns its digest.
    pub(crate) fn add_untagged(&self, path: &str, image: &Image) -> String {
        let mut state = self.shared.state.lock();
        image.store(&mut state, path, None).0
    }

    /// Puts an artifact of `kind` into `path` that refers to `subject`. Returns its digest.
    pub(crate) fn add_referrer(&self, path: &str, subject: &str, kind: &str, seed: u64) -> String {
        let artifact = Image::sized(seed, &[100])
            .artifact_type(kind)
            .subject(subject);
        self.add_untagged(path, &artifact)
    }

    /// Writes the tag `sha256-<hex>` that lists the referrers of `subject` where there is no API. Returns the tag.
    pub(crate) fn add_referrers_tag(&self, path: &str, subject: &str) -> String {
        let tag = subject.replacen(':', "-", 1);
        let mut state = self.shared.state.lock();
        let repository = state.repository(path);
        let index = index_of(&referrers_of(repository, subject)).to_string();
        repository.put_manifest(Some(&tag), INDEX_TYPE, index);
        tag
    }

    /// Puts what cosign keeps beside an image, under the tag `sha256-<hex>.<kind>`. Returns the tag.
    pub(crate) fn add_cosign(&self, path: &str, digest: &str, kind: &str, seed: u64) -> String {
        let tag = format!("{}.{kind}", digest.replacen(':', "-", 1));
        self.add_image(path, &tag, &Image::sized(seed, &[100]));
        tag
    }

    /// Puts a blob of these bytes into `path`. Returns its digest.
    pub(crate) fn add_blob(&self, path: &str, bytes: impl Into<Bytes>) -> String {
        let bytes = bytes.into();
        let digest = digest_of(&bytes);
        let mut state = self.shared.state.lock();
        let repository = state.repository(path);
        repository
            .blobs
            .insert(digest.clone(), Content::Held(bytes));
        digest
    }
}
