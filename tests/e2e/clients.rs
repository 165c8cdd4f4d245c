//! Clients that we did not write, in Go: client-go's informers, reflectors, pager, discovery and errors, and
//! controller-runtime's cache and client. What they hold is compared with a model and with plain lists.
//!
//! The Go program is in `tests/clients`; [`churn`] changes what is served under its eyes.

pub(crate) mod churn;
pub(crate) mod program;

use tokio::sync::OnceCell;

use crate::harness::eventually;
use crate::it::fake_registry::FakeRegistry;
use crate::world::{SOON, World};
use churn::Churn;
use program::{Following, check, objects, summary};

/// A namespace of the shared world with one repository `app` of many tags, one of them elected.
async fn stage() -> (&'static World, &'static str) {
    static STAGE: OnceCell<String> = OnceCell::const_new();
    let world = World::shared().await;
    let namespace = STAGE
        .get_or_init(|| async {
            let ns = world.cluster.namespace("go-clients").await;
            let tags: Vec<String> = (0..22).map(|n| format!("1.{n}.0")).collect();
            let tags: Vec<&str> = tags.iter().map(String::as_str).chain(["latest"]).collect();
            world.cluster.registry.push("go-clients/app", &tags).await;
            world.scan(&ns, "app", "go-clients/app").await;
            world.create_policy(&ns, "app", "app", "1.x").await;
            world.elects(&ns, "app", "1.21.0").await;
            ns
        })
        .await;
    (world, namespace)
}

async fn passes(checks: &[&str]) {
    let (world, ns) = stage().await;
    check(&world.cluster, &[], ns, checks).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_any_size_are_the_list() {
    passes(&["pager", "expired-page"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn informers_sync_with_and_without_watch_list() {
    passes(&["sync"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_can_be_waited_for() {
    passes(&["until"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_and_tables_are_what_go_decodes() {
    passes(&["metadata", "table"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn discovery_and_the_rest_mapper_know_every_name() {
    passes(&["discovery", "openapi"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_have_the_types_that_go_asks_for() {
    passes(&["errors"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_that_cannot_begin_say_why() {
    passes(&["watch-errors"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_of_controller_runtime_works() {
    passes(&["controller-runtime"]).await;
}

/// Points the APIService at another port of this machine.
pub(crate) async fn route(world: &World, port: &str) {
    let local = world.cluster.kustomize("apiservice/local").await;
    world.cluster.apply(&local.replace("8443", port)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn followers_know_the_truth_through_cuts_and_kills() {
    const ROUNDS: usize = 5;
    const STEPS: usize = 25;
    let mut world = World::start(&["--suspect-confirmations=1"]).await;
    let ns = world.cluster.namespace("followed").await;
    let client = world.cluster.client().await;
    let mut churn = Churn::new(&ns).await;
    churn.begin(&client).await.unwrap();
    churn.settle(&client).await;
    let backend = format!("-backend=127.0.0.1:{}", world.program.secure_port);
    let mut followers = Following::start(&world.cluster, &[&backend], &ns).await;
    let proxy = followers.backend.clone().unwrap();
    route(&world, proxy.rsplit(':').next().unwrap()).await;
    followers.go().await;
    followers.ready().await;

    for round in 1..=ROUNDS {
        followers.cut().await;
        for step in 0..STEPS {
            churn.step(&client).await.unwrap();
            if step == STEPS / 2 && round % 2 == 0 {
                world.program.kill();
                world.program.restart().await.unwrap();
            }
        }
        followers.mend().await;
        churn.settle(&client).await;
        let settled = followers.settle().await;
        eprintln!("round {round}: {}", summary(&settled));
        assert_eq!(objects(&settled, "imagetags"), churn.tags());
    }
    let settled = followers.settle().await;
    assert!(settled["cuts"].as_u64().unwrap() > 10, "{settled}");
    followers.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_watchers_outlive_restarts() {
    let mut world = World::start(&[]).await;
    let ns = world.cluster.namespace("thousand").await;
    let registry = &world.cluster.registry;
    registry.push("thousand/app", &["1.0.0", "1.1.0"]).await;
    world.scan(&ns, "app", "thousand/app").await;
    // Probes that are cancelled are no errors, and cost no connection.
    let pki = world.cluster.logs.parent().unwrap().join("pki");
    let [cert, key] = ["crt", "key"].map(|end| {
        let file = pki.join("front-proxy").with_extension(end);
        file.to_str().unwrap().to_owned()
    });
    let direct = format!("https://127.0.0.1:{}", world.program.secure_port);
    let flags = ["-direct", &direct, "-cert", &cert, "-key", &key];
    check(&world.cluster, &flags, &ns, &["cancelled-probes"]).await;
    let log = world.program.log();
    let errors: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("\"level\":\"error\""))
        .collect();
    assert!(errors.is_empty(), "{errors:?}");

    let flags = ["-copies=0", "-retrying=1000"];
    let mut followers = Following::start(&world.cluster, &flags, &ns).await;
    followers.ready().await;
    eventually(SOON, "a thousand watch", || async {
        let metrics = world.program.scrape().await;
        match watchers(&metrics) {
            1000.. => Ok(()),
            fewer => Err(format!("{fewer} do")),
        }
    })
    .await;
    let mut expected = 2;
    for (round, kill) in [false, true].into_iter().enumerate() {
        if kill {
            world.program.kill();
        } else {
            let end = world.program.terminate().await;
            assert!(end.success(), "{end}\n{}", world.program.log());
        }
        world.program.restart().await.unwrap();
        let tag = format!("2.{round}.0");
        let registry = &world.cluster.registry;
        registry.push("thousand/app", &[&tag]).await;
        world.request_scan(&ns, "app").await;
        expected += 1;
        eventually(SOON, "the tag is served", || async {
            let name = format!("app:{tag}");
            let get = ["get", "imagetag", &name, "-n", &ns];
            world.cluster.kubectl(&get).await.probe()
        })
        .await;
        let settled = followers.settle().await;
        eprintln!("{}", summary(&settled));
        assert_eq!(objects(&settled, "imagetags"), expected);
    }
    followers.end().await;
    // Nobody is left behind in the server when the clients are gone.
    eventually(SOON, "nobody watches", || async {
        let metrics = world.program.scrape().await;
        match watchers(&metrics) {
            0 => Ok(()),
            left => Err(format!("{left} still do")),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_that_stop_hold_up_nobody_and_are_let_go() {
    const STALLED: u64 = 3;
    const READING: u64 = 3;
    const TAGS: usize = 3000;
    const ROUNDS: usize = 8;
    let world = World::start(&["--suspect-confirmations=1"]).await;
    let ns = world.cluster.namespace("stalled").await;
    let registry = FakeRegistry::start().await;
    // Every tag goes in every round, and as many others come.
    let fill = |round: usize| {
        let tags = (0..TAGS).map(|n| format!("1.{round}.{n}"));
        registry.add_repository("app", tags);
    };
    fill(0);
    let image = registry.image("app");
    world
        .cluster
        .apply(&format!(
            "{{apiVersion: image.toolkit.fluxcd.io/v1, kind: ImageRepository, \
             metadata: {{name: app, namespace: {ns}}}, spec: {{image: \"{image}\", interval: 1h}}}}"
        ))
        .await;
    world.wait_ready(&ns, "imagerepository/app").await;
    let flags = ["-copies=0", "-retrying=3", "-stalled=3"];
    let mut followers = Following::start(&world.cluster, &flags, &ns).await;
    followers.ready().await;
    let watching = async |wanted: u64, within| {
        eventually(within, "so many watch", || async {
            let count = watchers(&world.program.scrape().await);
            if count == wanted { Ok(()) } else { Err(count) }
        })
        .await;
    };
    watching(STALLED + READING, SOON).await;
    let before = resident(&world.program.scrape().await);
    for round in 1..=ROUNDS {
        fill(round);
        world.request_scan(&ns, "app").await;
        let newest = format!("app:1.{round}.0");
        eventually(SOON, "the tags are served", || async {
            let get = ["get", "imagetag", &newest, "-n", &ns];
            world.cluster.kubectl(&get).await.probe()
        })
        .await;
        let settled = followers.settle().await;
        assert_eq!(objects(&settled, "imagetags"), TAGS as u64);
    }
    // What they do not read is not kept for them: all that may grow is the history.
    let after = resident(&world.program.scrape().await);
    eprintln!(
        "{} KiB resident before, {} after",
        before / 1024,
        after / 1024
    );
    assert!(after < before + 128 * 1024 * 1024, "{before} {after}");
    // A minute after they took the last byte they are let go, and only they.
    watching(READING, SOON * 5).await;
    followers.settle().await;
    followers.end().await;
}

/// The resident bytes that the program's metrics tell of.
fn resident(metrics: &str) -> u64 {
    let name = "process_resident_memory_bytes ";
    let line = metrics.lines().find_map(|line| line.strip_prefix(name));
    let bytes: f64 = line.unwrap().parse().unwrap();
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count of bytes"
    )]
    let bytes = bytes as u64;
    bytes
}

/// How many watches of any resource the program counts.
pub(crate) fn watchers(metrics: &str) -> u64 {
    let lines = metrics
        .lines()
        .filter(|line| line.starts_with("tagscope_watchers{"));
    lines
        .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
        .sum()
}
