//! A stateful kube-apiserver in miniature, over real HTTP: objects with optimistic concurrency, watches, scripted
//! refusals, and a log of what was asked.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tagscope::serve::{Body, Limits, Peer};
use tokio::sync::watch;
use url::form_urlencoded;

use crate::serve_kit::{self as kit, Running};

/// The cluster's state; clones share it.
#[derive(Clone)]
pub(crate) struct Cluster {
    state: Arc<Mutex<State>>,
    version: Arc<watch::Sender<u64>>,
}

/// The status of a review of this resource and spec.
type Answer = Arc<dyn Fn(&str, &Value) -> Value + Send + Sync>;

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Value>,
    history: Vec<Event>,
    log: Vec<String>,
    refusals: VecDeque<(Method, String, u16)>,
    answer: Option<Answer>,
}

#[derive(Clone)]
struct Event {
    version: u64,
    kind: &'static str,
    path: String,
    object: Value,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        Self {
            state: Arc::default(),
            version: Arc::new(watch::Sender::new(1)),
        }
    }

    /// Serves it, and gives a client for it.
    pub(crate) async fn start(&self) -> (Running, kube::Client) {
        let this = self.clone();
        let handler = move |request: Request<Incoming>, _: Peer| {
            let this = this.clone();
            async move { this.handle(request).await }
        };
        let server = kit::http(Limits::default(), Duration::from_millis(10), handler).await;
        let config = kube::Config::new(format!("http://{}", server.address).parse().unwrap());
        (server, kube::Client::try_from(config).unwrap())
    }

    /// Puts `object` at `path`, as somebody else would.
    pub(crate) fn put(&self, path: &str, object: Value) {
        let mut state = self.state.lock();
        self.write(&mut state, path, object);
    }

    pub(crate) fn delete(&self, path: &str) {
        let mut state = self.state.lock();
        let object = state.objects.remove(path).expect("it is there");
        self.record(&mut state, "DELETED", path, object);
    }

    pub(crate) fn object(&self, path: &str) -> Option<Value> {
        self.state.lock().objects.get(path).cloned()
    }

    /// The next request of `method` whose path starts so is refused with `code`.
    pub(crate) fn refuse(&self, method: Method, path: &str, code: u16) {
        self.state
            .lock()
            .refusals
            .push_back((method, path.to_owned(), code));
    }

    /// How reviews are answered: the status for a resource and a spec.
    pub(crate) fn answer(&self, answer: impl Fn(&str, &Value) -> Value + Send + Sync + 'static) {
        self.state.lock().answer = Some(Arc::new(answer));
    }

    /// Every request so far: method and path with query.
    pub(crate) fn log(&self) -> Vec<String> {
        self.state.lock().log.clone()
    }

    fn write(&self, state: &mut State, path: &str, mut object: Value) -> Value {
        object["metadata"]["resourceVersion"] =
            json!((self.version.borrow().to_owned() + 1).to_string());
        let kind = if state.objects.contains_key(path) {
            "MODIFIED"
        } else {
            "ADDED"
        };
        state.objects.insert(path.to_owned(), object.clone());
        self.record(state, kind, path, object.clone());
        object
    }

    fn record(&self, state: &mut State, kind: &'static str, path: &str, object: Value) {
        let version = *self.version.borrow() + 1;
        state.history.push(Event {
            version,
            kind,
            path: path.to_owned(),
            object,
        });
        self.version.send_replace(version);
    }

    async fn handle(&self, request: Request<Incoming>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let body = body
            .collect()
            .await
            .map(http_body_util::Collected::to_bytes)
            .unwrap_or_default();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let path = head.uri.path().to_owned();
        let query: BTreeMap<String, String> =
            form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes())
                .into_owned()
                .collect();
        let mut state = self.state.lock();
        state.log.push(format!("{} {}", head.method, head.uri));
        let refused = state
            .refusals
            .iter()
            .position(|(method, prefix, _)| *method == head.method && path.starts_with(prefix));
        if let Some((_, _, code)) = refused.and_then(|at| state.refusals.remove(at)) {
            return status(code, "refused by the test");
        }
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
        let is_collection =
            matches!(&*name, "configmaps" | "secrets" | "apiservices") || name.ends_with("reviews");
        match (head.method, is_collection) {
            (Method::GET, true) if query.get("watch").is_some_and(|watch| watch == "true") => {
                let from = query
                    .get("resourceVersion")
                    .and_then(|text| text.parse().ok())
                    .unwrap_or_default();
                drop(state);
                self.watch(path, wanted_name(&query), from)
            }
            (Method::GET, true) => {
                let wanted = wanted_name(&query);
                let items: Vec<_> = state
                    .objects
                    .iter()
                    .filter(|(at, _)| {
                        at.strip_prefix(&path)
                            .is_some_and(|rest| is_wanted(rest, wanted.as_deref()))
                    })
                    .map(|(_, object)| object.clone())
                    .collect();
                let version = self.version.borrow().to_string();
                answer(
                    200,
                    &json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": version}, "items": items}),
                )
            }
            (Method::GET, false) => match state.objects.get(&path) {
                Some(object) => answer(200, object),
                None => status(404, "not found"),
            },
            (Method::POST, true) if name.ends_with("reviews") => {
                let spec = body.get("spec").cloned().unwrap_or_default();
                let said = state.answer.clone();
                drop(state);
                let mut reviewed = body;
                reviewed["status"] =
                    said.map_or_else(|| json!({"allowed": false}), |said| said(&name, &spec));
                answer(201, &reviewed)
            }
            (Method::POST, true) => {
                let at = format!(
                    "{path}/{}",
                    body["metadata"]["name"].as_str().unwrap_or_default()
                );
                if state.objects.contains_key(&at) {
                    return status(409, "already exists");
                }
                let written = self.write(&mut state, &at, body);
                answer(201, &written)
            }
            (Method::PUT, false) => {
                let Some(held) = state.objects.get(&path) else {
                    return status(404, "not found");
                };
                if held["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"] {
                    return status(409, "the object has been modified");
                }
                let written = self.write(&mut state, &path, body);
                answer(200, &written)
            }
            (Method::PATCH, false) => {
                let Some(mut held) = state.objects.get(&path).cloned() else {
                    return status(404, "not found");
                };
                let expected = &body["metadata"]["resourceVersion"];
                if !expected.is_null() && *expected != held["metadata"]["resourceVersion"] {
                    return status(409, "the object has been modified");
                }
                merge(&mut held, &body);
                let written = self.write(&mut state, &path, held);
                answer(200, &written)
            }
            (method, _) => status(405, method.as_str()),
        }
    }

    fn watch(&self, path: String, wanted: Option<String>, from: u64) -> Response<Body> {
        let state = Arc::clone(&self.state);
        let stream = futures::stream::unfold(
            (from, self.version.subscribe()),
            move |(from, mut changed)| {
                let (state, path, wanted) = (Arc::clone(&state), path.clone(), wanted.clone());
                async move {
                    loop {
                        changed.borrow_and_update();
                        let next = state
                            .lock()
                            .history
                            .iter()
                            .find(|event| event.version > from)
                            .cloned();
                        if let Some(event) = next {
                            let rest = event.path.strip_prefix(&path);
                            let line = if rest
                                .is_some_and(|rest| is_wanted(rest, wanted.as_deref()))
                            {
                                format!("{}\n", json!({"type": event.kind, "object": event.object}))
                            } else {
                                String::new()
                            };
                            return Some((
                                Ok::<_, std::io::Error>(Bytes::from(line)),
                                (event.version, changed),
                            ));
                        }
                        changed.changed().await.ok()?;
                    }
                }
            },
        );
        Response::builder()
            .header("content-type", "application/json")
            .body(Body::stream(stream))
            .unwrap()
    }
}

fn wanted_name(query: &BTreeMap<String, String>) -> Option<String> {
    query
        .get("fieldSelector")?
        .strip_prefix("metadata.name=")
        .map(str::to_owned)
}

fn is_wanted(rest: &str, wanted: Option<&str>) -> bool {
    rest.strip_prefix('/')
        .is_some_and(|name| wanted.is_none_or(|wanted| wanted == name))
}

fn merge(into: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            into.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut into[key], value);
        }
    }
}

fn answer(code: u16, body: &Value) -> Response<Body> {
    Response::builder()
        .status(code)
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))
        .unwrap()
}

fn status(code: u16, message: &str) -> Response<Body> {
    let reason = match code {
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        429 => "TooManyRequests",
        _ => "InternalError",
    };
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code,
    });
    answer(code, &body)
}
