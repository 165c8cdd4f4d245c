//! Puts the aggregated API server together: certificate, authentication, authorization, resources.
//!
//! Where the rights for it are missing this part alone stays off, says once which role is missing, and looks again
//! every minute; the controllers never wait for it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use kube::Client;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::api::{names, tags};
use crate::apiserver::authn::Authenticator;
use crate::apiserver::authz::Authorizer;
use crate::apiserver::chain::{self, Audit, Chain, Closing, Manner, Observer};
use crate::apiserver::health::{Fact, Health, Readiness};
use crate::apiserver::resources::Tags;
use crate::apiserver::tag_query::{Knowledge, TagQueries};
use crate::apiserver::watch::Observer as WatchObserver;
use crate::clock::SharedClock;
use crate::cluster::connect::{self, Connection, Environment};
use crate::cluster::delegated::{self, AuthConfig, Lookup, Pinned, Reviews, Right, missing_rights};
use crate::cluster::serving_cert::{self, Issued, Keeper};
use crate::config::settings;
use crate::serve::{KeyPair, Limits, Listener, Server, Tls, reload};
use crate::store::Store;
use crate::task::Tasks;
use crate::telemetry::metrics::{self, ReviewCounts};

/// How soon rights that are missing are looked for again.
const AGAIN: Duration = Duration::from_mins(1);
/// How soon what kube-apiserver did not give is asked for again.
const SOON: Duration = Duration::from_secs(2);
/// How long connections may take to close once everything on them has ended.
const LAST: Duration = Duration::from_secs(7);

/// What the API server is built from.
pub(super) struct World {
    pub(super) client: Client,
    /// For token reviews and authentication settings.
    pub(super) authentication: Client,
    /// For access reviews.
    pub(super) authorization: Client,
    pub(super) store: Store,
    pub(super) clock: SharedClock,
    pub(super) health: Health,
    /// Where its certificate and the like are waited for.
    pub(super) readiness: Readiness,
    pub(super) settings: settings::ApiServer,
    pub(super) namespace: String,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) watch_observer: Arc<dyn WatchObserver>,
    pub(super) reviews: ReviewCounts,
    pub(super) transport: metrics::Serving,
    pub(super) audit: Option<Audit>,
    /// 1 while it serves.
    pub(super) is_on: Gauge,
    /// How authentication settings stand.
    pub(super) gauges: delegated::Gauges,
    /// What queries are answered from besides the store.
    pub(super) knowledge: Arc<dyn Knowledge>,
}

/// The client of the kubeconfig that a flag names, or the program's own.
pub(super) async fn client(
    flag: &'static str,
    kubeconfig: Option<&Path>,
    own: &Connection,
    outgoing: &connect::Settings,
) -> anyhow::Result<Client> {
    let Some(path) = kubeconfig else {
        return Ok(own.client.clone());
    };
    let environment = Environment {
        kubeconfig: Some(path.as_os_str().to_owned()),
        ..Environment::default()
    };
    let connection = connect::connect(&environment, outgoing.clone())
        .await
        .context(flag)?;
    Ok(connection.client)
}

/// The API server, running or waiting for its rights.
pub(super) struct Serving {
    closing: Closing,
    manner: Manner,
    ends: Ends,
    stopped: watch::Receiver<bool>,
}

/// What tells it to end.
#[derive(Clone, Default)]
struct Ends {
    /// No connection is accepted any more.
    accepting: CancellationToken,
    /// Whatever is open still ends.
    rest: CancellationToken,
}

impl Serving {
    /// Ends it: no new connections, requests finish, watches end one after the other.
    pub(super) async fn stop(mut self) {
        let Ends { accepting, rest } = &self.ends;
        self.closing.close(self.manner, accepting, rest).await;
        // An error means that its task is gone, which is as good.
        drop(self.stopped.wait_for(|stopped| *stopped).await);
    }
}

/// Starts it in the background. Files that do not hold a certificate are an error at once.
pub(super) async fn start(
    world: World,
    listener: Listener,
    tasks: &Tasks,
) -> anyhow::Result<Serving> {
    let pinned = world.settings.delegated.pins.clone().load().await?;
    let follower = follow_files(&world)?;
    let readiness = world.readiness.clone();
    let facts = Facts {
        certificate: readiness.fact("serving-cert"),
        authentication: readiness.fact("authn-config"),
    };
    let serving = &world.settings.serving;
    let certificates = world.transport.certificates.clone();
    let tls = Tls::offering(&serving.offer, certificates).context("failed to set up TLS")?;
    let (closing, ends, manner) = (Closing::new(), Ends::default(), serving.manner);
    let (ended, stopped) = watch::channel(false);
    let part = Part {
        world,
        tls,
        facts,
        tasks: tasks.clone(),
        closing: closing.clone(),
        ends: ends.clone(),
    };
    let until = tasks.shutdown().clone();
    tasks.spawn("apiserver", async move {
        part.run(listener, follower, pinned).await;
        ended.send_replace(true);
        until.cancelled().await;
    });
    Ok(Serving {
        closing,
        manner,
        ends,
        stopped,
    })
}

fn follow_files(world: &World) -> anyhow::Result<Option<reload::Follower>> {
    let Some(files) = &world.settings.certificate else {
        return Ok(None);
    };
    let files = reload::Files {
        certificate: files.certificate.clone(),
        key: files.key.clone(),
    };
    let transport = world.transport.clone();
    let follower = reload::Follower::load(files, transport.certificates, world.clock.clone())
        .context("failed to load --tls-cert-file and --tls-private-key-file")?;
    Ok(Some(follower.counting(transport.certificate_failures)))
}

/// What must be so before the API server is ready. Where it stays off, nobody waits for it.
struct Facts {
    certificate: Fact,
    authentication: Fact,
}

impl Facts {
    /// `true` while the API server is off for want of rights: then nobody waits for it.
    fn waive(&self, is_off: bool) {
        self.certificate.set(is_off);
        self.authentication.set(is_off);
    }
}

struct Part {
    world: World,
    tls: Tls,
    facts: Facts,
    tasks: Tasks,
    closing: Closing,
    ends: Ends,
}

impl Part {
    /// Until `stop`.
    async fn run(self, listener: Listener, follower: Option<reload::Follower>, pinned: Pinned) {
        let stop = self.ends.accepting.clone();
        let Some(server) = stop
            .run_until_cancelled(self.prepare(listener, follower, pinned))
            .await
        else {
            return;
        };
        self.world.is_on.set(1);
        let patience = self.world.settings.serving.manner.longest() + LAST;
        let drained = server.run(stop, patience).await;
        self.world.is_on.set(0);
        if drained.cut > 0 {
            tracing::warn!(
                connections = drained.cut,
                "Connections were cut, their requests took too long"
            );
        }
    }

    /// Waits for rights and a certificate, in this order. From then on it answers: 503 until everything else is there.
    async fn prepare(
        &self,
        listener: Listener,
        follower: Option<reload::Follower>,
        pinned: Pinned,
    ) -> Server<Chain> {
        self.wait_for_rights(pinned.lookup()).await;
        match follower {
            Some(follower) => {
                self.check_certificate().await;
                let stop = self.tasks.shutdown().clone();
                self.tasks.spawn("certificate", async move {
                    follower.follow(reload::PERIOD, stop.clone()).await;
                });
            }
            None => self.manage_certificate().await,
        }
        self.facts.certificate.set(true);
        let authentication = self.follow_authentication(pinned);
        self.server(listener, authentication)
    }

    async fn wait_for_rights(&self, lookup: Lookup) {
        let mut is_said = false;
        loop {
            match self.missing_rights(lookup).await {
                Ok(missing) if missing.is_empty() => {
                    self.facts.waive(false);
                    return;
                }
                Ok(missing) => {
                    self.facts.waive(true);
                    if !is_said {
                        let missing: Vec<String> =
                            missing.iter().map(ToString::to_string).collect();
                        let missing = missing.join("; ");
                        tracing::error!(
                            missing,
                            "Aggregated API server is off, its rights are missing: apply apiservice/base"
                        );
                        is_said = true;
                    }
                    tokio::time::sleep(AGAIN).await;
                }
                Err(error) => {
                    complain(&error, "Rights not checked, trying again");
                    tokio::time::sleep(SOON).await;
                }
            }
        }
    }

    /// Those that each of the accounts needs and has not.
    async fn missing_rights(&self, lookup: Lookup) -> Result<Vec<Right>, delegated::Error> {
        let needed: &[Right] = match lookup {
            Lookup::Required => &[Right::ReadAuthConfig, Right::ReviewTokens],
            Lookup::Tolerated | Lookup::Skipped => &[Right::ReviewTokens],
        };
        let mut missing = missing_rights(self.world.authentication.clone(), needed).await?;
        let access = missing_rights(self.world.authorization.clone(), &[Right::ReviewAccess]);
        missing.extend(access.await?);
        Ok(missing)
    }

    async fn manage_certificate(&self) {
        let settings = self.certificate_settings();
        let mut said = String::new();
        let keeper = loop {
            let certificates = self.world.transport.certificates.clone();
            let install = move |issued: &Issued| {
                let pair = KeyPair::from_der(issued.chain.clone(), &issued.key)?;
                certificates.replace(pair);
                Ok(())
            };
            let client = self.world.client.clone();
            let clock = self.world.clock.clone();
            // In a box: it is done once, and everything that goes on here would be as large as it.
            match Box::pin(Keeper::start(client, settings.clone(), clock, install)).await {
                Ok(keeper) => break keeper,
                Err(error) => {
                    // The right may be granted, the namespace may appear: until then the rest of the program goes on.
                    self.facts.waive(error.is_for_people_to_mend());
                    let text = error.to_string();
                    if said != text {
                        complain(&error, "No serving certificate, trying again");
                        said = text;
                    }
                    tokio::time::sleep(SOON).await;
                }
            }
        };
        let stop = self.tasks.shutdown().clone();
        let failures = Arc::clone(&self.world.transport.certificate_failures);
        self.tasks
            .spawn("certificate", keeper.counting(failures).keep(stop));
    }

    fn certificate_settings(&self) -> serving_cert::Settings {
        serving_cert::Settings {
            namespace: self.world.namespace.clone(),
            service: names::SERVICE_NAME.to_owned(),
            api_service: tags::API_SERVICE.to_owned(),
            lives: serving_cert::Lives::default(),
        }
    }

    /// Says why kube-apiserver would not believe the certificate of the files, if it would not: it only says "x509".
    async fn check_certificate(&self) {
        let Some(pair) = self.world.transport.certificates.current() else {
            return;
        };
        let settings = self.certificate_settings();
        let name = settings.dialled_name();
        if !pair.is_for(&name) {
            tracing::warn!(
                name,
                "Serving certificate is not for the name that kube-apiserver dials"
            );
            return;
        }
        let now = self.world.clock.now();
        let client = self.world.client.clone();
        match serving_cert::is_believed(client, &settings, pair.chain(), now).await {
            Ok(Some(false)) => tracing::warn!(
                api_service = settings.api_service,
                "Serving certificate is not of an authority in the APIService's caBundle"
            ),
            Ok(Some(true) | None) => {}
            Err(error) => tracing::debug!(
                error = &error as &dyn std::error::Error,
                "Serving certificate not compared with the APIService's caBundle"
            ),
        }
    }

    /// What kube-apiserver says about authentication, as soon as it says anything. Until then nobody is anybody.
    fn follow_authentication(&self, pinned: Pinned) -> watch::Receiver<Arc<AuthConfig>> {
        let (said, current) = watch::channel(Arc::default());
        let stop = self.tasks.shutdown().clone();
        let client = self.world.authentication.clone();
        let gauges = self.world.gauges.clone();
        let is_read = self.facts.authentication.clone();
        self.tasks.spawn("authentication", async move {
            let reading = read_authentication(client, pinned, gauges);
            let Some(follower) = stop.run_until_cancelled(reading).await else {
                return;
            };
            let mut newest = follower.current();
            said.send_replace(Arc::clone(&newest.borrow_and_update()));
            is_read.set(true);
            let told = async {
                while newest.changed().await.is_ok() {
                    said.send_replace(Arc::clone(&newest.borrow_and_update()));
                }
            };
            tokio::join!(follower.follow(stop), told);
        });
        current
    }

    fn server(
        &self,
        listener: Listener,
        authentication: watch::Receiver<Arc<AuthConfig>>,
    ) -> Server<Chain> {
        let World {
            authentication: for_tokens,
            authorization: for_access,
            store,
            clock,
            health,
            settings,
            observer,
            knowledge,
            watch_observer,
            reviews,
            transport,
            audit,
            ..
        } = &self.world;
        let serving = &settings.serving;
        // Apart, so that many strange tokens leave room to ask what known users may do.
        let [tokens, access] = [for_tokens, for_access]
            .map(|client| Arc::new(reviews.count(Reviews::new(client.clone()))));
        let authenticator = Authenticator::new(
            settings.delegated.authentication(),
            authentication,
            tokens,
            clock.clone(),
        )
        .observed_by(Arc::new(reviews.clone()));
        let authorizer = Authorizer::new(settings.delegated.authorization(), access);
        let queries = TagQueries::new(
            store.clone(),
            clock.clone(),
            knowledge.clone(),
            authorizer.clone(),
        );
        let resources = Tags::new(store.clone(), clock.clone(), self.ends.rest.clone())
            .with_queries(queries)
            .with_watches_observed(Arc::clone(watch_observer));
        let chain_settings = chain::Settings {
            reads: settings.max_requests_inflight.get(),
            writes: serving.max_mutating_requests_inflight.get(),
            watches: serving.max_watches_inflight.get(),
            request_timeout: serving.request_timeout,
            goaway_chance: serving.goaway_chance,
            served: &tags::RESOURCES,
            ..chain::Settings::default()
        };
        let chain = Chain::new(
            chain_settings,
            authenticator,
            authorizer,
            health.clone(),
            Arc::new(resources),
            observer.clone(),
        )
        .closed_by(self.closing.clone())
        .audited(audit.clone());
        let limits = Limits {
            streams: serving.http2_streams,
            ..Limits::default()
        };
        Server::new(listener, chain)
            .with_tls(self.tls.clone())
            .with_limits(limits)
            .with_stats(Arc::clone(&transport.stats))
            .with_panic_answer(Chain::panic_answer)
    }
}

async fn read_authentication(
    client: Client,
    pinned: Pinned,
    gauges: delegated::Gauges,
) -> delegated::Follower {
    let mut said = String::new();
    loop {
        match delegated::Follower::start(client.clone(), pinned.clone(), gauges.clone()).await {
            Ok(follower) => return follower,
            Err(error) => {
                gauges.problems.set(1);
                let text = error.to_string();
                if said != text {
                    complain(&error, "Authentication settings not read, trying again");
                    said = text;
                }
                tokio::time::sleep(SOON).await;
            }
        }
    }
}

fn complain(error: &(dyn std::error::Error + 'static), message: &'static str) {
    tracing::error!(error, "{message}");
}
