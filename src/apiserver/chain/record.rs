//! What is remembered of a request: one debug log line and one observation, written when its answer's body is sent, or
//! broken off. A request that never got an answer is recorded as such, never as a success.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, StatusCode};
use tokio::time::Instant;

use super::inflight::Place;
use crate::apiserver::request_info::{RequestInfo, Verb};
use crate::serve::Guard;

/// What a request was, in words of closed sets: fit for metric labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Labels {
    /// `GET`, `LIST`, `WATCH`, `POST`…, upper case as upstream's metrics have them; `other` for unusual methods.
    pub verb: &'static str,
    /// A served resource, `other`, or nothing for paths.
    pub resource: &'static str,
    /// `namespace`, `cluster` or `resource` (one object); nothing for paths.
    pub scope: &'static str,
}

/// How a request went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// The HTTP code; `None` when the client went away before there was one.
    pub code: Option<u16>,
    /// From the head's arrival to the last byte.
    pub duration: Duration,
    /// Bytes of the body handed over.
    pub bytes: u64,
    /// Whether the body came to its end.
    pub complete: bool,
}

/// Learns what requests there are and how they go: the metrics.
pub trait Observer: Send + Sync + 'static {
    /// A request has arrived.
    fn started(&self, labels: Labels);
    /// It is over.
    fn finished(&self, labels: Labels, outcome: Outcome);
    /// A handler panicked.
    fn panicked(&self);
}

/// Observes nothing.
impl Observer for () {
    fn started(&self, _labels: Labels) {}
    fn finished(&self, _labels: Labels, _outcome: Outcome) {}
    fn panicked(&self) {}
}

/// One request's record, written when it is dropped.
pub(super) struct Record {
    observer: Arc<dyn Observer>,
    labels: Labels,
    audit_id: HeaderValue,
    path: Box<str>,
    user: Box<str>,
    started: Instant,
    code: Option<u16>,
    bytes: u64,
    complete: bool,
    place: Option<Place>,
}

impl Record {
    pub(super) fn start(
        observer: Arc<dyn Observer>,
        labels: Labels,
        audit_id: &HeaderValue,
        path: &str,
    ) -> Self {
        observer.started(labels);
        Self {
            observer,
            labels,
            audit_id: audit_id.clone(),
            path: path.into(),
            user: Box::default(),
            started: Instant::now(),
            code: None,
            bytes: 0,
            complete: false,
            place: None,
        }
    }

    pub(super) fn is_from(&mut self, user: &str) {
        self.user = user.into();
    }

    /// Keeps `place` until the request is over.
    pub(super) fn hold(&mut self, place: Place) {
        self.place = Some(place);
    }

    pub(super) fn answered(&mut self, code: StatusCode) {
        self.code = Some(code.as_u16());
    }
}

impl Guard for Record {
    fn wrote(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes as u64);
    }

    fn ended(&mut self) {
        self.complete = true;
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let outcome = Outcome {
            code: self.code,
            duration: self.started.elapsed(),
            bytes: self.bytes,
            complete: self.complete,
        };
        tracing::debug!(
            audit_id = self.audit_id.to_str().unwrap_or_default(),
            verb = self.labels.verb,
            path = &*self.path,
            user = &*self.user,
            code = outcome.code,
            duration = ?outcome.duration,
            bytes = outcome.bytes,
            complete = outcome.complete,
            "Request ended"
        );
        self.observer.finished(self.labels, outcome);
    }
}

impl Labels {
    /// Of `info`, where only `served` resources have a name.
    pub(super) fn of(info: &RequestInfo, served: &'static [&'static str]) -> Self {
        match info {
            RequestInfo::NonResource { verb, .. } => {
                let verb = match verb.as_str() {
                    "get" => "GET",
                    "head" => "HEAD",
                    "post" => "POST",
                    "put" => "PUT",
                    "patch" => "PATCH",
                    "delete" => "DELETE",
                    "options" => "OPTIONS",
                    _ => "other",
                };
                Self {
                    verb,
                    resource: "",
                    scope: "",
                }
            }
            RequestInfo::Resource(request) => Self {
                verb: match request.verb {
                    Verb::Get => "GET",
                    Verb::List => "LIST",
                    Verb::Watch => "WATCH",
                    Verb::Create => "POST",
                    Verb::Update => "PUT",
                    Verb::Patch => "PATCH",
                    Verb::Delete => "DELETE",
                    Verb::DeleteCollection => "DELETECOLLECTION",
                },
                resource: served
                    .iter()
                    .find(|name| **name == request.resource)
                    .copied()
                    .unwrap_or("other"),
                scope: match (&request.name, &request.namespace) {
                    (Some(_), _) => "resource",
                    (None, Some(_)) => "namespace",
                    (None, None) => "cluster",
                },
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::Body;
    use http::Method;
    use http_body_util::BodyExt as _;
    use parking_lot::Mutex;

    #[derive(Default)]
    struct Seen(Mutex<Vec<Outcome>>);

    impl Observer for Seen {
        fn started(&self, _: Labels) {}
        fn finished(&self, _: Labels, outcome: Outcome) {
            self.0.lock().push(Outcome {
                duration: Duration::ZERO,
                ..outcome
            });
        }
        fn panicked(&self) {}
    }

    fn labels(method: &Method, uri: &str) -> Labels {
        Labels::of(
            &RequestInfo::parse(method, &uri.parse().unwrap()),
            &["imagetags"],
        )
    }

    #[test]
    fn labels_come_from_closed_sets() {
        let of = |verb, resource, scope| Labels {
            verb,
            resource,
            scope,
        };
        assert_eq!(
            labels(&Method::GET, "/apis/g/v/imagetags"),
            of("LIST", "imagetags", "cluster")
        );
        assert_eq!(
            labels(&Method::GET, "/apis/g/v/namespaces/n/hostile"),
            of("LIST", "other", "namespace")
        );
        assert_eq!(
            labels(&Method::GET, "/apis/g/v/namespaces/n/imagetags/x"),
            of("GET", "imagetags", "resource")
        );
        assert_eq!(labels(&Method::GET, "/anything"), of("GET", "", ""));
        assert_eq!(
            labels(&Method::from_bytes(b"BREW").unwrap(), "/"),
            of("other", "", "")
        );
    }

    #[tokio::test]
    async fn a_request_is_recorded_as_it_really_ended() {
        let seen = Arc::new(Seen::default());
        let record = || {
            let observer: Arc<dyn Observer> = Arc::<Seen>::clone(&seen);
            Record::start(
                observer,
                labels(&Method::GET, "/"),
                &HeaderValue::from_static("id"),
                "/",
            )
        };
        drop(record());
        let mut cut = record();
        cut.answered(StatusCode::OK);
        drop(Body::full("abc").guarded(cut));
        let mut whole = record();
        whole.answered(StatusCode::NOT_FOUND);
        Body::full("abc").guarded(whole).collect().await.unwrap();
        let outcome = |code, bytes, complete| Outcome {
            code,
            bytes,
            complete,
            duration: Duration::ZERO,
        };
        let expected = [
            outcome(None, 0, false),
            outcome(Some(200), 0, false),
            outcome(Some(404), 3, true),
        ];
        assert_eq!(*seen.0.lock(), expected);
    }
}
