//! Walks through the selected objects of one snapshot, in list order, a bounded number of entries at a time.
//!
//! The selectors steer the walk: what a name, tag, repository, namespace or election settles is looked up directly and
//! never enumerated, and what is passed over ([`Walk::skip`]) is counted where counts are known. Nothing is prepared
//! for a repository of which nothing is shown.

mod source;

use std::ops::ControlFlow;
use std::sync::Arc;

use self::source::{Next, Source};
use crate::apiserver::kind::Kind;
use crate::apiserver::object::{Origin, View};
use crate::apiserver::selector::{Pick, Selection};
use crate::object::Key;
use crate::store::{EntryRef, RepositoryTags, Snapshot};

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
    source: Source,
    current: Option<Current>,
}

/// The repository that the walk is in.
#[derive(Debug)]
struct Current {
    tags: Arc<RepositoryTags>,
    /// Prepared when the first of its objects is shown.
    origin: Option<Origin>,
    pick: Pick,
    /// The index of the first tag that was not looked at; of a set, whether it was: 0 or 1.
    next: u32,
}

/// The end of what was skipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Passed {
    pub(super) key: Key,
    /// `<name>` or `<name>:<tag>`.
    pub(super) name: String,
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
        let mut source = Source::new(kind, snapshot, namespace, &selection);
        let mut current = None;
        if let Some(place) = place {
            let (name, tag) = place_parts(kind, &place.name);
            // Of the repository that it is in, only the tags up to the place were seen.
            let here = source.go_to(kind, place.namespace.as_deref(), name);
            current = here.zip(tag).and_then(|(tags, tag)| {
                let next = tags.index_after(tag);
                Current::new(kind, tags, &selection, next)
            });
        }
        Self {
            kind,
            selection,
            source,
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
            let kind = self.kind;
            let Some((current, selection)) = self.enter(&mut budget) else {
                return Step::Done;
            };
            let Some(current) = current else {
                return Step::More;
            };
            match current.step(kind, selection, &mut budget, visit) {
                Step::Done => self.current = None,
                step @ (Step::More | Step::Stopped) => return step,
            }
        }
    }

    /// Passes over up to `count` selected objects without making any, looking at no more than `budget` entries; takes
    /// from `count` what it passed, and tells the last of it when that was all.
    pub(super) fn skip(&mut self, count: &mut usize, budget: usize) -> (Step, Option<Passed>) {
        let mut budget = budget.max(1);
        loop {
            let kind = self.kind;
            let Some((current, selection)) = self.enter(&mut budget) else {
                return (Step::Done, None);
            };
            let Some(current) = current else {
                return (Step::More, None);
            };
            match current.skip(kind, selection, count, &mut budget) {
                (Step::Done, _) => self.current = None,
                found => return found,
            }
        }
    }

    /// How many objects are ahead, where that is known without looking: when everything is selected.
    pub(super) fn left(&self) -> Option<usize> {
        if !self.selection.is_everything() {
            return None;
        }
        let here = self.current.as_ref().map_or(0, |current| {
            let all = match self.kind {
                Kind::ImageTag => current.tags.tag_count(),
                Kind::TagSet => 1,
            };
            all.saturating_sub(current.next as usize)
        });
        Some(here + self.source.left(self.kind)?)
    }

    /// The repository to go on in: `None` at the end, and nothing in it when the budget is spent.
    fn enter(&mut self, budget: &mut usize) -> Option<(Option<&mut Current>, &Selection)> {
        while self.current.is_none() {
            let tags = match self.source.next(budget) {
                Next::Repository(tags) => tags,
                Next::Spent => return Some((None, &self.selection)),
                Next::End => return None,
            };
            self.current = Current::new(self.kind, tags, &self.selection, 0);
        }
        Some((self.current.as_mut(), &self.selection))
    }
}

impl Current {
    /// `None` when nothing in it can be selected.
    fn new(
        kind: Kind,
        tags: Arc<RepositoryTags>,
        selection: &Selection,
        next: u32,
    ) -> Option<Self> {
        let pick = match kind {
            Kind::ImageTag => selection.pick(&tags),
            Kind::TagSet if selection.picks_set(&tags) => Pick::All,
            Kind::TagSet => Pick::Nothing,
        };
        (pick != Pick::Nothing).then_some(Self {
            tags,
            origin: None,
            pick,
            next,
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
            tags,
            origin,
            pick,
            next,
        } = self;
        if kind == Kind::TagSet {
            if *next > 0 {
                return Step::Done;
            }
            *next = 1;
            return match visit(prepared(origin, tags).set()) {
                ControlFlow::Continue(()) => Step::Done,
                // The one object of this repository was shown: the next step begins behind it.
                ControlFlow::Break(()) => Step::Stopped,
            };
        }
        let mut step = Step::Done;
        let is_judged = *pick != Pick::All;
        let mut look = |entry: EntryRef<'_>| {
            if (!is_judged || selection.matches_entry(tags, entry))
                && visit(prepared(origin, tags).entry(entry)).is_break()
            {
                step = Step::Stopped;
                return ControlFlow::Break(());
            }
            *budget = budget.saturating_sub(1);
            if *budget == 0 {
                step = Step::More;
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        };
        *next = look_through(tags, *pick, selection, *next, &mut look);
        step
    }

    fn skip(
        &mut self,
        kind: Kind,
        selection: &Selection,
        count: &mut usize,
        budget: &mut usize,
    ) -> (Step, Option<Passed>) {
        let Self {
            tags, pick, next, ..
        } = self;
        let key = &tags.owner().key;
        let passed = |index: Option<u32>| {
            let tag = index.and_then(|index| tags.name_at(index));
            let name = match tag {
                Some(tag) => format!("{}:{tag}", key.name),
                None => key.name.to_string(),
            };
            let key = key.clone();
            Some(Passed { key, name })
        };
        if kind == Kind::TagSet {
            if *next > 0 {
                return (Step::Done, None);
            }
            *next = 1;
            *count -= 1;
            return match *count {
                0 => (Step::Stopped, passed(None)),
                _ => (Step::Done, None),
            };
        }
        if *pick == Pick::All {
            let len = u32::try_from(tags.tag_count()).unwrap_or(u32::MAX);
            let here = usize::try_from(len.saturating_sub(*next)).unwrap_or(usize::MAX);
            if here < *count {
                *count -= here;
                return (Step::Done, None);
            }
            *next += u32::try_from(*count).unwrap_or(u32::MAX);
            *count = 0;
            return (Step::Stopped, passed(next.checked_sub(1)));
        }
        let mut step = Step::Done;
        let mut look = |entry: EntryRef<'_>| {
            if selection.matches_entry(tags, entry) {
                *count -= 1;
                if *count == 0 {
                    step = Step::Stopped;
                    return ControlFlow::Break(());
                }
            }
            *budget = budget.saturating_sub(1);
            if *budget == 0 {
                step = Step::More;
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        };
        *next = look_through(tags, *pick, selection, *next, &mut look);
        let last = (step == Step::Stopped).then(|| passed(next.checked_sub(1)));
        (step, last.flatten())
    }
}

/// What the objects of `tags` share, made when the first of them is shown.
fn prepared<'a>(origin: &'a mut Option<Origin>, tags: &Arc<RepositoryTags>) -> &'a Origin {
    origin.get_or_insert_with(|| Origin::new(Arc::clone(tags)))
}

/// Shows the tags of `pick` from `next` on until `look` breaks, and tells from where to go on.
fn look_through(
    tags: &RepositoryTags,
    pick: Pick,
    selection: &Selection,
    next: u32,
    look: &mut dyn FnMut(EntryRef<'_>) -> ControlFlow<()>,
) -> u32 {
    match pick {
        Pick::Nothing => next,
        Pick::One => {
            let index = selection.required_tag().and_then(|tag| tags.index_of(tag));
            match index {
                Some(index) if index >= next => tags.visit(index, &mut |entry| {
                    look(entry)?;
                    ControlFlow::Break(())
                }),
                Some(_) | None => next,
            }
        }
        Pick::Elected => tags.visit_selected(next, look),
        Pick::Matching | Pick::All => tags.visit(next, look),
    }
}

fn place_parts(kind: Kind, name: &str) -> (&str, Option<&str>) {
    match kind {
        Kind::TagSet => (name, None),
        Kind::ImageTag => match name.split_once(':') {
            Some((repository, tag)) => (repository, Some(tag)),
            None => (name, None),
        },
    }
}
