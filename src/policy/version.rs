//! Versions as Flux reads them from tags: Masterminds' loose grammar behind Flux's three-parts rule.
//!
//! A [`Version`] borrows from the text it was read from and costs no allocation. Nothing here knows ranges
//! (`range`) or policies; a text that is no version is `None`, never an error, because a tag that does not parse
//! is passed over in silence.

use std::cmp::Ordering;

#[cfg(test)]
mod tests;

/// A version's parts. Two versions of one [precedence](Version::precedence) may still differ in spelling and metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Version<'a> {
    /// The first number.
    pub major: u64,
    /// The second number, 0 when the text has none.
    pub minor: u64,
    /// The third number, 0 when the text has none.
    pub patch: u64,
    /// What stands between `-` and `+`, dots included; empty when there is none.
    pub prerelease: &'a str,
    /// What stands behind `+`; empty when there is none. Plays no part in matching or order.
    pub metadata: &'a str,
}

impl<'a> Version<'a> {
    /// Reads a tag: the whole text must be a version, and must hold at least two dots *anywhere*.
    ///
    /// So `1.2` is none, while `1.2-rc.1` is 1.2.0-rc.1 (fluxcd/pkg `version.ParseVersion`).
    pub fn parse_tag(tag: &'a str) -> Option<Self> {
        let mut dots = tag.bytes().filter(|byte| *byte == b'.');
        dots.nth(1)?;
        Self::parse_loose(tag)
    }

    /// Reads `[v]N[.N[.N]][-prerelease][+metadata]`, leading zeros allowed (Masterminds `NewVersion`).
    pub fn parse_loose(text: &'a str) -> Option<Self> {
        let (major, mut rest) = take_number(text.strip_prefix('v').unwrap_or(text))?;
        let (mut minor, mut patch) = (0, 0);
        for number in [&mut minor, &mut patch] {
            let Some(behind) = rest.strip_prefix('.') else {
                break;
            };
            (*number, rest) = take_number(behind)?;
        }
        let (mut prerelease, mut metadata) = ("", "");
        if let Some(behind) = rest.strip_prefix('-') {
            (prerelease, rest) = split_before(behind, |byte| byte == b'+');
            if !is_prerelease(prerelease) {
                return None;
            }
        }
        if let Some(behind) = rest.strip_prefix('+') {
            (metadata, rest) = (behind, "");
            if !is_dotted_identifiers(metadata) {
                return None;
            }
        }
        rest.is_empty().then_some(Self {
            major,
            minor,
            patch,
            prerelease,
            metadata,
        })
    }

    /// The order of SemVer 2.0 section 11, with Masterminds' notion of a numeric identifier: one that fits 64 bits.
    pub fn precedence(&self, other: &Self) -> Ordering {
        (self.major, self.minor, self.patch)
            .cmp(&(other.major, other.minor, other.patch))
            .then_with(|| compare_prereleases(self.prerelease, other.prerelease))
    }

    /// Whether it is a version on the way to another one.
    pub fn is_prerelease(&self) -> bool {
        !self.prerelease.is_empty()
    }
}

/// One number of a version core: ASCII digits only, leading zeros allowed, at most `u64::MAX`.
pub(super) fn parse_number(text: &str) -> Option<u64> {
    if is_digits(text) {
        text.parse().ok()
    } else {
        None
    }
}

/// Whether `text` may stand behind a version's `-`: identifiers between dots, numeric ones without leading zeros.
pub(super) fn is_prerelease(text: &str) -> bool {
    is_dotted_identifiers(text)
        && text
            .split('.')
            .all(|id| !(id.len() > 1 && id.starts_with('0') && is_digits(id)))
}

fn is_dotted_identifiers(text: &str) -> bool {
    text.split('.')
        .all(|id| !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The number at the start of `text`, and what stands behind it.
fn take_number(text: &str) -> Option<(u64, &str)> {
    let (digits, rest) = split_before(text, |byte| !byte.is_ascii_digit());
    Some((parse_number(digits)?, rest))
}

/// Splits before the first byte that is an `end`, which must not be one inside a character.
fn split_before(text: &str, end: impl Fn(u8) -> bool) -> (&str, &str) {
    let length = text.bytes().position(end).unwrap_or(text.len());
    text.split_at_checked(length).unwrap_or((text, ""))
}

fn compare_prereleases(a: &str, b: &str) -> Ordering {
    match (a.is_empty(), b.is_empty()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => compare_identifiers(a.split('.'), b.split('.')),
    }
}

/// Position by position; a list that ends first is the lower one.
fn compare_identifiers<'a>(
    a: impl Iterator<Item = &'a str>,
    mut b: impl Iterator<Item = &'a str>,
) -> Ordering {
    for ours in a {
        let Some(theirs) = b.next() else {
            return Ordering::Greater;
        };
        let order = match (parse_number(ours), parse_number(theirs)) {
            (Some(x), Some(y)) => x.cmp(&y),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => ours.cmp(theirs),
        };
        if order.is_ne() {
            return order;
        }
    }
    if b.next().is_some() {
        Ordering::Less
    } else {
        Ordering::Equal
    }
}
