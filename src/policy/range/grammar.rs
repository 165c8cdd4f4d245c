//! The text side of ranges: hyphen ranges rewritten, segments checked, atoms built.
//!
//! The patterns run on the `regex` crate, so reading is linear in the text, whoever wrote it. The character sets
//! are spelled out, because Masterminds' are ASCII: a no-break space is no blank here.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::Error;
use super::atom::{Atom, Op, Precision};
use crate::policy::version::{is_prerelease, parse_number};

/// `1.2 - 2.3`, anywhere in the text.
static HYPHEN_RANGE: LazyLock<Regex> = LazyLock::new(|| {
    compile(&format!(
        "{SPACE}*(?<from>{PARTIAL}){SPACE}+-{SPACE}+(?<to>{PARTIAL}){SPACE}*"
    ))
});

/// A whole segment: atoms parted by blanks or by one comma.
static SEGMENT: LazyLock<Regex> = LazyLock::new(|| {
    let atom = format!("{OPERATOR}{SPACE}*{PARTIAL}");
    let separator = format!("(?:{SPACE}*,{SPACE}*|{SPACE}+)");
    compile(&format!("^{SPACE}*{atom}(?:{separator}{atom})*{SPACE}*$"))
});

/// One atom of a segment that is known to be well formed: an operator, and the groups of [`PARTIAL`].
static ATOM: LazyLock<Regex> = LazyLock::new(|| compile(&format!("({OPERATOR}){SPACE}*{PARTIAL}")));

const SPACE: &str = r"[\t\n\x0c\r ]";

/// Longest first, because alternatives are tried in order; the empty operator last.
const OPERATOR: &str = r"(?:!=|>=|=>|<=|=<|~>|[=><~^]|)";

/// A version that may lack parts or have wildcards for them, as upstream has it: `|` may stand in a part.
/// Groups: major, minor, patch, prerelease.
const PARTIAL: &str = concat!(
    r"v?([0-9xX*|]+)(?:\.([0-9xX*|]+)(?:\.([0-9xX*|]+))?)?",
    r"(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?",
    r"(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?",
);

#[expect(
    clippy::expect_used,
    reason = "constant patterns, all compiled by the tests of this module"
)]
fn compile(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is constant")
}

/// Turns each `A - B` into `>= A, <= B `; what the result looks like matters, because errors quote it.
pub(super) fn rewrite_hyphens(text: &str) -> Cow<'_, str> {
    HYPHEN_RANGE.replace_all(text, ">= $from, <= $to ")
}

/// Reads the atoms of one segment.
pub(super) fn parse_segment(segment: &str) -> Result<Vec<Atom>, Error> {
    if !SEGMENT.is_match(segment) {
        return Err(Error::Improper(segment.to_owned()));
    }
    ATOM.captures_iter(segment)
        .map(|found| build(&found).ok_or(Error::Operand))
        .collect()
}

/// `None` when an operand is no version. What stands behind a wildcard is ignored, except for the prerelease.
fn build<'t>(found: &Captures<'t>) -> Option<Atom> {
    let [operator_text, major, minor, patch, prerelease] =
        [1, 2, 3, 4, 5].map(|group| found.get(group).map(|text| text.as_str()));
    let number = |part: Option<&'t str>| part.filter(|text| !is_wildcard(text));
    let (precision, numbers) = match (number(major), number(minor), number(patch)) {
        (None, _, _) => (Precision::Any, ["0", "0", "0"]),
        (Some(major), None, _) => (Precision::Major, [major, "0", "0"]),
        (Some(major), Some(minor), None) => (Precision::Minor, [major, minor, "0"]),
        (Some(major), Some(minor), Some(patch)) => (Precision::Patch, [major, minor, patch]),
    };
    let [major, minor, patch] = numbers;
    let prerelease = prerelease.unwrap_or_default();
    if !prerelease.is_empty() && !is_prerelease(prerelease) {
        return None;
    }
    Some(Atom {
        op: operator(operator_text.unwrap_or_default()),
        precision,
        major: parse_number(major)?,
        minor: parse_number(minor)?,
        patch: parse_number(patch)?,
        prerelease: prerelease.to_owned(),
    })
}

fn is_wildcard(run: &str) -> bool {
    matches!(run, "x" | "X" | "*")
}

fn operator(text: &str) -> Op {
    match text {
        "!=" => Op::NotEqual,
        ">" => Op::Greater,
        "<" => Op::Less,
        ">=" | "=>" => Op::GreaterOrEqual,
        "<=" | "=<" => Op::LessOrEqual,
        "~" | "~>" => Op::Tilde,
        "^" => Op::Caret,
        // Only the empty operator and `=` are left by the pattern.
        _ => Op::Equal,
    }
}
