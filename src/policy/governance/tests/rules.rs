//! A table per rule.

use super::*;

/// One election of `*` over `1.0.0` to `1.4.0`, each an hour older than the next, unless it is changed.
pub(super) struct Case {
    pub(super) policy: Policy,
    pub(super) filter: Option<TagFilter>,
    pub(super) tags: Vec<&'static str>,
    pub(super) annotations: Vec<(&'static str, &'static str)>,
    pub(super) last: Option<Governance>,
    pub(super) current: Option<&'static str>,
    pub(super) is_rebased: bool,
    /// Hours ago.
    pub(super) seen: BTreeMap<&'static str, i64>,
    pub(super) refound: Option<i64>,
    pub(super) platforms: BTreeMap<&'static str, Known>,
    /// What the mirror has, where it says so.
    pub(super) mirrored: Result<Vec<&'static str>, Gap>,
    /// Whether it has not looked at any other yet.
    pub(super) is_partial: bool,
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
            mirrored: Ok(vec![]),
            is_partial: false,
        }
    }
}

impl Case {
    fn told(&self) -> String {
        let candidates: Candidates = self.tags.iter().collect();
        let in_force = Read::of(&annotations(&self.annotations)).after(self.last.as_ref());
        let seen = |tag: &str| Some(at(NOW - self.seen.get(tag)? * HOUR));
        let platforms = |tag: &str| self.platforms.get(tag).cloned().unwrap_or(Known::Unasked);
        let mirrored = |tag: &str| {
            let has = self.mirrored.as_ref().map(|has| has.contains(&tag));
            Mirrored::of(match has {
                Ok(false) if self.is_partial => Err(Gap::Unfinished),
                has => has.map_err(|gap| *gap),
            })
        };
        let facts = Facts {
            now: at(NOW),
            current: self.current,
            is_listed: self.current.is_some_and(|tag| self.tags.contains(&tag)),
            is_rebased: self.is_rebased,
            seen: &seen,
            refound: self.refound.map(|hours| at(NOW - hours * HOUR)),
            platforms: &platforms,
            mirrored: &mirrored,
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
        let without = match verdict.without_mirror {
            same if same == verdict.chosen => String::new(),
            Chosen::Tag(tag) => format!(" without {tag}"),
            Chosen::Stands => " without stands".to_owned(),
            Chosen::Ask(tag) => format!(" without ask {tag}"),
        };
        let wait = verdict.matures.map_or(String::new(), |time| {
            format!(" in {}h", (time.as_second() - NOW) / HOUR)
        });
        let lag = verdict
            .lag
            .map_or_else(|| "-".to_owned(), |lag| lag.to_string());
        format!("{chosen} lag {lag} {}{wait}{without}", reasons.join(","))
            .trim()
            .to_owned()
    }
}

pub(super) fn check(rows: Vec<(&str, Case, &str)>) {
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
fn a_refusal_passes_over_every_tag_but_the_one_that_stands() {
    let refused = |tag| (tag, Known::Refused("x".into()));
    let case = |current| Case {
        annotations: vec![(names::PLATFORMS, "linux/amd64")],
        platforms: [
            refused("1.4.0"),
            refused("1.3.0"),
            ("1.2.0", offers(&["linux/amd64"])),
        ]
        .into(),
        current,
        ..Case::default()
    };
    check(vec![
        ("nothing stands", case(None), "1.2.0 lag 2 PlatformsUnknown"),
        (
            "a lower one stands",
            case(Some("1.2.0")),
            "1.2.0 lag 2 PlatformsUnknown",
        ),
        (
            "it stands",
            case(Some("1.3.0")),
            "stands lag 1 PlatformsUnknown",
        ),
    ]);
}
