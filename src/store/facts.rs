//! The words that writers and readers of the store exchange: what a scan found, what a policy
//! elected, what a commit did, what a tag is. Values only; no behaviour beyond their shape.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::sorted::Item;
use super::{ResourceVersion, Sorted};
use crate::image::{Digest, Repository as ImageName, Tag};
use crate::object::Key;

/// The durable facts of an ImageRepository object that its tags are served with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The ImageRepository's namespace and name.
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
    /// The ImageRepository that was scanned.
    pub owner: Owner,
    /// What was listed. Another image than the held one replaces every tag: they are other objects.
    pub image: ImageName,
    /// After exclusion; any order, duplicates allowed (the store sorts and de-duplicates).
    pub tags: Vec<Tag>,
    /// Signature and fallback tags kept aside for the mirror: never served, counted or elected.
    pub aside: Vec<Tag>,
    /// The revision as written to the status.
    pub revision: String,
    /// When the scan ran. Becomes the `first_seen` of the tags that it adds, in whole seconds.
    pub time: Timestamp,
    /// False when the list may be incomplete: then nothing is removed.
    pub complete: bool,
    /// How old the tags are that it adds. Not heard when another image replaces every tag: how old they are is not known.
    pub dating: Dating,
}

/// How old the tags are that a scan adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dating {
    /// The object was never scanned: its tags are old, `first_seen` stays absent, incarnation is 0.
    AtFirst,
    /// The store was lost or is behind, and the list is the one that the status tells of: every tag was seen by this time
    /// at the latest.
    Known(Timestamp),
    /// The store was lost or is behind, and the list is another one: which of its tags are new is not known. They count
    /// as seen by this scan, and the repository says that it was [refound](super::RepositoryTags::refound).
    Refound,
    /// Seen by this scan.
    Now,
}

/// What a commit did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// Tags that appeared.
    pub added: usize,
    /// Tags that vanished.
    pub removed: usize,
    /// Tags that were there before and after, and are served differently.
    pub changed: usize,
    /// Whether the TagSet appeared, changed or vanished. This false and the three counts zero: nothing was published.
    pub set_changed: bool,
    /// The newest resourceVersion after the commit.
    pub resource_version: ResourceVersion,
}

/// One policy's choice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Election {
    /// The ImagePolicy that elects.
    pub policy: Key,
    /// What it elects.
    pub tag: Tag,
    /// When it is known.
    pub digest: Option<Digest>,
    /// That the tag was pushed again while it was elected, as far as this election noticed.
    pub pushed: Option<Pushed>,
}

impl Item for Election {
    type By = Key;

    fn by(&self) -> &Key {
        &self.policy
    }
}

/// A tag's electors.
impl Item for Key {
    type By = Self;

    fn by(&self) -> &Self {
        self
    }
}

/// Another digest that an elected tag was found with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// The digest that was new then. An election that has not taken it over yet still has the one before.
    pub digest: Digest,
    /// When it was seen first, in whole seconds.
    pub seen: Timestamp,
}

/// One tag as it stands in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagEntry {
    /// The tag's text.
    pub tag: Tag,
    /// That of the tag's last change.
    pub resource_version: ResourceVersion,
    /// resourceVersion of the change that created it, 0 for tags of the first scan.
    pub incarnation: u64,
    /// Absent for tags of the first scan, and for those that were there when the ImageRepository turned to another image.
    pub first_seen: Option<Timestamp>,
    /// The digest that an election brought along, for as long as one that did stands.
    pub digest: Option<Digest>,
    /// The policies that elect it.
    pub selected_by: Sorted<Key>,
}
