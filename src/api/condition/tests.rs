//! The rules of change.

use super::*;

const SECOND: i64 = 1_700_000_000;

fn at(generation: i64, offset: i64) -> Moment {
    Moment {
        generation,
        now: Timestamp::from_second(SECOND + offset).unwrap(),
    }
}

fn changed(conditions: &[Condition], type_: &str) -> i64 {
    get(conditions, type_)
        .unwrap()
        .last_transition_time
        .0
        .as_second()
        - SECOND
}

#[test]
fn the_transition_time_moves_with_status_reason_and_message_alone() {
    let rows = [
        (Status::True, "Succeeded", "found 3 tags", 0),
        (Status::False, "Succeeded", "found 3 tags", 10),
        (Status::True, "Failure", "found 3 tags", 10),
        (Status::True, "Succeeded", "found 4 tags", 10),
    ];
    for (status, reason, message, offset) in rows {
        let mut conditions = Vec::new();
        set(
            &mut conditions,
            at(1, 0),
            READY,
            Status::True,
            "Succeeded",
            "found 3 tags",
        );
        set(&mut conditions, at(1, 10), READY, status, reason, message);
        assert_eq!(conditions.len(), 1);
        assert_eq!(
            changed(&conditions, READY),
            offset,
            "{status:?} {reason} {message}"
        );
    }
}

#[test]
fn a_new_generation_is_recorded_without_a_transition() {
    let mut conditions = Vec::new();
    set(
        &mut conditions,
        at(1, 0),
        READY,
        Status::True,
        "Succeeded",
        "",
    );
    set(
        &mut conditions,
        at(2, 10),
        READY,
        Status::True,
        "Succeeded",
        "",
    );
    assert_eq!(
        get(&conditions, READY).unwrap().observed_generation,
        Some(2)
    );
    assert_eq!(changed(&conditions, READY), 0);
}

#[test]
fn conditions_keep_whole_seconds() {
    let mut conditions = Vec::new();
    let now = Timestamp::from_nanosecond(i128::from(SECOND) * 1_000_000_000 + 999_999_999).unwrap();
    set(
        &mut conditions,
        Moment { generation: 1, now },
        READY,
        Status::True,
        "Succeeded",
        "",
    );
    let read: Vec<Condition> =
        serde_json::from_str(&serde_json::to_string(&conditions).unwrap()).unwrap();
    assert_eq!(read, conditions);
}

#[test]
fn what_a_person_wants_to_read_first_goes_first() {
    let mut conditions = Vec::new();
    for type_ in ["Zeta", READY, "Alpha", RECONCILING, STALLED] {
        set(&mut conditions, at(1, 0), type_, Status::True, "R", "");
    }
    let order: Vec<_> = conditions
        .iter()
        .map(|condition| condition.type_.as_str())
        .collect();
    assert_eq!(order, [STALLED, RECONCILING, READY, "Alpha", "Zeta"]);
}

#[test]
fn reconciling_and_stalled_drive_each_other_out() {
    let mut conditions = Vec::new();
    mark_reconciling(
        &mut conditions,
        at(1, 0),
        reason::PROGRESSING,
        "scanning: first scan",
    );
    assert!(is_true(&conditions, RECONCILING));
    mark_stalled(&mut conditions, at(1, 0), reason::IMAGE_URL_INVALID, "no");
    assert!(is_true(&conditions, STALLED) && get(&conditions, RECONCILING).is_none());
    mark_reconciling(&mut conditions, at(2, 0), reason::PROGRESSING, "again");
    assert!(is_true(&conditions, RECONCILING) && get(&conditions, STALLED).is_none());
}

#[test]
fn an_absent_condition_is_neither_true_nor_false() {
    let mut conditions = Vec::new();
    assert!(!is_true(&conditions, READY) && !is_false(&conditions, READY));
    set(
        &mut conditions,
        at(1, 0),
        READY,
        Status::Unknown,
        "Progressing",
        "",
    );
    assert!(!is_true(&conditions, READY) && !is_false(&conditions, READY));
    set(
        &mut conditions,
        at(1, 0),
        READY,
        Status::False,
        "Failure",
        "",
    );
    assert!(is_false(&conditions, READY));
    remove(&mut conditions, READY);
    assert!(conditions.is_empty());
}
