//! What left the source is deleted at real registries, after it was told; nothing without the rights to keep a ledger.

use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};

use super::{apply, get, mirror, repository, request, says};
use crate::harness::{ControlPlane, eventually};
use crate::mirror::yard::{Kind, Registry};
use crate::rights::kubeconfig_of_service_account;
use crate::world::{SOON, World};

const HOME: &str = "tagscope-system";
const ROLE: &str = "tagscope-mirrors";
const TAGS: [&str; 3] = ["1.0.0", "1.1.0", "1.2.0"];

/// What deletes as soon as it may.
fn prunes() -> Value {
    json!({ "prune": { "enabled": true, "grace": "0s", "maxDeleteFraction": "50%" } })
}

/// Scans until the status has another time: it has whole seconds, and a list counts once.
async fn scan(cluster: &ControlPlane, ns: &str) {
    let time = async || {
        let object = get(cluster, ns, &["imagerepository", "app"]).await?;
        let time = &object["status"]["lastScanResult"]["scanTime"];
        Ok::<_, String>(time.clone())
    };
    let before = time().await.unwrap();
    eventually(SOON, "it is scanned again", || async {
        let token = request(cluster, ns, "imagerepository/app").await;
        handled(cluster, ns, "imagerepository", &token).await;
        let now = time().await?;
        (now != before).then_some(()).ok_or_else(|| now.to_string())
    })
    .await;
}

/// Has the mirror look, and returns what it says of deletions then.
async fn turn(cluster: &ControlPlane, ns: &str) -> Value {
    let token = request(cluster, ns, "imagemirror/app").await;
    let object = handled(cluster, ns, "imagemirror", &token).await;
    object["status"]["prune"].clone()
}

/// The object `app` when it has done what was asked for.
async fn handled(cluster: &ControlPlane, ns: &str, kind: &str, token: &str) -> Value {
    eventually(SOON, &format!("{kind} has looked"), || async {
        let object = get(cluster, ns, &[kind, "app"]).await?;
        if object["status"]["lastHandledReconcileAt"] == token {
            Ok(object)
        } else {
            Err(object["status"].to_string())
        }
    })
    .await
}

/// Puts the image of one tag under another.
async fn put_by_hand(registry: &Registry, path: &str, of: &str, tag: &str) {
    let (media_type, bytes) = registry.manifest(path, of).await.unwrap();
    let url = format!("http://{}/v2/{path}/manifests/{tag}", registry.address);
    let put = reqwest::Client::new().put(url).body(bytes);
    let answer = put.header(CONTENT_TYPE, media_type).send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.status());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_left_the_source_is_told_by_one_run_and_deleted_by_the_next() {
    let world = World::shared().await;
    let (cluster, source) = (&world.cluster, &world.cluster.registry);
    // The second deletes no tags but by a digest.
    for kind in [Kind::Distribution, Kind::DockerRegistry] {
        let Some(destination) = Registry::start(kind).await else {
            continue;
        };
        let ns = &cluster.namespace("pruned").await;
        let path = &format!("{ns}/app");
        source.push(path, &TAGS).await;
        let objects = [
            repository(ns, "app", &source.image(path)),
            mirror(ns, "app", "app", &destination.address, prunes()),
        ];
        apply(cluster, &objects).await;
        let object = says(cluster, ns, "app", "3/3").await;
        assert_eq!(object["status"]["prune"]["owned"], 3, "{object}");
        put_by_hand(&destination, path, "1.0.0", "by-hand").await;
        let all = ["1.0.0", "1.1.0", "1.2.0", "by-hand"];

        source.delete(path, &["1.0.0"]).await;
        let name = format!("{}/{path}:1.0.0", destination.address);
        for (planned, sample) in [(0, vec![]), (1, vec![json!(name)])] {
            scan(cluster, ns).await;
            let told = turn(cluster, ns).await;
            assert_eq!(told["planned"], planned, "{kind:?}: {told}");
            let told_of = told["sample"].as_array().cloned().unwrap_or_default();
            assert_eq!(told_of, sample, "{kind:?}: {told}");
            assert_eq!(destination.tags(path).await, all, "{kind:?}");
        }
        let told = turn(cluster, ns).await;
        assert_eq!(told["deleted"], 1, "{kind:?}: {told}");
        assert!(told["lastDeletion"].is_string(), "{kind:?}: {told}");
        assert_eq!(told["owned"], 2, "{kind:?}: {told}");
        assert_eq!(told["planned"], 0, "{kind:?}: {told}");
        let refused = told["refused"].as_str().unwrap_or_default();
        assert_eq!(refused, "", "{kind:?}: {told}");
        assert_eq!(destination.manifest(path, "1.0.0").await, None, "{kind:?}");
        assert_eq!(destination.tags(path).await, all[1..], "{kind:?}");
        // To the last byte, and that of the hand as well: it had the very image that lost its tag.
        let whole = destination.check(&[path]).await.unwrap();
        assert_eq!(whole.len(), 3, "{kind:?}: {whole:?}");

        // It comes back.
        source.push(path, &["1.0.0"]).await;
        scan(cluster, ns).await;
        says(cluster, ns, "app", "3/3").await;
        assert_eq!(destination.tags(path).await, all, "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_right_to_keep_a_ledger_nothing_is_deleted_and_the_right_is_named() {
    let cluster = &ControlPlane::start().await;
    cluster.apply(&cluster.kustomize("deploy").await).await;
    let local = cluster.kustomize("apiservice/local").await;
    cluster.apply(&local).await;
    let said = cluster.kubectl(&["get", "clusterrole", ROLE, "-o", "json"]);
    let granted: Value = serde_json::from_str(&said.await.ok()).unwrap();
    let role = |rules: &[Value]| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": { "name": ROLE }, "rules": rules,
        })
    };
    let all = granted["rules"].as_array().unwrap();
    let less: Vec<Value> = all
        .iter()
        .filter(|rule| rule["resources"] != json!(["configmaps"]))
        .cloned()
        .collect();
    assert_eq!(less.len() + 1, all.len(), "{granted}");
    apply(cluster, &[role(&less)]).await;
    let kubeconfig = kubeconfig_of_service_account(cluster, HOME, "tagscope").await;
    let program = cluster.tagscope().kubeconfig(kubeconfig).start().await;
    let program = program.unwrap_or_else(|log| panic!("it did not start:\n{log}"));
    cluster.install(&program).await;

    let source = &cluster.registry;
    let destination = Registry::start(Kind::Distribution).await.unwrap();
    let ns = &cluster.namespace("forbidden").await;
    let path = &format!("{ns}/app");
    source.push(path, &TAGS).await;
    let objects = [
        repository(ns, "app", &source.image(path)),
        mirror(ns, "app", "app", &destination.address, prunes()),
    ];
    apply(cluster, &objects).await;
    says(cluster, ns, "app", "3/3").await;
    source.delete(path, &["1.0.0"]).await;
    for _ in 0..3 {
        scan(cluster, ns).await;
        let told = turn(cluster, ns).await;
        let refused = told["refused"].as_str().unwrap_or_default();
        assert!(refused.starts_with("nothing is deleted: "), "{told}");
        let right = format!("grant get, create, update and delete on configmaps in namespace {ns}");
        assert!(refused.contains(&right), "{told}");
        assert_eq!((&told["planned"], &told["owned"]), (&json!(0), &json!(0)));
    }
    assert_eq!(destination.tags(path).await, TAGS);

    // Once it is granted, what was copied before is the mirror's own all the same.
    apply(cluster, &[role(all)]).await;
    eventually(SOON, "it keeps its ledger", || async {
        let told = turn(cluster, ns).await;
        (told["owned"] == 3)
            .then_some(())
            .ok_or_else(|| told.to_string())
    })
    .await;
    scan(cluster, ns).await;
    let told = turn(cluster, ns).await;
    assert_eq!(told["planned"], 1, "{told}");
    let told = turn(cluster, ns).await;
    assert_eq!(told["deleted"], 1, "{told}");
    assert_eq!(destination.tags(path).await, TAGS[1..]);
}
