//! The content of the authentication ConfigMap, parsed; pure. A key that cannot be read keeps its last good value.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// Certificates of authorities, DER.
pub type Bundle = Arc<[CertificateDer<'static>]>;

/// Which authorities kube-apiserver has told us to trust, and how its front proxy speaks.
///
/// The two bundles mean different things and are never mixed (AUTHN-6): whoever has a certificate of the front
/// proxy's authority can claim to be anybody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuthConfig {
    /// Authorities of ordinary users' certificates; `None` until seen: then no certificate names a user.
    pub client_ca: Option<Bundle>,
    /// Authorities of the front proxy's certificate; `None` until seen: then headers name nobody.
    pub front_proxy_ca: Option<Bundle>,
    /// Common names that the front proxy may have.
    pub allowed_names: AllowedNames,
    /// Headers with the user's name, the first non-empty one counts; lower case.
    pub username_headers: Vec<String>,
    /// Headers with the user's uid; empty where kube-apiserver does not set (and so does not strip) them (AUTHN-11).
    pub uid_headers: Vec<String>,
    /// Headers with one group per line; lower case.
    pub group_headers: Vec<String>,
    /// Prefixes of headers with extra attributes; lower case.
    pub extra_prefixes: Vec<String>,
}

/// Which common names the front proxy may have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum AllowedNames {
    /// Any: nothing was said, or an empty list.
    #[default]
    Any,
    /// One of these.
    These(Vec<String>),
    /// None, until what was said can be read: it may have been a restriction.
    Unreadable,
}

impl AllowedNames {
    /// Whether the front proxy may have `name`.
    pub fn permit(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::These(names) => names.iter().any(|allowed| allowed == name),
            Self::Unreadable => false,
        }
    }

    /// These names instead, or what stays without any that can be read.
    fn updated(&self, said: Option<&String>) -> (Self, Option<&'static str>) {
        match (read_list(said, *self != Self::Any), self) {
            (Ok(Some(names)), _) if names.is_empty() => (Self::Any, None),
            (Ok(Some(names)), _) => (Self::These(names), None),
            (Ok(None), old) => (old.clone(), None),
            (Err(defect), Self::Any) => (Self::Unreadable, Some(defect)),
            (Err(defect), old) => (old.clone(), Some(defect)),
        }
    }
}

/// A key of the ConfigMap that could not be used, so that its last good value stays.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("key {key} {defect}")]
pub struct Problem {
    /// The key.
    pub key: &'static str,
    /// What is wrong with it.
    pub defect: &'static str,
}

impl AuthConfig {
    /// This configuration with what `data` says instead, key by key, and the keys that say nothing usable.
    /// A missing key counts as a problem only when it had a value before (AUTHN-2).
    #[must_use]
    pub fn updated(&self, data: &BTreeMap<String, String>) -> (Self, Vec<Problem>) {
        let mut problems = Vec::new();
        let mut bundle = |key: &'static str, old: &Option<Bundle>| match read_bundle(
            data.get(key),
            old.is_some(),
        ) {
            Ok(Some(new)) => Some(new),
            Ok(None) => old.clone(),
            Err(defect) => {
                problems.push(Problem { key, defect });
                old.clone()
            }
        };
        let client_ca = bundle("client-ca-file", &self.client_ca);
        let front_proxy_ca = bundle("requestheader-client-ca-file", &self.front_proxy_ca);
        let mut list = |key: &'static str, old: &Vec<String>| match read_list(
            data.get(key),
            !old.is_empty(),
        ) {
            Ok(Some(new)) => new,
            Ok(None) => old.clone(),
            Err(defect) => {
                problems.push(Problem { key, defect });
                old.clone()
            }
        };
        let mut headers = |key: &'static str, old: &Vec<String>| {
            list(key, old)
                .iter()
                .map(|name| name.trim().to_ascii_lowercase())
                .filter(|name| !name.is_empty())
                .collect()
        };
        let username_headers = headers("requestheader-username-headers", &self.username_headers);
        let uid_headers = headers("requestheader-uid-headers", &self.uid_headers);
        let group_headers = headers("requestheader-group-headers", &self.group_headers);
        let extra_prefixes = headers("requestheader-extra-headers-prefix", &self.extra_prefixes);
        let key = "requestheader-allowed-names";
        let (allowed_names, defect) = self.allowed_names.updated(data.get(key));
        problems.extend(defect.map(|defect| Problem { key, defect }));
        let config = Self {
            client_ca,
            front_proxy_ca,
            allowed_names,
            username_headers,
            uid_headers,
            group_headers,
            extra_prefixes,
        };
        (config, problems)
    }

    /// True when any user's certificate would also pass for the front proxy's: both bundles share an authority and
    /// every name is allowed (AUTHN-6).
    pub fn lets_users_pose_as_proxy(&self) -> bool {
        let (Some(client), Some(proxy)) = (&self.client_ca, &self.front_proxy_ca) else {
            return false;
        };
        self.allowed_names == AllowedNames::Any
            && client.iter().any(|authority| proxy.contains(authority))
    }
}

/// `None`: nothing is said and nothing was; a defect otherwise.
fn read_bundle(text: Option<&String>, had_value: bool) -> Result<Option<Bundle>, &'static str> {
    let Some(text) = text else {
        return if had_value {
            Err("is missing")
        } else {
            Ok(None)
        };
    };
    bundle_of(text.as_bytes()).map(Some)
}

/// The certificates in `text`, of which there must be one at least.
pub(super) fn bundle_of(text: &[u8]) -> Result<Bundle, &'static str> {
    let certificates = CertificateDer::pem_slice_iter(text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| "is not PEM")?;
    if certificates.is_empty() {
        Err("holds no certificate")
    } else {
        Ok(certificates.into())
    }
}

/// An empty text is an empty list.
fn read_list(text: Option<&String>, had_value: bool) -> Result<Option<Vec<String>>, &'static str> {
    match text.map(|text| text.trim()) {
        None => {
            if had_value {
                Err("is missing")
            } else {
                Ok(None)
            }
        }
        Some("") => Ok(Some(Vec::new())),
        Some(text) => serde_json::from_str(text)
            .map(Some)
            .map_err(|_| "is not a JSON list of texts"),
    }
}
