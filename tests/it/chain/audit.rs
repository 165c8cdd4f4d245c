//! The audit trail, from the wire to its lines.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tagscope::apiserver::chain::{Audit, Settings, Sink};
use tagscope::clock::SystemClock;

use crate::authn_kit::{LIST, World};
use crate::serve_kit::{eventually, get};

#[derive(Default)]
struct Lines(Mutex<Vec<Value>>);

impl Sink for Lines {
    fn take(&self, line: Bytes) {
        self.0.lock().push(serde_json::from_slice(&line).unwrap());
    }
}

impl Lines {
    async fn wait_for(&self, count: usize) -> Vec<Value> {
        eventually("the events are there", || self.0.lock().len() >= count).await;
        let lines = self.0.lock().drain(..).collect::<Vec<_>>();
        assert_eq!(lines.len(), count, "{lines:#?}");
        lines
    }
}

async fn audited() -> (World, Arc<Lines>) {
    let lines = Arc::new(Lines::default());
    let sink: Arc<dyn Sink> = Arc::<Lines>::clone(&lines);
    let settings = Settings {
        served: &["imagetags"],
        ..Settings::default()
    };
    let world = World::finished(settings, None, |chain| {
        chain.audited(Some(Audit::new(sink, Arc::new(SystemClock))))
    });
    (world.await, lines)
}

#[tokio::test]
async fn every_request_leaves_its_trail_and_no_token_does() {
    let (world, lines) = audited().await;
    let proxy = world.proxy();
    let mut proxied = world.client(Some(&proxy)).http2(world.server.address).await;
    let headers = [
        ("X-Remote-User", "bob"),
        ("X-Remote-Group", "devs"),
        ("X-Forwarded-For", "192.0.2.7"),
        ("User-Agent", "kubectl\tv1"),
        ("Audit-ID", "id-1"),
    ];
    proxied
        .send(get(&format!("{LIST}?limit=5&secret=x"), &headers))
        .await;
    let event = lines.wait_for(1).await.remove(0);
    for (key, expected) in [
        ("auditID", json!("id-1")),
        ("stage", json!("ResponseComplete")),
        ("verb", json!("list")),
        ("requestURI", json!(format!("{LIST}?limit=5&secret=…"))),
        ("sourceIPs", json!(["192.0.2.7", "127.0.0.1"])),
        ("userAgent", json!("kubectl\u{fffd}v1")),
        (
            "user",
            json!({"username": "bob", "groups": ["devs", "system:authenticated"]}),
        ),
        ("responseStatus", json!({"metadata": {}, "code": 200})),
        (
            "annotations",
            json!({"authorization.k8s.io/decision": "allow"}),
        ),
    ] {
        assert_eq!(event[key], expected, "{key}");
    }
    assert_eq!(event["objectRef"]["resource"], "imagetags");
    assert_eq!(event["objectRef"]["namespace"], "n");

    // Not the front proxy: its word about addresses is nothing, and its token stays out of the trail.
    let mut direct = world.client(None).http2(world.server.address).await;
    let headers = [
        ("Authorization", "Bearer good"),
        ("X-Forwarded-For", "192.0.2.7"),
    ];
    direct.send(get(LIST, &headers)).await;
    let event = lines.wait_for(1).await.remove(0);
    assert_eq!(event["user"]["username"], "system:serviceaccount:n:robot");
    assert_eq!(event["sourceIPs"], json!(["127.0.0.1"]));
    assert!(!event.to_string().contains("good"));

    // Refused for want of a right, and for want of a name.
    let mut anybody = world.client(None).http2(world.server.address).await;
    anybody.get(LIST).await;
    let mut liar = world.client(None).http2(world.server.address).await;
    liar.send(get(LIST, &[("Authorization", "Bearer bad")]))
        .await;
    let events = lines.wait_for(2).await;
    assert_eq!(events[0]["responseStatus"]["code"], 403);
    assert_eq!(
        events[0]["annotations"]["authorization.k8s.io/decision"],
        "forbid"
    );
    assert_eq!(
        (&events[1]["responseStatus"]["code"], &events[1]["user"]),
        (&json!(401), &json!({}))
    );
    assert_eq!(events[1]["sourceIPs"], json!(["127.0.0.1"]));
}

#[tokio::test]
async fn watches_tell_their_beginning_and_panics_themselves_and_probes_nothing() {
    let (world, lines) = audited().await;
    let proxy = world.proxy();
    let mut client = world.client(Some(&proxy)).http2(world.server.address).await;
    let user = [("X-Remote-User", "bob")];
    let watch = get(&format!("https://a{LIST}?watch=1"), &user);
    let mut watch = client.sender.send_request(watch).await.unwrap();
    assert!(watch.frame().await.unwrap().is_ok());
    let event = lines.wait_for(1).await.remove(0);
    assert_eq!(
        (&event["stage"], &event["verb"]),
        (&json!("ResponseStarted"), &json!("watch"))
    );
    drop(watch);
    let event = lines.wait_for(1).await.remove(0);
    assert_eq!(event["stage"], "ResponseComplete");

    client.send(get("/readyz", &user)).await;
    // One check below a probe is a request like any other.
    client.send(get("/readyz/anything", &user)).await;
    let event = lines.wait_for(1).await.remove(0);
    assert_eq!(event["requestURI"], "/readyz/anything");
    client.send(get(&format!("{LIST}/panic"), &user)).await;
    let event = lines.wait_for(1).await.remove(0);
    assert_eq!(
        (&event["stage"], &event["responseStatus"]["code"]),
        (&json!("Panic"), &json!(500))
    );
}
