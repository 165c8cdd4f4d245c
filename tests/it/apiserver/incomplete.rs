//! A tag list that may lack something: its TagSet says so, in every form and to everybody who watches, and the tags that
//! it does not name are served as before.

use serde_json::json;
use tagscope::clock::Clock as _;
use tagscope::store::{Dating, Scan};

use super::support::{PARTIAL, TABLE, World, owner};

const SET: &str = "namespaces/apps/tagsets/cache";

/// A scan of `apps/cache` that knows of these tags, and of no end of the list unless it is `complete`.
fn scan(world: &World, tags: &[&str], complete: bool) {
    let scan = Scan {
        owner: owner("apps", "cache"),
        image: "index.docker.io/library/redis".parse().unwrap(),
        tags: tags.iter().map(|tag| tag.parse().unwrap()).collect(),
        aside: Vec::new(),
        revision: tags.join("+"),
        time: world.clock.now(),
        complete,
        dating: Dating::Now,
    };
    world.store.commit_scan(scan).unwrap();
}

#[tokio::test]
async fn a_set_that_may_lack_tags_says_so_in_every_form() {
    let world = World::filled();
    scan(&world, &["v7.4.0", "7.6.0"], false);
    let version = world.version().to_string();
    let set = world.get(SET).await.json();
    assert_eq!(
        set,
        json!({
            "apiVersion": "tags.tagscope.dev/v1alpha1",
            "kind": "TagSet",
            "metadata": {
                "name": "cache",
                "namespace": "apps",
                "uid": owner_uid(&set),
                "resourceVersion": version,
                "creationTimestamp": "2026-01-02T03:04:05Z",
                "labels": { "tags.tagscope.dev/repository": "cache" },
            },
            "image": "index.docker.io/library/redis",
            "revision": "v7.4.0+7.6.0",
            "scanTime": "2026-03-01T05:07:00Z",
            "complete": false,
            // What the list did not name is still there.
            "tagCount": 3,
            "tags": ["v7.4.0", "7.6.0", "7.2.1"],
        })
    );

    let table = world.get_as(SET, TABLE).await.json();
    let columns: Vec<_> = table["columnDefinitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| (column["name"].clone(), column["type"].clone()))
        .collect();
    assert_eq!(columns[3], (json!("Complete"), json!("boolean")));
    assert_eq!(
        table["rows"][0]["cells"],
        json!(["cache", "index.docker.io/library/redis", 3, false, "0s"])
    );
    let partial = world.get_as(SET, PARTIAL).await.json();
    assert_eq!(partial["metadata"], set["metadata"]);
    assert!(partial.get("complete").is_none(), "{partial}");
    let list = world.get("namespaces/apps/tagsets").await.json();
    assert_eq!(list["items"][0]["complete"], false);
}

/// The uid is derived: as long as it is one, and the same in every form, it is not this test's business.
fn owner_uid(set: &serde_json::Value) -> String {
    let uid = set["metadata"]["uid"].as_str().unwrap();
    uid.parse::<uuid::Uuid>().unwrap().to_string()
}

#[tokio::test(start_paused = true)]
async fn watchers_hear_that_a_set_may_lack_tags_and_that_it_is_whole_again() {
    let world = World::filled();
    let from = world.version();
    let path = format!("namespaces/apps/tagsets?resourceVersion={from}");
    let mut watch = world.watch(&path).await;
    // The same tags: the set alone changes.
    scan(&world, &["7.2.1"], false);
    scan(&world, &["7.2.1", "v7.4.0"], true);
    scan(&world, &["7.2.1"], true);
    let frames = watch.ready().await;
    let told: Vec<_> = frames
        .iter()
        .map(|frame| {
            let object = &frame["object"];
            (
                frame["type"].as_str().unwrap(),
                object["complete"].as_bool().unwrap(),
                object["tagCount"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("MODIFIED", false, 2),
            ("MODIFIED", true, 2),
            ("MODIFIED", true, 1)
        ]
    );
    let tags = world.get("namespaces/apps/imagetags").await;
    assert_eq!(tags.names().len(), 1);
}
