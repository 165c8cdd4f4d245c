//! Classes: what stands in brackets, and the escapes that stand for a set of characters.

use std::fmt::Write as _;
use std::ops::RangeInclusive;

use super::cursor::Cursor;
use super::unicode::Classes;
use super::{Code, Error, escape};

/// No Rust text holds these; in Go's patterns they may stand, and match nothing.
const SURROGATES: RangeInclusive<u32> = 0xD800..=0xDFFF;

const POSIX: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
    "space", "upper", "word", "xdigit",
];

/// A set of characters in the making, as Rust writes it.
#[derive(Debug, Default)]
pub(super) struct Set {
    negated: bool,
    members: String,
}

impl Set {
    /// The set of one code point.
    pub(super) fn of(code_point: u32) -> Self {
        let mut set = Self::default();
        set.push_range(code_point, code_point);
        set
    }

    /// The set in brackets. It may be empty, which Rust has no plain way to write.
    pub(super) fn written(&self) -> String {
        match (self.negated, self.members.as_str()) {
            (false, "") => r"[^\x{0}-\x{10FFFF}]".to_owned(),
            (true, "") => r"[\x{0}-\x{10FFFF}]".to_owned(),
            (false, members) => format!("[{members}]"),
            (true, members) => format!("[^{members}]"),
        }
    }

    fn push(&mut self, members: &str) {
        self.members.push_str(members);
    }

    fn push_range(&mut self, low: u32, high: u32) {
        let low = if SURROGATES.contains(&low) {
            SURROGATES.end() + 1
        } else {
            low
        };
        let high = if SURROGATES.contains(&high) {
            SURROGATES.start() - 1
        } else {
            high
        };
        if low <= high {
            // Writing to a string cannot fail.
            write!(self.members, r"\x{{{low:X}}}-\x{{{high:X}}}").unwrap_or_default();
        }
    }
}

/// Reads a bracketed class; the cursor stands at its `[`.
pub(super) fn read(cursor: &mut Cursor<'_>, classes: &mut Classes) -> Result<Set, Error> {
    let start = cursor.at();
    cursor.eat("[");
    let mut set = Set {
        negated: cursor.eat("^"),
        members: String::new(),
    };
    let mut is_first = true;
    while is_first || !cursor.eat("]") {
        is_first = false;
        if let Some(members) = posix(cursor)? {
            set.push(&members);
        } else if let Some(members) = unicode(cursor, classes)? {
            set.push(&members);
        } else if let Some(members) = perl(cursor) {
            set.push(members);
        } else {
            range(cursor, start, &mut set)?;
        }
    }
    Ok(set)
}

/// Reads `\d`, `\p{…}` and their kin, if the cursor stands at one.
pub(super) fn read_escape(
    cursor: &mut Cursor<'_>,
    classes: &mut Classes,
) -> Result<Option<Set>, Error> {
    let members = match unicode(cursor, classes)? {
        Some(members) => Some(members),
        None => perl(cursor).map(str::to_owned),
    };
    Ok(members.map(|members| Set {
        negated: false,
        members,
    }))
}

/// Reads `[:name:]`. Without a `:]` anywhere behind it, `[:` is no more than two characters.
fn posix(cursor: &mut Cursor<'_>) -> Result<Option<String>, Error> {
    let start = cursor.at();
    let mut ahead = *cursor;
    if !ahead.eat("[:") {
        return Ok(None);
    }
    let Some(name) = ahead.eat_through(":]") else {
        return Ok(None);
    };
    *cursor = ahead;
    if POSIX.contains(&name.strip_prefix('^').unwrap_or(name)) {
        Ok(Some(format!("[:{name}:]")))
    } else {
        Err(cursor.error_since(start, Code::InvalidCharRange))
    }
}

/// Reads `\pX`, `\p{name}` and their negations.
fn unicode(cursor: &mut Cursor<'_>, classes: &mut Classes) -> Result<Option<String>, Error> {
    let start = cursor.at();
    let is_outside = cursor.eat(r"\P");
    if !is_outside && !cursor.eat(r"\p") {
        return Ok(None);
    }
    let mut single = [0; 4];
    let name = match cursor.next() {
        Some('{') => match cursor.eat_through("}") {
            Some(name) => name,
            None => return Err(cursor.error_from(start, Code::InvalidCharRange)),
        },
        Some(char) => char.encode_utf8(&mut single),
        None => "",
    };
    let (is_inverted, name) = name
        .strip_prefix('^')
        .map_or((false, name), |name| (true, name));
    match classes.members(name, is_outside != is_inverted) {
        Some(members) => Ok(Some(members)),
        None => Err(cursor.error_since(start, Code::InvalidCharRange)),
    }
}

/// Reads `\d`, `\s`, `\w` or a negation; ASCII only, and `\s` knows no vertical tab.
fn perl(cursor: &mut Cursor<'_>) -> Option<&'static str> {
    const CLASSES: [(&str, &str); 6] = [
        (r"\d", r"[0-9]"),
        (r"\D", r"[^0-9]"),
        (r"\s", r"[\t\n\x0C\r\x20]"),
        (r"\S", r"[^\t\n\x0C\r\x20]"),
        (r"\w", r"[0-9A-Za-z_]"),
        (r"\W", r"[^0-9A-Za-z_]"),
    ];
    CLASSES
        .iter()
        .find(|(escape, _)| cursor.eat(escape))
        .map(|(_, members)| *members)
}

/// Reads one character or a range of them. A `-` before the closing `]` is a character.
fn range(cursor: &mut Cursor<'_>, class: usize, set: &mut Set) -> Result<(), Error> {
    let start = cursor.at();
    let low = character(cursor, class)?;
    let is_range = cursor
        .rest()
        .strip_prefix('-')
        .is_some_and(|rest| !rest.is_empty() && !rest.starts_with(']'));
    let high = if is_range && cursor.eat("-") {
        character(cursor, class)?
    } else {
        low
    };
    if high < low {
        return Err(cursor.error_since(start, Code::InvalidCharRange));
    }
    set.push_range(low, high);
    Ok(())
}

fn character(cursor: &mut Cursor<'_>, class: usize) -> Result<u32, Error> {
    match cursor.peek() {
        None => Err(cursor.error_from(class, Code::MissingBracket)),
        Some('\\') => escape::read(cursor),
        Some(char) => {
            cursor.next();
            Ok(u32::from(char))
        }
    }
}
