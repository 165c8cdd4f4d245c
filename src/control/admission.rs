//! Who may refer to an ImageRepository, and what is stored for it: the same for policies, queries and mirrors.
//!
//! Lends names only: with whose credentials a registry is asked is no question of this.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::Context;
use crate::api::ImageRepository;
use crate::api::access::Refusal;
use crate::cluster::index::Found;
use crate::cluster::{read, with_causes};
use crate::image::Repository;
use crate::object::Key;
use crate::store::RepositoryTags;

/// An ImageRepository, looked for by somebody who wants to elect from it, or to copy.
#[derive(Debug)]
pub(super) enum Admission {
    /// It is there, and may be referred to.
    Granted(Arc<ImageRepository>),
    /// It is not there.
    Missing,
    /// It cannot be read.
    Unreadable,
    /// It does not let them in.
    Denied(Refusal),
    /// The namespace's labels could not be read.
    Unknown {
        /// Why.
        error: String,
    },
}

/// Somebody who refers to ImageRepositories. Its namespace is looked at once at most, and only where it matters.
pub(super) struct Asker<'a> {
    context: &'a Context,
    namespace: &'a str,
    labels: Option<Result<BTreeMap<String, String>, String>>,
}

impl<'a> Asker<'a> {
    pub(super) fn new(context: &'a Context, namespace: &'a str) -> Self {
        Self {
            context,
            namespace,
            labels: None,
        }
    }

    /// Whether they may refer to `reference`.
    pub(super) async fn admit(&mut self, reference: &Key) -> Admission {
        let is_foreign = *reference.namespace != *self.namespace;
        if is_foreign && self.context.settings.no_cross_namespace_refs {
            return Admission::Denied(Refusal::Blocked);
        }
        let object = match self.context.repositories.find(reference) {
            Found::Object(object) => object,
            Found::Unreadable => return Admission::Unreadable,
            Found::Absent => return Admission::Missing,
        };
        if is_foreign {
            let Some(access) = &object.spec.access_from else {
                return Admission::Denied(Refusal::NotShared);
            };
            match self.labels().await {
                Ok(labels) if access.admits(labels) => {}
                Ok(_) => return Admission::Denied(Refusal::NotForThisNamespace),
                Err(error) => {
                    return Admission::Unknown {
                        error: error.clone(),
                    };
                }
            }
        }
        Admission::Granted(object)
    }

    async fn labels(&mut self) -> &Result<BTreeMap<String, String>, String> {
        let labels = match self.labels.take() {
            Some(labels) => labels,
            None => read::namespace_labels(&self.context.client.0, self.namespace)
                .await
                .map_err(|error| with_causes(&error)),
        };
        self.labels.insert(labels)
    }
}

/// Whether something in `namespace` may refer to `reference`.
pub(super) async fn admit(context: &Context, namespace: &str, reference: &Key) -> Admission {
    Asker::new(context, namespace).admit(reference).await
}

/// What is stored for `object`, unless it is older than the object. Tags of an earlier object of that name, or of an
/// image that it named before, are not this one's.
pub(super) fn stored(
    context: &Context,
    reference: &Key,
    object: &ImageRepository,
    image: Option<&Repository>,
) -> Option<Arc<RepositoryTags>> {
    let stored = context.store.snapshot().repository(reference);
    stored.filter(|tags| {
        Some(&tags.owner().uid) == object.metadata.uid.as_ref()
            && image.is_some_and(|image| image == tags.image())
            && !is_behind(tags, object)
    })
}

/// Whether another process scanned after what is stored here (a replica that leads now and then, Flux's controller), and
/// found another list: to elect from the older one would send the election back. A scan brings the news.
fn is_behind(tags: &RepositoryTags, repository: &ImageRepository) -> bool {
    let status = repository.status.as_ref();
    status
        .and_then(|status| status.last_scan_result.as_ref())
        .is_some_and(|last| {
            let is_later = |time: &Time| tags.scan_time() < time.0;
            tags.revision() != last.revision && last.scan_time.as_ref().is_some_and(is_later)
        })
}
