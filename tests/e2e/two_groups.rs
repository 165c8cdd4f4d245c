//! Another group with a resource of the same name, and an APIService that comes and goes: who is meant is found by the
//! full name, and nobody else is harmed.

use crate::harness::{ControlPlane, eventually};
use crate::world::{SOON, World};

const OTHER: &str = "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: imagetags.other.example}, \
    spec: {group: other.example, scope: Namespaced, names: {plural: imagetags, singular: imagetag, kind: ImageTag, shortNames: [imgtag]}, \
    versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, description: Of the other group., \
    properties: {spec: {type: object, properties: {colour: {type: string}}}}}}}]}}";
const API_SERVICE: &str = "apiservice/v1alpha1.tags.tagscope.dev";
const NAMES: [&str; 3] = [
    "imagetags.tags.tagscope.dev",
    "imagetag.tags.tagscope.dev",
    "imagetags.v1alpha1.tags.tagscope.dev",
];

async fn names(cluster: &ControlPlane, resource: &str, ns: &str) -> Result<String, String> {
    let get = ["get", resource, "-n", ns, "-o", "name"];
    cluster.kubectl(&get).await.probe()
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_with_the_same_resource_and_an_api_service_that_comes_and_goes() {
    let world = World::start(&[]).await;
    let cluster = &world.cluster;
    let ns = &cluster.namespace("groups").await;
    cluster.registry.push("groups/app", &["1.0.0"]).await;
    world.scan(ns, "app", "groups/app").await;
    cluster.apply(OTHER).await;
    let established = [
        "wait",
        "--for=condition=Established",
        "crd/imagetags.other.example",
        "--timeout=30s",
    ];
    cluster.kubectl(&established).await.ok();
    eventually(SOON, "the other kind is there", || async {
        let object = "{apiVersion: other.example/v1, kind: ImageTag, metadata: {name: theirs}, spec: {colour: red}}";
        let create = ["create", "-n", ns, "-f", "-"];
        cluster.kubectl_with_input(&create, object).await.probe()
    })
    .await;

    let ours = "imagetag.tags.tagscope.dev/app:1.0.0\n";
    let theirs = "imagetag.other.example/theirs\n";
    for name in NAMES {
        assert_eq!(names(cluster, name, ns).await.unwrap(), ours, "{name}");
    }
    for name in ["imagetags.other.example", "imagetag.v1.other.example"] {
        assert_eq!(names(cluster, name, ns).await.unwrap(), theirs, "{name}");
    }
    let both = "imagetags.tags.tagscope.dev,imagetags.other.example";
    assert_eq!(
        names(cluster, both, ns).await.unwrap(),
        format!("{ours}{theirs}")
    );
    // Whom the bare name means, the API server decides, and it names one of both.
    let bare = names(cluster, "imagetags", ns).await.unwrap();
    assert!([ours, theirs].contains(&&*bare), "{bare}");
    for (version, text) in [
        ("tags.tagscope.dev/v1alpha1", "selectedBy"),
        ("other.example/v1", "Of the other group."),
    ] {
        let explain = ["explain", "imagetags", "--api-version", version];
        let text_found = cluster.kubectl(&explain).await.ok();
        assert!(text_found.contains(text), "{version}: {text_found}");
    }
    let resources = ["api-resources", "--no-headers", "-o", "name"];
    let resources = cluster.kubectl(&resources).await.ok();
    for name in ["imagetags.tags.tagscope.dev", "imagetags.other.example"] {
        assert!(resources.lines().any(|line| line == name), "{resources}");
    }

    // The APIService goes: only what it names is gone, and nothing waits for it.
    let saved = ["get", API_SERVICE, "-o", "yaml"];
    let saved = cluster.kubectl(&saved).await.ok();
    let delete = ["delete", API_SERVICE, "--timeout=30s"];
    cluster.kubectl(&delete).await.ok();
    eventually(SOON, "our kind is gone", || async {
        match names(cluster, NAMES[0], ns).await {
            Ok(names) => Err(names),
            Err(why) if why.contains("doesn't have a resource type") => Ok(()),
            Err(why) => Err(why),
        }
    })
    .await;
    assert_eq!(names(cluster, "imagetags", ns).await.unwrap(), theirs);
    let other = &cluster.namespace("while-gone").await;
    let delete = ["delete", "namespace", other, "--timeout=60s"];
    cluster.kubectl(&delete).await.ok();

    // It comes back, as somebody writes it who does not know which certificates to believe.
    let saved: Vec<&str> = saved
        .lines()
        .filter(|line| {
            let line = line.trim_start();
            ![
                "caBundle:",
                "resourceVersion:",
                "uid:",
                "creationTimestamp:",
            ]
            .iter()
            .any(|field| line.starts_with(field))
        })
        .collect();
    let saved = saved.join("\n");
    let create = ["create", "-f", "-"];
    cluster.kubectl_with_input(&create, &saved).await.ok();
    let available = [
        "wait",
        "--for=condition=Available",
        API_SERVICE,
        "--timeout=60s",
    ];
    cluster.kubectl(&available).await.ok();
    eventually(SOON, "our kind is back", || async {
        match names(cluster, NAMES[0], ns).await {
            Ok(names) if names == ours => Ok(()),
            Ok(names) | Err(names) => Err(names),
        }
    })
    .await;
    // A namespace with objects of both goes as fast as ever.
    let delete = ["delete", "namespace", ns, "--timeout=60s"];
    cluster.kubectl(&delete).await.ok();
}
