//! One question to a registry until it is answered: tries, waits, and the reading of the answer.
//!
//! The request itself goes first, with whatever the host is known to want; what to say after a challenge is
//! `proof`'s business. A wait that is asked for is kept, for every request to that host.

use std::time::Duration;

use http::{Method, StatusCode};
use url::Url;

use super::access::Access;
use super::answer::{Account, Answer, BodyError, account, is_html, read_body};
use super::client::Inner;
use super::error::Error;
use super::hosts::Host;
use super::limits::Deadline;
use super::observe::Operation;
use super::proof::Proof;
use super::redact::Redactor;
use super::retry::{is_worth_another_try, retry_after};
use super::transport::{Authorization, Opened, Single};
use crate::image::Repository;
use crate::secret::ExposeSecret as _;

/// One question.
#[derive(Debug)]
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) operation: Operation,
    pub(super) repository: &'a Repository,
    /// Path and query on the registry, with the leading slash.
    pub(super) path_and_query: String,
    pub(super) accept: &'static str,
    pub(super) access: &'a Access,
    pub(super) deadline: Deadline,
    /// The most that is read of a good answer.
    pub(super) body_limit: u64,
    /// What the limit is of, for its error.
    pub(super) body_name: &'static str,
}

impl Ask<'_> {
    /// The registry's host and port.
    pub(super) fn host(&self) -> &str {
        self.repository.registry().api_host()
    }

    /// Method and path, without the query.
    pub(super) fn asked(&self) -> String {
        let path = self.path_and_query.split('?').next().unwrap_or_default();
        format!("{} {path}", self.method)
    }

    pub(super) fn url(&self, scheme: &str) -> Result<Url, Error> {
        Url::parse(&format!(
            "{scheme}://{}{}",
            self.host(),
            self.path_and_query
        ))
        .map_err(|error| Error::Setup {
            cause: format!("{} makes no URL: {error}", self.repository),
        })
    }

    pub(super) fn single<'a>(
        &self,
        url: Url,
        authorization: Option<&'a Authorization>,
    ) -> Single<'a> {
        Single {
            method: self.method.clone(),
            url,
            accept: self.accept,
            authorization: authorization.map(|sent| &sent.value),
            form: None,
            operation: self.operation,
        }
    }

    fn limit_error(&self) -> Error {
        Error::Limit {
            host: self.host().to_owned(),
            repository: self.repository.path().to_owned(),
            what: self.body_name,
            limit: self.body_limit,
            unit: "bytes",
        }
    }
}

impl Inner {
    /// Asks until there is an answer that is neither a challenge nor a plea for patience.
    pub(super) async fn exchange(&self, ask: &Ask<'_>) -> Result<Answer, Error> {
        let host = self.hosts.of(ask.host(), ask.access.profile());
        let mut redactor = Redactor::for_credential(ask.access.credential.as_ref());
        let mut scope = None;
        let (mut tried, mut rounds) = (1, 1);
        loop {
            self.keep_quiet_time(ask, &host).await?;
            let proof = self.proof(ask, &host, scope.as_deref()).await?;
            if let Proof::Token { token, .. } = &proof {
                redactor.hide(token.secret.expose_secret());
            }
            let attempt = match self.transport.open(ask, &host, proof.authorization()).await {
                Ok(opened)
                    if opened.response.status() == StatusCode::UNAUTHORIZED && !opened.left =>
                {
                    scope = self
                        .learn(ask, &host, opened, proof, scope, rounds, &redactor)
                        .await?;
                    rounds += 1;
                    continue;
                }
                Ok(opened) => self.read(ask, opened).await,
                Err(error) => Err(error),
            };
            let (wait, otherwise) = match attempt {
                Ok(answer) if is_worth_another_try(answer.status) => {
                    let wait = retry_after(&answer.headers, self.settings.clock.now());
                    if let (Some(wait), false) = (wait, answer.left) {
                        host.leave_alone(wait);
                    }
                    (wait, refusal(ask, &answer, &redactor, wait))
                }
                Ok(answer) => return Ok(answer),
                Err(error @ Error::Broken { .. }) => (None, error),
                Err(error) => return Err(error),
            };
            let wait = wait.unwrap_or_else(|| self.settings.patience.wait_after(tried));
            if tried >= self.settings.patience.tries || !self.has_patience_for(wait, ask) {
                return Err(otherwise);
            }
            tokio::time::sleep(wait).await;
            tried += 1;
        }
    }

    /// The error that an answer other than a success means.
    pub(super) fn refuse(ask: &Ask<'_>, answer: &Answer, what: String) -> Error {
        let redactor = Redactor::for_credential(ask.access.credential.as_ref());
        if answer.status == StatusCode::NOT_FOUND && !is_html(&answer.headers, &answer.body) {
            let detail = account(&answer.body, &redactor).detail;
            return Error::NotFound {
                host: answer.host.clone(),
                what,
                detail,
            };
        }
        refusal(ask, answer, &redactor, None)
    }

    /// Whether a wait fits into what is allowed and what is left.
    pub(super) fn has_patience_for(&self, wait: Duration, ask: &Ask<'_>) -> bool {
        wait <= self.settings.patience.longest_wait && wait < ask.deadline.remaining()
    }

    /// Waits as long as the host wants to be left alone, or says for how long that is.
    async fn keep_quiet_time(&self, ask: &Ask<'_>, host: &Host) -> Result<(), Error> {
        let wait = host.quiet_time();
        if wait.is_zero() {
            return Ok(());
        }
        if !self.has_patience_for(wait, ask) {
            return Err(Error::RateLimited {
                host: ask.host().to_owned(),
                retry_after: Some(wait),
            });
        }
        tokio::time::sleep(wait).await;
        Ok(())
    }

    async fn read(&self, ask: &Ask<'_>, mut opened: Opened) -> Result<Answer, Error> {
        let body = if ask.method == Method::HEAD {
            Ok(Vec::new())
        } else {
            read_body(&mut opened.response, ask.body_limit).await
        };
        let Opened {
            response,
            asked,
            host,
            left,
        } = opened;
        match body {
            Ok(body) => {
                let (status, headers) = (response.status(), response.headers().clone());
                Ok(Answer {
                    status,
                    headers,
                    body,
                    asked,
                    host,
                    left,
                })
            }
            Err(BodyError::TooLong) => Err(ask.limit_error()),
            Err(BodyError::Broken(cause)) => Err(Error::Broken { host, cause }),
            Err(BodyError::Encoded) => {
                let cause = "it is compressed, which was not asked for".to_owned();
                Err(Error::Malformed {
                    host,
                    asked: ask.asked(),
                    cause,
                })
            }
        }
    }
}

/// The error that a status other than a success means.
fn refusal(
    ask: &Ask<'_>,
    answer: &Answer,
    redactor: &Redactor,
    retry_after: Option<Duration>,
) -> Error {
    let host = answer.host.clone();
    let repository = ask.repository.path().to_owned();
    let Account { detail, .. } = account(&answer.body, redactor);
    let detail = if is_html(&answer.headers, &answer.body) {
        " with an HTML page: is it a registry?".to_owned()
    } else {
        detail
    };
    match (answer.status, retry_after) {
        (StatusCode::TOO_MANY_REQUESTS, _) | (StatusCode::SERVICE_UNAVAILABLE, Some(_)) => {
            Error::RateLimited { host, retry_after }
        }
        (StatusCode::UNAUTHORIZED, _) => Error::CredentialMissing {
            host,
            repository,
            detail,
        },
        (StatusCode::FORBIDDEN, _) => Error::Forbidden {
            host,
            repository,
            detail,
        },
        (status, _) => Error::Status {
            host,
            status,
            asked: ask.asked(),
            detail,
        },
    }
}
