//! Events as a Flux user hears them: in the cluster, and at the address of `--events-addr`.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::harness::eventually;
use crate::world::{SOON, World};

type Heard = Arc<Mutex<Vec<Value>>>;

/// Listens as notification-controller does, and answers 202; the first request of all is answered 500.
async fn listen(socket: TcpListener, heard: Heard) {
    let tries = Arc::new(Mutex::new(0));
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = socket.accept().await.unwrap();
        let (heard, tries) = (heard.clone(), tries.clone());
        connections.spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let (heard, tries) = (heard.clone(), tries.clone());
                async move {
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    let mut tries = tries.lock();
                    *tries += 1;
                    let mut answer = Response::new(Full::new(Bytes::new()));
                    if *tries == 1 {
                        *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                    } else {
                        *answer.status_mut() = StatusCode::ACCEPTED;
                        heard.lock().push(serde_json::from_slice(&body).unwrap());
                    }
                    Ok::<_, Infallible>(answer)
                }
            });
            let serving = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service);
            // A client that goes away is in order.
            drop(serving.await);
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_in_the_cluster_is_posted_as_well() {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("--events-addr=http://{}/", socket.local_addr().unwrap());
    let heard = Heard::default();
    let mut listener = JoinSet::new();
    listener.spawn(listen(socket, heard.clone()));

    let world = World::start(&[&address]).await;
    let ns = &world.cluster.namespace("events").await;
    world.cluster.registry.push("events/app", &["1.0.0"]).await;
    world.create_repository(ns, "app", "events/app").await;
    world
        .cluster
        .apply(&format!(
            "{{apiVersion: image.toolkit.fluxcd.io/v1, kind: ImagePolicy, \
             metadata: {{name: app, namespace: {ns}, annotations: {{event.toolkit.fluxcd.io/team: a}}}}, \
             spec: {{imageRepositoryRef: {{name: app}}, policy: {{semver: {{range: '*'}}}}}}}}"
        ))
        .await;
    world.elects(ns, "app", "1.0.0").await;

    let of = |kind: &str, list: &[Value]| -> Vec<Value> {
        let found = list
            .iter()
            .filter(|event| event["involvedObject"]["kind"] == kind);
        found.cloned().collect()
    };
    let image = world.cluster.registry.image("events/app");
    let expected = format!("Latest image tag for {image} resolved to 1.0.0");
    let posted = eventually(SOON, "both are posted", || async {
        let heard = heard.lock().clone();
        let ready = |event: &&Value| event["message"] == expected.as_str();
        let policy = of("ImagePolicy", &heard).iter().find(ready).cloned();
        let repository = of("ImageRepository", &heard).first().cloned();
        policy.zip(repository).ok_or_else(|| format!("{heard:#?}"))
    });
    let (policy, repository) = posted.await;
    let policy_object = world.get(&["imagepolicy", "app", "-n", ns]).await;
    assert_eq!(
        policy["involvedObject"]["uid"],
        policy_object["metadata"]["uid"]
    );
    assert_eq!(
        policy["involvedObject"]["apiVersion"],
        "image.toolkit.fluxcd.io/v1"
    );
    assert_eq!(policy["severity"], "info");
    assert_eq!(policy["reason"], "Succeeded");
    assert_eq!(policy["metadata"]["event.toolkit.fluxcd.io/team"], "a");
    assert_eq!(policy["reportingController"], "image-reflector-controller");
    assert!(repository["metadata"].is_null(), "{repository}");

    let written = eventually(SOON, "both are in the cluster", || async {
        let list = world.get(&["events", "-n", ns]).await;
        let items = list["items"].as_array().cloned().unwrap_or_default();
        let policy = of("ImagePolicy", &items).into_iter().next();
        policy
            .filter(|_| !of("ImageRepository", &items).is_empty())
            .ok_or_else(|| format!("{items:#?}"))
    });
    let written = written.await;
    assert_eq!(written["source"]["component"], "image-reflector-controller");
    assert_eq!(
        written["metadata"]["annotations"]["event.toolkit.fluxcd.io/team"],
        "a"
    );
}
