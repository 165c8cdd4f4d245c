//! A ranking is repeated election.

use proptest::prelude::*;

use super::*;
use crate::policy::elect;

fn policies() -> Vec<Policy> {
    vec![
        Policy::SemVer(Range::parse("*").unwrap()),
        Policy::SemVer(Range::parse(">=1.0.0-0 <3.0.0").unwrap()),
        Policy::Alphabetical(Order::Ascending),
        Policy::Alphabetical(Order::Descending),
        Policy::Numerical(Order::Ascending),
        Policy::Numerical(Order::Descending),
    ]
}

fn ranked(
    policy: &Policy,
    filter: Option<&TagFilter>,
    tags: &[&str],
) -> Result<Vec<String>, NoTag> {
    let candidates: Candidates = tags.iter().collect();
    Ok(policy
        .rank(filter, &candidates)?
        .into_iter()
        .map(|candidate| candidate.tag.to_owned())
        .collect())
}

/// What is elected, then what is elected without it, and so on.
fn elected_in_turn(
    policy: &Policy,
    filter: Option<&TagFilter>,
    tags: &[&str],
) -> Result<Vec<String>, NoTag> {
    let mut left = tags.to_vec();
    let mut turns = Vec::new();
    loop {
        let candidates: Candidates = left.iter().collect();
        match elect(policy, filter, &candidates) {
            Ok(tag) => {
                left.retain(|other| *other != tag);
                turns.push(tag.to_owned());
            }
            Err(none) if turns.is_empty() => return Err(none),
            Err(_) => return Ok(turns),
        }
    }
}

#[test]
fn ties_and_numbers_that_compare_with_none_rank_as_they_are_elected() {
    let rows: [(&str, Policy, &[&str], &[&str]); 5] = [
        (
            "equal versions: the first seen",
            Policy::SemVer(Range::parse("*").unwrap()),
            &["1.0.0", "v1.0.0", "0.9.0", "1.0"],
            &["v1.0.0", "1.0.0", "0.9.0"],
        ),
        (
            "equal numbers: the last seen",
            Policy::Numerical(Order::Ascending),
            &["10", "1e1", "2"],
            &["10", "1e1", "2"],
        ),
        (
            "no number to compare with",
            Policy::Numerical(Order::Ascending),
            &["nan", "5", "7", "zero-is-none"],
            &[],
        ),
        (
            "one between others",
            Policy::Numerical(Order::Ascending),
            // In descending byte order: `nan`, then the digits.
            &["9", "nan", "5"],
            &["9", "5", "nan"],
        ),
        (
            "the smallest first",
            Policy::Alphabetical(Order::Descending),
            &["b", "a", "c"],
            &["a", "b", "c"],
        ),
    ];
    for (name, policy, tags, expected) in rows {
        match ranked(&policy, None, tags) {
            Ok(order) => assert_eq!(order, expected, "{name}"),
            Err(error) => assert!(expected.is_empty(), "{name}: {error}"),
        }
    }
}

#[test]
fn keys_are_compared_that_are_no_candidates() {
    let semver = Policy::SemVer(Range::parse("1.x").unwrap());
    let smallest = Policy::Numerical(Order::Descending);
    for (policy, a, b, expected) in [
        (&semver, "2.0.0", "1.0.0", Some(Ordering::Greater)),
        (&semver, "v1.0.0", "1.0.0", Some(Ordering::Equal)),
        (&semver, "latest", "1.0.0", None),
        (&smallest, "2", "10", Some(Ordering::Greater)),
        (&smallest, "nan", "10", None),
    ] {
        assert_eq!(policy.compare(a, b), expected, "{a} {b}");
    }
}

proptest! {
    #[test]
    fn a_ranking_is_repeated_election(
        tags in prop::collection::hash_set("v?[0-3]\\.[0-2]\\.[0-2](-[a-c])?|[0-9]{1,2}|1e[0-2]|nan|inf|-inf|0x1p2|\\+1", 0..12),
    ) {
        let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
        let numbers: Vec<&str> = tags.iter().copied().filter(|tag| number::parse(tag).is_some()).collect();
        for policy in policies() {
            for tags in [&tags, &numbers] {
                prop_assert_eq!(ranked(&policy, None, tags), elected_in_turn(&policy, None, tags));
                // Keys that are the tags themselves: nothing gives way to anything.
                let filter = TagFilter::new("[0-9]", "").unwrap();
                prop_assert_eq!(
                    ranked(&policy, Some(&filter), tags),
                    elected_in_turn(&policy, Some(&filter), tags)
                );
            }
        }
    }

    /// Keys that several tags share stand for one of them.
    #[test]
    fn the_first_of_a_ranking_is_elected(tags in prop::collection::hash_set("[ab]-[0-9]\\.[0-9]\\.[0-9]", 0..12)) {
        let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
        let candidates: Candidates = tags.iter().collect();
        let filter = TagFilter::new("-(?P<v>.*)$", "$v").unwrap();
        for policy in policies() {
            let first = policy.rank(Some(&filter), &candidates).map(|ranked| ranked[0].tag);
            prop_assert_eq!(first, elect(&policy, Some(&filter), &candidates));
        }
    }
}
