//! Whole elections: precedence of policies, messages, ties, and laws that hold for any input.

use proptest::prelude::*;

use super::*;

fn policy(choice: Choice<'_>) -> Result<Policy, String> {
    Policy::from_choice(choice).map_err(|error| error.to_string())
}

#[test]
fn semver_goes_before_alphabetical_before_numerical() {
    let all = Choice {
        semver: Some("*"),
        alphabetical: Some("desc"),
        numerical: Some(""),
    };
    assert!(matches!(policy(all), Ok(Policy::SemVer(_))));
    let orders = Choice {
        semver: None,
        ..all
    };
    assert_eq!(policy(orders), Ok(Policy::Alphabetical(Order::Descending)));
    let numerical = Choice {
        alphabetical: None,
        ..orders
    };
    assert_eq!(policy(numerical), Ok(Policy::Numerical(Order::Ascending)));
}

#[test]
fn invalid_policies_say_what_a_condition_says() {
    let none = Choice::default();
    for (choice, message) in [
        (
            none,
            "invalid policy: given ImagePolicyChoice object is invalid",
        ),
        (
            Choice {
                semver: Some(""),
                ..none
            },
            r#"invalid policy: improper constraint: """#,
        ),
        (
            Choice {
                semver: Some("1x"),
                ..none
            },
            "invalid policy: constraint parser error",
        ),
        (
            Choice {
                alphabetical: Some("up"),
                ..none
            },
            "invalid policy: invalid order argument provided: 'UP', must be one of: ASC, DESC",
        ),
        (
            Choice {
                numerical: Some("down"),
                ..none
            },
            "invalid policy: invalid order argument provided: 'DOWN', must be one of: ASC, DESC",
        ),
    ] {
        assert_eq!(policy(choice).unwrap_err(), message);
    }
}

#[test]
fn an_election_without_a_winner_says_what_a_condition_says() {
    let elect = |policy: Policy, filter: Option<&TagFilter>, tags: &[&str]| {
        elect(&policy, filter, &tags.iter().collect())
            .map(str::to_owned)
            .unwrap_err()
            .to_string()
    };
    let semver = || Policy::SemVer(Range::parse("*").unwrap());
    let alphabetical = || Policy::Alphabetical(Order::Ascending);
    let nothing = TagFilter::new("^x", "").unwrap();
    for policy in [
        semver(),
        alphabetical(),
        Policy::Numerical(Order::Ascending),
    ] {
        assert_eq!(
            elect(policy.clone(), None, &[]),
            "version list argument cannot be empty"
        );
        assert_eq!(
            elect(policy, Some(&nothing), &["1"]),
            "version list argument cannot be empty"
        );
    }
    assert_eq!(
        elect(semver(), None, &["latest"]),
        "unable to determine latest version from provided list"
    );
    assert_eq!(
        elect(Policy::Numerical(Order::Ascending), None, &["1", "latest"]),
        "failed to parse invalid numeric value 'latest'"
    );
}

#[test]
fn ties_fall_by_the_stored_order() {
    let elected = |policy: Policy, tags: &[&str]| {
        let candidates: Candidates = tags.iter().collect();
        policy.elect(&candidates).map(str::to_owned)
    };
    let semver = || Policy::SemVer(Range::parse("*").unwrap());
    assert_eq!(elected(semver(), &["1.0.0", "v1.0.0"]).unwrap(), "v1.0.0");
    assert_eq!(elected(semver(), &["1.0.0", "1.0.00"]).unwrap(), "1.0.00");
    assert_eq!(
        elected(Policy::Numerical(Order::Ascending), &["1", "1.0"]).unwrap(),
        "1"
    );
}

fn any_policy() -> impl Strategy<Value = Policy> {
    prop_oneof![
        "(\\*|\\*-0|[<>=~^]?[0-2](\\.[0-2])?)"
            .prop_map(|range| Policy::SemVer(Range::parse(&range).unwrap())),
        any::<bool>().prop_map(|up| Policy::Alphabetical(if up {
            Order::Ascending
        } else {
            Order::Descending
        })),
        any::<bool>().prop_map(|up| Policy::Numerical(if up {
            Order::Ascending
        } else {
            Order::Descending
        })),
    ]
}

/// Tags that tie a lot: versions and numbers in several spellings.
fn any_tags() -> impl Strategy<Value = Vec<String>> {
    let versions = prop::collection::vec("v?0?[0-2]\\.[0-2]\\.[0-2](-a|-b)?|latest", 0..12);
    let numbers = prop::collection::vec("0?[0-3](\\.0)?|nan|1e1", 0..12);
    prop_oneof![versions, numbers]
}

proptest! {
    #[test]
    fn a_filter_that_changes_nothing_changes_nothing(policy in any_policy(), tags in any_tags()) {
        let candidates: Candidates = tags.iter().collect();
        let unfiltered = elect(&policy, None, &candidates);
        for (pattern, extract) in [("", ""), (".*", "$0"), ("^(.*)$", "$1")] {
            let filter = TagFilter::new(pattern, extract).unwrap();
            prop_assert_eq!(&elect(&policy, Some(&filter), &candidates), &unfiltered, "{} {}", pattern, extract);
        }
    }

    #[test]
    fn an_election_is_the_same_whoever_asked_before(
        policies in prop::collection::vec(any_policy(), 1..5), tags in any_tags()
    ) {
        let shared: Candidates = tags.iter().collect();
        for policy in &policies {
            let fresh: Candidates = tags.iter().collect();
            prop_assert_eq!(policy.elect(&shared), policy.elect(&fresh));
        }
    }

    #[test]
    fn the_order_in_which_a_registry_lists_tags_does_not_matter(
        policy in any_policy(), tags in any_tags().prop_shuffle()
    ) {
        let mut sorted = tags.clone();
        sorted.sort();
        let (a, b): (Candidates, Candidates) = (tags.iter().collect(), sorted.iter().collect());
        prop_assert_eq!(policy.elect(&a), policy.elect(&b));
    }

    #[test]
    fn nothing_panics_whatever_is_asked(
        semver in "\\PC{0,12}", pattern in "\\PC{0,12}", extract in "\\PC{0,12}",
        tags in prop::collection::vec("\\PC{0,12}", 0..6),
    ) {
        let candidates: Candidates = tags.iter().collect();
        let filter = TagFilter::new(&pattern, &extract).ok();
        let ranged = Policy::from_choice(Choice { semver: Some(&semver), ..Choice::default() }).ok();
        let ordered = [Policy::Alphabetical(Order::Ascending), Policy::Numerical(Order::Descending)];
        for policy in ranged.iter().chain(&ordered) {
            for elected in [elect(policy, None, &candidates), elect(policy, filter.as_ref(), &candidates)] {
                prop_assert!(elected.map_or(true, |tag| tags.iter().any(|given| given == tag)));
            }
        }
    }
}
