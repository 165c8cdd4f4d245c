//! What the controllers do with the news that they may act, or may not.

use std::time::Duration;

use serde_json::json;
use tagscope::control::Lead;
use tokio::sync::watch;

use super::bench::{Bench, IMAGE, POLICIES, REPOSITORIES, status_patches};

#[tokio::test(start_paused = true)]
async fn who_does_not_lead_asks_no_registry_and_writes_nothing() {
    let (leads, lead) = watch::channel(false);
    let bench = Bench::led(Lead::of(lead));
    bench.images.push(IMAGE, &["1.0.0"]);
    bench.repository("app", json!({}));
    bench.policy("app", &json!({ "name": "app" }), "1.x");
    bench.pass(Duration::from_hours(1)).await;
    assert!(bench.images.take_lists().is_empty());
    assert!(bench.take_writes().is_empty());
    assert!(!bench.controllers.are_synced());

    leads.send_replace(true);
    bench.policy_is("app", "True", "resolved to 1.0.0").await;
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn who_stops_leading_stops_within_a_scan_and_its_tags_stay() {
    let (leads, lead) = watch::channel(true);
    let bench = Bench::led(Lead::of(lead));
    bench.images.push(IMAGE, &["1.0.0"]);
    bench.repository("app", json!({}));
    bench.policy("app", &json!({ "name": "app" }), "1.x");
    bench.policy_is("app", "True", "resolved to 1.0.0").await;
    bench.settle().await;

    bench.images.push(IMAGE, &["1.1.0"]);
    bench.images.takes(Duration::from_secs(10));
    bench.kube.annotate(REPOSITORIES, "apps", "app", "now");
    bench.pass(Duration::from_secs(5)).await;
    bench.images.take_lists();
    bench.take_writes();
    leads.send_replace(false);
    bench.pass(Duration::from_hours(2)).await;
    assert!(
        bench.take_writes().is_empty(),
        "not even of what was under way"
    );
    assert!(bench.images.take_lists().is_empty());
    assert_eq!(bench.tags("app").unwrap(), ["1.0.0"]);

    // Meanwhile the other one scanned, and one object went.
    bench.images.takes(Duration::ZERO);
    bench.kube.delete(POLICIES, "apps", "app");
    bench.policy("other", &json!({ "name": "app" }), "1.x");
    leads.send_replace(true);
    bench.repository_is("app", "True", "found 2 tags").await;
    bench.policy_is("other", "True", "resolved to 1.1.0").await;
    bench.settle().await;
    assert_eq!(bench.elected("apps", "app"), ["1.1.0 by apps/other"]);
    bench.take_writes();
    bench.images.take_lists();
    bench.pass(Duration::from_secs(301)).await;
    assert_eq!(bench.images.take_lists().len(), 1, "its interval goes on");
    assert!(status_patches(&bench.take_writes()) <= 1);
    bench.stop().await;
}
