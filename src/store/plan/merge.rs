//! The walk along what is held and what was listed, side by side, that writes the next table.

use std::cmp::Ordering;
use std::sync::Arc;

use super::super::history::{Commit, Touch, Touched};
use super::super::repository::Mark;
use super::super::table::{Builder, Cursor, Origin, Seen, Stamp, Table};
use super::super::{Election, RepositoryTags, ResourceVersion, Sorted, weight};
use super::Step;
use crate::image::Tag;

/// The walk along what is held and what was listed, side by side.
#[derive(Debug, Clone, Copy)]
pub(super) struct Merge<'a> {
    pub(super) held: &'a Arc<RepositoryTags>,
    /// The version of the commit's first change.
    pub(super) first: u64,
    /// When tags that appear were seen first.
    pub(super) seen: Seen,
    /// Whether what is not listed vanishes.
    pub(super) prune: bool,
    /// Whether tags change that stay.
    pub(super) touch_all: bool,
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
    /// The commit that leads to `after`, once that has its tags: those of the sorted `tags`, and what is kept of the held ones.
    pub(super) fn step(self, tags: &[Tag], mut after: RepositoryTags) -> Step {
        let Merged {
            table,
            marks,
            touches,
            added,
            removed,
            changed,
        } = self.along(tags);
        if removed > 0 {
            let is_kept = |election: &&Election| table.find(election.tag.as_str()).is_some();
            after.elections = after.elections.iter().filter(is_kept).cloned().collect();
        }
        after.version = ResourceVersion(self.first + touches.len() as u64);
        after.table = Arc::new(table);
        after.marks = marks.into_iter().collect();
        after.idle = 0;
        let touched = if self.touch_all && added + removed == 0 {
            Touched::All
        } else {
            Touched::Some(touches.into())
        };
        let replaced = weight::replaced(self.held, &after);
        let (before, after) = (Some(Arc::clone(self.held)), Some(Arc::new(after)));
        let commit = Commit {
            first: self.first,
            replaced,
            before,
            after,
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

    fn along(self, tags: &[Tag]) -> Merged {
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
}

/// The same table with the versions of idle marks in it.
pub(super) fn fold_idle(table: &Table, marks: &Sorted<Mark>) -> Table {
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
