//! Companion mode beside a Flux that works (played by kubectl, which writes what Flux writes): its scans and elections
//! are followed, and kube-apiserver's own counters know of no write but Flux's.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use crate::harness::{ControlPlane, Tagscope, eventually};
use crate::rights::kubeconfig_of_service_account;
use crate::world::SOON;

pub(crate) const HOME: &str = "tagscope-system";
pub(crate) const USER: &str = "system:serviceaccount:tagscope-system:tagscope";
const GROUP: &str = "image.toolkit.fluxcd.io";

/// What companion mode may write: reviews, what makes the API server's certificate trusted, and the Lease of who copies images.
pub(crate) const ITS_OWN: [&str; 6] = [
    "tokenreviews",
    "subjectaccessreviews",
    "selfsubjectaccessreviews",
    "secrets",
    "apiservices",
    "leases",
];

/// Somebody who writes what Flux writes, and counts it.
struct Flux<'a> {
    cluster: &'a ControlPlane,
    ns: String,
    image: String,
    writes: AtomicU64,
}

impl Flux<'_> {
    async fn write(&self, args: &[&str], input: &str) {
        let args = [args, &["-n", &self.ns]].concat();
        self.cluster.kubectl_with_input(&args, input).await.ok();
        self.writes.fetch_add(1, Ordering::SeqCst);
    }

    async fn create(&self, kind: &str, metadata: Value, spec: Value) {
        let object = json!({
            "apiVersion": format!("{GROUP}/v1"), "kind": kind, "metadata": metadata, "spec": spec,
        });
        self.write(&["create", "-f", "-"], &object.to_string())
            .await;
    }

    async fn patch_status(&self, object: &str, status: Value) {
        let patch = json!({ "status": status }).to_string();
        let args = [
            "patch",
            object,
            "--subresource=status",
            "--type=merge",
            "-p",
            &patch,
        ];
        self.write(&args, "").await;
    }

    async fn scanned(&self, revision: &str, count: usize) {
        let status = json!({
            "canonicalImageName": self.image,
            "observedExclusionList": ["^.*\\.sig$"],
            "lastScanResult": {
                "revision": revision, "tagCount": count, "scanTime": "2026-05-01T12:00:00Z",
            },
        });
        self.patch_status("imagerepository/app", status).await;
    }

    async fn elected(&self, tag: &str) {
        let status = json!({ "latestRef": { "name": self.image, "tag": tag } });
        self.patch_status("imagepolicy/app", status).await;
    }

    /// Waits until these tags are served, and this one is elected.
    async fn is_served(&self, tags: &[&str], elected: &str) {
        let what = format!("{tags:?} are served, {elected} elected");
        eventually(SOON, &what, || async {
            let list = |more: &'static [&'static str]| async move {
                let args = [&["get", "imagetags", "-n", &self.ns, "-o", "json"], more].concat();
                let list: Value = serde_json::from_str(&self.cluster.kubectl(&args).await.probe()?)
                    .map_err(|error| error.to_string())?;
                let items = list["items"].as_array().cloned().unwrap_or_default();
                let names = items
                    .iter()
                    .map(|item| item["tag"].as_str().unwrap_or_default());
                Ok::<_, String>(names.map(str::to_owned).collect::<Vec<_>>())
            };
            let all = list(&[]).await?;
            let selected = list(&["-l", "tags.tagscope.dev/selected=true"]).await?;
            let expected: Vec<&str> = Some(elected)
                .filter(|tag| !tag.is_empty())
                .into_iter()
                .collect();
            if all == tags && selected == expected {
                Ok(())
            } else {
                Err(format!("{all:?}, elected {selected:?}"))
            }
        })
        .await;
    }
}

/// A TagQuery of this spec, answered.
async fn query(cluster: &ControlPlane, ns: &str, spec: Value) -> Value {
    let object = json!({
        "apiVersion": "tags.tagscope.dev/v1alpha1", "kind": "TagQuery", "spec": spec,
    });
    let args = ["create", "-n", ns, "-f", "-", "-o", "json"];
    let said = cluster.kubectl_with_input(&args, &object.to_string()).await;
    let answer: Value = serde_json::from_str(&said.ok()).unwrap();
    answer["status"].clone()
}

/// How many writes of Flux's kinds kube-apiserver has counted.
async fn counted_writes(cluster: &ControlPlane) -> u64 {
    let metrics = cluster.kubectl(&["get", "--raw", "/metrics"]).await.ok();
    let group = format!("group=\"{GROUP}\"");
    let reads = ["GET", "LIST", "WATCH"].map(|verb| format!("verb=\"{verb}\""));
    metrics
        .lines()
        .filter(|line| line.starts_with("apiserver_request_total{") && line.contains(&group))
        .filter(|line| !reads.iter().any(|read| line.contains(read)))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
        .sum()
}

/// How many scans the program has counted since it started.
async fn scans(program: &Tagscope) -> u64 {
    let metrics = program.scrape().await;
    let scans = metrics
        .lines()
        .filter(|line| line.starts_with("tagscope_scans_total{"));
    scans
        .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_a_working_flux_everything_is_followed_and_nothing_written() {
    let cluster = ControlPlane::start().await;
    cluster.apply(&cluster.kustomize("deploy").await).await;
    let ns = cluster.namespace("companion").await;
    let flux = Flux {
        cluster: &cluster,
        image: cluster.registry.image("companion/app"),
        ns,
        writes: AtomicU64::new(0),
    };
    let before = counted_writes(&cluster).await;
    cluster.registry.push("companion/app", &["1.0.0"]).await;
    let held = json!({ "name": "app", "finalizers": ["finalizers.fluxcd.io"] });
    let spec = json!({ "image": flux.image, "interval": "1m", "insecure": true });
    flux.create("ImageRepository", held, spec).await;
    let governed = json!({ "name": "app", "annotations": { "tags.tagscope.dev/hold": "0.1.0" } });
    let spec = json!({
        "imageRepositoryRef": { "name": "app" }, "policy": { "semver": { "range": "*" } },
    });
    flux.create("ImagePolicy", governed, spec).await;
    flux.scanned("1", 1).await;
    flux.elected("1.0.0").await;

    // With all the rights of a full installation: what it does not write it leaves alone by itself.
    let kubeconfig = kubeconfig_of_service_account(&cluster, HOME, "tagscope").await;
    let launch = cluster.tagscope().kubeconfig(kubeconfig);
    let program = launch.args(["--companion"]).start().await;
    let mut program = program.unwrap_or_else(|log| panic!("it did not start:\n{log}"));
    let local = cluster.kustomize("apiservice/local").await;
    cluster
        .apply(&local.replace("8443", &program.secure_port.to_string()))
        .await;
    flux.is_served(&["1.0.0"], "1.0.0").await;

    cluster.registry.push("companion/app", &["1.1.0"]).await;
    flux.scanned("2", 2).await;
    flux.elected("1.1.0").await;
    flux.is_served(&["1.0.0", "1.1.0"], "1.1.0").await;
    // Queries say what this program would elect, whatever Flux's controller knows of annotations.
    let policy = json!({ "imagePolicyRef": { "name": "app" }, "explain": true });
    let held = query(&cluster, &flux.ns, policy).await;
    let by_reason = json!({ "NotHeld": 2 });
    assert_eq!(held["counts"]["rejected"], by_reason, "{held}");
    let free = json!({ "imagePolicyRef": { "name": "app" }, "governance": {} });
    let free = query(&cluster, &flux.ns, free).await;
    assert_eq!(free["latest"]["tag"], "1.1.0", "{free}");
    assert_eq!(
        (&free["complete"], &free["error"]),
        (&json!(true), &Value::Null)
    );
    let draft = json!({
        "imageRepositoryRef": { "name": "app" }, "policy": { "semver": { "range": "<1.1.0" } },
    });
    let draft = query(&cluster, &flux.ns, draft).await;
    assert_eq!(draft["latest"]["tag"], "1.0.0", "{draft}");
    let absent = json!({ "imagePolicyRef": { "name": "absent" } });
    let absent = query(&cluster, &flux.ns, absent).await;
    assert_eq!(absent["error"]["reason"], "PolicyNotFound", "{absent}");

    let after_two = scans(&program).await;
    assert_eq!(after_two, 2, "first sight, and one scan after Flux's");

    // From here on both know the same list.
    let args = [
        "get",
        "tagset",
        "app",
        "-n",
        &flux.ns,
        "-o",
        "jsonpath={.revision}",
    ];
    let revision = cluster.kubectl(&args).await.ok();
    flux.scanned(&revision, 2).await;
    assert!(program.terminate().await.success(), "{}", program.log());
    program.restart().await.unwrap();
    flux.is_served(&["1.0.0", "1.1.0"], "1.1.0").await;
    assert_eq!(scans(&program).await, 0, "nothing changed meanwhile");

    flux.write(&["delete", "imagepolicy/app"], "").await;
    flux.is_served(&["1.0.0", "1.1.0"], "").await;
    flux.write(&["delete", "imagerepository/app", "--wait=false"], "")
        .await;
    flux.is_served(&[], "").await;
    let finalizers = [
        "get",
        "imagerepository/app",
        "-n",
        &flux.ns,
        "-o",
        "jsonpath={.metadata.finalizers}",
    ];
    let finalizers = cluster.kubectl(&finalizers).await.ok();
    assert_eq!(
        finalizers, r#"["finalizers.fluxcd.io"]"#,
        "Flux's to take off"
    );

    let log = program.log();
    let notices: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("Companion mode: "))
        .collect();
    assert_eq!(notices.len(), 2, "one a start: {log}");
    assert!(
        notices[0].contains(r#""governed_policies":1"#),
        "{}",
        notices[0]
    );

    let leases = ["get", "leases", "-n", HOME, "-o", "name"];
    let leases = cluster.kubectl(&leases).await.ok();
    let foreign = leases
        .lines()
        .find(|lease| *lease != "lease.coordination.k8s.io/tagscope-mirror");
    assert_eq!(foreign, None, "none of Flux's");
    let counted = counted_writes(&cluster).await - before;
    assert_eq!(
        counted,
        flux.writes.load(Ordering::SeqCst),
        "all were Flux's own"
    );
    assert!(program.terminate().await.success(), "{}", program.log());
    let requests = cluster.requests_of(USER);
    assert!(!requests.is_empty(), "the audit log knows {USER}");
    let written: Vec<String> = requests
        .iter()
        .filter(|event| {
            !["get", "head", "list", "watch"].contains(&event["verb"].as_str().unwrap())
        })
        .filter(|event| {
            let resource = event["objectRef"]["resource"].as_str().unwrap_or_default();
            !ITS_OWN.contains(&resource)
        })
        .map(|event| format!("{} {}", event["verb"], event["requestURI"]))
        .collect();
    assert!(written.is_empty(), "{written:#?}");
}
