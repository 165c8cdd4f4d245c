//! Selectors over a real list, against an oracle that knows only the JSON.

use http::StatusCode;
use proptest::prelude::*;
use serde_json::Value;

use super::support::World;

async fn selected(world: &World, query: &str) -> Vec<String> {
    let answer = world.get(&format!("imagetags?{query}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{query}: {}", answer.text);
    answer.names()
}

#[tokio::test]
async fn field_selectors_select_by_every_known_field() {
    let world = World::filled();
    let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
    let rows = [
        (
            "fieldSelector=metadata.name%3Dpodinfo:6.3.0".to_owned(),
            vec!["podinfo:6.3.0"],
        ),
        (
            "fieldSelector=metadata.name==podinfo:6.3.0,metadata.namespace=flux-system".to_owned(),
            vec!["podinfo:6.3.0"],
        ),
        (
            "fieldSelector=metadata.name=podinfo:6.3.0,metadata.namespace=apps".to_owned(),
            vec![],
        ),
        ("fieldSelector=metadata.name=podinfo".to_owned(), vec![]),
        (
            "fieldSelector=metadata.namespace=apps".to_owned(),
            vec!["cache:7.2.1", "cache:v7.4.0"],
        ),
        (
            "fieldSelector=metadata.namespace!=flux-system".to_owned(),
            vec!["cache:7.2.1", "cache:v7.4.0"],
        ),
        (
            "fieldSelector=repository=podinfo-web".to_owned(),
            vec!["podinfo-web:main-1"],
        ),
        (
            "fieldSelector=repository=podinfo,tag=latest".to_owned(),
            vec!["podinfo:latest"],
        ),
        ("fieldSelector=tag=7.2.1".to_owned(), vec!["cache:7.2.1"]),
        ("fieldSelector=tag=7.2.1,tag=v7.4.0".to_owned(), vec![]),
        (
            format!("fieldSelector=digest={digest}"),
            vec!["podinfo:6.3.0"],
        ),
        (
            "fieldSelector=digest=,repository=cache".to_owned(),
            vec!["cache:7.2.1", "cache:v7.4.0"],
        ),
        (
            "fieldSelector=image=ghcr.io/stefanprodan/podinfo-web".to_owned(),
            vec!["podinfo-web:main-1"],
        ),
        (
            "fieldSelector=tag!=latest,repository=podinfo,tag!=6.0.0,tag!=6.1.0".to_owned(),
            vec!["podinfo:6.2.0-rc.1", "podinfo:6.3.0"],
        ),
    ];
    for (query, expected) in rows {
        assert_eq!(selected(&world, &query).await, expected, "{query}");
    }
}

#[tokio::test]
async fn label_selectors_select_elected_tags_and_repositories() {
    let world = World::filled();
    let label = "tags.tagscope.dev/";
    let rows = [
        (format!("{label}selected=true"), vec!["podinfo:6.3.0"]),
        (format!("{label}selected"), vec!["podinfo:6.3.0"]),
        (
            format!("{label}repository+in+(podinfo-web,cache),!{label}selected"),
            vec!["cache:7.2.1", "cache:v7.4.0", "podinfo-web:main-1"],
        ),
        (
            format!("{label}selected=true,{label}repository=cache"),
            vec![],
        ),
        (
            format!("{label}repository=podinfo,{label}selected!=true"),
            vec![
                "podinfo:6.0.0",
                "podinfo:6.1.0",
                "podinfo:6.2.0-rc.1",
                "podinfo:latest",
            ],
        ),
        ("nobody".to_owned(), vec![]),
    ];
    for (selector, expected) in rows {
        assert_eq!(
            selected(&world, &format!("labelSelector={selector}")).await,
            expected,
            "{selector}"
        );
    }
    let sets = world
        .get(&format!("tagsets?labelSelector={label}repository%3Dcache"))
        .await;
    assert_eq!(sets.names(), ["cache"]);
    let sets = world
        .get("tagsets?fieldSelector=metadata.name=podinfo")
        .await;
    assert_eq!(sets.names(), ["podinfo"]);
}

#[tokio::test]
async fn any_spelling_of_an_image_name_selects_it() {
    let world = World::filled();
    for spelling in [
        "redis",
        "library/redis",
        "docker.io/redis",
        "index.docker.io/library/redis",
    ] {
        let names = selected(&world, &format!("fieldSelector=image={spelling}")).await;
        assert_eq!(names, ["cache:7.2.1", "cache:v7.4.0"], "{spelling}");
    }
    let refused = world.get("imagetags?fieldSelector=image=UPPER/case").await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    let message = refused.json()["message"].as_str().unwrap().to_owned();
    assert_eq!(
        message,
        "invalid field selector: image: \"UPPER/case\" is not an image name"
    );
}

#[tokio::test]
async fn another_namespace_than_the_paths_selects_nothing() {
    let world = World::filled();
    let list = world
        .get("namespaces/apps/imagetags?fieldSelector=metadata.namespace=flux-system")
        .await;
    assert_eq!((list.status, list.names().len()), (StatusCode::OK, 0));
}

/// A term and what it demands of an item.
#[derive(Debug, Clone)]
struct Term {
    text: String,
    pointer: &'static str,
    values: Vec<String>,
    negated: bool,
}

impl Term {
    fn holds(&self, item: &Value) -> bool {
        let value = item
            .pointer(self.pointer)
            .and_then(Value::as_str)
            .unwrap_or_default();
        self.values.iter().any(|wanted| wanted == value) != self.negated
    }
}

fn field_term() -> impl Strategy<Value = Term> {
    let field = prop_oneof![
        Just((
            "metadata.name",
            "/metadata/name",
            vec!["a:1", "a:2", "a-b:1", "b:3", "x"]
        )),
        Just((
            "metadata.namespace",
            "/metadata/namespace",
            vec!["m", "n", "x"]
        )),
        Just(("repository", "/repository", vec!["a", "a-b", "b", "x"])),
        Just(("image", "/image", vec!["ghcr.io/o/a", "ghcr.io/o/b"])),
        Just(("tag", "/tag", vec!["1", "2", "3", "9"])),
        Just(("digest", "/digest", vec!["", "x"])),
    ];
    (field, any::<prop::sample::Index>(), any::<bool>()).prop_map(
        |((name, pointer, values), index, negated)| {
            let value = values[index.index(values.len())].to_owned();
            let operator = if negated { "!=" } else { "=" };
            Term {
                text: format!("{name}{operator}{value}"),
                pointer,
                values: vec![value],
                negated,
            }
        },
    )
}

fn label_term() -> impl Strategy<Value = Term> {
    let label = prop_oneof![
        Just((
            "repository",
            "/metadata/labels/tags.tagscope.dev~1repository",
            vec!["a", "a-b", "b"]
        )),
        Just((
            "selected",
            "/metadata/labels/tags.tagscope.dev~1selected",
            vec!["true"]
        )),
    ];
    (label, any::<bool>(), 1usize..3).prop_map(|((name, pointer, values), negated, count)| {
        let values: Vec<String> = values.into_iter().take(count).map(str::to_owned).collect();
        let operator = if negated { "notin" } else { "in" };
        let text = format!("tags.tagscope.dev/{name}+{operator}+({})", values.join(","));
        Term {
            text,
            pointer,
            values,
            negated,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn a_selective_list_is_the_whole_list_filtered(
        fields in proptest::collection::vec(field_term(), 0..3),
        labels in proptest::collection::vec(label_term(), 0..3),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let world = World::new();
            for (namespace, name) in [("m", "a"), ("m", "a-b"), ("n", "a"), ("n", "b")] {
                world.scan(namespace, name, &format!("ghcr.io/o/{}", &name[..1]), &["1", "2", "3"], true);
            }
            world.elect("m/a", "m/p", Some("2"), false);
            world.elect("n/b", "n/p", Some("3"), false);
            let join = |terms: &[Term]| terms.iter().map(|term| term.text.clone()).collect::<Vec<_>>().join(",");
            let query = format!("fieldSelector={}&labelSelector={}", join(&fields), join(&labels));
            let whole = world.get("imagetags").await.json();
            let expected: Vec<&Value> = whole["items"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|item| fields.iter().chain(&labels).all(|term| term.holds(item)))
                .collect();
            let got = world.get(&format!("imagetags?{query}")).await.json();
            prop_assert_eq!(got["items"].as_array().unwrap().iter().collect::<Vec<_>>(), expected, "{}", query);
            Ok(())
        })?;
    }
}
