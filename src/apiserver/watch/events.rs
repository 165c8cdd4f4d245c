//! What a change is to one watcher: an object may come into sight or go out of it without being made or deleted.

use std::sync::Arc;

use super::former::former;
use super::frames::Frames;
use crate::apiserver::kind::Kind;
use crate::apiserver::object::{Origin, View};
use crate::apiserver::selector::Selection;
use crate::object::Key;
use crate::store::{Change, RepositoryTags, ResourceVersion, Store};

/// One watcher's view on changes.
#[derive(Debug)]
pub(super) struct Transitions {
    kind: Kind,
    namespace: Option<String>,
    selection: Selection,
    /// The last repository that was prepared: changes come in runs.
    prepared: Option<Prepared>,
}

#[derive(Debug)]
struct Prepared {
    after: Origin,
    /// Looked up only for tags that were there before.
    before: Option<Former>,
}

#[derive(Debug)]
enum Former {
    /// What the tags share has not changed.
    Same,
    Other(Origin),
}

impl Prepared {
    fn before(
        &mut self,
        find: impl FnOnce(&Arc<RepositoryTags>) -> Option<Arc<RepositoryTags>>,
    ) -> &Origin {
        let Self { after, before } = self;
        let former = before.get_or_insert_with(|| match find(after.tags()) {
            None => Former::Same,
            Some(tags) => Former::Other(Origin::new(tags)),
        });
        match former {
            Former::Same => after,
            Former::Other(origin) => origin,
        }
    }
}

impl Transitions {
    pub(super) fn new(kind: Kind, namespace: Option<&str>, selection: Selection) -> Self {
        Self {
            kind,
            namespace: namespace.map(str::to_owned),
            selection,
            prepared: None,
        }
    }

    /// Writes the frame that `change` is to this watcher, if any; `following` are the changes after it that are at
    /// hand. Returns the position after it.
    pub(super) fn apply(
        &mut self,
        store: &Store,
        change: &Change,
        following: &[Change],
        frames: &mut Frames,
    ) -> ResourceVersion {
        match change {
            Change::Tag {
                resource_version,
                repository,
                before,
                after,
            } => {
                if self.kind == Kind::ImageTag && self.is_in_scope(&repository.owner().key) {
                    let Self {
                        selection,
                        prepared,
                        ..
                    } = self;
                    let prepared = prepare(prepared, repository);
                    let gone = before.as_ref().and_then(|entry| {
                        let origin =
                            prepared.before(|now| former(store, now, *resource_version, following));
                        selection.matches_tag(origin, entry).then_some(entry)
                    });
                    // Borrowed again, for reading.
                    let Prepared {
                        after: origin,
                        before: known,
                    } = &*prepared;
                    let before_origin = match known {
                        Some(Former::Other(origin)) => origin,
                        Some(Former::Same) | None => origin,
                    };
                    let there = after
                        .as_ref()
                        .filter(|entry| selection.matches_tag(origin, entry));
                    write(
                        frames,
                        gone.map(|entry| before_origin.tag(entry)),
                        there.map(|entry| origin.tag(entry)),
                        *resource_version,
                    );
                }
                *resource_version
            }
            Change::Set {
                resource_version,
                before,
                after,
            } => {
                if self.kind == Kind::TagSet {
                    let selected = |tags: &Option<Arc<RepositoryTags>>| {
                        let tags = tags
                            .as_ref()
                            .filter(|tags| self.is_in_scope(&tags.owner().key))?;
                        let origin = Origin::new(Arc::clone(tags));
                        self.selection.matches_set(&origin).then_some(origin)
                    };
                    let (before, after) = (selected(before), selected(after));
                    write(
                        frames,
                        before.as_ref().map(Origin::set),
                        after.as_ref().map(Origin::set),
                        *resource_version,
                    );
                }
                *resource_version
            }
        }
    }

    fn is_in_scope(&self, key: &Key) -> bool {
        self.namespace
            .as_deref()
            .is_none_or(|namespace| namespace == &*key.namespace)
            && self.selection.admits_key(self.kind, key)
    }
}

fn prepare<'a>(prepared: &'a mut Option<Prepared>, tags: &Arc<RepositoryTags>) -> &'a mut Prepared {
    let is_same = prepared
        .as_ref()
        .is_some_and(|prepared| Arc::ptr_eq(prepared.after.tags(), tags));
    if !is_same {
        *prepared = None;
    }
    prepared.get_or_insert_with(|| Prepared {
        after: Origin::new(Arc::clone(tags)),
        before: None,
    })
}

/// A deletion shows the last content that was in sight, at the version of the change.
fn write(
    frames: &mut Frames,
    before: Option<View<'_>>,
    after: Option<View<'_>>,
    version: ResourceVersion,
) {
    match (before, after) {
        (None, None) => {}
        (None, Some(after)) => frames.added(after),
        (Some(_), Some(after)) => frames.modified(after),
        (Some(before), None) => frames.deleted(before.at(version)),
    }
}
