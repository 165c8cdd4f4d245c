//! Looks at the sources, as far as they can be believed: a look is at the very list that the wanted tags were taken from.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::super::gather::{Facts, Listed, Source};
use super::super::{gather, implicit, wanted};
use crate::api::condition;
use crate::control::Context;
use crate::image::{Repository, Tag};
use crate::mirror::canonical;
use crate::mirror::ledger::Ledger;
use crate::mirror::prune::{Doubt, Part, Rules, Sight, part};
use crate::object::Key;
use crate::registry::copy::Place;
use crate::store::RepositoryTags;

/// One destination repository, what is wanted there, and what a look at its sources was worth.
pub(super) struct Looked<'a> {
    /// All that copy there: the same image, by however many names.
    sources: Vec<&'a Source>,
    pub(super) to: &'a Place,
    pub(super) at: Timestamp,
    pub(super) verdict: Result<(), Doubt>,
    /// What policies have elected there.
    in_use: BTreeSet<Tag>,
    /// What is in use although no source's list has it.
    pub(super) lost: Vec<Tag>,
}

/// Takes in what is wanted of each source; one for each destination repository.
pub(super) fn looks<'a>(
    context: &Context,
    (mirror, facts): (&Key, &'a Facts),
    cancel: &CancellationToken,
    ledger: &mut Ledger,
) -> Vec<Looked<'a>> {
    gather::settle(context);
    let ended = cancel
        .is_cancelled()
        .then(|| "the run was ended".to_owned());
    let blind = blind(context).map(str::to_owned);
    let troubles = facts.how.as_ref().err().into_iter().chain(&facts.troubles);
    let troubles = troubles.map(|trouble| trouble.message.clone());
    let trouble = ended.into_iter().chain(blind).chain(troubles).next();
    let mut looks = Vec::new();
    for (to, sources) in destinations(facts) {
        let scan = match &trouble {
            // Where something is wrong, what is wanted need not be all.
            Some(trouble) => Err(Doubt::Trouble(trouble.clone())),
            None => scan_all(context, &sources),
        };
        let in_use = in_use(context, (mirror, facts), &sources);
        let lists: Vec<_> = sources
            .iter()
            .filter_map(|source| stored(context, source))
            .collect();
        let is_listed = |tag: &&Tag| {
            lists
                .iter()
                .any(|list| list.index_of(tag.as_str()).is_some())
        };
        let lost = in_use.iter().filter(|tag| !is_listed(tag)).cloned();
        let lost: Vec<Tag> = lost.collect();
        let wanted = sources.iter().flat_map(|source| &source.tags);
        let wanted: BTreeSet<Tag> = wanted.chain(&in_use).cloned().collect();
        let neighbour = context.ties.claims.neighbour(mirror, &to.repository);
        let (at, verdict) = match (neighbour, &scan) {
            (Some(other), _) => {
                let other = implicit::shown(&other);
                let doubt = format!("{other} copies to {} as well", to.repository);
                (facts.now, Err(Doubt::Trouble(doubt)))
            }
            (None, Ok(at)) => {
                let listed = sources.iter().map(|source| source.listed.count).min();
                let image = sources.first().map(|source| &source.from.repository);
                let sight = Sight {
                    source: image.unwrap_or(&to.repository),
                    at: *at,
                    listed: listed.unwrap_or_default(),
                    is_complete: sources.iter().all(|source| source.is_complete),
                    wanted: &wanted,
                };
                (*at, ledger.look(&to.repository, &sight, facts.now))
            }
            (None, Err(doubt)) => (facts.now, Err(doubt.clone())),
        };
        looks.push(Looked {
            sources,
            to,
            at,
            verdict,
            in_use,
            lost,
        });
    }
    looks
}

/// Each destination repository once, with all sources that copy there.
fn destinations(facts: &Facts) -> Vec<(&Place, Vec<&Source>)> {
    let mut all: Vec<(&Place, Vec<&Source>)> = Vec::new();
    let mut numbers: BTreeMap<Cow<'_, Repository>, usize> = BTreeMap::new();
    for source in &facts.sources {
        for to in &source.to {
            let name = canonical::repository(&to.repository);
            let number = *numbers.entry(name).or_insert(all.len());
            match all.get_mut(number) {
                Some((_, sources)) => sources.push(source),
                None => all.push((to, vec![source])),
            }
        }
    }
    all
}

/// What policies have elected of the sources.
fn in_use(
    context: &Context,
    (mirror, facts): (&Key, &Facts),
    sources: &[&Source],
) -> BTreeSet<Tag> {
    let spec = &facts.object.spec;
    let of = |source: &&Source| {
        let image = &source.from.repository;
        wanted::in_use(context, mirror, spec, &source.repository, image)
    };
    sources.iter().flat_map(of).collect()
}

/// Why this process cannot know who else copies to the same places, if it cannot.
pub(super) fn blind(context: &Context) -> Option<&'static str> {
    let shard = context.settings.scope.label_selector.as_ref();
    shard.map(|_| {
        "mirrors of other shards (--watch-label-selector) may copy to the same places, and are not seen here"
    })
}

/// Begins anew with all that is not wanted: nobody looked for a while, and it may have been wanted meanwhile.
pub(super) fn forget_looks(facts: &Facts, ledger: &mut Ledger, rules: Rules) {
    for source in &facts.sources {
        for to in &source.to {
            let doubted = Err(Doubt::Incomplete);
            let Part { due, waiting, .. } = part(ledger, &to.repository, facts.now, doubted, rules);
            let due = due.into_iter().map(|due| due.tag);
            let sight = Sight {
                source: &source.from.repository,
                at: facts.now,
                listed: 0,
                is_complete: false,
                wanted: &waiting.into_iter().chain(due).collect(),
            };
            // It says of itself that it has gaps, so it speaks for what it names and against nothing.
            drop(ledger.look(&to.repository, &sight, facts.now));
        }
    }
}

/// Whether what was looked at is as it was: the same lists, the same elections, and nobody else copies there.
pub(super) fn still_holds(
    context: &Context,
    (mirror, facts): (&Key, &Facts),
    look: &Looked<'_>,
) -> bool {
    gather::settle(context);
    let other = context.ties.claims.neighbour(mirror, &look.to.repository);
    other.is_none()
        && scan_all(context, &look.sources).is_ok()
        && in_use(context, (mirror, facts), &look.sources) == look.in_use
}

fn stored(context: &Context, source: &Source) -> Option<Arc<RepositoryTags>> {
    context.store.snapshot().repository(&source.repository)
}

/// When the oldest of the lists was read; one that cannot be believed makes all of them doubtful.
fn scan_all(context: &Context, sources: &[&Source]) -> Result<Timestamp, Doubt> {
    let mut oldest = Timestamp::MAX;
    for source in sources {
        oldest = oldest.min(scan(context, source)?);
    }
    Ok(oldest)
}

/// When the list was read that the source's tags are of; a source that is not well says nothing, nor one that was scanned since.
fn scan(context: &Context, source: &Source) -> Result<Timestamp, Doubt> {
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
    let last = last.and_then(|last| Some((last.scan_time.as_ref()?.0, &last.revision)));
    let (Some((at, revision)), Some(held)) = (last, stored(context, source)) else {
        return Err(trouble("was not scanned yet"));
    };
    if Listed::of(&held) != source.listed {
        return Err(trouble("was scanned meanwhile, and has other tags"));
    }
    // The status may be of the scan before; one of a later scan that found something else is of a list that nobody has here.
    let since = held.scan_time();
    if since < at && **revision != *held.revision() {
        return Err(trouble("has other tags than are known here"));
    }
    // What was scanned in the future was not.
    Ok(at.max(since).min(context.clock.now()))
}

pub(super) fn parts(ledger: &Ledger, looks: &[Looked<'_>], rules: Rules) -> Vec<Part> {
    let parts = looks.iter().map(|look| {
        let Looked {
            to, at, verdict, ..
        } = look;
        part(ledger, &to.repository, *at, verdict.clone(), rules)
    });
    parts.collect()
}
