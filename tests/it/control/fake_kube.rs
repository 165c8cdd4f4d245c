//! A small API server inside the test: objects, lists, watches, merge patches, the status subresource, and a log
//! of everything that was asked. It keeps what kube-apiserver keeps (uid, generation, resourceVersion, 404, 409), and
//! nothing else. It is a service under `kube::Client`: no socket, so that time can be paused.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, watch};
use tokio_stream_wrapper::receiver_stream;

/// One request that was answered.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) is_watch: bool,
    pub(super) body: Value,
}

impl Asked {
    pub(super) fn is_write(&self) -> bool {
        self.method != Method::GET
    }
}

type Answer = UnsyncBoxBody<Bytes, Infallible>;

/// `plural`, namespace, name.
type Id = (String, String, String);

#[derive(Default)]
struct State {
    version: u64,
    objects: BTreeMap<Id, Value>,
    history: Vec<(u64, String, Value)>,
    watchers: Vec<(String, mpsc::UnboundedSender<Value>)>,
    asked: Vec<Asked>,
    refused: Vec<(Method, String, StatusCode)>,
    unanswered: Vec<(Method, String)>,
    takes: Option<(Method, String, Duration)>,
    under_way: usize,
    most_under_way: usize,
    is_installed: bool,
}

/// The API server. Clones are the same one.
#[derive(Clone)]
pub(super) struct FakeKube {
    state: Arc<Mutex<State>>,
    changed: watch::Sender<u64>,
}

impl FakeKube {
    /// An API server that serves our kinds and holds no object but the namespaces `apps` and `images`.
    pub(super) fn new() -> Self {
        let state = State {
            is_installed: true,
            ..State::default()
        };
        let kube = Self {
            state: Arc::new(Mutex::new(state)),
            changed: watch::Sender::new(0),
        };
        for (namespace, team) in [("apps", "a"), ("images", "b")] {
            let labels = json!({ "team": team });
            kube.create(
                "namespaces",
                "",
                json!({ "metadata": { "name": namespace, "labels": labels } }),
            );
        }
        kube
    }

    pub(super) fn client(&self) -> Client {
        let kube = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let kube = kube.clone();
            async move { Ok::<_, Infallible>(kube.answer(request).await) }
        });
        Client::new(service, "default")
    }

    /// Whether our CRDs are there.
    pub(super) fn set_installed(&self, is_installed: bool) {
        self.state.lock().is_installed = is_installed;
    }

    /// Answers the next requests of `method` whose path ends in `suffix` with `status`, until [`Self::heal`].
    pub(super) fn refuse(&self, method: Method, suffix: &str, status: StatusCode) {
        self.state
            .lock()
            .refused
            .push((method, suffix.to_owned(), status));
    }

    /// Does not answer requests of `method` whose path ends in `suffix`, until [`Self::heal`].
    pub(super) fn leave_unanswered(&self, method: Method, suffix: &str) {
        self.state
            .lock()
            .unanswered
            .push((method, suffix.to_owned()));
    }

    /// Is not there for anybody, until [`Self::heal`]: watches end, and every request fails.
    pub(super) fn go_away(&self) {
        for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH] {
            self.refuse(method, "", StatusCode::SERVICE_UNAVAILABLE);
        }
        self.restart();
    }

    pub(super) fn heal(&self) {
        let mut state = self.state.lock();
        state.refused.clear();
        state.unanswered.clear();
        drop(state);
        self.tell();
    }

    /// How long requests of `method` take from now on whose path ends in `suffix`.
    pub(super) fn takes(&self, method: Method, suffix: &str, time: Duration) {
        self.state.lock().takes = Some((method, suffix.to_owned(), time));
    }

    /// How many requests that [take their time](Self::takes) were under way at once, at most.
    pub(super) fn most_under_way(&self) -> usize {
        self.state.lock().most_under_way
    }

    pub(super) fn create(&self, plural: &str, namespace: &str, mut object: Value) {
        let mut state = self.state.lock();
        state.version += 1;
        let uid = format!("uid-{}", state.version);
        let meta = object["metadata"].as_object_mut().expect("metadata");
        let name = meta["name"].as_str().expect("a name").to_owned();
        meta.insert("uid".into(), uid.into());
        meta.insert("generation".into(), 1.into());
        meta.insert("creationTimestamp".into(), "2026-01-01T00:00:00Z".into());
        if !namespace.is_empty() {
            meta.insert("namespace".into(), namespace.into());
        }
        if plural.starts_with("image") && object.get("status").is_none() {
            object["status"] = json!({ "observedGeneration": -1 });
        }
        state.put("ADDED", (plural.into(), namespace.into(), name), object);
        drop(state);
        self.tell();
    }

    /// Applies a merge patch as a user would: a changed spec is a new generation.
    pub(super) fn edit(&self, plural: &str, namespace: &str, name: &str, patch: Value) {
        let id = (plural.to_owned(), namespace.to_owned(), name.to_owned());
        self.state
            .lock()
            .patch(&id, &patch, false)
            .expect("an object to edit");
        self.tell();
    }

    /// Writes a status, as somebody else than the program does.
    pub(super) fn set_status(&self, plural: &str, namespace: &str, name: &str, status: Value) {
        let id = (plural.to_owned(), namespace.to_owned(), name.to_owned());
        self.state
            .lock()
            .patch(&id, &json!({ "status": status }), true)
            .expect("an object with a status");
        self.tell();
    }

    pub(super) fn annotate(&self, plural: &str, namespace: &str, name: &str, token: &str) {
        let annotations = json!({ "reconcile.fluxcd.io/requestedAt": token });
        self.edit(
            plural,
            namespace,
            name,
            json!({ "metadata": { "annotations": annotations } }),
        );
    }

    /// Deletes, or marks as being deleted while a finalizer is there.
    pub(super) fn delete(&self, plural: &str, namespace: &str, name: &str) {
        let id = (plural.to_owned(), namespace.to_owned(), name.to_owned());
        let mut state = self.state.lock();
        let mut object = state.objects.get(&id).expect("an object to delete").clone();
        if object["metadata"]["finalizers"]
            .as_array()
            .is_some_and(|all| !all.is_empty())
        {
            object["metadata"]["deletionTimestamp"] = "2026-05-01T00:00:00Z".into();
            state.put("MODIFIED", id, object);
        } else {
            state.remove(&id);
        }
        drop(state);
        self.tell();
    }

    /// Ends every watch, as a restart of the API server does; the history is lost with it.
    pub(super) fn restart(&self) {
        let mut state = self.state.lock();
        state.watchers.clear();
        state.history.clear();
    }

    pub(super) fn get(&self, plural: &str, namespace: &str, name: &str) -> Option<Value> {
        self.state
            .lock()
            .objects
            .get(&(plural.into(), namespace.into(), name.into()))
            .cloned()
    }

    /// Everything that was asked since the last call.
    pub(super) fn take_asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.state.lock().asked)
    }

    /// Waits until `check` holds for the object; panics with the object when it does not come to hold.
    pub(super) async fn wait_for(
        &self,
        plural: &str,
        namespace: &str,
        name: &str,
        check: impl Fn(&Value) -> bool,
    ) -> Value {
        let mut changed = self.changed.subscribe();
        let waiting = async {
            loop {
                if let Some(object) = self
                    .get(plural, namespace, name)
                    .filter(|object| check(object))
                {
                    return object;
                }
                changed.changed().await.expect("the fake lives");
            }
        };
        let Ok(object) = tokio::time::timeout(Duration::from_mins(5), waiting).await else {
            panic!(
                "did not come to hold: {:#?}",
                self.get(plural, namespace, name)
            );
        };
        object
    }

    fn tell(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    async fn answer(&self, request: Request<Body>) -> Response<Answer> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        let body: Value = if body.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&body).expect("JSON")
        };
        let path = parts.uri.path().to_owned();
        let query = parts.uri.query().unwrap_or_default().to_owned();
        let mut changed = self.changed.subscribe();
        while self
            .state
            .lock()
            .unanswered
            .iter()
            .any(|(method, suffix)| *method == parts.method && path.ends_with(suffix.as_str()))
        {
            changed.changed().await.expect("the fake lives");
        }
        let takes = self.begin(&parts.method, &path);
        if let Some(time) = takes {
            tokio::time::sleep(time).await;
            self.state.lock().under_way -= 1;
        }
        let response = self.dispatch(&parts.method, &path, &query, &body);
        let asked = Asked {
            method: parts.method,
            path,
            is_watch: query.contains("watch=true"),
            body,
        };
        self.state.lock().asked.push(asked);
        self.tell();
        response
    }

    fn begin(&self, method: &Method, path: &str) -> Option<Duration> {
        let mut state = self.state.lock();
        let (slow, suffix, time) = state.takes.clone()?;
        if slow != *method || !path.ends_with(&suffix) {
            return None;
        }
        state.under_way += 1;
        state.most_under_way = state.most_under_way.max(state.under_way);
        Some(time)
    }

    fn dispatch(&self, method: &Method, path: &str, query: &str, body: &Value) -> Response<Answer> {
        let mut state = self.state.lock();
        let refusal = state
            .refused
            .iter()
            .find(|(m, suffix, _)| m == method && path.ends_with(suffix.as_str()));
        if let Some((_, _, status)) = refusal {
            return failure(*status, "refused by the test");
        }
        let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
        let rest = match segments.as_slice() {
            ["apis", "image.toolkit.fluxcd.io", "v1"] => {
                let plurals = if state.is_installed {
                    vec!["imagerepositories", "imagepolicies"]
                } else {
                    vec![]
                };
                let resources: Vec<Value> = plurals
                    .into_iter()
                    .map(|name| json!({ "name": name, "kind": name, "namespaced": true, "singularName": "", "verbs": [] }))
                    .collect();
                let groups =
                    json!({ "groupVersion": "image.toolkit.fluxcd.io/v1", "resources": resources });
                return ok(&groups);
            }
            ["apis", "mirror.tagscope.dev", "v1alpha1"] => {
                let resources = json!([{
                    "name": "imagemirrors", "kind": "ImageMirror", "namespaced": true, "singularName": "", "verbs": [],
                }]);
                return ok(
                    &json!({ "groupVersion": "mirror.tagscope.dev/v1alpha1", "resources": resources }),
                );
            }
            ["apis", _, _, rest @ ..] | ["api", "v1", rest @ ..] => rest,
            _ => return failure(StatusCode::NOT_FOUND, "no such path"),
        };
        let (namespace, plural, name, sub) = match rest {
            ["namespaces", name] => ("", "namespaces", Some(*name), None),
            ["namespaces", namespace, plural] => (*namespace, *plural, None, None),
            ["namespaces", namespace, plural, name] => (*namespace, *plural, Some(*name), None),
            ["namespaces", namespace, plural, name, sub] => {
                (*namespace, *plural, Some(*name), Some(*sub))
            }
            [plural] => ("", *plural, None, None),
            _ => return failure(StatusCode::NOT_FOUND, "no such path"),
        };
        let id = (
            plural.to_owned(),
            namespace.to_owned(),
            name.unwrap_or_default().to_owned(),
        );
        match (method.as_str(), name) {
            ("GET", None) if query.contains("watch=true") => state.watch(plural, query),
            ("GET", None) => {
                let items: Vec<&Value> = state
                    .objects
                    .iter()
                    .filter(|((kind, space, _), _)| {
                        kind == plural && (namespace.is_empty() || space == namespace)
                    })
                    .map(|(_, object)| object)
                    .collect();
                let version = state.version.to_string();
                ok(
                    &json!({ "kind": "List", "apiVersion": "v1", "metadata": { "resourceVersion": version }, "items": items }),
                )
            }
            ("GET", Some(name)) => match state.objects.get(&id) {
                Some(object) => ok(object),
                None => failure(
                    StatusCode::NOT_FOUND,
                    &format!("{plural} \"{name}\" not found"),
                ),
            },
            ("POST", None) => {
                let name = body["metadata"]["name"].as_str().unwrap_or_default();
                let id = (plural.to_owned(), namespace.to_owned(), name.to_owned());
                if state.objects.contains_key(&id) {
                    return already_exists();
                }
                drop(state);
                self.create(plural, namespace, body.clone());
                ok(&self.state.lock().objects[&id])
            }
            ("DELETE", Some(_)) => {
                if !state.objects.contains_key(&id) {
                    return failure(StatusCode::NOT_FOUND, "delete");
                }
                state.remove(&id);
                ok(&json!({ "kind": "Status", "apiVersion": "v1", "status": "Success" }))
            }
            ("PUT", Some(_)) => match state.replace(&id, body) {
                Ok(object) => ok(&object),
                Err(status) => failure(status, "put"),
            },
            ("PATCH", Some(_)) => match state.patch(&id, body, sub == Some("status")) {
                Ok(object) => ok(&object),
                Err(status) => failure(status, "patch"),
            },
            _ => failure(StatusCode::METHOD_NOT_ALLOWED, "not here"),
        }
    }
}

impl State {
    fn put(&mut self, what: &str, id: Id, mut object: Value) {
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.publish(what, &id.0, object.clone());
        self.objects.insert(id, object);
    }

    fn remove(&mut self, id: &Id) {
        if let Some(mut object) = self.objects.remove(id) {
            self.version += 1;
            object["metadata"]["resourceVersion"] = self.version.to_string().into();
            self.publish("DELETED", &id.0, object);
        }
    }

    fn publish(&mut self, what: &str, plural: &str, object: Value) {
        let event = json!({ "type": what, "object": object });
        self.history
            .push((self.version, plural.to_owned(), event.clone()));
        self.watchers
            .retain(|(kind, watcher)| kind != plural || watcher.send(event.clone()).is_ok());
    }

    fn watch(&mut self, plural: &str, query: &str) -> Response<Answer> {
        let after = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("resourceVersion="))
            .unwrap_or("0");
        let after: u64 = after.parse().expect("a version");
        let (sender, receiver) = mpsc::unbounded_channel();
        for (version, kind, event) in &self.history {
            if *version > after && kind == plural {
                sender.send(event.clone()).expect("an open channel");
            }
        }
        self.watchers.push((plural.to_owned(), sender));
        let lines = receiver_stream(receiver)
            .map(|event| Ok::<_, Infallible>(Frame::data(Bytes::from(format!("{event}\n")))));
        Response::new(StreamBody::new(lines).boxed_unsync())
    }

    fn replace(&mut self, id: &Id, object: &Value) -> Result<Value, StatusCode> {
        let before = self.objects.get(id).ok_or(StatusCode::NOT_FOUND)?;
        if object["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"] {
            return Err(StatusCode::CONFLICT);
        }
        self.put("MODIFIED", id.clone(), object.clone());
        Ok(self.objects[id].clone())
    }

    fn patch(&mut self, id: &Id, patch: &Value, is_status: bool) -> Result<Value, StatusCode> {
        let before = self.objects.get(id).ok_or(StatusCode::NOT_FOUND)?.clone();
        let meta = &patch["metadata"];
        for field in ["uid", "resourceVersion"] {
            if !meta[field].is_null() && meta[field] != before["metadata"][field] {
                return Err(StatusCode::CONFLICT);
            }
        }
        let mut after = before.clone();
        if is_status {
            merge(&mut after["status"], &patch["status"]);
        } else {
            let status = before["status"].clone();
            merge(&mut after, patch);
            if !status.is_null() {
                after["status"] = status;
            }
            if after["spec"] != before["spec"] {
                let generation = before["metadata"]["generation"]
                    .as_i64()
                    .expect("a generation");
                after["metadata"]["generation"] = (generation + 1).into();
            }
        }
        if after == before {
            return Ok(after);
        }
        let is_released = after["metadata"]["finalizers"]
            .as_array()
            .is_none_or(Vec::is_empty)
            && !after["metadata"]["deletionTimestamp"].is_null();
        if is_released {
            self.remove(id);
            return Ok(after);
        }
        self.put("MODIFIED", id.clone(), after);
        Ok(self.objects[id].clone())
    }
}

/// RFC 7386.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let target = target.as_object_mut().expect("made an object above");
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            merge(target.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

fn ok(object: &Value) -> Response<Answer> {
    Response::new(Full::new(Bytes::from(object.to_string())).boxed_unsync())
}

fn failure(status: StatusCode, message: &str) -> Response<Answer> {
    let reason = status.canonical_reason().unwrap_or_default();
    because(status, &reason.replace(' ', ""), message)
}

fn already_exists() -> Response<Answer> {
    because(StatusCode::CONFLICT, "AlreadyExists", "it exists already")
}

fn because(status: StatusCode, reason: &str, message: &str) -> Response<Answer> {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message,
        "reason": reason, "code": status.as_u16(),
    });
    let mut response = ok(&body);
    *response.status_mut() = status;
    response
}

mod tokio_stream_wrapper {
    //! A channel as a stream, without another crate.

    use futures::stream::{Stream, unfold};
    use tokio::sync::mpsc::UnboundedReceiver;

    pub(super) fn receiver_stream<T>(receiver: UnboundedReceiver<T>) -> impl Stream<Item = T> {
        unfold(receiver, |mut receiver| async {
            receiver.recv().await.map(|item| (item, receiver))
        })
    }
}
