//! The host part of an image name, and what its spelling says about how to reach it.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

use super::{Error, shown};

/// The registry of names that carry no host.
const DOCKER_HUB: &str = "index.docker.io";
/// Where Docker Hub answers the distribution API.
const DOCKER_HUB_API: &str = "registry-1.docker.io";

/// A registry's host with its port when one is given, e.g. `ghcr.io` or `localhost:5000`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Registry(Arc<str>);

impl Registry {
    /// Docker Hub, the registry of names without a host.
    pub fn docker_hub() -> Self {
        Self(DOCKER_HUB.into())
    }

    /// The host, with `:port` when the name carries one.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True for every spelling of Docker Hub.
    pub fn is_docker_hub(&self) -> bool {
        matches!(&*self.0, DOCKER_HUB | DOCKER_HUB_API)
    }

    /// The host (with port) that answers the distribution API: the name itself, but for Docker Hub.
    pub fn api_host(&self) -> &str {
        if self.is_docker_hub() {
            DOCKER_HUB_API
        } else {
            &self.0
        }
    }

    /// The host without port and without brackets.
    pub fn host(&self) -> &str {
        let (host, _) = split_port(&self.0);
        host.strip_prefix('[')
            .and_then(|h| h.strip_suffix(']'))
            .unwrap_or(host)
    }

    /// The port, when the name carries one.
    pub fn port(&self) -> Option<u16> {
        split_port(&self.0).1.and_then(|port| port.parse().ok())
    }

    /// True for the hosts that go-containerregistry tries over plain http too: `localhost:port`,
    /// `*.localhost`, `127.0.0.1`, `::1`, and the private IPv4 ranges of RFC 1918.
    pub fn is_plain_http_host(&self) -> bool {
        let host = self.host();
        if host == "localhost" {
            return self.port().is_some();
        }
        host.ends_with(".localhost")
            || host.parse() == Ok(Ipv4Addr::LOCALHOST)
            || host.parse() == Ok(Ipv6Addr::LOCALHOST)
            || host.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_private())
    }

    /// True when the name can only mean this machine: `localhost`, `*.localhost`, `127.0.0.0/8`, `::1`.
    pub fn is_loopback(&self) -> bool {
        let host = self.host();
        host == "localhost"
            || host.ends_with(".localhost")
            || host.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
            || host.parse::<Ipv6Addr>().is_ok_and(|ip| ip.is_loopback())
    }
}

impl fmt::Display for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An empty text and `docker.io` are Docker Hub.
impl FromStr for Registry {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "" | "docker.io" => Ok(Self::docker_hub()),
            _ if is_authority(text) => Ok(Self(text.into())),
            _ => Err(Error::Registry(shown(text))),
        }
    }
}

/// Splits `host:port`; a bracketed IPv6 address keeps its colons.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

fn is_authority(text: &str) -> bool {
    let (host, port) = split_port(text);
    let port_ok = port.is_none_or(|port| {
        port.len() <= 5
            && port.bytes().all(|b| b.is_ascii_digit())
            && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    let host_ok = match host.strip_prefix('[') {
        Some(rest) => rest
            .strip_suffix(']')
            .is_some_and(|ip| ip.parse::<Ipv6Addr>().is_ok()),
        None => {
            (1..=253).contains(&host.len())
                && host.split('.').all(|label| !label.is_empty())
                && host
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        }
    };
    port_ok && host_ok
}
