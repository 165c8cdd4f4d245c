//! Walks through the selected objects of one snapshot, in list order, a bounded number of entries at a time.
//!
//! The selectors steer the walk: what a name, tag, repository, namespace or election settles is looked up directly and
//! never enumerated.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::vec;

use crate::apiserver::kind::Kind;
use crate::apiserver::object::{Origin, View};
use crate::apiserver::selector::{Pick, Selection};
use crate::image::Tag;
use crate::object::Key;
use crate::store::{RepositoryTags, Snapshot};

/// The last object that was seen: the walk goes on after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// `None` where the walk is in one namespace anyway.
    pub(super) namespace: Option<String>,
    pub(super) name: String,
}

/// What one step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// There is more.
    More,
    /// The visitor had enough.
    Stopped,
    /// Everything was seen.
    Done,
}

/// A walk under way.
#[derive(Debug)]
pub(super) struct Walk {
    kind: Kind,
    selection: Selection,
    repositories: vec::IntoIter<Arc<RepositoryTags>>,
    current: Option<Current>,
}

#[derive(Debug)]
struct Current {
    origin: Origin,
    pick: Pick,
    after: Option<Tag>,
}

impl Walk {
    /// Starts at the first selected object of `namespace` (`None`: of all), or after `place`.
    pub(super) fn new(
        kind: Kind,
        snapshot: &Snapshot,
        namespace: Option<&str>,
        selection: Selection,
        place: Option<&Place>,
    ) -> Self {
        let mut repositories = repositories(kind, snapshot, namespace, &selection);
        let mut current = None;
        if let Some(place) = place {
            let (name, tag) = place_parts(kind, &place.name);
            let passed = repositories
                .iter()
                .take_while(|tags| {
                    order(kind, &tags.owner().key).lt(place_order(
                        kind,
                        place,
                        name,
                        &tags.owner().key,
                    ))
                })
                .count();
            repositories.drain(..passed);
            let is_here = repositories.first().is_some_and(|tags| {
                let key = &tags.owner().key;
                &*key.name == name
                    && place
                        .namespace
                        .as_deref()
                        .is_none_or(|ns| ns == &*key.namespace)
            });
            if is_here {
                let tags = repositories.remove(0);
                // The set itself was seen; of the tags only those up to the place.
                if let Some(tag) = tag {
                    current = Current::new(kind, tags, &selection).map(|current| Current {
                        after: Some(tag),
                        ..current
                    });
                }
            }
        }
        Self {
            kind,
            selection,
            repositories: repositories.into_iter(),
            current,
        }
    }

    /// Looks at up to `budget` entries and shows the selected ones to `visit`, until it breaks.
    pub(super) fn step(
        &mut self,
        budget: usize,
        visit: &mut dyn FnMut(View<'_>) -> ControlFlow<()>,
    ) -> Step {
        let mut budget = budget.max(1);
        loop {
            if self.current.is_none() {
                let Some(tags) = self.repositories.next() else {
                    return Step::Done;
                };
                self.current = Current::new(self.kind, tags, &self.selection);
                if budget == 0 {
                    return Step::More;
                }
                budget -= 1;
            }
            let Some(current) = &mut self.current else {
                continue;
            };
            match current.step(self.kind, &self.selection, &mut budget, visit) {
                Step::Done => self.current = None,
                step @ (Step::More | Step::Stopped) => return step,
            }
        }
    }
}

impl Current {
    /// `None` when nothing in it can be selected.
    fn new(kind: Kind, tags: Arc<RepositoryTags>, selection: &Selection) -> Option<Self> {
        let origin = Origin::new(tags);
        let pick = match kind {
            Kind::ImageTag => selection.pick(&origin),
            Kind::TagSet if selection.matches_set(&origin) => Pick::Any,
            Kind::TagSet => Pick::Nothing,
        };
        (pick != Pick::Nothing).then_some(Self {
            origin,
            pick,
            after: None,
        })
    }

    fn step(
        &mut self,
        kind: Kind,
        selection: &Selection,
        budget: &mut usize,
        visit: &mut dyn FnMut(View<'_>) -> ControlFlow<()>,
    ) -> Step {
        let Self {
            origin,
            pick,
            after,
        } = self;
        if kind == Kind::TagSet {
            if *pick == Pick::Nothing {
                return Step::Done;
            }
            return match visit(origin.set()) {
                ControlFlow::Continue(()) => Step::Done,
                // The one object of this repository was shown: the next step begins behind it.
                ControlFlow::Break(()) => {
                    *pick = Pick::Nothing;
                    Step::Stopped
                }
            };
        }
        let tags = Arc::clone(origin.tags());
        let place = after.clone();
        let place = place.as_ref().map(Tag::as_str);
        let entries: Box<dyn Iterator<Item = _>> = match pick {
            Pick::Nothing => return Step::Done,
            Pick::One(tag) => {
                let is_ahead = place.is_none_or(|place| place < tag.as_str());
                Box::new(tags.tag(tag).into_iter().filter(move |_| is_ahead))
            }
            Pick::Elected => {
                let is_passed = move |tag: &str| place.is_some_and(|place| tag <= place);
                Box::new(
                    tags.selected()
                        .skip_while(move |entry| is_passed(entry.tag.as_str())),
                )
            }
            Pick::Any => tags.entries_after(place),
        };
        for entry in entries {
            if *budget == 0 {
                return Step::More;
            }
            *budget -= 1;
            *after = Some(entry.tag.clone());
            if selection.matches_tag(origin, &entry) && visit(origin.tag(&entry)).is_break() {
                return Step::Stopped;
            }
        }
        Step::Done
    }
}

/// The repositories to look through, in list order.
fn repositories(
    kind: Kind,
    snapshot: &Snapshot,
    namespace: Option<&str>,
    selection: &Selection,
) -> Vec<Arc<RepositoryTags>> {
    let (selected_namespace, name) = selection.narrowed(kind);
    if let (Some(path), Some(selected)) = (namespace, selected_namespace)
        && path != selected
    {
        return Vec::new();
    }
    let mut found: Vec<_> = match (namespace.or(selected_namespace), name) {
        (Some(namespace), Some(name)) => snapshot
            .repository(&Key::new(namespace, name))
            .into_iter()
            .collect(),
        (Some(namespace), None) => snapshot.repositories_in(namespace).collect(),
        (None, _) => snapshot.repositories().collect(),
    };
    found.retain(|tags| selection.admits_key(kind, &tags.owner().key));
    // The snapshot's order is that of the tags; sets are listed by their own names.
    if kind == Kind::TagSet {
        found.sort_by(|a, b| a.owner().key.cmp(&b.owner().key));
    }
    found
}

fn place_parts(kind: Kind, name: &str) -> (&str, Option<Tag>) {
    match kind {
        Kind::TagSet => (name, None),
        Kind::ImageTag => match name.split_once(':') {
            Some((repository, tag)) => (repository, tag.parse().ok()),
            None => (name, None),
        },
    }
}

/// The list order of a repository's objects, as bytes to compare.
fn order(kind: Kind, key: &Key) -> impl Iterator<Item = u8> + '_ {
    parts_order(kind, &key.namespace, &key.name)
}

fn place_order<'a>(
    kind: Kind,
    place: &'a Place,
    name: &'a str,
    key: &'a Key,
) -> impl Iterator<Item = u8> + 'a {
    parts_order(
        kind,
        place.namespace.as_deref().unwrap_or(&key.namespace),
        name,
    )
}

fn parts_order<'a>(kind: Kind, namespace: &'a str, name: &'a str) -> impl Iterator<Item = u8> + 'a {
    let end: &[u8] = match kind {
        Kind::ImageTag => b":",
        Kind::TagSet => b"",
    };
    // A NUL sorts before everything that a namespace may hold.
    namespace
        .bytes()
        .chain(std::iter::once(0))
        .chain(name.bytes())
        .chain(end.iter().copied())
}
