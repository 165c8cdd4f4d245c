//! The facts of one ImageRepository: the object, what the store holds for it, and its credential.
//!
//! Reads cluster and store, writes neither; parses everything into the words that `decide` thinks in.

use std::sync::Arc;

use jiff::Timestamp;

use super::memory::{Memory, Remembered};
use crate::api::{ImageRepository, names};
use crate::cluster::index::Found;
use crate::control::registry::Ways;
use crate::control::{Context, access};
use crate::image::{self, Repository};
use crate::object::Key;
use crate::store::ResourceVersion;

/// What there is to know.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) object: Arc<ImageRepository>,
    /// `spec.image`, read.
    pub(super) image: Result<Repository, image::Error>,
    /// The ways to it. The error is the end of a condition message.
    pub(super) ways: Result<Ways, String>,
    /// What the store holds for the object.
    pub(super) stored: Option<Stored>,
    /// What is known of it besides.
    pub(super) remembered: Remembered,
    /// `reconcile.fluxcd.io/requestedAt`, an opaque token.
    pub(super) requested_at: Option<String>,
    pub(super) now: Timestamp,
}

impl Facts {
    /// Whether the store holds something for an earlier object of that name.
    pub(super) fn is_of_a_namesake(&self) -> bool {
        self.stored
            .as_ref()
            .is_some_and(|stored| Some(&stored.owner) != self.object.metadata.uid.as_ref())
    }
}

/// What the store holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) image: Repository,
    pub(super) revision: String,
    /// The TagSet's.
    pub(super) version: ResourceVersion,
    /// Whether the list is all there is, as far as is known.
    pub(super) is_complete: bool,
    /// The uid of the object that it was stored for.
    pub(super) owner: String,
}

/// What became of the object.
#[derive(Debug)]
pub(super) enum Gathered {
    Object(Box<Facts>),
    /// It is there, but not for us to read; it was logged when it was heard of.
    Unreadable,
    Gone,
}

pub(super) async fn gather(context: &Context, memory: &Memory, key: &Key) -> Gathered {
    let object = match context.repositories.find(key) {
        Found::Object(object) => object,
        Found::Unreadable => return Gathered::Unreadable,
        Found::Absent => return Gathered::Gone,
    };
    let image = object.spec.image.parse::<Repository>();
    let ways = match &image {
        Ok(image) if needs_ways(&object) => access::ways(context, key, &object, image).await,
        Ok(_) | Err(_) => Ok(Ways::default()),
    };
    let stored = context.store.snapshot().repository(key).map(|tags| Stored {
        image: tags.image().clone(),
        revision: tags.revision().to_owned(),
        version: tags.resource_version(),
        is_complete: tags.is_complete(),
        owner: tags.owner().uid.clone(),
    });
    let annotations = object.metadata.annotations.as_ref();
    let requested_at = annotations
        .and_then(|all| all.get(names::RECONCILE_REQUESTED_AT))
        .cloned();
    let uid = object.metadata.uid.as_deref().unwrap_or_default();
    let remembered = memory.of(key, uid);
    Gathered::Object(Box::new(Facts {
        object,
        image,
        ways,
        stored,
        remembered,
        requested_at,
        now: context.clock.now(),
    }))
}

/// Nobody reads a Secret for an object that will not be scanned in any case.
fn needs_ways(object: &ImageRepository) -> bool {
    !object.spec.suspend && object.metadata.deletion_timestamp.is_none()
}
