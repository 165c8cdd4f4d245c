//! Two processes with leader election: they do not write tags at the same time, and what one began the other ends.

use std::time::{Duration, Instant};

use serde_json::json;

use super::road::{Road, Write};
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
const TAGS: u64 = 60;
/// So many writes, and a copy is well under way.
const BUSY: usize = 8;

/// Two processes, and a road to the destination that tells them apart.
struct Two {
    cluster: ControlPlane,
    _source: FakeRegistry,
    destination: FakeRegistry,
    road: Road,
    programs: [Tagscope; 2],
}

impl Two {
    async fn start() -> Self {
        let cluster = prepare().await;
        let (source, destination) = (FakeRegistry::start().await, FakeRegistry::start().await);
        for number in 0..TAGS {
            let image = Image::sized(number, &[200_000, 100_000]);
            source.add_image("team/app", &format!("1.{number}.0"), &image);
        }
        let road = Road::to(destination.plain_host(), Duration::from_millis(20)).await;
        let mut programs = Vec::new();
        for _ in 0..2 {
            let program = cluster.tagscope().args(QUICK).start().await;
            programs.push(program.unwrap_or_else(|log| panic!("tagscope did not start:\n{log}")));
        }
        road.know(programs.iter().map(Tagscope::id));
        // Slow, so that the copy takes longer than a lease.
        let slow = json!({ "bandwidth": "1MiB" });
        let objects = [
            repository("apps", "app", &source.image("team/app")),
            mirror("apps", "app", "app", &road.address.to_string(), slow),
        ];
        apply(&cluster, &objects).await;
        Self {
            cluster,
            _source: source,
            destination,
            road,
            programs: programs.try_into().unwrap(),
        }
    }

    fn writes(&self, one: usize) -> Vec<Write> {
        self.road.writes_of(self.programs[one].id())
    }

    /// Waits until one of them copies, alone, and says which, and who will follow.
    async fn writer(&self) -> (usize, usize) {
        let first = eventually(SOON * 2, "one of them copies", || async {
            let busy = |one: &usize| self.writes(*one).len() >= BUSY;
            (0..2).find(busy).ok_or("nobody does")
        })
        .await;
        assert!(self.writes(1 - first).is_empty(), "one copies");
        (first, 1 - first)
    }

    async fn ends(&self) {
        says(&self.cluster, "apps", "app", &format!("{TAGS}/{TAGS}")).await;
        self.destination.check_whole("team/app");
        let tags = self.destination.tags("team/app").len();
        assert_eq!(u64::try_from(tags).unwrap(), TAGS);
    }

    /// When the heir wrote first, after which the other must not have written.
    fn taken_over(&self, first: usize, heir: usize) -> Instant {
        let (taken, ..) = self.writes(heir).swap_remove(0);
        let late: Vec<_> = self
            .writes(first)
            .into_iter()
            .filter(|(at, ..)| *at >= taken)
            .collect();
        assert!(late.is_empty(), "both wrote: {late:?}");
        taken
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_28_who_is_killed_in_the_middle_is_followed_within_the_lease() {
    let mut two = Two::start().await;
    let (first, heir) = two.writer().await;
    two.programs[first].kill();
    let killed = Instant::now();
    two.ends().await;
    let took = two.taken_over(first, heir) - killed;
    eprintln!("the first write {took:?} after a kill; the lease is {LEASE:?}");
    // A try a second, and whatever else comes before the first write.
    assert!(took < LEASE + Duration::from_secs(10), "{took:?}");
}

/// The worst there is: it sleeps in the middle of a copy, is taken for dead, and wakes up.
#[tokio::test(flavor = "multi_thread")]
async fn fault_28_who_wakes_up_after_its_lease_writes_nothing_beside_its_heir() {
    let two = Two::start().await;
    let (first, heir) = two.writer().await;
    signal(two.programs[first].id(), "STOP");
    eventually(SOON * 2, "the heir copies", || async {
        let has_begun = two.writes(heir).len() >= BUSY;
        has_begun.then_some(()).ok_or("not yet")
    })
    .await;
    let woken = Instant::now();
    signal(two.programs[first].id(), "CONT");
    two.ends().await;
    // It looks at the clock before each request that writes, and again before its content goes out. Only what has no content may
    // have been on its way already: an upload that is begun so is nobody's.
    let late: Vec<_> = two
        .writes(first)
        .into_iter()
        .filter(|(at, _, line)| {
            *at >= woken && !line.starts_with("POST /v2/team/app/blobs/uploads/ ")
        })
        .collect();
    assert!(late.is_empty(), "who woke up writes: {late:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_28_who_is_told_to_end_hands_over_at_once() {
    let mut two = Two::start().await;
    let (first, heir) = two.writer().await;
    assert!(two.programs[first].terminate().await.success());
    let ended = Instant::now();
    two.ends().await;
    let took = two.taken_over(first, heir).saturating_duration_since(ended);
    eprintln!("the first write {took:?} after its end");
    assert!(took < LEASE, "{took:?}");
}
