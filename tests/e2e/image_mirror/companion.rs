//! Mirrors beside a Flux that works (played by kubectl, which writes what Flux writes): they follow its scans and its
//! elections, and nothing of Flux's is written.

use std::time::Instant;

use serde_json::{Value, json};

use super::{apply, get, mirror, policy, repository, says};
use crate::companion::{HOME, ITS_OWN, USER};
use crate::harness::ControlPlane;
use crate::mirror::yard::{Kind, Registry};
use crate::rights::kubeconfig_of_service_account;

async fn writes(cluster: &ControlPlane, ns: &str, object: &str, status: Value) {
    let patch = json!({ "status": status }).to_string();
    let args = ["patch", object, "-n", ns, "--subresource=status"];
    let args = [&args[..], &["--type=merge", "-p", &patch]].concat();
    cluster.kubectl(&args).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn mirrors_follow_flux_s_scans_and_elections_and_write_nothing_of_its_own() {
    let cluster = ControlPlane::start().await;
    cluster.apply(&cluster.kustomize("deploy").await).await;
    let destination = Registry::start(Kind::Distribution).await.unwrap();
    let ns = &cluster.namespace("beside").await;
    cluster.registry.push("beside/app", &["1.0.0"]).await;
    let image = &cluster.registry.image("beside/app");
    let scanned = async |revision: &str, count: usize| {
        let result =
            json!({ "revision": revision, "tagCount": count, "scanTime": "2026-05-01T12:00:00Z" });
        let status = json!({ "canonicalImageName": image, "lastScanResult": result });
        writes(&cluster, ns, "imagerepository/app", status).await;
    };
    let elected = async |tag: &str| {
        let status = json!({ "latestRef": { "name": image, "tag": tag } });
        writes(&cluster, ns, "imagepolicy/app", status).await;
    };
    let followed = json!({
        "tags": { "imagePolicyRefs": [{ "name": "app" }] },
        "destinations": [{ "name": "there", "registry": destination.address, "repositoryTemplate": "elected" }],
    });
    let objects = [
        repository(ns, "app", image),
        policy(ns, "app", "*", None),
        mirror(ns, "all", "app", &destination.address, json!({})),
        mirror(ns, "elected", "app", "", followed),
    ];
    apply(&cluster, &objects).await;
    scanned("1", 1).await;
    elected("1.0.0").await;

    let kubeconfig = kubeconfig_of_service_account(&cluster, HOME, "tagscope").await;
    let launch = cluster.tagscope().kubeconfig(kubeconfig);
    let program = launch.args(["--companion"]).start().await;
    let mut program = program.unwrap_or_else(|log| panic!("it did not start:\n{log}"));
    says(&cluster, ns, "all", "1/1").await;
    says(&cluster, ns, "elected", "1/1").await;

    cluster.registry.push("beside/app", &["1.1.0"]).await;
    let begin = Instant::now();
    scanned("2", 2).await;
    says(&cluster, ns, "all", "2/2").await;
    eprintln!("copied {:?} after Flux's scan", begin.elapsed());
    assert_eq!(
        destination.tags("elected").await,
        ["1.0.0"],
        "not elected yet"
    );
    elected("1.1.0").await;
    crate::harness::eventually(crate::world::SOON, "it is elected and copied", || async {
        let tags = destination.tags("elected").await;
        tags.contains(&"1.1.0".to_owned())
            .then_some(())
            .ok_or_else(|| format!("{tags:?}"))
    })
    .await;
    says(&cluster, ns, "elected", "1/1").await;
    destination.check(&["beside/app", "elected"]).await.unwrap();
    let of_flux = get(&cluster, ns, &["imagerepository", "app"])
        .await
        .unwrap();
    assert_eq!(of_flux["status"]["lastScanResult"]["revision"], "2");

    assert!(program.terminate().await.success(), "{}", program.log());
    let requests = cluster.requests_of(USER);
    let own: Vec<&str> = [&ITS_OWN[..], &["imagemirrors", "leases", "configmaps"]].concat();
    let mut foreign = Vec::new();
    for event in &requests {
        let object = &event["objectRef"];
        let (verb, resource) = (
            &event["verb"],
            object["resource"].as_str().unwrap_or_default(),
        );
        let is_read = ["get", "head", "list", "watch"].contains(&verb.as_str().unwrap());
        // Events are told of mirrors, and of nothing else.
        if !is_read && !own.contains(&resource) && resource != "events" {
            foreign.push(format!("{verb} {}", event["requestURI"]));
        }
    }
    assert!(foreign.is_empty(), "{foreign:#?}");
    let events = get(&cluster, ns, &["events"]).await.unwrap();
    for event in events["items"].as_array().unwrap() {
        assert_eq!(event["involvedObject"]["kind"], "ImageMirror", "{event}");
    }
}
