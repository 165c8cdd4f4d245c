//! Durations as Go writes and reads them, which is how they stand in manifests, flags and messages.
//!
//! Grammar and spelling are those of Go's `time.ParseDuration` and `time.Duration.String`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

const MICROSECOND: u64 = 1_000;
const MILLISECOND: u64 = 1_000 * MICROSECOND;
const SECOND: u64 = 1_000 * MILLISECOND;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// The magnitude of the most negative duration, one more than that of the longest.
const MOST_NEGATIVE: u64 = 1 << 63;

/// A signed length of time in nanoseconds, at most about 292 years.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GoDuration(i64);

/// Why a text is no duration. The texts are Go's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not a number with a unit.
    #[error("time: invalid duration {text:?}")]
    Invalid {
        /// The whole text.
        text: String,
    },
    /// Well formed, but longer than 292 years.
    #[error("time: invalid duration {text:?}")]
    Overflow {
        /// The whole text.
        text: String,
    },
    /// A number and then nothing.
    #[error("time: missing unit in duration {text:?}")]
    MissingUnit {
        /// The whole text.
        text: String,
    },
    /// A number and then a unit that there is not.
    #[error("time: unknown unit {unit:?} in duration {text:?}")]
    UnknownUnit {
        /// What stands in the unit's place.
        unit: String,
        /// The whole text.
        text: String,
    },
}

impl GoDuration {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// The longest duration there is.
    pub const MAX: Self = Self(i64::MAX);

    /// So many nanoseconds.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// So many seconds, or the longest duration there is.
    pub const fn from_secs(secs: u32) -> Self {
        Self(secs as i64 * SECOND.cast_signed())
    }

    /// The length in nanoseconds.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// For waiting: a negative duration waits for nothing.
    pub fn as_std(self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0).unwrap_or(0))
    }

    /// Whether it is no time at all.
    pub fn is_zero(&self) -> bool {
        self.0 == 0
    }
}

/// What is longer than the longest duration becomes it.
impl From<Duration> for GoDuration {
    fn from(duration: Duration) -> Self {
        Self(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
    }
}

impl FromStr for GoDuration {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        if unsigned == "0" {
            return Ok(Self::ZERO);
        }
        if unsigned.is_empty() {
            return Err(Error::Invalid {
                text: text.to_owned(),
            });
        }
        let overflow = || Error::Overflow {
            text: text.to_owned(),
        };
        let mut total: u64 = 0;
        let mut rest = unsigned;
        while !rest.is_empty() {
            let (term, after) = parse_term(rest, text)?;
            rest = after;
            total = total
                .checked_add(term)
                .filter(|sum| *sum <= MOST_NEGATIVE)
                .ok_or_else(overflow)?;
        }
        if negative {
            // The magnitude is at most 2^63, whose negation fits.
            return Ok(Self(0i64.wrapping_sub_unsigned(total)));
        }
        i64::try_from(total).map(Self).map_err(|_| overflow())
    }
}

/// Reads one number with its unit; gives its nanoseconds and what follows.
fn parse_term<'a>(term: &'a str, text: &str) -> Result<(u64, &'a str), Error> {
    let invalid = || Error::Invalid {
        text: text.to_owned(),
    };
    let overflow = || Error::Overflow {
        text: text.to_owned(),
    };

    let (whole, mut rest) = split_digits(term);
    let mut fraction = "";
    if let Some(after) = rest.strip_prefix('.') {
        (fraction, rest) = split_digits(after);
    }
    if whole.is_empty() && fraction.is_empty() {
        return Err(invalid());
    }
    let unit_end = rest
        .find(|c: char| c == '.' || c.is_ascii_digit())
        .unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(unit_end);
    let scale = match unit {
        "ns" => 1,
        "us" | "\u{b5}s" | "\u{3bc}s" => MICROSECOND,
        "ms" => MILLISECOND,
        "s" => SECOND,
        "m" => MINUTE,
        "h" => HOUR,
        "" => {
            return Err(Error::MissingUnit {
                text: text.to_owned(),
            });
        }
        unknown => {
            return Err(Error::UnknownUnit {
                unit: unknown.to_owned(),
                text: text.to_owned(),
            });
        }
    };
    let whole: u64 = if whole.is_empty() {
        0
    } else {
        whole.parse().map_err(|_| overflow())?
    };
    let nanos = whole
        .checked_mul(scale)
        .filter(|nanos| *nanos <= MOST_NEGATIVE)
        .ok_or_else(overflow)?;
    let nanos = nanos
        .checked_add(fraction_nanos(fraction, scale))
        .ok_or_else(overflow)?;
    Ok((nanos, rest))
}

/// The nanoseconds of a decimal fraction of a unit, computed in floating point as Go does, so that the
/// last digit agrees. Digits that no longer fit into 63 bits are dropped.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the product is between nought and one hour"
)]
fn fraction_nanos(digits: &str, unit: u64) -> u64 {
    let (mut value, mut scale) = (0u64, 1f64);
    for digit in digits.bytes() {
        let next = value
            .checked_mul(10)
            .and_then(|tenfold| tenfold.checked_add(u64::from(digit - b'0')));
        let Some(next) = next.filter(|next| *next <= MOST_NEGATIVE) else {
            break;
        };
        value = next;
        scale *= 10.0;
    }
    (value as f64 * (unit as f64 / scale)) as u64
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(
        text.find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len()),
    )
}

/// As Go prints it: `1h0m0s`, `1m30s`, `1.5s`, `250ms`, `0s`.
impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.0.unsigned_abs();
        if self.0 < 0 {
            f.write_str("-")?;
        }
        match magnitude {
            0 => f.write_str("0s"),
            1..MICROSECOND => write!(f, "{magnitude}ns"),
            MICROSECOND..MILLISECOND => write_decimal(f, magnitude, MICROSECOND, "\u{b5}s"),
            MILLISECOND..SECOND => write_decimal(f, magnitude, MILLISECOND, "ms"),
            SECOND.. => {
                let (hours, minutes) = (magnitude / HOUR, magnitude % HOUR / MINUTE);
                if hours > 0 {
                    write!(f, "{hours}h")?;
                }
                if hours > 0 || minutes > 0 {
                    write!(f, "{minutes}m")?;
                }
                write_decimal(f, magnitude % MINUTE, SECOND, "s")
            }
        }
    }
}

/// Writes `nanos` in `unit`s, with as many decimals as it takes and no more.
fn write_decimal(f: &mut fmt::Formatter<'_>, nanos: u64, unit: u64, name: &str) -> fmt::Result {
    write!(f, "{}", nanos / unit)?;
    let mut rest = nanos % unit;
    let mut scale = unit;
    if rest > 0 {
        f.write_str(".")?;
    }
    while rest > 0 {
        scale /= 10;
        write!(f, "{}", rest / scale)?;
        rest %= scale;
    }
    f.write_str(name)
}

impl Serialize for GoDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A duration that is too long for Go becomes the longest there is: one such object in a list must not
/// make the list unreadable.
impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = GoDuration;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as 1h30m or 45s")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<GoDuration, E> {
                match text.parse() {
                    Ok(duration) => Ok(duration),
                    Err(Error::Overflow { .. }) => Ok(GoDuration::MAX),
                    Err(error) => Err(E::custom(error)),
                }
            }
        }

        deserializer.deserialize_str(Visitor)
    }
}

#[cfg(test)]
mod tests;
