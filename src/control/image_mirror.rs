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
mod implicit;
mod links;
mod memory;
mod newcomers;
mod prune;
mod sources;
mod status;
#[cfg(test)]
mod trial;
mod wake;
mod wanted;

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use self::act::{Ended, Running};
use self::decide::Decision;
use self::gather::{Facts, Gathered, How};
use self::memory::{Memory, Shared};
use self::prune::Turn;
use super::finish::Desk;
use super::kind::Kind;
use super::metrics::{ReconcileResult, Stands};
use super::queue::{self, Next};
use super::{CRD_POLL, ClientHandle, Context, Lead, follow, news};
use crate::api::condition::{self, Condition, reason};
use crate::api::image_mirror::ImageMirrorStatus;
use crate::api::{Bandwidth, ImageMirror};
use crate::cluster::crds::{self, Needed};
use crate::cluster::event::{Events, Report, Severity};
use crate::cluster::index::Found;
use crate::cluster::with_causes;
use crate::mirror::known::Known;
use crate::object::Key;
use crate::registry::transfer::Limiter;
use crate::registry::{self, Mandate};
use crate::state::{Kept, State};
use crate::store::Unread;
use implicit::find;
pub use implicit::{Credentials, Implicit};
pub(crate) use sources::{heard_policy, heard_repository};

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
    /// The same, to the moment: a process that was held up may not have heard yet that its time is over.
    pub mandate: Option<Arc<dyn Mandate>>,
    /// Where news is told.
    pub events: Events,
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

/// What is known of how mirrors hang together, and of what they hang on: kept object by object, as they are heard of.
#[derive(Debug, Default)]
pub(crate) struct Ties {
    links: links::Links,
    claims: collide::Claims,
}

impl Ties {
    /// Everything is forgotten: all mirrors are heard of anew.
    fn clear(&self) {
        self.links.clear();
        self.claims.clear();
    }
}

/// The resource that mirrors are.
pub const NEEDED: [Needed; 1] = [Needed {
    group_version: "mirror.tagscope.dev/v1alpha1",
    plural: "imagemirrors",
}];

/// What was learnt is written down no more often than this.
const SAVE_PAUSE: Duration = Duration::from_secs(1);

/// Everything that mirrors, until `shutdown`. Waits for its kind by itself: the other controllers do without it.
pub(super) async fn control(context: Arc<Context>, world: World, shutdown: CancellationToken) {
    let client = world.client.0.clone();
    let served = async {
        if context.settings.implicit.is_some() {
            // Such mirrors need no definition; where there is one, objects are known before anything is copied.
            return crds::are_served(&client, &NEEDED, CRD_POLL).await;
        }
        crds::wait_until_served(&client, &NEEDED, CRD_POLL).await;
        true
    };
    let Some(is_served) = shutdown.run_until_cancelled(served).await else {
        return;
    };
    let mut lead = world.lead.clone();
    while shutdown.run_until_cancelled(lead.gained()).await.is_some() {
        context.mirrors.clear();
        context.ties.clear();
        let controller = Controller::new(context.clone(), world.clone(), is_served, &shutdown);
        let controller = Arc::new(controller.await);
        tokio::select! {
            biased;
            // Whatever is under way is dropped where it stands: another process may copy from now on.
            () = lead.lost() => tracing::info!("Mirrors stopped"),
            () = run(controller.clone()) => {}
        }
        context.mirrors.clear();
        // What another process does from now on is known here of neither.
        context.store.board().clear_mirrored();
        implicit::forget_witness(&context);
        controller.save().await;
    }
}

async fn run(controller: Arc<Controller>) {
    let Controller {
        context,
        world,
        shutdown,
        ..
    } = &*controller;
    let (mirror, requests) = queue::queue();
    let workers = world.settings.workers;
    let watches = async {
        tokio::join!(
            controller.follow_objects(&mirror),
            controller.look_at_implicit(&mirror),
            follow::store(
                context,
                |repository| controller.tell_runs(sources::mirrors_of(context, repository)),
                || controller.tell_runs(controller.all()),
                &mirror,
            ),
            controller.follow_candidates(&mirror),
            controller.follow_repositories(&mirror),
            controller.follow_inbox(&mirror),
            controller.keep_up(),
        );
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
                Box::pin(async move {
                    // Until all are known, a repository would look missing, and a collision like none.
                    controller.context.repositories.wait_until_synced().await;
                    if controller.is_served.load(Ordering::Acquire) {
                        controller.wait_until_noted().await;
                    }
                    controller.reconcile(key).await
                })
            },
        )
    };
    tokio::join!(runs, shutdown.run_until_cancelled(watches));
}

/// What a run that is under way hears of outside.
#[derive(Debug, Clone)]
struct Wire {
    /// It is to end.
    end: CancellationToken,
    /// Something else may be wanted by now.
    news: Arc<Notify>,
}

/// The controller: what it keeps between reconciles.
#[derive(Debug)]
pub(crate) struct Controller {
    context: Arc<Context>,
    world: World,
    shutdown: CancellationToken,
    kept: Kept,
    memory: Memory,
    /// What holds back all mirrors together.
    bandwidth: Option<Arc<Limiter>>,
    /// What runs that are under way have to hear.
    running: Mutex<HashMap<Key, Wire>>,
    /// Something was learnt that is not written down.
    unsaved: Notify,
    /// Whether there can be objects.
    is_served: AtomicBool,
    /// Whether all of them have said what they claim.
    is_noted: watch::Sender<bool>,
}

impl Controller {
    async fn new(
        context: Arc<Context>,
        world: World,
        is_served: bool,
        shutdown: &CancellationToken,
    ) -> Self {
        let kept = Kept {
            known: world.known.clone(),
            state: world.state.clone(),
        };
        let witness = kept.id().await.unwrap_or_else(|error| {
            tracing::warn!(
                error = with_causes(&error),
                "The state has no name: the next start asks all destinations"
            );
            uuid::Uuid::new_v4()
        });
        let bandwidth = world.settings.bandwidth;
        Self {
            context,
            shutdown: shutdown.clone(),
            kept,
            memory: Memory::new(witness.to_string()),
            bandwidth: bandwidth.map(|it| Arc::new(Limiter::new(it.bytes_per_second()))),
            running: Mutex::default(),
            unsaved: Notify::new(),
            is_served: AtomicBool::new(is_served),
            is_noted: watch::Sender::new(false),
            world,
        }
    }

    /// A run begins by the spec of `object`. When that is another one by now it ends at once.
    fn begin<'a>(&'a self, key: &'a Key, object: &ImageMirror) -> Running<'a> {
        let wire = Wire {
            end: self.shutdown.child_token(),
            news: Arc::default(),
        };
        self.running.lock().insert(key.clone(), wire.clone());
        match find(&self.context, key) {
            Found::Object(now) if wake::is_same(&now, object) => {}
            Found::Object(_) | Found::Unreadable | Found::Absent => wire.end.cancel(),
        }
        Running {
            controller: self,
            key,
            wire,
        }
    }

    /// Writes down what was learnt, soon after it was.
    async fn keep_up(&self) {
        loop {
            self.unsaved.notified().await;
            self.save().await;
            tokio::time::sleep(SAVE_PAUSE).await;
        }
    }

    /// Whether that worked. A failure hurts nobody: what is not kept is asked for again.
    async fn save(&self) -> bool {
        let saved = self.kept.save().await;
        let is_saved = saved.is_ok();
        tell_saved(saved);
        is_saved
    }

    /// Reconciles one object, and says when to look at it again.
    async fn reconcile(&self, key: Key) -> Next {
        async {
            let metrics = &self.context.metrics;
            let begin = Instant::now();
            let _active = metrics.active(KIND);
            match gather::gather(&self.context, &key).await {
                Gathered::Object(facts) => {
                    let next = self.run(&key, *facts).await;
                    metrics.reconciled(KIND, &key, ReconcileResult::of(next), begin.elapsed());
                    next
                }
                Gathered::Unreadable => Next::Await,
                Gathered::Gone => {
                    metrics.forget(KIND, &key);
                    self.release(&key)
                }
            }
        }
        .instrument(KIND.span(&key))
        .await
    }

    /// The object is gone, or about to be. What it copied stays where it is.
    fn release(&self, key: &Key) -> Next {
        self.memory.forget(key);
        self.context.store.board().put_mirrored(key, None);
        Next::Await
    }

    async fn run(&self, key: &Key, mut facts: Facts) -> Next {
        let memory = self.memory.of(key, &facts.object, facts.now);
        let how = facts.how.clone().ok();
        let decision = {
            let mut known = memory.lock();
            // Of what is suspended nothing was gathered.
            if let Some(how) = how.as_ref().filter(|_| !facts.object.spec.suspend) {
                let variant = act::variant(&facts.object, how);
                let keeps_others = !facts.troubles.is_empty();
                known.refresh(&facts.sources, &variant, keeps_others, &self.kept.known);
            }
            decide::decide(&facts, &known)
        };
        if decision == Decision::Release {
            return self.release(key);
        }
        if let Some(how) = &how {
            self.publish(key, how, &memory);
        }
        let before = facts.object.status.clone().unwrap_or_default();
        let mut pruned = before.prune.clone();
        if let (Decision::Run(plan), Some(how)) = (&decision, &how) {
            match act::renounce(self, key, (&facts, plan)).await {
                Ok(object) => facts.object = object,
                Err(why) => {
                    tracing::warn!(mirror = %key, why, "A run waits until its status can be written");
                    return Next::RETRY;
                }
            }
            let begin = Instant::now();
            let ended = act::run(self, key, (&facts, how), plan, &memory).await;
            let Ended {
                report,
                object,
                is_cancelled,
            } = ended;
            let metrics = &self.context.metrics;
            metrics.mirrored(key, &report, begin.elapsed());
            self.publish(key, how, &memory);
            let running = self.begin(key, &object);
            if is_cancelled {
                running.wire.end.cancel();
            } else {
                // What was new meanwhile was copied, too, and is not to be taken for what nobody wants.
                facts = self.anew(key, facts).await;
            }
            let turn = Turn {
                facts: &facts,
                report: &report,
                memory: &memory,
                before: pruned.as_ref(),
                cancel: &running.wire.end,
            };
            pruned = prune::prune(&self.context, &self.world, key, turn).await;
            drop(running);
            if is_cancelled {
                // Whatever ended it asks for another look, or the program ends.
                tracing::info!("Ended a run before it was done");
                return Next::Await;
            }
            facts.object = object;
            facts.now = self.context.clock.now();
        }
        let written = facts.object.status.clone().unwrap_or_default();
        let (mut after, next) = status::compute(&facts, &decision, &memory.lock(), pruned);
        if matches!(decision, Decision::Run(_)) && !memory.lock().owes_answers {
            let witness = self.memory.witness();
            let is_told = after.witness.as_deref() == Some(witness) || implicit::is_implicit(key);
            // A state vouches for what is written down in it.
            if is_told || self.save().await {
                after.witness = Some(witness.to_owned());
            }
        }
        // What a suspended object says is old, and that others have not done their part yet is theirs to tell.
        let is_waiting = decide::is_waiting(&decision, &facts, &memory.lock());
        let speaks = decision != Decision::Rest && !is_waiting;
        let report = speaks
            .then(|| told(&facts.object, &before.conditions, &after.conditions))
            .flatten();
        let ready = condition::get(&after.conditions, condition::READY);
        let in_short = ready.filter(|_| matches!(decision, Decision::Run(_)));
        let in_short = in_short.map(|ready| ready.message.clone());
        let next = match decision {
            Decision::Fail(_) => self.context.secrets.retry(&self.context.settings),
            Decision::Release
            | Decision::Rest
            | Decision::Stall(_)
            | Decision::Run(_)
            | Decision::Wait => next,
        };
        self.stand(key, &after);
        if implicit::is_implicit(key) {
            implicit::settle(&self.context, &self.world.events, key, after, report);
            return next;
        }
        let desk = Desk {
            client: &self.world.client,
            lead: &self.world.lead,
            events: &self.world.events,
            settings: &self.context.settings,
        };
        desk.finish(
            &self.context.mirrors,
            (key, &*facts.object),
            (&written, &after),
            (report, in_short.as_deref()),
            next,
        )
        .await
    }

    /// The facts as they are after a run, unless they are another run's.
    async fn anew(&self, key: &Key, before: Facts) -> Facts {
        match gather::gather(&self.context, key).await {
            Gathered::Object(now) if wake::is_same(&now.object, &before.object) => *now,
            Gathered::Object(_) | Gathered::Unreadable | Gathered::Gone => before,
        }
    }

    /// Tells in numbers how it stands.
    fn stand(&self, key: &Key, status: &ImageMirrorStatus) {
        let counts = status.tags.clone().unwrap_or_default();
        let drifted = counts.drifted + counts.blocked;
        let stands = Stands {
            drifted,
            pending: counts.total - counts.mirrored - drifted,
        };
        self.context.metrics.mirror_stands(key, stands);
    }

    /// Tells others what is verified.
    fn publish(&self, key: &Key, how: &How, memory: &Shared) {
        let mirrored = memory.lock().mirrored(act::is_rewritten(how));
        let board = self.context.store.board();
        board.put_mirrored(key, Some(Arc::new(mirrored)));
    }
}

/// What is not kept is asked for again: nobody but the log need know.
fn tell_saved(saved: Result<Option<String>, crate::state::Error>) {
    match saved {
        Ok(None) => {}
        Ok(Some(warning)) => tracing::warn!("{warning}"),
        Err(error) => {
            tracing::warn!(error = with_causes(&error), "What was learnt is not kept");
        }
    }
}

/// The Event that is due, if any: when something changed. That something goes on failing is no news, in whatever words.
fn told(object: &ImageMirror, before: &[Condition], after: &[Condition]) -> Option<Report> {
    let report = news::report(news::reference(object), before, after)?;
    let was = condition::get(before, condition::READY);
    let is_told = report.severity == Severity::Warning
        && was.is_some_and(|was| {
            let is_same =
                was.reason == report.reason && was.status == condition::Status::False.as_str();
            is_same && (was.message == report.message || was.reason == reason::COPY_FAILED)
        });
    (!is_told).then_some(report)
}
