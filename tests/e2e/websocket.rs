//! Watches over a WebSocket through kube-apiserver, beside one of a built-in kind.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use kube::client::ConfigExt as _;
use kube::config::{KubeConfigOptions, Kubeconfig};
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::harness::ControlPlane;
use crate::world::{SOON, World};

const GROUP: &str = "/apis/tags.tagscope.dev/v1alpha1";

/// Sends a GET as the cluster's administrator that asks for a WebSocket.
async fn ask(cluster: &ControlPlane, path: &str, protocols: &str) -> Response<Incoming> {
    let kubeconfig = Kubeconfig::read_from(&cluster.kubeconfig).unwrap();
    let options = KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .unwrap();
    let mut tls = config.rustls_client_config().unwrap();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let authority = config.cluster_url.authority().unwrap().clone();
    let stream = TcpStream::connect(authority.as_str()).await.unwrap();
    let name = ServerName::try_from(authority.host().to_owned()).unwrap();
    let stream = TlsConnector::from(Arc::new(tls))
        .connect(name, stream)
        .await
        .unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tagscope::task::detach("client", async move {
        drop(connection.with_upgrades().await);
    });
    let mut request = Request::get(path)
        .header("host", authority.as_str())
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("origin", "https://console.example.org")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    if !protocols.is_empty() {
        request = request.header("sec-websocket-protocol", protocols);
    }
    let request = request.body(Empty::<Bytes>::new()).unwrap();
    sender.send_request(request).await.unwrap()
}

struct Socket {
    head: HeaderMap,
    stream: WebSocketStream<TokioIo<Upgraded>>,
}

impl Socket {
    async fn open(cluster: &ControlPlane, path: &str, protocols: &str) -> Self {
        let response = ask(cluster, path, protocols).await;
        assert_eq!(response.status(), 101, "{path}");
        let head = response.headers().clone();
        let io = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
        let stream = WebSocketStream::from_raw_socket(io, Role::Client, None).await;
        Self { head, stream }
    }

    /// The next message, `None` at the end.
    async fn message(&mut self) -> Option<Message> {
        let message = tokio::time::timeout(SOON, self.stream.next());
        message.await.expect("a message or the end comes")?.ok()
    }

    /// The text of the next event.
    async fn text(&mut self) -> String {
        match self.message().await {
            Some(Message::Text(text)) => text.to_string(),
            other => panic!("{other:?}"),
        }
    }

    async fn event(&mut self) -> Value {
        serde_json::from_str(&self.text().await).unwrap()
    }

    fn protocol(&self) -> Option<&str> {
        let protocol = self.head.get("sec-websocket-protocol");
        protocol.map(|value| value.to_str().unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_socket_watch_is_like_that_of_a_built_in_kind() {
    let world = World::shared().await;
    let cluster = &world.cluster;
    let ns = &cluster.namespace("websocket").await;
    cluster.registry.push("websocket/app", &["1.0.0"]).await;
    world.scan(ns, "app", "websocket/app").await;

    let configmap = ["create", "configmap", "one", "-n", ns];
    cluster.kubectl(&configmap).await.ok();
    let built_in = format!("/api/v1/namespaces/{ns}/configmaps?watch=1");
    let ours = format!("{GROUP}/namespaces/{ns}/imagetags?watch=1");
    let mut forms = Vec::new();
    for path in [built_in, ours] {
        let mut socket = Socket::open(cluster, &path, "base64.binary.k8s.io").await;
        assert_eq!(socket.protocol(), Some("base64.binary.k8s.io"), "{path}");
        let text = socket.text().await;
        let event: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(event["type"], "ADDED");
        let form = (
            text.ends_with('\n'),
            text.starts_with(r#"{"type":"ADDED","object":{"kind":""#),
        );
        forms.push(form);
    }
    assert_eq!(
        forms[0], forms[1],
        "one message per event, in the same form"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_socket_watch_tells_what_changes_and_ends_on_time() {
    let world = World::shared().await;
    let cluster = &world.cluster;
    let ns = &cluster.namespace("websocket").await;
    cluster
        .registry
        .push("websocket/live", &["1.0.0", "1.1.0"])
        .await;
    world.scan(ns, "app", "websocket/live").await;
    let list = world.get(&["imagetags", "-n", ns]).await;
    let from = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| {
            item["metadata"]["resourceVersion"]
                .as_str()
                .unwrap()
                .parse::<u64>()
                .unwrap()
        })
        .max()
        .unwrap();
    let resource = format!("{GROUP}/namespaces/{ns}/imagetags?watch=true");
    let mut live = Socket::open(cluster, &format!("{resource}&resourceVersion={from}"), "").await;
    assert_eq!(live.protocol(), None);
    world.create_policy(ns, "app", "app", "1.x").await;
    let event = live.event().await;
    assert_eq!(
        (&event["type"], &event["object"]["tag"]),
        (&"MODIFIED".into(), &"1.1.0".into())
    );
    assert_eq!(event["object"]["selectedBy"][0]["name"], "app");

    let mut short = Socket::open(
        cluster,
        &format!("{resource}&resourceVersion={from}&timeoutSeconds=1"),
        "",
    )
    .await;
    while !matches!(short.message().await, Some(Message::Close(_)) | None) {}

    let mut expired = Socket::open(cluster, &format!("{resource}&resourceVersion=1"), "").await;
    let error = expired.event().await;
    assert_eq!(
        (&error["type"], &error["object"]["code"]),
        (&"ERROR".into(), &410.into())
    );
    while !matches!(expired.message().await, Some(Message::Close(_)) | None) {}

    // Refusals come through as they are.
    let refused = ask(cluster, &format!("{resource}&resourceVersion=abc"), "").await;
    assert_eq!(refused.status(), 422);
    let body = tokio::time::timeout(Duration::from_secs(10), refused.into_body().collect());
    let status: Value = serde_json::from_slice(&body.await.unwrap().unwrap().to_bytes()).unwrap();
    assert_eq!(
        (&status["kind"], &status["reason"]),
        (&"Status".into(), &"Invalid".into())
    );
}
