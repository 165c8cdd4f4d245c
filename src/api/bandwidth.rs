//! Bandwidths as people write them: `50MiB` is so many bytes a second.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The pattern that the schema holds a bandwidth to.
pub const PATTERN: &str = r"^[0-9]+(\.[0-9]+)?(B|kB|MB|GB|KiB|MiB|GiB)?(/s)?$";

/// What each unit is in bytes.
const UNITS: [(&str, u32); 7] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    // Behind all that end with it.
    ("B", 1),
];

/// Bytes per second, one at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bandwidth(u64);

/// The text is no bandwidth.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a bandwidth, which is a number of bytes per second with a unit (B, kB, MB, GB, KiB, MiB, GiB), such as 50MiB"
)]
pub struct Error(String);

impl Bandwidth {
    /// How many bytes per second.
    pub fn bytes_per_second(self) -> u64 {
        self.0
    }
}

impl FromStr for Bandwidth {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = || Error(text.chars().take(100).collect());
        let amount = text.strip_suffix("/s").unwrap_or(text);
        let with_unit = UNITS
            .iter()
            .find_map(|(unit, bytes)| Some((amount.strip_suffix(unit)?, *bytes)));
        let (number, unit) = with_unit.unwrap_or((amount, 1));
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let are_digits = |digits: &str| {
            (1..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
        };
        if !are_digits(whole) || !are_digits(fraction) {
            return Err(invalid());
        }
        let scaled = |digits: &str, unit: u128| {
            digits
                .parse::<u128>()
                .ok()
                .and_then(|number| number.checked_mul(unit))
        };
        let power = 10_u128.pow(u32::try_from(fraction.len()).unwrap_or(0));
        let bytes = scaled(whole, unit.into())
            .zip(scaled(fraction, unit.into()))
            .and_then(|(whole, part)| u64::try_from(whole + part / power).ok());
        match bytes {
            Some(bytes) if bytes > 0 => Ok(Self(bytes)),
            Some(_) | None => Err(invalid()),
        }
    }
}

/// The largest unit of powers of 1024 that it is a whole number of.
impl fmt::Display for Bandwidth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, bytes) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
            if self.0.is_multiple_of(bytes) {
                return write!(f, "{}{unit}", self.0 / bytes);
            }
        }
        write!(f, "{}B", self.0)
    }
}

impl<'de> Deserialize<'de> for Bandwidth {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl Serialize for Bandwidth {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::regexp::Regexp;

    #[test]
    fn bandwidths_are_read_with_their_units() {
        for (text, bytes, shown) in [
            ("1", 1, "1B"),
            ("50MiB", 50 << 20, "50MiB"),
            ("50MiB/s", 50 << 20, "50MiB"),
            ("1.5KiB", 1536, "1536B"),
            ("0.5MB", 500_000, "500000B"),
            ("2GB", 2_000_000_000, "1953125KiB"),
            ("1024KiB", 1 << 20, "1MiB"),
            ("3GiB", 3 << 30, "3GiB"),
            ("12B", 12, "12B"),
            ("7kB", 7_000, "7000B"),
        ] {
            let read: Bandwidth = text.parse().unwrap();
            assert_eq!(
                (read.bytes_per_second(), read.to_string().as_str()),
                (bytes, shown),
                "{text}"
            );
            assert!(Regexp::new(PATTERN).unwrap().is_match(text), "{text}");
        }
    }

    #[test]
    fn what_is_no_bandwidth_is_refused() {
        for text in [
            "",
            "0",
            "0.0MiB",
            "MiB",
            "-1",
            "1e3",
            "50M",
            "50 MiB",
            "50mib",
            "1.MiB",
            ".5MiB",
            "9999999999999999",
            "999999999999999GiB",
            "1.2.3",
            "/s",
        ] {
            assert_eq!(
                text.parse::<Bandwidth>(),
                Err(Error(text.to_owned())),
                "{text}"
            );
        }
    }
}
