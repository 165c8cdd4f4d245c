//! The answers of a registry that has been told to do wrong.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::StreamBody;
use http_body_util::combinators::BoxBody;
use hyper::body::Frame;

use super::answers::{Body, error, json, redirect, unauthorized, whole, with_link};
use super::faults::Fault;
use super::log::{Listener, Request};

/// Does `fault` instead of, or to, the `usual` answer.
pub(super) async fn misbehave(
    fault: Fault,
    mut usual: Response<Body>,
    entry: &Request,
    headers: &HeaderMap,
    wants_reset: &AtomicBool,
) -> Response<Body> {
    let host = &entry.host;
    let uri = format!(
        "{}{}{}",
        entry.path,
        if entry.query.is_empty() { "" } else { "?" },
        entry.query
    );
    match fault {
        Fault::Status(status) => error(
            StatusCode::from_u16(status).unwrap(),
            "UNKNOWN",
            "told to fail",
        ),
        Fault::Code(status, code) => {
            error(StatusCode::from_u16(status).unwrap(), code, "told to fail")
        }
        Fault::RateLimited(retry_after) => {
            let mut answer = error(
                StatusCode::TOO_MANY_REQUESTS,
                "TOOMANYREQUESTS",
                "slow down",
            );
            if let Some(retry_after) = retry_after {
                answer
                    .headers_mut()
                    .insert(RETRY_AFTER, retry_after.parse().unwrap());
            }
            answer
        }
        Fault::Unavailable(retry_after) => {
            let mut answer = error(
                StatusCode::SERVICE_UNAVAILABLE,
                "UNAVAILABLE",
                "come back later",
            );
            answer
                .headers_mut()
                .insert(RETRY_AFTER, retry_after.parse().unwrap());
            answer
        }
        Fault::Html => {
            let mut answer = whole(
                StatusCode::OK,
                "<!DOCTYPE html><html><body>Please sign in</body></html>".into(),
            );
            answer
                .headers_mut()
                .insert(CONTENT_TYPE, "text/html; charset=utf-8".parse().unwrap());
            answer
        }
        Fault::Json(body) => json(StatusCode::OK, body),
        Fault::EndlessJson => {
            let start = stream::iter([Bytes::from_static(b"{\"name\":\"x\",\"tags\":[\"0\"")]);
            let piece = Bytes::from(",\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"".repeat(2000));
            streamed(start.chain(stream::repeat(piece)).map(Ok), None)
        }
        Fault::LinkToItself => with_link(usual, &format!("<{uri}>; rel=\"next\"")),
        Fault::Link(link) => with_link(usual, &link),
        Fault::EndlessPages => with_link(
            usual,
            &format!(
                "<{}?last={}>; rel=\"next\"",
                entry.path,
                uuid::Uuid::new_v4()
            ),
        ),
        Fault::EndlessEmptyPages => with_link(
            json(StatusCode::OK, r#"{"name":"x","tags":[]}"#.to_owned()),
            &format!(
                "<{}?last={}>; rel=\"next\"",
                entry.path,
                uuid::Uuid::new_v4()
            ),
        ),
        Fault::Reset => {
            wants_reset.store(true, Ordering::SeqCst);
            broken()
        }
        Fault::Truncated => broken(),
        Fault::Slow(time) => {
            tokio::time::sleep(time).await;
            usual
        }
        Fault::Stalled => {
            let start = stream::iter([Ok(Bytes::from_static(b"{\"name\":"))]);
            streamed(start.chain(stream::pending()), None)
        }
        Fault::Redirect(target) => redirect(&target),
        Fault::RedirectToItself => {
            let scheme = if entry.listener == Listener::Tls {
                "https"
            } else {
                "http"
            };
            redirect(&format!("{scheme}://{host}{uri}"))
        }
        Fault::Challenge(challenge) => unauthorized(challenge.as_deref(), "told to ask"),
        Fault::Echo => {
            let sent = headers
                .get(AUTHORIZATION)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default();
            let decoded = sent
                .strip_prefix("Basic ")
                .and_then(|text| BASE64_STANDARD.decode(text).ok());
            let decoded = String::from_utf8(decoded.unwrap_or_default()).unwrap();
            unauthorized(
                Some("Basic realm=fake"),
                &format!("you sent {sent} which is {decoded}"),
            )
        }
        Fault::Compressed => {
            usual
                .headers_mut()
                .insert(CONTENT_ENCODING, "gzip".parse().unwrap());
            usual
        }
        Fault::Headers(all) => {
            for (name, value) in all {
                usual.headers_mut().insert(name, value.parse().unwrap());
            }
            usual
        }
        Fault::ContentDigest(digest) => {
            usual.headers_mut().remove("docker-content-digest");
            if let Some(digest) = digest {
                usual
                    .headers_mut()
                    .insert("docker-content-digest", digest.parse().unwrap());
            }
            usual
        }
    }
}

/// Half of what is promised, and then an end.
fn broken() -> Response<Body> {
    let start = stream::iter([Ok(Bytes::from_static(b"{\"name\":\"x\",\"tags\":["))]);
    let end = stream::once(async {
        // So that the half arrives before the end.
        tokio::time::sleep(Duration::from_millis(20)).await;
        Err(io::Error::other("told to break off"))
    });
    streamed(start.chain(end), Some(1000))
}

fn streamed(
    pieces: impl futures::Stream<Item = io::Result<Bytes>> + Send + Sync + 'static,
    length: Option<u64>,
) -> Response<Body> {
    let body = StreamBody::new(pieces.map(|piece| piece.map(Frame::data)));
    let mut answer = Response::new(BoxBody::new(body));
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, "application/json".parse().unwrap());
    if let Some(length) = length {
        answer.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
    answer
}
