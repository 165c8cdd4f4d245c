//! What is known of each mirror beyond its status, for as long as the program runs: how each of its tags fares at each of its
//! destinations, and when it was looked at.
//!
//! Losing it costs requests, and nothing else: after a start it is made from the status and from what is known to be where,
//! and what a status does not vouch for is looked at anew. A status vouches for the state of one process only (its `witness`): what
//! another one has done since is not in ours.

mod held;
mod standing;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;

use self::standing::Held;
pub(super) use self::standing::{At, Fate, Setup, Standing};
use super::gather::Source;
use crate::api::condition::{self, READY};
use crate::api::image_mirror::MirrorRun;
use crate::api::{ImageMirror, ImageMirrorStatus};
use crate::image::{Repository, Tag};
use crate::mirror::canonical;
use crate::mirror::known::Known;
use crate::mirror::ledger::MOST_TAGS;
use crate::mirror::outcome::{TagReport, Written};
use crate::object::Key;
use crate::store::Mirrored;

/// By mirror. As large as there are mirrors; an object's part goes with it.
#[derive(Debug)]
pub(super) struct Memory {
    /// The name of the state that it goes by.
    witness: String,
    mirrors: Mutex<HashMap<Key, Shared>>,
}

/// What is known of one mirror: changed by its own reconcile, of which there is one at a time, and by what watches its run.
/// Locked for the time of a walk over its tags.
pub(super) type Shared = Arc<Mutex<Remembered>>;

/// What is known of one mirror.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    uid: String,
    /// By ImageRepository.
    pub(super) sources: BTreeMap<Key, Standing>,
    /// The generation that the status vouched for when the program began: all was well then.
    vouched: Option<i64>,
    /// When the tags that are meant to move were last asked for.
    pub(super) looked: Option<Timestamp>,
    /// The request of the annotation that was last acted upon.
    pub(super) handled: Option<String>,
    /// The last run that asked a registry.
    pub(super) last_run: Option<MirrorRun>,
    /// Whether not all destinations answered that were asked for what is known to be there.
    pub(super) owes_answers: bool,
    /// Whether that is since another process was at work.
    pub(super) is_foreign: bool,
    /// What went wrong in the last run besides single tags.
    pub(super) problem: Option<String>,
    /// What was written and is in no ledger that was saved, where there is one.
    pub(super) unsaved: Vec<Written>,
}

impl Memory {
    /// Of whoever has the state of this name.
    pub(super) fn new(witness: String) -> Self {
        Self {
            witness,
            mirrors: Mutex::default(),
        }
    }

    /// The name of the state that it goes by.
    pub(super) fn witness(&self) -> &str {
        &self.witness
    }

    /// What is known of `object`; of an earlier one of its name nothing.
    pub(super) fn of(&self, key: &Key, object: &ImageMirror, now: Timestamp) -> Shared {
        let uid = object.metadata.uid.as_deref().unwrap_or_default();
        let mut all = self.mirrors.lock();
        if let Some(known) = all.get(key)
            && known.lock().uid == uid
        {
            return known.clone();
        }
        let begun = Arc::new(Mutex::new(Remembered::begin(
            uid,
            object,
            &self.witness,
            now,
        )));
        all.insert(key.clone(), begun.clone());
        begun
    }

    /// The object is gone.
    pub(super) fn forget(&self, key: &Key) {
        self.mirrors.lock().remove(key);
    }
}

impl Remembered {
    /// What its status says. Where another state than `witness` was at work last, what is known is old: somebody else may have
    /// written, or deleted, at the destinations.
    fn begin(uid: &str, object: &ImageMirror, witness: &str, now: Timestamp) -> Self {
        let nothing = ImageMirrorStatus::default();
        let status = object.status.as_ref().unwrap_or(&nothing);
        let generation = object.metadata.generation;
        let is_foreign = is_of_another(status, witness);
        let is_well = !is_foreign
            && condition::is_true(&status.conditions, READY)
            && status.observed_generation == generation;
        let interval = super::decide::interval(object);
        // When it looks again was said when it had looked.
        let looked = status.next_run.as_ref().filter(|_| is_well);
        let looked = looked.and_then(|next| next.0.checked_sub(interval).ok());
        Self {
            uid: uid.to_owned(),
            vouched: generation.filter(|_| is_well),
            looked: looked.map(|looked| looked.min(now)),
            handled: status.last_handled_reconcile_at.clone(),
            last_run: status.last_run.clone(),
            owes_answers: is_foreign,
            is_foreign,
            ..Self::default()
        }
    }

    /// Takes in which sources there are, which tags are wanted of them, and what is known to be where. With `keeps_others` what is
    /// known of other sources stays: they may only be out of reach.
    pub(super) fn refresh(
        &mut self,
        sources: &[Source],
        variant: &str,
        keeps_others: bool,
        known: &Known,
    ) {
        if !keeps_others {
            let is_there = |key: &Key| sources.iter().any(|source| source.repository == *key);
            self.sources.retain(|key, _| is_there(key));
        }
        for source in sources {
            let setup = Setup::of(source, variant);
            let copies = setup.copies(known);
            match self.sources.get_mut(&source.repository) {
                Some(standing) if standing.setup == setup => {
                    standing.refresh(&source.tags, &copies);
                }
                _ => {
                    if self.is_foreign {
                        forget_unwanted(known, &setup, &source.tags, &copies);
                    }
                    let standing = Standing::begin(setup, &source.tags, &copies, self.vouched);
                    self.sources.insert(source.repository.clone(), standing);
                }
            }
        }
    }

    /// What is known of `sources`: of those that can be looked at now.
    pub(super) fn at_hand<'a>(
        &'a self,
        sources: &'a [Source],
    ) -> impl Iterator<Item = &'a Standing> {
        let standings = sources.iter();
        standings.filter_map(|source| self.sources.get(&source.repository))
    }

    /// Which sources go from `from` to `to`, and the number of that destination.
    fn routes<'a>(
        &'a mut self,
        from: &'a Repository,
        to: &'a Repository,
    ) -> impl Iterator<Item = (&'a mut Standing, usize)> {
        let (from, to) = (canonical::repository(from), canonical::repository(to));
        let standings = self.sources.values_mut();
        standings.filter_map(move |standing| {
            let number = standing.route(&from, &to)?;
            Some((standing, number))
        })
    }

    /// A destination turned out to lack a tag, or to have something else by it.
    pub(super) fn differs(&mut self, from: &Repository, to: &Repository, tag: &Tag) {
        for (standing, number) in self.routes(from, to) {
            standing.differs(number, tag);
        }
    }

    /// Takes in what was written. No more than a ledger takes: the rest is not owned.
    pub(super) fn wrote(&mut self, written: &Written) {
        if self.unsaved.len() < MOST_TAGS {
            self.unsaved.push(written.clone());
        }
    }

    /// What is at a destination by `tag` has been changed on purpose: it is looked at again.
    pub(super) fn again(&mut self, to: &Repository, tag: &Tag) {
        let to = canonical::repository(to);
        for standing in self.sources.values_mut() {
            standing.again(&to, tag);
        }
    }

    /// Takes in how one tag fared.
    pub(super) fn take(&mut self, report: &TagReport, known: &Known, now: Timestamp) {
        for (standing, number) in self.routes(&report.from, &report.to) {
            standing.take(number, report, known, now);
        }
    }

    /// Whether any tag failed, or was not looked at yet.
    pub(super) fn is_failing(&self) -> bool {
        let tags = self
            .sources
            .values()
            .flat_map(|source| source.tags.values());
        tags.flatten().any(At::is_failing)
    }

    /// What is verified: nothing of sources of which nothing is known yet.
    pub(super) fn mirrored(&mut self, is_rewritten: bool) -> Mirrored {
        let sources = self.sources.iter_mut();
        let verified = sources.map(|(key, standing)| (key.clone(), standing.verified()));
        Mirrored {
            is_rewritten,
            repositories: verified
                .filter(|(_, copies)| copies.is_whole || !copies.tags.is_empty())
                .collect(),
        }
    }
}

/// Of what is wanted all is asked for; what is not wanted now may come back one day, and somebody else may have deleted it.
fn forget_unwanted(known: &Known, setup: &Setup, wanted: &[Tag], copies: &[Held]) {
    let wanted: BTreeSet<&Tag> = wanted.iter().collect();
    for (to, held) in setup.to.iter().zip(copies) {
        for tag in held.keys().filter(|tag| !wanted.contains(tag)) {
            known.forget_tag(to, tag);
        }
    }
}

/// Whether the mirror ran, and not by what `witness` knows.
pub(super) fn is_of_another(status: &ImageMirrorStatus, witness: &str) -> bool {
    status.last_run.is_some() && status.witness.as_deref() != Some(witness)
}

#[cfg(test)]
mod tests;
