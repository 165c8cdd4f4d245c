//! Where a name may lead: the guard against a registry that sends us to the inside of the cluster.
//!
//! A registry chooses the token server and the redirects that follow from its answers. None of them may
//! be nearer to us than the registry itself: a public registry may not name a private, loopback or
//! link-local address, whatever the name says. The check sits where names are resolved, so that a second
//! answer of the DNS cannot differ from the checked one.
//!
//! A proxy resolves names by itself, and the connection shows its address only. What is asked through one is
//! resolved here besides: a name with any address that is too near is refused, and so is one that nobody could tell of
//! in time; one that does not exist here, so that only the proxy can know it, is not.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// How near to us an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Reach {
    /// The internet.
    Public,
    /// RFC 1918, RFC 6598, unique local.
    Private,
    /// This machine.
    Loopback,
    /// The link, where metadata services live. As a permission: no restriction at all.
    Anything,
}

impl Reach {
    /// That of `ip`.
    pub(super) fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self::of_v4(ip),
            IpAddr::V6(ip) => Self::of_v6(ip),
        }
    }

    fn of_v4(ip: Ipv4Addr) -> Self {
        let [first, second, ..] = ip.octets();
        if ip.is_link_local() || ip.is_multicast() || ip.is_broadcast() || first == 0 {
            Self::Anything
        } else if ip.is_loopback() {
            Self::Loopback
        } else if ip.is_private() || (first == 100 && (64..128).contains(&second)) {
            Self::Private
        } else {
            Self::Public
        }
    }

    fn of_v6(ip: Ipv6Addr) -> Self {
        if let Some(ip) = embedded(ip) {
            Self::of_v4(ip)
        } else if ip.is_unicast_link_local() || ip.is_multicast() || ip.is_unspecified() {
            Self::Anything
        } else if ip.is_loopback() {
            Self::Loopback
        } else if ip.is_unique_local() {
            Self::Private
        } else {
            Self::Public
        }
    }

    /// Whether `url` may be asked; a name passes here and is checked when it is resolved.
    pub(super) fn permits(self, url: &Url) -> bool {
        match url.host() {
            Some(Host::Ipv4(ip)) => Self::of(ip.into()) <= self,
            Some(Host::Ipv6(ip)) => Self::of(ip.into()) <= self,
            Some(Host::Domain(name)) => !is_localhost(name) || Self::Loopback <= self,
            None => false,
        }
    }
}

/// The IPv4 address that packets to `ip` end up at: RFC 6052 (NAT64), RFC 3056 (6to4), RFC 4291 (IPv4-compatible).
fn embedded(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let (high, low) = match ip.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => (high, low),
        [0, 0, 0, 0, 0, 0, high, low] if !ip.is_unspecified() && !ip.is_loopback() => (high, low),
        _ => return None,
    };
    Some(Ipv4Addr::from_bits(
        (u32::from(high) << 16) | u32::from(low),
    ))
}

/// A name resolved to addresses none of which may be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "the name resolves to an address inside this network, which the registry's own address does not"
)]
pub(super) struct TooNear;

/// Who knows the addresses of a name. `localhost` means this machine (RFC 6761) whoever is asked.
pub trait Names: std::fmt::Debug + Send + Sync {
    /// The addresses of `name`, any port. An error: nobody knows of it, or could tell.
    fn lookup(&self, name: &str) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>;
}

/// The system's resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemNames;

impl Names for SystemNames {
    fn lookup(&self, name: &str) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        let name = name.to_owned();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.collect())
        })
    }
}

/// A resolver, less the addresses that are too near.
#[derive(Debug, Clone)]
pub(super) struct Resolver {
    reach: Reach,
    names: Arc<dyn Names>,
}

/// The addresses among `found` that may be used; an error, where none of several may.
fn far_enough(found: Vec<SocketAddr>, reach: Reach) -> Result<Vec<SocketAddr>, TooNear> {
    let is_known = !found.is_empty();
    let far_enough: Vec<SocketAddr> = found
        .into_iter()
        .filter(|address| Reach::of(address.ip()) <= reach)
        .collect();
    if is_known && far_enough.is_empty() {
        return Err(TooNear);
    }
    Ok(far_enough)
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let Self { reach, names } = self.clone();
        Box::pin(async move {
            let found: Vec<SocketAddr> = if is_localhost(name.as_str()) {
                vec![
                    (Ipv4Addr::LOCALHOST, 0).into(),
                    (Ipv6Addr::LOCALHOST, 0).into(),
                ]
            } else {
                names.lookup(name.as_str()).await?
            };
            let addresses: Addrs = Box::new(far_enough(found, reach)?.into_iter());
            Ok(addresses)
        })
    }
}

/// How long a name is looked up for that a proxy will look up in any case.
const LOOKUP: Duration = Duration::from_secs(5);

/// Whether a name leads inside could not be found out.
#[derive(Debug, thiserror::Error)]
#[error(
    "its name cannot be looked up here to see that it leads to no address of this network: {0}"
)]
pub(super) struct Unclear(String);

/// How near the host of `url` is as seen from here, for something asked through a proxy: that of its farthest address,
/// and as far as can be when it has none here.
pub(super) async fn behind_proxy(names: &dyn Names, url: &Url) -> Reach {
    let found = addresses(names, url).await.unwrap_or_default();
    found.into_iter().min().unwrap_or(Reach::Public)
}

/// Whether a proxy may be asked for `url`: nothing that the name means here is nearer than `reach`.
pub(super) async fn permits_behind_proxy(
    names: &dyn Names,
    reach: Reach,
    url: &Url,
) -> Result<bool, Unclear> {
    // No restriction: then nobody has to wait for the DNS.
    if reach == Reach::Anything {
        return Ok(true);
    }
    Ok(reach.permits(url)
        && addresses(names, url)
            .await?
            .into_iter()
            .all(|found| found <= reach))
}

async fn addresses(names: &dyn Names, url: &Url) -> Result<Vec<Reach>, Unclear> {
    Ok(match url.host() {
        Some(Host::Ipv4(ip)) => vec![Reach::of(ip.into())],
        Some(Host::Ipv6(ip)) => vec![Reach::of(ip.into())],
        Some(Host::Domain(name)) if is_localhost(name) => vec![Reach::Loopback],
        Some(Host::Domain(name)) => {
            let lookup = tokio::time::timeout(LOOKUP, names.lookup(name));
            let found = lookup
                .await
                .map_err(|_| Unclear(format!("no answer within {LOOKUP:?}")))?;
            told(found)?
        }
        None => Vec::new(),
    })
}

/// What a lookup came to: a name that does not exist has no address, and every other failure tells nothing.
fn told(found: io::Result<Vec<SocketAddr>>) -> Result<Vec<Reach>, Unclear> {
    match found {
        Ok(found) => Ok(found.iter().map(|found| Reach::of(found.ip())).collect()),
        Err(error) if is_unknown_name(&error.to_string()) => Ok(Vec::new()),
        Err(error) => Err(Unclear(error.to_string())),
    }
}

/// The words of glibc, musl and macOS for a name without an address; the standard library hands on nothing else.
fn is_unknown_name(error: &str) -> bool {
    [
        "Name or service not known",
        "No address associated with hostname",
        "Name does not resolve",
        "Name has no usable address",
        "nodename nor servname provided",
    ]
    .iter()
    .any(|words| error.contains(words))
}

impl Resolver {
    pub(super) fn shared(reach: Reach, names: Arc<dyn Names>) -> Arc<Self> {
        Arc::new(Self { reach, names })
    }
}

fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_apart_by_nearness() {
        for (ip, reach) in [
            ("8.8.8.8", Reach::Public),
            ("2606:4700::1", Reach::Public),
            ("10.0.0.1", Reach::Private),
            ("172.31.0.1", Reach::Private),
            ("192.168.0.1", Reach::Private),
            ("100.64.0.1", Reach::Private),
            ("fd00::1", Reach::Private),
            ("127.0.0.1", Reach::Loopback),
            ("127.9.9.9", Reach::Loopback),
            ("::1", Reach::Loopback),
            ("::ffff:127.0.0.1", Reach::Loopback),
            ("::ffff:10.0.0.1", Reach::Private),
            ("64:ff9b::808:808", Reach::Public),
            ("64:ff9b::10.0.0.1", Reach::Private),
            ("64:ff9b::127.0.0.1", Reach::Loopback),
            ("64:ff9b::169.254.169.254", Reach::Anything),
            ("2002:808:808::1", Reach::Public),
            ("2002:a00:1::1", Reach::Private),
            ("2002:a9fe:a9fe::", Reach::Anything),
            ("::8.8.8.8", Reach::Public),
            ("::10.0.0.1", Reach::Private),
            ("::127.0.0.1", Reach::Loopback),
            ("169.254.169.254", Reach::Anything),
            ("fe80::1", Reach::Anything),
            ("0.0.0.0", Reach::Anything),
            ("::", Reach::Anything),
            ("224.0.0.1", Reach::Anything),
        ] {
            assert_eq!(Reach::of(ip.parse().unwrap()), reach, "{ip}");
        }
    }

    #[test]
    fn nothing_nearer_than_the_registry_is_permitted() {
        for (url, from, permitted) in [
            ("https://auth.example/token", Reach::Public, true),
            ("https://8.8.8.8/token", Reach::Public, true),
            ("https://10.0.0.1/token", Reach::Public, false),
            ("https://10.0.0.1/token", Reach::Private, true),
            ("https://127.0.0.1/token", Reach::Private, false),
            ("https://localhost/token", Reach::Public, false),
            ("https://LOCALHOST./token", Reach::Public, false),
            ("https://a.localhost/token", Reach::Loopback, true),
            (
                "https://[::ffff:169.254.169.254]/token",
                Reach::Loopback,
                false,
            ),
            // The URL parser reads the number forms that resolvers read.
            ("https://2130706433/token", Reach::Public, false),
            ("https://0x7f.1/token", Reach::Public, false),
        ] {
            assert_eq!(
                from.permits(&Url::parse(url).unwrap()),
                permitted,
                "{url} from {from:?}"
            );
        }
    }

    #[test]
    fn of_a_names_addresses_those_that_are_too_near_are_left_out() {
        for (found, reach, kept) in [
            (&["169.254.169.254"][..], Reach::Public, None),
            (&["169.254.169.254"], Reach::Loopback, None),
            (&["169.254.169.254"], Reach::Anything, Some(1)),
            (&["127.0.0.1", "::1"], Reach::Private, None),
            (&["10.0.0.1", "8.8.8.8"], Reach::Public, Some(1)),
            (&["fd00:ec2::254"], Reach::Public, None),
            (&[], Reach::Public, Some(0)),
        ] {
            let addresses = found
                .iter()
                .map(|ip| (ip.parse::<IpAddr>().unwrap(), 0).into());
            let left = far_enough(addresses.collect(), reach);
            assert_eq!(
                left.ok().map(|left| left.len()),
                kept,
                "{found:?} {reach:?}"
            );
        }
    }

    #[test]
    fn behind_a_proxy_only_a_name_that_does_not_exist_has_no_address() {
        let lookup = |words: &str| {
            let text = format!("failed to lookup address information: {words}");
            told(Err(io::Error::other(text)))
        };
        for (words, is_clear) in [
            ("Name or service not known", true),
            ("Name does not resolve", true),
            ("No address associated with hostname", true),
            ("Temporary failure in name resolution", false),
            ("Try again", false),
            ("Non-recoverable failure in name resolution", false),
        ] {
            assert_eq!(lookup(words).is_ok(), is_clear, "{words}");
        }
        let inside = told(Ok(vec![([10, 0, 0, 1], 0).into()])).unwrap();
        assert_eq!(inside, [Reach::Private]);
    }

    #[tokio::test]
    async fn a_name_that_resolves_too_near_is_not_resolved() {
        let name = || "localhost".parse::<Name>().unwrap();
        let resolver = |reach| Resolver::shared(reach, Arc::new(SystemNames));
        assert!(resolver(Reach::Public).resolve(name()).await.is_err());
        let found = resolver(Reach::Loopback).resolve(name()).await;
        assert_eq!(found.unwrap().count(), 2);
    }
}
