//! What an election changes: a few marks, seldom the table.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::history::{Commit, Touch, Touched};
use super::super::repository::Mark;
use super::super::{Election, RepositoryTags};
use super::Step;
use super::merge::fold_idle;
use crate::image::{Digest, Tag};
use crate::object::Key;

/// Idle marks are tolerated up to this many, then folded into the table.
const IDLE_MARKS: usize = 64;

/// What an election makes of what is held; `None` when that is nothing.
pub(in super::super) fn election(
    held: &Arc<RepositoryTags>,
    policy: &Key,
    gained: Option<&Election>,
    first: u64,
) -> Option<Step> {
    if let Some(Election { tag, .. }) = gained {
        held.table.find(tag.as_str())?;
    }
    let lost = held
        .elections
        .iter()
        .find(|election| election.policy == *policy);
    if lost == gained {
        return None;
    }
    let mut elections: Vec<_> = held
        .elections
        .iter()
        .filter(|e| e.policy != *policy)
        .chain(gained)
        .cloned()
        .collect();
    elections.sort_unstable_by(|a, b| a.policy.cmp(&b.policy));

    let mut marks = held.marks.to_vec();
    let mut touches = Vec::new();
    let concerned: BTreeSet<&Tag> = lost
        .into_iter()
        .chain(gained)
        .map(|election| &election.tag)
        .collect();
    for tag in concerned {
        let brought = gained
            .filter(|gained| gained.tag == *tag)
            .and_then(|gained| gained.digest.as_ref());
        let version = first + touches.len() as u64;
        touches.extend(
            mark(held, &mut marks, &elections, tag.as_str(), brought, version).map(Touch::present),
        );
    }
    let changed = touches.len();
    let mut after = RepositoryTags {
        elections: elections.into(),
        ..RepositoryTags::clone(held)
    };
    if marks.iter().filter(|mark| mark.is_idle()).count() > IDLE_MARKS {
        after.table = Arc::new(fold_idle(&held.table, &marks));
        marks.retain(|mark| !mark.is_idle());
    }
    after.marks = marks.into();
    let commit = Commit {
        first,
        before: Some(Arc::clone(held)),
        after: Some(Arc::new(after)),
        touched: Touched::Some(touches.into()),
        set: false,
    };
    Some(Step {
        commit,
        added: 0,
        removed: 0,
        changed,
    })
}

/// Brings the mark of `tag` in line with `elections`; its index when that changed something.
fn mark(
    held: &RepositoryTags,
    marks: &mut Vec<Mark>,
    elections: &[Election],
    tag: &str,
    brought: Option<&Digest>,
    version: u64,
) -> Option<u32> {
    let index = held.table.find(tag)?.index();
    let at = marks.binary_search_by_key(&index, |mark| mark.index);
    let was = at.ok().and_then(|at| marks.get(at));
    let digest = digest(
        elections,
        tag,
        brought,
        was.and_then(|mark| mark.digest.as_ref()),
    );
    let selected_by = RepositoryTags::electors(elections, tag);
    let is_same = match was {
        Some(was) => was.digest == digest && was.selected_by == selected_by,
        None => digest.is_none() && selected_by.is_empty(),
    };
    if is_same {
        return None;
    }
    let mark = Mark {
        index,
        modified: version,
        digest,
        selected_by,
    };
    match at {
        Ok(at) => drop(marks.splice(at..=at, [mark])),
        Err(at) => marks.insert(at, mark),
    }
    Some(index)
}

/// The digest that `tag` is served with: the one just brought, else the present one while an election vouches for
/// it, else that of the first policy that knows one.
fn digest(
    elections: &[Election],
    tag: &str,
    brought: Option<&Digest>,
    present: Option<&Digest>,
) -> Option<Digest> {
    let mut known = elections
        .iter()
        .filter(|election| election.tag.as_str() == tag)
        .filter_map(|e| e.digest.as_ref());
    let first = known.clone().next();
    brought
        .or_else(|| present.filter(|present| known.any(|digest| digest == *present)))
        .or(first)
        .cloned()
}
