//! Whether kube-apiserver will believe a certificate: it says no more than "x509" when it does not, to people who look
//! at an APIService, so that it is worth a line of our own at the start.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::{Api, Client};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

use super::{Error, Settings, api_service};

/// Whether the APIService's `caBundle` vouches for `chain` under the name that is dialled; `None` where there is no bundle.
///
/// # Errors
/// When the APIService cannot be read.
pub async fn is_believed(
    client: Client,
    settings: &Settings,
    chain: &[CertificateDer<'static>],
    now: Timestamp,
) -> Result<Option<bool>, Error> {
    let api: Api<APIService> = Api::all(client);
    let found = api_service::find(&api, &settings.api_service).await?;
    let bundle = found.and_then(|found| found.spec?.ca_bundle);
    Ok(bundle.map(|bundle| vouches(&bundle.0, chain, &settings.dialled_name(), now)))
}

fn vouches(bundle: &[u8], chain: &[CertificateDer<'_>], name: &str, now: Timestamp) -> bool {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(bundle).filter_map(Result::ok) {
        // One that cannot be used vouches for nothing.
        drop(roots.add(certificate));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider).build();
    let (Ok(verifier), Some((leaf, intermediates)), Ok(name)) =
        (verifier, chain.split_first(), ServerName::try_from(name))
    else {
        return false;
    };
    let now = Duration::from_secs(now.as_second().unsigned_abs());
    let now = UnixTime::since_unix_epoch(now);
    verifier
        .verify_server_cert(leaf, intermediates, &name, &[], now)
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::serving_cert::{Authority, Lives};

    #[test]
    fn a_bundle_vouches_for_its_own_certificates_alone() {
        let settings = Settings {
            namespace: "ns".into(),
            service: "tagscope".into(),
            api_service: String::new(),
            lives: Lives::default(),
        };
        let now = "2026-06-01T00:00:00Z".parse().unwrap();
        let authority = Authority::generate(now, "").unwrap();
        let stranger = Authority::generate(now, "").unwrap();
        let issued = authority.issue(&settings, now).unwrap();
        let is_believed = |bundle: &str, name| vouches(bundle.as_bytes(), &issued.chain, name, now);
        assert!(is_believed(authority.bundle(), "tagscope.ns.svc"));
        assert!(!is_believed(stranger.bundle(), "tagscope.ns.svc"));
        assert!(!is_believed(authority.bundle(), "other.ns.svc"));
        assert!(!is_believed("", "tagscope.ns.svc"));
    }
}
