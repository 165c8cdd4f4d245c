//! One budget per registry host, for everybody who asks it: so many operations at a time, at a pace, and not at all
//! while it wants to be left alone. One host's state is never another's.
//!
//! An operation (a whole list, a digest) takes a [`Turn`]: it waits for a free place and for the pace in front of its
//! first request, and its time allowed begins only then, so that waiting for others never fails it. Waits between its
//! requests (pages of a list, where a rate is kept) are added to the time allowed. All waits in front of the first
//! request together, and each one after it, are bounded by [`LONGEST_WAIT`]: a list of many pages takes as long as the
//! rate wants, instead of being begun again and again.
//!
//! Who should not wait is told so at once ([`Error::NotAsked`]), and comes back by itself: in front of the first
//! request when a pause is longer than [`SHORT_PAUSE`] (half the quickest retry is not worth holding a place for) or
//! the pace has no room within [`LONG_PACE`]; between requests, where giving up means asking for all pages again,
//! when a pause is longer than [`LONG_PACE`].
//!
//! Nothing here reads the machine's calendar, retries, or knows what is asked.

mod allowance;
mod pace;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use moka::sync::Cache;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use self::allowance::allowance;
use self::pace::{Account, Pace};
use super::error::Error;
use super::limits::Deadline;
use super::observe::{Observer, Wait};

/// An operation waits no longer than this for its first turn, and for each that follows, on top of the time it is
/// allowed.
const LONGEST_WAIT: Duration = Duration::from_mins(5);
/// A pause that is waited for in front of the first request.
const SHORT_PAUSE: Duration = Duration::from_secs(2);
/// A wait for the pace in front of the first request, and a pause between requests, that is waited for.
const LONG_PACE: Duration = Duration::from_secs(30);
/// So many operations wait for a place at one host; the next are told to come back.
const MOST_WAITING: usize = 4096;
/// A shorter wait is none.
const NOTICEABLE: Duration = Duration::from_millis(1);
/// Whoever copies looks again so soon whether a scan still waits.
const BEHIND: Duration = Duration::from_millis(50);
/// When they are told to come back.
const LATER: Duration = Duration::from_secs(1);
/// Hosts remembered. A host out of use is forgotten after twice the longest pause.
const CAPACITY: u64 = 10_000;
const MEMORY: Duration = pace::LONGEST_PAUSE.saturating_mul(2);

/// How much is asked of one host.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Operations at a time.
    pub concurrency: usize,
    /// Requests per second; zero: only what registries teach.
    pub per_second: f64,
}

impl Default for Rate {
    fn default() -> Self {
        Self {
            concurrency: 4,
            per_second: 0.0,
        }
    }
}

/// The budgets of all hosts.
#[derive(Debug)]
pub(super) struct Budgets {
    hosts: Cache<String, Arc<Budget>>,
    rate: Rate,
}

impl Budgets {
    pub(super) fn new(rate: Rate) -> Self {
        Self {
            hosts: Cache::builder()
                .max_capacity(CAPACITY)
                .time_to_idle(MEMORY)
                .build(),
            rate,
        }
    }

    /// The budget of `host` (and port), whoever asks.
    pub(super) fn of(&self, host: &str) -> Arc<Budget> {
        self.hosts.get_with(host.to_ascii_lowercase(), || {
            Arc::new(Budget::new(self.rate))
        })
    }
}

/// One host's budget.
#[derive(Debug)]
pub(super) struct Budget {
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// So many scans wait for the pace: those who copy let them go first.
    scans: AtomicUsize,
    /// Held for the time of one calculation.
    pace: Mutex<Pace>,
}

impl Budget {
    fn new(rate: Rate) -> Self {
        Self {
            places: Arc::new(Semaphore::new(rate.concurrency.max(1))),
            waiting: AtomicUsize::new(0),
            scans: AtomicUsize::new(0),
            pace: Mutex::new(Pace::new(rate.per_second, Instant::now())),
        }
    }

    /// What is left of a pause.
    pub(super) fn pause(&self) -> Duration {
        self.pace.lock().pause(Instant::now())
    }

    /// The host answered 429, or 503 with `asked`. Returns how long it is left alone.
    pub(super) fn too_much(&self, asked: Option<Duration>) -> Duration {
        self.pace.lock().too_much(Instant::now(), asked)
    }

    /// The host answered; `now` is for dates in its headers.
    fn answered(&self, account: Account, status: StatusCode, headers: &HeaderMap, now: Timestamp) {
        let allowance = allowance(headers, now);
        let mut pace = self.pace.lock();
        if let Some(allowance) = allowance {
            pace.told(Instant::now(), account, allowance);
        }
        if !status.is_server_error() && status != StatusCode::TOO_MANY_REQUESTS {
            pace.went_well(Instant::now());
        }
    }

    /// Lets one request of `account` go, or says how long it has to wait, and how much of that is a pause.
    fn try_take(&self, account: Account) -> Result<(), (Duration, Duration)> {
        let now = Instant::now();
        let mut pace = self.pace.lock();
        let wait = pace.wait(now, account);
        if wait.is_zero() {
            pace.take(now, account);
            return Ok(());
        }
        Err((wait, pace.pause(now)))
    }

    /// As [`Self::try_take`], for who copies: after every scan that waits for the pace.
    fn try_take_aside(&self, account: Account) -> Result<(), (Duration, Duration)> {
        if self.scans.load(Ordering::Relaxed) == 0 {
            return self.try_take(account);
        }
        let now = Instant::now();
        let mut pace = self.pace.lock();
        Err((pace.wait(now, account).max(BEHIND), pace.pause(now)))
    }

    /// A scan waits for the pace, for as long as what is returned lives.
    fn scan_waits(&self) -> Waiting<'_> {
        self.scans.fetch_add(1, Ordering::Relaxed);
        Waiting(&self.scans)
    }

    async fn place(self: &Arc<Self>, within: Duration) -> Option<OwnedSemaphorePermit> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Some(place);
        }
        let _waiting = Waiting::begin(&self.waiting)?;
        let place = Arc::clone(&self.places).acquire_owned();
        tokio::time::timeout(within, place).await.ok()?.ok()
    }
}

/// Counts one that waits, for as long as it lives.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize) -> Option<Self> {
        let before = count.fetch_add(1, Ordering::Relaxed);
        let waiting = Self(count);
        (before < MOST_WAITING).then_some(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An operation's right to ask one host, one request at a time, and its time allowed.
#[derive(Debug)]
pub(super) struct Turn {
    host: String,
    budget: Arc<Budget>,
    observer: Arc<dyn Observer>,
    /// None: it does without.
    _place: Option<OwnedSemaphorePermit>,
    /// Held for the time of one calculation.
    progress: Mutex<Progress>,
}

#[derive(Debug)]
struct Progress {
    deadline: Deadline,
    /// Whether the first request is still to come: it has been waited for.
    is_paid: bool,
    /// How long it still waits, all in all; none: by the rules for scans.
    patience: Option<Duration>,
}

impl Turn {
    /// For whoever copies: takes no place from scans, keeps the same pace, and waits where they would rather come back;
    /// [`LONGEST_WAIT`] at the most, all its waits together.
    pub(super) fn aside(
        budgets: &Budgets,
        host: &str,
        allowed: Deadline,
        observer: &Arc<dyn Observer>,
    ) -> Self {
        Self {
            host: host.to_owned(),
            budget: budgets.of(host),
            observer: Arc::clone(observer),
            _place: None,
            progress: Mutex::new(Progress {
                deadline: allowed,
                is_paid: false,
                patience: Some(LONGEST_WAIT),
            }),
        }
    }

    /// Whether it is one that waits for what is wanted of it.
    pub(super) fn is_patient(&self) -> bool {
        self.progress.lock().patience.is_some()
    }

    /// How long it still waits, all in all.
    pub(super) fn patience(&self) -> Duration {
        self.progress.lock().patience.unwrap_or_default()
    }

    /// Takes a wait of `wait` out of its patience; false: there is not enough left.
    pub(super) fn spend(&self, wait: Duration) -> bool {
        let mut progress = self.progress.lock();
        let left = progress.patience.and_then(|left| left.checked_sub(wait));
        if left.is_some() {
            progress.patience = left;
            progress.deadline.at += wait;
        }
        left.is_some()
    }

    /// Waits until `host` may be asked as `account`; `allowed` begins then.
    pub(super) async fn begin(
        budgets: &Budgets,
        host: &str,
        account: Account,
        allowed: Deadline,
        observer: &Arc<dyn Observer>,
    ) -> Result<Self, Error> {
        let begin = Instant::now();
        let budget = budgets.of(host);
        let not_asked = |retry_after: Duration, cause| {
            observer.waited(host, Wait::PutOff);
            Error::NotAsked {
                host: host.to_owned(),
                cause,
                retry_after,
            }
        };
        let place = loop {
            // Nobody holds a place for a pause, or waits for one in front of it.
            let pause = budget.pause();
            if pause > SHORT_PAUSE {
                return Err(not_asked(pause, "it wants to be left alone"));
            }
            let left = LONGEST_WAIT.saturating_sub(begin.elapsed());
            let Some(place) = budget.place(left).await else {
                return Err(not_asked(LATER, "too many requests to it are waiting"));
            };
            match budget.try_take(account) {
                Ok(()) => break place,
                Err((wait, pause)) if pause > SHORT_PAUSE => {
                    return Err(not_asked(wait, "it wants to be left alone"));
                }
                Err((wait, _)) if wait > LONG_PACE || begin.elapsed() + wait > LONGEST_WAIT => {
                    return Err(not_asked(wait, "its rate of requests is used up"));
                }
                Err((wait, _)) => {
                    let _waits = budget.scan_waits();
                    // With the place, so that those behind do not overtake.
                    tokio::time::sleep(wait).await;
                    if budget.try_take(account).is_ok() {
                        break place;
                    }
                }
            }
        };
        let waited = begin.elapsed();
        if waited >= NOTICEABLE {
            observer.waited(host, Wait::For(waited));
        }
        Ok(Self {
            host: host.to_owned(),
            budget,
            observer: Arc::clone(observer),
            _place: Some(place),
            progress: Mutex::new(Progress {
                deadline: allowed.anew(),
                is_paid: true,
                patience: None,
            }),
        })
    }

    /// Waits until one more request of `account` may go.
    pub(super) async fn admit(&self, account: Account) -> Result<(), Error> {
        loop {
            let wait = {
                let mut progress = self.progress.lock();
                if std::mem::take(&mut progress.is_paid) {
                    return Ok(());
                }
                let taken = match progress.patience {
                    Some(_) => self.budget.try_take_aside(account),
                    None => self.budget.try_take(account),
                };
                let Err((wait, pause)) = taken else {
                    return Ok(());
                };
                let is_too_long = match progress.patience {
                    Some(left) => wait > left,
                    None => pause > LONG_PACE || wait > LONGEST_WAIT,
                };
                if is_too_long {
                    return Err(Error::RateLimited {
                        host: self.host.clone(),
                        retry_after: Some(wait),
                    });
                }
                progress.deadline.at += wait;
                progress.patience = progress.patience.map(|left| left.saturating_sub(wait));
                wait
            };
            self.observer.waited(&self.host, Wait::For(wait));
            let _waits = (!self.is_patient()).then(|| self.budget.scan_waits());
            tokio::time::sleep(wait).await;
        }
    }

    /// The host answered to `account`; `now` is for dates in its headers.
    pub(super) fn answered(
        &self,
        account: Account,
        status: StatusCode,
        headers: &HeaderMap,
        now: Timestamp,
    ) {
        self.budget.answered(account, status, headers, now);
    }

    /// The host answered 429, or 503 with `asked`. Returns how long it is left alone.
    pub(super) fn too_much(&self, asked: Option<Duration>) -> Duration {
        self.budget.too_much(asked)
    }

    /// What is left of the time allowed.
    pub(super) fn remaining(&self) -> Duration {
        self.progress.lock().deadline.remaining()
    }

    /// Drives `operation` until its time is over.
    pub(super) async fn drive<T>(
        &self,
        operation: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let mut operation = std::pin::pin!(operation);
        loop {
            let deadline = self.progress.lock().deadline;
            if let Ok(done) = tokio::time::timeout_at(deadline.at, &mut operation).await {
                return done;
            }
            // Waits put it off.
            if self.remaining().is_zero() {
                return Err(Error::TimedOut {
                    host: self.host.clone(),
                    allowed: deadline.allowed,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests;
