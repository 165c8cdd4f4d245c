//! What a change is to one watcher: an object may come into sight or go out of it without being made or deleted.

use std::sync::Arc;

use super::frames::Frames;
use crate::apiserver::kind::Kind;
use crate::apiserver::object::{Origin, View};
use crate::apiserver::selector::Selection;
use crate::object::Key;
use crate::store::{Change, RepositoryTags, ResourceVersion};

/// One watcher's view on changes.
#[derive(Debug)]
pub(super) struct Transitions {
    kind: Kind,
    namespace: Option<String>,
    selection: Selection,
    /// The repositories before and after the last commit that was looked at: changes come in runs.
    previous: Option<Origin>,
    present: Option<Origin>,
}

impl Transitions {
    pub(super) fn new(kind: Kind, namespace: Option<&str>, selection: Selection) -> Self {
        let namespace = namespace.map(str::to_owned);
        Self {
            kind,
            namespace,
            selection,
            previous: None,
            present: None,
        }
    }

    /// Writes the frame that `change` is to this watcher, if any.
    pub(super) fn apply(&mut self, change: &Change, frames: &mut Frames) {
        match change {
            Change::Tag {
                resource_version,
                repository,
                previous,
                before,
                after,
            } => {
                if self.kind != Kind::ImageTag || !self.is_in_scope(&repository.owner().key) {
                    return;
                }
                let Self {
                    selection,
                    previous: former,
                    present,
                    ..
                } = self;
                let view = |origin, entry| {
                    selection
                        .matches_tag(origin, entry)
                        .then(|| Origin::tag(origin, entry))
                };
                let before = before.as_ref().zip(previous.as_ref());
                let before = before.and_then(|(entry, tags)| view(prepare(former, tags), entry));
                let after = after.as_ref();
                let after = after.and_then(|entry| view(prepare(present, repository), entry));
                write(frames, before, after, *resource_version);
            }
            Change::Set {
                resource_version,
                before,
                after,
            } => {
                if self.kind != Kind::TagSet {
                    return;
                }
                let selected = |tags: &Option<Arc<RepositoryTags>>| {
                    let tags = tags
                        .as_ref()
                        .filter(|tags| self.is_in_scope(&tags.owner().key))?;
                    let origin = Origin::new(Arc::clone(tags));
                    self.selection.matches_set(&origin).then_some(origin)
                };
                let (before, after) = (selected(before), selected(after));
                let views = (
                    before.as_ref().map(Origin::set),
                    after.as_ref().map(Origin::set),
                );
                write(frames, views.0, views.1, *resource_version);
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

fn prepare<'a>(slot: &'a mut Option<Origin>, tags: &Arc<RepositoryTags>) -> &'a Origin {
    slot.take_if(|origin| !Arc::ptr_eq(origin.tags(), tags));
    slot.get_or_insert_with(|| Origin::new(Arc::clone(tags)))
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
