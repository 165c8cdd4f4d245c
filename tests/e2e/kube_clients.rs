//! The Rust client that we did not write: kube's watcher, in both of its ways to begin, and its reflector.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use futures::{Stream, StreamExt as _};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, ListParams, PartialObjectMeta, PartialObjectMetaExt as _};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::reflector::{self, Lookup, Store, reflector};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Resource, ResourceExt};
use serde_json::Value;
use tagscope::api::tags::{ImageTag, TagSet};

use crate::clients::churn::Churn;
use crate::harness::eventually;
use crate::world::{SOON, World};

/// What a reflector holds, by namespace/name, as text that can be compared.
type Known = BTreeMap<String, Value>;
type Held = Box<dyn Fn() -> Known + Send + Sync>;

/// Follows a stream of watcher events into a store, for as long as the test runs.
fn keep<K>(stream: impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static) -> Held
where
    K: Resource<DynamicType = ()> + Lookup<DynamicType = ()> + serde::Serialize + Clone + Debug,
    K: Send + Sync + 'static,
{
    let (store, writer): (Store<K>, _) = reflector::store();
    let stream = reflector(writer, stream).default_backoff();
    tokio::spawn(stream.for_each(|_| std::future::ready(())));
    Box::new(move || {
        store
            .state()
            .iter()
            .map(|object| known(&**object))
            .collect()
    })
}

fn known<K: Resource + serde::Serialize>(object: &K) -> (String, Value) {
    let name = format!(
        "{}/{}",
        ResourceExt::namespace(object).unwrap_or_default(),
        object.name_any()
    );
    let mut value = serde_json::to_value(object).unwrap();
    // Which types say of themselves what they are, differs.
    for field in ["apiVersion", "kind"] {
        value.as_object_mut().unwrap().remove(field);
    }
    (name, value)
}

#[tokio::test(flavor = "multi_thread")]
async fn watchers_and_reflectors_know_the_truth_through_kills() {
    const ROUNDS: usize = 3;
    const STEPS: usize = 20;
    let mut world = World::start(&["--suspect-confirmations=1"]).await;
    let ns = world.cluster.namespace("reflected").await;
    let client = world.cluster.client().await;
    let mut churn = Churn::new(&ns).await;
    churn.begin(&client).await.unwrap();
    churn.settle(&client).await;
    let tags = || Api::<ImageTag>::all(client.clone());
    let bare = || Api::<PartialObjectMeta<ImageTag>>::all(client.clone());
    let plain = watcher::Config::default;
    let selected = plain().labels("tags.tagscope.dev/selected=true");
    let whole: [(&str, Held); 4] = [
        ("by a list", keep(watcher(tags(), plain()))),
        ("by pages", keep(watcher(tags(), plain().page_size(3)))),
        ("streamed", keep(watcher(tags(), plain().streaming_lists()))),
        (
            "any version",
            keep(watcher(tags(), plain().any_semantic().disable_bookmarks())),
        ),
    ];
    let partial: [(&str, Held); 2] = [
        ("metadata", keep(watcher(bare(), plain()))),
        (
            "metadata, streamed",
            keep(watcher(bare(), plain().streaming_lists())),
        ),
    ];
    let elected: [(&str, Held); 2] = [
        ("selected", keep(watcher(tags(), selected.clone()))),
        (
            "selected, streamed",
            keep(watcher(tags(), selected.clone().streaming_lists())),
        ),
    ];
    let sets = Api::<TagSet>::all(client.clone());
    let of_sets = keep(watcher(sets.clone(), plain().streaming_lists()));

    for round in 1..=ROUNDS {
        for step in 0..STEPS {
            churn.step(&client).await.unwrap();
            if step == STEPS / 2 {
                world.program.kill();
                world.program.restart().await.unwrap();
            }
        }
        churn.settle(&client).await;
        eventually(SOON * 3, "every store is what a list says", || async {
            let list = tags().list(&ListParams::default()).await;
            let list = list.map_err(|e| e.to_string())?.items;
            let is_selected = |tag: &&ImageTag| tag.selected_by.is_some();
            let all: Known = list.iter().map(known).collect();
            let few: Known = list.iter().filter(is_selected).map(known).collect();
            let metadata = |tag: &ImageTag| -> (String, Value) {
                let metadata: ObjectMeta = tag.metadata.clone();
                known(&metadata.into_response_partial::<ImageTag>())
            };
            let partially: Known = list.iter().map(metadata).collect();
            for (held, wanted) in [
                (&whole[..], all),
                (&partial[..], partially),
                (&elected[..], few),
            ] {
                for (how, held) in held {
                    same(how, &held(), &wanted)?;
                }
            }
            let list = sets.list(&ListParams::default()).await;
            let list = list.map_err(|e| e.to_string())?.items;
            same("sets", &of_sets(), &list.iter().map(known).collect())
        })
        .await;
        eprintln!("round {round}: {} tags", churn.tags());
        assert_eq!(whole[0].1().len() as u64, churn.tags());
    }
}

fn same(how: &str, held: &Known, wanted: &Known) -> Result<(), String> {
    let differs = |name: &&String| held.get(*name) != wanted.get(*name);
    match held.keys().chain(wanted.keys()).find(differs) {
        None => Ok(()),
        Some(name) => Err(format!(
            "{how}: {name} is {:?} and should be {:?}",
            held.get(name),
            wanted.get(name)
        )),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_namespace_goes_and_its_tags_are_told_deleted() {
    let world = World::shared().await;
    let ns = world.cluster.namespace("leaving").await;
    let registry = &world.cluster.registry;
    registry
        .push("leaving/app", &["1.0.0", "1.1.0", "latest"])
        .await;
    world.scan(&ns, "app", "leaving/app").await;
    world.create_policy(&ns, "app", "app", "1.x").await;
    world.elects(&ns, "app", "1.1.0").await;

    let client = world.cluster.client().await;
    let told: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
    for config in [
        watcher::Config::default(),
        watcher::Config::default().streaming_lists(),
    ] {
        let tags = Api::<ImageTag>::namespaced(client.clone(), &ns);
        let told = Arc::clone(&told);
        tokio::spawn(watcher(tags, config).for_each(move |event| {
            let (what, name) = match event.unwrap() {
                Event::Delete(tag) => ("deleted", tag.name_any()),
                Event::InitDone => ("synced", String::new()),
                Event::Apply(_) | Event::Init | Event::InitApply(_) => {
                    return std::future::ready(());
                }
            };
            told.lock().unwrap().push((what.to_owned(), name));
            std::future::ready(())
        }));
    }
    let told_of = |word: &str| -> Vec<String> {
        let told = told.lock().unwrap();
        let names = told.iter().filter(|(what, _)| what == word);
        let mut names: Vec<String> = names.map(|(_, name)| name.clone()).collect();
        names.sort_unstable();
        names
    };
    eventually(SOON, "both watch", || async {
        let synced = told_of("synced").len();
        if synced == 2 { Ok(()) } else { Err(synced) }
    })
    .await;
    let delete = ["delete", "namespace", &ns, "--timeout=60s"];
    world.cluster.kubectl(&delete).await.ok();
    let all = ["app:1.0.0", "app:1.1.0", "app:latest"];
    let twice: Vec<&str> = all.iter().flat_map(|name| [*name, *name]).collect();
    eventually(SOON, "every tag is told deleted, to both", || async {
        let deleted = told_of("deleted");
        if deleted == twice {
            Ok(())
        } else {
            Err(format!("{deleted:?}"))
        }
    })
    .await;
    let left = ["get", "imagetags,tagsets", "-n", &ns, "-o", "name"];
    assert_eq!(world.cluster.kubectl(&left).await.ok(), "");
}
