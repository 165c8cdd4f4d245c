//! The repositories that a walk goes through, in list order.
//!
//! ImageTags are walked in the snapshot's own order, place by place; TagSets are listed by their own names, which is
//! another order (`a` before `a-b`), so that theirs are laid out.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::apiserver::kind::Kind;
use crate::apiserver::selector::Selection;
use crate::object::Key;
use crate::store::{RepositoryTags, Snapshot, Spot};

/// What is left to go through.
#[derive(Debug)]
pub(super) enum Source {
    /// A part of the snapshot, less what the selection's names drop.
    Spots {
        kind: Kind,
        snapshot: Snapshot,
        selection: Selection,
        next: Spot,
        end: Spot,
    },
    /// These.
    Few(VecDeque<Arc<RepositoryTags>>),
}

impl Source {
    /// Everything of `namespace` (`None`: of all) that can be selected.
    pub(super) fn new(
        kind: Kind,
        snapshot: &Snapshot,
        namespace: Option<&str>,
        selection: &Selection,
    ) -> Self {
        let (selected_namespace, name) = selection.narrowed(kind);
        if let (Some(path), Some(selected)) = (namespace, selected_namespace)
            && path != selected
        {
            return Self::Few(VecDeque::new());
        }
        let namespace = namespace.or(selected_namespace);
        if let (Some(namespace), Some(name)) = (namespace, name) {
            let one = snapshot.repository(&Key::new(namespace, name));
            let admitted = one.filter(|tags| selection.admits_key(kind, &tags.owner().key));
            return Self::Few(admitted.into_iter().collect());
        }
        let (next, end) = match namespace {
            Some(namespace) => (
                snapshot.spot(|key| *key.namespace < *namespace),
                snapshot.spot(|key| *key.namespace <= *namespace),
            ),
            None => (Spot::default(), snapshot.end()),
        };
        let all = Self::Spots {
            kind,
            snapshot: snapshot.clone(),
            selection: selection.clone(),
            next,
            end,
        };
        match kind {
            Kind::ImageTag => all,
            Kind::TagSet => all.by_name(),
        }
    }

    fn by_name(mut self) -> Self {
        let mut few: Vec<_> = std::iter::from_fn(|| self.next()).collect();
        few.sort_by(|a, b| a.owner().key.cmp(&b.owner().key));
        Self::Few(few.into())
    }

    pub(super) fn next(&mut self) -> Option<Arc<RepositoryTags>> {
        match self {
            Self::Few(few) => few.pop_front(),
            Self::Spots {
                kind,
                snapshot,
                selection,
                next,
                end,
            } => {
                while *next < *end {
                    let tags = snapshot.at(*next)?;
                    *next = snapshot.after(*next);
                    if selection.admits_key(*kind, &tags.owner().key) {
                        return Some(Arc::clone(tags));
                    }
                }
                None
            }
        }
    }

    /// Passes over everything before the objects of repository `name` in `namespace` (`None`: the one that all is in).
    /// True when that repository is next.
    pub(super) fn go_to(&mut self, kind: Kind, namespace: Option<&str>, name: &str) -> bool {
        let end = match kind {
            Kind::ImageTag => ":",
            Kind::TagSet => "",
        };
        let is_before = |key: &Key| {
            let namespace = namespace.unwrap_or(&key.namespace);
            let named = key.name.bytes().chain(end.bytes());
            (*key.namespace)
                .cmp(namespace)
                .then_with(|| named.cmp(name.bytes().chain(end.bytes())))
                .is_lt()
        };
        match self {
            Self::Few(few) => {
                let passed = few.partition_point(|tags| is_before(&tags.owner().key));
                few.drain(..passed);
            }
            Self::Spots {
                snapshot,
                next,
                end,
                ..
            } => {
                let (first, last) = (*next, *end);
                let start = snapshot.at(first).map(|tags| tags.owner().key.clone());
                // Without a namespace the order holds only within the part that is walked through.
                let spot = snapshot.spot(|key| match (&start, namespace) {
                    (Some(start), None) if key.namespace < start.namespace => true,
                    (Some(start), None) if key.namespace > start.namespace => false,
                    _ => is_before(key),
                });
                *next = spot.clamp(first, last);
            }
        }
        let is_named = |tags: &Arc<RepositoryTags>| {
            let key = &tags.owner().key;
            *key.name == *name && namespace.is_none_or(|namespace| namespace == &*key.namespace)
        };
        match self {
            Self::Few(few) => few.front().is_some_and(is_named),
            Self::Spots {
                snapshot,
                selection,
                next,
                end,
                ..
            } => {
                *next < *end
                    && snapshot.at(*next).is_some_and(|tags| {
                        is_named(tags) && selection.admits_key(kind, &tags.owner().key)
                    })
            }
        }
    }

    /// How many objects are in it, when everything is selected.
    pub(super) fn left(&self, kind: Kind) -> usize {
        match (self, kind) {
            (
                Self::Spots {
                    snapshot,
                    next,
                    end,
                    ..
                },
                Kind::ImageTag,
            ) => snapshot
                .tags_before(*end)
                .saturating_sub(snapshot.tags_before(*next)),
            (Self::Spots { .. }, Kind::TagSet) => 0,
            (Self::Few(few), Kind::TagSet) => few.len(),
            (Self::Few(few), Kind::ImageTag) => few.iter().map(|tags| tags.tag_count()).sum(),
        }
    }
}
