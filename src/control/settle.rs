//! How the end of a reconcile reads in the conditions: the rules that both kinds share.
//!
//! They are the ones that upstream's users and tools rely on. Ready says what came of it; Reconciling stays
//! only while a retry is coming; Stalled only while none is; `observedGeneration` moves when Ready is true or
//! Stalled is. Where upstream keeps an older Ready=False beside a new Stalled, the new reason is told here in both.

use crate::api::condition::{self, Condition, Moment, Status, reason};

/// What came of a reconcile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The object is what its spec asks for.
    Ready {
        /// The message of Ready.
        message: String,
    },
    /// Something went wrong that may pass; a retry is coming.
    Failed {
        /// The reason of Ready.
        reason: &'static str,
        /// The message of Ready.
        message: String,
        /// The message of Reconciling: what was being done.
        doing: String,
    },
    /// The spec has to change first.
    Stalled {
        /// The reason of Stalled and of Ready.
        reason: &'static str,
        /// The message of both.
        message: String,
    },
    /// The object is suspended: whatever was said last stays, except that something goes on.
    Suspended,
}

/// Writes `verdict` into the conditions and the observed generation.
pub fn settle(
    conditions: &mut Vec<Condition>,
    observed_generation: &mut Option<i64>,
    at: Moment,
    verdict: &Verdict,
) {
    match verdict {
        Verdict::Ready { message } => {
            condition::remove(conditions, condition::STALLED);
            condition::remove(conditions, condition::RECONCILING);
            condition::set(
                conditions,
                at,
                condition::READY,
                Status::True,
                reason::SUCCEEDED,
                message,
            );
            *observed_generation = Some(at.generation);
        }
        Verdict::Failed {
            reason,
            message,
            doing,
        } => {
            condition::mark_reconciling(conditions, at, reason::PROGRESSING_WITH_RETRY, doing);
            condition::set(
                conditions,
                at,
                condition::READY,
                Status::False,
                reason,
                message,
            );
        }
        Verdict::Stalled { reason, message } => {
            condition::mark_stalled(conditions, at, reason, message);
            condition::set(
                conditions,
                at,
                condition::READY,
                Status::False,
                reason,
                message,
            );
            *observed_generation = Some(at.generation);
        }
        Verdict::Suspended => {
            condition::remove(conditions, condition::RECONCILING);
            *observed_generation = Some(at.generation);
        }
    }
}

/// What Reconciling says before anything more exact is known.
pub fn doing(observed_generation: Option<i64>, generation: i64) -> String {
    match observed_generation.unwrap_or(0) {
        observed if observed != generation => {
            format!("processing object: new generation {observed} -> {generation}")
        }
        _ => "reconciliation in progress".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn at(generation: i64) -> Moment {
        Moment {
            generation,
            now: Timestamp::UNIX_EPOCH,
        }
    }

    fn told(conditions: &[Condition]) -> Vec<String> {
        conditions
            .iter()
            .map(|one| {
                format!(
                    "{}={} {}: {}",
                    one.type_, one.status, one.reason, one.message
                )
            })
            .collect()
    }

    fn failed() -> Verdict {
        Verdict::Failed {
            reason: reason::READ_OPERATION_FAILED,
            message: "scan failed: x".into(),
            doing: "scanning: first scan".into(),
        }
    }

    fn stalled() -> Verdict {
        Verdict::Stalled {
            reason: reason::IMAGE_URL_INVALID,
            message: "bad".into(),
        }
    }

    #[test]
    fn every_verdict_leads_from_every_state_to_its_own() {
        let ready = Verdict::Ready {
            message: "good".into(),
        };
        let is_ready = vec!["Ready=True Succeeded: good".to_owned()];
        let is_failed = vec![
            "Reconciling=True ProgressingWithRetry: scanning: first scan".to_owned(),
            "Ready=False ReadOperationFailed: scan failed: x".to_owned(),
        ];
        let is_stalled = vec![
            "Stalled=True ImageURLInvalid: bad".to_owned(),
            "Ready=False ImageURLInvalid: bad".to_owned(),
        ];
        let rows = [
            (ready, &is_ready, Some(7)),
            (failed(), &is_failed, Some(3)),
            (stalled(), &is_stalled, Some(7)),
        ];
        for (before, ..) in &rows {
            for (verdict, expected, observed) in &rows {
                let (mut conditions, mut generation) = (Vec::new(), None);
                settle(&mut conditions, &mut generation, at(1), before);
                generation = Some(3);
                settle(&mut conditions, &mut generation, at(7), verdict);
                assert_eq!(&told(&conditions), *expected, "{before:?} -> {verdict:?}");
                assert_eq!(generation, *observed, "{before:?} -> {verdict:?}");
            }
        }
    }

    #[test]
    fn suspending_keeps_what_was_said_but_nothing_goes_on() {
        let (mut conditions, mut generation) = (Vec::new(), Some(-1));
        settle(&mut conditions, &mut generation, at(1), &Verdict::Suspended);
        assert_eq!(
            (told(&conditions), generation),
            (vec![], Some(1)),
            "never reconciled"
        );
        settle(&mut conditions, &mut generation, at(1), &failed());
        settle(&mut conditions, &mut generation, at(2), &Verdict::Suspended);
        assert_eq!(
            told(&conditions),
            ["Ready=False ReadOperationFailed: scan failed: x"]
        );
        assert_eq!(generation, Some(2));
    }

    #[test]
    fn conditions_of_others_are_left_alone() {
        let (mut conditions, mut generation) = (Vec::new(), None);
        condition::set(
            &mut conditions,
            at(1),
            "Audited",
            Status::True,
            "Yes",
            "by hand",
        );
        settle(&mut conditions, &mut generation, at(1), &stalled());
        settle(
            &mut conditions,
            &mut generation,
            at(1),
            &Verdict::Ready {
                message: "good".into(),
            },
        );
        assert_eq!(
            told(&conditions),
            ["Ready=True Succeeded: good", "Audited=True Yes: by hand"]
        );
    }

    #[test]
    fn a_new_generation_is_named() {
        assert_eq!(
            doing(Some(-1), 1),
            "processing object: new generation -1 -> 1"
        );
        assert_eq!(doing(None, 1), "processing object: new generation 0 -> 1");
        assert_eq!(doing(Some(2), 2), "reconciliation in progress");
    }
}
