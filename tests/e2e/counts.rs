//! How much is written and asked, exactly: by the API server's own counters and the registry's own log.
//!
//! Every write costs everybody who watches, and every request a registry's patience. A number that grows here is a
//! regression, whatever else stays right.

use std::time::Duration;

use serde_json::Value;

use crate::harness::{ControlPlane, Writes, eventually};
use crate::it::fake_registry::{FakeRegistry, Route};
use crate::world::{SOON, World};

/// Enough to see that a number grows with them.
const PAIRS: usize = 10;

const WRITTEN: [&str; 3] = ["imagerepositories", "imagepolicies", "events"];

/// So long nothing may be written for the writing to be over: longer than anything that is put off on purpose.
const QUIET: Duration = Duration::from_millis(2500);

/// A control plane of its own, since its counters know no users.
struct Counted {
    world: World,
    registry: FakeRegistry,
    namespace: String,
}

fn name(n: usize) -> String {
    format!("pair-{n}")
}

impl Counted {
    async fn start() -> Self {
        let registry = FakeRegistry::start().await;
        for n in 0..PAIRS {
            registry.add_repository(&name(n), ["1.0.0", "1.1.0", "latest"]);
        }
        let world = World::start(&[]).await;
        let namespace = world.cluster.namespace("counts").await;
        Self {
            world,
            registry,
            namespace,
        }
    }

    fn cluster(&self) -> &ControlPlane {
        &self.world.cluster
    }

    async fn writes(&self) -> Writes {
        self.cluster().writes().await.to(&WRITTEN)
    }

    /// What was written since `before`, once nothing more is.
    async fn settled_since(&self, before: &Writes) -> Writes {
        let settled = self.cluster().settled(&WRITTEN, QUIET, SOON).await;
        settled.since(before)
    }

    /// Applies all pairs at once, and waits until all are Ready.
    async fn create(&self) {
        let pairs = (0..PAIRS)
            .map(|n| {
                let (name, image) = (name(n), self.registry.image(&name(n)));
                let namespace = &self.namespace;
                format!(
                    "{{apiVersion: image.toolkit.fluxcd.io/v1, kind: ImageRepository, \
                     metadata: {{name: {name}, namespace: {namespace}}}, \
                     spec: {{image: \"{image}\", interval: 1h}}}}\n---\n\
                     {{apiVersion: image.toolkit.fluxcd.io/v1, kind: ImagePolicy, \
                     metadata: {{name: {name}, namespace: {namespace}}}, \
                     spec: {{imageRepositoryRef: {{name: {name}}}, policy: {{semver: {{range: 1.x}}}}}}}}\n---\n"
                )
            })
            .collect::<Vec<_>>()
            .concat();
        self.cluster().apply(&pairs).await;
        for kind in ["imagerepository", "imagepolicy"] {
            let wait = [
                "wait",
                "--for=condition=Ready",
                kind,
                "--all",
                "-n",
                &self.namespace,
                "--timeout=30s",
            ];
            self.cluster().kubectl(&wait).await.ok();
        }
    }

    /// Every object of a kind.
    async fn objects(&self, kind: &str) -> Vec<Value> {
        let list = self.world.get(&[kind, "-n", &self.namespace]).await;
        list["items"].as_array().unwrap().clone()
    }

    /// Waits until the program has looked at every object once since it was started.
    async fn looked_at_all(&self) {
        eventually(SOON, "every object was looked at", || async {
            let scrape = self.world.program.scrape().await;
            let looked = ["imagerepository", "imagepolicy"].map(|kind| reconciles(&scrape, kind));
            if looked.iter().all(|&n| n >= PAIRS) {
                Ok(())
            } else {
                Err(format!("{looked:?}"))
            }
        })
        .await;
    }
}

/// How many reconciles of a controller have ended.
fn reconciles(scrape: &str, controller: &str) -> usize {
    let start = format!("controller_runtime_reconcile_total{{controller=\"{controller}\"");
    let lines = scrape.lines().filter(|line| line.starts_with(&start));
    lines
        .map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap())
        .sum()
}

fn statuses(objects: &[Value]) -> Vec<&Value> {
    objects.iter().map(|object| &object["status"]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_costs_two_patches_two_events_and_one_list_and_a_kill_costs_nothing() {
    let mut counted = Counted::start().await;
    let pairs = PAIRS as u64;
    let before = counted.writes().await;
    counted.registry.clear_requests();
    counted.create().await;
    let first = counted.settled_since(&before).await;
    for (resource, subresource, verb, expected) in [
        // kubectl's own.
        ("imagerepositories", "", "POST", pairs),
        ("imagepolicies", "", "POST", pairs),
        // Ours: a status each, and an Event each.
        ("imagerepositories", "status", "PATCH", pairs),
        ("imagepolicies", "status", "PATCH", pairs),
        ("events", "", "POST", 2 * pairs),
    ] {
        let count = first.of(resource, subresource, verb);
        assert_eq!(count, expected, "{verb} {resource}/{subresource}: {first}");
    }
    assert_eq!(first.total(), 6 * pairs, "nothing else is written: {first}");
    assert_eq!(counted.registry.count(Route::List), PAIRS, "one list each");
    assert_eq!(counted.registry.requests().len(), PAIRS, "and nothing else");

    // An unchanged scan: somebody asks for each.
    let before = counted.writes().await;
    counted.registry.clear_requests();
    let annotate = [
        "annotate",
        "imagerepository",
        "--all",
        "--overwrite",
        "-n",
        &counted.namespace,
        "reconcile.fluxcd.io/requestedAt=again",
    ];
    counted.cluster().kubectl(&annotate).await.ok();
    eventually(SOON, "the requests are handled", || async {
        let objects = counted.objects("imagerepositories").await;
        let open = objects
            .iter()
            .filter(|object| object["status"]["lastHandledReconcileAt"] != "again")
            .count();
        if open == 0 { Ok(()) } else { Err(open) }
    })
    .await;
    let again = counted.settled_since(&before).await;
    assert_eq!(
        again.of("imagerepositories", "", "PATCH"),
        pairs,
        "kubectl's own: {again}"
    );
    assert_eq!(
        again.of("imagerepositories", "status", "PATCH"),
        pairs,
        "{again}"
    );
    assert_eq!(again.total(), 2 * pairs, "nothing else is written: {again}");
    assert_eq!(counted.registry.requests().len(), PAIRS, "one list each");

    // Pulling the plug, with the store kept.
    let kept = [
        counted.objects("imagerepositories").await,
        counted.objects("imagepolicies").await,
    ];
    let before = counted.writes().await;
    counted.registry.clear_requests();
    counted.world.program.kill();
    counted.world.program.restart().await.unwrap();
    counted.looked_at_all().await;
    let after = counted.settled_since(&before).await;
    assert_eq!(after.total(), 0, "{after}");
    assert_eq!(counted.registry.requests(), [], "no registry was asked");
    assert_eq!(
        kept,
        [
            counted.objects("imagerepositories").await,
            counted.objects("imagepolicies").await,
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_store_costs_one_list_and_one_patch_per_repository_and_no_policy_leaves_ready() {
    let mut counted = Counted::start().await;
    let pairs = PAIRS as u64;
    counted.create().await;
    counted.cluster().settled(&WRITTEN, QUIET, SOON).await;
    let policies = counted.objects("imagepolicies").await;
    let mut watching = counted.cluster().kubectl_following(&[
        "get",
        "imagepolicies",
        "-n",
        &counted.namespace,
        "--watch-only",
        "-o",
        "name",
    ]);
    let before = counted.writes().await;
    counted.registry.clear_requests();
    counted.world.program.kill();
    std::fs::remove_dir_all(&counted.world.program.storage).unwrap();
    counted.world.program.restart().await.unwrap();
    eventually(SOON, "all are scanned again", || async {
        let lists = counted.registry.count(Route::List);
        if lists >= PAIRS { Ok(()) } else { Err(lists) }
    })
    .await;
    counted.looked_at_all().await;
    let after = counted.settled_since(&before).await;
    let patches = after.of("imagerepositories", "status", "PATCH");
    assert!(patches <= pairs, "{after}");
    assert_eq!(
        after.total(),
        patches,
        "no policy and no event is written: {after}"
    );
    assert_eq!(counted.registry.requests().len(), PAIRS, "one list each");
    assert_eq!(
        statuses(&counted.objects("imagepolicies").await),
        statuses(&policies)
    );
    // The policies were all along what they are now.
    assert!(watching.end().is_none(), "kubectl still watches");
    assert_eq!(watching.log(), "", "no policy was touched");
    // Served again, elections included.
    let tags = counted
        .world
        .get(&["imagetags", "-n", &counted.namespace])
        .await;
    assert_eq!(tags["items"].as_array().unwrap().len(), 3 * PAIRS);
}
