//! Companion mode beside Flux's own controller, both at work on the same objects: one scans, elects and writes, the other
//! follows and writes nothing, which kube-apiserver's counters and its audit log show.

use serde_json::Value;

use super::{CONTROLLER, Reflector, all_ready, flux, get, ground, pair};
use crate::companion::{HOME, ITS_OWN, USER};
use crate::harness::{ControlPlane, Tagscope, eventually};
use crate::rights::kubeconfig_of_service_account;
use crate::world::SOON;

/// What both could write.
const SHARED: [&str; 3] = ["imagerepositories", "imagepolicies", "events"];

/// Tagscope as it is installed beside Flux: everything but the definitions.
async fn install(cluster: &ControlPlane) -> Tagscope {
    for part in ["deploy/base", "apiservice/base"] {
        cluster.apply(&cluster.kustomize(part).await).await;
    }
    let kubeconfig = kubeconfig_of_service_account(cluster, HOME, "tagscope").await;
    let launch = cluster.tagscope().kubeconfig(kubeconfig);
    let program = launch.args(["--companion"]).start().await;
    let program = program.unwrap_or_else(|log| panic!("it did not start:\n{log}"));
    let local = cluster.kustomize("apiservice/local").await;
    cluster
        .apply(&local.replace("8443", &program.secure_port.to_string()))
        .await;
    program
}

/// Waits until these tags are served, and this one is elected by the policy `app`.
async fn is_served(cluster: &ControlPlane, ns: &str, tags: &[&str], elected: &str) {
    let what = format!("{tags:?} are served, {elected} elected");
    eventually(SOON, &what, || async {
        let args = ["get", "imagetags", "-n", ns, "-o", "json"];
        let list = cluster.kubectl(&args).await.probe()?;
        let list: Value = serde_json::from_str(&list).map_err(|error| error.to_string())?;
        let items = list["items"].as_array().cloned().unwrap_or_default();
        let names: Vec<_> = items
            .iter()
            .filter_map(|item| item["tag"].as_str())
            .collect();
        let by_app = items
            .iter()
            .filter(|item| item["selectedBy"][0]["name"] == "app")
            .filter_map(|item| item["tag"].as_str());
        if names == tags && by_app.eq([elected]) {
            Ok(())
        } else {
            Err(list.to_string())
        }
    })
    .await;
}

/// What `user` has asked kube-apiserver to write, as `verb URI`.
fn written(cluster: &ControlPlane, user: &str) -> Vec<(String, String)> {
    cluster
        .requests_of(user)
        .iter()
        .filter(|event| {
            let verb = event["verb"].as_str().unwrap();
            !["get", "head", "list", "watch"].contains(&verb)
        })
        .map(|event| {
            let resource = event["objectRef"]["resource"].as_str().unwrap_or_default();
            let what = format!("{} {}", event["verb"], event["requestURI"]);
            (resource.to_owned(), what)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn flux_scans_elects_and_writes_and_tagscope_follows_and_writes_nothing() {
    let cluster = &ground().await;
    let ns = &cluster.namespace("beside").await;
    let image = "beside/app";
    cluster.registry.push(image, &["1.0.0"]).await;
    cluster.apply(&pair(cluster, ns, "app", image, "*")).await;
    let hold = ["imagepolicy/app", "tags.tagscope.dev/hold=1.0.0", "-n", ns];
    cluster
        .kubectl(&[&["annotate"], &hold[..]].concat())
        .await
        .ok();
    let storage = cluster.logs.with_file_name("flux-storage");
    let reflector = Reflector::start(cluster, ns, &storage, None).await;
    let mut program = install(cluster).await;
    all_ready(cluster, ns).await;
    is_served(cluster, ns, &["1.0.0"], "1.0.0").await;

    // Flux is asked to scan. Whatever tagscope's annotation says, Flux elects, and that is what is served.
    for tag in ["1.1.0", "1.2.0"] {
        cluster.registry.push(image, &[tag]).await;
        let scan = ["reconcile", "image", "repository", "app", "-n", ns];
        flux(cluster, &scan).await.ok();
        eventually(SOON, &format!("Flux elects {tag}"), || async {
            let policy = get(cluster, &["imagepolicy", "app", "-n", ns]).await;
            let is_elected = policy["status"]["latestRef"]["tag"] == tag;
            is_elected
                .then_some(())
                .ok_or_else(|| policy["status"].to_string())
        })
        .await;
        let all: Vec<&str> = ["1.0.0", "1.1.0", "1.2.0"]
            .into_iter()
            .take_while(|known| *known <= tag)
            .collect();
        is_served(cluster, ns, &all, tag).await;
    }
    // Both know the same list by the same name.
    let set = get(cluster, &["tagset", "app", "-n", ns]).await;
    let repository = get(cluster, &["imagerepository", "app", "-n", ns]).await;
    let told = &repository["status"]["lastScanResult"];
    assert_eq!(set["revision"], told["revision"]);
    assert_eq!(set["tagCount"], told["tagCount"]);

    // Flux is sent home: what is written from here on nobody else writes. Tagscope starts from nothing meanwhile.
    reflector.stop().await;
    let before = cluster.writes().await;
    program.kill();
    std::fs::remove_dir_all(&program.storage).unwrap();
    program.restart().await.unwrap();
    is_served(cluster, ns, &["1.0.0", "1.1.0", "1.2.0"], "1.2.0").await;
    let since = cluster.writes().await.to(&SHARED).since(&before);
    assert_eq!(since.total(), 0, "{since}");
    assert!(program.terminate().await.success(), "{}", program.log());

    let ours: Vec<String> = written(cluster, USER)
        .into_iter()
        .filter(|(resource, _)| !ITS_OWN.contains(&resource.as_str()))
        .map(|(_, what)| what)
        .collect();
    assert!(ours.is_empty(), "{ours:#?}");
    assert!(!cluster.requests_of(USER).is_empty(), "it is on record");
    let flux_s = format!("system:serviceaccount:flux-system:{CONTROLLER}");
    for resource in SHARED {
        let is_of = |(of, _): &(String, String)| of == resource;
        let count = written(cluster, &flux_s).into_iter().filter(is_of).count();
        assert!(count > 0, "Flux wrote {resource}");
    }
    let log = program.log();
    let notices = log.lines().filter(|line| line.contains("Companion mode: "));
    let notices: Vec<_> = notices.collect();
    assert_eq!(notices.len(), 2, "one a start: {log}");
    let governed = r#""governed_policies":1"#;
    assert!(
        notices.iter().all(|notice| notice.contains(governed)),
        "{notices:?}"
    );
}
