//! The generic server: what its connections survive, what they do not hold up, and what they leave behind.

mod bodies;
mod certificates;
mod frames;
mod goodbye;
mod hostile;
mod idle;
mod stall;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use tagscope::serve::{Body, Certificates, Drained, KeyPair, Limits, Listener, Peer, Server, Tls};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::serve_kit::{self as kit, Ca, Client, Http1, SOON, eventually, get};

const PATIENT: Duration = Duration::from_mins(1);
const H2: &[&str] = &["h2", "http/1.1"];
const H1: &[&str] = &["http/1.1"];

async fn echo(request: Request<Incoming>, peer: Peer) -> Response<Body> {
    let protocol = if peer.is_http2() { "h2" } else { "h1" };
    Response::new(Body::from(format!(
        "{protocol} {} {}",
        request.method(),
        request.uri().path()
    )))
}

#[tokio::test]
async fn both_protocols_are_spoken_by_alpn_and_http1_without() {
    let ca = Ca::new("ca");
    let server = kit::https(&ca, Limits::default(), PATIENT, echo).await;
    assert_eq!(
        Client::new(&ca, H2)
            .http2(server.address)
            .await
            .get("/a")
            .await
            .text(),
        "h2 GET /a"
    );
    for alpn in [H1, &[]] {
        assert_eq!(
            Client::new(&ca, alpn)
                .http1(server.address)
                .await
                .get("/b")
                .await
                .text(),
            "h1 GET /b"
        );
    }
    assert_eq!(server.stats.accepted_connections(), 3);
    assert_eq!(server.stop().await, Drained { cut: 0 });
}

#[tokio::test]
async fn plain_http_is_the_same_server() {
    let server = kit::http(Limits::default(), PATIENT, echo).await;
    let mut client = Http1::plain(server.address).await;
    assert_eq!(client.get("/a").await.text(), "h1 GET /a");
    assert_eq!(
        client.get("/b").await.text(),
        "h1 GET /b",
        "on the same connection"
    );
    assert_eq!(server.stats.accepted_connections(), 1);
}

#[tokio::test]
async fn a_closed_connection_leaves_no_task() {
    let ca = Ca::new("ca");
    let server = kit::https(&ca, Limits::default(), PATIENT, echo).await;
    let alive = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let before = alive();
    for at in 0..60 {
        match at % 3 {
            0 => drop(
                Client::new(&ca, H2)
                    .http2(server.address)
                    .await
                    .get("/")
                    .await,
            ),
            1 => drop(
                Client::new(&ca, H1)
                    .http1(server.address)
                    .await
                    .get("/")
                    .await,
            ),
            _ => drop(TcpStream::connect(server.address).await.unwrap()),
        }
    }
    eventually("every connection's task ends", || {
        server.stats.open_connections() == 0
    })
    .await;
    eventually("no other task is left", || alive() <= before).await;
    assert_eq!(server.stats.accepted_connections(), 60);
}

#[tokio::test]
async fn a_silent_client_does_not_hold_up_the_drain() {
    let ca = Ca::new("ca");
    let server = kit::https(&ca, Limits::default(), PATIENT, echo).await;
    let plain = kit::http(Limits::default(), PATIENT, echo).await;
    let _no_handshake = TcpStream::connect(server.address).await.unwrap();
    let _no_preface = Client::new(&ca, H2).tls(server.address).await.unwrap();
    let _no_request = Client::new(&ca, H1).tls(server.address).await.unwrap();
    let _plain = TcpStream::connect(plain.address).await.unwrap();
    let mut idle = Client::new(&ca, H1).http1(server.address).await;
    idle.get("/").await;
    let mut idle2 = Client::new(&ca, H2).http2(server.address).await;
    idle2.get("/").await;
    eventually("all have arrived", || {
        server.stats.open_connections() == 5 && plain.stats.open_connections() == 1
    })
    .await;
    let started = Instant::now();
    assert_eq!(server.stop().await, Drained { cut: 0 });
    assert_eq!(plain.stop().await, Drained { cut: 0 });
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn a_client_that_keeps_silent_is_shown_out() {
    let ca = Ca::new("ca");
    let short = Duration::from_millis(100);
    let limits = Limits {
        handshake: short,
        head: short,
        ..Limits::default()
    };
    let server = kit::https(&ca, limits.clone(), PATIENT, echo).await;
    let plain = kit::http(limits, PATIENT, echo).await;
    let mut buffer = Vec::new();

    let mut no_handshake = TcpStream::connect(server.address).await.unwrap();
    let read = tokio::time::timeout(SOON, no_handshake.read_to_end(&mut buffer)).await;
    assert!(read.is_ok(), "no handshake");
    assert_eq!(server.stats.failed_handshakes(), 1);

    let mut no_preface = Client::new(&ca, H2).tls(server.address).await.unwrap();
    assert!(
        tokio::time::timeout(SOON, no_preface.read_to_end(&mut buffer))
            .await
            .is_ok(),
        "no preface"
    );

    let mut half_a_head = TcpStream::connect(plain.address).await.unwrap();
    half_a_head
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow")
        .await
        .unwrap();
    assert!(
        tokio::time::timeout(SOON, half_a_head.read_to_end(&mut buffer))
            .await
            .is_ok(),
        "half a head"
    );

    let mut idle = TcpStream::connect(plain.address).await.unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    assert!(
        tokio::time::timeout(SOON, idle.read_to_end(&mut buffer))
            .await
            .is_ok(),
        "idle after a request"
    );
}

/// Answers `/slow` only once told to.
fn gated(gate: &Arc<Notify>, entered: &Arc<AtomicUsize>) -> impl tagscope::serve::Handler + use<> {
    let (gate, entered) = (Arc::clone(gate), Arc::clone(entered));
    move |request: Request<Incoming>, _: Peer| {
        let (gate, entered) = (Arc::clone(&gate), Arc::clone(&entered));
        async move {
            if request.uri().path() == "/slow" {
                entered.fetch_add(1, Ordering::SeqCst);
                gate.notified().await;
            }
            Response::new(Body::from("done"))
        }
    }
}

#[tokio::test]
async fn a_drain_lets_running_requests_finish_and_refuses_new_connections() {
    let ca = Ca::new("ca");
    let (gate, entered) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let server = kit::https(&ca, Limits::default(), PATIENT, gated(&gate, &entered)).await;
    let address = server.address;
    let mut one = Client::new(&ca, H1).http1(address).await;
    let mut two = Client::new(&ca, H2).http2(address).await;
    let requests = async { tokio::join!(one.get("/slow"), two.get("/slow")) };
    let stop = async {
        eventually("both are running", || entered.load(Ordering::SeqCst) == 2).await;
        server.stop.cancel();
        while TcpStream::connect(address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        gate.notify_waiters();
    };
    let ((one_answer, two_answer), ()) = tokio::join!(requests, stop);
    assert_eq!((one_answer.text(), two_answer.text()), ("done", "done"));
    assert_eq!(one_answer.header("connection"), Some("close"));
    two.closed().await;
    assert_eq!(server.ended().await, Drained { cut: 0 });
}

#[tokio::test]
async fn what_does_not_finish_in_time_is_cut_and_counted() {
    let ca = Ca::new("ca");
    let (gate, entered) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let server = kit::https(
        &ca,
        Limits::default(),
        Duration::from_millis(50),
        gated(&gate, &entered),
    )
    .await;
    let alive = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let mut one = Client::new(&ca, H1).http1(server.address).await;
    let mut two = Client::new(&ca, H2).http2(server.address).await;
    let requests = async {
        tokio::join!(
            one.sender.send_request(get("/slow", &[("host", "a")])),
            two.sender.send_request(get("https://a/slow", &[]))
        )
    };
    let stop = async {
        eventually("both are running", || entered.load(Ordering::SeqCst) == 2).await;
        server.stop().await
    };
    let ((one_answer, two_answer), drained) = tokio::join!(requests, stop);
    assert!(one_answer.is_err() && two_answer.is_err());
    assert_eq!(drained, Drained { cut: 2 });
    drop((one, two));
    eventually("the cut requests' tasks end too", || alive() == 0).await;
}

#[tokio::test]
async fn a_panic_is_one_500_and_the_connection_lives() {
    let ca = Ca::new("ca");
    let handler = |request: Request<Incoming>, peer: Peer| async move {
        assert_ne!(request.uri().path(), "/panic", "on purpose");
        echo(request, peer).await
    };
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let certificates = Certificates::empty();
    let identity = ca.server();
    certificates.replace(KeyPair::from_der(identity.chain, &identity.key).unwrap());
    let server = Server::new(listener, handler)
        .with_tls(Tls::new(certificates.clone()).unwrap())
        .with_panic_answer(|| {
            Response::builder()
                .status(500)
                .body(Body::from("{\"code\":500}"))
                .unwrap()
        });
    let server = kit::run(server, certificates, PATIENT);
    let mut one = Client::new(&ca, H1).http1(server.address).await;
    let mut two = Client::new(&ca, H2).http2(server.address).await;
    for (bad, good) in [
        (one.get("/panic").await, one.get("/").await),
        (two.get("/panic").await, two.get("/").await),
    ] {
        assert_eq!((bad.status, bad.text()), (500, "{\"code\":500}"));
        assert_eq!(good.status, 200);
    }
    assert_eq!(
        (server.stats.panics(), server.stats.accepted_connections()),
        (2, 2)
    );
}

#[tokio::test]
async fn connections_beyond_the_cap_wait_for_their_turn() {
    let server = kit::http(
        Limits {
            connections: 1,
            ..Limits::default()
        },
        PATIENT,
        echo,
    )
    .await;
    let mut first = Http1::plain(server.address).await;
    first.get("/").await;
    let mut second = Http1::plain(server.address).await;
    let early = tokio::time::timeout(Duration::from_millis(100), second.get("/"));
    assert!(early.await.is_err(), "the only place is taken");
    drop(first);
    let mut third = Http1::plain(server.address).await;
    drop(second);
    let answer = tokio::time::timeout(SOON, third.get("/")).await.unwrap();
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_user_with_thousands_of_groups_gets_in() {
    let ca = Ca::new("ca");
    let handler = |request: Request<Incoming>, _: Peer| async move {
        Response::new(Body::from(
            request
                .headers()
                .get_all("x-remote-group")
                .iter()
                .count()
                .to_string(),
        ))
    };
    let server = kit::https(&ca, Limits::default(), PATIENT, handler).await;
    let group = "g".repeat(240);
    let mut headers = vec![("x-remote-group", &*group); 2000];
    headers.push(("host", "a"));
    let one = Client::new(&ca, H1)
        .http1(server.address)
        .await
        .send(get("/", &headers))
        .await;
    assert_eq!((one.status, one.text()), (200, "2000"));
    let two = Client::new(&ca, H2)
        .http2(server.address)
        .await
        .send(get("/", &headers))
        .await;
    assert_eq!((two.status, two.text()), (200, "2000"));
}

#[tokio::test]
async fn cancelled_probes_do_not_cost_the_connection() {
    let ca = Ca::new("ca");
    let (gate, entered) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let server = kit::https(&ca, Limits::default(), PATIENT, gated(&gate, &entered)).await;
    let mut client = Client::new(&ca, H2).http2(server.address).await;
    for _ in 0..30 {
        let requests: Vec<_> = (0..5)
            .map(|_| Box::pin(client.sender.send_request(get("https://a/slow", &[]))))
            .collect();
        let first = futures::future::select_all(requests);
        assert!(
            tokio::time::timeout(Duration::from_millis(5), first)
                .await
                .is_err()
        );
    }
    assert_eq!(client.get("/fast").await.text(), "done");
    assert_eq!(server.stats.accepted_connections(), 1);
}

#[tokio::test]
async fn a_handler_can_end_the_connection_after_its_answer() {
    let ca = Ca::new("ca");
    let handler = |request: Request<Incoming>, peer: Peer| async move {
        peer.close_gracefully();
        echo(request, peer).await
    };
    let server = kit::https(&ca, Limits::default(), PATIENT, handler).await;
    let mut two = Client::new(&ca, H2).http2(server.address).await;
    assert_eq!(two.get("/").await.status, 200);
    two.closed().await;
    let one = Client::new(&ca, H1)
        .http1(server.address)
        .await
        .get("/")
        .await;
    assert_eq!((one.status, one.header("connection")), (200, Some("close")));
}
