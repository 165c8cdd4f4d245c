//! Rates and what is left, at moments that the tests choose.

use super::*;
use crate::mirror::outcome::TagReport;

const MIB: u64 = 1 << 20;

fn planned(bytes: u64, images: u64) -> Event<'static> {
    Event::Planned(Estimate {
        bytes_written: bytes,
        images,
        ..Estimate::default()
    })
}

fn begun(tally: &mut Tally, id: u64, size: u64) {
    let (digest, to) = (Digest::of(b"x"), "r.example/a/b".parse().unwrap());
    tally.note(&Event::BlobBegan {
        id,
        digest: &digest,
        size,
        to: &to,
    });
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn report(outcome: Outcome) -> TagReport {
    TagReport {
        from: "s.example/app".parse().unwrap(),
        to: "r.example/app".parse().unwrap(),
        tag: Some("1".parse().unwrap()),
        source: None,
        destination: None,
        expected: None,
        outcome,
        referrers: 0,
        moved_meanwhile: false,
    }
}

#[test]
fn the_rate_is_that_of_the_last_seconds_and_absent_before_there_is_one() {
    let mut tally = Tally::default();
    tally.note(&planned(100 * MIB, 1));
    begun(&mut tally, 1, 100 * MIB);
    tally.sample(seconds(0));
    tally.note(&Event::BlobBytes { id: 1, bytes: MIB });
    tally.sample(seconds(1));
    assert_eq!((tally.rate(), tally.left()), (None, None));
    tally.note(&Event::BlobBytes { id: 1, bytes: MIB });
    tally.sample(seconds(2));
    assert_eq!(tally.rate(), Some(MIB));
    assert_eq!(tally.left(), Some(seconds(98)));
    // Nothing for longer than the window: then there is no telling.
    for second in 3..15 {
        tally.sample(seconds(second));
    }
    assert_eq!((tally.rate(), tally.left()), (Some(0), None));
    assert_eq!(
        tally.line(),
        "0 tags done, 0 of 1 copied, 2.0 MiB of at most 100.0 MiB, 0 B/s"
    );
}

#[test]
fn what_begins_anew_or_fails_is_not_there_but_has_moved() {
    let mut tally = Tally::default();
    tally.note(&planned(10 * MIB, 2));
    tally.sample(seconds(0));
    begun(&mut tally, 1, 4 * MIB);
    begun(&mut tally, 2, 6 * MIB);
    tally.note(&Event::BlobBytes {
        id: 1,
        bytes: 3 * MIB,
    });
    tally.note(&Event::BlobBytes {
        id: 2,
        bytes: 2 * MIB,
    });
    tally.note(&Event::BlobAgain { id: 1 });
    assert_eq!(tally.bytes(), (2 * MIB, 10 * MIB));
    tally.note(&Event::BlobEnded {
        id: 2,
        is_there: false,
    });
    assert_eq!(tally.bytes(), (0, 10 * MIB));
    tally.note(&Event::BlobBytes {
        id: 1,
        bytes: 4 * MIB,
    });
    tally.note(&Event::BlobEnded {
        id: 1,
        is_there: true,
    });
    assert_eq!(tally.bytes(), (4 * MIB, 10 * MIB));
    assert!(tally.open().is_empty());
    tally.sample(seconds(9));
    assert_eq!(tally.rate(), Some(MIB));
    assert_eq!(tally.left(), Some(seconds(6)));
}

#[test]
fn tags_are_counted_by_what_became_of_them() {
    let mut tally = Tally::default();
    tally.note(&planned(0, 3));
    for outcome in [
        Outcome::Copied,
        Outcome::Unchanged,
        Outcome::Gone,
        Outcome::Failed {
            cause: String::new(),
            is_temporary: true,
        },
    ] {
        tally.note(&Event::Tag(&report(outcome)));
    }
    assert_eq!(tally.line(), "4 tags done, 1 of 3 copied, 2 not");
}

#[test]
fn events_of_blobs_that_never_began_hurt_nothing() {
    let mut tally = Tally::default();
    tally.note(&Event::BlobAgain { id: 7 });
    tally.note(&Event::BlobEnded {
        id: 7,
        is_there: false,
    });
    tally.note(&Event::BlobBytes { id: 7, bytes: 5 });
    assert_eq!(tally.bytes(), (5, 5));
}
