//! Whether a registry's list can be believed, and what becomes of the tags that a doubtful one leaves out.
//!
//! A list is suspect when it may have gaps, when it is empty though tags are held, or when it has less than half of
//! what is held: registries are known to give such lists for a while. A suspect list adds, and
//! removes nothing before several in a row have missed the same tags; a list with gaps never does. Counting is all
//! that happens here: where the count is kept, and for how long, is others' business.

use std::collections::HashMap;
use std::fmt;

use super::Sifted;
use crate::image::Tag;

#[cfg(test)]
mod tests;

/// How many tags have to be held for a loss of half of them to be suspicious. Below it, three tags out of five are an
/// ordinary clean-up; a list without any is suspicious whatever was held.
pub const WORTH_DOUBTING: usize = 10;

/// What to think of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// It is what the registry has.
    Whole,
    /// It may not be.
    Suspect(Suspicion),
}

/// Why a list is doubted. Displayed as the end of an Event's message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Suspicion {
    /// Whoever listed says that there are gaps, and why.
    Incomplete(String),
    /// There is nothing in it.
    Empty {
        /// How many tags there were.
        held: usize,
    },
    /// There is too little in it.
    Shrunk {
        /// How many tags it has.
        listed: usize,
        /// How many there were.
        held: usize,
    },
}

impl fmt::Display for Suspicion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Incomplete(reason) => f.write_str(reason),
            Self::Empty { held } => write!(f, "it is empty, where {held} tags were known"),
            Self::Shrunk { listed, held } => {
                write!(f, "it has {listed} tags, where {held} were known")
            }
        }
    }
}

/// What to think of a list of `listed` tags where `held` were known; `incomplete` says why it has gaps, if it has.
pub fn judge(listed: usize, held: usize, incomplete: Option<&str>) -> Trust {
    if let Some(reason) = incomplete {
        return Trust::Suspect(Suspicion::Incomplete(reason.to_owned()));
    }
    if listed == 0 && held > 0 {
        return Trust::Suspect(Suspicion::Empty { held });
    }
    if held >= WORTH_DOUBTING && listed < held.div_ceil(2) {
        return Trust::Suspect(Suspicion::Shrunk { listed, held });
    }
    Trust::Whole
}

/// What is held while a list is weighed.
pub struct Held<'a> {
    /// How many of the tags are not excluded by now.
    pub count: usize,
    /// Hands out all of them, each once.
    pub visit: Visit<'a>,
}

/// Hands each tag to whoever asks.
pub(super) type Visit<'a> = &'a dyn Fn(&mut dyn FnMut(&str));

impl fmt::Debug for Held<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held")
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

/// The suspect lists that one repository gave in a row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Doubts {
    /// How many tags were held before the first of them.
    held: usize,
    /// How many there were.
    lists: u32,
    /// In which of them, counted from one, a tag was last: those of the last few lists only.
    listed: HashMap<Tag, u32>,
}

impl Doubts {
    /// Whether there are any.
    pub fn are_none(&self) -> bool {
        self.lists == 0
    }

    /// Weighs the next list. Where it stays suspect, `list` has all held tags afterwards; where it is (or by now has
    /// become) whole, `list` is what there is, and the doubts are over. `confirmations` lists in a row have to miss a tag
    /// for it to go. The very answer that was weighed last (`is_news` false) confirms nothing.
    pub fn weigh(
        &mut self,
        list: &mut Sifted,
        held: &Held<'_>,
        incomplete: Option<&str>,
        confirmations: u32,
        is_news: bool,
    ) -> Trust {
        let most = held.count.max(self.held);
        let trust = judge(list.tags.len(), most, incomplete);
        match &trust {
            Trust::Whole => {
                *self = Self::default();
                return trust;
            }
            // What may have gaps says nothing about what is not in it, and the others before are not in a row any more.
            Trust::Suspect(Suspicion::Incomplete(_)) => *self = Self::default(),
            Trust::Suspect(Suspicion::Empty { .. } | Suspicion::Shrunk { .. }) => {
                self.held = most;
                if is_news || self.are_none() {
                    self.note(&list.tags, confirmations);
                }
                if self.lists >= confirmations && !self.leaves_open(held, confirmations) {
                    *self = Self::default();
                    return Trust::Whole;
                }
            }
        }
        list.keep(|push| (held.visit)(push));
        trust
    }

    fn note(&mut self, tags: &[Tag], confirmations: u32) {
        self.lists = self.lists.saturating_add(1);
        let newest = self.lists;
        for tag in tags {
            self.listed.insert(tag.clone(), newest);
        }
        // Whatever was missed often enough need not be known any more.
        self.listed
            .retain(|_, list| newest.saturating_sub(*list) < confirmations);
    }

    /// Whether some tag is missing now that was there not long ago.
    fn leaves_open(&self, held: &Held<'_>, confirmations: u32) -> bool {
        let mut open = false;
        (held.visit)(&mut |tag| {
            let last = tag
                .parse::<Tag>()
                .ok()
                .and_then(|tag| self.listed.get(&tag).copied());
            let missed = self.lists.saturating_sub(last.unwrap_or(0));
            open |= missed > 0 && missed < confirmations;
        });
        open
    }
}
