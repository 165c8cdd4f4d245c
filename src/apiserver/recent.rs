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
/// How many states are kept at most; those go first that no second page was read from, the oldest ahead.
const MAX_COUNT: usize = 32;

/// The kept snapshots, least recently used first.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<VecDeque<Kept>>);

#[derive(Debug)]
struct Kept {
    used: Instant,
    /// Whether a page after the first was read from it: many clients want one page only, and must not push out those
    /// who want them all.
    is_continued: bool,
    snapshot: Snapshot,
}

impl Recent {
    /// Keeps `snapshot` for the pages to come.
    pub(super) fn keep(&self, snapshot: &Snapshot) {
        let mut kept = self.0.lock();
        if touch(&mut kept, snapshot.resource_version()).is_some() {
            return;
        }
        while kept.len() >= MAX_COUNT {
            let least = kept.iter().position(|kept| !kept.is_continued);
            kept.remove(least.unwrap_or(0));
        }
        kept.push_back(Kept {
            used: Instant::now(),
            is_continued: false,
            snapshot: snapshot.clone(),
        });
    }

    /// The snapshot at exactly `version`, if it is still kept.
    pub(super) fn at(&self, version: ResourceVersion) -> Option<Snapshot> {
        let mut kept = self.0.lock();
        let found = touch(&mut kept, version)?;
        found.is_continued = true;
        Some(found.snapshot.clone())
    }
}

/// Drops what is too old, and makes the one at `version` the last used.
fn touch(kept: &mut VecDeque<Kept>, version: ResourceVersion) -> Option<&mut Kept> {
    let now = Instant::now();
    kept.retain(|kept| now - kept.used < MAX_AGE);
    let at = kept
        .iter()
        .position(|kept| kept.snapshot.resource_version() == version)?;
    let found = kept.remove(at)?;
    kept.push_back(Kept { used: now, ..found });
    kept.back_mut()
}
