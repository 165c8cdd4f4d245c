//! Tokens: fetched from the token server that a registry named, kept until shortly before they end,
//! and fetched once however many are waiting for the same one.

mod document;

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderValue, Method, StatusCode};
use moka::Expiry;
use moka::future::Cache;
use url::form_urlencoded;

pub(super) use document::{basic_header, bearer_header};

use super::access::Profile;
use super::answer::{BodyError, account, is_html, read_body};
use super::client::Inner;
use super::error::Error;
use super::exchange::Ask;
use super::hosts::Issuer;
use super::observe::Operation;
use super::reach::Reach;
use super::redact::Redactor;
use super::retry::{is_too_much, is_worth_another_try, retry_after};
use super::transport::{Authorization, Failure, Single};
use crate::secret::{Credential, ExposeSecret as _, Fingerprint, SecretString};

const CAPACITY: u64 = 10_000;
/// How we are called where a name for the client is asked for.
const CLIENT_ID: &str = "tagscope";

/// What a token was given for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct TokenKey {
    pub(super) host: String,
    pub(super) issuer: Issuer,
    pub(super) scope: String,
    pub(super) credential: Option<Fingerprint>,
    pub(super) profile: Profile,
}

/// A bearer token, ready to be sent.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) authorization: Authorization,
    /// The token itself, to be kept out of messages.
    pub(super) secret: SecretString,
    /// How long it is used from when it was asked for.
    lifetime: Duration,
    /// From when on its server may no longer take it, by the time that it stated itself, however short.
    doubtful_from: tokio::time::Instant,
}

impl Token {
    /// Whether it may have ended by its own word, and is kept only because less than a minute is not believed.
    pub(super) fn is_doubtful(&self) -> bool {
        tokio::time::Instant::now() >= self.doubtful_from
    }
}

/// The tokens at hand.
#[derive(Debug)]
pub(super) struct Tokens(Cache<TokenKey, Token>);

struct Lifetime;

impl Expiry<TokenKey, Token> for Lifetime {
    fn expire_after_create(&self, _: &TokenKey, token: &Token, _: Instant) -> Option<Duration> {
        Some(token.lifetime)
    }
}

impl Tokens {
    pub(super) fn new() -> Self {
        Self(
            Cache::builder()
                .max_capacity(CAPACITY)
                .expire_after(Lifetime)
                .build(),
        )
    }

    /// Forgets `stale`, unless somebody has already replaced it.
    pub(super) async fn forget(&self, key: &TokenKey, stale: &Token) {
        let current = self.0.get(key).await;
        if current.is_some_and(|current| current.authorization.value == stale.authorization.value) {
            self.0.invalidate(key).await;
        }
    }
}

impl Inner {
    /// The token for `key`, and whether it was fetched just now.
    pub(super) async fn token(
        &self,
        ask: &Ask<'_>,
        key: &TokenKey,
    ) -> Result<(Token, bool), Error> {
        let entry = self
            .tokens
            .0
            .entry_by_ref(key)
            .or_try_insert_with(self.fetch_token(ask, key))
            .await
            .map_err(|error: Arc<Error>| (*error).clone())?;
        let is_fresh = entry.is_fresh();
        Ok((entry.into_value(), is_fresh))
    }

    async fn fetch_token(&self, ask: &Ask<'_>, key: &TokenKey) -> Result<Token, Error> {
        check(ask, &key.issuer)?;
        // A token server has a budget of its own, for all registries that name it.
        let host = key.issuer.realm.host();
        let pause = self.budgets.of(&host).pause();
        if !pause.is_zero() {
            let retry_after = Some(pause);
            return Err(Error::RateLimited { host, retry_after });
        }
        let mut tried = 1;
        loop {
            match self.fetch_token_once(ask, key).await? {
                Fetched::Token(token) => return Ok(token),
                Fetched::Later { otherwise } => {
                    let wait = self.settings.patience.wait_after(tried);
                    if tried >= self.settings.patience.tries || !self.has_patience_for(wait, ask) {
                        return Err(otherwise);
                    }
                    tokio::time::sleep(wait).await;
                    tried += 1;
                }
            }
        }
    }

    async fn fetch_token_once(&self, ask: &Ask<'_>, key: &TokenKey) -> Result<Fetched, Error> {
        let realm = &key.issuer.realm;
        let failed = |cause: String, is_refusal| Error::TokenServer {
            host: ask.host().to_owned(),
            realm: realm.host(),
            cause,
            is_refusal,
        };
        let useless = |cause| failed(cause, false);
        let refused = |cause| failed(cause, true);
        let reach = if realm.is_own_host {
            Reach::Anything
        } else {
            key.issuer.reach
        };
        let basic = ask.access.credential.as_ref().and_then(basic_header);
        let single = request(ask, key, basic.as_ref());
        // By our own clock, and from when it was asked for: what the server says of dates is of no use.
        let asked_at = tokio::time::Instant::now();
        let mut response = match self
            .transport
            .send(ask.access, reach, realm.is_trusted, single)
            .await
        {
            Ok(response) => response,
            Err(Failure::TooNear) => {
                let cause = format!(
                    "{} is at an address nearer to this network than the registry's own",
                    realm.host()
                );
                return Err(Error::Realm {
                    host: ask.host().to_owned(),
                    cause,
                });
            }
            Err(Failure::Setup(cause)) => return Err(Error::Setup { cause }),
            Err(Failure::Certificate(cause)) => {
                return Err(Error::Certificate {
                    host: realm.host(),
                    cause,
                });
            }
            Err(Failure::Broken(cause)) => {
                let otherwise = useless(format!("broke off its answer: {cause}"));
                return Ok(Fetched::Later { otherwise });
            }
            Err(
                Failure::Refused(cause)
                | Failure::NotTls(cause)
                | Failure::NoTunnel(cause)
                | Failure::Unconnected(cause),
            ) => {
                return Err(useless(format!("cannot be reached: {cause}")));
            }
        };
        let status = response.status();
        let wait = retry_after(response.headers(), self.settings.clock.now());
        let body = match read_body(&mut response, self.settings.limits.token_bytes).await {
            Ok(body) => body,
            Err(BodyError::TooLong) => {
                let limit = self.settings.limits.token_bytes;
                return Err(useless(format!("sent more than {limit} bytes, the limit")));
            }
            Err(BodyError::Broken(cause)) => {
                let otherwise = useless(format!("broke off its answer: {cause}"));
                return Ok(Fetched::Later { otherwise });
            }
            Err(BodyError::Encoded) => {
                return Err(useless(
                    "sent a compressed answer that was not asked for".to_owned(),
                ));
            }
        };
        if is_too_much(status, wait) {
            let retry_after = Some(self.budgets.of(&realm.host()).too_much(wait));
            let host = realm.host();
            return Err(Error::RateLimited { host, retry_after });
        }
        if is_worth_another_try(status) {
            let otherwise = useless(format!("answered {status}"));
            return Ok(Fetched::Later { otherwise });
        }
        let redactor = Redactor::for_credential(ask.access.credential.as_ref());
        if matches!(status.as_u16(), 400 | 401 | 403) && !is_html(response.headers(), &body) {
            let detail = account(&body, &redactor).detail;
            let (host, repository) = (realm.host(), ask.repository.path().to_owned());
            return Err(match &ask.access.credential {
                Some(_) if status != StatusCode::BAD_REQUEST => Error::CredentialRefused {
                    host,
                    repository,
                    detail,
                },
                None if status != StatusCode::BAD_REQUEST => Error::CredentialMissing {
                    host,
                    repository,
                    right: ask.right(),
                    detail,
                },
                _ => refused(format!("answered {status}{detail}")),
            });
        }
        if matches!(status.as_u16(), 404 | 405)
            && matches!(ask.access.credential, Some(Credential::IdentityToken(_)))
        {
            return Err(refused(format!(
                "answered {status}: it does not take identity tokens (OAuth2)"
            )));
        }
        if status.is_redirection() {
            return Err(useless(format!(
                "answered {status}: redirects of token servers are not followed"
            )));
        }
        if !status.is_success() {
            let cause = format!("answered {status}");
            return Err(failed(cause, status.is_client_error()));
        }
        if is_html(response.headers(), &body) {
            return Err(useless(
                "answered with an HTML page instead of a token".to_owned(),
            ));
        }
        document::parse(&body, ask.access.credential.is_some(), asked_at)
            .map(Fetched::Token)
            .map_err(|cause| useless(format!("sent no token: {cause}")))
    }
}

enum Fetched {
    Token(Token),
    /// Another try may help.
    Later {
        otherwise: Error,
    },
}

/// Whether `issuer` may be asked, with what we would send it.
fn check(ask: &Ask<'_>, issuer: &Issuer) -> Result<(), Error> {
    let realm = &issuer.realm;
    let host = ask.host().to_owned();
    if !realm.is_own_host && !issuer.reach.permits(&realm.url) {
        let cause = format!(
            "{} is an address nearer to this network than the registry's own",
            realm.host()
        );
        return Err(Error::Realm { host, cause });
    }
    if ask.access.credential.is_none() {
        return Ok(());
    }
    if !realm.is_trusted {
        let cause = format!(
            "{} is in another domain, and the credential was not sent there",
            realm.host()
        );
        return Err(Error::Realm { host, cause });
    }
    let may_go_plain =
        ask.access.insecure || (ask.repository.registry().is_loopback() && realm.is_own_host);
    if realm.url.scheme() != "https" && !may_go_plain {
        return Err(Error::PlainHttpCredential { host: realm.host() });
    }
    Ok(())
}

fn request<'a>(ask: &'a Ask<'_>, key: &TokenKey, basic: Option<&'a HeaderValue>) -> Single<'a> {
    let mut url = key.issuer.realm.url.clone();
    let service = key.issuer.service.as_deref();
    let accept = "application/json";
    if let Some(Credential::IdentityToken(token)) = &ask.access.credential {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "refresh_token");
        form.append_pair("service", service.unwrap_or_default());
        form.append_pair("client_id", CLIENT_ID);
        form.append_pair("scope", &key.scope);
        form.append_pair("refresh_token", token.expose_secret());
        let form = Some(form.finish());
        return Single {
            method: Method::POST,
            url,
            accept,
            authorization: None,
            form,
            known: None,
            errand: None,
            tally: ask.errand.map(|errand| errand.tally),
            registry: ask.host(),
            operation: Operation::Token,
        };
    }
    {
        let mut query = url.query_pairs_mut();
        if let Some(service) = service {
            query.append_pair("service", service);
        }
        // Each in a parameter of its own (token specification): some servers read the first one only.
        for scope in key.scope.split(' ').filter(|scope| !scope.is_empty()) {
            query.append_pair("scope", scope);
        }
        query.append_pair("client_id", CLIENT_ID);
        if let Some(Credential::Basic { username, .. }) = &ask.access.credential {
            query.append_pair("account", username);
        }
    }
    Single {
        method: Method::GET,
        url,
        accept,
        authorization: basic,
        form: None,
        known: None,
        errand: None,
        tally: ask.errand.map(|errand| errand.tally),
        registry: ask.host(),
        operation: Operation::Token,
    }
}
