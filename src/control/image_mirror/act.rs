//! Acting: one run of the engine over all sources that are due, and what came of it to the board, to memory and to the file
//! of what is known.
//!
//! While it runs, each tag is told to memory as it is done with, and what is verified to the board: a tag that turns out to
//! differ leaves it at once. A run that takes long says so in the status now and then.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::channel::mpsc;
use futures::{FutureExt as _, StreamExt as _};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::decide::{Plan, Reason};
use super::gather::{Cure, Facts, How, Trouble};
use super::memory::{Shared, is_of_another};
use super::newcomers::{Newcomers, News};
use super::{Controller, Wire, decide, implicit, prune, status, tell_saved};
use crate::api::ImageMirror;
use crate::api::image_mirror::MirrorRun;
use crate::clock::SharedClock;
use crate::cluster::{self, patch, with_causes};
use crate::mirror::known::Known;
use crate::mirror::outcome::{Outcome, Report};
use crate::mirror::subset;
use crate::object::Key;
use crate::registry::copy::{self, Event, Job, Progress, Wanted};
use crate::registry::transfer::Limiter;

/// How long a run may take before a status says that it goes on.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it is said how far it is.
const REPORT_EVERY: Duration = Duration::from_secs(30);
/// How long saying so may take.
const ANNOUNCEMENT: Duration = Duration::from_secs(5);
/// How long it may take to write down what was created so far.
const KEEPING: Duration = Duration::from_secs(20);
/// So many times at once is copied what comes to be wanted on the way; what comes more waits for these.
const MOST_BESIDE: usize = 2;
/// What is verified is told no more often than this.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// What came of a run.
#[derive(Debug)]
pub(super) struct Ended {
    /// What happened.
    pub(super) report: Report,
    /// The object as it is now: a long run writes statuses of its own.
    pub(super) object: Arc<ImageMirror>,
    /// Whether it was told to end before it was done.
    pub(super) is_cancelled: bool,
}

/// Looks at what the plan names, and copies what is missing.
pub(super) async fn run(
    controller: &Controller,
    key: &Key,
    (facts, how): (&Facts, &How),
    plan: &Plan,
    memory: &Shared,
) -> Ended {
    let clock = &controller.context.clock;
    let (object, started) = (&facts.object, clock.now());
    let running = controller.begin(key, object);
    let Wire { end, news } = &running.wire;
    let watch = Watch {
        memory: memory.clone(),
        known: controller.kept.known.clone(),
        clock: clock.clone(),
        owns: object.spec.prune.as_ref().is_some_and(|it| it.enabled),
        changed: Notify::new(),
        done: AtomicU64::new(0),
        moved: AtomicU64::new(0),
        total: AtomicU64::new(plan.images(facts)),
    };
    if plan.is_whole {
        for standing in memory.lock().sources.values_mut() {
            standing.beside.clear();
        }
    }
    let settings = copy::Settings {
        concurrency: controller.world.settings.concurrency,
        bandwidth: controller.bandwidth.clone(),
        is_dry_run: false,
        clock: clock.clone(),
        mandate: controller.world.mandate.clone(),
        cancel: end.clone(),
    };
    let bandwidth = object.spec.bandwidth;
    let bandwidth = bandwidth.map(|it| Arc::new(Limiter::new(it.bytes_per_second())));
    let copy = async |facts: &Facts, plan: &Plan| {
        let jobs = jobs(facts, how, plan, bandwidth.as_ref());
        let Controller { world, kept, .. } = controller;
        // Boxed: what is around it would be a type of a type too many.
        let run = copy::run(&world.registry, jobs, &kept.known, &settings, &watch).boxed();
        run.await.report
    };
    let (more, plans) = mpsc::unbounded::<(Box<Facts>, Plan)>();
    let first = async {
        let report = copy(facts, plan).await;
        // What comes when nothing but newcomers is left is for the next run, which begins at once: this one has an end.
        more.close_channel();
        report
    };
    let others = plans
        .map(|(facts, plan)| async {
            let (facts, plan) = (facts, plan);
            copy(&facts, &plan).await
        })
        .buffer_unordered(MOST_BESIDE)
        .fold(Report::default(), async |mut all, one| {
            all.add(one);
            all
        });
    let mut newcomers = Newcomers::beside(controller, key, (facts, how), plan, memory);
    let hears = async {
        loop {
            news.notified().await;
            match newcomers.look(!more.is_closed()).await {
                News::Nothing => {}
                News::More(facts, plan) => {
                    let images = plan.images(&facts);
                    watch.total.fetch_add(images, Ordering::Relaxed);
                    // Where it is too late for this run, the next one takes them.
                    drop(more.unbounded_send((facts, plan)));
                }
                News::Over => end.cancel(),
            }
        }
    };
    let copying = Box::pin(async {
        tokio::select! {
            (mut report, others) = async { tokio::join!(first, others) } => {
                report.add(others);
                report
            }
            () = hears => unreachable_end().await,
        }
    });
    let tells = async {
        loop {
            watch.changed.notified().await;
            controller.publish(key, how, memory);
            tokio::time::sleep(TELL_EVERY).await;
        }
    };
    let keeps = controller.kept.keep(tell_saved);
    let object = object.clone();
    let announces = announced(controller, key, object, &watch, copying);
    let (object, report) = tokio::select! {
        biased;
        done = announces => done,
        () = tells => unreachable_end().await,
        () = keeps => unreachable_end().await,
    };
    let is_cancelled = end.is_cancelled();
    let mut known = memory.lock();
    for tag in &report.tags {
        // All were told on the way but those of what was given up.
        known.take(tag, &controller.kept.known, clock.now());
    }
    let requests: u64 = report.totals.requests.values().sum();
    if requests > 0 {
        known.last_run = Some(told(plan, &report, started, clock.now()));
    }
    known.problem = report.problems.first().cloned();
    if !is_cancelled {
        for (repository, standing) in &mut known.sources {
            if newcomers.has_taken(repository) || standing.tags.is_empty() {
                standing.generation = object.metadata.generation;
                standing.settle();
            }
        }
        // What another process may have done is asked of sources that could not be looked at, too, once they can be.
        let is_awaited = |trouble: &Trouble| trouble.cure != Cure::Change;
        let is_left = known.is_foreign && facts.troubles.iter().any(is_awaited);
        known.owes_answers = plan.asks_all && (known.is_failing() || is_left);
        known.is_foreign &= known.owes_answers;
        if plan.is_look {
            known.looked = Some(started);
        }
        known.handled = decide::requested_at(&facts.object).cloned();
    }
    drop(known);
    if has_learnt(plan, &report) {
        controller.unsaved.notify_one();
    }
    Ended {
        report,
        object,
        is_cancelled,
    }
}

/// What never ends does not come here.
async fn unreachable_end<T>() -> T {
    std::future::pending().await
}

/// Whether there may be anything new to write down: not after a look that found all as it was.
fn has_learnt(plan: &Plan, report: &Report) -> bool {
    plan.reason != Reason::Interval
        || report
            .tags
            .iter()
            .any(|tag| tag.outcome != Outcome::Unchanged)
}

/// The run as the status has it.
fn told(plan: &Plan, report: &Report, started: jiff::Timestamp, now: jiff::Timestamp) -> MirrorRun {
    let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let copied = report
        .tags
        .iter()
        .filter(|tag| tag.outcome == Outcome::Copied);
    MirrorRun {
        started: Some(Time(status::whole(started))),
        finished: Some(Time(status::whole(now))),
        reason: plan.reason.name().to_owned(),
        copied: i64::try_from(copied.count()).unwrap_or(i64::MAX),
        bytes_read: signed(report.totals.bytes_read),
        bytes_written: signed(report.totals.bytes_written),
        blobs_mounted: signed(report.totals.blobs_mounted),
    }
}

impl Plan {
    /// How many tags are looked at, each destination counted.
    fn images(&self, facts: &Facts) -> u64 {
        let of = |(number, tags): &(usize, Vec<_>)| {
            let ends = facts
                .sources
                .get(*number)
                .map_or(0, |source| source.to.len());
            ends.saturating_mul(tags.len())
        };
        u64::try_from(self.work.iter().map(of).sum::<usize>()).unwrap_or(u64::MAX)
    }
}

fn jobs(facts: &Facts, how: &How, plan: &Plan, bandwidth: Option<&Arc<Limiter>>) -> Vec<Job> {
    let spec = &facts.object.spec;
    let work = plan.work.iter();
    work.filter_map(|(number, tags)| {
        let source = facts.sources.get(*number)?;
        tracing::debug!(
            repository = %source.repository,
            tags = tags.len(),
            is_complete = source.is_complete,
            "Looks at a source"
        );
        Some(Job {
            source: source.from.clone(),
            destinations: source.to.clone(),
            wanted: Wanted::Tags(tags.clone()),
            renamed: None,
            platforms: how.platforms.clone(),
            mode: how.mode,
            referrers: spec.referrers,
            overwrite: how.overwrite.clone(),
            verify_after: if plan.asks_all {
                Duration::ZERO
            } else {
                spec.effective_verify_interval()
            },
            follows_scan: true,
            bandwidth: bandwidth.cloned(),
        })
    })
    .collect()
}

/// By what copies are remembered.
pub(super) fn variant(object: &ImageMirror, how: &How) -> String {
    copy::variant(&how.platforms, how.mode, object.spec.referrers)
}

/// Whether the destinations' digests may be others than the sources'.
pub(super) fn is_rewritten(how: &How) -> bool {
    !how.platforms.is_empty() && how.mode == subset::Mode::Rewritten
}

/// Waits for the run. When that takes long, says in the status how far it is, and writes down what is the mirror's own.
async fn announced(
    controller: &Controller,
    key: &Key,
    mut object: Arc<ImageMirror>,
    watch: &Watch,
    copying: impl Future<Output = Report>,
) -> (Arc<ImageMirror>, Report) {
    tokio::pin!(copying);
    let mut next = Instant::now() + PATIENCE;
    loop {
        tokio::select! {
            biased;
            done = &mut copying => return (object, done),
            () = tokio::time::sleep_until(next) => {}
        }
        next = Instant::now() + REPORT_EVERY;
        let announcing = announce(controller, key, object.clone(), watch.words());
        let announcing = tokio::time::timeout(ANNOUNCEMENT, announcing);
        let before = object.clone();
        let keeping = Box::pin(prune::keep(&controller.world, key, &before, &watch.memory));
        let keeping = tokio::time::timeout(KEEPING, keeping);
        let announcing = async { tokio::join!(announcing, keeping).0 };
        tokio::pin!(announcing);
        let mut ended = None;
        // The run goes on meanwhile; what is being written is waited for.
        let written = loop {
            tokio::select! {
                biased;
                written = &mut announcing => break written,
                done = &mut copying, if ended.is_none() => ended = Some(done),
            }
        };
        match written {
            Ok(Ok(written)) => object = written,
            Ok(Err(error)) => {
                tracing::debug!(error = with_causes(&error), "Not said that a run goes on");
            }
            Err(_) => {
                tracing::debug!("Not said that a run goes on: the API server does not answer");
            }
        }
        if let Some(done) = ended {
            return (object, done);
        }
    }
}

/// Says in the status that the state of another process does not vouch for it any more. Before that is written nothing is asked:
/// from the first request on nobody's state knows all, should this process not come to the end.
pub(super) async fn renounce(
    controller: &Controller,
    key: &Key,
    (facts, plan): (&Facts, &Plan),
) -> Result<Arc<ImageMirror>, String> {
    let object = facts.object.clone();
    let status = object.status.as_ref();
    let witness = status.and_then(|status| status.witness.as_deref());
    if witness.is_none_or(|witness| witness == controller.memory.witness()) {
        return Ok(object);
    }
    let words = told_so_far(0, plan.images(facts), 0);
    let announcing = announce(controller, key, object, words);
    match tokio::time::timeout(ANNOUNCEMENT, announcing).await {
        Ok(written) => written.map_err(|error| with_causes(&error)),
        Err(_) => Err("the API server does not answer".to_owned()),
    }
}

/// Writes how far it is, and answers with the object as it is then.
async fn announce(
    controller: &Controller,
    key: &Key,
    object: Arc<ImageMirror>,
    doing: String,
) -> Result<Arc<ImageMirror>, cluster::Error> {
    let Controller { context, world, .. } = controller;
    // What no object asks for has no status that somebody could read meanwhile.
    if !world.lead.is_held() || implicit::is_implicit(key) {
        return Ok(object);
    }
    let before = object.status.clone().unwrap_or_default();
    let mut after = status::in_progress(&object, &doing, context.clock.now());
    if is_of_another(&before, controller.memory.witness()) {
        after.witness = None;
    }
    let manager = &context.settings.controller_name;
    let patch = patch::status(&world.client.0, key, &*object, &before, &after, manager);
    Ok(match patch.await? {
        Some(written) => {
            context.mirrors.learn(key, written.clone());
            Arc::new(written)
        }
        None => object,
    })
}

/// Hears of what happens in a run.
#[derive(Debug)]
struct Watch {
    memory: Shared,
    known: Arc<Known>,
    clock: SharedClock,
    /// Whether what is written is the mirror's own.
    owns: bool,
    /// Something is verified that was not, or the other way round.
    changed: Notify,
    done: AtomicU64,
    moved: AtomicU64,
    total: AtomicU64,
}

impl Watch {
    /// How far it is.
    fn words(&self) -> String {
        let done = self.done.load(Ordering::Relaxed);
        let mib = self.moved.load(Ordering::Relaxed) >> 20;
        let total = self.total.load(Ordering::Relaxed);
        told_so_far(done, total, mib)
    }
}

fn told_so_far(done: u64, total: u64, mib: u64) -> String {
    format!("mirroring: {done} of {total} tags looked at, {mib} MiB written")
}

impl Progress for Watch {
    fn happened(&self, event: Event<'_>) {
        match event {
            Event::Differs { from, to, tag } => {
                self.memory.lock().differs(from, to, tag);
                self.changed.notify_one();
            }
            Event::Tag(report) => {
                let now = self.clock.now();
                self.memory.lock().take(report, &self.known, now);
                self.done.fetch_add(1, Ordering::Relaxed);
                self.changed.notify_one();
            }
            Event::Written(written) if self.owns => self.memory.lock().wrote(written),
            Event::BlobBytes { bytes, .. } => {
                self.moved.fetch_add(bytes, Ordering::Relaxed);
            }
            Event::Planned(_)
            | Event::Written(_)
            | Event::BlobBegan { .. }
            | Event::BlobAgain { .. }
            | Event::BlobEnded { .. } => {}
        }
    }
}

/// What a run hears of outside, for as long as it runs.
#[derive(Debug)]
pub(super) struct Running<'a> {
    pub(super) controller: &'a Controller,
    pub(super) key: &'a Key,
    pub(super) wire: Wire,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.controller.running.lock().remove(self.key);
    }
}
