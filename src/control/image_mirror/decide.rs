//! What to do with an ImageMirror: from facts to a decision, without looking at anything else.
//!
//! The rules of what is due, each with the requests that it costs:
//! - a tag that was not copied yet, or not well: at once (when others ask for a look, or a retry's time has come);
//! - every `interval`, tags that are meant to move: one HEAD each at the source. They are those that no digit is in, and those
//!   that may be overwritten. Where `Always` lets all be overwritten, all are meant to move;
//! - every `verifyInterval` all tags, on both sides, and at once when the annotation asks for it;
//! - all tags at the source, when nobody vouches for them: for a new mirror, and after a start when not all was well;
//! - all tags on both sides, when the spec has changed.

use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt as _;

use super::gather::{Cure, Facts, Trouble};
use super::memory::{At, Fate, Remembered, Standing};
use crate::api::{ImageMirror, names};
use crate::image::Tag;
use crate::mirror::overwrite::{Overwrite, is_mutable_by_name};
use crate::scan::jitter;

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// It is being deleted: nothing is kept for it.
    Release,
    /// It is suspended: nothing is done.
    Rest,
    /// Only a change of the spec helps.
    Stall(Trouble),
    /// Nothing can be done now.
    Fail(Trouble),
    /// These tags are looked at, and copied where they are missing.
    Run(Plan),
    /// Nothing is due, or not before then.
    Wait,
}

/// A run.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) reason: Reason,
    /// By source: its number among the facts, and the tags.
    pub(super) work: Vec<(usize, Vec<Tag>)>,
    /// Whether all tags of all sources are looked at, on both sides.
    pub(super) is_whole: bool,
    /// Whether destinations are asked even for what is known to be there.
    pub(super) asks_all: bool,
    /// Whether all tags that are meant to move are.
    pub(super) is_look: bool,
}

/// What a run is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// Tags that are not there yet.
    NewTags,
    /// It is time to look whether any have moved.
    Interval,
    /// It is time to look at everything, on both sides.
    Verify,
    /// Somebody asked for it, by the annotation or by changing the spec.
    Requested,
}

impl Reason {
    /// As it stands in the status.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::NewTags => "NewTags",
            Self::Interval => "Interval",
            Self::Verify => "Verify",
            Self::Requested => "Requested",
        }
    }
}

/// How often its sources are looked at: as often as the spec says, but not together with everybody else.
pub(super) fn interval(object: &ImageMirror) -> Duration {
    let uid = object.metadata.uid.as_deref().unwrap_or_default();
    jitter(uid, object.spec.effective_interval())
}

/// How often destinations are asked, the same way; never later than what is known of them is believed. Where that is never
/// believed, each time the sources are looked at.
fn verify_interval(object: &ImageMirror) -> Duration {
    let uid = object.metadata.uid.as_deref().unwrap_or_default();
    let asked = object.spec.effective_verify_interval();
    if asked.is_zero() {
        return interval(object);
    }
    jitter(uid, asked).min(asked)
}

/// The request of the annotation.
pub(super) fn requested_at(object: &ImageMirror) -> Option<&String> {
    object.annotations().get(names::RECONCILE_REQUESTED_AT)
}

pub(super) fn decide(facts: &Facts, known: &Remembered) -> Decision {
    let object = &*facts.object;
    if object.metadata.deletion_timestamp.is_some() {
        return Decision::Release;
    }
    if object.spec.suspend {
        return Decision::Rest;
    }
    let how = match &facts.how {
        Ok(how) => how,
        Err(trouble) => return give_up(trouble),
    };
    if facts.sources.is_empty()
        && let Some(trouble) = worst(&facts.troubles)
    {
        return give_up(trouble);
    }
    let is_requested = requested_at(object).is_some_and(|it| known.handled.as_ref() != Some(it));
    let due = Due::of(facts, &how.overwrite, known);
    let is_verified = due.verify.is_none_or(|at| facts.now < at);
    let is_looked = due.look.is_none_or(|at| facts.now < at);
    let is_new = |standing: &Standing| standing.generation != object.metadata.generation;
    let is_changed = was_seen(object) && known.at_hand(&facts.sources).any(is_new);
    let is_whole = is_requested || is_changed || !is_verified;
    let mut reason = None;
    let mut add = |why: Reason| {
        reason = Some(reason.map_or(
            why,
            |known: Reason| if rank(why) < rank(known) { why } else { known },
        ));
    };
    if is_requested || is_changed {
        add(Reason::Requested);
    } else if !is_verified {
        add(Reason::Verify);
    } else if !is_looked {
        add(Reason::Interval);
    }
    let mut work = Vec::new();
    let mut is_all = true;
    for (number, source) in facts.sources.iter().enumerate() {
        let Some(standing) = known.sources.get(&source.repository) else {
            continue;
        };
        let is_new = is_new(standing);
        if is_new {
            add(Reason::NewTags);
        }
        is_all &= is_whole || is_new;
        let is_due = |tag: &Tag, ends: &[At]| {
            if ends.iter().any(At::is_pending) {
                add(Reason::NewTags);
                return true;
            }
            is_whole || is_new || (!is_looked && may_have_moved(tag, ends, &how.overwrite))
        };
        let tags = due_of(standing, is_due);
        if !tags.is_empty() {
            work.push((number, tags));
        }
    }
    match reason {
        None => Decision::Wait,
        Some(reason) => Decision::Run(Plan {
            reason,
            work,
            is_whole,
            asks_all: is_whole || known.owes_answers,
            is_look: is_all || !is_looked,
        }),
    }
}

fn due_of(standing: &Standing, mut is_due: impl FnMut(&Tag, &[At]) -> bool) -> Vec<Tag> {
    let tags = standing.tags.iter();
    tags.filter(|(tag, ends)| is_due(tag, ends))
        .map(|(tag, _)| tag.clone())
        .collect()
}

/// What a run of several reasons is said to be for.
fn rank(reason: Reason) -> u8 {
    match reason {
        Reason::Requested => 0,
        Reason::Verify => 1,
        Reason::NewTags => 2,
        Reason::Interval => 3,
    }
}

fn give_up(trouble: &Trouble) -> Decision {
    match trouble.cure {
        Cure::Change => Decision::Stall(trouble.clone()),
        Cure::Retry | Cure::Wait => Decision::Fail(trouble.clone()),
    }
}

/// The trouble to tell of: one that may pass, as it is looked at again for that, and rather what somebody has to mend.
pub(super) fn worst(troubles: &[Trouble]) -> Option<&Trouble> {
    troubles.iter().min_by_key(|trouble| match trouble.cure {
        Cure::Retry => 0,
        Cure::Wait => 1,
        Cure::Change => 2,
    })
}

/// Whether all that is to be told is that somebody's turn comes first.
pub(super) fn is_waiting(decision: &Decision, facts: &Facts, known: &Remembered) -> bool {
    let trouble = match decision {
        Decision::Fail(trouble) => Some(trouble),
        Decision::Run(_) | Decision::Wait if known.is_failing() => None,
        Decision::Run(_) | Decision::Wait => worst(&facts.troubles),
        Decision::Release | Decision::Rest | Decision::Stall(_) => None,
    };
    trouble.is_some_and(|trouble| trouble.cure == Cure::Wait)
}

/// Whether an earlier generation was brought to an end.
fn was_seen(object: &ImageMirror) -> bool {
    let observed = object.status.as_ref().and_then(|it| it.observed_generation);
    observed.is_some_and(|observed| observed > 0 && Some(observed) != object.metadata.generation)
}

/// Whether the tag is meant to move, and may have. What a registry does not let be moved is not asked for again and again.
fn may_have_moved(tag: &Tag, ends: &[At], overwrite: &Overwrite) -> bool {
    (is_mutable_by_name(tag) || overwrite.permits(tag))
        && !ends.iter().any(|end| end.fate == Fate::Blocked)
}

/// When what is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Due {
    /// The tags that are meant to move, where there are any; and what is to be deleted.
    pub(super) look: Option<Timestamp>,
    /// All tags.
    pub(super) verify: Option<Timestamp>,
}

impl Due {
    /// Of the sources that can be looked at: what is out of reach is due when it is back.
    pub(super) fn of(facts: &Facts, overwrite: &Overwrite, known: &Remembered) -> Self {
        let object = &*facts.object;
        let tags = || {
            known
                .at_hand(&facts.sources)
                .flat_map(|source| &source.tags)
        };
        let prunes = object
            .spec
            .prune
            .as_ref()
            .is_some_and(|prune| prune.enabled);
        let looks = prunes || tags().any(|(tag, ends)| may_have_moved(tag, ends, overwrite));
        let after = |at: Timestamp, wait: Duration| at.checked_add(wait).unwrap_or(Timestamp::MAX);
        let look = known
            .looked
            .map_or(Timestamp::MIN, |looked| after(looked, interval(object)));
        let asked = tags()
            .flat_map(|(_, ends)| ends)
            .filter_map(At::asked)
            .min();
        Self {
            look: looks.then_some(look),
            verify: asked.map(|asked| after(asked, verify_interval(object))),
        }
    }

    /// The first of all.
    pub(super) fn first(self) -> Option<Timestamp> {
        self.look.into_iter().chain(self.verify).min()
    }
}

#[cfg(test)]
mod tests;
