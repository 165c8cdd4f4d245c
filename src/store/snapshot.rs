//! Everything the store holds, at one moment.

mod world;

pub(super) use world::World;

use std::sync::Arc;

use super::{RepositoryTags, ResourceVersion};
use crate::object::Key;

/// Everything, at one resourceVersion. Cheap to clone and to hold: it keeps alive what it shows, and no history.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub(super) world: Arc<World>,
}

/// A place in the listing order of one snapshot: before a repository, or behind the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Spot {
    chunk: usize,
    at: usize,
}

impl Snapshot {
    /// The newest change it contains.
    pub fn resource_version(&self) -> ResourceVersion {
        ResourceVersion(self.world.version)
    }

    /// The tags of the ImageRepository `key`.
    pub fn repository(&self, key: &Key) -> Option<Arc<RepositoryTags>> {
        self.world.get(key).cloned()
    }

    /// In the order in which kube-apiserver would list their ImageTags: by namespace, then by `name + ":"`
    /// (`a-b:1` sorts before `a:1`).
    pub fn repositories(&self) -> Box<dyn Iterator<Item = Arc<RepositoryTags>> + Send + '_> {
        Box::new(self.starting_at(Spot::default()).cloned())
    }

    /// Those of one namespace, same order.
    pub fn repositories_in<'a>(
        &'a self,
        namespace: &'a str,
    ) -> Box<dyn Iterator<Item = Arc<RepositoryTags>> + Send + 'a> {
        let first = self.spot(|key| *key.namespace < *namespace);
        let inside = self
            .starting_at(first)
            .take_while(move |tags| *tags.owner.key.namespace == *namespace);
        Box::new(inside.cloned())
    }

    /// How many tags there are in all.
    pub fn tag_count(&self) -> usize {
        self.world.tags
    }

    /// Before the first repository that does not come `before`, which must hold for a beginning of the listing order.
    pub fn spot(&self, before: impl Fn(&Key) -> bool) -> Spot {
        let (chunk, at) = self.world.partition(before);
        Spot { chunk, at }
    }

    /// Behind the last repository.
    pub fn end(&self) -> Spot {
        self.spot(|_| true)
    }

    /// The repository behind `spot`.
    pub fn at(&self, spot: Spot) -> Option<&Arc<RepositoryTags>> {
        self.world.at(spot.chunk, spot.at)
    }

    /// The place behind the repository that is behind `spot`.
    #[must_use]
    pub fn after(&self, spot: Spot) -> Spot {
        let Spot { chunk, at } = spot;
        if self.world.at(chunk, at + 1).is_some() {
            Spot { chunk, at: at + 1 }
        } else {
            Spot {
                chunk: chunk + 1,
                at: 0,
            }
        }
    }

    /// How many tags the repositories before `spot` have. Does not look at each of them.
    pub fn tags_before(&self, spot: Spot) -> usize {
        self.world.tags_before(spot.chunk, spot.at)
    }

    /// The bytes that this snapshot alone would keep in memory when `other` is held anyway.
    pub fn bytes_beside(&self, other: &Self) -> usize {
        self.world.bytes_beside(&other.world)
    }

    fn starting_at(&self, spot: Spot) -> impl Iterator<Item = &Arc<RepositoryTags>> {
        self.world.starting_at(spot.chunk, spot.at)
    }
}
