//! Where a page ends, and what its metadata says about the rest.
//!
//! The metadata comes before the items, so that the end is found first: by counting, where counts are known, and
//! otherwise by looking at the entries; in no case is an object made for it.

use crate::apiserver::continue_token::Token;
use crate::apiserver::walk::{Step, Walk};
use crate::store::ResourceVersion;

/// How many entries are looked at before other tasks get their turn.
const BUDGET: usize = 4096;

/// The bounds of one page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Page {
    /// The number of items.
    pub(super) items: usize,
    /// The token of the next page; `None` on the last one.
    pub(super) next: Option<String>,
    /// How many items follow, where that is known.
    pub(super) remaining: Option<usize>,
}

impl Page {
    /// All that there is.
    pub(super) fn unlimited() -> Self {
        Self {
            items: usize::MAX,
            next: None,
            remaining: None,
        }
    }

    /// Whether another page follows.
    pub(super) fn goes_on(&self) -> bool {
        self.next.is_some()
    }

    /// Finds the end of the page of at most `limit` items (1 or more) that `walk` begins, in the state at `version`.
    pub(super) async fn find(
        mut walk: Walk,
        limit: usize,
        namespace: Option<&str>,
        version: ResourceVersion,
    ) -> Self {
        let mut count = limit.max(1);
        let last = loop {
            match walk.skip(&mut count, BUDGET) {
                (Step::Stopped, Some(last)) => break last,
                (Step::More, _) => tokio::task::yield_now().await,
                (Step::Stopped | Step::Done, _) => return Self::unlimited(),
            }
        };
        let remaining = walk.left();
        let goes_on = match remaining {
            Some(remaining) => remaining > 0,
            None => has_more(&mut walk).await,
        };
        if !goes_on {
            return Self::unlimited();
        }
        let next = Token {
            version: Some(version),
            namespace: namespace.is_none().then(|| last.key.namespace.to_string()),
            name: last.name,
        };
        Self {
            items: limit,
            next: Some(next.encode()),
            remaining,
        }
    }
}

async fn has_more(walk: &mut Walk) -> bool {
    loop {
        match walk.skip(&mut 1, BUDGET).0 {
            Step::Stopped => return true,
            Step::Done => return false,
            Step::More => tokio::task::yield_now().await,
        }
    }
}
