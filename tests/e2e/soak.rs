//! `make soak`: churn, cut connections, kills of every component and certificates that change, for as long as one likes;
//! then every client has to know the truth, and the server has to be as small as it was.
//!
//! In the first part the server itself is killed again and again. In the second it lives, and what it uses is compared
//! each minute with what it used when that part began.

mod certificates;
mod usage;

use std::env;
use std::time::Duration;

use tokio::time::Instant;

use crate::clients::churn::Churn;
use crate::clients::program::{Following, objects, summary};
use crate::clients::{route, watchers};
use crate::harness::{ControlPlane, eventually};
use crate::world::{SOON, World};
use certificates::Certificates;
use usage::Usage;

/// Whom the control plane's launcher can restart.
const COMPONENTS: [&str; 4] = [
    "kube-apiserver",
    "etcd",
    "kube-controller-manager",
    "registry",
];
const RETRYING: usize = 50;
const MINUTE: Duration = Duration::from_mins(1);

/// Everything that is running.
struct Soak {
    world: World,
    client: kube::Client,
    churn: Churn,
    certificates: Certificates,
    /// In the real registry, which is restarted too.
    real: (String, u64),
    namespace: String,
    disturbances: u64,
    steps: u64,
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "twenty minutes of churn and kills: `make soak` runs it"]
async fn clients_know_the_truth_and_nothing_leaks() {
    let minutes = env::var("TAGSCOPE_SOAK_MINUTES").map_or(20, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("TAGSCOPE_SOAK_MINUTES={text} is no number of minutes"))
    });
    let mut soak = Soak::start().await;
    let idle = Usage::of(&soak.world.program).await;
    eprintln!("without clients, in the beginning: {idle}");
    let retrying = format!("-retrying={RETRYING}");
    let backend = format!("-backend=127.0.0.1:{}", soak.world.program.secure_port);
    let flags = [&*retrying, "-copies=3", "-patience=3m", &*backend];
    let mut followers = Following::start(&soak.world.cluster, &flags, &soak.namespace).await;
    let proxy = followers.backend.clone().unwrap();
    route(&soak.world, proxy.rsplit(':').next().unwrap()).await;
    followers.go().await;
    followers.ready().await;

    let part = MINUTE * minutes / 2;
    soak.run(&mut followers, part, true, None).await;
    // From here on it lives. What it holds for later is to be filled before it is measured: see `usage`.
    let warm = MINUTE.min(part / 4);
    soak.run(&mut followers, warm, false, None).await;
    let first = Usage::of(&soak.world.program).await;
    eprintln!("at the beginning of the second part: {first}");
    soak.run(
        &mut followers,
        part.saturating_sub(warm),
        false,
        Some(&first),
    )
    .await;

    let settled = followers.settle().await;
    eprintln!("in the end: {}", summary(&settled));
    eprintln!("{} steps, {} disturbances", soak.steps, soak.disturbances);
    followers.end().await;
    eventually(SOON, "nobody watches", || async {
        let metrics = soak.world.program.scrape().await;
        match watchers(&metrics) {
            0 => Ok(()),
            left => Err(format!("{left} still do")),
        }
    })
    .await;
    let left = Usage::of(&soak.world.program).await;
    eprintln!("without clients, in the end: {left}");
    left.compare_idle(&idle);
    let end = soak.world.program.terminate().await;
    assert!(end.success(), "{end}");
    let log = soak.world.program.log();
    assert!(!log.contains("panicked"), "it panicked");
}

impl Soak {
    async fn start() -> Self {
        let cluster = ControlPlane::start().await;
        cluster.apply(&cluster.definitions().await).await;
        let home = ["create", "namespace", "tagscope-system"];
        cluster.kubectl(&home).await.ok();
        let certificates = Certificates::new(cluster.logs.parent().unwrap()).await;
        let files = certificates.flags();
        let program = cluster
            .tagscope()
            .args(["--suspect-confirmations=1"])
            .args(files.iter().map(String::as_str))
            .start()
            .await;
        let program = program.unwrap_or_else(|log| panic!("tagscope did not start:\n{log}"));
        cluster.install(&program).await;
        certificates.publish(&cluster).await;
        let available = [
            "wait",
            "--for=condition=Available",
            "apiservice/v1alpha1.tags.tagscope.dev",
            "--timeout=60s",
        ];
        cluster.kubectl(&available).await.ok();
        let world = World {
            cluster,
            settled: [0; 2],
            program,
        };
        let namespace = world.cluster.namespace("soak").await;
        let real = world.cluster.namespace("real").await;
        world.cluster.registry.push("soak/app", &["0.0.0"]).await;
        world.scan(&real, "app", "soak/app").await;
        let client = world.cluster.client().await;
        let mut churn = Churn::new(&namespace).await;
        churn.begin(&client).await.unwrap();
        churn.settle(&client).await;
        Self {
            world,
            client,
            churn,
            certificates,
            real: (real, 1),
            namespace,
            disturbances: 0,
            steps: 0,
        }
    }

    /// Churns and disturbs for `long`, and settles each minute. With `first`, what is used then is compared with it.
    async fn run(
        &mut self,
        followers: &mut Following,
        long: Duration,
        kills: bool,
        first: Option<&Usage>,
    ) {
        let end = Instant::now() + long;
        while Instant::now() < end {
            let next = (Instant::now() + MINUTE).min(end);
            followers.cut().await;
            while Instant::now() < next {
                let pause = Instant::now() + Duration::from_secs(4 + self.churn.dice.below(8));
                while Instant::now() < pause.min(next) {
                    self.steps += 1;
                    // The API server may be away just now; what was asked of it is made sure of in the end.
                    if self.churn.step(&self.client).await.is_err() {
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
                self.disturb(kills).await;
            }
            followers.mend().await;
            self.settle(followers, first).await;
        }
    }

    /// Breaks one thing, at random.
    async fn disturb(&mut self, kills: bool) {
        self.disturbances += 1;
        let Self {
            world,
            churn,
            certificates,
            ..
        } = self;
        match churn.dice.below(if kills { 12 } else { 7 }) {
            at @ 0..4 => {
                // Those that start ask others that must be there, or end for good.
                eventually(SOON * 4, "the API server is ready", || async {
                    let ready = ["get", "--raw", "/readyz"];
                    world.cluster.kubectl(&ready).await.probe()
                })
                .await;
                let at = usize::try_from(at).unwrap();
                world.cluster.restart(COMPONENTS[at]);
            }
            4 | 5 => {
                let anew = churn.dice.below(2) == 0;
                certificates.change(anew).await;
                if !certificates.try_publish(&world.cluster).await {
                    // Nobody may be served what nobody was told to believe: the new ones wait.
                    return;
                }
                certificates.install();
            }
            6 => {
                let kind = crate::it::fake_registry::Fault::Status(502);
                churn.registry.fail_times(20, kind);
            }
            7 => {
                world.program.terminate().await;
                world.program.respawn();
            }
            8 => {
                // Again, while it starts.
                world.program.kill();
                world.program.respawn();
                tokio::time::sleep(Duration::from_millis(churn.dice.below(800))).await;
                world.program.kill();
                world.program.respawn();
            }
            _ => {
                world.program.kill();
                world.program.respawn();
            }
        }
    }

    /// Waits until everything is up, everything is served and everybody knows it.
    async fn settle(&mut self, followers: &mut Following, first: Option<&Usage>) {
        self.world.program.ready().await.unwrap();
        eventually(SOON * 4, "the API server answers for us", || async {
            let list = ["get", "imagetags", "-A", "-o", "name"];
            self.world.cluster.kubectl(&list).await.probe()
        })
        .await;
        let (real, round) = (&self.real.0, self.real.1);
        let tag = format!("0.{round}.0");
        let registry = &self.world.cluster.registry;
        registry.push("soak/app", &[&tag]).await;
        self.real.1 += 1;
        self.world.request_scan(real, "app").await;
        eventually(SOON * 4, "what was pushed is served", || async {
            let name = format!("app:{tag}");
            let get = ["get", "imagetag", &name, "-n", real];
            self.world.cluster.kubectl(&get).await.probe()
        })
        .await;
        self.churn.settle(&self.client).await;
        self.churn.registry.clear_requests();
        let settled = followers.settle().await;
        let expected = self.churn.tags() + self.real.1;
        assert_eq!(objects(&settled, "imagetags"), expected);
        let usage = Usage::of(&self.world.program).await;
        eprintln!("{}\n  {usage}", summary(&settled));
        if let Some(first) = first {
            usage.compare(first);
        }
    }
}
