//! Which object is reconciled when: asked-for objects at once, others when their time comes, never one object
//! twice at the same time, never more in a lane than the settings allow.
//!
//! Delays and de-duplication are `kube::runtime`'s scheduler; this adds the places (by lane, see `lanes`), the retry
//! delays, and what becomes of a reconcile that panics (it counts as failed; the program lives on).

pub(super) mod meter;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures::channel::mpsc::unbounded;
use futures::{StreamExt as _, stream};
use kube::runtime::scheduler::{ScheduleRequest, scheduler};
use tokio::sync::mpsc;
use tokio::task::{Id, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::meter::Meter;
use super::backoff::{Backoff, Limits};
use super::lanes::Lanes;
use crate::object::Key;

/// How many requests may wait to be looked at; whoever asks waits beyond that. Looking at one takes no time.
const WAITING: usize = 1024;

/// The longest time for which a registry can have us stay away: it may be wrong, or a mistake.
const MOST_PATIENCE: Duration = Duration::from_hours(1);

/// How long reconciles may go on after shutdown was asked for.
const GRACE: Duration = Duration::from_secs(5);

/// What becomes of an object after its reconcile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing, until it (or what it depends on) changes.
    Await,
    /// Again after this time.
    After(Duration),
    /// It failed: again after a delay that grows from failure to failure.
    Retry {
        /// The delay is not shorter than this: what a registry asked for.
        at_least: Duration,
        /// The delay is not longer than this: what is cheap to try again.
        at_most: Duration,
    },
}

impl Next {
    /// A retry with the delays of the settings.
    pub const RETRY: Self = Self::Retry {
        at_least: Duration::ZERO,
        at_most: Duration::MAX,
    };

    /// A retry that leaves alone for a while whoever asked for it, but not for longer than [`MOST_PATIENCE`].
    pub fn retry_after(asked: Option<Duration>) -> Self {
        let at_least = asked.unwrap_or_default().min(MOST_PATIENCE);
        Self::Retry {
            at_least,
            at_most: Duration::MAX,
        }
    }

    /// A retry of something that is cheap to look at, and may be mended at any moment.
    pub const fn retry_within(at_most: Duration) -> Self {
        Self::Retry {
            at_least: Duration::ZERO,
            at_most,
        }
    }
}

/// Asks for reconciles. Clones ask the same queue.
#[derive(Debug, Clone)]
pub struct Trigger(mpsc::Sender<Key>);

impl Trigger {
    /// Asks for `key` to be reconciled at once, or as soon as its running reconcile ends.
    pub async fn request(&self, key: Key) {
        // The queue ends only when the program does.
        let _still_running = self.0.send(key).await.is_ok();
    }
}

/// The other end of a [`Trigger`].
#[derive(Debug)]
pub struct Requests {
    receiver: mpsc::Receiver<Key>,
    /// Held so that the stream of requests does not end.
    _sender: Trigger,
}

/// A queue's two ends.
pub fn queue() -> (Trigger, Requests) {
    let (sender, receiver) = mpsc::channel(WAITING);
    let trigger = Trigger(sender);
    (
        trigger.clone(),
        Requests {
            receiver,
            _sender: trigger,
        },
    )
}

/// Where a reconcile runs: the registry host that it may have to wait for; empty for none.
pub type Lane = std::sync::Arc<str>;

/// Runs `reconcile` for what is asked for, at most `concurrent` at a time of each lane, until `shutdown`; then lets
/// those that run end, for a few seconds.
pub(super) async fn run<R, F>(
    requests: Requests,
    concurrent: usize,
    lane: impl Fn(&Key) -> Lane,
    limits: Limits,
    shutdown: CancellationToken,
    meter: Meter,
    mut reconcile: R,
) where
    R: FnMut(Key) -> F,
    F: Future<Output = Next> + Send + 'static,
{
    let Requests { receiver, _sender } = requests;
    // Only this loop sends, one message per ended reconcile, and takes them out again in its next turn.
    let (later, again) = unbounded();
    meter.begin();
    let asked_of = meter.clone();
    // What is asked for is due since before the timers began: for anything later they wait for their next tick, which
    // is a millisecond, and there are two such waits between a scan that is asked for and an election.
    let due = Instant::now();
    let asked = stream::unfold((receiver, asked_of), async |(mut receiver, meter)| {
        let message = receiver.recv().await?;
        meter.asked(&message);
        Some((message, (receiver, meter)))
    });
    let asked = asked.map(|message| ScheduleRequest {
        message,
        run_at: due,
    });
    let mut schedule = std::pin::pin!(scheduler(stream::select(asked.boxed(), again)));
    let mut backoff = Backoff::new(limits);
    let mut slots = Slots::default();
    let mut lanes = Lanes::<Lane, Key>::new(concurrent);
    loop {
        while let Some((lane, key)) = lanes.start() {
            meter.started(&key);
            slots.start(lane, key.clone(), reconcile(key));
        }
        let next = async {
            schedule
                .as_mut()
                .hold_unless(|key| !slots.busy.contains(key))
                .next()
                .await
        };
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            Some((lane, key, outcome)) = ended(&mut slots.tasks, &mut slots.keys, &meter) => {
                slots.busy.remove(&key);
                lanes.end(&lane);
                let delay = backoff.delay(&key, outcome);
                meter.ended(&key, outcome, delay);
                if let Some(delay) = delay {
                    let request = ScheduleRequest { message: key, run_at: Instant::now() + delay };
                    // The receiving half lives as long as this loop.
                    let _received = later.unbounded_send(request).is_ok();
                }
            }
            Some(key) = next => lanes.push(lane(&key), key),
        }
    }
    let drained = tokio::time::timeout(GRACE, async {
        while ended(&mut slots.tasks, &mut slots.keys, &meter)
            .await
            .is_some()
        {}
    });
    if drained.await.is_err() {
        tracing::warn!(
            reconciles = slots.tasks.len(),
            "Stopped reconciles that did not end in time"
        );
    }
}

/// The reconciles that run.
#[derive(Default)]
struct Slots {
    busy: HashSet<Key>,
    keys: HashMap<Id, (Lane, Key)>,
    tasks: JoinSet<Next>,
}

impl Slots {
    fn start(
        &mut self,
        lane: Lane,
        key: Key,
        reconcile: impl Future<Output = Next> + Send + 'static,
    ) {
        let id = self.tasks.spawn(reconcile).id();
        self.keys.insert(id, (lane, key.clone()));
        self.busy.insert(key);
    }
}

/// The next reconcile to end, and how; `None` when none runs.
async fn ended(
    tasks: &mut JoinSet<Next>,
    keys: &mut HashMap<Id, (Lane, Key)>,
    meter: &Meter,
) -> Option<(Lane, Key, Next)> {
    loop {
        let ended = tasks.join_next_with_id().await?;
        let id = match &ended {
            Ok((id, _)) => *id,
            Err(failed) => failed.id(),
        };
        let Some((lane, key)) = keys.remove(&id) else {
            continue;
        };
        let next = match ended {
            Ok((_, next)) => next,
            Err(failed) => {
                meter.panicked();
                tracing::error!(object = %key, error = %failed, "A reconcile panicked");
                Next::RETRY
            }
        };
        return Some((lane, key, next));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use parking_lot::Mutex;

    use super::*;
    use crate::control::kind::Kind;

    const LIMITS: Limits = Limits {
        min: Duration::from_secs(1),
        max: Duration::from_mins(1),
    };

    fn key(name: &str) -> Key {
        Key::new("apps", name)
    }

    /// What stands before a dash in the name.
    fn lane(key: &Key) -> Lane {
        key.name.split_once('-').map_or("", |(lane, _)| lane).into()
    }

    /// A queue whose reconciles take `takes`, answer with `answer`, and are written down with their start.
    struct Bench {
        trigger: Trigger,
        starts: Arc<Mutex<Vec<(String, Duration)>>>,
        most: Arc<AtomicUsize>,
        shutdown: CancellationToken,
    }

    fn bench(
        concurrent: usize,
        takes: Duration,
        answer: impl Fn(&Key) -> Next + Send + Sync + 'static,
    ) -> Bench {
        let (trigger, requests) = queue();
        let starts = Arc::new(Mutex::new(Vec::new()));
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let shutdown = CancellationToken::new();
        let answer = Arc::new(answer);
        let begin = Instant::now();
        let (log, peak) = (starts.clone(), most.clone());
        let meter = meter::Meters::default().of(Kind::ImagePolicy);
        crate::task::detach(
            "queue",
            run(
                requests,
                concurrent,
                lane,
                LIMITS,
                shutdown.clone(),
                meter,
                move |key| {
                    log.lock().push((key.name.to_string(), begin.elapsed()));
                    let (running, peak, answer) = (running.clone(), peak.clone(), answer.clone());
                    async move {
                        peak.fetch_max(
                            running.fetch_add(1, Ordering::SeqCst) + 1,
                            Ordering::SeqCst,
                        );
                        tokio::time::sleep(takes).await;
                        running.fetch_sub(1, Ordering::SeqCst);
                        answer(&key)
                    }
                },
            ),
        );
        Bench {
            trigger,
            starts,
            most,
            shutdown,
        }
    }

    impl Bench {
        fn starts(&self) -> Vec<(String, u64)> {
            self.starts
                .lock()
                .iter()
                .map(|(name, at)| (name.clone(), at.as_secs()))
                .collect()
        }
    }

    fn at(starts: &[(&str, u64)]) -> Vec<(String, u64)> {
        starts
            .iter()
            .map(|(name, at)| ((*name).to_owned(), *at))
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn one_object_is_never_reconciled_twice_at_once_but_again_when_asked_meanwhile() {
        let bench = bench(4, Duration::from_secs(10), |_| Next::Await);
        bench.trigger.request(key("a")).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        bench.trigger.request(key("a")).await;
        bench.trigger.request(key("a")).await;
        tokio::time::sleep(Duration::from_mins(1)).await;
        assert_eq!(bench.starts(), at(&[("a", 0), ("a", 10)]));
        assert_eq!(bench.most.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_run_at_once_than_allowed() {
        let bench = bench(2, Duration::from_secs(10), |_| Next::Await);
        for name in ["a", "b", "c", "d", "e"] {
            bench.trigger.request(key(name)).await;
        }
        tokio::time::sleep(Duration::from_mins(1)).await;
        assert_eq!(bench.most.load(Ordering::SeqCst), 2);
        assert_eq!(bench.starts().len(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_lane_holds_up_no_other() {
        let bench = bench(2, Duration::from_secs(10), |_| Next::Await);
        for name in ["slow-1", "slow-2", "slow-3", "slow-3", "quick-1", "quick-2"] {
            bench.trigger.request(key(name)).await;
        }
        tokio::time::sleep(Duration::from_mins(1)).await;
        let mut starts: Vec<_> = bench
            .starts()
            .into_iter()
            .map(|(name, at)| (name.starts_with("slow"), at))
            .collect();
        starts.sort_unstable();
        assert_eq!(
            starts,
            [(false, 0), (false, 0), (true, 0), (true, 0), (true, 10)]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_asked_for_waits_for_no_timer() {
        let bench = bench(4, Duration::ZERO, |_| Next::Await);
        tokio::time::sleep(Duration::from_micros(5_500_100)).await;
        bench.trigger.request(key("a")).await;
        for _ in 0..100 {
            // Time stands still while anything can run.
            tokio::task::yield_now().await;
        }
        assert_eq!(bench.starts().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_overtakes_the_time_that_was_set() {
        let bench = bench(4, Duration::ZERO, |_| Next::After(Duration::from_secs(100)));
        bench.trigger.request(key("a")).await;
        tokio::time::sleep(Duration::from_secs(30)).await;
        bench.trigger.request(key("a")).await;
        tokio::time::sleep(Duration::from_secs(101)).await;
        assert_eq!(bench.starts(), at(&[("a", 0), ("a", 30), ("a", 130)]));
    }

    #[tokio::test(start_paused = true)]
    async fn failures_are_tried_again_with_growing_delay() {
        let bench = bench(4, Duration::ZERO, |_| Next::RETRY);
        bench.trigger.request(key("a")).await;
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert_eq!(
            bench.starts(),
            at(&[("a", 0), ("a", 1), ("a", 3), ("a", 7), ("a", 15)])
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_counts_as_a_failure_of_that_object_alone() {
        let bench = bench(4, Duration::ZERO, |key| {
            assert!(&*key.name != "bad", "told to");
            Next::After(Duration::from_secs(2))
        });
        bench.trigger.request(key("bad")).await;
        bench.trigger.request(key("good")).await;
        tokio::time::sleep(Duration::from_millis(4500)).await;
        let starts = bench.starts();
        assert_eq!(
            starts.iter().filter(|(name, _)| name == "good").count(),
            3,
            "{starts:?}"
        );
        assert_eq!(
            starts.iter().filter(|(name, _)| name == "bad").count(),
            3,
            "{starts:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_starts_after_shutdown() {
        let bench = bench(4, Duration::ZERO, |_| Next::After(Duration::from_secs(1)));
        bench.trigger.request(key("a")).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        bench.shutdown.cancel();
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(bench.starts(), at(&[("a", 0)]));
    }
}
