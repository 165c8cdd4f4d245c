//! What old and large public-key infrastructures bring, over real TLS: certificates of X.509 version 1, certificates of
//! authorities as clients', and hundreds of authorities of one name.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, SigningKey as _,
};
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::authn_kit::{H2, LIST, World};
use crate::serve_kit::{Ca, Client, Identity, distant, eventually, get};

/// The elements that DER consists of, whole.
fn elements(mut der: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while !der.is_empty() {
        let header = header(der);
        let length = match header {
            2 => usize::from(der[1]),
            _ => der[2..header]
                .iter()
                .fold(0, |length, byte| length << 8 | usize::from(*byte)),
        };
        let (element, rest) = der.split_at(header + length);
        found.push(element);
        der = rest;
    }
    found
}

/// The length of the tag and the length of the element that `der` begins with.
fn header(der: &[u8]) -> usize {
    match der[1] {
        0..0x80 => 2,
        long => 2 + usize::from(long & 0x7f),
    }
}

fn inside(element: &[u8]) -> &[u8] {
    &element[header(element)..]
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let length: Vec<u8> = length.into_iter().skip_while(|byte| *byte == 0).collect();
    let header = match length.as_slice() {
        [] => vec![tag, 0],
        [short @ 0..0x80] => vec![tag, *short],
        long => [&[tag, 0x80 | u8::try_from(long.len()).unwrap()], long].concat(),
    };
    [header, content.to_vec()].concat()
}

/// The same certificate in version 1: without a version, without extensions, signed again by `ca`.
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

fn old(identity: Identity, ca: &Ca) -> Identity {
    Identity {
        chain: vec![version_1(&identity.chain[0], ca)],
        key: identity.key,
    }
}

fn authority(ca: &Ca, name: &str) -> Identity {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.sign(&params)
}

#[tokio::test]
async fn certificates_of_version_1_and_of_authorities_name_users_and_the_proxy() {
    let world = World::new().await;
    let user = old(
        world.users.client("alice", &["dev"], distant()),
        &world.users,
    );
    let proxy = old(world.proxy(), &world.proxies);
    let mighty = authority(&world.users, "mighty");
    for versions in [
        &[&rustls::version::TLS12][..],
        &[&rustls::version::TLS13][..],
    ] {
        for (identity, name) in [(&user, "alice"), (&proxy, "bob"), (&mighty, "mighty")] {
            let client = Client::showing_by(&world.server_ca, H2, identity, versions);
            let mut client = client.http2(world.server.address).await;
            let answer = client.send(get(LIST, &[("X-Remote-User", "bob")])).await;
            assert_eq!(answer.status, 200, "{name}");
            assert_eq!(answer.json()["user"], name);
        }
    }
}

#[tokio::test]
async fn those_of_strangers_name_nobody() {
    let world = World::new().await;
    let stranger = Ca::new("users");
    for identity in [
        old(stranger.client("alice", &[], distant()), &stranger),
        authority(&stranger, "mighty"),
    ] {
        let mut client = world
            .client(Some(&identity))
            .http2(world.server.address)
            .await;
        let answer = client.send(get(LIST, &[])).await;
        assert_eq!(
            (answer.status, &answer.json()["reason"]),
            (401, &"Unauthorized".into())
        );
    }
    let mut client = world.client(None).http2(world.server.address).await;
    assert_eq!(
        client.send(get("/readyz", &[])).await.status,
        200,
        "and nothing breaks"
    );
}

#[tokio::test]
async fn a_certificate_of_version_1_without_its_key_does_not_get_through_the_handshake() {
    let world = World::new().await;
    let mut liar = old(world.proxy(), &world.proxies);
    liar.key = world.proxies.client("other", &[], distant()).key;
    for (count, versions) in [
        (1, &[&rustls::version::TLS12][..]),
        (2, &[&rustls::version::TLS13][..]),
    ] {
        let handshake = async {
            let client = Client::showing_by(&world.server_ca, &["http/1.1"], &liar, versions);
            let mut stream = client.tls(world.server.address).await?;
            stream
                .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
                .await?;
            stream.read_u8().await
        };
        assert!(handshake.await.is_err());
        eventually("it is counted", || {
            world.server.stats.failed_handshakes() == count
        })
        .await;
    }
}

/// Some managed clusters publish every authority that they ever had, all of one name.
#[tokio::test]
async fn among_550_authorities_of_one_name_the_right_one_is_found() {
    let world = World::new().await;
    let authorities: Vec<Ca> = (0..550).map(|_| Ca::new("kubernetes")).collect();
    let bundle = authorities.iter().map(Ca::der).collect();
    world.reconfigure(|config| config.client_ca = Some(bundle));
    for (identity, expected) in [
        (authorities[549].client("alice", &[], distant()), 200),
        (
            old(
                authorities[300].client("bob", &[], distant()),
                &authorities[300],
            ),
            200,
        ),
        (Ca::new("kubernetes").client("eve", &[], distant()), 401),
    ] {
        let mut client = world
            .client(Some(&identity))
            .http2(world.server.address)
            .await;
        assert_eq!(client.send(get(LIST, &[])).await.status, expected);
    }
}
