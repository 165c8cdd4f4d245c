//! Reads one page of a tag list, straight into the set of tags.

use std::collections::HashSet;
use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use super::redact::shorten;
use crate::image::Tag;

/// As much of an invalid tag as a message shows.
const SHOWN_CHARS: usize = 40;

/// The tags of all pages so far.
#[derive(Debug, Default)]
pub(super) struct Collected {
    pub(super) tags: HashSet<Tag>,
    /// How many names were no tags.
    pub(super) invalid: u64,
    /// The first of them, shortened.
    pub(super) first_invalid: Option<String>,
    limit: u64,
    over_limit: bool,
}

/// What one page added.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    /// Names on the page, invalid and repeated ones counted.
    pub(super) names: u64,
    /// New tags.
    pub(super) added: u64,
    /// Tags that were there already, on this page or before it.
    pub(super) repeated: u64,
    /// The last name, if it is a tag.
    pub(super) last: Option<Tag>,
}

/// Why a page cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PageError {
    /// It is not what the specification says.
    Malformed(String),
    /// There are more tags than the limit.
    TooManyTags,
}

impl Collected {
    /// None yet, and never more than `limit`.
    pub(super) fn with_limit(limit: u64) -> Self {
        Self {
            // Most lists fit without growing step by step.
            tags: HashSet::with_capacity(1000),
            limit,
            ..Self::default()
        }
    }

    /// Adds the tags of the page `body`.
    pub(super) fn add_page(&mut self, body: &[u8]) -> Result<Page, PageError> {
        let mut page = Page::default();
        let mut json = serde_json::Deserializer::from_slice(body);
        let read = Document {
            collected: self,
            page: &mut page,
        }
        .deserialize(&mut json)
        .and_then(|()| json.end());
        match read {
            Ok(()) => Ok(page),
            Err(_) if self.over_limit => Err(PageError::TooManyTags),
            Err(error) => Err(PageError::Malformed(describe(&error))),
        }
    }

    fn add_name(&mut self, name: &str, page: &mut Page) -> Result<(), &'static str> {
        page.names += 1;
        page.last = None;
        if let Some(known) = self.tags.get(name) {
            page.repeated += 1;
            page.last = Some(known.clone());
            return Ok(());
        }
        let Ok(tag) = name.parse::<Tag>() else {
            self.invalid += 1;
            self.first_invalid
                .get_or_insert_with(|| shorten(name, SHOWN_CHARS));
            return Ok(());
        };
        if u64::try_from(self.tags.len()).unwrap_or(u64::MAX) >= self.limit {
            self.over_limit = true;
            return Err("too many tags");
        }
        page.added += 1;
        page.last = Some(tag.clone());
        self.tags.insert(tag);
        Ok(())
    }
}

/// Where and how the JSON is wrong, without its own words.
fn describe(error: &serde_json::Error) -> String {
    use serde_json::error::Category;
    let what = match error.classify() {
        Category::Eof => "the JSON ends too early",
        Category::Syntax | Category::Io => "it is not JSON",
        // Our own texts below, and serde's, which quote single values at most.
        Category::Data => return shorten(&error.to_string(), 200),
    };
    format!("{what} at line {} column {}", error.line(), error.column())
}

struct Document<'a> {
    collected: &'a mut Collected,
    page: &'a mut Page,
}

impl<'de> DeserializeSeed<'de> for Document<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Document<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `name` and `tags`")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        let (mut has_name, mut has_tags) = (false, false);
        while let Some(key) = map.next_key::<std::borrow::Cow<'_, str>>()? {
            match &*key {
                "tags" if has_tags => return Err(M::Error::custom("`tags` is given twice")),
                "tags" => {
                    has_tags = true;
                    map.next_value_seed(Tags {
                        collected: self.collected,
                        page: self.page,
                    })?;
                }
                other => {
                    has_name |= other == "name";
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        // `tags` may be left out or null when there are none, but then this must be a tag list at least.
        if has_tags || has_name {
            Ok(())
        } else {
            Err(M::Error::custom("it has neither `name` nor `tags`"))
        }
    }
}

struct Tags<'a> {
    collected: &'a mut Collected,
    page: &'a mut Page,
}

impl<'de> DeserializeSeed<'de> for Tags<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for Tags<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of tags")
    }

    fn visit_none<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<(), S::Error> {
        while seq
            .next_element_seed(Name {
                collected: self.collected,
                page: self.page,
            })?
            .is_some()
        {}
        Ok(())
    }
}

struct Name<'a> {
    collected: &'a mut Collected,
    page: &'a mut Page,
}

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a tag")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<(), E> {
        self.collected.add_name(name, self.page).map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(body: &str) -> (Result<Page, PageError>, Collected) {
        let mut collected = Collected::with_limit(5);
        let page = collected.add_page(body.as_bytes());
        (page, collected)
    }

    #[test]
    fn tag_lists_are_read_as_registries_write_them() {
        for (body, names, added) in [
            (r#"{"name":"a","tags":["1","2"]}"#, 2, 2),
            (r#"{"tags":["1","1","1"],"name":"a"}"#, 3, 1),
            (r#"{"name":"a","tags":null}"#, 0, 0),
            (r#"{"name":"a","tags":[]}"#, 0, 0),
            (r#"{"name":"a"}"#, 0, 0),
            (
                r#"{"name":"a","tags":["\u0031"],"child":[],"manifest":{"sha256:0":{"tag":["1"],"imageSizeBytes":"5"}}}"#,
                1,
                1,
            ),
        ] {
            let (page, _) = read(body);
            let page = page.unwrap();
            assert_eq!((page.names, page.added), (names, added), "{body}");
        }
    }

    #[test]
    fn names_that_are_no_tags_are_counted_and_the_first_is_shown_short() {
        let long = "x".repeat(300);
        let (page, collected) = read(&format!(r#"{{"tags":["ok","{long}","a b\n","","1"]}}"#));
        assert_eq!(
            page,
            Ok(Page {
                names: 5,
                added: 2,
                repeated: 0,
                last: Some("1".parse().unwrap())
            })
        );
        assert_eq!(collected.invalid, 3);
        assert_eq!(
            collected.first_invalid,
            Some(format!("{}…", "x".repeat(40)))
        );
    }

    #[test]
    fn malformed_pages_say_what_is_wrong() {
        for (body, cause) in [
            ("", "the JSON ends too early at line 1 column 0"),
            (
                r#"{"tags":["1""#,
                "the JSON ends too early at line 1 column 12",
            ),
            ("<html>", "it is not JSON at line 1 column 1"),
            ("{}", "it has neither `name` nor `tags` at line 1 column 2"),
            (
                r#"{"errors":[]}"#,
                "it has neither `name` nor `tags` at line 1 column 13",
            ),
            (
                r#"{"tags":{}}"#,
                "invalid type: map, expected an array of tags at line 1 column 8",
            ),
            (
                r#"{"tags":[1]}"#,
                "invalid type: integer `1`, expected a tag at line 1 column 10",
            ),
            (
                r#"{"tags":[],"tags":[]}"#,
                "`tags` is given twice at line 1 column 17",
            ),
            (
                r#"["1"]"#,
                "invalid type: sequence, expected an object with `name` and `tags` at line 1 column 0",
            ),
            (r#"{"tags":[]} x"#, "it is not JSON at line 1 column 13"),
        ] {
            let (page, _) = read(body);
            assert_eq!(page, Err(PageError::Malformed(cause.into())), "{body}");
        }
        let (page, _) = read(&format!(r#"{{"name":{}"#, "[".repeat(10_000)));
        assert!(matches!(page, Err(PageError::Malformed(_))), "{page:?}");
    }

    #[test]
    fn more_tags_than_the_limit_are_an_error() {
        let (page, _) = read(r#"{"tags":["1","2","3","4","5","5"]}"#);
        assert_eq!(page.unwrap().added, 5);
        let (page, _) = read(r#"{"tags":["1","2","3","4","5","6"]}"#);
        assert_eq!(page, Err(PageError::TooManyTags));
    }

    proptest! {
        #[test]
        fn no_body_panics(body in prop::collection::vec(any::<u8>(), 0..60)) {
            drop(Collected::with_limit(3).add_page(&body));
        }
    }
}
