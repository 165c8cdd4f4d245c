//! Scanning: ask the registry (or share an answer), leave out what is excluded, commit, and wait until it is on disk.
//!
//! Any failure leaves the store as it was: the tags of the last good scan stay served.

use std::sync::Arc;
use std::time::Duration;

use super::Controller;
use super::decide::Plan;
use super::status;
use crate::api::ImageRepository;
use crate::api::duration::GoDuration;
use crate::cluster::{patch, with_causes};
use crate::control::Context;
use crate::control::intake::{self, Intake, Scanned};
use crate::control::metrics::{AnswerSource, ScanResult};
use crate::control::share::{Answer, Source};
use crate::object::Key;

/// What came of acting.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Nothing was to be done.
    Nothing,
    /// The tags are in the store, and on disk.
    Scanned(Scanned),
    /// The scan failed.
    Failed {
        /// The message of Ready.
        message: String,
        /// How long the registry asked to be left alone.
        retry_after: Option<Duration>,
    },
}

/// How much longer than the client its caller waits.
const GRACE: Duration = Duration::from_secs(1);

/// How long a scan may take before a status says that it goes on, where the last one said something that is not so.
const PATIENCE: Duration = Duration::from_secs(2);

/// Scans, and answers with the object as it is afterwards: a long scan may have written a status of its own.
pub(super) async fn scan(
    controller: &Controller,
    key: &Key,
    object: Arc<ImageRepository>,
    plan: &Plan,
) -> (Arc<ImageRepository>, Outcome) {
    let mut asking = std::pin::pin!(ask(controller, key, plan));
    let (object, asked) = tokio::select! {
        biased;
        asked = &mut asking => (object, asked),
        () = tokio::time::sleep(PATIENCE), if plan.drifted || !has_spoken(&object) => {
            (announce(&controller.context, key, object, plan).await, asking.await)
        }
    };
    let Some((answer, source)) = asked else {
        let message = format!("no answer within {}", GoDuration::from(plan.timeout));
        return (object, failed(&message, None));
    };
    if !intake::is_still_there(&controller.context, key, &object) {
        // Its tags would be published only to be deleted again.
        return (object, failed("the object was deleted meanwhile", None));
    }
    let outcome = take_in(&controller.context, &object, plan, answer).await;
    count(&controller.context, &object, &outcome, source);
    (object, outcome)
}

async fn ask(controller: &Controller, key: &Key, plan: &Plan) -> Option<(Arc<Answer>, Source)> {
    // For those who are due within half an interval, and would otherwise never fall into step.
    let keep = if controller.peers.has_others(key, &plan.question.image) {
        plan.interval / 2
    } else {
        Duration::ZERO
    };
    let registry = controller.context.registry.clone();
    let question = plan.question.clone();
    let answer = controller
        .shares
        .answer(plan.question.identity(), plan.slack, keep, move || {
            registry.list_tags(question)
        });
    // The client keeps the same time, and knows better what was amiss: it goes first.
    tokio::time::timeout(plan.timeout + GRACE, answer)
        .await
        .ok()
}

/// Puts an answer into the store.
async fn take_in(
    context: &Arc<Context>,
    object: &Arc<ImageRepository>,
    plan: &Plan,
    answer: Arc<Answer>,
) -> Outcome {
    let intake = Intake {
        object: object.clone(),
        answer,
        image: plan.question.image.clone(),
        exclusion: plan.exclusion.clone(),
        form: plan.form,
        dating: plan.dating,
    };
    match intake.take_in(context).await {
        Ok(scanned) => Outcome::Scanned(scanned),
        Err(refusal) => failed(&refusal.message, refusal.retry_after),
    }
}

/// Says that the scan goes on; failing to is no reason to stop it.
async fn announce(
    context: &Context,
    key: &Key,
    object: Arc<ImageRepository>,
    plan: &Plan,
) -> Arc<ImageRepository> {
    let before = object.status.clone().unwrap_or_default();
    let after = status::in_progress(&object, plan, context.clock.now());
    let manager = &context.settings.controller_name;
    match patch::status(&context.client.0, key, &*object, &before, &after, manager).await {
        Ok(Some(written)) => {
            // Only the status: whatever else changed meanwhile is not what is being scanned.
            let mut object = Arc::unwrap_or_clone(object);
            object.status.clone_from(&written.status);
            context.repositories.learn(key, written);
            Arc::new(object)
        }
        Ok(None) => object,
        Err(error) => {
            tracing::warn!(
                error = with_causes(&error),
                "Failed to write that a scan goes on"
            );
            object
        }
    }
}

/// Whether a status was ever settled.
fn has_spoken(object: &ImageRepository) -> bool {
    object
        .status
        .as_ref()
        .is_some_and(|status| !status.conditions.is_empty())
}

fn failed(message: &str, retry_after: Option<Duration>) -> Outcome {
    Outcome::Failed {
        message: format!("scan failed: {message}"),
        retry_after,
    }
}

fn count(context: &Context, object: &ImageRepository, outcome: &Outcome, source: Source) {
    let before = object
        .status
        .as_ref()
        .and_then(|status| status.last_scan_result.as_ref());
    let result = match outcome {
        Outcome::Scanned(scanned)
            if before.is_some_and(|before| before.revision == scanned.revision) =>
        {
            ScanResult::unchanged
        }
        Outcome::Scanned(_) => ScanResult::changed,
        Outcome::Failed { .. } | Outcome::Nothing => ScanResult::failed,
    };
    let source = match source {
        Source::Asked => AnswerSource::registry,
        Source::Shared => AnswerSource::shared,
    };
    context.metrics.scanned(result, source);
}
