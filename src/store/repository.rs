//! One ImageRepository's tags at one moment, and how they are read.
//!
//! Immutable and shared: an election copies the few marks and shares the table; only a commit that adds
//! or removes tags writes a new table. How one moment becomes the next is [`super::plan`]'s business.

use std::iter::Peekable;
use std::sync::Arc;

use jiff::Timestamp;

use super::sorted::Item;
use super::table::{Cursor, Seen, Table};
use super::{Election, Owner, ResourceVersion, Sorted, TagEntry, sorted};
use crate::image::{Digest, Repository as ImageName, Tag};
use crate::object::Key;

/// What only few tags have: those that are elected, or were until lately.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    /// The tag's index in the table.
    pub(super) index: u32,
    /// The resourceVersion of its last change; goes before the table's.
    pub(super) modified: u64,
    pub(super) digest: Option<Digest>,
    pub(super) selected_by: Sorted<Key>,
    /// The latest that one of those policies noticed that the tag was pushed again.
    pub(super) pushed: Option<Timestamp>,
}

impl Mark {
    /// Whether nothing but the version is left of it: nobody elects the tag any more.
    pub(super) fn is_idle(&self) -> bool {
        self.selected_by.is_empty()
    }
}

impl Item for Mark {
    type By = u32;

    fn by(&self) -> &u32 {
        &self.index
    }
}

/// One ImageRepository's tags at one moment; immutable.
#[derive(Debug, Clone)]
pub struct RepositoryTags {
    pub(super) owner: Arc<Owner>,
    pub(super) image: ImageName,
    pub(super) revision: Arc<str>,
    pub(super) scan_time: Timestamp,
    pub(super) complete: bool,
    pub(super) version: ResourceVersion,
    pub(super) table: Arc<Table>,
    /// By index. A tag is elected if and only if it has a mark that is not idle.
    pub(super) marks: Sorted<Mark>,
    /// How many of the marks are idle.
    pub(super) idle: usize,
    /// By policy; each names a tag of the table.
    pub(super) elections: Sorted<Election>,
    /// Sorted.
    pub(super) aside: Arc<[Tag]>,
    /// When the tags were found again after the store was lost, in a list that had changed meanwhile; or when the object
    /// turned to this image.
    pub(super) refound: Option<Timestamp>,
}

impl RepositoryTags {
    /// The ImageRepository they belong to.
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// The image they are tags of.
    pub fn image(&self) -> &ImageName {
        &self.image
    }

    /// The revision of the list, as the scan computed it.
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// When the scan ran that produced this content. A scan that found the same leaves it alone.
    pub fn scan_time(&self) -> Timestamp {
        self.scan_time
    }

    /// False when the last scan that changed something may have seen only a part of the list.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// The resourceVersion of the TagSet object.
    pub fn resource_version(&self) -> ResourceVersion {
        self.version
    }

    /// When the tags were found again after a store was lost, in a list that had changed meanwhile, or when the object
    /// turned to this image: for a tag that was [seen](Self::seen) then it is not known whether it was new.
    pub fn refound(&self) -> Option<Timestamp> {
        self.refound
    }

    /// When this tag was seen first as what it is now: when it appeared, or when an election noticed that it had been
    /// pushed again. `None` for a tag that is old, or not held. Allocates nothing.
    pub fn seen(&self, tag: &str) -> Option<Timestamp> {
        let cursor = self.table.find(tag)?;
        let appeared = match self.table.origin(cursor.stamp()).seen() {
            Seen::Unknown => self.refound,
            seen @ (Seen::AtFirst | Seen::At(_)) => seen.time(),
        };
        // Only few tags are elected, and only of those more may be known.
        let mark = self.marks.get(&cursor.index());
        appeared.max(mark.and_then(|mark| mark.pushed))
    }

    /// How many tags there are, those kept aside not counted.
    pub fn tag_count(&self) -> usize {
        self.table.len() as usize
    }

    /// Whether both hold the very same tags: only a commit that adds, removes or relabels tags writes them anew.
    pub fn shares_tags_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.table, &other.table)
    }

    /// The tag of this name.
    pub fn tag(&self, tag: &str) -> Option<TagEntry> {
        let cursor = self.table.find(tag)?;
        Some(self.entry(&cursor, self.marks.get(&cursor.index())))
    }

    /// Entries in ascending byte order, the first one > `after` (None: from the start).
    pub fn entries_after<'a>(
        &'a self,
        after: Option<&str>,
    ) -> Box<dyn Iterator<Item = TagEntry> + Send + 'a> {
        let cursor = match after {
            Some(after) => self.table.cursor_after(after),
            None => self.table.cursor(),
        };
        let marks = self.marks.iter_from(&cursor.next_index()).peekable();
        Box::new(Entries {
            tags: self,
            cursor,
            marks,
        })
    }

    /// Only elected entries, ascending; costs what it yields.
    pub fn selected(&self) -> Box<dyn Iterator<Item = TagEntry> + Send + '_> {
        Box::new(
            self.marks
                .iter()
                .filter(|mark| !mark.is_idle())
                .filter_map(|mark| {
                    let cursor = self.table.on(mark.index)?;
                    Some(self.entry(&cursor, Some(mark)))
                }),
        )
    }

    /// Tag texts in descending byte order (the order policies are fed in), with no per-tag allocation.
    pub fn for_each_descending(&self, visit: &mut dyn FnMut(&str)) {
        self.table.for_each_descending(visit);
    }

    /// The signature and fallback tags kept aside, sorted.
    pub fn aside(&self) -> &[Tag] {
        &self.aside
    }

    /// What policies elect here, by policy. Each names a tag that is held.
    pub fn elections(&self) -> &Sorted<Election> {
        &self.elections
    }

    /// The entry at `index`, in ascending order.
    pub(super) fn entry_at(&self, index: u32) -> Option<TagEntry> {
        let cursor = self.table.on(index)?;
        Some(self.entry(&cursor, self.marks.get(&index)))
    }

    fn entry(&self, cursor: &Cursor<'_>, mark: Option<&Mark>) -> TagEntry {
        let stamp = cursor.stamp();
        let origin = self.table.origin(stamp);
        let created = origin.base + u64::from(stamp.rank);
        let (modified, digest, selected_by) = match mark {
            Some(mark) => (mark.modified, mark.digest.clone(), mark.selected_by.clone()),
            None => (stamp.modified, None, Sorted::default()),
        };
        TagEntry {
            tag: cursor
                .name()
                .parse()
                .expect("only tags go into a table, and records are checked for it"),
            resource_version: ResourceVersion(created.max(modified)),
            incarnation: match origin.seen() {
                Seen::AtFirst => 0,
                Seen::Unknown | Seen::At(_) => created,
            },
            first_seen: origin.seen().time(),
            digest,
            selected_by,
        }
    }
}

/// Entries from a cursor on, with the marks that belong to them.
struct Entries<'a> {
    tags: &'a RepositoryTags,
    cursor: Cursor<'a>,
    marks: Peekable<sorted::Iter<'a, Mark>>,
}

impl Iterator for Entries<'_> {
    type Item = TagEntry;

    fn next(&mut self) -> Option<TagEntry> {
        if !self.cursor.advance() {
            return None;
        }
        let index = self.cursor.index();
        let mark = self.marks.next_if(|mark| mark.index == index);
        Some(self.tags.entry(&self.cursor, mark))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self
            .tags
            .tag_count()
            .saturating_sub(self.cursor.next_index() as usize);
        (left, Some(left))
    }
}
