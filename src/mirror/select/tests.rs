//! Which tags are selected, and which belong to others.

use proptest::prelude::*;

use super::*;
use crate::api::image_policy::{AlphabeticalPolicy, NumericalPolicy, SemVerPolicy};

fn tags(names: &[&str]) -> Vec<Tag> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn selected(selection: &Selection, names: &[&str]) -> Vec<String> {
    let selected = selection.select(&tags(names)).unwrap();
    selected.tags.iter().map(Tag::to_string).collect()
}

fn pattern(text: &str) -> Regexp {
    Regexp::new(text).unwrap()
}

fn filter(pattern: &str, extract: &str) -> FilterSpec {
    FilterSpec {
        pattern: pattern.to_owned(),
        extract: extract.to_owned(),
    }
}

fn semver(range: &str) -> PolicyChoice {
    PolicyChoice {
        semver: Some(SemVerPolicy {
            range: range.to_owned(),
        }),
        ..PolicyChoice::default()
    }
}

fn numerical(order: &str) -> PolicyChoice {
    PolicyChoice {
        numerical: Some(NumericalPolicy {
            order: order.to_owned(),
        }),
        ..PolicyChoice::default()
    }
}

const TAGS: [&str; 7] = [
    "latest",
    "1.0.0",
    "1.2.0",
    "1.10.0",
    "2.0.0-rc.1",
    "main-3",
    "main-20",
];

#[test]
fn tags_are_selected_as_they_are_asked_for() {
    let range = Selection::semver(Range::parse("1.x").unwrap());
    for (selection, expected) in [
        (Selection::all(), &TAGS[..]),
        (
            Selection::matching(pattern("^1\\.")),
            &["1.0.0", "1.2.0", "1.10.0"],
        ),
        (
            Selection::matching(pattern("0")),
            &["1.0.0", "1.2.0", "1.10.0", "2.0.0-rc.1", "main-20"],
        ),
        (range.clone(), &["1.10.0", "1.2.0", "1.0.0"]),
        (
            range.excluding(vec![pattern("^1\\.10"), pattern("x")]),
            &["1.2.0", "1.0.0"],
        ),
        (
            Selection::all().excluding(vec![pattern("[0-9]")]),
            &["latest"],
        ),
        (Selection::semver(Range::parse("9.x").unwrap()), &[]),
    ] {
        assert_eq!(selected(&selection, &TAGS), expected, "{selection:?}");
        assert_eq!(selected(&selection, &[]), [""; 0]);
    }
}

#[test]
fn a_mirrors_spec_means_what_an_image_policys_means() {
    let alphabetical = PolicyChoice {
        alphabetical: Some(AlphabeticalPolicy {
            order: "desc".to_owned(),
        }),
        ..PolicyChoice::default()
    };
    let main = filter("^main-(?P<n>[0-9]+)$", "$n");
    let minor = filter("^(?P<m>1)\\.", "$m");
    for (filter, policy, limit, expected) in [
        (None, None, None, &TAGS[..]),
        (Some(&main), None, None, &["main-3", "main-20"]),
        (
            Some(&main),
            Some(numerical("asc")),
            None,
            &["main-20", "main-3"],
        ),
        (Some(&main), Some(numerical("asc")), Some(1), &["main-20"]),
        (Some(&main), Some(numerical("desc")), Some(1), &["main-3"]),
        (
            None,
            Some(semver(">=1.0.0-0")),
            Some(2),
            &["2.0.0-rc.1", "1.10.0"],
        ),
        (None, Some(alphabetical), Some(2), &["1.0.0", "1.10.0"]),
        // Without a policy, tags of one key do not give way to each other.
        (Some(&minor), None, None, &["1.0.0", "1.2.0", "1.10.0"]),
        (Some(&minor), Some(numerical("")), None, &["1.0.0"]),
    ] {
        let selection = Selection::from_spec(filter, policy.as_ref(), limit).unwrap();
        assert_eq!(
            selected(&selection, &TAGS),
            expected,
            "{filter:?} {policy:?} {limit:?}"
        );
    }
}

#[test]
fn what_cannot_work_is_refused() {
    let limited = |policy: Option<&PolicyChoice>, limit| {
        Selection::from_spec(None, policy, Some(limit)).unwrap_err()
    };
    assert_eq!(limited(None, 3), Error::LimitWithoutPolicy);
    assert_eq!(limited(Some(&semver("*")), 0), Error::LimitZero);
    for (filter, policy, text) in [
        (
            None,
            semver("no range"),
            "invalid policy: improper constraint: \"no range\"",
        ),
        (
            None,
            PolicyChoice::default(),
            "invalid policy: given ImagePolicyChoice object is invalid",
        ),
        (
            Some(filter("(", "")),
            semver("*"),
            "failed to filter tags: invalid regular expression pattern '(': error parsing regexp: missing closing ): `(`",
        ),
    ] {
        let error = Selection::from_spec(filter.as_ref(), Some(&policy), None).unwrap_err();
        assert_eq!(error.to_string(), text);
    }
    let by_number = Selection::from_spec(None, Some(&numerical("")), None).unwrap();
    let error = by_number.select(&tags(&["1", "latest"])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "failed to parse invalid numeric value 'latest'"
    );
}

#[test]
fn what_belongs_to_images_is_no_image() {
    let hex = "ab".repeat(32);
    let signature = format!("sha256-{hex}.sig");
    let half = format!("sha512-{hex}");
    let names = ["2", signature.as_str(), "10", &half, "2"];
    for (selection, expected) in [
        (Selection::all(), ["2", "10"]),
        (Selection::matching(pattern(".")), ["2", "10"]),
        (
            Selection::from_spec(None, Some(&numerical("")), Some(7)).unwrap(),
            ["10", "2"],
        ),
    ] {
        let selected = selection.select(&tags(&names)).unwrap();
        assert_eq!(selected.tags, tags(&expected));
        assert_eq!(selected.companions, tags(&[&signature, &half]));
    }
    let without = Selection::all().excluding(vec![pattern("\\.sig$")]);
    let selected = without.select(&tags(&names)).unwrap();
    assert_eq!(selected.companions, tags(&[&half]));
}

proptest! {
    #[test]
    fn a_limit_takes_the_first_of_what_there_is_without_it(
        names in prop::collection::btree_set("v?[0-3]\\.[0-9]\\.[0-9](-rc\\.[0-9])?|latest", 0..20), limit in 1..8_u32,
    ) {
        let all: Vec<Tag> = names.iter().map(|name| name.parse().unwrap()).collect();
        let most = Selection::from_spec(None, Some(&semver("*-0")), Some(limit)).unwrap().select(&all).unwrap();
        let every = Selection::from_spec(None, Some(&semver("*-0")), None).unwrap().select(&all).unwrap();
        let first: Vec<_> = every.tags.iter().take(limit as usize).cloned().collect();
        prop_assert_eq!(most.tags, first);
        prop_assert!(every.tags.iter().all(|tag| all.contains(tag)));
        let policy = Policy::SemVer(Range::parse("*-0").unwrap());
        let candidates: Candidates = names.iter().collect();
        let elected = crate::policy::elect(&policy, None, &candidates).ok();
        prop_assert_eq!(every.tags.first().map(Tag::as_str), elected);
    }
}
