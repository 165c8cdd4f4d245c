//! In imagerepo-mirror's place, by its flags, beside a Flux that kubectl plays: one of two copies, the other takes over, neither
//! does while imagerepo-mirror's Lease is renewed, and of Flux's kinds nothing is written.

use serde_json::{Value, json};

use crate::harness::{ControlPlane, Tagscope, eventually};
use crate::leaders::{Somebody, prepare};
use crate::world::SOON;

const LEASE: &str = "imagerepo-mirror.oscar-romeu.io";
const OURS: &str = "tagscope-mirror";

/// Everything in one registry, below a path of its own.
fn arguments(cluster: &ControlPlane) -> Vec<String> {
    let destination = cluster.registry.image("copies");
    [
        "--companion",
        "--enable-leader-election",
        "--leader-election-lease-duration=6s",
        "--leader-election-renew-deadline=4s",
        "--leader-election-retry-period=1s",
        "--workers=2",
    ]
    .map(str::to_owned)
    .into_iter()
    .chain([format!("--destination-registry={destination}")])
    .collect()
}

async fn start(cluster: &ControlPlane, somebody: &Somebody, args: &[String]) -> Tagscope {
    let launch = cluster.tagscope().kubeconfig(&somebody.kubeconfig);
    let program = launch.args(args.iter().map(String::as_str)).start().await;
    program.unwrap_or_else(|log| panic!("tagscope did not start:\n{log}"))
}

/// An ImageRepository that Flux has scanned.
async fn scanned(cluster: &ControlPlane, name: &str, image: &str, revision: &str) {
    let image = cluster.registry.image(image);
    let object = json!({
        "apiVersion": "image.toolkit.fluxcd.io/v1", "kind": "ImageRepository",
        "metadata": { "name": name, "namespace": "apps" }, "spec": { "image": image, "interval": "1h" },
    });
    cluster.apply(&object.to_string()).await;
    let status = json!({ "status": {
        "canonicalImageName": image, "observedExclusionList": ["^.*\\.sig$"],
        "lastScanResult": { "revision": revision, "tagCount": 1, "scanTime": "2026-05-01T12:00:00Z" },
    } });
    let object = format!("imagerepository/{name}");
    let patch = [
        "patch",
        &object,
        "-n",
        "apps",
        "--subresource=status",
        "--type=merge",
        "-p",
    ];
    let status = status.to_string();
    let patch = [&patch[..], &[&status]].concat();
    cluster.kubectl(&patch).await.ok();
}

async fn copied(cluster: &ControlPlane, name: &str, tags: &[&str]) {
    let url = format!(
        "http://{}/v2/copies/{name}/tags/list",
        cluster.registry.address
    );
    eventually(SOON, &format!("{tags:?} of {name} are copied"), || async {
        let answer = reqwest::get(&url)
            .await
            .map_err(|error| error.to_string())?;
        let found: Value = answer.json().await.map_err(|error| error.to_string())?;
        let mut there: Vec<String> =
            serde_json::from_value(found["tags"].clone()).unwrap_or_default();
        there.sort();
        if there == tags {
            Ok(())
        } else {
            Err(found.to_string())
        }
    })
    .await;
}

async fn holder(cluster: &ControlPlane, name: &str) -> String {
    let get = ["get", "lease", name, "-n", "tagscope-system", "-o", "json"];
    let lease: Value = serde_json::from_str(&cluster.kubectl(&get).await.ok()).unwrap();
    lease["spec"]["holderIdentity"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

async fn may_copy(program: &Tagscope) -> bool {
    let line = format!("leader_election_master_status{{name=\"{LEASE}\"}} 1");
    program.scrape().await.lines().any(|found| found == line)
}

#[tokio::test(flavor = "multi_thread")]
async fn imagerepo_mirror_s_flags_copy_beside_flux_and_never_two_at_once() {
    let cluster = &prepare().await;
    let [ann, bob] = ["ann", "bob"].map(|name| Somebody::new(cluster, "tagscope-system", name));
    let (ann, bob) = (ann.await, bob.await);
    let args = arguments(cluster);
    cluster.registry.push("team/app", &["1.0.0"]).await;
    scanned(cluster, "app", "team/app", "1").await;
    let mut one = start(cluster, &ann, &args).await;
    copied(cluster, "app", &["1.0.0"]).await;
    let two = start(cluster, &bob, &args).await;
    assert!(may_copy(&one).await && !may_copy(&two).await);
    assert_eq!(
        holder(cluster, OURS).await.is_empty(),
        holder(cluster, LEASE).await.is_empty()
    );

    // A name that is taken: the later one is refused, and the log of who copies names both.
    cluster.registry.push("other/app", &["9.0.0"]).await;
    scanned(cluster, "late", "other/app", "1").await;
    eventually(SOON, "the later one is refused", || async {
        let log = one.log();
        let told = |line: &&str| {
            line.contains("'apps/app'") && line.contains("copies/app") && line.contains("late")
        };
        log.lines().find(told).map(drop).ok_or("nothing is told")
    })
    .await;
    copied(cluster, "app", &["1.0.0"]).await;

    // The other takes over, and copies what is new.
    one.kill();
    cluster.registry.push("team/app", &["1.1.0"]).await;
    scanned(cluster, "app", "team/app", "2").await;
    copied(cluster, "app", &["1.0.0", "1.1.0"]).await;
    assert!(may_copy(&two).await);

    // imagerepo-mirror starts in its own namespace.
    let create = ["create", "namespace", "imagerepo-mirror-system"];
    cluster.kubectl(&create).await.ok();
    let now = jiff::Timestamp::now();
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": { "name": LEASE, "namespace": "imagerepo-mirror-system" },
        "spec": { "holderIdentity": "mirror-0", "leaseDurationSeconds": 3600, "renewTime": format!("{now:.6}") },
    });
    cluster.apply(&lease.to_string()).await;
    eventually(SOON, "nothing is copied beside it", || async {
        let log = two.log();
        let stopped = log.contains("Another program copies these images") && !may_copy(&two).await;
        if stopped { Ok(()) } else { Err("it goes on") }
    })
    .await;
    cluster.registry.push("team/app", &["1.2.0"]).await;
    scanned(cluster, "app", "team/app", "3").await;
    eventually(SOON, "the tag is served", || async {
        let metrics = two.scrape().await;
        let is_it = |line: &&str| line.starts_with("tagscope_tags{") && line.ends_with(" 3");
        metrics
            .lines()
            .find(is_it)
            .map(drop)
            .ok_or("there are not three")
    })
    .await;
    copied(cluster, "app", &["1.0.0", "1.1.0"]).await;
    let delete = ["delete", "lease", LEASE, "-n", "imagerepo-mirror-system"];
    cluster.kubectl(&delete).await.ok();
    copied(cluster, "app", &["1.0.0", "1.1.0", "1.2.0"]).await;

    for somebody in [&ann, &bob] {
        let requests = cluster.requests_of(&somebody.user);
        let written: Vec<String> = requests
            .iter()
            .filter(|event| {
                !["get", "head", "list", "watch"].contains(&event["verb"].as_str().unwrap())
            })
            .filter(|event| {
                let object = &event["objectRef"];
                object["apiGroup"] == "image.toolkit.fluxcd.io" || object["resource"] == "events"
            })
            .map(|event| format!("{} {}", event["verb"], event["requestURI"]))
            .collect();
        assert!(written.is_empty(), "{written:#?}");
    }
}
