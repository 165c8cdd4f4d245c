//! The authority itself: made, written, read back, and issuing. No cluster here.

use std::time::SystemTime;

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{Error, Lives, Settings};

/// Other machines' clocks may be late.
const BACKDATED: SignedDuration = SignedDuration::from_hours(1);

/// Who issues serving certificates, with everything needed to do so.
pub struct Authority {
    certificate: String,
    key: KeyPair,
    bundle: String,
    /// Since when there is this one.
    since: Timestamp,
    not_after: Timestamp,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority")
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// A certificate to serve with.
#[derive(Debug)]
pub struct Issued {
    /// The chain, the leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The leaf's key.
    pub key: PrivateKeyDer<'static>,
    /// When the leaf ends.
    pub not_after: Timestamp,
    /// How long it was to live.
    pub(super) life: SignedDuration,
}

impl Issued {
    /// When a third of its life is left: time for the next one.
    pub fn is_due(&self, now: Timestamp) -> bool {
        now.duration_until(self.not_after) * 3 < self.life
    }

    /// Whether nobody believes it any more.
    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        now >= self.not_after
    }
}

impl Authority {
    /// A new authority. `previous` is the bundle that is believed so far: what of it is still valid stays believed,
    /// until every process has changed over.
    ///
    /// # Errors
    /// [`Error::Issue`].
    pub fn generate(now: Timestamp, previous: &str) -> Result<Self, Error> {
        Self::generate_for(Lives::default().authority, now, previous)
    }

    /// The same, with a life of its own.
    pub(super) fn generate_for(
        life: SignedDuration,
        now: Timestamp,
        previous: &str,
    ) -> Result<Self, Error> {
        let key = KeyPair::generate().map_err(Error::Issue)?;
        let mut params = params(now, life);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        // Unique, so that two authorities in one bundle are never mistaken for each other.
        let name = format!("tagscope-ca-{}", uuid::Uuid::new_v4().simple());
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.self_signed(&key).map_err(Error::Issue)?.pem();
        let not_after = end(now, life);
        let bundle = certificate.clone() + &still_valid(previous, now);
        Ok(Self {
            certificate,
            key,
            bundle,
            since: now,
            not_after,
        })
    }

    /// The authority that was written as these three PEM texts; an empty `bundle` means the certificate alone.
    ///
    /// # Errors
    /// [`Error::Authority`], and says which of them is not what it should be.
    pub fn read(certificate: &str, key: &str, bundle: &str) -> Result<Self, Error> {
        let defect = |defect| Error::Authority { defect };
        let der = CertificateDer::from_pem_slice(certificate.as_bytes())
            .map_err(|_| defect("its certificate is not PEM"))?;
        let (_, parsed) =
            X509Certificate::from_der(&der).map_err(|_| defect("its certificate is malformed"))?;
        if !parsed.is_ca() {
            return Err(defect("its certificate is not an authority's"));
        }
        let key = KeyPair::from_pem(key).map_err(|_| defect("its key is not a usable PEM key"))?;
        if parsed.public_key().subject_public_key.data.as_ref() != key.public_key_raw() {
            return Err(defect("its key does not belong to its certificate"));
        }
        let validity = parsed.validity();
        let time = |seconds| Timestamp::from_second(seconds).ok();
        let not_after = time(validity.not_after.timestamp()).unwrap_or(Timestamp::MAX);
        let since = time(validity.not_before.timestamp())
            .and_then(|from| from.checked_add(BACKDATED).ok())
            .unwrap_or(Timestamp::MIN);
        let bundle = if bundle.contains(certificate.trim()) {
            bundle.to_owned()
        } else {
            format!("{}\n{bundle}", certificate.trim())
        };
        Ok(Self {
            certificate: certificate.to_owned(),
            key,
            bundle,
            since,
            not_after,
        })
    }

    /// The same authority, whose predecessors are not believed any more.
    #[must_use]
    pub(super) fn alone(mut self) -> Self {
        self.certificate.clone_into(&mut self.bundle);
        self
    }

    /// Its own certificate, PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Its private key, PEM. For the Secret only.
    pub fn key(&self) -> String {
        self.key.serialize_pem()
    }

    /// What clients must believe: this authority, and those before it that are still in use. PEM.
    pub fn bundle(&self) -> &str {
        &self.bundle
    }

    /// Whether it is time for another one.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.is_due_by(Lives::default().authority_margin, now)
    }

    /// Whether less than `margin` is left of it.
    pub(super) fn is_due_by(&self, margin: SignedDuration, now: Timestamp) -> bool {
        now.duration_until(self.not_after) < margin
    }

    /// Whether its predecessors are believed still, though they have been replaced for as long as `overlap`.
    pub(super) fn has_outlived_predecessors(
        &self,
        overlap: SignedDuration,
        now: Timestamp,
    ) -> bool {
        self.bundle.trim() != self.certificate.trim() && self.since.duration_until(now) >= overlap
    }

    /// Whether the bundle vouches for the authority with this certificate.
    pub(super) fn vouches_for(&self, certificate: &str) -> bool {
        self.bundle.contains(certificate.trim())
    }

    /// A serving certificate for [`Settings::names`], with a new key.
    ///
    /// # Errors
    /// [`Error::Issue`].
    pub fn issue(&self, settings: &Settings, now: Timestamp) -> Result<Issued, Error> {
        let issuer =
            Issuer::from_ca_cert_pem(&self.certificate, &self.key).map_err(Error::Issue)?;
        let key = KeyPair::generate().map_err(Error::Issue)?;
        let life = settings.lives.certificate;
        let mut params = params(now, life);
        params.subject_alt_names = CertificateParams::new(settings.names())
            .map_err(Error::Issue)?
            .subject_alt_names;
        params
            .distinguished_name
            .push(DnType::CommonName, settings.service.clone());
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyEncipherment,
        ];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let leaf = params.signed_by(&key, &issuer).map_err(Error::Issue)?;
        Ok(Issued {
            chain: vec![leaf.der().clone()],
            key: PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            not_after: end(now, life),
            life,
        })
    }
}

fn params(now: Timestamp, life: SignedDuration) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.not_before = SystemTime::from(now.checked_sub(BACKDATED).unwrap_or(now)).into();
    params.not_after = SystemTime::from(end(now, life)).into();
    params
}

fn end(now: Timestamp, life: SignedDuration) -> Timestamp {
    now.checked_add(life).unwrap_or(Timestamp::MAX)
}

/// The certificates of a bundle that have not ended.
fn still_valid(bundle: &str, now: Timestamp) -> String {
    const END: &str = "-----END CERTIFICATE-----";
    let is_valid = |block: &&str| {
        CertificateDer::from_pem_slice(block.as_bytes()).is_ok_and(|der| {
            X509Certificate::from_der(&der)
                .is_ok_and(|(_, c)| c.validity().not_after.timestamp() > now.as_second())
        })
    };
    bundle
        .split_inclusive(END)
        .filter(is_valid)
        .flat_map(|block| [block.trim(), "\n"])
        .collect()
}
