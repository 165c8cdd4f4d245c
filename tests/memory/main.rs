//! What a tag costs in memory, counted by the allocator. A test binary of its own, because an allocator is global.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a test, helpers included"
)]

mod known;
mod lists;
mod planning;

use std::alloc::System;
use std::collections::BTreeSet;
use std::sync::Arc;

use futures::{FutureExt as _, StreamExt as _};
use http::{Method, Request};
use jiff::Timestamp;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tagscope::api::names::{DOWNGRADE, MINIMUM_AGE};
use tagscope::apiserver::request_info::RequestInfo;
use tagscope::apiserver::resources::Tags;
use tagscope::apiserver::response::Payload;
use tagscope::clock::SystemClock;
use tagscope::object::Key;
use tagscope::policy::governance::{Facts, Known, Mirrored, Read, govern};
use tagscope::policy::{Candidates, Policy, Range, elect};
use tagscope::store::{Limits, Owner, Scan, Store};
use tokio_util::sync::CancellationToken;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const REPOSITORIES: usize = 1000;
const TAGS: usize = 1000;

/// Bytes allocated now.
fn held() -> usize {
    let stats = ALLOCATOR.stats();
    // What a reallocation adds or gives back is in these two already.
    stats.bytes_allocated - stats.bytes_deallocated
}

/// A thousand versions, other ones for each repository, in no order.
fn versions(repository: usize) -> Vec<String> {
    let mut seed = repository as u64 + 1;
    let mut below = |bound: u64| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % bound
    };
    let mut names = BTreeSet::new();
    while names.len() < TAGS {
        names.insert(format!("v{}.{}.{}", below(3), below(40), below(60)));
    }
    names.into_iter().rev().collect()
}

fn scan(repository: usize, names: &[String], time: i64) -> Scan {
    Scan {
        owner: Owner {
            key: Key::new(
                format!("team-{}", repository % 20),
                format!("repository-{repository}"),
            ),
            uid: format!("3f0e8a4c-52b1-4d2e-9d57-{repository:012}"),
            created: Timestamp::UNIX_EPOCH,
            labels: [("team".to_owned(), "platform".to_owned())].into(),
        },
        image: format!("ghcr.io/organisation/repository-{repository}")
            .parse()
            .unwrap(),
        tags: names.iter().map(|name| name.parse().unwrap()).collect(),
        aside: Vec::new(),
        revision: "2345678901".to_owned(),
        time: Timestamp::from_second(time).unwrap(),
        complete: true,
        dating: if time == 0 {
            tagscope::store::Dating::AtFirst
        } else {
            tagscope::store::Dating::Now
        },
    }
}

/// One test, so that nobody else allocates meanwhile.
#[test]
fn a_tag_costs_few_bytes() {
    // A thousand repositories of a thousand tags, each found by one scan.
    let before = held();
    let store = Store::in_memory(Arc::new(SystemClock));
    for repository in 0..REPOSITORIES {
        store
            .commit_scan(scan(repository, &versions(repository), 0))
            .unwrap();
    }
    assert_eq!(store.snapshot().tag_count(), REPOSITORIES * TAGS);
    let all = held() - before;
    let per_tag = all as f64 / (REPOSITORIES * TAGS) as f64;
    println!("{per_tag:.2} bytes per tag, all in ({all} bytes)");
    assert!(all <= 8 * REPOSITORIES * TAGS, "{per_tag:.2} bytes per tag");

    // The metric says what the allocator says.
    let said = store.bytes() + store.history_bytes();
    let ratio = said as f64 / all as f64;
    println!("the metric says {:.1} % of it", ratio * 100.0);
    assert!((0.9..1.1).contains(&ratio), "{said} of {all}");
    lists::lists_are_cheap(&store);
    drop(store);

    // The worst: a repository whose every tag was found by a scan of its own. The history is not counted.
    let names = versions(0);
    let before = held();
    let store = Store::in_memory_with(
        Arc::new(SystemClock),
        Limits {
            commits: 1,
            bytes: 0,
        },
    );
    for count in 1..=names.len() {
        store.commit_scan(scan(0, &names[..count], 1)).unwrap();
    }
    let all = held() - before - store.history_bytes();
    println!(
        "{:.2} bytes per tag when each has a commit of its own",
        all as f64 / TAGS as f64
    );
    assert!(all <= 32 * TAGS, "{all} bytes");
    let said = store.bytes();
    assert!(
        (0.9..1.1).contains(&(said as f64 / all as f64)),
        "{said} of {all}"
    );
    elections_are_cheap();
    elections_of_one_repository();
    watches_are_cheap();
    known::known_blobs_are_cheap(&held);
    planning::plans_are_cheap(&held, &|| ALLOCATOR.stats().bytes_allocated);
}

/// What a watch holds besides its connection: before anything has happened, and after it has told of changes.
fn watches_are_cheap() {
    const WATCHES: usize = 1000;
    let store = Store::in_memory(Arc::new(SystemClock));
    store.commit_scan(scan(0, &versions(0), 0)).unwrap();
    let tags = Tags::new(
        store.clone(),
        Arc::new(SystemClock),
        CancellationToken::new(),
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let _inside = runtime.enter();
    let base = "/apis/tags.tagscope.dev/v1alpha1/namespaces/team-0/imagetags?watch=1&allowWatchBookmarks=true";
    let mut open = Vec::with_capacity(WATCHES);
    let before = held();
    for _ in 0..WATCHES {
        let position = store.snapshot().resource_version();
        let uri =
            format!("{base}&fieldSelector=repository%3Drepository-0&resourceVersion={position}");
        let (parts, ()) = Request::get(uri).body(()).unwrap().into_parts();
        let info = RequestInfo::parse(&Method::GET, &parts.uri);
        let answer = runtime.block_on(tags.respond(&parts, &info));
        let Payload::Stream(mut stream) = answer.into_body() else {
            panic!("a watch is a stream");
        };
        assert!(stream.next().now_or_never().is_none());
        open.push(stream);
    }
    let each = (held() - before) / WATCHES;
    println!("{each} bytes per watch, its connection aside");
    assert!(each <= 1024, "{each} bytes per watch");
    for round in 0..20 {
        let tag = versions(0).swap_remove(round).parse().unwrap();
        let (repository, policy) = (Key::new("team-0", "repository-0"), Key::new("p", "p"));
        let elected = Some((tag, None));
        store
            .commit_election(&repository, &policy, elected)
            .unwrap();
        for stream in &mut open {
            assert!(stream.next().now_or_never().is_some());
            assert!(stream.next().now_or_never().is_none());
        }
    }
    // The history, and the events that all of them share, are counted with them here.
    let each = (held() - before) / WATCHES;
    println!("{each} bytes per watch after 20 changes");
    assert!(each <= 1024, "{each} bytes per watch");
    drop(open);
    assert_eq!(store.followers(), 0);
}

/// However many policies elect from one repository, its tags are laid out once, and an election allocates nothing for
/// them; one that is governed holds what it ranks, and gives it back.
fn elections_are_cheap() {
    const POLICIES: usize = 10_000;
    let candidates: Candidates = versions(0).iter().collect();
    let policy = Policy::SemVer(Range::parse("*").unwrap());
    elect(&policy, None, &candidates).unwrap();
    let allocated = || ALLOCATOR.stats().bytes_allocated;
    let before = allocated();
    for _ in 0..POLICIES {
        elect(&policy, None, &candidates).unwrap();
    }
    assert_eq!(allocated() - before, 0, "bytes for {POLICIES} elections");

    let annotations = [(MINIMUM_AGE, "72h"), (DOWNGRADE, "forbid")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let in_force = Read::of(&annotations.into()).after(None);
    let (seen, platforms) = (|_: &str| None, |_: &str| Known::Unasked);
    let mirrored = |_: &str| Mirrored::NotYet;
    let facts = Facts {
        now: Timestamp::UNIX_EPOCH,
        current: None,
        is_listed: false,
        is_rebased: false,
        seen: &seen,
        refound: None,
        platforms: &platforms,
        mirrored: &mirrored,
    };
    let (before, held_before) = (allocated(), held());
    for _ in 0..100 {
        let verdict = govern(&policy, None, &candidates, &in_force, &facts).unwrap();
        assert_eq!(verdict.lag, Some(0));
    }
    let per_tag = (allocated() - before) / 100 / TAGS;
    println!("{per_tag} bytes per tag and governed election");
    assert!(per_tag <= 600, "{per_tag} bytes per tag");
    assert_eq!(held(), held_before, "nothing is kept");
}

/// The tag that a policy elects, by its number.
type Elected<'a> = &'a dyn Fn(usize) -> String;

/// The last of ten thousand policies that elect from one repository costs what the first ones cost, in their commits
/// and in what is held.
fn elections_of_one_repository() {
    const POLICIES: usize = 10_000;
    const SAMPLE: usize = 500;
    let key = Key::new("team-0", "repository-0");
    let names = versions(0);
    let all = |number: usize| names.get(number % names.len()).unwrap().clone();
    let one = |_: usize| names.first().unwrap().clone();
    let rows: [(&str, Elected<'_>); 2] = [("one tag for all", &one), ("all tags in turn", &all)];
    for (what, elected) in rows {
        let store = Store::in_memory_with(
            Arc::new(SystemClock),
            Limits {
                commits: 1,
                bytes: 0,
            },
        );
        store.commit_scan(scan(0, &names, 0)).unwrap();
        let before = held();
        let run = |numbers: std::ops::Range<usize>| {
            let before = ALLOCATOR.stats().bytes_allocated;
            let count = numbers.len();
            for number in numbers {
                let policy = Key::new("team-0", format!("policy-{number:05}"));
                let tag = elected(number).parse().unwrap();
                let committed = store.commit_election(&key, &policy, Some((tag, None)));
                assert_eq!(committed.unwrap().changed, 1);
            }
            (ALLOCATOR.stats().bytes_allocated - before) / count
        };
        let first = run(0..SAMPLE);
        run(SAMPLE..POLICIES - SAMPLE);
        let last = run(POLICIES - SAMPLE..POLICIES);
        println!("{what}: {first} bytes allocated per election, then {last}");
        assert!(
            last <= 2 * first && last <= 16 * 1024,
            "{first}, then {last}"
        );
        let each = (held() - before) / POLICIES;
        println!("{what}: {each} bytes per election");
        assert!(each <= 400, "{each} bytes per election");
    }
}
