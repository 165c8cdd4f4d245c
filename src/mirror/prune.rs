//! What of a ledger may be deleted now, and why the rest may not.
//!
//! Due is an image that this mirror created and that left the source, or the selection, so long ago that the grace is over, and that
//! two complete lists in a row did not have. Where a list cannot be believed nothing is due; where too much of a repository would go
//! at once, nothing of it goes. What is due is told first, and deleted by a later run.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};

use super::canonical;
use super::ledger::Ledger;
use super::outcome::{Outcome, Report};
use crate::image::{Digest, Repository, Tag};

#[cfg(test)]
mod tests;

/// So many complete lists in a row have to miss a tag.
pub const LOOKS: u8 = 2;

/// So many tags are deleted in one run; the others wait for the next.
pub const MOST_DELETIONS: usize = 100;

/// How careful to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// How long a tag has to be gone.
    pub grace: Duration,
    /// The part of a repository's owned tags, in percent, that may go at once.
    pub max_percent: u8,
}

impl Rules {
    /// The more careful of both in everything.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            grace: self.grace.max(other.grace),
            max_percent: self.max_percent.min(other.max_percent),
        }
    }
}

/// A look at a source, for one destination repository.
#[derive(Debug, Clone, Copy)]
pub struct Sight<'a> {
    /// Which.
    pub source: &'a Repository,
    /// When its tags were listed.
    pub at: Timestamp,
    /// How many there are.
    pub listed: usize,
    /// Whether that is believed to be all there is.
    pub is_complete: bool,
    /// The tags that are wanted at the destination.
    pub wanted: &'a BTreeSet<Tag>,
}

/// Why a look is not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doubt {
    /// The list may have gaps.
    Incomplete,
    /// There is nothing in it.
    Empty,
    /// It has less than half of what the last one had.
    Shrunk {
        /// How many tags it has.
        listed: u64,
        /// How many there were.
        before: u64,
    },
    /// It is of another source than the last one.
    OtherSource {
        /// Which that was.
        before: Repository,
    },
    /// Nothing of it is selected.
    NothingWanted {
        /// How many tags it has.
        listed: u64,
    },
    /// The source could not be looked at.
    Trouble(String),
}

/// As the end of a sentence about a destination repository.
impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Incomplete => f.write_str("the source's list of tags may have gaps"),
            Self::Empty => f.write_str("the source's list of tags is empty"),
            Self::Shrunk { listed, before } => write!(
                f,
                "the source's list has {listed} tags, where the last one had {before}: it has to stay so for {LOOKS} more looks"
            ),
            Self::OtherSource { before } => {
                write!(
                    f,
                    "what is there was copied from {before}, which is not the source any more: {LOOKS} more looks have to say the same"
                )
            }
            Self::NothingWanted { listed } => {
                write!(f, "none of the source's {listed} tags is selected")
            }
            Self::Trouble(why) => f.write_str(why),
        }
    }
}

/// Why nothing of a repository is deleted where something would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// What is gone is not known for sure.
    Doubt(Doubt),
    /// Too much would go at once.
    TooMany {
        /// So many tags.
        due: usize,
        /// Of so many.
        owned: usize,
        /// What may go, in percent.
        max_percent: u8,
    },
}

/// As the end of a sentence about a destination repository.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Doubt(doubt) => doubt.fmt(f),
            Self::TooMany {
                due,
                owned,
                max_percent,
            } => write!(
                f,
                "{due} of {owned} owned tags would be deleted, more than the {max_percent}% of spec.prune.maxDeleteFraction"
            ),
        }
    }
}

/// A tag to delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Which.
    pub tag: Tag,
    /// What it has to be still.
    pub digest: Digest,
    /// Whether that was told before.
    pub is_announced: bool,
}

/// What is to be done at one destination repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Which.
    pub to: Repository,
    /// How many images are owned there.
    pub owned: usize,
    /// What may be deleted.
    pub due: Vec<Due>,
    /// What is not wanted either, but not for long enough, or not for sure.
    pub waiting: Vec<Tag>,
    /// Why nothing is due, where something would be.
    pub refused: Option<Refusal>,
}

/// What is due at `to`, after [`Ledger::look`] answered `looked` to a list that was read at `at`.
pub fn part(
    ledger: &Ledger,
    to: &Repository,
    at: Timestamp,
    looked: Result<(), Doubt>,
    rules: Rules,
) -> Part {
    let mut part = Part {
        to: to.clone(),
        owned: ledger.owned(to),
        due: Vec::new(),
        waiting: Vec::new(),
        refused: None,
    };
    // What no span is, is never over.
    let grace = SignedDuration::try_from(rules.grace).unwrap_or(SignedDuration::MAX);
    for (tag, entry) in ledger.images(to) {
        let Some(unwanted) = entry.unwanted else {
            continue;
        };
        let gone = at.duration_since(unwanted.since);
        let is_over = !gone.is_negative() && gone >= grace && unwanted.looks >= LOOKS;
        if looked.is_ok() && is_over {
            part.due.push(Due {
                tag: tag.clone(),
                digest: entry.digest.clone(),
                is_announced: entry.is_announced,
            });
        } else {
            part.waiting.push(tag.clone());
        }
    }
    if let Err(doubt) = looked {
        // Of a list with gaps nobody knows whether it misses what is owned.
        let is_worth_telling = match &doubt {
            Doubt::Incomplete | Doubt::Trouble(_) => !part.waiting.is_empty(),
            Doubt::Empty
            | Doubt::Shrunk { .. }
            | Doubt::OtherSource { .. }
            | Doubt::NothingWanted { .. } => part.owned > 0,
        };
        part.refused = is_worth_telling.then_some(Refusal::Doubt(doubt));
        return part;
    }
    let due = part.due.len();
    if due.saturating_mul(100) > part.owned.saturating_mul(rules.max_percent.into()) {
        let refused = part.due.drain(..).map(|due| due.tag);
        part.waiting.extend(refused);
        part.waiting.sort_unstable();
        part.refused = Some(Refusal::TooMany {
            due,
            owned: part.owned,
            max_percent: rules.max_percent,
        });
    }
    part
}

/// The images that are at `to` because they are wanted, whosever they are; none: that is not known of all that is wanted.
pub fn held(report: &Report, to: &Repository) -> Option<BTreeSet<Digest>> {
    let name = canonical::repository(to);
    let tags = report.tags.iter();
    let wanted = tags.filter(|tag| {
        let is_there = tag.destination.is_some() || tag.outcome != Outcome::Gone;
        is_there && canonical::repository(&tag.to) == name
    });
    wanted.map(|tag| tag.destination.clone()).collect()
}

/// What is told of what is deleted next: how many tags, and the first of them as `repository:tag`.
pub fn announcement(parts: &[Part], most: usize) -> (usize, Vec<String>) {
    let due = || {
        parts
            .iter()
            .flat_map(|part| part.due.iter().map(|due| (&part.to, &due.tag)))
    };
    let sample = due().take(most).map(|(to, tag)| format!("{to}:{tag}"));
    (due().count(), sample.collect())
}

/// Tells one announcement from others; none where nothing is announced.
pub fn fingerprint(planned: usize, sample: &[String]) -> Option<[u8; 32]> {
    if planned == 0 {
        return None;
    }
    let mut hash = Sha256::new();
    hash.update(planned.to_string());
    for name in sample {
        hash.update("\n");
        hash.update(name);
    }
    Some(hash.finalize().into())
}
