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

use super::support::{World, names, time};

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

/// Another task of the same thread, which counts how often it gets its turn.
struct Other {
    turns: Arc<AtomicUsize>,
    _task: tokio::task::JoinSet<()>,
}

impl Other {
    fn new() -> Self {
        let turns = Arc::new(AtomicUsize::new(0));
        let mut task = tokio::task::JoinSet::new();
        let counted = Arc::clone(&turns);
        task.spawn(async move {
            loop {
                counted.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        });
        Self { turns, _task: task }
    }

    fn turns(&self) -> usize {
        self.turns.load(Ordering::Relaxed)
    }
}

/// On one thread: whoever does not yield lets nobody else run.
#[tokio::test]
async fn a_page_that_has_to_look_at_everything_lets_others_run() {
    let world = World::new();
    let tags: Vec<String> = (0..100_000).map(|number| format!("1.{number}.0")).collect();
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    world.scan("n", "big", "ghcr.io/a/big", &tags, true);
    let other = Other::new();
    for (query, is_counted_first) in [
        ("limit=100000&fieldSelector=tag!=x", true),
        // Without a limit all of the work is in the body, and every chunk of it is full at once.
        ("fieldSelector=digest=,tag!=1.1.0", false),
    ] {
        let before = other.turns();
        let path = format!("imagetags?{query}");
        let (status, _, payload) = world.begin(http::Method::GET, &path, &[]).await;
        assert_eq!(status, StatusCode::OK);
        let begun = other.turns();
        assert!(!is_counted_first || begun - before >= 20, "{query}");
        if let Payload::Stream(mut body) = payload {
            while body.next().await.is_some() {}
        }
        let read = other.turns();
        let needed = if is_counted_first { 20 } else { 0 } + 20;
        assert!(read - before >= needed, "{query}: {} turns", read - before);
    }
}

/// Selectors that pass over nearly all of many repositories, of which each is looked at.
#[tokio::test]
async fn repositories_that_are_passed_over_let_others_run() {
    const REPOSITORIES: usize = 20_000;
    let world = World::new();
    for number in 0..REPOSITORIES {
        let name = format!("r{number:05}");
        world.scan("n", &name, "ghcr.io/a/b", &["1"], true);
    }
    world.scan("n", "r-last", "ghcr.io/a/b", &["1"], true);
    world.scan("z", "kept", "ghcr.io/a/b", &["1"], true);
    let other = Other::new();
    // A budget of 4,096 for each turn.
    let least = REPOSITORIES / 4096;
    let after = |list: &Value| format!("&continue={}", token(list));
    for (path, names) in [
        ("imagetags?fieldSelector=metadata.namespace!=n", &["kept:1"]),
        ("tagsets?fieldSelector=metadata.namespace!=n", &["kept"]),
        (
            "imagetags?fieldSelector=metadata.namespace!=n&limit=5",
            &["kept:1"],
        ),
        (
            "tagsets?fieldSelector=metadata.namespace!=n&limit=5",
            &["kept"],
        ),
    ] {
        let before = other.turns();
        assert_eq!(world.get(path).await.names(), names);
        let got = other.turns() - before;
        assert!(got >= least, "{path}: {got}");
    }
    // TagSets are put in order, and what is passed over is passed over in that order.
    let before = other.turns();
    let first = world.get("tagsets?limit=1").await.json();
    assert_eq!(names(&first), ["r-last"]);
    assert!(other.turns() - before >= least);
    let second = format!("tagsets?limit=2{}", after(&first));
    let second = world.get(&second).await.json();
    assert_eq!(names(&second), ["r00000", "r00001"]);
    let remaining = second["metadata"]["remainingItemCount"].as_u64();
    assert_eq!(remaining, Some(REPOSITORIES as u64 - 1));
}

/// The initial state of a watch, read as fast as it is written.
#[tokio::test]
async fn the_initial_state_of_a_watch_lets_others_run() {
    let world = World::new();
    let tags: Vec<String> = (0..20_000).map(|number| format!("1.{number}.0")).collect();
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    world.scan("n", "big", "ghcr.io/a/big", &tags, true);
    let other = Other::new();
    let mut frames = world.watch("imagetags").await;
    let before = other.turns();
    for _ in 0..tags.len() {
        assert_eq!(frames.next().await.unwrap()["type"], "ADDED");
    }
    assert!(other.turns() - before >= tags.len() / 1024);
}
