//! Says something at most once per period, and how often it was not said: for log lines that clients can cause.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

#[derive(Debug)]
pub(super) struct Seldom {
    period: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last: Option<Instant>,
    unsaid: u64,
}

impl Seldom {
    pub(super) fn every(period: Duration) -> Self {
        Self {
            period,
            state: Mutex::default(),
        }
    }

    /// `Some`: say it now, and that it went unsaid so many times before.
    pub(super) fn now(&self) -> Option<u64> {
        let mut state = self.state.lock();
        let now = Instant::now();
        if state
            .last
            .is_some_and(|last| now.saturating_duration_since(last) < self.period)
        {
            state.unsaid = state.unsaid.saturating_add(1);
            return None;
        }
        state.last = Some(now);
        Some(std::mem::take(&mut state.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_speaks_once_per_period_and_counts_the_rest() {
        let seldom = Seldom::every(Duration::from_mins(1));
        assert_eq!(
            [seldom.now(), seldom.now(), seldom.now()],
            [Some(0), None, None]
        );
        tokio::time::advance(Duration::from_mins(1)).await;
        assert_eq!([seldom.now(), seldom.now()], [Some(2), None]);
    }
}
