//! What is believed of a mirror's tags, and when no more.

use super::super::trial::{
    ago, digest, facts, failed, from, is_well, note, now, remembered, report, to, was_run,
};
use super::*;
use crate::mirror::known::Copied;
use crate::mirror::outcome::Outcome;

/// The tags that others may believe in; `None`: nothing was said yet.
fn verified(remembered: &mut Remembered) -> Option<Vec<String>> {
    let mirrored = remembered.mirrored(false);
    let copies = mirrored.repositories.get(&Key::new("apps", "app"))?;
    assert_eq!(copies.image, from());
    Some(copies.tags.keys().map(ToString::to_string).collect())
}

/// Whether they may believe that it has no other.
fn is_whole(remembered: &mut Remembered) -> bool {
    let mirrored = remembered.mirrored(false);
    mirrored.repositories[&Key::new("apps", "app")].is_whole
}

/// Two tags at two destinations, copied just now.
fn copied(known: &Known) -> (super::super::gather::Facts, Remembered) {
    let facts = facts(&["1.0", "2.0"], 2);
    let mut remembered = remembered(&facts, known);
    assert_eq!(verified(&mut remembered), None);
    for tag in ["1.0", "2.0"] {
        note(known, &facts, tag, now());
        for number in [0, 1] {
            remembered.take(&report(tag, number, Outcome::Copied), known, now());
        }
    }
    assert_eq!(verified(&mut remembered).unwrap(), ["1.0", "2.0"]);
    assert!(!is_whole(&mut remembered), "the run has not ended");
    was_run(&facts, &mut remembered);
    assert!(is_whole(&mut remembered));
    (facts, remembered)
}

#[test]
fn a_tag_is_verified_when_it_is_at_all_destinations_as_one() {
    let known = Known::default();
    let (_, mut remembered) = copied(&known);
    assert_eq!(verified(&mut remembered).unwrap(), ["1.0", "2.0"]);
    let mirrored = remembered.mirrored(true);
    assert!(mirrored.is_rewritten);
    let tags = &mirrored.repositories[&Key::new("apps", "app")].tags;
    let one = &tags[&"1.0".parse::<Tag>().unwrap()];
    assert_eq!((&one.source, one.destinations.len()), (&digest("1.0"), 2));
    // At one destination it is what the source had before.
    let other = Copied {
        source: digest("new"),
        destination: digest("new"),
        verified: now(),
    };
    let tag = "1.0".parse().unwrap();
    known.note_tag(&from(), &tag, &to(0), "", other);
    remembered.take(&report("1.0", 0, Outcome::Copied), &known, now());
    assert_eq!(verified(&mut remembered).unwrap(), ["2.0"]);
}

#[test]
fn a_tag_that_differs_leaves_at_once_and_one_that_was_not_asked_for_stays() {
    let found = digest("other");
    let outcomes = [
        (failed("the destination is away"), true),
        (
            Outcome::NotBegun {
                cause: "interrupted".into(),
            },
            true,
        ),
        (Outcome::Unchanged, true),
        (
            Outcome::Drifted {
                found: found.clone(),
            },
            false,
        ),
        (
            Outcome::Immutable {
                found: Some(found.clone()),
                cause: "no".into(),
            },
            false,
        ),
        (Outcome::Gone, false),
    ];
    for (outcome, stays) in outcomes {
        let known = Known::default();
        let (_, mut remembered) = copied(&known);
        remembered.take(&report("1.0", 1, outcome.clone()), &known, now());
        let expected: &[&str] = if stays { &["1.0", "2.0"] } else { &["2.0"] };
        assert_eq!(verified(&mut remembered).unwrap(), expected, "{outcome:?}");
    }
    let known = Known::default();
    let (facts, mut remembered) = copied(&known);
    remembered.differs(&from(), &to(1), &"1.0".parse().unwrap());
    assert_eq!(verified(&mut remembered).unwrap(), ["2.0"]);
    // It could not be copied either: what is known of it is of before.
    remembered.take(&report("1.0", 1, failed("away")), &known, now());
    remembered.refresh(&facts.sources, "", false, &known);
    assert_eq!(verified(&mut remembered).unwrap(), ["2.0"]);
    remembered.take(&report("1.0", 1, Outcome::Copied), &known, now());
    assert_eq!(verified(&mut remembered).unwrap(), ["1.0", "2.0"]);
}

#[test]
fn drift_is_not_taken_for_a_copy_afterwards() {
    let known = Known::default();
    let (facts, mut remembered) = copied(&known);
    let found = digest("other");
    let drifted = Outcome::Drifted {
        found: found.clone(),
    };
    remembered.take(&report("1.0", 0, drifted.clone()), &known, ago(-5));
    let tag = "1.0".parse().unwrap();
    let kept = known.tag(&from(), &tag, &to(0), "").unwrap();
    assert_eq!((&kept.source, &kept.destination), (&found, &found));
    assert_eq!(kept.verified, ago(-5));
    // That it goes on is no new look at the destination.
    remembered.take(&report("1.0", 0, drifted), &known, ago(-10));
    assert_eq!(known.tag(&from(), &tag, &to(0), "").unwrap(), kept);
    remembered.refresh(&facts.sources, "", false, &known);
    assert_eq!(verified(&mut remembered).unwrap(), ["2.0"]);
}

#[test]
fn what_is_forgotten_elsewhere_is_looked_at_again() {
    let known = Known::default();
    let (facts, mut remembered) = copied(&known);
    known.forget_repository(&to(1));
    remembered.refresh(&facts.sources, "", false, &known);
    assert_eq!(verified(&mut remembered).unwrap(), ["1.0", "2.0"]);
    let standing = &remembered.sources[&Key::new("apps", "app")];
    let pending = standing
        .tags
        .values()
        .flatten()
        .filter(|end| end.is_pending());
    assert_eq!(pending.count(), 2);
}

#[test]
fn after_a_start_a_status_that_is_well_vouches_for_what_is_known() {
    let known = Known::default();
    let mut facts = facts(&["1.0", "2.0"], 2);
    note(&known, &facts, "1.0", ago(60));
    assert_eq!(verified(&mut remembered(&facts, &known)), None);
    is_well(Arc::make_mut(&mut facts.object));
    // One tag is new: until it was looked at, nothing is said of it.
    let mut well = remembered(&facts, &known);
    assert_eq!(verified(&mut well).unwrap(), ["1.0"]);
    assert!(!is_whole(&mut well));
    note(&known, &facts, "2.0", ago(60));
    let mut well = remembered(&facts, &known);
    assert_eq!(verified(&mut well).unwrap(), ["1.0", "2.0"]);
    assert!(is_whole(&mut well));
    // Another spec is another matter.
    Arc::make_mut(&mut facts.object).metadata.generation = Some(2);
    assert_eq!(verified(&mut remembered(&facts, &known)), None);
}

#[test]
fn a_run_in_which_everything_failed_says_nothing() {
    let known = Known::default();
    let facts = facts(&["1.0", "2.0"], 1);
    let mut remembered = remembered(&facts, &known);
    for tag in ["1.0", "2.0"] {
        remembered.take(&report(tag, 0, failed("away")), &known, now());
    }
    was_run(&facts, &mut remembered);
    assert_eq!(verified(&mut remembered), None);
    remembered.take(&report("1.0", 0, Outcome::Copied), &known, now());
    was_run(&facts, &mut remembered);
    assert_eq!(verified(&mut remembered).unwrap(), ["1.0"]);
}

/// Who copies is told once, by one name; whoever has it by another hears of that, too.
#[test]
fn a_place_is_one_however_it_is_written() {
    let known = Known::default();
    let mut facts = facts(&["1.0"], 1);
    let name = |text: &str| text.parse::<Repository>().unwrap();
    facts.sources[0].from.repository = name("index.docker.io/library/app");
    facts.sources[0].to[0].repository = name("destination-0.test:443/o/app");
    let mut remembered = remembered(&facts, &known);
    let mut told = report("1.0", 0, Outcome::Copied);
    told.from = name("docker.io/library/app");
    remembered.take(&told, &known, now());
    assert!(!remembered.is_failing());
    was_run(&facts, &mut remembered);
    let mirrored = remembered.mirrored(false);
    let copies = &mirrored.repositories[&Key::new("apps", "app")];
    assert_eq!(copies.has("1.0"), Some(true));
}

#[test]
fn other_destinations_begin_anew_and_sources_that_are_gone_go() {
    let known = Known::default();
    let (mut facts, mut remembered) = copied(&known);
    facts.sources[0].to.pop();
    remembered.refresh(&facts.sources, "", false, &known);
    assert_eq!(verified(&mut remembered), None);
    remembered.refresh(&[], "", true, &known);
    assert_eq!(remembered.sources.len(), 1, "it may only be out of reach");
    remembered.refresh(&[], "", false, &known);
    assert!(remembered.sources.is_empty());
}

#[test]
fn a_status_vouches_for_the_state_of_one_process_only() {
    let key = Key::new("apps", "m");
    let mut facts = facts(&["1.0"], 1);
    is_well(Arc::make_mut(&mut facts.object));
    let mut begun = |witness: Option<&str>, has_run: bool| {
        let object = Arc::make_mut(&mut facts.object);
        let status = object.status.as_mut().unwrap();
        status.witness = witness.map(str::to_owned);
        status.last_run = has_run.then(MirrorRun::default);
        let begun = Memory::new("ours".into()).of(&key, &facts.object, now());
        let begun = begun.lock();
        (begun.vouched.is_some(), begun.owes_answers)
    };
    let rows = [
        (Some("ours"), true, (true, false)),
        (Some("theirs"), true, (false, true)),
        (None, true, (false, true)),
        (None, false, (true, false)),
    ];
    for (witness, has_run, expected) in rows {
        assert_eq!(begun(witness, has_run), expected, "{witness:?} {has_run}");
    }
}

#[test]
fn a_namesake_inherits_nothing() {
    let (memory, key) = (Memory::new("here".into()), Key::new("apps", "m"));
    let mut facts = facts(&["1.0"], 1);
    let first = memory.of(&key, &facts.object, now());
    first.lock().handled = Some("x".into());
    let same = memory.of(&key, &facts.object, now());
    assert!(Arc::ptr_eq(&first, &same));
    Arc::make_mut(&mut facts.object).metadata.uid = Some("other".into());
    assert_eq!(memory.of(&key, &facts.object, now()).lock().handled, None);
    memory.forget(&key);
    assert!(memory.mirrors.lock().is_empty());
}

#[test]
fn what_is_held_is_known_of_all_that_is_wanted_or_nothing_is() {
    let held = |known: &Known, facts: &super::super::gather::Facts, it: &Remembered, lost: &str| {
        let lost: Vec<Tag> = lost.parse().into_iter().collect();
        let held = it.held((&to(0), &lost), &facts.sources, known, |_| false);
        held.map(|held| held.len())
    };
    let known = Known::default();
    let (facts, mut remembered) = copied(&known);
    assert_eq!(held(&known, &facts, &remembered, ""), Some(2));
    // What is in use stays as long as it is known what it is.
    assert_eq!(held(&known, &facts, &remembered, "2.0"), Some(2));
    assert_eq!(held(&known, &facts, &remembered, "3.0"), None);
    let outcomes = [
        (failed("away"), Some(2)),
        (Outcome::Gone, Some(2)),
        (
            Outcome::Drifted {
                found: digest("other"),
            },
            Some(2),
        ),
        (
            Outcome::Immutable {
                found: None,
                cause: "no".into(),
            },
            None,
        ),
    ];
    for (outcome, expected) in outcomes {
        let known = Known::default();
        let (facts, mut remembered) = copied(&known);
        remembered.take(&report("1.0", 0, outcome.clone()), &known, now());
        let found = held(&known, &facts, &remembered, "");
        assert_eq!(found, expected, "{outcome:?}");
    }
    // What is going holds nothing, and what was only seen there does.
    let nothing: &[Source] = &[];
    let going = |tag: &Tag| tag.as_str() == "1.0";
    let left = remembered.held((&to(0), &[]), nothing, &known, going);
    assert_eq!(left.unwrap(), [digest("2.0")].into());
    // It differs, and was not copied yet.
    remembered.differs(&from(), &to(0), &"1.0".parse().unwrap());
    assert_eq!(held(&known, &facts, &remembered, ""), None);
    // One that nobody has looked at.
    let new = super::super::trial::facts(&["9.0"], 2);
    let unknown = super::super::trial::remembered(&new, &known);
    assert_eq!(held(&known, &new, &unknown, ""), None);
}
