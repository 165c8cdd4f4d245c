//! Leaves that the TLS library refuses by their kind, though kube-apiserver takes them: X.509 version 1, certificates of
//! authorities, certificates for any purpose, and those that are in the bundle themselves.
//!
//! They are taken where an authority of the bundle has signed them itself. Behind intermediates they stay refused: whoever
//! runs those can issue certificates of version 3.

use rustls::crypto::WebPkiSupportedAlgorithms;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::X509Version;

use crate::serve::{PublicKey, Signed};

/// What a refusal adds when a leaf of such a kind is not directly under an authority.
pub(super) const HINT: &str = "; certificates of X.509 version 1, of authorities and for any purpose count only \
     directly under an authority that is accepted";

/// Whether the library refuses `leaf` by its kind.
pub(super) fn is_odd(leaf: &X509Certificate<'_>) -> bool {
    leaf.version() != X509Version::V3
        || leaf
            .iter_extensions()
            .any(|extension| match extension.parsed_extension() {
                ParsedExtension::BasicConstraints(constraints) => constraints.ca,
                ParsedExtension::ExtendedKeyUsage(usage) => usage.any && !usage.client_auth,
                _ => false,
            })
}

/// Whether `leaf` is the authority's certificate, or signed by its key and fit for a client at `now` (seconds since 1970).
/// That the authority is valid itself is for the caller to see to.
pub(super) fn holds(
    leaf: &X509Certificate<'_>,
    leaf_der: &[u8],
    authority_der: &[u8],
    now: i64,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<(), &'static str> {
    let validity = leaf.validity();
    if now < validity.not_before.timestamp() {
        return Err("it is not valid yet");
    }
    if now > validity.not_after.timestamp() {
        return Err("it has expired");
    }
    for extension in leaf.iter_extensions() {
        match extension.parsed_extension() {
            ParsedExtension::ExtendedKeyUsage(usage) if !usage.any && !usage.client_auth => {
                return Err("it is not for clients");
            }
            ParsedExtension::ExtendedKeyUsage(_)
            | ParsedExtension::BasicConstraints(_)
            | ParsedExtension::KeyUsage(_)
            | ParsedExtension::SubjectAlternativeName(_)
            | ParsedExtension::SubjectKeyIdentifier(_)
            | ParsedExtension::AuthorityKeyIdentifier(_) => {}
            ParsedExtension::ParseError { .. } => return Err("it has a malformed extension"),
            _ if extension.critical => {
                return Err("it has a critical extension that is not known here");
            }
            _ => {}
        }
    }
    if leaf_der == authority_der {
        return Ok(());
    }
    let (_, authority) =
        X509Certificate::from_der(authority_der).map_err(|_| "its authority is malformed")?;
    if !may_sign(&authority) {
        return Err("its authority may not sign certificates for everybody");
    }
    let signed = match (
        PublicKey::of_certificate(authority_der),
        Signed::of_certificate(leaf_der),
    ) {
        (Some(key), Some(leaf)) => key.signed(&leaf, algorithms),
        (None, _) | (_, None) => false,
    };
    if signed {
        Ok(())
    } else {
        Err("its authority has not signed it")
    }
}

/// Constraints on names are the library's business: an authority that has some is none here.
fn may_sign(authority: &X509Certificate<'_>) -> bool {
    authority
        .iter_extensions()
        .all(|extension| match extension.parsed_extension() {
            ParsedExtension::BasicConstraints(constraints) => constraints.ca,
            ParsedExtension::KeyUsage(usage) => usage.key_cert_sign(),
            ParsedExtension::NameConstraints(_) => false,
            _ => true,
        })
}

#[cfg(test)]
mod tests;
