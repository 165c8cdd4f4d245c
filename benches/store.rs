//! What the tag store costs and how fast it is: a thousand repositories of a thousand tags.
//!
//! Plain and printed, to be read next to the machine it ran on.
#![allow(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark prints"
)]

use std::alloc::System;
use std::collections::BTreeSet;
use std::hint::black_box;
use std::sync::Arc;

use futures::executor::block_on;
use jiff::Timestamp;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tagscope::clock::SystemClock;
use tagscope::object::Key;
use tagscope::store::{Limits, Owner, ResourceVersion, Scan, Store};
use tokio::time::Instant;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const REPOSITORIES: usize = 1000;
const TAGS: usize = 1000;
const ALL: usize = REPOSITORIES * TAGS;

fn main() {
    memory("v1.23.45", |_, below| {
        format!("v{}.{}.{}", below(3), below(40), below(60))
    });
    memory("2026.8.21-1234", |_, below| {
        format!(
            "202{}.{}.{}-{}",
            below(7),
            below(12) + 1,
            below(28) + 1,
            below(10_000)
        )
    });
    memory("main-0123abc-1755771072", |_, below| {
        format!(
            "main-{:07x}-{}",
            below(1 << 28),
            1_600_000_000 + below(200_000_000)
        )
    });
    throughput("in memory", &Store::in_memory(Arc::new(SystemClock)));
    on_disk();
}

/// Tags made by `name`, a thousand different ones per repository.
fn names(
    repository: usize,
    name: impl Fn(usize, &mut dyn FnMut(u64) -> u64) -> String,
) -> Vec<String> {
    let mut seed = repository as u64 + 1;
    let mut below = |bound: u64| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % bound
    };
    let mut names = BTreeSet::new();
    while names.len() < TAGS {
        names.insert(name(names.len(), &mut below));
    }
    names.into_iter().rev().collect()
}

fn versions(repository: usize) -> Vec<String> {
    names(repository, |_, below| {
        format!("v{}.{}.{}", below(3), below(40), below(60))
    })
}

fn scan(repository: usize, names: &[String]) -> Scan {
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
            .expect("an image name"),
        tags: names
            .iter()
            .map(|name| name.parse().expect("a tag"))
            .collect(),
        aside: Vec::new(),
        revision: "2345678901".to_owned(),
        time: Timestamp::UNIX_EPOCH,
        complete: true,
        dating: tagscope::store::Dating::AtFirst,
    }
}

fn held() -> usize {
    let stats = ALLOCATOR.stats();
    // What a reallocation adds or gives back is in these two already.
    stats.bytes_allocated - stats.bytes_deallocated
}

fn memory(like: &str, name: impl Fn(usize, &mut dyn FnMut(u64) -> u64) -> String + Copy) {
    let before = held();
    let store = Store::in_memory(Arc::new(SystemClock));
    for repository in 0..REPOSITORIES {
        store
            .commit_scan(scan(repository, &names(repository, name)))
            .expect("a commit");
    }
    let all = held() - before;
    println!(
        "store: {:.2} bytes per tag like {like}, all in",
        all as f64 / ALL as f64
    );
}

fn throughput(what: &str, store: &Store) {
    let scans: Vec<_> = (0..REPOSITORIES)
        .map(|repository| scan(repository, &versions(repository)))
        .collect();
    let again = scans.clone();
    let time = Instant::now();
    for scan in scans {
        store.commit_scan(scan).expect("a commit");
    }
    report(what, "first scans committed", ALL, time);

    let time = Instant::now();
    for scan in again.iter().cloned() {
        store.commit_scan(scan).expect("a commit");
    }
    report(what, "equal scans compared", ALL, time);

    let time = Instant::now();
    for mut scan in again {
        scan.tags.push("v9.9.9".parse().expect("a tag"));
        store.commit_scan(scan).expect("a commit");
    }
    report(
        what,
        "scans with one new tag each committed",
        REPOSITORIES,
        time,
    );

    let time = Instant::now();
    let tag = Some(("v9.9.9".parse().expect("a tag"), None));
    for tags in store.snapshot().repositories() {
        let key = &tags.owner().key;
        store
            .commit_election(key, key, tag.clone())
            .expect("a commit");
    }
    report(what, "elections committed", REPOSITORIES, time);

    let time = Instant::now();
    let count = store
        .snapshot()
        .repositories()
        .map(|tags| tags.entries_after(None).map(black_box).count())
        .sum();
    report(what, "entries of a snapshot read", count, time);

    let time = Instant::now();
    let mut count = 0;
    for tags in store.snapshot().repositories() {
        tags.for_each_descending(&mut |name| {
            black_box(name);
            count += 1;
        });
    }
    report(what, "names read in descending order", count, time);

    let snapshot = store.snapshot();
    let time = Instant::now();
    for tags in snapshot.repositories() {
        for tag in ["v0.0.0", "v1.20.30", "v9.9.9"] {
            black_box(tags.tag(tag));
        }
    }
    report(what, "tags found", 3 * REPOSITORIES, time);

    let time = Instant::now();
    let (mut position, mut count) = (ResourceVersion::start_of(store.epoch()), 0);
    while let Some(last) = store
        .changes_after(position, 1000)
        .expect("all is in the history")
        .last()
    {
        count += usize::try_from(last.resource_version().0 - position.0).expect("few");
        position = last.resource_version();
    }
    report(what, "changes pulled", count, time);
}

fn on_disk() {
    let path = tempfile::tempdir().expect("a directory");
    let open = || {
        Store::open_with(path.path(), 0, Arc::new(SystemClock), Limits::default()).expect("a store")
    };
    let store = open();
    throughput("on disk", &store);
    let time = Instant::now();
    block_on(store.flush()).expect("a flush");
    report("on disk", "flush of what is left", 1, time);
    block_on(store.close()).expect("a close");
    drop(store);
    let size = std::fs::metadata(path.path().join("tags-1.redb"))
        .expect("a file")
        .len();
    println!(
        "store: on disk: {:.2} bytes per tag",
        size as f64 / ALL as f64
    );
    let time = Instant::now();
    let count = open().snapshot().tag_count();
    report("on disk", "tags served after opening again", count, time);
}

fn report(what: &str, done: &str, count: usize, since: Instant) {
    let took = since.elapsed();
    let each = took.as_secs_f64() * 1e9 / count as f64;
    println!(
        "store: {what}: {count} {done} in {:.1} ms ({each:.0} ns each)",
        took.as_secs_f64() * 1e3
    );
}
