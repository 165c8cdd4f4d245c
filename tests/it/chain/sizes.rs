//! Limits at their real size: headers (97), requests in flight (94), deadlines (95), a panic (96), the ways in (99).

use std::sync::atomic::Ordering;
use std::time::Duration;

use http::Request;
use http_body_util::{BodyExt as _, Empty};
use serde_json::json;
use tagscope::apiserver::chain::Settings;

use crate::authn_kit::{LIST, World};
use crate::serve_kit::{Client, beside, eventually, get};

const H1: &[&str] = &["http/1.1"];

#[tokio::test]
async fn a_user_with_two_thousand_groups_in_half_a_megabyte_gets_in_by_both_protocols() {
    let world = World::new().await;
    let (proxy, address) = (world.proxy(), world.server.address);
    let client = world.client(Some(&proxy));
    let request = || {
        let mut request = Request::get(format!("https://a{LIST}"))
            .header("host", "a")
            .header("x-remote-user", "bob");
        for group in 0..2_000 {
            request = request.header("x-remote-group", format!("{group:0>240}"));
        }
        request.body(Empty::new()).unwrap()
    };
    let mut http2 = client.http2(address).await;
    let response = http2.sender.send_request(request()).await.unwrap();
    let by_http2 = crate::serve_kit::Answer::of(response).await;
    let mut http1 = Client::showing_over(&client, H1).http1(address).await;
    let by_http1 = http1.send(request()).await;
    for answer in [by_http2, by_http1] {
        assert_eq!(answer.status, 200);
        let groups = answer.json()["groups"].as_array().unwrap().len();
        assert_eq!(groups, 2_001, "system:authenticated besides");
    }
}

#[tokio::test]
async fn of_401_slow_requests_one_is_turned_away_and_masters_and_watches_are_not() {
    let world = World::new().await;
    let (proxy, address) = (world.proxy(), world.server.address);
    let client = world.client(Some(&proxy));
    let user = [("X-Remote-User", "bob")];
    // Two connections: 250 requests fit on one.
    let mut carriers = [client.http2(address).await, client.http2(address).await];
    let mut slow = Vec::new();
    for request in 0..400 {
        let sender = &mut carriers[request / 200].sender;
        let sent = sender.send_request(get(&format!("https://a{LIST}/slow"), &user));
        slow.push(beside(sent));
    }
    eventually("every place is taken", || {
        world.resources.entered.load(Ordering::SeqCst) == 400
    })
    .await;
    let [_, other] = &mut carriers;
    let refused = other.send(get(LIST, &user)).await;
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (429, Some("1"))
    );
    let said = refused.json();
    assert_eq!(
        (&said["reason"], &said["message"]),
        (
            &json!("TooManyRequests"),
            &json!("Too many requests, please try again later.")
        )
    );
    let masters = [
        ("X-Remote-User", "root"),
        ("X-Remote-Group", "system:masters"),
    ];
    assert_eq!(other.send(get(LIST, &masters)).await.status, 200);
    let watch = get(&format!("https://a{LIST}?watch=1"), &user);
    let mut watch = other.sender.send_request(watch).await.unwrap();
    assert_eq!(watch.status(), 200);
    assert!(watch.frame().await.unwrap().is_ok());
    assert_eq!(other.send(get("/livez", &user)).await.status, 200);
    world.resources.gate.notify_waiters();
    for slow in slow {
        assert_eq!(slow.await.unwrap().unwrap().status(), 200);
    }
    assert_eq!(
        other.send(get(LIST, &user)).await.status,
        200,
        "there is room again"
    );
}

#[tokio::test]
async fn the_deadline_counts_before_anybody_is_known_and_not_for_watches() {
    let world = World::with(Settings {
        request_timeout: Duration::from_secs(30),
        served: &["imagetags"],
        ..Settings::default()
    })
    .await;
    let (proxy, address) = (world.proxy(), world.server.address);
    let mut client = world.client(Some(&proxy)).http2(address).await;
    let user = [("X-Remote-User", "bob")];
    let late = client
        .send(get(&format!("{LIST}/slow?timeout=100ms"), &user))
        .await;
    assert_eq!(late.status, 504);
    let message = "Timeout: request did not complete within the allotted timeout";
    assert_eq!(late.json()["message"], message);
    let mut anybody = world.client(None).http2(address).await;
    let bogus = anybody.get(&format!("{LIST}?timeout=bogus")).await;
    assert_eq!(bogus.status, 400);
    let watch = get(&format!("https://a{LIST}?watch=1&timeout=bogus"), &user);
    assert_eq!(
        client.sender.send_request(watch).await.unwrap().status(),
        200
    );
}

#[tokio::test]
async fn any_host_and_any_server_name_will_do_on_both_protocols() {
    let world = World::new().await;
    let (proxy, address) = (world.proxy(), world.server.address);
    let client = world.client(Some(&proxy));
    let user = ("X-Remote-User", "bob");
    for host in [
        "10.96.0.17:443",
        "[fd00::1]:443",
        "tagscope.tagscope-system.svc",
        "elsewhere.example",
    ] {
        let mut http2 = client.http2(address).await;
        let request = get(&format!("https://{host}{LIST}"), &[user]);
        assert_eq!(
            http2.sender.send_request(request).await.unwrap().status(),
            200,
            "{host}"
        );
        let mut http1 = Client::showing_over(&client, H1).http1(address).await;
        let answer = http1.send(get(LIST, &[user, ("Host", host)])).await;
        assert_eq!(answer.status, 200, "{host}");
    }
    // A server name as kube-apiserver sends it: any is answered with the one certificate, which is not for it here.
    let named = client.named("tagscope.tagscope-system.svc");
    let error = named.tls(address).await.unwrap_err().to_string();
    assert!(error.contains("not valid for name"), "{error}");
}

#[tokio::test]
async fn a_panic_costs_its_own_request_and_is_counted() {
    let world = World::new().await;
    let (proxy, address) = (world.proxy(), world.server.address);
    let mut client = world.client(Some(&proxy)).http2(address).await;
    let user = [("X-Remote-User", "bob")];
    for round in 1..=3 {
        let answer = client.send(get(&format!("{LIST}/panic"), &user)).await;
        assert_eq!(
            (answer.status, &answer.json()["reason"]),
            (500, &json!("InternalError"))
        );
        assert_eq!(world.metrics.panics.load(Ordering::SeqCst), round);
        assert_eq!(client.send(get(LIST, &user)).await.status, 200);
    }
    assert_eq!(world.server.stats.accepted_connections(), 1);
}

#[tokio::test]
async fn a_panic_behind_the_head_is_counted_too() {
    let world = World::new().await;
    let (proxy, address) = (world.proxy(), world.server.address);
    let mut client = world.client(Some(&proxy)).http2(address).await;
    let user = [("X-Remote-User", "bob")];
    for round in 1..=2 {
        let request = get(&format!("https://a{LIST}/panics-late"), &user);
        // The end of the stream may overtake its head.
        if let Ok(answer) = client.sender.send_request(request).await {
            assert_eq!(answer.status(), 200);
            let body = answer.into_body().collect().await;
            assert!(body.is_err(), "it is not whole: {body:?}");
        }
        let ended = || world.metrics.ended.lock().len();
        eventually("it is over", || ended() == round * 2 - 1).await;
        assert_eq!(world.metrics.panics.load(Ordering::SeqCst), round);
        let outcome = world.metrics.ended.lock()[round * 2 - 2].1;
        assert!(outcome.aborted && !outcome.complete, "{outcome:?}");
        assert_eq!(client.send(get(LIST, &user)).await.status, 200);
        eventually("the next is over", || ended() == round * 2).await;
    }
    assert_eq!(world.server.stats.accepted_connections(), 1);
}
