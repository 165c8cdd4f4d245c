//! Tables: facts and what is known → decision.

use std::sync::Arc;

use kube::ResourceExt as _;

use super::super::trial::{
    self, ago, facts, failed, is_well, note, remembered, report, trouble, was_run,
};
use super::*;
use crate::api::image_mirror::Prune;
use crate::mirror::known::Known;
use crate::mirror::outcome::Outcome;
use crate::regexp::Regexp;

const TAGS: [&str; 3] = ["1.0", "2.0", "latest"];

/// A decision in short: the reason and the tags.
fn told(decision: &Decision) -> String {
    match decision {
        Decision::Run(Plan { reason, work, .. }) => {
            let tags = work.iter().flat_map(|(_, tags)| tags);
            let tags: Vec<_> = tags.map(ToString::to_string).collect();
            format!("{} {}", reason.name(), tags.join(" "))
                .trim_end()
                .to_owned()
        }
        Decision::Stall(trouble) => format!("stall {}", trouble.reason),
        Decision::Fail(trouble) => format!("fail {}", trouble.reason),
        other => format!("{other:?}"),
    }
}

fn object(facts: &mut Facts) -> &mut ImageMirror {
    Arc::make_mut(&mut facts.object)
}

/// A mirror that is all there, was looked at `looked` and verified `verified` minutes ago.
fn settled(looked: i64, verified: i64, change: impl FnOnce(&mut Facts)) -> (Facts, Remembered) {
    let mut facts = facts(&TAGS, 2);
    is_well(object(&mut facts));
    let known = Known::default();
    for tag in TAGS {
        note(&known, &facts, tag, ago(verified));
    }
    let mut remembered = remembered(&facts, &known);
    remembered.looked = Some(ago(looked));
    change(&mut facts);
    (facts, remembered)
}

#[test]
fn what_is_due_is_asked_for_and_nothing_else() {
    type Change = fn(&mut Facts);
    let rows: [(&str, i64, i64, Change, &str); 14] = [
        ("all is well", 1, 1, |_| {}, "Wait"),
        ("the interval is over", 11, 60, |_| {}, "Interval latest"),
        (
            "patterns tell what may move",
            11,
            60,
            |facts| {
                let patterns = vec![Regexp::new("^1").unwrap()];
                facts.how.as_mut().unwrap().overwrite = Overwrite::MutableTagsOnly(patterns);
            },
            "Interval 1.0 latest",
        ),
        (
            "whatever may be overwritten may move",
            11,
            60,
            |facts| facts.how.as_mut().unwrap().overwrite = Overwrite::Always,
            "Interval 1.0 2.0 latest",
        ),
        (
            "the verify interval is over",
            1,
            25 * 60,
            |_| {},
            "Verify 1.0 2.0 latest",
        ),
        (
            "its own intervals",
            11,
            60,
            |facts| object(facts).spec.interval = Some(Duration::from_hours(1).into()),
            "Wait",
        ),
        (
            "its own intervals",
            1,
            60,
            |facts| object(facts).spec.verify_interval = Some(Duration::from_mins(30).into()),
            "Verify 1.0 2.0 latest",
        ),
        (
            "asked for",
            1,
            1,
            |facts| {
                let name = names::RECONCILE_REQUESTED_AT.into();
                object(facts).annotations_mut().insert(name, "now".into());
            },
            "Requested 1.0 2.0 latest",
        ),
        (
            "another spec",
            1,
            1,
            |facts| object(facts).metadata.generation = Some(2),
            "Requested 1.0 2.0 latest",
        ),
        (
            "suspended",
            11,
            25 * 60,
            |facts| object(facts).spec.suspend = true,
            "Rest",
        ),
        (
            "being deleted, and suspended",
            11,
            25 * 60,
            |facts| {
                object(facts).spec.suspend = true;
                let now = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(trial::now());
                object(facts).metadata.deletion_timestamp = Some(now);
            },
            "Release",
        ),
        (
            "a spec that makes no sense",
            11,
            25 * 60,
            |facts| facts.how = Err(trouble(Cure::Change)),
            "stall AccessDenied",
        ),
        (
            "no source that can be read now",
            11,
            25 * 60,
            |facts| {
                facts.sources.clear();
                facts.troubles = vec![trouble(Cure::Change), trouble(Cure::Retry)];
            },
            "fail AccessDenied",
        ),
        (
            "one source of several in trouble",
            11,
            60,
            |facts| facts.troubles = vec![trouble(Cure::Change)],
            "Interval latest",
        ),
    ];
    for (name, looked, verified, change, expected) in rows {
        let (facts, known) = settled(looked, verified, change);
        assert_eq!(told(&decide(&facts, &known)), expected, "{name}");
    }
}

#[test]
fn without_tags_that_move_nobody_is_asked_before_everything_is() {
    let mut facts = facts(&["1.0"], 1);
    is_well(object(&mut facts));
    let known = Known::default();
    note(&known, &facts, "1.0", ago(60));
    let mut remembered = remembered(&facts, &known);
    remembered.looked = Some(ago(1000));
    assert_eq!(told(&decide(&facts, &remembered)), "Wait");
    let due = Due::of(&facts, &Overwrite::Never, &remembered);
    assert_eq!(due.look, None);
    assert!(due.first().unwrap() > trial::now());
    // But for what is to be deleted.
    object(&mut facts).spec.prune = Some(Prune {
        enabled: true,
        ..Prune::default()
    });
    assert_eq!(told(&decide(&facts, &remembered)), "Interval");
}

#[test]
fn destinations_that_are_never_believed_are_asked_at_the_interval_and_not_without_a_pause() {
    let (mut facts, remembered) = settled(1, 1, |_| {});
    object(&mut facts).spec.verify_interval = Some("0s".parse().unwrap());
    assert_eq!(told(&decide(&facts, &remembered)), "Wait");
    let due = Due::of(&facts, &Overwrite::Never, &remembered);
    let wait = due.verify.unwrap().duration_since(trial::now());
    assert!(wait > jiff::SignedDuration::from_mins(5), "{wait}");
    let (mut facts, remembered) = settled(1, 15, |_| {});
    object(&mut facts).spec.verify_interval = Some("0s".parse().unwrap());
    assert_eq!(told(&decide(&facts, &remembered)), "Verify 1.0 2.0 latest");
}

#[test]
fn what_is_out_of_reach_is_no_reason_to_ask_for_anything() {
    let (mut facts, mut remembered) = settled(1, 1, |_| {});
    // Looked at long ago, by another spec, and to be looked at again; by now nobody may read it.
    let known = Known::default();
    for tag in TAGS {
        note(&known, &facts, tag, ago(1));
    }
    let away = crate::object::Key::new("apps", "away");
    facts.sources.push(super::super::gather::Source {
        repository: away.clone(),
        tags: facts.sources[0].tags.clone(),
        from: facts.sources[0].from.clone(),
        to: facts.sources[0].to.clone(),
        listed: super::super::gather::Listed::default(),
        is_complete: true,
    });
    remembered.refresh(&facts.sources, "", false, &known);
    remembered.sources.get_mut(&away).unwrap().generation = Some(0);
    assert_ne!(told(&decide(&facts, &remembered)), "Wait");
    facts.sources.pop();
    facts.troubles.push(trouble(Cure::Retry));
    remembered.refresh(&facts.sources, "", true, &known);
    assert!(remembered.sources.contains_key(&away));
    let status = object(&mut facts).status.as_mut().unwrap();
    status.observed_generation = Some(7);
    assert_eq!(told(&decide(&facts, &remembered)), "Wait");
}

#[test]
fn who_waits_for_a_first_scan_has_nothing_to_tell() {
    let (mut facts, mut remembered) = settled(1, 1, |_| {});
    let mut waits = |troubles: &[Cure], remembered: &Remembered| {
        facts.troubles = troubles.iter().map(|cure| trouble(*cure)).collect();
        is_waiting(&Decision::Wait, &facts, remembered)
    };
    assert!(waits(&[Cure::Wait], &remembered));
    assert!(waits(&[Cure::Change, Cure::Wait], &remembered));
    for troubles in [&[][..], &[Cure::Change], &[Cure::Wait, Cure::Retry]] {
        assert!(!waits(troubles, &remembered), "{troubles:?}");
    }
    let known = Known::default();
    remembered.take(&report("1.0", 0, failed("away")), &known, ago(0));
    assert!(!waits(&[Cure::Wait], &remembered), "a failed copy is told");
    for (decision, is_so) in [
        (Decision::Fail(trouble(Cure::Wait)), true),
        (Decision::Fail(trouble(Cure::Retry)), false),
        (Decision::Stall(trouble(Cure::Change)), false),
    ] {
        assert_eq!(is_waiting(&decision, &facts, &remembered), is_so);
    }
}

#[test]
fn new_tags_are_due_at_once_and_alone() {
    let (mut facts, mut remembered) = settled(1, 1, |_| {});
    facts.sources[0].tags.push("3.0".parse().unwrap());
    let known = Known::default();
    for tag in TAGS {
        note(&known, &facts, tag, ago(1));
    }
    remembered.refresh(&facts.sources, "", false, &known);
    assert_eq!(told(&decide(&facts, &remembered)), "NewTags 3.0");
    // The interval is over besides.
    remembered.looked = Some(ago(11));
    assert_eq!(told(&decide(&facts, &remembered)), "NewTags 3.0 latest");
    remembered.looked = Some(ago(1));
    for number in [0, 1] {
        remembered.take(
            &report("3.0", number, Outcome::Copied),
            &known,
            trial::now(),
        );
    }
    assert_eq!(told(&decide(&facts, &remembered)), "Wait");
    // What is not wanted any more is no reason for anything.
    facts.sources[0].tags.clear();
    remembered.refresh(&facts.sources, "", false, &known);
    assert_eq!(told(&decide(&facts, &remembered)), "Wait");
}

#[test]
fn a_first_look_is_at_everything() {
    let known = Known::default();
    let mut facts = facts(&TAGS, 1);
    let first = remembered(&facts, &known);
    assert_eq!(told(&decide(&facts, &first)), "NewTags 1.0 2.0 latest");
    // After a start, of what no status vouches for, whatever is known.
    for tag in TAGS {
        note(&known, &facts, tag, ago(1));
    }
    object(&mut facts)
        .status
        .as_mut()
        .unwrap()
        .observed_generation = Some(1);
    let again = remembered(&facts, &known);
    assert_eq!(told(&decide(&facts, &again)), "NewTags 1.0 2.0 latest");
    // And of what it vouches for nothing, until the time comes that it said.
    is_well(object(&mut facts));
    let next = ago(-5);
    let time = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(next);
    object(&mut facts).status.as_mut().unwrap().next_run = Some(time);
    let well = remembered(&facts, &known);
    assert_eq!(told(&decide(&facts, &well)), "Wait");
    let due = Due::of(&facts, &Overwrite::Never, &well);
    assert_eq!(due.first(), Some(next));
    // A tag that came meanwhile is new.
    facts.sources[0].tags.push("3.0".parse().unwrap());
    let well = remembered(&facts, &known);
    assert_eq!(told(&decide(&facts, &well)), "NewTags 3.0");
}

#[test]
fn what_failed_is_due_again_and_what_differs_is_not() {
    let found = trial::digest("other");
    let rows = [
        (failed("away"), "NewTags 1.0"),
        (
            Outcome::NotBegun {
                cause: "interrupted".into(),
            },
            "NewTags 1.0",
        ),
        (
            Outcome::Drifted {
                found: found.clone(),
            },
            "Wait",
        ),
        (
            Outcome::Immutable {
                found: Some(found),
                cause: "no".into(),
            },
            "Wait",
        ),
        (Outcome::Gone, "Wait"),
    ];
    for (outcome, expected) in rows {
        let facts = facts(&["1.0"], 1);
        let known = Known::default();
        let mut remembered = remembered(&facts, &known);
        remembered.take(&report("1.0", 0, outcome.clone()), &known, trial::now());
        was_run(&facts, &mut remembered);
        assert_eq!(told(&decide(&facts, &remembered)), expected, "{outcome:?}");
        let later = Facts {
            now: ago(-25 * 60),
            ..facts
        };
        let everything = if expected == "Wait" {
            "Verify 1.0"
        } else {
            expected
        };
        assert_eq!(
            told(&decide(&later, &remembered)),
            everything,
            "{outcome:?}"
        );
    }
}

#[test]
fn what_a_registry_does_not_let_be_moved_is_not_asked_for_at_the_interval() {
    let facts = facts(&["latest"], 1);
    let known = Known::default();
    let mut remembered = remembered(&facts, &known);
    let outcome = Outcome::Immutable {
        found: None,
        cause: "no".into(),
    };
    remembered.take(&report("latest", 0, outcome), &known, trial::now());
    was_run(&facts, &mut remembered);
    remembered.looked = Some(ago(1000));
    assert_eq!(told(&decide(&facts, &remembered)), "Wait");
}

#[test]
fn a_tag_that_moved_while_it_was_copied_is_looked_at_again() {
    let facts = facts(&["1.0"], 1);
    let known = Known::default();
    let mut remembered = remembered(&facts, &known);
    let mut moved = report("1.0", 0, Outcome::Copied);
    moved.moved_meanwhile = true;
    remembered.take(&moved, &known, trial::now());
    was_run(&facts, &mut remembered);
    assert_eq!(told(&decide(&facts, &remembered)), "NewTags 1.0");
}
