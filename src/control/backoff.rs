//! How long until an object is reconciled again. No IO, no clock.

use std::collections::HashMap;
use std::time::Duration;

use super::queue::Next;
use crate::object::Key;

/// The shortest and the longest delay after a failure (`--min-retry-delay`, `--max-retry-delay`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// After the first failure.
    pub min: Duration,
    /// Never longer than this.
    pub max: Duration,
}

/// Counts the failures of each object since it last went well. Holds as many entries as objects fail.
#[derive(Debug)]
pub(super) struct Backoff {
    limits: Limits,
    failures: HashMap<Key, u32>,
}

impl Backoff {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            failures: HashMap::new(),
        }
    }

    /// The time until the next reconcile; `None`: not before it is asked for.
    pub(super) fn delay(&mut self, key: &Key, next: Next) -> Option<Duration> {
        match next {
            Next::Await => {
                self.failures.remove(key);
                None
            }
            Next::After(delay) => {
                self.failures.remove(key);
                Some(delay)
            }
            Next::Retry { at_least, at_most } => {
                let failures = self.failures.entry(key.clone()).or_insert(0);
                let factor = 2_u32.saturating_pow(*failures);
                *failures = failures.saturating_add(1);
                let delay = self.limits.min.saturating_mul(factor).min(self.limits.max);
                Some(delay.min(at_most).max(at_least))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_a_limit_and_start_over_after_success() {
        let mut backoff = Backoff::new(Limits {
            min: Duration::from_millis(750),
            max: Duration::from_mins(15),
        });
        let key = Key::new("apps", "a");
        let mut millis = |next| {
            backoff
                .delay(&key, next)
                .map(|delay| u64::try_from(delay.as_millis()).unwrap_or(u64::MAX))
        };
        assert_eq!(millis(Next::RETRY), Some(750));
        assert_eq!(millis(Next::RETRY), Some(1500));
        assert_eq!(
            millis(Next::retry_within(Duration::from_secs(2))),
            Some(2000)
        );
        let asked = Next::Retry {
            at_least: Duration::from_mins(1),
            at_most: Duration::MAX,
        };
        assert_eq!(millis(asked), Some(60_000));
        for _ in 0..100 {
            millis(Next::RETRY);
        }
        assert_eq!(millis(Next::RETRY), Some(900_000));
        assert_eq!(millis(Next::After(Duration::from_secs(5))), Some(5000));
        assert_eq!(millis(Next::RETRY), Some(750));
        assert_eq!(millis(Next::Await), None);
        assert_eq!(millis(Next::RETRY), Some(750));
    }
}
