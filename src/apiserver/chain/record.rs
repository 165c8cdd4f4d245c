//! What is remembered of a request: one debug log line (OPS-15), one observation and the audit trail, written when its
//! answer's body is sent, or broken off. A request that never got an answer is recorded as such, never as a success.

use std::sync::Arc;

use http::{HeaderValue, Request, StatusCode};
use tokio::time::Instant;

use super::audit::{Audit, Stage, Trail};
use super::caller::{self, Caller};
use super::closing::Awaited;
use super::inflight::Place;
use super::labels::Labels;
use super::observe::{Observer, Outcome};
use crate::apiserver::request_info::{RequestInfo, User};
use crate::serve::{Guard, Peer};

/// Characters of an audit id in the log.
const AUDIT_ID: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Whole,
    BrokenOff,
}

/// One request's record, written when it is dropped. A watch holds it for as long as it lasts.
pub(super) struct Record {
    observer: Arc<dyn Observer>,
    labels: Labels,
    started: Instant,
    code: Option<u16>,
    bytes: u64,
    /// How the body ended; nothing when the client went away before.
    end: Option<End>,
    has_panicked: bool,
    place: Option<Place>,
    awaited: Option<Awaited>,
    /// What is told of the request, where somebody will read it.
    told: Option<Box<Told>>,
}

/// What the debug log and the audit trail say of a request, besides how it went.
struct Told {
    audit_id: Box<str>,
    /// Path and query.
    target: String,
    caller: Caller,
    user: Box<str>,
    groups: usize,
    is_forwarded: bool,
    trail: Option<Trail>,
}

impl Record {
    pub(super) fn start<B>(
        observer: &Arc<dyn Observer>,
        audit: Option<&Audit>,
        labels: Labels,
        audit_id: &HeaderValue,
        request: &Request<B>,
        info: &RequestInfo,
        peer: &Peer,
    ) -> Self {
        observer.started(labels);
        let is_read = audit.is_some() || tracing::enabled!(tracing::Level::DEBUG);
        Self {
            observer: Arc::clone(observer),
            labels,
            started: Instant::now(),
            code: None,
            bytes: 0,
            end: None,
            has_panicked: false,
            place: None,
            awaited: None,
            told: is_read.then(|| Box::new(Told::of(audit, audit_id, request, info, peer))),
        }
    }

    /// Says who asks; `is_forwarded` when the front proxy says so.
    pub(super) fn is_from(&mut self, user: &User, is_forwarded: bool) {
        if let Some(told) = &mut self.told {
            told.is_from(user, is_forwarded);
        }
    }

    /// Adds to the audit trail.
    pub(super) fn annotate(&mut self, key: &'static str, value: &str) {
        if let Some(trail) = self.trail() {
            trail.annotate(key, value);
        }
    }

    /// Keeps `place` until the request is over.
    pub(super) fn hold(&mut self, place: Place) {
        self.place = Some(place);
    }

    /// Is waited for until the request is over.
    pub(super) fn is_awaited(&mut self, awaited: Awaited) {
        self.awaited = Some(awaited);
    }

    pub(super) fn has_panicked(&mut self) {
        self.has_panicked = true;
    }

    /// The head of the answer is about to be sent; of one that goes on for long that is a stage of its own.
    pub(super) fn answered(&mut self, code: StatusCode, goes_on: bool) {
        let code = Some(code.as_u16());
        self.code = code;
        if let Some(trail) = self.trail().filter(|_| goes_on) {
            trail.tell(Stage::ResponseStarted, code);
        }
    }

    fn trail(&mut self) -> Option<&mut Trail> {
        self.told.as_mut()?.trail.as_mut()
    }
}

impl Told {
    fn of<B>(
        audit: Option<&Audit>,
        audit_id: &HeaderValue,
        request: &Request<B>,
        info: &RequestInfo,
        peer: &Peer,
    ) -> Self {
        let target = caller::target(request.uri());
        let id = String::from_utf8_lossy(audit_id.as_bytes());
        Self {
            trail: audit.map(|audit| audit.begin(&id, &target, info)),
            audit_id: id.into(),
            target,
            caller: Caller::of(request.headers(), peer.address()),
            user: Box::default(),
            groups: 0,
            is_forwarded: false,
        }
    }

    fn is_from(&mut self, user: &User, is_forwarded: bool) {
        self.user = user.name.as_str().into();
        self.groups = user.groups.len();
        self.is_forwarded = is_forwarded;
        if let Some(trail) = &mut self.trail {
            let addresses = self.caller.addresses(is_forwarded);
            trail.is_from(user, &addresses, &self.caller.agent());
        }
    }

    fn end(&mut self, verb: &str, outcome: Outcome, has_panicked: bool) {
        tracing::debug!(
            audit_id = caller::clean(&self.audit_id, AUDIT_ID),
            verb,
            path = self.target,
            user = caller::clean(&self.user, caller::TEXT),
            groups = self.groups,
            addresses = ?self.caller.addresses(self.is_forwarded),
            agent = self.caller.agent(),
            code = outcome.code,
            duration = ?outcome.duration,
            bytes = outcome.bytes,
            complete = outcome.complete,
            "Request ended"
        );
        if let Some(trail) = &mut self.trail {
            if self.user.is_empty() {
                trail.comes_from(&self.caller.addresses(false), &self.caller.agent());
            }
            let stage = if has_panicked {
                Stage::Panic
            } else {
                Stage::ResponseComplete
            };
            trail.tell(stage, outcome.code);
        }
    }
}

impl Guard for Record {
    fn wrote(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes as u64);
    }

    fn ended(&mut self) {
        self.end = Some(End::Whole);
    }

    fn panicked(&mut self) {
        self.observer.panicked();
        self.has_panicked = true;
    }

    fn broken_off(&mut self) {
        self.end = Some(End::BrokenOff);
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let outcome = Outcome {
            code: self.code,
            duration: self.started.elapsed(),
            bytes: self.bytes,
            complete: self.end == Some(End::Whole),
            aborted: self.end == Some(End::BrokenOff),
        };
        if let Some(told) = &mut self.told {
            told.end(self.labels.verb, outcome, self.has_panicked);
        }
        self.observer.finished(self.labels, outcome);
    }
}
