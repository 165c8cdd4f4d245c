//! Follows the authentication ConfigMap for as long as the program runs, so that a rotated authority counts from the
//! next request on (AUTHN-1, AUTHN-2).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::watcher;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{AllowedNames, AuthConfig, CONFIG_MAP, CONFIG_NAMESPACE, Error};

/// Longest pause between two attempts to watch while kube-apiserver does not answer.
pub const OUTAGE_PAUSE: Duration = Duration::from_secs(30);

/// Keeps an [`AuthConfig`] at the ConfigMap's newest usable state.
#[derive(Debug)]
pub struct Follower {
    api: Api<ConfigMap>,
    current: watch::Sender<Arc<AuthConfig>>,
}

impl Follower {
    /// Reads the ConfigMap once.
    ///
    /// # Errors
    /// [`Error::ConfigForbidden`] when the Role is not bound, [`Error::ConfigMissing`] when there is none yet, and
    /// [`Error::Config`] for the rest.
    pub async fn start(client: Client) -> Result<Self, Error> {
        let api: Api<ConfigMap> = Api::namespaced(client, CONFIG_NAMESPACE);
        let found = api.get(CONFIG_MAP).await.map_err(read_error)?;
        let follower = Self {
            api,
            current: watch::Sender::new(Arc::default()),
        };
        follower.take(&found.data.unwrap_or_default());
        Ok(follower)
    }

    /// The configuration as it is at any moment; the value changes only when it differs.
    pub fn current(&self) -> watch::Receiver<Arc<AuthConfig>> {
        self.current.subscribe()
    }

    /// Follows the ConfigMap until `stop`. Nothing that happens to the ConfigMap takes a working state away.
    pub async fn follow(self, stop: CancellationToken) {
        let selection = watcher::Config::default().fields(&format!("metadata.name={CONFIG_MAP}"));
        let mut events = std::pin::pin!(watcher(self.api.clone(), selection));
        let mut pause = Duration::from_millis(500);
        let mut outage = None;
        loop {
            let event = tokio::select! {
                () = stop.cancelled() => return,
                event = events.try_next() => event,
            };
            match event {
                Ok(Some(event)) => {
                    if outage.take().is_some() {
                        tracing::info!("Authentication settings are followed again");
                    }
                    pause = Duration::from_millis(500);
                    self.apply(event);
                }
                Ok(None) => {}
                Err(error) => {
                    let error = watch_error(error);
                    let text = error.to_string();
                    if outage.as_ref() != Some(&text) {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "Authentication settings are not followed, the last ones stay"
                        );
                        outage = Some(text);
                    }
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(pause) => {}
                    }
                    pause = (pause * 2).min(OUTAGE_PAUSE);
                }
            }
        }
    }

    fn apply(&self, event: watcher::Event<ConfigMap>) {
        match event {
            watcher::Event::Apply(found) | watcher::Event::InitApply(found) => {
                // The selector is the server's business; a wrong object must not become ours.
                if found.metadata.name.as_deref() == Some(CONFIG_MAP) {
                    self.take(&found.data.unwrap_or_default());
                }
            }
            watcher::Event::Delete(_) => {
                tracing::warn!("Authentication settings were deleted, the last ones stay");
            }
            watcher::Event::Init | watcher::Event::InitDone => {}
        }
    }

    fn take(&self, data: &BTreeMap<String, String>) {
        let (config, problems) = self.current.borrow().updated(data);
        for problem in problems {
            tracing::warn!(%problem, "Authentication setting is not usable, its last value stays");
        }
        let config = Arc::new(config);
        let changed = self.current.send_if_modified(|current| {
            let changed = *current != config;
            if changed {
                current.clone_from(&config);
            }
            changed
        });
        if changed {
            warn_of(&config);
        }
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
