//! What every request to kube-apiserver passes on its way out: the throttle, the gate, and somebody who counts.
//!
//! The gate is what makes "it writes nothing" true whatever the controllers do: while it is shut, no write to Flux's kinds
//! and no Event leaves the process. Mirrors write through a gate of their own, which never lets a write to Flux's kinds through.

use std::fmt::Debug;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use tokio::time::Instant;
use tower::{BoxError, Layer, Service};

use super::throttle::Throttle;
use crate::api::names;

/// The header by which an API server with Priority & Fairness is recognized.
const FLOW_SCHEMA: &str = "x-kubernetes-pf-flowschema-uid";

/// How soon an API server that did not answer is asked again whether it has Priority & Fairness.
const PROBE_AGAIN: Duration = Duration::from_secs(10);

/// Is told of every answer.
pub trait Observer: Send + Sync + Debug {
    /// A request of `method` was answered with `code`, or not at all.
    fn answered(&self, method: &Method, code: Option<u16>);
}

/// What may be written now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// Nothing of Flux's.
    Shut,
    /// Everything, until this moment.
    Until(Instant),
    /// Everything.
    Wide,
}

impl Opening {
    /// Whether anything may be written now.
    #[must_use]
    pub fn is_open(self) -> bool {
        match self {
            Self::Shut => false,
            Self::Until(moment) => Instant::now() < moment,
            Self::Wide => true,
        }
    }

    /// What may be written where both are asked for.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Shut, _) | (_, Self::Shut) => Self::Shut,
            (Self::Wide, other) | (other, Self::Wide) => other,
            (Self::Until(one), Self::Until(other)) => Self::Until(one.min(other)),
        }
    }
}

/// Lets writes through, or does not. Shut at first; clones are one gate.
#[derive(Debug, Clone)]
pub struct Gate {
    opening: Arc<Mutex<Opening>>,
    holds: Holds,
}

/// Which writes a gate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    /// Those of Flux's kinds, and Events.
    Fluxs,
    /// Those of mirrors: their kind, Events, and the ConfigMaps of what they own.
    Mirrors,
}

impl Default for Gate {
    /// Holds writes of Flux's kinds and Events.
    fn default() -> Self {
        Self::new(Holds::Fluxs)
    }
}

impl Gate {
    fn new(holds: Holds) -> Self {
        Self {
            opening: Arc::new(Mutex::new(Opening::Shut)),
            holds,
        }
    }

    /// Holds what mirrors write; nothing of Flux's passes it, ever.
    pub fn of_mirrors() -> Self {
        Self::new(Holds::Mirrors)
    }

    /// Says what may be written from now on.
    pub fn set(&self, opening: Opening) {
        *self.opening.lock() = opening;
    }

    fn admits<B>(&self, request: &Request<B>) -> bool {
        if matches!(*request.method(), Method::GET | Method::HEAD) {
            return true;
        }
        let whose = Whose::of(request.uri().path());
        match (self.holds, whose) {
            (Holds::Fluxs, Whose::Mirrors | Whose::Others) | (Holds::Mirrors, Whose::Others) => {
                true
            }
            (Holds::Mirrors, Whose::Fluxs) => false,
            (Holds::Fluxs, Whose::Fluxs | Whose::Events)
            | (Holds::Mirrors, Whose::Mirrors | Whose::Events) => self.opening.lock().is_open(),
        }
    }
}

/// Who writes to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// Flux's controller.
    Fluxs,
    /// Mirrors.
    Mirrors,
    /// Whoever has something to tell.
    Events,
    /// Others.
    Others,
}

impl Whose {
    fn of(path: &str) -> Self {
        let mut segments = path.trim_start_matches('/').split('/');
        match (segments.next(), segments.next()) {
            (Some("apis"), Some(group)) => match group {
                names::IMAGE_GROUP => Self::Fluxs,
                names::MIRROR_GROUP => Self::Mirrors,
                "events.k8s.io" => Self::Events,
                _ => Self::Others,
            },
            // `/api/v1/namespaces/<namespace>/<resource>`
            (Some("api"), Some(_)) => match segments.nth(2) {
                Some("events") => Self::Events,
                Some("configmaps") => Self::Mirrors,
                Some(_) | None => Self::Others,
            },
            _ => Self::Others,
        }
    }
}

/// A write that came too late.
#[derive(Debug, thiserror::Error)]
#[error("not written: this process does not lead")]
pub struct Shut;

/// The layer.
#[derive(Debug, Clone)]
pub(super) struct Outgoing {
    pub(super) gate: Gate,
    pub(super) throttle: Throttle,
    pub(super) observer: Arc<dyn Observer>,
}

impl<S> Layer<S> for Outgoing {
    type Service = Passing<S>;

    fn layer(&self, inner: S) -> Passing<S> {
        Passing {
            inner,
            through: self.clone(),
        }
    }
}

/// The service under the layer.
#[derive(Debug)]
pub(super) struct Passing<S> {
    inner: S,
    through: Outgoing,
}

impl<S, B> Service<Request<Body>> for Passing<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
{
    type Response = Response<B>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<B>, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        std::task::ready!(self.through.throttle.poll_free(cx));
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if !self.through.gate.admits(&request) {
            return async { Err(Shut.into()) }.boxed();
        }
        self.through.throttle.take();
        let observer = self.through.observer.clone();
        let method = request.method().clone();
        let answer = self.inner.call(request);
        async move {
            let answer = answer.await.map_err(Into::into);
            let code = answer.as_ref().ok().map(|answer| answer.status().as_u16());
            observer.answered(&method, code);
            answer
        }
        .boxed()
    }
}

/// Lifts `throttle` for good if the API server protects itself by Priority & Fairness; asks until there is an answer.
pub(super) async fn lift_if_fair(client: &Client, throttle: &Throttle) {
    loop {
        let mut probe = Request::new(Body::empty());
        *probe.method_mut() = Method::HEAD;
        *probe.uri_mut() = http::Uri::from_static("/livez/ping");
        match client.send(probe).await {
            Ok(answer) if answer.headers().contains_key(FLOW_SCHEMA) => return throttle.lift(),
            Ok(_) => return,
            Err(error) => {
                tracing::debug!(
                    error = super::super::with_causes(&error),
                    "Not known yet whether the API server has Priority & Fairness"
                );
                tokio::time::sleep(PROBE_AGAIN).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_gate_of_mirrors_holds_what_they_write_and_never_lets_fluxs_through() {
        let gate = Gate::of_mirrors();
        let admits = |method: Method, path: &str| {
            let request = Request::builder()
                .method(method)
                .uri(path)
                .body(())
                .unwrap();
            gate.admits(&request)
        };
        let status = "/apis/mirror.tagscope.dev/v1alpha1/namespaces/a/imagemirrors/b/status";
        let fluxs = "/apis/image.toolkit.fluxcd.io/v1/namespaces/a/imagerepositories/b/status";
        let held = [
            status,
            "/api/v1/namespaces/a/events",
            "/apis/events.k8s.io/v1/namespaces/a/events",
            "/api/v1/namespaces/a/configmaps/b",
        ];
        let lease = "/apis/coordination.k8s.io/v1/namespaces/a/leases/b";
        for (opening, expected) in [
            (Opening::Shut, false),
            (Opening::Until(Instant::now()), false),
            (Opening::Wide, true),
        ] {
            gate.set(opening);
            for path in held {
                assert_eq!(admits(Method::PATCH, path), expected, "{opening:?} {path}");
            }
            assert!(!admits(Method::PATCH, fluxs), "{opening:?}");
            assert!(admits(Method::GET, fluxs) && admits(Method::PUT, lease));
        }
    }

    #[test]
    fn two_openings_are_the_narrower_one() {
        let soon = Instant::now();
        let (soon, later) = (
            Opening::Until(soon),
            Opening::Until(soon + Duration::from_secs(1)),
        );
        for (one, other, both) in [
            (Opening::Shut, Opening::Wide, Opening::Shut),
            (Opening::Shut, soon, Opening::Shut),
            (Opening::Wide, Opening::Wide, Opening::Wide),
            (Opening::Wide, later, later),
            (soon, later, soon),
        ] {
            assert_eq!((one.and(other), other.and(one)), (both, both));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_writes_of_fluxs_are_held_back_and_only_while_it_is_shut() {
        let gate = Gate::default();
        let admits = |method: Method, path: &str| {
            let request = Request::builder()
                .method(method)
                .uri(path)
                .body(())
                .unwrap();
            gate.admits(&request)
        };
        let status = "/apis/image.toolkit.fluxcd.io/v1/namespaces/a/imagepolicies/b/status";
        let rows = [
            (Method::PATCH, status, false),
            (Method::GET, status, true),
            (Method::POST, "/api/v1/namespaces/a/events", false),
            (Method::PATCH, "/api/v1/namespaces/a/events/b", false),
            (
                Method::POST,
                "/apis/events.k8s.io/v1/namespaces/a/events",
                false,
            ),
            (
                Method::PUT,
                "/api/v1/namespaces/a/secrets/tagscope-ca",
                true,
            ),
            (
                Method::PUT,
                "/apis/coordination.k8s.io/v1/namespaces/a/leases/b",
                true,
            ),
            (
                Method::POST,
                "/apis/authentication.k8s.io/v1/tokenreviews",
                true,
            ),
        ];
        for (method, path, expected) in rows {
            assert_eq!(admits(method.clone(), path), expected, "{method} {path}");
        }
        gate.set(Opening::Until(Instant::now() + Duration::from_secs(30)));
        assert!(admits(Method::PATCH, status));
        tokio::time::advance(Duration::from_secs(31)).await;
        assert!(!admits(Method::PATCH, status), "nobody had to shut it");
        gate.set(Opening::Wide);
        assert!(admits(Method::PATCH, status));
    }
}
