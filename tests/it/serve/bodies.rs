//! Bodies of answers: left out, not read, and broken off.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use tagscope::serve::{Body, BoxError, Limits, Peer};

use super::{H1, H2, PATIENT, echo};
use crate::serve_kit::{self as kit, Ca, Client, get};

#[tokio::test]
async fn an_answer_to_head_has_a_length_and_no_body() {
    let ca = Ca::new("ca");
    let server = kit::https(&ca, Limits::default(), PATIENT, echo).await;
    let head = || {
        Request::head("/some")
            .header("host", "a")
            .body(Empty::new())
            .unwrap()
    };
    let one = Client::new(&ca, H1)
        .http1(server.address)
        .await
        .send(head())
        .await;
    let two = Client::new(&ca, H2)
        .http2(server.address)
        .await
        .send(head())
        .await;
    for (answer, length) in [(one, "13"), (two, "13")] {
        assert_eq!(
            (
                answer.status,
                answer.header("content-length"),
                answer.text()
            ),
            (200, Some(length), "")
        );
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_stops_its_producer() {
    let ca = Ca::new("ca");
    let produced = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&produced);
    let handler = move |_: Request<Incoming>, _: Peer| {
        let count = Arc::clone(&count);
        async move {
            let chunks = futures::stream::repeat_with(move || {
                count.fetch_add(1, Ordering::SeqCst);
                Ok::<_, BoxError>(Bytes::from(vec![0_u8; 64 << 10]))
            });
            Response::new(Body::stream(chunks))
        }
    };
    let server = kit::https(&ca, Limits::default(), Duration::from_millis(50), handler).await;
    let mut client = Client::new(&ca, H2).http2(server.address).await;
    let response = client
        .sender
        .send_request(get("https://a/", &[]))
        .await
        .unwrap();
    let mut last = 0;
    let mut settled = 0;
    while settled < 20 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let now = produced.load(Ordering::SeqCst);
        settled = if now == last { settled + 1 } else { 0 };
        last = now;
    }
    assert!(
        last < 200,
        "{last} chunks of 64 KiB were produced for nobody"
    );
    let mut body = response.into_body().into_data_stream();
    let mut read = 0;
    while produced.load(Ordering::SeqCst) < last + 20 {
        read += body.next().await.unwrap().unwrap().len();
    }
    assert!(read > 0, "reading lets it go on");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_no_whole_body() {
    let ca = Ca::new("ca");
    let handler = |request: Request<Incoming>, _: Peer| async move {
        let panics = request.uri().path() == "/panic";
        let chunks = futures::stream::iter(0..2).map(move |at| {
            assert!(!(panics && at == 1), "on purpose");
            if at == 0 {
                Ok(Bytes::from("half"))
            } else {
                Err(BoxError::from("broken"))
            }
        });
        Response::new(Body::stream(chunks))
    };
    let server = kit::https(&ca, Limits::default(), PATIENT, handler).await;
    let mut two = Client::new(&ca, H2).http2(server.address).await;
    for path in ["/error", "/panic"] {
        let mut one = Client::new(&ca, H1).http1(server.address).await;
        // It may break off before the head is out.
        let whole = async {
            one.sender
                .send_request(get(path, &[("host", "a")]))
                .await?
                .into_body()
                .collect()
                .await
        };
        assert!(whole.await.is_err(), "{path}");
        let whole = async {
            let request = get(&format!("https://a{path}"), &[]);
            two.sender
                .send_request(request)
                .await?
                .into_body()
                .collect()
                .await
        };
        assert!(whole.await.is_err(), "{path}");
    }
    assert_eq!(
        server.stats.accepted_connections(),
        3,
        "the other streams of an HTTP/2 connection live on"
    );
    assert_eq!(
        server.stats.panics(),
        0,
        "a body's panic is not the handler's"
    );
}
