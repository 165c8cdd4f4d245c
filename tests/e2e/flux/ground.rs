//! With Flux's definitions in place of ours, and with nothing but the rights of its ServiceAccount.

use serde_json::{Value, json};

use super::{CONTROLLER, KINDS, Shared, Tools, USER, all_ready, define, get, pair};
use crate::harness::eventually;
use crate::world::SOON;

#[tokio::test(flavor = "multi_thread")]
async fn with_flux_s_rights_everything_but_the_aggregated_api_runs() {
    let Shared { cluster, program } = Shared::get().await;
    let ns = &cluster.namespace("rights").await;
    cluster
        .registry
        .push("flux/rights", &["1.0.0", "1.1.0"])
        .await;
    cluster
        .apply(&pair(cluster, ns, "app", "flux/rights", "*"))
        .await;
    all_ready(cluster, ns).await;

    let log = program.log();
    let lines: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("Aggregated API server is off"))
        .collect();
    assert_eq!(lines.len(), 1, "{log}");
    assert!(lines[0].contains("system:auth-delegator"), "{}", lines[0]);
    let metrics = program.scrape().await;
    assert!(metrics.contains("\ntagscope_apiserver_on 0\n"), "{metrics}");

    // Nothing that it needs to scan and elect is refused.
    let refused: Vec<String> = cluster
        .requests_of(USER)
        .iter()
        .filter(|event| event["responseStatus"]["code"] == 403)
        .map(|event| event["requestURI"].as_str().unwrap().to_owned())
        .filter(|uri| uri.contains("image.toolkit.fluxcd.io") || uri.contains("/events"))
        .collect();
    assert!(refused.is_empty(), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn flux_s_definitions_keep_all_that_is_written() {
    let Shared { cluster, program } = Shared::get().await;
    let ns = &cluster.namespace("kept").await;
    cluster
        .registry
        .push("flux/kept", &["1.0.0", "1.1.0", "2.0.0"])
        .await;
    cluster
        .apply(&pair(cluster, ns, "app", "flux/kept", "1.x"))
        .await;
    all_ready(cluster, ns).await;

    let whole = ["app", "-n", ns, "--show-managed-fields"];
    let repository = get(cluster, &[&["imagerepository"], &whole[..]].concat()).await;
    let policy = get(cluster, &[&["imagepolicy"], &whole[..]].concat()).await;
    assert_eq!(repository["status"]["lastScanResult"]["tagCount"], 3);
    let latest = json!({"name": cluster.registry.image("flux/kept"), "tag": "1.1.0"});
    assert_eq!(policy["status"]["latestRef"], latest);
    // It is dropped there, and must not be written again for that.
    assert_eq!(policy["status"]["latestImage"], Value::Null);
    for object in [&repository, &policy] {
        let fields = object["metadata"]["managedFields"].as_array().unwrap();
        let status = fields.iter().find(|one| one["subresource"] == "status");
        assert_eq!(status.unwrap()["manager"], CONTROLLER, "{object}");
    }

    // kustomize-controller applies them again and again.
    define(cluster, &Tools::get().await.definitions()).await;
    let requested = ["reconcile.fluxcd.io/requestedAt=again", "-n", ns];
    let requested = [&["annotate", KINDS, "--all"], &requested[..]].concat();
    cluster.kubectl(&requested).await.ok();
    eventually(SOON, "both requests are answered", || async {
        let objects = get(cluster, &[KINDS, "-n", ns]).await;
        let objects = objects["items"].as_array().unwrap().clone();
        let mut open = objects
            .iter()
            .filter(|object| object["status"]["lastHandledReconcileAt"] != "again");
        open.next()
            .map_or(Ok(()), |object| Err(object["status"].to_string()))
    })
    .await;
    assert!(
        !program.log().contains("unknown field"),
        "{}",
        program.log()
    );
}

/// What Flux's statuses say besides, such as conditions of ours, is in the schema's free list.
#[tokio::test(flavor = "multi_thread")]
async fn conditions_of_ours_survive() {
    let Shared { cluster, .. } = Shared::get().await;
    let ns = &cluster.namespace("governed").await;
    cluster
        .registry
        .push("flux/governed", &["1.0.0", "1.1.0"])
        .await;
    cluster
        .apply(&pair(cluster, ns, "app", "flux/governed", "*"))
        .await;
    all_ready(cluster, ns).await;
    let hold = ["imagepolicy/app", "tags.tagscope.dev/hold=1.0.0", "-n", ns];
    cluster
        .kubectl(&[&["annotate"], &hold[..]].concat())
        .await
        .ok();
    eventually(SOON, "the held tag is elected, and said to be", || async {
        let policy = get(cluster, &["imagepolicy", "app", "-n", ns]).await;
        let status = &policy["status"];
        let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
        let condition = |of: &str| conditions.iter().any(|one| one["type"] == of);
        let is_held = status["latestRef"]["tag"] == "1.0.0"
            && condition("Ready")
            && condition(tagscope::api::condition::GOVERNED);
        is_held.then_some(()).ok_or_else(|| status.to_string())
    })
    .await;
}
