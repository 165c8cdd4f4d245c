//! Electing: find the digest if one is wanted, put the election into the store, and wait until it is on disk.

use std::time::Duration;

use super::decide::{Decision, DigestPlan, Plan};
use super::digest::{self, Adopted, DigestWait};
use crate::api::ImagePolicy;
use crate::cluster::with_causes;
use crate::control::metrics::ElectionResult;
use crate::control::registry::{Question, Refusal};
use crate::control::{Context, access};
use crate::image::{Digest, Repository, Tag};
use crate::object::Key;
use crate::store::{Election, Pushed};
use crate::{api::ImageRepository, store};

/// What came of acting.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Nothing was to be done.
    Nothing,
    /// The election is in the store, and on disk.
    Elected {
        /// The digest, when one is reflected.
        digest: Option<Digest>,
        /// The tag stands for another one by now, which is not old enough.
        waits: Option<DigestWait>,
        /// The registry was not asked for the digest, and may be after this time.
        again: Option<Duration>,
    },
    /// The digest could not be had.
    NoDigest {
        /// The message of Ready.
        message: String,
        /// How long the registry asked to be left alone.
        retry_after: Option<Duration>,
        /// Whether the registry was not even asked.
        is_wait: bool,
    },
    /// The store did not take it.
    NotStored {
        /// The message of Ready.
        message: String,
    },
}

pub(super) async fn elect(context: &Context, policy: &Key, plan: &Plan) -> Outcome {
    let mut again = None;
    let (digest, pushed, waits) = match &plan.digest {
        DigestPlan::None => (None, None, None),
        DigestPlan::Keep(digest) => (Some(digest.clone()), known(context, policy, plan), None),
        DigestPlan::Verified { digest, before } => {
            let known = known(context, policy, plan);
            let Adopted {
                digest,
                pushed,
                waits,
            } = digest::adopt(
                &plan.tag,
                digest.clone(),
                before.as_ref(),
                known.as_ref(),
                plan.governed.minimum_age,
                context.clock.now(),
            );
            (Some(digest), pushed, waits)
        }
        DigestPlan::Fetch {
            object,
            image,
            before,
        } => {
            let known = known(context, policy, plan);
            let adopt = |found| {
                digest::adopt(
                    &plan.tag,
                    found,
                    before.as_ref(),
                    known.as_ref(),
                    plan.governed.minimum_age,
                    context.clock.now(),
                )
            };
            let adopted = match fetch(context, &plan.repository, object, image, &plan.tag).await {
                Ok(found) => adopt(found),
                Err(refusal) => {
                    let Some(before) = before.as_ref().filter(|_| refusal.is_wait) else {
                        let (name, tag, error) = (&plan.name, &plan.tag, refusal.message);
                        return Outcome::NoDigest {
                            message: format!("failed fetching digest of {name}:{tag}: {error}"),
                            retry_after: refusal.retry_after,
                            is_wait: refusal.is_wait,
                        };
                    };
                    again = refusal.retry_after;
                    digest::unasked(before, known.as_ref(), adopt)
                }
            };
            let Adopted {
                digest,
                pushed,
                waits,
            } = adopted;
            (Some(digest), pushed, waits)
        }
    };
    let election = Election {
        policy: policy.clone(),
        tag: plan.tag.clone(),
        digest: digest.clone(),
        pushed,
    };
    match commit(context, plan, election).await {
        Ok(true) => Outcome::Elected {
            digest,
            waits,
            again,
        },
        Ok(false) => Outcome::NotStored {
            message: format!("{}:{} vanished while it was elected", plan.name, plan.tag),
        },
        Err(error) => Outcome::NotStored {
            message: with_causes(&error),
        },
    }
}

/// What this election remembers of its tag.
fn known(context: &Context, policy: &Key, plan: &Plan) -> Option<Pushed> {
    let held = context.store.snapshot().repository(&plan.repository)?;
    let election = held.elections().get(policy)?;
    election.pushed.clone().filter(|_| election.tag == plan.tag)
}

/// Whether the tag is held, elected, and on disk. It may have gone from the registry meanwhile.
async fn commit(context: &Context, plan: &Plan, election: Election) -> Result<bool, store::Error> {
    let Election { policy, tag, .. } = &election;
    context.store.commit_pushed(&plan.repository, &election)?;
    // Also when nothing changed: an earlier attempt may have got into memory, and not to the disk.
    context.store.flush().await?;
    let held = context.store.snapshot().repository(&plan.repository);
    Ok(held.is_some_and(|held| {
        let election = held.elections().get(policy);
        election.is_some_and(|election| election.tag == *tag)
    }))
}

async fn fetch(
    context: &Context,
    repository: &Key,
    object: &ImageRepository,
    image: &Repository,
    tag: &Tag,
) -> Result<Digest, Refusal> {
    let failed = |message| Refusal {
        message,
        retry_after: None,
        is_permanent: false,
        is_wait: false,
    };
    let ways = access::ways(context, repository, object, image)
        .await
        .map_err(|error| {
            failed(format!(
                "failed to configure authentication options: {error}"
            ))
        })?;
    let timeout = object.spec.scan_timeout();
    let question = Question {
        image: image.clone(),
        ways,
        timeout,
        known: None,
    };
    let patience = question.patience();
    match tokio::time::timeout(patience, context.registry.digest(question, tag.clone())).await {
        Ok(answer) => answer,
        Err(_) => Err(failed(format!(
            "no answer within {}",
            crate::api::GoDuration::from(timeout)
        ))),
    }
}

/// Counts what came of an attempt to elect.
pub(super) fn count(
    context: &Context,
    key: &Key,
    object: &ImagePolicy,
    decision: &Decision,
    outcome: &Outcome,
) {
    let known = object
        .status
        .as_ref()
        .and_then(|status| status.latest_ref.as_ref());
    let (result, lag) = match (decision, outcome) {
        (Decision::Elect(plan), Outcome::Elected { .. })
            if known
                .is_some_and(|known| known.tag == plan.tag.as_str() && known.name == plan.name) =>
        {
            (ElectionResult::unchanged, plan.governed.lag)
        }
        (Decision::Elect(plan), Outcome::Elected { .. }) => {
            (ElectionResult::changed, plan.governed.lag)
        }
        (Decision::Stand(governed), _) if known.is_some() => {
            (ElectionResult::unchanged, governed.lag)
        }
        (
            Decision::Elect(_),
            Outcome::Nothing | Outcome::NoDigest { .. } | Outcome::NotStored { .. },
        )
        | (Decision::Stall { .. } | Decision::Fail { .. } | Decision::Stand(_), _) => {
            (ElectionResult::failed, None)
        }
        (
            Decision::Release
            | Decision::Rest
            | Decision::Wait { .. }
            | Decision::Acknowledge { .. }
            | Decision::Ask(_),
            _,
        ) => return,
    };
    context.metrics.elected(result);
    context.metrics.lags(key, lag);
}
