//! The controllers: ImageRepository scans, ImagePolicy elects. Each reconcile runs in four steps that are files of
//! their own: `gather` (facts, from cluster and store) → `decide` (pure) → `act` (one effect) → `status` (pure;
//! one patch).
//!
//! The controllers meet in the tag store only: a scan commits, the store says what changed, and the policies
//! of that repository elect anew. Nothing here serves, and nothing here knows HTTP.

pub mod backoff;
pub mod image_mirror;
pub mod image_policy;
pub mod image_repository;
pub mod kind;
pub mod lead;
pub mod metrics;
pub mod news;
pub mod queue;
pub mod registry;
pub mod settle;
pub mod share;

mod access;
mod admission;
mod change;
mod companion;
mod doubted;
mod finish;
mod follow;
mod intake;
mod lanes;
mod referrers;
mod requirers;
mod secrets;
mod wire;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio_util::sync::CancellationToken;

pub use self::backoff::Limits;
pub use self::image_policy::reader::{Reader, Referral, Sight, Standing};
pub use self::kind::Kind;
pub use self::lead::Lead;
pub use self::metrics::Metrics;
pub use self::registry::Registry;
use crate::api::{ImageMirror, ImagePolicy, ImageRepository, names};
use crate::clock::SharedClock;
use crate::cluster::crds::{self, Needed};
use crate::cluster::event::{self, Address, Events, Patience};
use crate::cluster::index::Index;
use crate::cluster::watch::{self, Scope};
use crate::object::Key;
use crate::store::Store;
use crate::task::Tasks;

/// How often the cluster is asked again whether our kinds are installed.
const CRD_POLL: Duration = Duration::from_secs(2);

/// The resources that the controllers cannot start without.
pub const NEEDED: [Needed; 2] = [
    Needed {
        group_version: "image.toolkit.fluxcd.io/v1",
        plural: "imagerepositories",
    },
    Needed {
        group_version: "image.toolkit.fluxcd.io/v1",
        plural: "imagepolicies",
    },
];

/// What the program was told about how to control.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "as many as there are flags")]
pub struct Settings {
    /// Whose objects are reconciled (`--controllers`). Both kinds are followed in any case: policies need the
    /// repositories, and what is held for an object goes with it.
    pub kinds: Vec<Kind>,
    /// How many objects of each kind are reconciled at once for one registry host (`--concurrent`): a host that keeps
    /// its objects waiting takes no place from others.
    pub concurrent: usize,
    /// The delays after failures (`--min-retry-delay`, `--max-retry-delay`).
    pub retry: Limits,
    /// The delay after which a policy looks again for what it depends on (`--requeue-dependency`).
    pub requeue_dependency: Duration,
    /// Whether a policy may refer to its own namespace only (`--no-cross-namespace-refs`).
    pub no_cross_namespace_refs: bool,
    /// Whether `spec.serviceAccountName` may be used with a cloud provider (feature gate `ObjectLevelWorkloadIdentity`).
    pub object_level_workload_identity: bool,
    /// Whether a revision takes the `sha256:` form where the status has none yet (feature gate `FluxStorage`).
    pub flux_storage: bool,
    /// Those labels of an ImageRepository that its tags carry too (`--imagetag-labels`).
    pub tag_labels: BTreeSet<String>,
    /// Which objects are looked at (`--watch-all-namespaces`, `--watch-label-selector`).
    pub scope: Scope,
    /// The name under which statuses and Events are written.
    pub controller_name: String,
    /// Whether Flux's own controller goes on working beside this one (`--companion`): then nothing of Flux's is written.
    pub is_companion: bool,
    /// Where Events are posted to besides the cluster (`--events-addr`).
    pub events_address: Option<Address>,
    /// How many scans in a row have to miss a tag before it is dropped, where the list is suspect
    /// (`--suspect-confirmations`).
    pub suspect_confirmations: u32,
    /// The mirrors that no object asks for (`--destination-registry`).
    pub implicit: Option<image_mirror::Implicit>,
}

impl Default for Settings {
    /// Flux's defaults.
    fn default() -> Self {
        Self {
            kinds: vec![Kind::ImageRepository, Kind::ImagePolicy],
            concurrent: 4,
            retry: Limits {
                min: Duration::from_millis(750),
                max: Duration::from_mins(15),
            },
            requeue_dependency: Duration::from_secs(30),
            no_cross_namespace_refs: false,
            object_level_workload_identity: false,
            flux_storage: false,
            tag_labels: BTreeSet::new(),
            scope: Scope::default(),
            controller_name: names::CONTROLLER_NAME.to_owned(),
            is_companion: false,
            events_address: None,
            suspect_confirmations: 3,
            implicit: None,
        }
    }
}

/// What the controllers are given.
#[derive(Debug, Clone)]
pub struct World {
    /// The cluster.
    pub client: ClientHandle,
    /// Where tags and elections are kept.
    pub store: Store,
    /// The registries.
    pub registry: Arc<dyn Registry>,
    /// Calendar time.
    pub clock: SharedClock,
    /// Whether this process may act at all.
    pub lead: Lead,
    /// How to control.
    pub settings: Settings,
    /// What is counted.
    pub metrics: Metrics,
    /// What mirrors need; `None`: nothing is mirrored.
    pub mirroring: Option<image_mirror::World>,
}

/// A client that can be printed.
#[derive(Clone)]
pub struct ClientHandle(pub Client);

impl std::fmt::Debug for ClientHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

impl From<Client> for ClientHandle {
    fn from(client: Client) -> Self {
        Self(client)
    }
}

/// A list of at most so many tags is worked on where it is: that takes well under a millisecond, and a thread of its
/// own would cost as much.
const SHORT_LIST: usize = 2000;

/// What every reconcile holds.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) client: ClientHandle,
    pub(crate) store: Store,
    pub(crate) registry: Arc<dyn Registry>,
    pub(crate) clock: SharedClock,
    pub(crate) settings: Settings,
    pub(crate) metrics: Metrics,
    pub(crate) events: Events,
    /// Whoever is about to commit or to write asks whether it still may.
    pub(crate) lead: Lead,
    pub(crate) doubted: doubted::Doubted,
    pub(crate) repositories: Index<ImageRepository>,
    pub(crate) policies: Index<ImagePolicy>,
    pub(crate) mirrors: Index<ImageMirror>,
    pub(crate) inbox: image_mirror::Inbox,
    pub(crate) ties: image_mirror::Ties,
    pub(crate) secrets: secrets::Secrets,
    /// What elections keep from run to run, for those who explain them.
    pub(crate) elections: Arc<image_policy::Kept>,
}

/// The running controllers.
#[derive(Debug, Clone)]
pub struct Controllers {
    repositories: Index<ImageRepository>,
    policies: Index<ImagePolicy>,
    reader: Reader,
    ended: CancellationToken,
}

impl Controllers {
    /// Resolves when nothing is written any more, after shutdown.
    pub async fn wait_until_ended(&self) {
        self.ended.cancelled().await;
    }

    /// The readiness fact: both kinds were listed to the end once.
    pub fn are_synced(&self) -> bool {
        self.repositories.is_synced() && self.policies.is_synced()
    }

    /// Resolves when [`Self::are_synced`] holds.
    pub async fn wait_until_synced(&self) {
        self.repositories.wait_until_synced().await;
        self.policies.wait_until_synced().await;
    }

    /// The ImageRepositories, for readers that have the objects' own facts to tell.
    pub fn repositories(&self) -> &Index<ImageRepository> {
        &self.repositories
    }

    /// A look at what elections go by.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// The ImagePolicies.
    pub fn policies(&self) -> &Index<ImagePolicy> {
        &self.policies
    }
}

/// Starts both controllers and the Event recorder as tasks of `tasks`; they end on its shutdown. Waits for nothing:
/// the CRDs may be missing, and are then waited for in the background.
pub fn start(world: World, tasks: &Tasks) -> Controllers {
    let World {
        client,
        store,
        registry,
        clock,
        mut lead,
        settings,
        metrics,
        mirroring,
    } = world;
    let shutdown = tasks.shutdown().clone();
    let events = if settings.is_companion {
        Events::silent()
    } else {
        record(&client, &settings, &clock, &metrics, tasks)
    };
    let context = Arc::new(Context {
        client,
        store,
        registry,
        clock,
        settings,
        metrics,
        events,
        lead: lead.clone(),
        doubted: doubted::Doubted::default(),
        repositories: Index::default(),
        policies: Index::default(),
        mirrors: Index::default(),
        inbox: image_mirror::Inbox::default(),
        ties: image_mirror::Ties::default(),
        secrets: secrets::Secrets::default(),
        elections: Arc::default(),
    });
    let running = Controllers {
        repositories: context.repositories.clone(),
        policies: context.policies.clone(),
        reader: Reader::new(context.clone(), context.elections.clone()),
        ended: CancellationToken::new(),
    };
    let ended = running.ended.clone().drop_guard();
    tasks.spawn("controllers", async move {
        let _ended = ended;
        let mirrors = async {
            if let Some(world) = mirroring {
                image_mirror::control(context.clone(), world, shutdown.clone()).await;
            }
        };
        let control = Box::pin(while_leading(&context, &mut lead, &shutdown));
        tokio::join!(control, Box::pin(mirrors));
    });
    running
}

/// Controls whenever this process leads, until `shutdown`.
async fn while_leading(context: &Arc<Context>, lead: &mut Lead, shutdown: &CancellationToken) {
    let served = crds::wait_until_served(&context.client.0, &NEEDED, CRD_POLL);
    if shutdown.run_until_cancelled(served).await.is_none() {
        return;
    }
    while shutdown.run_until_cancelled(lead.gained()).await.is_some() {
        // What was known before may be long past.
        context.repositories.clear();
        context.policies.clear();
        tokio::select! {
            biased;
            // Whatever is under way is dropped where it stands: another process may write from now on.
            () = lead.lost() => tracing::info!("Controllers stopped, tags stay served"),
            () = act(context.clone(), shutdown.clone()) => return,
        }
        // Nothing follows them any more: whoever asks is told so, and not what was once so.
        context.repositories.clear();
        context.policies.clear();
    }
}

/// Starts the Event recorder, and answers the way to it.
fn record(
    client: &ClientHandle,
    settings: &Settings,
    clock: &SharedClock,
    metrics: &Metrics,
    tasks: &Tasks,
) -> Events {
    let (events, recorder) = event::recorder(
        client.0.clone(),
        event::Settings {
            component: settings.controller_name.clone(),
            address: settings.events_address.clone(),
            patience: Patience::default(),
            clock: clock.clone(),
            observer: Arc::new(metrics.clone()),
        },
    );
    let until = tasks.shutdown().clone();
    tasks.spawn(
        "events",
        recorder.run(async move { until.cancelled().await }, LAST_EVENTS),
    );
    events
}

/// How long Events may still go out after shutdown was asked for: as long as reconciles may go on.
const LAST_EVENTS: Duration = Duration::from_secs(5);

/// Everything that runs once our kinds are served, until `shutdown`: beside Flux, or in its place.
async fn act(context: Arc<Context>, shutdown: CancellationToken) {
    if context.settings.is_companion {
        Box::pin(companion::control(context, shutdown)).await;
    } else {
        Box::pin(control(context, shutdown)).await;
    }
}

async fn control(context: Arc<Context>, shutdown: CancellationToken) {
    let (scan, scans) = queue::queue();
    let (elect, elections) = queue::queue();
    let scanner = Arc::new(image_repository::Controller::new(context.clone()));
    let elector = Arc::new(image_policy::Controller::new(
        context.clone(),
        context.elections.clone(),
    ));
    let Settings {
        concurrent,
        retry,
        ref scope,
        ..
    } = context.settings;

    let runs = |kind| context.settings.kinds.contains(&kind);
    let (scans_run, elections_run) = (runs(Kind::ImageRepository), runs(Kind::ImagePolicy));

    let watches = async {
        let client = &context.client.0;
        tokio::join!(
            watch::follow(
                client.clone(),
                scope.clone(),
                context.repositories.clone(),
                |touched| {
                    change::repositories(&context, touched, &scanner, &elector, &scan, &elect)
                }
            ),
            watch::follow(
                client.clone(),
                scope.clone(),
                context.policies.clone(),
                |touched| { change::policies(&context, touched, &elector, &elect) }
            ),
            follow::tidy(&context, &scan, &elect),
            follow::store(
                &context,
                |repository| elector.referrers(repository),
                || follow::policies(&context),
                &elect
            ),
            follow::mirrors(&context, &elector, &elect),
            secrets::follow(
                &context,
                |repository| elector.referrers(repository),
                &scan,
                &elect
            ),
        );
    };
    let run_scans = {
        let scanner = scanner.clone();
        let meter = context.metrics.queue(Kind::ImageRepository, concurrent);
        let lane = |key: &Key| lanes::of_repository(&context, key);
        queue::run(
            scans,
            concurrent,
            lane,
            retry,
            shutdown.clone(),
            meter,
            move |key| {
                let scanner = scanner.clone();
                // Boxed: a reconcile holds every request that it may make.
                Box::pin(async move {
                    if scans_run {
                        scanner.reconcile(key).await
                    } else {
                        scanner.follow_deletion(&key).await
                    }
                })
            },
        )
    };
    let run_elections = {
        let (elector, synced) = (elector.clone(), context.repositories.clone());
        let meter = context.metrics.queue(Kind::ImagePolicy, concurrent);
        let lane = |key: &Key| lanes::of_policy(&context, key);
        queue::run(
            elections,
            concurrent,
            lane,
            retry,
            shutdown.clone(),
            meter,
            move |key| {
                let (elector, synced) = (elector.clone(), synced.clone());
                Box::pin(async move {
                    if !elections_run {
                        return elector.follow_deletion(&key).await;
                    }
                    // Until the repositories are known, each would look missing.
                    synced.wait_until_synced().await;
                    elector.reconcile(key).await
                })
            },
        )
    };
    tokio::join!(
        run_scans,
        run_elections,
        shutdown.run_until_cancelled(watches)
    );
}
