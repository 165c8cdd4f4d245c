//! What is remembered of an object, and when it still means something.

use super::super::memory::{Known, Unsaid};
use super::*;
use crate::control::registry::{Question, Validator};

/// The object, whose time has come.
fn due(facts: &mut Facts) {
    let last = status_of(facts).last_scan_result.as_mut().unwrap();
    last.scan_time = Some(Time(ago(302)));
}

fn known_list() -> Known {
    let question = Question {
        image: IMAGE.parse().unwrap(),
        ways: Ways::default(),
        timeout: Duration::ZERO,
        known: None,
    };
    Known {
        validator: Validator("\"abc\"".into()),
        identity: question.identity(),
        exclusion: vec![r"^.*\.sig$".into()],
        version: ResourceVersion(7),
    }
}

#[test]
fn a_validator_is_sent_only_while_what_it_stands_for_is_stored_and_told() {
    type Change = fn(&mut Facts);
    let rows: [(&str, Change, bool); 9] = [
        ("nothing else changed", |_| {}, true),
        (
            "it was asked for",
            |facts| facts.requested_at = Some("now".into()),
            true,
        ),
        (
            "the store holds another set",
            |facts| facts.stored.as_mut().unwrap().version = ResourceVersion(8),
            false,
        ),
        ("the store holds none", |facts| facts.stored = None, false),
        (
            "what is stored was suspect",
            |facts| facts.stored.as_mut().unwrap().is_complete = false,
            false,
        ),
        (
            "somebody wrote another form of revision",
            |facts| {
                let last = status_of(facts).last_scan_result.as_mut().unwrap();
                last.revision = "sha256:e3b0".into();
            },
            false,
        ),
        (
            "other tags are excluded",
            |facts| {
                let object = Arc::make_mut(&mut facts.object);
                object.spec.exclusion_list = vec!["^dev-".into()];
            },
            false,
        ),
        (
            "another credential asks",
            |facts| {
                let token = crate::secret::Credential::RegistryToken("x".into());
                facts.ways.as_mut().unwrap().access.credential = Some(token);
            },
            false,
        ),
        (
            "another image is asked for",
            |facts| facts.image = "registry.test/o/other".parse(),
            false,
        ),
    ];
    for (name, change, expected) in rows {
        let facts = with(|facts| {
            due(facts);
            facts.remembered.known = Some(known_list());
            change(facts);
        });
        let plan = planned(&facts, &Settings::default());
        assert_eq!(plan.question.known.is_some(), expected, "{name}");
    }
}

#[test]
fn what_could_not_be_said_is_said_without_asking_again_while_it_is_true() {
    type Change = fn(&mut Facts);
    let rows: [(&str, Change, bool); 7] = [
        ("nothing else changed", |_| {}, true),
        (
            "it was said",
            |facts| {
                let last = status_of(facts).last_scan_result.as_mut().unwrap();
                last.scan_time = Some(Time(ago(10)));
                facts.requested_at = Some("now".into());
                facts.remembered.unsaid.as_mut().unwrap().requested_at = Some("now".into());
            },
            false,
        ),
        (
            "somebody asked for news since",
            |facts| facts.requested_at = Some("now".into()),
            false,
        ),
        (
            "the store holds something else",
            |facts| facts.stored.as_mut().unwrap().revision = "1".into(),
            false,
        ),
        (
            "other tags are excluded",
            |facts| {
                let object = Arc::make_mut(&mut facts.object);
                object.spec.exclusion_list = vec!["^dev-".into()];
            },
            false,
        ),
        (
            "it is old",
            |facts| facts.remembered.unsaid.as_mut().unwrap().found.at = ago(350),
            false,
        ),
        (
            "the clock was set back since",
            |facts| {
                facts.remembered.unsaid.as_mut().unwrap().found.at =
                    now() + SignedDuration::from_secs(1);
            },
            false,
        ),
    ];
    for (name, change, expected) in rows {
        let facts = with(|facts| {
            due(facts);
            facts.remembered.unsaid = Some(Unsaid {
                found: Scanned {
                    revision: REVISION.into(),
                    count: 3,
                    latest: vec![],
                    at: ago(10),
                },
                image: IMAGE.parse().unwrap(),
                exclusion: vec![r"^.*\.sig$".into()],
                requested_at: Some("earlier".into()),
            });
            change(facts);
        });
        let plan = planned(&facts, &Settings::default());
        assert_eq!(plan.unsaid.is_some(), expected, "{name}");
    }
}
