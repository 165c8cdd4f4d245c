//! Certificates and proxies as Secrets hold them.

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::cluster::read::SecretData;
use crate::registry::{Error, Pem, Proxy, TlsMaterial};
use crate::secret::SecretString;

/// The names of authority, certificate and key: those of `kubernetes.io/tls`, and the older ones. The older ones count
/// only where none of the others is there.
const NAMES: [[&str; 3]; 2] = [
    ["ca.crt", "tls.crt", "tls.key"],
    ["caFile", "certFile", "keyFile"],
];

/// An authority, and a certificate with its key; at least one of the two.
pub(super) fn tls(
    secret: &SecretData,
    now: Timestamp,
    mark: &mut Mark,
) -> Result<TlsMaterial, String> {
    let found = NAMES
        .iter()
        .find(|names| names.iter().any(|name| secret.value(name).is_some()));
    let Some(&[ca, certificate, key]) = found else {
        return Err(
            "it has neither 'ca.crt' nor 'tls.crt' with 'tls.key' (nor the older 'caFile', 'certFile' and 'keyFile')"
                .to_owned(),
        );
    };
    let pem = |name| secret.value(name).map(|text| Pem { name, text });
    let identity = match (pem(certificate), pem(key)) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        (Some(_), None) => return Err(format!("it has '{certificate}', but no '{key}'")),
        (None, Some(_)) => return Err(format!("it has '{key}', but no '{certificate}'")),
    };
    let material = TlsMaterial::read(pem(ca), identity, now).map_err(cause)?;
    mark.add(secret, &[ca, certificate, key]);
    Ok(material)
}

/// `address`, and `username` with `password`.
pub(super) fn proxy(secret: &SecretData, mark: &mut Mark) -> Result<Proxy, String> {
    let text = |key: &str| match secret.value(key).map(std::str::from_utf8) {
        Some(Ok(text)) => Ok(Some(text.trim())),
        Some(Err(_)) => Err(format!("its '{key}' is not UTF-8 text")),
        None => Ok(None),
    };
    let address = text("address")?
        .filter(|address| !address.is_empty())
        .ok_or("it has no 'address'")?;
    let password = text("password")?.map(SecretString::from);
    let username = text("username")?.filter(|username| !username.is_empty());
    if username.is_none() && password.is_some() {
        return Err("it has 'password', but no 'username'".to_owned());
    }
    let password = password.unwrap_or_default();
    let user = username.map(|username| (username, &password));
    let proxy = Proxy::new(address, user).map_err(cause)?;
    mark.add(secret, &["address", "username", "password"]);
    Ok(proxy)
}

/// What is wrong, without saying once more that something could not be set up.
fn cause(error: Error) -> String {
    match error {
        Error::Setup { cause } => cause,
        other => other.to_string(),
    }
}

/// Tells Secrets apart by their content.
#[derive(Default)]
pub(super) struct Mark(Option<Sha256>);

impl Mark {
    fn add(&mut self, secret: &SecretData, keys: &[&str]) {
        let hash = self.0.get_or_insert_default();
        for key in keys {
            // Each value hashed by itself, so that no two run into one another.
            hash.update(key.as_bytes());
            hash.update(Sha256::digest(secret.value(key).unwrap_or_default()));
        }
    }

    pub(super) fn finish(self) -> Option<[u8; 32]> {
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

    fn tls_of(values: &[(&str, &str)]) -> Result<TlsMaterial, String> {
        let now = "2026-05-01T12:00:00Z".parse().unwrap();
        tls(&secret(values), now, &mut Mark::default())
    }

    fn proxy_of(values: &[(&str, &str)]) -> Result<Proxy, String> {
        proxy(&secret(values), &mut Mark::default())
    }

    #[test]
    fn what_is_missing_in_a_certificate_secret_is_named() {
        for (values, expected) in [
            (
                &[][..],
                "it has neither 'ca.crt' nor 'tls.crt' with 'tls.key' (nor the older 'caFile', 'certFile' and 'keyFile')",
            ),
            (&[("tls.crt", "x")], "it has 'tls.crt', but no 'tls.key'"),
            (&[("tls.key", "x")], "it has 'tls.key', but no 'tls.crt'"),
            (&[("certFile", "x")], "it has 'certFile', but no 'keyFile'"),
            (&[("keyFile", "x")], "it has 'keyFile', but no 'certFile'"),
            // One of the newer names is enough for the older ones not to count.
            (
                &[("tls.crt", "x"), ("certFile", "x"), ("keyFile", "x")],
                "it has 'tls.crt', but no 'tls.key'",
            ),
            (
                &[("ca.crt", "hunter2"), ("caFile", "x")],
                "'ca.crt' holds no PEM certificate",
            ),
            (
                &[("caFile", "hunter2")],
                "'caFile' holds no PEM certificate",
            ),
            (&[("ca.crt", "")], "'ca.crt' is empty"),
        ] {
            assert_eq!(tls_of(values).unwrap_err(), expected);
        }
    }

    #[test]
    fn the_older_names_are_read_where_the_newer_ones_are_not_there() {
        let certificate = rcgen::CertificateParams::new(vec!["me".to_owned()]).unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = certificate.self_signed(&key).unwrap().pem();
        let key = key.serialize_pem();
        let older = [
            ("caFile", &*certificate),
            ("certFile", &*certificate),
            ("keyFile", &*key),
        ];
        let shown = format!("{:?}", tls_of(&older).unwrap());
        assert_eq!(shown, "TlsMaterial { authorities: 1, identity: true, .. }");
        let newer = [&[("ca.crt", &*certificate)][..], &older[1..]].concat();
        let shown = format!("{:?}", tls_of(&newer).unwrap());
        assert_eq!(shown, "TlsMaterial { authorities: 1, identity: false, .. }");
    }

    #[test]
    fn what_is_missing_in_a_proxy_secret_is_named() {
        for (values, expected) in [
            (&[][..], "it has no 'address'"),
            (&[("address", " ")], "it has no 'address'"),
            (
                &[("address", "proxy.test:3128")],
                "the proxy's address is not an http or https URL",
            ),
            (
                &[
                    ("address", "http://proxy.test:3128"),
                    ("password", "hunter2"),
                ],
                "it has 'password', but no 'username'",
            ),
        ] {
            assert_eq!(proxy_of(values).unwrap_err(), expected);
        }
        let with_user = [("address", "http://proxy.test:3128\n"), ("username", "me")];
        assert!(proxy_of(&with_user).is_ok());
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
