//! The flux CLI, unchanged, against objects that tagscope looks after: what it prints, and how it ends.

use super::{Said, Shared, all_ready, flux, get, pair};
use crate::harness::ControlPlane;

async fn prepared(name: &str) -> (&'static ControlPlane, String) {
    let Shared { cluster, .. } = Shared::get().await;
    let ns = cluster.namespace(name).await;
    let image = format!("flux/{ns}");
    cluster
        .registry
        .push(&image, &["1.0.0", "1.1.0", "2.0.0"])
        .await;
    let manifests = pair(cluster, &ns, "app", &image, "1.x");
    cluster.apply(&manifests).await;
    all_ready(cluster, &ns).await;
    (cluster, ns)
}

#[tokio::test(flavor = "multi_thread")]
async fn get_prints_what_it_prints_of_flux_s_own() {
    let (cluster, ns) = &prepared("get").await;
    let image = cluster.registry.image(&format!("flux/{ns}"));
    let repositories = flux(cluster, &["get", "image", "repository", "-n", ns])
        .await
        .rows();
    let [row] = &repositories[..] else {
        panic!("{repositories:?}")
    };
    let [name, last_scan, suspended, ready, message] = &row[..] else {
        panic!("{row:?}")
    };
    assert_eq!([name, suspended, ready], ["app", "False", "True"]);
    assert!(last_scan.starts_with("20"), "{last_scan}");
    let expected = "successful scan: found 3 tags with checksum ";
    assert!(message.starts_with(expected), "{message}");

    let policies = flux(cluster, &["get", "image", "policy", "app", "-n", ns])
        .await
        .rows();
    let resolved = format!("Latest image tag for {image} resolved to 1.1.0");
    let expected = ["app", &image, "1.1.0", "True", &resolved];
    assert_eq!(policies, [expected.map(str::to_owned).to_vec()]);

    let all = flux(cluster, &["get", "images", "all", "-n", ns])
        .await
        .ok();
    for heading in ["imagerepository/app", "imagepolicy/app"] {
        assert!(all.contains(heading), "{all}");
    }
    let selected = [
        "get",
        "image",
        "policy",
        "-n",
        ns,
        "--status-selector=Ready=true",
    ];
    assert_eq!(flux(cluster, &selected).await.rows(), policies);
}

#[tokio::test(flavor = "multi_thread")]
async fn reconcile_comes_back_with_the_outcome() {
    let (cluster, ns) = &prepared("reconcile").await;
    let image = format!("flux/{ns}");
    cluster.registry.push(&image, &["1.2.0"]).await;
    let said = flux(
        cluster,
        &["reconcile", "image", "repository", "app", "-n", ns],
    )
    .await;
    assert!(said.stderr.contains("scan fetched 4 tags"), "{said:?}");
    assert_eq!(said.code, Some(0), "{said:?}");
    let said = flux(cluster, &["reconcile", "image", "policy", "app", "-n", ns]).await;
    assert!(said.stderr.contains(":1.2.0"), "{said:?}");
    assert_eq!(said.code, Some(0), "{said:?}");

    let said = flux(cluster, &["events", "--for=ImagePolicy/app", "-n", ns])
        .await
        .ok();
    for part in [
        "ImagePolicy/app",
        "ImageRepository/app",
        "resolved to 1.2.0",
    ] {
        assert!(said.contains(part), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn suspend_and_resume_do_what_they_say() {
    let (cluster, ns) = &prepared("suspend").await;
    for kind in ["repository", "policy"] {
        flux(cluster, &["suspend", "image", kind, "app", "-n", ns])
            .await
            .ok();
        let refused = flux(cluster, &["reconcile", "image", kind, "app", "-n", ns]).await;
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(
            refused.stderr.contains("resource is suspended"),
            "{refused:?}"
        );
        let said = flux(cluster, &["resume", "image", kind, "app", "-n", ns]).await;
        assert_eq!(said.code, Some(0), "{said:?}");
        flux(cluster, &["reconcile", "image", kind, "app", "-n", ns])
            .await
            .ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn create_waits_until_it_is_ready_and_export_gives_it_back() {
    let (cluster, ns) = &prepared("create").await;
    let image = format!("--image={}", cluster.registry.image(&format!("flux/{ns}")));
    let create = [
        "create",
        "image",
        "repository",
        "new",
        "--interval=1h",
        "-n",
        ns,
    ];
    created(&flux(cluster, &[&create[..], &[&image]].concat()).await);
    let create = [
        "create",
        "image",
        "policy",
        "new",
        "--image-ref=new",
        "-n",
        ns,
    ];
    created(&flux(cluster, &[&create[..], &["--select-semver=2.x"]].concat()).await);
    let policy = get(cluster, &["imagepolicy", "new", "-n", ns]).await;
    assert_eq!(policy["status"]["latestRef"]["tag"], "2.0.0");

    let export = ["export", "image", "policy", "new", "-n", ns];
    let exported = flux(cluster, &export).await.ok();
    for line in ["kind: ImagePolicy", "range: 2.x"] {
        assert!(exported.contains(line), "{exported}");
    }
    flux(
        cluster,
        &["delete", "image", "policy", "new", "-n", ns, "--silent"],
    )
    .await
    .ok();
}

#[track_caller]
fn created(said: &Said) {
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.stderr.contains("reconciliation completed"), "{said:?}");
}

/// A fault that only a person can mend ends the wait with its message, not with the deadline.
#[tokio::test(flavor = "multi_thread")]
async fn reconcile_ends_at_once_on_what_is_wrong_for_good() {
    let Shared { cluster, .. } = Shared::get().await;
    let ns = &cluster.namespace("wrong").await;
    let manifest = pair(cluster, ns, "app", "flux/wrong:1.0.0", "1.x");
    cluster.apply(&manifest).await;
    let said = flux(
        cluster,
        &["reconcile", "image", "repository", "app", "-n", ns],
    )
    .await;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stderr.contains("should not include a tag"), "{said:?}");
}

/// So does a refusal of the registry's, when it has come often enough to be believed.
#[tokio::test(flavor = "multi_thread")]
async fn reconcile_ends_soon_on_what_the_registry_does_not_know() {
    let Shared { cluster, .. } = Shared::get().await;
    let ns = &cluster.namespace("unpushed").await;
    let manifest = pair(cluster, ns, "app", "flux/unpushed", "1.x");
    cluster.apply(&manifest).await;
    let reconcile = ["reconcile", "image", "repository", "app", "-n", ns];
    let said = flux(cluster, &[&reconcile[..], &["--timeout=3m"]].concat()).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stderr.contains("scan failed"), "{said:?}");
    assert!(!said.stderr.contains("deadline"), "{said:?}");
}
