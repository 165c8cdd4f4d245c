//! Marks in the store what Flux's policies elected, as their statuses say it.

use std::sync::Arc;

use tokio::time::Instant;
use tracing::Instrument as _;

use crate::api::reference::ImageRef;
use crate::api::{ImagePolicy, ImageRepository};
use crate::cluster::index::{Found, Touched};
use crate::cluster::{read, with_causes};
use crate::control::Context;
use crate::control::kind::Kind;
use crate::control::metrics::{ElectionResult, ReconcileResult};
use crate::control::queue::Next;
use crate::control::referrers::Referrers;
use crate::image::{Digest, Repository, Tag};
use crate::object::Key;

const KIND: Kind = Kind::ImagePolicy;

/// The controller: what it keeps between reconciles.
#[derive(Debug)]
pub(super) struct Controller {
    context: Arc<Context>,
    referrers: Referrers,
}

/// A choice of Flux's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Elected {
    pub(super) image: Repository,
    pub(super) tag: Tag,
    pub(super) digest: Option<Digest>,
}

/// What the policy's status says; `None` when it elects nothing, or nothing that can be read.
pub(super) fn elected(policy: &ImagePolicy) -> Option<Elected> {
    let ImageRef { name, tag, digest } = policy.status.as_ref()?.latest_ref.as_ref()?;
    Some(Elected {
        image: name.parse().ok()?,
        tag: tag.parse().ok()?,
        digest: digest.as_ref().and_then(|digest| digest.parse().ok()),
    })
}

/// Whether a change has to be looked at: the object came or went, its spec changed, or what it elected.
pub(super) fn asks(touched: &Touched<ImagePolicy>) -> bool {
    let asked_by = |object: &ImagePolicy| {
        let meta = &object.metadata;
        (
            meta.uid.clone(),
            meta.generation,
            meta.deletion_timestamp.is_some(),
            elected(object),
        )
    };
    match (&touched.before, &touched.after) {
        (Found::Object(before), Found::Object(after)) => asked_by(before) != asked_by(after),
        (Found::Absent | Found::Unreadable, Found::Object(_))
        | (Found::Object(_) | Found::Unreadable | Found::Absent, Found::Absent) => true,
        (Found::Object(_) | Found::Unreadable | Found::Absent, Found::Unreadable) => false,
    }
}

impl Controller {
    pub(super) fn new(context: Arc<Context>) -> Self {
        Self {
            context,
            referrers: Referrers::default(),
        }
    }

    /// An object was heard of, or is gone.
    pub(super) fn noted(&self, touched: &Touched<ImagePolicy>) {
        self.referrers.noted(touched);
    }

    /// The policies that elect from `repository`.
    pub(super) fn referrers(&self, repository: &Key) -> Vec<Key> {
        self.referrers.of(repository)
    }

    /// Looks at one object, and says when to look again. `marks`: whether the kind is controlled here; if not, only what
    /// is gone is taken back.
    pub(super) async fn reconcile(&self, key: Key, marks: bool) -> Next {
        async {
            let metrics = &self.context.metrics;
            let begin = Instant::now();
            let _active = metrics.active(KIND);
            let policy = match self.context.policies.find(&key) {
                Found::Object(policy) => policy,
                Found::Unreadable => return Next::Await,
                Found::Absent => {
                    metrics.forget(KIND, &key);
                    return self.withdraw(&key, None).await;
                }
            };
            let next = if policy.metadata.deletion_timestamp.is_some() {
                self.withdraw(&key, None).await
            } else if marks {
                self.mark(&key, &policy).await
            } else {
                Next::Await
            };
            metrics.reconciled(KIND, &key, ReconcileResult::of(next), begin.elapsed());
            next
        }
        .instrument(KIND.span(&key))
        .await
    }

    async fn mark(&self, key: &Key, policy: &ImagePolicy) -> Next {
        let reference = policy.spec.image_repository_ref.key(&key.namespace);
        let repository = match self.context.repositories.find(&reference) {
            Found::Object(repository) => repository,
            Found::Unreadable => return Next::Await,
            Found::Absent => return self.withdraw(key, None).await,
        };
        match self.is_let_in(key, &reference, &repository).await {
            Ok(true) => {}
            // The tags' owner does not (or no longer) let this policy in: it has no mark to leave there.
            Ok(false) => return self.withdraw(key, None).await,
            Err(error) => {
                tracing::error!(
                    error = with_causes(&error),
                    "Failed to read the namespace's labels"
                );
                return Next::RETRY;
            }
        }
        // A tag that is not held will be once its scan is committed, and this is asked for again then.
        let held = self.context.store.snapshot().repository(&reference);
        let elected = elected(policy).filter(|elected| {
            held.is_some_and(|held| {
                held.image() == &elected.image && held.tag(elected.tag.as_str()).is_some()
            })
        });
        let Some(Elected { tag, digest, .. }) = elected else {
            return self.withdraw(key, None).await;
        };
        if let retry @ Next::Retry { .. } = self.withdraw(key, Some(&reference)).await {
            return retry;
        }
        let store = &self.context.store;
        let marked = match store.commit_election(&reference, key, Some((tag, digest))) {
            Ok(marked) => store.flush().await.map(|()| marked),
            Err(error) => Err(error),
        };
        match marked {
            Ok(marked) => {
                self.context.metrics.elected(if marked.changed > 0 {
                    ElectionResult::changed
                } else {
                    ElectionResult::unchanged
                });
                Next::Await
            }
            Err(error) => {
                tracing::error!(error = with_causes(&error), "Failed to store an election");
                Next::RETRY
            }
        }
    }

    /// Whether the policy may refer to the repository.
    async fn is_let_in(
        &self,
        policy: &Key,
        reference: &Key,
        repository: &ImageRepository,
    ) -> Result<bool, crate::cluster::Error> {
        if reference.namespace == policy.namespace {
            return Ok(true);
        }
        let Some(access) = &repository.spec.access_from else {
            return Ok(false);
        };
        if self.context.settings.no_cross_namespace_refs {
            return Ok(false);
        }
        let labels = read::namespace_labels(&self.context.client.0, &policy.namespace).await?;
        Ok(access.admits(&labels))
    }

    /// Takes back what the policy elected, everywhere but in `except`.
    async fn withdraw(&self, key: &Key, except: Option<&Key>) -> Next {
        let store = &self.context.store;
        self.referrers.withdraw(store, key, except).await
    }
}
