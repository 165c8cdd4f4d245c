//! Signatures checked by a public key alone.
//!
//! The TLS library reads X.509 version 3 only. Some old authorities still issue certificates of version 1, with whose
//! keys nothing is wrong: here the key is taken out by hand, and used with the library's own algorithms.

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::SignatureVerificationAlgorithm;
use rustls::pki_types::SubjectPublicKeyInfoDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;

/// A public key as certificates hold it.
#[derive(Debug)]
pub struct PublicKey<'a> {
    info: &'a [u8],
    algorithm: &'a [u8],
    bits: &'a [u8],
}

/// What a certificate says, and its issuer's signature over that.
#[derive(Debug)]
pub struct Signed<'a> {
    content: &'a [u8],
    algorithm: &'a [u8],
    signature: &'a [u8],
}

impl<'a> PublicKey<'a> {
    /// The key in a certificate of any version; `None` when it is no certificate.
    pub fn of_certificate(der: &'a [u8]) -> Option<Self> {
        let (rest, certificate) = X509Certificate::from_der(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let info = certificate.tbs_certificate.subject_pki.raw;
        let (inside, _) = element(info, SEQUENCE)?;
        let (algorithm, rest) = element(inside, SEQUENCE)?;
        Some(Self {
            info,
            algorithm,
            bits: bit_string(rest)?,
        })
    }

    /// The key with its algorithm, DER.
    pub(super) fn info(&self) -> SubjectPublicKeyInfoDer<'a> {
        SubjectPublicKeyInfoDer::from(self.info)
    }

    /// Whether it made `signature` over `message`, by one of `algorithms` that is for keys of its kind.
    pub(super) fn made(
        &self,
        algorithms: &[&dyn SignatureVerificationAlgorithm],
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        algorithms
            .iter()
            .filter(|algorithm| algorithm.public_key_alg_id().as_ref() == self.algorithm)
            .any(|algorithm| {
                algorithm
                    .verify_signature(self.bits, message, signature)
                    .is_ok()
            })
    }

    /// Whether it signed the certificate.
    pub fn signed(&self, certificate: &Signed<'_>, supported: &WebPkiSupportedAlgorithms) -> bool {
        let named: Vec<_> = supported
            .all
            .iter()
            .copied()
            .filter(|algorithm| algorithm.signature_alg_id().as_ref() == certificate.algorithm)
            .collect();
        self.made(&named, certificate.content, certificate.signature)
    }
}

impl<'a> Signed<'a> {
    /// The parts of a certificate; `None` when it is none.
    pub fn of_certificate(der: &'a [u8]) -> Option<Self> {
        let (certificate, []) = element(der, SEQUENCE)? else {
            return None;
        };
        let (_, after) = element(certificate, SEQUENCE)?;
        let content = certificate.get(..certificate.len().checked_sub(after.len())?)?;
        let (algorithm, rest) = element(after, SEQUENCE)?;
        Some(Self {
            content,
            algorithm,
            signature: bit_string(rest)?,
        })
    }
}

/// The content of the DER element with this tag that `der` begins with, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = der.split_first()?;
    let (&length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        short @ 0..=0x7f => (usize::from(short), rest),
        // More than four bytes of length are no certificate's.
        long @ 0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            let length = bytes
                .iter()
                .fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
            (length, rest)
        }
        _ => return None,
    };
    if found != tag {
        return None;
    }
    rest.split_at_checked(length)
}

/// The bits of a BIT STRING of whole bytes.
fn bit_string(der: &[u8]) -> Option<&[u8]> {
    match element(der, BIT_STRING)?.0.split_first()? {
        (0, bits) => Some(bits),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_knows_what_it_has_signed() {
        let supported =
            rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
        for algorithm in [
            &rcgen::PKCS_ECDSA_P256_SHA256,
            &rcgen::PKCS_ECDSA_P384_SHA384,
            &rcgen::PKCS_ED25519,
            &rcgen::PKCS_RSA_SHA256,
        ] {
            let make = || {
                let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
                let params = rcgen::CertificateParams::default();
                params.self_signed(&key).unwrap().der().to_vec()
            };
            let (one, two) = (make(), make());
            let key = PublicKey::of_certificate(&one).unwrap();
            let (own, other) = (
                Signed::of_certificate(&one).unwrap(),
                Signed::of_certificate(&two).unwrap(),
            );
            assert!(key.signed(&own, &supported));
            assert!(!key.signed(&other, &supported));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn bytes_that_are_no_certificate_are_none(der in any::<Vec<u8>>(), cut in 0_usize..400) {
            let key = rcgen::KeyPair::generate().unwrap();
            let certificate = rcgen::CertificateParams::default().self_signed(&key).unwrap();
            let whole = certificate.der();
            for der in [&der[..], &whole[..cut.min(whole.len() - 1)]] {
                prop_assert!(PublicKey::of_certificate(der).is_none());
                prop_assert!(Signed::of_certificate(der).is_none());
            }
        }
    }
}
