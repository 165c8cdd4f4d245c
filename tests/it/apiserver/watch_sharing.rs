//! Watches beside one another: each wakes for its own changes alone, and what several are told alike is one text.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _};
use http::{Method, StatusCode};
use serde_json::json;
use tagscope::apiserver::resources::Tags;
use tagscope::apiserver::response::Payload;
use tagscope::clock::HandClock;
use tagscope::store::{Limits, Store};
use tokio_util::sync::CancellationToken;

use super::support::{PARTIAL, TABLE, World, brief, key, time};

/// A world that remembers only so many commits.
fn forgetful(commits: usize) -> World {
    let clock = Arc::new(HandClock::at(time("2026-03-01T00:00:00Z")));
    let limits = Limits {
        commits,
        ..Limits::default()
    };
    let store = Store::in_memory_with(clock.clone(), limits);
    let shutdown = CancellationToken::new();
    let tags = Tags::new(store.clone(), clock.clone(), shutdown.clone());
    World {
        store,
        clock,
        shutdown,
        tags,
    }
}

type Stream = std::pin::Pin<Box<dyn futures::Stream<Item = Bytes> + Send>>;

async fn begin(world: &World, path: &str, accept: &str) -> Stream {
    let path = format!("{path}&watch=1&resourceVersion={}", world.version().0);
    let (status, _, payload) = world.begin(Method::GET, &path, &[("accept", accept)]).await;
    match payload {
        Payload::Stream(stream) if status == StatusCode::OK => stream,
        other => panic!("{status}: {other:?}"),
    }
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_of_one_repository_sleeps_through_what_happens_in_others() {
    let world = World::filled();
    let one = "namespaces/apps/imagetags?fieldSelector=repository%3Dcache";
    let table = [
        (one, 0, 1),
        (
            "namespaces/apps/imagetags?fieldSelector=metadata.name%3Dcache:7.2.1",
            0,
            1,
        ),
        (
            "imagetags?fieldSelector=metadata.namespace%3Dapps,repository%3Dcache",
            0,
            1,
        ),
        ("namespaces/apps/imagetags?limit=1", 0, 1),
        ("namespaces/nowhere/imagetags?limit=1", 0, 0),
        (
            "namespaces/apps/imagetags?fieldSelector=metadata.namespace%3Dother",
            0,
            1,
        ),
        ("namespaces/apps/tagsets?limit=1", 0, 0),
        ("imagetags?limit=1", 1, 1),
    ];
    for (path, by_others, by_own) in table {
        let mut stream = begin(&world, path, "").await;
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut context = Context::from_waker(&waker);
        // Once for what there is, and once more to lie down.
        while let Poll::Ready(chunk) = stream.poll_next_unpin(&mut context) {
            assert!(chunk.is_some());
        }
        let before = woken.0.load(Ordering::SeqCst);
        for tag in ["6.0.0", "6.1.0", "6.0.0", "6.3.0"] {
            world.elect("flux-system/podinfo", "apps/other", Some(tag), false);
        }
        assert_eq!(woken.0.load(Ordering::SeqCst) - before, by_others, "{path}");
        if by_others == 0 {
            world.elect("apps/cache", "apps/p", Some("7.2.1"), false);
            assert_eq!(woken.0.load(Ordering::SeqCst) - before, by_own, "{path}");
            world.elect("apps/cache", "apps/p", None, false);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_several_are_told_alike_is_one_text() {
    let world = World::filled();
    for (accept, is_shared) in [("", true), (PARTIAL, true), (TABLE, false)] {
        let mut chunks = Vec::new();
        let mut streams = Vec::new();
        for path in [
            "imagetags?limit=1",
            "imagetags?limit=2",
            "namespaces/apps/imagetags?limit=1",
            "namespaces/apps/imagetags?fieldSelector=repository%3Dcache",
        ] {
            streams.push(begin(&world, path, accept).await);
        }
        world.elect("apps/cache", "apps/p", Some("7.2.1"), false);
        for stream in &mut streams {
            chunks.push(stream.next().await.unwrap());
        }
        world.elect("apps/cache", "apps/p", None, false);
        assert!(chunks.iter().all(|chunk| chunk == &chunks[0]));
        let same = chunks
            .iter()
            .all(|chunk| chunk.as_ptr() == chunks[0].as_ptr());
        assert_eq!(same, is_shared, "{accept}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_change_is_different_events_to_different_selectors() {
    let world = World::filled();
    let from = format!("watch=1&resourceVersion={}", world.version().0);
    let selected = "labelSelector=tags.tagscope.dev/selected%3Dtrue";
    let unselected = "labelSelector=!tags.tagscope.dev/selected";
    world.elect("apps/cache", "apps/p", Some("7.2.1"), false);
    for (query, event) in [
        ("limit=1", "MODIFIED cache:7.2.1"),
        (selected, "ADDED cache:7.2.1"),
        (unselected, "DELETED cache:7.2.1"),
        ("fieldSelector=tag%3D7.2.1", "MODIFIED cache:7.2.1"),
        (selected, "ADDED cache:7.2.1"),
        ("limit=1", "MODIFIED cache:7.2.1"),
    ] {
        let mut watch = world.watch(&format!("imagetags?{from}&{query}")).await;
        assert_eq!(brief(&watch.ready().await), [event], "{query}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_quiet_watch_outlives_the_history_and_a_slow_one_is_told_that_it_did_not() {
    let world = forgetful(4);
    world.scan("n", "quiet", "ghcr.io/a/b", &["1"], true);
    world.scan("n", "busy", "ghcr.io/a/b", &["1", "2"], true);
    let path = "namespaces/n/imagetags?fieldSelector=repository%3Dquiet&allowWatchBookmarks=true";
    let from = world.version().0;
    let mut quiet = world.watch(&format!("{path}&resourceVersion={from}")).await;
    let mut slow = world
        .watch(&format!("imagetags?resourceVersion={from}"))
        .await;
    let mut brisk = world
        .watch(&format!("imagetags?resourceVersion={from}"))
        .await;
    assert!(quiet.ready().await.is_empty());
    assert!(slow.ready().await.is_empty());
    for round in 0..50 {
        let tag = if round % 2 == 0 { "1" } else { "2" };
        world.elect("n/busy", "n/p", Some(tag), false);
        assert!(!brisk.ready().await.is_empty());
    }
    // Far beyond the history; what it tells now is what a client may resume from.
    let mark = quiet.next().await.unwrap();
    assert_eq!(mark["type"], "BOOKMARK");
    let position = world.version().0.to_string();
    assert_eq!(
        mark["object"]["metadata"]["resourceVersion"],
        json!(position)
    );
    world.elect("n/quiet", "n/p", Some("1"), false);
    assert_eq!(brief(&quiet.ready().await), ["MODIFIED quiet:1"]);
    assert_eq!(brief(&brisk.ready().await), ["MODIFIED quiet:1"]);
    let told = slow.next().await.unwrap();
    assert_eq!(
        (&told["type"], &told["object"]["code"]),
        (&json!("ERROR"), &json!(410))
    );
    assert_eq!(slow.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn sending_no_initial_events_means_only_what_comes() {
    let world = World::filled();
    let before = world.version().0;
    world.elect("apps/cache", "apps/p", Some("7.2.1"), false);
    let matched = "sendInitialEvents=false&resourceVersionMatch=NotOlderThan";
    for (version, missed) in [
        (
            format!("&resourceVersion={before}"),
            &["MODIFIED cache:7.2.1"][..],
        ),
        (String::new(), &[]),
        ("&resourceVersion=0".to_owned(), &[]),
    ] {
        let path = format!("imagetags?{matched}&allowWatchBookmarks=true{version}");
        let mut watch = world.watch(&path).await;
        // No state, and no mark of its end.
        assert_eq!(brief(&watch.ready().await), missed, "{version}");
        world.elect("apps/cache", "apps/q", Some("7.2.1"), false);
        assert_eq!(brief(&watch.ready().await), ["MODIFIED cache:7.2.1"]);
        world.elect("apps/cache", "apps/q", None, false);
    }
    for refused in [
        "sendInitialEvents=true",
        "sendInitialEvents=false",
        "sendInitialEvents=true&resourceVersionMatch=Exact",
        "resourceVersionMatch=NotOlderThan",
        "resourceVersionMatch=NotOlderThan&resourceVersion=1",
        "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&continue=x",
    ] {
        let answer = world.get(&format!("imagetags?watch=1&{refused}")).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{refused}");
        assert_eq!(answer.json()["details"]["kind"], "ListOptions");
    }
}

#[tokio::test(start_paused = true)]
async fn bookmarks_come_about_each_minute_with_the_newest_position_and_only_where_they_are_taken() {
    let world = World::filled();
    let from = format!("resourceVersion={}&timeoutSeconds=200", world.version().0);
    let sets = format!("namespaces/nowhere/tagsets?{from}");
    let mut taking = world
        .watch(&format!("{sets}&allowWatchBookmarks=true"))
        .await;
    let mut silent = world.watch(&sets).await;
    let mut positions = Vec::new();
    for tag in ["7.2.1", "v7.4.0", "7.2.1", "v7.4.0"] {
        world.elect("apps/cache", "apps/p", Some(tag), false);
        let mark = taking.next().await.unwrap();
        assert_eq!(mark["type"], "BOOKMARK");
        assert_eq!(mark["object"]["kind"], "TagSet");
        assert_eq!(mark["object"]["metadata"].as_object().unwrap().len(), 1);
        assert_eq!(
            mark["object"]["metadata"]["resourceVersion"],
            json!(world.version().0.to_string())
        );
        positions.push(world.version());
    }
    assert!(positions.is_sorted_by(|a, b| a < b));
    assert_eq!(taking.next().await, None);
    assert_eq!(silent.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_table_watch_marks_its_position_in_a_row() {
    let world = World::filled();
    for (include, has_object) in [("Metadata", true), ("Object", true), ("None", false)] {
        let path = format!(
            "imagetags?resourceVersion={}&timeoutSeconds=63&allowWatchBookmarks=true&includeObject={include}",
            world.version().0
        );
        let mut watch = world.watch_as(&path, TABLE).await;
        for is_first in [true, false] {
            let mark = watch.next().await.unwrap();
            let table = &mark["object"];
            assert_eq!(
                (&mark["type"], &table["kind"]),
                (&json!("BOOKMARK"), &json!("Table"))
            );
            assert_eq!(table["columnDefinitions"].is_array(), is_first);
            assert_eq!(
                table["rows"][0]["object"].is_object(),
                has_object,
                "{include}"
            );
            assert_eq!(
                table["metadata"]["resourceVersion"],
                json!(world.version().0.to_string())
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_dropped_is_forgotten_and_one_that_ends_too() {
    let world = World::filled();
    let watches = [
        world.watch("imagetags").await,
        world.watch("namespaces/apps/imagetags").await,
        world
            .watch("namespaces/apps/tagsets?fieldSelector=metadata.name%3Dcache")
            .await,
    ];
    assert_eq!(world.store.followers(), 3);
    drop(watches);
    assert_eq!(world.store.followers(), 0);
    let mut short = world.watch("imagetags?timeoutSeconds=1").await;
    while short.next().now_or_never().is_some() {}
    assert_eq!(world.store.followers(), 1);
    assert_eq!(short.next().await, None);
    drop(short);
    for n in 0..10_000 {
        let path = ["imagetags", "tagsets", "namespaces/apps/imagetags"][n % 3];
        let mut watch = world.watch(path).await;
        assert!(watch.next().await.is_some());
    }
    assert_eq!(world.store.followers(), 0);
    assert!(
        world
            .store
            .snapshot()
            .repository(&key("apps/cache"))
            .is_some()
    );
}
