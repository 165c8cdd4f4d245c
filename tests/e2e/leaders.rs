//! Two programs for the same objects: at no moment do both write, and one takes over from the other.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::harness::{ControlPlane, Tagscope, eventually};
use crate::rights::kubeconfig_of_service_account;
use crate::world::{SOON, World};

/// An election that is quick enough for a test.
const QUICK: [&str; 4] = [
    "--enable-leader-election",
    "--leader-election-lease-duration=6s",
    "--leader-election-renew-deadline=4s",
    "--leader-election-retry-period=1s",
];
const LEASE: &str = "image-reflector-controller-leader-election";

/// Somebody who may do everything, and whom the audit log tells from others.
pub(crate) struct Somebody {
    pub(crate) user: String,
    pub(crate) kubeconfig: PathBuf,
}

impl Somebody {
    pub(crate) async fn new(cluster: &ControlPlane, namespace: &str, name: &str) -> Self {
        let create = ["create", "serviceaccount", name, "-n", namespace];
        cluster.kubectl(&create).await.ok();
        let subject = format!("--serviceaccount={namespace}:{name}");
        let bind = ["create", "clusterrolebinding", name, &subject];
        let bind = [&bind[..], &["--clusterrole=cluster-admin"]].concat();
        cluster.kubectl(&bind).await.ok();
        Self {
            user: format!("system:serviceaccount:{namespace}:{name}"),
            kubeconfig: kubeconfig_of_service_account(cluster, namespace, name).await,
        }
    }

    /// When each status was written that this one wrote, as the API server's clock has it.
    fn writes(&self, cluster: &ControlPlane) -> Vec<String> {
        let requests = cluster.requests_of(&self.user);
        let writes = requests.iter().filter(|event| {
            event["objectRef"]["apiGroup"] == "image.toolkit.fluxcd.io"
                && !["get", "list", "watch"].contains(&event["verb"].as_str().unwrap())
        });
        let received = writes.map(|event| event["requestReceivedTimestamp"].as_str().unwrap());
        let mut received: Vec<String> = received.map(str::to_owned).collect();
        received.dedup();
        received
    }
}

/// Who wrote, in the order of time, without repetitions.
fn reigns(cluster: &ControlPlane, all: &[(&str, &Somebody)]) -> Vec<String> {
    let mut writes: Vec<(String, &str)> = Vec::new();
    for (name, somebody) in all {
        let of_one = somebody.writes(cluster);
        writes.extend(of_one.into_iter().map(|at| (at, *name)));
    }
    writes.sort();
    let mut reigns: Vec<String> = writes
        .into_iter()
        .map(|(_, name)| name.to_owned())
        .collect();
    reigns.dedup();
    reigns
}

pub(crate) async fn prepare() -> ControlPlane {
    let cluster = ControlPlane::start().await;
    cluster.apply(&cluster.definitions().await).await;
    for namespace in ["flux-system", "tagscope-system", "apps"] {
        cluster
            .kubectl(&["create", "namespace", namespace])
            .await
            .ok();
    }
    cluster
}

/// A repository that is scanned all the time, and its policy.
async fn busy_objects(cluster: &ControlPlane) {
    cluster.registry.push("lead/app", &["1.0.0"]).await;
    let image = cluster.registry.image("lead/app");
    cluster
        .apply(&format!(
            "apiVersion: image.toolkit.fluxcd.io/v1\nkind: ImageRepository\nmetadata: {{name: app, namespace: apps}}\n\
             spec: {{image: \"{image}\", interval: 1s}}\n---\n\
             apiVersion: image.toolkit.fluxcd.io/v1\nkind: ImagePolicy\nmetadata: {{name: app, namespace: apps}}\n\
             spec: {{imageRepositoryRef: {{name: app}}, policy: {{semver: {{range: '*'}}}}}}\n"
        ))
        .await;
}

async fn elects(cluster: &ControlPlane, tag: &str) {
    eventually(SOON, &format!("{tag} is elected"), || async {
        let get = ["get", "imagepolicy", "app", "-n", "apps", "-o", "json"];
        let object = cluster.kubectl(&get).await.probe()?;
        let object: Value = serde_json::from_str(&object).unwrap();
        let status = &object["status"];
        if status["latestRef"]["tag"] == tag {
            Ok(())
        } else {
            Err(status.to_string())
        }
    })
    .await;
}

async fn secure_status(program: &Tagscope, path: &str) -> Result<u16, reqwest::Error> {
    let insecure = reqwest::Client::builder()
        .tls_danger_accept_invalid_certs(true)
        .build()?;
    let url = format!("https://127.0.0.1:{}{path}", program.secure_port);
    Ok(insecure.get(url).send().await?.status().as_u16())
}

async fn leads(program: &Tagscope) -> bool {
    let line = format!("leader_election_master_status{{name=\"{LEASE}\"}} 1");
    program.scrape().await.lines().any(|found| found == line)
}

async fn start(cluster: &ControlPlane, somebody: &Somebody, args: &[&str]) -> Tagscope {
    let launch = cluster.tagscope().kubeconfig(&somebody.kubeconfig);
    let program = launch.args(args.iter().copied()).start().await;
    program.unwrap_or_else(|log| panic!("tagscope did not start:\n{log}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn one_leads_the_other_stands_by_and_they_take_over_from_each_other() {
    let cluster = &prepare().await;
    let [ann, bob] = ["ann", "bob"].map(|name| Somebody::new(cluster, "flux-system", name));
    let (ann, bob) = (ann.await, bob.await);
    let args = [&QUICK[..], &["--leader-election-namespace=flux-system"]].concat();
    busy_objects(cluster).await;
    let mut one = start(cluster, &ann, &args).await;
    elects(cluster, "1.0.0").await;
    // Ready, as Flux's standby is; but it serves nothing.
    let mut two = start(cluster, &bob, &args).await;
    eventually(SOON, "the standby's secure port is up", || async {
        match secure_status(&two, "/readyz").await {
            Ok(500) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let tags = "/apis/tags.tagscope.dev/v1alpha1/imagetags";
    assert_eq!(secure_status(&two, tags).await.unwrap(), 503);
    assert!(leads(&one).await && !leads(&two).await);

    cluster.registry.push("lead/app", &["1.1.0"]).await;
    elects(cluster, "1.1.0").await;
    one.kill();
    cluster.registry.push("lead/app", &["1.2.0"]).await;
    elects(cluster, "1.2.0").await;
    assert!(leads(&two).await);
    eventually(SOON, "it serves now", || async {
        match secure_status(&two, "/readyz").await {
            Ok(200) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;

    one.restart().await.unwrap();
    cluster.registry.push("lead/app", &["1.3.0"]).await;
    elects(cluster, "1.3.0").await;
    assert!(two.terminate().await.success(), "{}", two.log());
    let get = ["get", "lease", LEASE, "-n", "flux-system", "-o", "json"];
    let lease: Value = serde_json::from_str(&cluster.kubectl(&get).await.ok()).unwrap();
    assert_eq!(
        lease["spec"]["leaseTransitions"].as_u64().map(|n| n >= 1),
        Some(true),
        "{lease}"
    );
    cluster.registry.push("lead/app", &["1.4.0"]).await;
    elects(cluster, "1.4.0").await;
    assert!(one.terminate().await.success(), "{}", one.log());
    assert_eq!(
        reigns(cluster, &[("ann", &ann), ("bob", &bob)]),
        ["ann", "bob", "ann"],
        "at no moment did two write"
    );
}

/// What runs in flux-system holds Flux's Lease as Flux does; what runs in tagscope-system stands for no election.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_from_another_namespace_while_fluxs_lease_is_renewed() {
    let cluster = &prepare().await;
    let flux = Somebody::new(cluster, "flux-system", "reflector").await;
    let ours = Somebody::new(cluster, "tagscope-system", "ours").await;
    let args = [&QUICK[..], &["--runtime-namespace=flux-system"]].concat();
    busy_objects(cluster).await;
    let mut reflector = start(cluster, &flux, &args).await;
    elects(cluster, "1.0.0").await;
    let mut program = start(cluster, &ours, &[]).await;
    let line = "tagscope_another_controller 1";
    assert!(program.scrape().await.lines().any(|found| found == line));
    let log = program.log();
    let told: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("Another controller works on these objects"))
        .collect();
    assert_eq!(told.len(), 1, "{log}");
    assert!(
        told[0].contains(&format!("flux-system/{LEASE}")) && told[0].contains("--companion"),
        "{log}"
    );
    cluster.registry.push("lead/app", &["1.1.0"]).await;
    elects(cluster, "1.1.0").await;
    assert_eq!(ours.writes(cluster), [""; 0]);

    // Scaled to zero.
    assert!(reflector.terminate().await.success(), "{}", reflector.log());
    cluster.registry.push("lead/app", &["1.2.0"]).await;
    elects(cluster, "1.2.0").await;
    // Scaled up again, by mistake.
    reflector.restart().await.unwrap();
    eventually(SOON, "ours has stopped", || async {
        let metrics = program.scrape().await;
        let stopped = metrics.lines().any(|found| found == line);
        stopped.then_some(()).ok_or("it still acts")
    })
    .await;
    cluster.registry.push("lead/app", &["1.3.0"]).await;
    elects(cluster, "1.3.0").await;
    // Killed: its Lease has to expire first.
    reflector.kill();
    cluster.registry.push("lead/app", &["1.4.0"]).await;
    elects(cluster, "1.4.0").await;
    assert!(program.terminate().await.success(), "{}", program.log());
    assert_eq!(
        reigns(cluster, &[("flux", &flux), ("ours", &ours)]),
        ["flux", "ours", "flux", "ours"],
        "at no moment did two write"
    );
}

/// As `deploy/components/flux-lease` has it: with the rights of `deploy/base`, its own, and no others.
#[tokio::test(flavor = "multi_thread")]
async fn fluxs_lease_is_held_from_another_namespace_by_the_component_s_rights() {
    let cluster = &prepare().await;
    cluster.apply(&cluster.kustomize("deploy/base").await).await;
    for file in [
        "apiservice/base/delegated-auth.yaml",
        "deploy/components/flux-lease/rights.yaml",
    ] {
        let file = format!("{}/{file}", env!("CARGO_MANIFEST_DIR"));
        cluster.kubectl(&["apply", "-f", &file]).await.ok();
    }
    let (namespace, name) = ("tagscope-system", "tagscope");
    let ours = Somebody {
        user: format!("system:serviceaccount:{namespace}:{name}"),
        kubeconfig: kubeconfig_of_service_account(cluster, namespace, name).await,
    };
    busy_objects(cluster).await;
    let args = [&QUICK[..], &["--leader-election-namespace=flux-system"]].concat();
    let mut program = start(cluster, &ours, &args).await;
    elects(cluster, "1.0.0").await;
    assert!(leads(&program).await, "{}", program.log());
    let get = ["get", "lease", LEASE, "-n", "flux-system", "-o", "json"];
    let lease: Value = serde_json::from_str(&cluster.kubectl(&get).await.ok()).unwrap();
    assert!(
        lease["spec"]["holderIdentity"]
            .as_str()
            .is_some_and(|holder| !holder.is_empty()),
        "{lease}"
    );
    assert!(program.terminate().await.success(), "{}", program.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_loses_the_lease_stops_scanning_and_goes_on_serving() {
    let world = World::start(&QUICK).await;
    let cluster = &world.cluster;
    let ns = &cluster.namespace("loses").await;
    cluster.registry.push("loses/app", &["1.0.0"]).await;
    world.scan(ns, "app", "loses/app").await;
    // Somebody else writes himself into it, and renews for a while.
    let patch = |second: u32| {
        let renewed = format!("2030-01-01T00:00:{second:02}.000000Z");
        json!({ "spec": { "holderIdentity": "other", "renewTime": renewed } }).to_string()
    };
    let take = async |second| {
        let patch = patch(second);
        let patch = ["patch", "lease", LEASE, "--type=merge", "-p", &patch];
        let patch = [&patch[..], &["-n", "tagscope-system"]].concat();
        cluster.kubectl(&patch).await.ok();
    };
    let mut second = 0;
    eventually(SOON, "it leads no more", || {
        second += 1;
        let take = take(second);
        async {
            take.await;
            if leads(&world.program).await {
                Err("it still leads")
            } else {
                Ok(())
            }
        }
    })
    .await;
    let scans = |metrics: String| {
        let scans = metrics
            .lines()
            .filter(|line| line.starts_with("tagscope_scans_total"));
        scans.map(str::to_owned).collect::<Vec<_>>()
    };
    let before = scans(world.program.scrape().await);
    cluster.registry.push("loses/app", &["1.1.0"]).await;
    world.request_scan(ns, "app").await;
    for _ in 0..3 {
        second += 1;
        take(second).await;
        let tags = cluster
            .kubectl(&["get", "imagetags", "-n", ns, "-o", "name"])
            .await;
        assert_eq!(tags.ok().trim(), "imagetag.tags.tagscope.dev/app:1.0.0");
    }
    assert_eq!(scans(world.program.scrape().await), before);
    // The other one is silent: what was asked for meanwhile is done.
    eventually(SOON, "it has it again, and scans", || async {
        let get = ["get", "imagetag", "app:1.1.0", "-n", ns];
        cluster.kubectl(&get).await.probe()
    })
    .await;
    assert!(leads(&world.program).await);
}
