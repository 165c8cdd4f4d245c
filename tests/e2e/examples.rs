//! Every example is taken by a real API server as it stands, with no field that it does not know.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::harness::ControlPlane;

const DIRECTORIES: [&str; 2] = ["examples/features", "examples/mirror/cluster"];

#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_takes_each() {
    let cluster = ControlPlane::shared().await;
    cluster.apply(&cluster.definitions().await).await;
    let wait = ["wait", "--for=condition=Established", "crd", "--all"];
    cluster.kubectl(&wait).await.ok();
    let ns = &cluster.namespace("examples").await;
    for file in files() {
        let apply = ["apply", "--server-side", "--validate=strict", "-f", &file];
        // Those with namespaces of their own name them.
        let apply = if fs::read_to_string(&file)
            .unwrap()
            .contains("kind: Namespace")
        {
            apply.to_vec()
        } else {
            [&apply[..], &["-n", ns]].concat()
        };
        let said = cluster.kubectl(&apply).await;
        assert!(said.success, "{file}: {}", said.stderr);
        assert!(!said.stderr.contains("Warning"), "{file}: {}", said.stderr);
        assert!(said.stdout.contains("serverside-applied"), "{file}");
    }
    let kinds = "imagerepositories,imagepolicies,imagemirrors";
    let reader = ["get", kinds, "-A", "-o", "name"];
    let there = cluster.kubectl(&reader).await.ok();
    assert!(there.lines().count() >= files().len(), "{there}");
}

#[test]
fn each_feature_has_one() {
    let texts: Vec<String> = files()
        .iter()
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    for feature in [
        "secretRef:",
        "serviceAccountName:",
        "certSecretRef:",
        "proxySecretRef:",
        "accessFrom:",
        "exclusionList:",
        "insecure: true",
        "suspend: true",
        "filterTags:",
        "timeout:",
        "semver:",
        "alphabetical:",
        "numerical:",
        "digestReflectionPolicy: Always",
        tagscope::api::names::HOLD,
        tagscope::api::names::MINIMUM_AGE,
        tagscope::api::names::DOWNGRADE,
        tagscope::api::names::PLATFORMS,
        tagscope::api::names::REQUIRE_MIRRORED,
        tagscope::api::names::MIRROR_ALLOW_FROM,
        "kind: ImageMirror",
        "selector:",
        "imagePolicyRefs:",
        "sourceSecretRef:",
        "repositoryTemplate:",
        "referrers: true",
        "overwrite:",
        "prune:",
        "verifyInterval:",
        "bandwidth:",
    ] {
        let shown = texts.iter().filter(|text| text.contains(feature)).count();
        assert!(shown >= 1, "no example shows {feature}");
    }
}

fn files() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let entries = DIRECTORIES
        .iter()
        .flat_map(|directory| fs::read_dir(root.join(directory)).unwrap());
    let paths = entries.map(|entry| entry.unwrap().path().display().to_string());
    paths
        .filter(|path| !path.ends_with("kustomization.yaml"))
        .collect()
}
