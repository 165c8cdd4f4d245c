//! The examples say nothing that the kinds do not know.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::Value;
use tagscope::api::{ImagePolicy, ImageRepository};

use super::{file, root, text};

/// The names of all fields, nested: what a manifest says, whatever the values.
fn fields(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    if let Value::Object(map) = value {
        for (name, value) in map {
            let path = format!("{path}.{name}");
            fields(value, &path, found);
            found.insert(path);
        }
    }
}

#[test]
fn examples_say_nothing_that_the_kinds_do_not_know() {
    let mut repositories = BTreeMap::new();
    let mut wanted = Vec::new();
    let kustomization = &file("examples/kustomization.yaml")[0];
    let listed: BTreeSet<&str> = kustomization["resources"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let mut there = BTreeSet::new();
    for entry in fs::read_dir(root().join("examples")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        // What the directories hold is not for `make run`.
        if name == "kustomization.yaml" || entry.file_type().unwrap().is_dir() {
            continue;
        }
        for example in file(&format!("examples/{name}")) {
            let typed = match text(&example, "/kind") {
                "ImageRepository" => {
                    let typed: ImageRepository = serde_json::from_value(example.clone()).unwrap();
                    repositories.insert(
                        typed.metadata.name.clone().unwrap(),
                        typed.spec.image.clone(),
                    );
                    serde_json::to_value(typed).unwrap()
                }
                "ImagePolicy" => {
                    let typed: ImagePolicy = serde_json::from_value(example.clone()).unwrap();
                    wanted.push(typed.spec.image_repository_ref.name.clone());
                    serde_json::to_value(typed).unwrap()
                }
                other => panic!("{name}: {other}"),
            };
            let (mut written, mut understood) = (BTreeSet::new(), BTreeSet::new());
            fields(&example, "", &mut written);
            fields(&typed, "", &mut understood);
            assert_eq!(written, understood, "{name}");
        }
        there.insert(name);
    }
    assert_eq!(
        there.iter().map(String::as_str).collect::<BTreeSet<_>>(),
        listed
    );
    for repository in &wanted {
        assert!(
            repositories.contains_key(repository),
            "a policy refers to {repository}, which no example makes"
        );
    }
    for repository in repositories.keys() {
        assert!(
            wanted.contains(repository),
            "no policy elects from {repository}"
        );
    }

    // `make run` fills its registry with what these scan.
    let seed = fs::read_to_string(root().join("tests/registry/seed/samples.go")).unwrap();
    for image in repositories.values() {
        let (host, repository) = image.split_once('/').unwrap();
        assert_eq!(host, "localhost:5000");
        assert!(
            seed.contains(&format!("repository: \"{repository}\"")),
            "nothing is pushed to {repository}"
        );
    }
}
