//! What a registry says of how much it still allows: the rate limit headers that are in use, read without trust.
//!
//! Three families: the IETF draft's first form (`RateLimit-Limit`, `-Remaining`, `-Reset`; Docker Hub adds `;w=` to
//! the first two), its present form (`RateLimit: "p";r=50;t=30` and `RateLimit-Policy: "p";q=100;w=60`), and
//! `X-RateLimit-*`. Where several are there, the first family that can be read counts.

use std::time::Duration;

use http::HeaderMap;
use jiff::Timestamp;

/// Longer headers are not looked at.
const HEADER_BYTES: usize = 1 << 10;
/// More items of one header are not looked at.
const ITEMS: usize = 8;
/// A number of seconds above this is a date, in seconds since 1970: some write `Reset` so.
const DATES_FROM: u64 = 1_000_000_000;
/// Longer windows are as good as none.
const LONGEST_WINDOW: Duration = Duration::from_hours(24 * 7);

/// So much may still be asked, in this time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Allowance {
    /// Requests that are left.
    pub(super) remaining: u64,
    /// Requests in a whole window.
    pub(super) limit: Option<u64>,
    /// The length of a window that slides.
    pub(super) window: Option<Duration>,
    /// The end of the present window.
    pub(super) resets_in: Option<Duration>,
}

/// What `headers` say.
pub(super) fn allowance(headers: &HeaderMap, now: Timestamp) -> Option<Allowance> {
    combined(headers, now)
        .or_else(|| separate(headers, "ratelimit", now))
        .or_else(|| separate(headers, "x-ratelimit", now))
}

/// `RateLimit` and `RateLimit-Policy`: of several quotas, the one with the least left.
fn combined(headers: &HeaderMap, now: Timestamp) -> Option<Allowance> {
    let left = items(headers, "ratelimit");
    let (name, item) = left
        .iter()
        .filter_map(|item| Some((item.number("r")?, item)))
        .min_by_key(|(remaining, _)| *remaining)
        .map(|(_, item)| (item.value, item))?;
    let policies = items(headers, "ratelimit-policy");
    let policy = policies.iter().find(|policy| policy.value == name);
    Some(Allowance {
        remaining: item.number("r")?,
        limit: policy.and_then(|policy| policy.number("q")),
        window: policy.and_then(|policy| window(policy.number("w"))),
        resets_in: item.number("t").and_then(|t| until(t, now)),
    })
}

/// `<prefix>-remaining`, `-limit` and `-reset`.
fn separate(headers: &HeaderMap, prefix: &str, now: Timestamp) -> Option<Allowance> {
    let [remaining, limit, reset] =
        ["remaining", "limit", "reset"].map(|name| items(headers, &format!("{prefix}-{name}")));
    let first = |items: &[Item<'_>]| items.first().and_then(|item| item.value.parse().ok());
    let window = remaining
        .iter()
        .chain(&limit)
        .find_map(|item| window(item.number("w")));
    Some(Allowance {
        remaining: first(&remaining)?,
        limit: first(&limit),
        window,
        resets_in: first(&reset).and_then(|seconds| until(seconds, now)),
    })
}

fn window(seconds: Option<u64>) -> Option<Duration> {
    seconds
        .map(Duration::from_secs)
        .filter(|window| !window.is_zero() && *window <= LONGEST_WINDOW)
}

/// Seconds from now, or a date.
fn until(seconds: u64, now: Timestamp) -> Option<Duration> {
    let seconds = if seconds < DATES_FROM {
        seconds
    } else {
        let now = u64::try_from(now.as_second()).unwrap_or_default();
        seconds.saturating_sub(now)
    };
    let until = Duration::from_secs(seconds);
    (until <= LONGEST_WINDOW).then_some(until)
}

/// One item of a header's list.
struct Item<'a> {
    value: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
}

impl Item<'_> {
    fn number(&self, name: &str) -> Option<u64> {
        let (_, value) = self.parameters.iter().find(|(known, _)| *known == name)?;
        value.parse().ok()
    }
}

fn items<'a>(headers: &'a HeaderMap, name: &str) -> Vec<Item<'a>> {
    let text = headers.get(name).and_then(|value| value.to_str().ok());
    let Some(text) = text.filter(|text| text.len() <= HEADER_BYTES) else {
        return Vec::new();
    };
    let item = |text: &'a str| {
        let mut parts = text.split(';').map(str::trim);
        let value = parts.next().unwrap_or_default();
        let parameters = parts.filter_map(|part| {
            let (name, value) = part.split_once('=')?;
            Some((name.trim(), value.trim()))
        });
        Item {
            value,
            parameters: parameters.take(ITEMS).collect(),
        }
    };
    text.split(',').take(ITEMS).map(item).collect()
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn read(headers: &[(&'static str, &'static str)]) -> Option<(u64, Option<u64>, u64, u64)> {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let headers = headers.iter().map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        });
        let found = allowance(&headers.collect(), now)?;
        let seconds = |time: Option<Duration>| time.map_or(0, |time| time.as_secs());
        Some((
            found.remaining,
            found.limit,
            seconds(found.window),
            seconds(found.resets_in),
        ))
    }

    #[test]
    fn every_family_of_headers_is_read() {
        for (headers, expected) in [
            // Docker Hub.
            (
                [
                    ("ratelimit-limit", "100;w=21600"),
                    ("ratelimit-remaining", "76;w=21600"),
                ]
                .as_slice(),
                Some((76, Some(100), 21600, 0)),
            ),
            // The first drafts.
            (
                &[
                    ("ratelimit-limit", "10, 10;w=1;burst=5, 1000;w=3600"),
                    ("ratelimit-remaining", "9"),
                    ("ratelimit-reset", "50"),
                ],
                Some((9, Some(10), 1, 50)),
            ),
            // The present one.
            (
                &[
                    (
                        "ratelimit-policy",
                        r#""burst";q=100;w=60, "daily";q=1000;w=86400"#,
                    ),
                    ("ratelimit", r#""burst";r=50;t=30, "daily";r=7;t=7000"#),
                ],
                Some((7, Some(1000), 86400, 7000)),
            ),
            // With a date.
            (
                &[
                    ("x-ratelimit-limit", "60"),
                    ("x-ratelimit-remaining", "0"),
                    ("x-ratelimit-reset", "1767225630"),
                ],
                Some((0, Some(60), 0, 30)),
            ),
            (&[("x-ratelimit-remaining", "5")], Some((5, None, 0, 0))),
        ] {
            assert_eq!(read(headers), expected, "{headers:?}");
        }
    }

    #[test]
    fn what_is_no_number_or_absurd_is_left_out() {
        for (headers, expected) in [
            ([("ratelimit-limit", "100;w=21600")].as_slice(), None),
            (&[("ratelimit-remaining", "-1")], None),
            (&[("ratelimit-remaining", "soon")], None),
            (&[("ratelimit", "r")], None),
            (
                &[
                    ("ratelimit-remaining", "1;w=0"),
                    ("ratelimit-reset", "99999999"),
                ],
                Some((1, None, 0, 0)),
            ),
            (
                &[
                    ("x-ratelimit-remaining", "1"),
                    ("x-ratelimit-reset", "1000000000"),
                ],
                Some((1, None, 0, 0)),
            ),
        ] {
            assert_eq!(read(headers), expected, "{headers:?}");
        }
    }
}
