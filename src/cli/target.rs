//! What the commands that ask a registry share: the image, how to reach it, and the list itself, sifted as a scan sifts it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;

use super::Failure;
use crate::api::GoDuration;
use crate::api::image_repository::DEFAULT_EXCLUSION;
use crate::image::Repository;
use crate::registry::{Access, Client, Deadline, Keychain, Settings, TagList};
use crate::scan::{Exclusion, Sifted, sift};

/// A docker configuration larger than this is none.
const CONFIG_BYTES: u64 = 4 << 20;

/// Which repository, and how to reach it.
#[derive(Debug, clap::Args)]
pub(super) struct Target {
    /// Image repository without a tag, e.g. ghcr.io/stefanprodan/podinfo
    #[arg(value_name = "IMAGE")]
    image: String,
    /// Leave out tags that match this pattern (repeatable)
    #[arg(long, value_name = "REGEX", default_value = DEFAULT_EXCLUSION)]
    exclude: Vec<String>,
    /// Accept plain http, also for the credentials
    #[arg(long)]
    insecure: bool,
    /// How long the registry has for its answer
    #[arg(long, value_name = "DURATION", default_value = "1m")]
    timeout: GoDuration,
}

impl Target {
    /// The repository's tags, in descending byte order. What is unusual about the list goes to standard error.
    pub(super) fn list(&self) -> Result<Sifted, Failure> {
        let repository: Repository = self.image.parse().map_err(Failure::usage)?;
        let exclusion = Exclusion::compile(&self.exclude).map_err(Failure::usage)?;
        let keychain = docker_config()?;
        let access = Access {
            insecure: self.insecure,
            ..Access::default()
        };
        let credentials = keychain
            .iter()
            .flat_map(|keychain| keychain.lookup_all(&repository));
        let access = access.with_credentials(credentials.cloned());
        let TagList {
            tags,
            pages: _,
            duplicates: _,
            incomplete,
            invalid,
            validator: _,
        } = super::block_on(async {
            let client = Client::new(Settings::default());
            client
                .list_tags(&repository, &access, self.deadline())
                .await
        })??;
        if let Some(incomplete) = incomplete {
            super::warn(&format!("the list may not be complete: {incomplete}"));
        }
        if let Some(invalid) = invalid {
            super::warn(&invalid.to_string());
        }
        Ok(sift(tags, &exclusion))
    }

    fn deadline(&self) -> Deadline {
        Deadline::after(self.timeout.as_std().max(Duration::from_secs(1)))
    }
}

/// `$DOCKER_CONFIG/config.json`, or `~/.docker/config.json`; `None` when there is neither.
fn docker_config() -> Result<Option<Keychain>, Failure> {
    let given = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".docker"));
    let Some(path) = given.or(home).map(|dir| dir.join("config.json")) else {
        return Ok(None);
    };
    let size = match std::fs::metadata(&path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(anyhow::Error::from(error)
                .context(format!("failed to read {}", path.display()))
                .into());
        }
    };
    if size > CONFIG_BYTES {
        return Err(anyhow::anyhow!(
            "failed to read {}: it is larger than {CONFIG_BYTES} bytes",
            path.display()
        )
        .into());
    }
    let text =
        std::fs::read(&path).with_context(|| format!("failed to read {}", path.display()))?;
    let keychain = Keychain::from_docker_config(&text)
        .with_context(|| format!("failed to use {}", path.display()))?;
    Ok(Some(keychain))
}
