//! The chain behind authentication: rights, limits, deadlines, panics, health, and what is recorded.

use std::sync::atomic::Ordering;
use std::time::Duration;

use http_body_util::BodyExt as _;
use serde_json::json;
use tagscope::apiserver::chain::{Labels, Settings};

use crate::authn_kit::{LIST, World};
use crate::serve_kit::{Answer, eventually, get};

const GROUP: &str = "/apis/tags.tagscope.dev/v1alpha1";

async fn ask(world: &World, user: &str, path: &str) -> Answer {
    let proxy = world.proxy();
    let mut client = world.client(Some(&proxy)).http2(world.server.address).await;
    client.send(get(path, &[("X-Remote-User", user)])).await
}

#[tokio::test]
async fn whoever_may_not_learns_nothing_about_what_exists() {
    let world = World::new().await;
    let paths = [
        format!("{GROUP}/namespaces/n/imagetags"),
        format!("{GROUP}/namespaces/nowhere/imagetags"),
        format!("{GROUP}/namespaces/n/nothings/x"),
        "/apis/unknown.dev/v1/things".to_owned(),
        "/unknown".to_owned(),
        format!("{GROUP}/watch/imagetags"),
    ];
    for path in paths {
        let answer = ask(&world, "eve", &path).await;
        assert_eq!(
            (answer.status, &answer.json()["reason"]),
            (403, &json!("Forbidden")),
            "{path}"
        );
        assert_eq!(
            answer.header("x-content-type-options"),
            Some("nosniff"),
            "{path}"
        );
        assert!(
            answer.json()["message"]
                .as_str()
                .unwrap()
                .contains("User \"eve\" cannot "),
            "{path}"
        );
    }
    assert_eq!(world.resources.entered.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn no_answer_about_a_right_is_an_error_and_no_permission() {
    let world = World::new().await;
    world.reviews.down.store(true, Ordering::SeqCst);
    let answer = ask(&world, "bob", LIST).await;
    assert_eq!(
        (answer.status, &answer.json()["reason"]),
        (500, &json!("InternalError"))
    );
    let proxy = world.proxy();
    let mut client = world.client(Some(&proxy)).http2(world.server.address).await;
    let masters = [
        ("X-Remote-User", "system:kube-aggregator"),
        ("X-Remote-Group", "system:masters"),
    ];
    assert_eq!(
        client.send(get(GROUP, &masters)).await.status,
        200,
        "probes need no review"
    );
}

#[tokio::test]
async fn beyond_the_limit_clients_are_told_to_come_back_but_not_masters_watches_or_probes() {
    let settings = Settings {
        reads: 2,
        watches: 1,
        served: &["imagetags"],
        ..Settings::default()
    };
    let world = World::with(settings).await;
    let proxy = world.proxy();
    let mut client = world.client(Some(&proxy)).http2(world.server.address).await;
    let user = [("X-Remote-User", "bob")];
    let slow = format!("{LIST}/slow");
    let mut one = client.sender.clone();
    let mut two = client.sender.clone();
    let occupied = async {
        let request = || get(&format!("https://a{slow}"), &user);
        tokio::join!(one.send_request(request()), two.send_request(request()))
    };
    let others = async {
        eventually("both places are taken", || {
            world.resources.entered.load(Ordering::SeqCst) == 2
        })
        .await;
        let refused = client.send(get(LIST, &user)).await;
        assert_eq!(
            (refused.status, refused.header("retry-after")),
            (429, Some("1"))
        );
        assert_eq!(refused.json()["details"], json!({"retryAfterSeconds": 1}));
        let masters = [
            ("X-Remote-User", "root"),
            ("X-Remote-Group", "system:masters"),
        ];
        assert_eq!(client.send(get(LIST, &masters)).await.status, 200);
        assert_eq!(client.send(get("/readyz", &user)).await.status, 200);

        let watch = || get(&format!("https://a{LIST}?watch=1"), &user);
        let open = client.sender.send_request(watch()).await.unwrap();
        assert_eq!(open.status(), 200);
        assert_eq!(
            client.sender.send_request(watch()).await.unwrap().status(),
            429,
            "watches have a limit too"
        );
        drop(open);
        world.resources.gate.notify_waiters();
    };
    let ((one, two), ()) = tokio::join!(occupied, others);
    assert_eq!(
        (one.unwrap().status(), two.unwrap().status()),
        (http::StatusCode::OK, http::StatusCode::OK)
    );
    assert_eq!(
        client.send(get(LIST, &user)).await.status,
        200,
        "there is room again"
    );
    eventually("the closed watch's place is free", || {
        world.metrics.ended.lock().iter().any(is_watch)
    })
    .await;
    let again = client
        .sender
        .send_request(get(&format!("https://a{LIST}?watch=1"), &user))
        .await
        .unwrap();
    assert_eq!(again.status(), 200);
}

fn is_watch((labels, outcome): &(Labels, tagscope::apiserver::chain::Outcome)) -> bool {
    labels.verb == "WATCH" && outcome.code == Some(200)
}

#[tokio::test]
async fn who_takes_nothing_of_an_answer_loses_the_place_but_a_quiet_watch_does_not() {
    let world = World::with(Settings {
        reads: 1,
        stall_timeout: Duration::from_millis(200),
        ..Settings::default()
    })
    .await;
    let proxy = world.proxy();
    let mut client = world.client(Some(&proxy)).http2(world.server.address).await;
    let user = [("X-Remote-User", "bob")];
    let watch = get(&format!("https://a{LIST}?watch=1"), &user);
    let mut watch = client.sender.send_request(watch).await.unwrap();
    let endless = get(&format!("https://a{LIST}/endless"), &user);
    let endless = client.sender.send_request(endless).await.unwrap();
    eventually("the endless answer is broken off", || {
        !world.metrics.ended.lock().is_empty()
    })
    .await;
    let (labels, outcome) = world.metrics.ended.lock()[0];
    assert_eq!((labels.verb, outcome.complete), ("GET", false));
    let answer = ask(&world, "bob", LIST).await;
    assert_eq!(answer.status, 200, "its place is free again");
    assert!(endless.into_body().collect().await.is_err());

    assert!(watch.frame().await.unwrap().is_ok());
    let still = tokio::time::timeout(Duration::from_secs(1), watch.frame()).await;
    assert!(still.is_err(), "the watch goes on");
}

#[tokio::test]
async fn requests_have_a_deadline_and_watches_have_none() {
    let world = World::with(Settings {
        request_timeout: Duration::from_millis(200),
        ..Settings::default()
    })
    .await;
    for query in ["", "?timeout=50ms", "?timeout=1h"] {
        let answer = ask(&world, "bob", &format!("{LIST}/slow{query}")).await;
        assert_eq!(
            (answer.status, &answer.json()["reason"]),
            (504, &json!("Timeout")),
            "{query}"
        );
    }
    let bogus = ask(&world, "bob", &format!("{LIST}?timeout=bogus")).await;
    assert_eq!(bogus.status, 400);
    assert_eq!(
        bogus.json()["message"],
        "invalid timeout specified in the request URL"
    );

    let proxy = world.proxy();
    let mut client = world.client(Some(&proxy)).http2(world.server.address).await;
    let request = get(
        &format!("https://a{LIST}?watch=1"),
        &[("X-Remote-User", "bob")],
    );
    let mut watch = client
        .sender
        .send_request(request)
        .await
        .unwrap()
        .into_body();
    assert!(watch.frame().await.unwrap().is_ok());
    let over = tokio::time::timeout(Duration::from_millis(400), watch.frame()).await;
    assert!(over.is_err(), "still open");
}

#[tokio::test]
async fn a_panicking_handler_answers_500_and_nothing_else_happens() {
    let world = World::new().await;
    let proxy = world.proxy();
    let mut client = world.client(Some(&proxy)).http2(world.server.address).await;
    let answer = client
        .send(get(&format!("{LIST}/panic"), &[("X-Remote-User", "bob")]))
        .await;
    assert_eq!(
        (answer.status, &answer.json()["reason"]),
        (500, &json!("InternalError"))
    );
    assert!(
        !answer.text().contains("on purpose"),
        "what panicked stays in the log"
    );
    assert_eq!(
        client
            .send(get(LIST, &[("X-Remote-User", "bob")]))
            .await
            .status,
        200
    );
    assert_eq!(world.metrics.panics.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn until_everything_has_held_once_resources_answer_503_and_health_answers_the_truth() {
    let world = World::new().await;
    world.store.set(false);
    let starting = ask(&world, "bob", LIST).await;
    assert_eq!(
        (starting.status, starting.header("retry-after")),
        (503, Some("5"))
    );
    assert_eq!(starting.json()["reason"], "ServiceUnavailable");
    let mut anybody = world.client(None).http2(world.server.address).await;
    assert_eq!(anybody.get("/readyz").await.status, 500);
    let mut anybody = world.client(None).http2(world.server.address).await;
    assert_eq!(anybody.get("/livez").await.text(), "ok");

    world.store.set(true);
    assert_eq!(ask(&world, "bob", LIST).await.status, 200);
    world.store.set(false);
    assert_eq!(
        ask(&world, "bob", LIST).await.status,
        200,
        "a lapse later on is no reason to refuse"
    );
    let mut anybody = world.client(None).http2(world.server.address).await;
    assert_eq!(
        anybody.get("/readyz").await.status,
        500,
        "but new clients are sent elsewhere"
    );
}

#[tokio::test]
async fn health_is_for_everybody_and_the_version_for_those_who_may() {
    let world = World::new().await;
    for (path, status) in [
        ("/healthz", 200),
        ("/readyz?verbose", 200),
        ("/version", 403),
        ("/metrics", 403),
        ("/", 403),
    ] {
        let mut anybody = world.client(None).http2(world.server.address).await;
        assert_eq!(anybody.get(path).await.status, status, "{path}");
        anybody.closed().await;
    }
    let version = ask(&world, "bob", "/version").await;
    assert_eq!(
        version.json()["gitVersion"],
        concat!("v", env!("CARGO_PKG_VERSION"))
    );
}

#[tokio::test]
async fn an_audit_id_is_passed_on_or_made() {
    let world = World::new().await;
    let mut client = world
        .client(Some(&world.proxy()))
        .http2(world.server.address)
        .await;
    let long = "x".repeat(1025);
    for (given, kept) in [
        (Some("x"), true),
        (Some("with space"), true),
        (Some(&long[..200]), true),
        (Some(&*long), false),
        (None, false),
    ] {
        let mut headers = vec![("X-Remote-User", "bob")];
        headers.extend(given.map(|id| ("Audit-ID", id)));
        let answer = client.send(get(LIST, &headers)).await;
        let id = answer.header("audit-id").unwrap();
        assert_eq!(given == Some(id), kept, "{given:?}");
        assert!(kept || id.parse::<uuid::Uuid>().is_ok(), "{id}");
        assert_eq!(answer.header("cache-control"), Some("no-cache, private"));
    }
}

#[tokio::test]
async fn every_request_is_recorded_once_as_it_ended() {
    let world = World::new().await;
    ask(&world, "bob", LIST).await;
    ask(&world, "eve", &format!("{GROUP}/hostile-name")).await;
    {
        let mut client = world
            .client(Some(&world.proxy()))
            .http2(world.server.address)
            .await;
        let request = client.sender.send_request(get(
            &format!("https://a{LIST}/slow"),
            &[("X-Remote-User", "bob")],
        ));
        assert!(
            tokio::time::timeout(Duration::from_millis(100), request)
                .await
                .is_err()
        );
    }
    eventually("the cancelled request is recorded too", || {
        world.metrics.ended.lock().len() == 3
    })
    .await;
    let ended: Vec<_> = world
        .metrics
        .ended
        .lock()
        .iter()
        .map(|(labels, outcome)| {
            (
                labels.verb,
                labels.resource,
                labels.scope,
                outcome.code,
                outcome.complete,
            )
        })
        .collect();
    let expected = [
        ("LIST", "imagetags", "namespace", Some(200), true),
        ("LIST", "other", "cluster", Some(403), true),
        ("GET", "imagetags", "resource", None, false),
    ];
    assert_eq!(ended, expected);
}
