//! Leaves of kinds that the library refuses: which of them hold, and what is said about the others.

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SigningKey as _};
use rustls::pki_types::CertificateDer;

use super::super::tests::{Ca, authorities, chain, day, leaf};
use super::super::{Authorities, Error};

/// The elements that DER consists of, whole.
fn elements(mut der: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while !der.is_empty() {
        let (length, header) = match der[1] {
            short @ 0..0x80 => (usize::from(short), 2),
            long => {
                let bytes = usize::from(long & 0x7f);
                let length = der[2..2 + bytes]
                    .iter()
                    .fold(0, |length, byte| length << 8 | usize::from(*byte));
                (length, 2 + bytes)
            }
        };
        let (element, rest) = der.split_at(header + length);
        found.push(element);
        der = rest;
    }
    found
}

fn inside(element: &[u8]) -> &[u8] {
    match element[1] {
        0..0x80 => &element[2..],
        long => &element[2 + usize::from(long & 0x7f)..],
    }
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut out = vec![tag, 0x82];
    out.extend(u16::try_from(length).unwrap().to_be_bytes());
    // DER has short lengths in the short form.
    if length < 0x80 {
        out = vec![tag, u8::try_from(length).unwrap()];
    } else if length < 0x100 {
        out = vec![tag, 0x81, u8::try_from(length).unwrap()];
    }
    out.extend(content);
    out
}

/// The same certificate in version 1: without a version, without extensions, signed again.
fn version_1(certificate: &CertificateDer<'_>, ca: &Ca) -> CertificateDer<'static> {
    let parts = elements(inside(certificate));
    let kept: Vec<u8> = elements(inside(parts[0]))
        .into_iter()
        .filter(|part| !matches!(part[0], 0xa0 | 0xa3))
        .flatten()
        .copied()
        .collect();
    let content = element(0x30, &kept);
    let signature = ca.key.sign(&content).unwrap();
    let bits = element(0x03, &[&[0], &signature[..]].concat());
    element(0x30, &[&content, parts[1], &bits].concat()).into()
}

fn authority(name: &str) -> CertificateParams {
    let mut params = leaf(name);
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params
}

fn said(trusted: &Authorities, certificates: Vec<CertificateDer<'static>>, now: u8) -> String {
    match trusted.verify(&chain(certificates), day(now)) {
        Ok(verified) => verified.common_name.clone(),
        Err(Error::Invalid { why, .. }) => why,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn odd_leaves_hold_directly_under_their_authority_and_for_their_time() {
    let ca = Ca::new("ca");
    let trusted = authorities(&[&ca]);
    let mut any = leaf("any");
    any.extended_key_usages = vec![ExtendedKeyUsagePurpose::Any];
    let old = version_1(&ca.sign(&leaf("old")), &ca);
    for (certificate, name) in [
        (old, "old"),
        (ca.sign(&authority("authority")), "authority"),
        (ca.sign(&any), "any"),
    ] {
        for (now, expected) in [(10, name), (21, "it has expired")] {
            let said = said(&trusted, vec![certificate.clone()], now);
            assert!(said.starts_with(expected), "{name}: {said}");
        }
    }
    let mut server = authority("server");
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    assert!(said(&trusted, vec![ca.sign(&server)], 10).starts_with("it is not for clients"));
}

#[test]
fn a_certificate_in_the_bundle_holds_by_itself() {
    let ca = Ca::new("ca");
    assert_eq!(said(&authorities(&[&ca]), vec![ca.der.clone()], 10), "ca");
    let listed = ca.sign(&leaf("listed"));
    let trusted = Authorities::new(&[listed.clone()].into());
    assert_eq!(said(&trusted, vec![listed], 10), "listed");
}

#[test]
fn an_authoritys_name_is_not_enough() {
    let (ca, impostor) = (Ca::new("ca"), Ca::new("ca"));
    let trusted = authorities(&[&ca]);
    let mut params = authority("authority");
    params.use_authority_key_identifier_extension = false;
    for forged in [
        version_1(&impostor.sign(&leaf("old")), &impostor),
        impostor.sign(&params),
    ] {
        assert!(said(&trusted, vec![forged], 10).starts_with("its authority has not signed it"));
    }
    // A signature that is not over this content.
    let mut torn = ca.sign(&params).to_vec();
    let at = torn
        .windows(9)
        .position(|bytes| bytes == b"authority")
        .unwrap();
    torn[at] = b'A';
    assert!(said(&trusted, vec![torn.into()], 10).starts_with("its authority has not signed it"));
}

#[test]
fn behind_an_intermediate_odd_leaves_are_refused_in_so_many_words() {
    let (root, mut middle) = (Ca::new("root"), Ca::new("middle"));
    middle.params.use_authority_key_identifier_extension = true;
    let issuer = rcgen::Issuer::from_params(&root.params, &root.key);
    let signed = middle.params.signed_by(&middle.key, &issuer).unwrap();
    let odd = middle.sign(&authority("authority"));
    let said = said(&authorities(&[&root]), vec![odd, signed.der().clone()], 10);
    assert!(
        said.ends_with("count only directly under an authority that is accepted"),
        "{said}"
    );
}

#[test]
fn an_authority_that_may_not_sign_vouches_for_nobody_odd() {
    let mut ca = Ca::new("ca");
    ca.params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    ca.der = ca.params.self_signed(&ca.key).unwrap().der().clone();
    let trusted = authorities(&[&ca]);
    let said = said(&trusted, vec![ca.sign(&authority("authority"))], 10);
    assert!(said.starts_with("its authority may not sign"), "{said}");
}
