//! Follows the authentication ConfigMap, and the files that flags name in its place, for as long as the program runs, so
//! that a rotated authority counts from the next request on (AUTHN-1, AUTHN-2).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::watcher;
use kube::{Api, Client};
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{AllowedNames, AuthConfig, CONFIG_MAP, CONFIG_NAMESPACE, Error, Lookup, Pinned};

const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Longest pause between two attempts to watch while kube-apiserver does not answer.
pub const OUTAGE_PAUSE: Duration = Duration::from_secs(30);

/// How often the files that flags name are read again.
const FILES_PERIOD: Duration = Duration::from_mins(1);

/// Keeps an [`AuthConfig`] at the newest usable state of the ConfigMap and of the files that flags name.
#[derive(Debug)]
pub struct Follower {
    api: Api<ConfigMap>,
    pinned: Pinned,
    /// What the ConfigMap says, flags aside.
    said: AuthConfig,
    /// Whether the list that is under way, or the last one, has the ConfigMap.
    is_listed: bool,
    current: watch::Sender<Arc<AuthConfig>>,
    /// How many settings keep an old value since their new one is not usable.
    problems: Problems,
    gauges: Gauges,
    files_period: Duration,
}

/// What is told of the settings as they change. Clones tell the same.
#[derive(Debug, Clone, Default)]
pub struct Gauges {
    /// How many settings cannot be read or used now, so that their last good values stay.
    pub problems: Gauge,
    /// How many authorities of users' certificates are known; with none, no certificate names a user.
    pub client_authorities: Gauge,
    /// How many authorities of the front proxy's certificate are known; with none, headers name nobody.
    pub front_proxy_authorities: Gauge,
}

impl Gauges {
    fn tell(&self, config: &AuthConfig) {
        for (gauge, bundle) in [
            (&self.client_authorities, &config.client_ca),
            (&self.front_proxy_authorities, &config.front_proxy_ca),
        ] {
            let known = bundle.as_ref().map_or(0, |bundle| bundle.len());
            gauge.set(i64::try_from(known).unwrap_or(i64::MAX));
        }
    }
}

/// What is wrong now, by where it comes from.
#[derive(Debug, Default)]
struct Problems {
    keys: usize,
    files: Vec<String>,
    is_deleted: bool,
    outage: Option<String>,
}

impl Problems {
    fn tell(&self, gauges: &Gauges) {
        let single = [self.is_deleted, self.outage.is_some()].map(usize::from);
        let all = self.keys + self.files.len() + single.iter().sum::<usize>();
        gauges.problems.set(i64::try_from(all).unwrap_or(i64::MAX));
    }
}

impl Follower {
    /// Reads the ConfigMap once, unless `pinned` says that it is not to be read. `gauges` are kept, here and while
    /// it is followed.
    ///
    /// # Errors
    /// [`Error::ConfigForbidden`] when the Role is not bound, [`Error::ConfigMissing`] when there is none yet, and
    /// [`Error::Config`] for the rest. None where the lookup is tolerated: then flags alone count at first.
    pub async fn start(client: Client, pinned: Pinned, gauges: Gauges) -> Result<Self, Error> {
        let api: Api<ConfigMap> = Api::namespaced(client, CONFIG_NAMESPACE);
        let mut follower = Self {
            api,
            pinned,
            said: AuthConfig::default(),
            is_listed: false,
            current: watch::Sender::new(Arc::default()),
            problems: Problems::default(),
            gauges,
            files_period: FILES_PERIOD,
        };
        let data = match follower.pinned.lookup() {
            Lookup::Skipped => BTreeMap::new(),
            Lookup::Required | Lookup::Tolerated => follower.look_up().await?,
        };
        follower.take(&data);
        Ok(follower)
    }

    /// Another time between two readings of files than a minute.
    #[must_use]
    pub fn with_files_period(mut self, period: Duration) -> Self {
        self.files_period = period;
        self
    }

    /// The configuration as it is at any moment; the value changes only when it differs.
    pub fn current(&self) -> watch::Receiver<Arc<AuthConfig>> {
        self.current.subscribe()
    }

    async fn look_up(&mut self) -> Result<BTreeMap<String, String>, Error> {
        match self.api.get(CONFIG_MAP).await.map_err(read_error) {
            Ok(found) => Ok(found.data.unwrap_or_default()),
            Err(error) if self.pinned.lookup() == Lookup::Tolerated => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "Authentication settings not read, flags alone count"
                );
                self.problems.outage = Some(error.to_string());
                Ok(BTreeMap::new())
            }
            Err(error) => Err(error),
        }
    }

    /// Follows the ConfigMap and the files until `stop`. Nothing that happens to them takes a working state away.
    pub async fn follow(mut self, stop: CancellationToken) {
        let selection = watcher::Config::default().fields(&format!("metadata.name={CONFIG_MAP}"));
        let mut events = match self.pinned.lookup() {
            Lookup::Required | Lookup::Tolerated => watcher(self.api.clone(), selection).boxed(),
            Lookup::Skipped => stream::pending().boxed(),
        };
        let mut files = tokio::time::interval(self.files_period);
        let mut pause = FIRST_PAUSE;
        let mut again = None;
        loop {
            // While the watch pauses, files are looked at all the same.
            let is_pausing = again.is_some();
            tokio::select! {
                () = stop.cancelled() => return,
                _ = files.tick() => self.read_files().await,
                () = pause_until(again) => again = None,
                event = events.try_next(), if !is_pausing => match event {
                    // A list begins; whether there is an answer is not known yet.
                    Ok(Some(watcher::Event::Init)) => self.is_listed = false,
                    Ok(Some(event)) => {
                        if self.problems.outage.take().is_some() {
                            tracing::info!("Authentication settings are followed again");
                        }
                        pause = FIRST_PAUSE;
                        self.apply(event);
                    }
                    Ok(None) => {}
                    Err(error) => {
                        self.complain(&watch_error(error));
                        again = Some(Instant::now() + pause);
                        pause = (pause * 2).min(OUTAGE_PAUSE);
                    }
                },
            }
            self.problems.tell(&self.gauges);
        }
    }

    fn complain(&mut self, error: &Error) {
        let text = error.to_string();
        if self.problems.outage.as_ref() != Some(&text) {
            tracing::warn!(
                error = error as &dyn std::error::Error,
                "Authentication settings are not followed, the last ones stay"
            );
            self.problems.outage = Some(text);
        }
    }

    fn apply(&mut self, event: watcher::Event<ConfigMap>) {
        match event {
            watcher::Event::Apply(found) | watcher::Event::InitApply(found) => {
                // The selector is the server's business; a wrong object must not become ours.
                if found.metadata.name.as_deref() == Some(CONFIG_MAP) {
                    self.is_listed = true;
                    self.problems.is_deleted = false;
                    self.take(&found.data.unwrap_or_default());
                }
            }
            watcher::Event::InitDone if self.is_listed => {}
            watcher::Event::Delete(_) | watcher::Event::InitDone => {
                if !self.problems.is_deleted {
                    tracing::warn!("Authentication settings are not there, the last ones stay");
                }
                self.problems.is_deleted = true;
            }
            watcher::Event::Init => {}
        }
    }

    fn take(&mut self, data: &BTreeMap<String, String>) {
        let (said, problems) = self.said.updated(data);
        self.said = said;
        self.problems.keys = problems.len();
        for problem in problems {
            tracing::warn!(%problem, "Authentication setting is not usable, its last value stays");
        }
        self.publish();
        self.problems.tell(&self.gauges);
    }

    async fn read_files(&mut self) {
        let failures = self.pinned.reload().await;
        let texts: Vec<String> = failures.iter().map(ToString::to_string).collect();
        if texts != self.problems.files {
            for error in &failures {
                tracing::warn!(
                    error = error as &dyn std::error::Error,
                    "Authorities not read again, the last ones stay"
                );
            }
            self.problems.files = texts;
        }
        self.publish();
    }

    fn publish(&self) {
        let config = Arc::new(self.pinned.over(&self.said));
        let changed = self.current.send_if_modified(|current| {
            let changed = *current != config;
            if changed {
                current.clone_from(&config);
            }
            changed
        });
        self.gauges.tell(&config);
        if changed {
            warn_of(&config);
        }
    }
}

async fn pause_until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

fn warn_of(config: &AuthConfig) {
    if config.front_proxy_ca.is_none() {
        tracing::warn!(
            "No front-proxy authority is known, requests through kube-apiserver are refused"
        );
    }
    if config.allowed_names == AllowedNames::Unreadable {
        tracing::error!(
            "The front proxy's allowed names cannot be read, requests through kube-apiserver are refused"
        );
    }
    if config.client_ca.is_none() {
        tracing::warn!("No client authority is known, client certificates name nobody");
    }
    if config.lets_users_pose_as_proxy() {
        tracing::error!(
            "Client and front-proxy certificates share an authority and any name is allowed: every user with a \
             certificate can act as anybody"
        );
    }
}

fn read_error(error: kube::Error) -> Error {
    match error {
        kube::Error::Api(status) if status.code == 403 => Error::ConfigForbidden {
            message: status.message,
        },
        kube::Error::Api(status) if status.code == 404 => Error::ConfigMissing,
        error => Error::Config(Box::new(error)),
    }
}

fn watch_error(error: watcher::Error) -> Error {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => read_error(error),
        watcher::Error::WatchError(status) => read_error(kube::Error::Api(status)),
        watcher::Error::NoResourceVersion => Error::Config(Box::new(kube::Error::Service(
            "the answer has no resourceVersion".into(),
        ))),
    }
}
