//! Watches: where they start, what they tell, how they end.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::Value;
use tokio::time::Instant;

use super::support::{PARTIAL, TABLE, World, brief, key, owner};

const STREAMING: &str =
    "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";

fn version(frame: &Value) -> u64 {
    frame
        .pointer("/object/metadata/resourceVersion")
        .unwrap()
        .as_str()
        .unwrap()
        .parse()
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_watch_from_a_list_tells_only_what_came_later() {
    let world = World::filled();
    let mut watch = world
        .watch(&format!("imagetags?resourceVersion={}", world.version().0))
        .await;
    assert!(watch.ready().await.is_empty());
    world.scan(
        "apps",
        "cache",
        "index.docker.io/library/redis",
        &["7.2.1", "8.0.0"],
        false,
    );
    let frames = watch.ready().await;
    assert_eq!(
        brief(&frames),
        ["ADDED cache:8.0.0", "DELETED cache:v7.4.0"]
    );
    assert!(version(&frames[0]) < version(&frames[1]));
    let got = world
        .get("namespaces/apps/imagetags/cache:8.0.0")
        .await
        .json();
    assert_eq!(frames[0]["object"], got);
    world.elect("apps/cache", "apps/p", Some("8.0.0"), false);
    let frames = watch.ready().await;
    assert_eq!(brief(&frames), ["MODIFIED cache:8.0.0"]);
    assert_eq!(frames[0]["object"]["selectedBy"][0]["name"], "p");
}

#[tokio::test(start_paused = true)]
async fn a_deletion_carries_the_last_content_and_its_own_version() {
    let world = World::filled();
    let last = world
        .get("namespaces/flux-system/imagetags/podinfo:6.3.0")
        .await
        .json();
    let mut watch = world
        .watch(&format!(
            "namespaces/flux-system/imagetags?resourceVersion={}",
            world.version().0
        ))
        .await;
    world
        .store
        .remove_repository(&key("flux-system/podinfo"))
        .unwrap();
    let frames = watch.ready().await;
    assert_eq!(frames.len(), 5);
    let deleted = frames
        .iter()
        .find(|frame| frame["object"]["tag"] == "6.3.0")
        .unwrap();
    assert_eq!(deleted["type"], "DELETED");
    let mut object = deleted["object"].clone();
    assert!(
        version(deleted)
            > last["metadata"]["resourceVersion"]
                .as_str()
                .unwrap()
                .parse()
                .unwrap()
    );
    object["metadata"]["resourceVersion"] = last["metadata"]["resourceVersion"].clone();
    assert_eq!(object, last);
}

#[tokio::test(start_paused = true)]
async fn a_watch_without_a_version_begins_with_the_state() {
    let world = World::filled();
    for query in ["", "resourceVersion=0"] {
        let mut watch = world
            .watch(&format!("namespaces/apps/imagetags?{query}"))
            .await;
        assert_eq!(
            brief(&watch.ready().await),
            ["ADDED cache:7.2.1", "ADDED cache:v7.4.0"]
        );
        world.elect("apps/cache", "apps/p", Some("7.2.1"), false);
        assert_eq!(brief(&watch.ready().await), ["MODIFIED cache:7.2.1"]);
        world.elect("apps/cache", "apps/p", None, false);
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_from_now_tells_no_state() {
    let world = World::filled();
    let mut watch = world
        .watch("imagetags?sendInitialEvents=false&resourceVersionMatch=NotOlderThan")
        .await;
    assert!(watch.ready().await.is_empty());
    world.elect("apps/cache", "apps/p", Some("7.2.1"), false);
    assert_eq!(brief(&watch.ready().await), ["MODIFIED cache:7.2.1"]);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_initial_events_is_marked_even_when_there_are_none() {
    for (world, path, count) in [
        (World::filled(), "imagetags", 8),
        (World::filled(), "tagsets", 3),
        (World::filled(), "imagetags?labelSelector=nobody", 0),
        (World::filled(), "namespaces/nowhere/imagetags", 0),
        (World::new(), "imagetags", 0),
    ] {
        let separator = if path.contains('?') { '&' } else { '?' };
        let mut watch = world.watch(&format!("{path}{separator}{STREAMING}")).await;
        let frames = watch.ready().await;
        assert_eq!(frames.len(), count + 1, "{path}");
        let mark = frames.last().unwrap();
        assert_eq!(mark["type"], "BOOKMARK");
        assert_eq!(
            mark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"],
            "true"
        );
        assert_eq!(version(mark), world.version().0);
        assert!(
            frames
                .iter()
                .take(count)
                .all(|frame| frame["type"] == "ADDED")
        );
    }
}

#[tokio::test(start_paused = true)]
async fn objects_come_into_sight_and_go_out_of_it() {
    let world = World::filled();
    let selector = "labelSelector=tags.tagscope.dev/selected%3Dtrue";
    let mut watch = world
        .watch(&format!(
            "imagetags?{selector}&resourceVersion={}",
            world.version().0
        ))
        .await;
    world.elect("apps/cache", "apps/p", Some("7.2.1"), false);
    assert_eq!(brief(&watch.ready().await), ["ADDED cache:7.2.1"]);
    let last = world
        .get("namespaces/apps/imagetags/cache:7.2.1")
        .await
        .json();
    world.elect("apps/cache", "apps/p", Some("v7.4.0"), false);
    let mut frames = watch.ready().await;
    frames.sort_by_key(|frame| frame["type"].to_string());
    assert_eq!(
        brief(&frames),
        ["ADDED cache:v7.4.0", "DELETED cache:7.2.1"]
    );
    // The content that was in sight, at the version of the change.
    let mut gone = frames[1]["object"].clone();
    assert!(
        version(&frames[1])
            > last["metadata"]["resourceVersion"]
                .as_str()
                .unwrap()
                .parse()
                .unwrap()
    );
    gone["metadata"]["resourceVersion"] = last["metadata"]["resourceVersion"].clone();
    assert_eq!(gone, last);
    world.elect("apps/cache", "apps/q", Some("v7.4.0"), false);
    assert_eq!(brief(&watch.ready().await), ["MODIFIED cache:v7.4.0"]);
}

#[tokio::test(start_paused = true)]
async fn copied_labels_that_change_move_tags_in_and_out_of_sight() {
    let world = World::filled();
    let from = world.version().0;
    let mut watch = world
        .watch(&format!(
            "imagetags?labelSelector=team%3Dred&resourceVersion={from}"
        ))
        .await;
    let mut red = owner("apps", "cache");
    red.labels.insert("team".to_owned(), "red".to_owned());
    world.store.update_owner(red.clone()).unwrap();
    assert_eq!(
        brief(&watch.ready().await),
        ["ADDED cache:7.2.1", "ADDED cache:v7.4.0"]
    );
    world.elect("apps/cache", "apps/p", Some("7.2.1"), false);
    assert_eq!(brief(&watch.ready().await), ["MODIFIED cache:7.2.1"]);
    world.elect("flux-system/podinfo", "apps/p", Some("6.0.0"), false);
    assert!(watch.ready().await.is_empty());
    world.store.update_owner(owner("apps", "cache")).unwrap();
    let frames = watch.ready().await;
    assert_eq!(
        brief(&frames),
        ["DELETED cache:7.2.1", "DELETED cache:v7.4.0"]
    );
    assert_eq!(frames[0]["object"]["metadata"]["labels"]["team"], "red");
}

#[tokio::test(start_paused = true)]
async fn another_image_takes_the_old_tags_out_of_sight() {
    let world = World::filled();
    let from = world.version().0;
    // Any spelling of the name.
    let image = "fieldSelector=image%3Dredis";
    let mut watch = world
        .watch(&format!("imagetags?{image}&resourceVersion={from}"))
        .await;
    world.scan("apps", "cache", "ghcr.io/valkey/valkey", &["7.2.1"], false);
    let frames = watch.ready().await;
    assert_eq!(
        brief(&frames),
        ["DELETED cache:7.2.1", "DELETED cache:v7.4.0"]
    );
    assert!(
        frames
            .iter()
            .all(|frame| frame["object"]["image"] == "index.docker.io/library/redis")
    );
    world.scan(
        "apps",
        "cache",
        "index.docker.io/library/redis",
        &["9"],
        false,
    );
    assert_eq!(brief(&watch.ready().await), ["ADDED cache:9"]);
}

#[tokio::test(start_paused = true)]
async fn an_old_position_is_told_in_the_stream() {
    let world = World::filled();
    let mut watch = world.watch("imagetags?resourceVersion=1").await;
    let frame = watch.next().await.unwrap();
    assert_eq!(frame["type"], "ERROR");
    let status = &frame["object"];
    assert_eq!(
        (status["code"].as_u64(), status["reason"].as_str()),
        (Some(410), Some("Expired"))
    );
    assert!(
        status["message"]
            .as_str()
            .unwrap()
            .starts_with("too old resource version: 1 (")
    );
    assert_eq!(watch.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_position_in_the_future_is_waited_for_and_then_refused() {
    let world = World::filled();
    let begun = Instant::now();
    let mut watch = world
        .watch(&format!(
            "imagetags?resourceVersion={}",
            world.version().0 + 1000
        ))
        .await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
    let frame = watch.next().await.unwrap();
    assert_eq!(
        (frame["type"].as_str(), frame["object"]["code"].as_u64()),
        (Some("ERROR"), Some(410))
    );
    assert_eq!(begun.elapsed(), Duration::from_secs(3));
    assert_eq!(watch.next().await, None);
    // A streaming list is refused before it begins, with the cause that makes client-go start over.
    let future = world.version().0 + 1000;
    let refused = world
        .ask(
            Method::GET,
            &format!("imagetags?watch=1&resourceVersion={future}&{STREAMING}"),
            &[],
        )
        .await;
    assert_eq!(refused.status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(
        refused.json()["details"]["causes"][0]["reason"],
        "ResourceVersionTooLarge"
    );
}

#[tokio::test(start_paused = true)]
async fn bookmarks_tell_the_position_even_when_nothing_was_in_sight() {
    let world = World::filled();
    let from = world.version().0;
    let path = format!(
        "namespaces/nowhere/imagetags?resourceVersion={from}&allowWatchBookmarks=true&timeoutSeconds=90"
    );
    let mut watch = world.watch(&path).await;
    let begun = Instant::now();
    world.elect("apps/cache", "apps/p", Some("7.2.1"), false);
    let first = watch.next().await.unwrap();
    assert_eq!(
        (first["type"].as_str(), begun.elapsed().as_secs()),
        (Some("BOOKMARK"), 60)
    );
    assert_eq!(version(&first), world.version().0);
    assert!(first["object"]["metadata"].get("annotations").is_none());
    assert_eq!(watch.next().await.unwrap()["type"], "BOOKMARK");
    assert_eq!(begun.elapsed().as_secs(), 88);
    assert_eq!(watch.next().await, None);
    assert_eq!(begun.elapsed().as_secs(), 90);
}

#[tokio::test(start_paused = true)]
async fn a_watch_ends_on_time_without_bookmarks_nobody_asked_for() {
    let world = World::filled();
    let begun = Instant::now();
    let mut watch = world
        .watch(&format!(
            "imagetags?resourceVersion={}&timeoutSeconds=300",
            world.version().0
        ))
        .await;
    assert_eq!(watch.next().await, None);
    assert_eq!(begun.elapsed(), Duration::from_mins(5));
}

#[tokio::test(start_paused = true)]
async fn shutdown_ends_a_watch_at_once() {
    let world = World::filled();
    let mut watch = world
        .watch(&format!("imagetags?resourceVersion={}", world.version().0))
        .await;
    let begun = Instant::now();
    let ((), end) = tokio::join!(async { world.shutdown.cancel() }, watch.next());
    assert_eq!((end, begun.elapsed()), (None, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_table_watch_sends_its_columns_once() {
    let world = World::filled();
    let mut watch = world
        .watch_as(&format!("namespaces/apps/imagetags?{STREAMING}"), TABLE)
        .await;
    let mut frames = watch.ready().await;
    world.elect("apps/cache", "apps/p", Some("7.2.1"), false);
    frames.extend(watch.ready().await);
    assert_eq!(frames.len(), 4);
    let count = frames[0]["object"]["columnDefinitions"]
        .as_array()
        .unwrap()
        .len();
    for (index, frame) in frames.iter().enumerate() {
        let table = &frame["object"];
        assert_eq!(
            (table["kind"].as_str(), table["apiVersion"].as_str()),
            (Some("Table"), Some("meta.k8s.io/v1"))
        );
        assert_eq!(table["columnDefinitions"].is_array(), index == 0);
        assert_eq!(table["rows"][0]["cells"].as_array().unwrap().len(), count);
        assert_eq!(
            table["metadata"]["resourceVersion"],
            table["rows"][0]["object"]["metadata"]["resourceVersion"]
        );
    }
    let mark = &frames[2]["object"]["rows"][0]["object"]["metadata"]["annotations"];
    assert_eq!(mark["k8s.io/initial-events-end"], "true");
    let mut expired = world.watch_as("imagetags?resourceVersion=1", TABLE).await;
    assert_eq!(expired.next().await.unwrap()["object"]["kind"], "Status");
}

#[tokio::test(start_paused = true)]
async fn a_metadata_watch_sends_metadata() {
    let world = World::filled();
    let protobuf_first = format!(
        "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,{PARTIAL}"
    );
    let mut watch = world
        .watch_as(
            &format!("namespaces/apps/imagetags?{STREAMING}"),
            &protobuf_first,
        )
        .await;
    for frame in watch.ready().await {
        let object = frame["object"].as_object().unwrap();
        assert_eq!(object["kind"], "PartialObjectMetadata");
        assert_eq!(object.len(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn tag_sets_are_watched_apart_from_their_tags() {
    let world = World::filled();
    let mut watch = world
        .watch(&format!("tagsets?resourceVersion={}", world.version().0))
        .await;
    world.elect("apps/cache", "apps/p", Some("7.2.1"), false);
    assert!(watch.ready().await.is_empty());
    world.scan(
        "apps",
        "cache",
        "index.docker.io/library/redis",
        &["7.2.1"],
        false,
    );
    world.scan("apps", "other", "ghcr.io/a/b", &["1"], true);
    world
        .store
        .remove_repository(&key("flux-system/podinfo"))
        .unwrap();
    let frames = watch.ready().await;
    assert_eq!(
        brief(&frames),
        ["MODIFIED cache", "ADDED other", "DELETED podinfo"]
    );
    assert_eq!(frames[0]["object"]["tags"], serde_json::json!(["7.2.1"]));
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_misses_nothing_that_is_still_known() {
    let world = World::new();
    world.scan("n", "a", "ghcr.io/a/b", &["0"], true);
    let mut watch = world
        .watch(&format!("imagetags?resourceVersion={}", world.version().0))
        .await;
    // Far more than one chunk, all of it before the first read.
    for round in 0..30 {
        let tags: Vec<String> = (0..200)
            .map(|number| format!("r{round}-{number}"))
            .collect();
        let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
        world.scan("n", "a", "ghcr.io/a/b", &tags, false);
    }
    let frames = watch.ready().await;
    assert_eq!(frames.len(), 1 + 30 * 200 + 29 * 200);
    let versions: Vec<u64> = frames.iter().map(version).collect();
    assert!(versions.is_sorted_by(|a, b| a < b));
}
