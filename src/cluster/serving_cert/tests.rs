//! Authorities: made, kept, replaced, and what they issue.

use super::*;
use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

fn settings() -> Settings {
    Settings {
        namespace: "ns".into(),
        service: "tagscope".into(),
        api_service: "v1alpha1.tags.tagscope.dev".into(),
        lives: Lives::default(),
    }
}

fn now() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

fn days(days: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * days)
}

/// Whether a client that believes `bundle` believes `issued` for `name` at `at`.
fn is_believed(bundle: &str, issued: &Issued, name: &str, at: Timestamp) -> bool {
    use rustls::client::danger::ServerCertVerifier as _;
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier =
        rustls::client::WebPkiServerVerifier::builder_with_provider(roots.into(), provider)
            .build()
            .unwrap();
    let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(
        at.as_second().unsigned_abs(),
    ));
    let name = ServerName::try_from(name.to_owned()).unwrap();
    verifier
        .verify_server_cert(issued.chain.first().unwrap(), &[], &name, &[], at)
        .is_ok()
}

#[test]
fn an_issued_certificate_is_believed_for_every_name_it_is_dialled_by() {
    let authority = Authority::generate(now(), "").unwrap();
    let issued = authority.issue(&settings(), now()).unwrap();
    let names = [
        "tagscope",
        "tagscope.ns",
        "tagscope.ns.svc",
        "tagscope.ns.svc.cluster.local",
        "localhost",
        "127.0.0.1",
        "::1",
    ];
    for name in names {
        assert!(
            is_believed(authority.bundle(), &issued, name, now()),
            "{name}"
        );
    }
    assert!(!is_believed(
        authority.bundle(),
        &issued,
        "tagscope.other.svc",
        now()
    ));
    assert!(!is_believed(
        authority.bundle(),
        &issued,
        "localhost",
        now() + days(91)
    ));
    let stranger = Authority::generate(now(), "").unwrap();
    assert!(!is_believed(stranger.bundle(), &issued, "localhost", now()));
    assert!(!issued.is_due(now() + days(59)));
    assert!(issued.is_due(now() + days(61)));
}

#[test]
fn an_authority_read_back_issues_what_the_written_one_vouches_for() {
    let written = Authority::generate(now(), "").unwrap();
    let read = Authority::read(written.certificate(), &written.key(), written.bundle()).unwrap();
    assert_eq!(read.bundle(), written.bundle());
    let issued = read.issue(&settings(), now()).unwrap();
    assert!(is_believed(written.bundle(), &issued, "localhost", now()));
    assert!(!format!("{read:?} {issued:?}").contains("PRIVATE"));
}

#[test]
fn a_replaced_authority_stays_believed_until_it_ends() {
    let old = Authority::generate(now(), "").unwrap();
    assert!(!old.is_due(now() + days(3284)));
    let later = now() + days(3286);
    assert!(old.is_due(later));
    let new = Authority::generate(later, old.bundle()).unwrap();
    let by_old = old.issue(&settings(), later).unwrap();
    let by_new = new.issue(&settings(), later).unwrap();
    for issued in [&by_old, &by_new] {
        assert!(is_believed(new.bundle(), issued, "localhost", later));
    }
    let read = Authority::read(new.certificate(), &new.key(), new.bundle()).unwrap();
    let much_later = Authority::generate(now() + days(3700), read.bundle()).unwrap();
    assert_eq!(
        much_later.bundle().matches("BEGIN CERTIFICATE").count(),
        2,
        "the first one has ended"
    );
}

#[test]
fn what_is_no_authority_is_refused_with_its_defect() {
    let (one, other) = (
        Authority::generate(now(), "").unwrap(),
        Authority::generate(now(), "").unwrap(),
    );
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(["a".to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap()
        .pem();
    let cases = [
        ("", one.key(), "its certificate is not PEM"),
        (
            one.certificate(),
            "key".to_owned(),
            "its key is not a usable PEM key",
        ),
        (
            one.certificate(),
            other.key(),
            "its key does not belong to its certificate",
        ),
        (
            &*leaf,
            key.serialize_pem(),
            "its certificate is not an authority's",
        ),
    ];
    for (certificate, key, defect) in cases {
        let error = Authority::read(certificate, &key, "").unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("failed to read the authority: {defect}")
        );
    }
}
