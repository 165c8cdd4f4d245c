//! Pulling the plug: what a restart may cost, and what it must not.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams, WatchParams};
use kube::core::WatchEvent;
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

    let end = world.program.terminate().await;
    assert!(
        end.success(),
        "SIGTERM ends with 0: {end}\n{}",
        world.program.log()
    );
}

/// Numbers that differ from run to run; a run can be repeated by putting its seed here.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new() -> Self {
        let seed = std::hash::RandomState::new().build_hasher().finish();
        eprintln!("the seed is {seed}");
        Self(seed)
    }

    /// Below `end`. SplitMix64.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

/// What a client knows that lists once and then only watches, through every interruption.
#[derive(Default)]
struct Follower {
    seen: Seen,
    /// Name → the whole object, as the events say.
    objects: BTreeMap<String, Value>,
    lists: usize,
    events: usize,
    /// What the follower was not meant to hear.
    complaints: Vec<String>,
}

/// Follows all tags of `ns`, for as long as it is polled. Only 410 makes it list again.
async fn follow(client: kube::Client, ns: String, known: Arc<Mutex<Follower>>) {
    let kind = GroupVersionKind::gvk("tags.tagscope.dev", "v1alpha1", "ImageTag");
    let resource = ApiResource::from_gvk_with_plural(&kind, "imagetags");
    let api: Api<DynamicObject> = Api::namespaced_with(client, &ns, &resource);
    let value = |object: &DynamicObject| serde_json::to_value(object).unwrap();
    let mut version: Option<String> = None;
    loop {
        // It is away for a moment, again and again.
        tokio::time::sleep(Duration::from_millis(20)).await;
        let Some(from) = version.clone() else {
            if let Ok(list) = api.list(&ListParams::default()).await {
                let mut known = known.lock().unwrap();
                known.lists += 1;
                known.objects.clear();
                for mut object in list.items {
                    object.types = Some(kube::core::TypeMeta {
                        api_version: resource.api_version.clone(),
                        kind: resource.kind.clone(),
                    });
                    known.take(&value(&object));
                }
                version = list.metadata.resource_version;
            }
            continue;
        };
        let params = WatchParams::default();
        let Ok(mut stream) = api.watch(&params, &from).await.map(StreamExt::boxed) else {
            continue;
        };
        while let Some(Ok(event)) = stream.next().await {
            let mut known = known.lock().unwrap();
            match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    known.take(&value(&object));
                    version = object.metadata.resource_version;
                }
                WatchEvent::Deleted(object) => {
                    known.let_go(&value(&object));
                    version = object.metadata.resource_version;
                }
                WatchEvent::Bookmark(mark) => version = Some(mark.metadata.resource_version),
                WatchEvent::Error(status) if status.code == 410 => {
                    version = None;
                    break;
                }
                WatchEvent::Error(status) => {
                    known.complaints.push(format!("{status:?}"));
                    break;
                }
            }
        }
    }
}

impl Follower {
    fn take(&mut self, object: &Value) {
        self.events += 1;
        self.seen.look(object);
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        self.objects.insert(name, object.clone());
    }

    fn let_go(&mut self, object: &Value) {
        self.events += 1;
        self.seen.look(object);
        let name = object["metadata"]["name"].as_str().unwrap();
        if self.objects.remove(name).is_none() {
            self.complaints.push(format!("{name} was deleted twice"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_at_any_moment_never_give_a_resource_version_twice() {
    const ROUNDS: u64 = 8;
    const NAMES: [&str; 3] = ["one", "two", "three"];
    let mut dice = Dice::new();
    let mut world = World::start(&[]).await;
    let ns = world.cluster.namespace("plug").await;
    for name in NAMES {
        let repository = format!("plug/{name}");
        world.cluster.registry.push(&repository, &["1.0.0"]).await;
        world.scan(&ns, name, &repository).await;
        world.create_policy(&ns, name, name, "*").await;
        world.elects(&ns, name, "1.0.0").await;
    }
    let known: Arc<Mutex<Follower>> = Arc::default();
    let client = world.cluster.client().await;
    let following = tokio::spawn(follow(client, ns.clone(), Arc::clone(&known)));
    for round in 1..=ROUNDS {
        for name in NAMES {
            let repository = format!("plug/{name}");
            let pushed = format!("1.{round}.0");
            world.cluster.registry.push(&repository, &[&pushed]).await;
            if dice.below(2) == 0 {
                let gone = format!("1.{}.0", round - 1);
                let tags = world.cluster.registry.tags(&repository).await;
                if tags.contains(&gone) {
                    world.cluster.registry.delete(&repository, &[&gone]).await;
                }
            }
            world.request_scan(&ns, name).await;
        }
        tokio::time::sleep(Duration::from_millis(dice.below(400))).await;
        world.program.kill();
        if dice.below(2) == 0 {
            // Again, while it starts.
            world.program.respawn();
            tokio::time::sleep(Duration::from_millis(dice.below(600))).await;
            world.program.kill();
        }
        world.program.restart().await.unwrap();
    }

    let newest = format!("1.{ROUNDS}.0");
    for name in NAMES {
        world.request_scan(&ns, name).await;
        world.elects(&ns, name, &newest).await;
    }
    eventually(SOON, "who only watched knows what is served", || async {
        let list = world.get(&["imagetags", "-n", &ns]).await;
        let mut known = known.lock().unwrap();
        let mut served = BTreeMap::new();
        for item in list["items"].as_array().unwrap() {
            known.seen.look(item);
            let name = item["metadata"]["name"].as_str().unwrap().to_owned();
            served.insert(name, item.clone());
        }
        if served == known.objects {
            Ok(())
        } else {
            Err(format!("served {served:#?}\nknown {:#?}", known.objects))
        }
    })
    .await;
    for name in NAMES {
        let repository = format!("plug/{name}");
        let mut expected = world.cluster.registry.tags(&repository).await;
        expected.sort_unstable();
        let set = world.get(&["tagset", name, "-n", &ns]).await;
        let mut tags: Vec<String> = serde_json::from_value(set["tags"].clone()).unwrap();
        tags.sort_unstable();
        assert_eq!(tags, expected, "{name}");
    }
    // A panic in there would have been a lie found.
    assert!(!following.is_finished(), "{:?}", following.await);
    following.abort();
    let known = known.lock().unwrap();
    assert_eq!(known.complaints, [""; 0]);
    eprintln!("{} lists and {} events", known.lists, known.events);
    assert!(known.events > 20, "{} events", known.events);
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
