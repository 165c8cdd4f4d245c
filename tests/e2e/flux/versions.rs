//! The versions before v1, which Flux no longer serves: their manifests apply, and nothing is lost between them.

use serde_json::{Value, json};

use super::{Tools, define, flux, get};
use crate::harness::{ControlPlane, eventually};
use crate::world::{SOON, World};

const VERSIONS: [&str; 3] = ["v1", "v1beta2", "v1beta1"];

fn manifests(cluster: &ControlPlane, ns: &str, version: &str, image: &str) -> String {
    let image = cluster.registry.image(image);
    format!(
        "apiVersion: image.toolkit.fluxcd.io/{version}\nkind: ImageRepository\n\
         metadata: {{name: {version}, namespace: {ns}}}\n\
         spec: {{image: \"{image}\", interval: 1h0m0s, timeout: 30s,\n\
         accessFrom: {{namespaceSelectors: [{{matchLabels: {{team: a}}}}]}}}}\n---\n\
         apiVersion: image.toolkit.fluxcd.io/{version}\nkind: ImagePolicy\n\
         metadata: {{name: {version}, namespace: {ns}}}\n\
         spec: {{imageRepositoryRef: {{name: {version}, namespace: {ns}}},\n\
         filterTags: {{pattern: '^v(?P<n>.*)$', extract: $n}}, policy: {{semver: {{range: 1.x}}}}}}\n---\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn manifests_of_every_version_apply_and_read_the_same_in_all() {
    let World { cluster, .. } = World::shared().await;
    let ns = &cluster.namespace("versions").await;
    cluster
        .registry
        .push("versions/app", &["v1.0.0", "v1.1.0"])
        .await;
    for version in VERSIONS {
        let manifests = manifests(cluster, ns, version, "versions/app");
        let apply = ["apply", "--server-side", "-f", "-"];
        let said = cluster.kubectl_with_input(&apply, &manifests).await;
        assert!(said.success, "{version}: {}", said.stderr);
        let is_warned = said.stderr.contains("is deprecated and still served");
        assert_eq!(is_warned, version != "v1", "{version}: {}", said.stderr);
    }
    let image = format!("{}:v1.1.0", cluster.registry.image("versions/app"));
    for name in VERSIONS {
        eventually(SOON, "the older versions' field is written", || async {
            let policy = read(cluster, ns, "imagepolicies", "v1beta1", name).await;
            let latest = &policy["status"]["latestImage"];
            (*latest == image)
                .then_some(())
                .ok_or_else(|| policy["status"].to_string())
        })
        .await;
        for kind in ["imagepolicies", "imagerepositories"] {
            let mut seen = Vec::new();
            for version in VERSIONS {
                let object = read(cluster, ns, kind, version, name).await;
                let api_version = format!("image.toolkit.fluxcd.io/{version}");
                assert_eq!(object["apiVersion"], api_version);
                seen.push(json!([object["spec"], object["status"]]));
            }
            assert!(seen[0] == seen[1] && seen[1] == seen[2], "{seen:#?}");
        }
    }
}

async fn read(cluster: &ControlPlane, ns: &str, kind: &str, version: &str, name: &str) -> Value {
    let kind = format!("{kind}.{version}.image.toolkit.fluxcd.io");
    get(cluster, &[&kind, name, "-n", ns]).await
}

/// `flux migrate` brings what older versions stored to v1, and `flux check` reads the same field.
#[tokio::test(flavor = "multi_thread")]
async fn one_version_is_stored() {
    let World { cluster, .. } = World::shared().await;
    for name in ["imagerepositories", "imagepolicies"] {
        let crd = format!("{name}.image.toolkit.fluxcd.io");
        let crd = get(cluster, &["crd", &crd]).await;
        assert_eq!(crd["status"]["storedVersions"], json!(["v1"]), "{name}");
    }
}

/// From Flux's definitions to ours, with objects stored, and back again: as `kubectl apply` does it.
#[tokio::test(flavor = "multi_thread")]
async fn definitions_are_exchanged_under_live_objects() {
    let cluster = ControlPlane::start().await;
    let flux_s = Tools::get().await.definitions();
    define(&cluster, &flux_s).await;
    let ns = &cluster.namespace("exchanged").await;
    let v1 = manifests(&cluster, ns, "v1", "exchanged/app");
    cluster.apply(&v1).await;
    define(&cluster, &cluster.kustomize("deploy/crds").await).await;
    cluster
        .apply(&manifests(&cluster, ns, "v1beta1", "exchanged/app"))
        .await;
    let label = ["label", "crd", "--all", "app.kubernetes.io/part-of=flux"];
    cluster.kubectl(&label).await.ok();
    flux(&cluster, &["migrate"]).await.ok();
    define(&cluster, &flux_s).await;
    for kind in ["imagepolicies", "imagerepositories"] {
        let list = get(&cluster, &[kind, "-n", ns]).await;
        let names: Vec<_> = list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|object| object["metadata"]["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["v1", "v1beta1"], "{kind}");
    }
}
