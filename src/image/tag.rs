//! A tag.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::{Error, shown};

/// A tag: 1 to 128 of `[A-Za-z0-9_.-]`, not beginning with `.` or `-` (distribution specification).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(Arc<str>);

impl Tag {
    /// The text of the tag.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `text` would parse.
    pub fn is_valid(text: &str) -> bool {
        text.len() <= 128
            && text
                .bytes()
                .next()
                .is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_')
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
    }
}

/// So that sets of tags are searched by text.
impl std::borrow::Borrow<str> for Tag {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Tag {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if Self::is_valid(text) {
            Ok(Self(text.into()))
        } else {
            Err(Error::Tag(shown(text)))
        }
    }
}
