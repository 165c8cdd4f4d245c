//! Go's regular expressions (RE2 syntax) on Rust's `regex`, because users' patterns are written for Go.
//!
//! The two engines agree on what a pattern matches once they agree on what it says; the syntaxes do not, in places
//! silently. So every pattern is read by Go's rules (`translate`), and written anew for Rust. Patterns come from
//! tenants: length, nesting and compiled size are bounded, and a refusal carries Go's own words.
//! Source: Go 1.26 `regexp/syntax/parse.go`.

use std::fmt;

use regex::{Captures, Regex, RegexBuilder};

mod class;
mod counter;
mod cursor;
mod escape;
mod flags;
mod group;
#[cfg(test)]
mod tests;
mod translate;
mod unicode;

/// The longest pattern in bytes, far beyond any in use.
const MAX_PATTERN_BYTES: usize = 16 << 10;
/// The largest compiled pattern in bytes; `\pL{1000}` fits.
const MAX_COMPILED_BYTES: usize = 64 << 20;

/// A compiled pattern. Searches are unanchored and leftmost-first, and take time linear in the text.
#[derive(Debug, Clone)]
pub struct Regexp {
    regex: Regex,
    /// By group number; empty for groups without a name. Names may repeat.
    names: Vec<String>,
}

/// One match and its groups.
#[derive(Debug)]
pub struct Match<'t>(Captures<'t>);

/// Why a pattern does not compile, in Go's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("error parsing regexp: {code}: `{excerpt}`")]
pub struct Error {
    /// The kind of error.
    pub code: Code,
    /// The part of the pattern it is about.
    pub excerpt: String,
}

/// The kinds of errors Go tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// A bad range, or an unknown class name.
    InvalidCharRange,
    /// A backslash before something that has no escape.
    InvalidEscape,
    /// A group name that is none.
    InvalidNamedCapture,
    /// An unknown construct behind `(?`.
    InvalidPerlOp,
    /// An operator directly behind another one.
    InvalidRepeatOp,
    /// A counter over 1000, alone or multiplied with those inside it.
    InvalidRepeatSize,
    /// A `[` without its `]`.
    MissingBracket,
    /// A `(` without its `)`.
    MissingParen,
    /// An operator with nothing before it.
    MissingRepeatArgument,
    /// A backslash at the very end.
    TrailingBackslash,
    /// A `)` without its `(`.
    UnexpectedParen,
    /// Too many constructs within each other.
    NestingDepth,
    /// Too long, or too large when compiled.
    Large,
}

impl Regexp {
    /// Compiles a pattern in Go's syntax.
    pub fn new(pattern: &str) -> Result<Self, Error> {
        let too_large = || Error {
            code: Code::Large,
            excerpt: pattern.to_owned(),
        };
        if pattern.len() > MAX_PATTERN_BYTES {
            return Err(too_large());
        }
        let translate::Translation { text, names } = translate::translate(pattern)?;
        // What the translator writes is well formed, so size is all that is left to object to.
        let regex = RegexBuilder::new(&text)
            .nest_limit(translate::MAX_WRITTEN_NESTING)
            .size_limit(MAX_COMPILED_BYTES)
            .build()
            .map_err(|_| too_large())?;
        Ok(Self { regex, names })
    }

    /// The pattern as it was compiled: equal patterns have equal ones.
    pub fn as_str(&self) -> &str {
        self.regex.as_str()
    }

    /// Whether the pattern is anywhere in `text`; a match of no length counts.
    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// The leftmost match.
    pub fn find<'t>(&self, text: &'t str) -> Option<Match<'t>> {
        self.regex.captures(text).map(Match)
    }

    /// The numbers of all groups named `name`, in order.
    pub fn groups_named(&self, name: &str) -> Vec<usize> {
        let named = self
            .names
            .iter()
            .enumerate()
            .filter(|(_, group)| *group == name);
        named.map(|(number, _)| number).collect()
    }
}

impl<'t> Match<'t> {
    /// What group `number` matched, 0 being the whole; `None` when there is no such group or it took no part.
    pub fn group(&self, number: usize) -> Option<&'t str> {
        self.0.get(number).map(|found| found.as_str())
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InvalidCharRange => "invalid character class range",
            Self::InvalidEscape => "invalid escape sequence",
            Self::InvalidNamedCapture => "invalid named capture",
            Self::InvalidPerlOp => "invalid or unsupported Perl syntax",
            Self::InvalidRepeatOp => "invalid nested repetition operator",
            Self::InvalidRepeatSize => "invalid repeat count",
            Self::MissingBracket => "missing closing ]",
            Self::MissingParen => "missing closing )",
            Self::MissingRepeatArgument => "missing argument to repetition operator",
            Self::TrailingBackslash => "trailing backslash at end of expression",
            Self::UnexpectedParen => "unexpected )",
            Self::NestingDepth => "expression nests too deeply",
            Self::Large => "expression too large",
        })
    }
}
