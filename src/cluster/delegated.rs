//! What an aggregated API server leaves to kube-apiserver: who a token is, what a user may do, and which
//! authorities to trust. Here are the questions and the watch; what the answers mean is judged in `apiserver`.

mod config;
mod follow;
mod pins;
mod review;
mod rights;

pub use config::{AllowedNames, AuthConfig, Bundle, Problem};
pub use follow::{Follower, Gauges, OUTAGE_PAUSE};
pub use pins::{FileError, Lookup, Pinned, Pins};
pub use review::Reviews;
pub use rights::{Right, missing_rights};

use std::time::Duration;

/// The ConfigMap with the authorities, in `kube-system`, written by kube-apiserver.
pub const CONFIG_MAP: &str = "extension-apiserver-authentication";
/// Where it is.
pub const CONFIG_NAMESPACE: &str = "kube-system";
/// The Role that lets it be read.
pub const READER_ROLE: &str = "extension-apiserver-authentication-reader";
/// The ClusterRole that lets reviews be created.
pub const DELEGATOR_ROLE: &str = "system:auth-delegator";

/// Why kube-apiserver could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The ConfigMap may not be read: the most frequent fault of a first install (AUTHN-3).
    #[error(
        "failed to read ConfigMap {CONFIG_NAMESPACE}/{CONFIG_MAP}: bind Role {READER_ROLE} in namespace \
         {CONFIG_NAMESPACE} to this program's account ({message})"
    )]
    ConfigForbidden {
        /// kube-apiserver's message, which names the account.
        message: String,
    },
    /// The ConfigMap does not exist.
    #[error("failed to read ConfigMap {CONFIG_NAMESPACE}/{CONFIG_MAP}: it does not exist")]
    ConfigMissing,
    /// The ConfigMap could not be read for another reason.
    #[error("failed to read ConfigMap {CONFIG_NAMESPACE}/{CONFIG_MAP}")]
    Config(#[source] Box<kube::Error>),
    /// Reviews may not be created.
    #[error(
        "failed to create a {kind}: bind ClusterRole {DELEGATOR_ROLE} to this program's account ({message})"
    )]
    ReviewForbidden {
        /// `TokenReview` or `SubjectAccessReview`.
        kind: &'static str,
        /// kube-apiserver's message, which names the account.
        message: String,
    },
    /// A review failed after every attempt, or in a way that no attempt mends.
    #[error("failed to create a {kind}")]
    Review {
        /// `TokenReview` or `SubjectAccessReview`.
        kind: &'static str,
        /// The last attempt's cause.
        source: Box<kube::Error>,
    },
    /// No answer in time.
    #[error("failed to create a {kind}: no answer within {}s", limit.as_secs())]
    ReviewTimeout {
        /// `TokenReview`, `SubjectAccessReview` or `SelfSubjectAccessReview`.
        kind: &'static str,
        /// How long it was waited for.
        limit: Duration,
    },
    /// An answer without its `status`.
    #[error("failed to create a {kind}: the answer has no status")]
    NoStatus {
        /// `TokenReview` or `SubjectAccessReview`.
        kind: &'static str,
    },
    /// Too many reviews are already waiting.
    #[error("failed to create a {kind}: too many are under way")]
    Busy {
        /// `TokenReview` or `SubjectAccessReview`.
        kind: &'static str,
    },
}

#[cfg(test)]
mod tests;
