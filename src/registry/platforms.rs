//! What an image can run on, by its digest: read from its index, or from its configuration where there is none.
//!
//! Everything read is verified by digest, so that an answer stays true for ever.

use http::Method;
use serde::Deserialize;

use super::access::Access;
use super::answer::is_html;
use super::budget::Turn;
use super::client::Inner;
use super::error::Error;
use super::exchange::Ask;
use super::manifest::ACCEPT;
use super::observe::Operation;
use super::redact::shorten;
use crate::image::{Digest, Platform, Repository};

/// An index within an index: one level, and so many of them.
const NESTED: usize = 8;
/// Manifests that an index lists without their platform, and that are looked into.
const WITHOUT_PLATFORM: usize = 8;

const INDEX_TYPES: [&str; 2] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];
/// The types of a configuration that names a platform.
const CONFIG_TYPES: [&str; 2] = [
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
];

/// An index or a manifest.
#[derive(Debug, Deserialize)]
struct Document {
    manifests: Option<Vec<Descriptor>>,
    config: Option<Descriptor>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    #[serde(default)]
    digest: String,
    platform: Option<Names>,
}

/// A platform as documents name it; a configuration is one, too.
#[derive(Debug, Default, Deserialize)]
struct Names {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    variant: String,
}

impl Names {
    /// The platform; `None` for none, and for what is attached to an image.
    fn platform(&self) -> Option<Platform> {
        let platform = Platform::new(&self.os, &self.architecture, &self.variant).ok()?;
        (!platform.is_unknown()).then_some(platform)
    }
}

/// All platforms of the image `digest`, sorted, each once; none for what is no image for any platform.
pub(super) async fn platforms(
    inner: &Inner,
    repository: &Repository,
    digest: &Digest,
    access: &Access,
    turn: &Turn,
) -> Result<Vec<Platform>, Error> {
    let reader = Reader {
        inner,
        repository,
        access,
        turn,
    };
    let mut found = Vec::new();
    let top = reader.manifest(digest).await?;
    let Some(manifests) = top.manifests else {
        found.extend(reader.of_manifest(top, digest).await?);
        return Ok(found);
    };
    let mut without = 0;
    let mut nested = 0;
    for listed in manifests {
        let is_index = INDEX_TYPES.contains(&listed.media_type.as_str());
        match &listed.platform {
            Some(names) if !is_index => found.extend(names.platform()),
            _ if is_index => {
                nested += 1;
                reader.within(nested, NESTED, "indexes within its index")?;
                let digest = reader.listed_digest(&listed, digest)?;
                for listed in reader
                    .manifest(&digest)
                    .await?
                    .manifests
                    .into_iter()
                    .flatten()
                {
                    found.extend(listed.platform.and_then(|names| names.platform()));
                }
            }
            _ => {
                without += 1;
                reader.within(without, WITHOUT_PLATFORM, "manifests without a platform")?;
                let digest = reader.listed_digest(&listed, digest)?;
                let manifest = reader.manifest(&digest).await?;
                found.extend(reader.of_manifest(manifest, &digest).await?);
            }
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

struct Reader<'a> {
    inner: &'a Inner,
    repository: &'a Repository,
    access: &'a Access,
    turn: &'a Turn,
}

impl Reader<'_> {
    /// The platform of a single manifest, as its configuration says.
    async fn of_manifest(
        &self,
        manifest: Document,
        digest: &Digest,
    ) -> Result<Option<Platform>, Error> {
        let Some(config) = manifest.config else {
            return Err(self.malformed(digest, "it names neither manifests nor a configuration"));
        };
        if !CONFIG_TYPES.contains(&config.media_type.as_str()) {
            return Ok(None);
        }
        let config = self.listed_digest(&config, digest)?;
        let path = format!("/v2/{}/blobs/{config}", self.repository.path());
        let names: Names = self.read(Operation::Blob, path, "*/*", &config).await?;
        Ok(names.platform())
    }

    async fn manifest(&self, digest: &Digest) -> Result<Document, Error> {
        let path = format!("/v2/{}/manifests/{digest}", self.repository.path());
        self.read(Operation::Manifest, path, ACCEPT, digest).await
    }

    /// The document that has this digest.
    async fn read<T: serde::de::DeserializeOwned>(
        &self,
        operation: Operation,
        path_and_query: String,
        accept: &'static str,
        digest: &Digest,
    ) -> Result<T, Error> {
        let ask = Ask {
            method: Method::GET,
            operation,
            repository: self.repository,
            path_and_query,
            accept,
            access: self.access,
            turn: self.turn,
            known: None,
            body_limit: self.inner.settings.limits.manifest_bytes,
            body_name: match operation {
                Operation::Blob => "an image's configuration",
                Operation::List
                | Operation::Manifest
                | Operation::Token
                | Operation::Upload
                | Operation::Referrers => "a manifest",
            },
            errand: None,
        };
        let answer = self.inner.exchange(&ask).await?;
        if !answer.status.is_success() {
            let what = match operation {
                Operation::Blob => "the configuration",
                Operation::List
                | Operation::Manifest
                | Operation::Token
                | Operation::Upload
                | Operation::Referrers => "the manifest",
            };
            let what = format!("{what} {}@{digest}", self.repository.path());
            return Err(Inner::refuse(&ask, &answer, what));
        }
        if is_html(&answer.headers, &answer.body) {
            return Err(Error::Html {
                host: answer.host,
                asked: ask.asked(),
            });
        }
        let malformed = |cause: String| Error::Malformed {
            host: answer.host.clone(),
            asked: ask.asked(),
            cause,
        };
        if !digest.is_of(&answer.body) {
            let found = Digest::of(&answer.body);
            return Err(malformed(format!("what it sent has the digest {found}")));
        }
        serde_json::from_slice(&answer.body).map_err(|error| {
            let place = format!("line {} column {}", error.line(), error.column());
            malformed(format!("it is no such document at {place}"))
        })
    }

    fn listed_digest(&self, listed: &Descriptor, within: &Digest) -> Result<Digest, Error> {
        listed.digest.parse().map_err(|_| {
            let shown = shorten(&listed.digest, 100);
            self.malformed(
                within,
                &format!("it lists what is no sha256 digest: {shown}"),
            )
        })
    }

    fn within(&self, count: usize, most: usize, what: &'static str) -> Result<(), Error> {
        if count <= most {
            return Ok(());
        }
        Err(Error::Limit {
            host: self.repository.registry().api_host().to_owned(),
            repository: self.repository.path().to_owned(),
            what: "an image's index",
            limit: u64::try_from(most).unwrap_or(u64::MAX),
            unit: what,
        })
    }

    fn malformed(&self, digest: &Digest, cause: &str) -> Error {
        Error::Malformed {
            host: self.repository.registry().api_host().to_owned(),
            asked: format!("GET /v2/{}/manifests/{digest}", self.repository.path()),
            cause: cause.to_owned(),
        }
    }
}
