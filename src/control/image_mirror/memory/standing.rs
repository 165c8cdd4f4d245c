//! How the tags of one source fare at its destinations.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::Source;
use crate::image::{Digest, Repository, Tag};
use crate::mirror::canonical;
use crate::mirror::known::{Copied, Known};
use crate::mirror::outcome::{Outcome, TagReport};
use crate::store::{Copies, Verified};

/// What decides what is where: when it changes, nothing is known any more but what is kept of copies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Setup {
    pub(in super::super) from: Repository,
    pub(in super::super) to: Vec<Repository>,
    /// Tells copies of other platforms apart.
    variant: Arc<str>,
}

/// One source.
#[derive(Debug)]
pub(in super::super) struct Standing {
    pub(in super::super) setup: Setup,
    /// From where to where, by their one names: reports may have others.
    from: Repository,
    to: Vec<Repository>,
    /// The generation of the mirror's spec for which all its tags were looked at.
    pub(in super::super) generation: Option<i64>,
    /// Whether it was looked at, so that a tag that is not verified is known not to be.
    pub(super) is_settled: bool,
    /// The tags that are wanted, each with its destinations in their order.
    pub(in super::super) tags: BTreeMap<Tag, Vec<At>>,
    /// Tags beside an image, such as its signatures, that are something else at a destination.
    pub(in super::super) beside: BTreeMap<(Tag, usize), At>,
    /// What is verified, as it was last asked for; `None` when that may have changed.
    verified: Option<Arc<Copies>>,
}

/// One tag at one destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct At {
    pub(in super::super) fate: Fate,
    /// What went wrong, or what the destination has in its place.
    pub(in super::super) message: String,
    /// When that was found.
    pub(in super::super) since: Timestamp,
    /// What it is at the source, where nothing was copied.
    pub(in super::super) source: Option<Digest>,
    /// What the destination has, where that is something else.
    pub(in super::super) found: Option<Digest>,
    /// What was last seen to be there, unless that turned out to be wrong.
    pub(in super::super) copied: Option<Copied>,
    /// Whether it turned out to be missing, or something else, and was not copied since.
    differs: bool,
    /// Whether it is to be looked at again at once, whatever came of it.
    is_again: bool,
}

/// How a tag fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Fate {
    /// Nobody has looked yet.
    New,
    /// It was copied, and is there.
    Copied,
    /// It is there.
    Unchanged,
    /// The source does not have it any more.
    Gone,
    /// Something else is there that may not be overwritten.
    Drifted,
    /// The registry does not let it be moved.
    Blocked,
    /// It was not begun.
    NotBegun,
    /// It failed.
    Failed,
}

/// What is known of one destination.
pub(super) type Held = BTreeMap<Tag, Copied>;

impl Setup {
    pub(super) fn of(source: &Source, variant: &str) -> Self {
        Self {
            from: source.from.repository.clone(),
            to: source.to.iter().map(|to| to.repository.clone()).collect(),
            variant: variant.into(),
        }
    }

    /// What is known to be at each destination.
    pub(super) fn copies(&self, known: &Known) -> Vec<Held> {
        let Self { from, to, variant } = self;
        to.iter()
            .map(|to| known.copies(from, to, variant))
            .collect()
    }
}

impl Default for At {
    fn default() -> Self {
        Self {
            fate: Fate::New,
            message: String::new(),
            since: Timestamp::UNIX_EPOCH,
            source: None,
            found: None,
            copied: None,
            differs: false,
            is_again: false,
        }
    }
}

impl At {
    /// As after a start, when a status vouched for what is known.
    fn remembered(copied: Option<&Copied>) -> Self {
        match copied {
            None => Self::default(),
            Some(copied) => Self {
                fate: Fate::Unchanged,
                since: copied.verified,
                copied: Some(copied.clone()),
                ..Self::default()
            },
        }
    }

    /// Whether it is to be looked at without any other reason.
    pub(in super::super) fn is_pending(&self) -> bool {
        self.is_again || self.is_failing()
    }

    /// Whether it is not where it should be, and may come to be by trying again.
    pub(in super::super) fn is_failing(&self) -> bool {
        match self.fate {
            Fate::New | Fate::NotBegun | Fate::Failed => true,
            Fate::Copied | Fate::Unchanged | Fate::Gone | Fate::Drifted | Fate::Blocked => false,
        }
    }

    /// Whether it is there.
    pub(in super::super) fn is_mirrored(&self) -> bool {
        matches!(self.fate, Fate::Copied | Fate::Unchanged)
    }

    /// When the destination was last asked; `None`: it is asked again soon anyway.
    pub(in super::super) fn asked(&self) -> Option<Timestamp> {
        match self.fate {
            Fate::Copied | Fate::Unchanged => self.copied.as_ref().map(|copied| copied.verified),
            Fate::Gone | Fate::Drifted | Fate::Blocked => Some(self.since),
            Fate::New | Fate::NotBegun | Fate::Failed => None,
        }
    }

    /// What is known to be there, in spite of a failure since.
    fn held(&self) -> Option<&Copied> {
        self.copied.as_ref().filter(|_| !self.differs)
    }

    /// What the destination has by the tag's name, as far as that is known.
    pub(super) fn there(&self) -> Option<&Digest> {
        match self.fate {
            Fate::Drifted | Fate::Blocked => self.found.as_ref(),
            Fate::New
            | Fate::Copied
            | Fate::Unchanged
            | Fate::Gone
            | Fate::NotBegun
            | Fate::Failed => self.held().map(|copied| &copied.destination),
        }
    }

    fn refresh(&mut self, known: Option<&Copied>) {
        let Some(copied) = &mut self.copied else {
            return;
        };
        match known {
            Some(known) => copied.clone_from(known),
            // Somebody found that it may not be there any more.
            None => self.is_again = true,
        }
    }

    /// As `report` has it.
    fn take(&mut self, report: &TagReport, known: Option<Copied>, now: Timestamp) {
        let TagReport {
            source,
            destination,
            outcome,
            moved_meanwhile,
            ..
        } = report;
        // A copy that was found again to be there was still copied.
        let was_copied = self.fate == Fate::Copied;
        let copied = self.copied.take().filter(|_| !self.differs);
        let is_copied = matches!(outcome, Outcome::Copied);
        let kept_since = self.since;
        *self = Self {
            fate: match outcome {
                Outcome::Copied => Fate::Copied,
                Outcome::Unchanged if was_copied => Fate::Copied,
                Outcome::Unchanged => Fate::Unchanged,
                Outcome::Gone => Fate::Gone,
                Outcome::Drifted { .. } => Fate::Drifted,
                Outcome::Immutable { .. } => Fate::Blocked,
                Outcome::NotBegun { .. } => Fate::NotBegun,
                Outcome::Failed { .. } => Fate::Failed,
            },
            message: outcome.cause().unwrap_or_default(),
            since: now,
            source: source.clone(),
            is_again: *moved_meanwhile,
            differs: self.differs,
            ..Self::default()
        };
        match outcome {
            Outcome::Copied | Outcome::Unchanged => {
                self.differs = false;
                self.copied = known.or_else(|| {
                    Some(Copied {
                        source: source.clone()?,
                        destination: destination.clone()?,
                        verified: now,
                    })
                });
                if was_copied && !is_copied {
                    self.since = kept_since;
                }
            }
            Outcome::Drifted { found } => {
                self.found = Some(found.clone());
            }
            Outcome::Immutable { found, .. } => self.found.clone_from(found),
            Outcome::Gone => {}
            // Nothing speaks against what was seen before.
            Outcome::NotBegun { .. } | Outcome::Failed { .. } => self.copied = copied,
        }
    }
}

impl Standing {
    /// A source that was not known. `vouched`: the generation for which all was well when the program began.
    pub(super) fn begin(setup: Setup, tags: &[Tag], copies: &[Held], vouched: Option<i64>) -> Self {
        let at = |tag: &Tag| {
            let ends = copies.iter().map(|copies| copies.get(tag));
            let ends = ends.map(|copied| At::remembered(copied.filter(|_| vouched.is_some())));
            (tag.clone(), ends.collect::<Vec<_>>())
        };
        let tags: BTreeMap<_, _> = tags.iter().map(at).collect();
        let all_there = tags.values().flatten().all(At::is_mirrored);
        let name = |place: &Repository| canonical::repository(place).into_owned();
        Self {
            from: name(&setup.from),
            to: setup.to.iter().map(name).collect(),
            setup,
            generation: vouched,
            is_settled: vouched.is_some() && all_there,
            tags,
            beside: BTreeMap::new(),
            verified: None,
        }
    }

    /// These tags are wanted now, and this is known of them.
    pub(super) fn refresh(&mut self, tags: &[Tag], copies: &[Held]) {
        let mut before = std::mem::take(&mut self.tags);
        for tag in tags {
            let ends = before.remove(tag);
            let mut ends = ends.unwrap_or_else(|| vec![At::default(); copies.len()]);
            for (end, copies) in ends.iter_mut().zip(copies) {
                end.refresh(copies.get(tag));
            }
            self.tags.insert(tag.clone(), ends);
        }
        self.verified = None;
    }

    /// The number of the destination `to`, if it is copied there from `from`; both by their one names.
    pub(super) fn route(&self, from: &Repository, to: &Repository) -> Option<usize> {
        let is_from = self.from == *from;
        is_from.then(|| self.to.iter().position(|own| own == to))?
    }

    pub(super) fn differs(&mut self, number: usize, tag: &Tag) {
        let end = self.tags.get_mut(tag).and_then(|ends| ends.get_mut(number));
        if let Some(end) = end {
            end.differs = true;
            self.verified = None;
        }
    }

    /// `to` by its one name.
    pub(super) fn again(&mut self, to: &Repository, tag: &Tag) {
        let ends = self.tags.get_mut(tag).into_iter().flatten();
        for (_, end) in self.to.iter().zip(ends).filter(|(own, _)| *own == to) {
            end.is_again = true;
        }
    }

    pub(super) fn take(
        &mut self,
        number: usize,
        report: &TagReport,
        known: &Known,
        now: Timestamp,
    ) {
        let Some(tag) = &report.tag else {
            return;
        };
        let Setup { from, to, variant } = &self.setup;
        let Some(to) = to.get(number) else {
            return;
        };
        let kept = known.tag(from, tag, to, variant);
        let Some(ends) = self.tags.get_mut(tag) else {
            let mut end = At::default();
            end.take(report, None, now);
            self.beside.insert((tag.clone(), number), end);
            return;
        };
        if let Outcome::Drifted { found }
        | Outcome::Immutable {
            found: Some(found), ..
        } = &report.outcome
            && kept.as_ref().is_none_or(|kept| kept.destination != *found)
        {
            // Whatever was there before, it is this now, and no copy of what the source has.
            let copied = Copied {
                source: found.clone(),
                destination: found.clone(),
                verified: now,
            };
            known.note_tag(from, tag, to, variant, copied);
        }
        if let Some(end) = ends.get_mut(number) {
            end.take(report, kept, now);
            self.verified = None;
        }
    }

    /// A run has looked at it. When all of it failed, that is no better than not having looked.
    pub(in super::super) fn settle(&mut self) {
        let mut ends = self.tags.values().flatten();
        self.is_settled =
            self.is_settled || ends.clone().next().is_none() || ends.any(|end| !end.is_failing());
        self.verified = None;
    }

    /// The tags that are at every destination as one and the same.
    pub(super) fn verified(&mut self) -> Arc<Copies> {
        if let Some(verified) = &self.verified {
            return verified.clone();
        }
        let verified = self.tags.iter().filter_map(|(tag, ends)| {
            let held: Option<Vec<&Copied>> = ends.iter().map(At::held).collect();
            let held = held?;
            let source = held.first()?.source.clone();
            let is_one = held.iter().all(|copied| copied.source == source);
            let destinations = held.iter().map(|copied| copied.destination.clone());
            let verified = Verified {
                destinations: destinations.collect(),
                source,
            };
            is_one.then(|| (tag.clone(), verified))
        });
        let verified = Arc::new(Copies {
            image: self.setup.from.clone(),
            tags: verified.collect(),
            is_whole: self.is_settled,
        });
        self.verified = Some(verified.clone());
        verified
    }
}
