//! The client's own throttle (`--kube-api-qps`, `--kube-api-burst`): a token bucket, for API servers that do not protect
//! themselves.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// How many requests in a second, and how many at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Requests in a second, in the long run.
    pub qps: f64,
    /// Requests at once, after a quiet time.
    pub burst: u32,
}

/// A token bucket. Clones lift together, but only one of them may be asked for tokens.
#[derive(Debug)]
pub(super) struct Throttle {
    rate: Option<Rate>,
    is_lifted: Arc<AtomicBool>,
    tokens: f64,
    filled: Option<Instant>,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Clone for Throttle {
    fn clone(&self) -> Self {
        Self {
            rate: self.rate,
            is_lifted: self.is_lifted.clone(),
            tokens: self.tokens,
            filled: self.filled,
            waiting: None,
        }
    }
}

impl Throttle {
    /// A full bucket; `None` is no throttle.
    pub(super) fn new(rate: Option<Rate>) -> Self {
        Self {
            rate,
            is_lifted: Arc::default(),
            tokens: rate.map_or(0.0, |rate| f64::from(rate.burst)),
            filled: None,
            waiting: None,
        }
    }

    /// There is no throttle any more.
    pub(super) fn lift(&self) {
        self.is_lifted.store(true, Ordering::Relaxed);
    }

    /// Ready when a request may go out.
    pub(super) fn poll_free(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(rate) = self.rate else {
            return Poll::Ready(());
        };
        loop {
            if self.is_lifted.load(Ordering::Relaxed) {
                return Poll::Ready(());
            }
            let now = Instant::now();
            let passed = self.filled.map_or(Duration::ZERO, |filled| now - filled);
            self.filled = Some(now);
            self.tokens =
                (self.tokens + passed.as_secs_f64() * rate.qps).min(f64::from(rate.burst.max(1)));
            if self.tokens >= 1.0 {
                self.waiting = None;
                return Poll::Ready(());
            }
            // A little longer, so that rounding does not make it wait twice.
            let missing = Duration::from_secs_f64((1.0 - self.tokens) / rate.qps);
            let mut waiting = Box::pin(sleep(missing + Duration::from_millis(1)));
            let is_over = waiting.as_mut().poll(cx).is_ready();
            self.waiting = Some(waiting);
            if !is_over {
                return Poll::Pending;
            }
        }
    }

    /// A request goes out.
    pub(super) fn take(&mut self) {
        self.tokens -= 1.0;
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    async fn seconds_for(throttle: &mut Throttle, requests: u32) -> u64 {
        let begin = Instant::now();
        for _ in 0..requests {
            poll_fn(|cx| throttle.poll_free(cx)).await;
            throttle.take();
        }
        begin.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_free_and_what_follows_is_slowed_down() {
        let rate = Rate {
            qps: 10.0,
            burst: 20,
        };
        let mut throttle = Throttle::new(Some(rate));
        assert_eq!(seconds_for(&mut throttle, 20).await, 0);
        assert_eq!(seconds_for(&mut throttle, 50).await, 5);
        tokio::time::advance(Duration::from_hours(1)).await;
        assert_eq!(
            seconds_for(&mut throttle, 30).await,
            1,
            "no more than a burst is saved up"
        );
        throttle.clone().lift();
        assert_eq!(seconds_for(&mut throttle, 1000).await, 0, "lifted");
        assert_eq!(seconds_for(&mut Throttle::new(None), 1000).await, 0);
    }
}
