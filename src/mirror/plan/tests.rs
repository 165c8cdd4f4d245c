//! The plan, carried out by somebody who lets anything happen in any order.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

fn repository(text: &str) -> Spot {
    by(0, text)
}

/// As another account sees it.
fn by(account: u32, text: &str) -> Spot {
    Spot {
        repository: text.parse().unwrap(),
        account,
    }
}

fn blob(name: &str, size: u64) -> Descriptor {
    Descriptor {
        media_type: String::new(),
        digest: Digest::of(name.as_bytes()),
        size,
    }
}

fn wish<'a>(blob: &'a Descriptor, to: &'a Spot) -> Want<'a> {
    Want {
        blob,
        to,
        source: 0,
        mount: Mount::FromLeader,
    }
}

const NEW: Answer<&str> = Answer::Waits { is_new: true };

#[test]
fn one_leads_at_each_registry_and_the_others_mount_from_it() {
    let mut plan = Plan::<u32, &str>::default();
    let base = blob("base", 5);
    let [a1, a2, b1] = ["a.example/one", "a.example/two", "b.example/one"].map(repository);
    assert_eq!(plan.want(wish(&base, &a1), 1), NEW);
    assert_eq!(plan.want(wish(&base, &a2), 2), NEW);
    assert_eq!(
        plan.want(wish(&base, &a2), 3),
        Answer::Waits { is_new: false }
    );
    assert_eq!(plan.want(wish(&base, &b1), 4), NEW);
    // The second repository leads: more wait for it.
    let stream = Step::Stream {
        blob: base.clone(),
        to: vec![a2.clone(), b1.clone()],
        source: 0,
    };
    assert_eq!(plan.next_stream(), Some(stream));
    assert_eq!((plan.next_stream(), plan.next_mount()), (None, None));
    assert_eq!(plan.there(&base, &b1), [4]);
    assert_eq!(plan.next_mount(), None);
    assert_eq!(plan.there(&base, &a2), [2, 3]);
    let mount = Step::Mount {
        blob: base.clone(),
        to: a1.clone(),
        from: a2.repository.clone(),
        source: 0,
    };
    assert_eq!(plan.next_mount(), Some(mount));
    assert_eq!(plan.there(&base, &a1), [1]);
    assert_eq!(plan.want(wish(&base, &a1), 5), Answer::There);
    assert!(plan.next_stream().is_none() && plan.is_idle());
}

#[test]
fn what_most_wait_for_goes_first_then_the_largest() {
    let mut plan = Plan::<u32, &str>::default();
    let to = repository("a.example/one");
    let [small, large, shared] = [blob("s", 1), blob("l", 9), blob("b", 2)];
    for (claim, blob) in [&small, &large, &shared, &shared].into_iter().enumerate() {
        plan.want(wish(blob, &to), u32::try_from(claim).unwrap());
    }
    let mut order = Vec::new();
    while let Some(Step::Stream { blob, .. }) = plan.next_stream() {
        order.push(blob);
    }
    assert_eq!(order, [shared, large, small]);
}

#[test]
fn a_failure_stays_until_another_source_has_it() {
    let mut plan = Plan::<u32, &str>::default();
    let (base, to) = (blob("base", 5), repository("a.example/one"));
    plan.want(wish(&base, &to), 1);
    assert!(plan.next_stream().is_some());
    assert_eq!(plan.failed(&base, &to, &"gone", Some(0)), [1]);
    assert_eq!(plan.want(wish(&base, &to), 2), Answer::Failed("gone"));
    let elsewhere = Want {
        source: 7,
        ..wish(&base, &to)
    };
    assert_eq!(plan.want(elsewhere, 3), NEW);
    assert!(matches!(
        plan.next_stream(),
        Some(Step::Stream { source: 7, .. })
    ));
    // A destination that refuses is no better from elsewhere.
    assert_eq!(plan.failed(&base, &to, &"denied", None), [3]);
    let third = Want {
        source: 8,
        ..wish(&base, &to)
    };
    assert_eq!(plan.want(third, 4), Answer::Failed("denied"));
}

#[test]
fn a_source_that_fails_is_replaced_by_the_next() {
    let mut plan = Plan::<u32, &str>::default();
    let (base, to) = (blob("base", 5), repository("a.example/one"));
    plan.want(wish(&base, &to), 1);
    let elsewhere = Want {
        source: 1,
        ..wish(&base, &to)
    };
    plan.want(elsewhere, 2);
    assert!(matches!(
        plan.next_stream(),
        Some(Step::Stream { source: 0, .. })
    ));
    assert_eq!(plan.failed(&base, &to, &"gone", Some(0)), [0; 0]);
    assert!(matches!(
        plan.next_stream(),
        Some(Step::Stream { source: 1, .. })
    ));
    assert_eq!(plan.there(&base, &to), [1, 2]);
}

#[test]
fn what_was_forgotten_is_streamed_and_not_mounted() {
    let mut plan = Plan::<u32, &str>::default();
    let base = blob("base", 5);
    let [one, two] = ["a.example/one", "a.example/two"].map(repository);
    plan.want(wish(&base, &one), 1);
    plan.want(wish(&base, &two), 2);
    assert!(plan.next_stream().is_some());
    plan.there(&base, &two);
    assert!(plan.next_mount().is_some());
    plan.there(&base, &one);
    // It is not there after all.
    plan.forget(&base, &one.repository);
    let again = Want {
        mount: Mount::Never,
        ..wish(&base, &one)
    };
    assert_eq!(plan.want(again, 3), NEW);
    assert_eq!(plan.next_mount(), None);
    assert!(matches!(plan.next_stream(), Some(Step::Stream { to, .. }) if to == [one]));
}

#[test]
fn what_one_account_may_not_do_another_may_and_what_one_brought_is_there_for_both() {
    let mut plan = Plan::<u32, &str>::default();
    let base = blob("base", 5);
    let [one, two] = [1, 2].map(|account| by(account, "a.example/one"));
    let lead = |to: &Spot| {
        Some(Step::Stream {
            blob: base.clone(),
            to: vec![to.clone()],
            source: 0,
        })
    };
    assert_eq!(plan.want(wish(&base, &one), 1), NEW);
    assert_eq!(plan.want(wish(&base, &two), 2), NEW);
    // Of two with one claim each the last by name goes first.
    assert_eq!(plan.next_stream(), lead(&two));
    assert_eq!(plan.next_stream(), None, "one at a time");
    assert_eq!(plan.failed(&base, &two, &"denied", None), [2]);
    assert_eq!(plan.next_stream(), lead(&one));
    assert_eq!(plan.want(wish(&base, &two), 3), Answer::Failed("denied"));
    assert_eq!(plan.there(&base, &one), [1]);
    assert_eq!(plan.want(wish(&base, &two), 4), Answer::There);
    let third = by(3, "a.example/one");
    assert_eq!(plan.want(wish(&base, &third), 5), Answer::There);
    assert!(!plan.note(&base, &third, true), "it is no news");
    plan.forget(&base, &one.repository);
    assert_eq!(plan.want(wish(&base, &third), 6), NEW);
    assert_eq!(plan.want(wish(&base, &one), 7), NEW);
    assert_eq!(plan.next_stream(), lead(&third));
    assert_eq!(
        plan.there(&base, &third),
        [7, 6],
        "whoever waits for the repository"
    );
    assert!(plan.next_mount().is_none() && plan.next_stream().is_none());
}

#[test]
fn lengths_that_differ_are_other_blobs() {
    let mut plan = Plan::<u32, &str>::default();
    let to = repository("a.example/one");
    let (honest, lie) = (blob("base", 5), blob("base", 6));
    plan.want(wish(&lie, &to), 1);
    plan.want(wish(&honest, &to), 2);
    assert_eq!(plan.failed(&lie, &to, &"wrong length", Some(0)), [1]);
    assert!(matches!(plan.next_stream(), Some(Step::Stream { blob, .. }) if blob == honest));
}

/// One thing that happens.
#[derive(Debug, Clone)]
enum Event {
    Want(usize, usize, usize, usize),
    Begin,
    End { which: usize, how: usize },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (0..4_usize, 0..6_usize, 0..2_usize, 0..4_usize)
            .prop_map(|(blob, to, source, mount)| Event::Want(blob, to, source, mount)),
        2 => Just(Event::Begin),
        2 => (any::<usize>(), 0..12_usize).prop_map(|(which, how)| Event::End { which, how }),
    ]
}

/// Whoever carries the plan out, and holds it to its rules.
#[derive(Default)]
struct World {
    plan: Plan<usize, &'static str>,
    claimed: usize,
    waiting: BTreeSet<usize>,
    /// What is under way: digest and repository, and from which source.
    flights: BTreeMap<(Digest, Spot), (Descriptor, usize)>,
    streams: usize,
    mounts: usize,
    there: BTreeSet<(Digest, Spot)>,
}

impl World {
    fn want(&mut self, blob: &Descriptor, to: &Spot, source: usize, mount: Mount<'_>) {
        let want = Want {
            blob,
            to,
            source,
            mount,
        };
        match self.plan.want(want, self.claimed) {
            Answer::There => {
                assert!(self.there.contains(&(blob.digest.clone(), to.clone())));
            }
            Answer::Waits { .. } => {
                self.waiting.insert(self.claimed);
            }
            Answer::Failed(_) => {}
        }
        self.claimed += 1;
    }

    fn begin(&mut self) -> bool {
        let Some(step) = self.plan.next_mount().or_else(|| self.plan.next_stream()) else {
            return false;
        };
        let (blob, to, source) = match step {
            Step::Mount {
                blob, to, source, ..
            } => {
                self.mounts += 1;
                (blob, vec![to], source)
            }
            Step::Stream { blob, to, source } => {
                self.streams += to.len();
                let registries: BTreeSet<_> =
                    to.iter().map(|to| to.repository.registry()).collect();
                assert_eq!(registries.len(), to.len(), "one leader at each registry");
                (blob, to, source)
            }
        };
        for to in to {
            let key = (blob.digest.clone(), to);
            assert!(!self.there.contains(&key), "nothing is sent twice");
            let former = self.flights.insert(key, (blob.clone(), source));
            assert!(former.is_none(), "nothing is under way twice");
        }
        true
    }

    fn end(&mut self, which: usize, how: usize) {
        let Some(key) = self.flights.keys().nth(which % self.flights.len().max(1)) else {
            return;
        };
        let key = key.clone();
        let (blob, source) = self.flights.remove(&key).unwrap();
        let claims = match how {
            0 => self.plan.failed(&blob, &key.1, &"source", Some(source)),
            1 => self.plan.failed(&blob, &key.1, &"destination", None),
            _ => {
                self.there.insert(key.clone());
                self.plan.there(&blob, &key.1)
            }
        };
        for claim in claims {
            assert!(self.waiting.remove(&claim), "each is told once");
        }
    }
}

fn world() -> ([Descriptor; 4], [Spot; 6]) {
    let blobs = [blob("0", 7), blob("1", 7), blob("2", 1), blob("3", 0)];
    let repositories = [
        "a.example/one",
        "a.example/two",
        "a.example/three",
        "b.example/one",
        "b.example/two",
        "c.example/one",
    ];
    (blobs, repositories.map(repository))
}

proptest! {
    #[test]
    fn everybody_is_told_whatever_happens(events in prop::collection::vec(event(), 0..200)) {
        let (blobs, repositories) = world();
        let mut world = World::default();
        for event in events {
            match event {
                Event::Want(blob, to, source, mount) => {
                    let mount = match mount {
                        0 => Mount::Never,
                        1 => Mount::From(&repositories[blob].repository),
                        _ => Mount::FromLeader,
                    };
                    world.want(&blobs[blob], &repositories[to], source, mount);
                }
                Event::Begin => {
                    world.begin();
                }
                Event::End { which, how } => world.end(which, how),
            }
        }
        while world.begin() || !world.flights.is_empty() {
            world.end(0, 9);
        }
        prop_assert!(world.waiting.is_empty(), "{:?}", world.plan);
        prop_assert!(world.plan.is_idle());
    }

    #[test]
    fn each_registry_is_sent_each_blob_once(wishes in prop::collection::vec((0..4_usize, 0..6_usize, any::<usize>()), 1..60)) {
        let (blobs, repositories) = world();
        let mut world = World::default();
        for &(blob, to, ends) in &wishes {
            world.want(&blobs[blob], &repositories[to], 0, Mount::FromLeader);
            if ends % 3 == 0 {
                world.begin();
            }
            if ends % 5 == 0 {
                world.end(ends, 9);
            }
        }
        while world.begin() || !world.flights.is_empty() {
            world.end(0, 9);
        }
        let pairs: BTreeSet<_> = wishes.iter().map(|&(blob, to, _)| (blob, to)).collect();
        let leaders: BTreeSet<_> = pairs
            .iter()
            .map(|&(blob, to)| (blob, repositories[to].repository.registry()))
            .collect();
        prop_assert_eq!(world.streams, leaders.len());
        prop_assert_eq!(world.mounts, pairs.len() - leaders.len());
    }
}
