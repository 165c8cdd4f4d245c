//! What the store tells, as text: objects in snapshots, changes, and somebody who follows them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::super::{
    Change, Expired, RepositoryTags, ResourceVersion, Snapshot, Store, TagEntry,
};
use super::rules::{set_content, tag_content};
use crate::image::Tag;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Told {
    pub(super) name: String,
    pub(super) content: String,
    pub(super) version: u64,
    /// 0 for sets.
    pub(super) incarnation: u64,
}

fn told_tag(repository: &RepositoryTags, entry: &TagEntry) -> Told {
    Told {
        name: format!("{}:{}", repository.owner().key, entry.tag),
        content: tag_content(
            repository.owner(),
            &repository.image().to_string(),
            entry.first_seen,
            entry.digest.as_ref(),
            &entry.selected_by,
        ),
        version: entry.resource_version.0,
        incarnation: entry.incarnation,
    }
}

fn told_set(tags: &RepositoryTags) -> Told {
    let text = |tag: &Tag| tag.to_string();
    let aside: Vec<_> = tags.aside().iter().map(text).collect();
    let listed: Vec<_> = tags
        .entries_after(None)
        .map(|e| e.tag.to_string())
        .collect();
    Told {
        name: tags.owner().key.to_string(),
        content: set_content(
            tags.owner(),
            &tags.image().to_string(),
            tags.revision(),
            tags.is_complete(),
            tags.scan_time(),
            &aside,
            &listed,
        ),
        version: tags.resource_version().0,
        incarnation: 0,
    }
}

pub(super) fn told_world(snapshot: &Snapshot) -> BTreeMap<String, Told> {
    let mut world = BTreeMap::new();
    for tags in snapshot.repositories() {
        let told = tags
            .entries_after(None)
            .map(|entry| told_tag(&tags, &entry))
            .chain([told_set(&tags)]);
        world.extend(told.map(|told| (told.name.clone(), told)));
    }
    world
}

/// Name, before, after, version.
pub(super) fn told_change(change: &Change) -> (String, Option<Told>, Option<Told>, u64) {
    match change {
        Change::Tag {
            resource_version,
            repository,
            previous,
            before,
            after,
        } => {
            let name = format!(
                "{}:{}",
                repository.owner().key,
                after.as_ref().or(before.as_ref()).unwrap().tag
            );
            let before = before
                .as_ref()
                .map(|entry| told_tag(previous.as_ref().unwrap(), entry));
            (
                name,
                before,
                after.as_ref().map(|entry| told_tag(repository, entry)),
                resource_version.0,
            )
        }
        Change::Set {
            resource_version,
            before,
            after,
        } => {
            let name = after
                .as_ref()
                .or(before.as_ref())
                .unwrap()
                .owner()
                .key
                .to_string();
            let told =
                |tags: &Option<Arc<RepositoryTags>>| tags.as_ref().map(|tags| told_set(tags));
            (name, told(before), told(after), resource_version.0)
        }
    }
}

/// Who follows the store by list and watch.
pub(super) struct Watcher {
    pub(super) position: ResourceVersion,
    pub(super) world: BTreeMap<String, Told>,
}

impl Watcher {
    pub(super) fn list(store: &Store) -> Self {
        let snapshot = store.snapshot();
        Self {
            position: snapshot.resource_version(),
            world: told_world(&snapshot),
        }
    }

    pub(super) fn pull(&mut self, store: &Store, limit: usize) -> Result<usize, Expired> {
        let changes = store.changes_after(self.position, limit)?;
        assert!(changes.len() <= limit);
        for change in &changes {
            let (name, before, after, version) = told_change(change);
            assert_eq!(version, self.position.0 + 1, "no version is skipped");
            assert_eq!(
                self.world.get(&name),
                before.as_ref(),
                "{name} before {version}"
            );
            match after {
                Some(after) => {
                    assert_eq!(after.version, version);
                    self.world.insert(name, after);
                }
                None => drop(self.world.remove(&name).unwrap()),
            }
            self.position = change.resource_version();
        }
        Ok(changes.len())
    }
}
