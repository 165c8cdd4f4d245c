//! Joins what the controllers know with the queries that are answered from it: two rooms that do not know each other.

use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::api::ImagePolicy;
use crate::api::reference::ImageRef;
use crate::apiserver::tag_query::{Knowledge, Referred, Required, Seen, Standing};
use crate::cluster::index::Found;
use crate::control::{self, Reader, Referral, Sight};
use crate::image::Repository;
use crate::object::Key;
use crate::policy::Candidates;
use crate::policy::governance::{Gap, InForce, Known};
use crate::store::{Copies, RepositoryTags};

/// What the controllers know.
#[derive(Debug)]
pub(super) struct Controllers(pub(super) Reader);

impl Knowledge for Controllers {
    fn is_synced(&self) -> bool {
        self.0.is_synced()
    }

    fn policy(&self, key: &Key) -> Found<ImagePolicy> {
        self.0.policy(key)
    }

    fn refer<'a>(&'a self, namespace: &'a str, reference: &'a Key) -> BoxFuture<'a, Referred> {
        async move {
            match self.0.refer(namespace, reference).await {
                Referral::Found(Sight {
                    object,
                    image,
                    tags,
                }) => Referred::Found(Seen {
                    object,
                    image,
                    tags,
                }),
                Referral::Missing(message) => Referred::Missing(message),
                Referral::Unreadable => Referred::Unreadable,
                Referral::Denied(refusal) => Referred::Denied(refusal),
                Referral::Unknown(error) => Referred::Unknown(error),
            }
        }
        .boxed()
    }

    fn standing(&self, key: &Key, object: &ImagePolicy, reference: &Key) -> Standing {
        let control::Standing {
            in_force,
            is_rebased,
        } = self.0.standing(key, object, reference);
        Standing {
            in_force,
            is_rebased,
        }
    }

    fn is_awaited(
        &self,
        object: &ImagePolicy,
        in_force: &InForce,
        tags: &RepositoryTags,
        current: &ImageRef,
    ) -> bool {
        self.0.is_awaited(object, in_force, tags, current)
    }

    fn platforms(&self, repository: &Key, image: &Repository, tag: &str) -> Option<Known> {
        self.0.platforms(repository, image, tag)
    }

    fn mirrored(&self, mirror: &Key, asked: Required<'_>) -> Result<Arc<Copies>, Gap> {
        let Required {
            namespace,
            repository,
            image,
            is_reflected,
        } = asked;
        self.0
            .mirrored(mirror, namespace, (repository, image), is_reflected)
    }

    fn candidates(&self, tags: &RepositoryTags) -> Arc<Candidates> {
        self.0.candidates(tags)
    }
}

#[cfg(test)]
mod tests;
