//! The shapes that answers have. What they say is decided elsewhere.

use std::io;

use bytes::Bytes;
use futures::StreamExt as _;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, LINK, LOCATION, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;

pub(super) type Body = BoxBody<Bytes, io::Error>;

pub(super) fn unauthorized(challenge: Option<&str>, message: &str) -> Response<Body> {
    let mut answer = error(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", message);
    if let Some(challenge) = challenge {
        set(&mut answer, WWW_AUTHENTICATE.as_str(), challenge);
    }
    answer
}

pub(super) fn error(status: StatusCode, code: &str, message: &str) -> Response<Body> {
    json(
        status,
        serde_json::json!({"errors": [{"code": code, "message": message}]}).to_string(),
    )
}

/// An error whose status is only a number yet.
pub(super) fn refusal(status: u16, code: &str, message: &str) -> Response<Body> {
    error(StatusCode::from_u16(status).unwrap(), code, message)
}

pub(super) fn json(status: StatusCode, body: String) -> Response<Body> {
    let mut answer = whole(status, body.into());
    set(&mut answer, CONTENT_TYPE.as_str(), "application/json");
    answer
}

pub(super) fn redirect(target: &str) -> Response<Body> {
    let mut answer = empty(StatusCode::TEMPORARY_REDIRECT);
    set(&mut answer, LOCATION.as_str(), target);
    answer
}

pub(super) fn empty(status: StatusCode) -> Response<Body> {
    whole(status, Bytes::new())
}

pub(super) fn whole(status: StatusCode, body: Bytes) -> Response<Body> {
    let mut answer = Response::new(whole_body(body));
    *answer.status_mut() = status;
    answer
}

pub(super) fn whole_body(body: Bytes) -> Body {
    Full::new(body).map_err(|never| match never {}).boxed()
}

pub(super) fn with_link(mut answer: Response<Body>, link: &str) -> Response<Body> {
    set(&mut answer, LINK.as_str(), link);
    answer
}

pub(super) fn set(answer: &mut Response<Body>, name: &'static str, value: &str) {
    let name = http::header::HeaderName::from_static(name);
    let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
    answer.headers_mut().insert(name, value);
}

/// A body that comes in pieces, its length known or not.
pub(super) fn body_of(
    pieces: impl futures::Stream<Item = io::Result<Bytes>> + Send + Sync + 'static,
) -> Body {
    BoxBody::new(StreamBody::new(pieces.map(|piece| piece.map(Frame::data))))
}

pub(super) fn streamed(
    pieces: impl futures::Stream<Item = io::Result<Bytes>> + Send + Sync + 'static,
    length: Option<u64>,
) -> Response<Body> {
    let mut answer = Response::new(body_of(pieces));
    set(&mut answer, CONTENT_TYPE.as_str(), "application/json");
    if let Some(length) = length {
        answer.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
    answer
}
