//! What every reconcile holds, without controllers that run, and with a registry that never answers: for tests of single steps.

use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use kube::Client;

use super::registry::{Listed, Platforms, Question, Refusal, Registry};
use super::{Context, Lead, Metrics, Settings, doubted, image_mirror, secrets};
use crate::clock::SharedClock;
use crate::cluster::event::Events;
use crate::cluster::index::Index;
use crate::image::{Digest, Tag};
use crate::store::Store;

impl Context {
    /// Knows nothing yet.
    pub(crate) fn alone(
        client: Client,
        store: Store,
        clock: SharedClock,
        settings: Settings,
    ) -> Self {
        Self {
            client: client.into(),
            store,
            registry: Arc::new(Mute),
            clock,
            settings,
            metrics: Metrics::default(),
            events: Events::silent(),
            lead: Lead::always(),
            doubted: doubted::Doubted::default(),
            repositories: Index::default(),
            policies: Index::default(),
            mirrors: Index::default(),
            inbox: image_mirror::Inbox::default(),
            ties: image_mirror::Ties::default(),
            secrets: secrets::Secrets::default(),
            elections: Arc::default(),
        }
    }
}

#[derive(Debug)]
struct Mute;

fn no_answer<T: Send + 'static>() -> BoxFuture<'static, Result<T, Refusal>> {
    let refusal = Refusal {
        message: "nobody is there".to_owned(),
        retry_after: None,
        is_permanent: false,
        is_wait: false,
    };
    async move { Err(refusal) }.boxed()
}

impl Registry for Mute {
    fn list_tags(&self, _: Question) -> BoxFuture<'static, Result<Listed, Refusal>> {
        no_answer()
    }

    fn digest(&self, _: Question, _: Tag) -> BoxFuture<'static, Result<Digest, Refusal>> {
        no_answer()
    }

    fn platforms(&self, _: Question, _: Digest) -> BoxFuture<'static, Result<Platforms, Refusal>> {
        no_answer()
    }
}
