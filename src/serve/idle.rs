//! When a connection has been without a request for too long. A request counts from its head until its answer's body is
//! sent or given up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::Guard;

/// The requests of one connection. Counting one wakes nobody who waits for idleness: that one looks when it could be
/// there.
#[derive(Debug)]
pub(super) struct Requests(Arc<Count>);

#[derive(Debug)]
struct Count {
    since: Instant,
    open: AtomicUsize,
    /// When the last one ended, or began: nanoseconds behind `since`. 0 when there was none.
    last: AtomicU64,
    /// Told when none is under way any more.
    ended: Notify,
}

/// A request that is under way.
pub(super) struct Open(Arc<Count>);

impl Default for Requests {
    fn default() -> Self {
        Self(Arc::new(Count {
            since: Instant::now(),
            open: AtomicUsize::new(0),
            last: AtomicU64::new(0),
            ended: Notify::new(),
        }))
    }
}

impl Count {
    fn mark(&self) {
        let nanos = u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.last.store(nanos.max(1), Ordering::Relaxed);
    }

    /// When the connection will have been idle for long enough, as things stand.
    fn idle_at(&self, begun: Instant, first: Duration, further: Duration) -> Instant {
        match (
            self.open.load(Ordering::Acquire),
            self.last.load(Ordering::Relaxed),
        ) {
            (0, 0) => begun + first,
            (0, last) => (self.since + Duration::from_nanos(last)).max(begun) + further,
            (_, _) => Instant::now() + further,
        }
    }
}

impl Requests {
    /// Counts one more until what is returned is dropped.
    pub(super) fn begin(&self) -> Open {
        self.0.mark();
        self.0.open.fetch_add(1, Ordering::AcqRel);
        Open(Arc::clone(&self.0))
    }

    /// Resolves when none is under way: those of an upgraded connection go on without it.
    pub(super) async fn finished(&self) {
        loop {
            let mut ended = std::pin::pin!(self.0.ended.notified());
            // Listens before it looks, so that no end comes in between.
            ended.as_mut().enable();
            if self.0.open.load(Ordering::Acquire) == 0 {
                return;
            }
            ended.await;
        }
    }

    /// Resolves when there has been no first request for as long as `first`, or no further one for as long as `further`.
    pub(super) async fn idle(&self, first: Duration, further: Duration) {
        let begun = Instant::now();
        loop {
            let at = self.0.idle_at(begun, first, further);
            if at <= Instant::now() {
                return;
            }
            sleep_until(at).await;
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.mark();
        if self.0.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.ended.notify_waiters();
        }
    }
}

/// Held by the answer's body.
impl Guard for Open {
    fn wrote(&mut self, _bytes: usize) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_from_the_end_of_its_last_request() {
        let seconds = Duration::from_secs;
        let requests = Requests::default();
        let started = Instant::now();
        requests.idle(seconds(20), seconds(300)).await;
        assert_eq!(started.elapsed(), seconds(20), "without any request");

        let (one, two) = (requests.begin(), requests.begin());
        let ends = async {
            tokio::time::sleep(seconds(1000)).await;
            drop(one);
            tokio::time::sleep(seconds(1000)).await;
            drop(two);
        };
        let started = Instant::now();
        tokio::join!(requests.idle(seconds(20), seconds(300)), ends);
        assert_eq!(started.elapsed(), seconds(2300));
    }
}
