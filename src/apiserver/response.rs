//! Answers before they meet the connection: status line, headers, and a body that is whole or comes in chunks.

use std::convert::Infallible;
use std::pin::Pin;

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use http::{HeaderValue, Response, StatusCode, header};

use crate::apiserver::json::Indent;
use crate::apiserver::status::Status;
use crate::serve::Body;

/// An answer's body.
pub enum Payload {
    /// All of it.
    Full(Bytes),
    /// Chunks as they are made; it ends when the answer is complete or the server shuts down.
    Stream(Pin<Box<dyn Stream<Item = Bytes> + Send>>),
}

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
    let mut response = Response::new(payload);
    json_headers(&mut response);
    response
}

/// The whole of a small answer, indented when it is for people.
pub(super) fn whole(text: Vec<u8>, pretty: bool) -> Payload {
    Payload::Full(if pretty {
        finish_pretty(&text)
    } else {
        text.into()
    })
}

fn finish_pretty(text: &[u8]) -> Bytes {
    let mut out = Indent::default().push(text);
    out.push(b'\n');
    out.into()
}

/// The answer that tells a `Status`.
pub fn refuse(status: &Status, pretty: bool) -> Response<Payload> {
    refuse_with(status, None, pretty)
}

pub(super) fn refuse_with(
    status: &Status,
    continue_token: Option<&str>,
    pretty: bool,
) -> Response<Payload> {
    let mut response = Response::new(whole(status.body_with_continue(continue_token), pretty));
    *response.status_mut() =
        StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    json_headers(&mut response);
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

fn json_headers(response: &mut Response<Payload>) {
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-cache, private"),
    );
}
