//! The client: settings, and what all its clones share.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::budget::{Budgets, Rate, Turn};
use super::choice::{Choice, Choices};
use super::error::Error;
use super::hosts::Hosts;
use super::http_clients::HttpClients;
use super::limits::{Deadline, Limits};
use super::list::{Found, TagList};
use super::observe::{Nobody, Observer, Scan};
use super::probes::Probes;
use super::proxy::Proxies;
use super::reach::{Names, SystemNames};
use super::remote::{Places, STALL};
use super::retry::Patience;
use super::token::Tokens;
use super::transport::Transport;
use super::upload::Memory;
use super::window::Windows;
use super::{Access, list, manifest, platforms};
use crate::clock::{SharedClock, SystemClock};
use crate::image::{Digest, Platform, Reference, Repository};

/// How a [`Client`] behaves towards every registry.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How much of an answer is read.
    pub limits: Limits,
    /// How often and how long to come back.
    pub patience: Patience,
    /// How much is asked of one host, all who ask it together.
    pub rate: Rate,
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
    /// Who knows the addresses of names.
    pub names: Arc<dyn Names>,
    /// Is told of every request.
    pub observer: Arc<dyn Observer>,
    /// For dates in what registries say of their limits.
    pub clock: SharedClock,
    /// How it behaves when it copies.
    pub copying: Copying,
}

/// How a [`Client`] behaves where it reads and writes whole images ([`super::remote::Remote`]), besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copying {
    /// The most requests of one class under way at one host; of reads of blobs, three eighths of that.
    pub concurrency: usize,
    /// How often and how long to come back after passing trouble.
    pub patience: Patience,
    /// No progress for so long ends a transfer.
    pub stall: Duration,
}

impl Default for Copying {
    fn default() -> Self {
        Self {
            concurrency: 32,
            patience: Patience {
                tries: 4,
                first_wait: Duration::from_millis(500),
                longest_wait: Duration::from_secs(10),
            },
            stall: STALL,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            patience: Patience::default(),
            rate: Rate::default(),
            connect_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(30),
            user_agent: concat!("tagscope/", env!("CARGO_PKG_VERSION")).to_owned(),
            trusted_token_servers: Vec::new(),
            proxies: Proxies::from_environment(),
            names: Arc::new(SystemNames),
            observer: Arc::new(Nobody),
            clock: Arc::new(SystemClock),
            copying: Copying::default(),
        }
    }
}

/// Asks registries. Clones share connections, tokens and what is remembered of hosts.
#[derive(Debug, Clone)]
pub struct Client(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) settings: Settings,
    pub(super) transport: Transport,
    pub(super) hosts: Hosts,
    pub(super) tokens: Tokens,
    pub(super) budgets: Budgets,
    pub(super) probes: Probes,
    pub(super) choices: Choices,
    pub(super) uploads: Memory,
    pub(super) windows: Arc<Windows>,
    pub(super) places: Places,
}

impl Client {
    /// A client that knows no host yet. Opens nothing before it is asked to.
    pub fn new(settings: Settings) -> Self {
        let clients = HttpClients::new(
            settings.user_agent.clone(),
            settings.connect_timeout,
            settings.stall_timeout,
            Arc::clone(&settings.names),
        );
        let transport = Transport {
            clients,
            proxies: settings.proxies.clone(),
            names: Arc::clone(&settings.names),
            observer: Arc::clone(&settings.observer),
            redirects: settings.limits.redirects,
        };
        let budgets = Budgets::new(settings.rate);
        let windows = Arc::new(Windows::new(settings.copying.concurrency));
        Self(Arc::new(Inner {
            settings,
            budgets,
            probes: Probes::new(),
            transport,
            hosts: Hosts::new(),
            tokens: Tokens::new(),
            choices: Choices::new(),
            uploads: Memory::new(),
            windows,
            places: Places::new(),
        }))
    }

    /// Every tag of `repository` (`GET /v2/<name>/tags/list`, all pages), unless the registry says that the list whose
    /// ETag is `known` is still the one.
    ///
    /// One request for a one-page repository on a host that is known, tokens apart. Waits for its turn at the host, for
    /// no longer than five minutes; `deadline` begins anew after that, and is put off by each wait between
    /// pages, where a rate is kept.
    ///
    /// # Errors
    /// Whatever keeps the list from being read; a list that may be incomplete is none of them, see [`TagList::incomplete`].
    pub async fn list(
        &self,
        repository: &Repository,
        access: &Access,
        known: Option<&str>,
        deadline: Deadline,
    ) -> Result<Found, Error> {
        let host = repository.registry().api_host();
        let observer = &self.0.settings.observer;
        let mut choice = self.0.choices.of(repository, "pull", access);
        let turn = match self.turn(repository, &choice, deadline).await {
            Ok(turn) => turn,
            Err(error) => {
                observer.scanned(host, Scan::PutOff, Duration::ZERO);
                return Err(error);
            }
        };
        let begin = Instant::now();
        let list = async {
            loop {
                let asked =
                    list::list_tags(&self.0, repository, choice.access(), known, &turn, None);
                let answer = asked.await;
                if let Some(answer) = choice.weigh(answer) {
                    return answer;
                }
            }
        };
        let found = turn.drive(list).await;
        let scan = match &found {
            Ok(Found::Fresh(_)) => Scan::Listed,
            Ok(Found::Unchanged) => Scan::Unchanged,
            Err(_) => Scan::Failed,
        };
        observer.scanned(host, scan, begin.elapsed());
        found
    }

    /// Every tag of `repository`, as [`Client::list`] finds them for somebody who knows none.
    ///
    /// # Errors
    /// As [`Client::list`].
    pub async fn list_tags(
        &self,
        repository: &Repository,
        access: &Access,
        deadline: Deadline,
    ) -> Result<TagList, Error> {
        match self.list(repository, access, None, deadline).await? {
            Found::Fresh(list) => Ok(list),
            Found::Unchanged => Err(Error::Setup {
                cause: "nothing was known, and nothing changed".to_owned(),
            }),
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
        let mut choice = self.0.choices.of(repository, "pull", access);
        let turn = self.turn(repository, &choice, deadline).await?;
        let head = async {
            loop {
                let answer = manifest::head(&self.0, reference, choice.access(), &turn).await;
                if let Some(answer) = choice.weigh(answer) {
                    return answer;
                }
            }
        };
        turn.drive(head).await
    }

    /// What the image `digest` of `repository` can run on: of an index, what its manifests say; of a single manifest,
    /// what its configuration says. All of it is verified by digest.
    ///
    /// # Errors
    /// Whatever keeps it from being known; [`super::Kind::NotFound`] when there is no such image.
    pub async fn platforms(
        &self,
        repository: &Repository,
        digest: &Digest,
        access: &Access,
        deadline: Deadline,
    ) -> Result<Vec<Platform>, Error> {
        let mut choice = self.0.choices.of(repository, "pull", access);
        let turn = self.turn(repository, &choice, deadline).await?;
        let platforms = async {
            loop {
                let access = choice.access();
                let asked = platforms::platforms(&self.0, repository, digest, access, &turn);
                let answer = asked.await;
                if let Some(answer) = choice.weigh(answer) {
                    return answer;
                }
            }
        };
        turn.drive(platforms).await
    }

    async fn turn(
        &self,
        repository: &Repository,
        choice: &Choice<'_>,
        deadline: Deadline,
    ) -> Result<Turn, Error> {
        let Inner {
            budgets, settings, ..
        } = &*self.0;
        let host = repository.registry().api_host();
        let account = choice.access().account();
        Turn::begin(budgets, host, account, deadline, &settings.observer).await
    }
}
