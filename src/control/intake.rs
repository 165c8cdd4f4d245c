//! From a registry's answer to the store: leave out what is excluded, commit the rest, and wait until it is on disk.
//!
//! Any failure leaves the store as it was: the tags of the last good scan stay served. Nothing here writes an object.

use std::sync::Arc;

use jiff::Timestamp;

use super::registry::{Listed, Listing, Refusal};
use super::share::Answer;
use super::{Context, news};
use crate::api::ImageRepository;
use crate::cluster::event::{Report, Severity};
use crate::cluster::index::Found;
use crate::cluster::with_causes;
use crate::image::Repository;
use crate::object::Key;
use crate::scan::{self, Exclusion, Form};
use crate::store::{Committed, Dating, Owner, RepositoryTags, Scan};
use crate::task;

/// The reason of the Event that tells of a list with possible gaps.
const INCOMPLETE: &str = "IncompleteTagList";

/// What it takes to put an answer into the store.
pub(super) struct Intake {
    /// For whom it was asked.
    pub(super) object: Arc<ImageRepository>,
    /// What the registry said.
    pub(super) answer: Arc<Answer>,
    /// The image that it was asked about.
    pub(super) image: Repository,
    /// The patterns of what is left out.
    pub(super) exclusion: Vec<String>,
    /// The form of the revision.
    pub(super) form: Form,
    /// How old the tags are, where nothing is stored for this image.
    pub(super) dating: Dating,
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

impl Intake {
    /// Puts the answer into the store, and waits until it is on disk. An error is the end of a condition message.
    pub(super) async fn take_in(self, context: &Arc<Context>) -> Result<Scanned, Refusal> {
        let image = self.image.clone();
        let inside = context.clone();
        // Patterns and lists are as large as others made them.
        let (scanned, committed) =
            task::blocking("commit a scan", move || self.commit(&inside)).await?;
        if let Err(error) = context.store.flush().await {
            return Err(refused(&set_tags_error(&image, &error)));
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
        Ok(scanned)
    }

    /// Leaves out what is excluded, and commits the rest. May take a while.
    fn commit(self, context: &Context) -> Result<(Scanned, Committed), Refusal> {
        let Self {
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
                return Err(refused("the registry said that nothing changed, unasked"));
            }
            Err(refusal) => return Err(refusal.clone()),
        };
        tell_what_is_odd(listing);
        let exclusion =
            Exclusion::compile(&exclusion).map_err(|error| refused(&error.to_string()))?;
        let mut sifted = scan::sift(listing.tags.clone(), &exclusion);
        let owner = owner(context, &object).ok_or_else(|| refused("the object has no uid"))?;
        let held = held(context, &owner, &image);
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
            .map_err(|error| refused(&set_tags_error(&image, &error)))?;
        if let Some(reason) = &listing.incomplete {
            tell_incomplete(context, &object, held.as_deref(), reason);
        }
        Ok((scanned, committed))
    }
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

/// Whether the object that was scanned is still the one of that name, and is to stay.
pub(super) fn is_still_there(context: &Context, key: &Key, scanned: &ImageRepository) -> bool {
    match context.repositories.find(key) {
        Found::Object(object) => {
            object.metadata.uid == scanned.metadata.uid
                && object.metadata.deletion_timestamp.is_none()
        }
        Found::Unreadable => true,
        Found::Absent => false,
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

fn refused(message: &str) -> Refusal {
    Refusal {
        message: message.to_owned(),
        retry_after: None,
        is_permanent: false,
    }
}

fn set_tags_error(image: &Repository, error: &crate::store::Error) -> String {
    format!("failed to set tags for \"{image}\": {}", with_causes(error))
}

/// Statuses hold whole seconds; what is stored has to be what is read back.
fn whole_second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}
