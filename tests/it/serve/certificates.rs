//! Certificates of both ends: the client's, which the server does not judge, and its own, which change.

use http::{Request, Response};
use hyper::body::Incoming;
use tagscope::serve::{Body, Certificates, KeyPair, Limits, Listener, Peer, Server, Tls};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{H1, H2, PATIENT, echo};
use crate::serve_kit::{self as kit, Ca, Client, distant, eventually};

#[tokio::test]
async fn the_peers_certificates_are_handed_up_unjudged_but_its_key_is_proved() {
    let (ca, stranger) = (Ca::new("ca"), Ca::new("stranger"));
    let handler = |_: Request<Incoming>, peer: Peer| async move {
        let shown = peer
            .certificates()
            .map(|chain| chain.leaf().to_vec())
            .unwrap_or_default();
        Response::new(Body::from(shown))
    };
    let server = kit::https(&ca, Limits::default(), PATIENT, handler).await;
    let identity = stranger.client("anybody", &[], distant());
    let expected: &[u8] = identity.chain.first().unwrap();
    for alpn in [H1, H2] {
        let client = Client::showing(&ca, alpn, &identity);
        let shown = if alpn == H1 {
            client.http1(server.address).await.get("/").await.body
        } else {
            client.http2(server.address).await.get("/").await.body
        };
        assert_eq!(shown, expected);
    }
    assert!(
        Client::new(&ca, H1)
            .http1(server.address)
            .await
            .get("/")
            .await
            .body
            .is_empty()
    );

    let mut liar = identity.clone();
    liar.key = stranger.client("other", &[], distant()).key;
    let handshake = async {
        let mut stream = Client::showing(&ca, H1, &liar).tls(server.address).await?;
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            .await?;
        stream.read_u8().await
    };
    assert!(
        handshake.await.is_err(),
        "a certificate without its key proves nothing"
    );
    eventually("it is counted", || server.stats.failed_handshakes() == 1).await;

    let too_long = kit::Identity {
        chain: vec![identity.chain.first().unwrap().clone(); 11],
        key: identity.key,
    };
    let handshake = async {
        let mut stream = Client::showing(&ca, H1, &too_long)
            .tls(server.address)
            .await?;
        stream.read_u8().await
    };
    assert!(handshake.await.is_err(), "a chain of eleven");
}

#[tokio::test]
async fn a_new_certificate_is_shown_to_new_connections_only() {
    let (ca, next) = (Ca::new("ca"), Ca::new("next"));
    let server = kit::https(&ca, Limits::default(), PATIENT, echo).await;
    let mut running = Client::new(&ca, H2).http2(server.address).await;
    let identity = next.server();
    server
        .certificates
        .replace(KeyPair::from_der(identity.chain, &identity.key).unwrap());
    assert_eq!(running.get("/").await.status, 200);
    assert_eq!(
        Client::new(&next, H2)
            .http2(server.address)
            .await
            .get("/")
            .await
            .status,
        200
    );
    assert!(Client::new(&ca, H2).tls(server.address).await.is_err());
}

#[tokio::test]
async fn without_a_certificate_handshakes_fail_and_the_server_lives() {
    let ca = Ca::new("ca");
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let certificates = Certificates::empty();
    let server = Server::new(listener, echo).with_tls(Tls::new(certificates.clone()).unwrap());
    let server = kit::run(server, certificates, PATIENT);
    assert!(Client::new(&ca, H2).tls(server.address).await.is_err());
    let identity = ca.server();
    server
        .certificates
        .replace(KeyPair::from_der(identity.chain, &identity.key).unwrap());
    assert_eq!(
        Client::new(&ca, H2)
            .http2(server.address)
            .await
            .get("/")
            .await
            .status,
        200
    );
}
