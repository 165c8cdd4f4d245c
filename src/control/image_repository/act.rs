//! Scanning: ask the registry (or share an answer), leave out what is excluded, commit, and wait until it is on disk.
//!
//! Any failure leaves the store as it was: the tags of the last good scan stay served.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::decide::{self, Plan};
use super::memory::Known;
use super::refusals::{self, Patience};
use super::{Controller, status};
use crate::api::ImageRepository;
use crate::api::duration::GoDuration;
use crate::cluster::{patch, with_causes};
use crate::control::Context;
use crate::control::intake::{self, Intake, Scanned};
use crate::control::metrics::{AnswerSource, ScanResult};
use crate::control::queue::Next;
use crate::control::registry::{Listed, Question, Refusal};
use crate::control::share::{Answer, Source};
use crate::object::Key;
use crate::store::ResourceVersion;

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
        /// When to try again.
        next: Next,
    },
    /// The scan failed as it did before, and will again, until somebody changes something.
    Refused {
        /// The message of Ready and Stalled.
        message: String,
        /// When to try again all the same.
        next: Next,
    },
    /// Nothing was asked, and nothing is known anew: the host's budget has no room before this time.
    PutOff(Duration),
}

/// How long an object's first scan may take before a status says that it goes on.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long saying so may take.
const ANNOUNCEMENT: Duration = Duration::from_secs(5);

/// Scans, and answers with the object as it is afterwards: a long scan may have written a status of its own.
pub(super) async fn scan(
    controller: &Controller,
    key: &Key,
    object: Arc<ImageRepository>,
    plan: &Plan,
) -> (Arc<ImageRepository>, Outcome) {
    if let Some(found) = &plan.unsaid {
        return (object, Outcome::Scanned(found.clone()));
    }
    let mut asking = std::pin::pin!(ask(controller, key, plan));
    let (object, asked) = tokio::select! {
        biased;
        asked = &mut asking => (object, asked),
        () = tokio::time::sleep(PATIENCE), if !has_spoken(&object) => {
            // The scan goes on meanwhile: it holds a place in its host's budget.
            let announcing = announce(&controller.context, key, object.clone(), plan);
            let announcing = tokio::time::timeout(ANNOUNCEMENT, announcing);
            let (announced, asked) = tokio::join!(announcing, &mut asking);
            (announced.unwrap_or(object), asked)
        }
    };
    let Some((answer, source)) = asked else {
        let message = format!("no answer within {}", GoDuration::from(plan.timeout));
        return (object, failed(&message));
    };
    if let Err(refusal) = &answer.listing
        && refusal.is_wait
        && plan.can_wait
    {
        let wait = refusal.retry_after.unwrap_or_default();
        return (object, Outcome::PutOff(wait));
    }
    if !intake::is_still_there(&controller.context, key, &object) {
        // Its tags would be published only to be deleted again.
        return (object, failed("the object was deleted meanwhile"));
    }
    let outcome = take_in(controller, key, &object, plan, answer).await;
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
    tokio::time::timeout(plan.question.patience(), answer)
        .await
        .ok()
}

/// Puts an answer into the store, and remembers of it what the next scan will want to know.
async fn take_in(
    controller: &Controller,
    key: &Key,
    object: &Arc<ImageRepository>,
    plan: &Plan,
    answer: Arc<Answer>,
) -> Outcome {
    let (context, memory) = (&controller.context, &controller.memory);
    let uid = object.metadata.uid.as_deref().unwrap_or_default();
    if plan.question.known.is_some() && matches!(answer.listing, Ok(Listed::Unchanged)) {
        let same = unchanged(context, key, object, answer.at);
        memory.change(key, uid, |known| {
            known.refusals = None;
            // Its owner's facts may have changed, and its version with them.
            match (&mut known.known, &same) {
                (Some(known), Some((version, _))) => known.version = *version,
                (known, _) => *known = None,
            }
        });
        return same.map_or_else(
            || failed("the tags changed while the registry was asked whether they did"),
            |(_, scanned)| Outcome::Scanned(scanned),
        );
    }
    let intake = Intake {
        object: object.clone(),
        answer: answer.clone(),
        image: plan.question.image.clone(),
        exclusion: plan.exclusion.clone(),
        form: plan.form,
    };
    match intake.take_in(context).await {
        Ok(scanned) => {
            let known = known(context, key, plan, &answer);
            memory.change(key, uid, |remembered| {
                remembered.refusals = None;
                remembered.known = known;
            });
            Outcome::Scanned(scanned)
        }
        Err(refusal) => refused(controller, key, object, &refusal),
    }
}

/// What is stored is what the registry has: only the time of the scan is new.
fn unchanged(
    context: &Context,
    key: &Key,
    object: &ImageRepository,
    at: Timestamp,
) -> Option<(ResourceVersion, Scanned)> {
    if let Err(error) = intake::refresh_owner(context, object) {
        tracing::error!(
            error = with_causes(&error),
            "Failed to store what changed about the object"
        );
    }
    let last = object.status.as_ref()?.last_scan_result.as_ref()?;
    let held = context.store.snapshot().repository(key)?;
    (held.revision() == last.revision).then(|| {
        let scanned = Scanned {
            revision: last.revision.clone(),
            count: held.tag_count(),
            latest: last.latest_tags.clone(),
            at: intake::whole_second(at),
        };
        (held.resource_version(), scanned)
    })
}

/// What the registry calls the list that is stored now, if it is the whole one.
fn known(context: &Context, key: &Key, plan: &Plan, answer: &Answer) -> Option<Known> {
    let listing = answer.listing.as_ref().ok()?.fresh()?;
    let held = context.store.snapshot().repository(key)?;
    let question = Question {
        known: None,
        ..plan.question.clone()
    };
    held.is_complete().then_some(Known {
        validator: listing.validator.clone()?,
        identity: question.identity(),
        exclusion: plan.exclusion.clone(),
        version: held.resource_version(),
    })
}

/// What a refusal means: that one waits and tries again, or that it was heard often enough.
fn refused(
    controller: &Controller,
    key: &Key,
    object: &ImageRepository,
    refusal: &Refusal,
) -> Outcome {
    let Refusal {
        message,
        retry_after,
        is_permanent,
        is_wait: _,
    } = refusal;
    let message = format!("scan failed: {message}");
    let mut next = Next::retry_after(*retry_after);
    let mut is_over = false;
    let uid = object.metadata.uid.as_deref().unwrap_or_default();
    controller.memory.change(key, uid, |remembered| {
        let before = remembered.refusals.take();
        if !is_permanent {
            return;
        }
        let said = object.status.as_ref().and_then(decide::refused);
        let (counted, patience) = refusals::count(before, &message, said, Instant::now());
        remembered.refusals = Some(counted);
        match (patience, &mut next) {
            (Patience::Gone, Next::Retry { at_least, .. }) => {
                is_over = true;
                *at_least = controller.context.settings.retry.max.max(*at_least);
            }
            (Patience::Left(left), Next::Retry { at_most, .. }) => *at_most = left,
            (Patience::Gone | Patience::Left(_), Next::Await | Next::After(_)) => {}
        }
    });
    if is_over {
        Outcome::Refused { message, next }
    } else {
        Outcome::Failed { message, next }
    }
}

/// Says that the scan goes on; failing to is no reason to stop it.
async fn announce(
    context: &Context,
    key: &Key,
    object: Arc<ImageRepository>,
    plan: &Plan,
) -> Arc<ImageRepository> {
    if !context.lead.is_held() {
        return object;
    }
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

fn failed(message: &str) -> Outcome {
    Outcome::Failed {
        message: format!("scan failed: {message}"),
        next: Next::RETRY,
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
        Outcome::Failed { .. }
        | Outcome::Refused { .. }
        | Outcome::Nothing
        | Outcome::PutOff(_) => ScanResult::failed,
    };
    let source = match source {
        Source::Asked => AnswerSource::registry,
        Source::Shared => AnswerSource::shared,
    };
    context.metrics.scanned(result, source);
}
