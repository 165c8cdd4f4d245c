//! Whether a stream still moves: less than 1 KiB/s over a minute is a standstill. Nothing is said of the time in all.

use std::collections::VecDeque;
use std::time::Duration;

/// Between two looks.
pub(super) const TICK: Duration = Duration::from_secs(10);
/// Looks that make a minute.
const TICKS: usize = 6;
/// In a minute.
const LEAST: u64 = 60 << 10;

/// The last minute of a stream.
#[derive(Debug, Default)]
pub(super) struct Watch(VecDeque<u64>);

impl Watch {
    /// So many bytes moved since the last look; true: it stands still. `could`: whether it could have moved all the time.
    pub(super) fn look(&mut self, bytes: u64, could: bool) -> bool {
        if !could {
            self.0.clear();
            return false;
        }
        self.0.push_back(bytes);
        if self.0.len() > TICKS {
            self.0.pop_front();
        }
        self.0.len() == TICKS && self.0.iter().sum::<u64>() < LEAST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fault_15_a_minute_of_drops_is_a_standstill() {
        let mut watch = Watch::default();
        let looks: Vec<bool> = (0..7).map(|_| watch.look(10, true)).collect();
        assert_eq!(looks, [false, false, false, false, false, true, true]);
        let mut watch = Watch::default();
        assert!((0..100).all(|_| !watch.look(10 << 10, true)), "1 KiB/s");
        let mut watch = Watch::default();
        assert!(
            (0..100).all(|n| !watch.look(0, n % 6 != 5)),
            "nothing to do"
        );
    }
}
