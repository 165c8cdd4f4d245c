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
use crate::apiserver::negotiate::{
    Discovery, Encoding, Negotiated, negotiate_discovery, require_json,
};
use crate::apiserver::query::Query;
use crate::apiserver::response::{Payload, gzip, indented};
use crate::apiserver::status::Status;
use crate::apiserver::{discovery, hex, openapi, yaml};

const AGGREGATED_JSON: &str =
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const AGGREGATED_YAML: &str =
    "application/yaml;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// A document in one representation.
#[derive(Debug)]
struct Text {
    plain: Bytes,
    /// When that is worth it.
    gzip: Option<Bytes>,
    /// SHA-512 of the plain text.
    hash: String,
}

/// A document in every representation it is served in, each made once.
#[derive(Debug)]
struct Document {
    json: Text,
    /// Indented, and as YAML, where upstream has those.
    others: Option<(Text, Text)>,
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

/// What is served at a path, in the form that was negotiated.
struct Found<'a> {
    text: &'a Text,
    content_type: &'static str,
    caching: Caching,
}

impl Text {
    fn new(text: Vec<u8>) -> Self {
        Self {
            hash: hex::lower(&Sha512::digest(&text)).to_uppercase(),
            gzip: gzip::whole(&text),
            plain: text.into(),
        }
    }
}

impl Document {
    /// One that comes as JSON alone: OpenAPI.
    fn of_json(value: &Value) -> Self {
        Self {
            json: Text::new(canonical(value)),
            others: None,
        }
    }

    /// One that people may read: discovery.
    fn readable(value: &Value) -> Self {
        let json = canonical(value);
        Self {
            others: Some((Text::new(indented(&json)), Text::new(yaml::whole(&json)))),
            json: Text::new(json),
        }
    }

    fn text(&self, negotiated: Negotiated) -> &Text {
        match (&self.others, negotiated.encoding) {
            (Some((_, yaml)), Encoding::Yaml) => yaml,
            (Some((indented, _)), Encoding::Json) if negotiated.pretty => indented,
            (Some(_) | None, Encoding::Json | Encoding::Yaml) => &self.json,
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
        let openapi_v3 = Document::of_json(&openapi::v3());
        Self {
            groups: Document::readable(&discovery::groups()),
            aggregated: Document::readable(&discovery::aggregated()),
            group: Document::readable(&discovery::group()),
            resources: Document::readable(&discovery::resources()),
            openapi_v2: Document::of_json(&openapi::v2()),
            openapi_v3_index: Document::of_json(&openapi::v3_index(&openapi_v3.json.hash)),
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
        let Found {
            text,
            content_type,
            caching,
        } = match self.find(path, headers, query)? {
            Some(found) if matches!(request.method, Method::GET | Method::HEAD) => found,
            Some(_) => return Err(Status::method_not_allowed(None)),
            None => return Err(Status::no_such_path()),
        };
        // One tag for the plain text and the packed: a client that has either has the document.
        let tag = format!("\"{}\"", text.hash);
        let is_known = is_known(headers, &tag);
        let packed = text.gzip.as_ref().filter(|_| gzip::is_welcome(headers));
        let body = if is_known {
            Bytes::new()
        } else {
            packed.unwrap_or(&text.plain).clone()
        };
        let mut response = Response::new(Payload::Full(body));
        if is_known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        let answer = response.headers_mut();
        if !is_known {
            answer.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
            if packed.is_some() {
                answer.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
        }
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            answer.insert(header::ETAG, tag);
        }
        answer.insert(
            header::VARY,
            HeaderValue::from_static(if text.gzip.is_some() {
                "Accept, Accept-Encoding"
            } else {
                "Accept"
            }),
        );
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
    ) -> Result<Option<Found<'_>>, Status> {
        let path = path.strip_suffix('/').unwrap_or(path);
        let Some(rest) = path.strip_prefix("/apis") else {
            return self.find_openapi(path, headers, query);
        };
        let is_root = rest.is_empty();
        let document = match rest.strip_prefix('/') {
            _ if is_root => &self.groups,
            Some(GROUP) => &self.group,
            Some(API_VERSION) => &self.resources,
            Some(_) | None => return Ok(None),
        };
        let (form, negotiated) = negotiate_discovery(headers, query, is_root)?;
        let (document, content_type) = match (form, negotiated.encoding) {
            (Discovery::Legacy, encoding) => (document, encoding.media_type()),
            (Discovery::AggregatedV2, Encoding::Json) => (&self.aggregated, AGGREGATED_JSON),
            (Discovery::AggregatedV2, Encoding::Yaml) => (&self.aggregated, AGGREGATED_YAML),
        };
        Ok(Some(Found {
            text: document.text(negotiated),
            content_type,
            caching: if is_root {
                Caching::Public
            } else {
                Caching::Revalidate
            },
        }))
    }

    fn find_openapi(
        &self,
        path: &str,
        headers: &HeaderMap,
        query: &Query,
    ) -> Result<Option<Found<'_>>, Status> {
        let document = match path {
            "/openapi/v2" => &self.openapi_v2,
            "/openapi/v3" => &self.openapi_v3_index,
            _ if path.strip_prefix("/openapi/v3/apis/") == Some(API_VERSION) => &self.openapi_v3,
            _ => return Ok(None),
        };
        require_json(headers)?;
        let text = &document.json;
        // A hash that is not the current one gets the current text, not a redirect: the aggregator would fail it.
        let is_current = query.first("hash") == Some(text.hash.as_str());
        Ok(Some(Found {
            text,
            content_type: Encoding::Json.media_type(),
            caching: if is_current {
                Caching::Immutable
            } else {
                Caching::Revalidate
            },
        }))
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
