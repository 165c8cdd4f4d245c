//! The repositories that a walk goes through, in list order.
//!
//! ImageTags are walked in the snapshot's own order, place by place; TagSets are listed by their own names, which is
//! another order (`a` before `a-b`), so that theirs are laid out first. Either way no more is looked at in one step than
//! the step may: a selector can pass over a hundred thousand of them.

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
    Spots(Spots),
    /// The same, to be put in order once all of it is found: what was, and after which object it begins.
    Gathering {
        spots: Spots,
        found: Vec<Arc<RepositoryTags>>,
        after: Option<After>,
    },
    /// These.
    Few(VecDeque<Arc<RepositoryTags>>),
}

/// A part of the snapshot.
#[derive(Debug)]
pub(super) struct Spots {
    kind: Kind,
    snapshot: Snapshot,
    selection: Selection,
    next: Spot,
    end: Spot,
}

/// The name that a walk goes on after, in this namespace (`None`: the one that all is in).
#[derive(Debug)]
pub(super) struct After {
    namespace: Option<String>,
    name: String,
}

/// What comes next.
#[derive(Debug)]
pub(super) enum Next {
    /// This one.
    Repository(Arc<RepositoryTags>),
    /// The budget is spent.
    Spent,
    /// Nothing.
    End,
}

impl After {
    fn has_passed(&self, key: &Key) -> bool {
        let namespace = self.namespace.as_deref().unwrap_or(&key.namespace);
        let order = (*key.namespace).cmp(namespace);
        order.then_with(|| (*key.name).cmp(&self.name)).is_le()
    }
}

impl Spots {
    fn next(&mut self, budget: &mut usize) -> Next {
        while self.next < self.end {
            if *budget == 0 {
                return Next::Spent;
            }
            *budget -= 1;
            let Some(tags) = self.snapshot.at(self.next) else {
                return Next::End;
            };
            self.next = self.snapshot.after(self.next);
            if self.selection.admits_key(self.kind, &tags.owner().key) {
                return Next::Repository(Arc::clone(tags));
            }
        }
        Next::End
    }
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
        let spots = Spots {
            kind,
            snapshot: snapshot.clone(),
            selection: selection.clone(),
            next,
            end,
        };
        match kind {
            Kind::ImageTag => Self::Spots(spots),
            Kind::TagSet => Self::Gathering {
                spots,
                found: Vec::new(),
                after: None,
            },
        }
    }

    /// The next repository. Each one that is looked at takes one from `budget`.
    pub(super) fn next(&mut self, budget: &mut usize) -> Next {
        if let Self::Gathering {
            spots,
            found,
            after,
        } = self
        {
            loop {
                match spots.next(budget) {
                    Next::Repository(tags) => {
                        let has_passed = |after: &After| after.has_passed(&tags.owner().key);
                        if !after.as_ref().is_some_and(has_passed) {
                            found.push(tags);
                        }
                    }
                    Next::Spent => return Next::Spent,
                    Next::End => break,
                }
            }
            // Nearly in order already, and so done in little more than one pass.
            found.sort_by(|a, b| a.owner().key.cmp(&b.owner().key));
            *self = Self::Few(std::mem::take(found).into());
        }
        match self {
            Self::Spots(spots) => spots.next(budget),
            Self::Gathering { .. } => Next::End,
            Self::Few(_) if *budget == 0 => Next::Spent,
            Self::Few(few) => match few.pop_front() {
                Some(tags) => {
                    *budget -= 1;
                    Next::Repository(tags)
                }
                None => Next::End,
            },
        }
    }

    /// Passes over everything before the objects of repository `name` in `namespace` (`None`: the one that all is in),
    /// and over its TagSet. The repository itself when it is an ImageTag's, and so may have more.
    pub(super) fn go_to(
        &mut self,
        kind: Kind,
        namespace: Option<&str>,
        name: &str,
    ) -> Option<Arc<RepositoryTags>> {
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
        let is_named = |tags: &Arc<RepositoryTags>| {
            let key = &tags.owner().key;
            *key.name == *name && namespace.is_none_or(|namespace| namespace == &*key.namespace)
        };
        let here = match self {
            Self::Gathering { after, .. } => {
                *after = Some(After {
                    namespace: namespace.map(str::to_owned),
                    name: name.to_owned(),
                });
                None
            }
            Self::Few(few) => {
                let passed = few.partition_point(|tags| is_before(&tags.owner().key));
                few.drain(..passed);
                match few.front() {
                    Some(first) if is_named(first) => few.pop_front(),
                    Some(_) | None => None,
                }
            }
            Self::Spots(spots) => {
                let (first, last) = (spots.next, spots.end);
                let start = spots.snapshot.at(first);
                let start = start.map(|tags| tags.owner().key.clone());
                // Without a namespace the order holds only within the part that is walked through.
                let spot = spots.snapshot.spot(|key| match (&start, namespace) {
                    (Some(start), None) if key.namespace < start.namespace => true,
                    (Some(start), None) if key.namespace > start.namespace => false,
                    _ => is_before(key),
                });
                spots.next = spot.clamp(first, last);
                let here = (spots.next < last).then(|| spots.snapshot.at(spots.next));
                let here = here.flatten().cloned().filter(|tags| {
                    is_named(tags) && spots.selection.admits_key(kind, &tags.owner().key)
                });
                if here.is_some() {
                    spots.next = spots.snapshot.after(spots.next);
                }
                here
            }
        };
        here.filter(|_| kind == Kind::ImageTag)
    }

    /// How many objects are in it, when everything is selected; `None` where that is not known yet.
    pub(super) fn left(&self, kind: Kind) -> Option<usize> {
        match (self, kind) {
            (Self::Spots(spots), Kind::ImageTag) => {
                let Spots {
                    snapshot,
                    next,
                    end,
                    ..
                } = spots;
                let all = snapshot.tags_before(*end);
                Some(all.saturating_sub(snapshot.tags_before(*next)))
            }
            (Self::Spots(_), Kind::TagSet) | (Self::Gathering { .. }, _) => None,
            (Self::Few(few), Kind::TagSet) => Some(few.len()),
            (Self::Few(few), Kind::ImageTag) => Some(few.iter().map(|tags| tags.tag_count()).sum()),
        }
    }
}
