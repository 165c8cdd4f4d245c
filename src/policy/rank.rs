//! All candidates of a policy in its own order, the latest first: what an election looks at that may pass over the best.
//!
//! The first is always the one that [`super::elect`] elects, the second the one that it would elect without the first,
//! and so on. Must not know why anybody passes over a candidate.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::{Candidates, Filtered, NoTag, Order, Policy, Range, TagFilter, Version, number};

#[cfg(test)]
mod tests;

/// A candidate: a tag, and what the policy judges it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranked<'a> {
    /// What the policy judges: the tag, or what the filter extracts from it.
    pub key: Cow<'a, str>,
    /// The tag.
    pub tag: &'a str,
}

impl Policy {
    /// Ranks what `filter` leaves of `candidates`, the latest first. Fails exactly where [`super::elect`] does.
    pub fn rank<'a>(
        &self,
        filter: Option<&TagFilter>,
        candidates: &'a Candidates,
    ) -> Result<Vec<Ranked<'a>>, NoTag> {
        if candidates.is_empty() {
            return Err(NoTag::Empty);
        }
        let ranked = match (self, filter) {
            (_, Some(filter)) => return self.rank_filtered(filter.apply(candidates)?),
            (Self::SemVer(range), None) => versions(range, candidates),
            (Self::Alphabetical(_) | Self::Numerical(_), None) => {
                self.ranked(candidates.iter().map(plain).collect())?
            }
        };
        some(ranked)
    }

    /// Ranks what a filter left over. Fails exactly where [`Policy::elect_filtered`] does.
    pub fn rank_filtered<'a>(&self, filtered: Filtered<'a>) -> Result<Vec<Ranked<'a>>, NoTag> {
        if filtered.is_empty() {
            return Err(NoTag::Empty);
        }
        let candidates = filtered.into_pairs().into_iter();
        let candidates = candidates.map(|(key, tag)| Ranked { key, tag }).collect();
        some(self.ranked(candidates)?)
    }

    /// Whether what stands behind key `a` is later (`Greater`) or earlier than what stands behind `b`, by the order
    /// alone: neither has to be a candidate. `None` when one of them is nothing that this policy judges.
    pub fn compare(&self, a: &str, b: &str) -> Option<Ordering> {
        match self {
            Self::SemVer(_) => Some(Version::parse_tag(a)?.precedence(&Version::parse_tag(b)?)),
            Self::Alphabetical(order) => Some(directed(*order, a.cmp(b))),
            Self::Numerical(order) => {
                let (a, b) = (number::parse(a)?, number::parse(b)?);
                Some(directed(*order, a.partial_cmp(&b)?))
            }
        }
    }

    fn ranked<'a>(&self, candidates: Vec<Ranked<'a>>) -> Result<Vec<Ranked<'a>>, NoTag> {
        let order = match self {
            Self::SemVer(range) => by_version(range, &candidates),
            Self::Alphabetical(order) => {
                let mut ranked = candidates;
                ranked.sort_by(|a, b| directed(*order, b.key.cmp(&a.key)));
                return Ok(ranked);
            }
            Self::Numerical(order) => by_number(*order, &candidates)?,
        };
        let mut left: Vec<_> = candidates.into_iter().map(Some).collect();
        let ranked = order
            .into_iter()
            .filter_map(|index| left.get_mut(index)?.take());
        Ok(ranked.collect())
    }
}

/// What is ranked, if anything is.
fn some(ranked: Vec<Ranked<'_>>) -> Result<Vec<Ranked<'_>>, NoTag> {
    if ranked.is_empty() {
        return Err(NoTag::NoMatch);
    }
    Ok(ranked)
}

fn plain(tag: &str) -> Ranked<'_> {
    Ranked {
        key: Cow::Borrowed(tag),
        tag,
    }
}

/// Of the tags as they are, whose versions are parsed already. Of equal versions the first seen goes first.
fn versions<'a>(range: &Range, candidates: &'a Candidates) -> Vec<Ranked<'a>> {
    let mut versions: Vec<_> = candidates
        .versions()
        .filter(|(version, _)| range.matches(version))
        .collect();
    versions.sort_by(|(a, _), (b, _)| b.precedence(a));
    versions.into_iter().map(|(_, tag)| plain(tag)).collect()
}

/// The places of those keys that are versions in the range, the highest first; of equal ones the first seen.
fn by_version(range: &Range, candidates: &[Ranked<'_>]) -> Vec<usize> {
    let mut versions: Vec<_> = candidates
        .iter()
        .enumerate()
        .filter_map(|(index, candidate)| Some((Version::parse_tag(&candidate.key)?, index)))
        .filter(|(version, _)| range.matches(version))
        .collect();
    versions.sort_by(|(a, _), (b, _)| b.precedence(a));
    versions.into_iter().map(|(_, index)| index).collect()
}

/// The places of numbers, the latest first; of equal ones the last seen.
///
/// What is no number to compare with (NaN) wins over all before it, and loses to whatever follows it: so the numbers
/// lie in runs that end with it, and the last run goes first.
fn by_number(order: Order, candidates: &[Ranked<'_>]) -> Result<Vec<usize>, NoTag> {
    let mut run = 0_usize;
    let mut numbers = Vec::with_capacity(candidates.len());
    for (index, candidate) in candidates.iter().enumerate() {
        let number = number::parse(&candidate.key)
            .ok_or_else(|| NoTag::NotANumber(candidate.key.clone().into_owned()))?;
        run += usize::from(number.is_nan());
        numbers.push((run, number, index));
    }
    numbers.sort_by(|(a_run, a, a_index), (b_run, b, b_index)| {
        let later = match (a.partial_cmp(b), a.is_nan()) {
            (Some(ordering), _) => directed(order, ordering.reverse()),
            // It goes behind the numbers of its run, which follow it in the list.
            (None, true) => Ordering::Greater,
            (None, false) => Ordering::Less,
        };
        b_run
            .cmp(a_run)
            .then(later)
            .then_with(|| b_index.cmp(a_index))
    });
    Ok(numbers.into_iter().map(|(_, _, index)| index).collect())
}

fn directed(order: Order, ordering: Ordering) -> Ordering {
    match order {
        Order::Ascending => ordering,
        Order::Descending => ordering.reverse(),
    }
}
