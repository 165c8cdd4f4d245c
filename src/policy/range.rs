//! Version ranges in Masterminds' constraint language, as `spec.policy.semver.range` holds them.
//!
//! A range is an OR of segments (`||`), a segment an AND of atoms. `grammar` reads the text, `atom` says what one
//! comparison means; here they are put together. Nothing here knows tags or policies.
//! Source: Masterminds/semver v3.5 `constraints.go`, oddities included, because users' ranges rely on them.

use super::version::Version;
use crate::quote::GoQuoted;

mod atom;
mod grammar;
#[cfg(test)]
mod tests;

use atom::Atom;

/// The longest range in bytes, far beyond any in use: every candidate is held against every part of it.
const MAX_BYTES: usize = 4 << 10;

/// A parsed range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    segments: Vec<Segment>,
}

/// Why a text is not a range. The texts are Masterminds' own, but for the last one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A segment, here as it reads after hyphen ranges were rewritten, does not follow the grammar.
    #[error("improper constraint: {}", GoQuoted(.0))]
    Improper(String),
    /// The grammar fits, but an operand is no version: `1x`, a leading zero in a prerelease, a number over 64 bits.
    #[error("constraint parser error")]
    Operand,
    /// The text is longer than anything sensible; the limit is ours.
    #[error("improper constraint: the range has more than {MAX_BYTES} bytes")]
    TooLong,
}

/// Why a version is not in a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mismatch {
    /// It is a prerelease that would fit, but the segment it fits names no prerelease.
    Prerelease,
    /// No segment holds it.
    OutOfRange,
}

/// Atoms that must all hold.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Segment {
    atoms: Vec<Atom>,
}

impl Range {
    /// Reads a range. Empty text is an error, as are empty segments; the first problem from left to right is returned.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.len() > MAX_BYTES {
            return Err(Error::TooLong);
        }
        let text = grammar::rewrite_hyphens(text);
        let segments = text
            .split("||")
            .map(|segment| {
                Ok(Segment {
                    atoms: grammar::parse_segment(segment)?,
                })
            })
            .collect::<Result<_, Error>>()?;
        Ok(Self { segments })
    }

    /// Whether any segment holds `version` with all its atoms.
    pub fn matches(&self, version: &Version<'_>) -> bool {
        self.segments
            .iter()
            .any(|segment| segment.admits(version) && segment.holds(version))
    }

    /// As [`matches`](Self::matches), and says why not.
    pub fn check(&self, version: &Version<'_>) -> Result<(), Mismatch> {
        if self.matches(version) {
            Ok(())
        } else if self.segments.iter().any(|segment| segment.holds(version)) {
            Err(Mismatch::Prerelease)
        } else {
            Err(Mismatch::OutOfRange)
        }
    }
}

impl Segment {
    /// The gate: prereleases only pass a segment in which at least one atom names a prerelease.
    fn admits(&self, version: &Version<'_>) -> bool {
        !version.is_prerelease() || self.atoms.iter().any(Atom::names_prerelease)
    }

    fn holds(&self, version: &Version<'_>) -> bool {
        self.atoms.iter().all(|atom| atom.holds(version))
    }
}
