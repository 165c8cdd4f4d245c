//! One shard in one namespace: what is outside of it is not there.

use serde_json::Value;

use crate::harness::eventually;
use crate::leaders::prepare;
use crate::world::SOON;

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_sees_its_own_objects_and_holds_a_lease_of_its_own() {
    let cluster = &prepare().await;
    cluster.registry.push("shard/app", &["1.0.0"]).await;
    let image = cluster.registry.image("shard/app");
    let labels = "labels: {sharding.fluxcd.io/key: shard1}";
    let repository = |namespace: &str, name: &str, labels: &str| {
        format!(
            "apiVersion: image.toolkit.fluxcd.io/v1\nkind: ImageRepository\n\
             metadata: {{name: {name}, namespace: {namespace}, {labels}}}\n\
             spec: {{image: \"{image}\", interval: 1h}}\n---\n"
        )
    };
    let policy = |name: &str| {
        format!(
            "apiVersion: image.toolkit.fluxcd.io/v1\nkind: ImagePolicy\n\
             metadata: {{name: {name}, namespace: apps, {labels}}}\n\
             spec: {{imageRepositoryRef: {{name: {name}}}, policy: {{semver: {{range: '*'}}}}}}\n---\n"
        )
    };
    let objects = [
        repository("apps", "inside", labels),
        repository("apps", "outside", "labels: {}"),
        repository("flux-system", "elsewhere", labels),
        policy("inside"),
        policy("outside"),
    ];
    cluster.apply(&objects.concat()).await;
    let program = cluster.tagscope().args([
        "--watch-label-selector=sharding.fluxcd.io/key=shard1",
        "--watch-all-namespaces=false",
        "--runtime-namespace=apps",
        "--enable-leader-election",
    ]);
    let mut program = program.start().await.unwrap_or_else(|log| panic!("{log}"));
    let wait = [
        "wait",
        "--for=condition=Ready",
        "-n",
        "apps",
        "--timeout=30s",
    ];
    let inside = ["imagerepository/inside", "imagepolicy/inside"];
    cluster.kubectl(&[&wait[..], &inside].concat()).await.ok();
    let get = async |namespace: &str, object: &str| -> Value {
        let get = ["get", object, "-n", namespace, "-o", "json"];
        serde_json::from_str(&cluster.kubectl(&get).await.ok()).unwrap()
    };
    // As for Flux: the repository of another shard is a missing one.
    eventually(SOON, "the policy misses its repository", || async {
        let object = get("apps", "imagepolicy/outside").await;
        let conditions = object["status"]["conditions"].to_string();
        let misses = conditions.contains("DependencyNotReady")
            && conditions.contains("referenced ImageRepository does not exist");
        misses.then_some(()).ok_or(conditions)
    })
    .await;
    for (namespace, name) in [("apps", "outside"), ("flux-system", "elsewhere")] {
        let object = get(namespace, &format!("imagerepository/{name}")).await;
        assert_eq!(object["status"]["conditions"], Value::Null, "{object}");
    }
    let lease = "lease/image-reflector-controller-leader-election-73fdc1be";
    let lease = get("apps", lease).await;
    assert_eq!(lease["spec"]["leaseDurationSeconds"], 35, "{lease}");
    assert!(program.terminate().await.success(), "{}", program.log());
}
