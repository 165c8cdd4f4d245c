//! Connections that nobody asks anything over.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tagscope::serve::Limits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;

use super::{H1, H2, PATIENT, echo, gated};
use crate::serve_kit::{self as kit, Ca, Client, Http1, SOON, eventually, get};

const SHORT: Duration = Duration::from_millis(100);

fn short() -> Limits {
    Limits {
        first_request: SHORT,
        idle: SHORT,
        ..Limits::default()
    }
}

#[tokio::test]
async fn a_connection_without_requests_is_ended() {
    let ca = Ca::new("ca");
    let server = kit::https(&ca, short(), PATIENT, echo).await;
    let plain = kit::http(short(), PATIENT, echo).await;
    let mut unused = Client::new(&ca, H2).http2(server.address).await;
    let mut used = Client::new(&ca, H2).http2(server.address).await;
    used.get("/").await;
    let mut http1 = Client::new(&ca, H1).http1(server.address).await;
    http1.get("/").await;
    let mut in_plain = Http1::plain(plain.address).await;
    in_plain.get("/").await;
    unused.closed().await;
    used.closed().await;
    eventually("those of HTTP/1.1 end too", || {
        server.stats.open_connections() + plain.stats.open_connections() == 0
    })
    .await;
}

#[tokio::test]
async fn a_client_that_does_not_hear_the_goodbye_is_cut() {
    let ca = Ca::new("ca");
    let limits = Limits {
        ping_timeout: SHORT,
        ..short()
    };
    let server = kit::https(&ca, limits, PATIENT, echo).await;
    let mut deaf = Client::new(&ca, H2).tls(server.address).await.unwrap();
    deaf.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await
        .unwrap();
    let mut said = Vec::new();
    // It may end without TLS's own goodbye.
    let end = tokio::time::timeout(SOON, deaf.read_to_end(&mut said)).await;
    assert!(end.is_ok(), "the connection ends");
}

#[tokio::test]
async fn a_long_request_is_not_idleness() {
    let ca = Ca::new("ca");
    let (gate, entered) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let server = kit::https(&ca, short(), PATIENT, gated(&gate, &entered)).await;
    let mut client = Client::new(&ca, H2).http2(server.address).await;
    let answer = async {
        let answer = client.send(get("/slow", &[])).await;
        (answer.status, answer.text().to_owned())
    };
    let later = async {
        eventually("it is asked", || entered.load(Ordering::SeqCst) == 1).await;
        tokio::time::sleep(5 * SHORT).await;
        assert_eq!(server.stats.open_connections(), 1);
        gate.notify_one();
    };
    assert_eq!(tokio::join!(answer, later).0, (200, "done".to_owned()));
    client.closed().await;
}
