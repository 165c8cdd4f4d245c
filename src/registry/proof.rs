//! Who we are, said in the way the registry asks: what to send, and what to learn from a 401.
//!
//! A refused credential is an error. It is never followed by an anonymous try, which would hide a wrong
//! Secret behind rate limits and missing repositories.

use http::HeaderMap;

use super::answer::{account, read_body};
use super::challenge::{Challenge, challenges};
use super::client::Inner;
use super::error::Error;
use super::exchange::Ask;
use super::hosts::{Host, Issuer, Scheme};
use super::realm::Realm;
use super::redact::{Redactor, shorten};
use super::token::{Token, TokenKey, basic_header, bearer_header};
use super::transport::{Authorization, Opened};
use crate::secret::{Credential, ExposeSecret as _};

/// More rounds of challenge and answer than any registry needs.
const ROUNDS: u32 = 4;

/// What a request says about who we are.
#[derive(Debug)]
pub(super) enum Proof {
    /// Nothing.
    Nothing,
    /// User name and password, or a token that came with the credential.
    Given(Authorization),
    /// A token of the token server's.
    Token {
        key: Box<TokenKey>,
        token: Token,
        is_fresh: bool,
    },
}

impl Proof {
    /// What the request carries.
    pub(super) fn authorization(&self) -> Option<&Authorization> {
        match self {
            Self::Nothing => None,
            Self::Given(authorization) => Some(authorization),
            Self::Token { token, .. } => Some(&token.authorization),
        }
    }
}

/// The scope that `challenge` names, unless it is the one that was asked for.
fn named_scope<'a>(challenge: &'a Challenge, asked: &str) -> Option<&'a str> {
    challenge.parameter("scope").filter(|named| {
        !named.is_empty()
            && *named != asked
            && named.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
    })
}

impl Ask<'_> {
    fn credential_missing(&self, detail: String) -> Error {
        Error::CredentialMissing {
            host: self.host().to_owned(),
            repository: self.repository.path().to_owned(),
            right: self.right(),
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

impl Inner {
    /// What to send, by what the host is known to want.
    pub(super) async fn proof(
        &self,
        ask: &Ask<'_>,
        host: &Host,
        scope: Option<&str>,
    ) -> Result<Proof, Error> {
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
                let scope = scope.map_or_else(|| ask.scope(), str::to_owned);
                let key = TokenKey {
                    host: ask.host().to_ascii_lowercase(),
                    issuer,
                    scope,
                    credential: credential.as_ref().map(Credential::fingerprint),
                    profile: ask.access.profile(),
                };
                let (mut token, mut is_fresh) = self.token(ask, &key).await?;
                // A scan learns from a 401; a body that can be sent once cannot.
                if !is_fresh && ask.errand.is_some() && token.is_doubtful() {
                    self.tokens.forget(&key, &token).await;
                    (token, is_fresh) = self.token(ask, &key).await?;
                }
                Ok(Proof::Token {
                    key: Box::new(key),
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
    pub(super) async fn learn(
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
        let (wanted, challenge) = self.choose(ask, &all, plain_http, &opened).await?;
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
                let named = named_scope(challenge, &key.scope);
                match named {
                    Some(named) if scope.is_none() => Ok(Some(named.to_owned())),
                    _ if challenge.parameter("error") == Some("insufficient_scope")
                        && ask.access.credential.is_some() =>
                    {
                        Err(Error::Forbidden {
                            host: ask.host().to_owned(),
                            repository: ask.repository.path().to_owned(),
                            right: ask.right(),
                            detail,
                        })
                    }
                    _ => Err(refused(detail)),
                }
            }
        }
    }

    /// The scope that a 403 names instead of that of `proof` (RFC 6750 3.1: `insufficient_scope` comes with either).
    pub(super) fn scope_instead(headers: &HeaderMap, proof: &Proof) -> Option<String> {
        let Proof::Token { key, .. } = proof else {
            return None;
        };
        challenges(headers)
            .iter()
            .filter(|one| one.scheme == "bearer")
            .find(|one| one.parameter("error") == Some("insufficient_scope"))
            .and_then(|one| named_scope(one, &key.scope))
            .map(str::to_owned)
    }

    /// Picks the challenge that can be answered: Bearer before Basic.
    async fn choose<'c>(
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
                        reach: opened.reach(&*self.settings.names).await,
                    };
                    return Ok((Scheme::Bearer(issuer), challenge));
                }
                Err(cause) => {
                    unsafe_realm = Some(Error::Realm {
                        host: ask.host().to_owned(),
                        cause,
                    });
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
