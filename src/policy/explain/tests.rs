//! Every reason where it belongs, and a winner that is always the elected one.

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::api::names;
use crate::policy::governance::{Draft, Gap, Governance, Known, Mirrored, Read};
use crate::policy::{Choice, Order, Range};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

struct Scene<'a> {
    policy: Policy,
    filter: Option<TagFilter>,
    tags: Vec<&'a str>,
    governance: Governance,
    current: Option<&'a str>,
    is_awaited: bool,
    is_frozen: bool,
    young: Vec<&'a str>,
    offers: Vec<(&'a str, &'a str)>,
    /// What the mirror has, where it says so.
    mirrored: Result<Vec<&'a str>, Gap>,
    /// What the mirror says of any other.
    otherwise: Mirrored,
    is_rebased: bool,
    limits: Limits,
}

fn scene<'a>(policy: Policy, tags: &[&'a str]) -> Scene<'a> {
    Scene {
        policy,
        filter: None,
        tags: tags.to_vec(),
        governance: Governance::default(),
        current: None,
        is_awaited: false,
        is_frozen: false,
        young: Vec::new(),
        offers: Vec::new(),
        mirrored: Ok(Vec::new()),
        otherwise: Mirrored::NotYet,
        is_rebased: false,
        limits: Limits {
            ranked: 10,
            rejected: 100,
        },
    }
}

fn range(text: &str) -> Policy {
    let choice = Choice {
        semver: Some(text),
        ..Choice::default()
    };
    Policy::from_choice(choice).unwrap()
}

fn govern(draft: Draft<'_>) -> Governance {
    draft.read().unwrap()
}

impl Scene<'_> {
    fn in_force(&self) -> InForce {
        let mut annotations = BTreeMap::new();
        if self.is_frozen {
            let broken = (names::DOWNGRADE.to_owned(), "never".to_owned());
            annotations.extend([broken]);
        }
        InForce {
            governance: self.governance.clone(),
            ..Read::of(&annotations).after(None)
        }
    }

    fn with(
        &self,
        excluded: &[(String, String)],
        go_on: &dyn Fn() -> bool,
    ) -> Result<Explained, Interrupted> {
        let candidates: Candidates = self.tags.iter().collect();
        let in_force = self.in_force();
        let seen = |tag: &str| self.young.contains(&tag).then_some(NOW);
        let platforms = |tag: &str| {
            let offered = self.offers.iter().find(|(known, _)| *known == tag);
            offered.map_or_else(
                || Known::Failed("nobody asked".into()),
                |(_, platform)| Known::Offers(vec![(*platform).to_owned()].into()),
            )
        };
        let mirrored = |tag: &str| self.mirror_says(tag);
        let facts = Facts {
            now: NOW,
            current: self.current,
            is_listed: self
                .current
                .is_some_and(|tag| candidates.get(tag).is_some()),
            is_rebased: self.is_rebased,
            seen: &seen,
            refound: None,
            platforms: &platforms,
            mirrored: &mirrored,
        };
        explain(&Question {
            policy: &self.policy,
            filter: self.filter.as_ref(),
            candidates: &candidates,
            excluded,
            in_force: &in_force,
            facts: &facts,
            is_awaited: self.is_awaited,
            limits: self.limits,
            go_on,
        })
    }

    fn mirror_says(&self, tag: &str) -> Mirrored {
        match &self.mirrored {
            Ok(has) if has.contains(&tag) => Mirrored::Yes,
            Ok(_) => self.otherwise,
            Err(gap) => Mirrored::Unsaid(*gap),
        }
    }

    fn explained(&self) -> Explained {
        self.with(&[], &|| true).unwrap()
    }

    /// The winner, and `tag reason` for each of the others.
    fn told(&self) -> (Option<String>, Vec<String>) {
        let explained = self.explained();
        check(&explained);
        let rejected = explained.rejected.iter();
        let rejected = rejected.map(|one| format!("{} {}", one.tag, one.reason.as_str()));
        (explained.latest.map(|seat| seat.tag), rejected.collect())
    }
}

/// What holds of any explanation.
fn check(explained: &Explained) {
    let Explained {
        latest,
        ranked,
        rejected,
        counts,
        none,
        ..
    } = explained;
    let told: usize = counts.rejected.values().sum();
    let lower = counts
        .rejected
        .get(&Reason::LowerRank)
        .copied()
        .unwrap_or_default();
    if !matches!(none, Some(NoTag::KeysTooLarge(_))) {
        assert_eq!(
            counts.total,
            counts.eligible + told - lower,
            "{explained:?}"
        );
    }
    assert_eq!(told, rejected.len(), "{explained:?}");
    assert!(rejected.iter().all(|one| !one.message.is_empty()));
    assert!(latest.is_none() || none.is_none());
    assert!(ranked.len() <= counts.eligible);
}

#[test]
fn each_rule_is_told_of_the_tags_that_it_speaks_against() {
    let rows: Vec<(&str, Scene<'_>, Option<&str>, &[&str])> = vec![
        (
            "versions",
            scene(
                range("1.x"),
                &["1.0.0", "1.1.0", "1.2.0-rc.1", "2.0.0", "latest"],
            ),
            Some("1.1.0"),
            &[
                "1.0.0 LowerRank",
                "latest NotSemver",
                "2.0.0 OutOfRange",
                "1.2.0-rc.1 Prerelease",
            ],
        ),
        (
            "a filter, and two tags of one key",
            Scene {
                filter: Some(TagFilter::new(r"^(\d+\.\d+\.\d+)-[ab]$", "$1").unwrap()),
                ..scene(range("*"), &["1.0.0-a", "1.0.0-b", "0.9.0-a", "1.0.0-c"])
            },
            Some("1.0.0-a"),
            &[
                "0.9.0-a LowerRank",
                "1.0.0-c FilteredByPattern",
                "1.0.0-b ExtractCollision",
            ],
        ),
        (
            "one that is no number fails all",
            scene(Policy::Numerical(Order::Ascending), &["1", "2", "x"]),
            None,
            &["x NotNumeric"],
        ),
        (
            "the first or the last text",
            scene(Policy::Alphabetical(Order::Descending), &["b", "a"]),
            Some("a"),
            &["b LowerRank"],
        ),
        (
            "a mirror does not have it yet",
            Scene {
                governance: govern(Draft {
                    require_mirrored: Some("apps/web"),
                    ..Draft::default()
                }),
                current: Some("1.0.0"),
                mirrored: Ok(vec!["1.1.0"]),
                ..scene(range("*"), &["0.9.0", "1.0.0", "1.1.0", "1.2.0"])
            },
            Some("1.1.0"),
            &["1.2.0 NotMirrored", "1.0.0 LowerRank", "0.9.0 NotMirrored"],
        ),
        (
            "a mirror that nobody knows",
            Scene {
                governance: govern(Draft {
                    require_mirrored: Some("apps/web"),
                    ..Draft::default()
                }),
                current: Some("1.0.0"),
                mirrored: Err(Gap::Missing),
                ..scene(range("*"), &["0.9.0", "1.0.0", "1.1.0"])
            },
            Some("1.0.0"),
            &["1.1.0 NotMirrored", "0.9.0 NotMirrored"],
        ),
        (
            "a mirror that has not looked at all",
            Scene {
                governance: govern(Draft {
                    require_mirrored: Some("apps/web"),
                    ..Draft::default()
                }),
                current: Some("1.0.0"),
                mirrored: Ok(vec!["1.1.0"]),
                otherwise: Mirrored::Unsaid(Gap::Unfinished),
                ..scene(range("*"), &["1.0.0", "1.1.0", "1.2.0"])
            },
            Some("1.0.0"),
            &["1.2.0 NotMirrored", "1.1.0 LowerRank"],
        ),
        (
            "a young tag waits",
            Scene {
                governance: govern(Draft {
                    minimum_age: Some("1h"),
                    ..Draft::default()
                }),
                young: vec!["1.1.0"],
                ..scene(range("*"), &["1.1.0", "1.0.0", "0.9.0"])
            },
            Some("1.0.0"),
            &["1.1.0 TooYoung", "0.9.0 LowerRank"],
        ),
        (
            "what is held needs no filter and no range",
            Scene {
                governance: govern(Draft {
                    hold: Some("latest"),
                    ..Draft::default()
                }),
                ..scene(range("1.x"), &["1.0.0", "2.0.0", "latest"])
            },
            Some("latest"),
            &["2.0.0 NotHeld", "1.0.0 NotHeld"],
        ),
        (
            "nothing goes down",
            Scene {
                governance: govern(Draft {
                    downgrade: Some("forbid"),
                    ..Draft::default()
                }),
                current: Some("1.5.0"),
                ..scene(range("1.x"), &["1.0.0", "2.0.0"])
            },
            Some("1.5.0"),
            &["1.0.0 DowngradeForbidden", "2.0.0 OutOfRange"],
        ),
        (
            "what is not known may be the one",
            Scene {
                governance: govern(Draft {
                    platforms: Some(&["linux/arm64".to_owned()]),
                    ..Draft::default()
                }),
                offers: vec![("3.0.0", "linux/amd64"), ("1.0.0", "linux/arm64")],
                ..scene(range("*"), &["3.0.0", "2.0.0", "1.0.0"])
            },
            None,
            &[
                "3.0.0 WrongPlatform",
                "2.0.0 PlatformUnknown",
                "1.0.0 LowerRank",
            ],
        ),
        (
            "what stands waits for a whole list",
            Scene {
                current: Some("1.5.0"),
                is_awaited: true,
                ..scene(range("*"), &["1.0.0"])
            },
            Some("1.5.0"),
            &["1.0.0 NotHeld"],
        ),
        (
            "nothing moves before the annotations parse",
            Scene {
                current: Some("1.0.0"),
                is_frozen: true,
                ..scene(range("*"), &["1.0.0", "2.0.0"])
            },
            Some("1.0.0"),
            &["2.0.0 NotHeld"],
        ),
        ("no tags", scene(range("*"), &[]), None, &[]),
    ];
    for (name, scene, latest, rejected) in rows {
        let (got, told) = scene.told();
        assert_eq!(got.as_deref(), latest, "{name}");
        assert_eq!(told, rejected, "{name}");
    }
}

#[test]
fn messages_name_what_matters() {
    let message = |scene: &Scene<'_>, tag: &str| {
        let explained = scene.explained();
        let found = explained
            .rejected
            .iter()
            .find(|one| one.tag == tag)
            .unwrap();
        found.message.clone()
    };
    let young = Scene {
        governance: govern(Draft {
            minimum_age: Some("72h"),
            ..Draft::default()
        }),
        young: vec!["1.1.0"],
        ..scene(range("*"), &["1.1.0", "1.0.0"])
    };
    assert_eq!(
        message(&young, "1.1.0"),
        "it waits until 1970-01-04T00:00:00Z (minimum age 72h0m0s)"
    );
    let plain = scene(range("1.x"), &["1.1.0", "1.0.0", "latest"]);
    assert_eq!(message(&plain, "1.0.0"), "1.1.0 ranks above it");
    assert_eq!(
        message(&plain, "latest"),
        "\"latest\" is no version of three parts"
    );
    let numbers = scene(Policy::Numerical(Order::Ascending), &["x"]);
    assert_eq!(
        message(&numbers, "x"),
        "failed to parse invalid numeric value 'x', and one such tag fails the policy"
    );
}

#[test]
fn no_more_is_told_than_asked_and_all_is_counted() {
    let tags: Vec<String> = (0..50).map(|n| format!("1.0.{n}")).collect();
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    let scene = Scene {
        limits: Limits {
            ranked: 3,
            rejected: 5,
        },
        ..scene(range("*"), &tags)
    };
    let excluded = [("x".to_owned(), "x".to_owned())];
    let explained = scene.with(&excluded, &|| true).unwrap();
    assert_eq!(explained.ranked.len(), 3);
    assert_eq!(explained.rejected.len(), 5);
    assert_eq!(explained.ranked[0].tag, "1.0.49");
    let counts = explained.counts;
    assert_eq!((counts.total, counts.eligible), (51, 50));
    assert_eq!(counts.rejected[&Reason::LowerRank], 49);
    assert_eq!(counts.rejected[&Reason::Excluded], 1);
}

#[test]
fn more_tags_than_one_run_asks_about_are_over_budget() {
    let tags: Vec<String> = (0..30).map(|n| format!("1.0.{n}")).collect();
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    let scene = Scene {
        governance: govern(Draft {
            platforms: Some(&["linux/arm64".to_owned()]),
            ..Draft::default()
        }),
        ..scene(range("*"), &tags)
    };
    let counts = scene.explained().counts;
    assert_eq!(counts.rejected[&Reason::PlatformUnknown], MOST_CHECKS);
    assert_eq!(counts.rejected[&Reason::BudgetExhausted], 10);
    assert_eq!(counts.eligible, 0);
}

#[test]
fn whoever_has_no_time_left_stops_at_any_tag() {
    let tags = ["1.0.0", "2.0.0", "x"];
    let plain = scene(range("1.x"), &tags);
    let held = Scene {
        governance: govern(Draft {
            hold: Some("1.0.0"),
            ..Draft::default()
        }),
        ..scene(range("1.x"), &tags)
    };
    let filtered = Scene {
        filter: Some(TagFilter::new(".", "").unwrap()),
        ..scene(range("1.x"), &tags)
    };
    for scene in [plain, held, filtered] {
        let mut time = 0_usize;
        let needed = loop {
            let left = std::cell::Cell::new(time);
            let go_on = || left.replace(left.get().saturating_sub(1)) > 0;
            match scene.with(&[], &go_on) {
                Ok(explained) => break (time, explained),
                Err(Interrupted) => time += 1,
            }
        };
        assert!(needed.0 >= tags.len());
        assert_eq!(needed.1, scene.explained());
    }
}

#[test]
fn the_set_of_reasons_is_closed_and_each_has_its_own_name() {
    let names: std::collections::BTreeSet<&str> =
        Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(names.len(), Reason::ALL.len());
    assert!(Reason::ALL.is_sorted());
}

fn policies() -> impl Strategy<Value = Policy> {
    prop_oneof![
        Just(Policy::SemVer(Range::parse("*").unwrap())),
        Just(Policy::SemVer(Range::parse(">=1.0.0-0 <2.0.0").unwrap())),
        Just(Policy::Alphabetical(Order::Ascending)),
        Just(Policy::Alphabetical(Order::Descending)),
        Just(Policy::Numerical(Order::Ascending)),
        Just(Policy::Numerical(Order::Descending)),
    ]
}

fn tags() -> impl Strategy<Value = Vec<String>> {
    let tag = prop_oneof![
        4 => "[0-3]\\.[0-2]\\.[0-2](-rc\\.[0-2])?",
        2 => "v?[0-9]{1,2}",
        1 => "[a-c]{1,2}",
        1 => Just("nan".to_owned()),
    ];
    // Few, where everything meets everything, and more than one run asks the registry about.
    prop_oneof![
        3 => prop::collection::vec(tag.clone(), 0..12),
        1 => prop::collection::vec(tag, 40..60),
    ]
}

proptest! {
    #[test]
    fn the_winner_is_the_elected_one(
        policy in policies(),
        tags in tags(),
        filter in prop::option::of(prop_oneof![
            Just(("^v?(.*)$", "$1")),
            Just(("[0-9]", "")),
            Just(("^(.).*$", "$1.0.0")),
        ]),
        hold in prop::option::of(0_usize..24),
        young in prop::collection::vec(0_usize..60, 0..20),
        minimum_age in prop::option::of(Just("1h")),
        forbid in any::<bool>(),
        platforms in any::<bool>(),
        offers in prop::collection::vec((0_usize..60, any::<bool>()), 0..40),
        is_rebased in any::<bool>(),
        current in prop::option::of("[0-3]\\.[0-2]\\.[0-2]"),
        require_mirrored in prop::option::weighted(0.3, Just("web")),
        mirrored in prop::result::maybe_err(prop::collection::vec(0_usize..60, 0..20), Just(Gap::Unlooked)),
        is_frozen in prop::bool::weighted(0.1),
        is_partial in prop::bool::weighted(0.3),
    ) {
        let tag = |at: &usize| tags.get(*at).map(String::as_str);
        let scene = Scene {
            filter: filter.map(|(pattern, extract)| TagFilter::new(pattern, extract).unwrap()),
            governance: govern(Draft {
                hold: hold.as_ref().and_then(tag),
                minimum_age,
                downgrade: forbid.then_some("forbid"),
                platforms: platforms.then_some(&["linux/arm64".to_owned()][..]),
                require_mirrored,
            }),
            current: current.as_deref(),
            is_frozen,
            young: young.iter().filter_map(tag).collect(),
            offers: offers.iter().filter_map(|(at, arm)| {
                Some((tag(at)?, if *arm { "linux/arm64" } else { "linux/amd64" }))
            }).collect(),
            mirrored: mirrored.map(|has| has.iter().filter_map(tag).collect()),
            otherwise: if is_partial { Mirrored::Unsaid(Gap::Unfinished) } else { Mirrored::NotYet },
            is_rebased,
            ..scene(policy, &[])
        };
        let scene = Scene { tags: {
            let mut all: Vec<&str> = tags.iter().map(String::as_str).collect();
            all.sort_unstable();
            all.dedup();
            all
        }, ..scene };
        let explained = scene.explained();
        check(&explained);
        let rejected = |reason| explained.counts.rejected.get(&reason).copied().unwrap_or_default();
        prop_assert!(rejected(Reason::PlatformUnknown) <= MOST_CHECKS);
        if rejected(Reason::BudgetExhausted) > 0 {
            prop_assert_eq!(rejected(Reason::PlatformUnknown), MOST_CHECKS);
        }
        let candidates: Candidates = scene.tags.iter().collect();
        let in_force = scene.in_force();
        let seen = |tag: &str| scene.young.contains(&tag).then_some(NOW);
        let known = |tag: &str| match scene.offers.iter().find(|(known, _)| *known == tag) {
            Some((_, platform)) => Known::Offers(vec![(*platform).to_owned()].into()),
            None => Known::Failed("nobody asked".into()),
        };
        let says = |tag: &str| scene.mirror_says(tag);
        let facts = Facts {
            now: NOW,
            current: scene.current,
            is_listed: scene.current.is_some_and(|tag| candidates.get(tag).is_some()),
            is_rebased: scene.is_rebased,
            seen: &seen,
            refound: None,
            platforms: &known,
            mirrored: &says,
        };
        let elected = governance::elect(&scene.policy, scene.filter.as_ref(), &candidates, &in_force, &facts);
        let latest = explained.latest.as_ref().map(|seat| seat.tag.as_str());
        match elected.as_ref().map(|verdict| &verdict.chosen) {
            Ok(Chosen::Tag(tag)) => {
                prop_assert_eq!(latest, Some(*tag));
                prop_assert_eq!(explained.ranked.first().map(|seat| seat.tag.as_str()), Some(*tag));
            }
            Ok(Chosen::Stands | Chosen::Ask(_)) => prop_assert_eq!(latest, scene.current),
            Err(none) => prop_assert_eq!(explained.none.as_ref(), Some(none)),
        }
    }
}
