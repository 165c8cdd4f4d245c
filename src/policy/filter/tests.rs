//! Which tags pass, under which keys, and who wins when keys collide.

use proptest::prelude::*;

use super::*;
use crate::policy::{Order, Policy, Range, elect};

fn filtered(pattern: &str, extract: &str, tags: &[&str]) -> Vec<(String, String)> {
    let candidates: Candidates = tags.iter().collect();
    let filtered = TagFilter::new(pattern, extract)
        .unwrap()
        .apply(&candidates)
        .unwrap();
    filtered
        .iter()
        .map(|(key, tag)| (key.to_owned(), tag.to_owned()))
        .collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(key, tag)| ((*key).to_owned(), (*tag).to_owned()))
        .collect()
}

#[test]
fn a_pattern_keeps_the_tags_it_is_found_in() {
    assert_eq!(
        filtered("rc", "", &["1.0", "src", "1.0-rc.1"]),
        pairs(&[("src", "src"), ("1.0-rc.1", "1.0-rc.1")])
    );
    assert_eq!(
        filtered("", "", &["a", "b"]),
        pairs(&[("b", "b"), ("a", "a")])
    );
    assert_eq!(filtered("^(a)?", "", &["b"]), pairs(&[("b", "b")]));
    assert_eq!(filtered("a{100}", "", &[&"a".repeat(99)]), pairs(&[]));
}

#[test]
fn keys_come_descending_whatever_their_tags_look_like() {
    let tags = [
        "build-3-v1.0.0",
        "build-1-v3.0.0",
        "build-2-v2.0.0",
        "other",
    ];
    let expected = pairs(&[
        ("v3.0.0", "build-1-v3.0.0"),
        ("v2.0.0", "build-2-v2.0.0"),
        ("v1.0.0", "build-3-v1.0.0"),
    ]);
    assert_eq!(filtered("^build-[0-9]-(.*)$", "$1", &tags), expected);
}

#[test]
fn of_tags_with_one_key_the_smallest_stays() {
    let candidates: Candidates = ["a-1", "b-1", "c-1", "c-2", "c-2"].iter().collect();
    let filtered = TagFilter::new("-(.)", "$1")
        .unwrap()
        .apply(&candidates)
        .unwrap();
    assert_eq!(
        filtered.iter().collect::<Vec<_>>(),
        [("2", "c-2"), ("1", "a-1")]
    );
    assert_eq!(filtered.shadowed(), 2);
    assert_eq!((filtered.len(), filtered.is_empty()), (2, false));
}

#[test]
fn a_template_without_a_reference_gives_one_key() {
    assert_eq!(
        filtered(".", "same", &["b", "a", "c"]),
        pairs(&[("same", "a")])
    );
}

#[test]
fn ties_between_keys_fall_the_same_way_every_time() {
    let candidates: Candidates = ["rel-v1.0.0", "rel-1.0.0"].iter().collect();
    let filter = TagFilter::new("^rel-(.*)", "$1").unwrap();
    for _ in 0..50 {
        let policy = Policy::SemVer(Range::parse("*").unwrap());
        assert_eq!(elect(&policy, Some(&filter), &candidates), Ok("rel-v1.0.0"));
    }
}

#[test]
fn an_empty_key_is_judged_by_the_policy() {
    let candidates: Candidates = ["x", "x-1.0.0"].iter().collect();
    let filter = TagFilter::new("^x-?(.*)", "$1").unwrap();
    let elected = |policy: Policy| elect(&policy, Some(&filter), &candidates);
    assert_eq!(
        elected(Policy::SemVer(Range::parse("*").unwrap())),
        Ok("x-1.0.0")
    );
    assert_eq!(elected(Policy::Alphabetical(Order::Descending)), Ok("x"));
    let numerical = elected(Policy::Numerical(Order::Ascending)).unwrap_err();
    assert_eq!(
        numerical.to_string(),
        "failed to parse invalid numeric value '1.0.0'"
    );

    let candidates: Candidates = ["x"].iter().collect();
    let numerical = elect(
        &Policy::Numerical(Order::Ascending),
        Some(&filter),
        &candidates,
    )
    .unwrap_err();
    assert_eq!(
        numerical.to_string(),
        "failed to parse invalid numeric value ''"
    );
}

#[test]
fn a_bad_pattern_is_reported_whole() {
    let error = TagFilter::new("^test-(.*", "$1").unwrap_err();
    assert_eq!(
        error.to_string(),
        "failed to filter tags: invalid regular expression pattern '^test-(.*': error parsing regexp: missing closing ): `^test-(.*`"
    );
}

#[test]
fn keys_out_of_all_proportion_are_refused() {
    let tag = "a".repeat(128);
    let candidates: Candidates = (0..64).map(|_| &tag).collect();
    let filter = TagFilter::new(".*", &"$0".repeat(16 << 10)).unwrap();
    assert_eq!(
        filter.apply(&candidates).unwrap_err().to_string(),
        "the extracted keys take more than 67108864 bytes"
    );
}

proptest! {
    #[test]
    fn keys_are_unique_and_descending(tags in prop::collection::vec("[ab]-[0-9]{1,2}", 0..20)) {
        let candidates: Candidates = tags.iter().collect();
        let filtered = TagFilter::new("-([0-9])", "$1").unwrap().apply(&candidates).unwrap();
        let keys: Vec<&str> = filtered.iter().map(|(key, _)| key).collect();
        prop_assert!(keys.windows(2).all(|pair| pair[0] > pair[1]));
        let distinct: std::collections::BTreeSet<&String> = tags.iter().collect();
        prop_assert_eq!(filtered.len() + filtered.shadowed(), distinct.len());
    }
}
