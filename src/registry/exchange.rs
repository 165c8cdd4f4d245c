//! One question to a registry until it is answered: tries, waits, and the reading of the answer.
//!
//! The request itself goes first, with whatever the host is known to want; what to say after a challenge is
//! `proof`'s business. Every request waits for the host's budget, and what the host says of its limits goes there.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, StatusCode};
use url::Url;

use super::access::Access;
use super::answer::{Account, Answer, BodyError, account, is_html, read_body};
use super::budget::Turn;
use super::client::Inner;
use super::errand::Errand;
use super::error::Error;
use super::observe::Operation;
use super::proof::Proof;
use super::redact::Redactor;
use super::retry::{is_too_much, is_worth_another_try, retry_after};
use super::transport::{Authorization, Opened, Single};
use crate::image::Repository;
use crate::secret::{ExposeSecret as _, Fingerprint};

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
    /// The right to ask, and the time allowed.
    pub(super) turn: &'a Turn,
    /// The ETag of what is known already.
    pub(super) known: Option<&'a HeaderValue>,
    /// The most that is read of a good answer.
    pub(super) body_limit: u64,
    /// What the limit is of, for its error.
    pub(super) body_name: &'static str,
    /// What a mirror's request has besides; none: it is a scan's.
    pub(super) errand: Option<&'a Errand<'a>>,
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

    /// The scope that its token is asked for, the repository's own first.
    pub(super) fn scope(&self) -> String {
        let actions = self.errand.map_or("pull", |errand| errand.actions);
        let mut scope = format!("repository:{}:{actions}", self.repository.path());
        let from = self.errand.and_then(|errand| errand.mount_from);
        if let Some(from) = from.filter(|from| *from != self.repository) {
            scope.push_str(" repository:");
            scope.push_str(from.path());
            scope.push_str(":pull");
        }
        scope
    }

    /// The right that it takes.
    pub(super) fn right(&self) -> &'static str {
        match self.method {
            Method::GET | Method::HEAD => "pull",
            Method::DELETE if self.operation == Operation::Manifest => "delete",
            _ => "push",
        }
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
        &'a self,
        url: Url,
        authorization: Option<&'a Authorization>,
    ) -> Single<'a> {
        Single {
            method: self.method.clone(),
            url,
            accept: self.accept,
            authorization: authorization.map(|sent| &sent.value),
            form: None,
            known: self.known,
            errand: self.errand,
            tally: self.errand.map(|errand| errand.tally),
            registry: self.host(),
            operation: self.operation,
        }
    }

    /// Tells whoever counts that it is made again.
    pub(super) fn retried(&self) {
        if let Some(errand) = self.errand {
            errand.tally.retried();
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
        let account = ask.access.account();
        let mut scope = None;
        let (mut tried, mut rounds) = (1, 1);
        loop {
            ask.turn.admit(account).await?;
            let proof = self.proof(ask, &host, scope.as_deref()).await?;
            if let Proof::Token { token, .. } = &proof {
                redactor.hide(token.secret.expose_secret());
            }
            let attempt = match self.transport.open(ask, &host, proof.authorization()).await {
                Ok(opened)
                    if opened.response.status() == StatusCode::UNAUTHORIZED && !opened.left =>
                {
                    self.note(
                        ask,
                        account,
                        opened.response.status(),
                        opened.response.headers(),
                    );
                    scope = self
                        .learn(ask, &host, opened, proof, scope, rounds, &redactor)
                        .await?;
                    rounds += 1;
                    continue;
                }
                Ok(opened) => self.read(ask, opened).await,
                Err(error) => Err(error),
            };
            let otherwise = match attempt {
                Ok(answer) => {
                    if !answer.left {
                        self.note(ask, account, answer.status, &answer.headers);
                    }
                    let asked = retry_after(&answer.headers, self.settings.clock.now());
                    if is_too_much(answer.status, asked) {
                        // Another host's wish, behind a redirect, is this operation's affair alone.
                        let wait = if answer.left {
                            asked
                        } else {
                            Some(ask.turn.too_much(asked))
                        };
                        let is_kept = ask.turn.is_patient()
                            && !answer.left
                            && wait.is_some_and(|wait| wait < ask.turn.patience());
                        if is_kept {
                            // Waited for when it asks for admission.
                            ask.retried();
                            continue;
                        }
                        return Err(refusal(ask, &answer, &redactor, wait));
                    }
                    if !is_worth_another_try(answer.status) {
                        return Ok(answer);
                    }
                    refusal(ask, &answer, &redactor, None)
                }
                Err(error @ Error::Broken { .. }) => error,
                Err(error) => return Err(error),
            };
            let wait = self.settings.patience.wait_after(tried);
            if tried >= self.settings.patience.tries || !self.has_patience_for(wait, ask) {
                return Err(otherwise);
            }
            tokio::time::sleep(wait).await;
            ask.retried();
            tried += 1;
        }
    }

    /// The error that an answer other than a success means.
    pub(super) fn refuse(ask: &Ask<'_>, answer: &Answer, what: String) -> Error {
        let redactor = Redactor::for_credential(ask.access.credential.as_ref());
        if matches!(
            answer.status,
            StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST
        ) && !is_html(&answer.headers, &answer.body)
        {
            let Account { codes, detail } = account(&answer.body, &redactor);
            let host = answer.host.clone();
            if answer.status == StatusCode::NOT_FOUND {
                let is_no_repository = codes.iter().any(|code| code == "NAME_UNKNOWN");
                return Error::NotFound {
                    host,
                    what,
                    is_no_repository,
                    detail,
                };
            }
            if codes.iter().any(|code| code == "NAME_INVALID") {
                return Error::InvalidName {
                    host,
                    repository: ask.repository.path().to_owned(),
                    detail,
                };
            }
        }
        refusal(ask, answer, &redactor, None)
    }

    /// Whether a wait fits into what is allowed and what is left.
    pub(super) fn has_patience_for(&self, wait: Duration, ask: &Ask<'_>) -> bool {
        wait <= self.settings.patience.longest_wait && wait < ask.turn.remaining()
    }

    /// Tells the budget what the registry itself says of its limits.
    fn note(
        &self,
        ask: &Ask<'_>,
        account: Option<Fingerprint>,
        status: StatusCode,
        headers: &HeaderMap,
    ) {
        ask.turn
            .answered(account, status, headers, self.settings.clock.now());
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
            at: _,
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
            right: ask.right(),
            detail,
        },
        (StatusCode::FORBIDDEN, _) => Error::Forbidden {
            host,
            repository,
            right: ask.right(),
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
