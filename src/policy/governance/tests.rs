//! A table per rule, the order of the rules, and what holds for any input.

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

/// One election of `*` over `1.0.0` to `1.4.0`, each an hour older than the next, unless it is changed.
struct Case {
    policy: Policy,
    filter: Option<TagFilter>,
    tags: Vec<&'static str>,
    annotations: Vec<(&'static str, &'static str)>,
    last: Option<Governance>,
    current: Option<&'static str>,
    is_rebased: bool,
    /// Hours ago.
    seen: BTreeMap<&'static str, i64>,
    refound: Option<i64>,
    platforms: BTreeMap<&'static str, Known>,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            policy: semver("*"),
            filter: None,
            tags: vec!["1.0.0", "1.1.0", "1.2.0", "1.3.0", "1.4.0"],
            annotations: vec![],
            last: None,
            current: None,
            is_rebased: false,
            seen: [
                ("1.0.0", 5),
                ("1.1.0", 4),
                ("1.2.0", 3),
                ("1.3.0", 2),
                ("1.4.0", 1),
            ]
            .into(),
            refound: None,
            platforms: BTreeMap::new(),
        }
    }
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

impl Case {
    fn told(&self) -> String {
        let candidates: Candidates = self.tags.iter().collect();
        let in_force = Read::of(&annotations(&self.annotations)).after(self.last.as_ref());
        let seen = |tag: &str| Some(at(NOW - self.seen.get(tag)? * HOUR));
        let platforms = |tag: &str| self.platforms.get(tag).cloned().unwrap_or(Known::Unasked);
        let facts = Facts {
            now: at(NOW),
            current: self.current,
            is_listed: self.current.is_some_and(|tag| self.tags.contains(&tag)),
            is_rebased: self.is_rebased,
            seen: &seen,
            refound: self.refound.map(|hours| at(NOW - hours * HOUR)),
            platforms: &platforms,
        };
        let verdict = match govern(
            &self.policy,
            self.filter.as_ref(),
            &candidates,
            &in_force,
            &facts,
        ) {
            Ok(verdict) => verdict,
            Err(none) => return format!("none: {none}"),
        };
        let chosen = match verdict.chosen {
            Chosen::Tag(tag) => tag.to_owned(),
            Chosen::Stands => "stands".to_owned(),
            Chosen::Ask(tag) => format!("ask {tag}"),
        };
        let reasons: Vec<_> = verdict
            .notices
            .iter()
            .map(|notice| notice.reason().as_str())
            .collect();
        let wait = verdict.matures.map_or(String::new(), |time| {
            format!(" in {}h", (time.as_second() - NOW) / HOUR)
        });
        let lag = verdict.lag.map_or("-".to_owned(), |lag| lag.to_string());
        format!("{chosen} lag {lag} {}{wait}", reasons.join(","))
            .trim()
            .to_owned()
    }
}

fn check(rows: Vec<(&str, Case, &str)>) {
    for (name, case, expected) in rows {
        assert_eq!(case.told(), expected, "{name}");
    }
}

#[test]
fn hold_needs_the_tag_in_the_list_and_nothing_else() {
    let hold = |tag| vec![(names::HOLD, tag)];
    check(vec![
        (
            "held",
            Case {
                annotations: hold("1.1.0"),
                ..Case::default()
            },
            "1.1.0 lag 3 Held",
        ),
        (
            "the best itself",
            Case {
                annotations: hold("1.4.0"),
                ..Case::default()
            },
            "1.4.0 lag 0 Held",
        ),
        (
            "outside of the range",
            Case {
                annotations: hold("1.1.0"),
                policy: semver(">=1.3.0"),
                ..Case::default()
            },
            "1.1.0 lag 2 Held",
        ),
        (
            "no version",
            Case {
                annotations: hold("edge"),
                tags: vec!["edge", "1.0.0"],
                ..Case::default()
            },
            "edge lag 1 Held",
        ),
        (
            "nothing fits the range",
            Case {
                annotations: hold("1.1.0"),
                policy: semver("9.x"),
                ..Case::default()
            },
            "1.1.0 lag 0 Held",
        ),
        (
            "kept out by the filter",
            Case {
                annotations: hold("1.1.0"),
                filter: Some(TagFilter::new("^1\\.[34]", "").unwrap()),
                ..Case::default()
            },
            "1.1.0 lag 2 Held",
        ),
        (
            "not in the list",
            Case {
                annotations: hold("7.0.0"),
                current: Some("1.2.0"),
                ..Case::default()
            },
            "stands lag 2 HeldTagMissing",
        ),
        (
            "not in the list, and nothing stands",
            Case {
                annotations: hold("7.0.0"),
                ..Case::default()
            },
            "stands lag - HeldTagMissing",
        ),
    ]);
}

#[test]
fn the_latest_tag_that_is_old_enough_is_elected() {
    let age = |age| vec![(names::MINIMUM_AGE, age)];
    let vanished = || vec!["1.2.0", "1.3.0", "1.4.0"];
    check(vec![
        (
            "some are",
            Case {
                annotations: age("3h"),
                ..Case::default()
            },
            "1.2.0 lag 2 Waiting in 1h",
        ),
        (
            "all are",
            Case {
                annotations: age("59m"),
                ..Case::default()
            },
            "1.4.0 lag 0",
        ),
        (
            "exactly",
            Case {
                annotations: age("1h"),
                ..Case::default()
            },
            "1.4.0 lag 0",
        ),
        (
            "no age",
            Case {
                annotations: age("0s"),
                ..Case::default()
            },
            "1.4.0 lag 0",
        ),
        (
            "none is, and nothing stands",
            Case {
                annotations: age("9h"),
                ..Case::default()
            },
            "stands lag - Waiting in 4h",
        ),
        (
            "none is, and one stands",
            Case {
                annotations: age("9h"),
                tags: vanished(),
                current: Some("1.1.0"),
                ..Case::default()
            },
            "stands lag 3 Waiting in 6h",
        ),
        (
            "the one that stands has not to wait again",
            Case {
                annotations: age("9h"),
                current: Some("1.3.0"),
                ..Case::default()
            },
            "1.3.0 lag 1 Waiting in 8h",
        ),
        (
            "never seen to appear: old",
            Case {
                annotations: age("9h"),
                seen: [("1.4.0", 1)].into(),
                ..Case::default()
            },
            "1.3.0 lag 1 Waiting in 8h",
        ),
        (
            "longer than the calendar",
            Case {
                annotations: age("2000000h"),
                seen: [("1.4.0", 1)].into(),
                ..Case::default()
            },
            "1.3.0 lag 1 Waiting in 1999999h",
        ),
        (
            "an earlier one is elected when its time has come and the one that stands is gone",
            Case {
                annotations: age("3h"),
                tags: vec!["1.0.0", "1.1.0", "1.4.0"],
                current: Some("1.3.0"),
                ..Case::default()
            },
            "1.1.0 lag 1 Waiting in 2h",
        ),
    ]);
}

#[test]
fn what_was_found_again_after_a_loss_is_old_only_up_to_the_election() {
    let age = || vec![(names::MINIMUM_AGE, "72h")];
    let all = || -> BTreeMap<_, _> {
        ["1.0.0", "1.1.0", "1.2.0", "1.3.0", "1.4.0"]
            .map(|tag| (tag, 1))
            .into()
    };
    check(vec![
        (
            "the election stands",
            Case {
                annotations: age(),
                seen: all(),
                refound: Some(1),
                current: Some("1.2.0"),
                ..Case::default()
            },
            "1.2.0 lag 2 Waiting in 71h",
        ),
        (
            "it vanished: what is below it is old",
            Case {
                annotations: age(),
                tags: vec!["1.0.0", "1.1.0", "1.3.0"],
                seen: all(),
                refound: Some(1),
                current: Some("1.2.0"),
                ..Case::default()
            },
            "1.1.0 lag 1 Waiting in 71h",
        ),
        (
            "one that appeared later is new, below it too",
            Case {
                annotations: age(),
                tags: vec!["1.0.0", "1.1.0"],
                seen: [("1.0.0", 2), ("1.1.0", 1)].into(),
                refound: Some(2),
                current: Some("1.2.0"),
                ..Case::default()
            },
            "1.0.0 lag 1 Waiting in 71h",
        ),
        (
            "nothing stands to compare with",
            Case {
                annotations: age(),
                seen: all(),
                refound: Some(1),
                ..Case::default()
            },
            "stands lag - Waiting in 71h",
        ),
        (
            "by the key that the filter extracts",
            Case {
                annotations: age(),
                tags: vec!["a-1.0.0", "b-0.9.0"],
                seen: [("a-1.0.0", 1), ("b-0.9.0", 1)].into(),
                filter: Some(TagFilter::new("^[a-z]-(?P<v>.*)$", "$v").unwrap()),
                refound: Some(1),
                current: Some("c-0.9.5"),
                ..Case::default()
            },
            "b-0.9.0 lag 1 Waiting in 71h",
        ),
    ]);
}

#[test]
fn an_election_goes_down_only_where_it_may() {
    let forbid = || vec![(names::DOWNGRADE, "forbid")];
    let left = || vec!["1.0.0", "1.1.0"];
    check(vec![
        (
            "up",
            Case {
                annotations: forbid(),
                current: Some("1.2.0"),
                ..Case::default()
            },
            "1.4.0 lag 0",
        ),
        (
            "not down",
            Case {
                annotations: forbid(),
                tags: left(),
                current: Some("1.2.0"),
                ..Case::default()
            },
            "stands lag 0 DowngradeForbidden",
        ),
        (
            "as far as nothing at all",
            Case {
                annotations: forbid(),
                tags: vec![],
                current: Some("1.2.0"),
                ..Case::default()
            },
            "stands lag 0 DowngradeForbidden",
        ),
        (
            "or nothing that fits",
            Case {
                annotations: forbid(),
                tags: vec!["edge"],
                current: Some("1.2.0"),
                ..Case::default()
            },
            "stands lag 0 DowngradeForbidden",
        ),
        (
            "but the spec may ask for it",
            Case {
                annotations: forbid(),
                tags: left(),
                current: Some("1.2.0"),
                is_rebased: true,
                ..Case::default()
            },
            "1.1.0 lag 0",
        ),
        (
            "sideways is not down",
            Case {
                annotations: forbid(),
                tags: vec!["v1.2.0"],
                current: Some("1.2.0"),
                ..Case::default()
            },
            "v1.2.0 lag 0",
        ),
        (
            "what is there did not vanish: the range took it away",
            Case {
                annotations: forbid(),
                policy: semver("<1.2.0"),
                current: Some("1.2.0"),
                ..Case::default()
            },
            "1.1.0 lag 0",
        ),
        (
            "nothing stands",
            Case {
                annotations: forbid(),
                tags: left(),
                ..Case::default()
            },
            "1.1.0 lag 0",
        ),
        (
            "nothing stands, and nothing fits",
            Case {
                annotations: forbid(),
                tags: vec!["edge"],
                ..Case::default()
            },
            "none: unable to determine latest version from provided list",
        ),
        (
            "it is allowed",
            Case {
                annotations: vec![(names::DOWNGRADE, "allow")],
                tags: left(),
                current: Some("1.2.0"),
                ..Case::default()
            },
            "1.1.0 lag 0",
        ),
    ]);
}

#[test]
fn only_a_tag_with_every_platform_is_elected() {
    let both = || vec![(names::PLATFORMS, "linux/amd64, linux/arm64")];
    let (amd, all) = (
        || offers(&["linux/amd64"]),
        || offers(&["linux/amd64", "linux/arm64/v8", "unknown/unknown"]),
    );
    check(vec![
        (
            "nobody has asked",
            Case {
                annotations: both(),
                ..Case::default()
            },
            "ask 1.4.0 lag -",
        ),
        (
            "the best has them",
            Case {
                annotations: both(),
                platforms: [("1.4.0", all())].into(),
                ..Case::default()
            },
            "1.4.0 lag 0",
        ),
        (
            "one lacks one",
            Case {
                annotations: both(),
                platforms: [("1.4.0", amd())].into(),
                ..Case::default()
            },
            "ask 1.3.0 lag - PlatformsMissing",
        ),
        (
            "the next one has them",
            Case {
                annotations: both(),
                platforms: [("1.4.0", amd()), ("1.3.0", all())].into(),
                ..Case::default()
            },
            "1.3.0 lag 1 PlatformsMissing",
        ),
        (
            "none has them",
            Case {
                annotations: both(),
                tags: vec!["1.4.0", "1.3.0"],
                platforms: [("1.4.0", amd()), ("1.3.0", amd())].into(),
                current: Some("1.3.0"),
                ..Case::default()
            },
            "stands lag 1 PlatformsMissing",
        ),
        (
            "no question is left: nothing below is elected for want of knowledge",
            Case {
                annotations: both(),
                platforms: [
                    ("1.4.0", amd()),
                    ("1.3.0", Known::OverBudget),
                    ("1.2.0", all()),
                ]
                .into(),
                current: Some("1.1.0"),
                ..Case::default()
            },
            "stands lag 3 BudgetExhausted,PlatformsMissing",
        ),
        (
            "the registry is away",
            Case {
                annotations: both(),
                platforms: [("1.4.0", Known::Failed("down".into())), ("1.3.0", all())].into(),
                current: Some("1.1.0"),
                ..Case::default()
            },
            "stands lag 3 PlatformsUnknown",
        ),
        (
            "the registry has no such manifest",
            Case {
                annotations: both(),
                platforms: [("1.4.0", Known::Refused("gone".into())), ("1.3.0", all())].into(),
                current: Some("1.1.0"),
                ..Case::default()
            },
            "1.3.0 lag 1 PlatformsUnknown",
        ),
    ]);
}

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

#[test]
fn values_are_read_or_told() {
    let rows: [(&str, &str, Option<&str>); 20] = [
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
        };
        let expected = policy::elect(&policy, filter.as_ref(), &candidates);
        for pairs in [
            vec![],
            vec![(names::MINIMUM_AGE, "72h"), (names::PLATFORMS, "linux/amd64"), (names::DOWNGRADE, "forbid")],
        ] {
            let in_force = Read::of(&annotations(&pairs)).after(None);
            prop_assert_eq!(in_force.is_nothing(), pairs.is_empty());
            let verdict = govern(&policy, filter.as_ref(), &candidates, &in_force, &facts);
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
        };
        let pairs = [
            (names::HOLD, held.as_str()),
            (names::MINIMUM_AGE, "72h"),
            (names::PLATFORMS, "linux/amd64"),
            (names::DOWNGRADE, "forbid"),
        ];
        let in_force = Read::of(&annotations(&pairs)).after(None);
        let verdict = govern(&policy, None, &candidates, &in_force, &facts).unwrap();
        prop_assert_eq!(verdict.chosen, Chosen::Tag(held));
    }

    #[test]
    fn no_annotation_makes_it_panic(hold: String, age: String, downgrade: String, platforms: String) {
        let pairs = [
            (names::HOLD, hold.as_str()),
            (names::MINIMUM_AGE, age.as_str()),
            (names::DOWNGRADE, downgrade.as_str()),
            (names::PLATFORMS, platforms.as_str()),
        ];
        let read = Read::of(&annotations(&pairs));
        for broken in &read.broken {
            prop_assert!(!broken.to_string().is_empty());
        }
    }
}
