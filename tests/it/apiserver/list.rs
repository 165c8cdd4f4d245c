//! Lists: order, states, bodies.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::Value;
use tokio::time::Instant;

use super::support::{PARTIAL_LIST, TABLE, World};

#[tokio::test]
async fn items_come_by_namespace_and_name_and_twice_the_same() {
    let world = World::filled();
    let list = world.get("imagetags").await;
    assert_eq!(
        list.names(),
        [
            "cache:7.2.1",
            "cache:v7.4.0",
            // The hyphen comes before the colon.
            "podinfo-web:main-1",
            "podinfo:6.0.0",
            "podinfo:6.1.0",
            "podinfo:6.2.0-rc.1",
            "podinfo:6.3.0",
            "podinfo:latest",
        ]
    );
    assert_eq!(world.get("imagetags").await.text, list.text);
    assert_eq!(
        world.get("tagsets").await.names(),
        ["cache", "podinfo", "podinfo-web"]
    );
    assert_eq!(
        world.get("namespaces/apps/tagsets").await.names(),
        ["cache"]
    );
}

#[tokio::test]
async fn an_empty_list_has_a_version_and_an_array() {
    for world in [World::new(), World::filled()] {
        let list = world.get("namespaces/nowhere/imagetags").await;
        assert_eq!(list.status, StatusCode::OK);
        assert!(list.list_version() > 0);
        assert_eq!(list.json()["items"], Value::Array(Vec::new()));
    }
}

#[tokio::test]
async fn the_version_is_that_of_the_state_and_no_item_is_newer() {
    let world = World::filled();
    let list = world.get("imagetags").await;
    assert_eq!(list.list_version(), world.version().0);
    for item in list.json()["items"].as_array().unwrap() {
        assert_eq!(
            (item["kind"].as_str(), item["apiVersion"].as_str()),
            (Some("ImageTag"), Some("tags.tagscope.dev/v1alpha1"))
        );
        let version: u64 = item["metadata"]["resourceVersion"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!(version <= list.list_version());
    }
}

#[tokio::test(start_paused = true)]
async fn states_are_answered_waited_for_or_refused() {
    let world = World::filled();
    let current = world.version().0;
    for (query, code) in [
        ("resourceVersion=0".to_owned(), 200),
        (format!("resourceVersion={current}"), 200),
        (format!("resourceVersion={}", current - 1), 200),
        (
            format!("resourceVersion={current}&resourceVersionMatch=Exact"),
            200,
        ),
        (
            format!("resourceVersion={}&resourceVersionMatch=Exact", current - 1),
            200,
        ),
        (
            format!(
                "resourceVersion={}&resourceVersionMatch=NotOlderThan",
                current - 1
            ),
            200,
        ),
        (format!("resourceVersion={}&limit=2", current - 1), 200),
        ("resourceVersion=1&limit=2".to_owned(), 410),
        (format!("resourceVersion={current}&limit=2"), 200),
        ("resourceVersion=abc".to_owned(), 400),
    ] {
        let answer = world.get(&format!("imagetags?{query}")).await;
        assert_eq!(answer.status.as_u16(), code, "{query}");
    }
    let begun = Instant::now();
    let refused = world
        .get(&format!("imagetags?resourceVersion={}", current + 1))
        .await;
    assert_eq!(begun.elapsed(), Duration::from_secs(3));
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (StatusCode::GATEWAY_TIMEOUT, Some("1"))
    );
    assert_eq!(
        refused.json()["details"]["causes"][0]["reason"],
        "ResourceVersionTooLarge"
    );
}

#[tokio::test]
async fn a_long_list_is_streamed_in_bounded_chunks_and_is_the_same_list() {
    let world = World::new();
    let tags: Vec<String> = (0..5000).map(|number| format!("1.{number}.0")).collect();
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    world.scan("n", "big", "ghcr.io/a/big", &tags, true);
    for accept in ["application/json", PARTIAL_LIST, TABLE] {
        let streamed = world.get_as("imagetags", accept).await;
        let chunks = streamed.chunks.as_ref().expect("a long list is streamed");
        assert!(
            chunks.len() > 10 && chunks.iter().all(|size| *size < 40 * 1024),
            "{chunks:?}"
        );
        let field = if accept == TABLE { "rows" } else { "items" };
        let all = streamed.json()[field].as_array().unwrap().clone();
        assert_eq!(all.len(), 5000);
        let (mut collected, mut token) = (Vec::new(), String::new());
        loop {
            let page = world
                .get_as(&format!("imagetags?limit=700&continue={token}"), accept)
                .await
                .json();
            collected.extend(page[field].as_array().unwrap().iter().cloned());
            match page["metadata"].get("continue") {
                Some(next) => token = next.as_str().unwrap().to_owned(),
                None => break,
            }
        }
        assert_eq!(collected, all);
        let pretty = world
            .ask(Method::GET, "imagetags?pretty=true", &[("accept", accept)])
            .await;
        assert_eq!(pretty.json(), streamed.json());
        assert!(pretty.text.ends_with("\n}\n"));
    }
}

#[tokio::test]
async fn a_list_shows_one_state_whatever_is_committed_while_it_is_sent() {
    use futures::StreamExt as _;
    use tagscope::apiserver::response::Payload;

    let world = World::new();
    let tags: Vec<String> = (0..3000).map(|number| format!("1.{number}.0")).collect();
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    world.scan("n", "big", "ghcr.io/a/big", &tags, true);
    let (_, _, payload) = world.begin(Method::GET, "imagetags", &[]).await;
    let Payload::Stream(mut stream) = payload else {
        panic!("a long list is streamed")
    };
    let mut text = stream.next().await.unwrap().to_vec();
    world.scan("n", "big", "ghcr.io/a/big", &["only-this"], false);
    while let Some(chunk) = stream.next().await {
        text.extend_from_slice(&chunk);
    }
    let list: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(list["items"].as_array().unwrap().len(), 3000);
}

#[tokio::test]
async fn a_long_repository_name_is_cut_in_its_label_only() {
    let world = World::new();
    let name = "a".repeat(70);
    world.scan("n", &name, "ghcr.io/a/b", &["1"], true);
    let list = world.get("imagetags").await.json();
    assert_eq!(list["items"][0]["metadata"]["name"], format!("{name}:1"));
    let label = list["items"][0]["metadata"]["labels"]["tags.tagscope.dev/repository"]
        .as_str()
        .unwrap();
    assert!(
        label.len() == 63 && label.starts_with(&"a".repeat(54)),
        "{label}"
    );
    let selected = world
        .get(&format!(
            "imagetags?labelSelector=tags.tagscope.dev/repository%3D{label}"
        ))
        .await;
    assert_eq!(selected.names().len(), 1);
}
