//! The `version` field: a tag's parts when it reads as a semantic version.

use std::fmt;

use crate::apiserver::json::Json;

/// The parts of a tag that reads as a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parts<'a> {
    major: u64,
    minor: u64,
    patch: u64,
    prerelease: &'a str,
    metadata: &'a str,
}

impl<'a> Parts<'a> {
    /// Reads `tag` as the policies do; `None` when they would skip it, and when a number is beyond what JSON clients
    /// hold (int64).
    pub(super) fn of(tag: &'a str) -> Option<Self> {
        if tag.bytes().filter(|byte| *byte == b'.').count() < 2 {
            return None;
        }
        let text = tag.strip_prefix('v').unwrap_or(tag);
        let (text, metadata) = split(text, '+')?;
        let (core, prerelease) = split(text, '-')?;
        let has_leading_zero = |id: &str| {
            id.len() > 1 && id.starts_with('0') && id.bytes().all(|byte| byte.is_ascii_digit())
        };
        if prerelease.split('.').any(has_leading_zero) {
            return None;
        }
        let mut numbers = core.split('.').map(number);
        let major = numbers.next()??;
        let minor = numbers.next().unwrap_or(Some(0))?;
        let patch = numbers.next().unwrap_or(Some(0))?;
        if numbers.next().is_some() {
            return None;
        }
        Some(Self {
            major,
            minor,
            patch,
            prerelease,
            metadata,
        })
    }

    pub(super) fn write(&self, json: &mut Json) {
        json.raw(r#"{"major":"#).number(self.major);
        json.raw(r#","minor":"#).number(self.minor);
        json.raw(r#","patch":"#).number(self.patch);
        if !self.prerelease.is_empty() {
            json.raw(r#","prerelease":"#).string(self.prerelease);
        }
        if !self.metadata.is_empty() {
            json.raw(r#","metadata":"#).string(self.metadata);
        }
        json.raw("}");
    }
}

/// The version without prefix and with all three numbers.
impl fmt::Display for Parts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)?;
        if !self.prerelease.is_empty() {
            write!(f, "-{}", self.prerelease)?;
        }
        if !self.metadata.is_empty() {
            write!(f, "+{}", self.metadata)?;
        }
        Ok(())
    }
}

/// The text before `mark` and the identifiers after it; `None` when these are malformed.
fn split(text: &str, mark: char) -> Option<(&str, &str)> {
    let Some((before, after)) = text.split_once(mark) else {
        return Some((text, ""));
    };
    let is_identifier = |id: &str| {
        !id.is_empty()
            && id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    after
        .split('.')
        .all(is_identifier)
        .then_some((before, after))
}

fn number(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let value: u64 = is_number.then(|| digits.parse().ok())??;
    i64::try_from(value).is_ok().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::Parts;

    #[test]
    fn tags_read_as_versions_or_not_at_all() {
        let rows = [
            ("1.2.3", Some("1.2.3")),
            ("v1.2.3", Some("1.2.3")),
            ("01.02.03", Some("1.2.3")),
            ("1.2-rc.1", Some("1.2.0-rc.1")),
            ("15-alpine3.18.1", Some("15.0.0-alpine3.18.1")),
            ("1.2.3-rc.1+b.2", Some("1.2.3-rc.1+b.2")),
            ("1.2", None),
            ("latest", None),
            ("V1.2.3", None),
            ("1.2.3.4", None),
            ("1.2.3-01", None),
            ("1.2.3-a..b", None),
            ("1.2.3-", None),
            ("1..3", None),
            ("9223372036854775808.0.0", None),
        ];
        for (tag, expected) in rows {
            assert_eq!(
                Parts::of(tag).map(|parts| parts.to_string()).as_deref(),
                expected,
                "{tag}"
            );
        }
    }
}
