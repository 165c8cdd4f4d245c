//! What all of a run shares, and what it adds up to.
//!
//! Whoever reads at a source has an [`Origin`] there, and what comes from one serves no other: not in this run (plans and
//! manifests are kept apart), and not in a later one (`mirror::known` remembers for whom a blob was brought).

use std::collections::{BTreeSet, HashMap, HashSet};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OnceCell, Semaphore};
use tokio_util::sync::CancellationToken;

use super::blobs::Blobs;
use super::failure::Stop;
use super::lists::Lists;
use super::tree::Manifests;
use super::{Done, Estimate, Event, Place, Progress, Settings, Unmatched};
use crate::image::{Digest, Repository, Tag};
use crate::mirror::canonical;
use crate::mirror::known::{Known, Provenance};
use crate::mirror::outcome::{Look, Report, TagReport, Totals, Written};
use crate::mirror::plan::Spot;
use crate::registry::Client;
use crate::registry::access::Identity;
use crate::registry::remote::{Intent, Remote, Tally};
use crate::registry::transfer::Limiter;

/// More is not said of what went wrong besides single tags.
const MOST_PROBLEMS: usize = 100;
/// What is nearly written may be written, so long after everything was told to end.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// What there is one of for each digest in each repository.
type ByPlace<T> = HashMap<(Repository, Digest), Arc<T>>;

/// Where images come from.
#[derive(Debug, Default)]
struct Sources {
    by_number: Vec<Source>,
    /// By what holds back who reads from it, too.
    numbers: HashMap<(Repository, Identity, Option<usize>), usize>,
    origins: HashMap<(String, Identity), Origin>,
    /// By origin, for what is remembered.
    provenances: Vec<Provenance>,
}

#[derive(Debug)]
struct Source {
    remote: Remote,
    origin: Origin,
    bandwidth: Option<Arc<Limiter>>,
}

/// A registry as one account sees it: whoever may read one of its repositories by that account may read them all. What comes from
/// one origin serves nobody who names another: that somebody names a digest does not say that they may have it.
pub(super) type Origin = usize;

/// A run.
#[derive(Debug)]
pub(super) struct Run<'a> {
    client: &'a Client,
    pub(super) known: &'a Known,
    pub(super) settings: &'a Settings,
    pub(super) progress: &'a dyn Progress,
    tally: Arc<Tally>,
    /// By number, as the plan has them.
    sources: Mutex<Sources>,
    pub(super) lists: Lists,
    pub(super) manifests: Manifests,
    pub(super) blobs: Blobs,
    /// Manifests that are being written by digest.
    pub(super) placing: Mutex<ByPlace<OnceCell<()>>>,
    /// Fallback indexes of referrers that are being changed.
    pub(super) changing: Mutex<ByPlace<tokio::sync::Mutex<()>>>,
    /// Repositories where the API of referrers was not found, each by who asked: behind one host there may be several registries.
    pub(super) without_referrers: Mutex<HashSet<(Repository, Identity)>>,
    /// Images whose manifests are being read, by host of their source.
    reading: Mutex<HashMap<String, Arc<Semaphore>>>,
    /// Tags that came with an image and differ, that were told of.
    pub(super) told: Mutex<HashSet<(Repository, Tag)>>,
    pub(super) counts: Counts,
    /// Nobody waits for blobs any more: everything is told, or was told to end.
    pub(super) over: CancellationToken,
    estimate: Mutex<Estimate>,
    problems: Mutex<BTreeSet<String>>,
    written: Mutex<Vec<Written>>,
    looks: Mutex<Vec<Look>>,
    unmatched: Mutex<BTreeSet<Unmatched>>,
    warnings: Mutex<BTreeSet<String>>,
}

/// What was done.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) bytes_read: AtomicU64,
    pub(super) bytes_written: AtomicU64,
    pub(super) blobs_copied: AtomicU64,
    pub(super) blobs_mounted: AtomicU64,
    pub(super) blobs_skipped: AtomicU64,
    pub(super) manifests: AtomicU64,
}

/// One more.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl<'a> Run<'a> {
    pub(super) fn new(
        client: &'a Client,
        known: &'a Known,
        settings: &'a Settings,
        progress: &'a dyn Progress,
    ) -> Self {
        Self {
            client,
            known,
            settings,
            progress,
            tally: Arc::default(),
            sources: Mutex::default(),
            lists: Lists::default(),
            manifests: Manifests::default(),
            blobs: Blobs::default(),
            placing: Mutex::default(),
            changing: Mutex::default(),
            without_referrers: Mutex::default(),
            reading: Mutex::default(),
            told: Mutex::default(),
            counts: Counts::default(),
            over: settings.cancel.child_token(),
            estimate: Mutex::default(),
            problems: Mutex::default(),
            written: Mutex::default(),
            looks: Mutex::default(),
            unmatched: Mutex::default(),
            warnings: Mutex::default(),
        }
    }

    /// The number of a source.
    pub(super) fn add_source(&self, place: &Place, bandwidth: Option<Arc<Limiter>>) -> usize {
        let remote = self.remote(place, Intent::Read);
        let identity = remote.identity();
        let host = place.repository.registry().api_host().to_owned();
        let mut sources = self.sources.lock();
        let Sources {
            by_number,
            numbers,
            origins,
            provenances,
        } = &mut *sources;
        let origin = *origins.entry((host, identity.clone())).or_insert_with(|| {
            provenances.push(Provenance {
                registry: canonical::registry(place.repository.registry()).into_owned(),
                account: identity.mark(),
            });
            provenances.len() - 1
        });
        let held_back_by = bandwidth
            .as_ref()
            .map(|limiter| Arc::as_ptr(limiter).addr());
        let key = (place.repository.clone(), identity, held_back_by);
        *numbers.entry(key).or_insert_with(|| {
            by_number.push(Source {
                remote,
                origin,
                bandwidth,
            });
            by_number.len() - 1
        })
    }

    /// What the source of that number shares with others.
    pub(super) fn origin(&self, number: usize) -> Origin {
        let sources = self.sources.lock();
        let found = sources.by_number.get(number);
        found.map_or(Origin::MAX, |source| source.origin)
    }

    /// What is remembered of what comes from `origin`.
    pub(super) fn provenance(&self, origin: Origin) -> Provenance {
        let sources = self.sources.lock();
        let found = sources.provenances.get(origin);
        found
            .expect("only sources that were added have an origin")
            .clone()
    }

    pub(super) fn source(&self, number: usize) -> Remote {
        let sources = self.sources.lock();
        let found = sources.by_number.get(number);
        let found = found.or_else(|| sources.by_number.first());
        found
            .map(|source| &source.remote)
            .expect("only sources that were added have a number")
            .clone()
    }

    /// What holds back who reads from that source: its job's bandwidth, and that of all.
    pub(super) fn limiters(&self, source: usize) -> Vec<Arc<Limiter>> {
        let sources = self.sources.lock();
        let found = sources.by_number.get(source);
        let own = found.and_then(|source| source.bandwidth.clone());
        self.settings
            .bandwidth
            .clone()
            .into_iter()
            .chain(own)
            .collect()
    }

    /// A destination, and what the plan calls it.
    pub(super) fn destination(&self, place: &Place) -> (Remote, Spot) {
        let remote = self.remote(place, Intent::Write);
        let spot = self.blobs.add_destination(&remote);
        (remote, spot)
    }

    fn remote(&self, place: &Place, intent: Intent) -> Remote {
        let Place { repository, access } = place;
        self.client
            .remote(repository.clone(), access.clone(), intent)
            .tallied(Arc::clone(&self.tally))
            .mandated(self.settings.mandate.clone())
    }

    /// Who may read manifests of `host`: few at a time, so that the first images are complete soon.
    pub(super) fn readers(&self, host: &str) -> Arc<Semaphore> {
        let most = self.settings.concurrency.get().saturating_mul(2).min(512);
        let mut reading = self.reading.lock();
        let semaphore = reading
            .entry(host.to_owned())
            .or_insert_with(|| Arc::new(Semaphore::new(most)));
        Arc::clone(semaphore)
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.settings.cancel.is_cancelled()
    }

    /// `work`, unless everything is to end.
    pub(super) async fn unless_cancelled<T>(
        &self,
        work: impl Future<Output = T>,
    ) -> Result<T, Stop> {
        tokio::select! {
            biased;
            () = self.settings.cancel.cancelled() => Err(Stop::Interrupted),
            done = work => Ok(done),
        }
    }

    /// `work`, which has to be over some time after everything was told to end.
    pub(super) async fn at_last<T>(&self, work: impl Future<Output = T>) -> Result<T, Stop> {
        let end = async {
            self.settings.cancel.cancelled().await;
            tokio::time::sleep(GRACE * 2).await;
        };
        tokio::select! {
            biased;
            done = work => Ok(done),
            () = end => Err(Stop::Interrupted),
        }
    }

    /// Nothing is known of `repository` any more.
    pub(super) fn forget_repository(&self, repository: &Repository) {
        self.known.forget_repository(repository);
        self.blobs.forget_repository(repository);
    }

    /// `work`, which has a little time left when everything is to end.
    pub(super) async fn finish<T>(&self, work: impl Future<Output = T>) -> Result<T, Stop> {
        let end = async {
            self.settings.cancel.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            biased;
            done = work => Ok(done),
            () = end => Err(Stop::Interrupted),
        }
    }

    pub(super) fn problem(&self, problem: String) {
        let mut problems = self.problems.lock();
        if problems.len() < MOST_PROBLEMS {
            problems.insert(problem);
        }
    }

    /// A tag was written.
    pub(super) fn wrote(&self, written: Written) {
        self.progress.happened(Event::Written(&written));
        self.written.lock().push(written);
    }

    /// A source's list was read, and tags were selected of it.
    pub(super) fn looked(&self, look: Look) {
        self.looks.lock().push(look);
    }

    /// The job of that number selects none of so many tags.
    pub(super) fn unmatched(&self, job: usize, listed: usize) {
        self.unmatched.lock().insert(Unmatched { job, listed });
    }

    /// Something that changes nothing of what is done, and that somebody may want to know.
    pub(super) fn warning(&self, warning: String) {
        let mut warnings = self.warnings.lock();
        if warnings.len() < MOST_PROBLEMS {
            warnings.insert(warning);
        }
    }

    pub(super) fn estimated(&self, add: impl FnOnce(&mut Estimate)) {
        add(&mut self.estimate.lock());
    }

    /// Tells what is known of what is to be done.
    pub(super) fn tell_estimate(&self) {
        let estimate = *self.estimate.lock();
        self.progress.happened(Event::Planned(estimate));
    }

    pub(super) fn tell(&self, report: &TagReport) {
        self.progress.happened(Event::Tag(report));
    }

    /// What it came to, but for the single tags.
    pub(super) fn sum(self) -> Done {
        let tally = self.tally.counts();
        let warnings = self.tally.warnings().into_iter();
        let warnings = warnings.map(|(host, words)| format!("{host} warns: {words}"));
        let Counts {
            bytes_read,
            bytes_written,
            blobs_copied,
            blobs_mounted,
            blobs_skipped,
            manifests,
        } = self.counts;
        let totals = Totals {
            requests: tally.requests,
            bytes_read: bytes_read.into_inner(),
            bytes_written: bytes_written.into_inner(),
            blobs_copied: blobs_copied.into_inner(),
            blobs_mounted: blobs_mounted.into_inner(),
            blobs_skipped: blobs_skipped.into_inner(),
            manifests: manifests.into_inner(),
            retries: tally.retries,
        };
        let report = Report {
            tags: Vec::new(),
            written: self.written.into_inner(),
            looks: self.looks.into_inner(),
            problems: self.problems.into_inner().into_iter().collect(),
            warnings: warnings.chain(self.warnings.into_inner()).collect(),
            totals,
        };
        Done {
            report,
            estimate: self.estimate.into_inner(),
            unmatched: self.unmatched.into_inner().into_iter().collect(),
        }
    }
}
