//! What comes to be wanted while a run is under way: it is copied beside that run, not after it. A first copy may take hours,
//! and a tag that was just pushed does not wait for it. And what may not be copied any more ends the run.

use std::collections::{BTreeMap, HashSet};

use super::decide::{self, Decision, Plan};
use super::gather::{self, Facts, Gathered, How, Source};
use super::memory::Shared;
use super::{Controller, act, wake};
use crate::image::{Repository, Tag};
use crate::object::Key;

/// Who has been taken up in this run. Each tag once: what fails is tried again by the next one.
#[derive(Debug)]
pub(super) struct Newcomers<'a> {
    controller: &'a Controller,
    key: &'a Key,
    how: &'a How,
    memory: &'a Shared,
    /// The facts that the run goes by.
    facts: &'a Facts,
    /// What is read from and written to, by ImageRepository.
    ways: BTreeMap<Key, Ways>,
    taken: HashSet<(Repository, Tag)>,
}

/// An image, and where it goes.
type Ways = (Repository, Vec<Repository>);

fn ways(source: &Source) -> Ways {
    let to = source.to.iter().map(|to| to.repository.clone());
    (source.from.repository.clone(), to.collect())
}

/// What a look showed.
#[derive(Debug)]
pub(super) enum News {
    Nothing,
    /// These are new, by these facts.
    More(Box<Facts>, Plan),
    /// The run reads or writes what it may not any more, or goes by what somebody has changed.
    Over,
}

impl<'a> Newcomers<'a> {
    /// Besides what `plan` looks at.
    pub(super) fn beside(
        controller: &'a Controller,
        key: &'a Key,
        (facts, how): (&'a Facts, &'a How),
        plan: &Plan,
        memory: &'a Shared,
    ) -> Self {
        let mut newcomers = Self {
            controller,
            key,
            how,
            memory,
            facts,
            ways: BTreeMap::new(),
            taken: HashSet::new(),
        };
        for (number, tags) in &plan.work {
            if let Some(source) = facts.sources.get(*number) {
                newcomers.fresh(source, tags);
            }
        }
        newcomers
    }

    /// Whether the run has looked at the ImageRepository, from the beginning or since it came.
    pub(super) fn has_taken(&self, repository: &Key) -> bool {
        self.ways.contains_key(repository)
    }

    /// Looks again at what is allowed, and with `takes` at what is wanted.
    pub(super) async fn look(&mut self, takes: bool) -> News {
        let Gathered::Object(now) = gather::gather(&self.controller.context, self.key).await else {
            return News::Over;
        };
        if !wake::is_same(&now.object, &self.facts.object) || !self.may_go_on(&now) {
            return News::Over;
        }
        if !takes {
            return News::Nothing;
        }
        let decision = {
            let mut known = self.memory.lock();
            let variant = act::variant(&now.object, self.how);
            let keeps_others = !now.troubles.is_empty();
            let kept = &self.controller.kept.known;
            known.refresh(&now.sources, &variant, keeps_others, kept);
            decide::decide(&now, &known)
        };
        let Decision::Run(mut plan) = decision else {
            return News::Nothing;
        };
        for (number, tags) in &mut plan.work {
            *tags = match now.sources.get(*number) {
                Some(source) => self.fresh(source, tags),
                None => Vec::new(),
            };
        }
        plan.work.retain(|(_, tags)| !tags.is_empty());
        if plan.work.is_empty() {
            News::Nothing
        } else {
            News::More(now, plan)
        }
    }

    /// Whether everything that is read from and written to is still meant, and allowed.
    fn may_go_on(&self, now: &Facts) -> bool {
        self.ways.iter().all(|(repository, before)| {
            let mut sources = now.sources.iter();
            let source = sources.find(|source| source.repository == *repository);
            source.is_some_and(|source| ways(source) == *before)
        })
    }

    /// Those that were not taken up before; they are now.
    fn fresh(&mut self, source: &Source, tags: &[Tag]) -> Vec<Tag> {
        self.ways
            .entry(source.repository.clone())
            .or_insert_with(|| ways(source));
        let from = &source.from.repository;
        let tags = tags.iter();
        tags.filter(|tag| self.taken.insert((from.clone(), (*tag).clone())))
            .cloned()
            .collect()
    }
}
