//! How long a request may take: the server's limit, or less when `?timeout=` says so in Go's notation (OPS-11).

use std::time::Duration;

use crate::apiserver::request_info::parse::first;

/// `?timeout=` is no duration.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Invalid;

/// The time for a request with this query. Zero, negative and larger values mean the limit.
pub(super) fn of(query: Option<&str>, limit: Duration) -> Result<Duration, Invalid> {
    match first(query.unwrap_or_default(), "timeout") {
        None => Ok(limit),
        Some(text) if text.is_empty() => Ok(limit),
        Some(text) => {
            let asked = parse(&text).ok_or(Invalid)?;
            Ok(if asked.is_zero() {
                limit
            } else {
                asked.min(limit)
            })
        }
    }
}

/// A duration as Go writes it: `1h2m`, `1.5s`, `-3ms`, `0`. Negative ones come out as zero, enormous ones as the largest.
fn parse(text: &str) -> Option<Duration> {
    let (negative, mut rest) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at_checked(digits)?;
        if !number.contains(|c: char| c.is_ascii_digit()) {
            return None;
        }
        let number: f64 = number.parse().ok()?;
        let end = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, after) = tail.split_at_checked(end)?;
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "\u{b5}s" | "\u{3bc}s" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        let part = Duration::try_from_secs_f64(number * seconds).unwrap_or(Duration::MAX);
        sum = sum.saturating_add(part);
        rest = after;
    }
    Some(if negative { Duration::ZERO } else { sum })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn clients_may_ask_for_less_but_not_for_more() {
        let limit = Duration::from_mins(1);
        let cases = [
            ("", Ok(60_000)),
            ("timeout=", Ok(60_000)),
            ("timeout=32s", Ok(32_000)),
            ("timeout=1m30s", Ok(60_000)),
            ("timeout=1.5s", Ok(1_500)),
            ("timeout=250ms", Ok(250)),
            ("timeout=%2B.5s", Ok(500)),
            ("timeout=0", Ok(60_000)),
            ("timeout=-5s", Ok(60_000)),
            ("timeout=99999999999999999999h", Ok(60_000)),
            ("timeout=1s&timeout=bogus", Ok(1_000)),
            ("timeout=bogus", Err(Invalid)),
            ("timeout=5", Err(Invalid)),
            ("timeout=s", Err(Invalid)),
            ("timeout=.s", Err(Invalid)),
            ("timeout=1.2.3s", Err(Invalid)),
            ("timeout=1d", Err(Invalid)),
            ("timeout=-", Err(Invalid)),
        ];
        for (query, expected) in cases {
            assert_eq!(
                of(Some(query), limit),
                expected.map(Duration::from_millis),
                "{query}"
            );
        }
        assert_eq!(of(None, limit), Ok(limit));
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_parser(text in "\\PC{0,20}") {
            let _parsed = parse(&text);
        }
    }
}
