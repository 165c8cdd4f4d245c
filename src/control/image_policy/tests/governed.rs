//! What annotations make of decisions and statuses.

use super::super::digest::DigestWait;
use super::*;
use crate::api::condition;
use crate::api::image_repository::{ImageRepositoryStatus, ScanResult};

/// A policy for `*` over three tags of its own namespace, with these annotations; this one stands elected.
fn governed(current: Option<&str>, annotations: &[(&str, &str)]) -> Facts {
    facts(|_, object| {
        object.spec.policy = semver("*");
        object.status = current.map(|tag| with_latest(tag, None));
        for (name, value) in annotations {
            object
                .annotations_mut()
                .insert((*name).to_owned(), (*value).to_owned());
        }
    })
}

fn decided(facts: &Facts) -> String {
    told(&decide::decide(facts, &Settings::default()))
}

#[test]
fn what_stands_is_elected_again_where_it_can_be() {
    let hold = |tag| [(names::HOLD, tag)];
    let rows = [
        (
            governed(None, &hold("1.0.0")),
            format!(
                "elect {IMAGE}:1.0.0 in images/app held at 1.0.0 by {}, 2.0.0 is not elected",
                names::HOLD
            ),
        ),
        (
            governed(Some("1.1.0"), &hold("7.0.0")),
            format!(
                "elect {IMAGE}:1.1.0 in images/app 7.0.0, which {} asks for, is not in the list",
                names::HOLD
            ),
        ),
        (
            governed(Some("3.0.0"), &hold("7.0.0")),
            format!(
                "stand: 7.0.0, which {} asks for, is not in the list",
                names::HOLD
            ),
        ),
        (
            governed(Some("3.0.0"), &[(names::DOWNGRADE, "forbid")]),
            format!(
                "stand: 2.0.0 would be a downgrade, and 3.0.0 stays though it is not in the list any more ({}: forbid)",
                names::DOWNGRADE
            ),
        ),
        (
            governed(Some("3.0.0"), &[]),
            format!("elect {IMAGE}:2.0.0 in images/app"),
        ),
        (
            governed(None, &[(names::PLATFORMS, "linux/arm64")]),
            "ask 2.0.0".to_owned(),
        ),
        (
            governed(Some("1.0.0"), &[(names::DOWNGRADE, "never")]),
            format!(
                "elect {IMAGE}:1.0.0 in images/app {} is \"never\": it has to be forbid or allow; \
                 what was in force before it stays so",
                names::DOWNGRADE
            ),
        ),
    ];
    for (facts, expected) in rows {
        assert_eq!(decided(&facts), expected);
    }
}

#[test]
fn a_broken_spec_stalls_whatever_is_held() {
    let mut facts = governed(Some("1.0.0"), &[(names::HOLD, "1.0.0")]);
    let mut object = (*facts.object).clone();
    object.spec.policy = semver("1.x.x.x");
    facts.object = Arc::new(object);
    assert_eq!(
        decided(&facts),
        "stall InvalidPolicy: invalid policy: improper constraint: \"1.x.x.x\""
    );
}

#[test]
fn what_was_elected_waits_in_silence_for_tags_that_are_on_their_way() {
    let scanned = |object: &mut ImageRepository| {
        object.status = Some(ImageRepositoryStatus {
            last_scan_result: Some(ScanResult::default()),
            ..ImageRepositoryStatus::default()
        });
    };
    let decided = |current: Option<&str>, image: &str, repository: Referred| {
        let mut facts = governed(current, &[]);
        let mut object = (*facts.object).clone();
        if let Some(latest) = object
            .status
            .as_mut()
            .and_then(|status| status.latest_ref.as_mut())
        {
            latest.name = image.to_owned();
        }
        (facts.object, facts.repository, facts.waits) = (Arc::new(object), repository, 9);
        decided(&facts)
    };
    let told = "fail DependencyNotReady: retrying in 30s error: no tags in database";
    assert_eq!(
        decided(Some("1.0.0"), IMAGE, found(None, scanned)),
        "wait 30s"
    );
    assert_eq!(decided(None, IMAGE, found(None, scanned)), told);
    assert_eq!(decided(Some("1.0.0"), IMAGE, found(None, |_| {})), told);
    assert_eq!(
        decided(Some("1.0.0"), "registry.test/o/other", found(None, scanned)),
        told,
        "another image's tags"
    );
}

/// What it was lost with (nothing), what is asked for by then, and what is said.
#[test]
fn who_waits_for_lost_tags_is_not_kept_waiting_for_a_word() {
    let told = "fail DependencyNotReady: retrying in 30s error: no tags in database";
    let rows: [(&str, i64, Option<&str>, bool, &str); 4] = [
        ("nothing is new", 1, None, false, "wait 30s"),
        ("another spec", 2, None, false, told),
        (
            "a request",
            1,
            Some("token"),
            false,
            "acknowledge, wait 30s",
        ),
        ("no scan is to come", 1, None, true, told),
    ];
    for (name, generation, request, suspended, expected) in rows {
        let mut facts = governed(Some("1.0.0"), &[]);
        let mut object = (*facts.object).clone();
        object.metadata.generation = Some(generation);
        if let Some(token) = request {
            object
                .annotations_mut()
                .insert(names::RECONCILE_REQUESTED_AT.into(), token.into());
        }
        facts.repository = found(None, |object| {
            object.spec.suspend = suspended;
            object.status = Some(ImageRepositoryStatus {
                last_scan_result: Some(ScanResult::default()),
                ..ImageRepositoryStatus::default()
            });
        });
        (facts.object, facts.waits) = (Arc::new(object), 9);
        assert_eq!(decided(&facts), expected, "{name}");
        if request.is_some() {
            let before = facts.object.status.clone().unwrap();
            let (status, next) = after(&facts.object, &facts, &Outcome::Nothing);
            let expected = ImagePolicyStatus {
                last_handled_reconcile_at: request.map(Into::into),
                ..before
            };
            assert_eq!(
                (status, next),
                (expected, Next::After(Duration::from_secs(30)))
            );
        }
    }
}

#[test]
fn what_stands_of_another_image_is_told_as_such() {
    let mut facts = governed(Some("1.0.0"), &[(names::HOLD, "7.0.0")]);
    facts.repository = found(Some(&["1.0.0"]), |object| {
        object.spec.image = "registry.test/o/other".into();
    });
    let (status, _) = after(&facts.object, &facts, &Outcome::Nothing);
    let ready = condition::get(&status.conditions, "Ready").unwrap();
    assert_eq!(
        (ready.status.as_str(), ready.message.as_str()),
        (
            "True",
            format!(
                "Latest image tag for {IMAGE} resolved to 1.0.0, which stays while no tag of registry.test/o/other may be \
                 elected; 7.0.0, which {} asks for, is not in the list",
                names::HOLD
            )
            .as_str()
        )
    );
}

#[test]
fn a_list_that_may_be_more_keeps_what_it_lacks() {
    type Row<'a> = (&'a [(&'a str, &'a str)], bool, &'a str);
    let rows: [Row<'_>; 5] = [
        (&[], false, "wait 30s"),
        (&[(names::MINIMUM_AGE, "1h")], false, "wait 30s"),
        (&[(names::PLATFORMS, "linux/amd64")], false, "wait 30s"),
        (
            &[(names::HOLD, "1.0.0")],
            false,
            "elect registry.test/o/app:1.0.0",
        ),
        (
            &[(names::MINIMUM_AGE, "1h")],
            true,
            "elect registry.test/o/app:1.1.0",
        ),
    ];
    for (annotations, complete, expected) in rows {
        let mut facts = governed(Some("3.0.0"), annotations);
        let mut repository = found(Some(&["1.1.0", "1.0.0"]), |_| {});
        if let Referred::Found { tags, .. } = &mut repository {
            *tags = Some(stored(&["1.1.0", "1.0.0"], complete));
        }
        facts.repository = repository;
        let told = decided(&facts);
        assert!(told.starts_with(expected), "{annotations:?}: {told}");
    }
}

/// What a store holds after its first scan.
fn stored(tags: &[&str], complete: bool) -> Arc<crate::store::RepositoryTags> {
    use crate::store::{Dating, Owner, Scan, Store};
    let store = Store::in_memory(Arc::new(crate::clock::SystemClock));
    let key = Key::new("images", "app");
    let scan = Scan {
        owner: Owner {
            key: key.clone(),
            uid: "uid-1".into(),
            created: Timestamp::UNIX_EPOCH,
            labels: std::collections::BTreeMap::new(),
        },
        image: IMAGE.parse().unwrap(),
        tags: tags.iter().map(|tag| tag.parse().unwrap()).collect(),
        aside: vec![],
        revision: "1".into(),
        time: Timestamp::UNIX_EPOCH,
        complete,
        dating: Dating::AtFirst,
    };
    store.commit_scan(scan).unwrap();
    store.snapshot().repository(&key).unwrap()
}

#[test]
fn flux_s_words_stay_in_front() {
    let facts = governed(Some("1.1.0"), &[(names::HOLD, "1.0.0")]);
    let (status, next) = after(&facts.object, &facts, &elected());
    let tail = format!("held at 1.0.0 by {}, 2.0.0 is not elected", names::HOLD);
    assert_eq!(
        lines(&status.conditions),
        [
            format!(
                "Ready=True Succeeded: Latest image tag for {IMAGE} resolved to 1.0.0 (previously {IMAGE}:1.1.0); {tail}"
            ),
            format!("Governed=True Held: {tail}"),
        ]
    );
    assert_eq!(next, Next::Await);
    let mut object = (*facts.object).clone();
    object.status = Some(status.clone());
    assert_eq!(
        after(&object, &facts, &elected()).0,
        status,
        "the same again is the same status"
    );
}

#[test]
fn ready_stays_while_something_is_elected_and_says_why_else() {
    let rows = [
        (
            Some("3.0.0"),
            "True",
            "Latest image tag for registry.test/o/app resolved to 3.0.0; 7.0.0, which",
        ),
        (None, "False", "no tag may be elected; 7.0.0, which"),
    ];
    for (current, ready, expected) in rows {
        let facts = governed(current, &[(names::HOLD, "7.0.0")]);
        let (status, next) = after(&facts.object, &facts, &Outcome::Nothing);
        let told = condition::get(&status.conditions, "Ready").unwrap();
        assert_eq!(told.status, ready);
        assert!(told.message.starts_with(expected), "{}", told.message);
        let governed = condition::get(&status.conditions, "Governed").unwrap();
        assert_eq!(governed.reason, "HeldTagMissing");
        assert_eq!(
            status.latest_ref.map(|latest| latest.tag).as_deref(),
            current
        );
        assert_eq!(next == Next::RETRY, current.is_none());
    }
}

#[test]
fn governed_goes_with_the_annotations() {
    let before = {
        let facts = governed(Some("1.1.0"), &[(names::HOLD, "1.0.0")]);
        after(&facts.object, &facts, &elected()).0
    };
    let rows = [
        ("elected", facts(|_, _| {}), elected()),
        ("failed", referred(Referred::Missing), Outcome::Nothing),
    ];
    for (name, facts, outcome) in rows {
        let mut object = (*facts.object).clone();
        object.status = Some(before.clone());
        let (status, _) = after(&object, &facts, &outcome);
        assert!(
            condition::get(&status.conditions, "Governed").is_none(),
            "{name}"
        );
    }
    let suspended = spec(|spec| spec.suspend = true);
    let mut object = (*suspended.object).clone();
    object.status = Some(before.clone());
    let (status, _) = after(&object, &suspended, &Outcome::Nothing);
    assert!(
        condition::get(&status.conditions, "Governed").is_some(),
        "it rests"
    );
}

#[test]
fn a_digest_that_waits_is_told_and_looked_at_in_time() {
    let facts = facts(|_, object| {
        object.spec.digest_reflection_policy = ReflectionPolicy::Always;
        object.spec.interval = Some(GoDuration::from_secs(600));
        object.status = Some(with_latest("1.1.0", Some(DIGEST)));
        object
            .annotations_mut()
            .insert(names::MINIMUM_AGE.into(), "72h".into());
    });
    let other: Digest = format!("sha256:{}", "1".repeat(64)).parse().unwrap();
    for (left, expected) in [(90, 90), (6000, 600)] {
        let outcome = Outcome::Elected {
            digest: Some(DIGEST.parse().unwrap()),
            waits: Some(DigestWait {
                tag: "1.1.0".parse().unwrap(),
                digest: other.clone(),
                until: Timestamp::from_second(left).unwrap(),
                age: Duration::from_hours(72),
            }),
            again: None,
        };
        let (status, next) = after(&facts.object, &facts, &outcome);
        assert_eq!(next, Next::After(Duration::from_secs(expected)));
        let latest = status.latest_ref.unwrap();
        assert_eq!(latest.digest.as_deref(), Some(DIGEST));
        let governed = condition::get(&status.conditions, "Governed").unwrap();
        assert_eq!(governed.reason, "Waiting");
        assert!(
            governed.message.contains(&other.to_string()),
            "{}",
            governed.message
        );
    }
}
