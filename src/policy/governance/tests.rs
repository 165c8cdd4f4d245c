//! What annotations and notices say, and what holds for any input.

mod mirror;
mod order;
mod rules;

use std::collections::BTreeMap;

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::policy::{self, Candidates, Choice, NoTag, Policy, TagFilter};

const NOW: i64 = 1_000_000;
const HOUR: i64 = 3600;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn annotations(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn semver(range: &str) -> Policy {
    let choice = Choice {
        semver: Some(range),
        ..Choice::default()
    };
    Policy::from_choice(choice).unwrap()
}

fn offers(platforms: &[&str]) -> Known {
    Known::Offers(platforms.iter().map(ToString::to_string).collect())
}

#[test]
fn values_are_read_or_told() {
    let rows: [(&str, &str, Option<&str>); 28] = [
        (names::HOLD, "1.2.3", None),
        (names::HOLD, " 1.2.3 ", None),
        (names::HOLD, "", Some("it is no tag")),
        (names::HOLD, "a:b", Some("it is no tag")),
        (names::MINIMUM_AGE, "72h", None),
        (names::MINIMUM_AGE, "1h30m", None),
        (names::MINIMUM_AGE, "0", None),
        (names::MINIMUM_AGE, "-1h", Some("not negative")),
        (names::MINIMUM_AGE, "3d", Some("no duration")),
        (names::MINIMUM_AGE, "", Some("no duration")),
        (names::DOWNGRADE, "forbid", None),
        (names::DOWNGRADE, "allow", None),
        (names::DOWNGRADE, "Forbid", Some("forbid or allow")),
        (names::PLATFORMS, "linux/amd64", None),
        (names::PLATFORMS, "linux/amd64,linux/arm/v7", None),
        (names::PLATFORMS, "linux", Some(r#""linux" is no os/arch"#)),
        (
            names::PLATFORMS,
            "linux/amd64,",
            Some(r#""" is no os/arch"#),
        ),
        (names::PLATFORMS, "a/b/c/d", Some("is no os/arch")),
        (names::PLATFORMS, "Linux/amd64", Some("is no os/arch")),
        (names::PLATFORMS, "", Some("is no os/arch")),
        (names::REQUIRE_MIRRORED, "web", None),
        (names::REQUIRE_MIRRORED, " apps/web.prod-2 ", None),
        (names::REQUIRE_MIRRORED, "", Some("it is no ImageMirror")),
        (
            names::REQUIRE_MIRRORED,
            "apps/",
            Some("it is no ImageMirror"),
        ),
        (
            names::REQUIRE_MIRRORED,
            "a.b/web",
            Some("it is no ImageMirror"),
        ),
        (
            names::REQUIRE_MIRRORED,
            "a/b/web",
            Some("it is no ImageMirror"),
        ),
        (names::REQUIRE_MIRRORED, "Web", Some("it is no ImageMirror")),
        (
            names::REQUIRE_MIRRORED,
            "-web",
            Some("it is no ImageMirror"),
        ),
    ];
    for (name, value, expected) in rows {
        let read = Read::of(&annotations(&[(name, value)]));
        match expected {
            None => assert_eq!(read.broken, [], "{name}: {value}"),
            Some(expected) => {
                let told = read.broken[0].to_string();
                let begins = format!("{name} is {}: ", crate::quote::quote(value));
                assert!(
                    told.starts_with(&begins) && told.contains(expected),
                    "{told}"
                );
            }
        }
    }
    let long = Read::of(&annotations(&[(names::HOLD, &"x/".repeat(100_000))]));
    assert!(long.broken[0].to_string().len() < 200);
    let many = ["linux/amd64"; 40].join(",");
    let many = Read::of(&annotations(&[(names::PLATFORMS, &many)]));
    assert!(
        many.broken[0]
            .to_string()
            .ends_with("it names more than 32 platforms")
    );
}

#[test]
fn a_platform_is_met_by_its_variants() {
    for (asked, offered, expected) in [
        ("linux/amd64", "linux/amd64", true),
        ("linux/amd64", "linux/amd64/v3", true),
        ("linux/amd64/v3", "linux/amd64", false),
        ("linux/arm64", "linux/arm64/v8", true),
        ("linux/arm64/v8", "linux/arm64", true),
        ("linux/arm/v7", "linux/arm/v6", false),
        ("linux/arm", "linux/arm64", false),
    ] {
        let asked: Platform = asked.parse().unwrap();
        assert_eq!(asked.is(offered), expected, "{asked} {offered}");
    }
}

#[test]
fn notices_say_what_why_and_until_when() {
    let tag = || "1.4.0".to_owned();
    let until = Timestamp::new(NOW, 1).unwrap();
    let age = Duration::from_hours(72);
    let missing = vec![
        "linux/arm64".parse().unwrap(),
        "linux/arm/v7".parse().unwrap(),
    ];
    for (notice, expected) in [
        (
            Notice::Held {
                tag: tag(),
                instead: Some("1.5.0".into()),
            },
            "held at 1.4.0 by tags.tagscope.dev/hold, 1.5.0 is not elected",
        ),
        (
            Notice::Held {
                tag: tag(),
                instead: None,
            },
            "held at 1.4.0 by tags.tagscope.dev/hold",
        ),
        (
            Notice::HeldTagMissing { tag: tag() },
            "1.4.0, which tags.tagscope.dev/hold asks for, is not in the list",
        ),
        (
            Notice::DowngradeForbidden {
                current: tag(),
                left: Some("1.3.0".into()),
            },
            "1.3.0 would be a downgrade, and 1.4.0 stays though it is not in the list any more \
             (tags.tagscope.dev/downgrade: forbid)",
        ),
        (
            Notice::DowngradeForbidden {
                current: tag(),
                left: None,
            },
            "nothing else fits, and 1.4.0 stays though it is not in the list any more \
             (tags.tagscope.dev/downgrade: forbid)",
        ),
        (
            Notice::BudgetExhausted,
            "more than 20 tags have to be asked for their platforms, the next ones soon (tags.tagscope.dev/platforms)",
        ),
        (
            Notice::PlatformsUnknown {
                tag: tag(),
                why: "x".into(),
            },
            "the platforms of 1.4.0 are not known: x",
        ),
        (
            Notice::PlatformsMissing {
                tag: tag(),
                missing,
                others: 1,
            },
            "1.4.0 lacks linux/arm64, linux/arm/v7 (tags.tagscope.dev/platforms), and so does 1 other tag",
        ),
        (
            Notice::Waiting {
                tag: tag(),
                until,
                age,
                others: 2,
            },
            "1.4.0 waits until 1970-01-12T13:46:41Z (tags.tagscope.dev/minimum-age: 72h0m0s), and so do 2 other tags",
        ),
        (
            Notice::NotMirrored {
                tag: tag(),
                mirror: "apps/web".into(),
                others: 1,
            },
            "1.4.0 is not yet at all destinations of ImageMirror apps/web (tags.tagscope.dev/require-mirrored), \
             nor is 1 other tag",
        ),
        (
            Notice::MirrorSilent {
                mirror: "apps/web".into(),
                gap: Gap::Missing,
                instead: Some(tag()),
            },
            "there is no ImageMirror apps/web (tags.tagscope.dev/require-mirrored), 1.4.0 is not elected",
        ),
        (
            Notice::MirrorSilent {
                mirror: "apps/web".into(),
                gap: Gap::Elsewhere,
                instead: None,
            },
            "ImageMirror apps/web does not copy this ImageRepository (tags.tagscope.dev/require-mirrored)",
        ),
        (
            Notice::DigestWaiting {
                tag: tag(),
                digest: "sha256:1".into(),
                until,
                age,
            },
            "1.4.0 was pushed again, digest sha256:1 waits until 1970-01-12T13:46:41Z \
             (tags.tagscope.dev/minimum-age: 72h0m0s)",
        ),
    ] {
        assert_eq!(notice.to_string(), expected);
    }
}

fn choices() -> impl Strategy<Value = Policy> {
    prop_oneof![
        Just(semver("*")),
        Just(semver("1.x")),
        Just(Policy::Alphabetical(policy::Order::Ascending)),
        Just(Policy::Numerical(policy::Order::Descending)),
    ]
}

proptest! {
    /// Governance that forbids nothing elects what is elected without any.
    #[test]
    fn without_anything_to_say_it_is_the_plain_election(
        policy in choices(),
        filtered: bool,
        tags in prop::collection::vec("v?[0-2]\\.[0-2]\\.[0-2]|[0-9]{1,2}", 0..15),
        current in prop::option::of("[0-2]\\.[0-2]\\.[0-2]"),
    ) {
        let candidates: Candidates = tags.iter().collect();
        let filter = filtered.then(|| TagFilter::new("^v?(.*)$", "$1").unwrap());
        let old = |_: &str| None;
        let all = |_: &str| offers(&["linux/amd64"]);
        let facts = Facts {
            now: at(NOW),
            current: current.as_deref(),
            is_listed: true,
            is_rebased: false,
            seen: &old,
            refound: None,
            platforms: &all,
            mirrored: &|_| Mirrored::Yes,
        };
        let expected = policy::elect(&policy, filter.as_ref(), &candidates);
        for pairs in [
            vec![],
            vec![(names::MINIMUM_AGE, "72h"), (names::PLATFORMS, "linux/amd64"), (names::DOWNGRADE, "forbid")],
            vec![(names::REQUIRE_MIRRORED, "web"), (names::DOWNGRADE, "forbid")],
        ] {
            let in_force = Read::of(&annotations(&pairs)).after(None);
            prop_assert_eq!(in_force.is_nothing(), pairs.is_empty());
            let verdict = govern(&policy, filter.as_ref(), &candidates, &in_force, &facts);
            if let Ok(verdict) = &verdict {
                prop_assert_eq!(verdict.without_mirror, verdict.chosen);
            }
            let chosen: Result<_, NoTag> = verdict.map(|verdict| (verdict.chosen, verdict.lag, verdict.notices.len()));
            prop_assert_eq!(chosen, expected.clone().map(|tag| (Chosen::Tag(tag), Some(0), 0)));
        }
    }

    #[test]
    fn hold_beats_everything(
        policy in choices(),
        tags in prop::collection::vec("[0-2]\\.[0-2]\\.[0-2]|[a-c]", 1..15),
        which: prop::sample::Index,
        current in prop::option::of("[0-2]\\.[0-2]\\.[0-2]"),
    ) {
        let candidates: Candidates = tags.iter().collect();
        let held = &tags[which.index(tags.len())];
        let young = |_: &str| Some(at(NOW));
        let none = |_: &str| Known::OverBudget;
        let facts = Facts {
            now: at(NOW),
            current: current.as_deref(),
            is_listed: false,
            is_rebased: false,
            seen: &young,
            refound: None,
            platforms: &none,
            mirrored: &|_| Mirrored::Unsaid(Gap::Missing),
        };
        let pairs = [
            (names::HOLD, held.as_str()),
            (names::MINIMUM_AGE, "72h"),
            (names::PLATFORMS, "linux/amd64"),
            (names::DOWNGRADE, "forbid"),
            (names::REQUIRE_MIRRORED, "web"),
        ];
        let in_force = Read::of(&annotations(&pairs)).after(None);
        let verdict = govern(&policy, None, &candidates, &in_force, &facts).unwrap();
        prop_assert_eq!(verdict.chosen, Chosen::Tag(held));
    }

    #[test]
    fn no_annotation_makes_it_panic(
        hold: String, age: String, downgrade: String, platforms: String, mirror: String,
    ) {
        let pairs = [
            (names::HOLD, hold.as_str()),
            (names::MINIMUM_AGE, age.as_str()),
            (names::DOWNGRADE, downgrade.as_str()),
            (names::PLATFORMS, platforms.as_str()),
            (names::REQUIRE_MIRRORED, mirror.as_str()),
        ];
        let read = Read::of(&annotations(&pairs));
        for broken in &read.broken {
            prop_assert!(!broken.to_string().is_empty());
        }
    }
}
