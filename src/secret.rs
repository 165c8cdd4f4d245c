//! Values that must never be printed: they have no readable `Debug`, and are wiped when dropped.

pub use secrecy::{ExposeSecret, SecretString};

/// What proves to a registry who we are. Belongs to the host it was found for, and to no other.
#[derive(Debug, Clone)]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_does_not_print_its_secret() {
        let shown = format!(
            "{:?}",
            Credential::Basic {
                username: "me".into(),
                password: "hunter2".into()
            }
        );
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
