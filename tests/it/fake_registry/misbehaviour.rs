//! The answers of a registry that has been told to do wrong.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, stream};
use http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, RETRY_AFTER,
};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::BodyExt as _;

use super::faults::Fault;
use super::log::Request;
use super::meter::time_for;
use super::replies::{
    Body, body_of, empty, error, json, redirect, refusal, set, streamed, unauthorized, whole,
    whole_body, with_link,
};

/// Does `fault` instead of, or to, the `usual` answer.
pub(super) async fn misbehave(
    fault: Fault,
    mut usual: Response<Body>,
    entry: &Request,
    headers: &HeaderMap,
    wants_reset: &Arc<AtomicBool>,
) -> io::Result<Response<Body>> {
    let host = &entry.host;
    let uri = format!(
        "{}{}{}",
        entry.path,
        if entry.query.is_empty() { "" } else { "?" },
        entry.query
    );
    Ok(match fault {
        Fault::Status(status) | Fault::CommitThen(status) => {
            refusal(status, "UNKNOWN", "told to fail")
        }
        Fault::Code(status, code) => refusal(status, code, "told to fail"),
        Fault::Says(status, code, words) => refusal(status, code, words),
        Fault::Bare(status) => empty(StatusCode::from_u16(status).unwrap()),
        Fault::HtmlStatus(status) => {
            let mut answer = page("<!DOCTYPE html><html><body>Something went wrong</body></html>");
            *answer.status_mut() = StatusCode::from_u16(status).unwrap();
            answer
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
        Fault::Html => page("<!DOCTYPE html><html><body>Please sign in</body></html>"),
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
            let scheme = if entry.listener.is_tls() {
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
        Fault::NoDigestHeader => {
            usual.headers_mut().remove("docker-content-digest");
            usual
        }
        Fault::ContentDigest(digest) => {
            usual.headers_mut().remove("docker-content-digest");
            if let Some(digest) = digest {
                set(&mut usual, "docker-content-digest", &digest);
            }
            usual
        }
        Fault::ContentType(kind) => {
            set(&mut usual, CONTENT_TYPE.as_str(), kind);
            usual
        }
        Fault::Location(place) => {
            usual.headers_mut().remove(LOCATION);
            if !place.is_empty() {
                set(&mut usual, LOCATION.as_str(), &place);
            }
            usual
        }
        Fault::TruncateAt(bytes) => cut(usual, bytes, Cut::End).await,
        Fault::ResetAt(bytes) => cut(usual, bytes, Cut::Reset(Arc::clone(wants_reset))).await,
        Fault::StallAt(bytes) => cut(usual, bytes, Cut::Stall).await,
        Fault::ContentLength(length) => {
            let (mut answer, body) = taken(usual).await;
            answer.headers_mut().insert(CONTENT_LENGTH, length.into());
            if length > body.len() as u64 {
                answer.map(|()| then_end(body, Cut::End))
            } else {
                answer.map(|()| body_of(stream::iter([Ok(body)])))
            }
        }
        Fault::WrongBytes => {
            let (answer, body) = taken(usual).await;
            let mut body = BytesMut::from(body);
            let middle = body.len() / 2;
            if let Some(byte) = body.get_mut(middle) {
                *byte ^= 0x55;
            }
            answer.map(|()| whole_body(body.freeze()))
        }
        Fault::TooLong => {
            usual.headers_mut().remove(CONTENT_LENGTH);
            let (mut answer, body) = taken(usual).await;
            answer.headers_mut().remove(CONTENT_LENGTH);
            let more = Bytes::from(vec![b'x'; 64 << 10]);
            answer.map(|()| body_of(stream::iter([Ok(body), Ok(more)])))
        }
        Fault::SlowBody(per_second) => {
            let (answer, body) = taken(usual).await;
            // Pieces of a twentieth of a second.
            let size = usize::try_from(per_second / 20).unwrap().max(1);
            let pieces: Vec<Bytes> = body.chunks(size).map(Bytes::copy_from_slice).collect();
            answer.map(|()| {
                body_of(stream::iter(pieces).then(move |piece| async move {
                    tokio::time::sleep(time_for(piece.len() as u64, per_second)).await;
                    Ok(piece)
                }))
            })
        }
        Fault::CommitThenReset | Fault::ResetAfter(_) => {
            wants_reset.store(true, Ordering::SeqCst);
            return Err(io::Error::other("told to break off"));
        }
        // Done where the work is.
        Fault::ResetHead
        | Fault::HangHead
        | Fault::Unread(_)
        | Fault::StallReading(_)
        | Fault::PauseReading(..)
        | Fault::SlowReading(_)
        | Fault::RangeIgnored
        | Fault::RangeShifted
        | Fault::SessionLost
        | Fault::PatchStatus(_)
        | Fault::MountForbidden(_)
        | Fault::MountAcceptedButMissing => usual,
    })
}

fn page(text: &'static str) -> Response<Body> {
    let mut answer = whole(StatusCode::OK, text.into());
    set(
        &mut answer,
        CONTENT_TYPE.as_str(),
        "text/html; charset=utf-8",
    );
    answer
}

/// An answer and all of its body, with the length of that as Content-Length.
async fn taken(answer: Response<Body>) -> (Response<()>, Bytes) {
    let (mut parts, body) = answer.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    parts.headers.insert(CONTENT_LENGTH, body.len().into());
    (Response::from_parts(parts, ()), body)
}

/// What comes after the part of a body that is sent.
enum Cut {
    End,
    Reset(Arc<AtomicBool>),
    Stall,
}

/// The beginning of a body, all of which is promised.
async fn cut(usual: Response<Body>, bytes: u64, end: Cut) -> Response<Body> {
    let (answer, mut body) = taken(usual).await;
    body.truncate(usize::try_from(bytes).unwrap_or(usize::MAX));
    answer.map(|()| then_end(body, end))
}

/// A body whose end is not its own.
fn then_end(body: Bytes, end: Cut) -> Body {
    let start = stream::iter([Ok(body)]);
    let end = stream::once(async move {
        // So that the part arrives before the end.
        tokio::time::sleep(Duration::from_millis(20)).await;
        match end {
            Cut::End => {}
            Cut::Reset(wants_reset) => wants_reset.store(true, Ordering::SeqCst),
            Cut::Stall => std::future::pending().await,
        }
        Err(io::Error::other("told to break off"))
    });
    body_of(start.chain(end))
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
