//! The application: builds everything from checked settings, runs it, and ends it in order.
//!
//! The only place where the rooms meet: it hands the store to the controllers and to the API server, and nothing
//! else passes between them. It decides nothing about tags.

mod aggregated;
mod endpoints;
mod lead;
mod mirror_lead;
mod mirroring;
mod query;
mod state;

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use self::lead::Standing;

use crate::apiserver::chain::Audit;
use crate::apiserver::health::{Fact, Health, Heartbeat, Readiness, Version};
use crate::clock::SharedClock;
use crate::cluster::connect::{self, Environment, Gate};
use crate::cluster::watch::Scope;
use crate::config::settings::{self, Settings};
use crate::control::{self, Kind};
use crate::registry;
use crate::serve::Listener;
use crate::task::{Outcome, Tasks};
use crate::telemetry::audit;
use crate::telemetry::metrics::{KubeRequests, Leadership, Metrics};

/// How long tasks may take to end once they were asked to; after that they are cut.
const STOP_WITHIN: Duration = Duration::from_secs(20);

/// Runs the program until a signal ends it.
///
/// # Errors
/// Whatever keeps it from starting, and a part that ended without being asked to.
pub async fn run(settings: Settings, clock: SharedClock) -> anyhow::Result<()> {
    // Fails only when somebody installed a provider before; there is one in this program.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let mut signals = Signals::listen()?;
    let tasks = Tasks::new();
    let program = tokio::select! {
        program = Program::start(settings, clock, &tasks) => program?,
        () = signals.next() => return Ok(()),
    };
    let failure = tokio::select! {
        () = signals.next() => None,
        Some(end) = tasks.next_end() => Some(match end.outcome {
            Outcome::Returned => anyhow!("the task {} ended without being asked to", end.name),
            Outcome::Panicked(panic) => anyhow!("the task {} panicked: {panic}", end.name),
        }),
    };
    tokio::select! {
        () = program.stop(&tasks) => failure.map_or(Ok(()), Err),
        () = signals.next() => {
            tracing::info!("Stopping at once, asked a second time");
            Err(failure.unwrap_or_else(|| anyhow!("stopped at once, asked a second time")))
        }
    }
}

/// What is needed to end in order.
struct Program {
    store: crate::store::Store,
    not_stopping: Fact,
    serving: aggregated::Serving,
    shutdown_delay: Duration,
}

impl Program {
    async fn start(settings: Settings, clock: SharedClock, tasks: &Tasks) -> anyhow::Result<Self> {
        let Settings {
            api_server,
            controllers,
            registries,
            mirrors,
            election,
            kube_api,
            events,
            storage_path,
            metrics,
            health,
            log: _,
            runtime_namespace,
            without_effect,
        } = settings;

        // Sockets first: a port that is taken is said before anything else happens.
        let secure = Listener::bind(api_server.listen).await?;
        let health_listener = Listener::bind(health).await?;
        let metrics_listener = match metrics {
            Some(address) => Some(Listener::bind(address).await?),
            None => None,
        };
        let (gate, kube_requests) = (Gate::default(), KubeRequests::default());
        let outgoing = connect::Settings {
            rate: kube_api,
            gate: gate.clone(),
            observer: kube_requests.observer(),
        };
        let connection = connect::connect(&Environment::of_process(), outgoing.clone()).await?;
        let delegated = &api_server.delegated;
        let authentication = aggregated::client(
            "--authentication-kubeconfig",
            delegated.authentication_kubeconfig.as_deref(),
            &connection,
            &outgoing,
        );
        let authentication = authentication.await?;
        let authorization = aggregated::client(
            "--authorization-kubeconfig",
            delegated.authorization_kubeconfig.as_deref(),
            &connection,
            &outgoing,
        );
        let authorization = authorization.await?;
        kube_requests.are_to(&connection.server);
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            server = connection.server,
            secure = %secure.address(),
            health = %health_listener.address(),
            metrics = metrics_listener.as_ref().map(|l| l.address().to_string()),
            "Starting"
        );

        if !without_effect.is_empty() {
            tracing::info!(
                flags = without_effect.join(", "),
                "Flags are accepted, but do nothing here"
            );
        }
        if controllers.gates.cache_secrets_and_config_maps {
            tracing::info!(
                gate = "CacheSecretsAndConfigMaps",
                "Feature gate has no effect: Secrets are read when they are used"
            );
        }
        let readiness = Readiness::new();
        let not_stopping = readiness.fact("shutdown");
        not_stopping.set(true);
        let store_is_open = readiness.fact("tag-cache-synced");
        let is_synced = readiness.fact("kube-informers");
        let heartbeat = Heartbeat::default();
        let health =
            Health::new(readiness.clone(), Version::current()).with_heartbeat(heartbeat.clone());
        endpoints::serve_health(health_listener, health, tasks);
        tasks.spawn(
            "heartbeat",
            heartbeat.clone().beat(tasks.shutdown().clone()),
        );
        // A standby is ready as Flux's is, but never serves: that is told where it would serve.
        let may_serve = Readiness::over(readiness.clone());
        let is_leading = may_serve.fact("leader");

        let settled = connection.settle_throttle();
        let stop = tasks.shutdown().clone();
        tasks.spawn("throttle", async move {
            stop.run_until_cancelled(settled).await;
            stop.cancelled().await;
        });
        let client = connection.client.clone();
        let (leadership, controllers_ended) = (Leadership::default(), CancellationToken::new());
        let leading = lead::start(
            &client,
            lead::Settings {
                election: election.clone(),
                label_selector: controllers.label_selector.clone(),
                is_companion: controllers.is_companion,
                runtime_namespace: runtime_namespace.clone(),
            },
            &clock,
            gate,
            leadership.clone(),
            &controllers_ended,
            tasks,
        );
        let state = state::State {
            client: client.clone(),
            namespace: runtime_namespace.clone(),
            path: storage_path.clone(),
            is_companion: controllers.is_companion,
        };
        let store = state.open(&clock).await?;
        store_is_open.set(true);

        let counted = Metrics::new(store.clone(), &kube_requests, &leadership);
        if let Some(listener) = metrics_listener {
            endpoints::serve_metrics(listener, counted.clone(), tasks);
        }

        let registry = registry::Client::new(registry::Settings {
            observer: counted.registry_observer(),
            rate: registry::Rate {
                concurrency: registries.concurrency.get(),
                per_second: registries.rps.unwrap_or_default(),
            },
            ..registry::Settings::default()
        });
        let control_settings = control::Settings {
            events_address: events,
            implicit: mirroring::implicit(mirrors.implicit.as_ref()),
            ..control_settings(&controllers, &api_server)
        };
        let mirroring = if controllers.image_mirror {
            let settings = &mirror_lead::Settings {
                election,
                implicit: mirrors.implicit.clone(),
                label_selector: controllers.label_selector.clone(),
                is_companion: controllers.is_companion,
                runtime_namespace: runtime_namespace.clone(),
            };
            let office = mirror_lead::start(
                &connection,
                settings,
                &clock,
                &leading,
                leadership,
                &controllers_ended,
                tasks,
            )?;
            let told_by = (
                control_settings.controller_name.clone(),
                control_settings.events_address.clone(),
            );
            let metrics = counted.controllers();
            let events = mirroring::events(&office.client, told_by, &clock, &metrics, tasks);
            let settings = mirroring::settings(&mirrors);
            let world = mirroring::world(office, events, registry.clone(), settings, &storage_path);
            Some(world.await)
        } else {
            None
        };
        let lead::Leading {
            lead,
            standing,
            opening: _,
        } = leading;
        let running = control::start(
            control::World {
                client: client.clone().into(),
                store: store.clone(),
                registry: Arc::new(registry),
                clock: clock.clone(),
                lead,
                settings: control_settings,
                metrics: counted.controllers(),
                mirroring,
            },
            tasks,
        );
        let knowledge = Arc::new(query::Controllers(running.reader().clone()));
        {
            let stop = tasks.shutdown().clone();
            tasks.spawn("synced", async move {
                let follow = follow_standing(standing, &running, is_synced, is_leading);
                stop.run_until_cancelled(follow).await;
                running.wait_until_ended().await;
                controllers_ended.cancel();
            });
        }
        let audit = match &api_server.serving.audit_log {
            None => None,
            Some(target) => {
                let (queue, writer) = audit::open(target.clone(), counted.audit())?;
                tasks.spawn("audit", writer.run(tasks.shutdown().clone()));
                Some(Audit::new(Arc::new(queue), clock.clone()))
            }
        };
        let may_serve = Health::new(may_serve, Version::current())
            .with_heartbeat(heartbeat)
            .with_metrics(Arc::new(counted.clone()));
        let shutdown_delay = api_server.shutdown_delay;
        let serving = aggregated::start(
            aggregated::World {
                client,
                authentication,
                authorization,
                store: store.clone(),
                clock,
                health: may_serve,
                readiness: readiness.clone(),
                settings: api_server,
                namespace: runtime_namespace,
                observer: counted.api_observer(),
                watch_observer: counted.watch_observer(),
                reviews: counted.reviews(),
                transport: counted.serving(),
                audit,
                is_on: counted.api_server_is_on(),
                gauges: counted.authentication(),
                knowledge,
            },
            secure,
            tasks,
        )
        .await?;
        announce_readiness(readiness, tasks);
        Ok(Self {
            store,
            not_stopping,
            serving,
            shutdown_delay,
        })
    }

    /// Not ready → delay → no new connections, watches end, requests finish → controllers stop → the store is on disk.
    async fn stop(self, tasks: &Tasks) {
        tracing::info!("Stopping");
        self.not_stopping.set(false);
        tokio::time::sleep(self.shutdown_delay).await;
        self.serving.stop().await;
        tasks.shutdown().cancel();
        let ended = timeout(STOP_WITHIN, async {
            while tasks.next_end().await.is_some() {}
        })
        .await;
        let closed = self.store.close().await;
        if let Err(error) = &closed {
            tracing::error!(
                error = error as &dyn std::error::Error,
                "Tag store not closed"
            );
        }
        tracing::info!(graceful = ended.is_ok() && closed.is_ok(), "Stopped");
    }
}

fn control_settings(
    controllers: &settings::Controllers,
    api_server: &settings::ApiServer,
) -> control::Settings {
    let kinds = [
        (Kind::ImageRepository, controllers.image_repository),
        (Kind::ImagePolicy, controllers.image_policy),
        (Kind::ImageMirror, controllers.image_mirror),
    ];
    control::Settings {
        kinds: kinds
            .into_iter()
            .filter_map(|(kind, runs)| runs.then_some(kind))
            .collect(),
        concurrent: controllers.concurrent.get(),
        retry: control::Limits {
            min: controllers.min_retry_delay,
            max: controllers.max_retry_delay,
        },
        requeue_dependency: controllers.requeue_dependency,
        no_cross_namespace_refs: !controllers.cross_namespace_refs,
        flux_storage: controllers.gates.flux_storage,
        object_level_workload_identity: controllers.gates.object_level_workload_identity,
        tag_labels: api_server.imagetag_labels.iter().cloned().collect(),
        scope: Scope {
            namespace: controllers.namespace.clone(),
            label_selector: controllers.label_selector.clone(),
        },
        is_companion: controllers.is_companion,
        suspect_confirmations: controllers.suspect_confirmations,
        ..control::Settings::default()
    }
}

/// Keeps the facts that depend on who acts. Nobody waits for the objects of a process that stands by.
async fn follow_standing(
    mut standing: watch::Receiver<Standing>,
    running: &control::Controllers,
    is_synced: Fact,
    is_leading: Fact,
) {
    loop {
        let now = *standing.borrow_and_update();
        is_leading.set(now == Standing::Acting);
        is_synced.set(now == Standing::By || running.are_synced());
        let changed = async {
            if standing.changed().await.is_err() {
                // It stays as it is.
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = changed => {}
            () = running.wait_until_synced(), if now == Standing::Acting && !is_synced.holds() => {}
        }
    }
}

/// Says once that everything is ready, and what is still missing when that takes long.
fn announce_readiness(readiness: Readiness, tasks: &Tasks) {
    let stop = tasks.shutdown().clone();
    tasks.spawn("readiness", async move {
        let mut patience = tokio::time::interval(Duration::from_millis(50));
        let mut waited = 0_u32;
        while !readiness.is_ready() {
            if waited > 0 && waited.is_multiple_of(200) {
                tracing::info!(missing = readiness.missing().join(", "), "Not ready yet");
            }
            waited = waited.saturating_add(1);
            if stop.run_until_cancelled(patience.tick()).await.is_none() {
                return;
            }
        }
        tracing::info!("Ready");
        stop.cancelled().await;
    });
}

/// SIGTERM and SIGINT, which mean the same.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
