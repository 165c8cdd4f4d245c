//! How the program finds its cluster: `$KUBECONFIG`, the pod's own ServiceAccount, or `~/.kube/config`, in this order.
//!
//! What every request passes on its way out is in [`outgoing`] and [`throttle`].
//!
//! Unlike the client library's own inference, a source that was named and cannot be used is an error that
//! names it; it never falls through to the next one, which would connect to the wrong cluster.

mod outgoing;
mod throttle;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kube::client::ClientBuilder;
use kube::config::{InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

use self::outgoing::Outgoing;
pub use self::outgoing::{Gate, Observer, Opening, Shut};
pub use self::throttle::Rate;
use self::throttle::Throttle;

/// A client, and what it was pointed at.
#[derive(Clone)]
pub struct Connection {
    /// The client. Clones share its connections.
    pub client: Client,
    /// The namespace of the kubeconfig's context, or of the pod.
    pub namespace: String,
    /// The API server's address, for the log.
    pub server: String,
    config: Config,
    throttle: Throttle,
    observer: Arc<dyn Observer>,
}

impl Connection {
    /// Ends the throttle if the API server has Priority & Fairness, as soon as it can be asked.
    pub fn settle_throttle(&self) -> impl Future<Output = ()> + Send + use<> {
        let (client, throttle) = (self.client.clone(), self.throttle.clone());
        async move { outgoing::lift_if_fair(&client, &throttle).await }
    }

    /// Another client to the same API server, as who the first one is, whose writes pass `gate`; both share one throttle.
    pub fn through(&self, gate: Gate) -> Result<Client, Error> {
        let outgoing = Outgoing {
            gate,
            throttle: self.throttle.clone(),
            observer: self.observer.clone(),
        };
        build(self.config.clone(), &outgoing)
    }
}

/// What requests pass on their way out.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How fast requests may follow one another, where the API server does not see to it itself; `None`: as fast as they can.
    pub rate: Option<Rate>,
    /// What holds writes of Flux's kinds back.
    pub gate: Gate,
    /// Is told of every answer.
    pub observer: Arc<dyn Observer>,
}

/// Where a configuration may be found.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// `$KUBECONFIG`: one path or several, separated as `$PATH` is. Empty counts as absent.
    pub kubeconfig: Option<OsString>,
    /// The home directory whose `.kube/config` is the last resort.
    pub home: Option<PathBuf>,
    /// Whether the process runs in a pod (`$KUBERNETES_SERVICE_HOST` is set).
    pub in_cluster: bool,
}

impl Environment {
    /// The process's own environment.
    pub fn of_process() -> Self {
        Self {
            kubeconfig: std::env::var_os("KUBECONFIG").filter(|value| !value.is_empty()),
            home: std::env::var_os("HOME")
                .filter(|value| !value.is_empty())
                .map(PathBuf::from),
            in_cluster: std::env::var_os("KUBERNETES_SERVICE_HOST").is_some(),
        }
    }
}

/// The longest silence within an answer: above what a watch's server allows itself (kube-runtime asks for 290 s).
const SILENCE: Duration = Duration::from_secs(330);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A kubeconfig file is missing, unreadable or not a kubeconfig.
    #[error("failed to load the kubeconfig {}", path.display())]
    Load {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<KubeconfigError>,
    },
    /// The files were read, but what they say is not enough to connect.
    #[error("failed to use the kubeconfig {paths}")]
    Use {
        /// The files, as they were given.
        paths: String,
        /// What is missing.
        source: Box<KubeconfigError>,
    },
    /// In a pod, but its ServiceAccount is not mounted.
    #[error("failed to use the pod's ServiceAccount")]
    InCluster {
        /// What is missing.
        source: Box<InClusterError>,
    },
    /// Neither `$KUBECONFIG`, nor a pod, nor `~/.kube/config`.
    #[error(
        "found no cluster: set KUBECONFIG, or run in a pod with a ServiceAccount, or provide ~/.kube/config"
    )]
    NoConfiguration,
    /// The configuration cannot be turned into a client (certificates, proxy, exec plugin).
    #[error("failed to build a client for {server}")]
    Build {
        /// The API server's address.
        server: String,
        /// What is wrong.
        source: Box<kube::Error>,
    },
}

/// Finds the configuration and builds the client; does not talk to the API server yet.
pub async fn connect(environment: &Environment, settings: Settings) -> Result<Connection, Error> {
    let mut config = find(environment).await?;
    config.connect_timeout = Some(Duration::from_secs(10));
    // Nothing may wait for ever. A watch that is quiet for less than its server's limit is alive.
    config.read_timeout = Some(SILENCE);
    config.reset_reader_on_write = true;
    config.headers.push((
        http::header::USER_AGENT,
        http::HeaderValue::from_static(concat!("tagscope/", env!("CARGO_PKG_VERSION"))),
    ));
    let server = config.cluster_url.to_string();
    let namespace = config.default_namespace.clone();
    let Settings {
        rate,
        gate,
        observer,
    } = settings;
    let throttle = Throttle::new(rate);
    let outgoing = Outgoing {
        gate,
        throttle: throttle.clone(),
        observer: observer.clone(),
    };
    Ok(Connection {
        client: build(config.clone(), &outgoing)?,
        namespace,
        server,
        config,
        throttle,
        observer,
    })
}

fn build(config: Config, outgoing: &Outgoing) -> Result<Client, Error> {
    let server = config.cluster_url.to_string();
    let builder = ClientBuilder::try_from(config).map_err(|source| Error::Build {
        server,
        source: Box::new(source),
    })?;
    Ok(builder.with_layer(outgoing).build())
}

async fn find(environment: &Environment) -> Result<Config, Error> {
    if let Some(list) = &environment.kubeconfig {
        let paths: Vec<PathBuf> = std::env::split_paths(list)
            .filter(|path| !path.as_os_str().is_empty())
            .collect();
        return from_files(&paths).await;
    }
    if environment.in_cluster {
        return Config::incluster().map_err(|source| Error::InCluster {
            source: Box::new(source),
        });
    }
    let fallback = environment
        .home
        .as_ref()
        .map(|home| home.join(".kube").join("config"));
    match fallback {
        Some(path) if path.exists() => from_files(&[path]).await,
        Some(_) | None => Err(Error::NoConfiguration),
    }
}

async fn from_files(paths: &[PathBuf]) -> Result<Config, Error> {
    let mut merged = Kubeconfig::default();
    for path in paths {
        let next = Kubeconfig::read_from(path).map_err(|source| load_error(path, source))?;
        merged = merged
            .merge(next)
            .map_err(|source| load_error(path, source))?;
    }
    Config::from_custom_kubeconfig(merged, &KubeConfigOptions::default())
        .await
        .map_err(|source| Error::Use {
            paths: paths
                .iter()
                .map(|path| path.display().to_string())
                .collect::<Vec<_>>()
                .join(", "),
            source: Box::new(source),
        })
}

fn load_error(path: &std::path::Path, source: KubeconfigError) -> Error {
    Error::Load {
        path: path.to_owned(),
        source: Box::new(source),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::with_causes;

    const GOOD: &str = "apiVersion: v1\nkind: Config\ncurrent-context: here\n\
        clusters: [{name: here, cluster: {server: 'https://127.0.0.1:6443'}}]\n\
        users: [{name: me, user: {token: abc}}]\n\
        contexts: [{name: here, context: {cluster: here, user: me, namespace: apps}}]\n";

    fn named(path: &std::path::Path) -> Environment {
        Environment {
            kubeconfig: Some(path.as_os_str().to_owned()),
            home: None,
            in_cluster: true,
        }
    }

    async fn fails_with(environment: &Environment) -> String {
        match find(environment).await {
            Ok(config) => panic!("connected to {}", config.cluster_url),
            Err(error) => with_causes(&error),
        }
    }

    #[tokio::test]
    async fn a_named_file_that_is_missing_is_an_error_even_in_a_pod() {
        let told = fails_with(&named(std::path::Path::new("/nowhere/config"))).await;
        assert!(
            told.starts_with("failed to load the kubeconfig /nowhere/config: "),
            "{told}"
        );
        assert!(told.contains("No such file"), "{told}");
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_file_is_said() {
        let dir = tempfile::tempdir().unwrap();
        for (text, expected) in [
            ("{]", "failed to parse kubeconfig YAML"),
            ("apiVersion: v1\nkind: Config\n", "current context"),
            (
                &GOOD.replace("current-context: here", "current-context: there"),
                "there",
            ),
            (&GOOD.replace("{cluster: here", "{cluster: lost"), "lost"),
        ] {
            let path = dir.path().join("config");
            std::fs::write(&path, text).unwrap();
            let told = fails_with(&named(&path)).await;
            assert!(told.contains(expected) && told.contains("config"), "{told}");
        }
    }

    #[tokio::test]
    async fn a_good_file_gives_address_and_namespace() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config");
        std::fs::write(&path, GOOD).unwrap();
        let config = find(&named(&path)).await.unwrap();
        assert_eq!(config.cluster_url.to_string(), "https://127.0.0.1:6443/");
        assert_eq!(config.default_namespace, "apps");
    }

    #[tokio::test]
    async fn without_any_source_the_three_ways_are_named() {
        let told = fails_with(&Environment::default()).await;
        assert!(
            told.contains("KUBECONFIG") && told.contains("~/.kube/config"),
            "{told}"
        );
    }
}
