//! The one sequence that every change has its place in.

use std::fmt;

/// How many low bits count changes; the bits above are the epoch.
const COUNTER_BITS: u32 = 40;

/// The highest epoch that fits above the counter.
pub(super) const MAX_EPOCH: u64 = u64::MAX >> COUNTER_BITS;

/// A position in the one sequence of changes. Never given twice, across crashes too.
///
/// High bits: the epoch (a lost store starts a higher one); low 40 bits: a counter. Served as decimal
/// text in `metadata.resourceVersion`. 0 is never given to anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ResourceVersion(pub u64);

impl ResourceVersion {
    /// The position before the first change of `epoch`.
    pub const fn start_of(epoch: u64) -> Self {
        Self(epoch << COUNTER_BITS)
    }

    /// The epoch it belongs to. A counter that overflows flows into the next epoch, which is harmless:
    /// epochs need to be different, not consecutive.
    pub const fn epoch(self) -> u64 {
        self.0 >> COUNTER_BITS
    }
}

/// Decimal, as Kubernetes shows it.
impl fmt::Display for ResourceVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_stands_above_every_version_of_the_epochs_before_it() {
        let start = ResourceVersion::start_of(3);
        assert_eq!(start.epoch(), 3);
        assert!(start > ResourceVersion(ResourceVersion::start_of(2).0 + (1 << 39)));
        assert_eq!(ResourceVersion::start_of(MAX_EPOCH).epoch(), MAX_EPOCH);
    }
}
