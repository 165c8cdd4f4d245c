//! One repository as one account sees it, for whoever copies: manifests, blobs and referrers, read and written raw.
//!
//! Every request waits for its window (`window`, adaptive, by host and class) and for the host's pace (`budget`, shared
//! with the scanners), is authenticated as lists are, and is tried again while that makes sense. Everything read is
//! bounded; what is read by digest is verified, except for the content of blobs, which `transfer` verifies on the way.

mod blobs;
mod deletions;
mod location;
mod manifests;
mod referrers;
mod refusal;
mod reply;
pub(super) mod request;
mod tally;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

pub use self::blobs::BlobStream;
pub use self::deletions::{Deletion, is_placeholder};
pub(super) use self::location::Places;
pub use self::referrers::Referrers;
pub(super) use self::refusal::Refusal;
pub use self::tally::{Counts, Tally};
use super::access::Identity;
use super::client::Inner;
use super::errand::Mandate;
use super::{Access, Client};
use crate::image::{Digest, Repository, Tag};

/// What names a manifest within its repository.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Named {
    /// By tag: it may move.
    Tag(Tag),
    /// By digest: it is what it is.
    Digest(Digest),
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

/// What is done there: the rights to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Intent {
    /// `pull`.
    Read,
    /// `pull,push`.
    Write,
    /// `pull,push,delete`. Requests that delete ask for this by themselves, whatever else is done there: a token server may
    /// grant less to who asks for more.
    Delete,
}

impl Intent {
    /// As scopes name them.
    fn actions(self) -> &'static str {
        match self {
            Self::Read => "pull",
            Self::Write => "pull,push",
            Self::Delete => "pull,push,delete",
        }
    }
}

/// A manifest, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawManifest {
    /// Its digest, made from the bytes.
    pub digest: Digest,
    /// What its sender called it (`Content-Type`).
    pub media_type: String,
    /// The bytes.
    pub bytes: Bytes,
}

/// What a HEAD says of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Its digest.
    pub digest: Digest,
    /// Its media type; may be empty.
    pub media_type: String,
}

/// What a registry said to a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Put {
    /// It is there.
    Done {
        /// Whether the registry keeps the list of referrers itself (`OCI-Subject`).
        keeps_referrers: bool,
        /// Whether it was refused, and a HEAD shows the very same there: who wrote it is not known.
        was_there: bool,
    },
    /// The registry misses something that the manifest names (400/404 with `MANIFEST_BLOB_UNKNOWN`,
    /// `BLOB_UNKNOWN`, `MANIFEST_UNKNOWN` or the like), or may do so (`MANIFEST_INVALID`, or no code at all).
    Missing {
        /// What it misses, where it says so.
        digests: Vec<Digest>,
        /// Whether it does not say so in as many words: a tag may be refused for itself, too.
        is_vague: bool,
        /// The registry's own words.
        detail: String,
    },
    /// The tag may not be moved: the refusal was checked with a HEAD, and the tag is there with something else.
    Immutable {
        /// What the tag is.
        found: Digest,
        /// The registry's own words.
        detail: String,
    },
}

/// One repository as one account sees it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Remote {
    client: Client,
    repository: Repository,
    access: Access,
    intent: Intent,
    tally: Arc<Tally>,
    mandate: Option<Arc<dyn Mandate>>,
}

impl Client {
    /// `repository`, to be used so.
    pub fn remote(&self, repository: Repository, access: Access, intent: Intent) -> Remote {
        Remote {
            client: self.clone(),
            repository,
            access,
            intent,
            tally: Arc::default(),
            mandate: None,
        }
    }
}

impl Remote {
    /// Which repository.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// By whom it is asked.
    pub(super) fn identity(&self) -> Identity {
        self.access.identity()
    }

    /// What all of the client's clones share.
    pub(super) fn inner(&self) -> &Inner {
        &self.client.0
    }

    /// Its requests are counted by `tally` from now on; each has one of its own otherwise.
    #[must_use]
    pub fn tallied(mut self, tally: Arc<Tally>) -> Self {
        self.tally = tally;
        self
    }

    /// From now on it writes only while `mandate` holds.
    #[must_use]
    pub fn mandated(mut self, mandate: Option<Arc<dyn Mandate>>) -> Self {
        self.mandate = mandate;
        self
    }

    /// Who counts its requests.
    pub fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }
}

/// No progress for so long ends a transfer.
pub const STALL: Duration = Duration::from_mins(1);
