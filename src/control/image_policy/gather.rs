//! The facts of one ImagePolicy: the object, the repository it refers to, whether it may, and the tags.
//!
//! Reads cluster and store, writes neither.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt as _;

use super::candidates::CandidateCache;
use super::memory::{Governing, Memory};
use super::mirrored::{self, Gate};
use super::platforms::{self, PlatformCache, View};
use crate::api::access::Refusal;
use crate::api::{ImagePolicy, ImageRepository, names};
use crate::cluster::index::Found;
pub(super) use crate::control::admission::{Admission, admit, stored};
use crate::control::{Context, SHORT_LIST};
use crate::image::{self, Repository};
use crate::object::Key;
use crate::policy::Candidates;
use crate::policy::governance::Gap;
use crate::store::RepositoryTags;
use crate::task;

/// What there is to know.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) object: Arc<ImagePolicy>,
    /// The key that the policy refers to.
    pub(super) reference: Key,
    pub(super) repository: Referred,
    /// How often the policy has found no tags before.
    pub(super) waits: u32,
    /// What its annotations ask for.
    pub(super) governing: Governing,
    /// What is known of the tags' platforms.
    pub(super) platforms: View,
    /// What the mirror says that is required; `None`: none is.
    pub(super) gate: Option<Gate>,
    /// How long the mirror may still say nothing before that is told.
    pub(super) patience: Option<Duration>,
    pub(super) now: Timestamp,
}

/// What is kept from run to run.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(super) candidates: CandidateCache,
    pub(super) platforms: PlatformCache,
    pub(super) memory: Memory,
}

/// The repository that is referred to.
#[derive(Debug)]
pub(super) enum Referred {
    /// It is there, and may be referred to.
    Found {
        object: Arc<ImageRepository>,
        image: Result<Repository, image::Error>,
        /// `None` when no scan of it is stored.
        tags: Option<Arc<RepositoryTags>>,
        /// `None` when no tags are stored for it.
        candidates: Option<Arc<Candidates>>,
    },
    /// It is not there.
    Missing,
    /// It cannot be read.
    Unreadable,
    /// It does not let this policy in.
    Denied(Refusal),
    /// The namespace's labels could not be read.
    Unknown {
        /// Why.
        error: String,
    },
}

impl Referred {
    /// Whether there is little or nothing to elect from.
    pub(super) fn is_short(&self) -> bool {
        match self {
            Self::Found { candidates, .. } => candidates
                .as_ref()
                .is_none_or(|candidates| candidates.len() <= SHORT_LIST),
            Self::Missing | Self::Unreadable | Self::Denied(_) | Self::Unknown { .. } => true,
        }
    }
}

/// What became of the object.
#[derive(Debug)]
pub(super) enum Gathered {
    Object(Box<Facts>),
    /// It is there, but not for us to read; it was logged when it was heard of.
    Unreadable,
    Gone,
}

pub(super) async fn gather(context: &Context, kept: &Kept, key: &Key, waits: u32) -> Gathered {
    let object = match context.policies.find(key) {
        Found::Object(object) => object,
        Found::Unreadable => return Gathered::Unreadable,
        Found::Absent => return Gathered::Gone,
    };
    let reference = object.spec.image_repository_ref.key(&key.namespace);
    let repository = refer(context, &kept.candidates, key, &reference).await;
    let governing = kept.memory.governing(key, &object, &reference);
    let platforms = view(&kept.platforms, &object, &reference, &repository);
    let gate = gate(context, key, &object, &reference, &repository, &governing);
    let is_silent = match &gate {
        Some(Ok(copies)) => !copies.is_whole,
        Some(Err(gap)) => gap.may_pass(),
        None => false,
    };
    let most = context.settings.requeue_dependency;
    let patience = kept.memory.patience(key, is_silent, most);
    Gathered::Object(Box::new(Facts {
        object,
        reference,
        repository,
        waits,
        governing,
        platforms,
        gate,
        patience,
        now: context.clock.now(),
    }))
}

/// What the mirror says that is in force.
fn gate(
    context: &Context,
    key: &Key,
    object: &ImagePolicy,
    reference: &Key,
    repository: &Referred,
    governing: &Governing,
) -> Option<Gate> {
    let in_force = &governing.in_force;
    let Some(mirror) = &in_force.governance.require_mirrored else {
        return in_force.is_mirror_unknown().then_some(Err(Gap::Missing));
    };
    let image = match repository {
        Referred::Found { image, .. } => image.as_ref().ok(),
        Referred::Missing
        | Referred::Unreadable
        | Referred::Denied(_)
        | Referred::Unknown { .. } => None,
    };
    let question = mirrored::Question {
        namespace: &key.namespace,
        reference,
        image,
        is_reflected: object.spec.digest_reflection_policy.reflects(),
    };
    Some(mirrored::look(
        context,
        &mirror.key(&key.namespace),
        question,
    ))
}

/// Somebody who asks for a reconcile wants news.
fn view(
    cache: &PlatformCache,
    object: &ImagePolicy,
    reference: &Key,
    repository: &Referred,
) -> View {
    let (image, fresh_for) = match repository {
        Referred::Found { object, image, .. } => {
            (image.as_ref().ok().cloned(), platforms::fresh_for(object))
        }
        Referred::Missing
        | Referred::Unreadable
        | Referred::Denied(_)
        | Referred::Unknown { .. } => (None, Duration::ZERO),
    };
    let fresh_for = if is_requested(object) {
        Duration::ZERO
    } else {
        fresh_for
    };
    View::new(cache.clone(), reference.clone(), image, fresh_for)
}

async fn refer(
    context: &Context,
    candidates: &CandidateCache,
    key: &Key,
    reference: &Key,
) -> Referred {
    let object = match admit(context, &key.namespace, reference).await {
        Admission::Granted(object) => object,
        Admission::Missing => return Referred::Missing,
        Admission::Unreadable => return Referred::Unreadable,
        Admission::Denied(refusal) => return Referred::Denied(refusal),
        Admission::Unknown { error } => return Referred::Unknown { error },
    };
    let image = object.spec.image.parse::<Repository>();
    let stored = stored(context, reference, &object, image.as_ref().ok());
    let candidates = match stored.clone().filter(|tags| tags.tag_count() > 0) {
        Some(tags) => {
            let cache = candidates.clone();
            let is_brief = tags.tag_count() <= SHORT_LIST;
            let lay_out = move || cache.of(&tags);
            Some(task::brief_or_blocking("lay out tags", is_brief, lay_out).await)
        }
        None => None,
    };
    Referred::Found {
        object,
        image,
        tags: stored,
        candidates,
    }
}

/// Whether somebody waits for this run.
pub(super) fn is_requested(object: &ImagePolicy) -> bool {
    let requested = object.annotations().get(names::RECONCILE_REQUESTED_AT);
    let handled = object
        .status
        .as_ref()
        .and_then(|status| status.last_handled_reconcile_at.as_ref());
    requested.is_some() && requested != handled
}
