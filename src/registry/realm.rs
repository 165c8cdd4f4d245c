//! Which token servers a registry may name, and which of them may see a credential.

use url::{Host, Url};

use crate::image::Registry;

/// Second-level labels under which strangers live next to one another (`co.uk` and its like).
const SHARED_LABELS: [&str; 8] = ["ac", "co", "com", "edu", "gov", "ne", "net", "org"];
/// Parents whose children belong to different people.
const SHARED_PARENTS: [&str; 6] = [
    "amazonaws.com",
    "azurecr.io",
    "cloudfront.net",
    "github.io",
    "herokuapp.com",
    "pkg.dev",
];

/// A token server that may be asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Realm {
    pub(super) url: Url,
    /// Whether it is the registry itself by name: then it is as near as the registry is.
    pub(super) is_own_host: bool,
    /// Whether the registry's credential may go there.
    pub(super) is_trusted: bool,
}

impl Realm {
    /// Reads the realm that `registry` named, over plain http if `plain_http`.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub(super) fn parse(
        text: &str,
        registry: &Registry,
        plain_http: bool,
        trusted: &[String],
    ) -> Result<Self, String> {
        if text.len() > 4096 {
            return Err("its address is longer than 4096 bytes".to_owned());
        }
        let url = Url::parse(text).map_err(|_| "its address is not a URL".to_owned())?;
        match url.scheme() {
            "https" => {}
            "http" if plain_http => {}
            "http" => return Err("it is on plain http, and the registry is not".to_owned()),
            _ => return Err("its address is not an https URL".to_owned()),
        }
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err("its address carries a user name, password or fragment".to_owned());
        }
        let Some(host) = url.host_str().map(str::to_ascii_lowercase) else {
            return Err("its address has no host".to_owned());
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let api: Option<Registry> = registry.api_host().parse().ok();
        let own = api.as_ref().unwrap_or(registry).host().to_ascii_lowercase();
        // This machine is one host, whatever it is called.
        let is_here =
            |host: &str| host_registry(host).is_some_and(|registry| registry.is_loopback());
        let is_own_host = host == own || (is_here(host) && is_here(&own));
        let is_trusted = is_own_host
            || trusted.iter().any(|known| known.eq_ignore_ascii_case(host))
            || (matches!(url.host(), Some(Host::Domain(_))) && is_family(host, &own));
        Ok(Self {
            url,
            is_own_host,
            is_trusted,
        })
    }

    /// Host and port, for messages.
    pub(super) fn host(&self) -> String {
        authority(&self.url)
    }
}

/// Host, with the port when it is not the scheme's own.
pub(super) fn authority(url: &Url) -> String {
    match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        (None, _) => String::new(),
    }
}

/// A host without port as a registry, for what is known of its name.
fn host_registry(host: &str) -> Option<Registry> {
    if host.contains(':') {
        format!("[{host}]").parse().ok()
    } else {
        host.parse().ok()
    }
}

/// True for a host below the registry, and for the registry's parent domain and what is below that.
fn is_family(host: &str, registry: &str) -> bool {
    let below = |parent: &str| {
        host.strip_suffix(parent)
            .is_some_and(|child| child.ends_with('.'))
    };
    if registry.parse::<std::net::IpAddr>().is_ok() {
        return false;
    }
    if below(registry) {
        return true;
    }
    let Some((_, parent)) = registry.split_once('.') else {
        return false;
    };
    let Some((label, rest)) = parent.split_once('.') else {
        return false;
    };
    let is_shared = SHARED_PARENTS.contains(&parent)
        || SHARED_PARENTS.iter().any(|shared| {
            parent
                .strip_suffix(shared)
                .is_some_and(|child| child.ends_with('.'))
        })
        || (!rest.contains('.') && SHARED_LABELS.contains(&label));
    !is_shared && (host == parent || below(parent))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn realm(text: &str, registry: &str) -> Result<Realm, String> {
        Realm::parse(
            text,
            &registry.parse().unwrap(),
            false,
            &["sso.corp.example".to_owned()],
        )
    }

    #[test]
    fn a_credential_goes_to_the_registrys_family_only() {
        for (url, registry, trusted) in [
            ("https://ghcr.io/token", "ghcr.io", true),
            ("https://GHCR.io:8443/token", "ghcr.io", true),
            ("https://auth.docker.io/token", "docker.io", true),
            ("https://auth.docker.io/token", "registry-1.docker.io", true),
            ("https://gitlab.com/jwt/auth", "registry.gitlab.com", true),
            (
                "https://gitlab.corp.example/jwt/auth",
                "registry.corp.example:5050",
                true,
            ),
            (
                "https://auth.harbor.corp.example/t",
                "harbor.corp.example",
                true,
            ),
            ("https://sso.corp.example/t", "registry.other.example", true),
            ("https://evil.example/token", "ghcr.io", false),
            ("https://notghcr.io/token", "ghcr.io", false),
            ("https://evil.io/token", "ghcr.io", false),
            ("https://evil.co.uk/token", "registry.co.uk", false),
            ("https://evil.azurecr.io/token", "mine.azurecr.io", false),
            (
                "https://evil.dkr.ecr.eu.amazonaws.com/t",
                "me.dkr.ecr.eu.amazonaws.com",
                false,
            ),
            ("https://10.0.0.2/token", "10.0.0.1", false),
            ("https://10.0.0.1/token", "10.0.0.1:5000", true),
            ("https://[::1]:9/token", "[::1]:5000", true),
            ("https://localhost:9/token", "127.0.0.1:5000", true),
            (
                "https://localhost.evil.example/token",
                "127.0.0.1:5000",
                false,
            ),
        ] {
            let realm = realm(url, registry).unwrap_or_else(|e| panic!("{url}: {e}"));
            assert_eq!(realm.is_trusted, trusted, "{url} of {registry}");
        }
    }

    #[test]
    fn unsafe_realms_are_refused() {
        for url in [
            "http://ghcr.io/token",
            "file:///etc/passwd",
            "gopher://ghcr.io/",
            "/token",
            "",
            "https://user:pass@ghcr.io/token",
            "https://ghcr.io/token#x",
            "https://",
            &format!("https://ghcr.io/{}", "x".repeat(5000)),
        ] {
            assert!(realm(url, "ghcr.io").is_err(), "{url}");
        }
        let plain = Realm::parse(
            "http://localhost:5001/token",
            &"localhost:5000".parse().unwrap(),
            true,
            &[],
        );
        assert!(plain.is_ok_and(|realm| realm.is_own_host && realm.is_trusted));
    }
}
