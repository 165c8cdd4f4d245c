//! A table for each rule: what is due, what waits, and what is refused with which words.

use super::*;
use crate::mirror::outcome::{Report, TagReport, Written};

const DAY: Duration = Duration::from_hours(24);

fn to() -> Repository {
    "r.example/mirror/app".parse().unwrap()
}

fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

fn hour(hour: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_hours(hour)
}

/// A mirror that has created so many tags: `t0`, `t1` and so on.
fn owned(count: usize) -> Ledger {
    let written = (0..count).map(|number| Written {
        to: to(),
        tag: tag(&format!("t{number}")),
        digest: Digest::of(&number.to_le_bytes()),
        before: None,
        with: None,
    });
    let mut ledger = Ledger::default();
    ledger.note(&Report {
        written: written.collect(),
        ..Report::default()
    });
    ledger
}

/// A complete list of all owned tags but the first `missing`.
fn look(ledger: &mut Ledger, at: i64, count: usize, missing: usize) -> Result<(), Doubt> {
    let wanted = (missing..count).map(|number| tag(&format!("t{number}")));
    let sight = Sight {
        source: &"ghcr.io/a/app".parse().unwrap(),
        at: hour(at),
        listed: 1000 - missing,
        is_complete: true,
        wanted: &wanted.collect(),
    };
    ledger.look(&to(), &sight, hour(at))
}

fn rules(grace: Duration, max_percent: u8) -> Rules {
    Rules { grace, max_percent }
}

#[test]
fn due_is_what_two_looks_missed_and_whose_grace_is_over() {
    for (looks, grace, due) in [
        (&[1][..], Duration::ZERO, 0),
        (&[1, 2], Duration::ZERO, 1),
        (&[1, 24], DAY, 0),
        (&[1, 25], DAY, 1),
        // One look each: the grace is over, and only one list was seen.
        (&[1, 1], Duration::ZERO, 0),
        (&[1, 100], Duration::MAX, 0),
        (&[1, 2, 3, 4, 5], DAY, 0),
        (&[1, 2, 3, 4, 26], DAY, 1),
    ] {
        let mut ledger = owned(20);
        assert_eq!(look(&mut ledger, 0, 20, 0), Ok(()));
        for at in looks {
            assert_eq!(look(&mut ledger, *at, 20, 1), Ok(()));
        }
        let at = hour(*looks.last().unwrap());
        let part = part(&ledger, &to(), at, Ok(()), rules(grace, 10));
        assert_eq!(
            (part.owned, part.due.len(), part.waiting.len(), part.refused),
            (20, due, 1 - due, None),
            "{looks:?} {grace:?}"
        );
    }
}

#[test]
fn fault_31_no_more_than_a_fraction_goes_at_once() {
    for (owned_tags, missing, percent, is_refused) in [
        (20, 2, 10, false),
        (20, 3, 10, true),
        (9, 1, 10, true),
        (10, 1, 10, false),
        (3, 1, 0, true),
        (3, 2, 100, false),
        (300, 30, 10, false),
        (300, 31, 10, true),
    ] {
        let mut ledger = owned(owned_tags);
        for at in [0, 1, 2] {
            assert_eq!(look(&mut ledger, at, owned_tags, missing), Ok(()));
        }
        let part = part(
            &ledger,
            &to(),
            hour(2),
            Ok(()),
            rules(Duration::ZERO, percent),
        );
        let refused = is_refused.then_some(Refusal::TooMany {
            due: missing,
            owned: owned_tags,
            max_percent: percent,
        });
        assert_eq!(part.refused, refused, "{owned_tags} {missing} {percent}");
        let expected = if is_refused {
            (0, missing)
        } else {
            (missing, 0)
        };
        assert_eq!((part.due.len(), part.waiting.len()), expected);
    }
}

#[test]
fn fault_31_nothing_is_due_by_a_list_that_is_not_believed() {
    let source = "quay.io/x/y".parse().unwrap();
    for (doubt, missing, words) in [
        (
            Doubt::Incomplete,
            1,
            Some("the source's list of tags may have gaps"),
        ),
        (Doubt::Incomplete, 0, None),
        (Doubt::Empty, 0, Some("the source's list of tags is empty")),
        (
            Doubt::Shrunk {
                listed: 4,
                before: 9,
            },
            0,
            Some(
                "the source's list has 4 tags, where the last one had 9: it has to stay so for 2 more looks",
            ),
        ),
        (
            Doubt::OtherSource { before: source },
            0,
            Some(
                "what is there was copied from quay.io/x/y, which is not the source any more: 2 more looks have to say the same",
            ),
        ),
        (
            Doubt::NothingWanted { listed: 3 },
            0,
            Some("none of the source's 3 tags is selected"),
        ),
        (
            Doubt::Trouble("it is away".to_owned()),
            1,
            Some("it is away"),
        ),
        (Doubt::Trouble("it is away".to_owned()), 0, None),
    ] {
        let mut ledger = owned(20);
        for at in [0, 1, 2] {
            assert_eq!(look(&mut ledger, at, 20, missing), Ok(()));
        }
        let part = part(
            &ledger,
            &to(),
            hour(2),
            Err(doubt),
            rules(Duration::ZERO, 100),
        );
        assert_eq!((part.due.len(), part.waiting.len()), (0, missing));
        let told = part.refused.map(|refused| refused.to_string());
        assert_eq!(told.as_deref(), words);
    }
}

#[test]
fn a_look_of_the_past_makes_nothing_due() {
    let mut ledger = owned(20);
    for at in [10, 11] {
        assert_eq!(look(&mut ledger, at, 20, 1), Ok(()));
    }
    let part = part(&ledger, &to(), hour(9), Ok(()), rules(Duration::ZERO, 10));
    assert_eq!((part.due.len(), part.waiting.len()), (0, 1));
}

#[test]
fn what_is_announced_is_known_again_by_its_words() {
    let mut ledger = owned(40);
    for at in [0, 1] {
        assert_eq!(look(&mut ledger, at, 40, 3), Ok(()));
    }
    let careful = rules(Duration::ZERO, 10);
    let first = part(&ledger, &to(), hour(1), Ok(()), careful);
    assert!(first.due.iter().all(|due| !due.is_announced));
    let parts = [first];
    let (planned, sample) = announcement(&parts, 2);
    let expected = ["r.example/mirror/app:t0", "r.example/mirror/app:t1"];
    assert_eq!((planned, &*sample), (3, &expected.map(str::to_owned)[..]));
    let told = fingerprint(planned, &sample);
    let next = parts[0].due.iter().map(|due| (to(), due.tag.clone()));
    ledger.announce(&next.collect(), told);
    assert!(ledger.has_announced(told.unwrap()));
    for (planned, sample) in [(2, &sample[..]), (3, &sample[..1]), (3, &[][..])] {
        assert!(!ledger.has_announced(fingerprint(planned, sample).unwrap()));
    }
    assert_eq!(fingerprint(0, &[]), None);
    // One more is due later: that one was not announced.
    for at in [2, 3] {
        assert_eq!(look(&mut ledger, at, 40, 4), Ok(()));
    }
    let second = part(&ledger, &to(), hour(3), Ok(()), careful);
    let announced: Vec<_> = second.due.iter().map(|due| due.is_announced).collect();
    assert_eq!(announced, [true, true, true, false]);
}

#[test]
fn of_two_the_more_careful_holds() {
    let both = rules(DAY, 5).and(rules(Duration::ZERO, 10));
    assert_eq!(both, rules(DAY, 5));
    assert_eq!(rules(Duration::ZERO, 10).and(rules(DAY, 5)), both);
}

fn report_of(name: &str, destination: Option<u32>, outcome: Outcome) -> TagReport {
    TagReport {
        from: "ghcr.io/a/app".parse().unwrap(),
        to: name.parse().unwrap(),
        tag: Some(tag("1.0")),
        source: None,
        destination: destination.map(|number| Digest::of(&number.to_le_bytes())),
        expected: None,
        outcome,
        referrers: 0,
        moved_meanwhile: false,
    }
}

#[test]
fn what_is_held_is_known_of_all_that_is_wanted_or_not_at_all() {
    let failed = || Outcome::Failed {
        cause: "503".to_owned(),
        is_temporary: true,
    };
    let there = || report_of("r.example/mirror/app", Some(1), Outcome::Unchanged);
    let one: BTreeSet<_> = there().destination.into_iter().collect();
    for (other, expected) in [
        (report_of("r.example/mirror/app", None, failed()), None),
        (
            report_of("r.example/mirror/app", None, Outcome::Gone),
            Some(one.clone()),
        ),
        (
            report_of("r.example/other", None, failed()),
            Some(one.clone()),
        ),
        // By another of its names.
        (report_of("R.example/mirror/app", None, failed()), None),
        (
            report_of("R.example:443/mirror/app", Some(1), Outcome::Copied),
            Some(one.clone()),
        ),
    ] {
        let report = Report {
            tags: vec![there(), other.clone()],
            ..Report::default()
        };
        assert_eq!(held(&report, &to()), expected, "{other:?}");
    }
    let alone = Report {
        tags: vec![report_of("R.example/mirror/app", Some(1), Outcome::Copied)],
        ..Report::default()
    };
    assert_eq!(held(&alone, &to()), Some(one));
}
