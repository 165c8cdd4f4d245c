//! Pulling the plug: what a restart may cost, and what it must not.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;

use crate::harness::eventually;
use crate::world::{SOON, World};

/// resourceVersion → what the object was, over a whole test: two contents under one number are a lie.
#[derive(Default)]
struct Seen(HashMap<String, Value>);

impl Seen {
    fn look(&mut self, item: &Value) {
        let version = item["metadata"]["resourceVersion"]
            .as_str()
            .unwrap()
            .to_owned();
        let before = self
            .0
            .entry(version.clone())
            .or_insert_with(|| item.clone());
        assert_eq!(before, item, "resourceVersion {version} names two contents");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_loses_nothing_and_rescans_nothing() {
    let mut world = World::start(&[]).await;
    let ns = world.cluster.namespace("restart").await;
    world
        .cluster
        .registry
        .push("restart/app", &["1.0.0", "1.1.0"])
        .await;
    world.scan(&ns, "app", "restart/app").await;
    world.create_policy(&ns, "app", "app", "1.x").await;
    world.elects(&ns, "app", "1.1.0").await;
    let before = world.get(&["imagetags", "-n", &ns]).await;
    let statuses = world
        .get(&["imagerepositories,imagepolicies", "-n", &ns])
        .await;
    let mut seen = Seen::default();
    before["items"]
        .as_array()
        .unwrap()
        .iter()
        .for_each(|item| seen.look(item));

    let asked = registry_requests(&world.program.scrape().await);
    assert!(asked > 0, "the scan is counted");
    world.program.kill();
    world.program.restart().await.unwrap();
    let after = eventually(SOON, "tags are served again", || async {
        let list = world
            .cluster
            .kubectl(&["get", "imagetags", "-n", &ns, "-o", "json"])
            .await
            .probe()?;
        let list: Value = serde_json::from_str(&list).unwrap();
        let complete = list["items"]
            .as_array()
            .is_some_and(|items| items.len() == 2);
        if complete {
            Ok(list)
        } else {
            Err(list.to_string())
        }
    })
    .await;
    assert_eq!(after["items"], before["items"], "tags are as they were");
    after["items"]
        .as_array()
        .unwrap()
        .iter()
        .for_each(|item| seen.look(item));
    let statuses_after = world
        .get(&["imagerepositories,imagepolicies", "-n", &ns])
        .await;
    assert_eq!(
        statuses_after["items"], statuses["items"],
        "no status was written"
    );
    assert_eq!(
        registry_requests(&world.program.scrape().await),
        0,
        "no registry was asked"
    );

    // Killed again and again while tags come and go.
    for round in 0..5 {
        let tag = format!("1.{}.0", round + 2);
        world.cluster.registry.push("restart/app", &[&tag]).await;
        world.request_scan(&ns, "app").await;
        tokio::time::sleep(Duration::from_millis(37 * round)).await;
        world.program.kill();
        world.program.restart().await.unwrap();
        world.elects(&ns, "app", &tag).await;
        let list = world.get(&["imagetags", "-n", &ns]).await;
        list["items"]
            .as_array()
            .unwrap()
            .iter()
            .for_each(|item| seen.look(item));
    }
    let end = world.program.terminate().await;
    assert!(
        end.success(),
        "SIGTERM ends with 0: {end}\n{}",
        world.program.log()
    );
}

/// All requests to registries that the metrics count.
fn registry_requests(metrics: &str) -> u64 {
    let lines = metrics
        .lines()
        .filter(|line| line.starts_with("tagscope_registry_requests_total"));
    lines
        .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrupt_store_is_set_aside_and_filled_again() {
    let mut world = World::start(&[]).await;
    let ns = world.cluster.namespace("corrupt").await;
    world.cluster.registry.push("corrupt/app", &["1.0.0"]).await;
    world.scan(&ns, "app", "corrupt/app").await;
    world.program.kill();
    let files: Vec<_> = std::fs::read_dir(&world.program.storage)
        .unwrap()
        .map(|f| f.unwrap().path())
        .collect();
    assert!(!files.is_empty());
    for file in &files {
        if file.is_file() {
            std::fs::write(file, b"not a database").unwrap();
        }
    }
    world.program.restart().await.unwrap();
    eventually(SOON, "the tag is served again", || async {
        world
            .cluster
            .kubectl(&["get", "imagetag", "app:1.0.0", "-n", &ns])
            .await
            .probe()
    })
    .await;
    let kept = std::fs::read_dir(&world.program.storage).unwrap().count();
    assert!(
        kept > files.len(),
        "the old file was kept beside the new one"
    );
}
