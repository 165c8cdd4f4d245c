//! When a registry's refusal ends the wait: the same permanent answer often enough, for long enough.
//!
//! A repository that is pushed to for the first time, or a right that is being granted, may be refused at first; so
//! neither one answer nor a moment is enough. Pure: the time is an argument.

use std::time::Duration;

use tokio::time::Instant;

/// How many equal answers it takes.
const ENOUGH: u32 = 3;

/// How long they have to keep coming.
const LONG_ENOUGH: Duration = Duration::from_secs(30);

/// How long the next look may be away: long delays after other failures would make it a long wait.
const NEXT_LOOK: Duration = Duration::from_secs(10);

/// Equal permanent refusals in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusals {
    message: String,
    times: u32,
    since: Instant,
}

/// What follows from a permanent refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// There is some left: try again, after this much time at the latest.
    Left(Duration),
    /// There is none.
    Gone,
}

/// Counts one more refusal. `said`: the message that Stalled has already, which one equal answer is enough for.
pub(super) fn count(
    before: Option<Refusals>,
    message: &str,
    said: Option<&str>,
    now: Instant,
) -> (Refusals, Patience) {
    let mut refusals = before
        .filter(|before| before.message == message)
        .unwrap_or_else(|| Refusals {
            message: message.to_owned(),
            times: 0,
            since: now,
        });
    refusals.times = refusals.times.saturating_add(1);
    let elapsed = now.saturating_duration_since(refusals.since);
    let is_gone = said == Some(message) || (refusals.times >= ENOUGH && elapsed >= LONG_ENOUGH);
    if is_gone {
        return (refusals, Patience::Gone);
    }
    // The last look is taken when the time is up, and not long after.
    let left = LONG_ENOUGH.saturating_sub(elapsed);
    let next = if left.is_zero() {
        NEXT_LOOK
    } else {
        left.min(NEXT_LOOK)
    };
    (refusals, Patience::Left(next))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a row of answers, at these seconds, leads to.
    fn told(answers: &[(u64, &str)], said: Option<&str>) -> Vec<Patience> {
        let begin = Instant::now();
        let mut refusals = None;
        let each = answers.iter().map(|(second, message)| {
            let now = begin + Duration::from_secs(*second);
            let (next, patience) = count(refusals.take(), message, said, now);
            refusals = Some(next);
            patience
        });
        each.collect()
    }

    fn left(seconds: u64) -> Patience {
        Patience::Left(Duration::from_secs(seconds))
    }

    #[test]
    fn three_equal_answers_over_half_a_minute_are_enough_and_neither_alone() {
        assert_eq!(
            told(&[(0, "a"), (1, "a"), (3, "a"), (24, "a"), (30, "a")], None),
            [left(10), left(10), left(10), left(6), Patience::Gone]
        );
        assert_eq!(
            told(&[(0, "a"), (60, "a"), (61, "a")], None),
            [left(10), left(10), Patience::Gone]
        );
    }

    #[test]
    fn another_answer_starts_anew() {
        assert_eq!(
            told(
                &[(0, "a"), (10, "a"), (29, "b"), (40, "a"), (65, "a")],
                None
            ),
            [left(10), left(10), left(10), left(10), left(5)]
        );
    }

    #[test]
    fn what_is_said_already_needs_no_second_look() {
        assert_eq!(told(&[(0, "a")], Some("a")), [Patience::Gone]);
        assert_eq!(told(&[(0, "b")], Some("a")), [left(10)]);
    }
}
