//! The status that follows from an object, a decision and its outcome. Pure: one function in, one status out.
//!
//! `latestRef` and `observedPreviousRef` move on success only; failures keep both.

use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt as _;

use super::act::Outcome;
use super::decide::{Decision, Plan, Retry};
use super::digest::DigestWait;
use super::elect::Governed;
use super::memory::ANNOTATIONS;
use crate::api::condition::{self, Moment, Status, reason};
use crate::api::reference::ImageRef;
use crate::api::{ImagePolicy, ImagePolicyStatus, names};
use crate::control::queue::Next;
use crate::control::settle::{self, Verdict, settle};
use crate::image::Digest;
use crate::policy::governance::Notice;

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
    if let Decision::Acknowledge { after } = decision {
        return (status, Next::After(*after));
    }
    if let Some((governed, after)) = silence(&status, decision, outcome) {
        return (status, sooner(governed.next, [Some(after), None, None]));
    }
    let doing = settle::doing(status.observed_generation, generation);
    let failed = |reason, message: &str| Verdict::Failed {
        reason,
        message: message.to_owned(),
        doing,
    };
    let (verdict, next) = match (decision, outcome) {
        (
            Decision::Elect(plan),
            Outcome::Elected {
                digest,
                waits,
                again,
            },
        ) => {
            elect(&mut status, plan, digest.as_ref());
            let notices = notices(&plan.governed, waits.as_ref());
            let message = with_tail(resolved(&status), &notices);
            govern(&mut status, Moment { generation, now }, &notices);
            let left = waits.as_ref().map(|waits| {
                Duration::try_from(waits.until.duration_since(now)).unwrap_or_default()
            });
            let interval = object.spec.digest_interval();
            let next = sooner(plan.governed.next, [interval, left, *again]);
            (Verdict::Ready { message }, next)
        }
        (Decision::Stand(governed), _) => {
            let notices = notices(governed, None);
            govern(&mut status, Moment { generation, now }, &notices);
            if status.latest_ref.is_some() {
                let mut message = resolved(&status);
                if let Some(image) = &governed.instead_of {
                    message.push_str(", which stays while no tag of ");
                    message.push_str(image);
                    message.push_str(" may be elected");
                }
                let message = with_tail(message, &notices);
                (Verdict::Ready { message }, governed.next)
            } else {
                let message = with_tail("no tag may be elected".to_owned(), &notices);
                let next = match governed.next {
                    Next::Await => Next::RETRY,
                    next @ (Next::After(_) | Next::Retry { .. }) => next,
                };
                (failed(reason::FAILURE, &message), next)
            }
        }
        (
            Decision::Elect(_),
            Outcome::NoDigest {
                message,
                retry_after,
                is_wait: _,
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
        (
            Decision::Release
            | Decision::Rest
            | Decision::Wait { .. }
            | Decision::Acknowledge { .. }
            | Decision::Ask(_),
            _,
        )
        | (Decision::Elect(_), Outcome::Nothing) => (Verdict::Suspended, Next::Await),
    };
    if *decision != Decision::Rest && !is_governed(object) {
        condition::remove(&mut status.conditions, condition::GOVERNED);
    }
    settle(
        &mut status.conditions,
        &mut status.observed_generation,
        Moment { generation, now },
        &verdict,
    );
    let written = object.status.clone().unwrap_or_default();
    (status.with_latest_image(&written), next)
}

/// What stands stays, and what it waits for is about to be known: nothing is said of it for so long.
fn silence<'a>(
    status: &ImagePolicyStatus,
    decision: &'a Decision,
    outcome: &Outcome,
) -> Option<(&'a Governed, Duration)> {
    let latest = status.latest_ref.as_ref()?;
    let governed = match (decision, outcome) {
        (Decision::Elect(plan), Outcome::Elected { digest, .. })
            if latest.tag == plan.tag.as_str()
                && latest.name == plan.name
                && latest.digest == digest.as_ref().map(ToString::to_string) =>
        {
            &plan.governed
        }
        (Decision::Stand(governed), _) => governed,
        (
            Decision::Elect(_)
            | Decision::Release
            | Decision::Rest
            | Decision::Wait { .. }
            | Decision::Acknowledge { .. }
            | Decision::Stall { .. }
            | Decision::Fail { .. }
            | Decision::Ask(_),
            _,
        ) => return None,
    };
    Some((governed, governed.silence?))
}

/// Moves the references.
fn elect(status: &mut ImagePolicyStatus, plan: &Plan, digest: Option<&Digest>) {
    let latest = ImageRef {
        name: plan.name.clone(),
        tag: plan.tag.to_string(),
        digest: digest.map(ToString::to_string),
    };
    if status.latest_ref.as_ref() != Some(&latest) {
        status.observed_previous_ref = status.latest_ref.replace(latest);
    }
}

/// Words what stands elected, as Flux does.
fn resolved(status: &ImagePolicyStatus) -> String {
    let Some(latest) = &status.latest_ref else {
        return String::new();
    };
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
        .filter(|previous| *previous != latest)
    {
        message.push_str(" (previously ");
        message.push_str(&previous.to_string());
        message.push(')');
    }
    message
}

fn is_governed(object: &ImagePolicy) -> bool {
    let annotations = object.annotations();
    ANNOTATIONS.iter().any(|one| annotations.contains_key(*one))
}

fn notices(governed: &Governed, waits: Option<&DigestWait>) -> Vec<Notice> {
    let digest = waits.map(|waits| {
        let DigestWait {
            tag,
            digest,
            until,
            age,
        } = waits;
        Notice::DigestWaiting {
            tag: tag.to_string(),
            digest: digest.to_string(),
            until: *until,
            age: *age,
        }
    });
    governed.notices.iter().cloned().chain(digest).collect()
}

/// What Flux says stays in front: there are those who read it.
fn with_tail(mut message: String, notices: &[Notice]) -> String {
    for notice in notices {
        message.push_str("; ");
        message.push_str(&notice.to_string());
    }
    message
}

/// The condition of our own.
fn govern(status: &mut ImagePolicyStatus, at: Moment, notices: &[Notice]) {
    let Some(first) = notices.first() else {
        condition::remove(&mut status.conditions, condition::GOVERNED);
        return;
    };
    let texts: Vec<String> = notices.iter().map(ToString::to_string).collect();
    condition::set(
        &mut status.conditions,
        at,
        condition::GOVERNED,
        Status::True,
        first.reason().as_str(),
        &texts.join("; "),
    );
}

/// A retry stays one; else the soonest of all.
fn sooner(next: Next, waits: [Option<Duration>; 3]) -> Next {
    let own = match next {
        Next::Retry { .. } => return next,
        Next::After(wait) => Some(wait),
        Next::Await => None,
    };
    let soonest = waits.into_iter().chain([own]).flatten().min();
    soonest.map_or(Next::Await, Next::After)
}
