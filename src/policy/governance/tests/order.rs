//! Which rule speaks first, and what a broken value leaves in force.

use super::rules::{Case, check};
use super::*;

#[test]
fn the_rules_have_an_order() {
    let lacks = || offers(&["linux/amd64"]);
    let has = || offers(&["linux/arm64"]);
    let every = |hold: Option<&'static str>| {
        let mut all = vec![
            (names::MINIMUM_AGE, "3h"),
            (names::DOWNGRADE, "forbid"),
            (names::PLATFORMS, "linux/arm64"),
        ];
        all.extend(hold.map(|tag| (names::HOLD, tag)));
        all
    };
    check(vec![
        (
            "hold beats everything",
            Case {
                annotations: every(Some("1.4.0")),
                current: Some("9.0.0"),
                ..Case::default()
            },
            "1.4.0 lag 0 Held",
        ),
        (
            "what is outside of the range is not even asked about",
            Case {
                annotations: every(None),
                policy: semver("<1.1.0"),
                platforms: [("1.0.0", has())].into(),
                ..Case::default()
            },
            "1.0.0 lag 0",
        ),
        (
            "a young one that lacks a platform lacks a platform",
            Case {
                annotations: every(None),
                platforms: [("1.4.0", lacks()), ("1.3.0", has()), ("1.2.0", has())].into(),
                ..Case::default()
            },
            "1.2.0 lag 2 PlatformsMissing,Waiting in 1h",
        ),
        (
            "what would be lower and is too young is too young",
            Case {
                annotations: every(None),
                tags: vec!["1.2.0", "1.3.0", "1.4.0"],
                platforms: [("1.4.0", has()), ("1.3.0", has()), ("1.2.0", has())].into(),
                current: Some("1.3.5"),
                ..Case::default()
            },
            "stands lag 1 DowngradeForbidden,Waiting in 1h",
        ),
    ]);
}

#[test]
fn a_value_that_does_not_parse_keeps_what_was_in_force() {
    let known = || {
        Some(Governance {
            hold: Some("1.1.0".parse().unwrap()),
            ..Governance::default()
        })
    };
    check(vec![
        (
            "nothing was: the election stands",
            Case {
                annotations: vec![(names::MINIMUM_AGE, "3 days")],
                current: Some("1.0.0"),
                ..Case::default()
            },
            "stands lag 4 InvalidAnnotation",
        ),
        (
            "also if its tag is gone",
            Case {
                annotations: vec![(names::DOWNGRADE, "no")],
                current: Some("0.9.0"),
                ..Case::default()
            },
            "stands lag 5 InvalidAnnotation",
        ),
        (
            "another one is no help",
            Case {
                annotations: vec![(names::HOLD, "1.0.0"), (names::PLATFORMS, "linux")],
                current: Some("1.3.0"),
                ..Case::default()
            },
            "stands lag 1 InvalidAnnotation",
        ),
        (
            "the last good value goes on",
            Case {
                annotations: vec![(names::HOLD, "-")],
                last: known(),
                ..Case::default()
            },
            "1.1.0 lag 3 InvalidAnnotation,Held",
        ),
    ]);
}
