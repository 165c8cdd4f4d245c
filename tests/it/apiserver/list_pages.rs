//! Pages of large stores: they show one state for as long as it can be known, cost what they hold, and let others run.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use http::StatusCode;
use serde_json::Value;
use tagscope::apiserver::resources::Tags;
use tagscope::apiserver::response::Payload;
use tagscope::clock::HandClock;
use tagscope::store::{Limits, Store};
use tokio_util::sync::CancellationToken;

use super::support::{World, time};

/// A server whose store forgets all but the last commit.
fn forgetful() -> World {
    let clock = Arc::new(HandClock::at(time("2026-03-01T00:00:00Z")));
    let limits = Limits {
        commits: 1,
        bytes: 0,
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

fn token(list: &Value) -> String {
    list["metadata"]["continue"].as_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_state_that_nothing_remembers_is_expired_with_a_token_to_go_on() {
    let world = forgetful();
    let image = "ghcr.io/a/b";
    world.scan("n", "a", image, &["1", "2", "3", "4"], true);
    let first = world.get("imagetags?limit=2").await.json();
    for round in 0..3 {
        world.scan("n", "b", image, &[&format!("r{round}")], false);
    }
    let next = format!("imagetags?limit=2&continue={}", token(&first));
    assert_eq!(
        world.get(&next).await.names(),
        ["a:3", "a:4"],
        "the list under way is kept"
    );
    tokio::time::advance(Duration::from_secs(301)).await;
    let refused = world.get(&next).await;
    assert_eq!(
        (refused.status, refused.json()["reason"].as_str()),
        (StatusCode::GONE, Some("Expired"))
    );
    let message = refused.json()["message"].as_str().unwrap().to_owned();
    assert!(message.starts_with(
        "The provided continue parameter is too old to display a consistent list result."
    ));
    let rest = world
        .get(&format!(
            "imagetags?limit=9&continue={}",
            token(&refused.json())
        ))
        .await;
    assert_eq!(rest.names(), ["a:3", "a:4", "b:r2"]);
    assert_eq!(rest.list_version(), world.version().0);
}

#[tokio::test]
async fn readers_of_two_pages_of_every_version_push_nobody_out() {
    let world = World::filled();
    let first = world.get("imagetags?limit=1").await.json();
    let mut next = token(&first);
    for number in 0..300 {
        let tag = if number % 2 == 0 { "6.0.0" } else { "6.1.0" };
        world.elect("flux-system/podinfo", "n/p", Some(tag), false);
        let other = token(&world.get("imagetags?limit=1").await.json());
        let other = world
            .get(&format!("imagetags?limit=1&continue={other}"))
            .await;
        assert_eq!(other.status, StatusCode::OK);
        if number % 45 == 0 {
            let page = world
                .get(&format!("imagetags?limit=1&continue={next}"))
                .await;
            assert_eq!(page.status, StatusCode::OK, "after {number} versions");
            assert_eq!(
                page.json()["metadata"]["resourceVersion"],
                first["metadata"]["resourceVersion"]
            );
            if number < 200 {
                next = token(&page.json());
            }
        }
    }
}

#[tokio::test]
async fn pages_of_many_repositories_count_what_remains_from_where_they_are() {
    let world = World::new();
    let tags: Vec<String> = (0..7).map(|number| format!("t{number}")).collect();
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    for number in 0..300 {
        let name = format!("r{number}{}", if number % 3 == 0 { "-x" } else { "" });
        let count = number % 8;
        world.scan(
            ["m", "n"][number % 2],
            &name,
            "ghcr.io/a/b",
            &tags[..count],
            true,
        );
    }
    for scope in ["", "namespaces/m/", "namespaces/n/"] {
        let whole = world.get(&format!("{scope}imagetags")).await.names();
        for limit in [1, 7, 500] {
            let (mut names, mut next) = (Vec::new(), String::new());
            loop {
                let page = world
                    .get(&format!("{scope}imagetags?limit={limit}&continue={next}"))
                    .await;
                names.extend(page.names());
                let json = page.json();
                let remaining = json["metadata"]
                    .get("remainingItemCount")
                    .and_then(Value::as_u64);
                let left = whole.len() - names.len();
                assert_eq!(remaining, (left > 0).then_some(left as u64));
                if left == 0 {
                    assert!(json["metadata"].get("continue").is_none());
                    break;
                }
                next = token(&json);
            }
            assert_eq!(names, whole, "{scope} {limit}");
        }
    }
}

/// On one thread: whoever does not yield lets nobody else run.
#[tokio::test]
async fn a_page_that_has_to_look_at_everything_lets_others_run() {
    let world = World::new();
    let tags: Vec<String> = (0..100_000).map(|number| format!("1.{number}.0")).collect();
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    world.scan("n", "big", "ghcr.io/a/big", &tags, true);
    let turns = Arc::new(AtomicUsize::new(0));
    let mut others = tokio::task::JoinSet::new();
    others.spawn({
        let turns = Arc::clone(&turns);
        async move {
            loop {
                turns.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        }
    });
    for (query, is_counted_first) in [
        ("limit=100000&fieldSelector=tag!=x", true),
        // Without a limit all of the work is in the body, and every chunk of it is full at once.
        ("fieldSelector=digest=,tag!=1.1.0", false),
    ] {
        let before = turns.load(Ordering::Relaxed);
        let path = format!("imagetags?{query}");
        let (status, _, payload) = world.begin(http::Method::GET, &path, &[]).await;
        assert_eq!(status, StatusCode::OK);
        let begun = turns.load(Ordering::Relaxed);
        assert!(!is_counted_first || begun - before >= 20, "{query}");
        if let Payload::Stream(mut body) = payload {
            while body.next().await.is_some() {}
        }
        let read = turns.load(Ordering::Relaxed);
        let needed = if is_counted_first { 20 } else { 0 } + 20;
        assert!(read - before >= needed, "{query}: {} turns", read - before);
    }
    others.abort_all();
}
