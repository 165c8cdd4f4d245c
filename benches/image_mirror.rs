//! What a large mirror costs against a real control plane: 200 repositories of 50 tags, first everything, then again and
//! again nothing. Requests are counted by the registries themselves, and exact; times are of the machine that prints them.
//!
//! `TAGSCOPE_BENCH_MIRRORED` makes it smaller: that many repositories. See docs/mirroring.md.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "a benchmark prints, and may be blunt"
)]

#[path = "../tests/e2e"]
mod e2e {
    pub(crate) mod harness;
}
#[path = "../tests/it"]
mod it {
    #[allow(
        dead_code,
        unused_imports,
        reason = "the benchmark needs only a part of it"
    )]
    pub(crate) mod fake_registry;
}

use std::time::{Duration, Instant};

use e2e::harness::{ControlPlane, eventually};
use it::fake_registry::{FakeRegistry, Image};
use serde_json::{Value, json};

const TAGS: usize = 50;
const PATIENCE: Duration = Duration::from_mins(10);
const NS: &str = "bench";

/// A cluster with one mirror of everything that is at the source.
struct Bench {
    cluster: ControlPlane,
    source: FakeRegistry,
    destination: FakeRegistry,
    count: usize,
}

fn main() {
    // Fails only when there is a provider already.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(run());
}

async fn run() {
    let count = std::env::var("TAGSCOPE_BENCH_MIRRORED");
    let count = count.map_or(200, |value| value.parse().unwrap());
    let cluster = ControlPlane::start().await;
    cluster.apply(&cluster.kustomize("deploy/crds").await).await;
    for namespace in ["tagscope-system", NS] {
        let create = ["create", "namespace", namespace];
        cluster.kubectl(&create).await.ok();
    }
    let bench = Bench {
        cluster,
        source: FakeRegistry::start().await,
        destination: FakeRegistry::start().await,
        count,
    };
    let mut program = bench.cluster.tagscope().start().await.unwrap();
    bench.cluster.install(&program).await;
    bench.fill().await;
    println!("{count} repositories of {TAGS} tags");
    println!("                       seconds   source   destination");
    let all = count * TAGS;
    let everything = format!("{all}/{all}");

    let begin = bench.begin();
    bench.mirror(&json!({})).await;
    bench
        .until(|status| status["tags"]["summary"] == everything.as_str())
        .await;
    bench.print("first copy", begin);

    let begin = bench.begin();
    let scan = [
        "annotate",
        "imagerepositories",
        "--all",
        "-n",
        NS,
        "reconcile.fluxcd.io/requestedAt=now",
    ];
    bench.cluster.kubectl(&scan).await.ok();
    eventually(PATIENCE, "all are scanned", || async {
        let list = bench.get("imagerepositories").await;
        let handled = list["items"].as_array().unwrap().iter();
        let handled = handled.filter(|one| one["status"]["lastHandledReconcileAt"] == "now");
        let handled = handled.count();
        if handled == count {
            Ok(())
        } else {
            Err(handled)
        }
    })
    .await;
    bench.print("scans, nothing new", begin);

    let begin = bench.begin();
    bench.mirror(&json!({ "bandwidth": "10GiB" })).await;
    bench
        .until(|status| status["observedGeneration"] == 2)
        .await;
    bench.print("the spec changes", begin);

    let begin = bench.begin();
    let look = [
        "annotate",
        "imagemirror/all",
        "-n",
        NS,
        "reconcile.fluxcd.io/requestedAt=now",
    ];
    bench.cluster.kubectl(&look).await.ok();
    bench
        .until(|status| status["lastHandledReconcileAt"] == "now")
        .await;
    bench.print("a look at both", begin);
    assert!(program.terminate().await.success(), "{}", program.log());
}

impl Bench {
    /// The repositories, scanned.
    async fn fill(&self) {
        let mut objects = Vec::new();
        for number in 0..self.count {
            let path = format!("team/app-{number:03}");
            let image = Image::sized(u64::try_from(number).unwrap(), &[10_000]);
            for tag in 0..TAGS {
                self.source.add_image(&path, &format!("1.{tag}.0"), &image);
            }
            let object = json!({
                "apiVersion": "image.toolkit.fluxcd.io/v1", "kind": "ImageRepository",
                "metadata": { "name": format!("app-{number:03}"), "namespace": NS },
                "spec": { "image": self.source.image(&path), "interval": "24h" },
            });
            objects.push(object.to_string());
        }
        self.cluster.apply(&objects.join("\n---\n")).await;
        let wait = [
            "wait",
            "--for=condition=Ready",
            "imagerepositories",
            "--all",
            "-n",
            NS,
        ];
        self.cluster
            .kubectl(&[&wait[..], &["--timeout=300s"]].concat())
            .await
            .ok();
    }

    /// One mirror of all of them, every tag of which may move.
    async fn mirror(&self, rest: &Value) {
        let mut spec = json!({
            "sourceRef": { "selector": {} }, "overwrite": { "mode": "Always" },
            "interval": "24h", "verifyInterval": "48h",
            "destinations": [{
                "name": "there", "registry": self.destination.plain_host(), "repositoryTemplate": "{path}",
            }],
        });
        for (field, value) in rest.as_object().unwrap() {
            spec[field] = value.clone();
        }
        let object = json!({
            "apiVersion": "mirror.tagscope.dev/v1alpha1", "kind": "ImageMirror",
            "metadata": { "name": "all", "namespace": NS }, "spec": spec,
        });
        self.cluster.apply(&object.to_string()).await;
    }

    async fn get(&self, what: &str) -> Value {
        let get = ["get", what, "-n", NS, "-o", "json"];
        serde_json::from_str(&self.cluster.kubectl(&get).await.ok()).unwrap()
    }

    async fn until(&self, holds: impl Fn(&Value) -> bool) {
        eventually(PATIENCE, "the mirror gets there", || async {
            let object = self.get("imagemirror/all").await;
            let status = &object["status"];
            holds(status)
                .then_some(())
                .ok_or_else(|| status["tags"].to_string())
        })
        .await;
    }

    fn begin(&self) -> Instant {
        self.source.clear_requests();
        self.destination.clear_requests();
        Instant::now()
    }

    fn print(&self, step: &str, begin: Instant) {
        let (source, destination) = (
            self.source.requests().len(),
            self.destination.requests().len(),
        );
        println!(
            "{step:<22} {:>8.1} {source:>8} {destination:>13}",
            begin.elapsed().as_secs_f64()
        );
    }
}
