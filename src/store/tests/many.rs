//! Thousands of policies that elect from one repository: each commit is as small as if it were alone.

use super::*;
use crate::store::{Election, Pushed};

const POLICIES: usize = 10_000;

/// The tag that a policy elects, by its number.
type Elected = fn(usize) -> String;

fn name(number: usize) -> String {
    format!("policy-{number:05}")
}

/// What the history held more after each commit of an election, at most.
fn largest(store: &Store, elections: impl Iterator<Item = (String, String)>) -> usize {
    let mut largest = 0;
    for (policy, tag) in elections {
        let before = store.history_bytes();
        elect(store, &policy, &tag, None);
        largest = largest.max(store.history_bytes() - before);
    }
    largest
}

#[test]
fn the_history_holds_as_much_for_the_last_of_ten_thousand_elections_as_for_the_first() {
    let tags: Vec<String> = (0..POLICIES).map(|tag| format!("1.0.{tag}")).collect();
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    let rows: [(&str, Elected); 2] = [
        ("all elect the same tag", |_| "1.0.7".to_owned()),
        ("each elects one of its own", |n| format!("1.0.{n}")),
    ];
    for (what, elected) in rows {
        let store = Store::in_memory_with(
            Arc::new(SystemClock),
            Limits {
                commits: usize::MAX,
                bytes: usize::MAX,
            },
        );
        store.commit_scan(first_scan(&tags)).unwrap();
        let plan = |numbers: std::ops::Range<usize>| {
            numbers.map(move |number| (name(number), elected(number)))
        };
        let first = largest(&store, plan(0..1_000));
        let last = largest(&store, plan(1_000..POLICIES));
        assert!(last <= 12 * 1024, "{what}: {first}, then {last} bytes");
        let held = held(&store);
        assert_eq!(held.elections().len(), POLICIES, "{what}");
        let named: usize = held.selected().map(|entry| entry.selected_by.len()).sum();
        assert_eq!(named, POLICIES, "{what}");
    }
}

#[test]
fn marks_that_are_idle_are_counted_and_folded_in_time() {
    let store = store();
    let tags: Vec<String> = (0..20_000).map(|tag| format!("1.0.{tag}")).collect();
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    store.commit_scan(first_scan(&tags)).unwrap();
    let mut folds = 0;
    for tag in tags.iter().take(2_000) {
        let before = held(&store);
        elect(&store, "p", tag, None);
        let after = held(&store);
        let idle = after.marks.iter().filter(|mark| mark.is_idle()).count();
        assert_eq!(after.idle, idle);
        folds += usize::from(!after.shares_tags_with(&before));
    }
    assert_eq!(folds, 6, "the table is not written anew for every few");
}

#[test]
fn what_the_last_elector_knew_best_the_others_are_asked_again() {
    let store = store();
    store.commit_scan(first_scan(&["a"])).unwrap();
    let push = |by: &str, seen: Option<i64>, known: Option<char>| {
        let election = Election {
            policy: policy(by),
            tag: "a".parse().unwrap(),
            digest: known.map(digest),
            pushed: seen.map(|seconds| Pushed {
                digest: digest('9'),
                seen: at(seconds),
            }),
        };
        store.commit_pushed(&key(), &election).unwrap();
    };
    let is = |seen: Option<i64>, known: Option<char>| {
        let held = held(&store);
        assert_eq!(held.seen("a"), seen.map(at));
        assert_eq!(held.tag("a").unwrap().digest, known.map(digest));
    };
    push("p", None, None);
    is(None, None);
    push("q", Some(60), Some('1'));
    is(Some(60), Some('1'));
    push("r", Some(120), Some('2'));
    is(Some(120), Some('2'));
    push("s", Some(90), None);
    is(Some(120), Some('2'));
    let withdraw = |by: &str| store.commit_election(&key(), &policy(by), None).unwrap();
    assert_eq!(withdraw("r").changed, 1);
    is(Some(90), Some('1'));
    push("s", Some(30), None);
    is(Some(60), Some('1'));
    push("q", None, None);
    is(Some(30), None);
    withdraw("s");
    is(None, None);
    assert_eq!(electors(&held(&store), "a"), [policy("p"), policy("q")]);
}
