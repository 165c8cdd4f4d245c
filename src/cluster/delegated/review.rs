//! TokenReviews and SubjectAccessReviews: a question, an answer, in bounded time and number.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use k8s_openapi::api::authorization::v1::{
    SubjectAccessReview, SubjectAccessReviewSpec, SubjectAccessReviewStatus,
};
use kube::api::PostParams;
use kube::{Api, Client};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

use super::Error;

/// Reviews under way at once; beyond them, more wait.
const CONCURRENT: usize = 64;
/// Reviews waiting for their turn; beyond them, more are refused.
const WAITING: usize = 1024;
const ATTEMPTS: u32 = 5;
const ATTEMPT_TIME: Duration = Duration::from_secs(10);
const WHOLE_TIME: Duration = Duration::from_secs(30);
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Asks kube-apiserver about tokens and rights. Clones share the limits.
#[derive(Clone)]
pub struct Reviews {
    client: Client,
    running: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    first_pause: Duration,
}

impl std::fmt::Debug for Reviews {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reviews").finish_non_exhaustive()
    }
}

impl Reviews {
    /// Reviews through `client`.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            running: Arc::new(Semaphore::new(CONCURRENT)),
            waiting: Arc::new(Semaphore::new(WAITING)),
            first_pause: FIRST_PAUSE,
        }
    }

    /// Another pause before the second attempt than 500 ms; the following ones grow from it by half each.
    #[must_use]
    pub fn with_first_pause(mut self, pause: Duration) -> Self {
        self.first_pause = pause;
        self
    }

    /// Who the bearer of `token` is. `audiences` empty: kube-apiserver's own.
    ///
    /// # Errors
    /// When no answer came within 30 s and five attempts; an answer that says no is an answer.
    pub async fn token_review(
        &self,
        token: &SecretString,
        audiences: &[String],
    ) -> Result<TokenReviewStatus, Error> {
        let spec = TokenReviewSpec {
            token: token.expose_secret().to_owned(),
            audiences: if audiences.is_empty() {
                None
            } else {
                Some(audiences.to_vec())
            },
        };
        let review = TokenReview {
            spec,
            ..TokenReview::default()
        };
        let kind = "TokenReview";
        self.ask(kind, &review)
            .await?
            .status
            .ok_or(Error::NoStatus { kind })
    }

    /// Whether a user may do what `spec` says.
    ///
    /// # Errors
    /// As [`Reviews::token_review`].
    pub async fn subject_access_review(
        &self,
        spec: SubjectAccessReviewSpec,
    ) -> Result<SubjectAccessReviewStatus, Error> {
        let review = SubjectAccessReview {
            spec,
            ..SubjectAccessReview::default()
        };
        let kind = "SubjectAccessReview";
        self.ask(kind, &review)
            .await?
            .status
            .ok_or(Error::NoStatus { kind })
    }

    async fn ask<K>(&self, kind: &'static str, review: &K) -> Result<K, Error>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::ClusterResourceScope>
            + Clone
            + std::fmt::Debug
            + Serialize
            + DeserializeOwned,
    {
        let _place = self
            .waiting
            .try_acquire()
            .map_err(|_| Error::Busy { kind })?;
        let api: Api<K> = Api::all(self.client.clone());
        let asked = async {
            // Never closed, so a permit always comes.
            let _turn = self.running.acquire().await.ok();
            let mut pause = self.first_pause;
            for attempt in 1_u32.. {
                let once = tokio::time::timeout(ATTEMPT_TIME, create(&api, review)).await;
                match once {
                    Ok(Ok(answer)) => return Ok(answer),
                    Ok(Err(error)) if attempt == ATTEMPTS || !is_passing(&error) => {
                        return Err(review_error(kind, error));
                    }
                    Err(_) if attempt == ATTEMPTS => break,
                    Ok(Err(_)) | Err(_) => tokio::time::sleep(jittered(pause)).await,
                }
                pause = pause.mul_f64(1.5);
            }
            Err(Error::ReviewTimeout {
                kind,
                limit: ATTEMPT_TIME,
            })
        };
        match tokio::time::timeout(WHOLE_TIME, asked).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::ReviewTimeout {
                kind,
                limit: WHOLE_TIME,
            }),
        }
    }
}

async fn create<K>(api: &Api<K>, review: &K) -> Result<K, kube::Error>
where
    K: Clone + std::fmt::Debug + Serialize + DeserializeOwned,
{
    api.create(&PostParams::default(), review).await
}

/// Up to a fifth longer, so that callers that failed together do not come back together.
fn jittered(pause: Duration) -> Duration {
    let [chance, ..] = uuid::Uuid::new_v4().into_bytes();
    pause.saturating_add(pause.mul_f64(f64::from(chance) / 1275.0))
}

/// Whether another attempt may help: the connection failed, or the server says so.
fn is_passing(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => {
            matches!(status.code, 429 | 500 | 504)
                || status
                    .details
                    .as_ref()
                    .is_some_and(|details| details.retry_after_seconds > 0)
        }
        kube::Error::HyperError(_) | kube::Error::Service(_) => true,
        _ => false,
    }
}

fn review_error(kind: &'static str, error: kube::Error) -> Error {
    match error {
        kube::Error::Api(status) if status.code == 403 => Error::ReviewForbidden {
            kind,
            message: status.message,
        },
        error => Error::Review {
            kind,
            source: Box::new(error),
        },
    }
}
