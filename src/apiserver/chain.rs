//! What every request passes through, outermost first: who asks, whether there is room, whether they may, and then the
//! resources. Nothing behind this chain needs to look at a credential, and nothing in front of it knows a kind.
//!
//! ```text
//! audit id, record ► panic guard ► started? ► closing? ► GOAWAY by chance ► deadline
//!   ► authn ► in-flight limit ► authz ► health, metrics, index │ Resources
//! ```

mod answer;
mod audit;
mod caller;
mod closing;
mod deadline;
mod goaway;
mod inflight;
mod labels;
mod observe;
mod record;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::header::{CACHE_CONTROL, HeaderName, HeaderValue, WARNING};
use http::{Method, Request, Response};
use hyper::body::Incoming;
use jiff::SignedDuration;
use tokio::time::Instant;

use super::authn::{self, Authenticator, Identity, Via};
use super::authz::{Authorizer, Decision, MASTERS};
use super::health::Health;
use super::negotiate::Negotiated;
use super::request_info::{RequestInfo, User, Verb};
use super::review::Failure;
use super::status::Status;
use crate::clock::SharedClock;
use crate::serve::{Body, Handler, Peer};
use crate::task::panic_text;

pub use audit::{Audit, Sink};
pub use closing::{Closing, Manner};
use goaway::Goaway;
use inflight::{InFlight, Kind};
pub use labels::Labels;
pub use observe::{Observer, Outcome, Recognition, Verdict};
use record::Record;

const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");
/// When a client that comes while the server starts should try again.
const STARTING_SECONDS: u32 = 5;

/// What is behind the chain: discovery, documents and resources.
pub trait Resources: Send + Sync + 'static {
    /// The answer to an authorized request. Every credential has been taken out of its headers.
    fn handle(
        &self,
        request: Request<Incoming>,
        info: RequestInfo,
        user: User,
    ) -> BoxFuture<'_, Response<Body>>;
}

/// How much goes on at once, and for how long.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Reading requests in flight; masters, watches and health are not counted (OPS-12).
    pub reads: usize,
    /// Writing requests in flight.
    pub writes: usize,
    /// Watches open.
    pub watches: usize,
    /// Time for a request that is not a watch; clients may ask for less by `?timeout=` (OPS-11).
    pub request_timeout: Duration,
    /// How long a client may take nothing of a list or watch while something of it waits; then it is broken off, so that
    /// its place and its state are free again.
    pub stall_timeout: Duration,
    /// How long an answer that is no watch may take to be sent, once it has begun.
    pub longest_answer: Duration,
    /// How likely a request is to end its HTTP/2 connection in order (OPS-24).
    pub goaway_chance: f64,
    /// Plural names of the served resources: what labels of metrics may say. All others are `other`.
    pub served: &'static [&'static str],
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            reads: 400,
            writes: 200,
            watches: 4096,
            request_timeout: Duration::from_mins(1),
            stall_timeout: Duration::from_mins(1),
            longest_answer: Duration::from_mins(10),
            goaway_chance: 0.0,
            served: &[],
        }
    }
}

/// The chain, ready to be served.
pub struct Chain {
    authenticator: Authenticator,
    authorizer: Authorizer,
    health: Health,
    resources: Arc<dyn Resources>,
    observer: Arc<dyn Observer>,
    inflight: InFlight,
    goaway: Goaway,
    closing: Closing,
    audit: Option<Audit>,
    settings: Settings,
}

/// What the chain answers itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Own {
    /// A probe: answered always, however full it is, and not audited.
    Health,
    /// One check of several: answered always, but to those only who may, as any other request.
    Check,
    /// Answered always.
    Metrics,
    /// Answered before everything is ready.
    Version,
    Index,
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chain")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Chain {
    /// A chain in front of `resources`.
    pub fn new(
        settings: Settings,
        authenticator: Authenticator,
        authorizer: Authorizer,
        health: Health,
        resources: Arc<dyn Resources>,
        observer: Arc<dyn Observer>,
    ) -> Self {
        Self {
            authenticator,
            authorizer,
            health,
            resources,
            observer,
            inflight: InFlight::new(&settings),
            goaway: Goaway::new(settings.goaway_chance),
            closing: Closing::new(),
            audit: None,
            settings,
        }
    }

    /// Comes to its end when `closing` does.
    #[must_use]
    pub fn closed_by(mut self, closing: Closing) -> Self {
        self.closing = closing;
        self
    }

    /// Leaves an audit trail.
    #[must_use]
    pub fn audited(mut self, audit: Option<Audit>) -> Self {
        self.audit = audit;
        self
    }

    /// The 500 of a request whose handler panicked outside of this chain's own guard.
    pub fn panic_answer() -> Response<Body> {
        answer::render(&Status::internal("the request handler panicked"))
    }

    /// Everything that does not depend on who asks.
    async fn answer(
        &self,
        request: Request<Incoming>,
        info: RequestInfo,
        labels: Labels,
        peer: &Peer,
        record: &mut Record,
    ) -> Response<Body> {
        let own = Own::of(&request, &info);
        let always = matches!(own, Some(Own::Health | Own::Check | Own::Metrics));
        let is_early = always || own == Some(Own::Version);
        if !is_early && !self.health.readiness().has_started() {
            let starting = Status::unavailable("the server is starting", STARTING_SECONDS);
            return answer::render(&starting);
        }
        let kind = Kind::of(&info);
        if !always && let Some(refusal) = self.closing.refusal() {
            peer.close_gracefully();
            self.observer.terminated(labels, refusal.code);
            return answer::render(&refusal);
        }
        self.goaway.consider(&request, kind, peer);
        if kind == Kind::Watch {
            record.is_awaited(self.closing.await_watch());
            let answered = self.identified(request, info, labels, own, peer, record);
            // Ends in order when its turn comes.
            return answered
                .await
                .map(|body| body.ended_by(self.closing.turn()));
        }
        if own != Some(Own::Health) {
            record.is_awaited(self.closing.await_request());
        }
        let Ok(time) = deadline::of(request.uri().query(), self.settings.request_timeout) else {
            return answer::render(&Status::invalid_timeout());
        };
        let answered = self.identified(request, info, labels, own, peer, record);
        if let Ok(response) = tokio::time::timeout(time, answered).await {
            return response;
        }
        self.observer.terminated(labels, 504);
        answer::render(&Status::request_timeout())
    }

    async fn identified(
        &self,
        mut request: Request<Incoming>,
        info: RequestInfo,
        labels: Labels,
        own: Option<Own>,
        peer: &Peer,
        record: &mut Record,
    ) -> Response<Body> {
        let identity = match self.identify(&mut request, peer).await {
            Ok(identity) => identity,
            Err(refusal) => return refused(refusal, peer),
        };
        if identity.via == Via::Nothing && peer.is_http2() {
            peer.close_gracefully();
        }
        record.is_from(&identity.user, identity.via == Via::FrontProxy);
        let is_master = identity.user.groups.iter().any(|group| group == MASTERS);
        let is_free = is_master || own == Some(Own::Health);
        let place = (!is_free).then(|| self.inflight.enter(Kind::of(&info)));
        let response = match place {
            Some(None) => {
                self.observer.terminated(labels, 429);
                answer::render(&Status::too_many_requests(1))
            }
            Some(Some(place)) => {
                record.hold(place);
                self.authorized(request, info, identity.user, own, record)
                    .await
            }
            None => {
                self.authorized(request, info, identity.user, own, record)
                    .await
            }
        };
        match identity.warning {
            None => response,
            Some(warning) => warned(response, warning),
        }
    }

    async fn identify(
        &self,
        request: &mut Request<Incoming>,
        peer: &Peer,
    ) -> Result<Identity, authn::Refusal> {
        let began = Instant::now();
        let identity = self
            .authenticator
            .authenticate(request.headers_mut(), peer)
            .await;
        let recognition = match &identity {
            Ok(identity) if identity.via == Via::Nothing => None,
            Ok(identity) => Some(Recognition::User(observe::class_of(&identity.user.name))),
            Err(authn::Refusal::Impersonation) => None,
            Err(_) => Some(Recognition::Error),
        };
        if let Some(recognition) = recognition {
            self.observer.recognised(recognition, began.elapsed());
        }
        if let Ok(identity) = &identity
            && matches!(identity.via, Via::FrontProxy | Via::Certificate)
            && let Some(end) = peer.certificates().and_then(|chain| chain.not_after())
        {
            let left = self
                .clock()
                .now()
                .duration_until(end)
                .max(SignedDuration::ZERO);
            self.observer.certificate_ends_in(left.unsigned_abs());
        }
        identity
    }

    fn clock(&self) -> &SharedClock {
        self.authenticator.clock()
    }

    async fn authorized(
        &self,
        request: Request<Incoming>,
        info: RequestInfo,
        user: User,
        own: Option<Own>,
        record: &mut Record,
    ) -> Response<Body> {
        let began = Instant::now();
        let decided = self
            .authorizer
            .authorize(&user, &info, request.uri().query())
            .await;
        let verdict = match &decided {
            Ok(Decision::Allow) => Verdict::Allowed,
            Ok(Decision::Deny { .. }) => Verdict::Denied,
            Err(_) => Verdict::Error,
        };
        self.observer.judged(verdict, began.elapsed());
        match decided {
            Ok(Decision::Allow) => record.annotate(DECISION, "allow"),
            Ok(Decision::Deny { reason }) => {
                record.annotate(DECISION, "forbid");
                record.annotate(REASON, &reason);
                return answer::render(&Status::forbidden(&user, &info, &reason));
            }
            Err(Failure::Busy) => return answer::render(&Status::too_many_requests(1)),
            Err(failure @ (Failure::Unanswered(_) | Failure::BrokenOff)) => {
                record.annotate(REASON, "the authorization could not be checked");
                tracing::warn!(
                    error = &failure as &dyn std::error::Error,
                    "Request not authorized for want of an answer"
                );
                return answer::render(&Status::internal(
                    "the authorization of this request could not be checked",
                ));
            }
        }
        if own.is_some() {
            let (path, query) = (info.decoded_path(), request.uri().query());
            let query = query.unwrap_or_default();
            if let Some(response) = self.health.answer_all(&path, query, request.headers()) {
                return response;
            }
        }
        self.resources.handle(request, info, user).await
    }
}

/// Keys of the audit trail (AUTHZ-9).
const DECISION: &str = "authorization.k8s.io/decision";
const REASON: &str = "authorization.k8s.io/reason";

impl Handler for Chain {
    async fn handle(&self, request: Request<Incoming>, peer: Peer) -> Response<Body> {
        let info = RequestInfo::parse(request.method(), request.uri());
        let audit_id = answer::audit_id(request.headers());
        let negotiated = Negotiated::of_status(request.headers(), request.uri().query());
        let labels = Labels::of(&info, request.uri().query(), self.settings.served);
        let is_health = Own::of(&request, &info) == Some(Own::Health);
        let goes_on = Kind::of(&info) == Kind::Watch;
        // Probes come every few seconds and would be most of the trail.
        let audit = self.audit.as_ref().filter(|_| !is_health);
        let mut record = Record::start(
            &self.observer,
            audit,
            labels,
            &audit_id,
            &request,
            &info,
            &peer,
        );
        let answered = AssertUnwindSafe(self.answer(request, info, labels, &peer, &mut record))
            .catch_unwind()
            .await;
        let mut response = answered.unwrap_or_else(|payload| {
            let panic = panic_text(payload.as_ref());
            tracing::error!(
                panic,
                audit_id = caller::clean(&String::from_utf8_lossy(audit_id.as_bytes()), 64),
                "Request handler panicked"
            );
            self.observer.panicked();
            record.has_panicked();
            Self::panic_answer()
        });
        response = answer::told(response, negotiated);
        response.headers_mut().insert(AUDIT_ID, audit_id);
        response
            .headers_mut()
            .entry(CACHE_CONTROL)
            .or_insert(HeaderValue::from_static("no-cache, private"));
        let status = response.status();
        record.answered(
            status,
            goes_on && !status.is_client_error() && !status.is_server_error(),
        );
        response.map(|body| {
            let body = if goes_on {
                body
            } else {
                body.lasting_at_most(self.settings.longest_answer)
            };
            body.guarded(record)
                .broken_off_after(self.settings.stall_timeout)
        })
    }
}

impl Own {
    fn of<B>(request: &Request<B>, info: &RequestInfo) -> Option<Self> {
        let RequestInfo::NonResource { .. } = info else {
            return None;
        };
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return None;
        }
        let path = info.decoded_path();
        let path = path.strip_prefix('/')?;
        match path.split_once('/').map_or(path, |(first, _)| first) {
            "livez" | "readyz" | "healthz" if path.contains('/') => Some(Self::Check),
            "livez" | "readyz" | "healthz" => Some(Self::Health),
            "" if path.is_empty() => Some(Self::Index),
            "metrics" if path == "metrics" => Some(Self::Metrics),
            "version" => Some(Self::Version),
            _ => None,
        }
    }
}

/// Those who have shown nothing that holds do not get to pile up requests on one connection (AUTHN-9).
fn refused(refusal: authn::Refusal, peer: &Peer) -> Response<Body> {
    match refusal {
        authn::Refusal::Unauthorized => {
            if peer.is_http2() {
                peer.close_gracefully();
            }
            answer::render(&Status::unauthorized())
        }
        authn::Refusal::Impersonation => answer::render(&Status::impersonation_refused()),
        authn::Refusal::Busy => answer::render(&Status::too_many_requests(1)),
    }
}

fn warned(mut response: Response<Body>, warning: &'static str) -> Response<Body> {
    if let Ok(value) = HeaderValue::try_from(format!("299 - {warning:?}")) {
        response.headers_mut().append(WARNING, value);
    }
    response
}

impl Kind {
    fn of(info: &RequestInfo) -> Self {
        match info {
            RequestInfo::NonResource { verb, .. } => {
                if matches!(verb.as_str(), "get" | "head") {
                    Self::Read
                } else {
                    Self::Write
                }
            }
            RequestInfo::Resource(request) => match request.verb {
                Verb::Watch => Self::Watch,
                Verb::Get | Verb::List => Self::Read,
                Verb::Create
                | Verb::Update
                | Verb::Patch
                | Verb::Delete
                | Verb::DeleteCollection
                | Verb::Unknown => Self::Write,
            },
        }
    }
}
