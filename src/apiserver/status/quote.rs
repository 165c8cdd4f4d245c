//! Quotes a text as Go's `%q` does, because messages that people and tests compare are written so.

use std::fmt::Write as _;

/// `text` in double quotes, with Go's escapes.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            control if u32::from(control) < 0x20 || control == '\u{7f}' => {
                write!(out, "\\x{:02x}", u32::from(control)).expect("a String takes every write");
            }
            control if control.is_control() => {
                write!(out, "\\u{:04x}", u32::from(control)).expect("a String takes every write");
            }
            plain => out.push(plain),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::quote;

    #[test]
    fn texts_are_quoted_as_go_quotes_them() {
        for (text, quoted) in [
            ("app:1", r#""app:1""#),
            ("a\"b\\", r#""a\"b\\""#),
            ("\u{0}\u{1b}\n\t\u{7f}", r#""\x00\x1b\n\t\x7f""#),
            ("\u{85}é", "\"\\u0085é\""),
        ] {
            assert_eq!(quote(text), quoted);
        }
    }
}
