//! Tables: what is known of a mirror's tags → status.

use std::sync::Arc;

use jiff::SignedDuration;

use super::super::trial::{self, digest, facts, failed, remembered, report, trouble, was_run};
use super::*;
use crate::api::condition::READY;
use crate::api::image_mirror::Prune;
use crate::mirror::known::Known;
use crate::mirror::outcome::Outcome;

/// The conditions and the next look, of a mirror whose tags fared so.
fn told(facts: &Facts, known: &Remembered) -> (String, Next) {
    let (status, next) = compute(facts, &Decision::Wait, known, None);
    let one = |type_: &str| {
        let found = condition::get(&status.conditions, type_)?;
        Some(format!("{}={}", found.type_, found.status))
    };
    let ready = condition::get(&status.conditions, READY).unwrap();
    let marks: Vec<_> = ["Reconciling", "Stalled", "Ready"]
        .into_iter()
        .filter_map(one)
        .collect();
    let told = format!("{} {}: {}", marks.join(" "), ready.reason, ready.message);
    (told, next)
}

fn run(tags: &[&str], ends: usize, outcomes: &[(&str, usize, Outcome)]) -> (Facts, Remembered) {
    let facts = facts(tags, ends);
    let known = Known::default();
    let mut remembered = remembered(&facts, &known);
    for (tag, number, outcome) in outcomes {
        remembered.take(&report(tag, *number, outcome.clone()), &known, trial::now());
    }
    was_run(&facts, &mut remembered);
    (facts, remembered)
}

fn drifted() -> Outcome {
    Outcome::Drifted {
        found: digest("other"),
    }
}

#[test]
fn conditions_say_what_came_of_it() {
    let other = digest("other");
    let copied = || Outcome::Copied;
    let blocked = || Outcome::Immutable {
        found: None,
        cause: "tags are immutable".into(),
    };
    let rows = [
        (vec![copied(), Outcome::Unchanged], "Ready=True Succeeded: mirrored 2 of 2 tags to 1 destination".to_owned()),
        (vec![copied(), Outcome::Gone], "Ready=True Succeeded: mirrored 1 of 2 tags to 1 destination".to_owned()),
        (
            vec![copied(), failed("no route")],
            "Reconciling=True Ready=False CopyFailed: failed to mirror 1 of 2 tags: destination-0.test/o/app:2.0: no route".to_owned(),
        ),
        (
            vec![drifted(), failed("no route")],
            "Reconciling=True Ready=False CopyFailed: failed to mirror 1 of 2 tags: destination-0.test/o/app:2.0: no route".to_owned(),
        ),
        (
            vec![copied(), drifted()],
            format!(
                "Stalled=True Ready=False Drifted: 1 of 2 tags differ at a destination, and may not be overwritten \
                 (spec.overwrite): destination-0.test/o/app:2.0: the destination has {other}"
            ),
        ),
        (
            vec![drifted(), blocked()],
            "Stalled=True Ready=False BlockedByImmutability: 2 of 2 tags cannot be moved at a destination: \
             destination-0.test/o/app:2.0: tags are immutable".to_owned(),
        ),
    ];
    for (outcomes, expected) in rows {
        let tags = ["1.0", "2.0"].into_iter();
        let outcomes: Vec<_> = tags
            .zip(outcomes)
            .map(|(tag, outcome)| (tag, 0, outcome))
            .collect();
        let (facts, known) = run(&["1.0", "2.0"], 1, &outcomes);
        let (told, next) = told(&facts, &known);
        assert_eq!(told, expected);
        let is_retry = matches!(next, Next::Retry { .. });
        assert_eq!(is_retry, expected.contains("Reconciling"), "{expected}");
    }
}

#[test]
fn troubles_of_some_sources_are_told_when_the_others_are_copied() {
    for (cure, expected) in [
        (Cure::Retry, "Reconciling=True Ready=False AccessDenied: no"),
        (Cure::Wait, "Reconciling=True Ready=False AccessDenied: no"),
        (Cure::Change, "Stalled=True Ready=False AccessDenied: no"),
    ] {
        let (mut facts, known) = run(&["1.0"], 1, &[("1.0", 0, Outcome::Copied)]);
        facts.troubles = vec![trouble(cure)];
        assert_eq!(told(&facts, &known).0, expected);
    }
}

#[test]
fn every_destination_counts_and_a_tag_is_mirrored_when_all_have_it() {
    let outcomes = [
        ("1.0", 0, Outcome::Copied),
        ("1.0", 1, Outcome::Copied),
        ("2.0", 0, Outcome::Copied),
        ("2.0", 1, Outcome::Gone),
    ];
    let (facts, known) = run(&["1.0", "2.0"], 2, &outcomes);
    let (status, _) = compute(&facts, &Decision::Wait, &known, None);
    let counts = status.tags.unwrap();
    assert_eq!((counts.total, counts.mirrored), (4, 3));
    assert_eq!(counts.summary, "3/4");
    let ready = condition::get(&status.conditions, READY).unwrap();
    assert_eq!(ready.message, "mirrored 1 of 2 tags to 2 destinations");
    assert_eq!(status.observed_generation, Some(1));
}

#[test]
fn the_worst_is_listed_first_and_what_is_only_there_is_not_listed() {
    let outcomes = [
        ("1.0", 0, Outcome::Copied),
        ("2.0", 0, Outcome::Unchanged),
        ("3.0", 0, drifted()),
        ("4.0", 0, failed("x")),
    ];
    let (facts, known) = run(&["1.0", "2.0", "3.0", "4.0"], 1, &outcomes);
    let (status, _) = compute(&facts, &Decision::Wait, &known, None);
    let listed: Vec<_> = status
        .outcomes
        .iter()
        .map(|it| (it.tag.as_str(), it.outcome.as_str()))
        .collect();
    assert_eq!(
        listed,
        [("4.0", "Failed"), ("3.0", "Drifted"), ("1.0", "Copied")]
    );
    let drifted = &status.outcomes[1];
    assert_eq!(drifted.repository, "app");
    assert_eq!(drifted.destination, "d0");
    let text = |digest: Digest| Some(digest.as_str().to_owned());
    assert_eq!(drifted.source_digest, text(digest("3.0")));
    assert_eq!(drifted.destination_digest, text(digest("other")));
    assert_eq!(status.omitted_outcomes, 0);
    let again = compute(&facts, &Decision::Wait, &known, None).0;
    assert_eq!(status.outcomes, again.outcomes);
}

#[test]
fn a_look_that_finds_the_same_says_the_same() {
    let (mut facts, mut known) = run(
        &["1.0", "latest"],
        1,
        &[("1.0", 0, Outcome::Copied), ("latest", 0, Outcome::Copied)],
    );
    let plan = decide::Plan {
        reason: decide::Reason::Interval,
        work: vec![],
        is_whole: false,
        asks_all: false,
        is_look: true,
    };
    let run = Decision::Run(plan);
    let (first, _) = compute(&facts, &run, &known, None);
    Arc::make_mut(&mut facts.object).status = Some(first.clone());
    facts.now += SignedDuration::from_mins(3);
    let (second, next) = compute(&facts, &Decision::Wait, &known, None);
    assert_eq!(second, first);
    let Next::After(wait) = next else {
        panic!("{next:?}");
    };
    assert!(wait < Duration::from_mins(8), "{wait:?}");
    // A look at the interval moves the next one, and nothing else.
    let unchanged = report("latest", 0, Outcome::Unchanged);
    facts.now += SignedDuration::from_mins(10);
    known.take(&unchanged, &Known::default(), facts.now);
    known.looked = Some(facts.now);
    let (third, _) = compute(&facts, &run, &known, None);
    assert_ne!(third.next_run, first.next_run);
    let third = ImageMirrorStatus {
        next_run: first.next_run.clone(),
        ..third
    };
    assert_eq!(third, first);
}

#[test]
fn a_request_is_acknowledged_unless_the_object_rests() {
    use kube::ResourceExt as _;
    for (decision, expected) in [
        (Decision::Wait, Some("now")),
        (Decision::Fail(trouble(Cure::Retry)), Some("now")),
        (Decision::Stall(trouble(Cure::Change)), Some("now")),
        (Decision::Rest, None),
    ] {
        let (mut facts, known) = run(&["1.0"], 1, &[]);
        let name = crate::api::names::RECONCILE_REQUESTED_AT.to_owned();
        Arc::make_mut(&mut facts.object)
            .annotations_mut()
            .insert(name, "now".into());
        let (status, _) = compute(&facts, &decision, &known, None);
        assert_eq!(
            status.last_handled_reconcile_at.as_deref(),
            expected,
            "{decision:?}"
        );
    }
}

#[test]
fn a_status_stays_small_however_many_tags_fare_however_badly() {
    let tags: Vec<String> = (0..5000)
        .map(|number| format!("{number}-{}", "x".repeat(120)))
        .collect();
    let names: Vec<&str> = tags.iter().map(String::as_str).collect();
    let found = digest("other");
    let outcomes = [
        failed(&"é\n\"".repeat(5000)),
        Outcome::Drifted {
            found: found.clone(),
        },
        Outcome::Immutable {
            found: Some(found),
            cause: "\u{202e}".repeat(5000),
        },
        Outcome::Copied,
    ];
    for outcome in outcomes {
        let mut facts = facts(&names, 1);
        let object = Arc::make_mut(&mut facts.object);
        object.spec.destinations[0].name = "d".repeat(63);
        let long = format!("{}.test/{}", "r".repeat(60), "p".repeat(190));
        facts.sources[0].repository = Key::new("apps", "n".repeat(253));
        let repository: crate::image::Repository = long.parse().unwrap();
        facts.sources[0].to[0].repository = repository.clone();
        let known = Known::default();
        let mut remembered = remembered(&facts, &known);
        for tag in &names {
            let told = crate::mirror::outcome::TagReport {
                to: repository.clone(),
                ..report(tag, 0, outcome.clone())
            };
            remembered.take(&told, &known, trial::now());
        }
        was_run(&facts, &mut remembered);
        remembered.problem = Some("p".repeat(10_000));
        let (status, _) = compute(&facts, &Decision::Wait, &remembered, None);
        let bytes = serde_json::to_vec(&status).unwrap().len();
        assert!(bytes < 56 << 10, "{bytes} bytes: {outcome:?}");
        assert!(status.outcomes.len() <= MOST_OUTCOMES && status.outcomes.len() >= MOST_COPIED);
        let listed = i64::try_from(status.outcomes.len()).unwrap();
        assert_eq!(status.omitted_outcomes, 5000 - listed);
        assert_eq!(status.tags.unwrap().total, 5000);
    }
}

#[test]
fn a_run_that_takes_long_is_told_beside_what_was_said_last() {
    let (mut facts, known) = run(&["1.0"], 1, &[("1.0", 0, Outcome::Copied)]);
    let object = Arc::make_mut(&mut facts.object);
    let begun = in_progress(object, "mirroring", trial::now());
    let ready = condition::get(&begun.conditions, READY).unwrap();
    assert_eq!(
        (ready.status.as_str(), ready.reason.as_str()),
        ("Unknown", "Progressing")
    );
    object.status = None;
    let (well, _) = compute(&facts, &Decision::Wait, &known, None);
    let object = Arc::make_mut(&mut facts.object);
    object.status = Some(well.clone());
    let again = in_progress(object, "mirroring", trial::now());
    assert!(condition::is_true(&again.conditions, READY));
    assert!(condition::is_true(
        &again.conditions,
        condition::RECONCILING
    ));
    object.status = Some(again);
    let (ended, _) = compute(&facts, &Decision::Wait, &known, None);
    assert_eq!(ended.conditions, well.conditions);
}

#[test]
fn where_nothing_is_deleted_only_what_was_is_told() {
    let (mut facts, remembered) = run(&["1.0"], 1, &[("1.0", 0, Outcome::Copied)]);
    let told = PruneStatus {
        owned: 3,
        planned: 1,
        sample: vec!["destination-0.test/o/app:0.9".to_owned()],
        deleted: 2,
        last_deletion: Some(Time(trial::now())),
        refused: "too many".to_owned(),
    };
    let kept = PruneStatus {
        deleted: told.deleted,
        last_deletion: told.last_deletion.clone(),
        ..PruneStatus::default()
    };
    for (enabled, expected) in [(Some(true), &told), (Some(false), &kept), (None, &kept)] {
        let object = Arc::make_mut(&mut facts.object);
        object.status.get_or_insert_default().prune = Some(told.clone());
        object.spec.prune = enabled.map(|enabled| Prune {
            enabled,
            ..Prune::default()
        });
        for decision in [
            Decision::Wait,
            Decision::Rest,
            Decision::Stall(trouble(Cure::Change)),
        ] {
            let (status, _) = compute(&facts, &decision, &remembered, None);
            assert_eq!(status.prune.as_ref(), Some(expected), "{decision:?}");
        }
    }
}
