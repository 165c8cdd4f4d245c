//! What the access log and the audit log say of a request's caller and target: read from the head before the credentials
//! are taken out of it, cleaned of what could forge a line or move a terminal's cursor, and cut to a length.

use std::net::{IpAddr, SocketAddr};

use http::header::{HeaderMap, USER_AGENT};
use http::{HeaderName, HeaderValue, Uri};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Addresses that are told of one request.
const ADDRESSES: usize = 16;
/// Characters of a text that comes from a client.
pub(super) const TEXT: usize = 1024;
const URI: usize = 4096;

/// The parameters whose values are told. All of Kubernetes' own; anything else may be a secret that was put there.
const PARAMETERS: [&str; 24] = [
    "allowWatchBookmarks",
    "continue",
    "dryRun",
    "exclude",
    "fieldManager",
    "fieldSelector",
    "fieldValidation",
    "gracePeriodSeconds",
    "hash",
    "includeObject",
    "labelSelector",
    "limit",
    "orphanDependents",
    "pretty",
    "propagationPolicy",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "shardSelector",
    "timeout",
    "timeoutSeconds",
    "verbose",
    "watch",
    "force",
];

/// Who calls, as far as the transport and the headers say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caller {
    peer: SocketAddr,
    /// As it came; believed only from the front proxy.
    forwarded: Vec<HeaderValue>,
    agent: Option<HeaderValue>,
}

impl Caller {
    pub(super) fn of(headers: &HeaderMap, peer: SocketAddr) -> Self {
        Self {
            peer,
            forwarded: headers
                .get_all(X_FORWARDED_FOR)
                .iter()
                .take(ADDRESSES)
                .filter_map(copied)
                .collect(),
            agent: headers.get(USER_AGENT).and_then(copied),
        }
    }

    /// Where the request comes from, the farthest first, the peer last. What is forwarded counts only when `by_proxy`.
    pub(super) fn addresses(&self, by_proxy: bool) -> Vec<IpAddr> {
        let peer = self.peer.ip().to_canonical();
        let mut addresses: Vec<IpAddr> = self
            .forwarded
            .iter()
            .filter(|_| by_proxy)
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(','))
            .filter_map(|address| address.trim().parse().ok())
            .take(ADDRESSES)
            .collect();
        if addresses.last() != Some(&peer) {
            addresses.push(peer);
        }
        addresses
    }

    pub(super) fn agent(&self) -> String {
        self.agent.as_ref().map_or_else(String::new, |agent| {
            clean(&String::from_utf8_lossy(agent.as_bytes()), TEXT)
        })
    }
}

/// A copy of its own: a clone would share a buffer of HTTP/2's that holds kilobytes of other headers, for as long as a
/// watch lasts.
fn copied(value: &HeaderValue) -> Option<HeaderValue> {
    HeaderValue::from_bytes(value.as_bytes()).ok()
}

/// Path and query, with the values of unknown parameters left out.
pub(super) fn target(uri: &Uri) -> String {
    let mut target = clean(uri.path(), URI);
    let Some(query) = uri.query() else {
        return target;
    };
    for (at, pair) in query.split('&').enumerate() {
        if target.len() >= URI {
            break;
        }
        target.push(if at == 0 { '?' } else { '&' });
        let key = pair.split('=').next().unwrap_or_default();
        if PARAMETERS.contains(&key) {
            target.push_str(&clean(pair, URI));
        } else {
            target.push_str(&clean(key, TEXT));
            target.push_str(if key.len() < pair.len() { "=…" } else { "" });
        }
    }
    target
}

/// `text` without control characters, and at most so many characters of it.
pub(super) fn clean(text: &str, most: usize) -> String {
    let clean = |c: char| {
        if c.is_control() {
            char::REPLACEMENT_CHARACTER
        } else {
            c
        }
    };
    text.chars().take(most).map(clean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(lines: &[(&'static str, &[u8])]) -> Caller {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_bytes(value).unwrap());
        }
        Caller::of(&headers, "[::ffff:10.0.0.9]:4711".parse().unwrap())
    }

    fn told(caller: &Caller, by_proxy: bool) -> Vec<String> {
        let addresses = caller.addresses(by_proxy);
        addresses.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn only_the_front_proxy_is_believed_about_addresses() {
        let caller = caller(&[
            ("x-forwarded-for", b"192.0.2.7, nonsense,2001:db8::1"),
            ("x-forwarded-for", b"10.0.0.9"),
        ]);
        assert_eq!(told(&caller, false), ["10.0.0.9"]);
        assert_eq!(
            told(&caller, true),
            ["192.0.2.7", "2001:db8::1", "10.0.0.9"]
        );
        let many = "1.2.3.4,".repeat(1000);
        let caller = self::caller(&[("x-forwarded-for", many.as_bytes())]);
        assert_eq!(told(&caller, true).len(), ADDRESSES + 1);
    }

    #[test]
    fn what_clients_send_forges_no_line_and_has_an_end() {
        let caller = caller(&[("user-agent", b"kubectl\t\x9b31m")]);
        assert_eq!(caller.agent(), "kubectl\u{fffd}\u{fffd}31m");
        assert_eq!(clean("a\nb\u{1b}[2J\u{85}", 4), "a\u{fffd}b\u{fffd}");
        assert_eq!(clean(&"x".repeat(5000), TEXT).len(), TEXT);
    }

    #[test]
    fn a_query_shows_what_it_is_and_no_secret() {
        let cases = [
            ("/a", "/a"),
            (
                "/a?watch=1&labelSelector=a%20in%20(b)",
                "/a?watch=1&labelSelector=a%20in%20(b)",
            ),
            ("/a?token=s3cret&limit=5&x", "/a?token=…&limit=5&x"),
            ("/a?", "/a?"),
        ];
        for (uri, expected) in cases {
            assert_eq!(target(&uri.parse().unwrap()), expected);
        }
        let long = format!("/a?{}", "x=1&".repeat(10_000));
        assert!(target(&long.parse().unwrap()).len() < 2 * URI);
    }
}
