//! The facts of one ImagePolicy: the object, the repository it refers to, whether it may, and the tags.
//!
//! Reads cluster and store, writes neither.

use std::sync::Arc;

use super::candidates::CandidateCache;
use crate::api::{ImagePolicy, ImageRepository};
use crate::cluster::index::Found;
use crate::cluster::{read, with_causes};
use crate::control::Context;
use crate::image::{self, Repository};
use crate::object::Key;
use crate::policy::Candidates;
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
}

/// The repository that is referred to.
#[derive(Debug)]
pub(super) enum Referred {
    /// It is there, and may be referred to.
    Found {
        object: Arc<ImageRepository>,
        image: Result<Repository, image::Error>,
        /// `None` when no tags are stored for it.
        candidates: Option<Arc<Candidates>>,
    },
    /// It is not there.
    Missing,
    /// It cannot be read.
    Unreadable,
    /// The settings forbid references to other namespaces.
    Blocked,
    /// It lets nobody in from other namespaces.
    NotShared,
    /// It lets in other namespaces than this one.
    NotForThisNamespace,
    /// The namespace's labels could not be read.
    Unknown {
        /// Why.
        error: String,
    },
}

/// What became of the object.
#[derive(Debug)]
pub(super) enum Gathered {
    Object(Box<Facts>),
    /// It is there, but not for us to read; it was logged when it was heard of.
    Unreadable,
    Gone,
}

pub(super) async fn gather(
    context: &Context,
    candidates: &CandidateCache,
    key: &Key,
    waits: u32,
) -> Gathered {
    let object = match context.policies.find(key) {
        Found::Object(object) => object,
        Found::Unreadable => return Gathered::Unreadable,
        Found::Absent => return Gathered::Gone,
    };
    let reference = object.spec.image_repository_ref.key(&key.namespace);
    let repository = refer(context, candidates, key, &reference).await;
    Gathered::Object(Box::new(Facts {
        object,
        reference,
        repository,
        waits,
    }))
}

async fn refer(
    context: &Context,
    candidates: &CandidateCache,
    key: &Key,
    reference: &Key,
) -> Referred {
    let is_foreign = reference.namespace != key.namespace;
    if is_foreign && context.settings.no_cross_namespace_refs {
        return Referred::Blocked;
    }
    let object = match context.repositories.find(reference) {
        Found::Object(object) => object,
        Found::Unreadable => return Referred::Unreadable,
        Found::Absent => return Referred::Missing,
    };
    if is_foreign {
        let Some(access) = &object.spec.access_from else {
            return Referred::NotShared;
        };
        match read::namespace_labels(&context.client.0, &key.namespace).await {
            Ok(labels) if access.admits(&labels) => {}
            Ok(_) => return Referred::NotForThisNamespace,
            Err(error) => {
                return Referred::Unknown {
                    error: with_causes(&error),
                };
            }
        }
    }
    let image = object.spec.image.parse::<Repository>();
    let stored = context.store.snapshot().repository(reference);
    // Tags of an earlier object of that name, or of an image that it named before, are not this one's.
    let stored = stored.filter(|tags| {
        Some(&tags.owner().uid) == object.metadata.uid.as_ref()
            && image.as_ref().is_ok_and(|image| image == tags.image())
    });
    let candidates = match stored.filter(|tags| tags.tag_count() > 0) {
        Some(tags) => {
            let cache = candidates.clone();
            Some(task::blocking("lay out tags", move || cache.of(&tags)).await)
        }
        None => None,
    };
    Referred::Found {
        object,
        image,
        candidates,
    }
}
