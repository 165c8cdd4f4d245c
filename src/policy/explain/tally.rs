//! What an explanation collects: everything is counted, and as much is told as there is room for.

use std::collections::BTreeMap;

use super::{Reason, Rejected, Seat};

/// The collection.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) eligible: usize,
    pub(super) ranked: Vec<Seat>,
    pub(super) rejected: Vec<Rejected>,
    pub(super) counts: BTreeMap<Reason, usize>,
    room: usize,
}

impl Tally {
    pub(super) fn new(room: usize) -> Self {
        Self {
            room,
            ..Self::default()
        }
    }

    /// Counts a rejected tag. Its message is made only where it is told.
    pub(super) fn reject(&mut self, tag: &str, reason: Reason, message: impl FnOnce() -> String) {
        *self.counts.entry(reason).or_default() += 1;
        if self.rejected.len() < self.room {
            self.rejected.push(Rejected {
                tag: tag.to_owned(),
                reason,
                message: message(),
            });
        }
    }
}
