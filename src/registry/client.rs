//! The client: settings, and what all its clones share.

use std::sync::Arc;
use std::time::Duration;

use super::choice::Choices;
use super::error::Error;
use super::hosts::Hosts;
use super::http_clients::HttpClients;
use super::limits::{Deadline, Limits};
use super::list::TagList;
use super::observe::{Nobody, Observer};
use super::proxy::Proxies;
use super::retry::Patience;
use super::token::Tokens;
use super::transport::Transport;
use super::{Access, list, manifest};
use crate::clock::{SharedClock, SystemClock};
use crate::image::{Digest, Reference, Repository};

/// How a [`Client`] behaves towards every registry.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How much of an answer is read.
    pub limits: Limits,
    /// How often and how long to come back.
    pub patience: Patience,
    /// For a connection, its TLS included.
    pub connect_timeout: Duration,
    /// The longest silence within an answer.
    pub stall_timeout: Duration,
    /// What we call ourselves.
    pub user_agent: String,
    /// Hosts (without port) of token servers that may see the credentials of any registry that names them.
    pub trusted_token_servers: Vec<String>,
    /// The proxies for whoever names none of their own.
    pub proxies: Proxies,
    /// Is told of every request.
    pub observer: Arc<dyn Observer>,
    /// For dates in Retry-After.
    pub clock: SharedClock,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            patience: Patience::default(),
            connect_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(30),
            user_agent: concat!("tagscope/", env!("CARGO_PKG_VERSION")).to_owned(),
            trusted_token_servers: Vec::new(),
            proxies: Proxies::from_environment(),
            observer: Arc::new(Nobody),
            clock: Arc::new(SystemClock),
        }
    }
}

/// Asks registries. Clones share connections, tokens and what is remembered of hosts.
#[derive(Debug, Clone)]
pub struct Client(Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) settings: Settings,
    pub(super) transport: Transport,
    pub(super) hosts: Hosts,
    pub(super) tokens: Tokens,
    pub(super) choices: Choices,
}

impl Client {
    /// A client that knows no host yet. Opens nothing before it is asked to.
    pub fn new(settings: Settings) -> Self {
        let clients = HttpClients::new(
            settings.user_agent.clone(),
            settings.connect_timeout,
            settings.stall_timeout,
        );
        let transport = Transport {
            clients,
            proxies: settings.proxies.clone(),
            observer: Arc::clone(&settings.observer),
            redirects: settings.limits.redirects,
        };
        Self(Arc::new(Inner {
            settings,
            transport,
            hosts: Hosts::new(),
            tokens: Tokens::new(),
            choices: Choices::new(),
        }))
    }

    /// Every tag of `repository` (`GET /v2/<name>/tags/list`, all pages).
    ///
    /// One request for a one-page repository on a host that is known, tokens apart.
    ///
    /// # Errors
    /// Whatever keeps the list from being read; a list that may be incomplete is none of them, see [`TagList::incomplete`].
    pub async fn list_tags(
        &self,
        repository: &Repository,
        access: &Access,
        deadline: Deadline,
    ) -> Result<TagList, Error> {
        let mut choice = self.0.choices.of(repository, access);
        loop {
            let asked = list::list_tags(&self.0, repository, choice.access(), deadline);
            let answer = within(repository, deadline, asked).await;
            if let Some(answer) = choice.weigh(answer) {
                return answer;
            }
        }
    }

    /// The digest of the manifest that `reference` points at now (`HEAD /v2/<name>/manifests/<reference>`).
    ///
    /// Where HEAD is not answered with a digest, the manifest itself is read and hashed.
    ///
    /// # Errors
    /// Whatever keeps the digest from being known; [`super::Kind::NotFound`] when there is no such manifest.
    pub async fn head_manifest(
        &self,
        reference: &Reference,
        access: &Access,
        deadline: Deadline,
    ) -> Result<Digest, Error> {
        let repository = reference.repository();
        let mut choice = self.0.choices.of(repository, access);
        loop {
            let asked = manifest::head(&self.0, reference, choice.access(), deadline);
            let answer = within(repository, deadline, asked).await;
            if let Some(answer) = choice.weigh(answer) {
                return answer;
            }
        }
    }
}

async fn within<T>(
    repository: &Repository,
    deadline: Deadline,
    operation: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let timed_out = || Error::TimedOut {
        host: repository.registry().api_host().to_owned(),
        allowed: deadline.allowed,
    };
    tokio::time::timeout_at(deadline.at, operation)
        .await
        .unwrap_or_else(|_| Err(timed_out()))
}
