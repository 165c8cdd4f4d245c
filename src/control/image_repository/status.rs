//! The status that follows from an object, a decision and its outcome. Pure: one function in, one status out.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;

use super::act::Outcome;
use super::decide::{Decision, Plan};
use crate::api::condition::{self, Moment, Status, reason};
use crate::api::image_repository::ScanResult;
use crate::api::{GoDuration, ImageRepository, ImageRepositoryStatus, names};
use crate::control::intake::Scanned;
use crate::control::queue::Next;
use crate::control::settle::{Verdict, settle};
use crate::image::Repository;

/// The new status, and when to look at the object again.
pub(super) fn compute(
    object: &ImageRepository,
    image: Option<&Repository>,
    decision: &Decision,
    outcome: &Outcome,
    now: Timestamp,
) -> (ImageRepositoryStatus, Next) {
    let mut status = object.status.clone().unwrap_or_default();
    // Success or failure: the request was handled (flux CLI contract, rule 1), unless the object rests.
    if *decision != Decision::Rest
        && let Some(token) = object.annotations().get(names::RECONCILE_REQUESTED_AT)
    {
        status.last_handled_reconcile_at = Some(token.clone());
    }
    let (verdict, next) = match (decision, outcome) {
        (Decision::Scan(plan), Outcome::Scanned(scanned)) => {
            status.last_scan_result = Some(result(scanned));
            (
                scanned_well(&mut status, object, image),
                Next::After(until_next(object, plan, scanned.at, now)),
            )
        }
        (Decision::Scan(plan), Outcome::Failed { message, next }) => {
            let verdict = Verdict::Failed {
                reason: reason::READ_OPERATION_FAILED,
                message: message.clone(),
                doing: plan.doing.clone(),
            };
            (verdict, *next)
        }
        // Looked at again all the same: nobody tells us when a registry thinks better of it.
        (Decision::Scan(_), Outcome::Refused { message, next }) => {
            let verdict = Verdict::Stalled {
                reason: reason::READ_OPERATION_FAILED,
                message: message.clone(),
            };
            (verdict, *next)
        }
        (Decision::Keep { until }, Outcome::Nothing) => (
            scanned_well(&mut status, object, image),
            Next::After(*until),
        ),
        (
            Decision::Fail {
                reason,
                message,
                doing,
            },
            Outcome::Nothing,
        ) => {
            let verdict = Verdict::Failed {
                reason,
                message: message.clone(),
                doing: doing.clone(),
            };
            (verdict, Next::RETRY)
        }
        (Decision::Stall { reason, message }, Outcome::Nothing) => (
            Verdict::Stalled {
                reason,
                message: message.clone(),
            },
            Next::Await,
        ),
        // A scan has an outcome, and nothing else has: the rest cannot be, and changes nothing.
        (Decision::Release | Decision::Rest, _)
        | (Decision::Scan(_), Outcome::Nothing | Outcome::PutOff(_))
        | (
            Decision::Keep { .. } | Decision::Fail { .. } | Decision::Stall { .. },
            Outcome::Scanned(_)
            | Outcome::Failed { .. }
            | Outcome::Refused { .. }
            | Outcome::PutOff(_),
        ) => (Verdict::Suspended, Next::Await),
    };
    let at = Moment {
        generation: object.metadata.generation.unwrap_or(0),
        now,
    };
    settle(
        &mut status.conditions,
        &mut status.observed_generation,
        at,
        &verdict,
    );
    (status, next)
}

/// What is logged of a reconcile that is no news, in upstream's words.
pub(super) fn in_short(
    object: &ImageRepository,
    decision: &Decision,
    outcome: &Outcome,
    next: Next,
) -> Option<String> {
    let Next::After(wait) = next else {
        return None;
    };
    let last = object.status.as_ref().and_then(|status| {
        let last = status.last_scan_result.as_ref()?;
        Some(last.revision.as_str())
    });
    let what = match (decision, outcome) {
        (Decision::Scan(_), Outcome::Scanned(scanned)) if last == Some(&scanned.revision) => {
            "tags did not change"
        }
        (Decision::Scan(_), Outcome::Scanned(_)) => "successful scan",
        (Decision::Keep { .. }, Outcome::Nothing) => {
            "no change in repository configuration since last scan"
        }
        (
            Decision::Release | Decision::Rest | Decision::Stall { .. } | Decision::Fail { .. },
            _,
        )
        | (
            Decision::Scan(_),
            Outcome::Nothing
            | Outcome::Failed { .. }
            | Outcome::Refused { .. }
            | Outcome::PutOff(_),
        )
        | (
            Decision::Keep { .. },
            Outcome::Scanned(_)
            | Outcome::Failed { .. }
            | Outcome::Refused { .. }
            | Outcome::PutOff(_),
        ) => return None,
    };
    Some(format!("{what}, next scan in {}", GoDuration::from(wait)))
}

/// The status while a long scan is under way, of an object that never had a word.
pub(super) fn in_progress(
    object: &ImageRepository,
    plan: &Plan,
    now: Timestamp,
) -> ImageRepositoryStatus {
    let mut status = object.status.clone().unwrap_or_default();
    let at = Moment {
        generation: plan.generation,
        now,
    };
    condition::mark_reconciling(&mut status.conditions, at, reason::PROGRESSING, &plan.doing);
    let ready = condition::get(&status.conditions, condition::READY);
    if ready.is_none_or(|ready| ready.status == Status::Unknown.as_str()) {
        let unknown = Status::Unknown;
        condition::set(
            &mut status.conditions,
            at,
            condition::READY,
            unknown,
            reason::PROGRESSING,
            &plan.doing,
        );
    }
    status
}

fn scanned_well(
    status: &mut ImageRepositoryStatus,
    object: &ImageRepository,
    image: Option<&Repository>,
) -> Verdict {
    status.canonical_image_name = image.map(ToString::to_string);
    status.observed_exclusion_list = object.spec.effective_exclusion_list();
    let (count, revision) = status
        .last_scan_result
        .as_ref()
        .map_or((0, ""), |last| (last.tag_count, last.revision.as_str()));
    Verdict::Ready {
        message: format!("successful scan: found {count} tags with checksum {revision}"),
    }
}

fn result(scanned: &Scanned) -> ScanResult {
    ScanResult {
        revision: scanned.revision.clone(),
        tag_count: i64::try_from(scanned.count).unwrap_or(i64::MAX),
        scan_time: Some(Time(scanned.at)),
        latest_tags: scanned.latest.clone(),
    }
}

/// The interval counts from when the registry answered, so that objects that shared an answer stay in step.
fn until_next(
    object: &ImageRepository,
    plan: &Plan,
    scanned: Timestamp,
    now: Timestamp,
) -> Duration {
    let elapsed = Duration::try_from(now.duration_since(scanned)).unwrap_or_default();
    let uid = object.metadata.uid.as_deref().unwrap_or_default();
    crate::scan::jitter(uid, plan.interval)
        .saturating_sub(elapsed)
        .max(Duration::from_secs(1))
}
