//! What is known to be where: blobs and tags at destinations. A cache, safe to lose and safe to be wrong.
//!
//! Digests are kept by their first 16 bytes; those of manifests apart from those of blobs, as registries keep them. Registries
//! go by their one name (`canonical`). Reading and writing the file is `state`'s affair.

use std::collections::BTreeMap;

use jiff::Timestamp;
use parking_lot::Mutex;

use super::canonical;
use crate::image::{Digest, Registry, Repository, Tag};

mod codec;
mod held;
mod sorted;
#[cfg(test)]
mod tests;

use held::{Held, short, short_of_manifest};

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
pub struct Known {
    held: Mutex<Held>,
}

impl Known {
    /// Whether `repository` is known to hold the blob.
    pub fn has_blob(&self, repository: &Repository, digest: &Digest) -> bool {
        self.held
            .lock()
            .has_blob(&canonical::repository(repository), short(digest))
    }

    /// A repository at `registry` that is known to hold the blob, to mount it from.
    pub fn holder(&self, registry: &Registry, digest: &Digest) -> Option<Repository> {
        let registry = canonical::registry(registry);
        self.held.lock().holder(&registry, short(digest)).cloned()
    }

    /// The tags that were copied to `repository`, from wherever; some more than once.
    pub fn tags_at(&self, repository: &Repository) -> Vec<Tag> {
        self.held.lock().tags_at(repository)
    }

    /// `repository` holds the blob now.
    pub fn note_blob(&self, repository: &Repository, digest: &Digest) {
        self.held
            .lock()
            .note_blob(&canonical::repository(repository), short(digest));
    }

    /// `repository` does not hold the blob, whatever was known.
    pub fn forget_blob(&self, repository: &Repository, digest: &Digest) {
        self.held
            .lock()
            .forget_blob(&canonical::repository(repository), short(digest));
    }

    /// Whether `repository` is known to hold the manifest, and all that it names.
    pub fn has_manifest(&self, repository: &Repository, digest: &Digest) -> bool {
        let short = short_of_manifest(digest);
        self.held
            .lock()
            .has_blob(&canonical::repository(repository), short)
    }

    /// `repository` holds the manifest now, and all that it names.
    pub fn note_manifest(&self, repository: &Repository, digest: &Digest) {
        let short = short_of_manifest(digest);
        self.held
            .lock()
            .note_blob(&canonical::repository(repository), short);
    }

    /// `repository` does not hold the manifest, or not all of it, whatever was known.
    pub fn forget_manifest(&self, repository: &Repository, digest: &Digest) {
        let short = short_of_manifest(digest);
        self.held
            .lock()
            .forget_blob(&canonical::repository(repository), short);
    }

    /// Nothing is known of `repository` any more: neither blobs nor tags.
    pub fn forget_repository(&self, repository: &Repository) {
        self.held
            .lock()
            .forget_repository(&canonical::repository(repository));
    }

    /// What `from:tag` was last copied to `to` as; `variant` tells copies of other platforms, modes or names apart.
    pub fn tag(
        &self,
        from: &Repository,
        tag: &Tag,
        to: &Repository,
        variant: &str,
    ) -> Option<Copied> {
        let (from, to) = (canonical::repository(from), canonical::repository(to));
        self.held.lock().tag(&from, tag, &to, variant).cloned()
    }

    /// All tags of `from` that were copied to `to`, of one `variant`.
    pub fn copies(
        &self,
        from: &Repository,
        to: &Repository,
        variant: &str,
    ) -> BTreeMap<Tag, Copied> {
        let (from, to) = (canonical::repository(from), canonical::repository(to));
        let held = self.held.lock();
        held.copies(&from, &to, variant)
            .cloned()
            .unwrap_or_default()
    }

    /// `from:tag` is at `to` now.
    pub fn note_tag(
        &self,
        from: &Repository,
        tag: &Tag,
        to: &Repository,
        variant: &str,
        copied: Copied,
    ) {
        let (from, to) = (canonical::repository(from), canonical::repository(to));
        self.held.lock().note_tag(&from, tag, &to, variant, copied);
    }

    /// All of it, as bytes with a version and a checksum.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(&mut self.held.lock())
    }

    /// Reads what [`Self::encode`] wrote; anything else is an error, and then nothing is known.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let held = Mutex::new(codec::decode(bytes)?);
        Ok(Self { held })
    }

    /// Takes in what another has learnt in the meantime (two runs at once). What was found here to be missing stays
    /// forgotten; of two copies of one tag the one that was verified later counts.
    pub fn merge(&self, other: &Self) {
        if std::ptr::eq(self, other) {
            return;
        }
        // Two that merge with each other at once take the locks in one order.
        if std::ptr::from_ref(self).addr() < std::ptr::from_ref(other).addr() {
            let mut held = self.held.lock();
            held.merge(&other.held.lock());
        } else {
            let other = other.held.lock();
            self.held.lock().merge(&other);
        }
    }

    /// Reads what stands behind a checksum, for what looks for bytes that do harm: it would hardly ever guess one.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn decode_unchecked(bytes: &[u8]) -> Result<Self, Error> {
        let held = Mutex::new(codec::body(codec::Reader(bytes))?);
        Ok(Self { held })
    }
}

/// Why bytes are not a state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(pub &'static str);
