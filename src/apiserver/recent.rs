//! The states that unfinished lists still read from, kept for a time and within a number of bytes.
//!
//! A page must come from the state of the first one. States share what has not changed, so that what counts is what
//! only they keep in memory: any number of readers of one state costs as much as one. When it becomes too much, those
//! states go first that the fewest pages were read from, so that readers of first pages do not push out those who
//! want them all; and what went is still answered as far back as the store's history reaches.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::store::{ResourceVersion, Snapshot};

/// How long a list may take from one page to the next.
const MAX_AGE: Duration = Duration::from_mins(5);
/// Bytes that are held in memory for unfinished lists alone. The newest of their states is always kept.
const MAX_BYTES: usize = 32 << 20;
/// How many states are kept at most: weighing them takes time, and the history has most of the others.
const MAX_COUNT: usize = 1024;

/// The kept states, oldest first.
#[derive(Debug)]
pub(super) struct Recent {
    kept: Mutex<Vec<Kept>>,
    max_bytes: usize,
}

#[derive(Debug)]
struct Kept {
    snapshot: Snapshot,
    used: Instant,
    /// How many pages after the first were read from it.
    pages: usize,
    /// What it keeps in memory beside the next newer one.
    bytes: usize,
}

impl Default for Recent {
    fn default() -> Self {
        Self::within(MAX_BYTES)
    }
}

impl Recent {
    fn within(max_bytes: usize) -> Self {
        Self {
            kept: Mutex::default(),
            max_bytes,
        }
    }

    /// Keeps `snapshot` for the pages to come.
    pub(super) fn keep(&self, snapshot: &Snapshot) {
        let mut kept = self.kept.lock();
        let now = Instant::now();
        forget_aged(&mut kept, now);
        let version = snapshot.resource_version();
        let place = kept.binary_search_by_key(&version, |kept| kept.snapshot.resource_version());
        let at = match place {
            Ok(at) => {
                if let Some(kept) = kept.get_mut(at) {
                    kept.used = now;
                }
                return;
            }
            Err(at) => at,
        };
        kept.insert(
            at,
            Kept {
                snapshot: snapshot.clone(),
                used: now,
                pages: 0,
                bytes: 0,
            },
        );
        weigh(&mut kept, at);
        weigh_before(&mut kept, at);
        while kept.len() > MAX_COUNT
            || kept.iter().map(|kept| kept.bytes).sum::<usize>() > self.max_bytes
        {
            let older = kept.iter().enumerate().rev().skip(1);
            let Some((least, _)) = older.min_by_key(|(_, kept)| (kept.pages, kept.used)) else {
                return;
            };
            kept.remove(least);
            weigh_before(&mut kept, least);
        }
    }

    /// The state at exactly `version`, if it is still kept.
    pub(super) fn at(&self, version: ResourceVersion) -> Option<Snapshot> {
        let mut kept = self.kept.lock();
        let now = Instant::now();
        forget_aged(&mut kept, now);
        let at = kept
            .binary_search_by_key(&version, |kept| kept.snapshot.resource_version())
            .ok()?;
        let found = kept.get_mut(at)?;
        found.used = now;
        found.pages += 1;
        Some(found.snapshot.clone())
    }
}

fn forget_aged(kept: &mut Vec<Kept>, now: Instant) {
    let is_aged = |kept: &Kept| now - kept.used >= MAX_AGE;
    if !kept.iter().any(is_aged) {
        return;
    }
    kept.retain(|kept| !is_aged(kept));
    for at in 0..kept.len() {
        weigh(kept, at);
    }
}

/// Weighs the state before the one at `at` anew: it has another neighbour.
fn weigh_before(kept: &mut [Kept], at: usize) {
    if let Some(before) = at.checked_sub(1) {
        weigh(kept, before);
    }
}

fn weigh(kept: &mut [Kept], at: usize) {
    if let Some([this, newer]) = kept.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        this.bytes = this.snapshot.bytes_beside(&newer.snapshot);
    } else if let Some(newest) = kept.get_mut(at) {
        // The store itself holds the newest, or did so a moment ago.
        newest.bytes = 0;
    }
}

#[cfg(test)]
mod tests;
