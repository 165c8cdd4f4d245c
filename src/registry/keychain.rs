//! Pull secrets: which credential belongs to an image, by kubelet's rules.
//!
//! A key is a host, with globs in its labels, or a host and the beginning of a path; the longest comes
//! first. Every spelling of Docker Hub means it. Which credential helpers (`credsStore`, `credHelpers`) a configuration
//! names is read here ([`helpers`]); they are programs of somebody's machine, and run by `docker_config` only. Never
//! prints a value of what it reads.

mod entry;
mod glob;
pub mod helpers;

use std::fmt;

use crate::image::{Registry, Repository};
use crate::secret::Credential;

/// Secrets are at most this long in a cluster; longer files are not read.
const MAX_BYTES: usize = 1 << 20;

/// The type of a Secret with a `.dockerconfigjson`.
pub const DOCKER_CONFIG_JSON_TYPE: &str = "kubernetes.io/dockerconfigjson";
/// The type of a Secret in the old form, with a `.dockercfg`.
pub const DOCKER_CFG_TYPE: &str = "kubernetes.io/dockercfg";

/// Why a Secret is not a keychain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Another type of Secret.
    #[error(
        "the Secret is of type {found:?}; pull secrets are of type \"kubernetes.io/dockerconfigjson\""
    )]
    Type {
        /// Its type.
        found: String,
    },
    /// The key that the type promises is not there.
    #[error("the Secret has no key {key:?}")]
    KeyMissing {
        /// The key.
        key: &'static str,
    },
    /// More than can be in a Secret.
    #[error("{key:?} is longer than {limit} bytes, the limit")]
    TooLong {
        /// The key.
        key: &'static str,
        /// The limit.
        limit: usize,
    },
    /// Not the document that it should be.
    #[error("{key:?} is not a Docker configuration: {cause}")]
    Malformed {
        /// The key.
        key: &'static str,
        /// What and where, without any of its values.
        cause: String,
    },
    /// One of its entries cannot be used.
    #[error("the entry of {registry:?} in {key:?} is unusable: {cause}")]
    Entry {
        /// The key.
        key: &'static str,
        /// Which entry.
        registry: String,
        /// What is wrong, without any of its values.
        cause: &'static str,
    },
}

/// Credentials by the images that they are for.
#[derive(Clone, Default)]
pub struct Keychain {
    /// Longest (greatest) key first.
    entries: Vec<(glob::Key, Credential)>,
}

impl Keychain {
    /// Reads a Secret of type `kubernetes.io/dockerconfigjson` or `kubernetes.io/dockercfg`.
    ///
    /// `value` finds the value of a key in the Secret's data.
    ///
    /// # Errors
    /// What is wrong with the Secret, fit for a condition: no value is ever quoted.
    pub fn from_secret<'a>(
        kind: &str,
        value: impl FnOnce(&str) -> Option<&'a [u8]>,
    ) -> Result<Self, Error> {
        let key = match kind {
            DOCKER_CONFIG_JSON_TYPE => entry::CONFIG_JSON,
            DOCKER_CFG_TYPE => entry::DOCKERCFG,
            _ => {
                return Err(Error::Type {
                    found: super::redact::shorten(kind, 100),
                });
            }
        };
        let json = value(key).ok_or(Error::KeyMissing { key })?;
        check_length(key, json)?;
        Ok(Self::new(entry::read(key, json)?))
    }

    /// Reads the text of a `~/.docker/config.json`, which need not have any `auths`.
    ///
    /// # Errors
    /// As [`Keychain::from_secret`].
    pub fn from_docker_config(json: &[u8]) -> Result<Self, Error> {
        check_length(entry::CONFIG_FILE, json)?;
        Ok(Self::new(entry::read(entry::CONFIG_FILE, json)?))
    }

    fn new(read: Vec<(String, Option<Credential>)>) -> Self {
        let mut entries = Vec::new();
        for (registry, credential) in read {
            if let (Some(key), Some(credential)) = (glob::Key::parse(&registry), credential) {
                entries.push((key, credential));
            }
        }
        // Stable, and in reverse: `quay.io/coreos` is asked before `quay.io`.
        entries.sort_by(|(a, _), (b, _)| b.cmp(a));
        Self { entries }
    }

    /// This keychain with a credential for all of `registry`, to be tried before any other.
    #[must_use]
    pub fn with_first(mut self, registry: &Registry, credential: Credential) -> Self {
        if let Some(key) = glob::Key::parse(registry.as_str()) {
            self.entries.insert(0, (key, credential));
        }
        self
    }

    /// The credential for `repository`, if there is one: that of the most specific key.
    pub fn lookup(&self, repository: &Repository) -> Option<Credential> {
        self.lookup_all(repository).next().cloned()
    }

    /// Every credential for `repository`, the most specific key's first. kubelet tries them in this order.
    pub fn lookup_all<'a>(
        &'a self,
        repository: &Repository,
    ) -> impl Iterator<Item = &'a Credential> {
        let targets = spellings(repository);
        self.entries
            .iter()
            .filter(move |(key, _)| targets.iter().any(|(host, path)| key.matches(host, path)))
            .map(|(_, credential)| credential)
    }

    /// How many credentials there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

fn check_length(key: &'static str, json: &[u8]) -> Result<(), Error> {
    if json.len() > MAX_BYTES {
        return Err(Error::TooLong {
            key,
            limit: MAX_BYTES,
        });
    }
    Ok(())
}

/// Counts, and shows nothing.
impl fmt::Debug for Keychain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keychain")
            .field("entries", &self.entries.len())
            .finish_non_exhaustive()
    }
}

/// The hosts by which a registry is known, each with the path of the image.
fn spellings(repository: &Repository) -> Vec<(String, String)> {
    let registry = repository.registry();
    let path = format!("/{}", repository.path());
    if registry.is_docker_hub() {
        ["docker.io", "index.docker.io", "registry-1.docker.io"]
            .map(|host| (host.to_owned(), path.clone()))
            .to_vec()
    } else {
        vec![(registry.as_str().to_owned(), path)]
    }
}

#[cfg(test)]
mod tests;
