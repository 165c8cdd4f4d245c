//! Scans after Flux: once for each revision that Flux's own scan found, and at first sight.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::Instrument as _;

use crate::api::ImageRepository;
use crate::api::duration::GoDuration;
use crate::cluster::index::{Found, Touched};
use crate::cluster::with_causes;
use crate::control::intake::{self, Intake, Scanned};
use crate::control::kind::Kind;
use crate::control::metrics::{AnswerSource, ReconcileResult, ScanResult};
use crate::control::queue::Next;
use crate::control::registry::{Question, Refusal};
use crate::control::share::{Shares, Source};
use crate::control::{Context, access};
use crate::image::{Repository, Tag};
use crate::object::Key;
use crate::scan::Form;
use crate::store::RepositoryTags;

const KIND: Kind = Kind::ImageRepository;

/// The shortest time until a list is asked for again that is not believed yet.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);

/// The controller: what it keeps between reconciles.
#[derive(Debug)]
pub(super) struct Controller {
    context: Arc<Context>,
    shares: Shares,
    /// The revision of Flux's that was followed last, where the scan found another one itself: a list may change between
    /// the two, or hold a tag twice. Lost with the process, which costs one scan.
    followed: Mutex<HashMap<Key, String>>,
}

/// What there is to know.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) object: Arc<ImageRepository>,
    /// `spec.image`, where it can be read.
    pub(super) image: Option<Repository>,
    pub(super) stored: Option<Stored>,
    /// The revision of Flux's that was followed last.
    pub(super) followed: Option<String>,
    /// The last list was not believed.
    pub(super) is_doubted: bool,
}

/// What the store holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) image: Repository,
    /// In the form that Flux's has.
    pub(super) revision: String,
    /// The uid of the object that it was stored for.
    pub(super) owner: String,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    /// The object is being deleted: its tags go.
    Release,
    /// Nothing, until Flux's status changes.
    Follow,
    /// Ask the registry for this image.
    Scan(Repository),
}

pub(super) fn decide(facts: &Facts) -> Decision {
    let Facts {
        object,
        image,
        stored,
        followed,
        is_doubted,
    } = facts;
    if object.metadata.deletion_timestamp.is_some() {
        return Decision::Release;
    }
    // What cannot be scanned Flux's status tells of.
    let Some(image) = image.as_ref().filter(|_| !object.spec.suspend) else {
        return Decision::Follow;
    };
    let scan = Decision::Scan(image.clone());
    let Some(stored) = stored.as_ref().filter(|stored| stored.image == *image) else {
        return scan;
    };
    match revision(object) {
        Some(told) if told != stored.revision && followed.as_deref() != Some(told) => scan,
        Some(_) | None if *is_doubted => scan,
        Some(_) | None => Decision::Follow,
    }
}

/// Whether a change has to be looked at: the object came or went, Flux's scan found something else, or the spec or the
/// labels changed.
pub(super) fn asks(touched: &Touched<ImageRepository>) -> bool {
    let asked_by = |object: &ImageRepository| {
        let meta = &object.metadata;
        (
            meta.uid.clone(),
            meta.generation,
            meta.deletion_timestamp.is_some(),
            meta.labels.clone(),
            revision(object).map(str::to_owned),
        )
    };
    match (&touched.before, &touched.after) {
        (Found::Object(before), Found::Object(after)) => asked_by(before) != asked_by(after),
        (Found::Absent | Found::Unreadable, Found::Object(_))
        | (Found::Object(_) | Found::Unreadable | Found::Absent, Found::Absent) => true,
        // Nothing can be done for it, and nothing must be done to it.
        (Found::Object(_) | Found::Unreadable | Found::Absent, Found::Unreadable) => false,
    }
}

/// Whether the policies that may refer to the object may be others than before.
pub(super) fn lets_in_others(touched: &Touched<ImageRepository>) -> bool {
    match (&touched.before, &touched.after) {
        (Found::Object(before), Found::Object(after)) => {
            before.spec.access_from != after.spec.access_from
        }
        (Found::Absent | Found::Unreadable, Found::Object(_))
        | (Found::Object(_) | Found::Unreadable | Found::Absent, Found::Absent) => true,
        (Found::Object(_) | Found::Unreadable | Found::Absent, Found::Unreadable) => false,
    }
}

/// What Flux's last scan found.
fn revision(object: &ImageRepository) -> Option<&str> {
    let last = object.status.as_ref()?.last_scan_result.as_ref()?;
    Some(last.revision.as_str()).filter(|revision| !revision.is_empty())
}

impl Controller {
    pub(super) fn new(context: Arc<Context>) -> Self {
        let shares = Shares::new(context.clock.clone());
        Self {
            context,
            shares,
            followed: Mutex::default(),
        }
    }

    /// Looks at one object, and says when to look again. `scans`: whether the kind is controlled here; if not, only what
    /// is gone is let go of.
    pub(super) async fn reconcile(&self, key: Key, scans: bool) -> Next {
        async {
            let metrics = &self.context.metrics;
            let begin = Instant::now();
            let _active = metrics.active(KIND);
            let object = match self.context.repositories.find(&key) {
                Found::Object(object) => object,
                Found::Unreadable => return Next::Await,
                Found::Absent => {
                    metrics.forget(KIND, &key);
                    return self.release(&key).await;
                }
            };
            let next = self.run(&key, object, scans).await;
            metrics.reconciled(KIND, &key, ReconcileResult::of(next), begin.elapsed());
            next
        }
        .instrument(KIND.span(&key))
        .await
    }

    async fn run(&self, key: &Key, object: Arc<ImageRepository>, scans: bool) -> Next {
        let mut facts = self.gather(key, object.clone());
        let is_namesakes = |stored: &Stored| Some(&stored.owner) != object.metadata.uid.as_ref();
        if facts.stored.as_ref().is_some_and(is_namesakes) {
            // Its deletion was missed: the tags of the one that is gone are not the tags of this one.
            if let retry @ Next::Retry { .. } = self.release(key).await {
                return retry;
            }
            (facts.stored, facts.followed) = (None, None);
        }
        match decide(&facts) {
            Decision::Release => self.release(key).await,
            Decision::Scan(image) if scans => self.scan(key, object, image).await,
            Decision::Scan(_) | Decision::Follow => {
                // The tags that are served carry its labels as they are now.
                match intake::refresh_owner(&self.context, &object) {
                    Ok(()) => Next::Await,
                    Err(error) => {
                        tracing::error!(
                            error = with_causes(&error),
                            "Failed to store what changed about the object"
                        );
                        Next::RETRY
                    }
                }
            }
        }
    }

    fn gather(&self, key: &Key, object: Arc<ImageRepository>) -> Facts {
        let stored = self.context.store.snapshot().repository(key);
        let told = revision(&object);
        Facts {
            image: object.spec.image.parse().ok(),
            stored: stored.map(|tags| Stored {
                image: tags.image().clone(),
                revision: told.map_or_else(String::new, |told| revision_as(told, &tags)),
                owner: tags.owner().uid.clone(),
            }),
            followed: self.followed.lock().get(key).cloned(),
            is_doubted: self.is_doubted(key),
            object,
        }
    }

    /// Whether the last list was not believed, or may have gaps.
    fn is_doubted(&self, key: &Key) -> bool {
        let stored = self.context.store.snapshot().repository(key);
        self.context.doubted.has(key) || stored.is_some_and(|tags| !tags.is_complete())
    }

    async fn scan(&self, key: &Key, object: Arc<ImageRepository>, image: Repository) -> Next {
        let told = revision(&object).map(str::to_owned);
        let ways = match access::ways(&self.context, key, &object, &image).await {
            Ok(ways) => ways,
            Err(error) => {
                tracing::error!(error, "Failed to configure authentication options");
                return self.context.secrets.retry(&self.context.settings);
            }
        };
        let timeout = object.spec.scan_timeout();
        let question = Question {
            image: image.clone(),
            ways,
            timeout,
            known: None,
        };
        let scanned = self.ask_and_take_in(key, &object, image, question, told.as_deref());
        match scanned.await {
            Ok(scanned) => {
                let mut followed = self.followed.lock();
                match told {
                    Some(told) if told != scanned.revision => {
                        followed.insert(key.clone(), told);
                    }
                    Some(_) | None => {
                        followed.remove(key);
                    }
                }
                if self.is_doubted(key) {
                    // Flux may never tell of anything new, and a list that is wrong is not to stay.
                    return Next::After(object.spec.interval.as_std().max(SHORTEST_INTERVAL));
                }
                Next::Await
            }
            Err(refusal) => {
                tracing::error!(
                    error = refusal.message,
                    "Failed to scan, the tags stay as they were"
                );
                Next::retry_after(refusal.retry_after)
            }
        }
    }

    async fn ask_and_take_in(
        &self,
        key: &Key,
        object: &Arc<ImageRepository>,
        image: Repository,
        question: Question,
        told: Option<&str>,
    ) -> Result<Scanned, Refusal> {
        let context = &self.context;
        let (timeout, patience) = (question.timeout, question.patience());
        let registry = context.registry.clone();
        let (identity, no_older) = (question.identity(), Duration::ZERO);
        // No older than what Flux has seen, and nobody else follows it at this very moment who could want it later.
        let answer = self.shares.answer(identity, no_older, no_older, move || {
            registry.list_tags(question)
        });
        // The client keeps the same time, and knows better what was amiss: it goes first.
        let Ok((answer, source)) = tokio::time::timeout(patience, answer).await else {
            context
                .metrics
                .scanned(ScanResult::failed, AnswerSource::registry);
            return Err(intake::refused(&format!(
                "no answer within {}",
                GoDuration::from(timeout)
            )));
        };
        if !intake::is_still_there(context, key, object) {
            // Its tags would be published only to be deleted again.
            return Err(intake::refused("the object was deleted meanwhile"));
        }
        let before = context.store.snapshot().repository(key);
        let intake = Intake {
            object: object.clone(),
            answer,
            image,
            exclusion: object.spec.effective_exclusion_list(),
            form: Form::choose(told, context.settings.flux_storage),
        };
        let scanned = intake.take_in(context).await;
        let result = match (&scanned, before) {
            (Err(_), _) => ScanResult::failed,
            (Ok(scanned), Some(before)) if before.revision() == scanned.revision => {
                ScanResult::unchanged
            }
            (Ok(_), _) => ScanResult::changed,
        };
        let source = match source {
            Source::Asked => AnswerSource::registry,
            Source::Shared => AnswerSource::shared,
        };
        context.metrics.scanned(result, source);
        scanned
    }

    /// The object is gone, or about to be: so are its tags.
    async fn release(&self, key: &Key) -> Next {
        self.followed.lock().remove(key);
        self.context.doubted.forget(key);
        let store = &self.context.store;
        let released = match store.remove_repository(key) {
            Ok(_) => store.flush().await,
            Err(error) => Err(error),
        };
        match released {
            Ok(()) => Next::Await,
            Err(error) => {
                tracing::error!(
                    error = with_causes(&error),
                    "Failed to remove the tags of a deleted object"
                );
                Next::RETRY
            }
        }
    }
}

/// The revision of `tags` in the form that `told` has: Flux changes it for all objects when its store is changed.
pub(super) fn revision_as(told: &str, tags: &RepositoryTags) -> String {
    let form = Form::choose(Some(told), false);
    if Form::choose(Some(tags.revision()), false) == form {
        return tags.revision().to_owned();
    }
    let mut list: Vec<Tag> = Vec::with_capacity(tags.tag_count());
    // Each was a tag when it was stored.
    tags.for_each_descending(&mut |tag| list.extend(tag.parse::<Tag>()));
    form.revision(&list)
}
