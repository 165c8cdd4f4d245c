//! Flux's controller runs, stops, and tagscope starts in its place; then back. Nobody who looks at the objects, their
//! events or what they elect can tell.
//!
//! Two controllers run before and after, one for each form that Flux keeps tags in; their revisions differ. They come back
//! to empty volumes, as in Flux's Deployment: on one that it left, Flux's controller elects from the tags of then.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{
    HOME, KINDS, Reflector, USER, all_ready, get, ground, its_kubeconfig, pair, writes_since,
};
use crate::harness::{ControlPlane, Tagscope, eventually};
use crate::world::SOON;

const FORMS: [(&str, Option<&str>); 2] = [("badger", None), ("files", Some("FluxStorage=true"))];
/// Of each form.
const PAIRS: usize = 2;

#[tokio::test(flavor = "multi_thread")]
async fn tagscope_takes_over_from_flux_and_gives_back() {
    let cluster = &ground().await;
    for (ns, _) in FORMS {
        cluster.kubectl(&["create", "namespace", ns]).await.ok();
        for n in 0..PAIRS {
            let image = format!("{ns}/app{n}");
            let tags = ["1.0.0", "1.1.0", "2.0.0", "latest"];
            cluster.registry.push(&image, &tags).await;
            let manifests = pair(cluster, ns, &format!("app{n}"), &image, "1.x");
            cluster.apply(&manifests).await;
        }
    }

    let reflectors = start_reflectors(cluster, "before").await;
    for (ns, _) in FORMS {
        all_ready(cluster, ns).await;
    }
    stop(reflectors).await;
    let by_flux = objects(cluster).await;
    for object in &by_flux {
        let finalizers = &object["metadata"]["finalizers"];
        assert_eq!(finalizers, &json!(["finalizers.fluxcd.io"]), "{object}");
    }

    let seen = cluster.requests_of(USER).len();
    let mut program = start_tagscope(cluster).await;
    scanned_again(cluster, &by_flux).await;
    // Once it has ended in order, all that a scan brings about has happened.
    assert!(program.terminate().await.success(), "{}", program.log());
    let writes = writes_since(cluster, seen);
    let (scans, others): (Vec<_>, Vec<_>) = writes
        .iter()
        .filter(|write| !write.contains("leases") && !write.contains("accessreviews"))
        .partition(|write| *write == "patch imagerepositories/status");
    assert!(scans.len() <= FORMS.len() * PAIRS, "{writes:?}");
    assert_eq!(others, [""; 0], "no event, no policy, no finalizer");
    let by_us = objects(cluster).await;
    same_elections(&by_flux, &by_us);
    for (before, after) in by_flux.iter().zip(&by_us) {
        assert_eq!(
            before["metadata"]["finalizers"],
            after["metadata"]["finalizers"]
        );
        assert_eq!(before["spec"], after["spec"]);
    }
    program
        .restart()
        .await
        .unwrap_or_else(|log| panic!("{log}"));

    // The finalizer of Flux's goes with its object, and a new push is elected.
    let deleted = ["delete", KINDS, "app1", "-n", "badger", "--timeout=30s"];
    cluster.kubectl(&deleted).await.ok();
    cluster.registry.push("badger/app0", &["1.2.0"]).await;
    let now = ["reconcile.fluxcd.io/requestedAt=now", "-n", "badger"];
    let annotate = [&["annotate", "imagerepository/app0"], &now[..]].concat();
    cluster.kubectl(&annotate).await.ok();
    let elected = || async {
        let policy = get(cluster, &["imagepolicy", "app0", "-n", "badger"]).await;
        let is_it = policy["status"]["latestRef"]["tag"] == "1.2.0";
        is_it
            .then_some(())
            .ok_or_else(|| policy["status"].to_string())
    };
    eventually(SOON, "a push is elected", elected).await;
    assert!(program.terminate().await.success(), "{}", program.log());

    let by_us = objects(cluster).await;
    let reflectors = start_reflectors(cluster, "after").await;
    scanned_again(cluster, &by_us).await;
    for (ns, _) in FORMS {
        all_ready(cluster, ns).await;
    }
    stop(reflectors).await;
    same_elections(&by_us, &objects(cluster).await);
}

async fn start_reflectors(cluster: &ControlPlane, when: &str) -> Vec<Reflector> {
    let mut reflectors = Vec::new();
    for (ns, features) in FORMS {
        reflectors.push(Reflector::start(cluster, ns, &volume(cluster, ns, when), features).await);
    }
    reflectors
}

async fn stop(reflectors: Vec<Reflector>) {
    for reflector in reflectors {
        reflector.stop().await;
    }
}

/// With the arguments that Flux's Deployment is released with, on the volume that its controller leaves behind.
async fn start_tagscope(cluster: &ControlPlane) -> Tagscope {
    let flags = [
        "--events-addr=",
        "--watch-all-namespaces",
        "--log-level=info",
        "--log-encoding=json",
        "--enable-leader-election",
    ];
    let program = cluster
        .tagscope()
        .kubeconfig(its_kubeconfig(cluster).await)
        .env("RUNTIME_NAMESPACE", HOME)
        .storage(volume(cluster, FORMS[0].0, "before"))
        .args(flags)
        .start()
        .await;
    program.unwrap_or_else(|log| panic!("it did not start:\n{log}"))
}

fn volume(cluster: &ControlPlane, ns: &str, when: &str) -> PathBuf {
    cluster.logs.with_file_name(format!("volume-{ns}-{when}"))
}

async fn objects(cluster: &ControlPlane) -> Vec<Value> {
    let mut list = get(cluster, &[KINDS, "-A"]).await;
    match list["items"].take() {
        Value::Array(items) => items,
        other => panic!("no list: {other}"),
    }
}

/// Waits until all repositories were scanned after those in `before` were.
async fn scanned_again(cluster: &ControlPlane, before: &[Value]) {
    eventually(SOON, "all are scanned again", || async {
        let now = objects(cluster).await;
        let old = before.iter().filter(|then| {
            let scan = |object: &Value| object["status"]["lastScanResult"]["scanTime"].clone();
            then["kind"] == "ImageRepository"
                && now.iter().any(|now| {
                    now["metadata"]["uid"] == then["metadata"]["uid"] && scan(now) == scan(then)
                })
        });
        let old: Vec<_> = old.map(|object| &object["metadata"]["name"]).collect();
        if old.is_empty() {
            Ok(())
        } else {
            Err(format!("not yet: {old:?}"))
        }
    })
    .await;
}

/// Every object is Ready, and every policy elects what it did.
fn same_elections(before: &[Value], after: &[Value]) {
    assert_eq!(before.len(), after.len());
    for (before, after) in before.iter().zip(after) {
        let latest = |object: &Value| object["status"]["latestRef"].clone();
        assert_eq!(latest(before), latest(after), "{after}");
        let conditions = after["status"]["conditions"].as_array().unwrap();
        let ready = conditions
            .iter()
            .find(|one| one["type"] == "Ready")
            .unwrap();
        assert_eq!(ready["status"], "True", "{after}");
    }
}
