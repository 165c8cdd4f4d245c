//! The TLS settings: one provider, versions 1.2 and 1.3, HTTP/2 or HTTP/1.1 by ALPN, and a client certificate that
//! is asked for, not required, and not judged.
//!
//! The chain is not judged here because it must be judged at every request (AUTHN-4): a connection lives for days, its
//! certificate may end and the accepted authorities may change meanwhile. What a handshake alone can prove, that
//! the client owns the key, is proved here; without it anybody could show a certificate seen elsewhere.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme,
    SupportedProtocolVersion,
};

use super::key::PublicKey;
use super::{Certificates, Error};

const CHAIN_CERTIFICATES: usize = 10;
const CHAIN_BYTES: usize = 64 << 10;

/// The oldest version of TLS that is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MinVersion {
    /// TLS 1.2; nothing older is there.
    #[default]
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// What of TLS is offered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Offer {
    /// The oldest version.
    pub min_version: MinVersion,
    /// Names of the cipher suites of TLS 1.2, as IANA has them; empty: all that are safe. Those of TLS 1.3 are always on.
    pub cipher_suites: Vec<String>,
}

/// The names that [`Offer::cipher_suites`] may hold.
pub fn cipher_suites() -> Vec<String> {
    let suites = rustls::crypto::aws_lc_rs::DEFAULT_CIPHER_SUITES;
    let of_tls12 = suites.iter().filter(|suite| suite.tls13().is_none());
    of_tls12
        .map(|suite| format!("{:?}", suite.suite()))
        .collect()
}

/// How connections are encrypted.
#[derive(Debug, Clone)]
pub struct Tls {
    config: Arc<ServerConfig>,
}

impl Tls {
    /// TLS with whatever `certificates` hold at the moment of each handshake.
    ///
    /// # Errors
    /// [`Error::Tls`] when the provider lacks the protocol versions; not on this program's provider.
    pub fn new(certificates: Certificates) -> Result<Self, Error> {
        Self::offering(&Offer::default(), certificates)
    }

    /// The same, with less on offer.
    ///
    /// # Errors
    /// [`Error::Tls`] when nothing is left.
    pub fn offering(offer: &Offer, certificates: Certificates) -> Result<Self, Error> {
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        if !offer.cipher_suites.is_empty() {
            provider.cipher_suites.retain(|suite| {
                let name = format!("{:?}", suite.suite());
                suite.tls13().is_some() || offer.cipher_suites.contains(&name)
            });
        }
        let provider = Arc::new(provider);
        let versions: &[&SupportedProtocolVersion] = match offer.min_version {
            MinVersion::Tls12 => &[&TLS13, &TLS12],
            MinVersion::Tls13 => &[&TLS13],
        };
        let verifier = PossessionOnly {
            algorithms: algorithms(&provider),
        };
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(Error::Tls)?
            .with_client_cert_verifier(Arc::new(verifier))
            .with_cert_resolver(Arc::new(certificates));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self {
            config: Arc::new(config),
        })
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }
}

fn algorithms(provider: &CryptoProvider) -> WebPkiSupportedAlgorithms {
    provider.signature_verification_algorithms
}

/// Accepts every chain of sane size, but only from the owner of its leaf's key.
#[derive(Debug)]
struct PossessionOnly {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for PossessionOnly {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// None: with hundreds of authorities the hint would break peers, and a client may then always send what it has (AUTHN-5).
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let bytes = intermediates.iter().fold(leaf.len(), |sum, certificate| {
            sum.saturating_add(certificate.len())
        });
        if intermediates.len() >= CHAIN_CERTIFICATES || bytes > CHAIN_BYTES {
            return Err(rustls::Error::InvalidCertificate(
                CertificateError::ApplicationVerificationFailure,
            ));
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let verified =
            rustls::crypto::verify_tls12_signature(message, leaf, signature, &self.algorithms);
        verified.or_else(|error| {
            let key = key_of_unread(leaf, error)?;
            let named = self.algorithms.mapping.iter();
            let is_valid = named
                .filter(|(scheme, _)| *scheme == signature.scheme)
                .any(|(_, algorithms)| key.made(algorithms, message, signature.signature()));
            if is_valid {
                Ok(HandshakeSignatureValid::assertion())
            } else {
                Err(CertificateError::BadSignature.into())
            }
        })
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let verified =
            rustls::crypto::verify_tls13_signature(message, leaf, signature, &self.algorithms);
        verified.or_else(|error| {
            rustls::crypto::verify_tls13_signature_with_raw_key(
                message,
                &key_of_unread(leaf, error)?.info(),
                signature,
                &self.algorithms,
            )
        })
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The key of a certificate that the library refuses to read (X.509 version 1). A signature that it has read and found
/// false stays false.
fn key_of_unread<'a>(
    leaf: &'a CertificateDer<'_>,
    error: rustls::Error,
) -> Result<PublicKey<'a>, rustls::Error> {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::BadSignature) => Err(error),
        rustls::Error::InvalidCertificate(_) => PublicKey::of_certificate(leaf).ok_or(error),
        error => Err(error),
    }
}
