//! The fixed documents (discovery, OpenAPI): built once, served with tags that clients revalidate by.
//!
//! Known paths are never answered with 404 or a redirect: the aggregator draws lasting conclusions from either.

use std::sync::LazyLock;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use jiff::{Timestamp, ToSpan as _};
use serde_json::Value;
use sha2::{Digest as _, Sha512};

use crate::api::tags::{API_VERSION, GROUP};
use crate::apiserver::negotiate::{Discovery, negotiate_discovery, require_json};
use crate::apiserver::query::Query;
use crate::apiserver::response::Payload;
use crate::apiserver::status::Status;
use crate::apiserver::{discovery, hex, openapi};

const AGGREGATED_TYPE: &str =
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// A document's text and the hash of it.
#[derive(Debug)]
struct Document {
    text: Bytes,
    hash: String,
}

/// All documents.
#[derive(Debug)]
pub(super) struct Documents {
    groups: Document,
    aggregated: Document,
    group: Document,
    resources: Document,
    openapi_v2: Document,
    openapi_v3_index: Document,
    openapi_v3: Document,
}

/// How long a document may be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caching {
    /// Asked for each time.
    Revalidate,
    /// Kept by shared caches, revalidated by its tag.
    Public,
    /// Never changes under this address.
    Immutable,
}

impl Document {
    fn new(value: &Value) -> Self {
        let text = canonical(value);
        let hash = hex::lower(&Sha512::digest(&text)).to_uppercase();
        Self {
            text: text.into(),
            hash,
        }
    }
}

impl Documents {
    /// The documents of this build, made at their first use.
    pub(super) fn of_this_build() -> &'static Self {
        static DOCUMENTS: LazyLock<Documents> = LazyLock::new(Documents::new);
        &DOCUMENTS
    }

    fn new() -> Self {
        let openapi_v3 = Document::new(&openapi::v3());
        Self {
            groups: Document::new(&discovery::groups()),
            aggregated: Document::new(&discovery::aggregated()),
            group: Document::new(&discovery::group()),
            resources: Document::new(&discovery::resources()),
            openapi_v2: Document::new(&openapi::v2()),
            openapi_v3_index: Document::new(&openapi::v3_index(&openapi_v3.hash)),
            openapi_v3,
        }
    }

    /// Answers a request for the document at `path`; a trailing slash means the same.
    pub(super) fn respond(
        &self,
        request: &Parts,
        path: &str,
        query: &Query,
        now: Timestamp,
    ) -> Result<Response<Payload>, Status> {
        let headers = &request.headers;
        let (document, content_type, caching) = match self.find(path, headers, query)? {
            Some(found) if matches!(request.method, Method::GET | Method::HEAD) => found,
            Some(_) => return Err(Status::method_not_allowed(None)),
            None => return Err(Status::no_such_path()),
        };
        let tag = format!("\"{}\"", document.hash);
        let is_known = is_known(headers, &tag);
        let body = if is_known {
            Bytes::new()
        } else {
            document.text.clone()
        };
        let mut response = Response::new(Payload::Full(body));
        if is_known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        let answer = response.headers_mut();
        if !is_known {
            answer.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            answer.insert(header::ETAG, tag);
        }
        answer.insert(header::VARY, HeaderValue::from_static("Accept"));
        answer.insert(
            header::CACHE_CONTROL,
            HeaderValue::from_static(match caching {
                Caching::Revalidate => "no-cache, private",
                Caching::Public => "public",
                Caching::Immutable => "public, immutable",
            }),
        );
        if caching == Caching::Immutable
            && let Some(expires) = a_year_after(now)
        {
            answer.insert(header::EXPIRES, expires);
        }
        Ok(response)
    }

    fn find(
        &self,
        path: &str,
        headers: &HeaderMap,
        query: &Query,
    ) -> Result<Option<(&Document, &'static str, Caching)>, Status> {
        const JSON: &str = "application/json";
        let path = path.strip_suffix('/').unwrap_or(path);
        let rest = path.strip_prefix("/apis");
        let found = if rest == Some("") {
            match negotiate_discovery(headers)? {
                Discovery::Legacy => (&self.groups, JSON, Caching::Public),
                Discovery::AggregatedV2 => (&self.aggregated, AGGREGATED_TYPE, Caching::Public),
            }
        } else if let Some(rest) = rest {
            let document = match rest.strip_prefix('/') {
                Some(GROUP) => &self.group,
                Some(API_VERSION) => &self.resources,
                Some(_) | None => return Ok(None),
            };
            require_json(headers)?;
            (document, JSON, Caching::Revalidate)
        } else {
            let document = match path {
                "/openapi/v2" => &self.openapi_v2,
                "/openapi/v3" => &self.openapi_v3_index,
                _ if path.strip_prefix("/openapi/v3/apis/") == Some(API_VERSION) => {
                    &self.openapi_v3
                }
                _ => return Ok(None),
            };
            require_json(headers)?;
            // A hash that is not the current one gets the current text, not a redirect: the aggregator would fail it.
            let is_current = query.first("hash") == Some(document.hash.as_str());
            (
                document,
                JSON,
                if is_current {
                    Caching::Immutable
                } else {
                    Caching::Revalidate
                },
            )
        };
        Ok(Some(found))
    }
}

/// Compact JSON with sorted members, whatever order the map in memory has.
fn canonical(value: &Value) -> Vec<u8> {
    match value {
        Value::Object(members) => {
            let mut keys: Vec<&String> = members.keys().collect();
            keys.sort();
            let texts = keys.into_iter().map(|key| {
                let mut text = canonical(&Value::String(key.clone()));
                text.push(b':');
                text.extend(canonical(members.get(key).unwrap_or(&Value::Null)));
                text
            });
            joined(b"{", texts, b"}")
        }
        Value::Array(items) => joined(b"[", items.iter().map(canonical), b"]"),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            value.to_string().into_bytes()
        }
    }
}

fn joined(open: &[u8], texts: impl Iterator<Item = Vec<u8>>, close: &[u8]) -> Vec<u8> {
    let mut out = open.to_vec();
    for (index, text) in texts.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend(text);
    }
    out.extend_from_slice(close);
    out
}

fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let values = headers.get_all(header::IF_NONE_MATCH);
    values
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|known| {
            let known = known.trim();
            known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag
        })
}

fn a_year_after(now: Timestamp) -> Option<HeaderValue> {
    let then = now.checked_add((365 * 24).hours()).ok()?;
    HeaderValue::from_str(&then.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()).ok()
}
