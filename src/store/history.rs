//! The last commits, from which slow readers catch up.
//!
//! A commit is kept as the moments before and after it (which share most of their memory) and a list of
//! the entries that it touched; the changes themselves are made when somebody asks. Bounded by count and
//! by bytes. It is copied with every commit, so it is cut in chunks that the copies share.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::ops::Range;
use std::sync::Arc;

use super::follow::{Objects, Scope};
use super::{Change, Expired, RepositoryTags, ResourceVersion};
use crate::object::Key;

/// Commits per chunk: what one commit copies, twice at most.
const CHUNK: usize = 256;

/// Marks the index of a [`Touch`] as one of the moment before: the tag is gone.
const GONE: u32 = 1 << 31;

/// How much history is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// At most this many commits.
    pub commits: usize,
    /// At most this many bytes of tags that are held for the history alone; one commit is always kept.
    pub bytes: usize,
}

/// 131,072 commits (a thousand a second: two minutes; a thousand repositories that change once a minute: two hours), and
/// 64 MiB, which come first where commits are large.
impl Default for Limits {
    fn default() -> Self {
        Self {
            commits: 1 << 17,
            bytes: 64 << 20,
        }
    }
}

/// One entry that a commit touched.
#[derive(Debug, Clone, Copy)]
pub(super) struct Touch(u32);

impl Touch {
    /// It is at `index` of the moment after.
    pub(super) fn present(index: u32) -> Self {
        Self(index)
    }

    /// It was at `index` of the moment before, and is gone.
    pub(super) fn gone(index: u32) -> Self {
        Self(index | GONE)
    }
}

/// Which entries a commit touched, in the order of their versions.
#[derive(Debug)]
pub(super) enum Touched {
    /// Every entry there is before or after; where it is both, they are the same names.
    All,
    /// Every entry before vanished, then every entry after appeared.
    Replaced,
    /// These.
    Some(Box<[Touch]>),
}

/// A repository's moments before and after a commit that changed its TagSet.
pub type SetChange = (Option<Arc<RepositoryTags>>, Option<Arc<RepositoryTags>>);

/// Repositories, and what they were before; `None` when they were not there.
pub(super) type Undone<'a> = Vec<(&'a Key, Option<&'a Arc<RepositoryTags>>)>;

/// One commit: its changes have consecutive versions, tags first, the TagSet last.
#[derive(Debug)]
pub(super) struct Commit {
    /// The version of its first change.
    pub(super) first: u64,
    pub(super) before: Option<Arc<RepositoryTags>>,
    pub(super) after: Option<Arc<RepositoryTags>>,
    pub(super) touched: Touched,
    /// Whether the TagSet changed.
    pub(super) set: bool,
    /// How many bytes of the moment before the moment after does not share: what is held because of this commit.
    pub(super) replaced: usize,
}

impl Commit {
    /// How many changes it is.
    pub(super) fn len(&self) -> u64 {
        self.touched_len() + u64::from(self.set)
    }

    /// The version of its last change.
    fn last(&self) -> u64 {
        self.first + self.len() - 1
    }

    /// The repository that it is about.
    pub(super) fn key(&self) -> &Key {
        let tags = self.after.as_ref().or(self.before.as_ref());
        &tags
            .expect("a commit is about a repository that is there before or after it")
            .owner
            .key
    }

    /// The ranks of its changes of `objects` after `position`.
    pub(super) fn ranks(&self, objects: Objects, position: u64) -> Range<u64> {
        let (start, end) = match objects {
            Objects::Tags => (0, self.touched_len()),
            Objects::Sets => (self.touched_len(), self.len()),
        };
        start.max((position + 1).saturating_sub(self.first))..end
    }

    /// The change of rank `rank`, which it has.
    pub(super) fn built(&self, rank: u64) -> Change {
        self.change(rank)
            .expect("a commit touches entries of its own moments")
    }

    pub(super) fn touched_len(&self) -> u64 {
        let count = |tags: &Option<Arc<RepositoryTags>>| {
            tags.as_ref().map_or(0, |tags| tags.tag_count() as u64)
        };
        match &self.touched {
            Touched::All => count(&self.after).max(count(&self.before)),
            Touched::Replaced => count(&self.before) + count(&self.after),
            Touched::Some(touches) => touches.len() as u64,
        }
    }

    /// The change of rank `rank`.
    fn change(&self, rank: u64) -> Option<Change> {
        let resource_version = ResourceVersion(self.first + rank);
        if rank >= self.touched_len() {
            let (before, after) = (self.before.clone(), self.after.clone());
            return (rank < self.len()).then_some(Change::Set {
                resource_version,
                before,
                after,
            });
        }
        let rank = u32::try_from(rank).ok()?;
        let (before, after) = (self.before.as_ref(), self.after.as_ref());
        let entry =
            |tags: Option<&Arc<RepositoryTags>>, index| tags.and_then(|tags| tags.entry_at(index));
        let (before, after) = match &self.touched {
            Touched::All => (entry(before, rank), entry(after, rank)),
            Touched::Replaced => {
                let gone = before.map_or(0, |tags| tags.table.len());
                match rank.checked_sub(gone) {
                    None => (entry(before, rank), None),
                    Some(rank) => (None, entry(after, rank)),
                }
            }
            Touched::Some(touches) => match touches.get(rank as usize)?.0 {
                gone if gone & GONE != 0 => (entry(before, gone & !GONE), None),
                index => {
                    let entry = entry(after, index);
                    let name = entry.as_ref().map(|entry| entry.tag.as_str());
                    (
                        before.zip(name).and_then(|(tags, name)| tags.tag(name)),
                        entry,
                    )
                }
            },
        };
        let repository = Arc::clone(self.after.as_ref().or(self.before.as_ref())?);
        Some(Change::Tag {
            resource_version,
            repository,
            previous: self.before.clone(),
            before,
            after,
        })
    }

    /// The bytes that are held because of this commit: what it replaced.
    fn held_bytes(&self) -> usize {
        let touches = match &self.touched {
            Touched::All | Touched::Replaced => 0,
            Touched::Some(touches) => size_of_val(&**touches),
        };
        size_of::<Self>() + touches + self.replaced
    }
}

/// A commit, with what tells at a glance that it is about another repository.
#[derive(Debug, Clone)]
struct Kept {
    glance: Glance,
    commit: Arc<Commit>,
}

/// Hashes of a namespace and of a repository's key.
#[derive(Debug, Clone, Copy)]
struct Glance {
    namespace: u32,
    repository: u32,
}

impl Glance {
    fn of(key: &Key) -> Self {
        Self {
            namespace: hash(&key.namespace),
            repository: hash(key),
        }
    }

    /// Whether a commit with the glance `self` may be in `scope`, whose own is `sought`.
    fn may_be_in(self, scope: &Scope, sought: Self) -> bool {
        match scope {
            Scope::Everything => true,
            Scope::Namespace(_) => self.namespace == sought.namespace,
            Scope::Repository(_) => self.repository == sought.repository,
        }
    }
}

fn hash(value: &impl Hash) -> u32 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    // Half of it tells enough apart.
    (hasher.finish() >> 32) as u32
}

/// The bounded past. Cloning it copies no commit.
#[derive(Debug, Clone)]
pub(super) struct History {
    /// The version of the newest change that is not known any more.
    floor: u64,
    /// Oldest first; none is empty.
    chunks: Vec<Arc<Vec<Kept>>>,
    commits: usize,
    bytes: usize,
}

impl History {
    /// Nothing is known of what came up to `floor`.
    pub(super) fn starting_at(floor: u64) -> Self {
        Self {
            floor,
            chunks: Vec::new(),
            commits: 0,
            bytes: 0,
        }
    }

    /// Appends `commit`, which has at least one change, and forgets the oldest beyond `limits`.
    pub(super) fn push(&mut self, commit: Commit, limits: &Limits) {
        self.bytes += commit.held_bytes();
        self.commits += 1;
        let commit = Kept {
            glance: Glance::of(commit.key()),
            commit: Arc::new(commit),
        };
        match self.chunks.last_mut().filter(|chunk| chunk.len() < CHUNK) {
            Some(chunk) => Arc::make_mut(chunk).push(commit),
            None => self.chunks.push(Arc::new(vec![commit])),
        }
        while self.commits > 1 && (self.commits > limits.commits || self.bytes > limits.bytes) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some(chunk) = self.chunks.first_mut() else {
            return;
        };
        let commit = Arc::make_mut(chunk).remove(0).commit;
        if chunk.is_empty() {
            self.chunks.remove(0);
        }
        self.floor = commit.last();
        self.commits -= 1;
        self.bytes -= commit.held_bytes();
    }

    /// At most `limit` changes after `position`, of those up to `newest`.
    pub(super) fn after(
        &self,
        position: ResourceVersion,
        newest: u64,
        limit: usize,
    ) -> Result<Vec<Change>, Expired> {
        let changes = self.commits_after(position, newest)?.flat_map(|commit| {
            let from = (position.0 + 1).saturating_sub(commit.first);
            (from..commit.len()).map(|rank| commit.built(rank))
        });
        Ok(changes.take(limit).collect())
    }

    /// At most `limit` of the sets that changed after `position`, and the position behind what was looked at. Does
    /// nothing for the tags in them, which are many more.
    pub(super) fn sets_after(
        &self,
        position: ResourceVersion,
        newest: u64,
        limit: usize,
    ) -> Result<(Vec<SetChange>, ResourceVersion), Expired> {
        let (mut sets, mut end) = (Vec::new(), position);
        for commit in self.commits_after(position, newest)? {
            if sets.len() == limit {
                break;
            }
            end = ResourceVersion(commit.last());
            if commit.set {
                sets.push((commit.before.clone(), commit.after.clone()));
            }
        }
        Ok((sets, end))
    }

    /// What the repositories that changed after `position` were then. `None` when that is not known, or when `position`
    /// is in the middle of a commit, where no state ever was.
    pub(super) fn undone(&self, position: ResourceVersion, newest: u64) -> Option<Undone<'_>> {
        let mut commits = self.commits_after(position, newest).ok()?.peekable();
        if commits.peek()?.first != position.0 + 1 {
            return None;
        }
        let mut seen = HashSet::new();
        let mut undone = Vec::new();
        for commit in commits {
            let Some(tags) = commit.before.as_ref().or(commit.after.as_ref()) else {
                continue;
            };
            let key = &tags.owner.key;
            // The first commit is the one that knows what was before.
            if seen.insert(key) {
                undone.push((key, commit.before.as_ref()));
            }
        }
        Some(undone)
    }

    /// The commits in `scope` that have changes after `position`.
    pub(super) fn of<'a>(
        &'a self,
        scope: &'a Scope,
        position: ResourceVersion,
        newest: u64,
    ) -> Result<impl Iterator<Item = &'a Commit>, Expired> {
        let sought = match scope {
            Scope::Everything => Glance {
                namespace: 0,
                repository: 0,
            },
            Scope::Namespace(namespace) => Glance {
                namespace: hash(namespace),
                repository: 0,
            },
            Scope::Repository(key) => Glance::of(key),
        };
        let kept = self.kept_after(position, newest)?;
        Ok(kept
            .filter(move |kept| kept.glance.may_be_in(scope, sought))
            .map(|kept| &*kept.commit)
            .filter(|commit| scope.contains(commit.key())))
    }

    /// The commits that have changes after `position`.
    fn commits_after(
        &self,
        position: ResourceVersion,
        newest: u64,
    ) -> Result<impl Iterator<Item = &Commit>, Expired> {
        Ok(self.kept_after(position, newest)?.map(|kept| &*kept.commit))
    }

    fn kept_after(
        &self,
        position: ResourceVersion,
        newest: u64,
    ) -> Result<impl Iterator<Item = &Kept>, Expired> {
        if position.0 < self.floor || position.0 > newest {
            return Err(Expired {
                asked: position,
                oldest: ResourceVersion(self.floor),
            });
        }
        let is_past = move |kept: &Kept| kept.commit.last() <= position.0;
        let first_chunk = self
            .chunks
            .partition_point(|chunk| chunk.last().is_some_and(is_past));
        let (first, rest) = self
            .chunks
            .get(first_chunk..)
            .and_then(<[_]>::split_first)
            .map_or((&[][..], &[][..]), |(first, rest)| (&first[..], rest));
        let past = first.partition_point(is_past);
        let first = first.get(past..).unwrap_or_default();
        Ok(first
            .iter()
            .chain(rest.iter().flat_map(|chunk| chunk.iter())))
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.bytes
    }
}
