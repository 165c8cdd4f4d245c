//! The world against a sorted map: whatever is set and unset, order, counts and places agree.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::{Snapshot, Spot};
use super::*;
use crate::clock::SystemClock;
use crate::store::{Dating, Owner, Scan, Store};

#[test]
fn a_longer_name_comes_before_its_own_beginning() {
    let order = |a: &str, b: &str| listing_order(&Key::new("n", a), &Key::new("n", b));
    assert_eq!(order("a-b", "a"), Ordering::Less);
    assert_eq!(order("a.b", "a"), Ordering::Less);
    assert_eq!(order("a1", "a"), Ordering::Less);
    assert_eq!(order("ab", "a"), Ordering::Greater);
    assert_eq!(order("a", "a"), Ordering::Equal);
    assert_eq!(
        listing_order(&Key::new("m", "z"), &Key::new("n", "a")),
        Ordering::Less
    );
}

/// The moment of a repository with so many tags, made by a store of its own.
fn moment(key: &Key, tags: usize) -> Arc<RepositoryTags> {
    let store = Store::in_memory(Arc::new(SystemClock));
    let scan = Scan {
        owner: Owner {
            key: key.clone(),
            uid: "u".to_owned(),
            created: jiff::Timestamp::UNIX_EPOCH,
            labels: BTreeMap::new(),
        },
        image: "ghcr.io/a/b".parse().unwrap(),
        tags: (0..tags)
            .map(|n| format!("t{n}").parse().unwrap())
            .collect(),
        aside: Vec::new(),
        revision: "1".to_owned(),
        time: jiff::Timestamp::UNIX_EPOCH,
        complete: true,
        dating: Dating::AtFirst,
    };
    store.commit_scan(scan).unwrap();
    store.snapshot().repository(key).unwrap()
}

fn key(number: usize) -> Key {
    // Names that are beginnings of one another, over three namespaces.
    Key::new(
        ["m", "n", "n-o"][number % 3],
        format!("a{}", "-b".repeat(number / 3)),
    )
}

fn listed(snapshot: &Snapshot) -> Vec<(String, usize)> {
    let one = |tags: Arc<RepositoryTags>| (tags.owner.key.to_string(), tags.tag_count());
    snapshot.repositories().map(one).collect()
}

/// Walks from place to place and checks what each says.
fn check(snapshot: &Snapshot) {
    let (mut spot, mut before, mut walked) = (Spot::default(), 0, Vec::new());
    while let Some(tags) = snapshot.at(spot) {
        assert_eq!(snapshot.tags_before(spot), before);
        let here = &tags.owner.key;
        assert_eq!(snapshot.spot(|key| listing_order(key, here).is_lt()), spot);
        assert!(Arc::ptr_eq(&snapshot.repository(here).unwrap(), tags));
        before += tags.tag_count();
        walked.push((here.to_string(), tags.tag_count()));
        spot = snapshot.after(spot);
    }
    assert_eq!(snapshot.tags_before(snapshot.end()), before);
    assert_eq!(snapshot.tag_count(), before);
    assert_eq!(walked, listed(snapshot));
}

#[test]
fn many_repositories_come_and_go_in_any_order() {
    let moments: Vec<_> = (0..600).map(|n| (key(n), moment(&key(n), n % 3))).collect();
    let mut world = World::new(1, Vec::new());
    // 7 and 600 have no common factor: every repository once, in no order.
    for step in 0..600 {
        let (key, tags) = &moments[step * 7 % 600];
        world = world.with(1, key, Some(Arc::clone(tags)));
    }
    assert!(
        world.chunks.len() > 4
            && world
                .chunks
                .iter()
                .all(|chunk| chunk.repositories.len() <= CHUNK)
    );
    let full = Snapshot {
        world: Arc::new(world.clone()),
    };
    check(&full);
    let sorted = World::new(
        1,
        moments.iter().map(|(_, tags)| Arc::clone(tags)).collect(),
    );
    assert_eq!(
        listed(&full),
        listed(&Snapshot {
            world: Arc::new(sorted)
        })
    );
    assert_eq!(full.repositories_in("n").count(), 200);
    // One replaced repository costs its own weight and a chunk, not the store.
    let (last, tags) = &moments[599];
    let next = Snapshot {
        world: Arc::new(world.with(2, last, Some(moment(last, 1)))),
    };
    let beside = full.bytes_beside(&next);
    assert!(
        beside > weight::of(tags) && beside < full.world.heap_bytes() / 50,
        "{beside}"
    );
    for step in 0..600 {
        world.set(&moments[step * 11 % 600].0, None);
        if step % 50 == 0 {
            check(&Snapshot {
                world: Arc::new(world.clone()),
            });
        }
    }
    assert!(world.chunks.is_empty() && world.tags == 0);
    check(&full);
}

proptest! {
    #[test]
    fn repositories_are_ordered_as_the_names_of_their_tags(a in "[a-c0-1.-]{1,5}", b in "[a-c0-1.-]{1,5}", tag in "[a-z0-9_.-]{1,3}") {
        prop_assume!(a != b);
        let names = format!("{a}:{tag}").cmp(&format!("{b}:{tag}"));
        prop_assert_eq!(listing_order(&Key::new("n", a), &Key::new("n", b)), names);
    }
}
