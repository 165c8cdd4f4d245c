//! The user's own credentials: `$DOCKER_CONFIG/config.json` or `~/.docker/config.json`, and the credential helpers that it names.
//!
//! A helper is asked once for each registry. One that fails is an error: whoever has configured it means it to be used, and
//! going on as nobody would hide it. No error quotes a value of what is read.

mod helper;

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::keychain::helpers::{Helpers, InvalidName, Question};
use super::keychain::{self, Keychain};
use crate::image::Repository;
use crate::secret::Credential;
pub use helper::Unanswered;

/// A docker configuration larger than this is none.
const CONFIG_BYTES: u64 = 4 << 20;

/// How long what was read is believed by who goes on reading: passwords and what helpers answer come to an end.
const BELIEVED: Duration = Duration::from_mins(5);

/// Why the configuration is of no use.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("failed to read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: std::io::Error,
    },
    /// The file is larger than any configuration.
    #[error("failed to read {}: it is larger than {CONFIG_BYTES} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// It is not what it should be.
    #[error("failed to use {}", path.display())]
    Use {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: keychain::Error,
    },
    /// It names a helper that cannot be one.
    #[error("failed to use {}", path.display())]
    Name {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: InvalidName,
    },
    /// A helper gave no answer.
    #[error("failed to use {}", path.display())]
    Helper {
        /// The file that names it.
        path: PathBuf,
        /// What is wrong.
        source: Unanswered,
    },
}

/// The credentials of whoever runs the program.
#[derive(Debug, Default)]
pub struct DockerConfig {
    path: PathBuf,
    keychain: Keychain,
    helpers: Helpers,
    /// What helpers have answered.
    answers: Mutex<HashMap<Question, Option<Credential>>>,
}

impl DockerConfig {
    /// Reads the configuration; without one there are no credentials.
    ///
    /// # Errors
    /// The file is there, and cannot be read or used.
    pub fn load() -> Result<Self, Error> {
        match directory(std::env::var_os("DOCKER_CONFIG"), std::env::var_os("HOME")) {
            Some(directory) => Self::read(directory.join("config.json")),
            None => Ok(Self::default()),
        }
    }

    /// Reads this file; without it there are no credentials.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn read(path: PathBuf) -> Result<Self, Error> {
        let file = match std::fs::File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(source) => return Err(Error::Read { path, source }),
        };
        let mut text = Vec::new();
        if let Err(source) = file.take(CONFIG_BYTES + 1).read_to_end(&mut text) {
            return Err(Error::Read { path, source });
        }
        if u64::try_from(text.len()).is_ok_and(|length| length > CONFIG_BYTES) {
            return Err(Error::TooLarge { path });
        }
        let read = Keychain::from_docker_config(&text)
            .and_then(|keychain| Ok((keychain, Helpers::from_docker_config(&text)?)));
        match read {
            Ok((keychain, helpers)) => Ok(Self {
                path,
                keychain,
                helpers,
                answers: Mutex::default(),
            }),
            Err(source) => Err(Error::Use { path, source }),
        }
    }

    /// The credentials for `repository`, the one to try first first: what its helper says, then what the file itself has.
    ///
    /// # Errors
    /// The helper that is named for it cannot be asked, or fails.
    pub async fn credentials(&self, repository: &Repository) -> Result<Vec<Credential>, Error> {
        let mut found: Vec<_> = self.ask(repository).await?.into_iter().collect();
        found.extend(self.keychain.lookup_all(repository).cloned());
        Ok(found)
    }

    /// The same for all repositories in the registry of `repository`.
    ///
    /// # Errors
    /// As [`Self::credentials`].
    pub async fn keychain(&self, repository: &Repository) -> Result<Keychain, Error> {
        let keychain = self.keychain.clone();
        Ok(match self.ask(repository).await? {
            Some(answer) => keychain.with_first(repository.registry(), answer),
            None => keychain,
        })
    }

    async fn ask(&self, repository: &Repository) -> Result<Option<Credential>, Error> {
        let question = self.helpers.question(repository);
        let question = question.map_err(|source| Error::Name {
            path: self.path.clone(),
            source,
        })?;
        let Some(question) = question else {
            return Ok(None);
        };
        // Held while it is asked: it is asked once for what many want at the same time.
        let mut answers = self.answers.lock().await;
        if let Some(known) = answers.get(&question) {
            return Ok(known.clone());
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let asked = helper::ask(&question, &path).await;
        let answer = asked.map_err(|source| Error::Helper {
            path: self.path.clone(),
            source,
        })?;
        answers.insert(question, answer.clone());
        Ok(answer)
    }
}

/// Where the configuration is, by the two variables. What is set to nothing is not set, to docker neither.
fn directory(given: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    let set = |variable: Option<OsString>| variable.filter(|it| !it.is_empty());
    let home = || set(home).map(|home| Path::new(&home).join(".docker"));
    set(given).map(PathBuf::from).or_else(home)
}

/// The same for a program that goes on running: it is read anew, and helpers are asked anew, every few minutes.
#[derive(Debug, Default)]
pub struct Renewed {
    /// Where it is; `None`: where [`DockerConfig::load`] looks.
    path: Option<PathBuf>,
    /// Protects what was read, for the time of one look.
    known: parking_lot::Mutex<Option<(Instant, Arc<DockerConfig>)>>,
}

impl Renewed {
    /// This file.
    pub fn at(path: PathBuf) -> Self {
        Self {
            path: Some(path),
            ..Self::default()
        }
    }

    /// The credentials for the registry of `repository`.
    ///
    /// # Errors
    /// As [`DockerConfig::load`] and [`DockerConfig::credentials`]; what went wrong is not kept.
    pub async fn keychain(&self, repository: &Repository) -> Result<Keychain, Error> {
        self.current()?.keychain(repository).await
    }

    fn current(&self) -> Result<Arc<DockerConfig>, Error> {
        let mut known = self.known.lock();
        let now = Instant::now();
        if let Some((read, config)) = &*known
            && now.duration_since(*read) < BELIEVED
        {
            return Ok(config.clone());
        }
        let config = match &self.path {
            Some(path) => DockerConfig::read(path.clone()),
            None => DockerConfig::load(),
        };
        let config = Arc::new(config?);
        *known = Some((now, config.clone()));
        Ok(config)
    }
}

#[cfg(test)]
mod tests;
