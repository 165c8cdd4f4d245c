//! Two processes with leader election: at no moment do both write to a registry, and what one began the other ends.

use std::time::{Duration, Instant};

use serde_json::json;

use super::road::Road;
use super::{apply, mirror, repository, says};
use crate::harness::{ControlPlane, Tagscope, eventually, signal};
use crate::it::fake_registry::{FakeRegistry, Image};
use crate::leaders::prepare;
use crate::world::SOON;

const LEASE: Duration = Duration::from_secs(6);
const QUICK: [&str; 4] = [
    "--enable-leader-election",
    "--leader-election-lease-duration=6s",
    "--leader-election-renew-deadline=4s",
    "--leader-election-retry-period=1s",
];
const TAGS: u64 = 40;

/// Two processes, each with a road of its own to the registries, which know who came by it.
struct Two {
    cluster: ControlPlane,
    registry: FakeRegistry,
    roads: [Road; 2],
    programs: [Tagscope; 2],
}

impl Two {
    async fn start() -> Self {
        let cluster = prepare().await;
        let registry = FakeRegistry::start().await;
        for number in 0..TAGS {
            let image = Image::sized(number, &[150_000, 100_000]);
            registry.add_image("team/app", &format!("1.{number}.0"), &image);
        }
        // Narrow, so that the copy takes longer than a lease.
        let pause = Duration::from_millis(300);
        let roads = [
            Road::to(registry.plain_host(), pause).await,
            Road::to(registry.plain_host(), pause).await,
        ];
        let mut programs = Vec::new();
        for road in &roads {
            let proxy = format!("http://{}", road.address);
            let launch = cluster.tagscope().args(QUICK);
            let program = launch.env("HTTP_PROXY", &proxy).start().await;
            let program = program.unwrap_or_else(|log| panic!("tagscope did not start:\n{log}"));
            programs.push(program);
        }
        let programs = programs.try_into().unwrap();
        // Names that stand for the registry at the end of the roads; one process or the other finds it.
        let mut scanned = repository("apps", "app", "source.test:5000/team/app");
        scanned["spec"]["insecure"] = json!(true);
        let there = json!({ "destinations": [{
            "name": "there", "registry": "destination.test:5000", "repositoryTemplate": "copy/{name}",
            "insecure": true,
        }], "bandwidth": "1MiB" });
        apply(
            &cluster,
            &[scanned, mirror("apps", "app", "app", "", there)],
        )
        .await;
        Self {
            cluster,
            registry,
            roads,
            programs,
        }
    }

    /// Waits until one of them writes, and says which.
    async fn writer(&self) -> usize {
        eventually(SOON * 2, "one of them copies", || async {
            let busy = |one: &usize| self.roads[*one].writes().len() > 8;
            (0..2).find(busy).ok_or("nobody does")
        })
        .await
    }

    async fn ends(&self, heir: usize) {
        says(&self.cluster, "apps", "app", &format!("{TAGS}/{TAGS}")).await;
        self.registry.check_whole("copy/app");
        assert_eq!(self.registry.tags("copy/app").len() as u64, TAGS);
        assert!(!self.roads[heir].writes().is_empty(), "the heir ended it");
    }

    /// When the heir wrote first, after which the other must not have written.
    fn taken_over(&self, first: usize, heir: usize) -> Instant {
        let taken = self.roads[heir].writes()[0].0;
        let late: Vec<_> = self.roads[first]
            .writes()
            .into_iter()
            .filter(|(at, _)| *at >= taken)
            .collect();
        assert!(late.is_empty(), "both wrote: {late:?}");
        taken
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_28_who_is_killed_in_the_middle_is_followed_within_the_lease() {
    let mut two = Two::start().await;
    let first = two.writer().await;
    let heir = 1 - first;
    assert!(two.roads[heir].writes().is_empty(), "one copies");
    two.programs[first].kill();
    let killed = Instant::now();
    two.ends(heir).await;
    let took = two.taken_over(first, heir) - killed;
    eprintln!("the first write after {took:?}; the lease is {LEASE:?}");
    assert!(took < LEASE + Duration::from_secs(10), "{took:?}");
}

/// The worst there is: it sleeps in the middle of a copy, is taken for dead, and wakes up.
#[tokio::test(flavor = "multi_thread")]
async fn fault_28_who_wakes_up_after_its_lease_does_not_write_beside_its_heir() {
    let two = Two::start().await;
    let first = two.writer().await;
    let heir = 1 - first;
    signal(two.programs[first].id(), "STOP");
    eventually(SOON * 2, "the heir copies", || async {
        (two.roads[heir].writes().len() > 8)
            .then_some(())
            .ok_or("not yet")
    })
    .await;
    signal(two.programs[first].id(), "CONT");
    two.ends(heir).await;
    two.taken_over(first, heir);
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_28_who_is_told_to_end_hands_over_at_once() {
    let mut two = Two::start().await;
    let first = two.writer().await;
    let heir = 1 - first;
    assert!(two.programs[first].terminate().await.success());
    let ended = Instant::now();
    two.ends(heir).await;
    let took = two.taken_over(first, heir).saturating_duration_since(ended);
    eprintln!("the first write {took:?} after its end");
    assert!(took < LEASE, "{took:?}");
}
