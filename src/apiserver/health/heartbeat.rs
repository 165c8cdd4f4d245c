//! Whether tasks still get their turn: a task that ticks, and somebody who looks when it last did.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

const BEAT: Duration = Duration::from_secs(1);
/// A process whose tasks have not run for so long does not recover by itself.
const DEAD_AFTER: Duration = Duration::from_secs(30);

/// When the runtime last gave a task its turn. Clones share it.
#[derive(Debug, Clone)]
pub struct Heartbeat {
    last: Arc<Mutex<Instant>>,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self {
            last: Arc::new(Mutex::new(Instant::now())),
        }
    }
}

impl Heartbeat {
    /// Beats until `stop`.
    pub async fn beat(self, stop: CancellationToken) {
        let mut ticks = interval(BEAT);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            *self.last.lock() = Instant::now();
        }
    }

    /// Whether it has beaten lately.
    pub fn beats(&self) -> bool {
        self.last.lock().elapsed() < DEAD_AFTER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_heart_that_stands_still_is_noticed() {
        let heartbeat = Heartbeat::default();
        let stop = CancellationToken::new();
        let beating = async {
            tokio::time::sleep(Duration::from_mins(5)).await;
            assert!(heartbeat.beats());
            stop.cancel();
        };
        tokio::join!(heartbeat.clone().beat(stop.clone()), beating);
        tokio::time::sleep(DEAD_AFTER + BEAT).await;
        assert!(!heartbeat.beats());
    }
}
