//! What the registry and its store answer: each request through access, faults and work.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONNECTION, HeaderValue, RANGE};
use http::{HeaderMap, Method, Response, StatusCode};
use hyper::body::Incoming;

use super::Shared;
use super::access;
use super::blobs;
use super::faults::{Fault, scripted};
use super::listener::Connection;
use super::lists;
use super::log::{Request, Route};
use super::manifests;
use super::meter::{Intake, Ticket};
use super::misbehaviour;
use super::replies::{Body, empty, error, json, refusal};
use super::state::State;
use super::uploads::Step;

/// Answers one request; an error: the connection ends without an answer.
pub(super) async fn answer(
    connection: &Connection,
    shared: &Arc<Shared>,
    request: hyper::Request<Incoming>,
) -> io::Result<Response<Body>> {
    let (mut parts, body) = request.into_parts();
    let entry = Request::of(connection.listener, connection.has_certificate, &parts);
    let (ticket, latency, met) = {
        let mut state = shared.state.lock();
        let number = state.book.begin(entry.clone());
        access::remember(&mut state, &parts.headers);
        let met = meet(&mut state, shared, &entry, &parts.headers);
        (
            Ticket::new(shared, number, entry.route),
            state.options.latency,
            met,
        )
    };
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    let fault = match &met {
        Met::Nothing | Met::Refused(_) => None,
        Met::Fault(fault) => Some(fault),
    };
    let mut intake = Intake::new(body, &ticket, &connection.wants_reset, fault);
    let fault = match met {
        Met::Nothing => None,
        Met::Refused(answer) => {
            intake.drain().await?;
            return Ok(ticket.stamp(answer));
        }
        Met::Fault(fault) => Some(fault),
    };
    match &fault {
        Some(Fault::ResetHead) => {
            connection.wants_reset.store(true, Ordering::SeqCst);
            return Err(io::Error::other("told to break off"));
        }
        Some(Fault::HangHead) => std::future::pending().await,
        Some(Fault::Unread(status)) => {
            let mut answer = refusal(*status, "UNKNOWN", "told to fail at once");
            answer
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
            return Ok(ticket.stamp(answer));
        }
        Some(Fault::RangeIgnored) => {
            parts.headers.remove(RANGE);
        }
        Some(Fault::RangeShifted) => shift(&mut parts.headers),
        _ => {}
    }
    let is_write = entry.method != Method::GET && entry.method != Method::HEAD;
    let usual = if is_write && fault.as_ref().is_some_and(Fault::replaces_answer) {
        intake.drain().await?;
        empty(StatusCode::OK)
    } else {
        usual(shared, &entry, &parts.headers, fault.as_ref(), &mut intake).await?
    };
    let answer = match fault {
        None => usual,
        Some(fault) => {
            misbehaviour::misbehave(
                fault,
                usual,
                &entry,
                &parts.headers,
                &connection.wants_reset,
            )
            .await?
        }
    };
    Ok(ticket.stamp(answer))
}

/// What a request meets before anything is done.
enum Met {
    Nothing,
    Refused(Response<Body>),
    Fault(Fault),
}

fn meet(state: &mut State, shared: &Shared, entry: &Request, headers: &HeaderMap) -> Met {
    let place = entry.place();
    if entry.listener.is_store() {
        // What a signed address is answered with when a credential comes besides.
        if headers.contains_key(AUTHORIZATION) {
            let message = "only one way to authenticate is allowed";
            return Met::Refused(error(StatusCode::BAD_REQUEST, "InvalidArgument", message));
        }
        let found = scripted(&mut state.scripts, false, &entry.method, &place);
        return found.map_or(Met::Nothing, Met::Fault);
    }
    let is_early = state
        .faults
        .front()
        .or(state.standing_fault.as_ref())
        .is_some_and(Fault::is_early);
    if !is_early {
        if let Some(fault) = scripted(&mut state.scripts, true, &entry.method, &place) {
            return Met::Fault(fault);
        }
        if let Some(challenge) = access::authenticate(state, shared, entry, headers) {
            return Met::Refused(challenge);
        }
    }
    let queued = state
        .faults
        .pop_front()
        .or_else(|| state.standing_fault.clone());
    let found = queued.or_else(|| scripted(&mut state.scripts, false, &entry.method, &place));
    found.map_or(Met::Nothing, Met::Fault)
}

/// Moves what is asked for by one byte.
fn shift(headers: &mut HeaderMap) {
    let asked = headers.get(RANGE).and_then(|value| value.to_str().ok());
    if let Some((first, last)) = asked.and_then(|text| blobs::range(text, u64::MAX)) {
        let last = if last == u64::MAX {
            String::new()
        } else {
            last.to_string()
        };
        let shifted = format!("bytes={}-{last}", first + 1);
        headers.insert(RANGE, shifted.parse().unwrap());
    }
}

/// What a registry in good health answers.
async fn usual(
    shared: &Arc<Shared>,
    entry: &Request,
    headers: &HeaderMap,
    fault: Option<&Fault>,
    intake: &mut Intake,
) -> io::Result<Response<Body>> {
    let path = if entry.listener.is_store() {
        entry.path.strip_prefix("/store").unwrap_or_default()
    } else {
        &entry.path
    };
    let rest = path.strip_prefix("/v2/");
    if entry.route == Route::Upload
        && let Some((name, id)) = rest.and_then(|rest| rest.split_once("/blobs/uploads/"))
    {
        let step = Step {
            shared,
            entry,
            headers,
            fault,
            name,
            id,
        };
        return step.answer(intake).await;
    }
    let body = intake.whole().await?;
    let mut state = shared.state.lock();
    Ok(match rest {
        Some(rest) => at_once(&mut state, shared, entry, rest, headers, body),
        None => nowhere(),
    })
}

/// The same, of what needs no more waiting.
fn at_once(
    state: &mut State,
    shared: &Shared,
    entry: &Request,
    rest: &str,
    headers: &HeaderMap,
    body: Bytes,
) -> Response<Body> {
    if let Some((name, digest)) = rest.split_once("/blobs/") {
        return blobs::answer(state, shared, entry, name, digest, headers);
    }
    if entry.listener.is_store() {
        return nowhere();
    }
    if rest.is_empty() {
        return json(StatusCode::OK, "{}".to_owned());
    }
    if let Some(name) = rest.strip_suffix("/tags/list") {
        let answer = lists::list(state, entry, name);
        return lists::conditional(state, entry, name, headers, answer);
    }
    if let Some((name, reference)) = rest.split_once("/manifests/") {
        return manifests::answer(state, entry, name, reference, headers, body);
    }
    if let Some((name, digest)) = rest.split_once("/referrers/") {
        return manifests::referrers(state, entry, name, digest);
    }
    nowhere()
}

fn nowhere() -> Response<Body> {
    error(StatusCode::NOT_FOUND, "UNSUPPORTED", "no such place")
}
