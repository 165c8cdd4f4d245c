//! The seam to whoever knows tokens and rights, and the memory of its answers.
//!
//! In the program that is kube-apiserver (`cluster::delegated`); in tests a stateful fake.

mod memory;

pub use memory::{Memory, Ttl};

use futures::future::BoxFuture;
use k8s_openapi::api::authentication::v1::TokenReviewStatus;
use k8s_openapi::api::authorization::v1::{SubjectAccessReviewSpec, SubjectAccessReviewStatus};

use crate::cluster::delegated::{self, Reviews};
use crate::secret::SecretString;

/// Answers reviews. Every call costs a request; ask through a [`Memory`].
pub trait Reviewer: Send + Sync + 'static {
    /// Who the bearer of `token` is.
    fn token<'a>(
        &'a self,
        token: &'a SecretString,
        audiences: &'a [String],
    ) -> BoxFuture<'a, Result<TokenReviewStatus, Failure>>;

    /// Whether the user of `spec` may do what it says.
    fn access(
        &self,
        spec: SubjectAccessReviewSpec,
    ) -> BoxFuture<'_, Result<SubjectAccessReviewStatus, Failure>>;
}

/// Why there is no answer. Cheap to clone: all who waited for it get it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Failure {
    /// Too many reviews are under way: come back later.
    #[error("too many reviews are under way")]
    Busy,
    /// The reviewer did not answer.
    #[error("no review")]
    Unanswered(#[source] std::sync::Arc<delegated::Error>),
    /// The reviewing code panicked.
    #[error("the review broke off")]
    BrokenOff,
}

impl From<delegated::Error> for Failure {
    fn from(error: delegated::Error) -> Self {
        match error {
            delegated::Error::Busy { .. } => Self::Busy,
            error => Self::Unanswered(std::sync::Arc::new(error)),
        }
    }
}

impl Reviewer for Reviews {
    fn token<'a>(
        &'a self,
        token: &'a SecretString,
        audiences: &'a [String],
    ) -> BoxFuture<'a, Result<TokenReviewStatus, Failure>> {
        Box::pin(async move { Ok(self.token_review(token, audiences).await?) })
    }

    fn access(
        &self,
        spec: SubjectAccessReviewSpec,
    ) -> BoxFuture<'_, Result<SubjectAccessReviewStatus, Failure>> {
        Box::pin(async move { Ok(self.subject_access_review(spec).await?) })
    }
}
