//! The content of a snapshot: repositories in listing order, in chunks that one moment shares with the next.
//!
//! A commit copies the list of chunks and one chunk, so that neither a commit nor a snapshot that is kept costs what
//! the store holds. What is in which place is asked with two bisections; counts are kept per chunk.

use std::cmp::Ordering;
use std::iter::once;
use std::sync::Arc;

use super::super::{RepositoryTags, weight};
use crate::object::Key;

/// Repositories per chunk at most: what a commit copies.
const CHUNK: usize = 128;

/// The content of a [`Snapshot`](super::Snapshot).
#[derive(Debug, Clone)]
pub(in super::super) struct World {
    pub(in super::super) version: u64,
    /// In listing order; none is empty.
    chunks: Vec<Arc<Chunk>>,
    pub(super) tags: usize,
}

#[derive(Debug, Clone)]
struct Chunk {
    repositories: Vec<Arc<RepositoryTags>>,
    tags: usize,
}

impl World {
    pub(in super::super) fn new(version: u64, mut repositories: Vec<Arc<RepositoryTags>>) -> Self {
        repositories.sort_by(|a, b| listing_order(&a.owner.key, &b.owner.key));
        let chunks: Vec<_> = repositories
            .chunks(CHUNK / 2)
            .map(|some| Arc::new(Chunk::of(some.to_vec())))
            .collect();
        Self {
            version,
            tags: chunks.iter().map(|chunk| chunk.tags).sum(),
            chunks,
        }
    }

    pub(in super::super) fn get(&self, key: &Key) -> Option<&Arc<RepositoryTags>> {
        let chunk = self.chunks.get(self.chunk_of(key))?;
        chunk.repositories.get(chunk.find(key).ok()?)
    }

    /// The world after `key`'s tags became `after`.
    pub(in super::super) fn with(
        &self,
        version: u64,
        key: &Key,
        after: Option<Arc<RepositoryTags>>,
    ) -> Self {
        let mut next = Self {
            version,
            ..self.clone()
        };
        next.set(key, after);
        next
    }

    /// Makes `key`'s tags `after`.
    pub(in super::super) fn set(&mut self, key: &Key, after: Option<Arc<RepositoryTags>>) {
        let at = self.chunk_of(key);
        let Some(chunk) = self.chunks.get_mut(at) else {
            if let Some(first) = after {
                let first = Chunk::of(vec![first]);
                self.tags += first.tags;
                self.chunks.push(Arc::new(first));
            }
            return;
        };
        let chunk = Arc::make_mut(chunk);
        self.tags -= chunk.tags;
        chunk.set(key, after);
        self.tags += chunk.tags;
        let len = chunk.repositories.len();
        if len > CHUNK {
            let upper = Chunk::of(chunk.repositories.split_off(len / 2));
            chunk.tags -= upper.tags;
            self.chunks.insert(at + 1, Arc::new(upper));
        } else if len == 0 {
            self.chunks.remove(at);
        }
    }

    pub(in super::super) fn heap_bytes(&self) -> usize {
        let all = self
            .chunks
            .iter()
            .flat_map(|chunk| &chunk.repositories)
            .map(|tags| size_of::<Arc<RepositoryTags>>() + weight::of(tags));
        self.chunks.len() * (size_of::<Arc<Chunk>>() + Chunk::OWN_BYTES) + all.sum::<usize>()
    }

    /// The bytes that are here and not in `other`. Looks only into chunks that the two do not share.
    pub(super) fn bytes_beside(&self, other: &Self) -> usize {
        let mut bytes = size_of::<Self>() + self.chunks.len() * size_of::<Arc<Chunk>>();
        for chunk in &self.chunks {
            let is_shared = chunk.first().is_some_and(|first| {
                let same = other.chunks.get(other.chunk_of(&first.owner.key));
                same.is_some_and(|same| Arc::ptr_eq(same, chunk))
            });
            if is_shared {
                continue;
            }
            bytes += Chunk::OWN_BYTES;
            for tags in &chunk.repositories {
                bytes += size_of::<Arc<RepositoryTags>>();
                bytes += match other.get(&tags.owner.key) {
                    Some(same) if Arc::ptr_eq(same, tags) => 0,
                    Some(same) if Arc::ptr_eq(&same.table, &tags.table) => {
                        weight::of(tags).saturating_sub(tags.table.heap_bytes())
                    }
                    Some(_) | None => weight::of(tags),
                };
            }
        }
        bytes
    }

    /// Chunk and place in it of the first repository that does not come `before`.
    pub(super) fn partition(&self, before: impl Fn(&Key) -> bool) -> (usize, usize) {
        let is_before = |tags: &Arc<RepositoryTags>| before(&tags.owner.key);
        let chunk = self
            .chunks
            .partition_point(|chunk| chunk.repositories.last().is_some_and(is_before));
        let at = self
            .chunks
            .get(chunk)
            .map_or(0, |chunk| chunk.repositories.partition_point(is_before));
        (chunk, at)
    }

    pub(super) fn at(&self, chunk: usize, at: usize) -> Option<&Arc<RepositoryTags>> {
        self.chunks.get(chunk)?.repositories.get(at)
    }

    pub(super) fn starting_at(
        &self,
        chunk: usize,
        at: usize,
    ) -> impl Iterator<Item = &Arc<RepositoryTags>> {
        self.chunks
            .iter()
            .skip(chunk)
            .flat_map(|chunk| &chunk.repositories)
            .skip(at)
    }

    pub(super) fn tags_before(&self, chunk: usize, at: usize) -> usize {
        let whole: usize = self.chunks.iter().take(chunk).map(|chunk| chunk.tags).sum();
        let last = self.chunks.get(chunk).into_iter();
        let part = last.flat_map(|chunk| chunk.repositories.iter().take(at));
        whole + part.map(|tags| tags.tag_count()).sum::<usize>()
    }

    /// The chunk that `key` is in, or would be put into.
    fn chunk_of(&self, key: &Key) -> usize {
        let behind = self.chunks.partition_point(|chunk| {
            chunk
                .first()
                .is_some_and(|first| listing_order(&first.owner.key, key).is_le())
        });
        behind.saturating_sub(1)
    }
}

impl Chunk {
    /// What a chunk takes beside its repositories' pointers.
    const OWN_BYTES: usize = size_of::<Self>() + 2 * size_of::<usize>();

    fn of(repositories: Vec<Arc<RepositoryTags>>) -> Self {
        let tags = repositories.iter().map(|tags| tags.tag_count()).sum();
        Self { repositories, tags }
    }

    fn first(&self) -> Option<&Arc<RepositoryTags>> {
        self.repositories.first()
    }

    fn set(&mut self, key: &Key, after: Option<Arc<RepositoryTags>>) {
        self.tags += after.as_ref().map_or(0, |tags| tags.tag_count());
        match (self.find(key), after) {
            (Ok(at), after) => {
                let replaced = self.repositories.splice(at..=at, after);
                self.tags -= replaced.map(|tags| tags.tag_count()).sum::<usize>();
            }
            (Err(at), Some(after)) => self.repositories.insert(at, after),
            (Err(_), None) => {}
        }
    }

    fn find(&self, key: &Key) -> Result<usize, usize> {
        self.repositories
            .binary_search_by(|tags| listing_order(&tags.owner.key, key))
    }
}

/// The order in which kube-apiserver lists the ImageTags of two repositories.
fn listing_order(a: &Key, b: &Key) -> Ordering {
    let by_name = || {
        a.name
            .bytes()
            .chain(once(b':'))
            .cmp(b.name.bytes().chain(once(b':')))
    };
    a.namespace.cmp(&b.namespace).then_with(by_name)
}

#[cfg(test)]
mod tests;
