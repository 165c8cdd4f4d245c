//! Refusals that nobody expects to change: they end the wait, and are looked at again all the same.

use std::time::Duration;

use serde_json::{Value, json};
use tagscope::store::Store;
use tokio::time::Instant;

use super::bench::{Bench, IMAGE, REPOSITORIES, condition, events, says, status_patches};
use super::lifecycle::reborn;

const UNKNOWN: &str = "scan failed: registry.test does not know registry.test/o/app";

fn is_stalled(object: &Value) -> bool {
    condition(object, "Stalled").is_some_and(|one| one["status"] == "True")
}

async fn stalled(bench: &Bench) -> Value {
    bench
        .kube
        .wait_for(REPOSITORIES, "apps", "app", is_stalled)
        .await
}

/// An object whose image nobody knows, and that has given up.
async fn bench() -> Bench {
    let bench = Bench::start();
    bench.repository("app", json!({}));
    stalled(&bench).await;
    bench.settle().await;
    bench.take_writes();
    bench.images.take_lists();
    bench
}

#[tokio::test(start_paused = true)]
async fn an_unknown_repository_stalls_after_half_a_minute_with_the_reason_it_had() {
    let bench = Bench::start();
    let begin = Instant::now();
    bench.repository("app", json!({}));
    let object = bench.repository_is("app", "False", UNKNOWN).await;
    assert!(!is_stalled(&object));
    assert_eq!(
        condition(&object, "Reconciling").unwrap()["reason"],
        "ProgressingWithRetry"
    );
    let object = stalled(&bench).await;
    let took = begin.elapsed();
    assert!(
        (Duration::from_secs(30)..Duration::from_secs(33)).contains(&took),
        "{took:?}"
    );
    let told = condition(&object, "Stalled").unwrap();
    assert_eq!(told["reason"], "ReadOperationFailed");
    assert_eq!(told["message"], UNKNOWN);
    assert!(says(&object, "False", UNKNOWN));
    assert!(condition(&object, "Reconciling").is_none());
    assert_eq!(object["status"]["observedGeneration"], 1);
    assert!(object["status"].get("lastScanResult").is_none());
}

#[tokio::test(start_paused = true)]
async fn it_is_looked_at_again_at_the_longest_delay_and_says_nothing_new() {
    let bench = bench().await;
    bench.pass(Duration::from_mins(14)).await;
    assert!(bench.images.take_lists().is_empty());
    bench.pass(Duration::from_hours(1)).await;
    let asked = bench.images.take_lists().len();
    assert!((4..=5).contains(&asked), "every 15 minutes: {asked}");
    let writes = bench.take_writes();
    assert!(writes.is_empty(), "{writes:#?}");
    bench.images.push(IMAGE, &["1.0.0"]);
    bench.pass(Duration::from_mins(16)).await;
    let object = bench.repository_is("app", "True", "found 1 tags").await;
    assert!(!is_stalled(&object));
    assert_eq!(
        events(&bench.take_writes()).len(),
        1,
        "the recovery is news"
    );
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_is_answered_at_once_whether_it_is_mended_or_not() {
    let bench = bench().await;
    let handled = |token: &'static str| {
        move |object: &Value| object["status"]["lastHandledReconcileAt"] == token
    };
    let begin = Instant::now();
    bench.kube.annotate(REPOSITORIES, "apps", "app", "once");
    let object = bench
        .kube
        .wait_for(REPOSITORIES, "apps", "app", handled("once"))
        .await;
    assert!(is_stalled(&object), "in the same status: {object:#}");
    assert!(begin.elapsed() < Duration::from_secs(1));
    bench.settle().await;
    let writes = bench.take_writes();
    assert_eq!((status_patches(&writes), writes.len()), (1, 1));
    bench.images.push(IMAGE, &["1.0.0"]);
    bench.kube.annotate(REPOSITORIES, "apps", "app", "twice");
    let object = bench
        .kube
        .wait_for(REPOSITORIES, "apps", "app", handled("twice"))
        .await;
    assert!(says(&object, "True", "found 1 tags") && !is_stalled(&object));
}

#[tokio::test(start_paused = true)]
async fn a_new_spec_is_tried_at_once() {
    let bench = bench().await;
    bench.images.push("registry.test/o/other", &["1.0.0"]);
    let begin = Instant::now();
    let spec = json!({ "spec": { "image": "registry.test/o/other" } });
    bench.kube.edit(REPOSITORIES, "apps", "app", spec);
    let object = bench.repository_is("app", "True", "found 1 tags").await;
    assert!(begin.elapsed() < Duration::from_secs(1));
    assert!(!is_stalled(&object));
    assert_eq!(object["status"]["observedGeneration"], 2);
}

#[tokio::test(start_paused = true)]
async fn a_spec_that_changes_nothing_about_it_is_observed() {
    let bench = bench().await;
    let spec = json!({ "spec": { "interval": "10m" } });
    bench.kube.edit(REPOSITORIES, "apps", "app", spec);
    let observed = |object: &Value| object["status"]["observedGeneration"] == 2;
    let object = bench
        .kube
        .wait_for(REPOSITORIES, "apps", "app", observed)
        .await;
    assert!(is_stalled(&object));
    assert_eq!(bench.images.take_lists().len(), 1, "it was tried");
}

#[tokio::test(start_paused = true)]
async fn what_may_pass_ends_no_wait() {
    let bench = Bench::start();
    bench.images.fail("registry.test answered 500", None);
    bench.repository("app", json!({}));
    bench.pass(Duration::from_hours(1)).await;
    let object = bench.kube.get(REPOSITORIES, "apps", "app").unwrap();
    assert!(!is_stalled(&object) && says(&object, "False", "answered 500"));
    assert!(condition(&object, "Reconciling").is_some());
}

#[tokio::test(start_paused = true)]
async fn what_passes_after_all_is_told_and_refusals_count_anew() {
    let bench = bench().await;
    bench.images.fail("registry.test answered 500", None);
    bench.kube.annotate(REPOSITORIES, "apps", "app", "now");
    let object = bench.repository_is("app", "False", "answered 500").await;
    assert!(!is_stalled(&object));
    assert!(condition(&object, "Reconciling").is_some());
    bench.images.refuse("denied");
    let begin = Instant::now();
    bench.repository_is("app", "False", "denied").await;
    stalled(&bench).await;
    assert!(begin.elapsed() >= Duration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn the_tags_of_the_last_good_scan_stay_served() {
    let bench = Bench::start();
    bench.images.push(IMAGE, &["1.0.0"]);
    bench.repository("app", json!({}));
    bench.policy("app", &json!({ "name": "app" }), "1.x");
    bench.policy_is("app", "True", "resolved to 1.0.0").await;
    bench.images.refuse("denied");
    bench.kube.annotate(REPOSITORIES, "apps", "app", "now");
    let object = stalled(&bench).await;
    assert_eq!(object["status"]["lastScanResult"]["tagCount"], 1);
    assert_eq!(bench.elected("apps", "app"), ["1.0.0 by apps/app"]);
    bench.policy_is("app", "True", "resolved to 1.0.0").await;
    // The status of a good scan is not taken for granted again, though its interval is not over.
    bench.images.heal();
    let labels = json!({ "metadata": { "labels": { "a": "b" } } });
    bench.kube.edit(REPOSITORIES, "apps", "app", labels);
    let object = bench.repository_is("app", "True", "found 1 tags").await;
    assert!(!is_stalled(&object));
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_what_is_said_already_is_not_said_again() {
    let bench = bench().await;
    bench.stop().await;
    let clock = bench.clock.clone();
    let bench = reborn(bench, || Store::in_memory(clock));
    bench.pass(Duration::from_mins(1)).await;
    assert_eq!(bench.images.take_lists().len(), 1, "one look");
    let writes = bench.take_writes();
    assert!(writes.is_empty(), "{writes:#?}");
}
