//! The snapshots that unfinished lists still read from: bounded in number and age.
//!
//! A page must come from the state of the first one. A snapshot shares what has not changed with all others, so that
//! keeping a few costs little; a client that comes too late is told so and starts over.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::store::{ResourceVersion, Snapshot};

/// How long a list may take from one page to the next.
const MAX_AGE: Duration = Duration::from_mins(5);
/// How many states are kept at most; the oldest goes first.
const MAX_COUNT: usize = 32;

/// The kept snapshots, least recently used first.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<VecDeque<(Instant, Snapshot)>>);

impl Recent {
    /// Keeps `snapshot` for the pages to come.
    pub(super) fn keep(&self, snapshot: &Snapshot) {
        let now = Instant::now();
        let version = snapshot.resource_version();
        let mut kept = self.0.lock();
        kept.retain(|(used, kept)| kept.resource_version() != version && now - *used < MAX_AGE);
        while kept.len() >= MAX_COUNT {
            kept.pop_front();
        }
        kept.push_back((now, snapshot.clone()));
    }

    /// The snapshot at exactly `version`, if it is still kept.
    pub(super) fn at(&self, version: ResourceVersion) -> Option<Snapshot> {
        let now = Instant::now();
        let mut kept = self.0.lock();
        kept.retain(|(used, _)| now - *used < MAX_AGE);
        kept.iter()
            .find(|(_, kept)| kept.resource_version() == version)
            .map(|(_, kept)| kept.clone())
    }
}
