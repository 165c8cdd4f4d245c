//! Go's `%q`, because error texts that quote a user's input go into conditions letter for letter.
//!
//! Rust's own `{:?}` escapes differently (`\0`, `\u{a0}`, combining marks).

use std::fmt;
use std::sync::LazyLock;

use regex::Regex;

/// What Go's `strconv.IsPrint` holds for printable: letters, marks, numbers, punctuation, symbols and the blank.
static PRINTABLE: LazyLock<Regex> = LazyLock::new(|| {
    #[expect(
        clippy::expect_used,
        reason = "a constant pattern, compiled by every test of this module"
    )]
    Regex::new(r"^[\p{L}\p{M}\p{N}\p{P}\p{S} ]$").expect("the pattern is constant")
});

/// `text` in double quotes, as Go's `%q` writes it.
pub fn quote(text: &str) -> String {
    GoQuoted(text).to_string()
}

/// Displays a text in double quotes, as Go's `%q` does.
#[derive(Debug, Clone, Copy)]
pub struct GoQuoted<'a>(pub &'a str);

impl fmt::Display for GoQuoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for char in self.0.chars() {
            write_char(char, f)?;
        }
        f.write_str("\"")
    }
}

fn write_char(char: char, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match char {
        '"' => f.write_str("\\\""),
        '\\' => f.write_str("\\\\"),
        '\x07' => f.write_str("\\a"),
        '\x08' => f.write_str("\\b"),
        '\x0c' => f.write_str("\\f"),
        '\n' => f.write_str("\\n"),
        '\r' => f.write_str("\\r"),
        '\t' => f.write_str("\\t"),
        '\x0b' => f.write_str("\\v"),
        ' '..='~' => write!(f, "{char}"),
        '\0'..='\x7f' => write!(f, "\\x{:02x}", u32::from(char)),
        _ if PRINTABLE.is_match(char.encode_utf8(&mut [0; 4])) => write!(f, "{char}"),
        '\u{80}'..='\u{ffff}' => write!(f, "\\u{:04x}", u32::from(char)),
        '\u{10000}'.. => write!(f, "\\U{:08x}", u32::from(char)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_is_gos() {
        for (text, quoted) in [
            ("", r#""""#),
            (" foo", r#"" foo""#),
            (r#"a"b\c"#, r#""a\"b\\c""#),
            ("\x07\x08\x0c\n\r\t\x0b", r#""\a\b\f\n\r\t\v""#),
            ("\0\x1b\x7f", r#""\x00\x1b\x7f""#),
            (
                "\u{a0}\u{ad}\u{2028}\u{feff}",
                r#""\u00a0\u00ad\u2028\ufeff""#,
            ),
            ("é e\u{301} 中 😀 €", "\"é e\u{301} 中 😀 €\""),
            ("\u{e0001}", r#""\U000e0001""#),
        ] {
            assert_eq!(GoQuoted(text).to_string(), quoted, "{text:?}");
        }
    }
}
