//! One object by its name.

use std::time::Duration;

use http::{Method, StatusCode};
use tagscope::api::tags::{ImageTag, TagSet};
use tokio::time::Instant;

use super::support::{TABLE, World, owner};

#[tokio::test]
async fn what_is_written_is_what_the_types_say() {
    let world = World::filled();
    let tag = world
        .get("namespaces/flux-system/imagetags/podinfo:6.3.0")
        .await;
    let read: ImageTag = serde_json::from_str(&tag.text).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), tag.json());
    let old = world.get("namespaces/apps/imagetags/cache:v7.4.0").await;
    let read: ImageTag = serde_json::from_str(&old.text).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), old.json());
    let set = world.get("namespaces/flux-system/tagsets/podinfo").await;
    let read: TagSet = serde_json::from_str(&set.text).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), set.json());
}

#[tokio::test]
async fn a_tag_of_the_first_scan_is_as_old_as_its_repository_object() {
    let world = World::filled();
    let old = world
        .get("namespaces/apps/imagetags/cache:v7.4.0")
        .await
        .json();
    assert_eq!(old["metadata"]["creationTimestamp"], "2026-01-02T03:04:05Z");
    assert!(old.get("firstSeen").is_none());
    let new = world
        .get("namespaces/flux-system/imagetags/podinfo:6.3.0")
        .await
        .json();
    assert_eq!(new["metadata"]["creationTimestamp"], "2026-03-01T05:00:00Z");
    assert_eq!(new["firstSeen"], "2026-03-01T05:00:00Z");
}

#[tokio::test]
async fn a_tag_that_comes_back_is_a_new_object() {
    let world = World::new();
    let image = "ghcr.io/a/b";
    let path = "namespaces/n/imagetags/a:1";
    let uid = async || {
        world.get(path).await.json()["metadata"]["uid"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    world.scan("n", "a", image, &["1", "2"], true);
    let first = uid().await;
    world.scan("n", "a", image, &["1", "2", "3"], false);
    assert_eq!(uid().await, first);
    world.scan("n", "a", image, &["2", "3"], false);
    assert_eq!(world.get(path).await.status, StatusCode::NOT_FOUND);
    world.scan("n", "a", image, &["1", "2", "3"], false);
    assert_ne!(uid().await, first);
    let set = world.get("namespaces/n/tagsets/a").await.json();
    assert_ne!(set["metadata"]["uid"], owner("n", "a").uid);
}

#[tokio::test]
async fn names_that_name_nothing_are_not_found() {
    let world = World::filled();
    for name in [
        "podinfo:9",
        "podinfo",
        "podinfo:",
        ":6.3.0",
        "other:6.3.0",
        "podinfo:6.3.0:x",
    ] {
        let answer = world
            .get(&format!("namespaces/flux-system/imagetags/{name}"))
            .await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{name}");
        let details = &answer.json()["details"];
        assert_eq!(
            (details["name"].as_str(), details["kind"].as_str()),
            (Some(name), Some("imagetags"))
        );
    }
    assert_eq!(
        world
            .get("namespaces/apps/imagetags/podinfo:6.3.0")
            .await
            .status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        world
            .get("namespaces/flux-system/tagsets/other")
            .await
            .status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn an_escaped_colon_and_a_watch_parameter_change_nothing() {
    let world = World::filled();
    let plain = world
        .get("namespaces/flux-system/imagetags/podinfo:6.3.0")
        .await
        .text;
    assert_eq!(
        world
            .get("namespaces/flux-system/imagetags/podinfo%3A6.3.0")
            .await
            .text,
        plain
    );
    assert_eq!(
        world
            .get("namespaces/flux-system/imagetags/podinfo:6.3.0?watch=true")
            .await
            .text,
        plain
    );
}

#[tokio::test(start_paused = true)]
async fn a_state_from_the_future_is_waited_for() {
    let world = World::filled();
    let next = world.version().0 + 1;
    let path = format!("namespaces/flux-system/imagetags/podinfo:6.3.0?resourceVersion={next}");
    let begun = Instant::now();
    let refused = world.get(&path).await;
    assert_eq!(begun.elapsed(), Duration::from_secs(3));
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (StatusCode::GATEWAY_TIMEOUT, Some("1"))
    );
    let (answer, ()) = tokio::join!(world.get(&path), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        world.elect("flux-system/podinfo", "apps/stable", Some("latest"), false);
    });
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(
        world
            .get("namespaces/flux-system/imagetags/podinfo:6.3.0?resourceVersion=abc")
            .await
            .status
            .as_u16(),
        400
    );
}

#[tokio::test]
async fn a_head_is_answered_as_a_get_and_people_get_indented_text() {
    let world = World::filled();
    let path = "namespaces/flux-system/imagetags/podinfo:6.3.0";
    // The server cuts the body off.
    let head = world.ask(Method::HEAD, path, &[]).await;
    let plain = world.get(path).await;
    assert_eq!((head.status, &head.text), (StatusCode::OK, &plain.text));
    let pretty = world
        .ask(Method::GET, path, &[("user-agent", "curl/8.0")])
        .await;
    assert!(
        pretty.text.starts_with("{\n  \"kind\": \"ImageTag\",\n") && pretty.text.ends_with("}\n")
    );
    assert_eq!(pretty.json(), plain.json());
}

#[tokio::test]
async fn a_table_of_one_carries_the_objects_version() {
    let world = World::filled();
    let path = "namespaces/flux-system/imagetags/podinfo:6.3.0";
    let table = world.get_as(path, TABLE).await.json();
    let tag = world.get(path).await.json();
    assert_eq!(
        table["metadata"]["resourceVersion"],
        tag["metadata"]["resourceVersion"]
    );
    assert_eq!(table["rows"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn labels_of_ours_cannot_be_forged_by_copied_ones() {
    let world = World::new();
    let mut owner = owner("n", "a");
    for (key, value) in [
        ("team", "x"),
        ("tags.tagscope.dev/selected", "true"),
        ("tags.tagscope.dev/repository", "b"),
    ] {
        owner.labels.insert(key.to_owned(), value.to_owned());
    }
    world.scan_of(owner, "ghcr.io/a/b", &["1"], true);
    let labels = world.get("namespaces/n/imagetags/a:1").await.json()["metadata"]["labels"].clone();
    assert_eq!(
        labels,
        serde_json::json!({"tags.tagscope.dev/repository": "a", "team": "x"})
    );
}
