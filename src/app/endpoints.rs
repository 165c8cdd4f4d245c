//! The two plain listeners: health for the kubelet, metrics for Prometheus.

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use std::time::Duration;

use crate::apiserver::health::{Exposition as _, Health};
use crate::serve::{Body, Listener, Peer, Server};
use crate::task::Tasks;
use crate::telemetry::metrics::Metrics;

/// A probe or a scrape that still runs at shutdown may take this long.
const PATIENCE: Duration = Duration::from_secs(1);

/// Serves `/livez`, `/readyz`, `/healthz` and `/version`, to the very end.
pub(super) fn serve_health(listener: Listener, health: Health, tasks: &Tasks) {
    let answer = move |request: Request<Incoming>, _: Peer| {
        let answer = health.handle(&request);
        async move { answer }
    };
    let stop = tasks.shutdown().clone();
    tasks.spawn("health", async move {
        Server::new(listener, answer).run(stop, PATIENCE).await;
    });
}

/// Serves `/metrics`, to the very end.
pub(super) fn serve_metrics(listener: Listener, counted: Metrics, tasks: &Tasks) {
    let answer = move |request: Request<Incoming>, _: Peer| {
        let answer = (readable(&request) && request.uri().path() == "/metrics")
            .then(|| counted.metrics(request.headers()));
        async move { answer.unwrap_or_else(not_found) }
    };
    let stop = tasks.shutdown().clone();
    tasks.spawn("metrics", async move {
        Server::new(listener, answer).run(stop, PATIENCE).await;
    });
}

fn readable(request: &Request<Incoming>) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD)
}

fn not_found() -> Response<Body> {
    with_status(StatusCode::NOT_FOUND, "404 page not found\n")
}

fn with_status(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::full(text));
    *response.status_mut() = status;
    response
}
