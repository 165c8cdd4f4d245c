//! Values that must never be printed: they have no readable `Debug`, and are wiped when dropped.

use std::fmt;
use std::sync::LazyLock;

pub use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest as _, Sha256};

/// What proves to a registry who we are. Belongs to the host it was found for, and to no other.
#[derive(Clone)]
pub enum Credential {
    /// User name and password (or access token used as one).
    Basic {
        /// The user name; not secret, but not printed in logs either.
        username: String,
        /// The password.
        password: SecretString,
    },
    /// An identity (refresh) token, exchanged at the token server by the OAuth2 flow.
    IdentityToken(SecretString),
    /// A bearer token that the registry takes as it is.
    RegistryToken(SecretString),
}

impl Credential {
    /// Tells credentials apart without keeping them.
    pub fn fingerprint(&self) -> Fingerprint {
        let (kind, username, secret) = match self {
            Self::Basic { username, password } => (0_u8, username.as_str(), password),
            Self::IdentityToken(token) => (1, "", token),
            Self::RegistryToken(token) => (2, "", token),
        };
        let mut hash = Sha256::new();
        hash.update(*SALT);
        hash.update([kind]);
        // Length first, so that no two pairs run into one another.
        hash.update(
            u64::try_from(username.len())
                .unwrap_or(u64::MAX)
                .to_be_bytes(),
        );
        hash.update(username.as_bytes());
        hash.update(secret.expose_secret().as_bytes());
        Fingerprint(hash.finalize().into())
    }
}

/// Names the kind only.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Basic { .. } => "Credential::Basic(..)",
            Self::IdentityToken(_) => "Credential::IdentityToken(..)",
            Self::RegistryToken(_) => "Credential::RegistryToken(..)",
        })
    }
}

/// A credential's identity within this process: a hash under a salt that dies with it.
///
/// Equal credentials have equal fingerprints; a rotated one has another. Fit for cache keys, not for storage.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

/// Says nothing: even a salted hash has no place in a log.
impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint(..)")
    }
}

static SALT: LazyLock<[u8; 16]> = LazyLock::new(|| uuid::Uuid::new_v4().into_bytes());

#[cfg(test)]
mod tests {
    use super::*;

    fn basic(username: &str, password: &str) -> Credential {
        Credential::Basic {
            username: username.into(),
            password: password.into(),
        }
    }

    #[test]
    fn a_credential_does_not_print_its_secret() {
        for credential in [
            basic("me", "hunter2"),
            Credential::IdentityToken("hunter2".into()),
            Credential::RegistryToken("hunter2".into()),
        ] {
            let shown = format!("{credential:?} {:?}", credential.fingerprint());
            assert!(
                !shown.contains("hunter2") && !shown.contains("me"),
                "{shown}"
            );
        }
    }

    #[test]
    fn fingerprints_tell_credentials_apart() {
        let all = [
            basic("me", "a"),
            basic("me", "b"),
            basic("you", "a"),
            basic("m", "ea"),
            basic("", "a"),
            Credential::IdentityToken("a".into()),
            Credential::RegistryToken("a".into()),
        ];
        let distinct: std::collections::BTreeSet<_> =
            all.iter().map(Credential::fingerprint).collect();
        assert_eq!(distinct.len(), all.len());
        assert_eq!(
            basic("me", "a").fingerprint(),
            basic("me", "a").fingerprint()
        );
    }
}
