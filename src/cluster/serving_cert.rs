//! Self-managed serving certificates, for when no files are given: one authority for all processes, kept in a Secret,
//! under which each process issues its own certificate in memory; and the authority's bundle in the APIService, so
//! that kube-apiserver believes it. A self-signed certificate per process could never be believed by two.
//!
//! The authority's key is in one Secret and nowhere else; serving keys never leave their process.

mod api_service;
mod authority;
mod belief;
mod keeper;
mod secret;

use jiff::SignedDuration;

pub use authority::{Authority, Issued};
pub use belief::is_believed;
pub use keeper::Keeper;
pub use secret::{SECRET, ensure_authority};

/// Whom certificates are for.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The namespace this runs in, with the Secret and the Service.
    pub namespace: String,
    /// The Service's name, e.g. `tagscope`.
    pub service: String,
    /// The APIService's name, `<version>.<group>`.
    pub api_service: String,
    /// How long things live.
    pub lives: Lives,
}

/// How long authorities and certificates live, and how they follow one another: a new authority is published beside the
/// old one, used a while later, and the old one is dropped after that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lives {
    /// Of an authority.
    pub authority: SignedDuration,
    /// An authority of which less than this is left is replaced.
    pub authority_margin: SignedDuration,
    /// Of a serving certificate; with a third of it left comes the next one.
    pub certificate: SignedDuration,
    /// From the publication of a new authority to its use: every kube-apiserver has heard of it by then.
    pub publication: SignedDuration,
    /// From a new authority's making until the old one is believed no more: every process has changed over by then.
    pub overlap: SignedDuration,
}

impl Default for Lives {
    fn default() -> Self {
        let days = |days: i64| SignedDuration::from_hours(24 * days);
        Self {
            authority: days(3650),
            authority_margin: days(365),
            certificate: days(90),
            publication: SignedDuration::from_secs(60),
            overlap: days(1),
        }
    }
}

impl Settings {
    /// The name that kube-apiserver dials.
    pub fn dialled_name(&self) -> String {
        format!("{}.{}.svc", self.service, self.namespace)
    }

    /// Every name that a client may dial: the Service's, short and long, and this machine's own.
    pub fn names(&self) -> Vec<String> {
        let Self {
            namespace,
            service,
            api_service: _,
            lives: _,
        } = self;
        vec![
            service.clone(),
            format!("{service}.{namespace}"),
            format!("{service}.{namespace}.svc"),
            format!("{service}.{namespace}.svc.cluster.local"),
            "localhost".to_owned(),
            "127.0.0.1".to_owned(),
            "::1".to_owned(),
        ]
    }
}

/// Why there is no self-managed certificate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A right is missing.
    #[error(
        "failed to {attempt}: this program's account lacks the right to {verb} {resource} {name:?} ({message})"
    )]
    Forbidden {
        /// What it was for.
        attempt: &'static str,
        /// RBAC's verb.
        verb: &'static str,
        /// RBAC's resource.
        resource: &'static str,
        /// The object.
        name: String,
        /// kube-apiserver's message, which names the account.
        message: String,
    },
    /// kube-apiserver failed or was not reached.
    #[error("failed to {attempt}")]
    Cluster {
        /// What was tried.
        attempt: &'static str,
        /// The cause.
        source: Box<kube::Error>,
    },
    /// Somebody else changed the Secret each time it was about to be written.
    #[error(
        "failed to write Secret {namespace}/{}: it kept being changed by somebody else",
        SECRET
    )]
    Contended {
        /// Where the Secret is.
        namespace: String,
    },
    /// The content of the Secret is no authority.
    #[error("failed to read the authority: {defect}")]
    Authority {
        /// What is wrong with it.
        defect: &'static str,
    },
    /// A certificate could not be made.
    #[error("failed to issue a certificate")]
    Issue(#[source] rcgen::Error),
    /// The APIService belongs to another service, whose certificate is not ours to vouch for.
    #[error("failed to write caBundle: APIService {name} names the Service {service}, not {ours}")]
    Foreign {
        /// The APIService.
        name: String,
        /// The Service that it names.
        service: String,
        /// The Service that it should name.
        ours: String,
    },
    /// Somebody else writes its bundle.
    #[error(
        "failed to write caBundle: APIService {name} has it injected by cert-manager; give the certificate as files"
    )]
    Injected {
        /// The APIService.
        name: String,
    },
    /// The issued certificate was not taken.
    #[error("failed to install the certificate")]
    Install(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// Whether it lasts until somebody grants a right or creates the namespace.
    pub fn is_for_people_to_mend(&self) -> bool {
        match self {
            Self::Forbidden { .. } => true,
            Self::Cluster { source, .. } => {
                matches!(&**source, kube::Error::Api(status) if status.code == 404)
            }
            Self::Contended { .. }
            | Self::Authority { .. }
            | Self::Issue(_)
            | Self::Foreign { .. }
            | Self::Injected { .. }
            | Self::Install(_) => false,
        }
    }

    /// A failed request: who lacks what right when it was refused, its cause otherwise.
    fn of(
        attempt: &'static str,
        verb: &'static str,
        resource: &'static str,
        name: &str,
        error: kube::Error,
    ) -> Self {
        match error {
            kube::Error::Api(status) if status.code == 403 => Self::Forbidden {
                attempt,
                verb,
                resource,
                name: name.to_owned(),
                message: status.message,
            },
            error => Self::Cluster {
                attempt,
                source: Box::new(error),
            },
        }
    }
}

#[cfg(test)]
mod tests;
