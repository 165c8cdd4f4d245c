//! The status that follows from an object, a decision and its outcome. Pure: one function in, one status out.
//!
//! `latestRef` and `observedPreviousRef` move on success only; failures keep both.

use jiff::Timestamp;
use kube::ResourceExt as _;

use super::act::Outcome;
use super::decide::{Decision, Plan, Retry};
use crate::api::condition::{Moment, reason};
use crate::api::reference::ImageRef;
use crate::api::{ImagePolicy, ImagePolicyStatus, names};
use crate::control::queue::Next;
use crate::control::settle::{self, Verdict, settle};
use crate::image::Digest;

/// The new status, and when to look at the object again.
pub(super) fn compute(
    object: &ImagePolicy,
    decision: &Decision,
    outcome: &Outcome,
    now: Timestamp,
) -> (ImagePolicyStatus, Next) {
    let mut status = object.status.clone().unwrap_or_default();
    let generation = object.metadata.generation.unwrap_or(0);
    // Success or failure: the request was handled (flux CLI contract, rule 1), unless the object rests.
    if *decision != Decision::Rest
        && let Some(token) = object.annotations().get(names::RECONCILE_REQUESTED_AT)
    {
        status.last_handled_reconcile_at = Some(token.clone());
    }
    let doing = settle::doing(status.observed_generation, generation);
    let failed = |reason, message: &str| Verdict::Failed {
        reason,
        message: message.to_owned(),
        doing,
    };
    let (verdict, next) = match (decision, outcome) {
        (Decision::Elect(plan), Outcome::Elected { digest }) => {
            let message = elected(&mut status, plan, digest.as_ref());
            let next = object
                .spec
                .digest_interval()
                .map_or(Next::Await, Next::After);
            (Verdict::Ready { message }, next)
        }
        (
            Decision::Elect(_),
            Outcome::NoDigest {
                message,
                retry_after,
            },
        ) => (
            failed(reason::FAILED, message),
            Next::retry_after(*retry_after),
        ),
        (Decision::Elect(_), Outcome::NotStored { message }) => {
            (failed(reason::FAILURE, message), Next::RETRY)
        }
        (
            Decision::Fail {
                reason,
                message,
                retry,
                is_denied: _,
            },
            _,
        ) => {
            let next = match retry {
                Retry::Growing => Next::RETRY,
                Retry::Within(most) => Next::retry_within(*most),
                Retry::After(time) => Next::After(*time),
            };
            (failed(reason, message), next)
        }
        (Decision::Stall { reason, message }, _) => (
            Verdict::Stalled {
                reason,
                message: message.clone(),
            },
            Next::Await,
        ),
        // An election has an outcome; the others write no status but this.
        (Decision::Release | Decision::Rest | Decision::Wait { .. }, _)
        | (Decision::Elect(_), Outcome::Nothing) => (Verdict::Suspended, Next::Await),
    };
    settle(
        &mut status.conditions,
        &mut status.observed_generation,
        Moment { generation, now },
        &verdict,
    );
    let written = object.status.clone().unwrap_or_default();
    (status.with_latest_image(&written), next)
}

/// Moves the references, and words the result.
fn elected(status: &mut ImagePolicyStatus, plan: &Plan, digest: Option<&Digest>) -> String {
    let latest = ImageRef {
        name: plan.name.clone(),
        tag: plan.tag.to_string(),
        digest: digest.map(ToString::to_string),
    };
    if status.latest_ref.as_ref() != Some(&latest) {
        status.observed_previous_ref = status.latest_ref.replace(latest.clone());
    }
    let mut message = format!(
        "Latest image tag for {} resolved to {}",
        latest.name, latest.tag
    );
    if let Some(digest) = &latest.digest {
        message.push_str(" with digest ");
        message.push_str(digest);
    }
    if let Some(previous) = status
        .observed_previous_ref
        .as_ref()
        .filter(|previous| **previous != latest)
    {
        message.push_str(" (previously ");
        message.push_str(&previous.to_string());
        message.push(')');
    }
    message
}
