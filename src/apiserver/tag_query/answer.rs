//! The answer as the client reads it: the query with its status, as an object or as a Table of one row.

use http::{HeaderValue, Response, StatusCode, header};
use serde_json::json;

use crate::api::tag_query::{RankedTag, RejectedTag, TagCounts, TagQuery, TagQueryStatus};
use crate::apiserver::negotiate::{Form, Include, MetaVersion, Negotiated};
use crate::apiserver::query::Query;
use crate::apiserver::response::{Payload, rendered};
use crate::apiserver::status::Status;
use crate::policy::explain::{Counts, Explained, Rejected, Seat};

/// How many characters of a key are told.
const LONGEST_KEY: usize = 1024;
/// How many characters of warnings an answer has, and of each of them once there are more.
const MOST_WARNED: usize = 4096;
const CUT_WARNING: usize = 256;

/// What a Table's row is to carry; asked for before there is any.
pub(super) fn include(negotiated: Negotiated, query: &Query) -> Result<Include, Status> {
    match negotiated.form {
        Form::Table(_) => query.include_object(),
        Form::Objects | Form::Partial(_) => Ok(Include::None),
    }
}

/// The 201 with the answered `review`.
pub(super) fn created(
    review: &TagQuery,
    negotiated: Negotiated,
    include: Include,
    warnings: &[String],
) -> Response<Payload> {
    let text = match negotiated.form {
        Form::Objects => serde_json::to_vec(review),
        Form::Partial(version) => serde_json::to_vec(&partial(review, version)),
        Form::Table(version) => serde_json::to_vec(&table(review, version, include)),
    };
    // Strings, numbers and maps of strings: there is nothing that JSON has no words for.
    let mut response = rendered(StatusCode::CREATED, text.unwrap_or_default(), negotiated);
    for warning in headers(warnings) {
        response.headers_mut().append(header::WARNING, warning);
    }
    response
}

/// Puts what was found out into the answer.
pub(super) fn fill(status: &mut TagQueryStatus, explained: Explained, is_explained: bool) {
    let Explained {
        latest,
        ranked,
        rejected,
        counts:
            Counts {
                total,
                eligible,
                rejected: by_reason,
            },
        none: _,
        notices: _,
    } = explained;
    let all: usize = by_reason.values().sum();
    let omitted = all.saturating_sub(rejected.len());
    status.rejected_omitted = (is_explained && omitted > 0).then(|| number(omitted));
    status.latest = latest.map(seat);
    status.ranked = ranked.into_iter().map(seat).collect();
    status.rejected = rejected
        .into_iter()
        .map(
            |Rejected {
                 tag,
                 reason,
                 message,
             }| RejectedTag {
                tag,
                reason: reason.as_str().to_owned(),
                message,
            },
        )
        .collect();
    status.counts = Some(TagCounts {
        total: number(total),
        eligible: number(eligible),
        rejected: by_reason
            .into_iter()
            .map(|(reason, count)| (reason.as_str().to_owned(), number(count)))
            .collect(),
    });
}

fn seat(seat: Seat) -> RankedTag {
    let Seat { tag, key } = seat;
    let cut = |key: String| match key.char_indices().nth(LONGEST_KEY) {
        Some((end, _)) => key.get(..end).unwrap_or_default().to_owned(),
        None => key,
    };
    RankedTag {
        tag,
        key: key.map(cut),
    }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn partial(review: &TagQuery, version: MetaVersion) -> serde_json::Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": version.api_version(),
        "metadata": review.metadata,
    })
}

fn table(review: &TagQuery, version: MetaVersion, include: Include) -> serde_json::Value {
    let column = |name, format, description| json!({"name": name, "type": "string", "format": format, "description": description, "priority": 0});
    let status = review.status.as_ref();
    let latest = status.and_then(|status| status.latest.as_ref());
    let error = status.and_then(|status| status.error.as_ref());
    let object = match include {
        Include::Metadata => partial(review, version),
        Include::Object => json!(review),
        Include::None => serde_json::Value::Null,
    };
    json!({
        "kind": "Table",
        "apiVersion": version.api_version(),
        "metadata": {},
        "columnDefinitions": [
            column("Name", "name", "The name of the query, where it has one."),
            column("Latest", "", "The tag that is elected."),
            column("Error", "", "Why there is no election."),
        ],
        "rows": [{
            "cells": [
                review.metadata.name.as_deref().unwrap_or_default(),
                latest.map_or("<none>", |latest| latest.tag.as_str()),
                error.map_or("<none>", |error| error.message.as_str()),
            ],
            "object": object,
        }],
    })
}

/// `299 - "…"`, as many as kube-apiserver sends.
fn headers(warnings: &[String]) -> Vec<HeaderValue> {
    let length: usize = warnings.iter().map(|warning| warning.chars().count()).sum();
    let most = if length > MOST_WARNED {
        CUT_WARNING
    } else {
        MOST_WARNED
    };
    let mut written = 0;
    let mut headers = Vec::new();
    for warning in warnings {
        if written >= MOST_WARNED {
            break;
        }
        let text: String = warning.chars().take(most).collect();
        written += text.chars().count();
        let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
        // One with control characters is not sent, as upstream sends none.
        let value = format!("299 - \"{quoted}\"");
        headers.extend(HeaderValue::from_bytes(value.as_bytes()));
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_quoted_and_cut_when_there_are_many() {
        let warned = headers(&[r#"unknown field "spec.x\""#.to_owned(), "a\nb".to_owned()]);
        assert_eq!(warned.len(), 1);
        assert_eq!(warned[0], r#"299 - "unknown field \"spec.x\\\"""#);
        let many: Vec<String> = (0..100)
            .map(|n| format!("{n}{}", "é".repeat(300)))
            .collect();
        let warned = headers(&many);
        assert_eq!(warned.len(), MOST_WARNED / CUT_WARNING);
    }
}
