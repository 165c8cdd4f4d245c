//! The three ways to choose: one pass over pairs of what is judged and what it stands for, in the order given.
//!
//! Ties fall differently on purpose: among equal versions the first wins, among equal numbers the last.
//! Source: image-reflector-controller `internal/policy/{semver,alphabetical,numerical}.go`.

use super::range::Range;
use super::version::Version;
use super::{NoTag, Order, number};

#[cfg(test)]
mod tests;

/// The highest version within the range; the first seen of equal ones.
pub(super) fn highest_version<'k, T>(
    range: &Range,
    versions: impl Iterator<Item = (Version<'k>, T)>,
) -> Result<T, NoTag> {
    let mut best: Option<(Version<'k>, T)> = None;
    for (version, tag) in versions {
        let is_higher = best
            .as_ref()
            .is_none_or(|(best, _)| version.precedence(best).is_gt());
        if is_higher && range.matches(&version) {
            best = Some((version, tag));
        }
    }
    best.map(|(_, tag)| tag).ok_or(NoTag::NoMatch)
}

/// The greatest text in byte order, or the smallest.
pub(super) fn last_text<'k, T>(
    order: Order,
    mut texts: impl Iterator<Item = (&'k str, T)>,
) -> Result<T, NoTag> {
    let mut best = texts.next().ok_or(NoTag::Empty)?;
    for next in texts {
        let is_later = match order {
            Order::Ascending => next.0 > best.0,
            Order::Descending => next.0 < best.0,
        };
        if is_later {
            best = next;
        }
    }
    Ok(best.1)
}

/// The greatest number, or the smallest; the last seen of equal ones.
///
/// A number that compares with none (NaN) takes over, and is taken over by whatever follows it.
pub(super) fn last_number<'k, T>(
    order: Order,
    numbers: impl Iterator<Item = (&'k str, T)>,
) -> Result<T, NoTag> {
    let mut best: Option<(f64, T)> = None;
    for (key, tag) in numbers {
        let number = number::parse(key).ok_or_else(|| NoTag::NotANumber(key.to_owned()))?;
        let is_earlier = best.as_ref().is_some_and(|(best, _)| match order {
            Order::Ascending => number < *best,
            Order::Descending => number > *best,
        });
        if !is_earlier {
            best = Some((number, tag));
        }
    }
    best.map(|(_, tag)| tag).ok_or(NoTag::Empty)
}
