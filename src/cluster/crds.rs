//! Waits until the cluster serves our kinds, and says which command installs them.
//!
//! A program that starts before its CRDs must neither crash-loop nor fill the log: one line when the wait
//! begins, one whenever what is missing changes, one when it ends.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::APIResourceList;
use kube::Client;

use super::{Error, with_causes};

/// A resource that has to be served before the controllers can start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needed {
    /// `group/version`, e.g. `image.toolkit.fluxcd.io/v1`.
    pub group_version: &'static str,
    /// The plural, e.g. `imagerepositories`.
    pub plural: &'static str,
}

/// What the log tells people to type.
pub const INSTALL_COMMANDS: &str =
    "kubectl apply -k deploy/crds, or tagscope crds | kubectl apply -f -";

/// Returns once everything in `needed` is served, asking every `poll`. Never gives up; end it by dropping it.
pub async fn wait_until_served(client: &Client, needed: &[Needed], poll: Duration) {
    let mut told: Option<String> = None;
    loop {
        let obstacle = match missing(client, needed).await {
            Ok(missing) if missing.is_empty() => {
                if told.is_some() {
                    tracing::info!("The custom resource definitions are installed");
                }
                return;
            }
            Ok(missing) => {
                let missing = missing.join(", ");
                if told.as_deref() != Some(&missing) {
                    tracing::warn!(
                        missing,
                        install = INSTALL_COMMANDS,
                        "Waiting for custom resource definitions"
                    );
                }
                missing
            }
            Err(error) => {
                let error = with_causes(&error);
                if told.as_deref() != Some(&error) {
                    tracing::error!(
                        error,
                        "Failed to ask kube-apiserver for its resources, retrying"
                    );
                }
                error
            }
        };
        told = Some(obstacle);
        tokio::time::sleep(poll).await;
    }
}

/// The same without a word, for who only wants to know when: others say what is missing.
pub async fn poll_until_served(client: &Client, needed: &[Needed], poll: Duration) {
    while missing(client, needed)
        .await
        .map_or(true, |missing| !missing.is_empty())
    {
        tokio::time::sleep(poll).await;
    }
}

/// Whether all of them are served now; asked again every `poll` until there is an answer.
pub async fn are_served(client: &Client, needed: &[Needed], poll: Duration) -> bool {
    loop {
        match missing(client, needed).await {
            Ok(missing) => return missing.is_empty(),
            Err(error) => tracing::debug!(
                error = with_causes(&error),
                "Failed to ask kube-apiserver for its resources, retrying"
            ),
        }
        tokio::time::sleep(poll).await;
    }
}

/// Those of `needed` that are not served, as `plural.group/version`.
async fn missing(client: &Client, needed: &[Needed]) -> Result<Vec<String>, Error> {
    let mut missing = Vec::new();
    let mut groups: Vec<&'static str> = needed.iter().map(|one| one.group_version).collect();
    groups.dedup();
    for group_version in groups {
        let served = match client
            .list_api_group_resources(group_version)
            .await
            .map_err(Error::from)
        {
            Ok(list) => list,
            Err(Error::NotFound { .. }) => APIResourceList::default(),
            Err(error) => return Err(error),
        };
        for one in needed
            .iter()
            .filter(|one| one.group_version == group_version)
        {
            if !served
                .resources
                .iter()
                .any(|resource| resource.name == one.plural)
            {
                missing.push(format!("{}.{}", one.plural, one.group_version));
            }
        }
    }
    Ok(missing)
}
