//! When a reconcile is news: the rules for Events.
//!
//! News is a Ready message that changed, a recovery, and every reconcile that ends not ready (the recorder counts
//! repetitions). A reconcile that found everything as it was is not news: it is logged, and nothing more.

use kube::Resource;

use crate::api::condition::{self, Condition};
use crate::cluster::event::{About, Report, Severity};

/// The Event that leads from `before` to `after`, if that is news.
pub fn report(about: About, before: &[Condition], after: &[Condition]) -> Option<Report> {
    let ready = condition::get(after, condition::READY)?;
    let severity = if is_ready(after) {
        Severity::Normal
    } else {
        Severity::Warning
    };
    let told_already = is_ready(before)
        && condition::get(before, condition::READY)
            .is_some_and(|known| known.message == ready.message);
    if severity == Severity::Normal && told_already {
        return None;
    }
    Some(Report {
        about,
        severity,
        reason: ready.reason.clone(),
        message: ready.message.clone(),
    })
}

/// How an Event names `object`.
pub fn reference<K: Resource<DynamicType = ()>>(object: &K) -> About {
    About::object(object)
}

/// Ready, and neither about to change nor stuck.
fn is_ready(conditions: &[Condition]) -> bool {
    condition::is_true(conditions, condition::READY)
        && !condition::is_true(conditions, condition::RECONCILING)
        && !condition::is_true(conditions, condition::STALLED)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::api::condition::{Moment, Status, reason};
    use crate::control::settle::{Verdict, settle};

    fn settled(verdict: &Verdict) -> Vec<Condition> {
        let at = Moment {
            generation: 1,
            now: Timestamp::UNIX_EPOCH,
        };
        let mut conditions = Vec::new();
        settle(&mut conditions, &mut None, at, verdict);
        conditions
    }

    /// What it is, before, after, and what is told.
    type Row = (
        &'static str,
        Vec<Condition>,
        Vec<Condition>,
        Option<(Severity, &'static str)>,
    );

    #[test]
    fn changes_recoveries_and_failures_are_news() {
        let ready = |message: &str| {
            settled(&Verdict::Ready {
                message: message.into(),
            })
        };
        let failed = |message: &str| {
            settled(&Verdict::Failed {
                reason: reason::FAILURE,
                message: message.into(),
                doing: "x".into(),
            })
        };
        let rows: [Row; 7] = [
            (
                "first success",
                vec![],
                ready("a"),
                Some((Severity::Normal, "a")),
            ),
            ("no change", ready("a"), ready("a"), None),
            (
                "another result",
                ready("a"),
                ready("b"),
                Some((Severity::Normal, "b")),
            ),
            (
                "a failure",
                ready("a"),
                failed("f"),
                Some((Severity::Warning, "f")),
            ),
            (
                "the same failure",
                failed("f"),
                failed("f"),
                Some((Severity::Warning, "f")),
            ),
            (
                "a recovery to the same result",
                failed("f"),
                ready("a"),
                Some((Severity::Normal, "a")),
            ),
            ("nothing known", vec![], vec![], None),
        ];
        for (name, before, after, expected) in rows {
            let told = report(About::default(), &before, &after);
            assert_eq!(
                told.as_ref()
                    .map(|one| (one.severity, one.message.as_str())),
                expected,
                "{name}"
            );
        }
    }

    #[test]
    fn a_drift_that_ends_well_is_a_recovery() {
        let at = Moment {
            generation: 1,
            now: Timestamp::UNIX_EPOCH,
        };
        let mut drifted = settled(&Verdict::Ready {
            message: "a".into(),
        });
        condition::set(
            &mut drifted,
            at,
            condition::READY,
            Status::Unknown,
            reason::PROGRESSING,
            "scanning",
        );
        assert!(
            report(
                About::default(),
                &drifted,
                &settled(&Verdict::Ready {
                    message: "a".into()
                })
            )
            .is_some()
        );
    }
}
