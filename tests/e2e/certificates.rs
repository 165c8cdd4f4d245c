//! The certificate authority changes while kube-apiserver's aggregator sends requests: none of them fails. What keeps the
//! certificate is the program's own keeper, with lives of seconds in place of days; behind it stands a server that closes
//! its connections again and again, so that kube-apiserver has to believe it all the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{Request, Response, header};
use hyper::body::Incoming;
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::Api;
use kube::api::DeleteParams;
use parking_lot::Mutex;
use serde_json::Value;
use tagscope::clock::SystemClock;
use tagscope::cluster::serving_cert::{Issued, Keeper, Lives, SECRET, Settings};
use tagscope::serve::{Body, Certificates, KeyPair, Listener, Peer, Server, Tls};
use tagscope::task::Group;
use tokio_util::sync::CancellationToken;

use crate::harness::{ControlPlane, eventually};
use crate::world::SOON;

const HOME: &str = "tagscope-system";
const API_SERVICE: &str = "v1alpha1.tags.tagscope.dev";
const PATH: &str = "/apis/tags.tagscope.dev/v1alpha1/imagetags";
/// Each connection carries so many requests.
const REQUESTS: usize = 5;
const ROTATIONS: usize = 2;
const CLIENTS: usize = 4;

fn settings() -> Settings {
    Settings {
        namespace: HOME.into(),
        service: "tagscope".into(),
        api_service: API_SERVICE.into(),
        lives: Lives {
            publication: SignedDuration::from_secs(2),
            overlap: SignedDuration::from_secs(5),
            ..Lives::default()
        },
    }
}

/// A server that knows nothing but an empty list.
async fn serve(certificates: Certificates, asked: Arc<AtomicUsize>, tasks: &mut Group) -> u16 {
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let port = listener.address().port();
    let answer = move |_: Request<Incoming>, peer: Peer| {
        let at = asked.fetch_add(1, Ordering::SeqCst);
        if at.is_multiple_of(REQUESTS) {
            peer.close_gracefully();
        }
        async {
            let list = r#"{"kind":"ImageTagList","apiVersion":"tags.tagscope.dev/v1alpha1","metadata":{"resourceVersion":"1"},"items":[]}"#;
            let mut response = Response::new(Body::from(list));
            let json = http::HeaderValue::from_static("application/json");
            response.headers_mut().insert(header::CONTENT_TYPE, json);
            response
        }
    };
    let server = Server::new(listener, answer).with_tls(Tls::new(certificates).unwrap());
    tasks.spawn("server", async move {
        server.run(CancellationToken::new(), Duration::ZERO).await;
    });
    port
}

/// The bundle that kube-apiserver is told to believe.
async fn bundle(services: &Api<APIService>) -> String {
    let found = services.get(API_SERVICE).await.unwrap();
    let bundle = found.spec.and_then(|spec| spec.ca_bundle);
    bundle.map_or_else(String::new, |bundle| String::from_utf8(bundle.0).unwrap())
}

async fn believed(services: &Api<APIService>, what: &str, is_it: impl Fn(&str) -> bool) -> String {
    eventually(SOON, what, || async {
        let bundle = bundle(services).await;
        if is_it(&bundle) {
            Ok(bundle)
        } else {
            Err(bundle)
        }
    })
    .await
}

fn authorities(bundle: &str) -> usize {
    bundle.matches("BEGIN CERTIFICATE").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_changes_fails_no_request_through_the_aggregator() {
    let cluster = ControlPlane::start().await;
    let (certificates, asked) = (Certificates::empty(), Arc::default());
    let mut tasks = Group::new();
    let port = serve(certificates.clone(), Arc::clone(&asked), &mut tasks).await;
    let local = cluster.kustomize("apiservice/local").await;
    cluster
        .apply(&local.replace("8443", &port.to_string()))
        .await;

    let client = cluster.client().await;
    let issued = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&issued);
    let install = move |new: &Issued| {
        certificates.replace(KeyPair::from_der(new.chain.clone(), &new.key)?);
        counted.fetch_add(1, Ordering::SeqCst);
        Ok(())
    };
    let keeper = Keeper::start(client.clone(), settings(), Arc::new(SystemClock), install);
    let keeper = keeper
        .await
        .unwrap()
        .with_period(Duration::from_millis(200));
    tasks.spawn("keeper", keeper.keep(CancellationToken::new()));
    let services: Api<APIService> = Api::all(client.clone());
    let mut present = believed(&services, "the first bundle", |held| authorities(held) == 1).await;
    let available = format!("apiservice/{API_SERVICE}");
    let wait = [
        "wait",
        "--for=condition=Available",
        &available,
        "--timeout=30s",
    ];
    cluster.kubectl(&wait).await.ok();

    let (done, failures) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(Mutex::new(Vec::new())),
    );
    let mut clients = Group::new();
    for _ in 0..CLIENTS {
        let client = cluster.client().await;
        let (done, failures) = (Arc::clone(&done), Arc::clone(&failures));
        clients.spawn("client", async move {
            loop {
                let request = Request::get(PATH).body(Vec::new()).unwrap();
                match client.request::<Value>(request).await {
                    Ok(list) => assert_eq!(list["kind"], "ImageTagList"),
                    Err(error) => failures.lock().push(error.to_string()),
                }
                done.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    let secrets: Api<Secret> = Api::namespaced(client, HOME);
    for round in 0..ROTATIONS {
        secrets
            .delete(SECRET, &DeleteParams::default())
            .await
            .unwrap();
        let old = present.clone();
        let both = believed(&services, "both authorities", |held| authorities(held) == 2).await;
        assert!(both.contains(old.trim()), "the old one beside the new one");
        present = believed(&services, "the new one alone", |held| {
            authorities(held) == 1 && held.trim() != old.trim()
        })
        .await;
        assert_eq!(
            issued.load(Ordering::SeqCst),
            round + 2,
            "one certificate of each"
        );
        // What is believed now is what is served: for a while longer.
        let before = done.load(Ordering::SeqCst);
        eventually(SOON, "more requests", || async {
            let more = done.load(Ordering::SeqCst) - before;
            if more > 200 { Ok(()) } else { Err(more) }
        })
        .await;
    }
    clients.abort().await;
    let failures = failures.lock().clone();
    assert!(
        failures.is_empty(),
        "{} of {done:?}: {:?}",
        failures.len(),
        failures.first()
    );
    tasks.abort().await;
}
