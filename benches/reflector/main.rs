//! The whole job against a real control plane: what it costs, beside the same job done by image-reflector-controller
//! and beside the floor that the API server sets.
//!
//! Counts are the API server's own and the registry's own, and exact. Times are of the machine that prints them.
//! `TAGSCOPE_BENCH_REPOSITORIES` and `TAGSCOPE_BENCH_TAGS` make it smaller; the column of the original holds for 1,000
//! of each only. See docs/performance.md.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
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
mod report;
mod seen;
mod thin;

use std::fs;
use std::time::Duration;

use e2e::harness::{ControlPlane, Tagscope, Writes, eventually};
use it::fake_registry::{FakeRegistry, Route};
use report::Report;
use seen::Watch;
use thin::{KINDS, Script, Thin, name};
use tokio::time::Instant;

/// The resources that a controller of ours writes to.
const WRITTEN: [&str; 3] = ["imagerepositories", "imagepolicies", "events"];

/// So long nothing may be written for the writing to be over.
const QUIET: Duration = Duration::from_secs(2);

const PATIENCE: Duration = Duration::from_mins(5);

/// How often the way from a request to an election is gone.
const PUSHES: usize = 40;

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

fn scale(variable: &str) -> usize {
    std::env::var(variable).map_or(1000, |value| value.parse().unwrap())
}

async fn run() {
    let count = scale("TAGSCOPE_BENCH_REPOSITORIES");
    let fake = FakeRegistry::start().await;
    let tags = versions(scale("TAGSCOPE_BENCH_TAGS"));
    for n in 0..count {
        fake.add_repository(
            &format!("team/{}", name(n)),
            tags.iter().map(String::as_str),
        );
    }
    let host = fake.plain_host();
    let cluster = ControlPlane::start().await;
    cluster.apply(&cluster.kustomize("deploy/crds").await).await;
    for namespace in ["tagscope-system", "warm", "floor", "bench"] {
        cluster
            .kubectl(&["create", "namespace", namespace])
            .await
            .ok();
    }
    let mut program = cluster.tagscope().start().await.unwrap();
    cluster.install(&program).await;
    let available = [
        "wait",
        "--for=condition=Available",
        "apiservice/v1alpha1.tags.tagscope.dev",
        "--timeout=30s",
    ];
    cluster.kubectl(&available).await.ok();

    let script = warm_up(&cluster, &host, count.min(50)).await;
    program.terminate().await;
    let floor = floor(&cluster, &script, &host, count).await;
    fs::remove_dir_all(&program.storage).unwrap();
    program.restart().await.unwrap();

    let mut bench = Bench {
        cluster,
        fake,
        program,
        count,
        tags: tags.len(),
    };
    let mut report = Report::new(count, tags.len(), floor);
    let mut watch = Watch::start(&bench.cluster, "bench").await;
    bench.first(&mut report, &mut watch).await;
    bench.unchanged(&mut report, &mut watch).await;
    bench.pushes(&mut report, &mut watch).await;
    bench.restart_kept(&mut report, &watch).await;
    bench.restart_empty(&mut report, &watch).await;
    println!("{report}");
}

/// `count` different versions.
fn versions(count: usize) -> Vec<String> {
    let all = (0..count).map(|n| format!("v{}.{}.{}", n / 2500, n / 50 % 50, n % 50));
    all.collect()
}

/// Has a few pairs worked on, so that nobody pays for a first time, and answers what was written for one.
async fn warm_up(cluster: &ControlPlane, host: &str, count: usize) -> Script {
    let mut watch = Watch::start(cluster, "warm").await;
    thin::create_all(cluster, "warm", host, count).await;
    watch
        .until("the first pairs are Ready", |seen| {
            seen.ready.len() == 2 * count
        })
        .await;
    cluster.settled(&WRITTEN, QUIET, PATIENCE).await;
    let client = Thin::new(cluster).await;
    let script = Script::record(&client, "warm", 0).await;
    clear(cluster, "warm").await;
    script
}

/// What thin clients need for the same writes.
pub(crate) struct Floor {
    /// From the first create to the last status.
    pub(crate) first: Duration,
    /// From each request to the election that it brings.
    pub(crate) pushes: Vec<Duration>,
}

/// The time that the writes alone take.
async fn floor(cluster: &ControlPlane, script: &Script, host: &str, count: usize) -> Floor {
    let before = cluster.writes().await.to(&WRITTEN);
    let start = Instant::now();
    thin::floor(cluster, script, "floor", host, count).await;
    let took = start.elapsed();
    let wrote = cluster.writes().await.to(&WRITTEN).since(&before);
    eprintln!("floor: {:.2} s, {wrote}", took.as_secs_f64());
    let pushes = floor_of_pushes(cluster, count).await;
    clear(cluster, "floor").await;
    Floor {
        first: took,
        pushes,
    }
}

/// What the API server makes of the writes that lie between a request and its election, one after the other, until a
/// watch has brought the last.
async fn floor_of_pushes(cluster: &ControlPlane, count: usize) -> Vec<Duration> {
    let client = Thin::new(cluster).await;
    let mut watch = Watch::start(cluster, "floor").await;
    let mut times = Vec::new();
    for push in 0..PUSHES {
        let (policy, tag) = (name(push % count), format!("v900.0.{push}"));
        let start = Instant::now();
        request(&client, "floor", push % count, &tag).await;
        for (plural, status) in [
            (
                "imagerepositories",
                format!(r#"{{"lastHandledReconcileAt":"{tag}"}}"#),
            ),
            (
                "imagepolicies",
                format!(r#"{{"latestRef":{{"tag":"{tag}"}}}}"#),
            ),
        ] {
            let path = format!("{KINDS}/floor/{plural}/{policy}/status");
            client
                .patch(&path, format!(r#"{{"status":{status}}}"#))
                .await;
        }
        watch
            .until("the tag is told", |seen| {
                seen.elected.get(&policy) == Some(&tag)
            })
            .await;
        times.push(start.elapsed());
    }
    times
}

/// Takes everything of `namespace` away.
async fn clear(cluster: &ControlPlane, namespace: &str) {
    let client = Thin::new(cluster).await;
    for plural in ["imagepolicies", "imagerepositories"] {
        client
            .delete(&format!("{KINDS}/{namespace}/{plural}"))
            .await;
    }
    client
        .delete(&format!("/api/v1/namespaces/{namespace}/events"))
        .await;
}

struct Bench {
    cluster: ControlPlane,
    fake: FakeRegistry,
    program: Tagscope,
    /// How many pairs.
    count: usize,
    /// How many tags each repository has.
    tags: usize,
}

impl Bench {
    async fn writes(&self) -> Writes {
        self.cluster.writes().await.to(&WRITTEN)
    }

    async fn settled_since(&self, before: &Writes) -> Writes {
        let settled = self.cluster.settled(&WRITTEN, QUIET, PATIENCE).await;
        settled.since(before)
    }

    /// Everything is created, scanned, elected and told for the first time.
    async fn first(&self, report: &mut Report, watch: &mut Watch) {
        let before = self.writes().await;
        let process = Process::of(&self.program);
        self.fake.clear_requests();
        let start = Instant::now();
        let ready = async {
            watch
                .until("all are Ready", |seen| seen.ready.len() == 2 * self.count)
                .await;
            start.elapsed()
        };
        let host = self.fake.plain_host();
        let create = async {
            thin::create_all(&self.cluster, "bench", &host, self.count).await;
            start.elapsed()
        };
        let (created, ready) = tokio::join!(create, ready);
        let writes = self.settled_since(&before).await;
        let after = Process::of(&self.program);
        report.first(
            created,
            ready,
            &writes,
            self.fake.count(Route::List),
            self.fake.requests().len(),
        );
        report.process(after.cpu - process.cpu, &after);
    }

    /// Asked again, while nothing has changed.
    async fn unchanged(&self, report: &mut Report, watch: &mut Watch) {
        let count = self.count.min(100);
        for again in ["first", "second"] {
            let before = self.writes().await;
            self.fake.clear_requests();
            let client = Thin::new(&self.cluster).await;
            for n in 0..count {
                request(&client, "bench", n, again).await;
            }
            watch
                .until("the requests are handled", |seen| {
                    let handled = seen.handled.values();
                    handled.filter(|token| *token == again).count() == count
                })
                .await;
            let mut writes = self.settled_since(&before).await;
            writes = writes.without("imagerepositories", "", "PATCH");
            report.unchanged(again, count, self.fake.requests().len(), &writes);
        }
    }

    /// A tag is pushed, a scan is asked for, and the policy elects it.
    async fn pushes(&self, report: &mut Report, watch: &mut Watch) {
        let client = Thin::new(&self.cluster).await;
        let mut times = Vec::new();
        for push in 0..PUSHES {
            let (n, tag) = (push % self.count, format!("v900.0.{push}"));
            self.fake.push(&format!("team/{}", name(n)), &tag);
            let start = Instant::now();
            request(&client, "bench", n, &tag).await;
            let policy = name(n);
            watch
                .until("the pushed tag is elected", |seen| {
                    seen.elected.get(&policy) == Some(&tag)
                })
                .await;
            times.push(start.elapsed());
        }
        self.cluster.settled(&WRITTEN, QUIET, PATIENCE).await;
        report.pushes(times);
    }

    /// Killed, and started again with all it had.
    async fn restart_kept(&mut self, report: &mut Report, watch: &Watch) {
        let served = self.restart(false).await;
        let (writes, requests, left) = self.after_restart(watch, 0).await;
        report.restart_kept(served, requests, &writes, left);
    }

    /// Killed, and started again with nothing.
    async fn restart_empty(&mut self, report: &mut Report, watch: &Watch) {
        let served = self.restart(true).await;
        let (writes, requests, left) = self.after_restart(watch, self.count).await;
        report.restart_empty(served, requests, &writes, left);
    }

    /// The time until all tags are served again.
    async fn restart(&mut self, lose_store: bool) -> Duration {
        let before = self.writes().await;
        self.program.kill();
        self.fake.clear_requests();
        if lose_store {
            fs::remove_dir_all(&self.program.storage).unwrap();
        }
        BEFORE.lock().unwrap().replace(before);
        let tags = self.count * self.tags + PUSHES;
        let start = Instant::now();
        self.program.respawn();
        let client = self.direct().await;
        eventually(PATIENCE, "all tags are served", || async {
            let answer = client
                .request_text(
                    http::Request::get("/apis/tags.tagscope.dev/v1alpha1/imagetags?limit=1")
                        .body(Vec::new())
                        .unwrap(),
                )
                .await
                .map_err(|error| error.to_string())?;
            let list: serde_json::Value =
                serde_json::from_str(&answer).map_err(|error| error.to_string())?;
            let items = list["items"].as_array().map_or(0, Vec::len);
            let remaining = list["metadata"]["remainingItemCount"].as_u64().unwrap_or(0);
            let served = items + usize::try_from(remaining).unwrap();
            if served == tags {
                Ok(())
            } else {
                Err(format!("{served} of {tags}"))
            }
        })
        .await;
        start.elapsed()
    }

    /// What a restart led to: writes, requests to the registry, objects that were not Ready for a time.
    async fn after_restart(&mut self, watch: &Watch, lists: usize) -> (Writes, usize, usize) {
        self.program.ready().await.unwrap();
        eventually(PATIENCE, "everything was looked at", || async {
            let scrape = self.program.scrape().await;
            let looked = reconciles(&scrape);
            if looked.iter().all(|&n| n >= self.count) && self.fake.count(Route::List) >= lists {
                Ok(())
            } else {
                Err(format!(
                    "{looked:?}, {} lists",
                    self.fake.count(Route::List)
                ))
            }
        })
        .await;
        let before = BEFORE.lock().unwrap().take().unwrap();
        let writes = self.settled_since(&before).await;
        let left = watch.now().left_ready.len();
        (writes, self.fake.requests().len(), left)
    }

    /// A client of the program itself, since the API server looks only now and then whether it is back.
    async fn direct(&self) -> kube::Client {
        let kubeconfig = kube::config::Kubeconfig::read_from(&self.cluster.kubeconfig).unwrap();
        let options = kube::config::KubeConfigOptions::default();
        let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .unwrap();
        config.cluster_url = format!("https://127.0.0.1:{}", self.program.secure_port)
            .parse()
            .unwrap();
        config.accept_invalid_certs = true;
        // It is asked again at once, whatever it says while it starts.
        config.default_retry = false;
        kube::Client::try_from(config).unwrap()
    }
}

/// The counters before the restart that is measured.
static BEFORE: std::sync::Mutex<Option<Writes>> = std::sync::Mutex::new(None);

/// Asks for a scan of the n-th repository, as `flux reconcile` does.
async fn request(client: &Thin, namespace: &str, n: usize, token: &str) {
    let path = format!("{KINDS}/{namespace}/imagerepositories/{}", name(n));
    let body = format!(
        r#"{{"metadata":{{"annotations":{{"reconcile.fluxcd.io/requestedAt":"{token}"}}}}}}"#
    );
    client.patch(&path, body).await;
}

/// How many reconciles of either kind have ended.
fn reconciles(scrape: &str) -> [usize; 2] {
    ["imagerepository", "imagepolicy"].map(|controller| {
        let start = format!("controller_runtime_reconcile_total{{controller=\"{controller}\"");
        let lines = scrape.lines().filter(|line| line.starts_with(&start));
        lines
            .map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap())
            .sum()
    })
}

/// What a process has cost so far.
pub(crate) struct Process {
    /// Seconds, of user and system.
    cpu: f64,
    /// MB, now.
    resident: f64,
    /// MB, ever.
    peak: f64,
}

impl Process {
    fn of(program: &Tagscope) -> Self {
        let read =
            |file: &str| fs::read_to_string(format!("/proc/{}/{file}", program.id())).unwrap();
        let stat = read("stat");
        // The name may hold anything; what follows it does not.
        let fields: Vec<_> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        let ticks = |at: usize| fields[at].parse::<f64>().unwrap();
        let status = read("status");
        let size = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            let kibibytes: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
            kibibytes * 1024.0 / 1e6
        };
        Self {
            // Linux counts a hundredth of a second as one, everywhere.
            cpu: (ticks(11) + ticks(12)) / 100.0,
            resident: size("VmRSS:"),
            peak: size("VmHWM:"),
        }
    }
}
