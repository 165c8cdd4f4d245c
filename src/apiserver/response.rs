//! Answers before they meet the connection: status line, headers, and a body that is whole or comes in chunks.
//!
//! What an answer says is made as compact JSON; how it is written down (indented, YAML, gzip) is decided here, on the
//! text, so that nothing that makes an answer needs to know.

pub(super) mod gzip;

use std::convert::Infallible;
use std::pin::Pin;

use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use http::{HeaderValue, Response, StatusCode, header};

use crate::apiserver::json::Indent;
use crate::apiserver::negotiate::{Encoding, Negotiated};
use crate::apiserver::status::Status;
use crate::apiserver::yaml::{self, Yaml};
use crate::serve::Body;

/// Up to so many bytes are handed to the connection at once.
const WHOLE: usize = 64 << 10;

/// An answer's body.
pub enum Payload {
    /// All of it.
    Full(Bytes),
    /// Chunks as they are made; it ends when the answer is complete or the server shuts down.
    Stream(Chunks),
}

/// The chunks of a body.
pub type Chunks = Pin<Box<dyn Stream<Item = Bytes> + Send>>;

impl std::fmt::Debug for Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Full(bytes) => write!(f, "Full({} bytes)", bytes.len()),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

impl From<Payload> for Body {
    fn from(payload: Payload) -> Self {
        match payload {
            // A connection takes whole bytes at once, whatever its client has room for; pieces it asks for.
            Payload::Full(bytes) if bytes.len() > WHOLE => {
                Self::stream(gzip::pieces(bytes).map(Ok::<_, Infallible>))
            }
            Payload::Full(bytes) => Self::full(bytes),
            Payload::Stream(stream) => Self::stream(stream.map(Ok::<_, Infallible>)),
        }
    }
}

/// A refusal: a Status, and for a list that can go on otherwise the token to do so.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Refusal {
    pub(super) status: Status,
    pub(super) continue_token: Option<String>,
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        Self {
            status,
            continue_token: None,
        }
    }
}

/// A 200 with JSON that caches must not keep.
pub(super) fn ok(payload: Payload) -> Response<Payload> {
    with_headers(StatusCode::OK, payload, Encoding::Json)
}

/// A 200 whose body is made in chunks: of JSON, indented already where that was negotiated.
pub(super) fn streamed(payload: Payload, negotiated: Negotiated) -> Response<Payload> {
    let payload = match (negotiated.encoding, payload) {
        (Encoding::Json, payload) => payload,
        (Encoding::Yaml, Payload::Full(text)) => Payload::Full(yaml::whole(&text).into()),
        (Encoding::Yaml, Payload::Stream(chunks)) => Payload::Stream(in_yaml(chunks)),
    };
    with_headers(StatusCode::OK, payload, negotiated.encoding)
}

/// The answer that says `json`, whole, in the representation that was negotiated.
pub(super) fn rendered(
    code: StatusCode,
    json: Vec<u8>,
    negotiated: Negotiated,
) -> Response<Payload> {
    let text = match negotiated.encoding {
        Encoding::Json if negotiated.pretty => indented(&json),
        Encoding::Json => json,
        Encoding::Yaml => yaml::whole(&json),
    };
    with_headers(code, Payload::Full(text.into()), negotiated.encoding)
}

/// Compact JSON in the form for people.
pub(super) fn indented(json: &[u8]) -> Vec<u8> {
    let mut out = Indent::default().push(json);
    out.push(b'\n');
    out
}

/// The answer that tells a `Status`.
pub fn refuse(status: &Status, negotiated: Negotiated) -> Response<Payload> {
    refuse_with(status, None, negotiated)
}

pub(super) fn refuse_with(
    status: &Status,
    continue_token: Option<&str>,
    negotiated: Negotiated,
) -> Response<Payload> {
    let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = rendered(code, status.body_with_continue(continue_token), negotiated);
    if let Some(seconds) = status.retry_after {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if status.code == 405 {
        response
            .headers_mut()
            .insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}

fn with_headers(code: StatusCode, payload: Payload, encoding: Encoding) -> Response<Payload> {
    let mut response = Response::new(payload);
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(encoding.media_type()),
    );
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-cache, private"),
    );
    response
}

/// Chunks of JSON as chunks of YAML: of a list of any length, memory holds one chunk.
fn in_yaml(chunks: Chunks) -> Chunks {
    let converted = stream::unfold(Some((chunks, Yaml::default())), |state| async move {
        let (mut chunks, mut yaml) = state?;
        Some(match chunks.next().await {
            Some(chunk) => (yaml.push(&chunk), Some((chunks, yaml))),
            None => (yaml.end(), None),
        })
    });
    // A chunk may lie within one string.
    Box::pin(
        converted
            .filter(|text| std::future::ready(!text.is_empty()))
            .map(Bytes::from),
    )
}
