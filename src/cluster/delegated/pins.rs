//! What flags say in the ConfigMap's place: a key that is pinned here does not follow it (AUTHN-3).
//!
//! Bundles are files, which are read again while the program runs: an authority that is rotated counts without a restart.

use std::path::{Path, PathBuf};

use super::config::{AllowedNames, AuthConfig, Bundle, bundle_of};

/// What becomes of the ConfigMap.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Lookup {
    /// It is read before anything is served, and followed.
    #[default]
    Required,
    /// It is followed, but where it cannot be read, flags alone count until it can.
    Tolerated,
    /// It is never read: flags alone count.
    Skipped,
}

/// The flags.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pins {
    /// What becomes of the ConfigMap.
    pub lookup: Lookup,
    /// `--client-ca-file`.
    pub client_ca: Option<PathBuf>,
    /// `--requestheader-client-ca-file`.
    pub front_proxy_ca: Option<PathBuf>,
    /// `--requestheader-allowed-names`; empty: any.
    pub allowed_names: Option<Vec<String>>,
    /// `--requestheader-username-headers`, lower case.
    pub username_headers: Option<Vec<String>>,
    /// `--requestheader-uid-headers`, lower case.
    pub uid_headers: Option<Vec<String>>,
    /// `--requestheader-group-headers`, lower case.
    pub group_headers: Option<Vec<String>>,
    /// `--requestheader-extra-headers-prefix`, lower case.
    pub extra_prefixes: Option<Vec<String>>,
}

/// A file that holds no bundle.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("failed to read {flag} {}", path.display())]
    Read {
        /// The flag that names it.
        flag: &'static str,
        /// Where it is.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It holds something else.
    #[error("{flag} {} {defect}", path.display())]
    Content {
        /// The flag that names it.
        flag: &'static str,
        /// Where it is.
        path: PathBuf,
        /// What is wrong.
        defect: &'static str,
    },
}

/// The flags with the bundles of their files.
#[derive(Debug, Clone, Default)]
pub struct Pinned {
    pins: Pins,
    client_ca: Option<Bundle>,
    front_proxy_ca: Option<Bundle>,
}

impl Pins {
    /// Reads the files.
    ///
    /// # Errors
    /// [`FileError`] for the first that holds no certificate.
    pub async fn load(self) -> Result<Pinned, FileError> {
        let [client_ca, front_proxy_ca] = self.read().await;
        Ok(Pinned {
            client_ca: client_ca?,
            front_proxy_ca: front_proxy_ca?,
            pins: self,
        })
    }

    async fn read(&self) -> [Result<Option<Bundle>, FileError>; 2] {
        [
            read("--client-ca-file", self.client_ca.as_deref()).await,
            read(
                "--requestheader-client-ca-file",
                self.front_proxy_ca.as_deref(),
            )
            .await,
        ]
    }
}

impl Pinned {
    /// What becomes of the ConfigMap.
    pub fn lookup(&self) -> Lookup {
        self.pins.lookup
    }

    /// Reads the files again. One that holds no bundle now keeps the one that it held, and is told.
    pub(super) async fn reload(&mut self) -> Vec<FileError> {
        let mut failures = Vec::new();
        let [client_ca, front_proxy_ca] = self.pins.read().await;
        for (held, found) in [
            (&mut self.client_ca, client_ca),
            (&mut self.front_proxy_ca, front_proxy_ca),
        ] {
            match found {
                Ok(bundle) => *held = bundle,
                Err(failure) => failures.push(failure),
            }
        }
        failures
    }

    /// What `config` (the ConfigMap's) comes to with these flags. Where the ConfigMap is not read, headers have the names
    /// that kube-apiserver's own flags have by default.
    pub(super) fn over(&self, config: &AuthConfig) -> AuthConfig {
        let Pins {
            lookup,
            client_ca: _,
            front_proxy_ca: _,
            allowed_names,
            username_headers,
            uid_headers,
            group_headers,
            extra_prefixes,
        } = &self.pins;
        let headers = |pinned: &Option<Vec<String>>, followed: &Vec<String>, default: &str| match (
            pinned, lookup,
        ) {
            (Some(names), _) => names.clone(),
            (None, Lookup::Skipped) => vec![default.to_owned()],
            (None, Lookup::Required | Lookup::Tolerated) => followed.clone(),
        };
        AuthConfig {
            client_ca: self.client_ca.clone().or_else(|| config.client_ca.clone()),
            front_proxy_ca: self
                .front_proxy_ca
                .clone()
                .or_else(|| config.front_proxy_ca.clone()),
            allowed_names: match allowed_names {
                None => config.allowed_names.clone(),
                Some(names) if names.is_empty() => AllowedNames::Any,
                Some(names) => AllowedNames::These(names.clone()),
            },
            username_headers: headers(username_headers, &config.username_headers, "x-remote-user"),
            // Never by default: who does not set it does not strip it either (AUTHN-11).
            uid_headers: uid_headers
                .clone()
                .unwrap_or_else(|| config.uid_headers.clone()),
            group_headers: headers(group_headers, &config.group_headers, "x-remote-group"),
            extra_prefixes: headers(extra_prefixes, &config.extra_prefixes, "x-remote-extra-"),
        }
    }
}

async fn read(flag: &'static str, path: Option<&Path>) -> Result<Option<Bundle>, FileError> {
    let Some(path) = path else {
        return Ok(None);
    };
    let text = tokio::fs::read(path)
        .await
        .map_err(|source| FileError::Read {
            flag,
            path: path.to_owned(),
            source,
        })?;
    bundle_of(&text)
        .map(Some)
        .map_err(|defect| FileError::Content {
            flag,
            path: path.to_owned(),
            defect,
        })
}
