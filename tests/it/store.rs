//! The tag store as its users see it: many readers beside a writer, and what a restart keeps.
#![allow(clippy::unwrap_used, reason = "a test, helpers included")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use jiff::Timestamp;
use tagscope::clock::SystemClock;
use tagscope::object::Key;
use tagscope::store::{Change, Limits, Owner, ResourceVersion, Scan, Store};

const REPOSITORIES: usize = 5;

fn key(repository: usize) -> Key {
    Key::new("apps", format!("r{repository}"))
}

/// A scan whose revision says how many tags it has.
fn scan(repository: usize, tags: usize) -> Scan {
    Scan {
        owner: Owner {
            key: key(repository),
            uid: format!("uid-{repository}"),
            created: Timestamp::UNIX_EPOCH,
            labels: BTreeMap::new(),
        },
        image: "ghcr.io/o/i".parse().unwrap(),
        tags: (0..tags)
            .map(|i| format!("v1.{i}").parse().unwrap())
            .collect(),
        aside: Vec::new(),
        revision: tags.to_string(),
        time: Timestamp::UNIX_EPOCH,
        complete: true,
        dating: tagscope::store::Dating::Now,
    }
}

/// Every snapshot is whole, and never older than the one before.
fn read(store: &Store, start: ResourceVersion, is_done: &AtomicBool, snapshots: &AtomicU64) {
    let mut newest = start;
    while !is_done.load(Ordering::SeqCst) {
        let snapshot = store.snapshot();
        let version = snapshot.resource_version();
        assert!(version >= newest);
        let changes = store.changes_after(newest, usize::MAX).unwrap();
        let told = changes.last().map_or(newest, Change::resource_version);
        assert!(told >= version, "what a snapshot shows, the history tells");
        newest = version;
        let mut count = 0;
        for tags in snapshot.repositories() {
            assert_eq!(tags.revision(), tags.tag_count().to_string());
            assert_eq!(tags.entries_after(None).count(), tags.tag_count());
            assert!(
                tags.entries_after(None)
                    .all(|entry| entry.resource_version <= version)
            );
            assert!(tags.resource_version() <= version);
            assert!(
                tags.elections()
                    .iter()
                    .all(|election| tags.tag(election.tag.as_str()).is_some())
            );
            count += tags.tag_count();
        }
        assert_eq!(count, snapshot.tag_count());
        assert!(
            store.changes_after(version, 1).is_ok(),
            "a snapshot's version is never in the future"
        );
        snapshots.fetch_add(1, Ordering::SeqCst);
    }
}

/// Follows every change from the start on, and ends with what the store holds.
fn follow(store: &Store, start: ResourceVersion, is_done: &AtomicBool) {
    let mut position = start;
    let mut versions: BTreeMap<String, u64> = BTreeMap::new();
    loop {
        let is_last = is_done.load(Ordering::SeqCst);
        let changes = store.changes_after(position, 100).unwrap();
        for change in &changes {
            assert_eq!(
                change.resource_version().0,
                position.0 + 1,
                "no change is skipped"
            );
            position = change.resource_version();
            if let Change::Tag {
                repository,
                before,
                after,
                ..
            } = change
            {
                let tag = &after.as_ref().or(before.as_ref()).unwrap().tag;
                let name = format!("{}:{tag}", repository.owner().key);
                let held = match after {
                    Some(after) => versions.insert(name, after.resource_version.0),
                    None => versions.remove(&name),
                };
                assert_eq!(held, before.as_ref().map(|entry| entry.resource_version.0));
            }
        }
        if is_last && changes.is_empty() {
            break;
        }
        if changes.is_empty() {
            thread::yield_now();
        }
    }
    let snapshot = store.snapshot();
    let expected: BTreeMap<_, _> = snapshot
        .repositories()
        .flat_map(|tags| {
            let name = tags.owner().key.to_string();
            tags.entries_after(None)
                .map(|entry| (format!("{name}:{}", entry.tag), entry.resource_version.0))
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(
        (position, versions),
        (snapshot.resource_version(), expected)
    );
}

#[test]
fn readers_see_whole_moments_while_writers_commit() {
    let path = tempfile::tempdir().unwrap();
    let limits = Limits {
        commits: 1 << 20,
        bytes: usize::MAX,
    };
    let store = Store::open_with(path.path(), 0, Arc::new(SystemClock), limits).unwrap();
    let start = store.snapshot().resource_version();
    let (is_done, snapshots) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| read(&store, start, &is_done, &snapshots));
            scope.spawn(|| follow(&store, start, &is_done));
        }
        let writers: Vec<_> = (0..2usize)
            .map(|writer| {
                let store = &store;
                scope.spawn(move || {
                    for round in 0..300 {
                        let repository = (round * 7 + writer) % REPOSITORIES;
                        let policy = Key::new("apps", format!("p{writer}"));
                        store
                            .commit_scan(scan(repository, (round * 13 + writer) % 60))
                            .unwrap();
                        let tag = format!("v1.{}", round % 40).parse().unwrap();
                        store
                            .commit_election(&key(repository), &policy, Some((tag, None)))
                            .unwrap();
                        if round % 50 == 49 {
                            store.remove_repository(&key(repository)).unwrap();
                        }
                    }
                })
            })
            .collect();
        let results: Vec<_> = writers
            .into_iter()
            .map(thread::ScopedJoinHandle::join)
            .collect();
        is_done.store(true, Ordering::SeqCst);
        for result in results {
            result.unwrap();
        }
    });
    assert!(snapshots.load(Ordering::SeqCst) > 0);
}

#[tokio::test]
async fn a_reader_waits_for_changes_and_reads_them() {
    let store = Store::in_memory(Arc::new(SystemClock));
    let mut changed = store.changed();
    let start = *changed.borrow_and_update();
    let reader = {
        let store = store.clone();
        async move {
            changed.changed().await.unwrap();
            let newest = *changed.borrow_and_update();
            (store.changes_after(start, 10).unwrap().len(), newest)
        }
    };
    let writer = async { store.commit_scan(scan(0, 3)).unwrap() };
    let ((read, newest), committed) = tokio::join!(reader, writer);
    assert_eq!((read, newest), (4, committed.resource_version));
}

#[tokio::test]
async fn a_restart_serves_at_once_what_was_there() {
    let path = tempfile::tempdir().unwrap();
    let open = |last_epoch| Store::open(path.path(), last_epoch, Arc::new(SystemClock)).unwrap();
    let store = open(0);
    let policy = Key::new("apps", "p");
    let digest = format!("sha256:{}", "a".repeat(64)).parse().unwrap();
    store
        .commit_scan(Scan {
            dating: tagscope::store::Dating::AtFirst,
            aside: vec!["sha256-1.sig".parse().unwrap()],
            ..scan(0, 3)
        })
        .unwrap();
    store.commit_scan(scan(0, 5)).unwrap();
    let elected = Some(("v1.4".parse().unwrap(), Some(digest)));
    store.commit_election(&key(0), &policy, elected).unwrap();
    store.flush().await.unwrap();
    let before = store.snapshot();
    store.close().await.unwrap();
    drop(store);

    let after = open(1).snapshot();
    assert_eq!(after.resource_version(), before.resource_version());
    let (was, is) = (
        before.repository(&key(0)).unwrap(),
        after.repository(&key(0)).unwrap(),
    );
    assert!(is.entries_after(None).eq(was.entries_after(None)));
    assert_eq!(
        (is.owner(), is.image(), is.revision()),
        (was.owner(), was.image(), was.revision())
    );
    assert_eq!(
        (is.resource_version(), is.scan_time()),
        (was.resource_version(), was.scan_time())
    );
    assert_eq!((is.elections(), is.aside()), (was.elections(), was.aside()));
    let tag = is.tag("v1.4").unwrap();
    assert!(tag.first_seen.is_some() && tag.incarnation > 0 && tag.digest.is_some());
    assert_eq!(Vec::from_iter(&tag.selected_by), [&policy]);
}
