//! The query of a list, watch or get, read once: metav1's ListOptions and TableOptions, with kube-apiserver's rules
//! for what excludes what and its words for what is wrong.
//!
//! Unknown parameters are ignored; of a repeated one the first counts. Nothing here looks at the store.

mod integer;

use url::form_urlencoded;

use crate::apiserver::kind::Kind;
use crate::apiserver::negotiate::Include;
use crate::apiserver::selector::{Selection, fields, labels};
use crate::apiserver::status::Status;
use crate::apiserver::status::field::FieldError;
use crate::store::ResourceVersion;

/// How a given resourceVersion bounds the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// Exactly this state.
    Exact,
    /// This state or a newer one.
    NotOlderThan,
}

/// The options of a list.
#[derive(Debug, Clone)]
pub struct ListOptions {
    /// What to leave out.
    pub selection: Selection,
    /// The most items in one answer; `None` for all.
    pub limit: Option<usize>,
    /// The token of the page before, undecoded.
    pub continue_token: Option<String>,
    /// The state that is asked for; `None` for the newest (also for `0`: any state).
    pub at: Option<(ResourceVersion, Match)>,
}

/// Where a watch starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The whole state first, at least as new as this, then changes.
    State(Option<ResourceVersion>),
    /// Changes after this position.
    After(ResourceVersion),
    /// Changes from now on.
    Now,
}

/// The options of a watch.
#[derive(Debug, Clone)]
pub struct WatchOptions {
    /// What to leave out.
    pub selection: Selection,
    /// Where to start.
    pub start: Start,
    /// Whether the client asked for the initial state by `sendInitialEvents`, and so expects the bookmark at its end.
    pub marks_initial_end: bool,
    /// Whether the client takes bookmarks.
    pub bookmarks: bool,
    /// The length that was asked for, in seconds.
    pub timeout_seconds: Option<u64>,
}

/// A query, decoded but not yet understood.
#[derive(Debug, Clone, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads `a=b&c=d` by form rules: `+` is a blank.
    pub fn parse(raw: Option<&str>) -> Self {
        let pairs = form_urlencoded::parse(raw.unwrap_or_default().as_bytes());
        Self(
            pairs
                .map(|(name, value)| (name.into_owned(), value.into_owned()))
                .collect(),
        )
    }

    /// The first value of `name`.
    pub fn first(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// Every value of `name`.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.0.iter().filter(move |(key, _)| key == name);
        named.map(|(_, value)| value.as_str())
    }

    /// `true` unless absent, `0` or `false`: even the empty text is true.
    pub fn flag(&self, name: &str) -> Option<bool> {
        self.first(name)
            .map(|value| value != "0" && !value.eq_ignore_ascii_case("false"))
    }

    /// The options of a list of `kind`.
    pub fn list_options(&self, kind: Kind) -> Result<ListOptions, Status> {
        let common = self.common(kind)?;
        let mut errors = Vec::new();
        let continues = !common.continue_token.is_empty();
        if !common.version_match.is_empty() {
            if common.version.is_empty() {
                errors.push(FieldError::forbidden(
                    "resourceVersionMatch",
                    "resourceVersionMatch is forbidden unless resourceVersion is provided",
                ));
            }
            if continues {
                errors.push(match_with_continue());
            }
            match common.version_match {
                "NotOlderThan" => {}
                "Exact" => {
                    if common.version == "0" {
                        errors.push(FieldError::forbidden(
                            "resourceVersionMatch",
                            "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
                        ));
                    }
                }
                other => errors.push(FieldError::not_supported(
                    "resourceVersionMatch",
                    other,
                    &["Exact", "NotOlderThan", ""],
                )),
            }
        }
        if common.send_initial_events.is_some() {
            errors.push(FieldError::forbidden(
                "sendInitialEvents",
                "sendInitialEvents is forbidden for list",
            ));
        }
        if !errors.is_empty() {
            return Err(Status::invalid_list_options(&errors));
        }
        let limit = usize::try_from(common.limit)
            .ok()
            .filter(|limit| *limit > 0);
        let at = match position(common.version).map_err(|error| unparsable(&error))? {
            None => None,
            Some(version) => Some((
                version,
                match common.version_match {
                    "Exact" => Match::Exact,
                    "NotOlderThan" => Match::NotOlderThan,
                    // A page must come from the very state that it names.
                    _ if limit.is_some() => Match::Exact,
                    _ => Match::NotOlderThan,
                },
            )),
        };
        if continues && at.is_some() {
            return Err(Status::bad_request(
                "specifying resource version is not allowed when using continue",
            ));
        }
        let continue_token = continues.then(|| common.continue_token.to_owned());
        Ok(ListOptions {
            selection: common.selection,
            limit,
            continue_token,
            at,
        })
    }

    /// The options of a watch of `kind`.
    pub fn watch_options(&self, kind: Kind) -> Result<WatchOptions, Status> {
        let common = self.common(kind)?;
        let mut errors = Vec::new();
        let matches = common.version_match;
        if common.send_initial_events.is_some() && matches != "NotOlderThan" {
            errors.push(FieldError::forbidden(
                "resourceVersionMatch",
                "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            ));
        }
        if !matches.is_empty() {
            if common.send_initial_events.is_none() {
                errors.push(FieldError::forbidden(
                    "resourceVersionMatch",
                    "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
                ));
            }
            if matches != "NotOlderThan" {
                errors.push(FieldError::not_supported(
                    "resourceVersionMatch",
                    matches,
                    &["NotOlderThan"],
                ));
            }
        }
        // Upstream reads a watch without a position as one with a match.
        let is_old_form = matches.is_empty()
            && common.send_initial_events.is_none()
            && matches!(common.version, "" | "0");
        if (!matches.is_empty() || is_old_form) && !common.continue_token.is_empty() {
            errors.push(match_with_continue());
        }
        if !errors.is_empty() {
            return Err(Status::invalid_list_options(&errors));
        }
        let version = position(common.version)
            .map_err(|error| Status::invalid_watch_position(kind, error))?;
        let start = match (common.send_initial_events, version) {
            (Some(true), version) => Start::State(version),
            (None, None) => Start::State(None),
            (None | Some(false), Some(version)) => Start::After(version),
            (Some(false), None) => Start::Now,
        };
        Ok(WatchOptions {
            selection: common.selection,
            start,
            // Upstream turns the old form (no version) into the new one, end bookmark included.
            marks_initial_end: matches!(start, Start::State(_)),
            bookmarks: common.bookmarks,
            timeout_seconds: common
                .timeout_seconds
                .and_then(|seconds| u64::try_from(seconds).ok()),
        })
    }

    /// The state that a get asks for: `None` for any.
    pub fn get_options(&self) -> Result<Option<ResourceVersion>, Status> {
        position(self.first("resourceVersion").unwrap_or_default())
            .map_err(|error| unparsable(&error))
    }

    /// What a Table's rows are to carry.
    pub fn include_object(&self) -> Result<Include, Status> {
        match self.first("includeObject").unwrap_or_default() {
            "" | "Metadata" => Ok(Include::Metadata),
            "Object" => Ok(Include::Object),
            "None" => Ok(Include::None),
            other => {
                let error = FieldError::invalid(
                    "includeObject",
                    other,
                    "must be 'Metadata', 'Object', 'None', or empty",
                );
                Err(Status::bad_request(format!(
                    "Unable to convert to Table as requested: {error}"
                )))
            }
        }
    }

    fn common(&self, kind: Kind) -> Result<Common<'_>, Status> {
        let timeout_seconds = self.integer("timeoutSeconds")?;
        let limit = self.integer("limit")?.unwrap_or_default();
        let labels = labels::Selector::parse(self.first("labelSelector").unwrap_or_default())
            .map_err(|error| Status::bad_request(error.to_string()))?;
        let fields = fields::Selector::parse(self.first("fieldSelector").unwrap_or_default(), kind)
            .map_err(|error| Status::bad_request(error.to_string()))?;
        Ok(Common {
            selection: Selection { labels, fields },
            bookmarks: self.flag("allowWatchBookmarks").unwrap_or_default(),
            version: self.first("resourceVersion").unwrap_or_default(),
            version_match: self.first("resourceVersionMatch").unwrap_or_default(),
            timeout_seconds,
            limit,
            continue_token: self.first("continue").unwrap_or_default(),
            send_initial_events: self.flag("sendInitialEvents"),
        })
    }

    fn integer(&self, name: &str) -> Result<Option<i64>, Status> {
        let Some(text) = self.first(name) else {
            return Ok(None);
        };
        integer::parse_signed(text)
            .map(Some)
            .map_err(|error| Status::bad_request(error.to_string()))
    }
}

struct Common<'a> {
    selection: Selection,
    bookmarks: bool,
    version: &'a str,
    version_match: &'a str,
    timeout_seconds: Option<i64>,
    limit: i64,
    continue_token: &'a str,
    send_initial_events: Option<bool>,
}

fn match_with_continue() -> FieldError {
    FieldError::forbidden(
        "resourceVersionMatch",
        "resourceVersionMatch is forbidden when continue is provided",
    )
}

/// `None` for the empty text and `0`, which bound nothing.
fn position(text: &str) -> Result<Option<ResourceVersion>, FieldError> {
    if text.is_empty() || text == "0" {
        return Ok(None);
    }
    match integer::parse_unsigned(text) {
        Ok(0) => Ok(None),
        Ok(version) => Ok(Some(ResourceVersion(version))),
        Err(error) => Err(FieldError::invalid(
            "resourceVersion",
            text,
            error.to_string(),
        )),
    }
}

fn unparsable(error: &FieldError) -> Status {
    Status::bad_request(format!("invalid resource version: {error}"))
}

/// The value of the `pretty` parameter, when it is given: anything but a Go truth value is false.
pub fn pretty(query: &Query) -> Option<bool> {
    let text = query.first("pretty").filter(|text| !text.is_empty())?;
    Some(matches!(text, "1" | "t" | "T" | "true" | "TRUE" | "True"))
}

#[cfg(test)]
mod tests;
