//! A client that stops taking an answer: it is ended where it is sent, though the client has no room for a byte of it.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use tagscope::serve::{Body, BoxError, Limits, Peer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::frames::{Attacker, END_HEADERS, END_STREAM, GET, HEADERS, RST_STREAM, frame};
use crate::serve_kit::{self as kit, Ca, SOON};

/// `CANCEL`.
const CANCEL: u32 = 8;
const PATIENT: Duration = Duration::from_mins(1);

/// Answers without an end, and gives up on who takes nothing of it.
async fn endless(_: Request<Incoming>, _: Peer) -> Response<Body> {
    let chunk = Bytes::from(vec![b'x'; 32 << 10]);
    let chunks = futures::stream::repeat_with(move || Ok::<_, BoxError>(chunk.clone()));
    Response::new(Body::stream(chunks).broken_off_after(Duration::from_millis(300)))
}

#[tokio::test]
async fn a_stream_whose_window_stays_closed_is_reset() {
    let ca = Ca::new("ca");
    let server = kit::https(&ca, Limits::default(), PATIENT, endless).await;
    let mut client = Attacker::connect(&ca, server.address).await;
    // No window is ever opened: neither that of a stream nor that of the connection.
    for stream in [1, 3] {
        let request = frame(HEADERS, END_HEADERS | END_STREAM, stream, GET);
        client.send(&request).await;
    }
    let mut reset = Vec::new();
    for _ in 0..2 {
        let frame = client.find(|frame| frame.kind == RST_STREAM).await;
        let frame = frame.expect("the connection stays");
        assert_eq!(frame.code(), CANCEL);
        reset.push(frame.stream);
    }
    reset.sort_unstable();
    assert_eq!(reset, [1, 3]);
    // The connection is as good as before.
    let request = frame(HEADERS, END_HEADERS | END_STREAM, 5, GET);
    client.send(&request).await;
    let answered = client.find(|frame| frame.kind == HEADERS && frame.stream == 5);
    assert!(answered.await.is_some());
}

#[tokio::test]
async fn without_streams_the_connection_is_closed() {
    let server = kit::http(Limits::default(), PATIENT, endless).await;
    let mut client = TcpStream::connect(server.address).await.unwrap();
    client
        .write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut begun = [0; 12];
    client.read_exact(&mut begun).await.unwrap();
    assert_eq!(&begun, b"HTTP/1.1 200");
    kit::eventually("the server gives up", || {
        server.stats.open_connections() == 0
    })
    .await;
    // What both kernels kept comes, and then the end or a reset; the answer has none.
    let mut taken = Vec::new();
    let read = tokio::time::timeout(SOON, client.read_to_end(&mut taken)).await;
    drop(read.expect("the connection is closed"));
    assert!(!taken.ends_with(b"0\r\n\r\n"));
}
