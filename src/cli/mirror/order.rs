//! What is to be copied, as flags and documents say it alike; the user's own credentials are looked up last.

use std::sync::Arc;
use std::time::Duration;

use crate::image::{Platform, Repository, Tag};
use crate::mirror::overwrite::Overwrite;
use crate::mirror::prune::Rules;
use crate::mirror::subset;
use crate::object::Key;
use crate::registry::copy::{Job, Place, Wanted};
use crate::registry::transfer::Limiter;
use crate::registry::{Access, DockerConfig, Keychain, Proxy, TlsMaterial};

/// One repository, and what was said about reaching it.
#[derive(Debug, Clone)]
pub(super) struct End {
    pub(super) repository: Repository,
    pub(super) insecure: bool,
    pub(super) tls: Option<Arc<TlsMaterial>>,
    pub(super) proxy: Option<Arc<Proxy>>,
    /// None: the user's own credentials.
    pub(super) keychain: Option<Keychain>,
}

impl End {
    /// A repository that is reached by https, with the user's own credentials.
    pub(super) fn plain(repository: Repository) -> Self {
        Self {
            repository,
            insecure: false,
            tls: None,
            proxy: None,
            keychain: None,
        }
    }

    async fn place(self, own: &DockerConfig) -> Result<Place, anyhow::Error> {
        let Self {
            repository,
            insecure,
            tls,
            proxy,
            keychain,
        } = self;
        let credentials = match keychain {
            Some(keychain) => keychain.lookup_all(&repository).cloned().collect(),
            None => own.credentials(&repository).await?,
        };
        let access = Access {
            insecure,
            tls,
            proxy,
            ..Access::default()
        };
        Ok(Place {
            access: access.with_credentials(credentials),
            repository,
        })
    }
}

/// Who selects tags, and how, for messages.
#[derive(Debug, Clone, Default)]
pub(super) struct Asker {
    /// Object and field; nothing: the flags.
    pub(super) place: String,
    /// What is asked for, in the author's words.
    pub(super) words: String,
}

/// One source, where it goes, and how.
#[derive(Debug, Clone)]
pub(super) struct Order {
    /// The object that says so; none: the flags.
    pub(super) mirror: Option<Key>,
    pub(super) asker: Asker,
    pub(super) source: End,
    pub(super) destinations: Vec<End>,
    pub(super) wanted: Wanted,
    pub(super) renamed: Option<Tag>,
    pub(super) platforms: Vec<Platform>,
    pub(super) mode: subset::Mode,
    pub(super) referrers: bool,
    pub(super) overwrite: Overwrite,
    pub(super) verify_after: Duration,
    /// Shared by all orders of one mirror.
    pub(super) bandwidth: Option<Arc<Limiter>>,
    /// When what was copied is deleted; none: never.
    pub(super) prune: Option<Rules>,
}

impl Order {
    /// What there is to say when none of the `listed` tags is selected.
    pub(super) fn unmatched(&self, listed: usize) -> String {
        let Asker { place, words } = &self.asker;
        let from = &self.source.repository;
        let colon = if place.is_empty() { "" } else { ": " };
        match listed {
            0 => format!("{place}{colon}nothing is copied: {from} has no tags"),
            1 => format!(
                "{place}{colon}nothing is copied: the one tag of {from} is not selected ({words})"
            ),
            several => format!(
                "{place}{colon}nothing is copied: none of the {several} tags of {from} is selected ({words})"
            ),
        }
    }

    async fn job(self, own: &DockerConfig) -> Result<Job, anyhow::Error> {
        let Self {
            mirror: _,
            asker: _,
            source,
            destinations,
            wanted,
            renamed,
            platforms,
            mode,
            referrers,
            overwrite,
            verify_after,
            bandwidth,
            prune: _,
        } = self;
        let mut places = Vec::new();
        for destination in destinations {
            places.push(destination.place(own).await?);
        }
        Ok(Job {
            source: source.place(own).await?,
            destinations: places,
            wanted,
            renamed,
            platforms,
            mode,
            referrers,
            overwrite,
            verify_after,
            follows_scan: false,
            bandwidth,
        })
    }
}

/// A mirror that copies nothing now, and wants what it has copied.
#[derive(Debug, Clone)]
pub(super) struct Suspended {
    pub(super) mirror: Key,
    /// Where it would copy to; none: nobody knows.
    pub(super) to: Option<Vec<Repository>>,
}

/// The orders with their credentials. The user's own are read only where somebody needs them.
pub(super) async fn jobs(orders: &[Order]) -> Result<Vec<Job>, super::super::Failure> {
    let needs_own = orders.iter().any(|order| {
        let mut ends = order.destinations.iter().chain([&order.source]);
        ends.any(|end| end.keychain.is_none())
    });
    let own = if needs_own {
        DockerConfig::load()?
    } else {
        DockerConfig::default()
    };
    let mut jobs = Vec::new();
    for order in orders {
        jobs.push(order.clone().job(&own).await?);
    }
    Ok(jobs)
}
