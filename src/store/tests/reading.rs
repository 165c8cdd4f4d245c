//! Positions in the history, the order in which a snapshot is read, limits, and the end.

use super::*;

#[test]
fn positions_in_the_middle_of_a_commit_are_positions() {
    let store = store();
    store.commit_scan(first_scan(&["a", "b", "c"])).unwrap();
    for skipped in 0..=4 {
        let expected = ["+a", "+b", "+c", "+set"];
        assert_eq!(
            told(&store, ResourceVersion(EPOCH_1 + skipped as u64)),
            expected[skipped..]
        );
    }
    assert_eq!(
        store
            .changes_after(ResourceVersion(EPOCH_1 + 1), 2)
            .unwrap()
            .len(),
        2
    );
    assert!(
        store
            .changes_after(ResourceVersion(EPOCH_1), 0)
            .unwrap()
            .is_empty()
    );
}

#[test]
fn changed_sets_are_told_without_their_tags() {
    let store = store();
    let start = ResourceVersion(EPOCH_1);
    assert_eq!(store.sets_after(start, 9).unwrap().1, start, "nothing yet");
    store.commit_scan(first_scan(&["a", "b", "c"])).unwrap();
    let first = store.snapshot().resource_version();
    store.commit_scan(scan(&["a"], 60)).unwrap();
    let newest = store.snapshot().resource_version();
    let counts = |from, limit| {
        let (sets, end) = store.sets_after(from, limit).unwrap();
        let counts: Vec<_> = sets
            .iter()
            .map(|(before, after)| {
                [before, after].map(|set| set.as_ref().map_or(0, |set| set.tag_count()))
            })
            .collect();
        (counts, end)
    };
    assert_eq!(counts(start, 9), (vec![[0, 3], [3, 1]], newest));
    assert_eq!(counts(start, 1), (vec![[0, 3]], first));
    let middle = ResourceVersion(EPOCH_1 + 2);
    assert_eq!(counts(middle, 1), (vec![[0, 3]], first), "it ends after it");
    assert_eq!(counts(first, 9), (vec![[3, 1]], newest));
    assert_eq!(counts(newest, 9), (vec![], newest));
    let future = ResourceVersion(newest.0 + 1);
    assert!(store.sets_after(future, 9).is_err());
}

#[test]
fn foreign_future_and_forgotten_positions_are_expired() {
    let limits = Limits {
        commits: 2,
        bytes: usize::MAX,
    };
    let store = Store::in_memory_with(Arc::new(SystemClock), limits);
    store.commit_scan(first_scan(&["a"])).unwrap();
    for name in ["b", "c"] {
        store.commit_scan(scan(&[name], 60)).unwrap();
    }
    let oldest = ResourceVersion(EPOCH_1 + 2);
    for asked in [0, 1, EPOCH_1, EPOCH_1 + 1, EPOCH_1 + 9, 2 << 40, u64::MAX].map(ResourceVersion) {
        assert_eq!(
            store.changes_after(asked, 10).unwrap_err(),
            Expired { asked, oldest }
        );
    }
    assert_eq!(
        told(&store, oldest),
        ["-a", "+b", "~set", "-b", "+c", "~set"]
    );
    let expired = Expired {
        asked: ResourceVersion(7),
        oldest: ResourceVersion(9),
    };
    assert_eq!(expired.to_string(), "too old resource version: 7 (9)");
}

#[test]
fn history_is_bounded_by_bytes_and_keeps_the_last_commit() {
    let store = Store::in_memory_with(
        Arc::new(SystemClock),
        Limits {
            commits: 1000,
            bytes: 20_000,
        },
    );
    store.commit_scan(first_scan(&["a"])).unwrap();
    for round in 0..500 {
        store
            .commit_scan(scan(&[if round % 2 == 0 { "b" } else { "c" }], round))
            .unwrap();
        assert!(store.history_bytes() <= 20_000, "{}", store.history_bytes());
    }
    let tight = Store::in_memory_with(
        Arc::new(SystemClock),
        Limits {
            commits: 1000,
            bytes: 1,
        },
    );
    tight.commit_scan(first_scan(&["a"])).unwrap();
    tight.commit_scan(scan(&["b"], 60)).unwrap();
    assert_eq!(
        told(&tight, ResourceVersion(EPOCH_1 + 2)),
        ["-a", "+b", "~set"]
    );
}

#[test]
fn entries_are_read_forwards_backwards_and_from_anywhere() {
    let store = store();
    let all: Vec<_> = (0..100).map(|i| format!("v1.{i}")).collect();
    store
        .commit_scan(first_scan(
            &all.iter().map(String::as_str).collect::<Vec<_>>(),
        ))
        .unwrap();
    elect(&store, "p", "v1.50", None);
    let mut sorted = all.clone();
    sorted.sort();
    let held = held(&store);
    assert_eq!(names(held.entries_after(None)), sorted);
    assert_eq!(
        names(held.entries_after(Some("v1.5"))),
        sorted
            .iter()
            .filter(|n| n.as_str() > "v1.5")
            .cloned()
            .collect::<Vec<_>>()
    );
    assert_eq!(names(held.entries_after(Some("z"))), [""; 0]);
    let elected: Vec<_> = held
        .entries_after(Some("v1.49"))
        .filter(|entry| !entry.selected_by.is_empty())
        .collect();
    assert_eq!(names(elected.into_iter()), ["v1.50"]);
    let mut descending = Vec::new();
    held.for_each_descending(&mut |name| descending.push(name.to_owned()));
    descending.reverse();
    assert_eq!(descending, sorted);
}

#[test]
fn repositories_come_in_listing_order() {
    let store = store();
    for (namespace, name) in [
        ("b", "x"),
        ("a", "a"),
        ("a", "a-b"),
        ("a", "a.b"),
        ("a-a", "z"),
    ] {
        let owner = Owner {
            key: Key::new(namespace, name),
            ..owner()
        };
        store
            .commit_scan(Scan {
                owner,
                ..first_scan(&["t"])
            })
            .unwrap();
    }
    let snapshot = store.snapshot();
    let keys = |tags: Arc<RepositoryTags>| tags.owner().key.to_string();
    let listed: Vec<_> = snapshot.repositories().map(keys).collect();
    assert_eq!(listed, ["a/a-b", "a/a.b", "a/a", "a-a/z", "b/x"]);
    assert_eq!(
        snapshot.repositories_in("a").map(keys).collect::<Vec<_>>(),
        ["a/a-b", "a/a.b", "a/a"]
    );
    assert_eq!(snapshot.repositories_in("c").count(), 0);
    assert_eq!(snapshot.tag_count(), 5);
}

#[test]
fn a_list_beyond_the_limit_is_an_error_with_its_number() {
    assert!(plan::check_count(&owner(), table::MAX_TAGS).is_ok());
    let error = plan::check_count(&owner(), table::MAX_TAGS + 1).unwrap_err();
    assert_eq!(
        error.to_string(),
        "apps/podinfo lists 8388609 tags, more than the limit of 8388608"
    );
}

#[test]
fn a_closed_store_is_read_and_takes_no_commits() {
    let store = store();
    store.commit_scan(first_scan(&["a"])).unwrap();
    futures::executor::block_on(store.close()).unwrap();
    assert!(matches!(
        store.commit_scan(scan(&["b"], 60)),
        Err(Error::Closed)
    ));
    assert_eq!(names(held(&store).entries_after(None)), ["a"]);
}
