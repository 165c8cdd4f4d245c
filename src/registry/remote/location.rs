//! Where a `Location` leads: hostile input, resolved or refused.
//!
//! Followed: a path or URL on the registry itself, and another host that is no nearer than the one that named it,
//! without a credential. Refused: a way up (`..`), a user name, a control character, a scheme other than http(s), from
//! https to http, anything long, and a way back to the registry from another host, which would choose what the
//! credential is used for. What it says is kept byte for byte, as far as URLs have one spelling only.
//!
//! Registries behind a proxy that ends TLS often do not know that they do, and send `http://` with their own name.
//! Where they were reached over https, that means themselves over https: the same host, and the same port or none.

use std::time::Duration;

use http::header::LOCATION;
use moka::sync::Cache;
use url::Url;

use super::Remote;
use super::request::{Reply, To};
use crate::registry::Error;
use crate::registry::reach::Reach;
use crate::registry::realm::authority;
use crate::registry::transport::reach_of;

/// Longer ones are refused; signed ones have one or two thousand bytes.
const LONGEST: usize = 8 << 10;
const CAPACITY: u64 = 10_000;
const MEMORY: Duration = Duration::from_hours(1);

/// How near other hosts may be that a registry has named: as near as who named them.
#[derive(Debug)]
pub(in crate::registry) struct Places(Cache<(String, String), Reach>);

impl Places {
    pub(in crate::registry) fn new() -> Self {
        Self(
            Cache::builder()
                .max_capacity(CAPACITY)
                .time_to_idle(MEMORY)
                .build(),
        )
    }
}

/// Where a request goes, weighed.
#[derive(Debug)]
pub(super) enum Spot<'a> {
    /// A path on the registry, over the scheme that it speaks.
    Path,
    /// A URL on the registry.
    Own(&'a Url),
    /// Another host, no nearer than this, and without a credential.
    Foreign(&'a Url, Reach),
}

impl Spot<'_> {
    pub(super) fn is_own(&self) -> bool {
        !matches!(self, Self::Foreign(..))
    }
}

impl Remote {
    /// Resolves the `Location` of `reply`, or says why it is not followed.
    pub(in crate::registry) async fn resolve(&self, reply: &Reply) -> Result<Url, Error> {
        let refused = |cause: &str| Error::Location {
            host: reply.host.clone(),
            cause: cause.to_owned(),
        };
        let header = reply.headers.get(LOCATION);
        let header = header.ok_or_else(|| refused("it names none"))?;
        let target = target(&reply.url, header.as_bytes()).map_err(refused)?;
        if self.is_own(&target) {
            // Another host would choose what our credential is used for.
            if reply.left {
                return Err(refused("back to the registry, which sent us away"));
            }
            return Ok(target);
        }
        let inner = &self.client.0;
        let reach = reach_of(&*inner.settings.names, &reply.response, &reply.url).await;
        if !reach.permits(&target) {
            return Err(refused("to an address nearer to this network than its own"));
        }
        inner.places.0.insert(self.place_key(&target), reach);
        Ok(target)
    }

    /// Where `to` is.
    pub(super) fn spot<'a>(&self, to: &To<'a>) -> Result<Spot<'a>, Error> {
        let To::Location(url) = *to else {
            return Ok(Spot::Path);
        };
        if self.is_own(url) {
            return Ok(Spot::Own(url));
        }
        let known = self.client.0.places.0.get(&self.place_key(url));
        let reach = known.unwrap_or(Reach::Public);
        if reach.permits(url) {
            Ok(Spot::Foreign(url, reach))
        } else {
            Err(Error::Location {
                host: self.repository.registry().api_host().to_owned(),
                cause: "to an address nearer to this network than its own".to_owned(),
            })
        }
    }

    /// Whether `url` is on the registry's own origin: where its credential goes.
    fn is_own(&self, url: &Url) -> bool {
        let registry = self.repository.registry();
        let is_allowed = url.scheme() == "https" || self.access().allows_plain_http(registry);
        let own = Url::parse(&format!("{}://{}", url.scheme(), registry.api_host()));
        is_allowed && own.is_ok_and(|own| own.origin() == url.origin())
    }

    fn place_key(&self, url: &Url) -> (String, String) {
        let registry = self.repository.registry().api_host();
        (registry.to_ascii_lowercase(), authority(url))
    }
}

/// What `location`, in an answer from `base`, leads to.
fn target(base: &Url, location: &[u8]) -> Result<Url, &'static str> {
    if location.is_empty() {
        return Err("it names none");
    }
    if location.len() > LONGEST {
        return Err("its address is longer than 8192 bytes");
    }
    let text = std::str::from_utf8(location).map_err(|_| "its address is no text")?;
    // The URL parser would leave some of these out, and take others for something else.
    if !text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\') {
        return Err("its address has characters that no URL has");
    }
    let path = text.split(['?', '#']).next().unwrap_or_default();
    if path.split('/').any(is_way_up) {
        return Err("its path leads up (..)");
    }
    let mut target = base.join(text).map_err(|_| "its address is no URL")?;
    if !target.username().is_empty() || target.password().is_some() {
        return Err("its address carries a user name or password");
    }
    target.set_fragment(None);
    match (base.scheme(), target.scheme()) {
        (_, "https") | ("http", "http") => Ok(target),
        ("https", "http") => {
            let is_itself = target.host() == base.host()
                && (target.port().is_none() || target.port() == base.port());
            if !is_itself {
                return Err("from https to plain http");
            }
            let mut upgraded = base.clone();
            upgraded.set_path(target.path());
            upgraded.set_query(target.query());
            Ok(upgraded)
        }
        _ => Err("its address is neither http nor https"),
    }
}

/// `.` and `..`, in all their spellings.
fn is_way_up(segment: &str) -> bool {
    let plain = segment.to_ascii_lowercase().replace("%2e", ".");
    matches!(plain.as_str(), "." | "..")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ASKED: &str = "https://r.example:5000/v2/team/app/blobs/uploads/";

    fn shown(base: &str, location: &str) -> String {
        match target(&Url::parse(base).unwrap(), location.as_bytes()) {
            Ok(url) => url.to_string(),
            Err(cause) => format!("refused: {cause}"),
        }
    }

    #[test]
    fn fault_35_a_location_is_resolved_or_refused() {
        for (location, expected) in [
            // Relative and absolute.
            (
                "/v2/team/app/blobs/uploads/1?_state=a%2Fb%3D==&x=%20+",
                "https://r.example:5000/v2/team/app/blobs/uploads/1?_state=a%2Fb%3D==&x=%20+",
            ),
            (
                "1?s=2",
                "https://r.example:5000/v2/team/app/blobs/uploads/1?s=2",
            ),
            (
                "?s=2",
                "https://r.example:5000/v2/team/app/blobs/uploads/?s=2",
            ),
            ("https://r.example:5000/x#f", "https://r.example:5000/x"),
            // Another host, another port.
            (
                "https://cdn.example/u?sig=a%2bB%3D&e=1",
                "https://cdn.example/u?sig=a%2bB%3D&e=1",
            ),
            ("//cdn.example/u", "https://cdn.example/u"),
            ("https://r.example/u", "https://r.example/u"),
            // A proxy that ends TLS.
            (
                "http://r.example:5000/u?a=%3d",
                "https://r.example:5000/u?a=%3d",
            ),
            ("http://r.example/u", "https://r.example:5000/u"),
            ("http://r.example:80/u", "https://r.example:5000/u"),
            ("http://r.example//evil/u", "https://r.example:5000//evil/u"),
            (
                "http://r.example:5001/u",
                "refused: from https to plain http",
            ),
            ("http://cdn.example/u", "refused: from https to plain http"),
            // Never.
            ("/v2/../../etc", "refused: its path leads up (..)"),
            ("/v2/a/%2E%2e/b", "refused: its path leads up (..)"),
            ("../../x", "refused: its path leads up (..)"),
            (
                "https://u:p@r.example:5000/x",
                "refused: its address carries a user name or password",
            ),
            (
                "/x\r\nHost: evil",
                "refused: its address has characters that no URL has",
            ),
            (
                "/x\ty",
                "refused: its address has characters that no URL has",
            ),
            (
                "\\\\evil\\x",
                "refused: its address has characters that no URL has",
            ),
            (
                "file:///etc/passwd",
                "refused: its address is neither http nor https",
            ),
            ("http://[bad", "refused: its address is no URL"),
            ("", "refused: it names none"),
        ] {
            assert_eq!(shown(ASKED, location), expected, "{location}");
        }
        let long = format!("/{}", "x".repeat(10 << 10));
        assert_eq!(
            shown(ASKED, &long),
            "refused: its address is longer than 8192 bytes"
        );
        assert_eq!(
            shown("http://r.example/v2/", "http://cdn.example/u"),
            "http://cdn.example/u"
        );
    }

    proptest! {
        #[test]
        fn https_is_never_left(location in "[ -~]{0,60}", rest in "[ -~]{0,30}") {
            let base = Url::parse(ASKED).unwrap();
            for location in [location, format!("http://{rest}"), format!("//{rest}")] {
                if let Ok(url) = target(&base, location.as_bytes()) {
                    prop_assert_eq!(url.scheme(), "https");
                    prop_assert!(url.username().is_empty() && url.password().is_none());
                }
            }
        }

        #[test]
        fn a_query_is_kept_byte_for_byte(query in "[A-Za-z0-9%&=+/?:@!$()*,;._~-]{0,60}") {
            let base = Url::parse(ASKED).unwrap();
            let url = target(&base, format!("/u?{query}").as_bytes()).unwrap();
            prop_assert_eq!(url.query(), Some(query.as_str()));
        }
    }
}
