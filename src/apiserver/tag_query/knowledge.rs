//! What a query is answered from besides the store: the objects of Flux's kinds, as those see them who elect.
//!
//! A seam, because the API server knows no controllers. In the program it is `app::query`, over what they keep.

use std::sync::Arc;

use futures::future::BoxFuture;

use crate::api::access::Refusal;
use crate::api::reference::ImageRef;
use crate::api::{ImagePolicy, ImageRepository};
use crate::cluster::index::Found;
use crate::image::{self, Repository};
use crate::object::Key;
use crate::policy::Candidates;
use crate::policy::governance::{Gap, InForce, Known};
use crate::store::{Copies, RepositoryTags};

/// Reads what elections go by, and changes nothing.
pub trait Knowledge: Send + Sync + std::fmt::Debug + 'static {
    /// Whether everything was listed to its end: before, what is absent may be there.
    fn is_synced(&self) -> bool;

    /// The ImagePolicy `key`.
    fn policy(&self, key: &Key) -> Found<ImagePolicy>;

    /// The ImageRepository `reference`, for something in `namespace` that wants to elect from it.
    fn refer<'a>(&'a self, namespace: &'a str, reference: &'a Key) -> BoxFuture<'a, Referred>;

    /// What governs the ImagePolicy `key`, which elects from `reference`.
    fn standing(&self, key: &Key, object: &ImagePolicy, reference: &Key) -> Standing;

    /// Whether `current`, which `object` has elected, stays elected until the list of `tags` is complete.
    fn is_awaited(
        &self,
        object: &ImagePolicy,
        in_force: &InForce,
        tags: &RepositoryTags,
        current: &ImageRef,
    ) -> bool;

    /// What the registry last said that `tag` runs on; `None` when it was never asked.
    fn platforms(&self, repository: &Key, image: &Repository, tag: &str) -> Option<Known>;

    /// What `mirror` has of an ImageRepository at all its destinations, or why that is not known.
    fn mirrored(&self, mirror: &Key, asked: Required<'_>) -> Result<Arc<Copies>, Gap>;

    /// The tags as elections take them; it may take a while.
    fn candidates(&self, tags: &RepositoryTags) -> Arc<Candidates>;
}

/// Who requires a mirror, and of what.
#[derive(Debug, Clone, Copy)]
pub struct Required<'a> {
    /// The namespace of whoever requires it.
    pub namespace: &'a str,
    /// The ImageRepository that is elected from.
    pub repository: &'a Key,
    /// Its image.
    pub image: &'a Repository,
    /// Whether the digests of what is elected are reflected.
    pub is_reflected: bool,
}

/// An ImageRepository that was looked for.
#[derive(Debug, Clone)]
pub enum Referred {
    /// It is there, and may be referred to.
    Found(Seen),
    /// It is not there, in these words.
    Missing(String),
    /// It cannot be read.
    Unreadable,
    /// It does not let them in.
    Denied(Refusal),
    /// Whether it lets them in could not be found out.
    Unknown(String),
}

/// An ImageRepository that may be referred to.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The object.
    pub object: Arc<ImageRepository>,
    /// The image that it names.
    pub image: Result<Repository, image::Error>,
    /// What is stored of this image for this object; `None` before its first scan.
    pub tags: Option<Arc<RepositoryTags>>,
}

/// How a policy is governed as it stands.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// What its annotations ask for.
    pub in_force: InForce,
    /// Whether its spec is another one than the one that elected.
    pub is_rebased: bool,
}
