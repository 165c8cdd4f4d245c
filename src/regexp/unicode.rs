//! Unicode classes by name: `\pL`, `\p{Greek}`, `\P{^Lu}`.
//!
//! Go takes general categories and scripts by their full names. Rust takes much more (properties, short names of
//! scripts), so what Go refuses is refused here first. Go 1.26 also refuses scripts of several words; they are taken.

use std::collections::BTreeMap;

use regex::Regex;

/// Scripts whose full name has four letters, as every short name has. Go knows no short names.
const SCRIPTS_OF_FOUR_LETTERS: [&str; 9] = [
    "ahom", "cham", "kawi", "lisu", "miao", "modi", "newa", "thai", "toto",
];

/// The classes that one pattern names, looked up once each.
#[derive(Debug, Default)]
pub(super) struct Classes(BTreeMap<String, Option<Class>>);

#[derive(Debug, Clone, Copy)]
enum Class {
    Category,
    Script,
    /// Surrogates, of which no text of ours holds any.
    Nothing,
}

impl Classes {
    /// The members of the class `name`, as Rust writes them within brackets; `None` when Go knows no such class.
    pub(super) fn members(&mut self, name: &str, negated: bool) -> Option<String> {
        let name = simplify(name)?;
        let class = *self.0.entry(name.clone()).or_insert_with(|| look_up(&name));
        let letter = if negated { 'P' } else { 'p' };
        Some(match class? {
            Class::Category => format!(r"\{letter}{{gc={name}}}"),
            Class::Script => format!(r"\{letter}{{sc={name}}}"),
            Class::Nothing if negated => r"\x{0}-\x{10FFFF}".to_owned(),
            Class::Nothing => String::new(),
        })
    }
}

/// Case, blanks, `_` and `-` do not matter; anything else but letters and digits is in no name.
fn simplify(name: &str) -> Option<String> {
    let significant = name.chars().filter(|char| !matches!(char, ' ' | '_' | '-'));
    let name: String = significant.map(|char| char.to_ascii_lowercase()).collect();
    name.bytes()
        .all(|byte| byte.is_ascii_alphanumeric())
        .then_some(name)
}

fn look_up(name: &str) -> Option<Class> {
    // Rust passes over a leading `is`, Go does not, and no name begins so.
    if name.starts_with("is") {
        return None;
    }
    let is_short = name.len() == 4 && !SCRIPTS_OF_FOUR_LETTERS.contains(&name);
    match name {
        "cs" | "surrogate" => Some(Class::Nothing),
        _ if is_known("gc", name) => Some(Class::Category),
        _ if !is_short && is_known("sc", name) => Some(Class::Script),
        _ => None,
    }
}

fn is_known(property: &str, value: &str) -> bool {
    Regex::new(&format!(r"\p{{{property}={value}}}")).is_ok()
}
