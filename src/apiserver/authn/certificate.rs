//! Client certificates: does a chain lead to one of these authorities now, and whom does its leaf name?
//!
//! Verified per request (AUTHN-4, AUTHN-5), so the verdict is remembered for up to a minute by the chain's fingerprint.
//! A new bundle is a new [`Authorities`] with an empty memory. Chains are tried against one authority at a time: some
//! clusters publish hundreds of authorities of one name, on which the library's own search gives up.

mod direct;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use moka::sync::Cache;
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use sha2::{Digest as _, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::oid_registry::{Oid, asn1_rs};
use x509_parser::prelude::FromDer as _;

use crate::apiserver::request_info::User;
use crate::cluster::delegated::Bundle;
use crate::serve::CertificateChain;

/// Attribute of a subject that holds a user's uid.
const UID: Oid<'static> = asn1_rs::oid!(1.3.6.1.4.1.57683.2);
const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";
const REMEMBERED: u64 = 1024;
const HOLDS: SignedDuration = SignedDuration::from_secs(60);

/// Why a chain counts for nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    /// Not X.509, or not as we read it.
    #[error("the certificate is malformed")]
    Malformed,
    /// No authority of the bundle has that name or key.
    #[error("the certificate {subject:?} is not of an accepted authority (issuer {issuer:?})")]
    UnknownAuthority { subject: String, issuer: String },
    /// The authority fits, but the chain does not hold: expired, wrong signature, wrong purpose.
    #[error("the certificate {subject:?} is not valid: {why}")]
    Invalid { subject: String, why: String },
    /// The subject has text that is none, or more than one uid.
    #[error("the certificate {subject:?} has an unreadable subject")]
    Subject { subject: String },
}

/// A chain that holds, and what its leaf says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verified {
    /// Empty when it names nobody.
    pub(super) common_name: String,
    organizations: Vec<String>,
    uid: String,
    credential: String,
}

impl Verified {
    /// The user that the leaf names.
    pub(super) fn user(&self) -> User {
        User {
            name: self.common_name.clone(),
            uid: self.uid.clone(),
            groups: self.organizations.clone(),
            extra: [(CREDENTIAL_ID.to_owned(), vec![self.credential.clone()])].into(),
        }
    }
}

/// A bundle of authorities, ready to verify with.
#[derive(Debug)]
pub(super) struct Authorities {
    anchors: Vec<Anchor>,
    provider: Arc<CryptoProvider>,
    verdicts: Cache<[u8; 32], Arc<Verdict>>,
}

#[derive(Debug)]
struct Verdict {
    outcome: Result<Arc<Verified>, Error>,
    until: Timestamp,
}

/// One authority.
#[derive(Debug)]
struct Anchor {
    der: CertificateDer<'static>,
    subject: Vec<u8>,
    key_id: Option<Vec<u8>>,
    not_before: i64,
    not_after: i64,
    verifier: Arc<dyn ClientCertVerifier>,
}

impl Authorities {
    /// The usable ones of `bundle`; those that are not are left out with one log line each.
    pub(super) fn new(bundle: &Bundle) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut anchors = Vec::new();
        for (at, certificate) in bundle.iter().enumerate() {
            let is_repeated = bundle.iter().take(at).any(|earlier| earlier == certificate);
            if is_repeated {
                continue;
            }
            if let Some(anchor) = Anchor::new(certificate, &provider) {
                anchors.push(anchor);
            } else {
                tracing::warn!(
                    position = at,
                    "Certificate authority is not usable and left out"
                );
            }
        }
        Self {
            anchors,
            provider,
            verdicts: Cache::new(REMEMBERED),
        }
    }

    /// Whether `chain` holds at `now`.
    pub(super) fn verify(
        &self,
        chain: &CertificateChain,
        now: Timestamp,
    ) -> Result<Arc<Verified>, Error> {
        let key = chain.fingerprint();
        if let Some(verdict) = self.verdicts.get(&key)
            && now < verdict.until
        {
            return verdict.outcome.clone();
        }
        let verdict = self.judge(chain, now);
        let outcome = verdict.outcome.clone();
        self.verdicts.insert(key, Arc::new(verdict));
        outcome
    }

    fn judge(&self, chain: &CertificateChain, now: Timestamp) -> Verdict {
        let until = now.checked_add(HOLDS).unwrap_or(Timestamp::MAX);
        let Ok((_, leaf)) = X509Certificate::from_der(chain.leaf()) else {
            return Verdict {
                outcome: Err(Error::Malformed),
                until,
            };
        };
        let ends = |not_after: i64| Timestamp::from_second(not_after).unwrap_or(Timestamp::MAX);
        match self.find(chain, &leaf, now) {
            Ok(anchor) => Verdict {
                outcome: read_leaf(chain.leaf(), &leaf).map(Arc::new),
                until: until
                    .min(ends(leaf.validity().not_after.timestamp()))
                    .min(ends(anchor.not_after)),
            },
            Err(error) => Verdict {
                outcome: Err(error),
                until,
            },
        }
    }

    /// The first authority under which the chain holds.
    fn find(
        &self,
        chain: &CertificateChain,
        leaf: &X509Certificate<'_>,
        now: Timestamp,
    ) -> Result<&Anchor, Error> {
        let subject = || leaf.subject().to_string();
        let intermediates = chain.intermediates();
        let parsed: Vec<_> = intermediates
            .iter()
            .filter_map(|der| X509Certificate::from_der(der).ok())
            .map(|(_, c)| c)
            .collect();
        let issued: Vec<Issuer> = std::iter::once(leaf)
            .chain(&parsed)
            .map(Issuer::of)
            .collect();
        let seconds = now.as_second();
        let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(
            u64::try_from(seconds).unwrap_or_default(),
        ));
        let is_listed = |anchor: &Anchor| anchor.der == *chain.leaf();
        let is_odd = direct::is_odd(leaf);
        let mut why = None;
        for anchor in self
            .anchors
            .iter()
            .filter(|anchor| is_listed(anchor) || issued.iter().any(|issuer| issuer.may_be(anchor)))
        {
            if !(anchor.not_before..=anchor.not_after).contains(&seconds) {
                why = Some("its authority's certificate is not valid at this time".to_owned());
                continue;
            }
            let by_library = anchor
                .verifier
                .verify_client_cert(chain.leaf(), intermediates, at);
            let Err(refused) = by_library else {
                return Ok(anchor);
            };
            if !is_odd && !is_listed(anchor) {
                why = Some(refused.to_string());
                continue;
            }
            let algorithms = &self.provider.signature_verification_algorithms;
            match direct::holds(leaf, chain.leaf(), &anchor.der, seconds, algorithms) {
                Ok(()) => return Ok(anchor),
                Err(reason) => why = Some(format!("{reason}{}", direct::HINT)),
            }
        }
        Err(match why {
            Some(why) => Error::Invalid {
                subject: subject(),
                why,
            },
            None => Error::UnknownAuthority {
                subject: subject(),
                issuer: leaf.issuer().to_string(),
            },
        })
    }
}

impl Anchor {
    fn new(der: &CertificateDer<'static>, provider: &Arc<CryptoProvider>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let mut store = RootCertStore::empty();
        store.add(der.clone()).ok()?;
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(store), Arc::clone(provider))
                .build()
                .ok()?;
        let key_id = certificate.extensions().iter().find_map(|extension| {
            match extension.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
                _ => None,
            }
        });
        Some(Self {
            der: der.clone(),
            subject: certificate.subject().as_raw().to_vec(),
            key_id,
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
            verifier,
        })
    }
}

/// Who a certificate says has issued it.
struct Issuer {
    name: Vec<u8>,
    key_id: Option<Vec<u8>>,
}

impl Issuer {
    fn of(certificate: &X509Certificate<'_>) -> Self {
        let key_id = certificate.extensions().iter().find_map(|extension| {
            match extension.parsed_extension() {
                ParsedExtension::AuthorityKeyIdentifier(id) => {
                    id.key_identifier.as_ref().map(|id| id.0.to_vec())
                }
                _ => None,
            }
        });
        Self {
            name: certificate.issuer().as_raw().to_vec(),
            key_id,
        }
    }

    /// Same name, and no contradiction about the key: spares hundreds of signature checks.
    fn may_be(&self, anchor: &Anchor) -> bool {
        let keys_agree = match (&self.key_id, &anchor.key_id) {
            (Some(ours), Some(theirs)) => ours == theirs,
            (None, _) | (_, None) => true,
        };
        self.name == anchor.subject && keys_agree
    }
}

/// Name, groups and uid out of the subject, as Go reads them: of several common names the last one counts.
fn read_leaf(der: &CertificateDer<'_>, leaf: &X509Certificate<'_>) -> Result<Verified, Error> {
    let subject = leaf.subject();
    let unreadable = || Error::Subject {
        subject: subject.to_string(),
    };
    let texts = |attributes: Vec<&x509_parser::x509::AttributeTypeAndValue<'_>>| {
        attributes
            .into_iter()
            .map(|attribute| {
                attribute
                    .as_str()
                    .map(str::to_owned)
                    .map_err(|_| unreadable())
            })
            .collect::<Result<Vec<_>, _>>()
    };
    let common_name = texts(subject.iter_common_name().collect())?
        .pop()
        .unwrap_or_default();
    let organizations = texts(subject.iter_organization().collect())?;
    let uids = texts(subject.iter_by_oid(&UID).collect())?;
    let uid = match uids.as_slice() {
        [] => String::new(),
        [uid] if !uid.is_empty() => uid.clone(),
        _ => return Err(unreadable()),
    };
    let digest = Sha256::digest(der);
    let credential = digest.iter().fold("X509SHA256=".to_owned(), |text, byte| {
        text + &format!("{byte:02x}")
    });
    Ok(Verified {
        common_name,
        organizations,
        uid,
        credential,
    })
}

#[cfg(test)]
mod tests;
