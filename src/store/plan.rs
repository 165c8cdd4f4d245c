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

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::history::{Commit, Touch, Touched};
use super::repository::Mark;
use super::table::{Builder, Cursor, MAX_TAGS, Origin, Seen, Stamp, Table};
use super::{Election, Error, Owner, RepositoryTags, ResourceVersion, Scan};
use crate::image::{Digest, Tag};
use crate::object::Key;

/// Idle marks are tolerated up to this many, then folded into the table.
const IDLE_MARKS: usize = 64;

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
    let merged = Merge {
        held,
        first,
        seen: Seen::Unknown,
        prune: false,
        touch_all: true,
    }
    .with(&[]);
    let mut after = RepositoryTags {
        owner: Arc::new(owner),
        ..RepositoryTags::clone(held)
    };
    after.version = ResourceVersion(first + merged.touches.len() as u64);
    Some(merged.into_step(held, after, first, true))
}

/// What an election makes of what is held; `None` when that is nothing.
pub(super) fn election(
    held: &Arc<RepositoryTags>,
    policy: &Key,
    elected: Option<(Tag, Option<Digest>)>,
    first: u64,
) -> Option<Step> {
    if elected
        .as_ref()
        .is_some_and(|(tag, _)| held.table.find(tag.as_str()).is_none())
    {
        return None;
    }
    let brought = elected.as_ref().and_then(|(_, digest)| digest.clone());
    let lost = held
        .elections
        .iter()
        .find(|election| election.policy == *policy);
    let gained = elected.map(|(tag, digest)| Election {
        policy: policy.clone(),
        tag,
        digest,
    });
    if lost == gained.as_ref() {
        return None;
    }
    let concerned: BTreeSet<&str> = lost
        .iter()
        .copied()
        .chain(&gained)
        .map(|election| election.tag.as_str())
        .collect();
    let mut elections: Vec<_> = held
        .elections
        .iter()
        .filter(|election| election.policy != *policy)
        .cloned()
        .collect();
    elections.extend(gained.clone());
    elections.sort_unstable_by(|a, b| a.policy.cmp(&b.policy));

    let mut marks = held.marks.to_vec();
    let mut touches = Vec::new();
    for tag in concerned {
        let Some(index) = held.table.find(tag).map(|cursor| cursor.index()) else {
            continue;
        };
        let brought = brought.as_ref().filter(|_| {
            gained
                .as_ref()
                .is_some_and(|election| election.tag.as_str() == tag)
        });
        let at = marks.binary_search_by_key(&index, |mark| mark.index);
        let was = at.ok().and_then(|at| marks.get(at));
        let digest = digest(
            &elections,
            tag,
            brought,
            was.and_then(|mark| mark.digest.as_ref()),
        );
        let selected_by = RepositoryTags::electors(&elections, tag);
        let is_same = match was {
            Some(was) => was.digest == digest && was.selected_by == selected_by,
            None => digest.is_none() && selected_by.is_empty(),
        };
        if is_same {
            continue;
        }
        let mark = Mark {
            index,
            modified: first + touches.len() as u64,
            digest,
            selected_by,
        };
        touches.push(Touch::present(index));
        match at {
            Ok(at) => marks.splice(at..=at, [mark]).for_each(drop),
            Err(at) => marks.insert(at, mark),
        }
    }
    let changed = touches.len();
    let mut after = RepositoryTags {
        elections: elections.into(),
        ..RepositoryTags::clone(held)
    };
    if marks.iter().filter(|mark| mark.is_idle()).count() > IDLE_MARKS {
        after.table = Arc::new(fold_idle(&held.table, &marks));
        marks.retain(|mark| !mark.is_idle());
    }
    after.marks = marks.into();
    let touched = Touched::Some(touches.into());
    let commit = Commit {
        first,
        before: Some(Arc::clone(held)),
        after: Some(Arc::new(after)),
        touched,
        set: false,
    };
    Some(Step {
        commit,
        added: 0,
        removed: 0,
        changed,
    })
}

/// The digest that `tag` is served with: the one just brought, else the present one while an election vouches for
/// it, else that of the first policy that knows one.
fn digest(
    elections: &[Election],
    tag: &str,
    brought: Option<&Digest>,
    present: Option<&Digest>,
) -> Option<Digest> {
    let mut known = elections
        .iter()
        .filter(|election| election.tag.as_str() == tag)
        .filter_map(|e| e.digest.as_ref());
    let first = known.clone().next();
    brought
        .or(present.filter(|present| known.any(|digest| digest == *present)))
        .or(first)
        .cloned()
}

/// The first tags of an object.
fn creation(scan: Scan, first: u64) -> Step {
    let seen = if scan.first {
        Seen::AtFirst
    } else {
        Seen::at(scan.time)
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
    };
    Step {
        commit,
        added,
        removed: 0,
        changed: 0,
    }
}

/// The first tags of another image.
fn replacement(held: &Arc<RepositoryTags>, scan: Scan, first: u64) -> Step {
    let removed = held.tag_count();
    let appeared = first + removed as u64;
    let table = fresh(&scan.tags, Seen::Unknown, appeared);
    let added = table.len() as usize;
    let after = moment(scan, table, appeared + added as u64);
    let before = Some(Arc::clone(held));
    let commit = Commit {
        first,
        before,
        after: Some(Arc::new(after)),
        touched: Touched::Replaced,
        set: true,
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
        first: _,
    } = scan;
    RepositoryTags {
        owner: Arc::new(owner),
        image,
        revision: revision.into(),
        scan_time: time,
        complete,
        version: ResourceVersion(version),
        table: Arc::new(table),
        marks: Arc::default(),
        elections: Arc::default(),
        aside: aside.into(),
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
        first: _,
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
    if same_owner && same_tags {
        after.version = ResourceVersion(first);
        let touched = Touched::Some(Box::default());
        let commit = Commit {
            first,
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
        seen: Seen::at(time),
        prune: complete,
        touch_all: !same_owner,
    };
    let merged = merge.with(&tags);
    check_count(&after.owner, merged.table.len() as usize)?;
    after.version = ResourceVersion(first + merged.touches.len() as u64);
    Ok(Some(merged.into_step(held, after, first, !same_owner)))
}

fn check_count(owner: &Owner, count: usize) -> Result<(), Error> {
    if count > MAX_TAGS {
        return Err(Error::TooManyTags {
            repository: owner.key.clone(),
            count,
            limit: MAX_TAGS,
        });
    }
    Ok(())
}

/// The walk along what is held and what was listed, side by side.
#[derive(Debug, Clone, Copy)]
struct Merge<'a> {
    held: &'a RepositoryTags,
    /// The version of the commit's first change.
    first: u64,
    /// When tags that appear were seen first.
    seen: Seen,
    /// Whether what is not listed vanishes.
    prune: bool,
    /// Whether tags change that stay.
    touch_all: bool,
}

/// What came of it.
#[derive(Debug)]
struct Merged {
    table: Table,
    marks: Vec<Mark>,
    touches: Vec<Touch>,
    added: usize,
    removed: usize,
    changed: usize,
}

impl Merge<'_> {
    /// Along the sorted names of `tags`.
    fn with(self, tags: &[Tag]) -> Merged {
        let mut next = Next {
            merge: self,
            builder: Builder::default(),
            origins: vec![None; self.held.table.origins().len()],
            appeared: None,
            merged: Merged::empty(),
        };
        let mut cursor = self.held.table.cursor();
        let mut marks = self.held.marks.iter().peekable();
        let mut tags = tags.iter().map(Tag::as_str).peekable();
        let mut is_held = cursor.advance();
        while is_held || tags.peek().is_some() {
            let order = match tags.peek() {
                Some(&tag) if is_held => cursor.name().cmp(tag),
                Some(_) => Ordering::Greater,
                None => Ordering::Less,
            };
            if order == Ordering::Greater {
                if let Some(tag) = tags.next() {
                    next.appear(tag);
                }
                continue;
            }
            let is_listed = order == Ordering::Equal && tags.next().is_some();
            let mark = marks.next_if(|mark| mark.index == cursor.index());
            if is_listed || !self.prune {
                next.stay(&cursor, mark);
            } else {
                next.vanish(&cursor);
            }
            is_held = cursor.advance();
        }
        next.finish()
    }
}

/// The next moment's table in the making.
struct Next<'a> {
    merge: Merge<'a>,
    builder: Builder,
    /// Where the held table's commits went: only those that tags still stem from are carried over.
    origins: Vec<Option<u32>>,
    /// This commit, once a tag stems from it.
    appeared: Option<u32>,
    merged: Merged,
}

impl Next<'_> {
    fn appear(&mut self, tag: &str) {
        let origin = match self.appeared {
            Some(origin) => origin,
            None => self
                .builder
                .add_origin(Origin::new(self.merge.first, self.merge.seen)),
        };
        self.appeared = Some(origin);
        let rank = u32::try_from(self.merged.touches.len())
            .expect("MAX_TAGS bounds what is held and what is listed");
        let index = self.builder.push(
            tag,
            Stamp {
                origin,
                rank,
                modified: 0,
            },
        );
        self.merged.touches.push(Touch::present(index));
        self.merged.added += 1;
    }

    fn vanish(&mut self, cursor: &Cursor<'_>) {
        self.merged.touches.push(Touch::gone(cursor.index()));
        self.merged.removed += 1;
    }

    fn stay(&mut self, cursor: &Cursor<'_>, mark: Option<&Mark>) {
        let mut stamp = carry(
            &mut self.builder,
            &mut self.origins,
            &self.merge.held.table,
            cursor.stamp(),
        );
        if let Some(mark) = mark {
            stamp.modified = mark.modified;
        }
        if self.merge.touch_all {
            stamp.modified = self.merge.first + self.merged.touches.len() as u64;
        }
        let index = self.builder.push(cursor.name(), stamp);
        if let Some(mark) = mark.filter(|mark| !mark.is_idle()) {
            self.merged.marks.push(Mark {
                index,
                modified: stamp.modified,
                ..mark.clone()
            });
        }
        if self.merge.touch_all {
            self.merged.touches.push(Touch::present(index));
            self.merged.changed += 1;
        }
    }

    fn finish(self) -> Merged {
        Merged {
            table: self.builder.finish(),
            ..self.merged
        }
    }
}

impl Merged {
    fn empty() -> Self {
        let table = Builder::default().finish();
        Self {
            table,
            marks: Vec::new(),
            touches: Vec::new(),
            added: 0,
            removed: 0,
            changed: 0,
        }
    }

    /// The commit that leads from `held` to `after` with these tags.
    fn into_step(
        self,
        held: &Arc<RepositoryTags>,
        mut after: RepositoryTags,
        first: u64,
        touch_all: bool,
    ) -> Step {
        let Self {
            table,
            marks,
            touches,
            added,
            removed,
            changed,
        } = self;
        if removed > 0 {
            after.elections = held
                .elections
                .iter()
                .filter(|e| table.find(e.tag.as_str()).is_some())
                .cloned()
                .collect();
        }
        after.table = Arc::new(table);
        after.marks = marks.into();
        let touched = if touch_all && added + removed == 0 {
            Touched::All
        } else {
            Touched::Some(touches.into())
        };
        let commit = Commit {
            first,
            before: Some(Arc::clone(held)),
            after: Some(Arc::new(after)),
            touched,
            set: true,
        };
        Step {
            commit,
            added,
            removed,
            changed,
        }
    }
}

/// The same table with the versions of idle marks in it.
fn fold_idle(table: &Table, marks: &[Mark]) -> Table {
    let mut builder = Builder::default();
    let mut origins = vec![None; table.origins().len()];
    let mut marks = marks.iter().peekable();
    let mut cursor = table.cursor();
    while cursor.advance() {
        let mut stamp = carry(&mut builder, &mut origins, table, cursor.stamp());
        if let Some(mark) = marks.next_if(|mark| mark.index == cursor.index()) {
            stamp.modified = mark.modified;
        }
        builder.push(cursor.name(), stamp);
    }
    builder.finish()
}

/// `stamp` of `table` as a stamp of the table in the making.
fn carry(builder: &mut Builder, origins: &mut [Option<u32>], table: &Table, stamp: Stamp) -> Stamp {
    let carried = origins
        .get_mut(stamp.origin as usize)
        .expect("one place per commit of the table");
    let origin = *carried.get_or_insert_with(|| builder.add_origin(table.origin(stamp)));
    Stamp { origin, ..stamp }
}
