//! Deleting what this mirror once copied and nobody wants any more, by `mirror::prune`'s rules and the ledger in the cluster.
//!
//! Each time: read the ledger, take in what was written and what is wanted, delete what the status has told before, tell what is
//! deleted next, write the ledger. Without a ledger that can be read and written nothing is deleted; what is lost of it is not ours.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use tokio_util::sync::CancellationToken;

use super::gather::{Facts, Source};
use super::{World, implicit, wanted};
use crate::api::image_mirror::{MOST_PLANNED, PruneStatus};
use crate::api::{ImageMirror, condition};
use crate::cluster::ledger::{self, Held, Owner};
use crate::cluster::{self, with_causes};
use crate::control::Context;
use crate::image::{Digest, Repository, Tag};
use crate::mirror::ledger::Ledger;
use crate::mirror::outcome::Report;
use crate::mirror::prune::{
    Doubt, MOST_DELETIONS, Part, Rules, Sight, announcement, fingerprint, part,
};
use crate::object::Key;
use crate::registry::copy::Place;
use crate::registry::remote::Intent;
use crate::registry::sweep::{Swept, sweep_all};

/// So many refusals are told.
const MOST_REFUSALS: usize = 3;

/// What there is to go by.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    pub(super) facts: &'a Facts,
    /// The run's; the default one where nobody had to be asked.
    pub(super) report: &'a Report,
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
        before,
        cancel,
    } = turn;
    let spec = facts.object.spec.prune.as_ref();
    let spec = spec.filter(|prune| prune.enabled)?;
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
    let owner = Owner {
        key: key.clone(),
        uid: metadata.uid.clone()?,
    };
    let rules = Rules {
        grace: spec.effective_grace(),
        max_percent: spec.max_delete_percent(),
    };
    let mut book = match Book::open(world, owner).await {
        Ok(book) => book,
        Err(why) => {
            status.refused = why;
            return Some(status);
        }
    };
    book.ledger.note(report);
    let looks = looks(context, (key, facts), cancel, &mut book.ledger);
    let told = before
        .and_then(|before| fingerprint(usize::try_from(before.planned).ok()?, &before.sample));
    let is_told = told.is_some_and(|told| book.ledger.has_announced(told));
    let mut refusals = Vec::new();
    let may_go_on = || {
        let is_same = |now: &ImageMirror| {
            now.metadata.uid == metadata.uid && now.metadata.generation == metadata.generation
        };
        let now = context.mirrors.find(key).object();
        !cancel.is_cancelled() && world.lead.is_held() && now.is_some_and(|now| is_same(&now))
    };
    let sweeping = Sweeping {
        rules,
        held: held(report),
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

/// One destination repository, what is wanted there, and what a look at its source was worth.
struct Looked<'a> {
    to: &'a Place,
    at: Timestamp,
    verdict: Result<(), Doubt>,
}

/// A ledger, and where it is kept.
struct Book {
    owner: Owner,
    held: Held,
    ledger: Ledger,
    /// As it is in the cluster; `None`: it is not.
    written: Option<Vec<u8>>,
}

impl Book {
    /// Why nothing can be deleted without it is for the status.
    async fn open(world: &World, owner: Owner) -> Result<Self, String> {
        let (held, bytes) = ledger::read(&world.client.0, &owner).await;
        let ledger = match &bytes {
            Ok(Some(bytes)) => Ledger::decode(bytes).map_err(|error| error.to_string()),
            Ok(None) => Ok(Ledger::default()),
            Err(error) if error.is_damage() => Err(error.to_string()),
            Err(error) => return Err(unavailable(&owner, error)),
        };
        let ledger = ledger.unwrap_or_else(|why| {
            tracing::warn!(mirror = %owner.key, why, "Ledger is begun anew: what was copied before stays for ever");
            Ledger::default()
        });
        Ok(Self {
            owner,
            held,
            ledger,
            written: bytes.ok().flatten(),
        })
    }

    /// Writes it down, unless that is done and need not be made sure of.
    async fn save(&mut self, world: &World, is_sure: bool) -> Result<(), String> {
        let bytes = self.ledger.encode();
        let is_nothing = self.written.is_none() && self.ledger.is_empty();
        if !is_sure && (is_nothing || self.written.as_ref() == Some(&bytes)) {
            return Ok(());
        }
        let written = ledger::write(&world.client.0, &self.owner, &self.held, &bytes).await;
        self.held = written.map_err(|error| unavailable(&self.owner, &error))?;
        self.written = Some(bytes);
        Ok(())
    }
}

/// What is wrong with the ledger, and which rights it takes.
fn unavailable(owner: &Owner, error: &ledger::Error) -> String {
    let what = with_causes(error);
    let namespace = &owner.key.namespace;
    match error {
        ledger::Error::Cluster {
            source: cluster::Error::Forbidden { .. },
            ..
        } => format!(
            "nothing is deleted: {what}; grant get, create, update and delete on configmaps in namespace {namespace}"
        ),
        ledger::Error::Cluster { .. }
        | ledger::Error::Damaged { .. }
        | ledger::Error::TooLong { .. } => format!("nothing is deleted: {what}"),
    }
}

/// Takes in what is wanted of each source; one for each destination repository.
fn looks<'a>(
    context: &Context,
    (mirror, facts): (&Key, &'a Facts),
    cancel: &CancellationToken,
    ledger: &mut Ledger,
) -> Vec<Looked<'a>> {
    let ended = cancel
        .is_cancelled()
        .then(|| "the run was ended".to_owned());
    let troubles = facts.how.as_ref().err().into_iter().chain(&facts.troubles);
    let troubles = troubles.map(|trouble| trouble.message.clone());
    let trouble = ended.into_iter().chain(troubles).next();
    let mut looks = Vec::new();
    for source in &facts.sources {
        // Where something is wrong, what is wanted need not be all.
        let scan = match &trouble {
            Some(trouble) => Err(Doubt::Trouble(trouble.clone())),
            None => scan(context, source),
        };
        let (spec, image) = (&facts.object.spec, &source.from.repository);
        let in_use = wanted::in_use(context, mirror, spec, &source.repository, image);
        let wanted: BTreeSet<Tag> = source.tags.iter().cloned().chain(in_use).collect();
        for to in &source.to {
            let claims = &context.ties.claims;
            if let Some(other) = claims.neighbour(mirror, &to.repository) {
                let other = implicit::shown(&other);
                let doubt = Doubt::Trouble(format!("{other} copies to {} as well", to.repository));
                let (at, verdict) = (facts.now, Err(doubt));
                looks.push(Looked { to, at, verdict });
                continue;
            }
            let (at, looked) = match &scan {
                Ok((at, listed)) => {
                    let sight = Sight {
                        source: &source.from.repository,
                        at: *at,
                        listed: *listed,
                        is_complete: source.is_complete,
                        wanted: &wanted,
                    };
                    (*at, ledger.look(&to.repository, &sight, facts.now))
                }
                Err(doubt) => (facts.now, Err(doubt.clone())),
            };
            looks.push(Looked {
                to,
                at,
                verdict: looked,
            });
        }
    }
    looks
}

/// When the source was scanned last, and how many tags it has; a source that is not well says nothing.
fn scan(context: &Context, source: &Source) -> Result<(Timestamp, usize), Doubt> {
    let name = &source.repository;
    let trouble = |what: &str| Doubt::Trouble(format!("ImageRepository {name} {what}"));
    let object = context.repositories.find(name).object();
    let object = object.ok_or_else(|| trouble("is not there"))?;
    let status = object.status.as_ref();
    let status = status.ok_or_else(|| trouble("was not scanned yet"))?;
    if object.spec.suspend {
        return Err(trouble("is suspended"));
    }
    if !condition::is_true(&status.conditions, condition::READY) {
        return Err(trouble("is not ready"));
    }
    let last = status.last_scan_result.as_ref();
    let at = last.and_then(|last| Some(last.scan_time.as_ref()?.0));
    let held = context.store.snapshot().repository(name);
    match (at, held) {
        // What was scanned in the future was not.
        (Some(at), Some(held)) => Ok((at.min(context.clock.now()), held.tag_count())),
        _ => Err(trouble("was not scanned yet")),
    }
}

fn parts(ledger: &Ledger, looks: &[Looked<'_>], rules: Rules) -> Vec<Part> {
    let parts = looks.iter().map(|Looked { to, at, verdict }| {
        part(ledger, &to.repository, *at, verdict.clone(), rules)
    });
    parts.collect()
}

/// How to sweep.
struct Sweeping<'a> {
    rules: Rules,
    /// The images that are at destinations because they are wanted.
    held: BTreeMap<Repository, BTreeSet<Digest>>,
    /// Whether the status has told what the ledger says it did.
    is_told: bool,
    may_go_on: &'a (dyn Fn() -> bool + Send + Sync),
}

/// Deletes what was told before, and what belonged to it. The ledger is written first: whoever cannot write it, or not any
/// more, deletes nothing.
async fn sweep(
    world: &World,
    book: &mut Book,
    looks: &[Looked<'_>],
    sweeping: Sweeping<'_>,
) -> Result<Vec<Swept>, String> {
    let Sweeping {
        rules,
        held,
        is_told,
        may_go_on,
    } = sweeping;
    let mut due = Vec::new();
    for (part, Looked { to, .. }) in parts(&book.ledger, looks, rules).into_iter().zip(looks) {
        if part.refused.is_some() {
            continue;
        }
        let held = held.get(&part.to).cloned().unwrap_or_default();
        let tags = part
            .due
            .into_iter()
            .filter(|due| is_told && due.is_announced);
        let tags: Vec<_> = tags.map(|due| (due.tag, due.digest)).collect();
        if !tags.is_empty() || !book.ledger.orphans(&part.to, &held).is_empty() {
            due.push((*to, tags, held));
        }
    }
    if due.is_empty() {
        return Ok(Vec::new());
    }
    book.save(world, true).await?;
    let mut room = MOST_DELETIONS;
    let mut swept = Vec::new();
    for (to, tags, held) in due {
        let Place { repository, access } = to;
        let client = &world.registry;
        let remote = client
            .remote(repository.clone(), access.clone(), Intent::Write)
            .mandated(world.mandate.clone());
        let ledger = &mut book.ledger;
        let of_one = sweep_all(&remote, ledger, tags, Some(&held), &mut room, may_go_on).await;
        // Should it come back, it has to be copied.
        for tag in &of_one.deleted {
            world.known.forget_tag(repository, tag);
        }
        swept.push(of_one);
    }
    Ok(swept)
}

/// The images that are at destinations because they are wanted, whosever they are.
fn held(report: &Report) -> BTreeMap<Repository, BTreeSet<Digest>> {
    let mut held: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for tag in &report.tags {
        if let Some(digest) = &tag.destination {
            let of_one = held.entry(tag.to.clone()).or_default();
            of_one.insert(digest.clone());
        }
    }
    held
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
