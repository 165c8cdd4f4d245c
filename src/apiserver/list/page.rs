//! Where a page ends, and what its metadata says about the rest.

use std::ops::ControlFlow;

use crate::apiserver::continue_token::Token;
use crate::apiserver::kind::Kind;
use crate::apiserver::query::ListOptions;
use crate::apiserver::walk::{Step, Walk};
use crate::store::Snapshot;

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

    /// Finds the end of the page of at most `limit` items that `walk` begins.
    pub(super) async fn find(
        kind: Kind,
        snapshot: &Snapshot,
        namespace: Option<&str>,
        options: &ListOptions,
        limit: usize,
        mut walk: Walk,
        token: Option<&Token>,
    ) -> Self {
        let returned = token.map_or(0, |token| token.returned);
        let total = total(kind, snapshot, namespace);
        if limit >= total {
            return Self::unlimited();
        }
        let mut seen = 0;
        let mut last = None;
        let mut visit = |view: crate::apiserver::object::View<'_>| {
            if seen == limit {
                return ControlFlow::Break(());
            }
            seen += 1;
            if seen == limit {
                let key = view.origin().key();
                let name = match view.entry() {
                    Some(entry) => format!("{}:{}", key.name, entry.tag),
                    None => key.name.to_string(),
                };
                last = Some((key.namespace.to_string(), name));
            }
            ControlFlow::Continue(())
        };
        loop {
            match walk.step(BUDGET, &mut visit) {
                Step::Done => return Self::unlimited(),
                Step::Stopped => break,
                Step::More => tokio::task::yield_now().await,
            }
        }
        let Some((last_namespace, name)) = last else {
            return Self::unlimited();
        };
        let returned = returned.saturating_add(limit);
        // A page of another state than the first one's counts nothing.
        let counts =
            options.selection.is_everything() && token.is_none_or(|token| token.version.is_some());
        let next = Token {
            version: Some(snapshot.resource_version()),
            namespace: namespace.is_none().then_some(last_namespace),
            name,
            returned: if counts { returned } else { 0 },
        };
        let remaining = counts
            .then(|| total.saturating_sub(returned))
            .filter(|remaining| *remaining > 0);
        Self {
            items: limit,
            next: Some(next.encode()),
            remaining,
        }
    }
}

/// How many objects there are without any selector.
fn total(kind: Kind, snapshot: &Snapshot, namespace: Option<&str>) -> usize {
    let count = |tags: std::sync::Arc<crate::store::RepositoryTags>| match kind {
        Kind::ImageTag => tags.tag_count(),
        Kind::TagSet => 1,
    };
    match namespace {
        Some(namespace) => snapshot.repositories_in(namespace).map(count).sum(),
        None => snapshot.repositories().map(count).sum(),
    }
}
