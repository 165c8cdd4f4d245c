//! One blob at one registry: who needs it, who has it, and who waits. Kept so that nobody has to look at all who need it
//! to find the few that something happens to.

use std::collections::{BTreeMap, BTreeSet};

use super::Spot;
use crate::image::Repository;

/// One blob at one registry.
#[derive(Debug)]
pub(super) struct Lane<C, F> {
    /// Has it, so that the others mount from there.
    pub(super) holder: Option<Repository>,
    /// Whether it is on its way to one of the repositories.
    is_led: bool,
    pub(super) needs: BTreeMap<Spot, Need<C, F>>,
    pub(super) queue: Queue,
}

#[derive(Debug)]
pub(super) struct Need<C, F> {
    pub(super) state: State<F>,
    pub(super) claims: Vec<C>,
    pub(super) may_mount: bool,
}

#[derive(Debug)]
pub(super) enum State<F> {
    /// For its turn to be streamed to, or for the leader to have it.
    Waiting,
    /// It is streamed to.
    Leading,
    /// A mount is due or under way.
    Mounting,
    There,
    Failed {
        failure: F,
        /// Another source may have it.
        is_of_sources: bool,
    },
}

/// Those that are [`State::Waiting`], by the number of their claims. Who changes claims or state takes them out before, and
/// puts them in after.
#[derive(Debug, Default)]
pub(super) struct Queue {
    mountable: BTreeSet<(usize, Spot)>,
    /// Only a stream helps.
    others: BTreeSet<(usize, Spot)>,
}

impl Queue {
    fn of<C, F>(&mut self, need: &Need<C, F>) -> &mut BTreeSet<(usize, Spot)> {
        if need.may_mount {
            &mut self.mountable
        } else {
            &mut self.others
        }
    }

    /// Puts `need` in, if it waits.
    pub(super) fn join<C, F>(&mut self, spot: &Spot, need: &Need<C, F>) {
        if matches!(need.state, State::Waiting) {
            let entry = (need.claims.len(), spot.clone());
            self.of(need).insert(entry);
        }
    }

    /// Takes `need` out, if it waits.
    pub(super) fn leave<C, F>(&mut self, spot: &Spot, need: &Need<C, F>) {
        if matches!(need.state, State::Waiting) {
            let entry = (need.claims.len(), spot.clone());
            self.of(need).remove(&entry);
        }
    }
}

impl<C, F> Default for Lane<C, F> {
    fn default() -> Self {
        Self {
            holder: None,
            is_led: false,
            needs: BTreeMap::new(),
            queue: Queue::default(),
        }
    }
}

impl<C, F> Need<C, F> {
    pub(super) fn new() -> Self {
        Self {
            state: State::Waiting,
            claims: Vec::new(),
            may_mount: true,
        }
    }
}

impl<C, F> Lane<C, F> {
    /// Whether `repository` has it, whoever brought it there.
    pub(super) fn has(&self, repository: &Repository) -> bool {
        let mut needs = self.needs.range(Spot::all(repository));
        needs.any(|(_, need)| matches!(need.state, State::There))
    }

    /// Whether somebody may be streamed to now.
    pub(super) fn is_open(&self) -> bool {
        !self.is_led && self.leader().is_some()
    }

    /// Whom most wait for, of those that may be streamed to.
    fn leader(&self) -> Option<&(usize, Spot)> {
        let Queue { mountable, others } = &self.queue;
        // Where somebody has it, it is mounted from there.
        let mountable = mountable.last().filter(|_| self.holder.is_none());
        mountable.max(others.last())
    }

    /// Who is to be streamed to, if that is due.
    pub(super) fn lead(&mut self) -> Option<Spot> {
        if self.is_led {
            return None;
        }
        let (_, leader) = self.leader()?.clone();
        let need = self.needs.get_mut(&leader)?;
        self.queue.leave(&leader, need);
        need.state = State::Leading;
        self.is_led = true;
        Some(leader)
    }

    /// The repository of `to` has it; the claims of those who waited for that, by whatever account.
    pub(super) fn there(&mut self, to: &Spot) -> Vec<C> {
        let mut claims = Vec::new();
        for (spot, need) in self.needs.range_mut(Spot::all(&to.repository)) {
            if spot != to && !matches!(need.state, State::Waiting) {
                continue;
            }
            self.queue.leave(spot, need);
            self.is_led &= !matches!(need.state, State::Leading);
            need.state = State::There;
            claims.append(&mut need.claims);
        }
        self.holder = Some(to.repository.clone());
        claims
    }

    /// All that wait to mount it, who do so now; whom most wait for first.
    pub(super) fn mount_all(&mut self) -> Vec<Spot> {
        let mountable = std::mem::take(&mut self.queue.mountable);
        let spots = mountable.into_iter().rev().map(|(_, spot)| spot);
        let spots: Vec<_> = spots.collect();
        for spot in &spots {
            if let Some(need) = self.needs.get_mut(spot) {
                need.state = State::Mounting;
            }
        }
        spots
    }

    /// It did not come to `to`, and is tried again: by a mount from there, or as a stream from another source.
    pub(super) fn again(&mut self, to: &Spot) -> Option<Repository> {
        let need = self.needs.get_mut(to)?;
        if matches!(need.state, State::There) {
            return None;
        }
        self.queue.leave(to, need);
        self.is_led &= !matches!(need.state, State::Leading);
        // The registry did not mount it, or there was nothing to read.
        need.may_mount &= !matches!(need.state, State::Mounting);
        need.state = State::Waiting;
        let holder = self.holder.clone();
        let from = holder.filter(|from| need.may_mount && *from != to.repository);
        if from.is_some() {
            need.state = State::Mounting;
        }
        self.queue.join(to, need);
        from
    }
}

impl<C, F: Clone> Lane<C, F> {
    /// It does not come to `to`; the claims of those who waited for that.
    pub(super) fn fail(&mut self, to: &Spot, failure: &F, is_of_sources: bool) -> Vec<C> {
        let Some(need) = self.needs.get_mut(to) else {
            return Vec::new();
        };
        if matches!(need.state, State::There) {
            return Vec::new();
        }
        self.queue.leave(to, need);
        self.is_led &= !matches!(need.state, State::Leading);
        need.state = State::Failed {
            failure: failure.clone(),
            is_of_sources,
        };
        std::mem::take(&mut need.claims)
    }

    /// It comes to none of those that wait, unless somebody has it that they can mount it from.
    pub(super) fn fail_all(&mut self, failure: &F, is_of_sources: bool) -> Vec<C> {
        if self.holder.is_some() {
            return Vec::new();
        }
        let Queue { mountable, others } = std::mem::take(&mut self.queue);
        let mut claims = Vec::new();
        for (_, spot) in mountable.into_iter().chain(others) {
            claims.append(&mut self.fail(&spot, failure, is_of_sources));
        }
        claims
    }

    /// `repository` does not have it.
    pub(super) fn forget(&mut self, repository: &Repository) {
        let there = self.needs.range(Spot::all(repository));
        let there = there.filter(|(_, need)| matches!(need.state, State::There));
        let there: Vec<_> = there.map(|(spot, _)| spot.clone()).collect();
        for spot in there {
            self.needs.remove(&spot);
        }
        if self.holder.as_ref() == Some(repository) {
            self.holder = None;
        }
    }
}
