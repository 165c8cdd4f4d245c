//! What a repository was before a commit.
//!
//! A tag's change tells the tag before and after, but its repository only after. Its image and its copied labels may
//! have changed in the same commit; that commit then ends with a change of the TagSet, which tells both.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::store::{Change, RepositoryTags, ResourceVersion, Store};

/// How many changes are looked at in one go.
const BATCH: usize = 4096;

/// The repository as it was before the commit that made it `repository`, where that commit says so: else nothing that
/// the tags share has changed. The search goes on from `position`; `following` are the changes after it at hand.
pub(super) fn former(
    store: &Store,
    repository: &Arc<RepositoryTags>,
    position: ResourceVersion,
    following: &[Change],
) -> Option<Arc<RepositoryTags>> {
    let mut position = position;
    if let ControlFlow::Break(found) = search(repository, following, &mut position) {
        return found;
    }
    loop {
        // A position that was just read and is gone by now ends the watch at its next pull anyway.
        let fetched = store.changes_after(position, BATCH).ok()?;
        if fetched.is_empty() {
            return None;
        }
        if let ControlFlow::Break(found) = search(repository, &fetched, &mut position) {
            return found;
        }
    }
}

/// Breaks at the end of the commit.
fn search(
    repository: &Arc<RepositoryTags>,
    changes: &[Change],
    position: &mut ResourceVersion,
) -> ControlFlow<Option<Arc<RepositoryTags>>> {
    for change in changes {
        match change {
            Change::Tag {
                repository: other,
                resource_version,
                ..
            } if Arc::ptr_eq(other, repository) => {
                *position = *resource_version;
            }
            Change::Tag { .. } => return ControlFlow::Break(None),
            Change::Set { before, after, .. } => {
                let is_ours = after
                    .as_ref()
                    .is_some_and(|after| Arc::ptr_eq(after, repository));
                return ControlFlow::Break(before.as_ref().filter(|_| is_ours).cloned());
            }
        }
    }
    ControlFlow::Continue(())
}
