//! The mirror engine between fake registries: what it asks and how often, in which order it writes, and what becomes
//! of it when things go wrong. Faults are numbered as in the list they come from.

mod counts;
mod faults;
mod follow;
mod mandate;
mod many;
mod meanwhile;
mod odd;
mod order;
mod overwrite;
mod prune;
mod races;
mod secrets;
mod steps;
mod tenants;
mod trouble;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use jiff::{SignedDuration, Timestamp};
use tagscope::clock::{Clock, HandClock};
use tagscope::mirror::known::Known;
use tagscope::mirror::outcome::{Outcome, TagReport, Verdict};
use tagscope::mirror::overwrite::Overwrite;
use tagscope::mirror::select::Selection;
use tagscope::mirror::subset;
use tagscope::registry::copy::{self, Done, Job, Place, Quiet, Settings, Wanted};
use tagscope::registry::transfer::Limiter;
use tagscope::registry::{Access, Client, Copying};
use tokio_util::sync::CancellationToken;

use super::settings;
use crate::fake_registry::{FakeRegistry, Request, Route};

/// A source, a destination, and what is remembered between runs.
struct World {
    source: FakeRegistry,
    destination: FakeRegistry,
    known: Known,
    clock: Arc<dyn Clock>,
    cancel: CancellationToken,
    is_dry_run: bool,
}

impl World {
    async fn new() -> Self {
        Self {
            source: FakeRegistry::start().await,
            destination: FakeRegistry::start().await,
            known: Known::default(),
            clock: Arc::new(HandClock::at(
                Timestamp::UNIX_EPOCH + SignedDuration::from_hours(9),
            )),
            cancel: CancellationToken::new(),
            is_dry_run: false,
        }
    }

    /// `path` of the source into `path` of the destination.
    fn job(&self, path: &str, wanted: Wanted) -> Job {
        job(
            place(&self.source, path),
            vec![place(&self.destination, path)],
            wanted,
        )
    }

    async fn run(&self, jobs: Vec<Job>) -> Done {
        self.run_knowing(jobs, &self.known).await
    }

    async fn run_knowing(&self, jobs: Vec<Job>, known: &Known) -> Done {
        let settings = Settings {
            concurrency: NonZeroUsize::new(16).unwrap(),
            bandwidth: None,
            is_dry_run: self.is_dry_run,
            clock: Arc::clone(&self.clock),
            mandate: None,
            cancel: self.cancel.clone(),
        };
        let client = client();
        let run = copy::run(&client, jobs, known, &settings, &Quiet);
        tokio::time::timeout(Duration::from_mins(1), run)
            .await
            .expect("a run ends")
    }

    fn clear(&self) {
        self.source.clear_requests();
        self.destination.clear_requests();
    }
}

fn client() -> Client {
    let settings = settings();
    Client::new(tagscope::registry::Settings {
        copying: Copying {
            patience: settings.patience,
            stall: Duration::from_secs(5),
            ..settings.copying
        },
        ..settings
    })
}

fn place(registry: &FakeRegistry, path: &str) -> Place {
    Place {
        repository: registry.image(path).parse().unwrap(),
        access: Access::default(),
    }
}

fn job(source: Place, destinations: Vec<Place>, wanted: Wanted) -> Job {
    Job {
        source,
        destinations,
        wanted,
        renamed: None,
        platforms: Vec::new(),
        mode: subset::Mode::Rewritten,
        referrers: false,
        overwrite: Overwrite::Never,
        verify_after: Duration::from_hours(24),
        follows_scan: false,
        bandwidth: None,
    }
}

fn all() -> Wanted {
    Wanted::Selected(Selection::all())
}

fn tag(tag: &str) -> Wanted {
    Wanted::Tags(vec![tag.parse().unwrap()])
}

/// How often each kind of request was made, as `GET Manifest`.
fn counted(registry: &FakeRegistry) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for Request { method, route, .. } in registry.requests() {
        *counts.entry(format!("{method} {route:?}")).or_default() += 1;
    }
    counts
}

#[track_caller]
fn assert_counted(registry: &FakeRegistry, expected: &[(&str, usize)]) {
    let expected: BTreeMap<_, _> = expected
        .iter()
        .map(|(what, count)| ((*what).to_owned(), *count))
        .collect();
    let counts = counted(registry);
    assert_eq!(counts, expected, "{:#?}", registry.conversation());
}

/// Each outcome by tag; panics at problems.
#[track_caller]
fn outcomes(done: &Done) -> Vec<(String, Outcome)> {
    let problems = &done.report.problems;
    assert!(problems.is_empty(), "{problems:?}");
    let named = |report: &TagReport| {
        let tag = report.tag.as_ref().map(ToString::to_string);
        (tag.unwrap_or_default(), report.outcome.clone())
    };
    done.report.tags.iter().map(named).collect()
}

#[track_caller]
fn assert_all(done: &Done, expected: &Outcome) {
    let outcomes = outcomes(done);
    assert!(!outcomes.is_empty(), "nothing was reported");
    for (tag, outcome) in outcomes {
        assert_eq!(outcome, *expected, "{tag}");
    }
}

/// Waits for what other tasks do.
async fn until(is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting)
        .await
        .expect("it comes to that");
}

fn blobs_asked(registry: &FakeRegistry) -> usize {
    registry.count_of(&Method::GET, Route::Blob)
}

/// A clock that is `step` further each time it is looked at.
#[derive(Debug)]
struct Hasty(HandClock, SignedDuration);

impl Hasty {
    fn new(step: SignedDuration) -> Arc<Self> {
        Arc::new(Self(HandClock::at(Timestamp::UNIX_EPOCH), step))
    }
}

impl Clock for Hasty {
    fn now(&self) -> Timestamp {
        self.0.advance(self.1);
        self.0.now()
    }
}
