//! Elections that wait for a mirror: a table, and what holds for any.

use super::rules::{Case, check};
use super::*;

const WEB: (&str, &str) = (names::REQUIRE_MIRRORED, "apps/web");

fn case(current: Option<&'static str>, mirrored: &[&'static str]) -> Case {
    Case {
        annotations: vec![WEB],
        current,
        mirrored: Ok(mirrored.to_vec()),
        ..Case::default()
    }
}

fn silent(current: Option<&'static str>, gap: Gap) -> Case {
    Case {
        mirrored: Err(gap),
        ..case(current, &[])
    }
}

/// It has these, and has not looked at the others yet.
fn partial(current: Option<&'static str>, mirrored: &[&'static str]) -> Case {
    Case {
        is_partial: true,
        ..case(current, mirrored)
    }
}

#[test]
fn the_latest_tag_that_the_mirror_has_is_elected() {
    check(vec![
        ("it has all", case(None, &["1.4.0", "1.3.0"]), "1.4.0 lag 0"),
        (
            "it has an earlier one",
            case(None, &["1.2.0"]),
            "1.2.0 lag 2 NotMirrored without 1.4.0",
        ),
        (
            "it has a later one than what stands",
            case(Some("1.1.0"), &["1.2.0"]),
            "1.2.0 lag 2 NotMirrored without 1.4.0",
        ),
        (
            "it has an earlier one than what stands, which it lost",
            case(Some("1.3.0"), &["1.2.0"]),
            "1.3.0 lag 1 NotMirrored without 1.4.0",
        ),
        (
            "it has nothing, and what stands is the latest",
            case(Some("1.4.0"), &[]),
            "1.4.0 lag 0",
        ),
        (
            "it has nothing, and nothing stands",
            case(None, &[]),
            "stands lag - NotMirrored without 1.4.0",
        ),
        (
            "it has nothing, and what stands is gone",
            case(Some("1.3.5"), &[]),
            "stands lag 1 NotMirrored without 1.4.0",
        ),
        (
            "what stands does not fit any more",
            Case {
                policy: semver("<1.3.0"),
                ..case(Some("1.4.0"), &["1.0.0"])
            },
            "1.0.0 lag 2 NotMirrored without 1.2.0",
        ),
    ]);
}

#[test]
fn a_mirror_that_says_nothing_keeps_what_stands() {
    check(vec![
        (
            "something stands",
            silent(Some("1.1.0"), Gap::Missing),
            "stands lag 3 MirrorMissing without 1.4.0",
        ),
        (
            "the latest stands",
            silent(Some("1.4.0"), Gap::Elsewhere),
            "1.4.0 lag 0 MirrorElsewhere",
        ),
        (
            "nothing stands",
            silent(None, Gap::Unlooked),
            "stands lag - MirrorUnknown without 1.4.0",
        ),
        (
            "what stands is gone",
            silent(Some("1.3.5"), Gap::Unseen),
            "stands lag 1 MirrorUnknown without 1.4.0",
        ),
        (
            "it is not to be referred to",
            silent(Some("1.1.0"), Gap::Blocked),
            "stands lag 3 MirrorUnknown without 1.4.0",
        ),
        (
            "its copies have other digests",
            silent(Some("1.1.0"), Gap::Rewritten),
            "stands lag 3 MirrorRewritten without 1.4.0",
        ),
        (
            "all are too young all the same",
            Case {
                annotations: vec![WEB, (names::MINIMUM_AGE, "9h")],
                ..silent(None, Gap::Missing)
            },
            "stands lag - MirrorMissing,Waiting in 4h",
        ),
        (
            "who holds a tag does not ask",
            Case {
                annotations: vec![WEB, (names::HOLD, "1.2.0")],
                ..silent(Some("1.1.0"), Gap::Missing)
            },
            "1.2.0 lag 2 Held",
        ),
        (
            "what is written is no mirror",
            Case {
                annotations: vec![(names::REQUIRE_MIRRORED, "a/b/c")],
                ..silent(Some("1.1.0"), Gap::Missing)
            },
            "stands lag 3 InvalidAnnotation",
        ),
    ]);
}

#[test]
fn while_the_mirror_has_not_looked_at_all_nothing_is_elected_that_another_might_outrank() {
    check(vec![
        (
            "the latest is there",
            partial(Some("1.1.0"), &["1.0.0", "1.4.0"]),
            "1.4.0 lag 0",
        ),
        (
            "the latest is there, and nothing stands",
            partial(None, &["1.4.0"]),
            "1.4.0 lag 0",
        ),
        (
            "an earlier one is there",
            partial(Some("1.1.0"), &["1.3.0"]),
            "stands lag 3 MirrorUnknown without 1.4.0",
        ),
        (
            "an earlier one is there, and nothing stands",
            partial(None, &["1.3.0"]),
            "stands lag - MirrorUnknown without 1.4.0",
        ),
        (
            "the latest stands",
            partial(Some("1.4.0"), &["1.3.0"]),
            "1.4.0 lag 0",
        ),
        (
            "the latest has to wait anyway",
            Case {
                annotations: vec![WEB, (names::MINIMUM_AGE, "90m")],
                ..partial(Some("1.1.0"), &["1.3.0"])
            },
            "1.3.0 lag 1 Waiting in 0h",
        ),
        (
            "the latest has to wait anyway, and the next is not looked at",
            Case {
                annotations: vec![WEB, (names::MINIMUM_AGE, "90m")],
                ..partial(Some("1.1.0"), &["1.4.0", "1.2.0"])
            },
            "stands lag 3 MirrorUnknown,Waiting in 0h without 1.3.0",
        ),
    ]);
}

#[test]
fn the_mirror_is_asked_after_the_age_and_before_the_downgrade() {
    let has = || offers(&["linux/arm64"]);
    let lacks = || offers(&["linux/amd64"]);
    let asked = |platforms: Vec<(&'static str, Known)>, mirrored: &[&'static str]| Case {
        annotations: vec![WEB, (names::PLATFORMS, "linux/arm64")],
        platforms: platforms.into_iter().collect(),
        ..case(Some("1.0.0"), mirrored)
    };
    check(vec![
        (
            "platforms, age, mirror",
            Case {
                annotations: vec![
                    WEB,
                    (names::PLATFORMS, "linux/arm64"),
                    (names::MINIMUM_AGE, "2h30m"),
                ],
                ..asked(
                    vec![
                        ("1.4.0", lacks()),
                        ("1.3.0", has()),
                        ("1.2.0", has()),
                        ("1.1.0", has()),
                    ],
                    &["1.4.0", "1.3.0", "1.1.0"],
                )
            },
            "1.1.0 lag 3 PlatformsMissing,Waiting,NotMirrored in 0h without 1.2.0",
        ),
        (
            "the candidate is asked about whatever the mirror has",
            asked(vec![], &["1.2.0"]),
            "ask 1.4.0 lag -",
        ),
        (
            "what the mirror lacks need not be asked about then",
            asked(vec![("1.4.0", has())], &["1.1.0"]),
            "ask 1.1.0 lag - NotMirrored without 1.4.0",
        ),
        (
            "and keeps nobody from what it has",
            asked(
                vec![
                    ("1.4.0", has()),
                    ("1.3.0", Known::OverBudget),
                    ("1.2.0", Known::Failed("down".into())),
                    ("1.1.0", has()),
                ],
                &["1.1.0"],
            ),
            "1.1.0 lag 3 NotMirrored without 1.4.0",
        ),
        (
            "what it has may be a downgrade",
            Case {
                annotations: vec![WEB, (names::DOWNGRADE, "forbid")],
                ..case(Some("1.3.5"), &["1.2.0"])
            },
            "stands lag 1 DowngradeForbidden,NotMirrored without 1.4.0",
        ),
        (
            "what it lacks would be one, too",
            Case {
                annotations: vec![WEB, (names::DOWNGRADE, "forbid")],
                ..case(Some("1.5.0"), &[])
            },
            "stands lag 0 NotMirrored",
        ),
    ]);
}

#[test]
fn a_mirror_without_a_namespace_is_one_of_the_policy_s_own() {
    for (value, told) in [("web", "apps/web"), ("other/web", "other/web")] {
        let annotations = annotations(&[(names::REQUIRE_MIRRORED, value)]);
        let read = Read::of(&annotations).within("apps");
        let key = read.mirror().unwrap().unwrap().key("elsewhere");
        assert_eq!(key.to_string(), told);
        let in_force = read.after(None);
        let mirror = in_force.governance.require_mirrored.clone().unwrap();
        assert_eq!(mirror.to_string(), told);
        assert!(!in_force.is_nothing() && !in_force.is_mirror_unknown());
    }
    let broken = Read::of(&annotations(&[(names::REQUIRE_MIRRORED, "a/b/c")]));
    assert!(broken.mirror().is_err());
    let known = Governance {
        require_mirrored: Some("web".parse().unwrap()),
        ..Governance::default()
    };
    let in_force = broken.clone().after(Some(&known));
    assert_eq!(in_force.governance, known);
    assert!(!in_force.is_frozen && !in_force.is_mirror_unknown());
    let in_force = broken.after(None);
    assert!(in_force.is_frozen && in_force.is_mirror_unknown());
}

proptest! {
    /// Whatever else is asked for: what is elected is at the mirror, or stands elected already; and what would be elected
    /// without it is what is elected without it.
    #[test]
    fn nothing_is_elected_that_the_mirror_lacks_but_what_stands(
        policy in choices(),
        tags in prop::collection::btree_set("[0-2]\\.[0-2]\\.[0-2]|[0-9]{1,2}", 0..15),
        mirrored in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        gap in prop::option::weighted(0.2, prop_oneof![
            Just(Gap::Missing), Just(Gap::Unseen), Just(Gap::Unlooked), Just(Gap::Elsewhere), Just(Gap::Rewritten),
        ]),
        is_partial in prop::bool::weighted(0.3),
        young in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        offered in prop::collection::vec(0..4_u8, 15),
        current in prop::option::of("[0-2]\\.[0-2]\\.[0-2]"),
        (age, downgrade, platforms) in (any::<bool>(), any::<bool>(), any::<bool>()),
    ) {
        let tags: Vec<String> = tags.into_iter().collect();
        let candidates: Candidates = tags.iter().collect();
        let among = |places: &[prop::sample::Index], tag: &str| {
            !tags.is_empty() && places.iter().any(|place| tags[place.index(tags.len())] == tag)
        };
        let seen = |tag: &str| among(&young, tag).then_some(at(NOW));
        let known = |tag: &str| {
            let place = tags.iter().position(|one| one == tag).unwrap_or_default();
            match offered[place] {
                0 => offers(&["linux/amd64"]),
                1 => Known::Failed("down".into()),
                _ => offers(&["linux/arm64"]),
            }
        };
        let says = |tag: &str| Mirrored::of(match gap {
            Some(gap) => Err(gap),
            None if among(&mirrored, tag) => Ok(true),
            None if is_partial => Err(Gap::Unfinished),
            None => Ok(false),
        });
        let facts = Facts {
            now: at(NOW),
            current: current.as_deref(),
            is_listed: current.as_ref().is_some_and(|tag| tags.contains(tag)),
            is_rebased: false,
            seen: &seen,
            refound: None,
            platforms: &known,
            mirrored: &says,
        };
        let mut pairs: Vec<_> = [
            (age, (names::MINIMUM_AGE, "1h")),
            (downgrade, (names::DOWNGRADE, "forbid")),
            (platforms, (names::PLATFORMS, "linux/arm64")),
        ].into_iter().filter_map(|(is_asked, pair)| is_asked.then_some(pair)).collect();
        let plain = Read::of(&annotations(&pairs)).after(None);
        let plain = govern(&policy, None, &candidates, &plain, &facts);
        pairs.push(WEB);
        let gated = Read::of(&annotations(&pairs)).after(None);
        let gated = govern(&policy, None, &candidates, &gated, &facts);
        match (plain, gated) {
            (Ok(plain), Ok(gated)) => {
                prop_assert_eq!(plain.chosen, gated.without_mirror);
                prop_assert_eq!(plain.without_mirror, plain.chosen);
                if let Chosen::Tag(tag) = gated.chosen {
                    prop_assert!(says(tag) == Mirrored::Yes || current.as_deref() == Some(tag), "{}", tag);
                }
                // What may turn out to be there is not passed over.
                if let (Chosen::Tag(best), true) = (plain.chosen, is_partial)
                    && gated.chosen != plain.chosen
                {
                    prop_assert!(!matches!(gated.chosen, Chosen::Tag(tag) if current.as_deref() != Some(tag)), "{}", best);
                }
                if plain.chosen != gated.chosen {
                    let told = gated.notices.iter().any(|notice| {
                        matches!(notice, Notice::NotMirrored { .. } | Notice::MirrorSilent { .. })
                    });
                    prop_assert!(told, "{:?}", gated.notices);
                }
                // The election never falls for the mirror's sake.
                if plain.chosen == Chosen::Stands || current.as_deref().map(Chosen::Tag) == Some(plain.chosen) {
                    prop_assert!(plain.chosen == gated.chosen, "{:?} {:?}", plain.chosen, gated.chosen);
                }
            }
            (plain, gated) => prop_assert_eq!(plain.err(), gated.err()),
        }
    }
}
