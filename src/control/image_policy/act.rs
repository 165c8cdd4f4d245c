//! Electing: find the digest if one is wanted, put the election into the store, and wait until it is on disk.

use std::time::Duration;

use super::decide::{Decision, DigestPlan, Plan};
use crate::api::ImagePolicy;
use crate::cluster::with_causes;
use crate::control::metrics::ElectionResult;
use crate::control::registry::{LONGEST_WAIT, Question};
use crate::control::{Context, access};
use crate::image::{Digest, Repository, Tag};
use crate::object::Key;
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
    },
    /// The digest could not be had.
    NoDigest {
        /// The message of Ready.
        message: String,
        /// How long the registry asked to be left alone.
        retry_after: Option<Duration>,
    },
    /// The store did not take it.
    NotStored {
        /// The message of Ready.
        message: String,
    },
}

pub(super) async fn elect(context: &Context, policy: &Key, plan: &Plan) -> Outcome {
    let digest = match &plan.digest {
        DigestPlan::None => None,
        DigestPlan::Keep(digest) => Some(digest.clone()),
        DigestPlan::Fetch { object, image } => {
            match fetch(context, &plan.repository, object, image, &plan.tag).await {
                Ok(digest) => Some(digest),
                Err((error, retry_after)) => {
                    let message = format!(
                        "failed fetching digest of {}:{}: {error}",
                        plan.name, plan.tag
                    );
                    return Outcome::NoDigest {
                        message,
                        retry_after,
                    };
                }
            }
        }
    };
    match commit(context, policy, plan, digest.clone()).await {
        Ok(true) => Outcome::Elected { digest },
        Ok(false) => Outcome::NotStored {
            message: format!("{}:{} vanished while it was elected", plan.name, plan.tag),
        },
        Err(error) => Outcome::NotStored {
            message: with_causes(&error),
        },
    }
}

/// Whether the tag is held, elected, and on disk. It may have gone from the registry meanwhile.
async fn commit(
    context: &Context,
    policy: &Key,
    plan: &Plan,
    digest: Option<Digest>,
) -> Result<bool, store::Error> {
    let elected = Some((plan.tag.clone(), digest));
    context
        .store
        .commit_election(&plan.repository, policy, elected)?;
    // Also when nothing changed: an earlier attempt may have got into memory, and not to the disk.
    context.store.flush().await?;
    let held = context.store.snapshot().repository(&plan.repository);
    Ok(held.is_some_and(|held| {
        let mut elections = held.elections().iter();
        elections.any(|election| election.policy == *policy && election.tag == plan.tag)
    }))
}

async fn fetch(
    context: &Context,
    repository: &Key,
    object: &ImageRepository,
    image: &Repository,
    tag: &Tag,
) -> Result<Digest, (String, Option<Duration>)> {
    let ways = access::ways(context, repository, object, image)
        .await
        .map_err(|error| {
            (
                format!("failed to configure authentication options: {error}"),
                None,
            )
        })?;
    let timeout = object.spec.scan_timeout();
    let question = Question {
        image: image.clone(),
        ways,
        timeout,
        known: None,
    };
    // Not before the client's own time is over: it knows better what was amiss.
    let patience = LONGEST_WAIT + timeout + Duration::from_secs(1);
    match tokio::time::timeout(patience, context.registry.digest(question, tag.clone())).await {
        Ok(Ok(digest)) => Ok(digest),
        Ok(Err(refusal)) => Err((refusal.message, refusal.retry_after)),
        Err(_) => Err((
            format!("no answer within {}", crate::api::GoDuration::from(timeout)),
            None,
        )),
    }
}

/// Counts what came of an attempt to elect.
pub(super) fn count(
    context: &Context,
    object: &ImagePolicy,
    decision: &Decision,
    outcome: &Outcome,
) {
    let known = object
        .status
        .as_ref()
        .and_then(|status| status.latest_ref.as_ref());
    let result = match (decision, outcome) {
        (Decision::Elect(plan), Outcome::Elected { .. })
            if known
                .is_some_and(|known| known.tag == plan.tag.as_str() && known.name == plan.name) =>
        {
            ElectionResult::unchanged
        }
        (Decision::Elect(_), Outcome::Elected { .. }) => ElectionResult::changed,
        (
            Decision::Elect(_),
            Outcome::Nothing | Outcome::NoDigest { .. } | Outcome::NotStored { .. },
        )
        | (Decision::Stall { .. } | Decision::Fail { .. }, _) => ElectionResult::failed,
        (Decision::Release | Decision::Rest | Decision::Wait { .. }, _) => return,
    };
    context.metrics.elected(result);
}
