//! What is known to be where: blobs and tags at destinations. A cache, safe to lose and safe to be wrong.
//!
//! Digests are kept by their first 16 bytes. Reading and writing the file is `state`'s affair.

use jiff::Timestamp;

use crate::image::{Digest, Registry, Repository, Tag};

/// What a tag was copied as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// The digest at the source.
    pub source: Digest,
    /// The digest at the destination: another one where platforms were left out.
    pub destination: Digest,
    /// When the destination was last seen to hold it.
    pub verified: Timestamp,
}

/// What is known. Shared by everything that copies at once; locks are short.
#[derive(Debug, Default)]
pub struct Known {}

impl Known {
    /// Whether `repository` is known to hold the blob.
    pub fn has_blob(&self, _repository: &Repository, _digest: &Digest) -> bool {
        todo!()
    }
    /// A repository at `registry` that is known to hold the blob, to mount it from.
    pub fn holder(&self, _registry: &Registry, _digest: &Digest) -> Option<Repository> {
        todo!()
    }
    /// `repository` holds the blob now.
    pub fn note_blob(&self, _repository: &Repository, _digest: &Digest) {
        todo!()
    }
    /// `repository` does not hold the blob, whatever was known.
    pub fn forget_blob(&self, _repository: &Repository, _digest: &Digest) {
        todo!()
    }
    /// Nothing is known of `repository` any more: neither blobs nor tags.
    pub fn forget_repository(&self, _repository: &Repository) {
        todo!()
    }
    /// What `from:tag` was last copied to `to` as; `variant` tells copies of other platforms, modes or names apart.
    pub fn tag(
        &self,
        _from: &Repository,
        _tag: &Tag,
        _to: &Repository,
        _variant: &str,
    ) -> Option<Copied> {
        todo!()
    }
    /// `from:tag` is at `to` now.
    pub fn note_tag(
        &self,
        _from: &Repository,
        _tag: &Tag,
        _to: &Repository,
        _variant: &str,
        _copied: Copied,
    ) {
        todo!()
    }
    /// All of it, as bytes with a version and a checksum.
    pub fn encode(&self) -> Vec<u8> {
        todo!()
    }
    /// Reads what [`Self::encode`] wrote; anything else is an error, and then nothing is known.
    pub fn decode(_bytes: &[u8]) -> Result<Self, Error> {
        todo!()
    }
    /// Takes in what another has learnt in the meantime (two runs at once).
    pub fn merge(&self, _other: &Self) {
        todo!()
    }
}

/// Why bytes are not a state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(pub &'static str);
