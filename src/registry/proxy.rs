//! Proxies on the way to registries: an object's own, and those that the environment names.
//!
//! The environment is read by the rules that Go's programs follow, because the same variables are set for all
//! controllers of a cluster: `HTTP_PROXY` and `HTTPS_PROXY` by the scheme of what is asked, `NO_PROXY` with names,
//! addresses, networks and ports, each in upper case before lower case. This machine is never asked through them.
//! An address may hold a password, and is never printed.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use url::{Host, Url};

use super::error::Error;
use super::realm::authority;
use crate::secret::{ExposeSecret as _, SecretString};

/// An HTTP proxy.
pub struct Proxy {
    pub(super) inner: reqwest::Proxy,
    /// Host and port, for messages.
    pub(super) host: String,
    /// Whether it is told who we are.
    pub(super) has_credential: bool,
    /// Where it was named, for messages.
    pub(super) named_in: &'static str,
    id: [u8; 32],
}

impl Proxy {
    /// An object's own proxy at `address` (`http://host:port`), with a user and password when it asks for them.
    ///
    /// # Errors
    /// When the address is not a URL that a proxy can have.
    pub fn new(address: &str, user: Option<(&str, &SecretString)>) -> Result<Self, Error> {
        Self::named(address, user, "the Secret of spec.proxySecretRef").map_err(|cause| {
            Error::Setup {
                cause: format!("the proxy's address {cause}"),
            }
        })
    }

    fn named(
        address: &str,
        user: Option<(&str, &SecretString)>,
        named_in: &'static str,
    ) -> Result<Self, &'static str> {
        let url = Url::parse(address)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or("is not an http or https URL")?;
        let host = authority(&url);
        let mut has_credential = !url.username().is_empty();
        let mut inner = reqwest::Proxy::all(url).map_err(|_| "is not usable")?;
        let mut hash = Sha256::new();
        hash.update(Sha256::digest(address.as_bytes()));
        if let Some((username, password)) = user {
            has_credential = true;
            inner = inner.basic_auth(username, password.expose_secret());
            hash.update(Sha256::digest(username.as_bytes()));
            hash.update(Sha256::digest(password.expose_secret().as_bytes()));
        }
        Ok(Self {
            inner,
            host,
            has_credential,
            named_in,
            id: hash.finalize().into(),
        })
    }

    /// Tells proxies apart.
    pub(super) fn id(&self) -> [u8; 32] {
        self.id
    }
}

/// Shows nothing: the address can hold a password.
impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proxy(..)")
    }
}

/// The proxies of the environment.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    http: Slot,
    https: Slot,
    bypass: Arc<Bypass>,
}

/// One variable's proxy; an unusable one is an error for whatever should go through it, as it is in Go.
#[derive(Debug, Clone, Default)]
enum Slot {
    #[default]
    Unset,
    Proxy(Arc<Proxy>),
    Unusable(String),
}

impl Proxies {
    /// No proxy at all.
    pub fn none() -> Self {
        Self::default()
    }

    /// Those of this process's environment.
    pub fn from_environment() -> Self {
        Self::read(|name| std::env::var(name).ok())
    }

    /// Those of an environment in which `variable` finds a variable's value.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let value = |upper: &str, lower: &str| {
            [upper, lower]
                .into_iter()
                .filter_map(&variable)
                .find(|value| !value.is_empty())
        };
        let slot = |named: &'static str, value: Option<String>| match value {
            None => Slot::Unset,
            Some(value) => {
                // Go's form without a scheme.
                let address = if value.contains("://") {
                    value
                } else {
                    format!("http://{value}")
                };
                match Proxy::named(&address, None, named) {
                    Ok(proxy) => Slot::Proxy(Arc::new(proxy)),
                    Err(cause) => Slot::Unusable(format!("the proxy in {named} {cause}")),
                }
            }
        };
        Self {
            http: slot("HTTP_PROXY", value("HTTP_PROXY", "http_proxy")),
            https: slot("HTTPS_PROXY", value("HTTPS_PROXY", "https_proxy")),
            bypass: Arc::new(Bypass::parse(
                &value("NO_PROXY", "no_proxy").unwrap_or_default(),
            )),
        }
    }

    /// The proxy for `url`, if it is to be asked through one.
    pub(super) fn of(&self, url: &Url) -> Result<Option<Arc<Proxy>>, String> {
        let slot = if url.scheme() == "https" {
            &self.https
        } else {
            &self.http
        };
        match slot {
            Slot::Unset => Ok(None),
            _ if self.bypass.covers(url) => Ok(None),
            Slot::Proxy(proxy) => Ok(Some(proxy.clone())),
            Slot::Unusable(cause) => Err(cause.clone()),
        }
    }
}

/// `NO_PROXY`, read.
#[derive(Debug, Default)]
struct Bypass {
    everything: bool,
    rules: Vec<Rule>,
}

#[derive(Debug, PartialEq, Eq)]
enum Rule {
    /// A network, on every port.
    Network(IpAddr, u8),
    /// One address.
    Address(IpAddr, Option<u16>),
    /// What is below a domain, and with `itself` the domain too. Begins with a dot.
    Domain {
        suffix: String,
        itself: bool,
        port: Option<u16>,
    },
}

impl Bypass {
    fn parse(text: &str) -> Self {
        let mut rules = Vec::new();
        for part in text.split(',') {
            let part = part.trim().to_ascii_lowercase();
            match part.as_str() {
                "" => {}
                "*" => {
                    return Self {
                        everything: true,
                        rules: Vec::new(),
                    };
                }
                part => rules.extend(Rule::parse(part)),
            }
        }
        Self {
            everything: false,
            rules,
        }
    }

    fn covers(&self, url: &Url) -> bool {
        let port = url.port_or_known_default();
        let (name, ip) = match url.host() {
            None => return true,
            Some(Host::Ipv4(ip)) => (None, Some(IpAddr::V4(ip))),
            Some(Host::Ipv6(ip)) => (None, Some(IpAddr::V6(ip).to_canonical())),
            Some(Host::Domain(name)) => {
                (Some(name.trim_end_matches('.').to_ascii_lowercase()), None)
            }
        };
        let is_here = ip.is_some_and(|ip| ip.is_loopback())
            || name
                .as_deref()
                .is_some_and(|name| name == "localhost" || name.ends_with(".localhost"));
        is_here
            || self.everything
            || self
                .rules
                .iter()
                .any(|rule| rule.covers(name.as_deref(), ip, port))
    }
}

impl Rule {
    fn parse(rule: &str) -> Option<Self> {
        if let Some((address, bits)) = rule.split_once('/')
            && let (Ok(ip), Ok(bits)) = (address.parse::<IpAddr>(), bits.parse::<u8>())
            && bits <= width(ip)
        {
            return Some(Self::Network(ip, bits));
        }
        let (host, port) = host_and_port(rule);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return None;
        }
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Some(Self::Address(ip, port));
        }
        // `*.corp.example` and `.corp.example` leave the domain itself out; `corp.example` does not.
        let host = host
            .strip_prefix('*')
            .filter(|rest| rest.starts_with('.'))
            .unwrap_or(host);
        Some(match host.strip_prefix('.') {
            Some(_) => Self::Domain {
                suffix: host.to_owned(),
                itself: false,
                port,
            },
            None => Self::Domain {
                suffix: format!(".{host}"),
                itself: true,
                port,
            },
        })
    }

    fn covers(&self, name: Option<&str>, ip: Option<IpAddr>, port: Option<u16>) -> bool {
        let port_fits = |wanted: Option<u16>| wanted.is_none() || wanted == port;
        match self {
            Self::Network(network, bits) => ip.is_some_and(|ip| is_within(ip, *network, *bits)),
            Self::Address(address, wanted) => ip == Some(*address) && port_fits(*wanted),
            Self::Domain {
                suffix,
                itself,
                port: wanted,
            } => {
                port_fits(*wanted)
                    && name.is_some_and(|name| {
                        name.ends_with(suffix.as_str())
                            || (*itself && suffix.strip_prefix('.') == Some(name))
                    })
            }
        }
    }
}

/// `host`, `host:port`, `[v6]:port`; a bare IPv6 address has colons of its own.
fn host_and_port(text: &str) -> (&str, Option<u16>) {
    match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => match port.parse() {
            Ok(port) => (host, Some(port)),
            Err(_) => (text, None),
        },
        Some(_) | None => (text, None),
    }
}

fn width(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}

fn is_within(ip: IpAddr, network: IpAddr, bits: u8) -> bool {
    let (ip, network, width) = match (ip, network) {
        (IpAddr::V4(ip), IpAddr::V4(network)) => {
            (u128::from(ip.to_bits()), u128::from(network.to_bits()), 32)
        }
        (IpAddr::V6(ip), IpAddr::V6(network)) => (ip.to_bits(), network.to_bits(), 128),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
    };
    let rest: u32 = width - u32::from(bits);
    ip.checked_shr(rest).unwrap_or(0) == network.checked_shr(rest).unwrap_or(0)
}

#[cfg(test)]
mod tests;
