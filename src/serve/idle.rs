//! When a connection has been without a request for too long. A request counts from its head until its answer's body is
//! sent or given up.

use std::time::Duration;

use tokio::sync::watch;

use super::Guard;

/// The requests of one connection.
#[derive(Debug, Default)]
pub(super) struct Requests(watch::Sender<Count>);

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    open: usize,
    /// Whether there ever was one.
    any: bool,
}

/// A request that is under way.
pub(super) struct Open(watch::Sender<Count>);

impl Requests {
    /// Counts one more until what is returned is dropped.
    pub(super) fn begin(&self) -> Open {
        self.0.send_modify(|count| {
            count.open += 1;
            count.any = true;
        });
        Open(self.0.clone())
    }

    /// Resolves when none is under way: those of an upgraded connection go on without it.
    pub(super) async fn finished(&self) {
        let mut count = self.0.subscribe();
        // The other end is `self`.
        drop(count.wait_for(|count| count.open == 0).await);
    }

    /// Resolves when there has been no first request for as long as `first`, or no further one for as long as `further`.
    pub(super) async fn idle(&self, first: Duration, further: Duration) {
        let mut count = self.0.subscribe();
        loop {
            let Count { open, any } = *count.borrow_and_update();
            let patience = match (open, any) {
                (0, false) => first,
                (0, true) => further,
                _ => Duration::MAX,
            };
            if tokio::time::timeout(patience, count.changed())
                .await
                .is_err()
            {
                return;
            }
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0
            .send_modify(|count| count.open = count.open.saturating_sub(1));
    }
}

/// Held by the answer's body.
impl Guard for Open {
    fn wrote(&mut self, _bytes: usize) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

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
