//! Texts of others as they may stand in a message: cut, quoted, with nothing in them that a terminal or a log would obey.

use crate::quote::quote;

/// What is shown of a text, in characters.
const SHOWN_CHARS: usize = 120;

/// `text` in quotes, cut and escaped.
pub(super) fn quoted(text: &str) -> String {
    quote(&cut(text))
}

/// `text` without quotes, cut, everything that does not show escaped: for causes that quote on their own.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::new();
    for char in cut(text).chars() {
        match char {
            '"' | '\'' | '\\' => plain.push(char),
            _ => plain.extend(char.escape_debug()),
        }
    }
    plain
}

fn cut(text: &str) -> String {
    let mut chars = text.chars();
    let mut cut: String = chars.by_ref().take(SHOWN_CHARS).collect();
    if chars.next().is_some() {
        cut.push('…');
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fault_41_texts_of_others_are_cut_and_escaped() {
        assert_eq!(quoted("a\nb\u{1b}[31m"), r#""a\nb\x1b[31m""#);
        assert_eq!(plain("a\nb\u{1b}[31m\u{202e}é"), r"a\nb\u{1b}[31m\u{202e}é");
        for long in ["x".repeat(5000), "é".repeat(5000), "\n".repeat(5000)] {
            assert!(quoted(&long).len() < 1000 && plain(&long).len() < 1000);
            assert!(quoted(&long).ends_with("…\""), "{}", quoted(&long));
        }
    }
}
