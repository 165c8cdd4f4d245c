//! Deleting what this mirror once copied and nobody wants any more, by `mirror::prune`'s rules and the ledger in the cluster.
//!
//! Each time: read the ledger, take in what was written and what is wanted, delete what the status has told before, tell what is
//! deleted next, write the ledger. Without a ledger that can be read and written nothing is deleted; what is lost of it is not ours.

mod book;
mod looks;

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use tokio_util::sync::CancellationToken;

use self::book::Book;
pub(super) use self::book::keep;
use self::looks::{Looked, blind, forget_looks, looks, parts, still_holds};
use super::gather::Facts;
use super::memory::Shared;
use super::{World, tell_saved};
use crate::api::ImageMirror;
use crate::api::image_mirror::{MOST_PLANNED, PruneStatus};
use crate::cluster::with_causes;
use crate::control::Context;
use crate::image::{Digest, Repository, Tag};
use crate::mirror::canonical;
use crate::mirror::ledger::Ledger;
use crate::mirror::outcome::{Outcome, Report, TagReport};
use crate::mirror::prune::{MOST_DELETIONS, Rules, announcement, fingerprint};
use crate::object::Key;
use crate::registry::copy::Place;
use crate::registry::remote::{Intent, Remote};
use crate::registry::sweep::{Swept, Unended, end_all_broken_off, sweep_all};
use crate::state::Kept;

/// So many refusals are told.
const MOST_REFUSALS: usize = 3;

/// What there is to go by.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    pub(super) facts: &'a Facts,
    /// The run's; the default one where nobody had to be asked.
    pub(super) report: &'a Report,
    /// What is known of the mirror, with what was written and is in no ledger yet.
    pub(super) memory: &'a Shared,
    /// What the status says.
    pub(super) before: Option<&'a PruneStatus>,
    /// Ended, nothing more is deleted; ended before it began, what was created is noted all the same.
    pub(super) cancel: &'a CancellationToken,
}

/// Notes what a run created, and deletes what it may. Called whenever the sources were looked at, run or not, before the status is
/// written: what it answers is the status's part. `None`: there is nothing to say.
pub(super) async fn prune(
    context: &Context,
    world: &World,
    key: &Key,
    turn: Turn<'_>,
) -> Option<PruneStatus> {
    let Turn {
        facts,
        report,
        memory,
        before,
        cancel,
    } = turn;
    let Some(owner) = book::owner(key, &facts.object) else {
        // What is written while nothing is owned is nobody's.
        memory.lock().unsaved.clear();
        return None;
    };
    let spec = facts.object.spec.prune.as_ref()?;
    let metadata = &facts.object.metadata;
    if facts.object.spec.suspend || metadata.deletion_timestamp.is_some() {
        return before.cloned();
    }
    let mut status = PruneStatus {
        planned: 0,
        sample: Vec::new(),
        refused: String::new(),
        ..before.cloned().unwrap_or_default()
    };
    let rules = Rules {
        grace: spec.effective_grace(),
        max_percent: spec.max_delete_percent(),
    };
    let mut book = match Book::open(world, owner, memory).await {
        Ok(book) => book,
        Err(why) => {
            status.refused = why;
            return Some(status);
        }
    };
    let mut seen = Report {
        tags: report.tags.clone(),
        ..Report::default()
    };
    end_broken_off(world, (facts, memory), &book.ledger, &mut seen, cancel).await;
    book.ledger.note(&seen);
    // A status that owns nothing is of a mirror that did not delete until now.
    if before.is_none_or(|before| before.owned == 0) {
        forget_looks(facts, &mut book.ledger, rules);
    }
    let looks = looks(context, (key, facts), cancel, &mut book.ledger);
    let told = before
        .and_then(|before| fingerprint(usize::try_from(before.planned).ok()?, &before.sample));
    let is_told = told.is_some_and(|told| book.ledger.has_announced(told));
    let mut refusals = Vec::new();
    refusals.extend(blind(context).map(|why| format!("nothing is deleted: {why}")));
    let may_go_on = |look: &Looked<'_>| {
        let is_same = |now: &ImageMirror| {
            now.metadata.uid == metadata.uid && now.metadata.generation == metadata.generation
        };
        let now = context.mirrors.find(key).object();
        let is_ours = !cancel.is_cancelled() && world.lead.is_held();
        is_ours && now.is_some_and(|now| is_same(&now)) && still_holds(context, (key, facts), look)
    };
    let sweeping = Sweeping {
        rules,
        facts,
        memory,
        is_told,
        may_go_on: &may_go_on,
    };
    let swept = sweep(world, &mut book, &looks, sweeping).await;
    match swept {
        Ok(swept) => {
            let deleted: usize = swept.iter().map(|swept| swept.deleted.len()).sum();
            if deleted > 0 {
                tracing::info!(mirror = %key, deleted, "Deleted tags that nobody wants any more");
                status.deleted = count(deleted);
                status.last_deletion = Some(Time(whole(context.clock.now())));
            }
            refusals.extend(swept.into_iter().filter_map(|swept| swept.trouble));
        }
        Err(why) => refusals.push(why),
    }
    let parts = parts(&book.ledger, &looks, rules);
    let (planned, sample) = announcement(&parts, MOST_PLANNED);
    let next = parts.iter().flat_map(|part| {
        let due = part.due.iter();
        due.map(|due| (part.to.clone(), due.tag.clone()))
    });
    book.ledger
        .announce(&next.collect(), fingerprint(planned, &sample));
    refusals.extend(parts.iter().filter_map(|part| {
        let refused = part.refused.as_ref()?;
        Some(format!("{}: {refused}", part.to))
    }));
    status.owned = count(parts.iter().map(|part| part.owned).sum());
    status.planned = count(planned);
    status.sample = sample;
    if let Err(why) = book.save(world, false).await {
        refusals.insert(0, why);
    }
    status.refused = sentence(refusals);
    Some(status)
}

/// How to sweep.
struct Sweeping<'a> {
    rules: Rules,
    facts: &'a Facts,
    memory: &'a Shared,
    /// Whether the status has told what the ledger says it did.
    is_told: bool,
    may_go_on: &'a (dyn Fn(&Looked<'_>) -> bool + Send + Sync),
}

/// What goes at one destination repository.
struct Due<'a> {
    look: &'a Looked<'a>,
    tags: Vec<(Tag, Digest)>,
    /// The images that are there, whosever they are; `None`: that is not known of all that are wanted.
    held: Option<BTreeSet<Digest>>,
}

/// Deletes what was told before, and what belonged to it. The ledger is written first: whoever cannot write it, or not any
/// more, deletes nothing.
async fn sweep(
    world: &World,
    book: &mut Book<'_>,
    looks: &[Looked<'_>],
    sweeping: Sweeping<'_>,
) -> Result<Vec<Swept>, String> {
    let Sweeping {
        rules,
        facts,
        memory,
        is_told,
        may_go_on,
    } = sweeping;
    let mut all = Vec::new();
    for (part, look) in parts(&book.ledger, looks, rules).into_iter().zip(looks) {
        if part.refused.is_some() || look.verdict.is_err() {
            continue;
        }
        let tags = part
            .due
            .into_iter()
            .filter(|due| is_told && due.is_announced);
        let tags: Vec<_> = tags.map(|due| (due.tag, due.digest)).collect();
        let going: BTreeSet<&Tag> = tags.iter().map(|(tag, _)| tag).collect();
        let held = memory.lock().held(
            (&part.to, &look.lost),
            &facts.sources,
            &world.known,
            |tag| going.contains(tag),
        );
        let is_orphaned = |held| !book.ledger.orphans(&part.to, held).is_empty();
        if !tags.is_empty() || held.as_ref().is_some_and(is_orphaned) {
            all.push(Due { look, tags, held });
        }
    }
    if all.is_empty() {
        return Ok(Vec::new());
    }
    book.save(world, true).await?;
    // Should one come back, it has to be copied, also when this process does not live to see it.
    for Due { look, tags, .. } in &all {
        for (tag, _) in tags {
            world.known.forget_tag(&look.to.repository, tag);
        }
    }
    let kept = Kept {
        known: world.known.clone(),
        state: world.state.clone(),
    };
    let saved = kept.save().await;
    let saved = saved.map_err(|error| format!("nothing is deleted: {}", with_causes(&error)))?;
    tell_saved(Ok(saved));
    let mut room = MOST_DELETIONS;
    let mut swept = Vec::new();
    for Due { look, tags, held } in all {
        let repository = &look.to.repository;
        let remote = writer(world, look.to);
        let may_go_on = || may_go_on(look);
        let ledger = &mut book.ledger;
        // What belongs to images comes after them: where it is not known which are there, it does not come at all.
        let held = held.as_ref();
        let of_one = sweep_all(&remote, ledger, tags, held, &mut room, &may_go_on).await;
        // What belonged to images, too.
        for tag in &of_one.deleted {
            world.known.forget_tag(repository, tag);
        }
        swept.push(of_one);
    }
    Ok(swept)
}

/// What an earlier turn left with a placeholder is copied by the next run.
async fn end_broken_off(
    world: &World,
    (facts, memory): (&Facts, &Shared),
    ledger: &Ledger,
    seen: &mut Report,
    cancel: &CancellationToken,
) {
    let remote = |to: &Repository| {
        let to = canonical::repository(to);
        let mut places = facts.sources.iter().flat_map(|source| &source.to);
        let place = places.find(|place| canonical::repository(&place.repository) == to)?;
        (!cancel.is_cancelled()).then(|| writer(world, place))
    };
    let ended = |one: &TagReport, tag: &Tag, ended: Result<(), Unended>| {
        let to = &one.to;
        match ended {
            Ok(()) => {
                world.known.forget_tag(to, tag);
                memory.lock().again(to, tag);
            }
            // It stands as the drift that it looks like, until the next look.
            Err(unended @ Unended::Unread { .. }) => tracing::warn!("{to}:{tag}: {unended}"),
            Err(unended @ Unended::Stays { .. }) => {
                tracing::warn!("{to}:{tag}: {unended}");
                let outcome = Outcome::Failed {
                    cause: unended.to_string(),
                    is_temporary: true,
                };
                let failed = TagReport {
                    outcome,
                    ..one.clone()
                };
                memory.lock().take(&failed, &world.known, facts.now);
            }
        }
    };
    end_all_broken_off(ledger, seen, remote, ended).await;
}

/// A way to write, while this process may.
fn writer(world: &World, place: &Place) -> Remote {
    let Place { repository, access } = place.clone();
    let remote = world.registry.remote(repository, access, Intent::Write);
    remote.mandated(world.mandate.clone())
}

/// The first few, in one sentence.
fn sentence(refusals: Vec<String>) -> String {
    let more = refusals.len().saturating_sub(MOST_REFUSALS);
    let told: Vec<String> = refusals.into_iter().take(MOST_REFUSALS).collect();
    let text = told.join("; ");
    match more {
        0 => text,
        more => format!("{text}; and {more} more"),
    }
}

/// As a status shows it.
fn whole(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
