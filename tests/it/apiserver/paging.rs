//! Pages: one state over all of them, and what happens when it is gone.

use http::StatusCode;
use proptest::prelude::*;
use serde_json::Value;

use super::support::World;

#[tokio::test]
async fn pages_tell_one_version_and_how_many_items_remain() {
    let world = World::new();
    world.scan("n", "a", "ghcr.io/a/b", &["1", "2", "3", "4", "5"], true);
    let mut seen = Vec::new();
    let mut token = String::new();
    for (count, remaining, goes_on) in [(2, Some(3), true), (2, Some(1), true), (1, None, false)] {
        let page = world
            .get(&format!("imagetags?limit=2&continue={token}"))
            .await;
        let json = page.json();
        assert_eq!(page.names().len(), count);
        assert_eq!(
            json["metadata"]
                .get("remainingItemCount")
                .and_then(Value::as_u64),
            remaining
        );
        assert_eq!(json["metadata"].get("continue").is_some(), goes_on);
        seen.push(page.list_version());
        token = json["metadata"]["continue"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        // Between the pages the world goes on.
        world.elect(
            "n/a",
            "n/p",
            Some(if count == 2 { "1" } else { "2" }),
            false,
        );
    }
    seen.dedup();
    assert_eq!(seen.len(), 1);
}

#[tokio::test]
async fn a_selective_page_does_not_guess_what_remains() {
    let world = World::filled();
    let page = world
        .get("imagetags?limit=1&labelSelector=tags.tagscope.dev/repository%3Dpodinfo")
        .await
        .json();
    assert!(page["metadata"].get("continue").is_some());
    assert!(page["metadata"].get("remainingItemCount").is_none());
}

#[tokio::test]
async fn a_limit_that_all_fits_in_ends_without_a_token() {
    let world = World::filled();
    for limit in [8, 9, 1_000_000] {
        let page = world.get(&format!("imagetags?limit={limit}")).await;
        assert_eq!(page.names().len(), 8);
        assert!(page.json()["metadata"].get("continue").is_none(), "{limit}");
    }
}

#[tokio::test]
async fn tag_sets_are_paged_by_their_own_names() {
    let world = World::filled();
    let (mut names, mut token) = (Vec::new(), String::new());
    loop {
        let page = world
            .get(&format!("tagsets?limit=1&continue={token}"))
            .await;
        names.extend(page.names());
        match page.json()["metadata"].get("continue") {
            Some(next) => token = next.as_str().unwrap().to_owned(),
            None => break,
        }
    }
    assert_eq!(names, ["cache", "podinfo", "podinfo-web"]);
}

#[tokio::test]
async fn readers_of_one_page_do_not_push_out_those_of_all() {
    let world = World::filled();
    let mut token = continued(&world.get("imagetags?limit=1").await.json());
    // The state is another from here on; whoever reads on reads from what is kept.
    for number in 0..100 {
        world.elect(
            "flux-system/podinfo",
            "n/p",
            Some(if number % 2 == 0 { "6.0.0" } else { "6.1.0" }),
            false,
        );
        world.get("imagetags?limit=1").await;
        if number % 40 == 0 {
            let page = world
                .get(&format!("imagetags?limit=1&continue={token}"))
                .await;
            assert_eq!(page.status, StatusCode::OK, "after {number} others");
            if number < 80 {
                token = continued(&page.json());
            }
        }
    }
}

fn continued(list: &Value) -> String {
    list["metadata"]["continue"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn foreign_tokens_are_refused() {
    let world = World::filled();
    let tags = world.get("imagetags?limit=3").await.json()["metadata"]["continue"]
        .as_str()
        .unwrap()
        .to_owned();
    for (path, token) in [
        ("tagsets", tags.as_str()),
        ("namespaces/apps/imagetags", &tags),
        ("imagetags", "garbage"),
    ] {
        let refused = world.get(&format!("{path}?limit=3&continue={token}")).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{path}");
    }
    let refused = world
        .get(&format!("imagetags?resourceVersion=5&continue={tags}"))
        .await;
    assert_eq!(
        refused.json()["message"],
        "specifying resource version is not allowed when using continue"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn pages_together_are_the_whole_list_while_writes_go_on(
        limit in 1usize..9,
        sizes in proptest::collection::vec(0usize..12, 1..5),
        selective: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let world = World::new();
            let names = ["a", "a-b", "a1", "b"];
            for (index, size) in sizes.iter().enumerate() {
                let tags: Vec<String> = (0..*size).map(|number| format!("t{number}")).collect();
                let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
                let namespace = if index % 2 == 0 { "m" } else { "n" };
                world.scan(namespace, names[index % 4], "ghcr.io/a/b", &tags, true);
            }
            let selector = if selective { "&labelSelector=tags.tagscope.dev/repository+in+(a,b)" } else { "" };
            let whole = world.get(&format!("imagetags?x{selector}")).await;
            let (mut pages, mut token, mut writes) = (Vec::new(), String::new(), 0);
            loop {
                let page = world.get(&format!("imagetags?limit={limit}&continue={token}{selector}")).await;
                prop_assert_eq!(page.status, StatusCode::OK, "{}", page.text);
                prop_assert_eq!(page.list_version(), whole.list_version());
                let json = page.json();
                pages.extend(json["items"].as_array().unwrap().iter().cloned());
                prop_assert!(page.names().len() <= limit);
                writes += 1;
                world.scan("m", "a", "ghcr.io/a/b", &[&format!("w{writes}")], false);
                match json["metadata"].get("continue") {
                    Some(next) => token = next.as_str().unwrap().to_owned(),
                    None => break,
                }
            }
            let whole = whole.json();
            prop_assert_eq!(&Value::Array(pages), &whole["items"]);
            Ok(())
        })?;
    }
}
