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
use crate::apiserver::chain::{self, Chain, Observer};
use crate::apiserver::health::{Fact, Health, Readiness};
use crate::apiserver::resources::Tags;
use crate::clock::SharedClock;
use crate::cluster::connect::{self, Connection, Environment};
use crate::cluster::delegated::{self, AuthConfig, Lookup, Pinned, Reviews, Right, missing_rights};
use crate::cluster::serving_cert::{self, Issued, Keeper};
use crate::config::settings;
use crate::serve::{Certificates, KeyPair, Listener, Server, Tls, reload};
use crate::store::Store;
use crate::task::Tasks;

/// How soon rights that are missing are looked for again.
const AGAIN: Duration = Duration::from_mins(1);
/// How soon what kube-apiserver did not give is asked for again.
const SOON: Duration = Duration::from_secs(2);
/// How long requests may take to finish once the server stops.
const DRAIN: Duration = Duration::from_secs(10);

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
    /// 1 while it serves.
    pub(super) is_on: Gauge,
    /// How authentication settings stand.
    pub(super) gauges: delegated::Gauges,
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
    stop: CancellationToken,
    stopped: watch::Receiver<bool>,
}

impl Serving {
    /// Ends it: no new connections, watches end, requests finish.
    pub(super) async fn stop(mut self) {
        self.stop.cancel();
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
    let certificates = Certificates::empty();
    let pinned = world.settings.delegated.pins.clone().load().await?;
    let follower = follow_files(&world, &certificates)?;
    let readiness = world.readiness.clone();
    let facts = Facts {
        certificate: readiness.fact("serving-cert"),
        authentication: readiness.fact("authn-config"),
    };
    let tls = Tls::new(certificates.clone()).context("failed to set up TLS")?;
    let stop = CancellationToken::new();
    let (ended, stopped) = watch::channel(false);
    let part = Part {
        world,
        certificates,
        tls,
        facts,
        tasks: tasks.clone(),
        stop: stop.clone(),
    };
    let until = tasks.shutdown().clone();
    tasks.spawn("apiserver", async move {
        part.run(listener, follower, pinned).await;
        ended.send_replace(true);
        until.cancelled().await;
    });
    Ok(Serving { stop, stopped })
}

fn follow_files(
    world: &World,
    certificates: &Certificates,
) -> anyhow::Result<Option<reload::Follower>> {
    let Some(files) = &world.settings.certificate else {
        return Ok(None);
    };
    let files = reload::Files {
        certificate: files.certificate.clone(),
        key: files.key.clone(),
    };
    let follower = reload::Follower::load(files, certificates.clone(), world.clock.clone())
        .context("failed to load --tls-cert-file and --tls-private-key-file")?;
    Ok(Some(follower))
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
    certificates: Certificates,
    tls: Tls,
    facts: Facts,
    tasks: Tasks,
    stop: CancellationToken,
}

impl Part {
    /// Until `stop`.
    async fn run(self, listener: Listener, follower: Option<reload::Follower>, pinned: Pinned) {
        let stop = self.stop.clone();
        let Some(server) = stop
            .run_until_cancelled(self.prepare(listener, follower, pinned))
            .await
        else {
            return;
        };
        self.world.is_on.set(1);
        let drained = server.run(stop, DRAIN).await;
        self.world.is_on.set(0);
        if drained.cut > 0 {
            tracing::warn!(
                connections = drained.cut,
                "Connections were cut, their requests took too long"
            );
        }
    }

    /// Waits for rights, certificate and authentication settings, in this order.
    async fn prepare(
        &self,
        listener: Listener,
        follower: Option<reload::Follower>,
        pinned: Pinned,
    ) -> Server<Chain> {
        self.wait_for_rights(pinned.lookup()).await;
        match follower {
            Some(follower) => {
                let stop = self.tasks.shutdown().clone();
                self.tasks.spawn("certificate", async move {
                    follower.follow(reload::PERIOD, stop.clone()).await;
                });
            }
            None => self.manage_certificate().await,
        }
        self.facts.certificate.set(true);
        let authentication = self.follow_authentication(pinned).await;
        self.facts.authentication.set(true);
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
        let settings = serving_cert::Settings {
            namespace: self.world.namespace.clone(),
            service: names::SERVICE_NAME.to_owned(),
            api_service: tags::API_SERVICE.to_owned(),
        };
        let mut said = String::new();
        let keeper = loop {
            let certificates = self.certificates.clone();
            let install = move |issued: &Issued| {
                let pair = KeyPair::from_der(issued.chain.clone(), &issued.key)?;
                certificates.replace(pair);
                Ok(())
            };
            let client = self.world.client.clone();
            match Keeper::start(client, settings.clone(), self.world.clock.clone(), install).await {
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
        self.tasks.spawn("certificate", keeper.keep(stop));
    }

    async fn follow_authentication(&self, pinned: Pinned) -> watch::Receiver<Arc<AuthConfig>> {
        let mut said = String::new();
        let follower = loop {
            let gauges = self.world.gauges.clone();
            let client = self.world.authentication.clone();
            match delegated::Follower::start(client, pinned.clone(), gauges.clone()).await {
                Ok(follower) => break follower,
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
        };
        let current = follower.current();
        let stop = self.tasks.shutdown().clone();
        self.tasks.spawn("authentication", follower.follow(stop));
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
            ..
        } = &self.world;
        // Apart, so that many strange tokens leave room to ask what known users may do.
        let [tokens, access] =
            [for_tokens, for_access].map(|client| Arc::new(Reviews::new(client.clone())));
        let authenticator = Authenticator::new(
            settings.delegated.authentication(),
            authentication,
            tokens,
            clock.clone(),
        );
        let authorizer = Authorizer::new(settings.delegated.authorization(), access);
        let resources = Tags::new(store.clone(), clock.clone(), self.stop.clone());
        let limits = chain::Settings {
            reads: settings.max_requests_inflight.get(),
            served: &tags::RESOURCES,
            ..chain::Settings::default()
        };
        let chain = Chain::new(
            limits,
            authenticator,
            authorizer,
            health.clone(),
            Arc::new(resources),
            observer.clone(),
        );
        Server::new(listener, chain)
            .with_tls(self.tls.clone())
            .with_panic_answer(Chain::panic_answer)
    }
}

fn complain(error: &(dyn std::error::Error + 'static), message: &'static str) {
    tracing::error!(error, "{message}");
}
