//! From a decision and its outcome to the status: pure, so one can read it off.

use super::*;

/// The interval of the object that `fresh` makes, which is its own.
fn interval() -> Duration {
    crate::scan::jitter("uid-1", Duration::from_mins(5))
}

#[test]
fn a_good_scan_is_told_in_full() {
    let object = fresh();
    let image = IMAGE.parse().unwrap();
    let (status, next) = status::compute(
        &object,
        Some(&image),
        &Decision::Scan(plan(|_| {})),
        &scan_of("728958008"),
        now(),
    );
    assert_eq!(
        lines(&status.conditions),
        ["Ready=True Succeeded: successful scan: found 2 tags with checksum 728958008"]
    );
    assert_eq!(status.observed_generation, Some(1));
    assert_eq!(status.canonical_image_name.as_deref(), Some(IMAGE));
    assert_eq!(status.observed_exclusion_list, [r"^.*\.sig$"]);
    assert_eq!(status.last_handled_reconcile_at.as_deref(), Some("earlier"));
    let last = status.last_scan_result.unwrap();
    assert_eq!(
        (last.tag_count, last.revision.as_str(), last.latest_tags),
        (2, "728958008", vec!["b".into(), "a".into()])
    );
    assert_eq!(next, Next::After(interval()));
}

#[test]
fn what_is_no_news_is_told_in_upstream_s_words() {
    let five = Next::After(Duration::from_mins(5));
    let keep = Decision::Keep {
        until: Duration::from_secs(200),
    };
    let failure = Outcome::Failed {
        message: "x".into(),
        next: Next::RETRY,
    };
    let scan = || Decision::Scan(plan(|_| {}));
    let rows = [
        (
            scan(),
            scan_of(REVISION),
            five,
            Some("tags did not change, next scan in 5m0s"),
        ),
        (
            scan(),
            scan_of("1"),
            five,
            Some("successful scan, next scan in 5m0s"),
        ),
        (
            keep,
            Outcome::Nothing,
            Next::After(Duration::from_secs(200)),
            Some("no change in repository configuration since last scan, next scan in 3m20s"),
        ),
        (scan(), failure, Next::RETRY, None),
        (Decision::Rest, Outcome::Nothing, Next::Await, None),
    ];
    for (decision, outcome, next, expected) in rows {
        let told = status::in_short(&scanned().object, &decision, &outcome, next);
        assert_eq!(told.as_deref(), expected, "{decision:?}");
    }
}

#[test]
fn a_failed_scan_keeps_what_is_known_and_tries_again() {
    let mut object = (*scanned().object).clone();
    object.metadata.generation = Some(3);
    let failure = Outcome::Failed {
        message: "scan failed: x".into(),
        next: Next::retry_after(Some(Duration::from_secs(7))),
    };
    let (status, next) = status::compute(
        &object,
        None,
        &Decision::Scan(plan(|_| {})),
        &failure,
        now(),
    );
    assert_eq!(
        lines(&status.conditions),
        [
            "Reconciling=True ProgressingWithRetry: scanning: first scan",
            "Ready=False ReadOperationFailed: scan failed: x"
        ]
    );
    assert_eq!(
        status.observed_generation,
        Some(2),
        "it moves with Ready=True and Stalled=True only"
    );
    assert_eq!(
        status.last_scan_result,
        object.status.as_ref().unwrap().last_scan_result
    );
    assert_eq!(status.canonical_image_name.as_deref(), Some(IMAGE));
    assert_eq!(
        next,
        Next::Retry {
            at_least: Duration::from_secs(7),
            at_most: Duration::MAX
        }
    );
}

#[test]
fn a_run_without_scan_changes_nothing_of_a_settled_status() {
    let mut object = (*scanned().object).clone();
    let keep = Decision::Keep {
        until: Duration::from_mins(4),
    };
    let image = IMAGE.parse().unwrap();
    let (settled, _) = status::compute(&object, Some(&image), &keep, &Outcome::Nothing, ago(60));
    object.status = Some(settled.clone());
    let (status, next) = status::compute(&object, Some(&image), &keep, &Outcome::Nothing, now());
    assert_eq!(status, settled);
    assert_eq!(next, Next::After(Duration::from_mins(4)));
}

#[test]
fn a_stalled_object_waits_for_its_spec() {
    let stall = Decision::Stall {
        reason: reason::IMAGE_URL_INVALID,
        message: "bad".into(),
    };
    let (status, next) = status::compute(&fresh(), None, &stall, &Outcome::Nothing, now());
    assert_eq!(
        lines(&status.conditions),
        [
            "Stalled=True ImageURLInvalid: bad",
            "Ready=False ImageURLInvalid: bad"
        ]
    );
    assert_eq!((status.observed_generation, next), (Some(1), Next::Await));
}

#[test]
fn an_object_that_is_born_suspended_gets_a_status() {
    let (status, next) = status::compute(&fresh(), None, &Decision::Rest, &Outcome::Nothing, now());
    assert_eq!(
        (status.observed_generation, status.conditions.len(), next),
        (Some(1), 0, Next::Await)
    );
    assert_eq!(
        status.last_handled_reconcile_at, None,
        "its request is handled when it goes on"
    );
}

#[test]
fn a_refusal_that_ended_the_wait_is_stalled_with_the_reason_it_had() {
    let mut facts = scanned();
    failed(&mut facts);
    Arc::make_mut(&mut facts.object).metadata.generation = Some(3);
    let refusal = Outcome::Refused {
        message: "scan failed: x".into(),
        next: Next::RETRY,
    };
    let (status, next) = status::compute(
        &facts.object,
        None,
        &Decision::Scan(plan(|_| {})),
        &refusal,
        now(),
    );
    assert_eq!(
        lines(&status.conditions),
        [
            "Stalled=True ReadOperationFailed: scan failed: x",
            "Ready=False ReadOperationFailed: scan failed: x"
        ]
    );
    assert_eq!((status.observed_generation, next), (Some(3), Next::RETRY));
    assert_eq!(decide::refused(&status), Some("scan failed: x"));
}

#[test]
fn a_long_first_scan_is_told() {
    let first = status::in_progress(&fresh(), &plan(|_| {}), now());
    assert_eq!(
        lines(&first.conditions),
        [
            "Reconciling=True Progressing: scanning: first scan",
            "Ready=Unknown Progressing: scanning: first scan"
        ]
    );
}

#[test]
fn the_interval_counts_from_the_answer() {
    let shared = Outcome::Scanned(Scanned {
        revision: "1".into(),
        count: 0,
        latest: vec![],
        at: ago(4),
    });
    let (status, next) = status::compute(
        &fresh(),
        None,
        &Decision::Scan(plan(|_| {})),
        &shared,
        now(),
    );
    assert_eq!(
        next,
        Next::After(interval().saturating_sub(Duration::from_secs(4)))
    );
    assert!(
        serde_json::to_value(&status).unwrap()["lastScanResult"]
            .get("latestTags")
            .is_none()
    );
}
