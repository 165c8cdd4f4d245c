//! How one moment of a repository becomes the next: pure, and the only place that knows the rules.
//!
//! - Tags, the image they are of and the object that owns them make an identity. Another owner (by uid): the
//!   old object's tags and TagSet are deleted, then the new one's appear. Another image: every tag is deleted,
//!   every tag of the new image appears, the TagSet changes. This holds for incomplete lists too.
//! - Owner facts are served on every tag: when they change, every tag changes.
//! - A list that may be incomplete adds, and never removes, also of what is kept aside.
//! - A change of the revision, of completeness or of what is kept aside changes the TagSet alone.
//! - An election changes the tags that gain or lose something by it, and never the TagSet. It stands as long as
//!   its tag is there: with the tag it goes, and does not come back with it; the policy elects again.
//! - A tag's digest is what its latest election brought, as long as an election that brought it stands.
//!
//! Within a commit versions go up in name order, deletions among the rest, the TagSet last.

mod election;
mod merge;

pub(super) use election::election;

use std::sync::Arc;

use jiff::Timestamp;

use super::history::{Commit, Touched};
use super::table::{Builder, MAX_TAGS, Origin, Seen, Stamp, Table};
use super::{Dating, Error, Owner, RepositoryTags, ResourceVersion, Scan, Sorted, weight};
use crate::image::Tag;
use merge::Merge;

/// One commit to be, and what it counts.
#[derive(Debug)]
pub(super) struct Step {
    /// A commit without changes still replaces the moment (an election of equal effect).
    pub(super) commit: Commit,
    pub(super) added: usize,
    pub(super) removed: usize,
    pub(super) changed: usize,
}

impl Step {
    /// Everything vanishes.
    pub(super) fn removal(held: &Arc<RepositoryTags>, first: u64) -> Self {
        let before = Some(Arc::clone(held));
        let commit = Commit {
            first,
            before,
            after: None,
            touched: Touched::All,
            set: true,
            replaced: weight::of(held),
        };
        Self {
            commit,
            added: 0,
            removed: held.tag_count(),
            changed: 0,
        }
    }
}

/// What a scan makes of what is held. No steps: it found nothing new.
pub(super) fn scan(
    held: Option<&Arc<RepositoryTags>>,
    mut scan: Scan,
    first: u64,
) -> Result<Vec<Step>, Error> {
    scan.tags.sort_unstable();
    scan.tags.dedup();
    scan.aside.sort_unstable();
    scan.aside.dedup();
    check_count(&scan.owner, scan.tags.len())?;
    Ok(match held {
        None => vec![creation(scan, first)],
        Some(held) if held.owner.uid != scan.owner.uid => {
            let removal = Step::removal(held, first);
            let next = first + removal.commit.len();
            vec![removal, creation(scan, next)]
        }
        Some(held) if held.image != scan.image => vec![replacement(held, scan, first)],
        Some(held) => Vec::from_iter(update(held, scan, first)?),
    })
}

/// What new facts about the owner make of what is held.
pub(super) fn owner(held: &Arc<RepositoryTags>, owner: Owner, first: u64) -> Option<Step> {
    if *held.owner == owner {
        return None;
    }
    if held.owner.uid != owner.uid {
        return Some(Step::removal(held, first));
    }
    let after = RepositoryTags {
        owner: Arc::new(owner),
        ..RepositoryTags::clone(held)
    };
    Some(
        Merge {
            held,
            first,
            seen: Seen::Unknown,
            prune: false,
            touch_all: true,
        }
        .step(&[], after),
    )
}

/// The first tags of an object.
fn creation(scan: Scan, first: u64) -> Step {
    let seen = match scan.dating {
        Dating::AtFirst => Seen::AtFirst,
        Dating::Known(_) | Dating::Refound | Dating::Now => appeared(scan.dating, scan.time),
    };
    let table = fresh(&scan.tags, seen, first);
    let added = table.len() as usize;
    let after = moment(scan, table, first + added as u64);
    let commit = Commit {
        first,
        before: None,
        after: Some(Arc::new(after)),
        touched: Touched::All,
        set: true,
        replaced: 0,
    };
    Step {
        commit,
        added,
        removed: 0,
        changed: 0,
    }
}

/// When tags were seen first that a scan at `time` adds.
fn appeared(dating: Dating, time: Timestamp) -> Seen {
    match dating {
        Dating::Known(known) => Seen::at(known),
        Dating::AtFirst | Dating::Refound | Dating::Now => Seen::at(time),
    }
}

/// The first tags of another image. How old they are nobody knows: they are served without a time, and are as old as this
/// list to whoever asks for an age. Else a turn to another image and back would make every tag old.
fn replacement(held: &Arc<RepositoryTags>, scan: Scan, first: u64) -> Step {
    let removed = held.tag_count();
    let appeared = first + removed as u64;
    let table = fresh(&scan.tags, Seen::Unknown, appeared);
    let added = table.len() as usize;
    let refound = Some(scan.time);
    let after = RepositoryTags {
        refound,
        ..moment(scan, table, appeared + added as u64)
    };
    let before = Some(Arc::clone(held));
    let commit = Commit {
        first,
        before,
        after: Some(Arc::new(after)),
        touched: Touched::Replaced,
        set: true,
        replaced: weight::of(held),
    };
    Step {
        commit,
        added,
        removed,
        changed: 0,
    }
}

/// A table of nothing but new tags, numbered from `first`.
fn fresh(tags: &[Tag], seen: Seen, first: u64) -> Table {
    let mut builder = Builder::default();
    if !tags.is_empty() {
        builder.add_origin(Origin::new(first, seen));
    }
    for tag in tags {
        builder.push(
            tag.as_str(),
            Stamp {
                origin: 0,
                rank: builder.len(),
                modified: 0,
            },
        );
    }
    builder.finish()
}

/// A moment without elections.
fn moment(scan: Scan, table: Table, version: u64) -> RepositoryTags {
    let Scan {
        owner,
        image,
        tags: _,
        aside,
        revision,
        time,
        complete,
        dating,
    } = scan;
    let refound = (dating == Dating::Refound).then_some(time);
    RepositoryTags {
        owner: Arc::new(owner),
        image,
        revision: revision.into(),
        scan_time: time,
        complete,
        version: ResourceVersion(version),
        table: Arc::new(table),
        marks: Sorted::default(),
        idle: 0,
        elections: Sorted::default(),
        aside: aside.into(),
        refound,
    }
}

/// Another scan of the same image of the same object.
fn update(held: &Arc<RepositoryTags>, scan: Scan, first: u64) -> Result<Option<Step>, Error> {
    let Scan {
        owner,
        image: _,
        tags,
        mut aside,
        revision,
        time,
        complete,
        dating,
    } = scan;
    if !complete {
        aside.extend(held.aside.iter().cloned());
        aside.sort_unstable();
        aside.dedup();
    }
    let same_owner = *held.owner == owner;
    let same_facts =
        *held.revision == *revision && held.complete == complete && *held.aside == *aside;
    let same_tags = if complete {
        held.table.is_named(&tags)
    } else {
        tags.iter()
            .all(|tag| held.table.find(tag.as_str()).is_some())
    };
    if same_owner && same_facts && same_tags {
        return Ok(None);
    }
    let mut after = RepositoryTags::clone(held);
    if !same_owner {
        after.owner = Arc::new(owner);
    }
    if !(same_facts && same_tags) {
        after.scan_time = time;
        after.revision = revision.into();
        after.complete = complete;
        after.aside = aside.into();
    }
    let is_new = |tag: &Tag| held.table.find(tag.as_str()).is_none();
    if dating == Dating::Refound && tags.iter().any(is_new) {
        after.refound = Some(time);
    }
    if same_owner && same_tags {
        after.version = ResourceVersion(first);
        let touched = Touched::Some(Box::default());
        let commit = Commit {
            first,
            replaced: weight::replaced(held, &after),
            before: Some(Arc::clone(held)),
            after: Some(Arc::new(after)),
            touched,
            set: true,
        };
        return Ok(Some(Step {
            commit,
            added: 0,
            removed: 0,
            changed: 0,
        }));
    }
    let merge = Merge {
        held,
        first,
        seen: appeared(dating, time),
        prune: complete,
        touch_all: !same_owner,
    };
    let step = merge.step(&tags, after);
    if let Some(after) = &step.commit.after {
        check_count(&after.owner, after.tag_count())?;
    }
    Ok(Some(step))
}

/// Whether one repository may hold `count` tags.
pub(super) fn check_count(owner: &Owner, count: usize) -> Result<(), Error> {
    if count > MAX_TAGS {
        return Err(Error::TooManyTags {
            repository: owner.key.clone(),
            count,
            limit: MAX_TAGS,
        });
    }
    Ok(())
}
