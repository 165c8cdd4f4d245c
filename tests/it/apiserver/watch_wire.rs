//! Watches over real connections: what the client sees of the protocol, and what is left when it is gone.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tagscope::apiserver::chain::Settings;
use tagscope::task;

use super::support::BASE;
use super::wire::{Frames, USER, Wire, brief};
use crate::serve_kit::{eventually, get};

fn ask(path: &str) -> Request<Empty<Bytes>> {
    get(&format!("https://a{path}"), &[USER])
}

#[tokio::test]
async fn the_head_comes_before_any_event_and_each_event_when_it_happens() {
    let wire = Wire::new().await;
    let path = wire.watch_path("namespaces/n/imagetags", "");
    let mut h2 = wire.client(&["h2"]).http2(wire.server.address).await;
    let mut h1 = wire.client(&["http/1.1"]).http1(wire.server.address).await;
    let over_h2 = h2.sender.send_request(ask(&path)).await.unwrap();
    let request = get(&path, &[USER, ("host", "localhost")]);
    let over_h1 = h1.sender.send_request(request).await.unwrap();
    assert_eq!(over_h1.headers()["transfer-encoding"], "chunked");
    assert!(!over_h2.headers().contains_key("transfer-encoding"));
    for response in [&over_h1, &over_h2] {
        assert_eq!(response.headers()["content-type"], "application/json");
        assert!(!response.headers().contains_key("content-length"));
        assert!(!response.headers().contains_key("content-encoding"));
    }
    let mut watches = [Frames::of(over_h1), Frames::of(over_h2)];
    for tag in ["2", "3", "4"] {
        wire.elect(tag);
        for watch in &mut watches {
            let event = watch.next().await.unwrap();
            assert_eq!(brief(&event), "MODIFIED a:1");
            assert_eq!(
                event["object"]["selectedBy"]
                    .as_array()
                    .unwrap()
                    .last()
                    .unwrap()["name"],
                tag
            );
        }
    }
    assert_eq!(wire.told.events.load(Ordering::SeqCst), 2 * 3);
}

#[tokio::test]
async fn a_watch_ends_cleanly_when_its_time_is_over_whatever_timeout_says() {
    let wire = Wire::new().await;
    let mut h2 = wire.client(&["h2"]).http2(wire.server.address).await;
    let path = wire.watch_path("imagetags", "&timeoutSeconds=1&timeout=bogus");
    let mut watch = Frames::of(h2.sender.send_request(ask(&path)).await.unwrap());
    assert_eq!(watch.next().await, None);
    eventually("the watch is recorded", || wire.watches_ended().len() == 1).await;
    assert_eq!(wire.watches_ended()[0], (Some(200), true, 0));
    // For all but watches the parameter counts.
    let path = format!("{BASE}/imagetags?timeout=bogus");
    let refused = h2.send(get(&path, &[USER])).await;
    assert_eq!(refused.status, 400);
}

#[tokio::test]
async fn a_watch_of_a_fallen_position_ends_after_one_error() {
    let wire = Wire::new().await;
    let mut h2 = wire.client(&["h2"]).http2(wire.server.address).await;
    let path = format!("{BASE}/imagetags?watch=1&resourceVersion=1");
    let mut watch = Frames::of(h2.sender.send_request(ask(&path)).await.unwrap());
    let frame = watch.next().await.unwrap();
    assert_eq!(
        (frame["type"].as_str(), &frame["object"]["code"]),
        (Some("ERROR"), &410.into())
    );
    assert_eq!(watch.next().await, None);
    assert_eq!(wire.told.expired.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_stream_that_is_not_read_holds_up_no_other_of_its_connection() {
    let wire = Wire::with(Settings {
        stall_timeout: Duration::from_secs(2),
        ..Settings::default()
    })
    .await;
    // A window for each stream that is soon full, and one for the connection that both share.
    let io = TokioIo::new(wire.client(&["h2"]).tls(wire.server.address).await.unwrap());
    let (mut sender, connection) = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(64 << 10)
        .initial_connection_window_size(1 << 20)
        .handshake(io)
        .await
        .unwrap();
    task::detach("client", async move { drop(connection.await) });
    let path = wire.watch_path("imagetags", "");
    let idle = sender.send_request(ask(&path)).await.unwrap();
    let mut read = Frames::of(sender.send_request(ask(&path)).await.unwrap());
    // About 600 bytes each: the idle stream's window is full many times over.
    let mut events = 0;
    for round in 0..10 {
        let tags: Vec<String> = (0..100).map(|tag| format!("{round}.{tag}")).collect();
        let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
        wire.scan("n", "a", &tags);
        let expected = if round == 0 { 101 } else { 200 };
        for _ in 0..expected {
            read.next().await.unwrap();
            events += 1;
        }
    }
    assert_eq!(events, 101 + 9 * 200);
    // The one that takes nothing is broken off, and alone.
    eventually("the idle stream is cut", || wire.watches_ended().len() == 1).await;
    let (code, complete, bytes) = wire.watches_ended()[0];
    assert_eq!((code, complete), (Some(200), false));
    assert!(
        bytes < 600 << 10,
        "{bytes} bytes were taken for a stream that nobody reads"
    );
    assert!(idle.into_body().collect().await.is_err());
    wire.scan("n", "a", &["last"]);
    assert_eq!(brief(&read.next().await.unwrap()), "DELETED a:9.0");
}

#[tokio::test]
async fn whoever_leaves_is_forgotten() {
    let wire = Wire::new().await;
    let path = wire.watch_path("imagetags", "");
    let mut h2 = wire.client(&["h2"]).http2(wire.server.address).await;
    let mut h1 = wire.client(&["http/1.1"]).http1(wire.server.address).await;
    let stream = h2.sender.send_request(ask(&path)).await.unwrap();
    let request = get(&path, &[USER, ("host", "localhost")]);
    let connection = h1.sender.send_request(request).await.unwrap();
    assert_eq!(wire.store.followers(), 2);
    drop(stream);
    eventually("the reset stream is forgotten", || {
        wire.store.followers() == 1
    })
    .await;
    drop((connection, h1));
    eventually("the closed connection is forgotten", || {
        wire.store.followers() == 0
    })
    .await;
    assert_eq!(wire.watches_ended().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_come_and_go_and_leave_nothing() {
    let wire = Wire::new().await;
    let paths = [
        "imagetags",
        "namespaces/n/tagsets",
        "namespaces/n/imagetags",
    ]
    .map(|resource| wire.watch_path(resource, "&allowWatchBookmarks=true"));
    let client = wire.client(&["h2"]);
    for _ in 0..5 {
        let h2 = client.http2(wire.server.address).await;
        futures::stream::iter(0..200_usize)
            .for_each_concurrent(50, |n| {
                let (mut sender, path) = (h2.sender.clone(), &paths[n % paths.len()]);
                async move {
                    let response = sender.send_request(ask(path)).await.unwrap();
                    assert_eq!(response.status(), 200);
                }
            })
            .await;
    }
    eventually("all are forgotten", || wire.store.followers() == 0).await;
    eventually("all are recorded", || wire.watches_ended().len() == 1000).await;
}
