//! Whole numbers in queries, read and refused as Go's `strconv` does.

use crate::quote::quote;

/// Why a text is not a number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    #[error("strconv.{function}: parsing {}: invalid syntax", quote(text))]
    Syntax {
        function: &'static str,
        text: String,
    },
    #[error("strconv.{function}: parsing {}: value out of range", quote(text))]
    Range {
        function: &'static str,
        text: String,
    },
}

/// `ParseInt(text, 10, 64)`.
pub(super) fn parse_signed(text: &str) -> Result<i64, Error> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    parse(text, digits, "ParseInt")
}

/// `ParseUint(text, 10, 64)`.
pub(super) fn parse_unsigned(text: &str) -> Result<u64, Error> {
    parse(text, text, "ParseUint")
}

fn parse<N: std::str::FromStr>(
    text: &str,
    digits: &str,
    function: &'static str,
) -> Result<N, Error> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Error::Syntax {
            function,
            text: text.to_owned(),
        });
    }
    text.parse().map_err(|_| Error::Range {
        function,
        text: text.to_owned(),
    })
}
