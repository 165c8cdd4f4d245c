//! Certificates of an object's own: authorities that are trusted besides the system's, and a certificate to show.
//!
//! Whatever is wrong with them is said when they are read, by the name that each has in its Secret: a handshake that
//! fails for it later would say less. No byte of a key is ever quoted.

use std::fmt;

use jiff::Timestamp;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest as _, Sha256};

use super::error::Error;

/// A PEM text and the name it goes by.
#[derive(Clone, Copy)]
pub struct Pem<'a> {
    /// The key in the Secret, e.g. `ca.crt`.
    pub name: &'a str,
    /// The text.
    pub text: &'a [u8],
}

/// Says how long it is, and shows nothing: it may be a key.
impl fmt::Debug for Pem<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pem")
            .field("name", &self.name)
            .field("bytes", &self.text.len())
            .finish()
    }
}

/// Certificates: authorities that are trusted besides the system's, and a certificate to show.
pub struct TlsMaterial {
    pub(super) authorities: Vec<reqwest::Certificate>,
    pub(super) identity: Option<reqwest::Identity>,
    id: [u8; 32],
}

impl TlsMaterial {
    /// Reads PEM: `ca.crt`, and `tls.crt` with `tls.key`. Dates are not looked at.
    ///
    /// # Errors
    /// As [`TlsMaterial::read`].
    pub fn from_pem(ca: Option<&[u8]>, identity: Option<(&[u8], &[u8])>) -> Result<Self, Error> {
        let named = |name, text| Pem { name, text };
        Self::parse(
            ca.map(|text| named("ca.crt", text)),
            identity
                .map(|(certificate, key)| (named("tls.crt", certificate), named("tls.key", key))),
            None,
        )
    }

    /// Reads an authority, and a client's certificate with its key, as they are `now`.
    ///
    /// # Errors
    /// When a part is empty, not PEM of its kind, out of date, or when certificate and key do not belong together.
    pub fn read(
        authority: Option<Pem<'_>>,
        identity: Option<(Pem<'_>, Pem<'_>)>,
        now: Timestamp,
    ) -> Result<Self, Error> {
        Self::parse(authority, identity, Some(now))
    }

    fn parse(
        authority: Option<Pem<'_>>,
        identity: Option<(Pem<'_>, Pem<'_>)>,
        now: Option<Timestamp>,
    ) -> Result<Self, Error> {
        let setup = |cause| Error::Setup { cause };
        let mut hash = Sha256::new();
        let mut authorities = Vec::new();
        if let Some(pem) = authority {
            hash.update([0]);
            hash.update(Sha256::digest(pem.text));
            let found = certificates(pem).map_err(setup)?;
            // One of a bundle that is over hurts nobody; when all are, nothing can be trusted by it.
            let dates = now.map(|now| {
                found
                    .iter()
                    .map(|der| in_date(pem.name, der, now))
                    .collect()
            });
            let dates: Vec<Result<(), String>> = dates.unwrap_or_default();
            if !dates.is_empty() && dates.iter().all(Result::is_err) {
                dates.into_iter().next().unwrap_or(Ok(())).map_err(setup)?;
            }
            authorities = reqwest::Certificate::from_pem_bundle(pem.text)
                .map_err(|_| setup(format!("'{}' holds no PEM certificate", pem.name)))?;
        }
        let identity = match identity {
            None => None,
            Some((certificate, key)) => {
                hash.update([1]);
                hash.update(Sha256::digest(certificate.text));
                hash.update(Sha256::digest(key.text));
                check_identity(certificate, key, now).map_err(setup)?;
                let pem = [certificate.text, b"\n", key.text].concat();
                let identity = reqwest::Identity::from_pem(&pem).map_err(|_| {
                    setup(format!(
                        "'{}' and '{}' are not a certificate and its key",
                        certificate.name, key.name
                    ))
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

    /// Tells materials apart.
    pub(super) fn id(&self) -> [u8; 32] {
        self.id
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

/// The certificates in a text, one at least.
fn certificates(pem: Pem<'_>) -> Result<Vec<CertificateDer<'static>>, String> {
    let name = pem.name;
    if pem.text.trim_ascii().is_empty() {
        return Err(format!("'{name}' is empty"));
    }
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem.text)
        .collect::<Result<_, _>>()
        .map_err(|_| format!("'{name}' is not PEM"))?;
    if found.is_empty() {
        return Err(format!("'{name}' holds no PEM certificate"));
    }
    for der in &found {
        if x509_parser::parse_x509_certificate(der).is_err() {
            return Err(format!("'{name}' holds a certificate that cannot be read"));
        }
    }
    Ok(found)
}

fn in_date(name: &str, der: &CertificateDer<'_>, now: Timestamp) -> Result<(), String> {
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(der) else {
        return Err(format!("'{name}' holds a certificate that cannot be read"));
    };
    let validity = certificate.validity();
    let at = |time: &x509_parser::time::ASN1Time| {
        Timestamp::from_second(time.timestamp()).unwrap_or(Timestamp::MAX)
    };
    let (from, until) = (at(&validity.not_before), at(&validity.not_after));
    if now > until {
        return Err(format!("'{name}' has expired: it was valid until {until}"));
    }
    if now < from {
        return Err(format!(
            "'{name}' is not valid yet: it will be from {from} on"
        ));
    }
    Ok(())
}

/// Whether a client's certificate can be shown with this key.
fn check_identity(
    certificate: Pem<'_>,
    key: Pem<'_>,
    now: Option<Timestamp>,
) -> Result<(), String> {
    let chain = certificates(certificate)?;
    if key.text.trim_ascii().is_empty() {
        return Err(format!("'{}' is empty", key.name));
    }
    let der = PrivateKeyDer::from_pem_slice(key.text)
        .map_err(|_| format!("'{}' holds no unencrypted PEM private key", key.name))?;
    let signer = rustls::crypto::aws_lc_rs::sign::any_supported_type(&der)
        .map_err(|_| format!("'{}' is a private key of no kind that is known", key.name))?;
    if let (Some(now), Some(leaf)) = (now, chain.first()) {
        in_date(certificate.name, leaf, now)?;
    }
    let together = rustls::sign::CertifiedKey::new(chain, signer).keys_match();
    if let Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) = together {
        return Err(format!(
            "'{}' and '{}' do not belong together",
            certificate.name, key.name
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(until: (i32, u8, u8)) -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::new(vec!["me".to_owned()]).unwrap();
        parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(until.0, until.1, until.2);
        let certificate = parameters.self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn pem<'a>(name: &'a str, text: &'a str) -> Pem<'a> {
        Pem {
            name,
            text: text.as_bytes(),
        }
    }

    fn read(
        ca: Option<&str>,
        identity: Option<(&str, &str)>,
        now: &str,
    ) -> Result<TlsMaterial, String> {
        let identity =
            identity.map(|(certificate, key)| (pem("tls.crt", certificate), pem("tls.key", key)));
        TlsMaterial::read(
            ca.map(|ca| pem("ca.crt", ca)),
            identity,
            now.parse().unwrap(),
        )
        .map_err(|error| match error {
            Error::Setup { cause } => cause,
            other => panic!("{other}"),
        })
    }

    const NOW: &str = "2026-05-01T12:00:00Z";

    #[test]
    fn each_fault_of_a_certificate_has_a_message_of_its_own() {
        let (good, key) = pair((2030, 1, 1));
        let (old, old_key) = pair((2025, 1, 1));
        let (_, other_key) = pair((2030, 1, 1));
        let broken = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
        let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\naGVsbG8=\n-----END ENCRYPTED PRIVATE KEY-----\n";
        let nonsense = "-----BEGIN PRIVATE KEY-----\naGVsbG8=\n-----END PRIVATE KEY-----\n";
        for (ca, identity, told) in [
            (Some(""), None, "'ca.crt' is empty"),
            (Some(" \n"), None, "'ca.crt' is empty"),
            (Some("hunter2"), None, "'ca.crt' holds no PEM certificate"),
            (Some(&*key), None, "'ca.crt' holds no PEM certificate"),
            (
                Some(broken),
                None,
                "'ca.crt' holds a certificate that cannot be read",
            ),
            (
                Some(&*old),
                None,
                "'ca.crt' has expired: it was valid until 2025-01-01T00:00:00Z",
            ),
            (None, Some(("", &*key)), "'tls.crt' is empty"),
            (None, Some((&*good, "")), "'tls.key' is empty"),
            (
                None,
                Some((&*good, &*good)),
                "'tls.key' holds no unencrypted PEM private key",
            ),
            (
                None,
                Some((&*good, encrypted)),
                "'tls.key' holds no unencrypted PEM private key",
            ),
            (
                None,
                Some((&*good, nonsense)),
                "'tls.key' is a private key of no kind that is known",
            ),
            (
                None,
                Some((&*good, &*other_key)),
                "'tls.crt' and 'tls.key' do not belong together",
            ),
            (
                None,
                Some((&*old, &*old_key)),
                "'tls.crt' has expired: it was valid until 2025-01-01T00:00:00Z",
            ),
        ] {
            assert_eq!(read(ca, identity, NOW).unwrap_err(), told);
        }
        let early = read(Some(&good), None, "2019-01-01T00:00:00Z").unwrap_err();
        assert_eq!(
            early,
            "'ca.crt' is not valid yet: it will be from 2020-01-01T00:00:00Z on"
        );
    }

    #[test]
    fn good_certificates_are_taken_and_an_old_one_in_a_bundle_with_them() {
        let (good, key) = pair((2030, 1, 1));
        let (old, _) = pair((2025, 1, 1));
        let bundle = [old, good.clone()].concat();
        let read = read(Some(&bundle), Some((&good, &key)), NOW).unwrap();
        assert_eq!(
            format!("{read:?}"),
            "TlsMaterial { authorities: 2, identity: true, .. }"
        );
        assert_eq!(
            format!("{:?}", pem("tls.key", &key)),
            format!("Pem {{ name: \"tls.key\", bytes: {} }}", key.len())
        );
    }
}
