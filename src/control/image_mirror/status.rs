//! The status that follows from an object, a decision and what is known of its tags. Pure: one function in, one status out.
//!
//! Ready is True when every wanted tag is at every destination as it is at the source; a tag that the source lost meanwhile
//! is counted, and hurts nobody. It is False, with a retry coming, when something failed; and False and Stalled when tags are
//! something else at a destination and may not be overwritten, or may not be moved: no retry will help, and whoever goes by
//! the mirror must not believe in them.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::decide::{self, Decision, Due};
use super::gather::{Cure, Facts};
use super::memory::{At, Fate, Remembered, Standing};
use crate::api::condition::{self, Moment, Status, reason};
use crate::api::image_mirror::{
    LONGEST_MESSAGE, MOST_OUTCOMES, PruneStatus, TagCounts, TagOutcome,
};
use crate::api::{ImageMirror, ImageMirrorStatus};
use crate::control::queue::Next;
use crate::control::settle::{self, Verdict, settle};
use crate::image::{Digest, Tag};
use crate::object::Key;

/// So many tags that were copied are listed, the last first.
const MOST_COPIED: usize = 20;
/// The outcomes take no more bytes than these, so that all of a status is below 64 KiB.
const MOST_BYTES: usize = 40 << 10;
/// A message of a condition is cut to so many characters.
const LONGEST_WORDS: usize = 1024;

/// The new status, and when to look at the object again.
pub(super) fn compute(
    facts: &Facts,
    decision: &Decision,
    known: &Remembered,
    prune: Option<PruneStatus>,
) -> (ImageMirrorStatus, Next) {
    let Facts { object, now, .. } = facts;
    let mut status = object.status.clone().unwrap_or_default();
    // Success or failure: the request was handled, unless the object rests.
    if *decision != Decision::Rest
        && let Some(token) = decide::requested_at(object)
    {
        status.last_handled_reconcile_at = Some(token.clone());
    }
    let at = Moment {
        generation: object.metadata.generation.unwrap_or(0),
        now: *now,
    };
    let doing = || settle::doing(status.observed_generation, at.generation);
    let (verdict, next) = match decision {
        Decision::Release | Decision::Rest => (Verdict::Suspended, Next::Await),
        Decision::Stall(trouble) => {
            let verdict = Verdict::Stalled {
                reason: trouble.reason,
                message: cut(&trouble.message, LONGEST_WORDS),
            };
            (verdict, Next::Await)
        }
        Decision::Fail(trouble) => {
            let verdict = Verdict::Failed {
                reason: trouble.reason,
                message: cut(&trouble.message, LONGEST_WORDS),
                doing: doing(),
            };
            (verdict, Next::RETRY)
        }
        Decision::Run(_) | Decision::Wait => {
            let judged = judge(facts, known, doing());
            let tally = Tally::of(object, known);
            status.tags = Some(tally.counts);
            status.outcomes = tally.outcomes;
            status.omitted_outcomes = tally.omitted;
            judged
        }
    };
    status.last_run.clone_from(&known.last_run);
    status.next_run = match decision {
        Decision::Run(_) | Decision::Wait => next_look(facts, known).map(|at| Time(whole(at))),
        Decision::Release | Decision::Rest | Decision::Stall(_) | Decision::Fail(_) => None,
    };
    if prune.is_some() {
        status.prune = prune;
    }
    if let Some(told) = &mut status.prune
        && !object.spec.prune.as_ref().is_some_and(|it| it.enabled)
    {
        // Nothing is owned nor about to be deleted: it begins anew, and tells so, when it is switched on again.
        *told = PruneStatus {
            deleted: told.deleted,
            last_deletion: told.last_deletion.clone(),
            ..PruneStatus::default()
        };
    }
    settle(
        &mut status.conditions,
        &mut status.observed_generation,
        at,
        &verdict,
    );
    (status, next)
}

/// When it looks at its sources again.
fn next_look(facts: &Facts, known: &Remembered) -> Option<Timestamp> {
    let how = facts.how.as_ref().ok()?;
    Due::of(facts, &how.overwrite, known).first()
}

/// What is to be said of all tags, and when to look again.
fn judge(facts: &Facts, known: &Remembered, doing: String) -> (Verdict, Next) {
    let due = next_look(facts, known).map(|at| {
        let wait = at.duration_since(facts.now);
        Duration::try_from(wait).unwrap_or_default()
    });
    let mut ends = known
        .at_hand(&facts.sources)
        .flat_map(|source| source.tags.values())
        .flatten();
    let due = if ends.any(At::is_pending) {
        Some(Duration::ZERO)
    } else {
        due
    };
    let later = due.map_or(Next::Await, Next::After);
    let retry = Next::Retry {
        at_least: Duration::ZERO,
        at_most: due.filter(|due| !due.is_zero()).unwrap_or(Duration::MAX),
    };
    let all = tag_count(known, |_| true);
    if known.is_failing() {
        let verdict = Verdict::Failed {
            reason: reason::COPY_FAILED,
            message: failure(known, all),
            doing,
        };
        return (verdict, retry);
    }
    if let Some(trouble) = decide::worst(&facts.troubles) {
        let message = cut(&trouble.message, LONGEST_WORDS);
        let reason = trouble.reason;
        return match trouble.cure {
            Cure::Change => (Verdict::Stalled { reason, message }, later),
            Cure::Retry | Cure::Wait => {
                let verdict = Verdict::Failed {
                    reason,
                    message,
                    doing,
                };
                (verdict, retry)
            }
        };
    }
    if let Some((reason, message)) = deviation(known, all) {
        return (Verdict::Stalled { reason, message }, later);
    }
    let mirrored = tag_count(known, |ends| ends.iter().all(At::is_mirrored));
    let ends = facts.object.spec.destinations.len();
    let message = format!(
        "mirrored {mirrored} of {} to {}",
        number(all, "tag"),
        number(ends, "destination")
    );
    (Verdict::Ready { message }, later)
}

/// The tags for which it holds, each counted once however many destinations there are.
fn tag_count(known: &Remembered, is_so: impl Fn(&[At]) -> bool) -> usize {
    let sources = known.sources.values();
    sources
        .flat_map(|source| source.tags.values())
        .filter(|ends| is_so(ends))
        .count()
}

/// What failed: how much, and the first of it.
fn failure(known: &Remembered, all: usize) -> String {
    let failing = tag_count(known, |ends| ends.iter().any(At::is_failing));
    let mut message = format!("failed to mirror {failing} of {}", number(all, "tag"));
    let first = entries(known).filter(|entry| entry.end.is_failing());
    let first = first.min_by_key(|entry| rank(entry.end.fate));
    let cause = first.filter(|first| !first.end.message.is_empty());
    if let Some(cause) = cause {
        message.push_str(": ");
        message.push_str(&cause.words());
    } else if let Some(problem) = &known.problem {
        message.push_str(": ");
        message.push_str(problem);
    }
    cut(&message, LONGEST_WORDS)
}

/// What is there and is not as it should be: the reason, and the first of it.
fn deviation(known: &Remembered, all: usize) -> Option<(&'static str, String)> {
    let is_so = |end: &At| matches!(end.fate, Fate::Drifted | Fate::Blocked);
    let first = entries(known).filter(|entry| is_so(entry.end));
    let first = first.min_by_key(|entry| rank(entry.end.fate))?;
    let count = tag_count(known, |ends| ends.iter().any(is_so))
        + known
            .sources
            .values()
            .map(|source| source.beside.len())
            .sum::<usize>();
    let (reason, why) = if first.end.fate == Fate::Blocked {
        (
            reason::BLOCKED_BY_IMMUTABILITY,
            "cannot be moved at a destination",
        )
    } else {
        (
            reason::DRIFTED,
            "differ at a destination, and may not be overwritten (spec.overwrite)",
        )
    };
    let words = first.words();
    let message = format!("{count} of {} {why}: {words}", number(all, "tag"));
    Some((reason, cut(&message, LONGEST_WORDS)))
}

/// One tag at one destination.
struct Entry<'a> {
    repository: &'a Key,
    standing: &'a Standing,
    tag: &'a Tag,
    number: usize,
    end: &'a At,
}

impl Entry<'_> {
    fn words(&self) -> String {
        let Self {
            standing,
            tag,
            end,
            number,
            ..
        } = self;
        let to = standing.setup.to.get(*number);
        let to = to.map_or_else(String::new, ToString::to_string);
        if end.message.is_empty() {
            format!("{to}:{tag}")
        } else {
            format!("{to}:{tag}: {}", end.message)
        }
    }

    fn outcome(&self, object: &ImageMirror) -> TagOutcome {
        let Self {
            repository,
            tag,
            number,
            end,
            ..
        } = self;
        let destination = object.spec.destinations.get(*number);
        let text = |digest: &Digest| digest.as_str().to_owned();
        let copied = end.copied.as_ref().filter(|_| end.is_mirrored());
        let source = copied.map(|copied| &copied.source).or(end.source.as_ref());
        let there = copied
            .map(|copied| &copied.destination)
            .or(end.found.as_ref());
        TagOutcome {
            tag: tag.to_string(),
            repository: repository.name.to_string(),
            destination: destination.map_or_else(String::new, |one| one.name.clone()),
            outcome: name(end.fate).to_owned(),
            message: cut(&end.message, LONGEST_MESSAGE),
            source_digest: source.map(text),
            destination_digest: there.map(text),
        }
    }
}

/// All tags at all destinations, and what is beside them.
fn entries(known: &Remembered) -> impl Iterator<Item = Entry<'_>> {
    known.sources.iter().flat_map(|(repository, standing)| {
        let tags = standing.tags.iter().flat_map(|(tag, ends)| {
            let ends = ends.iter().enumerate();
            ends.map(move |(number, end)| (tag, number, end))
        });
        let beside = standing.beside.iter();
        let beside = beside.map(|((tag, number), end)| (tag, *number, end));
        tags.chain(beside).map(move |(tag, number, end)| Entry {
            repository,
            standing,
            tag,
            number,
            end,
        })
    })
}

/// What is said of all tags.
struct Tally {
    counts: TagCounts,
    outcomes: Vec<TagOutcome>,
    omitted: i64,
}

impl Tally {
    fn of(object: &ImageMirror, known: &Remembered) -> Self {
        let of_tags = || {
            known
                .sources
                .values()
                .flat_map(|source| source.tags.values())
                .flatten()
        };
        let count =
            |is_so: &dyn Fn(&At) -> bool| signed(of_tags().filter(|end| is_so(end)).count());
        let beside: usize = known
            .sources
            .values()
            .map(|source| source.beside.len())
            .sum();
        let (total, mirrored) = (count(&|_| true), count(&At::is_mirrored));
        let counts = TagCounts {
            total,
            mirrored,
            drifted: count(&|end| end.fate == Fate::Drifted).saturating_add(signed(beside)),
            blocked: count(&|end| end.fate == Fate::Blocked),
            failed: count(&|end| end.fate == Fate::Failed),
            summary: format!("{mirrored}/{total}"),
        };
        let mut worth: Vec<_> = entries(known)
            .filter(|entry| !matches!(entry.end.fate, Fate::Unchanged | Fate::New))
            .collect();
        worth.sort_by(|one, other| {
            let key = |entry: &Entry<'_>| {
                // Of those that were copied the last one first, of the others the order is that of names.
                let at = matches!(entry.end.fate, Fate::Copied).then_some(entry.end.since);
                (rank(entry.end.fate), std::cmp::Reverse(at))
            };
            key(one).cmp(&key(other))
        });
        let (mut bytes, mut copied) = (0_usize, 0_usize);
        let mut outcomes = Vec::new();
        for entry in &worth {
            copied += usize::from(entry.end.fate == Fate::Copied);
            if outcomes.len() == MOST_OUTCOMES || copied > MOST_COPIED {
                break;
            }
            let outcome = entry.outcome(object);
            bytes = bytes.saturating_add(size(&outcome));
            if bytes > MOST_BYTES {
                break;
            }
            outcomes.push(outcome);
        }
        let omitted = signed(worth.len().saturating_sub(outcomes.len()));
        Self {
            counts,
            outcomes,
            omitted,
        }
    }
}

/// The worst first.
fn rank(fate: Fate) -> u8 {
    match fate {
        Fate::Failed => 0,
        Fate::NotBegun => 1,
        Fate::New => 2,
        Fate::Blocked => 3,
        Fate::Drifted => 4,
        Fate::Gone => 5,
        Fate::Copied => 6,
        Fate::Unchanged => 7,
    }
}

/// As it stands in the status. What the source lost before its turn came was not begun.
fn name(fate: Fate) -> &'static str {
    match fate {
        Fate::Failed => "Failed",
        Fate::NotBegun | Fate::New | Fate::Gone => "NotBegun",
        Fate::Blocked => "BlockedByImmutability",
        Fate::Drifted => "Drifted",
        Fate::Copied => "Copied",
        Fate::Unchanged => "Unchanged",
    }
}

/// How many bytes it takes in a status.
fn size(outcome: &TagOutcome) -> usize {
    serde_json::to_vec(outcome).map_or(usize::MAX, |json| json.len())
}

fn number(count: usize, of: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {of}{plural}")
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().nth(most).is_none() {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    kept + "…"
}

/// A status keeps whole seconds.
pub(super) fn whole(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

/// The status while a long run is under way: what was said last stays, and that it goes on is said besides.
pub(super) fn in_progress(object: &ImageMirror, doing: &str, now: Timestamp) -> ImageMirrorStatus {
    let mut status = object.status.clone().unwrap_or_default();
    let at = Moment {
        generation: object.metadata.generation.unwrap_or(0),
        now,
    };
    condition::mark_reconciling(&mut status.conditions, at, reason::PROGRESSING, doing);
    let ready = condition::get(&status.conditions, condition::READY);
    if ready.is_none_or(|ready| ready.status == Status::Unknown.as_str()) {
        condition::set(
            &mut status.conditions,
            at,
            condition::READY,
            Status::Unknown,
            reason::PROGRESSING,
            doing,
        );
    }
    status
}

#[cfg(test)]
mod tests;
