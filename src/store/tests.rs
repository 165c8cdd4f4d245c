//! The rules, one statement each. `model` holds the store to a naive model; here one can read what it promises.

mod dating;
mod many;
mod model;
mod reading;

use std::sync::Arc;

use jiff::Timestamp;

use super::*;
use crate::clock::SystemClock;

const EPOCH_1: u64 = 1 << 40;

fn store() -> Store {
    Store::in_memory(Arc::new(SystemClock))
}

fn key() -> Key {
    Key::new("apps", "podinfo")
}

fn policy(name: &str) -> Key {
    Key::new("apps", name)
}

fn owner() -> Owner {
    let created = Timestamp::from_second(1_600_000_000).unwrap();
    Owner {
        key: key(),
        uid: "uid-1".to_owned(),
        created,
        labels: [("team".to_owned(), "a".to_owned())].into(),
    }
}

fn tags(names: &[&str]) -> Vec<Tag> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn digest(fill: char) -> Digest {
    format!("sha256:{}", fill.to_string().repeat(64))
        .parse()
        .unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

/// A complete later scan at second `seconds`.
fn scan(names: &[&str], seconds: i64) -> Scan {
    let mut sorted = names.to_vec();
    sorted.sort_unstable();
    Scan {
        owner: owner(),
        image: "ghcr.io/stefanprodan/podinfo".parse().unwrap(),
        tags: tags(names),
        aside: Vec::new(),
        revision: sorted.join(","),
        time: at(seconds),
        complete: true,
        dating: Dating::Now,
    }
}

fn first_scan(names: &[&str]) -> Scan {
    Scan {
        dating: Dating::AtFirst,
        ..scan(names, 0)
    }
}

fn held(store: &Store) -> Arc<RepositoryTags> {
    store.snapshot().repository(&key()).unwrap()
}

fn electors(held: &RepositoryTags, tag: &str) -> Vec<Key> {
    let entry = held.tag(tag).unwrap();
    entry.selected_by.iter().cloned().collect()
}

fn names(entries: impl Iterator<Item = TagEntry>) -> Vec<String> {
    entries.map(|entry| entry.tag.to_string()).collect()
}

fn elect(store: &Store, by: &str, tag: &str, digest: Option<Digest>) -> Committed {
    store
        .commit_election(&key(), &policy(by), Some((tag.parse().unwrap(), digest)))
        .unwrap()
}

/// `+` appeared, `~` changed, `-` vanished; the TagSet is called `set`.
fn told(store: &Store, after: ResourceVersion) -> Vec<String> {
    let sign = |before: bool, after: bool| match (before, after) {
        (false, true) => '+',
        (true, true) => '~',
        (true, false) => '-',
        (false, false) => '?',
    };
    let changes = store.changes_after(after, usize::MAX).unwrap();
    let mut version = after.0;
    changes
        .iter()
        .map(|change| {
            version += 1;
            assert_eq!(
                change.resource_version().0,
                version,
                "versions are consecutive"
            );
            match change {
                Change::Tag { before, after, .. } => {
                    let name = &after.as_ref().or(before.as_ref()).unwrap().tag;
                    format!("{}{name}", sign(before.is_some(), after.is_some()))
                }
                Change::Set { before, after, .. } => {
                    format!("{}set", sign(before.is_some(), after.is_some()))
                }
            }
        })
        .collect()
}

#[test]
fn an_empty_store_stands_at_the_start_of_its_epoch() {
    let store = store();
    assert_eq!(
        (store.epoch(), store.snapshot().resource_version().0),
        (1, EPOCH_1)
    );
    assert_eq!(store.snapshot().repositories().count(), 0);
    assert!(
        store
            .changes_after(ResourceVersion(EPOCH_1), 10)
            .unwrap()
            .is_empty()
    );
}

#[test]
fn a_first_scan_gives_every_tag_its_own_version_in_name_order_and_the_set_the_last() {
    let store = store();
    let committed = store
        .commit_scan(first_scan(&["b", "c", "a", "b"]))
        .unwrap();
    assert_eq!(
        committed,
        Committed {
            added: 3,
            removed: 0,
            changed: 0,
            set_changed: true,
            resource_version: ResourceVersion(EPOCH_1 + 4)
        }
    );
    let held = held(&store);
    let seen: Vec<_> = held
        .entries_after(None)
        .map(|e| (e.tag.to_string(), e.resource_version.0 - EPOCH_1))
        .collect();
    assert_eq!(
        seen,
        [
            ("a".to_owned(), 1),
            ("b".to_owned(), 2),
            ("c".to_owned(), 3)
        ]
    );
    assert_eq!(held.resource_version().0, EPOCH_1 + 4);
    assert!(
        held.entries_after(None)
            .all(|entry| entry.incarnation == 0 && entry.first_seen.is_none())
    );
    assert_eq!(
        told(&store, ResourceVersion(EPOCH_1)),
        ["+a", "+b", "+c", "+set"]
    );
}

#[test]
fn tags_of_a_later_scan_know_when_they_were_seen_first_and_what_created_them() {
    let store = store();
    store.commit_scan(first_scan(&["b"])).unwrap();
    let before = store.snapshot().resource_version();
    store.commit_scan(scan(&["a", "b", "c"], 60)).unwrap();
    assert_eq!(told(&store, before), ["+a", "+c", "~set"]);
    let entry = held(&store).tag("c").unwrap();
    assert_eq!(
        (entry.incarnation, entry.resource_version.0),
        (before.0 + 2, before.0 + 2)
    );
    assert_eq!(entry.first_seen, Some(at(60)));
    assert_eq!(
        held(&store).tag("b").unwrap().resource_version.0,
        EPOCH_1 + 1
    );
}

#[test]
fn an_equal_scan_publishes_nothing_and_keeps_the_scan_time() {
    let store = store();
    store.commit_scan(first_scan(&["a", "b"])).unwrap();
    let before = store.snapshot().resource_version();
    let mut changed = store.changed();
    changed.mark_unchanged();
    let committed = store.commit_scan(scan(&["b", "a"], 60)).unwrap();
    assert_eq!(
        committed,
        Committed {
            added: 0,
            removed: 0,
            changed: 0,
            set_changed: false,
            resource_version: before
        }
    );
    assert_eq!(held(&store).scan_time(), at(0));
    assert!(!changed.has_changed().unwrap());
}

#[test]
fn a_revision_a_completeness_and_a_signature_change_the_set_alone() {
    let store = store();
    store.commit_scan(first_scan(&["a"])).unwrap();
    let steps = [
        Scan {
            revision: "other".to_owned(),
            ..scan(&["a"], 1)
        },
        Scan {
            revision: "other".to_owned(),
            complete: false,
            ..scan(&["a"], 2)
        },
        Scan {
            revision: "other".to_owned(),
            aside: tags(&["sha256-x.sig"]),
            ..scan(&["a"], 3)
        },
    ];
    for (step, seconds) in steps.into_iter().zip(1..) {
        let before = store.snapshot().resource_version();
        let committed = store.commit_scan(step).unwrap();
        assert_eq!(
            (
                committed.added,
                committed.removed,
                committed.changed,
                committed.set_changed
            ),
            (0, 0, 0, true)
        );
        assert_eq!(told(&store, before), ["~set"]);
        assert_eq!(held(&store).scan_time(), at(seconds));
    }
    assert_eq!(held(&store).aside(), tags(&["sha256-x.sig"]));
}

#[test]
fn a_list_that_may_be_incomplete_only_adds() {
    let store = store();
    store
        .commit_scan(Scan {
            aside: tags(&["x.sig"]),
            ..first_scan(&["a", "b"])
        })
        .unwrap();
    let before = store.snapshot().resource_version();
    let some = Scan {
        complete: false,
        aside: tags(&["y.sig"]),
        ..scan(&["c"], 60)
    };
    store.commit_scan(some.clone()).unwrap();
    assert_eq!(told(&store, before), ["+c", "~set"]);
    assert_eq!(names(held(&store).entries_after(None)), ["a", "b", "c"]);
    assert_eq!(held(&store).aside(), tags(&["x.sig", "y.sig"]));
    assert!(!held(&store).is_complete());
    assert!(
        !store.commit_scan(some).unwrap().set_changed,
        "again is nothing new"
    );
}

#[test]
fn an_election_changes_the_tags_and_not_the_set() {
    let store = store();
    store.commit_scan(first_scan(&["a", "b"])).unwrap();
    let set = held(&store).resource_version();
    let before = store.snapshot().resource_version();
    assert_eq!(elect(&store, "p", "b", Some(digest('1'))).changed, 1);
    assert_eq!(elect(&store, "p", "a", None).changed, 2);
    assert_eq!(
        elect(&store, "p", "a", None).changed,
        0,
        "again is nothing new"
    );
    assert_eq!(told(&store, before), ["~b", "~a", "~b"]);
    let held = held(&store);
    assert_eq!(held.resource_version(), set);
    assert_eq!(names(held.selected()), ["a"]);
    assert_eq!(electors(&held, "a"), [policy("p")]);
    let b = held.tag("b").unwrap();
    assert_eq!(
        (b.resource_version.0, b.selected_by.len(), b.digest),
        (before.0 + 3, 0, None)
    );
    assert_eq!(b.incarnation, 0, "an election does not create");
}

#[test]
fn the_electors_of_a_tag_are_sorted_and_one_can_withdraw() {
    let store = store();
    store.commit_scan(first_scan(&["a"])).unwrap();
    elect(&store, "q", "a", None);
    elect(&store, "p", "a", None);
    assert_eq!(electors(&held(&store), "a"), [policy("p"), policy("q")]);
    assert_eq!(
        store
            .commit_election(&key(), &policy("q"), None)
            .unwrap()
            .changed,
        1
    );
    assert_eq!(electors(&held(&store), "a"), [policy("p")]);
    assert_eq!(
        store
            .commit_election(&key(), &policy("q"), None)
            .unwrap()
            .changed,
        0
    );
}

#[test]
fn a_digest_is_the_latest_brought_as_long_as_an_election_vouches_for_it() {
    let store = store();
    store.commit_scan(first_scan(&["a"])).unwrap();
    let digest_of = |store: &Store| held(store).tag("a").unwrap().digest;
    elect(&store, "p", "a", Some(digest('1')));
    elect(&store, "q", "a", Some(digest('2')));
    assert_eq!(digest_of(&store), Some(digest('2')));
    elect(&store, "r", "a", None);
    assert_eq!(
        digest_of(&store),
        Some(digest('2')),
        "who brings none takes none away"
    );
    elect(&store, "q", "a", None);
    assert_eq!(digest_of(&store), Some(digest('1')));
    store.commit_election(&key(), &policy("p"), None).unwrap();
    assert_eq!(digest_of(&store), None);
}

#[test]
fn an_unknown_repository_or_tag_changes_nothing() {
    let store = store();
    assert_eq!(elect(&store, "p", "a", None).changed, 0);
    store.commit_scan(first_scan(&["a"])).unwrap();
    elect(&store, "p", "a", None);
    let before = store.snapshot().resource_version();
    assert_eq!(elect(&store, "p", "z", None).changed, 0);
    store
        .update_owner(Owner {
            key: policy("other"),
            ..owner()
        })
        .unwrap();
    store.remove_repository(&policy("other")).unwrap();
    assert_eq!(store.snapshot().resource_version(), before);
    assert_eq!(
        names(held(&store).selected()),
        ["a"],
        "the election from before stands"
    );
}

#[test]
fn an_elected_tag_takes_its_election_along_and_does_not_bring_it_back() {
    let store = store();
    store.commit_scan(first_scan(&["a", "b"])).unwrap();
    elect(&store, "p", "b", Some(digest('1')));
    let before = store.snapshot().resource_version();
    store.commit_scan(scan(&["a"], 60)).unwrap();
    match &store.changes_after(before, 1).unwrap()[0] {
        Change::Tag {
            before: Some(last),
            after: None,
            repository,
            ..
        } => {
            assert_eq!(
                (last.digest.as_ref(), &last.selected_by),
                (Some(&digest('1')), &[policy("p")].into_iter().collect())
            );
            assert_eq!(repository.tag_count(), 1, "the repository as it is after");
        }
        other => panic!("{other:?}"),
    }
    assert!(held(&store).elections().is_empty());
    store.commit_scan(scan(&["a", "b"], 120)).unwrap();
    let again = held(&store).tag("b").unwrap();
    assert!(again.selected_by.is_empty() && again.digest.is_none());
    assert_eq!(
        (again.incarnation, again.first_seen),
        (again.resource_version.0, Some(at(120))),
        "it is another object"
    );
}

#[test]
fn elections_survive_scans_that_move_their_tags() {
    let store = store();
    store.commit_scan(first_scan(&["b", "d", "f"])).unwrap();
    elect(&store, "p", "d", Some(digest('1')));
    elect(&store, "q", "f", None);
    elect(&store, "q", "d", None);
    let (d, f) = (
        held(&store).tag("d").unwrap(),
        held(&store).tag("f").unwrap(),
    );
    store
        .commit_scan(scan(&["a", "c", "d", "e", "f", "g"], 60))
        .unwrap();
    assert_eq!(held(&store).tag("d").unwrap(), d);
    assert_eq!(
        held(&store).tag("f").unwrap(),
        f,
        "the version of a lost election stays too"
    );
    assert_eq!(names(held(&store).selected()), ["d"]);
}

#[test]
fn many_lost_elections_are_folded_away_and_keep_their_versions() {
    let store = store();
    let all: Vec<_> = (100..300).map(|i| format!("v{i}")).collect();
    store
        .commit_scan(first_scan(
            &all.iter().map(String::as_str).collect::<Vec<_>>(),
        ))
        .unwrap();
    for name in &all {
        elect(&store, "p", name, None);
    }
    let held = held(&store);
    assert!(held.marks.len() < 80, "{} marks", held.marks.len());
    let versions: Vec<_> = held
        .entries_after(None)
        .map(|entry| entry.resource_version.0 - EPOCH_1 - 201)
        .collect();
    // v100 gained as change 1 and lost as change 2, v101 gained as 3 and lost as 4, and so on.
    let expected: Vec<_> = (0..200)
        .map(|i| if i < 199 { 2 * i + 2 } else { 399 })
        .collect();
    assert_eq!(versions, expected);
}

#[test]
fn new_labels_change_every_tag_and_the_set_and_no_scan_time() {
    let store = store();
    store.commit_scan(first_scan(&["a", "b"])).unwrap();
    elect(&store, "p", "b", Some(digest('1')));
    let before = store.snapshot().resource_version();
    let relabelled = Owner {
        labels: [("team".to_owned(), "b".to_owned())].into(),
        ..owner()
    };
    let committed = store.update_owner(relabelled.clone()).unwrap();
    assert_eq!((committed.changed, committed.set_changed), (2, true));
    assert_eq!(told(&store, before), ["~a", "~b", "~set"]);
    assert_eq!(names(held(&store).selected()), ["b"]);
    assert_eq!(held(&store).tag("b").unwrap().incarnation, 0);
    assert_eq!(
        store.update_owner(relabelled.clone()).unwrap().changed,
        0,
        "again is nothing new"
    );

    // The same with a scan that also finds something.
    let before = store.snapshot().resource_version();
    let committed = store.commit_scan(scan(&["b", "c"], 60)).unwrap();
    assert_eq!(
        (committed.added, committed.removed, committed.changed),
        (1, 1, 1)
    );
    assert_eq!(told(&store, before), ["-a", "~b", "+c", "~set"]);
    assert_eq!(held(&store).owner(), &owner());
}

#[test]
fn another_uid_is_another_object() {
    let store = store();
    store.commit_scan(first_scan(&["a"])).unwrap();
    elect(&store, "p", "a", None);
    let before = store.snapshot().resource_version();
    let other = Owner {
        uid: "uid-2".to_owned(),
        ..owner()
    };
    let committed = store
        .commit_scan(Scan {
            owner: other,
            complete: false,
            ..first_scan(&["a", "b"])
        })
        .unwrap();
    assert_eq!((committed.added, committed.removed), (2, 1));
    assert_eq!(told(&store, before), ["-a", "-set", "+a", "+b", "+set"]);
    assert!(held(&store).elections().is_empty());

    let before = store.snapshot().resource_version();
    store
        .update_owner(Owner {
            uid: "uid-3".to_owned(),
            ..owner()
        })
        .unwrap();
    assert_eq!(
        told(&store, before),
        ["-a", "-b", "-set"],
        "the new object was not scanned yet"
    );
}

#[test]
fn another_image_has_other_tags_of_unknown_age() {
    let store = store();
    store.commit_scan(first_scan(&["a", "b"])).unwrap();
    let before = store.snapshot().resource_version();
    let turned = Scan {
        image: "ghcr.io/other/podinfo".parse().unwrap(),
        complete: false,
        ..scan(&["b", "c"], 60)
    };
    store.commit_scan(turned).unwrap();
    assert_eq!(told(&store, before), ["-a", "-b", "+b", "+c", "~set"]);
    let b = held(&store).tag("b").unwrap();
    assert_eq!((b.incarnation, b.first_seen), (before.0 + 3, None));
}

#[test]
fn first_is_heard_only_while_nothing_is_held() {
    let store = store();
    store.commit_scan(first_scan(&["a"])).unwrap();
    store
        .commit_scan(Scan {
            dating: Dating::AtFirst,
            ..scan(&["a", "b"], 60)
        })
        .unwrap();
    let b = held(&store).tag("b").unwrap();
    assert_eq!(
        (b.incarnation, b.first_seen),
        (b.resource_version.0, Some(at(60)))
    );
}

#[test]
fn a_removed_repository_takes_its_tags_along() {
    let store = store();
    store.commit_scan(first_scan(&["a", "b"])).unwrap();
    let before = store.snapshot();
    let committed = store.remove_repository(&key()).unwrap();
    assert_eq!((committed.removed, committed.set_changed), (2, true));
    assert_eq!(
        told(&store, before.resource_version()),
        ["-a", "-b", "-set"]
    );
    match &store.changes_after(before.resource_version(), 1).unwrap()[0] {
        Change::Tag { repository, .. } => {
            assert_eq!(repository.tag_count(), 2, "the repository as it was before");
        }
        other @ Change::Set { .. } => panic!("{other:?}"),
    }
    assert_eq!(store.snapshot().tag_count(), 0);
    assert_eq!(before.tag_count(), 2, "a snapshot does not move");
}

#[test]
fn an_empty_list_is_a_set_without_tags() {
    let store = store();
    assert!(store.commit_scan(first_scan(&[])).unwrap().set_changed);
    assert_eq!(told(&store, ResourceVersion(EPOCH_1)), ["+set"]);
    store.commit_scan(scan(&["a"], 60)).unwrap();
    store.commit_scan(scan(&[], 120)).unwrap();
    assert_eq!(
        told(&store, ResourceVersion(EPOCH_1 + 1)),
        ["+a", "~set", "-a", "~set"]
    );
}
