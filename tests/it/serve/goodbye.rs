//! The goodbye on HTTP/2, frame by frame: first without naming a last request, so that what is on its way still counts, then
//! with it (OPS-24).

use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use tagscope::serve::{Body, Limits, Peer};

use super::frames::{Attacker, END_HEADERS, END_STREAM, GET, GOAWAY, HEADERS, PING, frame};
use crate::serve_kit::{Ca, https};

const ACK: u8 = 1;

#[tokio::test]
async fn a_goodbye_has_two_phases_and_what_crosses_it_is_served() {
    let ca = Ca::new("ca");
    let handler = |_: Request<Incoming>, peer: Peer| async move {
        peer.close_gracefully();
        Response::new(Body::from("ok"))
    };
    let server = https(&ca, Limits::default(), Duration::from_secs(10), handler).await;
    let mut client = Attacker::connect(&ca, server.address).await;
    let request = |stream| frame(HEADERS, END_HEADERS | END_STREAM, stream, GET);
    client.send(&request(1)).await;
    let first = client.find(|frame| frame.kind == GOAWAY).await.unwrap();
    assert_eq!((first.code(), first.last_stream()), (0, 0x7fff_ffff));
    let ping = client.find(|frame| frame.kind == PING).await.unwrap();
    // The client has not heard yet.
    client.send(&request(3)).await;
    let crossed = client.find(|frame| frame.kind == HEADERS && frame.stream == 3);
    assert!(crossed.await.is_some());
    client.send(&frame(PING, ACK, 0, &ping.payload)).await;
    let last = client.find(|frame| frame.kind == GOAWAY).await.unwrap();
    assert_eq!((last.code(), last.last_stream()), (0, 3));
    assert_eq!(client.find(|_| false).await, None, "and then it hangs up");
    assert_eq!(server.stop().await.cut, 0);
}
