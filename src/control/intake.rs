//! From a registry's answer to the store: leave out what is excluded, keep what a suspect list misses, commit, and
//! wait until it is on disk.
//!
//! Any failure leaves the store as it was: the tags of the last good scan stay served. Nothing here writes an object.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use tokio::time::Instant;

use super::doubted::{Case, Doubted};
use super::registry::{Listed, Listing, Refusal};
use super::share::Answer;
use super::{Context, SHORT_LIST, news};
use crate::api::{ImageRepository, ImageRepositoryStatus};
use crate::cluster::event::{Report, Severity};
use crate::cluster::index::Found;
use crate::cluster::with_causes;
use crate::image::Repository;
use crate::object::Key;
use crate::scan::{self, Exclusion, Form, Held, Sifted, Suspicion, Trust};
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
}

/// A scan that went well.
#[derive(Debug, Clone, PartialEq, Eq)]
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
        let is_brief = Exclusion::is_default(&self.exclusion)
            && self.answer.listing.as_ref().is_ok_and(is_short);
        let (scanned, committed) =
            task::brief_or_blocking("commit a scan", is_brief, move || self.commit(&inside))
                .await?;
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
        } = self;
        let listing = match &answer.listing {
            Ok(Listed::Fresh(listing)) => listing,
            Ok(Listed::Unchanged) => {
                return Err(refused("the registry said that nothing changed, unasked"));
            }
            Err(refusal) => return Err(refusal.clone()),
        };
        if !context.lead.is_held() {
            return Err(refused("another process leads by now"));
        }
        tell_what_is_odd(listing);
        let compiled =
            Exclusion::compile(&exclusion).map_err(|error| refused(&error.to_string()))?;
        let mut sifted = scan::sift(listing.tags.clone(), &compiled);
        let owner = owner(context, &object).ok_or_else(|| refused("the object has no uid"))?;
        let held = held(context, &owner, &image);
        let status = object.status.clone().unwrap_or_default();
        let told = Told {
            status: &status,
            image: &image,
            exclusion: &exclusion,
        };
        let dating = match &held {
            Some(held) if context.settings.is_companion || !told.is_ahead_of(held) => Dating::Now,
            Some(_) | None => told.dating(form, &sifted, listing)?,
        };
        let weighing = Weighing {
            held: held.as_deref(),
            told: told.count(),
            exclusion: &compiled,
            listing,
            asked: answer.asked(),
            confirmations: context.settings.suspect_confirmations,
        };
        let case = Case {
            uid: &owner.uid,
            image: &image,
            exclusion: &exclusion,
        };
        // What stays served counts, too: a status never says less than that.
        let trust = weighing.weigh(&context.doubted, &owner.key, &case, &mut sifted);
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
            complete: trust == Trust::Whole,
            dating,
        };
        let committed = context
            .store
            .commit_scan(scan)
            .map_err(|error| refused(&set_tags_error(&image, &error)))?;
        if let Trust::Suspect(why) = &trust {
            tell_suspect(context, &object, held.as_deref(), why);
        }
        Ok((scanned, committed))
    }
}

/// Whether a list of this length is committed within well under a millisecond.
fn is_short(listed: &Listed) -> bool {
    match listed {
        Listed::Fresh(listing) => listing.tags.len() <= SHORT_LIST,
        Listed::Unchanged => true,
    }
}

/// What the status tells of the scan before.
struct Told<'a> {
    status: &'a ImageRepositoryStatus,
    image: &'a Repository,
    exclusion: &'a [String],
}

impl Told<'_> {
    /// Whether it speaks of this image.
    fn is_of_this_image(&self) -> bool {
        let known = self.status.canonical_image_name.as_deref();
        known == Some(self.image.to_string().as_str())
    }

    fn is_of_this_exclusion(&self) -> bool {
        scan::holds_the_same(self.exclusion, &self.status.observed_exclusion_list)
    }

    /// How many tags it tells of, where it speaks of the same list.
    fn count(&self) -> usize {
        let last = self.status.last_scan_result.as_ref();
        last.filter(|_| self.is_of_this_image() && self.is_of_this_exclusion())
            .map_or(0, |last| usize::try_from(last.tag_count).unwrap_or(0))
    }

    /// Whether it tells of a scan that came after the one that `held` is of, and found something else: another process
    /// scanned in between.
    fn is_ahead_of(&self, held: &RepositoryTags) -> bool {
        let last = self.status.last_scan_result.as_ref();
        self.is_of_this_image()
            && last.is_some_and(|last| {
                let is_later = |time: &Time| held.scan_time() < time.0;
                *last.revision != *held.revision() && last.scan_time.as_ref().is_some_and(is_later)
            })
    }

    /// How old the tags of a list are that comes into an empty store, or into one that is behind.
    fn dating(&self, form: Form, sifted: &Sifted, listing: &Listing) -> Result<Dating, Refusal> {
        let last = self.status.last_scan_result.as_ref();
        let Some((last, time)) = last
            .and_then(|last| Some((last, last.scan_time.as_ref()?.0)))
            .filter(|_| self.is_of_this_image())
        else {
            return Ok(Dating::AtFirst);
        };
        let revision = if self.is_of_this_exclusion() {
            form.revision(&sifted.tags)
        } else {
            // The list may be the same, though less of it (or more) is wanted now.
            let before = Exclusion::compile(&self.status.observed_exclusion_list)
                .map_err(|error| refused(&error.to_string()))?;
            form.revision(&scan::sift(listing.tags.clone(), &before).tags)
        };
        Ok(if last.revision == revision {
            Dating::Known(time)
        } else {
            Dating::Refound
        })
    }
}

/// What it takes to say whether a list can be believed.
struct Weighing<'a> {
    held: Option<&'a RepositoryTags>,
    /// How many tags the status tells of.
    told: usize,
    exclusion: &'a Exclusion,
    listing: &'a Listing,
    asked: Instant,
    confirmations: u32,
}

impl Weighing<'_> {
    /// Adds to `list` what is held and must not go yet.
    fn weigh(&self, doubted: &Doubted, key: &Key, case: &Case<'_>, list: &mut Sifted) -> Trust {
        let incomplete = self.listing.incomplete.as_deref();
        let most = self.held.map_or(self.told, RepositoryTags::tag_count);
        let looks_whole = scan::judge(list.tags.len(), most, incomplete) == Trust::Whole;
        if looks_whole && !doubted.has(key) {
            return Trust::Whole;
        }
        let nothing = |_: &mut dyn FnMut(&str)| {};
        let all = |push: &mut dyn FnMut(&str)| {
            if let Some(held) = self.held {
                held.for_each_descending(push);
            }
        };
        let held = if let Some(tags) = self.held {
            // What is excluded by now has not vanished.
            let mut count = 0;
            tags.for_each_descending(&mut |tag| {
                count += usize::from(!self.exclusion.excludes(tag));
            });
            Held { count, visit: &all }
        } else {
            Held {
                count: self.told,
                visit: &nothing,
            }
        };
        doubted.weigh(key, case, self.asked, |doubts, is_news| {
            doubts.weigh(list, &held, incomplete, self.confirmations, is_news)
        })
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

/// Says that a list is not believed: in the log, and as an Event when it was not so before.
fn tell_suspect(
    context: &Context,
    object: &ImageRepository,
    held: Option<&RepositoryTags>,
    why: &Suspicion,
) {
    let reason = why.to_string();
    tracing::warn!(
        reason,
        "The tag list may be incomplete, and no tag is removed"
    );
    if held.is_none_or(RepositoryTags::is_complete) {
        let until = match why {
            Suspicion::Incomplete(_) => String::new(),
            Suspicion::Empty { .. } | Suspicion::Shrunk { .. } => format!(
                " (tags go when {} scans in a row miss them)",
                context.settings.suspect_confirmations
            ),
        };
        context.events.publish(Report {
            about: news::reference(object),
            severity: Severity::Warning,
            reason: INCOMPLETE.to_owned(),
            message: format!(
                "the tag list may be incomplete, and no tag is removed: {reason}{until}"
            ),
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

/// A refusal of our own.
pub(super) fn refused(message: &str) -> Refusal {
    Refusal {
        message: message.to_owned(),
        retry_after: None,
        is_permanent: false,
        is_wait: false,
    }
}

fn set_tags_error(image: &Repository, error: &crate::store::Error) -> String {
    format!("failed to set tags for \"{image}\": {}", with_causes(error))
}

/// Statuses hold whole seconds; what is stored has to be what is read back.
pub(super) fn whole_second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}
