//! Everything the store holds, at one moment.

use std::cmp::Ordering;
use std::iter::once;
use std::sync::Arc;

use super::{RepositoryTags, ResourceVersion, weight};
use crate::object::Key;

/// Everything, at one resourceVersion. Cheap to clone and to hold: it keeps alive what it shows, and no history.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub(super) world: Arc<World>,
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
        Box::new(self.world.repositories.iter().cloned())
    }

    /// Those of one namespace, same order.
    pub fn repositories_in<'a>(
        &'a self,
        namespace: &'a str,
    ) -> Box<dyn Iterator<Item = Arc<RepositoryTags>> + Send + 'a> {
        let all = &self.world.repositories;
        let first = all.partition_point(|tags| *tags.owner.key.namespace < *namespace);
        let inside = all
            .iter()
            .skip(first)
            .take_while(move |tags| *tags.owner.key.namespace == *namespace);
        Box::new(inside.cloned())
    }

    /// How many tags there are in all.
    pub fn tag_count(&self) -> usize {
        self.world.tags
    }
}

/// The content of a [`Snapshot`].
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) version: u64,
    /// In listing order.
    repositories: Vec<Arc<RepositoryTags>>,
    tags: usize,
}

impl World {
    pub(super) fn new(version: u64, mut repositories: Vec<Arc<RepositoryTags>>) -> Self {
        repositories.sort_by(|a, b| listing_order(&a.owner.key, &b.owner.key));
        let tags = repositories.iter().map(|tags| tags.tag_count()).sum();
        Self {
            version,
            repositories,
            tags,
        }
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Arc<RepositoryTags>> {
        self.repositories.get(self.find(key).ok()?)
    }

    /// The world after `key`'s tags became `after`.
    pub(super) fn with(&self, version: u64, key: &Key, after: Option<Arc<RepositoryTags>>) -> Self {
        let mut next = Self {
            version,
            ..self.clone()
        };
        next.tags += after.as_ref().map_or(0, |tags| tags.tag_count());
        next.tags -= self.get(key).map_or(0, |tags| tags.tag_count());
        match (self.find(key), after) {
            (Ok(at), after) => drop(next.repositories.splice(at..=at, after)),
            (Err(at), Some(after)) => next.repositories.insert(at, after),
            (Err(_), None) => {}
        }
        next
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.repositories
            .iter()
            .map(|tags| size_of::<Arc<RepositoryTags>>() + weight::of(tags))
            .sum()
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_longer_name_comes_before_its_own_beginning() {
        let order = |a: &str, b: &str| listing_order(&Key::new("n", a), &Key::new("n", b));
        assert_eq!(order("a-b", "a"), Ordering::Less);
        assert_eq!(order("a.b", "a"), Ordering::Less);
        assert_eq!(order("a1", "a"), Ordering::Less);
        assert_eq!(order("ab", "a"), Ordering::Greater);
        assert_eq!(order("a", "a"), Ordering::Equal);
        assert_eq!(
            listing_order(&Key::new("m", "z"), &Key::new("n", "a")),
            Ordering::Less
        );
    }

    proptest! {
        #[test]
        fn repositories_are_ordered_as_the_names_of_their_tags(a in "[a-c0-1.-]{1,5}", b in "[a-c0-1.-]{1,5}", tag in "[a-z0-9_.-]{1,3}") {
            prop_assume!(a != b);
            let names = format!("{a}:{tag}").cmp(&format!("{b}:{tag}"));
            prop_assert_eq!(listing_order(&Key::new("n", a), &Key::new("n", b)), names);
        }
    }
}
