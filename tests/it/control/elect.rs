//! From an ImagePolicy to an elected tag.

use std::time::Duration;

use serde_json::json;
use tagscope::control::Settings;

use super::bench::{Bench, IMAGE, POLICIES, REPOSITORIES, condition, events, status_patches};

async fn bench() -> Bench {
    let bench = Bench::start();
    bench.images.push(IMAGE, &["1.0.0", "1.1.0", "2.0.0"]);
    bench.repository("app", json!({}));
    bench.repository_is("app", "True", "found 3 tags").await;
    bench.settle().await;
    bench.take_writes();
    bench
}

fn resolved(tag: &str) -> String {
    format!("Latest image tag for {IMAGE} resolved to {tag}")
}

#[tokio::test(start_paused = true)]
async fn an_election_ends_in_one_status_and_in_the_store() {
    let bench = bench().await;
    bench.policy("app", &json!({ "name": "app" }), "1.x");
    let object = bench.policy_is("app", "True", &resolved("1.1.0")).await;
    bench.settle().await;
    assert_eq!(
        object["status"]["latestRef"],
        json!({ "name": IMAGE, "tag": "1.1.0" })
    );
    assert_eq!(object["status"]["observedGeneration"], 1);
    assert_eq!(bench.elected("apps", "app"), ["1.1.0 by apps/app"]);
    let writes = bench.take_writes();
    assert_eq!(
        (status_patches(&writes), events(&writes)),
        (1, vec![format!("POST {}", resolved("1.1.0"))])
    );
}

#[tokio::test(start_paused = true)]
async fn a_scan_re_elects_at_once_and_only_where_tags_changed() {
    let bench = bench().await;
    bench.images.push("registry.test/o/other", &["1.0.0"]);
    bench.repository("other", json!({ "image": "registry.test/o/other" }));
    bench.policy("app", &json!({ "name": "app" }), "1.x");
    bench.policy("other", &json!({ "name": "other" }), "1.x");
    bench.policy_is("app", "True", &resolved("1.1.0")).await;
    bench.policy_is("other", "True", "resolved to 1.0.0").await;
    bench.settle().await;
    bench.take_writes();
    bench.images.push(IMAGE, &["1.2.0"]);
    bench.kube.annotate(REPOSITORIES, "apps", "app", "now");
    let begin = tokio::time::Instant::now();
    let told = format!("{} (previously {IMAGE}:1.1.0)", resolved("1.2.0"));
    let object = bench.policy_is("app", "True", &told).await;
    assert!(
        begin.elapsed() < Duration::from_millis(10),
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(
        object["status"]["observedPreviousRef"],
        json!({ "name": IMAGE, "tag": "1.1.0" })
    );
    assert_eq!(bench.elected("apps", "app"), ["1.2.0 by apps/app"]);
    bench.settle().await;
    let writes = bench.take_writes();
    assert_eq!(
        status_patches(&writes),
        2,
        "the repository's and its policy's: {writes:#?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_incomplete_list_downgrades_nothing_and_the_next_whole_one_is_elected_from() {
    let bench = bench().await;
    bench.policy("app", &json!({ "name": "app" }), ">=1.0.0");
    bench.policy_is("app", "True", &resolved("2.0.0")).await;
    bench.images.remove(IMAGE, "2.0.0");
    bench.images.lists_incompletely("page 2 is missing");
    bench.kube.annotate(REPOSITORIES, "apps", "app", "once");
    bench
        .kube
        .wait_for(REPOSITORIES, "apps", "app", |object| {
            object["status"]["lastHandledReconcileAt"] == "once"
        })
        .await;
    bench.settle().await;
    bench.policy_is("app", "True", &resolved("2.0.0")).await;
    assert_eq!(bench.elected("apps", "app"), ["2.0.0 by apps/app"]);
    bench.images.lists_completely();
    bench.kube.annotate(REPOSITORIES, "apps", "app", "twice");
    bench.policy_is("app", "True", &resolved("1.1.0")).await;
    assert_eq!(bench.elected("apps", "app"), ["1.1.0 by apps/app"]);
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_comes_before_its_tags_waits_in_silence_for_a_while() {
    let bench = Bench::start();
    bench.images.push(IMAGE, &["1.0.0"]);
    bench.images.takes(Duration::from_secs(1));
    bench.policy("app", &json!({ "name": "app" }), "1.x");
    bench
        .policy_is("app", "False", "referenced ImageRepository does not exist")
        .await;
    bench.settle().await;
    bench.take_writes();
    bench.repository("app", json!({}));
    bench.policy_is("app", "True", &resolved("1.0.0")).await;
    bench.settle().await;
    let told = events(&bench.take_writes());
    assert!(
        !told
            .iter()
            .any(|event| event.contains("no tags in database")),
        "{told:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn tags_that_stay_away_are_told() {
    let bench = Bench::start();
    bench.images.fail("down", None);
    bench.repository("app", json!({}));
    bench.policy("app", &json!({ "name": "app" }), "1.x");
    let object = bench
        .policy_is("app", "False", "retrying in 30s error: no tags in database")
        .await;
    assert_eq!(
        condition(&object, "Ready").unwrap()["reason"],
        "DependencyNotReady"
    );
    assert!(object["status"].get("latestRef").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_broken_policy_stalls_and_keeps_what_it_had() {
    let bench = bench().await;
    bench.policy("app", &json!({ "name": "app" }), "1.x");
    bench.policy_is("app", "True", &resolved("1.1.0")).await;
    bench.kube.edit(
        POLICIES,
        "apps",
        "app",
        json!({ "spec": { "policy": { "semver": { "range": "1.x.x.x" } } } }),
    );
    let object = bench
        .policy_is(
            "app",
            "False",
            "invalid policy: improper constraint: \"1.x.x.x\"",
        )
        .await;
    assert_eq!(
        condition(&object, "Stalled").unwrap()["reason"],
        "InvalidPolicy"
    );
    assert_eq!(object["status"]["latestRef"]["tag"], "1.1.0");
    assert_eq!(object["status"]["observedGeneration"], 2);
    assert_eq!(bench.elected("apps", "app"), ["1.1.0 by apps/app"]);
    bench.kube.edit(
        POLICIES,
        "apps",
        "app",
        json!({ "spec": { "policy": { "semver": { "range": "2.x" } } } }),
    );
    bench.policy_is("app", "True", &resolved("2.0.0")).await;
    assert_eq!(bench.elected("apps", "app"), ["2.0.0 by apps/app"]);
}

#[tokio::test(start_paused = true)]
async fn a_request_is_handled_verbatim() {
    let bench = bench().await;
    bench.policy("app", &json!({ "name": "app" }), "9.x");
    bench
        .policy_is(
            "app",
            "False",
            "unable to determine latest version from provided list",
        )
        .await;
    bench.kube.annotate(POLICIES, "apps", "app", "token m=+1");
    let handled =
        |object: &serde_json::Value| object["status"]["lastHandledReconcileAt"] == "token m=+1";
    bench.kube.wait_for(POLICIES, "apps", "app", handled).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_watched_is_not_looked_at_over_and_over() {
    let bench = Bench::start();
    bench.images.push(IMAGE, &["1.0.0"]);
    bench.policy("app", &json!({ "name": "app" }), "1.x");
    bench
        .policy_is("app", "False", "referenced ImageRepository does not exist")
        .await;
    bench.pass(Duration::from_hours(1)).await;
    bench.take_writes();
    bench.pass(Duration::from_hours(1)).await;
    let told = events(&bench.take_writes());
    assert!(told.len() <= 4, "four times an hour at most: {told:#?}");
    let begin = tokio::time::Instant::now();
    bench.repository("app", json!({}));
    bench.policy_is("app", "True", &resolved("1.0.0")).await;
    assert!(
        begin.elapsed() < Duration::from_secs(2),
        "{:?}",
        begin.elapsed()
    );
}

fn shared_with(team: &str) -> serde_json::Value {
    json!({ "accessFrom": { "namespaceSelectors": [{ "matchLabels": { "team": team } }] } })
}

/// An ImagePolicy in `images` that refers to the ImageRepository in `apps`.
fn foreign_policy(bench: &Bench) {
    bench.kube.create(
        POLICIES,
        "images",
        json!({
            "metadata": { "name": "app" },
            "spec": {
                "imageRepositoryRef": { "name": "app", "namespace": "apps" },
                "policy": { "semver": { "range": "1.x" } },
            },
        }),
    );
}

async fn foreign_policy_is(bench: &Bench, ready: &str, message: &str) -> serde_json::Value {
    bench
        .kube
        .wait_for(POLICIES, "images", "app", |object| {
            super::bench::says(object, ready, message)
        })
        .await
}

#[tokio::test(start_paused = true)]
async fn another_namespace_needs_the_owners_leave() {
    let bench = bench().await;
    foreign_policy(&bench);
    let object = foreign_policy_is(&bench, "False", "missing ACL labels on 'accessFrom'").await;
    assert_eq!(
        condition(&object, "Ready").unwrap()["reason"],
        "AccessDenied"
    );
    bench.kube.edit(
        REPOSITORIES,
        "apps",
        "app",
        json!({ "spec": shared_with("a") }),
    );
    foreign_policy_is(&bench, "False", "ACL labels mismatch on namespace 'images'").await;
    bench.kube.edit(
        REPOSITORIES,
        "apps",
        "app",
        json!({ "spec": shared_with("b") }),
    );
    foreign_policy_is(&bench, "True", &resolved("1.1.0")).await;
    assert_eq!(bench.elected("apps", "app"), ["1.1.0 by images/app"]);
    bench.kube.edit(
        REPOSITORIES,
        "apps",
        "app",
        json!({ "spec": { "accessFrom": null } }),
    );
    let object = foreign_policy_is(&bench, "False", "missing ACL labels on 'accessFrom'").await;
    assert_eq!(object["status"]["latestRef"]["tag"], "1.1.0", "kept");
    assert!(
        bench.elected("apps", "app").is_empty(),
        "but no mark is left on the owner's tags"
    );
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_namespaces_labels_is_noticed_soon() {
    let bench = bench().await;
    bench.kube.edit(
        REPOSITORIES,
        "apps",
        "app",
        json!({ "spec": shared_with("c") }),
    );
    foreign_policy(&bench);
    foreign_policy_is(&bench, "False", "ACL labels mismatch").await;
    bench.pass(Duration::from_hours(1)).await;
    bench.kube.edit(
        "namespaces",
        "",
        "images",
        json!({ "metadata": { "labels": { "team": "c" } } }),
    );
    let begin = tokio::time::Instant::now();
    foreign_policy_is(&bench, "True", &resolved("1.1.0")).await;
    assert!(
        begin.elapsed() <= Duration::from_secs(30),
        "{:?}",
        begin.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn other_namespaces_can_be_blocked_altogether() {
    let bench = Bench::with(Settings {
        no_cross_namespace_refs: true,
        ..Settings::default()
    });
    foreign_policy(&bench);
    let told =
        "cannot access 'ImageRepository/apps/app', cross-namespace references have been blocked";
    foreign_policy_is(&bench, "False", told).await;
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_turns_elsewhere_or_goes_takes_its_election_back() {
    let bench = bench().await;
    bench.images.push("registry.test/o/other", &["1.5.0"]);
    bench.repository("other", json!({ "image": "registry.test/o/other" }));
    bench.policy("app", &json!({ "name": "app" }), "1.x");
    bench.policy_is("app", "True", &resolved("1.1.0")).await;
    bench.kube.edit(
        POLICIES,
        "apps",
        "app",
        json!({ "spec": { "imageRepositoryRef": { "name": "other" } } }),
    );
    bench.policy_is("app", "True", "resolved to 1.5.0").await;
    assert!(bench.elected("apps", "app").is_empty());
    assert_eq!(bench.elected("apps", "other"), ["1.5.0 by apps/app"]);
    // A repository that is not there is not the one before either.
    bench.kube.edit(
        POLICIES,
        "apps",
        "app",
        json!({ "spec": { "imageRepositoryRef": { "name": "nowhere" } } }),
    );
    bench.settle().await;
    assert!(bench.elected("apps", "other").is_empty());
    bench.kube.edit(
        POLICIES,
        "apps",
        "app",
        json!({ "spec": { "imageRepositoryRef": { "name": "other" } } }),
    );
    bench.policy_is("app", "True", "resolved to 1.5.0").await;
    bench.kube.delete(POLICIES, "apps", "app");
    bench.settle().await;
    assert!(bench.elected("apps", "other").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_digest_is_reflected_and_kept() {
    let bench = bench().await;
    bench.policy("app", &json!({ "name": "app" }), "1.x");
    bench.policy_is("app", "True", &resolved("1.1.0")).await;
    bench.images.fail("down", None);
    bench.kube.edit(
        POLICIES,
        "apps",
        "app",
        json!({ "spec": { "digestReflectionPolicy": "IfNotPresent" } }),
    );
    let told = format!("failed fetching digest of {IMAGE}:1.1.0: down");
    let object = bench.policy_is("app", "False", &told).await;
    assert_eq!(condition(&object, "Ready").unwrap()["reason"], "Failed");
    bench.images.heal();
    let object = bench.policy_is("app", "True", "with digest sha256:").await;
    assert!(
        object["status"]["latestRef"]["digest"]
            .as_str()
            .unwrap()
            .starts_with("sha256:")
    );
    let asked = bench.images.digests();
    bench.kube.annotate(POLICIES, "apps", "app", "again");
    bench
        .kube
        .wait_for(POLICIES, "apps", "app", |object| {
            object["status"]["lastHandledReconcileAt"] == "again"
        })
        .await;
    assert_eq!(
        bench.images.digests(),
        asked,
        "a digest that is known is kept"
    );
    let spec = json!({ "spec": { "digestReflectionPolicy": "Always", "interval": "1m" } });
    bench.kube.edit(POLICIES, "apps", "app", spec);
    bench.pass(Duration::from_secs(150)).await;
    assert_eq!(
        bench.images.digests(),
        asked + 3,
        "at once, and every minute"
    );
}
