//! What this program may do, asked before it depends on it: one line that names the missing role is worth more than a
//! thousand refusals later.

use std::fmt;
use std::time::Duration;

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};

use super::{CONFIG_MAP, CONFIG_NAMESPACE, DELEGATOR_ROLE, Error, READER_ROLE};

const TIME: Duration = Duration::from_secs(10);

/// A right that the aggregated API server cannot do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// To read and watch the authentication ConfigMap.
    ReadAuthConfig,
    /// To ask who a token is.
    ReviewTokens,
    /// To ask what a user may do.
    ReviewAccess,
}

impl Right {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::ReadAuthConfig, Self::ReviewTokens, Self::ReviewAccess];

    fn attributes(self) -> ResourceAttributes {
        let of = |verb: &str, group: &str, resource: &str| ResourceAttributes {
            verb: Some(verb.to_owned()),
            group: Some(group.to_owned()),
            resource: Some(resource.to_owned()),
            ..ResourceAttributes::default()
        };
        match self {
            Self::ReadAuthConfig => ResourceAttributes {
                namespace: Some(CONFIG_NAMESPACE.to_owned()),
                name: Some(CONFIG_MAP.to_owned()),
                ..of("watch", "", "configmaps")
            },
            Self::ReviewTokens => of("create", "authentication.k8s.io", "tokenreviews"),
            Self::ReviewAccess => of("create", "authorization.k8s.io", "subjectaccessreviews"),
        }
    }
}

/// What is lacking and what would give it.
impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReadAuthConfig => write!(
                f,
                "watch configmaps {CONFIG_MAP} in {CONFIG_NAMESPACE} (Role {READER_ROLE} in {CONFIG_NAMESPACE})"
            ),
            Self::ReviewTokens => {
                write!(
                    f,
                    "create tokenreviews.authentication.k8s.io (ClusterRole {DELEGATOR_ROLE})"
                )
            }
            Self::ReviewAccess => {
                write!(
                    f,
                    "create subjectaccessreviews.authorization.k8s.io (ClusterRole {DELEGATOR_ROLE})"
                )
            }
        }
    }
}

/// Which of `rights` the account of `client` lacks. Every account may ask this.
///
/// # Errors
/// [`Error::Review`] and [`Error::ReviewTimeout`] when kube-apiserver does not answer.
pub async fn missing_rights(client: Client, rights: &[Right]) -> Result<Vec<Right>, Error> {
    let kind = "SelfSubjectAccessReview";
    let api: Api<SelfSubjectAccessReview> = Api::all(client);
    let mut missing = Vec::new();
    for &right in rights {
        let spec = SelfSubjectAccessReviewSpec {
            resource_attributes: Some(right.attributes()),
            ..Default::default()
        };
        let review = SelfSubjectAccessReview {
            spec,
            ..Default::default()
        };
        let asked = tokio::time::timeout(TIME, api.create(&PostParams::default(), &review)).await;
        let answer = asked
            .map_err(|_| Error::ReviewTimeout { kind, limit: TIME })?
            .map_err(|source| Error::Review {
                kind,
                source: Box::new(source),
            })?;
        if !answer.status.is_some_and(|status| status.allowed) {
            missing.push(right);
        }
    }
    Ok(missing)
}
