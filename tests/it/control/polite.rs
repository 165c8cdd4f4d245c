//! What registries are spared, as far as it is the controllers' affair.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::bench::{Bench, IMAGE, REPOSITORIES, says};
use crate::fake_registry::{FakeRegistry, Fault};

#[tokio::test(start_paused = true)]
async fn a_host_that_keeps_everybody_waiting_holds_up_no_other() {
    let bench = Bench::start();
    bench.images.is_slow("slow.test", Duration::from_secs(50));
    for n in 0..40 {
        let image = format!("slow.test/o/app{n}");
        bench.images.push(&image, &["1"]);
        bench.repository(
            &format!("slow{n}"),
            json!({ "image": image, "timeout": "59s" }),
        );
    }
    bench.settle().await;
    assert_eq!(
        bench.images.take_lists().len(),
        4,
        "as many as are allowed at once"
    );
    bench.images.push(IMAGE, &["1.0.0", "2.0.0"]);
    let start = Instant::now();
    bench.repository("app", json!({}));
    bench.policy("app", &json!({ "name": "app" }), ">=0");
    bench.repository_is("app", "True", "found 2 tags").await;
    bench.policy_is("app", "True", "resolved to 2.0.0").await;
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
    // And those that wait come to their turn, ten rounds in all.
    bench.pass(Duration::from_secs(510)).await;
    bench.repository_is("slow39", "True", "found 1 tags").await;
}

#[tokio::test(start_paused = true)]
async fn a_scan_that_is_put_off_changes_nothing_and_is_made_up_for() {
    let bench = Bench::start();
    bench.images.push(IMAGE, &["1"]);
    bench.repository("app", json!({ "interval": "5m" }));
    bench.repository_is("app", "True", "found 1 tags").await;
    bench.settle().await;
    bench.take_writes();
    bench.images.take_lists();
    bench.images.push(IMAGE, &["2"]);
    bench.images.put_off(Duration::from_mins(2));
    bench.pass(Duration::from_secs(320)).await;
    assert_eq!(bench.images.take_lists().len(), 1, "it came, and went");
    assert!(bench.take_writes().is_empty(), "nothing is known anew");
    bench.images.heal();
    bench.pass(Duration::from_secs(121)).await;
    assert_eq!(
        bench.images.take_lists().len(),
        1,
        "as soon as it may, and not earlier"
    );
    bench.repository_is("app", "True", "found 2 tags").await;
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_scan_is_told_that_it_is_put_off() {
    let bench = Bench::start();
    bench.images.push(IMAGE, &["1"]);
    bench.images.put_off(Duration::from_mins(2));
    bench.repository("app", json!({}));
    let object = bench
        .repository_is("app", "False", "scan failed: registry.test was not asked")
        .await;
    assert_eq!(object["status"]["lastScanResult"], json!(null));
    bench.images.heal();
    bench.pass(Duration::from_secs(121)).await;
    bench.repository_is("app", "True", "found 1 tags").await;
    bench.images.put_off(Duration::from_mins(2));
    bench.kube.annotate(REPOSITORIES, "apps", "app", "now");
    let object = bench.repository_is("app", "False", "was not asked").await;
    assert_eq!(object["status"]["lastHandledReconcileAt"], "now");
}

#[tokio::test(start_paused = true)]
async fn those_created_together_do_not_come_back_together() {
    let bench = Bench::start();
    for n in 0..100 {
        let image = format!("registry.test/o/app{n}");
        bench.images.push(&image, &["1"]);
        bench.repository(
            &format!("app{n}"),
            json!({ "image": image, "interval": "10m" }),
        );
    }
    bench.settle().await;
    assert_eq!(
        bench.images.take_lists().len(),
        100,
        "first scans are not put off"
    );
    // A minute, in tenths: all scans fall into it, and none of the tenths has a third of them.
    bench.pass(Duration::from_secs(569)).await;
    assert_eq!(bench.images.take_lists().len(), 0);
    let mut tenths = vec![];
    for _ in 0..11 {
        bench.pass(Duration::from_secs(6)).await;
        tenths.push(bench.images.take_lists().len());
    }
    assert_eq!(tenths.iter().sum::<usize>(), 100, "{tenths:?}");
    assert!(tenths.iter().all(|count| *count < 33), "{tenths:?}");
}

#[tokio::test(start_paused = true)]
async fn peers_fall_into_step_whatever_their_own_intervals() {
    let bench = Bench::start();
    bench.images.push(IMAGE, &["1"]);
    for n in 0..5 {
        bench.repository(&format!("app{n}"), json!({ "interval": "10m" }));
    }
    bench.pass(Duration::from_secs(1)).await;
    let first = bench.images.take_lists().len();
    for round in 1..=6 {
        bench.pass(Duration::from_mins(10)).await;
        let asked = bench.images.take_lists().len();
        assert!(asked <= 2, "round {round}: {asked} of {first}");
    }
}

#[tokio::test]
async fn a_list_that_is_cut_off_takes_nothing_away() {
    let registry = FakeRegistry::start().await;
    registry.add_repository("team/app", ["1.0.0", "1.1.0"]);
    let bench = Bench::over_the_wire();
    let image = registry.image("team/app");
    bench.repository("app", json!({ "image": image, "insecure": true }));
    bench.repository_is("app", "True", "found 2 tags").await;
    for (fault, token) in [(Fault::Reset, "one"), (Fault::Truncated, "two")] {
        registry.push("team/app", "1.2.0");
        registry.fail_always(fault);
        bench.kube.annotate(REPOSITORIES, "apps", "app", token);
        let is_told = |object: &serde_json::Value| {
            object["status"]["lastHandledReconcileAt"] == token
                && says(object, "False", "broke off")
        };
        bench
            .kube
            .wait_for(REPOSITORIES, "apps", "app", is_told)
            .await;
        assert_eq!(bench.tags("app").unwrap(), ["1.0.0", "1.1.0"]);
        registry.heal();
        bench.repository_is("app", "True", "found 3 tags").await;
        registry.delete_tag("team/app", "1.2.0");
        bench
            .kube
            .annotate(REPOSITORIES, "apps", "app", &format!("after {token}"));
        bench.repository_is("app", "True", "found 2 tags").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_spec_is_seen_though_its_scan_is_put_off() {
    let bench = Bench::start();
    bench.images.push(IMAGE, &["1"]);
    bench.repository("app", json!({ "interval": "5m" }));
    bench.repository_is("app", "True", "found 1 tags").await;
    bench.images.push(IMAGE, &["2"]);
    bench.images.put_off(Duration::from_mins(2));
    bench.pass(Duration::from_secs(320)).await;
    bench.take_writes();
    let spec = json!({ "spec": { "timeout": "30s" } });
    bench.kube.edit(REPOSITORIES, "apps", "app", spec);
    let object = bench
        .kube
        .wait_for(REPOSITORIES, "apps", "app", |object| {
            object["status"]["observedGeneration"] == 2
        })
        .await;
    assert!(says(&object, "True", "found 1 tags"), "{object:#}");
    bench.settle().await;
    assert_eq!(bench.take_writes().len(), 1, "and said once");
    bench.images.heal();
    bench.pass(Duration::from_secs(121)).await;
    bench.repository_is("app", "True", "found 2 tags").await;
}

#[tokio::test(start_paused = true)]
async fn who_is_suspended_does_not_wait_for_its_host() {
    let bench = Bench::start();
    bench.images.is_slow("slow.test", Duration::from_secs(50));
    for n in 0..8 {
        let spec = json!({ "image": format!("slow.test/o/app{n}"), "timeout": "59s" });
        bench.repository(&format!("slow{n}"), spec);
    }
    bench.settle().await;
    let spec = json!({ "spec": { "suspend": true } });
    bench.kube.edit(REPOSITORIES, "apps", "slow7", spec);
    let is_told = |object: &serde_json::Value| object["status"]["observedGeneration"] == 2;
    bench
        .kube
        .wait_for(REPOSITORIES, "apps", "slow7", is_told)
        .await;
}
