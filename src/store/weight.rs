//! How many bytes of memory a repository's tags take: counted from what is there, because an allocator that
//! counts is for tests. `tests/memory` holds the two together.

use super::repository::Mark;
use super::table::Table;
use super::{Election, Owner, RepositoryTags};
use crate::image::{Digest, Tag};
use crate::object::Key;

/// How many entries a node of the standard library's map has room for.
const MAP_NODE: usize = 11;

/// Heap bytes of one moment, what it shares with other moments included.
pub(super) fn of(tags: &RepositoryTags) -> usize {
    let RepositoryTags {
        owner: facts,
        image,
        revision,
        scan_time: _,
        complete: _,
        version: _,
        table,
        marks,
        idle: _,
        elections,
        aside,
        refound: _,
    } = tags;
    shared(size_of::<RepositoryTags>())
        + owner(facts)
        + shared(image.registry().as_str().len())
        + shared(image.path().len())
        + shared(revision.len())
        + shared(size_of::<Table>())
        + table.heap_bytes()
        + marks.heap_bytes(mark)
        + elections.heap_bytes(election)
        + slice(aside, |aside| size_of::<Tag>() + tag(aside))
}

/// What of `before` is not in `after`, which came of it by another commit than an election.
pub(super) fn replaced(before: &RepositoryTags, after: &RepositoryTags) -> usize {
    let mut kept = 0;
    if before.shares_tags_with(after) {
        kept += before.table.heap_bytes();
    }
    if before.marks.is_shared_with(&after.marks) {
        kept += before.marks.heap_bytes(mark);
    }
    if before.elections.is_shared_with(&after.elections) {
        kept += before.elections.heap_bytes(election);
    }
    of(before).saturating_sub(kept)
}

/// What of `before` another election of `policy` replaces, the marks aside.
pub(super) fn of_election(before: &RepositoryTags, policy: &Key) -> usize {
    shared(size_of::<RepositoryTags>())
        + before.elections.path_bytes(policy)
        + before.elections.get(policy).map_or(0, election)
}

/// What of `before` a change of this mark replaces, where `policy` is or was one of its electors.
pub(super) fn of_mark(before: &RepositoryTags, index: u32, policy: &Key) -> usize {
    let electors = before.marks.get(&index).map(|mark| &mark.selected_by);
    before.marks.path_bytes(&index) + electors.map_or(0, |electors| electors.path_bytes(policy))
}

/// Heap bytes of a mark; its policies' names are counted with their elections.
fn mark(mark: &Mark) -> usize {
    mark.digest.as_ref().map_or(0, digest) + mark.selected_by.heap_bytes(|_| 0)
}

fn election(election: &Election) -> usize {
    let digest = election.digest.as_ref().map_or(0, digest);
    let pushed = election.pushed.as_ref();
    let pushed = pushed.map_or(0, |new| self::digest(&new.digest));
    key(&election.policy) + tag(&election.tag) + digest + pushed
}

fn owner(owner: &Owner) -> usize {
    let Owner {
        key: name,
        uid,
        created: _,
        labels,
    } = owner;
    let nodes = labels.len().div_ceil(MAP_NODE) * MAP_NODE * 2 * size_of::<String>();
    let texts: usize = labels
        .iter()
        .map(|(label, value)| label.len() + value.len())
        .sum();
    shared(size_of::<Owner>()) + key(name) + uid.len() + nodes + texts
}

fn key(key: &Key) -> usize {
    shared(key.namespace.len()) + shared(key.name.len())
}

fn tag(tag: &Tag) -> usize {
    shared(tag.as_str().len())
}

fn digest(digest: &Digest) -> usize {
    shared(digest.as_str().len())
}

/// A shared slice; an empty one is nobody's own.
fn slice<T>(items: &[T], weigh: impl Fn(&T) -> usize) -> usize {
    if items.is_empty() {
        0
    } else {
        shared(items.iter().map(weigh).sum())
    }
}

/// An `Arc` of `size` bytes: two counters, and whole words.
fn shared(size: usize) -> usize {
    (2 * size_of::<usize>() + size).next_multiple_of(size_of::<usize>())
}
