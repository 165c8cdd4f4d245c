//! What a change is to one watcher: an object may come into sight or go out of it without being made or deleted.

use std::sync::Arc;

use super::frames::Frames;
use crate::api::tags::{REPOSITORY_LABEL, SELECTED_LABEL};
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
    /// Whether the selection asks for labels that are copied from the ImageRepository. These can change under a tag,
    /// and a change does not tell what they were.
    asks_for_copied_labels: bool,
    /// The last repository that was prepared: changes come in runs.
    prepared: Option<Origin>,
}

impl Transitions {
    pub(super) fn new(kind: Kind, namespace: Option<&str>, selection: Selection) -> Self {
        let is_ours = |label: &str| label == REPOSITORY_LABEL || label == SELECTED_LABEL;
        let asks_for_copied_labels = selection.labels.asks_beyond(is_ours);
        let namespace = namespace.map(str::to_owned);
        Self {
            kind,
            namespace,
            selection,
            asks_for_copied_labels,
            prepared: None,
        }
    }

    /// Writes the frame that `change` is to this watcher, if any. Returns the position after it.
    pub(super) fn apply(&mut self, change: &Change, frames: &mut Frames) -> ResourceVersion {
        match change {
            Change::Tag {
                resource_version,
                repository,
                before,
                after,
            } => {
                if self.kind == Kind::ImageTag && self.is_in_scope(&repository.owner().key) {
                    let was_unknown =
                        self.asks_for_copied_labels && before.is_some() && after.is_some();
                    let Self {
                        selection,
                        prepared,
                        ..
                    } = self;
                    let origin = prepare(prepared, repository);
                    let before = before
                        .as_ref()
                        .filter(|entry| was_unknown || selection.matches_tag(origin, entry));
                    let after = after
                        .as_ref()
                        .filter(|entry| selection.matches_tag(origin, entry));
                    write(
                        frames,
                        before.map(|entry| origin.tag(entry)),
                        after.map(|entry| origin.tag(entry)),
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

fn prepare<'a>(prepared: &'a mut Option<Origin>, tags: &Arc<RepositoryTags>) -> &'a Origin {
    let is_same = prepared
        .as_ref()
        .is_some_and(|origin| Arc::ptr_eq(origin.tags(), tags));
    if !is_same {
        *prepared = None;
    }
    prepared.get_or_insert_with(|| Origin::new(Arc::clone(tags)))
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
