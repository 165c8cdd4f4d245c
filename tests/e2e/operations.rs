//! The aggregated API in operation, through a real kube-apiserver: who may see what, the trail it leaves, outages of
//! registries and of its APIService, and a stop under load after which nobody has missed anything.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::TryStreamExt as _;
use http::Request;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams};
use kube::runtime::watcher;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::harness::{Tagscope, eventually};
use crate::world::{SOON, World};

const GROUP: &str = "/apis/tags.tagscope.dev/v1alpha1";

/// A GET of the program's own port.
async fn direct(program: &Tagscope, path: &str, token: Option<&str>) -> reqwest::Response {
    let client = reqwest::Client::builder()
        .tls_danger_accept_invalid_certs(true)
        .build()
        .unwrap();
    let mut request = client.get(format!("https://127.0.0.1:{}{path}", program.secure_port));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    request.send().await.unwrap()
}

/// Passes connections on to a registry, until it is dropped.
struct Way {
    address: String,
    accepting: JoinHandle<()>,
}

impl Way {
    async fn to(registry: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let registry: SocketAddr = registry.parse().unwrap();
        let accepting = tokio::spawn(async move {
            let mut passing = tokio::task::JoinSet::new();
            while let Ok((mut from, _)) = listener.accept().await {
                passing.spawn(async move {
                    let mut to = TcpStream::connect(registry).await.unwrap();
                    // Either may hang up.
                    drop(tokio::io::copy_bidirectional(&mut from, &mut to).await);
                });
            }
        });
        Self { address, accepting }
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_see_what_and_the_trail_that_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let audit = dir.path().join("audit.log");
    let flag = format!("--audit-log-path={}", audit.display());
    let world = World::start(&[&flag]).await;
    let (cluster, program) = (&world.cluster, &world.program);
    let ns = &cluster.namespace("operated").await;

    // Anonymous: health, and nothing else but what the cluster lets everybody see.
    for path in ["/livez", "/readyz", "/healthz"] {
        let answer = direct(program, path, None).await;
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(answer.text().await.unwrap(), "ok", "{path}");
    }
    for (path, code) in [
        ("/metrics", 403),
        ("/", 403),
        ("/readyz/ping", 403),
        ("/version", 200),
    ] {
        assert_eq!(direct(program, path, None).await.status(), code, "{path}");
    }
    // With a token and the right to it.
    cluster
        .apply(&format!(
            "apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: scraper, namespace: {ns}}}\n---\n\
             apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {{name: {ns}-metrics}}\n\
             rules: [{{nonResourceURLs: [/metrics, /], verbs: [get]}}]\n---\n\
             apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {{name: {ns}-metrics}}\n\
             roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {ns}-metrics}}\n\
             subjects: [{{kind: ServiceAccount, name: scraper, namespace: {ns}}}]\n"
        ))
        .await;
    let token = cluster
        .kubectl(&["create", "token", "scraper", "-n", ns])
        .await
        .ok();
    let token = token.trim();
    let metrics = direct(program, "/metrics", Some(token)).await;
    assert_eq!(metrics.status(), 200);
    let metrics = metrics.text().await.unwrap();
    for start in [
        "apiserver_request_total{verb=\"GET\"",
        "apiserver_request_duration_seconds_bucket{",
        "apiserver_delegated_authn_request_total{code=\"201\"}",
        "apiserver_delegated_authz_request_total{code=\"201\"}",
        "authentication_token_cache_request_total{status=\"miss\"}",
        "authorization_attempts_total{result=\"allowed\"}",
        "apiserver_audit_event_total",
        "tagscope_serving_certificate_not_after_timestamp_seconds",
    ] {
        assert!(
            metrics.lines().any(|line| line.starts_with(start)),
            "no {start} in\n{metrics}"
        );
    }
    let index = direct(program, "/", Some(token))
        .await
        .text()
        .await
        .unwrap();
    let index: Value = serde_json::from_str(&index).unwrap();
    assert!(
        index["paths"]
            .as_array()
            .unwrap()
            .contains(&json!("/metrics")),
        "{index}"
    );

    // One id joins kube-apiserver's audit log and ours.
    cluster.kubectl(&["get", "imagetags", "-n", ns]).await.ok();
    let listed = |event: &Value| {
        event["verb"] == "list"
            && event["objectRef"]["namespace"] == ns.as_str()
            && event["stage"] == "ResponseComplete"
    };
    let ours = eventually(SOON, "the list is in our audit log", || async {
        let text = std::fs::read_to_string(&audit).unwrap_or_default();
        let events = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        events.into_iter().find(listed).ok_or("it is not")
    })
    .await;
    assert_eq!(ours["responseStatus"]["code"], 200);
    assert_eq!(ours["sourceIPs"][0], "127.0.0.1");
    assert!(
        ours["userAgent"].as_str().unwrap().starts_with("kubectl/"),
        "{ours}"
    );
    let id = ours["auditID"].as_str().unwrap();
    eventually(
        SOON,
        "kube-apiserver's event of the same id is there",
        || async {
            let theirs = cluster.log("audit");
            let found = theirs.lines().any(|line| line.contains(id));
            found.then_some(()).ok_or("it is not")
        },
    )
    .await;
    let text = std::fs::read_to_string(&audit).unwrap();
    assert!(!text.contains(token) && !text.contains("\"requestURI\":\"/readyz\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn outages_of_registries_and_of_the_api_service_pass() {
    let world = World::start(&[]).await;
    let (cluster, program) = (&world.cluster, &world.program);
    let ns = &cluster.namespace("outage").await;
    cluster.registry.push("outage/app", &["1.0.0"]).await;
    let way = Way::to(&cluster.registry.address).await;
    let repository = |interval: &str| {
        format!(
            "{{apiVersion: image.toolkit.fluxcd.io/v1, kind: ImageRepository, \
             metadata: {{name: app, namespace: {ns}}}, \
             spec: {{image: \"{}/outage/app\", interval: {interval}}}}}",
            way.address
        )
    };
    cluster.apply(&repository("1h")).await;
    world.wait_ready(ns, "imagerepository/app").await;

    // Names with a colon, as they are and escaped; and nothing below the group is ever a redirect.
    let client = cluster.client().await;
    for (path, code) in [
        (format!("{GROUP}/namespaces/{ns}/imagetags/app:1.0.0"), 200),
        (
            format!("{GROUP}/namespaces/{ns}/imagetags/app%3A1.0.0"),
            200,
        ),
        (format!("{GROUP}/namespaces/{ns}/imagetags/app:2"), 404),
        (format!("{GROUP}/namespaces/{ns}/imagetags"), 200),
        (format!("{GROUP}/imagetags?limit=1"), 200),
        (GROUP.to_owned(), 200),
        (format!("{GROUP}/"), 200),
        (format!("{GROUP}/nothings"), 404),
        (format!("{GROUP}//imagetags"), 404),
    ] {
        let request = Request::get(&path)
            .body(kube::client::Body::empty())
            .unwrap();
        let answer = client.send(request).await.unwrap();
        assert!(
            !answer.status().is_redirection(),
            "{path}: {}",
            answer.status()
        );
        assert_eq!(answer.status(), code, "{path}");
    }

    drop(way);
    world.request_scan(ns, "app").await;
    eventually(SOON, "the scan fails", || async {
        let object = world.get(&["imagerepository", "app", "-n", ns]).await;
        let conditions = object["status"]["conditions"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let ready = conditions
            .into_iter()
            .find(|one| one["type"] == "Ready")
            .unwrap_or_default();
        if ready["status"] == "False" {
            Ok(())
        } else {
            Err(ready.to_string())
        }
    })
    .await;
    assert_eq!(direct(program, "/readyz", None).await.status(), 200);
    let listed = world.get(&["imagetags", "-n", ns]).await;
    assert_eq!(
        listed["items"][0]["metadata"]["name"], "app:1.0.0",
        "what is known is served"
    );
    let available = [
        "wait",
        "--for=condition=Available",
        "apiservice/v1alpha1.tags.tagscope.dev",
        "--timeout=60s",
    ];
    cluster.kubectl(&available).await.ok();

    cluster
        .kubectl(&["delete", "apiservice", "v1alpha1.tags.tagscope.dev"])
        .await
        .ok();
    cluster.install(program).await;
    cluster.kubectl(&available).await.ok();
    let again = eventually(SOON, "tags are listed again", || async {
        cluster
            .kubectl(&["get", "imagetags", "-n", ns, "-o", "name"])
            .await
            .probe()
    })
    .await;
    assert_eq!(again.trim(), "imagetag.tags.tagscope.dev/app:1.0.0");
}

fn imagetags(client: kube::Client, ns: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("tags.tagscope.dev", "v1alpha1", "ImageTag");
    let resource = ApiResource::from_gvk_with_plural(&kind, "imagetags");
    Api::namespaced_with(client, ns, &resource)
}

/// What a watcher of kube-rs has been told.
#[derive(Default)]
struct Heard {
    names: BTreeMap<String, String>,
    lists: usize,
    applied: Vec<String>,
}

/// Follows all tags of `ns` for as long as it is polled.
async fn follow(api: Api<DynamicObject>, heard: Arc<Mutex<Heard>>) {
    let mut events = std::pin::pin!(watcher(api, watcher::Config::default()));
    loop {
        let event = events.try_next().await;
        let is_away = event.is_err();
        heard.lock().unwrap().hear(event);
        if is_away {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Heard {
    fn hear(&mut self, event: Result<Option<watcher::Event<DynamicObject>>, watcher::Error>) {
        let of = |object: DynamicObject| {
            let version = object.metadata.resource_version.unwrap();
            (object.metadata.name.unwrap(), version)
        };
        match event {
            Ok(Some(watcher::Event::Init)) => self.lists += 1,
            Ok(Some(watcher::Event::InitApply(object))) => self.names.extend([of(object)]),
            Ok(Some(watcher::Event::Apply(object))) => {
                let (name, version) = of(object);
                self.applied.push(name.clone());
                self.names.insert(name, version);
            }
            Ok(Some(watcher::Event::Delete(object))) => {
                self.names.remove(&of(object).0);
            }
            // A failure is the server being away for a moment.
            Ok(Some(watcher::Event::InitDone) | None) | Err(_) => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_under_load_cuts_nobody_off_and_watchers_miss_nothing() {
    let mut world = World::start(&["--shutdown-delay-duration=1s"]).await;
    let ns = world.cluster.namespace("stopped").await;
    world.cluster.registry.push("stopped/app", &["1.0.0"]).await;
    world.scan(&ns, "app", "stopped/app").await;

    let heard: Vec<_> = (0..20).map(|_| Arc::<Mutex<Heard>>::default()).collect();
    let mut following = Vec::new();
    for heard in &heard {
        let api = imagetags(world.cluster.client().await, &ns);
        following.push(tokio::spawn(follow(api, Arc::clone(heard))));
    }
    let (over, whole, broken) = (
        Arc::<AtomicBool>::default(),
        Arc::<AtomicUsize>::default(),
        Arc::<Mutex<Vec<String>>>::default(),
    );
    let mut asking = Vec::new();
    for _ in 0..8 {
        let api = imagetags(world.cluster.client().await, &ns);
        let (over, whole, broken) = (Arc::clone(&over), Arc::clone(&whole), Arc::clone(&broken));
        asking.push(tokio::spawn(async move {
            while !over.load(Ordering::SeqCst) {
                match api.list(&ListParams::default()).await {
                    Ok(list) if !list.items.is_empty() => {
                        whole.fetch_add(1, Ordering::SeqCst);
                    }
                    Ok(_) => broken.lock().unwrap().push("an empty list".to_owned()),
                    // Not there for a moment, and told so in whole sentences; the client has tried for a while by itself.
                    Err(kube::Error::Api(status)) if status.code == 503 => {}
                    Err(error) => broken.lock().unwrap().push(format!("{error:?}")),
                }
            }
        }));
    }
    eventually(SOON, "the load is on", || async {
        let synced = heard
            .iter()
            .all(|heard| heard.lock().unwrap().names.len() == 1);
        let asked = whole.load(Ordering::SeqCst);
        if synced && asked > 100 {
            Ok(())
        } else {
            Err(format!("{asked} lists"))
        }
    })
    .await;
    let end = world.program.terminate().await;
    assert!(end.success(), "{end}\n{}", world.program.log());
    let log = world.program.log();
    assert!(
        !log.contains("Connections were cut") && !log.contains("took too long"),
        "{log}"
    );

    // The next process, on the same store.
    world.program.restart().await.unwrap();
    world
        .cluster
        .registry
        .push("stopped/app", &["1.1.0", "1.2.0"])
        .await;
    world.request_scan(&ns, "app").await;
    eventually(SOON, "every watcher has heard of the new tags", || async {
        let told = |heard: &Heard| heard.names.len() == 3;
        let all = heard.iter().all(|heard| told(&heard.lock().unwrap()));
        all.then_some(()).ok_or("not all")
    })
    .await;
    over.store(true, Ordering::SeqCst);
    for asking in asking {
        let ended = tokio::time::timeout(2 * SOON, asking).await;
        ended.expect("it hears of the new process").unwrap();
    }
    assert_eq!(*broken.lock().unwrap(), [""; 0]);
    let truth = imagetags(world.cluster.client().await, &ns);
    let truth: BTreeMap<String, String> = truth
        .list(&ListParams::default())
        .await
        .unwrap()
        .items
        .into_iter()
        .map(|object| {
            (
                object.metadata.name.unwrap(),
                object.metadata.resource_version.unwrap(),
            )
        })
        .collect();
    for heard in &heard {
        let heard = heard.lock().unwrap();
        assert_eq!(heard.names, truth);
        assert_eq!(heard.lists, 1, "its position outlived the restart");
        let mut applied = heard.applied.clone();
        applied.sort_unstable();
        assert_eq!(applied, ["app:1.1.0", "app:1.2.0"], "each event once");
    }
    for following in following {
        following.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once() {
    let mut world = World::start(&["--shutdown-delay-duration=1h"]).await;
    crate::harness::signal(world.program.id(), "TERM");
    let health = format!("http://{}/readyz", world.program.health);
    eventually(SOON, "it is not ready any more, and serves on", || async {
        let answer = reqwest::get(&health)
            .await
            .map_err(|error| error.to_string())?;
        let (code, text) = (answer.status(), answer.text().await.unwrap());
        if code == 500 && text.contains("[-]shutdown failed") {
            Ok(())
        } else {
            Err(text)
        }
    })
    .await;
    assert_eq!(direct(&world.program, "/livez", None).await.status(), 200);
    let end = world.program.terminate().await;
    assert_eq!(end.code(), Some(1), "{}", world.program.log());
}
