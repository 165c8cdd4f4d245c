//! What every request passes through, outermost first: who asks, whether there is room, whether they may, and then the
//! resources. Nothing behind this chain needs to look at a credential, and nothing in front of it knows a kind.
//!
//! ```text
//! audit id, record ► panic guard ► started? ► authn ► in-flight limit ► deadline ► authz ► health │ Resources
//! ```

mod answer;
mod deadline;
mod inflight;
mod record;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::header::{CACHE_CONTROL, HeaderName, HeaderValue, WARNING};
use http::{Method, Request, Response};
use hyper::body::Incoming;

use super::authn::{self, Authenticator, Via};
use super::authz::{Authorizer, Decision, MASTERS};
use super::health::Health;
use super::negotiate::Negotiated;
use super::request_info::{RequestInfo, User, Verb};
use super::review::Failure;
use super::status::Status;
use crate::serve::{Body, Handler, Peer};
use crate::task::panic_text;

use inflight::{InFlight, Kind};
use record::Record;
pub use record::{Labels, Observer, Outcome};

const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");

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
    settings: Settings,
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
        let inflight = InFlight::new(&settings);
        Self {
            authenticator,
            authorizer,
            health,
            resources,
            observer,
            inflight,
            settings,
        }
    }

    /// The 500 of a request whose handler panicked outside of this chain's own guard.
    pub fn panic_answer() -> Response<Body> {
        answer::render(&Status::internal("the request handler panicked"))
    }

    async fn answer(
        &self,
        mut request: Request<Incoming>,
        info: RequestInfo,
        peer: &Peer,
        record: &mut Record,
    ) -> Response<Body> {
        let is_health = is_health(&request, &info);
        if !is_health && !self.health.readiness().has_started() {
            return answer::render(&Status::unavailable("the server is starting", 1));
        }
        let identity = match self
            .authenticator
            .authenticate(request.headers_mut(), peer)
            .await
        {
            Ok(identity) => identity,
            Err(refusal) => return refused(refusal, peer),
        };
        if identity.via == Via::Nothing && peer.is_http2() {
            peer.close_gracefully();
        }
        record.is_from(&identity.user.name);
        let response = self
            .answer_to(request, info, identity.user, is_health, record)
            .await;
        match identity.warning {
            None => response,
            Some(warning) => warned(response, warning),
        }
    }

    async fn answer_to(
        &self,
        request: Request<Incoming>,
        info: RequestInfo,
        user: User,
        is_health: bool,
        record: &mut Record,
    ) -> Response<Body> {
        let kind = Kind::of(&info);
        if !is_health && !user.groups.iter().any(|group| group == MASTERS) {
            match self.inflight.enter(kind) {
                Some(place) => record.hold(place),
                None => return answer::render(&Status::too_many_requests(1)),
            }
        }
        let time = deadline::of(request.uri().query(), self.settings.request_timeout);
        let authorized = self.authorized(request, info, user, is_health);
        match (kind, time) {
            // A watch says by other means how long it is to last.
            (Kind::Watch, _) => authorized.await,
            (Kind::Read | Kind::Write, Ok(time)) => {
                match tokio::time::timeout(time, authorized).await {
                    Ok(response) => response,
                    Err(_) => answer::render(&Status::request_timeout()),
                }
            }
            (Kind::Read | Kind::Write, Err(deadline::Invalid)) => {
                answer::render(&Status::invalid_timeout())
            }
        }
    }

    async fn authorized(
        &self,
        request: Request<Incoming>,
        info: RequestInfo,
        user: User,
        is_health: bool,
    ) -> Response<Body> {
        match self
            .authorizer
            .authorize(&user, &info, request.uri().query())
            .await
        {
            Ok(Decision::Allow) => {}
            Ok(Decision::Deny { reason }) => {
                return answer::render(&Status::forbidden(&user, &info, &reason));
            }
            Err(Failure::Busy) => return answer::render(&Status::too_many_requests(1)),
            Err(failure @ (Failure::Unanswered(_) | Failure::BrokenOff)) => {
                tracing::warn!(
                    error = &failure as &dyn std::error::Error,
                    "Request not authorized for want of an answer"
                );
                return answer::render(&Status::internal(
                    "the authorization of this request could not be checked",
                ));
            }
        }
        if is_health
            && let Some(response) = self.health.answer(
                &info.decoded_path(),
                request.uri().query().unwrap_or_default(),
            )
        {
            return response;
        }
        self.resources.handle(request, info, user).await
    }
}

impl Handler for Chain {
    async fn handle(&self, request: Request<Incoming>, peer: Peer) -> Response<Body> {
        let info = RequestInfo::parse(request.method(), request.uri());
        let audit_id = answer::audit_id(request.headers());
        let negotiated = Negotiated::of_status(request.headers(), request.uri().query());
        let labels = Labels::of(&info, self.settings.served);
        let mut record = Record::start(
            Arc::clone(&self.observer),
            labels,
            &audit_id,
            request.uri().path(),
        );
        let answered = AssertUnwindSafe(self.answer(request, info, &peer, &mut record))
            .catch_unwind()
            .await;
        let mut response = answered.unwrap_or_else(|payload| {
            let panic = panic_text(payload.as_ref());
            tracing::error!(
                panic,
                audit_id = audit_id.to_str().unwrap_or_default(),
                "Request handler panicked"
            );
            self.observer.panicked();
            Self::panic_answer()
        });
        response = answer::told(response, negotiated);
        response.headers_mut().insert(AUDIT_ID, audit_id);
        response
            .headers_mut()
            .entry(CACHE_CONTROL)
            .or_insert(HeaderValue::from_static("no-cache, private"));
        record.answered(response.status());
        response.map(|body| {
            body.guarded(record)
                .broken_off_after(self.settings.stall_timeout)
        })
    }
}

/// Whether the request is answered here. Also before everything is ready, and however full it is.
fn is_health(request: &Request<Incoming>, info: &RequestInfo) -> bool {
    let RequestInfo::NonResource { .. } = info else {
        return false;
    };
    let path = info.decoded_path();
    let first = path
        .trim_start_matches('/')
        .split('/')
        .next()
        .unwrap_or_default();
    matches!(*request.method(), Method::GET | Method::HEAD)
        && matches!(first, "livez" | "readyz" | "healthz" | "version")
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
                | Verb::DeleteCollection => Self::Write,
            },
        }
    }
}
