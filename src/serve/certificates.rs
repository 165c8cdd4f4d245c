//! The server's own certificate, exchangeable while connections run: new handshakes get the newest.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use jiff::Timestamp;
use rustls::InconsistentKeys;
use rustls::client::verify_server_name;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Why a certificate and a key do not make a pair to serve with.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no `CERTIFICATE` block, or a broken one.
    #[error("it holds no readable PEM certificate")]
    Certificate,
    /// There is no private key block, or a broken one.
    #[error("it holds no readable PEM private key")]
    Key,
    /// The first certificate is not one.
    #[error("the first certificate is malformed")]
    Malformed,
    /// The key is of a kind that TLS cannot use.
    #[error("the private key cannot be used")]
    Unusable(#[source] rustls::Error),
    /// The key belongs to another certificate.
    #[error("the private key does not belong to the certificate")]
    Mismatch,
}

/// A certificate chain with the key of its leaf, checked to belong together.
#[derive(Clone)]
pub struct KeyPair {
    certified: Arc<CertifiedKey>,
    not_after: Timestamp,
}

impl KeyPair {
    /// From PEM texts, as `kubernetes.io/tls` Secrets and cert-manager write them; the leaf comes first.
    ///
    /// # Errors
    /// What is wrong with which of the two.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, Error> {
        let chain = CertificateDer::pem_slice_iter(certificates)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| Error::Certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| Error::Key)?;
        Self::from_der(chain, &key)
    }

    /// From DER, the leaf first.
    ///
    /// # Errors
    /// As [`KeyPair::from_pem`].
    pub fn from_der(
        chain: Vec<CertificateDer<'static>>,
        key: &PrivateKeyDer<'_>,
    ) -> Result<Self, Error> {
        let leaf = chain.first().ok_or(Error::Certificate)?;
        let (_, parsed) = X509Certificate::from_der(leaf).map_err(|_| Error::Malformed)?;
        let not_after = Timestamp::from_second(parsed.validity().not_after.timestamp())
            .unwrap_or(Timestamp::MAX);
        let key =
            rustls::crypto::aws_lc_rs::sign::any_supported_type(key).map_err(Error::Unusable)?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            // Unknown: the key cannot tell its public half; then the first handshake will show it.
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
                return Err(Error::Mismatch);
            }
            Err(error) => return Err(Error::Unusable(error)),
        }
        Ok(Self {
            certified: Arc::new(certified),
            not_after,
        })
    }

    /// When the leaf stops being valid.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// The chain, the leaf first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.certified.cert
    }

    /// Whether the leaf is for `name`, as clients that dial it check.
    pub fn is_for(&self, name: &str) -> bool {
        let leaf = self.certified.cert.first();
        let leaf = leaf.and_then(|leaf| ParsedCertificate::try_from(leaf).ok());
        let (Some(leaf), Ok(name)) = (leaf, ServerName::try_from(name)) else {
            return false;
        };
        verify_server_name(&leaf, &name).is_ok()
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair")
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// The certificate that handshakes get at this moment; clones share it. Without one, handshakes fail.
#[derive(Debug, Clone, Default)]
pub struct Certificates {
    current: Arc<ArcSwapOption<KeyPair>>,
}

impl Certificates {
    /// No certificate yet.
    pub fn empty() -> Self {
        Self::default()
    }

    /// From now on, new handshakes get `pair`. Running connections stay.
    pub fn replace(&self, pair: KeyPair) {
        self.current.store(Some(Arc::new(pair)));
    }

    /// What handshakes get at this moment.
    pub fn current(&self) -> Option<Arc<KeyPair>> {
        self.current.load_full()
    }

    /// When the current certificate ends; `None` while there is none.
    pub fn not_after(&self) -> Option<Timestamp> {
        self.current.load().as_ref().map(|pair| pair.not_after)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // The name asked for does not matter: the aggregator dials addresses and names a service.
        self.current
            .load()
            .as_ref()
            .map(|pair| Arc::clone(&pair.certified))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(["localhost".to_owned()])
            .unwrap()
            .self_signed(&key)
            .unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    #[test]
    fn what_does_not_pair_is_refused_with_its_reason() {
        let (certificate, key) = pair();
        let (_, other_key) = pair();
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let cases = [
            (&*certificate, &*key, None),
            (
                &*certificate,
                &*other_key,
                Some("the private key does not belong to the certificate"),
            ),
            ("", &*key, Some("it holds no readable PEM certificate")),
            (&*key, &*key, Some("it holds no readable PEM certificate")),
            (
                &*certificate,
                "hello",
                Some("it holds no readable PEM private key"),
            ),
            (broken, &*key, Some("the first certificate is malformed")),
        ];
        for (certificate, key, expected) in cases {
            let error = KeyPair::from_pem(certificate.as_bytes(), key.as_bytes())
                .err()
                .map(|e| e.to_string());
            assert_eq!(error.as_deref(), expected);
        }
    }

    #[test]
    fn a_pair_does_not_print_its_key() {
        let (certificate, key) = pair();
        let pair = KeyPair::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap();
        assert!(format!("{pair:?}").starts_with("KeyPair { not_after: "));
        let certificates = Certificates::empty();
        assert_eq!(certificates.not_after(), None);
        certificates.replace(pair.clone());
        assert_eq!(certificates.not_after(), Some(pair.not_after()));
        assert!(pair.is_for("localhost") && !pair.is_for("tagscope.ns.svc") && !pair.is_for("!"));
    }
}
