//! What a user may do: the masters everything, everybody the health paths, and for the rest kube-apiserver is asked by
//! SubjectAccessReview (AUTHZ-1 to AUTHZ-6). Whatever nobody allows is denied; no answer is no permission.
//!
//! A revoked right works on for as long as an answer is remembered (10 s); a watch is authorized when it starts.

mod attributes;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::authorization::v1::{SubjectAccessReviewSpec, SubjectAccessReviewStatus};

use super::request_info::{RequestInfo, User};
use super::review::{Failure, Memory, Reviewer, Ttl};

/// The group that may do everything, without anybody being asked: kube-apiserver's own probes carry it, and must not
/// depend on what they probe.
pub const MASTERS: &str = "system:masters";

const REMEMBERED: u64 = 8192;
const WAITING: usize = 4096;
/// Larger questions are asked anew each time: the memory is for what repeats.
const MEMORABLE_BYTES: usize = 10_000;

/// How rights are decided.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Paths that everybody may use; one with a trailing `*` is a prefix.
    pub always_allow_paths: Vec<String>,
    /// How long a permission holds without asking again.
    pub allow_ttl: Duration,
    /// How long a denial holds without asking again.
    pub deny_ttl: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            always_allow_paths: ["/healthz", "/readyz", "/livez"]
                .map(str::to_owned)
                .to_vec(),
            allow_ttl: Duration::from_secs(10),
            deny_ttl: Duration::from_secs(10),
        }
    }
}

/// Whether the user may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Go on.
    Allow,
    /// Not allowed by anybody; with the authorizer's reason, which may be empty.
    Deny {
        /// For the message to the client.
        reason: String,
    },
}

/// Decides what users may do.
#[derive(Clone)]
pub struct Authorizer {
    reviewer: Arc<dyn Reviewer>,
    settings: Arc<Settings>,
    decisions: Memory<Decision>,
}

impl std::fmt::Debug for Authorizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authorizer")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Authorizer {
    /// Decides by asking `reviewer`.
    pub fn new(settings: Settings, reviewer: Arc<dyn Reviewer>) -> Self {
        let longest = settings.allow_ttl.max(settings.deny_ttl);
        Self {
            reviewer,
            settings: Arc::new(settings),
            decisions: Memory::new(REMEMBERED, longest, WAITING),
        }
    }

    /// Whether `user` may do what `info` says. `query` is the request's: a list may be allowed only with its selectors.
    ///
    /// # Errors
    /// A [`Failure`] when nobody could be asked: 429 when busy, 500 otherwise; never a permission.
    pub async fn authorize(
        &self,
        user: &User,
        info: &RequestInfo,
        query: Option<&str>,
    ) -> Result<Decision, Failure> {
        if user.groups.iter().any(|group| group == MASTERS) || self.is_open_to_all(info) {
            return Ok(Decision::Allow);
        }
        let key = attributes::key(user, info, query, MEMORABLE_BYTES);
        if let Some(key) = &key
            && let Some(decision) = self.decisions.known(key).await
        {
            return decision;
        }
        let spec = attributes::spec(user, info, query);
        let Some(key) = key else {
            return Ok(self.ask(spec).await?.0);
        };
        let this = self.clone();
        self.decisions
            .recall(key, async move { this.ask(spec).await })
            .await
    }

    fn is_open_to_all(&self, info: &RequestInfo) -> bool {
        let RequestInfo::NonResource { .. } = info else {
            return false;
        };
        let path = info.decoded_path();
        self.settings
            .always_allow_paths
            .iter()
            .any(|allowed| match allowed.strip_suffix('*') {
                Some(prefix) => path.starts_with(prefix),
                None => path == *allowed,
            })
    }

    async fn ask(&self, spec: SubjectAccessReviewSpec) -> Result<(Decision, Ttl), Failure> {
        let status = self.reviewer.access(spec).await?;
        Ok(match judge(status) {
            Decision::Allow => (Decision::Allow, Ttl(self.settings.allow_ttl)),
            denied @ Decision::Deny { .. } => (denied, Ttl(self.settings.deny_ttl)),
        })
    }
}

/// Denied wins; without a yes it is a no.
fn judge(status: SubjectAccessReviewStatus) -> Decision {
    let denied = status.denied.unwrap_or_default();
    if denied && status.allowed {
        tracing::error!("Access review both allows and denies, taken as denied");
    }
    if status.allowed && !denied {
        Decision::Allow
    } else {
        Decision::Deny {
            reason: status.reason.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests;
