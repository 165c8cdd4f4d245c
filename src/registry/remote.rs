//! One repository as one account sees it, for whoever copies: manifests, blobs and referrers, read and written raw.
//!
//! Every request waits for its window (`window`, adaptive, by host and class) and for the host's pace (`budget`, shared
//! with the scanners), is authenticated as lists are, and is tried again while that makes sense. Everything read is
//! bounded; what is read by digest is verified, except for the content of blobs, which `transfer` verifies on the way.

pub(super) mod request;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use super::client::Inner;
use super::{Access, Client, Error, TagList};
use crate::image::{Digest, Repository, Tag};
use crate::mirror::document::{Child, Descriptor};

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
    /// `pull,push,delete`.
    Delete,
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
    },
    /// The registry misses something that the manifest names (400/404 with `MANIFEST_BLOB_UNKNOWN`,
    /// `BLOB_UNKNOWN`, `MANIFEST_UNKNOWN` or the like).
    Missing {
        /// What it misses, where it says so.
        digests: Vec<Digest>,
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
}

/// A blob on its way, from some offset on. Its content is not verified here.
pub struct BlobStream {
    /// Where the first byte stands in the blob: the offset asked for.
    pub offset: u64,
    /// How long the whole blob is, as this answer has it.
    pub size: u64,
    _private: (),
}

impl BlobStream {
    /// The next piece; none at the end. Never more than `size - offset` bytes in all; a silence longer than the stall
    /// limit, or slower than 1 KiB/s for a minute, is an error.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        todo!()
    }
}

impl Client {
    /// `repository`, to be used so.
    pub fn remote(&self, repository: Repository, access: Access, intent: Intent) -> Remote {
        Remote {
            client: self.clone(),
            repository,
            access,
            intent,
        }
    }
}

impl Remote {
    /// Which repository.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// What all of the client's clones share.
    pub(super) fn inner(&self) -> &Inner {
        &self.client.0
    }

    /// Every tag; an empty list where the repository does not exist yet, if it is there to be written to.
    pub async fn tags(&self) -> Result<TagList, Error> {
        todo!()
    }

    /// What `named` is; none: there is no such manifest (or no such repository).
    pub async fn head(&self, _named: &Named) -> Result<Option<Head>, Error> {
        todo!()
    }

    /// The manifest itself, at most 4 MiB, its digest checked against the header and against `named`. None: not there.
    pub async fn manifest(&self, _named: &Named) -> Result<Option<RawManifest>, Error> {
        todo!()
    }

    /// Writes a manifest under `named`. After a lost answer the registry is asked whether it is there.
    pub async fn put_manifest(
        &self,
        _named: &Named,
        _manifest: &RawManifest,
    ) -> Result<Put, Error> {
        todo!()
    }

    /// The referrers of `subject`, all pages; none: the registry does not have the API (404, and 404 alone).
    pub async fn referrers(&self, _subject: &Digest) -> Result<Option<Vec<Child>>, Error> {
        todo!()
    }

    /// Deletes the tag alone. None: the registry cannot (405, or 400 `UNSUPPORTED`).
    pub async fn delete_tag(&self, _tag: &Tag) -> Result<Option<()>, Error> {
        todo!()
    }

    /// Deletes a manifest, and every tag of it. None: the registry cannot.
    pub async fn delete_manifest(&self, _digest: &Digest) -> Result<Option<()>, Error> {
        todo!()
    }

    /// Whether the blob is there.
    pub async fn has_blob(&self, _digest: &Digest) -> Result<bool, Error> {
        todo!()
    }

    /// Opens a blob at `offset`: 200 for 0, 206 with a matching Content-Range otherwise, no encoding, and a length that is
    /// the descriptor's. Redirects are followed as everywhere: no credential leaves the registry's host.
    pub async fn open_blob(&self, _blob: &Descriptor, _offset: u64) -> Result<BlobStream, Error> {
        todo!()
    }
}

/// No progress for so long ends a transfer.
pub const STALL: Duration = Duration::from_mins(1);
