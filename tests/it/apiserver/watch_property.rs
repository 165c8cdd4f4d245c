//! Whatever happens, and whatever is selected: who follows a watch ends where a list is.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::Value;

use super::support::{World, key, owner};

#[derive(Debug, Clone)]
enum Act {
    Scan {
        repository: usize,
        image: bool,
        tags: Vec<u8>,
    },
    Elect {
        repository: usize,
        policy: u8,
        tag: Option<u8>,
    },
    Label {
        repository: usize,
        team: Option<u8>,
    },
    Remove {
        repository: usize,
    },
}

const REPOSITORIES: [&str; 3] = ["m/a", "m/a-b", "n/a"];

fn act() -> impl Strategy<Value = Act> {
    let repository = 0..REPOSITORIES.len();
    prop_oneof![
        4 => (repository.clone(), prop::bool::weighted(0.15), prop::collection::vec(0u8..8, 0..8))
            .prop_map(|(repository, image, tags)| Act::Scan { repository, image, tags }),
        4 => (repository.clone(), 0u8..3, prop::option::of(0u8..8))
            .prop_map(|(repository, policy, tag)| Act::Elect { repository, policy, tag }),
        1 => (repository.clone(), prop::option::of(0u8..2))
            .prop_map(|(repository, team)| Act::Label { repository, team }),
        1 => repository.prop_map(|repository| Act::Remove { repository }),
    ]
}

fn selector() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        Just("labelSelector=tags.tagscope.dev/selected%3Dtrue".to_owned()),
        Just("labelSelector=!tags.tagscope.dev/selected".to_owned()),
        Just("labelSelector=team%3Dt0".to_owned()),
        Just("labelSelector=team!%3Dt0".to_owned()),
        Just("fieldSelector=image%3Dghcr.io/o/second".to_owned()),
        Just("fieldSelector=image!%3Dghcr.io/o/second,repository%3Da".to_owned()),
        Just("fieldSelector=metadata.name%3Da:t3".to_owned()),
        Just("fieldSelector=tag!%3Dt3&labelSelector=tags.tagscope.dev/repository%3Da-b".to_owned()),
    ]
}

fn perform(world: &World, act: &Act, teams: &mut BTreeMap<usize, u8>) {
    let team_owner = |repository: usize, teams: &BTreeMap<usize, u8>| {
        let key = key(REPOSITORIES[repository]);
        let mut owner = owner(&key.namespace, &key.name);
        if let Some(team) = teams.get(&repository) {
            owner.labels.insert("team".to_owned(), format!("t{team}"));
        }
        owner
    };
    match act {
        Act::Scan {
            repository,
            image,
            tags,
        } => {
            let tags: Vec<String> = tags.iter().map(|tag| format!("t{tag}")).collect();
            let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
            let image = if *image {
                "ghcr.io/o/second"
            } else {
                "ghcr.io/o/first"
            };
            world.scan_of(team_owner(*repository, teams), image, &tags, false);
        }
        Act::Elect {
            repository,
            policy,
            tag,
        } => {
            let tag = tag.map(|tag| format!("t{tag}"));
            world.elect(
                REPOSITORIES[*repository],
                &format!("m/p{policy}"),
                tag.as_deref(),
                *policy == 0,
            );
        }
        Act::Label { repository, team } => {
            match team {
                Some(team) => teams.insert(*repository, *team),
                None => teams.remove(repository),
            };
            world
                .store
                .update_owner(team_owner(*repository, teams))
                .unwrap();
        }
        Act::Remove { repository } => {
            world
                .store
                .remove_repository(&key(REPOSITORIES[*repository]))
                .unwrap();
        }
    }
}

type Objects = BTreeMap<(String, String), Value>;

fn identity(object: &Value) -> (String, String) {
    let text = |field| object["metadata"][field].as_str().unwrap().to_owned();
    (text("namespace"), text("name"))
}

/// Applies a frame as an informer would, and holds the stream to its word.
fn follow(objects: &mut Objects, frame: &Value, selective: bool) -> Result<(), TestCaseError> {
    let object = &frame["object"];
    match frame["type"].as_str().unwrap() {
        "ADDED" => {
            let was = objects.insert(identity(object), object.clone());
            prop_assert!(was.is_none(), "added twice: {object}");
        }
        "MODIFIED" => {
            let was = objects.insert(identity(object), object.clone());
            prop_assert!(was.is_some(), "modified before it was added: {object}");
        }
        "DELETED" => {
            let was = objects.remove(&identity(object));
            prop_assert!(was.is_some(), "deleted what was not there: {object}");
            let mut last = object.clone();
            let was = was.unwrap();
            last["metadata"]["resourceVersion"] = was["metadata"]["resourceVersion"].clone();
            prop_assert_eq!(last, was);
        }
        "BOOKMARK" => {}
        other => prop_assert!(false, "{} ({})", other, selective),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn who_follows_a_watch_ends_where_a_list_is(
        before in prop::collection::vec(act(), 0..6),
        acts in prop::collection::vec((act(), any::<bool>()), 1..24),
        selector in selector(),
        namespaced: bool,
        sets: bool,
    ) {
        // Tag sets know fewer fields.
        let selector = if sets && selector.contains("tag!") { String::new() } else { selector };
        let path = match (namespaced, sets) {
            (true, false) => "namespaces/m/imagetags",
            (false, false) => "imagetags",
            (true, true) => "namespaces/m/tagsets",
            (false, true) => "tagsets",
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let world = World::new();
            let mut teams = BTreeMap::new();
            for act in &before {
                perform(&world, act, &mut teams);
            }

            let listed = world.get(&format!("{path}?{selector}")).await.json();
            let version = listed["metadata"]["resourceVersion"].as_str().unwrap();
            let items = listed["items"].as_array().unwrap();
            let mut from_list: Objects = items.iter().map(|item| (identity(item), item.clone())).collect();
            let mut after_list = world.watch(&format!("{path}?resourceVersion={version}&{selector}")).await;
            let mut from_nothing = Objects::new();
            let mut with_state = world.watch(&format!("{path}?{selector}")).await;

            for (act, reads) in &acts {
                perform(&world, act, &mut teams);
                // Reading or not, the stream must come to the same.
                if *reads {
                    for frame in with_state.ready().await {
                        follow(&mut from_nothing, &frame, true)?;
                    }
                }
            }
            for frame in after_list.ready().await {
                follow(&mut from_list, &frame, true)?;
            }
            for frame in with_state.ready().await {
                follow(&mut from_nothing, &frame, true)?;
            }
            let listed = world.get(&format!("{path}?{selector}")).await.json();
            let items = listed["items"].as_array().unwrap();
            let truth: Objects = items.iter().map(|item| (identity(item), item.clone())).collect();
            prop_assert_eq!(&from_list, &truth);
            prop_assert_eq!(&from_nothing, &truth);
            Ok(())
        })?;
    }
}
