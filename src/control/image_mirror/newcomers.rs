//! What comes to be wanted while a run is under way: it is copied beside that run, not after it. A first copy may take hours,
//! and a tag that was just pushed does not wait for it.

use std::collections::HashSet;

use super::decide::{self, Decision, Plan};
use super::gather::{self, Facts, Gathered, How};
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
    taken: HashSet<(Repository, Tag)>,
}

impl<'a> Newcomers<'a> {
    /// Besides what `plan` looks at.
    pub(super) fn beside(
        controller: &'a Controller,
        key: &'a Key,
        (facts, how): (&Facts, &'a How),
        plan: &Plan,
        memory: &'a Shared,
    ) -> Self {
        let mut newcomers = Self {
            controller,
            key,
            how,
            memory,
            taken: HashSet::new(),
        };
        for (number, tags) in &plan.work {
            if let Some(source) = facts.sources.get(*number) {
                newcomers.fresh(&source.from.repository, tags);
            }
        }
        newcomers
    }

    /// Looks again at what is wanted: whatever is new by the spec of `before`. The facts are those of the plan.
    pub(super) async fn look(&mut self, before: &Facts) -> Option<(Box<Facts>, Plan)> {
        let Gathered::Object(now) = gather::gather(&self.controller.context, self.key).await else {
            return None;
        };
        // By another spec it is another run's.
        if !wake::is_same(&now.object, &before.object) {
            return None;
        }
        let decision = {
            let mut known = self.memory.lock();
            let variant = act::variant(&now.object, self.how);
            let keeps_others = !now.troubles.is_empty();
            known.refresh(
                &now.sources,
                &variant,
                keeps_others,
                &self.controller.kept.known,
            );
            decide::decide(&now, &known)
        };
        let Decision::Run(mut plan) = decision else {
            return None;
        };
        for (number, tags) in &mut plan.work {
            *tags = match now.sources.get(*number) {
                Some(source) => self.fresh(&source.from.repository, tags),
                None => Vec::new(),
            };
        }
        plan.work.retain(|(_, tags)| !tags.is_empty());
        plan.asks_all = false;
        (!plan.work.is_empty()).then_some((now, plan))
    }

    /// Those that were not taken up before; they are now.
    fn fresh(&mut self, from: &Repository, tags: &[Tag]) -> Vec<Tag> {
        let tags = tags.iter();
        tags.filter(|tag| self.taken.insert((from.clone(), (*tag).clone())))
            .cloned()
            .collect()
    }
}
