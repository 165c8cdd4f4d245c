//! What an election changes: a few marks, seldom the table. What it costs does not depend on how many others there are.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

use super::super::history::{Commit, Touch, Touched};
use super::super::repository::Mark;
use super::super::{Election, RepositoryTags, Sorted, weight};
use super::Step;
use super::merge::fold_idle;
use crate::image::{Digest, Tag};
use crate::object::Key;

/// Idle marks are tolerated up to this many, or one for so many tags, then folded into the table.
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
    let lost = held.elections.get(policy);
    if lost == gained {
        return None;
    }
    let turn = Turn {
        policy,
        lost,
        gained,
        elections: match gained {
            Some(gained) => held.elections.with(gained.clone()),
            None => held.elections.without(policy),
        },
    };
    let mut after = RepositoryTags {
        elections: turn.elections.clone(),
        ..RepositoryTags::clone(held)
    };
    let mut replaced = weight::of_election(held, policy);
    let mut touches = Vec::new();
    let concerned: BTreeSet<&Tag> = lost
        .into_iter()
        .chain(gained)
        .map(|election| &election.tag)
        .collect();
    for tag in concerned {
        let Some(index) = held.table.find(tag.as_str()).map(|cursor| cursor.index()) else {
            continue;
        };
        let was = held.marks.get(&index);
        let Some(mark) = turn.mark(tag, index, was, first + touches.len() as u64) else {
            continue;
        };
        if was.is_none_or(|was| was.modified != mark.modified) {
            touches.push(Touch::present(index));
        }
        replaced += weight::of_mark(held, index, policy);
        after.idle -= usize::from(was.is_some_and(Mark::is_idle));
        after.idle += usize::from(mark.is_idle());
        after.marks = after.marks.with(mark);
    }
    let changed = touches.len();
    if after.idle > IDLE_MARKS.max(held.tag_count() / IDLE_MARKS) {
        after.table = Arc::new(fold_idle(&held.table, &after.marks));
        let marks = after.marks.iter().filter(|mark| !mark.is_idle());
        after.marks = marks.cloned().collect();
        after.idle = 0;
        replaced = weight::of(held);
    }
    let commit = Commit {
        first,
        before: Some(Arc::clone(held)),
        after: Some(Arc::new(after)),
        touched: Touched::Some(touches.into()),
        set: false,
        replaced,
    };
    Some(Step {
        commit,
        added: 0,
        removed: 0,
        changed,
    })
}

/// One policy's election in the place of its last one.
struct Turn<'a> {
    policy: &'a Key,
    lost: Option<&'a Election>,
    gained: Option<&'a Election>,
    /// With the one and without the other.
    elections: Sorted<Election>,
}

impl Turn<'_> {
    /// The mark of `tag` once the election counts; `None` when it stays as it is. Its version is another one where the
    /// tag is served differently.
    fn mark(&self, tag: &Tag, index: u32, was: Option<&Mark>, version: u64) -> Option<Mark> {
        let lost = self.lost.filter(|election| election.tag == *tag);
        let gained = self.gained.filter(|election| election.tag == *tag);
        let electors = was.map(|was| was.selected_by.clone()).unwrap_or_default();
        let selected_by = match (lost, gained) {
            (None, Some(_)) => electors.with(self.policy.clone()),
            (Some(_), None) => electors.without(self.policy),
            (Some(_), Some(_)) | (None, None) => electors,
        };
        let digest = self.digest(was, lost, gained, &selected_by);
        let pushed = self.pushed(was, lost, gained, &selected_by);
        let is_served_alike =
            lost.is_some() == gained.is_some() && was.is_some_and(|was| was.digest == digest);
        let modified = match was {
            Some(was) if is_served_alike && was.pushed == pushed => return None,
            Some(was) if is_served_alike => was.modified,
            Some(_) | None => version,
        };
        Some(Mark {
            index,
            modified,
            digest,
            selected_by,
            pushed,
        })
    }

    /// The digest that the tag is served with: the one just brought, else the present one while an election vouches for
    /// it, else that of the first policy that knows one. As long as nobody vouched for the present one and left, there
    /// is no need to ask the others: a tag has a digest when one of its electors knows one.
    fn digest(
        &self,
        was: Option<&Mark>,
        lost: Option<&Election>,
        gained: Option<&Election>,
        electors: &Sorted<Key>,
    ) -> Option<Digest> {
        if let Some(brought) = gained.and_then(|gained| gained.digest.as_ref()) {
            return Some(brought.clone());
        }
        let present = was?.digest.as_ref()?;
        if lost.is_none_or(|lost| lost.digest.as_ref() != Some(present)) {
            return Some(present.clone());
        }
        let mut first = None;
        for known in self.elect(electors).filter_map(|e| e.digest.as_ref()) {
            if known == present {
                return Some(known.clone());
            }
            first.get_or_insert(known);
        }
        first.cloned()
    }

    /// When the tag was last noticed to be pushed again. The others are only asked when who knew it best has left.
    fn pushed(
        &self,
        was: Option<&Mark>,
        lost: Option<&Election>,
        gained: Option<&Election>,
        electors: &Sorted<Key>,
    ) -> Option<Timestamp> {
        let seen = |election: &Election| Some(election.pushed.as_ref()?.seen);
        let present = was.and_then(|was| was.pushed);
        let gained = gained.and_then(seen);
        if present.is_none() || gained >= present || lost.and_then(seen) < present {
            return gained.max(present);
        }
        self.elect(electors).filter_map(seen).max()
    }

    /// What these policies elect now.
    fn elect<'a>(&'a self, electors: &'a Sorted<Key>) -> impl Iterator<Item = &'a Election> {
        electors
            .iter()
            .filter_map(|policy| self.elections.get(policy))
    }
}
