//! How the chain comes to its end (5.6 of the specification): requests that come late are told so, those under way finish,
//! and watches end one after the other, so that their clients do not all list anew in the same instant.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::apiserver::status::Status;

/// A request that was on its way when the goodbye (GOAWAY, `Connection: close`) was said is served all the same.
const CROSSING: Duration = Duration::from_secs(1);
/// Watches end no further apart than this, so that few of them take no time.
const WIDEST_GAP: Duration = Duration::from_millis(10);
/// What a watch that was told to end may take to hand over its last bytes.
const LAST_BYTES: Duration = Duration::from_secs(1);

/// How to come to an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manner {
    /// Keep accepting connections until the last request is done, and turn new requests away with 429 meanwhile.
    pub send_retry_after: bool,
    /// How long requests may take to finish.
    pub drain: Duration,
    /// Over how long the ends of watches are spread at most.
    pub watch_grace: Duration,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            send_retry_after: false,
            drain: Duration::from_mins(1),
            watch_grace: Duration::from_secs(10),
        }
    }
}

impl Manner {
    /// The longest that [`Closing::close`] takes.
    pub fn longest(&self) -> Duration {
        self.drain + self.watch_grace + LAST_BYTES
    }
}

/// The end of a chain. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Closing {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Set once: from when requests are turned away, and how.
    late: OnceLock<Late>,
    /// Requests that are waited for.
    ordinary: TaskTracker,
    watches: TaskTracker,
    plan: watch::Sender<Option<Arc<Plan>>>,
}

#[derive(Debug, Clone, Copy)]
struct Late {
    from: Instant,
    come_back: bool,
}

/// When watches end.
#[derive(Debug)]
struct Plan {
    start: Instant,
    gap: Duration,
    given: AtomicUsize,
}

/// Held by a request for as long as it is waited for.
pub(super) type Awaited = TaskTrackerToken;

impl Closing {
    /// Nothing has ended yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Comes to the end in order. `accepting` is cancelled when no further connection is to be accepted, `rest` when
    /// whatever is still open should end by itself.
    pub async fn close(
        &self,
        manner: Manner,
        accepting: &CancellationToken,
        rest: &CancellationToken,
    ) {
        let come_back = manner.send_retry_after;
        let crossing = if come_back { Duration::ZERO } else { CROSSING };
        let from = Instant::now() + crossing;
        self.shared.late.get_or_init(|| Late { from, come_back });
        if !come_back {
            accepting.cancel();
        }
        self.shared.ordinary.close();
        if timeout(manner.drain, self.shared.ordinary.wait())
            .await
            .is_err()
        {
            let left = self.shared.ordinary.len();
            tracing::warn!(left, "Requests took too long to finish");
        }
        self.end_watches(manner.watch_grace).await;
        rest.cancel();
        accepting.cancel();
    }

    async fn end_watches(&self, grace: Duration) {
        let count = self.shared.watches.len();
        let gap = grace / u32::try_from(count.max(1)).unwrap_or(u32::MAX);
        self.shared.plan.send_replace(Some(Arc::new(Plan {
            start: Instant::now(),
            gap: gap.min(WIDEST_GAP),
            given: AtomicUsize::new(0),
        })));
        self.shared.watches.close();
        let ended = timeout(grace + LAST_BYTES, self.shared.watches.wait()).await;
        tracing::debug!(count, all = ended.is_ok(), "Watches ended");
    }

    /// The refusal of a request that comes too late, if it does.
    pub(super) fn refusal(&self) -> Option<Status> {
        let late = self.shared.late.get()?;
        if late.come_back {
            let text = "The apiserver is shutting down, please try again later.";
            return Some(Status {
                message: text.into(),
                ..Status::too_many_requests(5)
            });
        }
        (Instant::now() >= late.from).then(|| Status::unavailable("apiserver is shutting down", 1))
    }

    /// Counts an ordinary request until what is returned is dropped.
    pub(super) fn await_request(&self) -> Awaited {
        self.shared.ordinary.token()
    }

    /// Counts a watch until what is returned is dropped.
    pub(super) fn await_watch(&self) -> Awaited {
        self.shared.watches.token()
    }

    /// Resolves when it is this watch's turn to end.
    pub(super) fn turn(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut plan = self.shared.plan.subscribe();
        async move {
            let known = plan.wait_for(Option::is_some).await.ok();
            let Some(plan) = known.and_then(|plan| plan.clone()) else {
                return std::future::pending().await;
            };
            let turn = plan.given.fetch_add(1, Ordering::Relaxed);
            let at = plan.start + plan.gap * u32::try_from(turn).unwrap_or(u32::MAX);
            // In a box: every watch holds this future, and few come as far.
            Box::pin(sleep_until(at)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Group;

    fn open(closing: &Closing, watches: usize) -> Group {
        let mut group = Group::new();
        for _ in 0..watches {
            let (turn, held) = (closing.turn(), closing.await_watch());
            group.spawn("watch", async move {
                turn.await;
                drop(held);
            });
        }
        group
    }

    #[tokio::test(start_paused = true)]
    async fn many_watches_end_over_the_whole_grace_and_few_at_once() {
        for (watches, least, most) in [(2000, 9_900, 10_000), (100, 900, 1_000), (1, 0, 1)] {
            let closing = Closing::new();
            let mut group = open(&closing, watches);
            tokio::task::yield_now().await;
            let (start, mut ends) = (Instant::now(), Vec::new());
            let closes = closing.end_watches(Duration::from_secs(10));
            let ended = async {
                while group.next_end().await.is_some() {
                    ends.push(start.elapsed());
                }
            };
            tokio::join!(closes, ended);
            let last = ends.last().unwrap().as_millis();
            assert!((least..=most).contains(&last), "{watches}: {last}");
            // Timers tick in milliseconds.
            let at_once = |at: &Duration| ends.iter().filter(|end| *end == at).count();
            assert!(ends.iter().map(at_once).max().unwrap() <= 2, "{ends:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn requests_are_waited_for_before_watches_end_and_latecomers_are_told() {
        let closing = Closing::new();
        let (accepting, rest) = (CancellationToken::new(), CancellationToken::new());
        let (request, mut watch) = (closing.await_request(), open(&closing, 1));
        assert!(closing.refusal().is_none());
        let order = async {
            accepting.cancelled().await;
            assert!(
                closing.refusal().is_none(),
                "what crosses the goodbye is served"
            );
            tokio::time::sleep(Duration::from_secs(30)).await;
            assert_eq!(closing.refusal().map(|status| status.code), Some(503));
            assert!(!rest.is_cancelled());
            let ends = watch.next_end();
            tokio::pin!(ends);
            assert!(futures::poll!(ends.as_mut()).is_pending());
            drop(request);
            ends.await;
            rest.cancelled().await;
        };
        tokio::join!(closing.close(Manner::default(), &accepting, &rest), order);
    }

    #[tokio::test(start_paused = true)]
    async fn with_retry_after_the_door_stays_open_until_all_is_done() {
        let closing = Closing::new();
        let (accepting, rest) = (CancellationToken::new(), CancellationToken::new());
        let request = closing.await_request();
        let manner = Manner {
            send_retry_after: true,
            ..Manner::default()
        };
        let order = async {
            tokio::task::yield_now().await;
            let refusal = closing.refusal().unwrap();
            assert_eq!((refusal.code, refusal.retry_after), (429, Some(5)));
            assert!(!accepting.is_cancelled());
            drop(request);
            accepting.cancelled().await;
        };
        tokio::join!(closing.close(manner, &accepting, &rest), order);
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_end_is_not_waited_for_forever() {
        let closing = Closing::new();
        let (accepting, rest) = (CancellationToken::new(), CancellationToken::new());
        let _held = (closing.await_request(), closing.await_watch());
        let start = Instant::now();
        closing.close(Manner::default(), &accepting, &rest).await;
        assert_eq!(start.elapsed(), Manner::default().longest());
    }
}
