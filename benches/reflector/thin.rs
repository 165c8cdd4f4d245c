//! Clients that send bytes and read answers without looking into them: the creates of every run, and the floor.

use std::sync::Arc;

use http::{Method, Request, header::CONTENT_TYPE};
use tokio::task::JoinSet;

use crate::e2e::harness::ControlPlane;

/// How many clients send at the same time.
pub(crate) const CLIENTS: usize = 16;

/// Where our kinds are.
pub(crate) const KINDS: &str = "/apis/image.toolkit.fluxcd.io/v1/namespaces";

/// One client, with a connection of its own.
#[derive(Clone)]
pub(crate) struct Thin(kube::Client);

impl Thin {
    pub(crate) async fn new(cluster: &ControlPlane) -> Self {
        Self(cluster.client().await)
    }

    pub(crate) async fn post(&self, path: &str, body: String) -> String {
        self.send(Method::POST, path, "application/json", body)
            .await
    }

    pub(crate) async fn patch(&self, path: &str, body: String) -> String {
        self.send(Method::PATCH, path, "application/merge-patch+json", body)
            .await
    }

    pub(crate) async fn get(&self, path: &str) -> String {
        self.send(Method::GET, path, "application/json", String::new())
            .await
    }

    pub(crate) async fn delete(&self, path: &str) -> String {
        self.send(Method::DELETE, path, "application/json", String::new())
            .await
    }

    async fn send(&self, method: Method, path: &str, kind: &str, body: String) -> String {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(CONTENT_TYPE, kind)
            .body(body.into_bytes())
            .unwrap();
        self.0.request_text(request).await.unwrap()
    }
}

/// The name of the n-th ImageRepository and of its ImagePolicy.
pub(crate) fn name(n: usize) -> String {
    format!("pair-{n:04}")
}

/// The n-th repository of the registry at `host`.
fn image(host: &str, n: usize) -> String {
    format!("{host}/team/{}", name(n))
}

async fn create(client: &Thin, namespace: &str, host: &str, n: usize) -> [String; 2] {
    let (name, image) = (name(n), image(host, n));
    let repository = format!(
        r#"{{"apiVersion":"image.toolkit.fluxcd.io/v1","kind":"ImageRepository","metadata":{{"name":"{name}","namespace":"{namespace}"}},"spec":{{"image":"{image}","interval":"1h"}}}}"#
    );
    let policy = format!(
        r#"{{"apiVersion":"image.toolkit.fluxcd.io/v1","kind":"ImagePolicy","metadata":{{"name":"{name}","namespace":"{namespace}"}},"spec":{{"imageRepositoryRef":{{"name":"{name}"}},"policy":{{"semver":{{"range":">=0.0.0"}}}}}}}}"#
    );
    [
        client
            .post(
                &format!("{KINDS}/{namespace}/imagerepositories"),
                repository,
            )
            .await,
        client
            .post(&format!("{KINDS}/{namespace}/imagepolicies"), policy)
            .await,
    ]
}

/// Creates `count` pairs in `namespace`, with as many clients at a time as there are.
pub(crate) async fn create_all(cluster: &ControlPlane, namespace: &str, host: &str, count: usize) {
    each(cluster, count, {
        let (namespace, host) = (namespace.to_owned(), host.to_owned());
        move |client, n| {
            let (namespace, host) = (namespace.clone(), host.clone());
            async move {
                create(&client, &namespace, &host, n).await;
            }
        }
    })
    .await;
}

/// What a controller sends for one pair, to be sent again for others: written by ours in a run before.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    name: String,
    namespace: String,
    /// `plural`, the uid, the patch of its status, and the Event.
    steps: Vec<(&'static str, String, String, String)>,
}

impl Script {
    /// What was written for the pair `n` of `namespace`.
    pub(crate) async fn record(client: &Thin, namespace: &str, n: usize) -> Self {
        let name = name(n);
        let events = client
            .get(&format!("/api/v1/namespaces/{namespace}/events"))
            .await;
        let events: serde_json::Value = serde_json::from_str(&events).unwrap();
        let mut steps = Vec::new();
        for plural in ["imagerepositories", "imagepolicies"] {
            let object = client
                .get(&format!("{KINDS}/{namespace}/{plural}/{name}"))
                .await;
            let object: serde_json::Value = serde_json::from_str(&object).unwrap();
            let uid = object["metadata"]["uid"].as_str().unwrap().to_owned();
            let patch =
                serde_json::json!({ "metadata": { "uid": uid }, "status": object["status"] });
            let mut event = events["items"]
                .as_array()
                .unwrap()
                .iter()
                .find(|event| event["involvedObject"]["uid"] == uid)
                .unwrap()
                .clone();
            event["metadata"] = serde_json::json!({
                "name": event["metadata"]["name"], "namespace": event["metadata"]["namespace"]
            });
            event["kind"] = "Event".into();
            event["apiVersion"] = "v1".into();
            steps.push((plural, uid, patch.to_string(), event.to_string()));
        }
        Self {
            name,
            namespace: namespace.to_owned(),
            steps,
        }
    }

    /// Creates the pair `n` and sends all that for it.
    async fn play(&self, client: &Thin, namespace: &str, host: &str, n: usize) {
        let answers = create(client, namespace, host, n).await;
        let new = name(n);
        for ((plural, uid, patch, event), answer) in self.steps.iter().zip(answers) {
            let (_, rest) = answer.split_once("\"uid\":\"").unwrap();
            let (own, _) = rest.split_once('"').unwrap();
            let adapt = |text: &str| {
                text.replace(uid, own)
                    .replace(&self.name, &new)
                    .replace(&self.namespace, namespace)
            };
            let path = format!(
                "{KINDS}/{namespace}/{plural}/{new}/status?&fieldManager=image-reflector-controller"
            );
            client.patch(&path, adapt(patch)).await;
            let path = format!("/api/v1/namespaces/{namespace}/events?");
            client.post(&path, adapt(event)).await;
        }
    }
}

/// The floor: everything that has to be written for `count` pairs, as fast as the API server takes it.
pub(crate) async fn floor(
    cluster: &ControlPlane,
    script: &Script,
    namespace: &str,
    host: &str,
    count: usize,
) {
    let script = Arc::new(script.clone());
    each(cluster, count, {
        let (namespace, host) = (namespace.to_owned(), host.to_owned());
        move |client, n| {
            let (script, namespace, host) = (script.clone(), namespace.clone(), host.clone());
            async move { script.play(&client, &namespace, &host, n).await }
        }
    })
    .await;
}

/// Runs `work` for every number below `count`.
async fn each<W, F>(cluster: &ControlPlane, count: usize, work: W)
where
    W: Fn(Thin, usize) -> F + Clone + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let next = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS.min(count) {
        let (client, next, work) = (Thin::new(cluster).await, next.clone(), work.clone());
        clients.spawn(async move {
            loop {
                let n = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                if n >= count {
                    break;
                }
                work(client.clone(), n).await;
            }
        });
    }
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
}
