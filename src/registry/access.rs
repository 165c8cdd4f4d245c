//! With what rights and over which ways one request goes: credential, plain http, certificates, proxy.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::error::Error;
use crate::image::Registry;
use crate::secret::{Credential, ExposeSecret as _, SecretString};

/// What the object that names a repository says about reaching it. The default is anonymous, over https.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Who we are; none: anonymous. A refused credential is an error, never a fall back to anonymous.
    pub credential: Option<Credential>,
    /// Plain http is acceptable, credentials included (`spec.insecure`).
    pub insecure: bool,
    /// Certificates of the object's own (`spec.certSecretRef`).
    pub tls: Option<Arc<TlsMaterial>>,
    /// A proxy of the object's own (`spec.proxySecretRef`); none: what the environment says.
    pub proxy: Option<Arc<Proxy>>,
}

impl Access {
    /// Whether plain http may be tried after https.
    pub(super) fn allows_plain_http(&self, registry: &Registry) -> bool {
        self.insecure || registry.is_plain_http_host()
    }

    /// Whether a credential may travel over plain http.
    pub(super) fn allows_plain_http_credential(&self, registry: &Registry) -> bool {
        self.insecure || registry.is_loopback()
    }

    /// Which connections and memories it shares with others.
    pub(super) fn profile(&self) -> Profile {
        Profile {
            tls: self.tls.as_ref().map(|tls| tls.id),
            proxy: self.proxy.as_ref().map(|proxy| proxy.id),
        }
    }
}

/// Certificates: authorities that are trusted besides the system's, and a certificate to show.
pub struct TlsMaterial {
    pub(super) authorities: Vec<reqwest::Certificate>,
    pub(super) identity: Option<reqwest::Identity>,
    id: [u8; 32],
}

impl TlsMaterial {
    /// Reads PEM: `ca.crt`, and `tls.crt` with `tls.key`.
    ///
    /// # Errors
    /// When a part is not PEM of its kind, or a certificate comes without its key or a key without its certificate.
    pub fn from_pem(ca: Option<&[u8]>, identity: Option<(&[u8], &[u8])>) -> Result<Self, Error> {
        let setup = |cause: &str| Error::Setup {
            cause: cause.to_owned(),
        };
        let mut hash = Sha256::new();
        let mut authorities = Vec::new();
        if let Some(pem) = ca {
            hash.update([0]);
            hash.update(Sha256::digest(pem));
            authorities = reqwest::Certificate::from_pem_bundle(pem)
                .ok()
                .filter(|bundle| !bundle.is_empty())
                .ok_or_else(|| setup("the CA (ca.crt) holds no PEM certificate"))?;
        }
        let identity = match identity {
            None => None,
            Some((certificate, key)) => {
                hash.update([1]);
                hash.update(Sha256::digest(certificate));
                hash.update(Sha256::digest(key));
                let pem = [certificate, b"\n", key].concat();
                let identity = reqwest::Identity::from_pem(&pem).map_err(|_| {
                    setup(
                        "the client certificate (tls.crt) and its key (tls.key) are not a PEM pair",
                    )
                })?;
                Some(identity)
            }
        };
        Ok(Self {
            authorities,
            identity,
            id: hash.finalize().into(),
        })
    }
}

/// Counts, and shows no key.
impl fmt::Debug for TlsMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsMaterial")
            .field("authorities", &self.authorities.len())
            .field("identity", &self.identity.is_some())
            .finish_non_exhaustive()
    }
}

/// An HTTP proxy.
pub struct Proxy {
    pub(super) proxy: reqwest::Proxy,
    id: [u8; 32],
}

impl Proxy {
    /// A proxy at `address` (`http://host:port`), with a user and password when it asks for them.
    ///
    /// # Errors
    /// When the address is not a URL that a proxy can have.
    pub fn new(address: &str, user: Option<(&str, &SecretString)>) -> Result<Self, Error> {
        let url = url::Url::parse(address)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| Error::Setup {
                cause: "the proxy's address is not an http or https URL".to_owned(),
            })?;
        let mut proxy = reqwest::Proxy::all(url).map_err(|_| Error::Setup {
            cause: "the proxy's address is not usable".to_owned(),
        })?;
        let mut hash = Sha256::new();
        hash.update(Sha256::digest(address.as_bytes()));
        if let Some((username, password)) = user {
            proxy = proxy.basic_auth(username, password.expose_secret());
            hash.update(Sha256::digest(username.as_bytes()));
            hash.update(Sha256::digest(password.expose_secret().as_bytes()));
        }
        Ok(Self {
            proxy,
            id: hash.finalize().into(),
        })
    }
}

/// Shows nothing: the address can hold a password.
impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proxy(..)")
    }
}

/// Requests of one profile share connections and what is remembered of hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Profile {
    tls: Option<[u8; 32]>,
    proxy: Option<[u8; 32]>,
}
