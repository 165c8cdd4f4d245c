//! With what rights and over which ways one request goes: credential, plain http, certificates, proxy.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, LazyLock};

use super::proxy::Proxy;
use super::tls_material::TlsMaterial;
use crate::image::Registry;
use crate::secret::{Credential, Fingerprint};

/// More credentials for one repository are not tried: each costs requests, and a Secret may hold thousands.
const MOST_CREDENTIALS: usize = 16;

/// What the object that names a repository says about reaching it. The default is anonymous, over https.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Who we are; none: anonymous. A refused credential is an error, never a fall back to anonymous.
    pub credential: Option<Credential>,
    /// Who else we may be, in this order, should the registry refuse that credential.
    pub other_credentials: Vec<Credential>,
    /// Plain http is acceptable, credentials included (`spec.insecure`).
    pub insecure: bool,
    /// Certificates of the object's own (`spec.certSecretRef`).
    pub tls: Option<Arc<TlsMaterial>>,
    /// A proxy of the object's own (`spec.proxySecretRef`); none: what the environment says.
    pub proxy: Option<Arc<Proxy>>,
}

impl Access {
    /// This access with these credentials, the one to try first first; equal ones count once.
    #[must_use]
    pub fn with_credentials(mut self, credentials: impl IntoIterator<Item = Credential>) -> Self {
        let mut known: Vec<Fingerprint> = Vec::new();
        let mut distinct = credentials
            .into_iter()
            .filter(|credential| {
                let fingerprint = credential.fingerprint();
                let is_new = !known.contains(&fingerprint);
                if is_new {
                    known.push(fingerprint);
                }
                is_new
            })
            .take(MOST_CREDENTIALS);
        self.credential = distinct.next();
        self.other_credentials = distinct.collect();
        self
    }

    /// Every credential, the one to try first first.
    pub fn credentials(&self) -> impl Iterator<Item = &Credential> {
        self.credential.iter().chain(&self.other_credentials)
    }

    /// Whether plain http may be tried after https.
    pub(super) fn allows_plain_http(&self, registry: &Registry) -> bool {
        self.insecure || registry.is_plain_http_host()
    }

    /// Whether a credential may travel over plain http.
    pub(super) fn allows_plain_http_credential(&self, registry: &Registry) -> bool {
        self.insecure || registry.is_loopback()
    }

    /// Whose allowance its requests use up.
    pub(super) fn account(&self) -> Option<Fingerprint> {
        self.credential.as_ref().map(Credential::fingerprint)
    }

    /// Tells apart who may be told different things.
    pub(super) fn identity(&self) -> Identity {
        Identity {
            credentials: self.credentials().map(Credential::fingerprint).collect(),
            insecure: self.insecure,
            profile: self.profile(),
        }
    }

    /// Which connections and memories it shares with others.
    pub(super) fn profile(&self) -> Profile {
        Profile {
            tls: self.tls.as_ref().map(|tls| tls.id()),
            proxy: self.proxy.as_ref().map(|proxy| proxy.id()),
        }
    }
}

/// Who asks, and by which ways.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    /// In the order in which they are tried.
    credentials: Vec<Fingerprint>,
    insecure: bool,
    profile: Profile,
}

impl Identity {
    /// A number that tells it apart from others in this process, and means nothing in another one; none: nothing was shown by
    /// which a registry could tell it from everybody else, neither a credential nor certificates or a proxy of its own.
    pub(super) fn mark(&self) -> Option<u64> {
        static KEYS: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        let is_anybody = self.credentials.is_empty() && self.profile == Profile::default();
        (!is_anybody).then(|| KEYS.hash_one(self))
    }
}

/// Requests of one profile share connections and what is remembered of hosts.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Profile {
    tls: Option<[u8; 32]>,
    proxy: Option<[u8; 32]>,
}
