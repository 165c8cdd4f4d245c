//! Birth, suspension, deletion, restart.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tagscope::cluster::epoch;
use tagscope::control::Settings;
use tagscope::store::Store;

use super::bench::{Bench, IMAGE, POLICIES, REPOSITORIES, clock, condition, status_patches};
use super::fake_images::FakeImages;
use super::fake_kube::FakeKube;

fn observed(generation: i64) -> impl Fn(&Value) -> bool {
    move |object| object["status"]["observedGeneration"] == generation
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_born_suspended_is_not_in_progress_forever() {
    let bench = Bench::start();
    bench.images.push(IMAGE, &["1.0.0"]);
    bench.repository("app", json!({ "suspend": true }));
    bench.policy("app", &json!({ "name": "app" }), "1.x");
    bench.kube.edit(
        POLICIES,
        "apps",
        "app",
        json!({ "spec": { "suspend": true } }),
    );
    let object = bench
        .kube
        .wait_for(REPOSITORIES, "apps", "app", observed(1))
        .await;
    assert!(condition(&object, "Ready").is_none() && condition(&object, "Reconciling").is_none());
    bench
        .kube
        .wait_for(POLICIES, "apps", "app", observed(2))
        .await;
    bench.pass(Duration::from_hours(1)).await;
    assert!(bench.images.take_lists().is_empty());
    bench.kube.edit(
        REPOSITORIES,
        "apps",
        "app",
        json!({ "spec": { "suspend": false } }),
    );
    let object = bench.repository_is("app", "True", "found 1 tags").await;
    assert_eq!(object["status"]["observedGeneration"], 2);
}

#[tokio::test(start_paused = true)]
async fn a_suspended_object_keeps_its_tags_and_is_not_scanned() {
    let bench = Bench::start();
    bench.images.push(IMAGE, &["1.0.0"]);
    bench.repository("app", json!({}));
    bench.repository_is("app", "True", "found 1 tags").await;
    bench.kube.edit(
        REPOSITORIES,
        "apps",
        "app",
        json!({ "spec": { "suspend": true } }),
    );
    bench
        .kube
        .wait_for(REPOSITORIES, "apps", "app", observed(2))
        .await;
    bench.images.take_lists();
    bench.pass(Duration::from_hours(1)).await;
    assert!(bench.images.take_lists().is_empty());
    assert_eq!(bench.tags("app").unwrap(), ["1.0.0"]);
    // `flux resume` needs a Ready of the new generation, with a scan result.
    bench.kube.edit(
        REPOSITORIES,
        "apps",
        "app",
        json!({ "spec": { "suspend": false } }),
    );
    let object = bench
        .kube
        .wait_for(REPOSITORIES, "apps", "app", observed(3))
        .await;
    assert_eq!(
        condition(&object, "Ready").unwrap()["observedGeneration"],
        3
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_made_while_suspended_is_handled_on_resumption() {
    let bench = Bench::start();
    bench.images.push(IMAGE, &["1.0.0"]);
    bench.repository("app", json!({}));
    bench.repository_is("app", "True", "found 1 tags").await;
    let suspend = |is_suspended: bool| {
        let patch = json!({ "spec": { "suspend": is_suspended } });
        bench.kube.edit(REPOSITORIES, "apps", "app", patch);
    };
    suspend(true);
    bench
        .kube
        .wait_for(REPOSITORIES, "apps", "app", observed(2))
        .await;
    bench
        .kube
        .annotate(REPOSITORIES, "apps", "app", "meanwhile");
    bench.pass(Duration::from_secs(10)).await;
    let object = bench.kube.get(REPOSITORIES, "apps", "app").unwrap();
    assert!(object["status"]["lastHandledReconcileAt"].is_null());
    bench.images.push(IMAGE, &["2.0.0"]);
    suspend(false);
    bench.pass(Duration::from_secs(1)).await;
    let object = bench.repository_is("app", "True", "found 2 tags").await;
    assert_eq!(object["status"]["lastHandledReconcileAt"], "meanwhile");
}

#[tokio::test(start_paused = true)]
async fn what_is_deleted_goes_also_where_its_kind_is_not_controlled() {
    let bench = Bench::start();
    bench.images.push(IMAGE, &["1.0.0"]);
    bench.repository("app", json!({}));
    bench.policy("app", &json!({ "name": "app" }), "1.x");
    bench.policy_is("app", "True", "resolved to 1.0.0").await;
    bench.stop().await;
    let Bench {
        kube,
        images,
        store,
        clock,
        ..
    } = bench;
    kube.restart();
    images.take_lists();
    let settings = Settings {
        kinds: vec![],
        ..Settings::default()
    };
    let bench = Bench::on(kube, images, store, clock, settings);
    bench.controllers.wait_until_synced().await;
    bench.pass(Duration::from_hours(1)).await;
    bench.take_writes();
    assert_eq!(bench.elected("apps", "app"), ["1.0.0 by apps/app"]);
    bench.kube.delete(POLICIES, "apps", "app");
    bench.settle().await;
    assert!(bench.elected("apps", "app").is_empty() && bench.tags("app").is_some());
    bench.kube.delete(REPOSITORIES, "apps", "app");
    bench.settle().await;
    assert_eq!(bench.tags("app"), None);
    assert!(bench.images.take_lists().is_empty());
    assert!(bench.take_writes().is_empty(), "nothing else is done");
}

#[tokio::test(start_paused = true)]
async fn deletion_takes_the_tags_and_a_namesake_starts_anew() {
    let bench = Bench::start();
    bench.images.push(IMAGE, &["1.0.0"]);
    bench.repository("app", json!({}));
    bench.repository_is("app", "True", "found 1 tags").await;
    bench.kube.delete(REPOSITORIES, "apps", "app");
    bench.settle().await;
    assert_eq!(bench.tags("app"), None);
    bench.images.push(IMAGE, &["2.0.0"]);
    bench.repository("app", json!({}));
    bench.repository_is("app", "True", "found 2 tags").await;
}

#[tokio::test(start_paused = true)]
async fn a_deletion_during_a_scan_leaves_no_tags_behind() {
    let bench = Bench::start();
    bench.images.push(IMAGE, &["1.0.0"]);
    bench.images.takes(Duration::from_secs(1));
    bench.repository("app", json!({}));
    bench.pass(Duration::from_millis(500)).await;
    bench.kube.delete(REPOSITORIES, "apps", "app");
    bench.pass(Duration::from_secs(5)).await;
    assert_eq!(bench.images.take_lists().len(), 1);
    assert_eq!(bench.tags("app"), None);
}

#[tokio::test(start_paused = true)]
async fn the_finalizer_of_others_is_left_alone_until_deletion_and_none_is_added() {
    let bench = Bench::start();
    bench.images.push(IMAGE, &["1.0.0"]);
    let finalizers = json!(["finalizers.fluxcd.io", "other.test/keep"]);
    let spec =
        |is_suspended: bool| json!({ "image": IMAGE, "interval": "5m", "suspend": is_suspended });
    for (name, is_suspended) in [("app", false), ("rests", true)] {
        bench.kube.create(
            REPOSITORIES,
            "apps",
            json!({ "metadata": { "name": name, "finalizers": finalizers }, "spec": spec(is_suspended) }),
        );
    }
    bench.repository_is("app", "True", "found 1 tags").await;
    bench.settle().await;
    for name in ["app", "rests"] {
        let object = bench.kube.get(REPOSITORIES, "apps", name).unwrap();
        assert_eq!(object["metadata"]["finalizers"], finalizers, "{name}");
        bench.kube.delete(REPOSITORIES, "apps", name);
        bench.settle().await;
        let object = bench.kube.get(REPOSITORIES, "apps", name).unwrap();
        assert_eq!(
            object["metadata"]["finalizers"],
            json!(["other.test/keep"]),
            "{name}"
        );
    }
    assert!(
        bench.tags("app").is_none(),
        "the tags go though somebody else still holds the object"
    );
}

#[tokio::test(start_paused = true)]
async fn an_object_that_only_our_predecessor_holds_is_let_go() {
    let kube = FakeKube::new();
    let object = json!({
        "metadata": { "name": "app", "finalizers": ["finalizers.fluxcd.io"] },
        "spec": { "image": IMAGE, "interval": "5m" },
    });
    kube.create(REPOSITORIES, "apps", object);
    kube.delete(REPOSITORIES, "apps", "app");
    assert!(kube.get(REPOSITORIES, "apps", "app").is_some(), "held");
    let clock = clock();
    let store = Store::in_memory(clock.clone());
    let bench = Bench::on(
        kube,
        FakeImages::default(),
        store,
        clock,
        Settings::default(),
    );
    bench.settle().await;
    assert!(bench.kube.get(REPOSITORIES, "apps", "app").is_none());
    assert!(bench.images.take_lists().is_empty());
}

/// A bench over a store in `dir`, after something was scanned and elected. The disk takes real time, so time is not
/// paused here.
pub(super) async fn settled(dir: &std::path::Path) -> Bench {
    let clock = clock();
    let images = FakeImages::default();
    images.push(IMAGE, &["1.0.0", "1.1.0"]);
    let store = Store::open(dir, 0, clock.clone()).unwrap();
    let bench = Bench::on(FakeKube::new(), images, store, clock, Settings::default());
    bench.repository("app", json!({}));
    bench.policy("app", &json!({ "name": "app" }), "1.x");
    bench.repository_is("app", "True", "found 2 tags").await;
    bench.policy_is("app", "True", "resolved to 1.1.0").await;
    bench.settle().await;
    bench.images.take_lists();
    bench.take_writes();
    bench.stop().await;
    bench
}

/// The next life of a bench, over another store. The last one's handles of its store have to be gone.
pub(super) fn reborn(bench: Bench, store: impl FnOnce() -> Store) -> Bench {
    let Bench {
        kube,
        images,
        clock,
        store: before,
        controllers,
        ..
    } = bench;
    drop((before, controllers));
    kube.restart();
    let store = store();
    Bench::on(kube, images, store, clock, Settings::default())
}

#[tokio::test]
async fn a_restart_with_its_store_asks_and_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let bench = settled(dir.path()).await;
    bench.store.close().await.unwrap();
    let clock = bench.clock.clone();
    let bench = reborn(bench, || Store::open(dir.path(), 0, clock).unwrap());
    bench.controllers.wait_until_synced().await;
    tokio::time::pause();
    bench.pass(Duration::from_secs(100)).await;
    assert!(bench.images.take_lists().is_empty());
    let writes = bench.take_writes();
    assert!(writes.is_empty(), "{writes:#?}");
    assert_eq!(bench.elected("apps", "app"), ["1.1.0 by apps/app"]);
    bench.pass(Duration::from_secs(250)).await;
    assert_eq!(bench.images.take_lists().len(), 1, "the interval went on");
}

#[tokio::test]
async fn a_lost_store_is_filled_again_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let bench = settled(dir.path()).await;
    let clock = bench.clock.clone();
    let bench = reborn(bench, || Store::in_memory(clock));
    tokio::time::pause();
    bench.pass(Duration::from_secs(5)).await;
    assert_eq!(bench.images.take_lists().len(), 1);
    assert_eq!(bench.tags("app").unwrap(), ["1.0.0", "1.1.0"]);
    assert_eq!(bench.elected("apps", "app"), ["1.1.0 by apps/app"]);
    let writes = bench.take_writes();
    assert!(status_patches(&writes) <= 1, "{writes:#?}");
}

#[tokio::test]
async fn what_was_deleted_during_a_standstill_goes_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let bench = settled(dir.path()).await;
    bench.kube.delete(POLICIES, "apps", "app");
    bench.store.close().await.unwrap();
    let clock = bench.clock.clone();
    let bench = reborn(bench, || Store::open(dir.path(), 0, clock).unwrap());
    bench
        .until(|bench| bench.elected("apps", "app").is_empty())
        .await;
    assert!(bench.tags("app").is_some());
    bench.stop().await;
    bench.kube.delete(REPOSITORIES, "apps", "app");
    bench.store.close().await.unwrap();
    let clock = bench.clock.clone();
    let bench = reborn(bench, || Store::open(dir.path(), 0, clock).unwrap());
    bench.until(|bench| bench.tags("app").is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn missing_definitions_are_waited_for() {
    let kube = FakeKube::new();
    kube.set_installed(false);
    let clock = clock();
    let store = Store::in_memory(clock.clone());
    let bench = Bench::on(
        kube,
        FakeImages::default(),
        store,
        clock,
        Settings::default(),
    );
    bench.pass(Duration::from_mins(1)).await;
    assert!(!bench.controllers.are_synced());
    assert!(
        bench
            .kube
            .take_asked()
            .iter()
            .all(|one| one.path == "/apis/image.toolkit.fluxcd.io/v1")
    );
    bench.kube.set_installed(true);
    bench.controllers.wait_until_synced().await;
    assert!(bench.controllers.are_synced());
}

#[tokio::test(start_paused = true)]
async fn one_object_that_cannot_be_read_hides_no_other_and_loses_no_tags() {
    let bench = Bench::start();
    bench.images.push(IMAGE, &["1.0.0"]);
    bench.repository("app", json!({}));
    bench.repository_is("app", "True", "found 1 tags").await;
    bench.kube.edit(
        REPOSITORIES,
        "apps",
        "app",
        json!({ "spec": { "interval": 5 } }),
    );
    bench.repository("other", json!({}));
    bench.repository_is("other", "True", "found 1 tags").await;
    bench.kube.restart();
    bench.pass(Duration::from_mins(1)).await;
    assert_eq!(bench.tags("app").unwrap(), ["1.0.0"]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_status_is_tried_again() {
    let bench = Bench::start();
    bench.images.push(IMAGE, &["1.0.0"]);
    bench
        .kube
        .refuse(Method::PATCH, "/status", http::StatusCode::FORBIDDEN);
    bench.repository("app", json!({}));
    bench.pass(Duration::from_secs(10)).await;
    let object = bench.kube.get(REPOSITORIES, "apps", "app").unwrap();
    assert_eq!(
        object["status"],
        json!({ "observedGeneration": -1 }),
        "refused"
    );
    bench.kube.heal();
    bench.repository_is("app", "True", "found 1 tags").await;
}

#[tokio::test(start_paused = true)]
async fn an_epoch_only_rises_whoever_else_writes_it() {
    let kube = FakeKube::new();
    let client = kube.client();
    assert_eq!(epoch::read(&client, "apps").await.unwrap(), 0);
    epoch::raise(&client, "apps", 3).await.unwrap();
    assert_eq!(epoch::read(&client, "apps").await.unwrap(), 3);
    epoch::raise(&client, "apps", 2).await.unwrap();
    assert_eq!(epoch::read(&client, "apps").await.unwrap(), 3);
    epoch::raise(&client, "apps", 4).await.unwrap();
    assert_eq!(epoch::read(&client, "apps").await.unwrap(), 4);
    let patch = json!({ "metadata": { "annotations": { "tags.tagscope.dev/epoch": "many" } } });
    kube.edit("leases", "apps", "tagscope", patch);
    assert_eq!(epoch::read(&client, "apps").await.unwrap(), 0);
    kube.refuse(Method::PUT, "/tagscope", http::StatusCode::CONFLICT);
    assert!(epoch::raise(&client, "apps", 5).await.is_err());
    let tries = kube
        .take_asked()
        .iter()
        .filter(|one| one.method == Method::PUT && one.body["spec"].is_null())
        .count();
    assert!(tries > 2, "a conflict is tried again: {tries}");
    kube.heal();
    epoch::raise(&client, "apps", 5).await.unwrap();
    assert_eq!(epoch::read(&client, "apps").await.unwrap(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_spec_that_changes_during_a_long_scan_is_not_said_to_be_observed() {
    let bench = Bench::start();
    bench.images.push(IMAGE, &["1.0.0"]);
    bench.images.takes(Duration::from_secs(10));
    bench.repository("app", json!({}));
    bench.pass(Duration::from_secs(1)).await;
    // Seen first in the answer to the status that says that the scan goes on.
    bench.kube.edit(
        REPOSITORIES,
        "apps",
        "app",
        json!({ "spec": { "exclusionList": ["^1"] } }),
    );
    let object = bench.repository_is("app", "True", "found 1 tags").await;
    assert_eq!(object["status"]["observedGeneration"], 1);
    assert_eq!(
        object["status"]["observedExclusionList"],
        json!([r"^.*\.sig$"])
    );
    let object = bench.repository_is("app", "True", "found 0 tags").await;
    assert_eq!(object["status"]["observedGeneration"], 2);
}

#[tokio::test(start_paused = true)]
async fn a_finalizer_that_cannot_be_taken_off_is_in_nobodys_way() {
    let bench = Bench::start();
    bench.images.push(IMAGE, &["1.0.0"]);
    bench.kube.refuse(
        Method::PATCH,
        "/imagerepositories/app",
        http::StatusCode::FORBIDDEN,
    );
    bench.kube.create(
        REPOSITORIES,
        "apps",
        json!({
            "metadata": { "name": "app", "finalizers": ["finalizers.fluxcd.io"] },
            "spec": { "image": IMAGE, "interval": "5m" },
        }),
    );
    bench.repository_is("app", "True", "found 1 tags").await;
    bench.kube.delete(REPOSITORIES, "apps", "app");
    bench.settle().await;
    assert!(bench.tags("app").is_none());
    assert!(
        bench.kube.get(REPOSITORIES, "apps", "app").is_some(),
        "held"
    );
    bench.kube.heal();
    bench.pass(Duration::from_mins(1)).await;
    assert!(bench.kube.get(REPOSITORIES, "apps", "app").is_none());
}
