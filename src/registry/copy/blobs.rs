//! The plan of blobs, carried out: begins what is next, moves it, and tells those who wait.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Event;
use super::failure::Failure;
use super::run::{Origin, Run, count};
use crate::image::Repository;
use crate::mirror::canonical;
use crate::mirror::document::Descriptor;
use crate::mirror::plan::{Answer, Mount, Plan, Spot, Step, Want};
use crate::registry::access::Identity;
use crate::registry::remote::Remote;
use crate::registry::transfer::{Delivered, Meter, Side, Target, transfer_telling};
use crate::registry::upload::Begun;
use crate::registry::{Error, Kind};

/// Mounts that are under way at once; the windows of the hosts are narrower.
const MOST_MOUNTS: usize = 64;
/// Blobs that are streamed at once, whatever the windows: each takes up to 2 MiB.
const MOST_STREAMS: usize = 64;
/// At the end sessions that are being asked for are waited for, so long in all, and looked at so often.
const LAST_SESSIONS: Duration = Duration::from_secs(2);
const GLANCE: Duration = Duration::from_millis(5);

/// A plan for each origin, so that nothing of one reaches those who only know its digest.
#[derive(Debug, Default)]
struct Plans {
    by_origin: BTreeMap<Origin, Plan<Arc<Waiter>, Failure>>,
    /// Whose turn it was.
    last: Origin,
}

impl Plans {
    fn of(&mut self, origin: Origin) -> &mut Plan<Arc<Waiter>, Failure> {
        self.by_origin.entry(origin).or_default()
    }

    /// The next step, of one origin after the other.
    fn next(
        &mut self,
        step: impl Fn(&mut Plan<Arc<Waiter>, Failure>) -> Option<Step>,
    ) -> Option<Step> {
        let last = self.last;
        let origins: Vec<_> = self.by_origin.keys().copied().collect();
        let (before, after): (Vec<_>, Vec<_>) = origins.into_iter().partition(|it| *it <= last);
        for origin in after.into_iter().chain(before) {
            if let Some(step) = step(self.of(origin)) {
                self.last = origin;
                return Some(step);
            }
        }
        None
    }
}

/// The blobs of a run.
#[derive(Debug, Default)]
pub(super) struct Blobs {
    plans: Mutex<Plans>,
    /// There is more to begin.
    more: Notify,
    destinations: Mutex<HashMap<Spot, Remote>>,
    /// The numbers that the plan knows them by.
    accounts: Mutex<HashMap<Identity, u32>>,
    ids: AtomicU64,
}

impl Blobs {
    /// What the plan calls it.
    pub(super) fn add_destination(&self, remote: &Remote) -> Spot {
        let account = {
            let mut accounts = self.accounts.lock();
            let next = u32::try_from(accounts.len()).unwrap_or(u32::MAX);
            *accounts.entry(remote.identity()).or_insert(next)
        };
        let spot = Spot {
            repository: remote.repository().clone(),
            account,
        };
        let mut destinations = self.destinations.lock();
        destinations
            .entry(spot.clone())
            .or_insert_with(|| remote.clone());
        spot
    }

    /// What was planned no longer relies on what `repository` was known to have.
    pub(super) fn forget_repository(&self, repository: &Repository) {
        for plan in self.plans.lock().by_origin.values_mut() {
            plan.forget_repository(repository);
        }
    }

    fn destination(&self, spot: &Spot) -> Option<Remote> {
        self.destinations.lock().get(spot).cloned()
    }
}

/// Somebody who waits for blobs.
#[derive(Debug, Default)]
pub(super) struct Waiter {
    state: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    left: usize,
    failure: Option<Failure>,
}

impl Waiter {
    /// Until all are there, or one is known not to come.
    pub(super) async fn wait(&self) -> Result<(), Failure> {
        loop {
            {
                let Waiting { left, failure } = &*self.state.lock();
                match failure {
                    Some(failure) => return Err(failure.clone()),
                    None if *left == 0 => return Ok(()),
                    None => {}
                }
            }
            self.changed.notified().await;
        }
    }

    fn expect(&self) {
        self.state.lock().left += 1;
    }

    fn arrived(&self) {
        let mut state = self.state.lock();
        state.left = state.left.saturating_sub(1);
        if state.left == 0 {
            self.changed.notify_one();
        }
    }

    fn fail(&self, failure: Failure) {
        self.state.lock().failure.get_or_insert(failure);
        self.changed.notify_one();
    }
}

/// Wishes for `blobs` at `to`. `is_healing`: what was known has proved wrong, so that mounts are not believed either.
pub(super) fn want(
    run: &Run<'_>,
    source: usize,
    to: &Spot,
    blobs: &[Descriptor],
    is_healing: bool,
) -> Arc<Waiter> {
    let waiter = Arc::new(Waiter::default());
    let from = run.source(source).repository().clone();
    // A tag within its own repository: they are all there.
    let repository = &to.repository;
    if is_same(&from, repository) {
        return waiter;
    }
    let registry = repository.registry();
    let is_neighbour = is_neighbour(&from, repository);
    let origin = run.origin(source);
    let provenance = run.provenance(origin);
    let mut plans = run.blobs.plans.lock();
    for blob in blobs {
        if run.known.has_blob(repository, &blob.digest) && !is_healing {
            let may_mount = run
                .known
                .may_mount_from(repository, &blob.digest, &provenance);
            if plans.of(origin).note(blob, to, may_mount) {
                count(&run.counts.blobs_skipped);
            }
            continue;
        }
        let holder = match (is_healing, is_neighbour) {
            (true, _) => None,
            (false, true) => Some(from.clone()),
            (false, false) => run.known.holder(registry, &blob.digest, &provenance),
        };
        let mount = match &holder {
            _ if is_healing => Mount::Never,
            Some(holder) => Mount::From(holder),
            None => Mount::FromLeader,
        };
        let want = Want {
            blob,
            to,
            source,
            mount,
        };
        waiter.expect();
        match plans.of(origin).want(want, Arc::clone(&waiter)) {
            Answer::There => waiter.arrived(),
            Answer::Failed(failure) => waiter.fail(failure),
            Answer::Waits { is_new: false } => {}
            Answer::Waits { is_new: true } => run.estimated(|estimate| {
                estimate.blobs = estimate.blobs.saturating_add(1);
                estimate.source_requests = estimate.source_requests.saturating_add(1);
                estimate.destination_requests = estimate.destination_requests.saturating_add(2);
                estimate.bytes_read = estimate.bytes_read.saturating_add(blob.size);
                estimate.bytes_written = estimate.bytes_written.saturating_add(blob.size);
            }),
        }
    }
    drop(plans);
    run.blobs.more.notify_one();
    waiter
}

/// Whether two names are of one repository.
pub(super) fn is_same(one: &Repository, other: &Repository) -> bool {
    canonical::repository(one) == canonical::repository(other)
}

/// Whether they are at one registry, so that one can be mounted from in the other.
fn is_neighbour(one: &Repository, other: &Repository) -> bool {
    canonical::registry(one.registry()) == canonical::registry(other.registry())
}

/// `to` does not have `blob`.
pub(super) fn forget(run: &Run<'_>, to: &Repository, blob: &Descriptor) {
    run.known.forget_blob(to, &blob.digest);
    for plan in run.blobs.plans.lock().by_origin.values_mut() {
        plan.forget(blob, to);
    }
}

/// Carries the plan out, until everything is to end: whoever is done with waiting drops it.
pub(super) async fn carry_out(run: &Run<'_>) {
    let most_streams = run
        .settings
        .concurrency
        .get()
        .saturating_mul(2)
        .clamp(1, MOST_STREAMS);
    let mut flights: FuturesUnordered<BoxFuture<'_, Lane>> = FuturesUnordered::new();
    let (mut mounts, mut streams) = (0_usize, 0_usize);
    loop {
        while !run.over.is_cancelled() && !run.settings.is_dry_run {
            let step = {
                let mut plans = run.blobs.plans.lock();
                let mount = if mounts < MOST_MOUNTS {
                    plans.next(Plan::next_mount)
                } else {
                    None
                };
                if mount.is_none() && streams < most_streams {
                    plans.next(Plan::next_stream)
                } else {
                    mount
                }
            };
            let Some(step) = step else {
                break;
            };
            match &step {
                Step::Mount { .. } => mounts += 1,
                Step::Stream { .. } => streams += 1,
            }
            flights.push(fly(run, step).boxed());
        }
        if run.over.is_cancelled() && flights.is_empty() {
            return;
        }
        tokio::select! {
            () = run.blobs.more.notified() => {}
            () = run.over.cancelled(), if !run.over.is_cancelled() => {}
            Some(lane) = flights.next(), if !flights.is_empty() => match lane {
                Lane::Mount => mounts -= 1,
                Lane::Stream => streams -= 1,
            },
        }
    }
}

/// Mounts and streams do not take each other's places.
#[derive(Debug, Clone, Copy)]
enum Lane {
    Mount,
    Stream,
}

async fn fly(run: &Run<'_>, step: Step) -> Lane {
    match step {
        Step::Mount {
            blob,
            to,
            from,
            source,
        } => {
            let to = vec![(to, Some(from))];
            bring(run, &blob, to, source).await;
            Lane::Mount
        }
        Step::Stream { blob, to, source } => {
            let to = to.into_iter().map(|to| (to, None)).collect();
            bring(run, &blob, to, source).await;
            Lane::Stream
        }
    }
}

/// Brings `blob` to each of `to`: by a mount from the repository beside it, if there is one and the registry does that.
async fn bring(
    run: &Run<'_>,
    blob: &Descriptor,
    to: Vec<(Spot, Option<Repository>)>,
    source: usize,
) {
    let origin = run.origin(source);
    let begun = to.into_iter().map(|(spot, from)| async move {
        let id = run.blobs.ids.fetch_add(1, Ordering::Relaxed);
        run.progress.happened(Event::BlobBegan {
            id,
            digest: &blob.digest,
            size: blob.size,
            to: &spot.repository,
        });
        let remote = run.blobs.destination(&spot)?;
        let target = match from {
            // It is begun when it can be read.
            None => Target::new(remote),
            Some(from) => {
                let begun = remote.begin_upload(&blob.digest, Some(&from));
                match Box::pin(begun).await {
                    Ok(Begun::Mounted) => {
                        count(&run.counts.blobs_mounted);
                        arrived(run, blob, &spot, id, origin);
                        return None;
                    }
                    Ok(Begun::Session(session)) => Target::begun(remote, session),
                    Err(error) => {
                        failed(run, blob, &spot, id, &error, (origin, None));
                        return None;
                    }
                }
            }
        };
        Some(((id, spot), target))
    });
    let begun = join_all(begun).await.into_iter().flatten();
    let (ends, targets): (Vec<_>, Vec<_>) = begun.unzip();
    if !targets.is_empty() {
        stream(run, blob, &ends, targets, source).await;
    }
    run.blobs.more.notify_one();
}

/// Reads `blob` once for all `targets`, those of `ends`; each that is done is told of at once.
async fn stream(
    run: &Run<'_>,
    blob: &Descriptor,
    ends: &[(u64, Spot)],
    targets: Vec<Target>,
    source: usize,
) {
    let origin = run.origin(source);
    let gauge = Gauge { run, ends };
    let remote = run.source(source);
    let limiters = run.limiters(source);
    let open: Vec<_> = targets.iter().map(Target::open).collect();
    let told = Mutex::new(HashSet::new());
    let on_end = |index: usize, delivered: Delivered| {
        let Some((id, spot)) = ends.get(index) else {
            return;
        };
        told.lock().insert(*id);
        match delivered {
            Ok(()) => {
                count(&run.counts.blobs_copied);
                arrived(run, blob, spot, *id, origin);
            }
            Err((side, error)) => {
                // Another source may have it, or have it right.
                let is_of_source = side == Side::Source
                    && matches!(error.kind(), Kind::NotFound | Kind::Integrity);
                let source = is_of_source.then_some(source);
                failed(run, blob, spot, *id, &error, (origin, source));
            }
        }
    };
    let moving = transfer_telling(&remote, blob, targets, &limiters, &gauge, &on_end);
    let mut moving = Box::pin(moving);
    let mut is_moved = tokio::select! {
        biased;
        () = run.over.cancelled() => false,
        () = &mut moving => true,
    };
    // A session that is being asked for is waited for: broken off, it would be left open where nobody knows.
    let last = Instant::now() + LAST_SESSIONS;
    while !is_moved && open.iter().any(|(_, open)| open.is_asked_for()) && Instant::now() < last {
        is_moved = tokio::select! {
            () = &mut moving => true,
            () = tokio::time::sleep(GLANCE) => false,
        };
    }
    if is_moved {
        return;
    }
    drop(moving);
    let given_up = open.iter().map(|(remote, open)| async move {
        Box::pin(remote.give_up(open)).await;
    });
    join_all(given_up).await;
    let told = told.into_inner();
    for (id, _) in ends.iter().filter(|(id, _)| !told.contains(id)) {
        run.progress.happened(Event::BlobEnded {
            id: *id,
            is_there: false,
        });
    }
}

fn arrived(run: &Run<'_>, blob: &Descriptor, to: &Spot, id: u64, origin: Origin) {
    let provenance = run.provenance(origin);
    let repository = &to.repository;
    run.known
        .note_blob_of(repository, &blob.digest, &provenance);
    for waiter in run.blobs.plans.lock().of(origin).there(blob, to) {
        waiter.arrived();
    }
    run.progress
        .happened(Event::BlobEnded { id, is_there: true });
    run.blobs.more.notify_one();
}

fn failed(
    run: &Run<'_>,
    blob: &Descriptor,
    to: &Spot,
    id: u64,
    error: &Error,
    (origin, source): (Origin, Option<usize>),
) {
    let attempt = format!(
        "failed to bring the blob {} to {}",
        blob.digest, to.repository
    );
    let failure = Failure {
        is_lost: source.is_some() && error.kind() == Kind::NotFound,
        ..Failure::of(&attempt, error)
    };
    let waiters = {
        let mut plans = run.blobs.plans.lock();
        plans.of(origin).failed(blob, to, &failure, source)
    };
    for waiter in waiters {
        waiter.fail(failure.clone());
    }
    run.progress.happened(Event::BlobEnded {
        id,
        is_there: false,
    });
    run.blobs.more.notify_one();
}

/// Tells of bytes.
#[derive(Debug)]
struct Gauge<'a> {
    run: &'a Run<'a>,
    /// By number.
    ends: &'a [(u64, Spot)],
}

impl Meter for Gauge<'_> {
    fn read(&self, bytes: u64) {
        self.run
            .counts
            .bytes_read
            .fetch_add(bytes, Ordering::Relaxed);
    }

    fn written(&self, target: usize, bytes: u64) {
        self.run
            .counts
            .bytes_written
            .fetch_add(bytes, Ordering::Relaxed);
        if let Some(&(id, _)) = self.ends.get(target) {
            self.run.progress.happened(Event::BlobBytes { id, bytes });
        }
    }

    fn again(&self, target: Option<usize>) {
        if let Some(&(id, _)) = target.and_then(|target| self.ends.get(target)) {
            self.run.progress.happened(Event::BlobAgain { id });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_of_one_repository_or_registry_however_they_are_written() {
        for (one, other, is_one, is_near) in [
            ("r.example/at/a", "R.Example:443/at/a", true, true),
            ("r.example/at/a", "r.example:443/at/b", false, true),
            ("docker.io/a/b", "registry-1.docker.io/a/b", true, true),
            ("r.example:5000/at/a", "R.EXAMPLE:5000/at/b", false, true),
            ("r.example:5000/at/a", "r.example/at/a", false, false),
        ] {
            let [from, to] = [one, other].map(|name| name.parse::<Repository>().unwrap());
            assert_eq!(is_same(&from, &to), is_one, "{one} and {other}");
            assert_eq!(is_neighbour(&from, &to), is_near, "{one} and {other}");
        }
    }
}
