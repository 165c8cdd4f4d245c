//! `flux check` and `flux logs` on an installation with the component: its Deployment, a pod of it, and a kubelet that
//! hands out what the program has logged. No pod runs: the program does, and the kubelet is this test.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::install::{build, deployment, installations, objects};
use super::{CONTROLLER, HOME, all_ready, flux, ground, its_kubeconfig, pair};
use crate::harness::ControlPlane;

const POD: &str = "image-reflector-controller-0";
const NODE: &str = "node-0";

type Texts<'a> = &'a [&'a str];

/// As kube-apiserver asks a kubelet for a container's log.
const LOG: &str = "/containerLogs/flux-system/image-reflector-controller-0/manager";

/// Serves the file as the container's log, in https with a certificate of its own, as a kubelet does.
struct Kubelet {
    address: SocketAddr,
    _serving: JoinSet<()>,
}

impl Kubelet {
    async fn of(log: PathBuf) -> Self {
        let own = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], PrivateKeyDer::from(key))
            .unwrap();
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let mut serving = JoinSet::new();
        serving.spawn(serve(socket, TlsAcceptor::from(Arc::new(config)), log));
        Self {
            address,
            _serving: serving,
        }
    }
}

async fn serve(socket: TcpListener, acceptor: TlsAcceptor, log: PathBuf) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = socket.accept().await.unwrap();
        let (acceptor, log) = (acceptor.clone(), log.clone());
        connections.spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let log = log.clone();
                async move {
                    let mut answer = Response::new(Full::default());
                    if request.uri().path() == LOG {
                        *answer.body_mut() = Full::new(Bytes::from(std::fs::read(log).unwrap()));
                    } else {
                        *answer.status_mut() = StatusCode::NOT_FOUND;
                    }
                    Ok::<_, Infallible>(answer)
                }
            });
            let stream = acceptor.accept(stream).await.unwrap();
            let serving = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service);
            // A client that goes away is in order.
            drop(serving.await);
        });
    }
}

/// A node with this kubelet, and on it a pod of the Deployment, which counts as rolled out.
async fn roll_out(cluster: &ControlPlane, deployment: &Value, kubelet: &Kubelet) {
    let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": NODE } });
    cluster.apply(&node.to_string()).await;
    let port = kubelet.address.port();
    let status = json!({
        "addresses": [{ "type": "InternalIP", "address": kubelet.address.ip() }],
        "daemonEndpoints": { "kubeletEndpoint": { "Port": port } },
    });
    patch_status(cluster, &["node", NODE], status).await;

    let template = &deployment["spec"]["template"];
    let mut spec = template["spec"].clone();
    spec["nodeName"] = json!(NODE);
    let labels = template["metadata"]["labels"].clone();
    let metadata = json!({ "name": POD, "namespace": HOME, "labels": labels });
    let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec });
    cluster.apply(&pod.to_string()).await;

    let condition = |of: &str, reason: &str| {
        json!({
            "type": of, "status": "True", "reason": reason, "message": "",
            "lastUpdateTime": "2026-01-01T00:00:00Z", "lastTransitionTime": "2026-01-01T00:00:00Z",
        })
    };
    let status = json!({
        "observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1,
        "conditions": [
            condition("Available", "MinimumReplicasAvailable"),
            condition("Progressing", "NewReplicaSetAvailable"),
        ],
    });
    let it = ["deployment", CONTROLLER, "-n", HOME];
    patch_status(cluster, &it, status).await;
}

async fn patch_status(cluster: &ControlPlane, object: &[&str], status: Value) {
    let patch = json!({ "status": status }).to_string();
    let how = ["--subresource=status", "--type=merge", "-p", &patch];
    let args = [&["patch"], object, &how[..]].concat();
    cluster.kubectl(&args).await.ok();
}

/// The definition by which Flux's CLI knows that there is a Flux at all; source-controller brings it.
fn source_definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {
            "name": "gitrepositories.source.toolkit.fluxcd.io",
            "labels": { "app.kubernetes.io/part-of": "flux", "app.kubernetes.io/version": "v2.9.5" },
        },
        "spec": {
            "group": "source.toolkit.fluxcd.io", "scope": "Namespaced",
            "names": { "kind": "GitRepository", "plural": "gitrepositories" },
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": { "openAPIV3Schema": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } },
            }],
        },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn flux_checks_the_installation_and_reads_the_program_s_log() {
    let cluster = &ground().await;
    let [_, changed] = installations(cluster).await;
    let stream = build(cluster, &changed).await;
    cluster.apply(&stream).await;
    cluster.apply(&source_definition().to_string()).await;
    let launch = cluster.tagscope().kubeconfig(its_kubeconfig(cluster).await);
    let program = launch.env("RUNTIME_NAMESPACE", HOME).start().await;
    let program = program.unwrap_or_else(|log| panic!("it did not start:\n{log}"));
    let kubelet = Kubelet::of(program.log_file().to_owned()).await;
    let all = objects(cluster, &stream).await;
    roll_out(cluster, deployment(&all), &kubelet).await;

    let check = flux(cluster, &["check", "--poll-interval=100ms"]).await;
    let said = format!("{}{}", check.stdout, check.stderr);
    assert_eq!(check.code, Some(0), "{said}");
    for part in [
        "image-reflector-controller: deployment ready",
        "tagscope:v",
        "imagepolicies.image.toolkit.fluxcd.io/v1",
        "imagerepositories.image.toolkit.fluxcd.io/v1",
        "all checks passed",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }

    let ns = &cluster.namespace("logs").await;
    cluster.registry.push("flux/logs", &["1.0.0"]).await;
    let good = pair(cluster, ns, "app", "flux/logs", "1.x");
    let bad = pair(cluster, ns, "bad", "flux/logs:1.0.0", "1.x");
    cluster.apply(&good).await;
    all_ready(cluster, ns).await;
    cluster.apply(&bad).await;
    let stalled = [
        "wait",
        "--for=condition=Stalled",
        "imagerepository/bad",
        "-n",
        ns,
    ];
    cluster.kubectl(&stalled).await.ok();

    let image = cluster.registry.image("flux/logs");
    let all = flux(cluster, &["logs", "-n", ns]).await.ok();
    let scanned =
        format!(" info ImageRepository/app.{ns} - successful scan: found 1 tags with checksum ");
    let resolved =
        format!(" info ImagePolicy/app.{ns} - Latest image tag for {image} resolved to 1.0.0 ");
    let refused = format!(" error ImageRepository/bad.{ns} - ");
    for line in [&scanned, &resolved, &refused] {
        assert!(all.contains(line), "{line}: {all}");
    }
    // Every line of an object's has a time, and names the object.
    for line in all.lines() {
        let (time, rest) = line.split_once(' ').unwrap();
        assert!(time.parse::<jiff::Timestamp>().is_ok(), "{line}");
        assert!(rest.contains(&format!(".{ns} - ")), "{line}");
    }
    let rows: [[Texts<'_>; 3]; 3] = [
        [&["--kind=ImagePolicy"], &[&resolved], &[&scanned]],
        [&["--level=error"], &[&refused], &[&scanned, &resolved]],
        [
            &["--kind=ImageRepository", "--name=app"],
            &[&scanned],
            &[&refused],
        ],
    ];
    for [flags, there, absent] in rows {
        let said = flux(cluster, &[&["logs", "-n", ns], flags].concat())
            .await
            .ok();
        assert!(
            there.iter().all(|line| said.contains(line)),
            "{flags:?}: {said}"
        );
        assert!(
            !absent.iter().any(|line| said.contains(line)),
            "{flags:?}: {said}"
        );
    }
}
