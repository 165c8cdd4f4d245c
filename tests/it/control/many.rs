//! Large numbers: what one thing costs does not grow with how many others there are.

use std::time::Duration;

use serde_json::json;
use tagscope::object::Key;

use super::bench::{Bench, IMAGE, REPOSITORIES, status_patches};

#[tokio::test(start_paused = true)]
async fn the_policies_of_one_repository_are_each_run_once_however_many_they_are() {
    const POLICIES: u64 = 1_000;
    let bench = Bench::start();
    bench.images.push(IMAGE, &["1.0.0"]);
    bench.repository("app", json!({}));
    bench.repository_is("app", "True", "found 1 tags").await;
    for number in 0..POLICIES {
        // Of every ten, one wants the newest.
        let range = if number % 10 == 0 { "1.x" } else { "1.0.x" };
        bench.policy(&format!("p{number}"), &json!({ "name": "app" }), range);
    }
    bench.pass(Duration::from_mins(1)).await;
    assert_eq!(bench.reconciles("imagepolicy"), POLICIES);
    bench.take_writes();
    bench.images.push(IMAGE, &["1.1.0"]);
    bench.kube.annotate(REPOSITORIES, "apps", "app", "now");
    bench.pass(Duration::from_mins(1)).await;
    assert_eq!(bench.reconciles("imagepolicy"), 2 * POLICIES);
    let writes = bench.take_writes();
    assert_eq!(
        status_patches(&writes),
        1 + usize::try_from(POLICIES / 10).unwrap(),
        "the repository's, and those that changed"
    );
    let held = bench.store.snapshot().repository(&Key::new("apps", "app"));
    let held = held.unwrap();
    assert_eq!(held.elections().len(), usize::try_from(POLICIES).unwrap());
    // A scan that finds the same wakes nobody, and neither does another object.
    bench.repository("other", json!({ "image": "registry.test/o/other" }));
    bench.pass(Duration::from_mins(6)).await;
    assert_eq!(bench.reconciles("imagepolicy"), 2 * POLICIES);
}

#[tokio::test(start_paused = true)]
async fn a_repository_with_a_hundred_thousand_tags_is_like_any_other() {
    let bench = Bench::start();
    let tags: Vec<String> = (0..100_000).map(|patch| format!("1.0.{patch}")).collect();
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    bench.images.push(IMAGE, &tags);
    bench.repository("app", json!({}));
    bench.policy("app", &json!({ "name": "app" }), "1.x");
    let object = bench
        .repository_is("app", "True", "found 100000 tags")
        .await;
    assert_eq!(object["status"]["lastScanResult"]["tagCount"], 100_000);
    bench
        .policy_is("app", "True", "resolved to 1.0.99999")
        .await;
    bench.settle().await;
    bench.take_writes();
    bench.images.push(IMAGE, &["1.1.0"]);
    let before = bench.store.snapshot().resource_version();
    bench.kube.annotate(REPOSITORIES, "apps", "app", "now");
    bench.policy_is("app", "True", "resolved to 1.1.0").await;
    bench.settle().await;
    assert_eq!(status_patches(&bench.take_writes()), 2);
    let changes = bench.store.changes_after(before, usize::MAX).unwrap();
    assert_eq!(
        changes.len(),
        4,
        "a new tag, the set, and the two that change hands"
    );
}
