//! `/livez`, `/readyz`, `/healthz`, `/version` (OPS-1 to OPS-6), on the secure port and on the plain health listener; on the
//! secure port the index `/` and `/metrics` besides.
//!
//! Readiness is a set of named facts, each held by the part of the program that knows it. None of them may depend on
//! a container registry being reachable. Liveness is only that this code runs, and that tasks get their turn.

mod heartbeat;
mod index;
mod version;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, Response, StatusCode};
use parking_lot::RwLock;
use url::form_urlencoded;

use crate::serve::Body;

pub use heartbeat::Heartbeat;
pub use version::Version;

/// Writes what is counted.
pub trait Exposition: Send + Sync + 'static {
    /// The answer to a GET of `/metrics`, in a format that `headers` accept.
    fn metrics(&self, headers: &HeaderMap) -> Response<Body>;
}

/// Everything that must be so before requests are welcome. Clones share the facts.
#[derive(Debug, Clone, Default)]
pub struct Readiness {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// What has to be ready besides.
    base: Option<Readiness>,
    facts: RwLock<Vec<Fact>>,
    started: AtomicBool,
}

/// One named fact, false until it is said to be so. Clones share it.
#[derive(Debug, Clone)]
pub struct Fact {
    name: &'static str,
    holds: Arc<AtomicBool>,
}

impl Readiness {
    /// No facts yet: trivially ready. Ask for all facts before anything is served.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ready when `base` is, and facts of its own hold.
    pub fn over(base: Self) -> Self {
        let inner = Inner {
            base: Some(base),
            ..Inner::default()
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// The handle of the fact `name`, which from now on must hold for the program to be ready.
    pub fn fact(&self, name: &'static str) -> Fact {
        let mut facts = self.inner.facts.write();
        if let Some(known) = facts.iter().find(|fact| fact.name == name) {
            return known.clone();
        }
        let fact = Fact {
            name,
            holds: Arc::default(),
        };
        facts.push(fact.clone());
        fact
    }

    /// Whether every fact holds now.
    pub fn is_ready(&self) -> bool {
        let base = self.inner.base.as_ref();
        let ready =
            base.is_none_or(Self::is_ready) && self.inner.facts.read().iter().all(Fact::holds);
        if ready {
            self.inner.started.store(true, Ordering::Relaxed);
        }
        ready
    }

    /// Whether every fact has held once. Until then resources answer 503: a 404 could be taken for "is gone" (OPS-10).
    pub fn has_started(&self) -> bool {
        self.inner.started.load(Ordering::Relaxed) || self.is_ready()
    }

    /// The facts that do not hold, by name.
    pub fn missing(&self) -> Vec<&'static str> {
        self.inner
            .facts
            .read()
            .iter()
            .filter(|fact| !fact.holds())
            .map(|fact| fact.name)
            .collect()
    }

    fn checks(&self) -> Vec<(&'static str, bool)> {
        let base = self.inner.base.as_ref();
        let mut checks = base.map_or_else(|| vec![("ping", true)], Self::checks);
        let facts = self.inner.facts.read();
        checks.extend(facts.iter().map(|fact| (fact.name, fact.holds())));
        checks
    }
}

impl Fact {
    /// Says whether it is so.
    pub fn set(&self, holds: bool) {
        if self.holds.swap(holds, Ordering::Relaxed) != holds {
            tracing::debug!(fact = self.name, holds, "Readiness fact changed");
        }
    }

    /// Whether it is so.
    pub fn holds(&self) -> bool {
        self.holds.load(Ordering::Relaxed)
    }
}

/// Answers the health paths and `/version`.
#[derive(Clone)]
pub struct Health {
    readiness: Readiness,
    version: Arc<Version>,
    heartbeat: Option<Heartbeat>,
    exposition: Option<Arc<dyn Exposition>>,
}

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Health")
            .field("readiness", &self.readiness)
            .finish_non_exhaustive()
    }
}

impl Health {
    /// Health as `readiness` says.
    pub fn new(readiness: Readiness, version: Version) -> Self {
        Self {
            readiness,
            version: Arc::new(version),
            heartbeat: None,
            exposition: None,
        }
    }

    /// Alive only while `heartbeat` beats.
    #[must_use]
    pub fn with_heartbeat(mut self, heartbeat: Heartbeat) -> Self {
        self.heartbeat = Some(heartbeat);
        self
    }

    /// Answers `/metrics` too.
    #[must_use]
    pub fn with_metrics(mut self, exposition: Arc<dyn Exposition>) -> Self {
        self.exposition = Some(exposition);
        self
    }

    /// The answer to a GET of `path` (decoded) on the secure port, when it is not a resource's.
    pub fn answer_all(
        &self,
        path: &str,
        query: &str,
        headers: &HeaderMap,
    ) -> Option<Response<Body>> {
        match path {
            "/" => Some(answer(
                StatusCode::OK,
                "application/json",
                index::of(&self.liveness(), &self.readiness.checks()),
            )),
            "/metrics" => {
                let exposition = self.exposition.as_ref()?;
                Some(exposition.metrics(headers))
            }
            _ => self.answer(path, query),
        }
    }

    /// What must be so for the process to be kept.
    fn liveness(&self) -> Vec<(&'static str, bool)> {
        let mut checks = vec![("ping", true)];
        let heartbeat = self.heartbeat.as_ref();
        checks.extend(heartbeat.map(|heart| ("runtime-heartbeat", heart.beats())));
        checks
    }

    /// The facts behind `/readyz`.
    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// The answer to a GET of `path` (decoded), when it is one of ours.
    pub fn answer(&self, path: &str, query: &str) -> Option<Response<Body>> {
        if path == "/version" {
            return Some(answer(
                StatusCode::OK,
                "application/json",
                self.version.to_json(),
            ));
        }
        let (endpoint, check) = match path.strip_prefix('/')?.split_once('/') {
            None => (path.strip_prefix('/')?, None),
            Some((endpoint, check)) => (endpoint, Some(check)),
        };
        let checks = match endpoint {
            // Flux's own Deployment probes the liveness of a container here.
            "livez" | "healthz" => self.liveness(),
            "readyz" => {
                // Remembers that it was ready once, though nobody asks for a resource.
                self.readiness.is_ready();
                self.readiness.checks()
            }
            _ => return None,
        };
        let Some(wanted) = check else {
            return Some(all(endpoint, &checks, query));
        };
        let (_, holds) = checks.into_iter().find(|(name, _)| *name == wanted)?;
        Some(if holds {
            text(StatusCode::OK, "ok".into())
        } else {
            text(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("internal server error: {wanted} does not hold\n"),
            )
        })
    }

    /// The handler of a listener that serves nothing else, without authentication.
    pub fn handle<B>(&self, request: &http::Request<B>) -> Response<Body> {
        let uri = request.uri();
        if !matches!(*request.method(), http::Method::GET | http::Method::HEAD) {
            return text(
                StatusCode::METHOD_NOT_ALLOWED,
                "method not allowed\n".into(),
            );
        }
        self.answer(uri.path(), uri.query().unwrap_or_default())
            .unwrap_or_else(|| text(StatusCode::NOT_FOUND, "404 page not found\n".into()))
    }
}

/// All checks of an endpoint as kube-apiserver writes them: silent when well, all of them otherwise.
fn all(endpoint: &str, checks: &[(&str, bool)], query: &str) -> Response<Body> {
    let mut excluded = BTreeSet::new();
    let mut verbose = false;
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*key {
            "exclude" => {
                excluded.insert(value.into_owned());
            }
            "verbose" => verbose = true,
            _ => {}
        }
    }
    let (mut lines, mut failed) = (Vec::new(), Vec::new());
    for (name, holds) in checks {
        lines.push(if excluded.remove(*name) {
            format!("[+]{name} excluded: ok\n")
        } else if *holds {
            format!("[+]{name} ok\n")
        } else {
            failed.push(*name);
            format!("[-]{name} failed: reason withheld\n")
        });
    }
    if !excluded.is_empty() {
        let names: Vec<_> = excluded.iter().map(|name| format!("{name:?}")).collect();
        let names = names.join(",");
        lines.push(format!(
            "warn: some health checks cannot be excluded: no matches for {names}\n"
        ));
    }
    let lines = lines.concat();
    if !failed.is_empty() {
        let failed = failed.join(",");
        if endpoint == "readyz" {
            tracing::debug!(endpoint, failed, "Health check failed");
        } else {
            tracing::warn!(endpoint, failed, "Health check failed");
        }
        return text(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("{lines}{endpoint} check failed\n"),
        );
    }
    text(
        StatusCode::OK,
        if verbose {
            format!("{lines}{endpoint} check passed\n")
        } else {
            "ok".into()
        },
    )
}

fn text(status: StatusCode, body: String) -> Response<Body> {
    answer(status, "text/plain; charset=utf-8", body)
}

fn answer(status: StatusCode, kind: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

#[cfg(test)]
mod tests;
