//! The ImageMirror controller: copies tags of scanned images to other registries, whenever a scan or an election brings new
//! ones, and looks at its sources and destinations in between.
//!
//! Triggers: a commit to the store (new tags), a policy's candidate (`store::Board`), `interval` (tags that are meant to
//! move are asked for at the source), `verifyInterval` (everything is asked for on both sides), the reconcile annotation, a
//! change of the spec, of a source or of a Secret. Between two scans that found the same, nobody is asked anything.
//!
//! The four steps: `gather` (sources with their rights, tags from the store, ways to the destinations) → `decide` (pure:
//! what is due) → `act` (one run of `registry::copy`, what came of it to the board and to the ledger) → `status` (pure: one patch).
//! What is copied is decided in `crate::mirror`; what bytes do is `registry::copy`'s affair. It meets the other controllers in
//! the store only: candidates come from there, and what is verified goes there.

mod act;
mod collide;
mod decide;
mod ends;
mod gather;
mod memory;
mod prune;
mod sources;
mod status;

use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::kind::Kind;
use super::queue::{self, Next};
use super::{CRD_POLL, ClientHandle, Context, Lead, change};
use crate::api::{Bandwidth, ImageMirror};
use crate::cluster::crds::{self, Needed};
use crate::cluster::index::Touched;
use crate::cluster::watch;
use crate::mirror::known::Known;
use crate::object::Key;
use crate::registry;
use crate::state::State;
use crate::store::Unread;
use memory::Memory;

const KIND: Kind = Kind::ImageMirror;

/// What mirrors need, besides what all controllers do.
#[derive(Debug, Clone)]
pub struct World {
    /// The registries: the client that the scanners use, so that both keep one budget for each host.
    pub registry: registry::Client,
    /// The cluster. Not the gate that companion mode keeps shut: these are objects of ours.
    pub client: ClientHandle,
    /// Whether this process may copy.
    pub lead: Lead,
    /// What is known to be where: a cache, which saves requests.
    pub known: Arc<Known>,
    /// Where that is kept; `None`: nowhere.
    pub state: Option<Arc<State>>,
    /// How to copy.
    pub settings: Settings,
}

/// What the program was told about how to mirror.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Mirrors that run at once (`--mirror-workers`).
    pub workers: usize,
    /// Requests of one class at once, at one host.
    pub concurrency: NonZeroUsize,
    /// The most bytes per second of the whole process (`--mirror-bandwidth`).
    pub bandwidth: Option<Bandwidth>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            workers: 4,
            concurrency: const { NonZeroUsize::new(32).unwrap() },
            bandwidth: None,
        }
    }
}

/// What mirrors hear of the other controllers' objects, without anybody waiting for them.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    /// ImageRepositories that came, went or changed.
    pub(crate) repositories: Unread,
    /// Mirrors whose Secrets came or changed.
    pub(crate) mirrors: Unread,
}

const NEEDED: [Needed; 1] = [Needed {
    group_version: "mirror.tagscope.dev/v1alpha1",
    plural: "imagemirrors",
}];

/// Everything that mirrors, until `shutdown`. Waits for its kind by itself: the other controllers do without it.
pub(super) async fn control(context: Arc<Context>, world: World, shutdown: CancellationToken) {
    let served = crds::wait_until_served(&world.client.0, &NEEDED, CRD_POLL);
    if shutdown.run_until_cancelled(served).await.is_none() {
        return;
    }
    let mut lead = world.lead.clone();
    while shutdown.run_until_cancelled(lead.gained()).await.is_some() {
        context.mirrors.clear();
        tokio::select! {
            biased;
            // Whatever is under way is dropped where it stands: another process may copy from now on.
            () = lead.lost() => tracing::info!("Mirrors stopped"),
            () = run(context.clone(), world.clone(), shutdown.clone()) => return,
        }
        context.mirrors.clear();
    }
}

async fn run(context: Arc<Context>, world: World, shutdown: CancellationToken) {
    let (mirror, requests) = queue::queue();
    let workers = world.settings.workers;
    let client = world.client.0.clone();
    let controller = Arc::new(Controller::new(context.clone(), world));
    let watches = async {
        watch::follow(
            client,
            context.settings.scope.clone(),
            context.mirrors.clone(),
            async |touched: Vec<Touched<ImageMirror>>| {
                for one in touched {
                    controller.noted(&one);
                    if change::concerns_requirers(&one) {
                        context.store.board().touch_mirror(&one.key);
                    }
                    mirror.request(one.key).await;
                }
            },
        )
        .await;
    };
    let meter = context.metrics.queue(KIND, workers);
    let runs = {
        let controller = controller.clone();
        queue::run(
            requests,
            workers,
            |_| queue::Lane::default(),
            context.settings.retry,
            shutdown.clone(),
            meter,
            move |key| {
                let controller = controller.clone();
                // Boxed: a run holds every request that it may make.
                Box::pin(async move { controller.reconcile(key).await })
            },
        )
    };
    tokio::join!(runs, shutdown.run_until_cancelled(watches));
}

/// The controller: what it keeps between reconciles.
#[derive(Debug)]
pub(crate) struct Controller {
    context: Arc<Context>,
    world: World,
    memory: Memory,
}

impl Controller {
    fn new(context: Arc<Context>, world: World) -> Self {
        Self {
            context,
            world,
            memory: Memory::default(),
        }
    }

    /// An object was heard of, or is gone.
    fn noted(&self, _touched: &Touched<ImageMirror>) {}

    /// Reconciles one object, and says when to look at it again.
    async fn reconcile(&self, _key: Key) -> Next {
        Next::Await
    }
}
