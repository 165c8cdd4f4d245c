//! Manifests and indexes, read from bytes that somebody else wrote (OCI image specification 1.1, Docker image manifest v2
//! schema 2 and manifest list; schema 1 is recognised and copied as it is).
//!
//! The bytes themselves are never changed here: a digest is of them. Bounded: see [`MOST_DESCRIPTORS`].
//! What two readers could take for two different things is refused (CVE-2021-41190).

use std::collections::HashMap;

use super::text::{plain, quoted};
use crate::image::{Algorithm, Digest, Platform};

mod read;
#[cfg(test)]
mod tests;

use read::{Entry, FsLayer, List, Loose, Object};

/// A document with more descriptors than this is refused.
pub const MOST_DESCRIPTORS: usize = 20_000;

/// The size of what is named without one, as schema 1 does it: who copies it has to ask.
pub const UNKNOWN_SIZE: u64 = u64::MAX;

/// An index of the OCI image specification.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// A manifest of the OCI image specification.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Docker's index.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Docker's manifest.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// An artifact manifest, which was in the OCI image specification before 1.1 came out.
const OCI_ARTIFACT: &str = "application/vnd.oci.artifact.manifest.v1+json";
/// What it was made after.
const ORAS_ARTIFACT: &str = "application/vnd.cncf.oras.artifact.manifest.v1+json";
const SCHEMA_1: &str = "application/vnd.docker.distribution.manifest.v1+json";
const SCHEMA_1_SIGNED: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// The beginnings of the types of layers that are not to be distributed.
const FOREIGN: [&str; 2] = [
    "application/vnd.oci.image.layer.nondistributable.v1.",
    "application/vnd.docker.image.rootfs.foreign.",
];

/// The longest media type in bytes (RFC 6838 has 127 for each half).
const MEDIA_TYPE_BYTES: usize = 255;
/// The largest size: registries count in signed 64 bits.
const MOST_BYTES: u64 = i64::MAX as u64;

/// Something that a document names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// Its media type; may be empty.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes; [`UNKNOWN_SIZE`] for the layers of schema 1.
    pub size: u64,
}

/// One entry of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// The manifest or index.
    pub descriptor: Descriptor,
    /// What it runs on, if it says and it can be read.
    pub platform: Option<Platform>,
    /// The manifest that this one is an attestation of (`vnd.docker.reference.digest`, as BuildKit writes it).
    pub attests: Option<Digest>,
    /// The kind of artifact, in an index of referrers.
    pub artifact_type: Option<String>,
}

impl Child {
    /// Whether it says to be an index itself.
    pub fn is_index(&self) -> bool {
        Kind::of(&self.descriptor.media_type) == Some(Kind::Index)
    }
}

/// What a document is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// An image or artifact: configuration and layers, each once.
    Manifest {
        /// What has to be at the destination before it.
        blobs: Vec<Descriptor>,
        /// Layers that are not to be distributed; they are fetched from elsewhere by whoever may (`urls`).
        foreign: Vec<Descriptor>,
    },
    /// An index or manifest list.
    Index(Vec<Child>),
}

/// A document, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The media type to push it with.
    pub media_type: String,
    /// What it is.
    pub content: Content,
    /// What it refers to (`subject`).
    pub subject: Option<Descriptor>,
}

/// Why bytes are no document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(pub String);

/// What a media type says that a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Index,
    Manifest,
    Artifact,
    Schema1,
}

impl Kind {
    fn of(media_type: &str) -> Option<Self> {
        match media_type {
            OCI_INDEX | DOCKER_LIST => Some(Self::Index),
            OCI_MANIFEST | DOCKER_MANIFEST => Some(Self::Manifest),
            OCI_ARTIFACT | ORAS_ARTIFACT => Some(Self::Artifact),
            SCHEMA_1 | SCHEMA_1_SIGNED => Some(Self::Schema1),
            _ => None,
        }
    }

    /// By its fields alone, where only one kind has them.
    fn by_fields(raw: &read::Document) -> Option<Self> {
        if raw.manifests.is_some() {
            Some(Self::Index)
        } else if raw.fs_layers.is_some() {
            Some(Self::Schema1)
        } else if raw.config.is_some() || raw.layers.is_some() {
            Some(Self::Manifest)
        } else {
            None
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Index => "an index",
            Self::Manifest => "a manifest",
            Self::Artifact => "an artifact manifest",
            Self::Schema1 => "a manifest of schema 1",
        }
    }
}

/// Reads a document. `content_type` is what its sender called it, and counts where it does not say itself.
///
/// # Errors
/// It is none, or could be taken for another, or one of its entries is not as it should be: the text says which.
pub fn parse(bytes: &[u8], content_type: Option<&str>) -> Result<Document, Error> {
    let unreadable = |cause: &dyn std::fmt::Display| {
        let cause = plain(&cause.to_string());
        Error(format!("the document cannot be read: {cause}"))
    };
    // In what it passes over, serde_json takes any bytes for text.
    let text = std::str::from_utf8(bytes).map_err(|error| unreadable(&error))?;
    let read: Result<Object<read::Document>, _> = serde_json::from_str(text);
    let Object(raw) = read.map_err(|error| unreadable(&error))?;
    is_unambiguous(&raw)?;
    let stated = match &raw.media_type {
        None => None,
        Some(Loose::Text(text)) if text.is_empty() => None,
        Some(Loose::Text(text)) => Some(text.clone()),
        Some(other) => {
            let shown = quoted(&other.to_string());
            return Err(Error(format!("the mediaType is no text: {shown}")));
        }
    };
    let sent = content_type.map(essence).filter(|text| !text.is_empty());
    let (kind, media_type) = kind(&raw, stated, sent.as_deref())?;
    let subject = raw.subject.map(|Object(entry)| entry);
    let subject = subject
        .map(|entry| descriptor(entry, &|| "the subject".to_owned()))
        .transpose()?;
    let content = match kind {
        Kind::Index => Content::Index(children(raw.manifests)?),
        Kind::Manifest => blobs(raw.config, "layers", raw.layers)?,
        Kind::Artifact => blobs(None, "blobs", raw.blobs)?,
        Kind::Schema1 => schema_1(raw.fs_layers)?,
    };
    Ok(Document {
        media_type,
        content,
        subject,
    })
}

/// A document with the fields of two kinds is one thing to one reader and another to the next.
fn is_unambiguous(raw: &read::Document) -> Result<(), Error> {
    let fields = [
        ("manifests", raw.manifests.is_some(), Kind::Index),
        ("config", raw.config.is_some(), Kind::Manifest),
        ("layers", raw.layers.is_some(), Kind::Manifest),
        ("fsLayers", raw.fs_layers.is_some(), Kind::Schema1),
    ];
    let mut present = fields.into_iter().filter(|(_, is_there, _)| *is_there);
    let Some((first, _, kind)) = present.next() else {
        return Ok(());
    };
    match present.find(|(_, _, other)| *other != kind) {
        None => Ok(()),
        Some((second, _, other)) => Err(Error(format!(
            "the document is ambiguous: by {first} it is {}, by {second} {}",
            kind.name(),
            other.name()
        ))),
    }
}

/// What the document is, and the type to push it with.
fn kind(
    raw: &read::Document,
    stated: Option<String>,
    sent: Option<&str>,
) -> Result<(Kind, String), Error> {
    let by_fields = Kind::by_fields(raw);
    // However it is written: a type is one in any case of its letters.
    let known = |text: Option<&str>| {
        let text = text?.to_ascii_lowercase();
        Some((Kind::of(&text)?, text))
    };
    if let Some((kind, media_type)) = known(stated.as_deref()).or_else(|| known(sent)) {
        return match by_fields {
            Some(other) if other != kind => Err(Error(format!(
                "the document is ambiguous: by its media type {media_type} it is {}, by its fields {}",
                kind.name(),
                other.name()
            ))),
            _ => Ok((kind, media_type)),
        };
    }
    let shown = || quoted(stated.as_deref().or(sent).unwrap_or_default());
    let Some(kind) = by_fields else {
        return Err(Error(format!(
            "the document is neither a manifest nor an index: it has none of manifests, config, layers, fsLayers, and \
             its media type is {}",
            shown()
        )));
    };
    let media_type = match (kind, stated) {
        (Kind::Index | Kind::Manifest | Kind::Artifact, Some(own)) if is_media_type(&own) => own,
        (Kind::Index | Kind::Manifest | Kind::Artifact, Some(own)) => {
            let shown = quoted(&own);
            return Err(Error(format!("the mediaType is none: {shown}")));
        }
        (Kind::Index, None) => OCI_INDEX.to_owned(),
        (Kind::Manifest | Kind::Artifact, None) => of_config(raw).to_owned(),
        (Kind::Schema1, _) if raw.signatures.is_some() => SCHEMA_1_SIGNED.to_owned(),
        (Kind::Schema1, _) => SCHEMA_1.to_owned(),
    };
    Ok((kind, media_type))
}

/// Docker's manifests are told by their configuration.
fn of_config(raw: &read::Document) -> &'static str {
    let config = raw.config.as_ref();
    match config.and_then(|Object(entry)| entry.media_type.as_ref()) {
        Some(Loose::Text(text)) if text == DOCKER_CONFIG => DOCKER_MANIFEST,
        _ => OCI_MANIFEST,
    }
}

/// A `Content-Type` without its parameters, in lower case.
fn essence(content_type: &str) -> String {
    let (essence, _) = content_type.split_once(';').unwrap_or((content_type, ""));
    essence.trim().to_ascii_lowercase()
}

fn is_media_type(text: &str) -> bool {
    text.len() <= MEDIA_TYPE_BYTES
        && text.contains('/')
        && text.bytes().all(|b| b.is_ascii_graphic())
}

fn children(manifests: Option<List<Object<Entry>>>) -> Result<Vec<Child>, Error> {
    let List(manifests) = manifests.unwrap_or(List(Vec::new()));
    let mut sizes = HashMap::new();
    let mut children = Vec::with_capacity(manifests.len());
    for (index, Object(mut entry)) in manifests.into_iter().enumerate() {
        let place = || format!("manifests[{index}]");
        let platform = entry
            .platform
            .take()
            .and_then(|names| Platform::new(&names.os, &names.architecture, &names.variant).ok());
        let attests = entry.annotations.take().and_then(|its| its.attests);
        let artifact_type = entry.artifact_type.take().and_then(Loose::text);
        let descriptor = descriptor(entry, &place)?;
        is_of_one_size(&mut sizes, &descriptor, &place)?;
        children.push(Child {
            descriptor,
            platform,
            attests: attests.and_then(|text| text.parse().ok()),
            artifact_type: artifact_type.filter(|text| !text.is_empty()),
        });
    }
    Ok(children)
}

fn blobs(
    config: Option<Object<Entry>>,
    name: &str,
    layers: Option<List<Object<Entry>>>,
) -> Result<Content, Error> {
    let List(layers) = layers.unwrap_or(List(Vec::new()));
    let mut sizes = HashMap::new();
    let (mut blobs, mut foreign): (Vec<_>, Vec<Descriptor>) = (Vec::new(), Vec::new());
    if let Some(Object(entry)) = config {
        let descriptor = descriptor(entry, &|| "config".to_owned())?;
        sizes.insert(descriptor.digest.clone(), descriptor.size);
        blobs.push(descriptor);
    }
    for (index, Object(entry)) in layers.into_iter().enumerate() {
        let place = || format!("{name}[{index}]");
        let descriptor = descriptor(entry, &place)?;
        let is_new = is_of_one_size(&mut sizes, &descriptor, &place)?;
        let is_foreign = FOREIGN
            .iter()
            .any(|foreign| descriptor.media_type.starts_with(foreign));
        match (is_new, is_foreign) {
            (true, false) => blobs.push(descriptor),
            (true, true) => foreign.push(descriptor),
            (false, true) => {}
            // What is a layer of both kinds is needed.
            (false, false) => {
                let again = foreign.iter().position(|it| it.digest == descriptor.digest);
                if let Some(index) = again {
                    foreign.remove(index);
                    blobs.push(descriptor);
                }
            }
        }
    }
    Ok(Content::Manifest { blobs, foreign })
}

/// Layers without sizes, the top first.
fn schema_1(layers: Option<List<Object<FsLayer>>>) -> Result<Content, Error> {
    let List(layers) = layers.unwrap_or(List(Vec::new()));
    let mut sizes = HashMap::new();
    let mut blobs = Vec::new();
    for (index, Object(FsLayer { blob_sum })) in layers.into_iter().enumerate() {
        let digest = digest(blob_sum, "blobSum", &|| format!("fsLayers[{index}]"))?;
        if sizes.insert(digest.clone(), UNKNOWN_SIZE).is_none() {
            blobs.push(Descriptor {
                media_type: String::new(),
                digest,
                size: UNKNOWN_SIZE,
            });
        }
    }
    Ok(Content::Manifest {
        blobs,
        foreign: Vec::new(),
    })
}

/// Whether it is named for the first time; an error when it was named with another size.
fn is_of_one_size(
    sizes: &mut HashMap<Digest, u64>,
    descriptor: &Descriptor,
    place: &dyn Fn() -> String,
) -> Result<bool, Error> {
    match sizes.insert(descriptor.digest.clone(), descriptor.size) {
        None => Ok(true),
        Some(size) if size == descriptor.size => Ok(false),
        Some(size) => Err(Error(format!(
            "{}: {} is named with two sizes, {size} and {} bytes",
            place(),
            descriptor.digest,
            descriptor.size
        ))),
    }
}

/// Reads a descriptor at `place`. Content that is embedded (`data`) is at the registry, too, and so is passed over.
fn descriptor(entry: Entry, place: &dyn Fn() -> String) -> Result<Descriptor, Error> {
    let media_type = match entry.media_type {
        None => String::new(),
        Some(Loose::Text(text)) if text.is_empty() || is_media_type(&text) => text,
        Some(other) => {
            let shown = quoted(&other.to_string());
            return Err(Error(format!(
                "{}: its mediaType is none: {shown}",
                place()
            )));
        }
    };
    let digest = digest(entry.digest, "digest", place)?;
    let size = match entry.size {
        Some(Loose::Whole(size)) if size <= MOST_BYTES => size,
        None => return Err(Error(format!("{}: it has no size", place()))),
        Some(other) => {
            let shown = quoted(&other.to_string());
            return Err(Error(format!(
                "{}: its size is no whole number from 0 to {MOST_BYTES}: {shown}",
                place()
            )));
        }
    };
    Ok(Descriptor {
        media_type,
        digest,
        size,
    })
}

/// Reads a digest, and says what is wrong with it.
fn digest(value: Option<Loose>, name: &str, place: &dyn Fn() -> String) -> Result<Digest, Error> {
    let text = match value {
        None => return Err(Error(format!("{}: it has no {name}", place()))),
        Some(value) => value.to_string(),
    };
    if let Ok(digest) = text.parse() {
        return Ok(digest);
    }
    let (algorithm, _) = text.split_once(':').unwrap_or_default();
    let is_known = [Algorithm::Sha256, Algorithm::Sha512]
        .iter()
        .any(|known| known.as_str() == algorithm);
    let is_algorithm = !algorithm.is_empty()
        && algorithm.bytes().all(|b| {
            b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'+' | b'.' | b'_' | b'-')
        });
    let wrong = if is_algorithm && !is_known {
        "of an algorithm that is not supported; sha256 and sha512 are"
    } else {
        "malformed; it has to be `sha256:` and 64, or `sha512:` and 128, lower-case hexadecimal digits"
    };
    let shown = quoted(&text);
    Err(Error(format!(
        "{}: its {name} is {wrong}: {shown}",
        place()
    )))
}
