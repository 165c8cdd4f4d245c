//! Who asks: the front proxy's word, a client certificate, a bearer token, or nobody (AUTHN-1 to AUTHN-16).
//!
//! In that order, and the first that positively names a user wins. One that is presented and does not hold is
//! remembered: then nobody else may name the user "anonymous". Everything is judged per request against the newest
//! settings; nothing about a user is ever kept with a connection, because a proxy's connection carries everybody.

mod bearer;
mod certificate;
mod front_proxy;
#[cfg(any(test, feature = "fuzzing"))]
pub(in crate::apiserver) mod fuzzing;
mod impersonation;
mod seldom;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use http::HeaderMap;
use tokio::sync::watch;

use super::request_info::User;
use super::review::Reviewer;
use crate::clock::SharedClock;
use crate::cluster::delegated::AuthConfig;
use crate::serve::Peer;

use bearer::{Bearer, Tokens};
use certificate::Authorities;
use seldom::Seldom;

/// The group of everybody who is somebody.
pub const AUTHENTICATED: &str = "system:authenticated";
/// The group of nobody in particular.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// The user that nobody in particular is.
pub const ANONYMOUS: &str = "system:anonymous";

/// How users are recognised, beside what kube-apiserver's ConfigMap says.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Audiences that a token must be for; empty: kube-apiserver's own.
    pub audiences: Vec<String>,
    /// How long a valid token is believed without asking again.
    pub token_ttl: Duration,
    /// How long an invalid token is refused without asking again.
    pub failure_ttl: Duration,
    /// Whether requests without any credential may go on as [`ANONYMOUS`], to be authorized like others.
    pub anonymous: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            audiences: Vec::new(),
            token_ttl: Duration::from_secs(10),
            failure_ttl: Duration::from_secs(10),
            anonymous: true,
        }
    }
}

/// By what a user was recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// The front proxy's headers.
    FrontProxy,
    /// The client's own certificate.
    Certificate,
    /// A bearer token.
    Token,
    /// Nothing: the user is anonymous.
    Nothing,
}

/// A recognised user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Who it is.
    pub user: User,
    /// By what.
    pub via: Via,
    /// Something the client should be told in a `Warning` header.
    pub warning: Option<&'static str>,
}

/// Why a request goes no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// What was presented does not hold: 401.
    Unauthorized,
    /// It asks to act as somebody else: 403.
    Impersonation,
    /// Too many tokens are being looked up: 429.
    Busy,
}

/// Recognises users.
#[derive(Debug)]
pub struct Authenticator {
    config: watch::Receiver<Arc<AuthConfig>>,
    trusted: ArcSwapOption<Trusted>,
    tokens: Tokens,
    anonymous: bool,
    clock: SharedClock,
    complaints: Seldom,
}

/// A configuration with its authorities made ready to verify with.
#[derive(Debug)]
struct Trusted {
    config: Arc<AuthConfig>,
    front_proxy: Option<Authorities>,
    client: Option<Authorities>,
}

/// What one authenticator made of a request.
enum Attempt {
    /// It names the user.
    Named(User),
    /// It has nothing to say.
    NotApplicable,
    /// What was presented to it does not hold.
    Failed(String),
}

impl Authenticator {
    /// Recognises users by `config` as it is at each request, and tokens by `reviewer`.
    pub fn new(
        settings: Settings,
        config: watch::Receiver<Arc<AuthConfig>>,
        reviewer: Arc<dyn Reviewer>,
        clock: SharedClock,
    ) -> Self {
        let tokens = Tokens::new(
            reviewer,
            settings.audiences,
            settings.token_ttl,
            settings.failure_ttl,
        );
        Self {
            config,
            trusted: ArcSwapOption::empty(),
            tokens,
            anonymous: settings.anonymous,
            clock,
            complaints: Seldom::every(Duration::from_mins(1)),
        }
    }

    /// Who sends `headers` over `peer`'s connection. Takes every credential out of `headers` (AUTHN-12), whatever the
    /// outcome, so that nothing behind can log, trust or forward one.
    ///
    /// # Errors
    /// A [`Refusal`]; its cause goes to the log, not to the client.
    pub async fn authenticate(
        &self,
        headers: &mut HeaderMap,
        peer: &Peer,
    ) -> Result<Identity, Refusal> {
        let trusted = self.trusted();
        let impersonates = impersonation::is_asked(headers);
        let by_header = self.front_proxy(&trusted, headers, peer);
        let bearer = bearer::extract(headers);
        front_proxy::strip(headers, &trusted.config);
        if impersonates {
            return Err(Refusal::Impersonation);
        }

        let mut failures = Vec::new();
        match by_header {
            Attempt::Named(user) => {
                return Ok(Identity {
                    user: member(user),
                    via: Via::FrontProxy,
                    warning: None,
                });
            }
            Attempt::NotApplicable => {}
            Attempt::Failed(why) => failures.push(why),
        }
        match self.certificate(&trusted, peer) {
            Attempt::Named(user) => {
                return Ok(Identity {
                    user: member(user),
                    via: Via::Certificate,
                    warning: None,
                });
            }
            Attempt::NotApplicable => {}
            Attempt::Failed(why) => failures.push(why),
        }
        let mut warning = None;
        match bearer {
            Bearer::Token(token) => match self.tokens.user(token).await? {
                Attempt::Named(user) => {
                    return Ok(Identity {
                        user: member(user),
                        via: Via::Token,
                        warning: None,
                    });
                }
                Attempt::NotApplicable => {}
                Attempt::Failed(why) => failures.push(why),
            },
            Bearer::Spaced => warning = Some(bearer::SPACE_WARNING),
            Bearer::None => {}
        }
        if failures.is_empty() && self.anonymous {
            let user = User {
                name: ANONYMOUS.to_owned(),
                groups: vec![UNAUTHENTICATED.to_owned()],
                ..User::default()
            };
            return Ok(Identity {
                user,
                via: Via::Nothing,
                warning,
            });
        }
        self.complain(peer, &failures);
        Err(Refusal::Unauthorized)
    }

    /// The newest configuration, made ready once per change.
    fn trusted(&self) -> Arc<Trusted> {
        let config = Arc::clone(&self.config.borrow());
        if let Some(trusted) = self.trusted.load_full()
            && Arc::ptr_eq(&trusted.config, &config)
        {
            return trusted;
        }
        let trusted = Arc::new(Trusted {
            front_proxy: config.front_proxy_ca.as_ref().map(Authorities::new),
            client: config.client_ca.as_ref().map(Authorities::new),
            config,
        });
        self.trusted.store(Some(Arc::clone(&trusted)));
        trusted
    }

    /// All needed: a certificate, of the front proxy's authority, with an allowed name, and a user's name in a header.
    fn front_proxy(&self, trusted: &Trusted, headers: &HeaderMap, peer: &Peer) -> Attempt {
        let (Some(chain), Some(authorities)) = (peer.certificates(), &trusted.front_proxy) else {
            return Attempt::NotApplicable;
        };
        let verified = match authorities.verify(chain, self.clock.now()) {
            Ok(verified) => verified,
            Err(error) => return Attempt::Failed(format!("front proxy: {error}")),
        };
        if !trusted.config.allowed_names.permit(&verified.common_name) {
            return Attempt::Failed(format!(
                "front proxy: the name {:?} is not allowed",
                verified.common_name
            ));
        }
        match front_proxy::user(headers, &trusted.config) {
            Ok(Some(user)) => Attempt::Named(user),
            Ok(None) => Attempt::NotApplicable,
            Err(front_proxy::NotText { header }) => {
                Attempt::Failed(format!("front proxy: header {header} is no UTF-8 text"))
            }
        }
    }

    fn certificate(&self, trusted: &Trusted, peer: &Peer) -> Attempt {
        let (Some(chain), Some(authorities)) = (peer.certificates(), &trusted.client) else {
            return Attempt::NotApplicable;
        };
        match authorities.verify(chain, self.clock.now()) {
            Ok(verified) if verified.common_name.is_empty() => Attempt::NotApplicable,
            Ok(verified) => Attempt::Named(verified.user()),
            Err(error) => Attempt::Failed(format!("client certificate: {error}")),
        }
    }

    /// Anybody can cause these, so they are counted and shown once a minute.
    fn complain(&self, peer: &Peer, failures: &[String]) {
        if let Some(unsaid) = self.complaints.now() {
            let why = failures.join("; ");
            tracing::warn!(address = %peer.address(), why, unsaid, "Request not authenticated");
        }
    }
}

/// Everybody who is recognised is in [`AUTHENTICATED`] (AUTHN-7). kube-apiserver's own OpenAPI and discovery callers come
/// without any group, and may only do what they do because of this one.
fn member(mut user: User) -> User {
    let known = user
        .groups
        .iter()
        .any(|group| group == AUTHENTICATED || group == UNAUTHENTICATED);
    if !known && user.name != ANONYMOUS {
        user.groups.push(AUTHENTICATED.to_owned());
    }
    user
}
