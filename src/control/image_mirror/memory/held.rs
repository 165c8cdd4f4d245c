//! The images that are at a destination, as far as that is known: what belongs to one of them stays with it.

use std::collections::BTreeSet;

use super::{Fate, Remembered, Source};
use crate::image::{Digest, Repository, Tag};
use crate::mirror::canonical;
use crate::mirror::known::Known;

impl Remembered {
    /// The images at `to`, whosever they are, but for tags that are `going`. `None`: it is not known of all what they are that
    /// `sources` want there, or that are `lost` at the source and still in use.
    pub(in super::super) fn held(
        &self,
        (to, lost): (&Repository, &[Tag]),
        sources: &[Source],
        known: &Known,
        going: impl Fn(&Tag) -> bool,
    ) -> Option<BTreeSet<Digest>> {
        let to = canonical::repository(to);
        let mut held = BTreeSet::new();
        // Others may be out of reach, and what was copied from them is there all the same.
        for standing in self.sources.values() {
            let setup = &standing.setup;
            for (end, copies) in setup.to.iter().zip(setup.copies(known)) {
                if canonical::repository(end) == to {
                    let stays = copies.into_iter().filter(|(tag, _)| !going(tag));
                    held.extend(stays.map(|(_, copied)| copied.destination));
                }
            }
        }
        for source in sources {
            let ends = source.to.iter();
            let here = |name: &Repository| canonical::repository(name) == to;
            let Some(number) = ends.clone().position(|end| here(&end.repository)) else {
                continue;
            };
            let standing = self.sources.get(&source.repository)?;
            let copies = standing.setup.copies(known);
            let copies = copies.get(number)?;
            for tag in &source.tags {
                let end = standing.tags.get(tag)?.get(number)?;
                let was_there = || copies.get(tag).map(|copied| &copied.destination);
                let is_gone = end.fate == Fate::Gone;
                let there = end.there().or_else(|| was_there().filter(|_| is_gone))?;
                held.insert(there.clone());
            }
            let is_known = |tag: &&Tag| copies.contains_key(*tag);
            if !lost.iter().all(|tag| is_known(&tag)) {
                return None;
            }
        }
        Some(held)
    }
}
