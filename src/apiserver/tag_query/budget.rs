//! How long an explanation may keep a processor busy.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// How often it looks at the time: at every so-many-th tag.
const LOOKS: u64 = 64;

/// The time for one explanation, which ends early when nobody waits for it any more.
#[derive(Debug)]
pub(super) struct Budget {
    until: Instant,
    is_over: Arc<AtomicBool>,
    asked: AtomicU64,
}

/// Ends a budget when it is dropped.
#[derive(Debug)]
pub(super) struct GivenUp(Arc<AtomicBool>);

impl Drop for GivenUp {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Budget {
    pub(super) fn new(time: Duration) -> Self {
        let now = Instant::now();
        Self {
            until: now.checked_add(time).unwrap_or(now),
            is_over: Arc::default(),
            asked: AtomicU64::new(0),
        }
    }

    pub(super) fn ends_with_this(&self) -> GivenUp {
        GivenUp(self.is_over.clone())
    }

    pub(super) fn goes_on(&self) -> bool {
        if self.is_over.load(Ordering::Relaxed) {
            return false;
        }
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        if asked.is_multiple_of(LOOKS) && Instant::now() >= self.until {
            self.is_over.store(true, Ordering::Relaxed);
            return false;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_ends_with_its_time_and_with_whoever_waits() {
        let budget = Budget::new(Duration::from_hours(1));
        assert!(budget.goes_on());
        drop(budget.ends_with_this());
        assert!(!budget.goes_on());
        assert!(!Budget::new(Duration::ZERO).goes_on());
    }
}
