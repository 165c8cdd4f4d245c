//! A bandwidth that many share: each waits for its turn, in the order of asking, a small piece at a time.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// As much as is asked for at once, so that whoever reads large pieces gets no more than others.
const TURN: u64 = 16 << 10;
/// As much time as may be made up for.
const BURST: Duration = Duration::from_millis(125);

/// A bandwidth for all who share it.
#[derive(Debug)]
pub struct Limiter {
    bytes_per_second: u64,
    turn: u64,
    /// When everything that was granted so far has been paid for.
    paid: Mutex<Option<Instant>>,
}

impl Limiter {
    /// So many bytes per second (at least one).
    pub fn new(bytes_per_second: u64) -> Self {
        let bytes_per_second = bytes_per_second.max(1);
        Self {
            bytes_per_second,
            turn: (bytes_per_second / 8).clamp(1, TURN),
            paid: Mutex::new(None),
        }
    }

    /// How many bytes it lets pass in a second.
    pub fn bytes_per_second(&self) -> u64 {
        self.bytes_per_second
    }

    /// Waits until `bytes` more may pass.
    pub(in crate::registry) async fn take(&self, mut bytes: u64) {
        while bytes > 0 {
            let turn = bytes.min(self.turn);
            bytes -= turn;
            tokio::time::sleep_until(self.grant(turn, Instant::now())).await;
        }
    }

    /// When `bytes` may pass. Who asks first is granted first.
    fn grant(&self, bytes: u64, now: Instant) -> Instant {
        let mut paid = self.paid.lock();
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        let begin = paid.unwrap_or(earliest).max(earliest);
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_per_second);
        let end = begin + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        *paid = Some(end);
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_rate_is_kept_after_a_small_burst() {
        let limiter = Limiter::new(1 << 20);
        let begin = Instant::now();
        limiter.take(128 << 10).await;
        assert!(begin.elapsed() <= Duration::from_millis(2), "the burst");
        limiter.take(4 << 20).await;
        let took = begin.elapsed();
        assert!(
            took >= Duration::from_millis(3990) && took <= Duration::from_millis(4010),
            "{took:?}"
        );
        // Nothing is saved up beyond the burst.
        tokio::time::advance(Duration::from_hours(1)).await;
        let begin = Instant::now();
        limiter.take(1 << 20).await;
        assert!(begin.elapsed() >= Duration::from_millis(870));
    }

    #[tokio::test(start_paused = true)]
    async fn large_pieces_get_no_more_than_small_ones() {
        let limiter = Limiter::new(1 << 20);
        let until = Instant::now() + Duration::from_secs(10);
        let reads = |piece: u64| {
            let limiter = &limiter;
            async move {
                let mut bytes = 0;
                while Instant::now() < until {
                    limiter.take(piece).await;
                    bytes += piece;
                }
                bytes
            }
        };
        let (large, small) = futures::join!(reads(256 << 10), reads(16 << 10));
        assert!(large.abs_diff(small) <= 512 << 10, "{large} {small}");
        assert!(large + small <= 11 << 20);
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_of_nothing_is_one_byte_a_second() {
        let limiter = Limiter::new(0);
        let begin = Instant::now();
        limiter.take(3).await;
        assert!(begin.elapsed() >= Duration::from_secs(2));
    }
}
