//! The user's own credentials: `$DOCKER_CONFIG/config.json` or `~/.docker/config.json`, and the credential helpers that it names.
//!
//! A helper is asked once for each registry. One that fails is an error: whoever has configured it means it to be used, and
//! going on as nobody would hide it.

mod helper;

use std::collections::HashMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tokio::sync::Mutex;

use super::Failure;
use crate::image::Repository;
use crate::registry::Keychain;
use crate::registry::keychain::helpers::{Helpers, Question};
use crate::secret::Credential;

/// A docker configuration larger than this is none.
const CONFIG_BYTES: u64 = 4 << 20;

/// The credentials of whoever runs the program.
#[derive(Debug, Default)]
pub(super) struct DockerConfig {
    path: PathBuf,
    keychain: Keychain,
    helpers: Helpers,
    /// What helpers have answered.
    answers: Mutex<HashMap<Question, Option<Credential>>>,
}

impl DockerConfig {
    /// Reads the configuration; without one there are no credentials.
    pub(super) fn load() -> Result<Self, Failure> {
        let given = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
        let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".docker"));
        match given.or(home) {
            Some(directory) => Self::read(directory.join("config.json")),
            None => Ok(Self::default()),
        }
    }

    fn read(path: PathBuf) -> Result<Self, Failure> {
        let reading = || format!("failed to read {}", path.display());
        let file = match std::fs::File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(error) => return Err(anyhow::Error::from(error).context(reading()).into()),
        };
        let mut text = Vec::new();
        file.take(CONFIG_BYTES + 1)
            .read_to_end(&mut text)
            .with_context(reading)?;
        if u64::try_from(text.len()).is_ok_and(|length| length > CONFIG_BYTES) {
            return Err(
                anyhow::anyhow!("{}: it is larger than {CONFIG_BYTES} bytes", reading()).into(),
            );
        }
        let using = || format!("failed to use {}", path.display());
        Ok(Self {
            keychain: Keychain::from_docker_config(&text).with_context(using)?,
            helpers: Helpers::from_docker_config(&text).with_context(using)?,
            path,
            answers: Mutex::default(),
        })
    }

    /// The credentials for `repository`, the one to try first first: what its helper says, then what the file itself has.
    pub(super) async fn credentials(
        &self,
        repository: &Repository,
    ) -> Result<Vec<Credential>, anyhow::Error> {
        let using = || format!("failed to use {}", self.path.display());
        let mut found = Vec::new();
        if let Some(question) = self.helpers.question(repository).with_context(using)? {
            // Held while it is asked: it is asked once for what many want at the same time.
            let mut answers = self.answers.lock().await;
            let answer = if let Some(known) = answers.get(&question) {
                known.clone()
            } else {
                let path = std::env::var_os("PATH").unwrap_or_default();
                let answer = helper::ask(&question, &path).await.with_context(using)?;
                answers.insert(question, answer.clone());
                answer
            };
            found.extend(answer);
        }
        found.extend(self.keychain.lookup_all(repository).cloned());
        Ok(found)
    }
}

#[cfg(test)]
mod tests;
