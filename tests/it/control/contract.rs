//! The flux CLI's seven rules, as far as an ImageRepository has to obey them.

use std::time::Duration;

use serde_json::{Value, json};

use super::bench::{Bench, IMAGE, REPOSITORIES, condition, says};

/// What kstatus makes of an object.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    Current,
    InProgress,
    Failed,
}

/// kstatus' rules for custom resources, in its order.
fn standing(object: &Value) -> Standing {
    let is = |type_: &str, status: &str| {
        condition(object, type_).is_some_and(|one| one["status"] == status)
    };
    let generation = &object["metadata"]["generation"];
    let observed = &object["status"]["observedGeneration"];
    if !observed.is_null() && observed != generation {
        return Standing::InProgress;
    }
    if is("Reconciling", "True") {
        return Standing::InProgress;
    }
    if is("Stalled", "True") {
        return Standing::Failed;
    }
    match condition(object, "Ready") {
        Some(ready) if ready["status"] == "True" => Standing::Current,
        Some(ready) if ready["status"] == "False" => Standing::Failed,
        Some(_) => Standing::InProgress,
        None if observed.is_null() => Standing::InProgress,
        None => Standing::Current,
    }
}

/// `isObjectReady` of `flux create` and `flux resume`.
fn is_object_ready(object: &Value) -> bool {
    let generation = &object["metadata"]["generation"];
    let status = &object["status"];
    let is_observed = status["observedGeneration"]
        .as_i64()
        .is_some_and(|observed| observed >= 1);
    is_observed
        && condition(object, "Ready").is_some_and(|ready| {
            ready["status"] == "True" && &ready["observedGeneration"] == generation
        })
}

/// What the CLI reads without looking whether it is there.
fn can_be_printed(object: &Value) -> bool {
    let last = &object["status"]["lastScanResult"];
    let is_ready = condition(object, "Ready").is_some_and(|ready| ready["status"] == "True");
    let is_date = last["scanTime"]
        .as_str()
        .is_some_and(|time| time.parse::<jiff::Timestamp>().is_ok());
    !is_ready || (last["tagCount"].is_i64() || last["tagCount"].is_u64()) && is_date
}

/// `flux reconcile`: the annotation, and the object once the request is handled and it has settled.
async fn reconcile(bench: &Bench, token: &str) -> Value {
    bench.kube.annotate(REPOSITORIES, "apps", "app", token);
    bench
        .kube
        .wait_for(REPOSITORIES, "apps", "app", |object| {
            assert!(can_be_printed(object), "{object:#}");
            object["status"]["lastHandledReconcileAt"] == token
                && standing(object) != Standing::InProgress
        })
        .await
}

fn bench() -> Bench {
    let bench = Bench::start();
    bench.images.push(IMAGE, &["1.0.0"]);
    bench.repository("app", json!({}));
    bench
}

#[tokio::test(start_paused = true)]
async fn a_request_is_copied_as_it_stands_and_settled_with_the_conditions() {
    let bench = bench();
    bench.repository_is("app", "True", "found 1 tags").await;
    bench.settle().await;
    bench.take_writes();
    // The CLI's form, notification-controller's, what is no time at all, and an older time than the last.
    for token in [
        "2026-05-01T12:00:05.000000001Z",
        "2026-05-01 12:00:06.1 +0000 UTC m=+312.5",
        "  whatever ",
        "2020-01-01T00:00:00Z",
    ] {
        bench.images.take_lists();
        let object = reconcile(&bench, token).await;
        assert_eq!(standing(&object), Standing::Current, "{token}");
        assert_eq!(
            bench.images.take_lists().len(),
            1,
            "{token}: inside the interval"
        );
        bench.settle().await;
        let writes = bench.take_writes();
        assert_eq!(writes.len(), 1, "in one patch: {writes:#?}");
        assert_eq!(writes[0].body["status"]["lastHandledReconcileAt"], token);
    }
    bench.pass(Duration::from_secs(10)).await;
    assert!(bench.images.take_lists().is_empty(), "each once");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_ends_in_a_refusal_ends() {
    let bench = bench();
    bench.repository_is("app", "True", "found 1 tags").await;
    bench.images.refuse("registry.test denied it");
    let begin = tokio::time::Instant::now();
    let object = reconcile(&bench, "once").await;
    assert_eq!(standing(&object), Standing::Failed);
    assert!(
        begin.elapsed() < Duration::from_secs(35),
        "not after the CLI's five minutes: {:?}",
        begin.elapsed()
    );
    let stalled = condition(&object, "Stalled").unwrap();
    assert_eq!(stalled["message"], "scan failed: registry.test denied it");
    let begin = tokio::time::Instant::now();
    assert_eq!(
        standing(&reconcile(&bench, "twice").await),
        Standing::Failed
    );
    assert!(begin.elapsed() < Duration::from_secs(1));
    bench.images.heal();
    assert_eq!(
        standing(&reconcile(&bench, "thrice").await),
        Standing::Current
    );
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_may_pass_is_in_progress() {
    let bench = bench();
    bench.repository_is("app", "True", "found 1 tags").await;
    bench.images.fail("registry.test answered 500", None);
    bench.kube.annotate(REPOSITORIES, "apps", "app", "once");
    let object = bench.repository_is("app", "False", "answered 500").await;
    assert_eq!(standing(&object), Standing::InProgress);
    assert_eq!(object["status"]["lastHandledReconcileAt"], "once");
    bench.images.heal();
    let object = bench.repository_is("app", "True", "found 1 tags").await;
    assert_eq!(standing(&object), Standing::Current);
}

#[tokio::test(start_paused = true)]
async fn created_resumed_and_changed_objects_become_ready_for_their_generation() {
    let bench = bench();
    let ready = |bench: &Bench| {
        let kube = bench.kube.clone();
        async move {
            kube.wait_for(REPOSITORIES, "apps", "app", |object| {
                assert!(can_be_printed(object), "{object:#}");
                is_object_ready(object) && standing(object) == Standing::Current
            })
            .await
        }
    };
    ready(&bench).await;
    let specs = [
        json!({ "spec": { "interval": "7m" } }),
        json!({ "spec": { "exclusionList": ["^x"] } }),
    ];
    for spec in specs {
        bench.kube.edit(REPOSITORIES, "apps", "app", spec);
        ready(&bench).await;
    }
    let suspend = |is_suspended: bool| {
        let patch = json!({ "spec": { "suspend": is_suspended } });
        bench.kube.edit(REPOSITORIES, "apps", "app", patch);
    };
    suspend(true);
    bench.settle().await;
    let object = bench.kube.get(REPOSITORIES, "apps", "app").unwrap();
    assert_eq!(
        standing(&object),
        Standing::Current,
        "no wait for what rests"
    );
    suspend(false);
    let object = ready(&bench).await;
    assert_eq!(object["status"]["observedGeneration"], 5);
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_born_suspended_holds_nobody_up() {
    let bench = Bench::start();
    bench.repository("app", json!({ "suspend": true }));
    bench.settle().await;
    let object = bench.kube.get(REPOSITORIES, "apps", "app").unwrap();
    assert_eq!(standing(&object), Standing::Current);
    assert!(can_be_printed(&object));
}

#[tokio::test(start_paused = true)]
async fn a_wrong_spec_fails_at_once_and_names_its_reason() {
    let bench = bench();
    let spec = json!({ "spec": { "image": "https://registry.test/o/app" } });
    bench.kube.edit(REPOSITORIES, "apps", "app", spec);
    let object = reconcile(&bench, "once").await;
    assert_eq!(standing(&object), Standing::Failed);
    assert!(says(&object, "False", "should not include URL scheme"));
}

#[tokio::test(start_paused = true)]
async fn a_new_object_is_in_progress_from_its_first_moment() {
    let bench = Bench::start();
    bench.images.takes(Duration::from_secs(5));
    bench.images.push(IMAGE, &["1.0.0"]);
    bench.repository("app", json!({}));
    bench.pass(Duration::from_secs(1)).await;
    let object = bench.kube.get(REPOSITORIES, "apps", "app").unwrap();
    assert_eq!(standing(&object), Standing::InProgress);
    let object = bench.repository_is("app", "True", "found 1 tags").await;
    assert_eq!(standing(&object), Standing::Current);
}
