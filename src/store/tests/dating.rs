//! How old tags are: after a lost store, and when they are pushed again.

use super::*;
use crate::store::{Election, Pushed};

#[test]
fn the_tags_of_a_lost_store_are_dated_as_the_scan_says() {
    let rows = [
        (Dating::AtFirst, None, None),
        (Dating::Known(at(-500)), Some(at(-500)), None),
        (Dating::Refound, Some(at(60)), Some(at(60))),
        (Dating::Now, Some(at(60)), None),
    ];
    for (dating, seen, refound) in rows {
        let store = store();
        store
            .commit_scan(Scan {
                dating,
                ..scan(&["a", "b"], 60)
            })
            .unwrap();
        store.commit_scan(scan(&["a", "b", "c"], 120)).unwrap();
        let held = held(&store);
        assert_eq!(
            (held.seen("a"), held.seen("c"), held.refound()),
            (seen, Some(at(120)), refound),
            "{dating:?}"
        );
        assert_eq!(held.tag("a").unwrap().first_seen, seen, "{dating:?}");
        assert_eq!(held.seen("d"), None);
    }
}

#[test]
fn the_tags_that_a_store_that_is_behind_lacks_are_dated_as_the_scan_says() {
    let rows = [
        (Dating::AtFirst, at(60), None),
        (Dating::Known(at(30)), at(30), None),
        (Dating::Refound, at(60), Some(at(60))),
        (Dating::Now, at(60), None),
    ];
    for (dating, seen, refound) in rows {
        let store = store();
        store.commit_scan(first_scan(&["a"])).unwrap();
        let scan = Scan {
            dating,
            ..scan(&["a", "b"], 60)
        };
        store.commit_scan(scan).unwrap();
        let held = held(&store);
        assert_eq!(
            (held.seen("a"), held.seen("b"), held.refound()),
            (None, Some(seen), refound),
            "{dating:?}"
        );
    }
}

#[test]
fn only_tags_that_appear_are_refound() {
    let store = store();
    store.commit_scan(first_scan(&["a", "b"])).unwrap();
    store
        .commit_scan(Scan {
            dating: Dating::Refound,
            ..scan(&["a"], 60)
        })
        .unwrap();
    assert_eq!(held(&store).refound(), None);
}

#[test]
fn a_turn_to_another_image_and_back_makes_no_tag_old() {
    let store = store();
    store.commit_scan(first_scan(&["a"])).unwrap();
    assert_eq!(held(&store).seen("a"), None);
    let other = Scan {
        image: "registry.test/another/image".parse().unwrap(),
        ..scan(&["a"], 120)
    };
    for (scan, expected) in [(other, 120), (scan(&["a", "b"], 180), 180)] {
        store.commit_scan(scan).unwrap();
        let held = held(&store);
        assert_eq!(
            (held.seen("a"), held.refound()),
            (Some(at(expected)), Some(at(expected)))
        );
        assert_eq!(
            held.tag("a").unwrap().first_seen,
            None,
            "it is served without"
        );
    }
    store.commit_scan(scan(&["a", "b", "c"], 240)).unwrap();
    let held = held(&store);
    assert_eq!(
        (held.seen("b"), held.seen("c")),
        (Some(at(180)), Some(at(240)))
    );
}

#[test]
fn a_tag_that_was_pushed_again_is_as_old_as_its_newest_push() {
    let store = store();
    store.commit_scan(first_scan(&["a", "b"])).unwrap();
    let election = |by: &str, pushed: Option<i64>| Election {
        policy: policy(by),
        tag: "a".parse().unwrap(),
        digest: Some(digest('1')),
        pushed: pushed.map(|seconds| Pushed {
            digest: digest('2'),
            seen: at(seconds),
        }),
    };
    store.commit_pushed(&key(), &election("p", None)).unwrap();
    assert_eq!(held(&store).seen("a"), None);
    let before = held(&store).tag("a").unwrap();
    let committed = store
        .commit_pushed(&key(), &election("p", Some(9)))
        .unwrap();
    assert_eq!(
        (committed.changed, held(&store).tag("a").unwrap()),
        (0, before),
        "it is served as it was"
    );
    store
        .commit_pushed(&key(), &election("q", Some(7)))
        .unwrap();
    assert_eq!(held(&store).seen("a"), Some(at(9)));
    assert_eq!(held(&store).seen("b"), None);
    store.commit_election(&key(), &policy("p"), None).unwrap();
    assert_eq!(held(&store).seen("a"), Some(at(7)));
}
