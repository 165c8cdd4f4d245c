//! What the commands that ask a registry share: the image, how to reach it, and the list itself, sifted as a scan sifts it.

use std::time::Duration;

use super::Failure;
use crate::api::GoDuration;
use crate::api::image_repository::DEFAULT_EXCLUSION;
use crate::image::Repository;
use crate::registry::{Access, Client, Deadline, DockerConfig, Settings, TagList};
use crate::scan::{Exclusion, Sifted, sift};

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
        let docker_config = DockerConfig::load()?;
        let access = Access {
            insecure: self.insecure,
            ..Access::default()
        };
        let TagList {
            tags,
            pages: _,
            duplicates: _,
            incomplete,
            invalid,
            validator: _,
        } = super::block_on(async {
            let access = access.with_credentials(docker_config.credentials(&repository).await?);
            let client = Client::new(Settings::default());
            let listed = client.list_tags(&repository, &access, self.deadline());
            listed.await.map_err(Failure::from)
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
