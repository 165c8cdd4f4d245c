//! The decision table, row by row: each row changes one fact of a repository that has nothing to do.

use super::*;

const MINUTE: SignedDuration = SignedDuration::from_secs(60);

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn image() -> Repository {
    "ghcr.io/example/app".parse().unwrap()
}

fn patterns(texts: &[&str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

/// Decides on a repository that was scanned 20 seconds ago and is scanned every minute, after `change`.
fn decide(change: impl FnOnce(&mut Facts<'_>)) -> Due {
    let (image, exclusion) = (image(), patterns(&["a", "b"]));
    let mut facts = Facts {
        now: at(1_000),
        interval: MINUTE,
        image: &image,
        exclusion: &exclusion,
        requested: None,
        handled_request: "",
        observed_image: "ghcr.io/example/app",
        observed_exclusion: &exclusion,
        last_scan: Some(LastScan {
            time: at(980),
            revision: "18153657",
        }),
        stored_revision: Some("18153657"),
    };
    change(&mut facts);
    is_due(&facts)
}

#[test]
fn without_a_reason_the_next_scan_waits_for_the_rest_of_the_interval() {
    assert_eq!(decide(|_| {}), Due::In(SignedDuration::from_secs(40)));
}

#[test]
fn each_reason_makes_a_scan_due() {
    assert_eq!(
        decide(|facts| facts.last_scan = None),
        Due::Now(Reason::FirstScan)
    );
    assert_eq!(
        decide(|facts| facts.requested = Some("now")),
        Due::Now(Reason::ReconcileRequested)
    );
    assert_eq!(
        decide(|facts| facts.observed_image = "ghcr.io/example/other"),
        Due::Now(Reason::NewImageName)
    );
    assert_eq!(
        decide(|facts| facts.observed_exclusion = &[]),
        Due::Now(Reason::UpdatedExclusionList)
    );
    assert_eq!(
        decide(|facts| facts.stored_revision = None),
        Due::Now(Reason::NoTagsInDatabase)
    );
    assert_eq!(
        decide(|facts| facts.stored_revision = Some("1")),
        Due::Now(Reason::NoTagsInDatabase)
    );
    assert_eq!(
        decide(|facts| facts.now = at(1_040)),
        Due::Now(Reason::Interval)
    );
}

#[test]
fn the_first_reason_in_order_is_given() {
    const SCANNED: LastScan<'_> = LastScan {
        time: Timestamp::UNIX_EPOCH,
        revision: "18153657",
    };
    type Mend = fn(&mut Facts<'_>);
    let mends: [(Reason, Mend); 6] = [
        (Reason::FirstScan, |facts| facts.last_scan = Some(SCANNED)),
        (Reason::ReconcileRequested, |facts| facts.requested = None),
        (Reason::NewImageName, |facts| {
            facts.observed_image = "ghcr.io/example/app";
        }),
        (Reason::UpdatedExclusionList, |facts| {
            facts.observed_exclusion = facts.exclusion;
        }),
        (Reason::NoTagsInDatabase, |facts| {
            facts.stored_revision = Some("18153657");
        }),
        (Reason::Interval, |facts| facts.now = Timestamp::UNIX_EPOCH),
    ];
    let (image, exclusion) = (image(), patterns(&["a"]));
    let mut facts = Facts {
        now: at(1_000),
        interval: MINUTE,
        image: &image,
        exclusion: &exclusion,
        requested: Some("now"),
        handled_request: "then",
        observed_image: "",
        observed_exclusion: &[],
        last_scan: None,
        stored_revision: None,
    };
    for (reason, mend) in mends {
        assert_eq!(is_due(&facts), Due::Now(reason));
        mend(&mut facts);
    }
    assert_eq!(is_due(&facts), Due::In(MINUTE));
}

#[test]
fn a_request_that_was_handled_asks_for_nothing() {
    let due = decide(|facts| (facts.requested, facts.handled_request) = (Some("then"), "then"));
    assert_eq!(due, Due::In(SignedDuration::from_secs(40)));
}

#[test]
fn the_order_of_the_exclusion_list_does_not_matter_but_its_length_does() {
    let reversed = patterns(&["b", "a"]);
    let longer = patterns(&["b", "a", "a"]);
    let other = patterns(&["b", "c"]);
    let decide_on = |observed: &[String]| {
        let (image, exclusion) = (image(), patterns(&["a", "b"]));
        is_due(&Facts {
            now: at(0),
            interval: MINUTE,
            image: &image,
            exclusion: &exclusion,
            requested: None,
            handled_request: "",
            observed_image: "ghcr.io/example/app",
            observed_exclusion: observed,
            last_scan: Some(LastScan {
                time: at(0),
                revision: "",
            }),
            stored_revision: Some(""),
        })
    };
    assert_eq!(decide_on(&reversed), Due::In(MINUTE));
    assert_eq!(decide_on(&longer), Due::Now(Reason::UpdatedExclusionList));
    assert_eq!(decide_on(&other), Due::Now(Reason::UpdatedExclusionList));
}

#[test]
fn less_than_a_second_is_not_waited_for() {
    let after = |elapsed: SignedDuration| decide(|facts| facts.now = at(980) + elapsed);
    assert_eq!(
        after(SignedDuration::from_millis(59_000)),
        Due::In(SHORTEST)
    );
    assert_eq!(
        after(SignedDuration::from_millis(59_001)),
        Due::Now(Reason::Interval)
    );
    assert_eq!(after(MINUTE * 100), Due::Now(Reason::Interval));
}

#[test]
fn a_scan_in_the_future_delays_the_next_one_by_one_interval_at_most() {
    assert_eq!(decide(|facts| facts.now = at(975)), Due::In(MINUTE));
    assert_eq!(decide(|facts| facts.now = at(920)), Due::In(MINUTE));
    assert_eq!(
        decide(|facts| (facts.now, facts.interval) = (Timestamp::MIN, SignedDuration::MAX)),
        Due::In(SignedDuration::MAX)
    );
    let ages = decide(|facts| {
        facts.last_scan = Some(LastScan {
            time: Timestamp::MIN,
            revision: "18153657",
        });
        (facts.now, facts.interval) = (Timestamp::MAX, SignedDuration::MIN);
    });
    assert_eq!(ages, Due::Now(Reason::Interval));
}

#[test]
fn a_clock_that_was_set_back_far_stops_no_scan() {
    for now in [at(919), at(0), Timestamp::MIN] {
        let due = decide(|facts| facts.now = now);
        assert_eq!(due, Due::Now(Reason::Interval), "{now}");
    }
}

#[test]
fn reasons_read_as_in_flux() {
    for (reason, text) in [
        (Reason::FirstScan, "first scan"),
        (Reason::ReconcileRequested, "reconcile requested"),
        (Reason::NewImageName, "new image name"),
        (Reason::UpdatedExclusionList, "updated exclusion list"),
        (Reason::NoTagsInDatabase, "no tags in database"),
        (Reason::Interval, "triggered by interval"),
    ] {
        assert_eq!(reason.to_string(), text);
    }
}
