//! The tag store: every scanned tag of every repository, in memory, copy-on-write, read without locks.
//!
//! Writers commit; a commit compares with what is held and publishes only changes, one monotonic
//! resourceVersion per change. Readers take a [`Snapshot`] (cheap, immutable, consistent at one
//! resourceVersion) or pull [`Change`]s from a bounded history. Nobody is pushed to: a slow reader falls
//! off the history and is told so, it never holds anybody up.
//!
//! CONTRACT under construction: the signatures below are what the rest of the program is written
//! against; the bodies come.
#![allow(clippy::todo, unused_variables, missing_docs)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use crate::clock::SharedClock;
use crate::image::{Digest, Repository as ImageName, Tag};
use crate::object::Key;

/// A position in the one sequence of changes. Never given twice, across crashes too.
/// High bits: the epoch (a lost store starts a higher one); low 40 bits: a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ResourceVersion(pub u64);

/// The durable facts of an ImageRepository object that its tags are served with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    pub key: Key,
    /// The ImageRepository's uid, from which tag uids are derived.
    pub uid: String,
    /// The ImageRepository's creationTimestamp: the age of tags that were there at the first scan.
    pub created: Timestamp,
    /// Those of its labels that `--imagetag-labels` names.
    pub labels: BTreeMap<String, String>,
}

/// The result of one scan, to be committed.
#[derive(Debug, Clone)]
pub struct Scan {
    pub owner: Owner,
    pub image: ImageName,
    /// After exclusion; any order, duplicates allowed (the store sorts and de-duplicates).
    pub tags: Vec<Tag>,
    /// Signature and fallback tags kept aside for the mirror: never served, counted or elected.
    pub aside: Vec<Tag>,
    /// The revision as written to the status.
    pub revision: String,
    pub time: Timestamp,
    /// False when the list may be incomplete: then nothing is removed.
    pub complete: bool,
    /// True when the object never had a `lastScanResult`: its tags are old, `first_seen` stays absent, incarnation is 0.
    pub first: bool,
}

/// What a commit did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// Added, removed, and otherwise changed tags. All zero: nothing was published.
    pub added: usize,
    pub removed: usize,
    pub changed: usize,
    /// The newest resourceVersion after the commit.
    pub resource_version: ResourceVersion,
}

/// One policy's choice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Election {
    pub policy: Key,
    pub tag: Tag,
    /// When it is known.
    pub digest: Option<Digest>,
}

/// One tag as it stands in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagEntry {
    pub tag: Tag,
    pub resource_version: ResourceVersion,
    /// resourceVersion of the creating commit's change, 0 for tags of the first scan.
    pub incarnation: u64,
    /// Absent for tags of the first scan.
    pub first_seen: Option<Timestamp>,
    pub digest: Option<Digest>,
    /// The policies that elect it, sorted.
    pub selected_by: Arc<[Key]>,
}

/// One ImageRepository's tags at one moment; immutable.
#[derive(Debug)]
pub struct RepositoryTags {
    // private representation
    _private: (),
}

impl RepositoryTags {
    pub fn owner(&self) -> &Owner {
        todo!()
    }
    pub fn image(&self) -> &ImageName {
        todo!()
    }
    pub fn revision(&self) -> &str {
        todo!()
    }
    /// When the scan ran that produced this content.
    pub fn scan_time(&self) -> Timestamp {
        todo!()
    }
    pub fn is_complete(&self) -> bool {
        todo!()
    }
    /// The resourceVersion of the TagSet object.
    pub fn resource_version(&self) -> ResourceVersion {
        todo!()
    }
    pub fn tag_count(&self) -> usize {
        todo!()
    }
    pub fn tag(&self, tag: &str) -> Option<TagEntry> {
        todo!()
    }
    /// Entries in ascending byte order, the first one > `after` (None: from the start).
    pub fn entries_after<'a>(
        &'a self,
        after: Option<&str>,
    ) -> Box<dyn Iterator<Item = TagEntry> + 'a> {
        todo!()
    }
    /// Only elected entries, ascending; costs what it yields.
    pub fn selected(&self) -> Box<dyn Iterator<Item = TagEntry> + '_> {
        todo!()
    }
    /// Tag texts in descending byte order (the order policies are fed in), with no per-tag allocation.
    pub fn for_each_descending(&self, visit: &mut dyn FnMut(&str)) {
        todo!()
    }
    /// The signature and fallback tags kept aside.
    pub fn aside(&self) -> &[Tag] {
        todo!()
    }
    pub fn elections(&self) -> &[Election] {
        todo!()
    }
}

/// Everything, at one resourceVersion. Cheap to clone and to hold.
#[derive(Debug, Clone)]
pub struct Snapshot {
    _private: (),
}

impl Snapshot {
    pub fn resource_version(&self) -> ResourceVersion {
        todo!()
    }
    pub fn repository(&self, key: &Key) -> Option<Arc<RepositoryTags>> {
        todo!()
    }
    /// In the order in which kube-apiserver would list their ImageTags: by namespace, then by `name + ":"`
    /// (`a-b:1` sorts before `a:1`).
    pub fn repositories(&self) -> Box<dyn Iterator<Item = Arc<RepositoryTags>> + '_> {
        todo!()
    }
    /// Those of one namespace, same order.
    pub fn repositories_in<'a>(
        &'a self,
        namespace: &'a str,
    ) -> Box<dyn Iterator<Item = Arc<RepositoryTags>> + 'a> {
        todo!()
    }
    pub fn tag_count(&self) -> usize {
        todo!()
    }
}

/// What happened to one object.
#[derive(Debug, Clone)]
pub enum Change {
    /// A tag appeared (`before` None), changed, or vanished (`after` None). The entries' own resource versions
    /// are those of the states; `resource_version` is that of this change (also for deletions).
    Tag {
        resource_version: ResourceVersion,
        /// The repository as it was after (for deletions of the whole repository: before) the commit: owner, image.
        repository: Arc<RepositoryTags>,
        before: Option<TagEntry>,
        after: Option<TagEntry>,
    },
    /// The TagSet appeared, changed or vanished.
    Set {
        resource_version: ResourceVersion,
        before: Option<Arc<RepositoryTags>>,
        after: Option<Arc<RepositoryTags>>,
    },
}

/// The position is not in the history any more, in the future, or of another epoch: answer 410.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too old resource version: {} ({})", asked.0, oldest.0)]
pub struct Expired {
    pub asked: ResourceVersion,
    pub oldest: ResourceVersion,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("failed to open the tag store under {path}")]
    Open {
        path: String,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("failed to write the tag store")]
    Write {
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The store. Clones share it.
#[derive(Debug, Clone)]
pub struct Store {
    _private: (),
}

impl Store {
    /// In memory only (tests, tools).
    pub fn in_memory(clock: SharedClock) -> Self {
        todo!()
    }
    /// With disk snapshots under `path`. `last_epoch` is the highest epoch known outside (a Lease's annotation); a store
    /// that was lost or is foreign starts at `last_epoch + 1`. A corrupt file is set aside with one log line.
    pub fn open(path: &Path, last_epoch: u64, clock: SharedClock) -> Result<Self, Error> {
        todo!()
    }
    pub fn epoch(&self) -> u64 {
        todo!()
    }
    pub fn snapshot(&self) -> Snapshot {
        todo!()
    }
    pub fn commit_scan(&self, scan: Scan) -> Result<Committed, Error> {
        todo!()
    }
    /// Replaces what `policy` elects in `repository`; `None` withdraws it. An unknown repository or tag changes nothing.
    pub fn commit_election(
        &self,
        repository: &Key,
        policy: &Key,
        elected: Option<(Tag, Option<Digest>)>,
    ) -> Result<Committed, Error> {
        todo!()
    }
    /// The ImageRepository is gone: its tags and TagSet are deleted.
    pub fn remove_repository(&self, repository: &Key) -> Result<Committed, Error> {
        todo!()
    }
    /// Labels or other owner facts changed without a scan.
    pub fn update_owner(&self, owner: Owner) -> Result<Committed, Error> {
        todo!()
    }
    /// Resolves when everything committed so far is on disk (group commit); at once for a store in memory.
    pub async fn flush(&self) -> Result<(), Error> {
        todo!()
    }
    /// Changes after `position` (exclusive), at most `limit`, oldest first; empty: none yet, wait on [`Store::changed`].
    pub fn changes_after(
        &self,
        position: ResourceVersion,
        limit: usize,
    ) -> Result<Vec<Change>, Expired> {
        todo!()
    }
    /// A receiver whose value is the newest resourceVersion.
    pub fn changed(&self) -> tokio::sync::watch::Receiver<ResourceVersion> {
        todo!()
    }
    /// Bytes held in memory by tags, for the metric.
    pub fn bytes(&self) -> usize {
        todo!()
    }
}
