//! The `version` field: a tag's parts when the policies read it as a semantic version.

use crate::apiserver::json::Json;
use crate::policy::Version;

/// The parts of a tag that reads as a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parts<'a>(Version<'a>);

impl<'a> Parts<'a> {
    /// Reads `tag` as the policies do; `None` when they would skip it, and when a number is beyond what JSON clients
    /// hold (int64).
    pub(super) fn of(tag: &'a str) -> Option<Self> {
        let version = Version::parse_tag(tag)?;
        let numbers = [version.major, version.minor, version.patch];
        numbers
            .iter()
            .all(|number| i64::try_from(*number).is_ok())
            .then_some(Self(version))
    }

    pub(super) fn write(&self, json: &mut Json) {
        let Version {
            major,
            minor,
            patch,
            prerelease,
            metadata,
        } = self.0;
        json.raw(r#"{"major":"#).number(major);
        json.raw(r#","minor":"#).number(minor);
        json.raw(r#","patch":"#).number(patch);
        if !prerelease.is_empty() {
            json.raw(r#","prerelease":"#).string(prerelease);
        }
        if !metadata.is_empty() {
            json.raw(r#","metadata":"#).string(metadata);
        }
        json.raw("}");
    }

    /// Writes the version without prefix and with all three numbers, as a JSON string: what a tag is made of needs no
    /// escapes.
    pub(super) fn write_text(&self, json: &mut Json) {
        let Version {
            major,
            minor,
            patch,
            prerelease,
            metadata,
        } = self.0;
        json.raw("\"").number(major);
        json.raw(".").number(minor).raw(".").number(patch);
        if !prerelease.is_empty() {
            json.raw("-").raw(prerelease);
        }
        if !metadata.is_empty() {
            json.raw("+").raw(metadata);
        }
        json.raw("\"");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(tag: &str) -> Option<String> {
        let mut json = Json::new();
        Parts::of(tag)?.write_text(&mut json);
        serde_json::from_slice(&json.take()).unwrap()
    }

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
            assert_eq!(text(tag).as_deref(), expected, "{tag}");
        }
    }
}
