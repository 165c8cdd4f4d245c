//! From an ImageRepository to tags in the store.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::bench::{Bench, IMAGE, REPOSITORIES, condition, events, says, status_patches};

const THREE: &str = "successful scan: found 3 tags with checksum 1593509681";
const FOUR: &str = "successful scan: found 4 tags with checksum 2644838662";

fn bench() -> Bench {
    let bench = Bench::start();
    bench.images.push(IMAGE, &["v0.0.1", "latest", "v0.0.2"]);
    bench
}

#[tokio::test(start_paused = true)]
async fn a_scan_ends_in_one_status_that_says_everything() {
    let bench = bench();
    bench.repository("app", json!({}));
    let object = bench.repository_is("app", "True", THREE).await;
    bench.settle().await;
    let status = &object["status"];
    assert_eq!(status["observedGeneration"], 1);
    assert_eq!(status["canonicalImageName"], IMAGE);
    assert_eq!(status["observedExclusionList"], json!([r"^.*\.sig$"]));
    assert_eq!(status["lastScanResult"]["tagCount"], 3);
    assert_eq!(status["lastScanResult"]["scanTime"], "2026-05-01T12:00:00Z");
    assert_eq!(
        status["lastScanResult"]["latestTags"],
        json!(["v0.0.2", "v0.0.1", "latest"])
    );
    assert_eq!(
        status["conditions"].as_array().unwrap().len(),
        1,
        "{status}"
    );
    assert_eq!(bench.tags("app").unwrap(), ["latest", "v0.0.1", "v0.0.2"]);
    let writes = bench.take_writes();
    assert_eq!(status_patches(&writes), 1);
    assert_eq!(events(&writes), [format!("POST {THREE}")]);
    assert_eq!(writes.len(), 2, "{writes:#?}");
    assert_eq!(bench.images.take_lists().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_tags_are_served_before_the_status_says_so() {
    let bench = bench();
    bench.kube.refuse(
        Method::PATCH,
        "/app/status",
        http::StatusCode::INTERNAL_SERVER_ERROR,
    );
    bench.repository("app", json!({}));
    bench.pass(Duration::from_millis(500)).await;
    assert_eq!(bench.tags("app").unwrap().len(), 3);
    bench.kube.heal();
    bench.repository_is("app", "True", THREE).await;
    bench.settle().await;
    assert_eq!(
        events(&bench.take_writes()),
        [format!("POST {THREE}")],
        "what was not written is not told"
    );
}

#[tokio::test(start_paused = true)]
async fn an_unchanged_scan_costs_one_request_and_one_patch() {
    let bench = bench();
    bench.repository("app", json!({}));
    bench.repository_is("app", "True", THREE).await;
    bench.settle().await;
    bench.take_writes();
    bench.images.take_lists();
    for _ in 0..3 {
        bench.pass(Duration::from_mins(5)).await;
        let writes = bench.take_writes();
        assert_eq!(
            (
                bench.images.take_lists().len(),
                status_patches(&writes),
                writes.len()
            ),
            (1, 1, 1),
            "{writes:#?}"
        );
        let Value::Object(changed) = &writes[0].body["status"] else {
            panic!("no status in {writes:#?}")
        };
        assert_eq!(
            changed.keys().collect::<Vec<_>>(),
            ["lastScanResult"],
            "{writes:#?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_tag_is_found_at_the_next_interval_or_when_asked_for() {
    let bench = bench();
    bench.repository("app", json!({}));
    bench.repository_is("app", "True", THREE).await;
    bench.settle().await;
    bench.take_writes();
    bench.images.push(IMAGE, &["v0.0.3"]);
    bench.pass(Duration::from_secs(100)).await;
    assert!(bench.take_writes().is_empty(), "not before it is due");
    // notification-controller's form of a time, which nobody may try to read.
    let token = "2026-05-01 12:00:01.5 +0000 UTC m=+12.345";
    bench.kube.annotate(REPOSITORIES, "apps", "app", token);
    let object = bench.repository_is("app", "True", FOUR).await;
    assert_eq!(object["status"]["lastHandledReconcileAt"], token);
    bench.settle().await;
    let writes = bench.take_writes();
    assert_eq!(status_patches(&writes), 1);
    assert_eq!(events(&writes), [format!("POST {FOUR}")]);
    let added = bench
        .store
        .snapshot()
        .repository(&tagscope::object::Key::new("apps", "app"))
        .unwrap();
    assert!(added.tag("v0.0.3").unwrap().first_seen.is_some());
    assert!(added.tag("v0.0.2").unwrap().first_seen.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_changed_spec_scans_only_when_the_result_may_differ() {
    let bench = bench();
    bench.repository("app", json!({}));
    bench.repository_is("app", "True", THREE).await;
    bench.settle().await;
    bench.images.take_lists();
    bench.kube.edit(
        REPOSITORIES,
        "apps",
        "app",
        json!({ "spec": { "interval": "10m" } }),
    );
    let observed = |generation: i64| {
        move |object: &Value| object["status"]["observedGeneration"] == generation
    };
    bench
        .kube
        .wait_for(REPOSITORIES, "apps", "app", observed(2))
        .await;
    assert!(bench.images.take_lists().is_empty());
    bench.kube.edit(
        REPOSITORIES,
        "apps",
        "app",
        json!({ "spec": { "exclusionList": ["^latest$"] } }),
    );
    let object = bench.repository_is("app", "True", "found 2 tags").await;
    assert_eq!(
        object["status"]["observedExclusionList"],
        json!(["^latest$"])
    );
    assert_eq!(bench.tags("app").unwrap(), ["v0.0.1", "v0.0.2"]);
    assert_eq!(bench.images.take_lists().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failure_keeps_the_last_good_tags_and_recovers() {
    let bench = bench();
    bench.repository("app", json!({}));
    bench.repository_is("app", "True", THREE).await;
    bench.images.fail("registry.test answered 500", None);
    bench.kube.annotate(REPOSITORIES, "apps", "app", "once");
    let object = bench
        .repository_is("app", "False", "scan failed: registry.test answered 500")
        .await;
    let ready = condition(&object, "Ready").unwrap();
    assert_eq!(ready["reason"], "ReadOperationFailed");
    let reconciling = condition(&object, "Reconciling").unwrap();
    assert_eq!(reconciling["reason"], "ProgressingWithRetry");
    assert_eq!(reconciling["message"], "scanning: reconcile requested");
    assert_eq!(
        object["status"]["lastHandledReconcileAt"], "once",
        "handled, though it failed"
    );
    assert_eq!(object["status"]["lastScanResult"]["tagCount"], 3);
    assert_eq!(bench.tags("app").unwrap().len(), 3);
    bench.settle().await;
    bench.take_writes();
    bench.images.take_lists();
    bench.pass(Duration::from_mins(1)).await;
    let writes = bench.take_writes();
    let tries = bench.images.take_lists().len();
    assert!((5..=7).contains(&tries), "0.75 s, doubling: {tries}");
    assert_eq!(
        status_patches(&writes),
        0,
        "a retry that ends alike writes nothing"
    );
    assert!(
        events(&writes)
            .iter()
            .all(|event| event.starts_with("PATCH")),
        "repetitions are counted: {writes:#?}"
    );
    bench.images.heal();
    bench.repository_is("app", "True", THREE).await;
    bench.settle().await;
    assert_eq!(
        events(&bench.take_writes()).last().unwrap(),
        &format!("PATCH {THREE}")
    );
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_asks_for_time_gets_it() {
    let bench = bench();
    bench.images.fail("slow down", Some(Duration::from_mins(2)));
    bench.repository("app", json!({}));
    bench
        .repository_is("app", "False", "scan failed: slow down")
        .await;
    bench.images.take_lists();
    bench.pass(Duration::from_secs(119)).await;
    assert!(bench.images.take_lists().is_empty());
    bench.pass(Duration::from_secs(2)).await;
    assert_eq!(bench.images.take_lists().len(), 1);
}

/// The object, once the request `token` is said to be handled.
async fn handled(bench: &Bench, token: &str) -> Value {
    let is_handled = |object: &Value| object["status"]["lastHandledReconcileAt"] == token;
    bench
        .kube
        .wait_for(REPOSITORIES, "apps", "app", is_handled)
        .await
}

#[tokio::test(start_paused = true)]
async fn an_incomplete_list_takes_nothing_away() {
    let bench = bench();
    bench.repository("app", json!({}));
    bench.repository_is("app", "True", THREE).await;
    bench.settle().await;
    bench.take_writes();
    bench.images.remove(IMAGE, "v0.0.2");
    bench.images.lists_incompletely("page 2 is missing");
    bench.kube.annotate(REPOSITORIES, "apps", "app", "once");
    let object = handled(&bench, "once").await;
    bench.settle().await;
    assert!(says(&object, "True", THREE), "what is served: {object:#}");
    assert_eq!(
        object["status"]["lastScanResult"]["latestTags"],
        json!(["v0.0.2", "v0.0.1", "latest"])
    );
    assert_eq!(bench.tags("app").unwrap().len(), 3);
    let told = "the tag list may be incomplete, and no tag is removed: page 2 is missing";
    assert_eq!(events(&bench.take_writes()), [format!("POST {told}")]);
    bench.kube.annotate(REPOSITORIES, "apps", "app", "twice");
    handled(&bench, "twice").await;
    bench.settle().await;
    assert!(events(&bench.take_writes()).is_empty(), "told already");
    let key = tagscope::object::Key::new("apps", "app");
    assert!(
        !bench
            .store
            .snapshot()
            .repository(&key)
            .unwrap()
            .is_complete()
    );
}

#[tokio::test(start_paused = true)]
async fn a_scan_has_the_time_that_its_spec_gives() {
    let bench = bench();
    bench.images.takes(Duration::from_secs(30));
    bench.repository("app", json!({ "timeout": "20s" }));
    bench
        .repository_is("app", "False", "scan failed: no answer within 20s")
        .await;
    bench.images.takes(Duration::ZERO);
    bench.repository_is("app", "True", THREE).await;
}

#[tokio::test(start_paused = true)]
async fn a_long_first_scan_says_that_it_goes_on() {
    let bench = bench();
    bench.images.takes(Duration::from_secs(30));
    bench.repository("app", json!({}));
    let object = bench
        .repository_is("app", "Unknown", "scanning: first scan")
        .await;
    assert_eq!(
        condition(&object, "Reconciling").unwrap()["reason"],
        "Progressing"
    );
    let object = bench.repository_is("app", "True", THREE).await;
    assert!(condition(&object, "Reconciling").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_bad_spec_stalls_with_its_reason() {
    let bench = bench();
    bench.repository("app", json!({ "image": "https://registry.test/o/app" }));
    let object = bench
        .repository_is("app", "False", "should not include URL scheme")
        .await;
    let stalled = condition(&object, "Stalled").unwrap();
    assert_eq!(stalled["reason"], "ImageURLInvalid");
    assert_eq!(
        stalled["message"],
        condition(&object, "Ready").unwrap()["message"]
    );
    assert!(condition(&object, "Reconciling").is_none());
    assert_eq!(object["status"]["observedGeneration"], 1);
    bench.settle().await;
    bench.take_writes();
    bench.pass(Duration::from_hours(1)).await;
    assert!(bench.take_writes().is_empty(), "no retry will help");
    bench.kube.edit(
        REPOSITORIES,
        "apps",
        "app",
        json!({ "spec": { "image": IMAGE } }),
    );
    let object = bench.repository_is("app", "True", THREE).await;
    assert!(condition(&object, "Stalled").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_bad_exclusion_pattern_fails_the_scan_by_name() {
    let bench = bench();
    bench.repository("app", json!({ "exclusionList": ["("] }));
    let told =
        "scan failed: failed to compile regex (: error parsing regexp: missing closing ): `(`";
    bench.repository_is("app", "False", told).await;
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_is_missing_or_wrong_is_told_and_its_mending_is_noticed() {
    let bench = bench();
    bench.repository("app", json!({ "secretRef": { "name": "regcred" } }));
    let told = "failed to configure authentication options: secrets \"regcred\" not found";
    let object = bench.repository_is("app", "False", told).await;
    assert_eq!(
        condition(&object, "Ready").unwrap()["reason"],
        "AuthenticationFailed"
    );
    assert!(
        bench.images.take_lists().is_empty(),
        "nobody is asked without the credential"
    );
    bench.pass(Duration::from_hours(1)).await;
    let secret = |kind: &str, data: Value| json!({ "metadata": { "name": "regcred" }, "type": kind, "data": data });
    bench
        .kube
        .create("secrets", "apps", secret("Opaque", json!({})));
    bench
        .repository_is("app", "False", "the Secret is of type \"Opaque\"")
        .await;
    // {"auths":{"registry.test":{"username":"me","password":"secret"}}}
    let config =
        "eyJhdXRocyI6eyJyZWdpc3RyeS50ZXN0Ijp7InVzZXJuYW1lIjoibWUiLCJwYXNzd29yZCI6InNlY3JldCJ9fX0=";
    bench.kube.delete("secrets", "apps", "regcred");
    let good = secret(
        "kubernetes.io/dockerconfigjson",
        json!({ ".dockerconfigjson": config }),
    );
    bench.kube.create("secrets", "apps", good);
    let begin = tokio::time::Instant::now();
    bench.repository_is("app", "True", THREE).await;
    assert!(
        begin.elapsed() <= Duration::from_secs(30),
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(bench.images.take_lists()[0].user.as_deref(), Some("me"));
}

#[tokio::test(start_paused = true)]
async fn two_objects_for_one_image_share_a_scan_and_stay_in_step() {
    let bench = bench();
    bench.images.takes(Duration::from_millis(50));
    bench.repository("a", json!({}));
    bench.repository("b", json!({}));
    bench.repository_is("a", "True", THREE).await;
    bench.repository_is("b", "True", THREE).await;
    assert_eq!(bench.images.take_lists().len(), 1);
    for _ in 0..3 {
        bench.pass(Duration::from_secs(301)).await;
        assert_eq!(bench.images.take_lists().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn objects_of_different_ages_fall_into_step() {
    for offset in [60, 100, 200, 280] {
        let bench = bench();
        bench.repository("a", json!({}));
        bench.repository_is("a", "True", THREE).await;
        bench.pass(Duration::from_secs(offset)).await;
        bench.repository("b", json!({}));
        bench.repository_is("b", "True", THREE).await;
        assert_eq!(bench.images.take_lists().len(), 2, "a new object asks");
        bench.pass(Duration::from_mins(10)).await;
        bench.images.take_lists();
        bench.pass(Duration::from_mins(30)).await;
        // One scan for both every five minutes, give or take what each object's own interval differs.
        let asked = bench.images.take_lists().len();
        assert!((5..=7).contains(&asked), "{offset} s apart: {asked}");
        bench.images.push(IMAGE, &["v0.0.3"]);
        bench.kube.annotate(REPOSITORIES, "apps", "b", "now");
        bench.repository_is("b", "True", FOUR).await;
        assert_eq!(bench.images.take_lists().len(), 1, "a request is news");
    }
}

#[tokio::test(start_paused = true)]
async fn another_credential_is_another_scan() {
    let bench = bench();
    bench.images.takes(Duration::from_millis(50));
    let config =
        "eyJhdXRocyI6eyJyZWdpc3RyeS50ZXN0Ijp7InVzZXJuYW1lIjoibWUiLCJwYXNzd29yZCI6InNlY3JldCJ9fX0=";
    bench.kube.create(
        "secrets",
        "apps",
        json!({
            "metadata": { "name": "regcred" }, "type": "kubernetes.io/dockerconfigjson",
            "data": { ".dockerconfigjson": config },
        }),
    );
    bench.repository("a", json!({}));
    bench.repository("b", json!({ "secretRef": { "name": "regcred" } }));
    bench.repository_is("a", "True", THREE).await;
    bench.repository_is("b", "True", THREE).await;
    let mut users: Vec<_> = bench
        .images
        .take_lists()
        .into_iter()
        .map(|list| list.user)
        .collect();
    users.sort();
    assert_eq!(users, [None, Some("me".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn a_request_during_a_scan_is_another_scan() {
    let bench = bench();
    bench.images.takes(Duration::from_secs(1));
    bench.repository("app", json!({}));
    bench.pass(Duration::from_millis(500)).await;
    bench
        .kube
        .annotate(REPOSITORIES, "apps", "app", "meanwhile");
    bench.images.push(IMAGE, &["v0.0.3"]);
    let object = bench
        .kube
        .wait_for(REPOSITORIES, "apps", "app", |object| {
            object["status"]["lastHandledReconcileAt"] == "meanwhile"
        })
        .await;
    assert_eq!(object["status"]["lastScanResult"]["tagCount"], 4);
    assert_eq!(bench.images.take_lists().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_long_first_scan_goes_on_while_saying_so_takes_its_time() {
    let bench = Bench::start();
    bench.images.push(IMAGE, &["1.0.0"]);
    bench.images.takes(Duration::from_secs(20));
    bench.kube.leave_unanswered(Method::PATCH, "/status");
    bench.repository("app", json!({}));
    bench.pass(Duration::from_secs(21)).await;
    assert_eq!(bench.tags("app").unwrap(), ["1.0.0"]);
}
