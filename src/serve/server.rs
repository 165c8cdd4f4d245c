//! The accept loop, its connections, and their orderly end.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::FutureExt as _;
use http::header::CONTENT_LENGTH;
use http::{Method, Request, Response, StatusCode};
use hyper::body::{Body as _, Incoming};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{Body, Limits, Listener, Peer, Tls, connection};
use crate::task::{Group, Outcome, panic_text};

/// Answers requests. Dropped in the middle when the client goes away.
pub trait Handler: Send + Sync + 'static {
    /// The answer to one request of `peer`.
    fn handle(
        &self,
        request: Request<Incoming>,
        peer: Peer,
    ) -> impl Future<Output = Response<Body>> + Send;
}

impl<F, Fut> Handler for F
where
    F: Fn(Request<Incoming>, Peer) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Response<Body>> + Send,
{
    fn handle(
        &self,
        request: Request<Incoming>,
        peer: Peer,
    ) -> impl Future<Output = Response<Body>> + Send {
        self(request, peer)
    }
}

/// What a client is told when the handler panicked. It must not tell why.
pub type PanicAnswer = fn() -> Response<Body>;

/// What a server counted. Read by metrics.
#[derive(Debug, Default)]
pub struct Stats {
    open: AtomicU64,
    accepted: AtomicU64,
    handshakes_failed: AtomicU64,
    panics: AtomicU64,
}

impl Stats {
    /// Connections open now, handshakes included.
    pub fn open_connections(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }

    /// Connections ever accepted.
    pub fn accepted_connections(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// TLS handshakes that failed or took too long.
    pub fn failed_handshakes(&self) -> u64 {
        self.handshakes_failed.load(Ordering::Relaxed)
    }

    /// Requests whose handler panicked.
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    pub(super) fn handshake_failed(&self) {
        self.handshakes_failed.fetch_add(1, Ordering::Relaxed);
    }
}

/// How a drain went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were still busy at the deadline and have been cut.
    pub cut: usize,
}

/// A server that is ready to run: its socket is bound.
#[derive(Debug)]
pub struct Server<H> {
    listener: Listener,
    shared: Shared<H>,
}

/// What all connections of a server use.
#[derive(Debug)]
pub(super) struct Shared<H> {
    pub(super) tls: Option<Tls>,
    pub(super) limits: Limits,
    pub(super) stats: Arc<Stats>,
    handler: H,
    panic_answer: PanicAnswer,
}

impl<H: Handler> Server<H> {
    /// Plain HTTP/1.1 on `listener`, with the default limits.
    pub fn new(listener: Listener, handler: H) -> Self {
        let shared = Shared {
            tls: None,
            limits: Limits::default(),
            stats: Arc::default(),
            handler,
            panic_answer: plain_500,
        };
        Self { listener, shared }
    }

    /// HTTPS instead: HTTP/1.1 and HTTP/2.
    #[must_use]
    pub fn with_tls(mut self, tls: Tls) -> Self {
        self.shared.tls = Some(tls);
        self
    }

    /// Other limits than the default ones.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.shared.limits = limits;
        self
    }

    /// Another answer than a plain 500 for a request whose handler panicked.
    #[must_use]
    pub fn with_panic_answer(mut self, answer: PanicAnswer) -> Self {
        self.shared.panic_answer = answer;
        self
    }

    /// Counts into `stats`, which somebody else reads.
    #[must_use]
    pub fn with_stats(mut self, stats: Arc<Stats>) -> Self {
        self.shared.stats = stats;
        self
    }

    /// What this server counts, from now on.
    pub fn stats(&self) -> Arc<Stats> {
        Arc::clone(&self.shared.stats)
    }

    /// Where it listens.
    pub fn address(&self) -> std::net::SocketAddr {
        self.listener.address()
    }

    /// Serves until `stop` is cancelled. Then it closes the socket, asks every connection to finish (GOAWAY,
    /// `Connection: close`), waits for their requests up to `patience`, and cuts what is left.
    pub async fn run(self, stop: CancellationToken, patience: Duration) -> Drained {
        let Self { listener, shared } = self;
        let slots = Arc::new(Semaphore::new(shared.limits.connections));
        let stats = Arc::clone(&shared.stats);
        let shared = Arc::new(shared);
        let drain = CancellationToken::new();
        let mut connections = Group::new();
        let mut full = false;
        loop {
            if (slots.available_permits() == 0) != full {
                full = !full;
                let (limit, listener) = (shared.limits.connections, listener.address());
                if full {
                    tracing::warn!(limit, %listener, "Connections have reached their limit, new ones wait");
                }
            }
            let accepted = async {
                // Never closed, so there is always a permit to come.
                let slot = Arc::clone(&slots).acquire_owned().await.ok();
                let (stream, address) = listener.accept().await;
                (slot, stream, address)
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(end) = connections.next_end() => report(end.outcome),
                (slot, stream, address) = accepted => {
                    stats.accepted.fetch_add(1, Ordering::Relaxed);
                    let open = Open::new(Arc::clone(&stats));
                    let connection = connection::serve(Arc::clone(&shared), stream, address, drain.clone());
                    connections.spawn("connection", async move {
                        let _held = (slot, open);
                        connection.await;
                    });
                }
            }
        }
        drop(listener);
        drain.cancel();
        let rest = async {
            while let Some(end) = connections.next_end().await {
                report(end.outcome);
            }
        };
        let cut = match tokio::time::timeout(patience, rest).await {
            Ok(()) => 0,
            Err(_) => connections.len(),
        };
        connections.abort().await;
        Drained { cut }
    }
}

fn report(outcome: Outcome) {
    match outcome {
        Outcome::Returned => {}
        Outcome::Panicked(panic) => tracing::error!(panic, "Connection panicked"),
    }
}

/// The handler's answer, or the panic answer. To HEAD without its body, but with its length.
pub(super) async fn answer<H: Handler>(
    shared: &Shared<H>,
    request: Request<Incoming>,
    peer: Peer,
) -> Response<Body> {
    let is_head = request.method() == Method::HEAD;
    let handled = AssertUnwindSafe(async { shared.handler.handle(request, peer).await })
        .catch_unwind()
        .await;
    let response = handled.unwrap_or_else(|payload| {
        shared.stats.panics.fetch_add(1, Ordering::Relaxed);
        tracing::error!(
            panic = panic_text(payload.as_ref()),
            "Request handler panicked"
        );
        (shared.panic_answer)()
    });
    if is_head {
        without_body(response)
    } else {
        response
    }
}

/// HTTP/1.1 leaves the body of an answer to HEAD out by itself, HTTP/2 does not.
fn without_body(mut response: Response<Body>) -> Response<Body> {
    if let Some(length) = response.body().size_hint().exact() {
        response
            .headers_mut()
            .entry(CONTENT_LENGTH)
            .or_insert(length.into());
    }
    response.map(Body::unsent)
}

fn plain_500() -> Response<Body> {
    let mut response = Response::new(Body::from("internal server error\n"));
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response
}

/// Counts an open connection for as long as it lives.
struct Open(Arc<Stats>);

impl Open {
    fn new(stats: Arc<Stats>) -> Self {
        stats.open.fetch_add(1, Ordering::Relaxed);
        Self(stats)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
