//! What the controllers know, for whoever explains an election instead of holding one.
//!
//! The same facts, found by the same functions as a reconcile's; the registry is not asked, and nothing is written or
//! remembered.

use std::sync::Arc;

use super::gather::{self, Admission, Kept};
use super::memory::Governing;
use super::mirrored::{self, Gate};
use super::{Context, decide};
use crate::api::access::Refusal;
use crate::api::reference::ImageRef;
use crate::api::{ImagePolicy, ImageRepository};
use crate::cluster::index::Found;
use crate::image::{self, Repository};
use crate::object::Key;
use crate::policy::Candidates;
use crate::policy::governance::{InForce, Known};
use crate::store::RepositoryTags;

/// A look at everything that an election goes by.
#[derive(Debug, Clone)]
pub struct Reader {
    context: Arc<Context>,
    kept: Arc<Kept>,
}

/// An ImageRepository as somebody sees it who wants to elect from it.
#[derive(Debug, Clone)]
pub enum Referral {
    /// It is there, and may be referred to.
    Found(Sight),
    /// It is not there, in these words.
    Missing(String),
    /// It cannot be read.
    Unreadable,
    /// It does not let them in.
    Denied(Refusal),
    /// Whether it lets them in could not be found out.
    Unknown(String),
}

/// An ImageRepository and what is stored for it.
#[derive(Debug, Clone)]
pub struct Sight {
    /// The object.
    pub object: Arc<ImageRepository>,
    /// The image that it names.
    pub image: Result<Repository, image::Error>,
    /// What is stored of this image for this object; `None` before its first scan.
    pub tags: Option<Arc<RepositoryTags>>,
}

/// How a policy is governed as it stands.
#[derive(Debug, Clone)]
pub struct Standing {
    /// What its annotations ask for.
    pub in_force: InForce,
    /// Whether its spec is another one than the one that elected.
    pub is_rebased: bool,
}

impl Reader {
    pub(crate) fn new(context: Arc<Context>, kept: Arc<Kept>) -> Self {
        Self { context, kept }
    }

    /// Whether ImageRepositories and ImagePolicies were listed to the end: before, what is absent may be there.
    pub fn is_synced(&self) -> bool {
        self.context.repositories.is_synced() && self.context.policies.is_synced()
    }

    /// The ImagePolicy of this name.
    pub fn policy(&self, key: &Key) -> Found<ImagePolicy> {
        self.context.policies.find(key)
    }

    /// The ImageRepository `reference`, for something in `namespace` that wants to elect from it.
    pub async fn refer(&self, namespace: &str, reference: &Key) -> Referral {
        let object = match gather::admit(&self.context, namespace, reference).await {
            Admission::Granted(object) => object,
            Admission::Missing => return Referral::Missing(decide::missing(reference)),
            Admission::Unreadable => return Referral::Unreadable,
            Admission::Denied(refusal) => return Referral::Denied(refusal),
            Admission::Unknown { error } => return Referral::Unknown(error),
        };
        let image = object.spec.image.parse::<Repository>();
        let tags = gather::stored(&self.context, reference, &object, image.as_ref().ok());
        Referral::Found(Sight {
            object,
            image,
            tags,
        })
    }

    /// The tags laid out as elections take them, which may take a while.
    pub fn candidates(&self, tags: &RepositoryTags) -> Arc<Candidates> {
        self.kept.candidates.of(tags)
    }

    /// What governs the policy `key` as it stands.
    pub fn standing(&self, key: &Key, object: &ImagePolicy, reference: &Key) -> Standing {
        let Governing {
            in_force,
            is_rebased,
        } = self.kept.memory.peek(key, object, reference);
        Standing {
            in_force,
            is_rebased,
        }
    }

    /// Whether `current`, which `object` has elected, stays elected until the list is complete.
    pub fn is_awaited(
        &self,
        object: &ImagePolicy,
        in_force: &InForce,
        tags: &RepositoryTags,
        current: &ImageRef,
    ) -> bool {
        decide::is_awaited(object, in_force, tags, current)
    }

    /// What `mirror` has of a repository and its image at all destinations, for something in `namespace`. Where digests
    /// are reflected, it has to have the source's.
    pub fn mirrored(
        &self,
        mirror: &Key,
        namespace: &str,
        (reference, image): (&Key, &Repository),
        is_reflected: bool,
    ) -> Gate {
        let question = mirrored::Question {
            namespace,
            reference,
            image: Some(image),
            is_reflected,
        };
        mirrored::look(&self.context, mirror, question)
    }

    /// What the registry last said that `tag` runs on; `None` when it was never asked.
    pub fn platforms(&self, repository: &Key, image: &Repository, tag: &str) -> Option<Known> {
        self.kept.platforms.recall(repository, image, tag)
    }
}
