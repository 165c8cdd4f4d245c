//! One question to a registry until it is answered: authentication, and patience.
//!
//! The request itself goes first, with whatever the host is known to want; a challenge is learnt and
//! answered. A wait that is asked for is kept, for every request to that host.

use std::time::Duration;

use http::{Method, StatusCode};
use url::Url;

use super::access::Access;
use super::answer::{Account, Answer, BodyError, account, is_html, read_body};
use super::challenge::{Challenge, challenges};
use super::client::Inner;
use super::error::Error;
use super::hosts::{Host, Issuer, Scheme};
use super::limits::Deadline;
use super::observe::Operation;
use super::realm::Realm;
use super::redact::{Redactor, shorten};
use super::retry::{is_worth_another_try, retry_after};
use super::token::{Token, TokenKey, basic_header, bearer_header};
use super::transport::{Authorization, Opened, Single};
use crate::image::Repository;
use crate::secret::{Credential, ExposeSecret as _};

/// More rounds of challenge and answer than any registry needs.
const ROUNDS: u32 = 4;

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

    fn credential_missing(&self, detail: String) -> Error {
        Error::CredentialMissing {
            host: self.host().to_owned(),
            repository: self.repository.path().to_owned(),
            detail,
        }
    }

    fn credential_refused(&self, detail: String) -> Error {
        Error::CredentialRefused {
            host: self.host().to_owned(),
            repository: self.repository.path().to_owned(),
            detail,
        }
    }

    fn credential_unfit(&self, asked: &'static str, offered: &'static str) -> Error {
        Error::CredentialUnfit {
            host: self.host().to_owned(),
            asked,
            offered,
        }
    }
}

/// What a request says about who we are.
#[derive(Debug)]
enum Proof {
    /// Nothing.
    Nothing,
    /// User name and password, or a token that came with the credential.
    Given(Authorization),
    /// A token of the token server's.
    Token {
        key: TokenKey,
        token: Token,
        is_fresh: bool,
    },
}

impl Proof {
    fn authorization(&self) -> Option<&Authorization> {
        match self {
            Self::Nothing => None,
            Self::Given(authorization) => Some(authorization),
            Self::Token { token, .. } => Some(&token.authorization),
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

    /// What to send, by what the host is known to want.
    async fn proof(&self, ask: &Ask<'_>, host: &Host, scope: Option<&str>) -> Result<Proof, Error> {
        let given = |value| {
            Proof::Given(Authorization {
                value,
                is_secret: true,
            })
        };
        let unsendable = || Error::Setup {
            cause: "the credential has characters that no header can carry".to_owned(),
        };
        match (host.scheme(), &ask.access.credential) {
            (Scheme::Open, _) | (Scheme::Basic, None) => Ok(Proof::Nothing),
            (Scheme::Basic, Some(credential @ Credential::Basic { .. })) => {
                basic_header(credential).map(given).ok_or_else(unsendable)
            }
            (Scheme::Basic, Some(Credential::IdentityToken(_))) => {
                Err(ask.credential_unfit("Basic", "an identity token"))
            }
            (Scheme::Basic, Some(Credential::RegistryToken(_))) => {
                Err(ask.credential_unfit("Basic", "a registry token"))
            }
            (Scheme::Bearer(_), Some(Credential::RegistryToken(token))) => {
                bearer_header(token.expose_secret())
                    .map(given)
                    .ok_or_else(unsendable)
            }
            (Scheme::Bearer(issuer), credential) => {
                let scope = scope.map_or_else(
                    || format!("repository:{}:pull", ask.repository.path()),
                    str::to_owned,
                );
                let key = TokenKey {
                    host: ask.host().to_ascii_lowercase(),
                    issuer,
                    scope,
                    credential: credential.as_ref().map(Credential::fingerprint),
                    profile: ask.access.profile(),
                };
                let (token, is_fresh) = self.token(ask, &key).await?;
                Ok(Proof::Token {
                    key,
                    token,
                    is_fresh,
                })
            }
        }
    }

    /// Learns from a 401 what to send next. Returns the scope to ask for, when it is not the usual one.
    #[expect(
        clippy::too_many_arguments,
        reason = "the state of the one loop that calls it"
    )]
    async fn learn(
        &self,
        ask: &Ask<'_>,
        host: &Host,
        mut opened: Opened,
        proof: Proof,
        scope: Option<String>,
        rounds: u32,
        redactor: &Redactor,
    ) -> Result<Option<String>, Error> {
        let all = challenges(opened.response.headers());
        let plain_http = opened.asked.scheme() == "http";
        let known = host.scheme();
        let (wanted, challenge) = self.choose(ask, &all, plain_http, &opened)?;
        let body = read_body(&mut opened.response, 0).await.unwrap_or_default();
        let detail = account(&body, redactor).detail;
        host.set_scheme(wanted.clone());
        let refused = |detail| match ask.access.credential {
            Some(_) => ask.credential_refused(detail),
            None => ask.credential_missing(detail),
        };
        if rounds >= ROUNDS {
            return Err(refused(detail));
        }
        match proof {
            Proof::Nothing if wanted == Scheme::Basic && ask.access.credential.is_none() => {
                Err(ask.credential_missing(detail))
            }
            Proof::Nothing => Ok(scope),
            // The host has changed its mind about the scheme, or it does not like the credential.
            Proof::Given(_) if wanted != known => Ok(scope),
            Proof::Given(_) => Err(ask.credential_refused(detail)),
            Proof::Token {
                key,
                token,
                is_fresh: false,
            } => {
                self.tokens.forget(&key, &token).await;
                Ok(scope)
            }
            Proof::Token { .. } if wanted != known => Ok(scope),
            Proof::Token {
                key,
                token,
                is_fresh: true,
            } => {
                // A good token, but not good for this: ask once for exactly what the registry names.
                self.tokens.forget(&key, &token).await;
                let named = challenge.parameter("scope").filter(|named| {
                    !named.is_empty()
                        && *named != key.scope
                        && named.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
                });
                match named {
                    Some(named) if scope.is_none() => Ok(Some(named.to_owned())),
                    _ if challenge.parameter("error") == Some("insufficient_scope")
                        && ask.access.credential.is_some() =>
                    {
                        Err(Error::Forbidden {
                            host: ask.host().to_owned(),
                            repository: ask.repository.path().to_owned(),
                            detail,
                        })
                    }
                    _ => Err(refused(detail)),
                }
            }
        }
    }

    /// Picks the challenge that can be answered: Bearer before Basic.
    fn choose<'c>(
        &self,
        ask: &Ask<'_>,
        all: &'c [Challenge],
        plain_http: bool,
        opened: &Opened,
    ) -> Result<(Scheme, &'c Challenge), Error> {
        let unanswerable = |cause: String| Error::Challenge {
            host: ask.host().to_owned(),
            cause,
        };
        let mut unsafe_realm = None;
        for challenge in all.iter().filter(|challenge| challenge.scheme == "bearer") {
            let Some(realm) = challenge.parameter("realm") else {
                continue;
            };
            let registry = ask.repository.registry();
            match Realm::parse(
                realm,
                registry,
                plain_http,
                &self.settings.trusted_token_servers,
            ) {
                Ok(realm) => {
                    let service = challenge
                        .parameter("service")
                        .filter(|service| !service.is_empty());
                    let issuer = Issuer {
                        realm,
                        service: service.map(str::to_owned),
                        reach: opened.reach(),
                    };
                    return Ok((Scheme::Bearer(issuer), challenge));
                }
                Err(cause) => {
                    unsafe_realm = Some(Error::Realm {
                        host: ask.host().to_owned(),
                        cause,
                    })
                }
            }
        }
        if let Some(challenge) = all.iter().find(|challenge| challenge.scheme == "basic") {
            return Ok((Scheme::Basic, challenge));
        }
        Err(unsafe_realm.unwrap_or_else(|| match all.first() {
            None => {
                unanswerable("its 401 has no WWW-Authenticate header that can be read".to_owned())
            }
            Some(challenge) if challenge.scheme == "bearer" => {
                unanswerable("its challenge names no realm".to_owned())
            }
            Some(challenge) => unanswerable(format!(
                "the scheme {} is not supported",
                shorten(&challenge.scheme, 40)
            )),
        }))
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
