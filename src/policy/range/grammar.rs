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
    let version = partial("");
    compile(&format!(
        "{SPACE}*({version}){SPACE}+-{SPACE}+({version}){SPACE}*"
    ))
});

/// A whole segment: atoms parted by blanks or by one comma.
static SEGMENT: LazyLock<Regex> = LazyLock::new(|| {
    let atom = format!("{OPERATOR}{SPACE}*{}", partial(""));
    compile(&format!(
        "^{SPACE}*{atom}(?:(?:{SPACE}*,{SPACE}*|{SPACE}+){atom})*{SPACE}*$"
    ))
});

/// One atom of a segment that is known to be well formed.
static ATOM: LazyLock<Regex> =
    LazyLock::new(|| compile(&format!("(?<op>{OPERATOR}){SPACE}*{}", partial("?<"))));

const SPACE: &str = r"[\t\n\x0c\r ]";
/// Longest first, because alternatives are tried in order; the empty operator last.
const OPERATOR: &str = r"(?:!=|>=|=>|<=|=<|~>|[=><~^]|)";
const IDENTIFIERS: &str = r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*";

/// A version that may lack parts or have wildcards for them. `|` is in the set upstream.
fn partial(name: &str) -> String {
    const RUN: &str = r"[0-9xX*|]+";
    let group = |part: &str| {
        if name.is_empty() {
            "?:".to_owned()
        } else {
            format!("{name}{part}>")
        }
    };
    let (major, minor, patch, pre) = (group("major"), group("minor"), group("patch"), group("pre"));
    format!(
        r"v?({major}{RUN})(?:\.({minor}{RUN})(?:\.({patch}{RUN}))?)?(?:-({pre}{IDENTIFIERS}))?(?:\+{IDENTIFIERS})?"
    )
}

#[expect(
    clippy::expect_used,
    reason = "constant patterns, all compiled by the tests of this module"
)]
fn compile(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is constant")
}

/// Turns each `A - B` into `>= A, <= B `; what the result looks like matters, because errors quote it.
pub(super) fn rewrite_hyphens(text: &str) -> Cow<'_, str> {
    HYPHEN_RANGE.replace_all(text, ">= $1, <= $2 ")
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
fn build(found: &Captures<'_>) -> Option<Atom> {
    let part = |name| found.name(name).map(|text| text.as_str());
    let number = |name| part(name).filter(|text| !is_wildcard(text));
    let (precision, numbers) = match (number("major"), number("minor"), number("patch")) {
        (None, _, _) => (Precision::Any, ["0", "0", "0"]),
        (Some(major), None, _) => (Precision::Major, [major, "0", "0"]),
        (Some(major), Some(minor), None) => (Precision::Minor, [major, minor, "0"]),
        (Some(major), Some(minor), Some(patch)) => (Precision::Patch, [major, minor, patch]),
    };
    let [major, minor, patch] = numbers;
    let prerelease = part("pre").unwrap_or_default();
    if !prerelease.is_empty() && !is_prerelease(prerelease) {
        return None;
    }
    Some(Atom {
        op: operator(part("op").unwrap_or_default()),
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
