//! Scanning: ask the registry (or share an answer), leave out what is excluded, commit, and wait until it is on disk.
//!
//! Any failure leaves the store as it was: the tags of the last good scan stay served.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::Controller;
use super::decide::Plan;
use super::status;
use crate::api::ImageRepository;
use crate::api::duration::GoDuration;
use crate::cluster::event::{Report, Severity};
use crate::cluster::index::Found;
use crate::cluster::{patch, with_causes};
use crate::control::metrics::{AnswerSource, ScanResult};
use crate::control::registry::{LONGEST_WAIT, Listed, Listing};
use crate::control::share::{Answer, Source};
use crate::control::{Context, news};
use crate::image::Repository;
use crate::object::Key;
use crate::scan::{self, Exclusion, Form};
use crate::store::{Committed, Dating, Owner, RepositoryTags, Scan};
use crate::task;

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
    /// Nothing was asked, and nothing is known anew: the host's budget has no room before this time.
    PutOff(Duration),
}

/// A scan that went well.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Scanned {
    pub(super) revision: String,
    pub(super) count: usize,
    /// The first ten in descending byte order.
    pub(super) latest: Vec<String>,
    pub(super) at: Timestamp,
}

/// How much longer than the client its caller waits.
const GRACE: Duration = Duration::from_secs(1);

/// How long a scan may take before a status says that it goes on, where the last one said something that is not so.
const PATIENCE: Duration = Duration::from_secs(2);

/// The reason of the Event that tells of a list with possible gaps.
const INCOMPLETE: &str = "IncompleteTagList";

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
    if let Err(refusal) = &answer.listing
        && refusal.is_wait
        && plan.can_wait
    {
        let wait = refusal.retry_after.unwrap_or_default();
        return (object, Outcome::PutOff(wait));
    }
    if !is_still_there(&controller.context, key, &object) {
        // Its tags would be published only to be deleted again.
        return (object, failed("the object was deleted meanwhile", None));
    }
    let outcome = take_in(&controller.context, &object, plan, answer).await;
    count(&controller.context, &object, &outcome, source);
    (object, outcome)
}

/// Tells the store the object's own facts, which its tags are served with; a scan tells them by itself.
pub(super) fn refresh_owner(
    context: &Context,
    object: &ImageRepository,
) -> Result<(), crate::store::Error> {
    if let Some(owner) = owner(context, object) {
        context.store.update_owner(owner)?;
    }
    Ok(())
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
    tokio::time::timeout(LONGEST_WAIT + plan.timeout + GRACE, answer)
        .await
        .ok()
}

fn is_still_there(context: &Context, key: &Key, scanned: &ImageRepository) -> bool {
    match context.repositories.find(key) {
        Found::Object(object) => {
            object.metadata.uid == scanned.metadata.uid
                && object.metadata.deletion_timestamp.is_none()
        }
        Found::Unreadable => true,
        Found::Absent => false,
    }
}

/// Puts an answer into the store, and waits until it is on disk.
async fn take_in(
    context: &Arc<Context>,
    object: &Arc<ImageRepository>,
    plan: &Plan,
    answer: Arc<Answer>,
) -> Outcome {
    let image = &plan.question.image;
    let intake = Intake {
        context: context.clone(),
        object: object.clone(),
        answer,
        image: image.clone(),
        exclusion: plan.exclusion.clone(),
        form: plan.form,
        dating: plan.dating,
    };
    // Patterns and lists are as large as others made them.
    let (scanned, committed) = match task::blocking("commit a scan", move || intake.commit()).await
    {
        Ok(taken) => taken,
        Err(outcome) => return outcome,
    };
    if let Err(error) = context.store.flush().await {
        return failed(&set_tags_error(image, &error), None);
    }
    if committed.set_changed || committed.changed > 0 {
        tracing::info!(
            added = committed.added,
            removed = committed.removed,
            changed = committed.changed,
            resource_version = committed.resource_version.0,
            "Committed a scan"
        );
    }
    Outcome::Scanned(scanned)
}

/// What it takes to put an answer into the store.
struct Intake {
    context: Arc<Context>,
    object: Arc<ImageRepository>,
    answer: Arc<Answer>,
    image: Repository,
    exclusion: Vec<String>,
    form: Form,
    dating: Dating,
}

impl Intake {
    /// Leaves out what is excluded, and commits the rest. May take a while.
    fn commit(self) -> Result<(Scanned, Committed), Outcome> {
        let Self {
            context,
            object,
            answer,
            image,
            exclusion,
            form,
            dating,
        } = self;
        let listing = match &answer.listing {
            Ok(Listed::Fresh(listing)) => listing,
            Ok(Listed::Unchanged) => {
                return Err(failed(
                    "the registry said that nothing changed, unasked",
                    None,
                ));
            }
            Err(refusal) => return Err(failed(&refusal.message, refusal.retry_after)),
        };
        tell_what_is_odd(listing);
        let exclusion =
            Exclusion::compile(&exclusion).map_err(|error| failed(&error.to_string(), None))?;
        let mut sifted = scan::sift(listing.tags.clone(), &exclusion);
        let owner =
            owner(&context, &object).ok_or_else(|| failed("the object has no uid", None))?;
        let held = held(&context, &owner, &image);
        if let Some(held) = held.as_ref().filter(|_| listing.incomplete.is_some()) {
            // What stays served counts, too: a status never says less than that.
            sifted.keep(|push| held.for_each_descending(push));
        }
        let scanned = Scanned {
            revision: form.revision(&sifted.tags),
            count: sifted.tags.len(),
            latest: scan::latest(&sifted.tags)
                .iter()
                .map(ToString::to_string)
                .collect(),
            at: whole_second(answer.at),
        };
        let scan = Scan {
            owner,
            image: image.clone(),
            tags: sifted.tags,
            aside: sifted.aside,
            revision: scanned.revision.clone(),
            time: scanned.at,
            complete: listing.incomplete.is_none(),
            dating,
        };
        let committed = context
            .store
            .commit_scan(scan)
            .map_err(|error| failed(&set_tags_error(&image, &error), None))?;
        if let Some(reason) = &listing.incomplete {
            tell_incomplete(&context, &object, held.as_deref(), reason);
        }
        Ok((scanned, committed))
    }
}

fn tell_what_is_odd(listing: &Listing) {
    if let Some(reason) = &listing.invalid {
        tracing::warn!(reason, "Left out of the tag list what is no tag");
    }
    if listing.duplicates > 0 {
        tracing::info!(
            duplicates = listing.duplicates,
            "The registry lists tags more than once, each counts once"
        );
    }
}

/// What the store held of this object's image before the scan.
fn held(context: &Context, owner: &Owner, image: &Repository) -> Option<Arc<RepositoryTags>> {
    let held = context.store.snapshot().repository(&owner.key)?;
    (held.owner().uid == owner.uid && held.image() == image).then_some(held)
}

/// Says that there may be more tags than were listed: in the log, and as an Event when it was not so before.
fn tell_incomplete(
    context: &Context,
    object: &ImageRepository,
    held: Option<&RepositoryTags>,
    reason: &str,
) {
    tracing::warn!(
        reason,
        "The tag list may be incomplete, and no tag is removed"
    );
    if held.is_none_or(RepositoryTags::is_complete) {
        context.events.publish(Report {
            about: news::reference(object),
            severity: Severity::Warning,
            reason: INCOMPLETE.to_owned(),
            message: format!("the tag list may be incomplete, and no tag is removed: {reason}"),
        });
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

/// What the store is told about the object; `None` for one without uid, which no API server hands out.
fn owner(context: &Context, object: &ImageRepository) -> Option<Owner> {
    let meta = &object.metadata;
    let labels = meta
        .labels
        .iter()
        .flatten()
        .filter(|(name, _)| context.settings.tag_labels.contains(*name));
    Some(Owner {
        key: Key::new(meta.namespace.as_deref()?, meta.name.as_deref()?),
        uid: meta.uid.clone()?,
        created: meta
            .creation_timestamp
            .as_ref()
            .map_or(Timestamp::UNIX_EPOCH, |time| time.0),
        labels: labels
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
    })
}

fn failed(message: &str, retry_after: Option<Duration>) -> Outcome {
    Outcome::Failed {
        message: format!("scan failed: {message}"),
        retry_after,
    }
}

fn set_tags_error(image: &Repository, error: &crate::store::Error) -> String {
    format!("failed to set tags for \"{image}\": {}", with_causes(error))
}

/// Statuses hold whole seconds; what is stored has to be what is read back.
fn whole_second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
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
        Outcome::Failed { .. } | Outcome::Nothing | Outcome::PutOff(_) => ScanResult::failed,
    };
    let source = match source {
        Source::Asked => AnswerSource::registry,
        Source::Shared => AnswerSource::shared,
    };
    context.metrics.scanned(result, source);
}
