//! One request on its way: https before http, redirects by hand, failures told apart.
//!
//! Knows nothing of challenges, tokens or pages: it is handed the header to send, and keeps it from every
//! host but the one that it is for.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, IF_NONE_MATCH, LOCATION};
use http::{HeaderValue, Method, StatusCode};
use tokio::time::Instant;
use url::Url;

use super::access::Access;
use super::errand::{self, Errand, Purpose};
use super::error::Error;
use super::exchange::Ask;
use super::hosts::Host;
use super::http_clients::HttpClients;
use super::observe::{Exchange, Observer, Operation};
use super::proxy::{Proxies, Proxy};
use super::reach::{self, Names, Reach, TooNear};
use super::realm::authority;
use super::remote::Tally;

/// Sends requests.
#[derive(Debug)]
pub(super) struct Transport {
    pub(super) clients: HttpClients,
    pub(super) proxies: Proxies,
    pub(super) names: Arc<dyn Names>,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) redirects: u32,
}

/// What goes into an `Authorization` header.
#[derive(Debug, Clone)]
pub(super) struct Authorization {
    /// The header, marked as sensitive.
    pub(super) value: HeaderValue,
    /// False for a token that anybody would be given.
    pub(super) is_secret: bool,
}

/// A response whose body is still to be read.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) response: reqwest::Response,
    /// What was asked of the registry itself, before any redirect.
    pub(super) asked: Url,
    /// The host that answered: another one after a redirect.
    pub(super) host: String,
    /// Whether a redirect led away from the registry: its challenges are not answered.
    pub(super) left: bool,
    /// Where it was asked in the end.
    pub(super) at: Url,
}

impl Opened {
    /// How near the registry is that answered.
    pub(super) async fn reach(&self, names: &dyn Names) -> Reach {
        reach_of(names, &self.response, &self.asked).await
    }
}

/// Why there was no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// The connection was refused: plain http may be tried.
    Refused(String),
    /// The answer was not TLS: plain http may be tried.
    NotTls(String),
    /// A proxy made no tunnel, for now or for good: plain http may be tried without anything secret.
    NoTunnel(String),
    /// The certificate is not trusted.
    Certificate(String),
    /// There is no client to send with.
    Setup(String),
    /// The name leads inside.
    TooNear,
    /// No connection, for another reason.
    Unconnected(String),
    /// A connection, and then none.
    Broken(String),
}

impl Failure {
    fn into_error(self, host: &str) -> Error {
        let host = host.to_owned();
        match self {
            Self::Refused(cause)
            | Self::NotTls(cause)
            | Self::NoTunnel(cause)
            | Self::Unconnected(cause) => Error::Connect { host, cause },
            Self::Certificate(cause) => Error::Certificate { host, cause },
            Self::Setup(cause) => Error::Setup { cause },
            Self::TooNear => Error::Connect {
                host,
                cause: TooNear.to_string(),
            },
            Self::Broken(cause) => Error::Broken { host, cause },
        }
    }
}

/// One request to one URL.
pub(super) struct Single<'a> {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) accept: &'static str,
    pub(super) authorization: Option<&'a HeaderValue>,
    /// A form to post.
    pub(super) form: Option<String>,
    /// The ETag of what is known already.
    pub(super) known: Option<&'a HeaderValue>,
    /// What a mirror's request has besides.
    pub(super) errand: Option<&'a Errand<'a>>,
    /// Who counts it.
    pub(super) tally: Option<&'a Tally>,
    /// Host and port of the registry on whose behalf this is.
    pub(super) registry: &'a str,
    pub(super) operation: Operation,
}

impl Transport {
    /// Sends `ask` to its registry, over the schemes it allows, and follows redirects that are safe.
    pub(super) async fn open(
        &self,
        ask: &Ask<'_>,
        host: &Host,
        authorization: Option<&Authorization>,
    ) -> Result<Opened, Error> {
        let (response, asked) = self.open_directly(ask, host, authorization).await?;
        self.follow(ask, response, asked, authorization, false)
            .await
    }

    /// Sends `ask` to `url`, where a `Location` led: the registry's own, or (with `reach`, and without an authorization)
    /// another host's.
    pub(super) async fn open_at(
        &self,
        ask: &Ask<'_>,
        url: &Url,
        reach: Option<Reach>,
        authorization: Option<&Authorization>,
    ) -> Result<Opened, Error> {
        let left = reach.is_some();
        let single = ask.single(url.clone(), authorization.filter(|_| !left));
        let sent = self
            .send(ask.access, reach.unwrap_or(Reach::Anything), !left, single)
            .await;
        match sent {
            Ok(response) => {
                self.follow(ask, response, url.clone(), authorization, left)
                    .await
            }
            Err(Failure::TooNear) => Err(Error::Location {
                host: ask.host().to_owned(),
                cause: "to an address nearer to this network than its own".to_owned(),
            }),
            Err(failure) => Err(failure.into_error(&authority(url))),
        }
    }

    /// https first; plain http only after a refused connection or an answer that is not TLS.
    async fn open_directly(
        &self,
        ask: &Ask<'_>,
        host: &Host,
        authorization: Option<&Authorization>,
    ) -> Result<(reqwest::Response, Url), Error> {
        let registry = ask.repository.registry();
        let may_fall_back = ask.access.allows_plain_http(registry);
        let mut first_failure = None;
        if !(may_fall_back && host.speaks_plain_http()) {
            let url = ask.url("https")?;
            match self
                .send(
                    ask.access,
                    Reach::Anything,
                    true,
                    ask.single(url.clone(), authorization),
                )
                .await
            {
                Ok(response) => {
                    host.set_plain_http(false);
                    return Ok((response, url));
                }
                Err(Failure::Refused(cause) | Failure::NotTls(cause)) if may_fall_back => {
                    first_failure = Some(cause);
                }
                // Of a host that was never heard over https: of one that was, it is the proxy's trouble, and no reason
                // to send over plain http what is kept for it.
                Err(Failure::NoTunnel(cause))
                    if may_fall_back && authorization.is_none_or(|sent| !sent.is_secret) =>
                {
                    first_failure = Some(cause);
                }
                Err(failure) => return Err(failure.into_error(ask.host())),
            }
        }
        if authorization.is_some_and(|sent| sent.is_secret)
            && !ask.access.allows_plain_http_credential(registry)
        {
            return Err(Error::PlainHttpCredential {
                host: ask.host().to_owned(),
            });
        }
        let url = ask.url("http")?;
        match self
            .send(
                ask.access,
                Reach::Anything,
                true,
                ask.single(url.clone(), authorization),
            )
            .await
        {
            Ok(response) => {
                // A 5xx or 403 can be a proxy's own, and tells nothing of the registry.
                let status = response.status();
                if !status.is_server_error() && status != StatusCode::FORBIDDEN {
                    host.set_plain_http(true);
                }
                Ok((response, url))
            }
            Err(failure) => {
                host.forget_plain_http();
                Err(match (failure, first_failure) {
                    (Failure::Refused(second) | Failure::Unconnected(second), Some(first)) => {
                        Error::Connect {
                            host: ask.host().to_owned(),
                            cause: format!("over https: {first}; over http: {second}"),
                        }
                    }
                    (failure, _) => failure.into_error(ask.host()),
                })
            }
        }
    }

    /// Follows redirects: never from https to http, never nearer than where they come from, and with the
    /// authorization only as long as they stay on the registry itself.
    async fn follow(
        &self,
        ask: &Ask<'_>,
        mut response: reqwest::Response,
        asked: Url,
        authorization: Option<&Authorization>,
        mut left: bool,
    ) -> Result<Opened, Error> {
        let mut at = asked.clone();
        for hop in 0.. {
            if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                break;
            }
            let refused = |cause: &str| Error::Redirect {
                host: authority(&at),
                asked: ask.asked(),
                cause: cause.to_owned(),
            };
            if ask.errand.is_some_and(|errand| errand.content.is_stream()) {
                return Err(refused("and what was sent there cannot be sent again"));
            }
            let is_for_another_method = matches!(response.status().as_u16(), 301..=303);
            if is_for_another_method && !matches!(ask.method, Method::GET | Method::HEAD) {
                return Err(refused("and wants something else to be asked there"));
            }
            if hop >= self.redirects {
                return Err(Error::Limit {
                    host: ask.host().to_owned(),
                    repository: ask.repository.path().to_owned(),
                    what: "the number of redirects",
                    limit: self.redirects.into(),
                    unit: "redirects",
                });
            }
            let target = response
                .headers()
                .get(LOCATION)
                .and_then(|value| value.to_str().ok())
                .and_then(|text| at.join(text).ok())
                .ok_or_else(|| refused("it names no place that is a URL"))?;
            match (at.scheme(), target.scheme()) {
                (_, "https") | ("http", "http") => {}
                ("https", "http") => return Err(refused("from https to plain http")),
                _ => return Err(refused("to an address that is neither http nor https")),
            }
            if !target.username().is_empty() || target.password().is_some() {
                return Err(refused("to an address with a user name or password in it"));
            }
            left |= target.origin() != asked.origin();
            let reach = if left {
                reach_of(&*self.names, &response, &at).await
            } else {
                Reach::Anything
            };
            if !reach.permits(&target) {
                return Err(refused("to an address nearer to this network than its own"));
            }
            let authorization = if left { None } else { authorization };
            response = match self
                .send(
                    ask.access,
                    reach,
                    !left,
                    ask.single(target.clone(), authorization),
                )
                .await
            {
                Ok(response) => response,
                Err(Failure::TooNear) => {
                    return Err(refused("to an address nearer to this network than its own"));
                }
                Err(failure) => return Err(failure.into_error(&authority(&target))),
            };
            at = target;
        }
        Ok(Opened {
            response,
            asked,
            host: authority(&at),
            left,
            at,
        })
    }

    /// Sends one request over a client for `access` that resolves names within `reach`.
    pub(super) async fn send(
        &self,
        access: &Access,
        reach: Reach,
        shows_identity: bool,
        single: Single<'_>,
    ) -> Result<reqwest::Response, Failure> {
        let proxy = match &access.proxy {
            Some(proxy) => Some(proxy.clone()),
            None => self.proxies.of(&single.url).map_err(Failure::Setup)?,
        };
        if proxy.is_some() {
            match reach::permits_behind_proxy(&*self.names, reach, &single.url).await {
                Ok(true) => {}
                Ok(false) => return Err(Failure::TooNear),
                Err(unclear) => return Err(Failure::Unconnected(unclear.to_string())),
            }
        }
        let purpose = single
            .errand
            .map_or(Purpose::Documents, |errand| errand.purpose);
        let client = self
            .clients
            .get(access, reach, shows_identity, proxy.as_deref(), purpose)
            .map_err(Failure::Setup)?;
        let mut request = client
            .request(single.method.clone(), single.url)
            .header(ACCEPT, single.accept);
        if let Some(authorization) = single.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        if let Some(known) = single.known {
            request = request.header(IF_NONE_MATCH, known);
        }
        if let Some(form) = single.form {
            request = request
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(form);
        }
        if let Some(errand) = single.errand {
            for (name, value) in errand.headers {
                request = request.header(name, value);
            }
            request = errand
                .content
                .put_on(&single.method, errand.mandate, request)
                .ok_or_else(|| Failure::Broken("what was sent cannot be sent again".to_owned()))?;
        }
        let mandate = single
            .errand
            .and_then(|errand| errand.mandate)
            .filter(|_| !matches!(single.method, Method::GET | Method::HEAD));
        if let Some(mandate) = mandate {
            mandate.returns().await;
        }
        if let Some(tally) = single.tally {
            tally.asked(single.registry);
        }
        let start = Instant::now();
        let outcome = match mandate {
            None => request.send().await,
            Some(mandate) => errand::while_it_holds(&**mandate, request.send())
                .await
                .ok_or_else(|| Failure::Broken(errand::Over.to_string()))?,
        };
        let status = outcome.as_ref().ok().map(reqwest::Response::status);
        self.observer.observe(Exchange {
            host: single.registry,
            operation: single.operation,
            status,
            elapsed: start.elapsed(),
        });
        let Some(proxy) = proxy else {
            return outcome.map_err(|error| classify(&error));
        };
        match outcome {
            Ok(response) if response.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                Err(Failure::Unconnected(unauthenticated(&proxy)))
            }
            Ok(mut response) => {
                response.extensions_mut().insert(ThroughProxy);
                Ok(response)
            }
            Err(error) => Err(classify_behind(&proxy, &error)),
        }
    }
}

/// Marks a response whose peer is a proxy.
#[derive(Debug, Clone, Copy)]
struct ThroughProxy;

/// How near the host of `url` is that sent `response`; as far as can be, when that is not known.
pub(super) async fn reach_of(names: &dyn Names, response: &reqwest::Response, url: &Url) -> Reach {
    if response.extensions().get::<ThroughProxy>().is_some() {
        return reach::behind_proxy(names, url).await;
    }
    response
        .remote_addr()
        .map_or(Reach::Public, |address| Reach::of(address.ip()))
}

fn unauthenticated(proxy: &Proxy) -> String {
    let Proxy {
        host,
        has_credential,
        named_in,
        ..
    } = proxy;
    if *has_credential {
        format!(
            "the proxy {host} refuses the user name and password (407): check them in {named_in}"
        )
    } else {
        format!("the proxy {host} asks for a user name and password (407): give them in {named_in}")
    }
}

/// Tells failures apart on the way through a proxy, which is named in all that are its own.
fn classify_behind(proxy: &Proxy, error: &reqwest::Error) -> Failure {
    let host = &proxy.host;
    // The library does not export the type of these.
    let tunnel = chain(error)
        .map(ToString::to_string)
        .find_map(|text| text.strip_prefix("tunnel error: ").map(str::to_owned));
    match tunnel.as_deref() {
        Some("proxy authorization required") => {
            return Failure::Unconnected(unauthenticated(proxy));
        }
        // It may let us through to another port; or it has a bad moment, which the library does not tell apart.
        Some("unsuccessful") => {
            return Failure::NoTunnel(format!("the proxy {host} did not connect to it"));
        }
        Some("unexpected end of file" | "io error establishing tunnel") => {
            return Failure::Unconnected(format!("the proxy {host} broke off the connection"));
        }
        Some(_) | None => {}
    }
    match classify(error) {
        Failure::Refused(_) => {
            Failure::Unconnected(format!("the proxy {host} refuses connections"))
        }
        Failure::Unconnected(cause) => {
            Failure::Unconnected(format!("through the proxy {host}: {cause}"))
        }
        Failure::Broken(cause) => Failure::Broken(format!("through the proxy {host}: {cause}")),
        other @ (Failure::NotTls(_)
        | Failure::NoTunnel(_)
        | Failure::Certificate(_)
        | Failure::Setup(_)
        | Failure::TooNear) => other,
    }
}

/// Tells failures apart by their chain of causes.
fn classify(error: &reqwest::Error) -> Failure {
    let cause = innermost(error);
    for link in chain(error) {
        if link.is::<TooNear>() {
            return Failure::TooNear;
        }
        if link
            .downcast_ref::<io::Error>()
            .is_some_and(|e| e.kind() == io::ErrorKind::ConnectionRefused)
        {
            return Failure::Refused(cause);
        }
        if let Some(tls_error) = link.downcast_ref::<rustls::Error>() {
            return classify_tls(tls_error, error.is_connect());
        }
    }
    if error.is_timeout() && error.is_connect() {
        return Failure::Unconnected("the connection was not made in time".to_owned());
    }
    if error.is_timeout() {
        return Failure::Broken("nothing was heard for too long".to_owned());
    }
    if error.is_connect() {
        Failure::Unconnected(cause)
    } else {
        Failure::Broken(cause)
    }
}

fn classify_tls(error: &rustls::Error, is_connecting: bool) -> Failure {
    match error {
        rustls::Error::InvalidCertificate(_) => Failure::Certificate(error.to_string()),
        rustls::Error::InvalidMessage(_) if is_connecting => {
            Failure::NotTls("it does not answer in TLS on this port".to_owned())
        }
        _ if is_connecting => Failure::Unconnected(error.to_string()),
        _ => Failure::Broken(error.to_string()),
    }
}

/// The last cause in the chain, in its own words: those before it repeat whole URLs.
pub(super) fn innermost(error: &(dyn StdError + 'static)) -> String {
    let last = chain(error).last().unwrap_or(error);
    match last.downcast_ref::<reqwest::Error>() {
        // No cause: only the text remains, which names the URL.
        Some(bare) if bare.is_builder() => "the HTTP client refuses the request".to_owned(),
        Some(_) => "the HTTP exchange failed".to_owned(),
        None => last.to_string(),
    }
}

/// The chain of causes. An `io::Error` leaves out the error that it wraps; here it comes next.
fn chain<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    let next = |&link: &&'a (dyn StdError + 'static)| match link
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref)
    {
        Some(wrapped) => Some(wrapped as &(dyn StdError + 'static)),
        None => link.source(),
    };
    // A chain that does not end is cut.
    std::iter::successors(Some(error), next).take(32)
}
