//! What is known to be where: blobs and tags at destinations. A cache, safe to lose and safe to be wrong.
//!
//! Whether a repository holds a blob is asked whoever brought it there: who may write to a repository may name all that is in
//! it, and who may read it reads that anyway. Where a blob may be mounted from into another repository is something
//! else: that one has other readers. A destination's registry only asks whether its own account may read where it is
//! mounted from, and that account often is the same for all. So a blob is mounted only from where it was brought for the same
//! account of the same source registry ([`Provenance`]), or for everybody there: that somebody names a digest does not say
//! that they may have it. Accounts are told apart by a number that means nothing outside of this process, and are not
//! written down: in the next process what they brought is known to be there, and serves for no mount.
//!
//! Digests are kept by their first 16 bytes; those of manifests apart from those of blobs, as registries keep them. Registries
//! go by their one name (`canonical`). Reading and writing the file is `state`'s affair.

use std::collections::BTreeMap;
use std::fmt;

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

/// For whom a blob was read: what it may serve.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Provenance {
    /// The registry it was read from, by its one name (`canonical`).
    pub registry: Registry,
    /// Tells accounts there apart, within this process; none: everybody may read there what was read.
    pub account: Option<u64>,
}

impl Provenance {
    /// Whether what was brought for this one may serve `other`: what everybody may read there each account may, too.
    fn serves(&self, other: &Self) -> bool {
        self.registry == other.registry && (self.account.is_none() || self.account == other.account)
    }
}

/// What is known. Shared by everything that copies at once; locks are short.
#[derive(Default)]
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

    /// A repository at `registry` that is known to hold the blob, for `provenance` to mount it from.
    pub fn holder(
        &self,
        registry: &Registry,
        digest: &Digest,
        provenance: &Provenance,
    ) -> Option<Repository> {
        let registry = canonical::registry(registry);
        let held = self.held.lock();
        held.holder(&registry, short(digest), provenance).cloned()
    }

    /// Whether `repository` is one from which `provenance` may mount the blob.
    pub fn may_mount_from(
        &self,
        repository: &Repository,
        digest: &Digest,
        provenance: &Provenance,
    ) -> bool {
        let repository = canonical::repository(repository);
        let held = self.held.lock();
        held.may_mount_from(&repository, short(digest), provenance)
    }

    /// The tags that were copied to `repository`, from wherever; some more than once.
    pub fn tags_at(&self, repository: &Repository) -> Vec<Tag> {
        self.held.lock().tags_at(repository)
    }

    /// `repository` holds the blob now; nobody knows for whom.
    pub fn note_blob(&self, repository: &Repository, digest: &Digest) {
        let repository = canonical::repository(repository);
        let mut held = self.held.lock();
        held.note_blob(&repository, short(digest), None);
    }

    /// `repository` holds the blob now, which was brought for `provenance`.
    pub fn note_blob_of(&self, repository: &Repository, digest: &Digest, provenance: &Provenance) {
        let repository = canonical::repository(repository);
        let mut held = self.held.lock();
        held.note_blob(&repository, short(digest), Some(provenance));
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
            .note_blob(&canonical::repository(repository), short, None);
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

    /// The tag is not at `to` any more, wherever it came from.
    pub fn forget_tag(&self, to: &Repository, tag: &Tag) {
        self.held.lock().forget_tag(&canonical::repository(to), tag);
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
        let held = Mutex::new(codec::body(super::sealed::Reader(bytes))?);
        Ok(Self { held })
    }
}

/// How much of it there is: all of it may be much.
impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (repositories, blobs, tags) = self.held.lock().counts();
        f.debug_struct("Known")
            .field("repositories", &repositories)
            .field("blobs", &blobs)
            .field("tags", &tags)
            .finish()
    }
}

/// Why bytes are not a state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(pub &'static str);
