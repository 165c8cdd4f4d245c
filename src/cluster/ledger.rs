//! Bytes that belong to an object and outlive the program: a mirror's ledger, in ConfigMaps of its namespace that go when it goes.
//!
//! One head, `mirror-ledger-<hash of the uid>-0`, and parts of higher numbers where it is too small. A part is never changed: new ones
//! are written first, then the head, which names them and is written only over the one that was read, and then the old ones are
//! deleted. So whoever reads finds all of one writing, or nothing. What the bytes mean is not known here.

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client, Resource as _};
use sha2::{Digest as _, Sha256};

use crate::api::ImageMirror;
use crate::object::Key;

/// What one ConfigMap holds; kube-apiserver takes a mebibyte.
const PART_BYTES: usize = 900 << 10;
/// More parts are none of ours.
const MOST_PARTS: usize = 32;
/// What all of it may unfold to.
const MOST_BYTES: u64 = 64 << 20;
/// So many numbers are tried that parts of a broken off writing may have.
const MOST_NUMBERS: u64 = 64;

const CONTENT: &str = "ledger.gz";
const PARTS: &str = "parts";
const CHECKSUM: &str = "sha256";

/// Why a ledger was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused, or was not there. The text is its own.
    #[error("failed to {attempt} the ConfigMap {name}")]
    Cluster {
        /// What was tried.
        attempt: &'static str,
        /// Namespace and name.
        name: Key,
        /// Why.
        #[source]
        source: super::Error,
    },
    /// It is there, and makes no sense.
    #[error("the ConfigMap {name} is no ledger: {why}")]
    Damaged {
        /// Namespace and name.
        name: Key,
        /// What is wrong with it.
        why: &'static str,
    },
    /// It does not fit.
    #[error("a ledger of {bytes} bytes is too long to be kept")]
    TooLong {
        /// How long it is, folded.
        bytes: usize,
    },
}

/// Whose ledger it is.
#[derive(Debug, Clone)]
pub struct Owner {
    /// The mirror.
    pub key: Key,
    /// Its uid: a namesake that comes later owns nothing of it.
    pub uid: String,
}

/// What was read or written last.
#[derive(Debug, Clone, Default)]
pub struct Held {
    head: Option<ObjectMeta>,
    parts: Vec<u64>,
}

impl Error {
    /// Whether it is there and makes no sense, so that nothing is lost by making it anew.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. })
    }
}

impl Owner {
    /// The name of a part; 0 is the head.
    pub fn name(&self, part: u64) -> Key {
        let hash = Sha256::digest(self.uid.as_bytes());
        let hash = hash
            .iter()
            .take(8)
            .fold(0_u64, |all, byte| all << 8 | u64::from(*byte));
        let name = format!("mirror-ledger-{hash:016x}-{part}");
        Key::new(self.key.namespace.clone(), name)
    }

    fn map(&self, part: u64, content: &[u8]) -> ConfigMap {
        let owner = OwnerReference {
            api_version: ImageMirror::api_version(&()).into_owned(),
            kind: ImageMirror::kind(&()).into_owned(),
            name: self.key.name.to_string(),
            uid: self.uid.clone(),
            controller: None,
            block_owner_deletion: None,
        };
        let Key { namespace, name } = self.name(part);
        let labels = [("app.kubernetes.io/managed-by", "tagscope")];
        let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
        ConfigMap {
            metadata: ObjectMeta {
                name: Some(name.to_string()),
                namespace: Some(namespace.to_string()),
                labels: Some(labels.into()),
                owner_references: Some(vec![owner]),
                ..ObjectMeta::default()
            },
            binary_data: Some([(CONTENT.to_owned(), ByteString(content.to_vec()))].into()),
            ..ConfigMap::default()
        }
    }

    fn failed(&self, attempt: &'static str, part: u64, error: kube::Error) -> Error {
        Error::Cluster {
            attempt,
            name: self.name(part),
            source: error.into(),
        }
    }

    fn damaged(&self, part: u64, why: &'static str) -> Error {
        Error::Damaged {
            name: self.name(part),
            why,
        }
    }

    /// The content of a ConfigMap that is this mirror's.
    fn content<'a>(&self, part: u64, map: &'a ConfigMap) -> Result<&'a [u8], Error> {
        let owners = map.metadata.owner_references.iter().flatten();
        if !owners.into_iter().any(|owner| owner.uid == self.uid) {
            return Err(self.damaged(part, "the mirror does not own it"));
        }
        let content = map.binary_data.as_ref().and_then(|data| data.get(CONTENT));
        let content = content.ok_or_else(|| self.damaged(part, "it has no content"))?;
        Ok(&content.0)
    }
}

/// The ledger of `owner`, if it has one, and what [`write`] needs to replace it. One that is damaged can be replaced as well.
pub async fn read(client: &Client, owner: &Owner) -> (Held, Result<Option<Vec<u8>>, Error>) {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &owner.key.namespace);
    let mut held = Held::default();
    let bytes = gather(&maps, owner, &mut held).await;
    (held, bytes)
}

async fn gather(
    maps: &Api<ConfigMap>,
    owner: &Owner,
    seen: &mut Held,
) -> Result<Option<Vec<u8>>, Error> {
    let get = async |part: u64| {
        let found = maps.get_opt(&owner.name(part).name).await;
        found.map_err(|error| owner.failed("read", part, error))
    };
    let Some(head) = get(0).await? else {
        return Ok(None);
    };
    seen.head = Some(head.metadata.clone());
    let data = head.data.clone().unwrap_or_default();
    let mut folded = owner.content(0, &head)?.to_vec();
    let parts = data.get(PARTS).map_or("", String::as_str);
    for part in parts.split_ascii_whitespace() {
        let part = part.parse().ok().filter(|part| *part > 0);
        let part: u64 = part.ok_or_else(|| owner.damaged(0, "a part has no number"))?;
        if seen.parts.len() >= MOST_PARTS {
            return Err(owner.damaged(0, "it has too many parts"));
        }
        seen.parts.push(part);
    }
    for part in seen.parts.clone() {
        let found = get(part).await?;
        let found = found.ok_or_else(|| owner.damaged(part, "it is not there"))?;
        folded.extend_from_slice(owner.content(part, &found)?);
    }
    if data.get(CHECKSUM) != Some(&checksum(&folded)) {
        return Err(owner.damaged(0, "its checksum is wrong"));
    }
    let mut bytes = Vec::new();
    let unfolded = GzDecoder::new(&*folded)
        .take(MOST_BYTES + 1)
        .read_to_end(&mut bytes);
    if unfolded.is_err() {
        return Err(owner.damaged(0, "it cannot be unfolded"));
    }
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MOST_BYTES) {
        return Err(owner.damaged(0, "it unfolds to too much"));
    }
    Ok(Some(bytes))
}

/// Writes the ledger of `owner` over the one that was read or written last, and over no other.
///
/// # Errors
/// Then the one before is what it was; somebody else's writing in between is a conflict.
pub async fn write(
    client: &Client,
    owner: &Owner,
    last: &Held,
    bytes: &[u8],
) -> Result<Held, Error> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &owner.key.namespace);
    let folded = fold(bytes);
    let mut chunks = folded.chunks(PART_BYTES);
    let first = chunks.next().unwrap_or_default();
    if chunks.len() > MOST_PARTS {
        let bytes = folded.len();
        return Err(Error::TooLong { bytes });
    }
    let mut parts = Vec::new();
    let written = async {
        let mut next = last
            .parts
            .iter()
            .max()
            .map_or(1, |part| part.saturating_add(1));
        for chunk in chunks {
            next = create(&maps, owner, next, chunk).await?;
            parts.push(next);
            next = next.saturating_add(1);
        }
        let numbers: Vec<String> = parts.iter().map(ToString::to_string).collect();
        let data = [
            (CHECKSUM.to_owned(), checksum(&folded)),
            (PARTS.to_owned(), numbers.join(" ")),
        ];
        let mut head = owner.map(0, first);
        head.data = Some(data.into());
        let params = PostParams::default();
        if let Some(before) = &last.head {
            head.metadata
                .resource_version
                .clone_from(&before.resource_version);
            let name = owner.name(0).name;
            let replaced = maps.replace(&name, &params, &head).await;
            replaced.map_err(|error| owner.failed("update", 0, error))
        } else {
            let created = maps.create(&params, &head).await;
            created.map_err(|error| owner.failed("create", 0, error))
        }
    }
    .await;
    let unused = if written.is_ok() { &last.parts } else { &parts };
    for part in unused {
        // What stays behind is named by nobody, and goes with the mirror.
        let name = owner.name(*part).name;
        if let Err(error) = maps.delete(&name, &DeleteParams::default()).await {
            tracing::debug!(%name, %error, "Part of a ledger not deleted");
        }
    }
    let head = Some(written?.metadata);
    Ok(Held { head, parts })
}

/// Writes a part under the first number from `next` on that is free.
async fn create(
    maps: &Api<ConfigMap>,
    owner: &Owner,
    next: u64,
    content: &[u8],
) -> Result<u64, Error> {
    let mut number = next;
    loop {
        let map = owner.map(number, content);
        match maps.create(&PostParams::default(), &map).await {
            Ok(_) => return Ok(number),
            Err(kube::Error::Api(status))
                if status.reason == "AlreadyExists"
                    && number.saturating_sub(next) < MOST_NUMBERS =>
            {
                number = number.saturating_add(1);
            }
            Err(error) => return Err(owner.failed("create", number, error)),
        }
    }
}

fn fold(bytes: &[u8]) -> Vec<u8> {
    let mut folded = GzEncoder::new(Vec::new(), Compression::default());
    let written = folded.write_all(bytes);
    written
        .and_then(|()| folded.finish())
        .expect("writing to memory does not fail")
}

fn checksum(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        for nibble in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(nibble.into(), 16));
        }
    }
    text
}
