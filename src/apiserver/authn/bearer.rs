//! Bearer tokens: found in the request (AUTHN-14), judged by TokenReview (AUTHN-15), remembered for seconds.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use k8s_openapi::api::authentication::v1::TokenReviewStatus;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::{Attempt, Refusal};
use crate::apiserver::request_info::User;
use crate::apiserver::review::{Failure, Memory, Reviewer, Ttl};
use crate::secret::{ExposeSecret as _, SecretString};

/// What kube-apiserver tells a client that puts two spaces before its token.
pub(super) const SPACE_WARNING: &str = "the provided Authorization header contains extra space before the bearer token, and is ignored";

const REMEMBERED: u64 = 8192;
const LOOKUPS: usize = 1024;

/// What the `Authorization` header holds.
pub(super) enum Bearer {
    /// A token.
    Token(SecretString),
    /// A token behind two spaces, which does not count.
    Spaced,
    /// No token; other schemes included.
    None,
}

/// The bearer token of a request: scheme in any case, exactly one space, not empty.
pub(super) fn extract(headers: &HeaderMap) -> Bearer {
    let Some(value) = headers
        .get(AUTHORIZATION)
        .and_then(|value| std::str::from_utf8(value.as_bytes()).ok())
    else {
        return Bearer::None;
    };
    let mut parts = value.trim().splitn(3, ' ');
    let (scheme, token, rest) = (parts.next(), parts.next(), parts.next());
    if !scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer")) {
        return Bearer::None;
    }
    match (token, rest) {
        (None, _) | (Some(""), None) => Bearer::None,
        (Some(""), Some(_)) => Bearer::Spaced,
        (Some(token), _) => Bearer::Token(SecretString::from(token)),
    }
}

/// Learns how tokens were looked up: the metrics.
pub trait TokenObserver: Send + Sync + 'static {
    /// A token was looked up, and known (`is_hit`) or asked about.
    fn looked_up(&self, is_hit: bool, took: Duration);
}

/// Observes nothing.
impl TokenObserver for () {
    fn looked_up(&self, _is_hit: bool, _took: Duration) {}
}

/// Knows tokens, by asking.
#[derive(Clone)]
pub(super) struct Tokens {
    reviewer: Arc<dyn Reviewer>,
    audiences: Arc<[String]>,
    success: Ttl,
    failure: Ttl,
    verdicts: Memory<Verdict>,
    key: Arc<Key>,
    observer: Arc<dyn TokenObserver>,
}

/// What a review said about a token.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    User(Box<User>),
    Invalid,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens")
            .field("audiences", &self.audiences)
            .finish_non_exhaustive()
    }
}

impl Tokens {
    pub(super) fn new(
        reviewer: Arc<dyn Reviewer>,
        audiences: Vec<String>,
        success: Duration,
        failure: Duration,
    ) -> Self {
        Self {
            reviewer,
            audiences: audiences.into(),
            success: Ttl(success),
            failure: Ttl(failure),
            verdicts: Memory::new(REMEMBERED, success.max(failure), LOOKUPS),
            key: Arc::new(Key::random()),
            observer: Arc::new(()),
        }
    }

    /// Tells `observer`.
    pub(super) fn observe(&mut self, observer: Arc<dyn TokenObserver>) {
        self.observer = observer;
    }

    /// Whose token it is. An unreachable reviewer is a failed attempt (401), not an anonymous user.
    pub(super) async fn user(&self, token: SecretString) -> Result<Attempt, Refusal> {
        let this = self.clone();
        let key = self.key.digest(&self.audiences, token.expose_secret());
        let (began, is_asked) = (Instant::now(), Arc::new(AtomicBool::new(false)));
        let asks = Arc::clone(&is_asked);
        let review = async move {
            asks.store(true, Ordering::Relaxed);
            let status = this.reviewer.token(&token, &this.audiences).await?;
            Ok(match judge(status, &this.audiences) {
                Some(user) => (Verdict::User(Box::new(user)), this.success),
                None => (Verdict::Invalid, this.failure),
            })
        };
        let verdict = self.verdicts.recall(key, review).await;
        let is_hit = !is_asked.load(Ordering::Relaxed);
        self.observer.looked_up(is_hit, began.elapsed());
        match verdict {
            Ok(Verdict::User(user)) => Ok(Attempt::Named(*user)),
            Ok(Verdict::Invalid) => Ok(Attempt::Failed("bearer token: it is not valid".to_owned())),
            Err(Failure::Busy) => Err(Refusal::Busy),
            Err(Failure::Unanswered(error)) => {
                Ok(Attempt::Failed(format!("bearer token: {error}")))
            }
            Err(failure @ Failure::BrokenOff) => {
                Ok(Attempt::Failed(format!("bearer token: {failure}")))
            }
        }
    }
}

/// The user, when the token is valid and (where it was asked for) meant for us.
fn judge(status: TokenReviewStatus, audiences: &[String]) -> Option<User> {
    if status.authenticated != Some(true) {
        return None;
    }
    let meant = status.audiences.unwrap_or_default();
    if !audiences.is_empty()
        && !meant.is_empty()
        && !meant.iter().any(|audience| audiences.contains(audience))
    {
        return None;
    }
    let user = status.user?;
    Some(User {
        name: user.username?,
        uid: user.uid.unwrap_or_default(),
        groups: user.groups.unwrap_or_default(),
        extra: user.extra.map(BTreeMap::from_iter).unwrap_or_default(),
    })
}

/// A secret of this process under which tokens are hashed: HMAC-SHA-256, so that no raw token is kept and nobody can
/// compute which slot a token has.
struct Key {
    inner: [u8; 64],
    outer: [u8; 64],
}

impl Key {
    fn random() -> Self {
        let mut key = [0_u8; 64];
        for (slot, byte) in key
            .iter_mut()
            .zip((0..4).flat_map(|_| uuid::Uuid::new_v4().into_bytes()))
        {
            *slot = byte;
        }
        Self {
            inner: key.map(|byte| byte ^ 0x36),
            outer: key.map(|byte| byte ^ 0x5c),
        }
    }

    fn digest(&self, audiences: &[String], token: &str) -> [u8; 32] {
        let mut inner = Sha256::new().chain_update(self.inner);
        for part in audiences.iter().map(String::as_str).chain([token]) {
            inner.update((part.len() as u64).to_be_bytes());
            inner.update(part);
        }
        Sha256::new()
            .chain_update(self.outer)
            .chain_update(inner.finalize())
            .finalize()
            .into()
    }
}

#[cfg(test)]
mod tests;
