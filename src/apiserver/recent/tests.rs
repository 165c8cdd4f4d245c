//! Who is kept, who goes, and that no state costs more than what it alone holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::clock::SystemClock;
use crate::object::Key;
use crate::store::{Dating, Owner, Scan, Store};

fn store() -> Store {
    Store::in_memory(Arc::new(SystemClock))
}

/// Commits another list of `tags` tags to one of many repositories, and shows the state.
fn next(store: &Store, repository: usize, tags: usize) -> Snapshot {
    let scan = Scan {
        owner: Owner {
            key: Key::new("n", format!("r{repository}")),
            uid: "u".to_owned(),
            created: jiff::Timestamp::UNIX_EPOCH,
            labels: BTreeMap::new(),
        },
        image: "ghcr.io/a/b".parse().unwrap(),
        tags: (0..tags)
            .map(|n| {
                format!("t{n}-{}", store.snapshot().resource_version())
                    .parse()
                    .unwrap()
            })
            .collect(),
        aside: Vec::new(),
        revision: "1".to_owned(),
        time: jiff::Timestamp::UNIX_EPOCH,
        complete: true,
        dating: Dating::Now,
    };
    store.commit_scan(scan).unwrap();
    store.snapshot()
}

fn bytes(recent: &Recent) -> usize {
    recent.kept.lock().iter().map(|kept| kept.bytes).sum()
}

#[tokio::test(start_paused = true)]
async fn a_state_is_kept_for_its_time_after_each_page() {
    let (store, recent) = (store(), Recent::default());
    let state = next(&store, 0, 3);
    recent.keep(&state);
    for seconds in [299, 299, 299] {
        tokio::time::advance(Duration::from_secs(seconds)).await;
        assert!(recent.at(state.resource_version()).is_some());
    }
    tokio::time::advance(MAX_AGE).await;
    assert!(recent.at(state.resource_version()).is_none());
    assert!(recent.kept.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn hundreds_of_states_are_kept_while_they_share() {
    let (store, recent) = (store(), Recent::default());
    for repository in 0..1000 {
        next(&store, repository, 20);
    }
    let states: Vec<_> = (0..500).map(|n| next(&store, n, 20)).collect();
    for state in &states {
        recent.keep(state);
        recent.keep(state);
    }
    assert!(
        states
            .iter()
            .all(|state| recent.at(state.resource_version()).is_some())
    );
    // A page of every version costs a chunk and a repository each, far from the whole store.
    assert!(bytes(&recent) < 500 * 4096, "{}", bytes(&recent));
}

#[tokio::test(start_paused = true)]
async fn who_reads_on_is_not_pushed_out_by_who_reads_two_pages_of_everything() {
    let (store, recent) = (store(), Recent::within(100_000));
    let first = next(&store, 0, 200);
    let version = first.resource_version();
    recent.keep(&first);
    for page in 0..500 {
        let state = next(&store, 0, 200);
        recent.keep(&state);
        assert!(bytes(&recent) <= 100_000);
        assert!(
            recent.at(state.resource_version()).is_some(),
            "the newest is kept"
        );
        if page % 50 == 0 {
            assert!(recent.at(version).is_some(), "after {page}");
            assert!(recent.at(version).is_some(), "after {page}");
        }
        tokio::time::advance(Duration::from_millis(100)).await;
    }
    assert!(recent.kept.lock().len() < 500);
}

#[tokio::test(start_paused = true)]
async fn states_kept_out_of_order_are_weighed_by_their_neighbours() {
    let (store, recent) = (store(), Recent::default());
    let states: Vec<_> = (0..3).map(|_| next(&store, 0, 500)).collect();
    for at in [2, 0, 1] {
        recent.keep(&states[at]);
    }
    let kept = recent.kept.lock();
    let versions: Vec<_> = kept
        .iter()
        .map(|kept| kept.snapshot.resource_version())
        .collect();
    assert!(versions.is_sorted() && versions.len() == 3);
    for pair in kept.windows(2) {
        assert_eq!(
            pair[0].bytes,
            pair[0].snapshot.bytes_beside(&pair[1].snapshot)
        );
        assert!(pair[0].bytes > 2000);
    }
    assert_eq!(kept[2].bytes, 0);
}
