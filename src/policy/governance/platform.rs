//! A platform that is asked for, and which of those that an index offers is one.

use std::fmt;
use std::str::FromStr;

/// `os/arch`, or `os/arch/variant`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Platform(String);

/// The longest part of a platform's name.
const LONGEST_PART: usize = 32;

impl FromStr for Platform {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let is_part = |part: &str| {
            !part.is_empty()
                && part.len() <= LONGEST_PART
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'.')
        };
        let parts = text.split('/').count();
        if (2..=3).contains(&parts) && text.split('/').all(is_part) {
            Ok(Self(text.to_owned()))
        } else {
            Err(())
        }
    }
}

impl Platform {
    /// Whether `offered` will do. Who names no variant takes any; and `linux/arm64` has only ever had one, `v8`, which
    /// some leave out.
    pub fn is(&self, offered: &str) -> bool {
        let asked = self.0.as_str();
        let plain = |text: &str| text.strip_suffix("arm64/v8").map(|os| format!("{os}arm64"));
        offered == asked
            || offered
                .strip_prefix(asked)
                .is_some_and(|rest| rest.starts_with('/'))
            || plain(asked).as_deref() == Some(offered)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
