//! The controller's own way to an election, over objects that no cluster holds and a registry that never answers: for
//! the test that compares it with what a query tells.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use kube::Client;
use kube::client::Body;

use super::gather::{self, Gathered, Kept};
use super::{Context, Controller, Decision};
use crate::api::{ImageMirror, ImagePolicy, ImageRepository};
use crate::clock::SharedClock;
use crate::cluster::event::Events;
use crate::cluster::index::{Found, Index};
use crate::control::registry::{Listed, Platforms, Question, Refusal, Registry};
use crate::control::{Lead, Metrics, Reader, Settings, doubted, secrets};
use crate::image::{Digest, Tag};
use crate::object::Key;
use crate::policy::governance::Known;
use crate::store::Store;

/// The controller, and what it knows.
pub(crate) struct Trial {
    context: Arc<Context>,
    controller: Controller,
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

impl Trial {
    /// Must be called within a runtime.
    pub(crate) fn new(store: Store, clock: SharedClock) -> Self {
        let nobody = tower::service_fn(|_: http::Request<Body>| async {
            Ok::<_, std::convert::Infallible>(
                http::Response::builder()
                    .status(404)
                    .body(Body::empty())
                    .unwrap(),
            )
        });
        let context = Arc::new(Context {
            client: Client::new(nobody, "default").into(),
            store,
            registry: Arc::new(Mute),
            clock,
            settings: Settings::default(),
            metrics: Metrics::default(),
            events: Events::silent(),
            lead: Lead::always(),
            doubted: doubted::Doubted::default(),
            repositories: Index::default(),
            policies: Index::default(),
            mirrors: Index::default(),
            inbox: crate::control::image_mirror::Inbox::default(),
            ties: crate::control::image_mirror::Ties::default(),
            secrets: secrets::Secrets::default(),
            elections: Arc::new(Kept::default()),
        });
        let controller = Controller::new(context.clone(), context.elections.clone());
        Self {
            context,
            controller,
        }
    }

    /// These are all objects there are.
    pub(crate) fn know(&self, repository: (&Key, ImageRepository), policy: (&Key, ImagePolicy)) {
        let (key, object) = repository;
        self.context
            .repositories
            .know([(key.clone(), Found::Object(Arc::new(object)))]);
        let (key, object) = policy;
        self.context
            .policies
            .know([(key.clone(), Found::Object(Arc::new(object)))]);
    }

    /// The registry once said that `tag` runs on `known`.
    pub(crate) fn learn(&self, repository: &Key, image: &str, tag: &str, known: Known) {
        let image = image.parse().unwrap();
        self.context
            .elections
            .platforms
            .learn(repository, &image, tag, known);
    }

    /// These are all mirrors there are.
    pub(crate) fn know_mirrors(&self, all: impl IntoIterator<Item = (Key, ImageMirror)>) {
        let all = all.into_iter();
        let found = all.map(|(key, object)| (key, Found::Object(Arc::new(object))));
        self.context.mirrors.know(found);
    }

    /// The store that it reads.
    pub(crate) fn store(&self) -> Store {
        self.context.store.clone()
    }

    /// The clock that it goes by.
    pub(crate) fn clock(&self) -> SharedClock {
        self.context.clock.clone()
    }

    /// What explains elections.
    pub(crate) fn reader(&self) -> Reader {
        Reader::new(self.context.clone(), self.context.elections.clone())
    }

    /// The tag that the controller elects, or leaves elected.
    pub(crate) async fn winner(&self, key: &Key) -> Option<String> {
        let elections = &self.context.elections;
        let gathered = gather::gather(&self.context, elections, key, 9).await;
        let Gathered::Object(facts) = gathered else {
            panic!("{gathered:?}")
        };
        let object = facts.object.clone();
        let latest = object.status.as_ref();
        let latest = latest.and_then(|status| status.latest_ref.as_ref());
        let current = latest.map(|latest| latest.tag.clone());
        match self.controller.decide(facts).await {
            Decision::Elect(plan) => Some(plan.tag.to_string()),
            Decision::Stand(_) | Decision::Acknowledge { .. } => current,
            Decision::Wait { after } if after >= Duration::from_secs(5) => current,
            Decision::Wait { .. }
            | Decision::Fail { .. }
            | Decision::Stall { .. }
            | Decision::Release
            | Decision::Rest
            | Decision::Ask(_) => None,
        }
    }
}
