//! With what rights and over which ways an ImageRepository's registry is asked: its Secrets, read into a
//! registry client's words.
//!
//! Errors are the ends of condition messages, and quote no value of any Secret.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::Context;
use super::registry::Ways;
use crate::api::ImageRepository;
use crate::api::reference::LocalObjectReference;
use crate::cluster::read::{self, SecretData};
use crate::cluster::with_causes;
use crate::image::Repository;
use crate::object::Key;
use crate::registry::{Access, Keychain, Proxy, TlsMaterial};
use crate::secret::SecretString;

/// The ways to `image` that `object`, which is `key`, names in its spec.
pub(super) async fn ways(
    context: &Context,
    key: &Key,
    object: &ImageRepository,
    image: &Repository,
) -> Result<Ways, String> {
    let spec = &object.spec;
    let mut mark = Mark::default();
    let mut access = Access {
        insecure: spec.insecure,
        ..Access::default()
    };
    if let Some((name, secret)) = secret(context, key, spec.secret_ref.as_ref()).await? {
        let keychain = Keychain::from_secret(&secret.kind, |key| secret.value(key));
        access.credential = keychain.map_err(|error| told(&name, &error))?.lookup(image);
    }
    if let Some((name, secret)) = secret(context, key, spec.cert_secret_ref.as_ref()).await? {
        let tls = tls(&secret).map_err(|error| told(&name, &error))?;
        mark.add(&secret, &["ca.crt", "tls.crt", "tls.key"]);
        access.tls = Some(Arc::new(tls));
    }
    if let Some((name, secret)) = secret(context, key, spec.proxy_secret_ref.as_ref()).await? {
        let proxy = proxy(&secret).map_err(|error| told(&name, &error))?;
        mark.add(&secret, &["address", "username", "password"]);
        access.proxy = Some(Arc::new(proxy));
    }
    Ok(Ways {
        access,
        mark: mark.finish(),
    })
}

async fn secret(
    context: &Context,
    key: &Key,
    reference: Option<&LocalObjectReference>,
) -> Result<Option<(Key, SecretData)>, String> {
    let Some(reference) = reference else {
        return Ok(None);
    };
    let name = Key::new(key.namespace.clone(), reference.name.as_str());
    let found = read::secret(&context.client.0, &name)
        .await
        .map_err(|error| with_causes(&error))?;
    Ok(Some((name, found)))
}

fn told(secret: &Key, error: &impl std::fmt::Display) -> String {
    format!("secret '{secret}': {error}")
}

/// `ca.crt`, and `tls.crt` with `tls.key`; at least one of the two.
fn tls(secret: &SecretData) -> Result<TlsMaterial, String> {
    let identity = match (secret.value("tls.crt"), secret.value("tls.key")) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        (Some(_), None) => return Err("it has 'tls.crt', but no 'tls.key'".to_owned()),
        (None, Some(_)) => return Err("it has 'tls.key', but no 'tls.crt'".to_owned()),
    };
    let authority = secret.value("ca.crt");
    if authority.is_none() && identity.is_none() {
        return Err("it has neither 'ca.crt' nor 'tls.crt' with 'tls.key'".to_owned());
    }
    TlsMaterial::from_pem(authority, identity).map_err(|error| error.to_string())
}

/// `address`, and `username` with `password`.
fn proxy(secret: &SecretData) -> Result<Proxy, String> {
    let text = |key: &str| match secret.value(key).map(std::str::from_utf8) {
        Some(Ok(text)) => Ok(Some(text.trim())),
        Some(Err(_)) => Err(format!("its '{key}' is not UTF-8 text")),
        None => Ok(None),
    };
    let address = text("address")?.ok_or("it has no 'address'")?;
    let password = text("password")?
        .map(SecretString::from)
        .unwrap_or_default();
    let user = text("username")?.map(|username| (username, &password));
    Proxy::new(address, user).map_err(|error| error.to_string())
}

/// Tells Secrets apart by their content.
#[derive(Default)]
struct Mark(Option<Sha256>);

impl Mark {
    fn add(&mut self, secret: &SecretData, keys: &[&str]) {
        let hash = self.0.get_or_insert_default();
        for key in keys {
            // Each value hashed by itself, so that no two run into one another.
            hash.update(key.as_bytes());
            hash.update(Sha256::digest(secret.value(key).unwrap_or_default()));
        }
    }

    fn finish(self) -> Option<[u8; 32]> {
        self.0.map(|hash| hash.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(values: &[(&str, &str)]) -> SecretData {
        SecretData::new(
            "Opaque",
            values
                .iter()
                .map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())),
        )
    }

    #[test]
    fn what_is_missing_in_a_certificate_secret_is_named() {
        for (values, expected) in [
            (
                &[][..],
                "it has neither 'ca.crt' nor 'tls.crt' with 'tls.key'",
            ),
            (&[("tls.crt", "x")], "it has 'tls.crt', but no 'tls.key'"),
            (&[("tls.key", "x")], "it has 'tls.key', but no 'tls.crt'"),
        ] {
            assert_eq!(tls(&secret(values)).unwrap_err(), expected);
        }
        let told = tls(&secret(&[("ca.crt", "hunter2")])).unwrap_err();
        assert!(
            told.contains("ca.crt") && !told.contains("hunter2"),
            "{told}"
        );
    }

    #[test]
    fn what_is_missing_in_a_proxy_secret_is_named() {
        assert_eq!(proxy(&secret(&[])).unwrap_err(), "it has no 'address'");
        let told = proxy(&secret(&[("address", "proxy.test:3128")])).unwrap_err();
        assert!(told.contains("http"), "{told}");
        assert!(
            proxy(&secret(&[
                ("address", "http://proxy.test:3128"),
                ("username", "me")
            ]))
            .is_ok()
        );
    }

    #[test]
    fn marks_tell_contents_apart() {
        let mark = |values: &[(&str, &str)]| {
            let mut mark = Mark::default();
            mark.add(&secret(values), &["address", "username"]);
            mark.finish()
        };
        assert_eq!(
            mark(&[("address", "a")]),
            mark(&[("address", "a"), ("other", "b")])
        );
        assert_ne!(mark(&[("address", "a")]), mark(&[("address", "b")]));
        assert_ne!(
            mark(&[("address", "ab")]),
            mark(&[("address", "a"), ("username", "b")])
        );
        assert_eq!(Mark::default().finish(), None);
    }
}
