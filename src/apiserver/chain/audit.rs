//! The audit trail: one event of `audit.k8s.io/v1` at level Metadata when a watch begins, and one when a request ends or
//! its handler panics (OPS-16). What a client sent is cleaned and cut; tokens are long gone from the request by then.
//!
//! Writing is somebody else's business, who must not be waited for.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::caller::{TEXT, clean};
use crate::apiserver::request_info::{RequestInfo, User};
use crate::clock::SharedClock;

const GROUPS: usize = 256;
const EXTRAS: usize = 32;

/// Takes the lines of the trail.
pub trait Sink: Send + Sync + 'static {
    /// Takes one event, a JSON object with a newline at its end, at once: it may be dropped, and then is counted.
    fn take(&self, line: Bytes);
}

/// Where the trail goes, and the calendar for its dates.
#[derive(Clone)]
pub struct Audit {
    sink: Arc<dyn Sink>,
    clock: SharedClock,
}

impl std::fmt::Debug for Audit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Audit(..)")
    }
}

/// What a stage of a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The head of a long answer is sent.
    ResponseStarted,
    /// The answer is sent, or given up.
    ResponseComplete,
    /// The handler panicked.
    Panic,
}

/// What the trail says of one request at every stage.
#[derive(Debug)]
pub(super) struct Trail {
    audit: Audit,
    event: Map<String, Value>,
    annotations: Map<String, Value>,
}

impl Audit {
    /// A trail into `sink`.
    pub fn new(sink: Arc<dyn Sink>, clock: SharedClock) -> Self {
        Self { sink, clock }
    }

    /// The trail of a request that has just arrived.
    pub(super) fn begin(&self, id: &str, target: &str, info: &RequestInfo) -> Trail {
        let verb = match info {
            RequestInfo::NonResource { verb, .. } => verb.as_str(),
            RequestInfo::Resource(request) => request.verb.as_str(),
        };
        let mut event = Map::new();
        let mut put = |key: &str, value: Value| event.insert(key.to_owned(), value);
        put("kind", "Event".into());
        put("apiVersion", "audit.k8s.io/v1".into());
        put("level", "Metadata".into());
        put("auditID", clean(id, TEXT).into());
        put("requestURI", target.into());
        put("verb", clean(verb, TEXT).into());
        put(
            "requestReceivedTimestamp",
            micro_time(self.clock.now()).into(),
        );
        if let RequestInfo::Resource(request) = info {
            let mut reference = Map::new();
            let fields = [
                ("resource", Some(request.resource.as_str())),
                ("namespace", request.namespace.as_deref()),
                ("name", request.name.as_deref()),
                ("apiGroup", Some(request.group.as_str())),
                ("apiVersion", Some(request.version.as_str())),
                ("subresource", request.subresource.as_deref()),
            ];
            for (key, value) in fields {
                if let Some(value) = value.filter(|value| !value.is_empty()) {
                    reference.insert(key.to_owned(), clean(value, TEXT).into());
                }
            }
            put("objectRef", Value::Object(reference));
        }
        Trail {
            audit: self.clone(),
            event,
            annotations: Map::new(),
        }
    }
}

impl Trail {
    /// Says who asks, and from where.
    pub(super) fn is_from(&mut self, user: &User, addresses: &[IpAddr], agent: &str) {
        let texts = |values: &[String], most| {
            let values = values.iter().take(most);
            values.map(|value| clean(value, TEXT)).collect::<Vec<_>>()
        };
        let mut said = Map::new();
        said.insert("username".into(), clean(&user.name, TEXT).into());
        if !user.uid.is_empty() {
            said.insert("uid".into(), clean(&user.uid, TEXT).into());
        }
        if !user.groups.is_empty() {
            said.insert("groups".into(), texts(&user.groups, GROUPS).into());
        }
        if !user.extra.is_empty() {
            let extra = user.extra.iter().take(EXTRAS);
            let extra = extra.map(|(key, values)| (clean(key, TEXT), texts(values, EXTRAS).into()));
            said.insert("extra".into(), Value::Object(extra.collect()));
        }
        self.event.insert("user".into(), Value::Object(said));
        self.comes_from(addresses, agent);
    }

    /// Says from where, when it is not known who.
    pub(super) fn comes_from(&mut self, addresses: &[IpAddr], agent: &str) {
        let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        self.event.insert("sourceIPs".into(), addresses.into());
        if !agent.is_empty() {
            self.event.insert("userAgent".into(), agent.into());
        }
    }

    /// Adds an annotation, such as `authorization.k8s.io/decision`.
    pub(super) fn annotate(&mut self, key: &'static str, value: &str) {
        self.annotations
            .insert(key.to_owned(), clean(value, TEXT).into());
    }

    /// Writes the event of `stage`. Without a code the client went away before there was one.
    pub(super) fn tell(&self, stage: Stage, code: Option<u16>) {
        let mut event = self.event.clone();
        let stage_name = match stage {
            Stage::ResponseStarted => "ResponseStarted",
            Stage::ResponseComplete => "ResponseComplete",
            Stage::Panic => "Panic",
        };
        event.insert("stage".into(), stage_name.into());
        let status = match code {
            Some(code) if code < 400 => json!({"metadata": {}, "code": code}),
            Some(code) => json!({"metadata": {}, "status": "Failure", "code": code}),
            None => {
                json!({"metadata": {}, "status": "Failure", "message": "Connection closed early"})
            }
        };
        event.insert("responseStatus".into(), status);
        let now = micro_time(self.audit.clock.now());
        event.insert("stageTimestamp".into(), now.into());
        if !self.annotations.is_empty() {
            let annotations = Value::Object(self.annotations.clone());
            event.insert("annotations".into(), annotations);
        }
        event.entry("user").or_insert_with(|| json!({}));
        let mut line = Value::Object(event).to_string();
        line.push('\n');
        self.audit.sink.take(line.into());
    }
}

/// As Kubernetes' MicroTime is written.
fn micro_time(at: Timestamp) -> String {
    format!("{at:.6}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::HandClock;
    use http::Method;
    use parking_lot::Mutex;

    #[derive(Default)]
    struct Lines(Mutex<Vec<Value>>);

    impl Sink for Lines {
        fn take(&self, line: Bytes) {
            assert_eq!(line.last(), Some(&b'\n'));
            assert_eq!(line.split(|byte| *byte == b'\n').count(), 2);
            self.0.lock().push(serde_json::from_slice(&line).unwrap());
        }
    }

    #[test]
    fn an_event_reads_as_kube_apiservers() {
        let lines = Arc::new(Lines::default());
        let sink: Arc<dyn Sink> = Arc::<Lines>::clone(&lines);
        let clock = Arc::new(HandClock::at("2026-03-01T00:00:00.5Z".parse().unwrap()));
        let uri = "/apis/tags.tagscope.dev/v1alpha1/namespaces/n/imagetags/app%0A:1";
        let info = RequestInfo::parse(&Method::GET, &uri.parse().unwrap());
        let mut trail = Audit::new(sink, clock).begin("an-id", uri, &info);
        let user = User {
            name: "bob\u{1b}".into(),
            groups: vec!["g".into(); 1000],
            extra: [("k".to_owned(), vec!["v".to_owned()])].into(),
            ..User::default()
        };
        trail.is_from(&user, &["10.0.0.1".parse().unwrap()], "kubectl");
        trail.annotate("authorization.k8s.io/decision", "allow");
        trail.tell(Stage::ResponseComplete, Some(200));
        trail.tell(Stage::Panic, Some(500));
        trail.tell(Stage::ResponseComplete, None);
        let lines = lines.0.lock();
        let mut first = lines[0].clone();
        assert_eq!(first["user"]["groups"].as_array().unwrap().len(), GROUPS);
        first["user"]["groups"].take();
        assert_eq!(
            first,
            json!({
                "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "auditID": "an-id",
                "stage": "ResponseComplete", "requestURI": uri, "verb": "get",
                "user": {"username": "bob\u{fffd}", "groups": null, "extra": {"k": ["v"]}},
                "sourceIPs": ["10.0.0.1"], "userAgent": "kubectl",
                "objectRef": {
                    "resource": "imagetags", "namespace": "n", "name": "app\u{fffd}:1",
                    "apiGroup": "tags.tagscope.dev", "apiVersion": "v1alpha1",
                },
                "responseStatus": {"metadata": {}, "code": 200},
                "requestReceivedTimestamp": "2026-03-01T00:00:00.500000Z",
                "stageTimestamp": "2026-03-01T00:00:00.500000Z",
                "annotations": {"authorization.k8s.io/decision": "allow"},
            })
        );
        assert_eq!(lines[1]["stage"], "Panic");
        assert_eq!(lines[1]["responseStatus"]["code"], 500);
        assert_eq!(
            lines[2]["responseStatus"]["message"],
            "Connection closed early"
        );
    }
}
