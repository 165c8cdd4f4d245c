//! What a change is to one watcher: an object may come into sight or go out of it without being made or deleted.

use super::frames::Frames;
use super::shared::Said;
use crate::apiserver::kind::Kind;
use crate::apiserver::object::{Origin, View};
use crate::apiserver::selector::Selection;
use crate::object::Key;
use crate::store::{Change, Objects, Occurrence, ResourceVersion, Scope};

/// One watcher's view on changes.
#[derive(Debug)]
pub(super) struct Transitions {
    kind: Kind,
    selection: Selection,
    /// Whether a repository's objects are in sight all or none: then a change is the same event for all who see it.
    is_settled: bool,
}

impl Transitions {
    pub(super) fn new(kind: Kind, selection: Selection) -> Self {
        Self {
            kind,
            is_settled: selection.is_settled_by_key(),
            selection,
        }
    }

    /// Where there is something to be seen of `namespace` (`None`: of all).
    pub(super) fn scope(&self, namespace: Option<&str>) -> Scope {
        let (selected, repository) = self.selection.narrowed(self.kind);
        match (namespace.or(selected), repository) {
            (Some(namespace), Some(name)) => Scope::Repository(Key::new(namespace, name)),
            (Some(namespace), None) => Scope::Namespace(namespace.into()),
            (None, _) => Scope::Everything,
        }
    }

    /// Which of the objects are watched.
    pub(super) fn objects(&self) -> Objects {
        match self.kind {
            Kind::ImageTag => Objects::Tags,
            Kind::TagSet => Objects::Sets,
        }
    }

    /// Writes the frame that `occurrence` is to this watcher, if any. It is in scope.
    pub(super) fn apply(&self, occurrence: &Occurrence<'_>, frames: &mut Frames) {
        if !self.selection.admits_key(self.kind, occurrence.key()) {
            return;
        }
        let version = occurrence.resource_version();
        if self.is_settled && frames.repeat(version, Said::Happened) {
            return;
        }
        match occurrence.change() {
            Change::Tag {
                repository,
                previous,
                before,
                after,
                ..
            } => {
                let before = before.as_ref().zip(previous.as_ref());
                let before = before.map(|(entry, tags)| (frames.shared().origin(tags), entry));
                let after = after.as_ref();
                let after = after.map(|entry| (frames.shared().origin(&repository), entry));
                let selected = |origin: &Origin, entry| {
                    self.is_settled || self.selection.matches_tag(origin, entry)
                };
                let before = before
                    .as_ref()
                    .filter(|(origin, entry)| selected(origin, entry));
                let after = after
                    .as_ref()
                    .filter(|(origin, entry)| selected(origin, entry));
                let views = (
                    before.map(|(origin, entry)| origin.tag(entry)),
                    after.map(|(origin, entry)| origin.tag(entry)),
                );
                self.write(frames, views.0, views.1, version);
            }
            Change::Set { before, after, .. } => {
                let selected = |tags: Option<&_>| {
                    let origin = frames.shared().origin(tags?);
                    (self.is_settled || self.selection.matches_set(&origin)).then_some(origin)
                };
                let (before, after) = (selected(before.as_ref()), selected(after.as_ref()));
                let views = (
                    before.as_deref().map(Origin::set),
                    after.as_deref().map(Origin::set),
                );
                self.write(frames, views.0, views.1, version);
            }
        }
    }

    /// A deletion shows the last content that was in sight, at the version of the change.
    fn write(
        &self,
        frames: &mut Frames,
        before: Option<View<'_>>,
        after: Option<View<'_>>,
        version: ResourceVersion,
    ) {
        let (word, view) = match (before, after) {
            (None, None) => return,
            (None, Some(after)) => (Said::Added, after),
            (Some(_), Some(after)) => (Said::Modified, after),
            (Some(before), None) => (Said::Deleted, before.at(version)),
        };
        if self.is_settled {
            frames.tell(version, Said::Happened, word, view);
        } else if !frames.repeat(version, word) {
            frames.tell(version, word, word, view);
        }
    }
}
