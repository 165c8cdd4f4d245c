//! Client certificates: which are believed, and whom they name.

use super::*;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, DnValue,
    ExtendedKeyUsagePurpose, IsCa, Issuer as CertIssuer, KeyPair,
};

pub(super) struct Ca {
    pub(super) params: CertificateParams,
    pub(super) key: KeyPair,
    pub(super) der: CertificateDer<'static>,
}

pub(super) fn day(day: u8) -> Timestamp {
    format!("2026-06-{day:02}T00:00:00Z").parse().unwrap()
}

fn lasting(params: &mut CertificateParams, from: u8, to: u8) {
    params.not_before = std::time::SystemTime::from(day(from)).into();
    params.not_after = std::time::SystemTime::from(day(to)).into();
}

impl Ca {
    pub(super) fn new(name: &str) -> Self {
        Self::lasting(name, 1, 30)
    }

    fn lasting(name: &str, from: u8, to: u8) -> Self {
        let mut params = CertificateParams::default();
        lasting(&mut params, from, to);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let der = params.self_signed(&key).unwrap().der().clone();
        Self { params, key, der }
    }

    pub(super) fn sign(&self, params: &CertificateParams) -> CertificateDer<'static> {
        let issuer = CertIssuer::from_params(&self.params, &self.key);
        params
            .signed_by(&KeyPair::generate().unwrap(), &issuer)
            .unwrap()
            .der()
            .clone()
    }
}

pub(super) fn leaf(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    lasting(&mut params, 1, 20);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    params
}

pub(super) fn chain(certificates: Vec<CertificateDer<'static>>) -> CertificateChain {
    CertificateChain::new(certificates).unwrap()
}

pub(super) fn authorities(of: &[&Ca]) -> Authorities {
    Authorities::new(&of.iter().map(|ca| ca.der.clone()).collect())
}

#[test]
fn a_chain_holds_under_its_authority_for_its_time() {
    let (ca, other) = (Ca::new("ca"), Ca::new("other"));
    let chain = chain(vec![ca.sign(&leaf("proxy"))]);
    let trusted = authorities(&[&other, &ca]);
    assert_eq!(
        trusted.verify(&chain, day(10)).unwrap().common_name,
        "proxy"
    );
    let expired = trusted.verify(&chain, day(21)).unwrap_err();
    assert!(matches!(expired, Error::Invalid { .. }), "{expired}");
    let unknown = authorities(&[&other]).verify(&chain, day(10)).unwrap_err();
    let text = "the certificate \"CN=proxy\" is not of an accepted authority (issuer \"CN=ca\")";
    assert_eq!(unknown.to_string(), text);
    assert!(authorities(&[]).verify(&chain, day(10)).is_err());
}

#[test]
fn a_remembered_verdict_does_not_outlive_the_certificate() {
    let ca = Ca::new("ca");
    let trusted = authorities(&[&ca]);
    let chain = chain(vec![ca.sign(&leaf("proxy"))]);
    let end = day(20);
    assert!(
        trusted
            .verify(&chain, end - SignedDuration::from_secs(5))
            .is_ok()
    );
    assert!(
        trusted
            .verify(&chain, end - SignedDuration::from_secs(1))
            .is_ok()
    );
    assert!(
        trusted
            .verify(&chain, end + SignedDuration::from_secs(1))
            .is_err()
    );
}

#[test]
fn an_ended_authority_vouches_for_nobody() {
    let ca = Ca::lasting("ca", 1, 5);
    let chain = chain(vec![ca.sign(&leaf("proxy"))]);
    assert!(authorities(&[&ca]).verify(&chain, day(4)).is_ok());
    let error = authorities(&[&ca]).verify(&chain, day(6)).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("its authority's certificate is not valid at this time"),
        "{error}"
    );
}

#[test]
fn the_wrong_kind_of_certificate_does_not_hold() {
    let ca = Ca::new("ca");
    let mut server = leaf("server");
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let mut authority = leaf("authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let mut critical = leaf("critical");
    let mut unknown = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
    unknown.set_criticality(true);
    critical.custom_extensions.push(unknown);
    let mut any = leaf("any");
    any.extended_key_usages.clear();
    let trusted = authorities(&[&ca]);
    for (params, holds) in [
        (&server, false),
        (&authority, true),
        (&critical, false),
        (&any, true),
    ] {
        assert_eq!(
            trusted
                .verify(&chain(vec![ca.sign(params)]), day(10))
                .is_ok(),
            holds,
            "{params:?}"
        );
    }
    assert_eq!(
        trusted
            .verify(&chain(vec![vec![1, 2, 3].into()]), day(10))
            .unwrap_err(),
        Error::Malformed
    );
    let impostor = Ca::new("ca");
    let forged = trusted.verify(&chain(vec![impostor.sign(&leaf("proxy"))]), day(10));
    assert!(forged.is_err(), "the authority's name with another key");
}

#[test]
fn intermediates_lead_to_the_authority() {
    let (root, mut middle) = (Ca::new("root"), Ca::new("middle"));
    middle.params.use_authority_key_identifier_extension = true;
    let issuer = CertIssuer::from_params(&root.params, &root.key);
    let signed = middle
        .params
        .signed_by(&middle.key, &issuer)
        .unwrap()
        .der()
        .clone();
    let certificate = middle.sign(&leaf("proxy"));
    let trusted = authorities(&[&root]);
    assert!(
        trusted
            .verify(&chain(vec![certificate.clone(), signed]), day(10))
            .is_ok()
    );
    assert!(trusted.verify(&chain(vec![certificate]), day(10)).is_err());
}

/// Managed clusters publish hundreds of authorities of one name.
#[test]
fn hundreds_of_authorities_of_one_name_are_no_obstacle() {
    let cas: Vec<Ca> = (0..550).map(|_| Ca::new("kubernetes")).collect();
    let trusted = Authorities::new(
        &cas.iter()
            .chain(cas.last())
            .map(|ca| ca.der.clone())
            .collect(),
    );
    assert_eq!(trusted.anchors.len(), 550, "duplicates count once");
    let last = cas.last().unwrap();
    assert!(
        trusted
            .verify(&chain(vec![last.sign(&leaf("proxy"))]), day(10))
            .is_ok()
    );
    let mut without_hint = leaf("proxy");
    without_hint.use_authority_key_identifier_extension = false;
    assert!(
        trusted
            .verify(&chain(vec![last.sign(&without_hint)]), day(10))
            .is_ok()
    );
}

#[test]
fn the_subject_names_the_user() {
    let ca = Ca::new("ca");
    let uid = DnType::from_oid(&[1, 3, 6, 1, 4, 1, 57683, 2]);
    let mut params = leaf("jane");
    params
        .distinguished_name
        .push(DnType::OrganizationName, "dev");
    params.distinguished_name.push(uid.clone(), "u-7");
    let trusted = authorities(&[&ca]);
    let certificate = ca.sign(&params);
    let user = trusted
        .verify(&chain(vec![certificate.clone()]), day(10))
        .unwrap()
        .user();
    assert_eq!(
        (&*user.name, &*user.uid, &user.groups),
        ("jane", "u-7", &vec!["dev".to_owned()])
    );
    let id = user.extra.get(CREDENTIAL_ID).unwrap().first().unwrap();
    let (prefix, hex) = id.split_once('=').unwrap();
    assert_eq!((prefix, hex.len()), ("X509SHA256", 64));
    assert!(
        hex.bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    );

    let mut nameless = leaf("");
    nameless.distinguished_name = DistinguishedName::new();
    assert_eq!(
        trusted
            .verify(&chain(vec![ca.sign(&nameless)]), day(10))
            .unwrap()
            .common_name,
        ""
    );
    let mut empty_uid = leaf("jane");
    empty_uid
        .distinguished_name
        .push(uid, DnValue::Utf8String(String::new()));
    let refused = trusted
        .verify(&chain(vec![ca.sign(&empty_uid)]), day(10))
        .unwrap_err();
    assert!(matches!(refused, Error::Subject { .. }), "{refused}");
}
