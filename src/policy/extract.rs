//! `extract` templates as Go's `Regexp.Expand` reads them, which is not how Rust's does.
//!
//! `$01` is a name and not a number, an odd `${…}` is literal text, names may hold any letter.

use std::sync::LazyLock;

use regex::Regex;

use crate::regexp::{Match, Regexp};

#[cfg(test)]
mod tests;

/// What may stand in a name: Unicode letters, decimal digits, underscores.
static NAME: LazyLock<Regex> = LazyLock::new(|| {
    #[expect(
        clippy::expect_used,
        reason = "a constant pattern, compiled by every test of this module"
    )]
    Regex::new(r"^[\p{L}\p{Nd}_]+").expect("the pattern is constant")
});

/// A template, its references resolved against one pattern's groups.
#[derive(Debug, Clone)]
pub(super) struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    /// The first of these groups that took part in the match; nothing when none did.
    Groups(Vec<usize>),
}

impl Template {
    /// Reads `text`; cannot fail, since what is no reference is literal text.
    pub(super) fn new(text: &str, regexp: &Regexp) -> Self {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('$') {
            push_literal(&mut parts, before);
            rest = if let Some(rest) = behind.strip_prefix('$') {
                push_literal(&mut parts, "$");
                rest
            } else if let Some((name, rest)) = reference(behind) {
                parts.push(Part::Groups(groups(name, regexp)));
                rest
            } else {
                push_literal(&mut parts, "$");
                behind
            };
        }
        push_literal(&mut parts, rest);
        Self(parts)
    }

    /// Fills the template from one match.
    pub(super) fn expand(&self, found: &Match<'_>) -> String {
        let texts = self.0.iter().map(|part| match part {
            Part::Literal(text) => text,
            Part::Groups(groups) => groups
                .iter()
                .find_map(|group| found.group(*group))
                .unwrap_or_default(),
        });
        texts.collect()
    }
}

fn push_literal(parts: &mut Vec<Part>, text: &str) {
    match parts.last_mut() {
        _ if text.is_empty() => {}
        Some(Part::Literal(last)) => last.push_str(text),
        Some(Part::Groups(_)) | None => parts.push(Part::Literal(text.to_owned())),
    }
}

/// Reads `name` or `{name}` at the start of what stands behind a `$`; returns the name and the rest.
fn reference(text: &str) -> Option<(&str, &str)> {
    match text.strip_prefix('{') {
        Some(braced) => {
            let (name, rest) = name(braced)?;
            Some((name, rest.strip_prefix('}')?))
        }
        None => name(text),
    }
}

fn name(text: &str) -> Option<(&str, &str)> {
    text.split_at_checked(NAME.find(text)?.end())
}

/// A number without leading zeros is one group's, all else is the name of any number of groups.
fn groups(name: &str, regexp: &Regexp) -> Vec<usize> {
    match number(name) {
        Some(number) => vec![number],
        None => regexp.groups_named(name),
    }
}

/// Go counts up to nine digits, and takes more of them for a name.
fn number(name: &str) -> Option<usize> {
    let is_number = name.len() <= 9
        && name.bytes().all(|byte| byte.is_ascii_digit())
        && (name == "0" || !name.starts_with('0'));
    if is_number { name.parse().ok() } else { None }
}
