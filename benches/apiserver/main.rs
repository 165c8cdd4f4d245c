//! The aggregated API server beside kube-apiserver, which holds custom resources of the same content: the same requests
//! to both, over the same kind of connection, in the same run.
//!
//! Times are of the machine that prints them; compare the two columns, per object. `TAGSCOPE_BENCH_OBJECTS` (20,000) is
//! how many custom resources there are, `TAGSCOPE_BENCH_SERVED` (100,000) how many tags are listed, and
//! `TAGSCOPE_BENCH_HELD` (1,000,000) how many are held for the figures of memory. See docs/performance.md.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "a benchmark prints, and may be blunt"
)]

#[path = "../../tests/e2e"]
mod e2e {
    pub(crate) mod harness;
}
#[path = "../../tests/it"]
mod it {
    #[allow(
        dead_code,
        unused_imports,
        reason = "the benchmark needs only a part of it"
    )]
    pub(crate) mod fake_registry;
}
mod client;
mod cost;
mod fill;
mod floor;
mod load;

use std::time::{Duration, Instant};

use client::Server;
use cost::Process;
use e2e::harness::{ControlPlane, Tagscope};
use floor::Floor;
use it::fake_registry::FakeRegistry;
use load::{Lists, Rate};

pub(crate) const JSON: &str = "application/json";
pub(crate) const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

/// What is listed: the tags, and the custom resources that look like them.
const OURS: &str = "/apis/tags.tagscope.dev/v1alpha1";
const THEIRS: &str = "/apis/bench.tagscope.dev/v1alpha1";

fn main() {
    // Fails only when there is a provider already.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    if floor::is_it() {
        return runtime.block_on(floor::serve());
    }
    runtime.block_on(run());
}

fn scale(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |value| value.parse().unwrap())
}

async fn run() {
    let objects = scale("TAGSCOPE_BENCH_OBJECTS", 20_000);
    let served = scale("TAGSCOPE_BENCH_SERVED", 100_000);
    let held = scale("TAGSCOPE_BENCH_HELD", 1_000_000);
    let fake = FakeRegistry::start().await;
    let cluster = ControlPlane::start().await;
    cluster.apply(&cluster.kustomize("deploy/crds").await).await;
    for namespace in ["tagscope-system", "bench"] {
        cluster
            .kubectl(&["create", "namespace", namespace])
            .await
            .ok();
    }
    let program = cluster.tagscope().start().await.unwrap();
    cluster.install(&program).await;
    cluster.apply(fill::RIGHTS).await;
    cluster.apply(&fill::definition()).await;
    for condition in [
        ["Established", "crd/imagetags.bench.tagscope.dev"],
        ["Available", "apiservice/v1alpha1.tags.tagscope.dev"],
    ] {
        let condition = [
            "wait",
            &format!("--for=condition={}", condition[0]),
            condition[1],
            "--timeout=30s",
        ];
        cluster.kubectl(&condition).await.ok();
    }
    let kube = Server::of_cluster(&cluster);
    let ours = kube.at_port(program.secure_port);

    let started = Instant::now();
    fill::custom_resources(&kube, objects).await;
    eprintln!("{objects} custom resources in {:.0?}", started.elapsed());
    fill::tags(&kube, &ours, &fake, 0..served / 1000).await;

    let bench = Bench {
        cluster,
        program,
        kube,
        ours,
        objects,
        served,
    };
    println!("per object means: time divided by {objects} custom resources and by {served} tags");
    bench.lists().await;
    bench.pages().await;
    bench.kubectl().await;
    bench.gets().await;
    bench.memory(&fake, held).await;
}

struct Bench {
    cluster: ControlPlane,
    program: Tagscope,
    kube: Server,
    ours: Server,
    objects: usize,
    served: usize,
}

impl Bench {
    fn kube_process(&self) -> Process {
        let mark = format!("--audit-log-path={}", self.cluster.logs.display());
        let found = e2e::harness::processes_naming(&mark);
        let line = found
            .iter()
            .find(|line| line.contains("/kube-apiserver "))
            .unwrap();
        Process::of(line.split(' ').next().unwrap().parse().unwrap())
    }

    fn our_process(&self) -> Process {
        Process::of(self.program.id())
    }

    async fn lists(&self) {
        for (name, accept) in [("JSON", JSON), ("Table", TABLE)] {
            let theirs = Lists::of(&self.kube, &format!("{THEIRS}/imagetags"), accept).await;
            let (process, before) = (self.our_process(), self.our_process().cpu());
            let ours = Lists::of(&self.ours, &format!("{OURS}/imagetags"), accept).await;
            println!(
                "LIST as {name}, ours: {:.0} ms of processor time",
                (process.cpu() - before) * 1e3 / load::RUNS as f64
            );
            let proxied = Lists::of(&self.kube, &format!("{OURS}/imagetags"), accept).await;
            let row = |place: &str, lists: &Lists, count: usize| {
                println!(
                    "LIST as {name}, {place}: {count} objects, {:.1} MB, {:.0} ms, first byte {:.2} ms, {:.2} µs per object",
                    lists.bytes as f64 / 1e6,
                    millis(lists.whole),
                    millis(lists.first),
                    micros(lists.whole) / count as f64,
                );
            };
            row("kube-apiserver", &theirs, self.objects);
            row("ours", &ours, self.served);
            row("ours through kube-apiserver", &proxied, self.served);
            println!(
                "LIST as {name}: kube-apiserver takes {:.1} times as long per object",
                micros(theirs.whole)
                    / self.objects as f64
                    / (micros(ours.whole) / self.served as f64)
            );
        }
        let path = format!("{OURS}/imagetags");
        let packed = Lists::packed(&self.ours, &path).await;
        let theirs = Lists::packed(&self.kube, &format!("{THEIRS}/imagetags")).await;
        for (name, lists) in [("kube-apiserver", theirs), ("ours", packed)] {
            println!(
                "LIST with Accept-Encoding: gzip, {name}: {} , {:.1} MB, {:.0} ms",
                lists.encoding,
                lists.bytes as f64 / 1e6,
                millis(lists.whole)
            );
        }
    }

    async fn pages(&self) {
        for (name, server, process, path) in [
            ("kube-apiserver", &self.kube, self.kube_process(), THEIRS),
            ("ours", &self.ours, self.our_process(), OURS),
        ] {
            let path = format!("{path}/imagetags?limit=500");
            let before = process.cpu();
            let (pages, took) = load::pages(server, &path, 100).await;
            println!(
                "page of 500, {name}: {:.2} ms, {:.2} ms of the server's processor time ({pages} pages)",
                millis(took) / pages as f64,
                (process.cpu() - before) * 1e3 / pages as f64,
            );
        }
    }

    async fn kubectl(&self) {
        for (name, resource, count) in [
            (
                "kube-apiserver",
                "imagetags.bench.tagscope.dev",
                self.objects,
            ),
            ("ours", "imagetags.tags.tagscope.dev", self.served),
        ] {
            for chunks in ["--chunk-size=0", "--chunk-size=500"] {
                let start = Instant::now();
                let out = self.cluster.kubectl(&["get", resource, "-A", chunks]).await;
                let lines = out.ok().lines().count() - 1;
                assert_eq!(lines, count);
                println!(
                    "kubectl get -A {chunks}, {name}: {count} objects, {:.2} s",
                    start.elapsed().as_secs_f64()
                );
            }
        }
    }

    async fn gets(&self) {
        let tag = format!(
            "{OURS}/namespaces/bench/imagetags/{}:{}",
            fill::repository(0),
            fill::version(7)
        );
        let resource = format!(
            "{THEIRS}/namespaces/bench/imagetags/{}.{}",
            fill::repository(0),
            fill::version(7)
        );
        let (kube, ours) = (self.kube_process(), self.our_process());
        let floor = Floor::start();
        let least = floor.beside(&self.ours);
        for (name, server, process, path) in [
            ("kube-apiserver", &self.kube, kube, &resource),
            ("ours", &self.ours, ours, &tag),
            (
                "kube-apiserver over HTTP/2",
                &self.kube.over_http2(),
                kube,
                &resource,
            ),
            ("ours over HTTP/2", &self.ours.over_http2(), ours, &tag),
            ("hyper and rustls alone", &least, floor.process(), &tag),
            (
                "hyper and rustls alone over HTTP/2",
                &least.over_http2(),
                floor.process(),
                &tag,
            ),
        ] {
            let Rate {
                requests,
                took,
                cpu,
            } = load::gets(server, path, &process, 64, Duration::from_secs(5)).await;
            println!(
                "GET of one, 64 connections, {name}: {:.0} a second, {:.0} per second of the server's processor time",
                requests as f64 / took.as_secs_f64(),
                requests as f64 / cpu,
            );
        }
    }

    async fn memory(&self, fake: &FakeRegistry, held: usize) {
        let kube = self.kube_process();
        println!(
            "memory, kube-apiserver: {:.0} MB with {} custom resources",
            kube.resident(),
            self.objects
        );
        fill::tags(
            &self.kube,
            &self.ours,
            fake,
            self.served / 1000..held / 1000,
        )
        .await;
        // Scans write statuses and Events after their tags are served.
        self.cluster
            .settled(
                &["imagerepositories", "events"],
                Duration::from_secs(2),
                Duration::from_mins(5),
            )
            .await;
        let process = self.our_process();
        let idle = process.resident();
        process.forget_peak();
        let start = Instant::now();
        let bytes = load::many_lists(&self.ours, &format!("{OURS}/imagetags"), 20).await;
        println!(
            "memory, ours: {idle:.1} MB with {held} tags held; {:.1} MB at most while 20 lists of all ran ({:.1} GB in {:.1} s)",
            process.peak(),
            bytes as f64 / 1e9,
            start.elapsed().as_secs_f64()
        );
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
