//! Attacks on the transport, frame by frame and byte by byte. Each time the server must stay, others must be served, and what
//! one client can make it keep must have an end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use tagscope::serve::{Body, Handler, Limits, Peer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::frames::{
    Attacker, CONTINUATION, DATA, END_HEADERS, END_STREAM, GET, GOAWAY, HEADERS, PING, POST,
    PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame,
};
use crate::serve_kit::{Ca, Client, Running, eventually, https};

const H2: &[&str] = &["h2"];
/// `ENHANCE_YOUR_CALM`.
const CALM: u32 = 11;
/// `REFUSED_STREAM`.
const REFUSED: u32 = 7;
/// What a client can make the server and both kernels keep of its bytes.
const KEPT: usize = 16 << 20;

/// How many requests run, and how many did at most.
#[derive(Default)]
struct InHand {
    now: AtomicUsize,
    most: AtomicUsize,
}

struct Entered(Arc<InHand>);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Answers `/ok` at once and everything else never.
fn handler(running: &Arc<InHand>) -> impl Handler + use<> {
    let running = Arc::clone(running);
    move |request: Request<Incoming>, _: Peer| {
        let running = Arc::clone(&running);
        async move {
            if request.uri().path() != "/ok" {
                let now = running.now.fetch_add(1, Ordering::SeqCst) + 1;
                running.most.fetch_max(now, Ordering::SeqCst);
                let _entered = Entered(running);
                std::future::pending::<()>().await;
            }
            Response::new(Body::from("ok"))
        }
    }
}

struct Target {
    ca: Ca,
    server: Running,
    running: Arc<InHand>,
}

impl Target {
    async fn new(limits: Limits) -> Self {
        let (ca, running) = (Ca::new("ca"), Arc::<InHand>::default());
        let server = https(&ca, limits, Duration::from_secs(10), handler(&running)).await;
        Self {
            ca,
            server,
            running,
        }
    }

    async fn attacker(&self) -> Attacker {
        Attacker::connect(&self.ca, self.server.address).await
    }

    /// A decent client is served, and nothing of the attack is left once its connection is gone.
    async fn stays_unharmed(self) {
        let mut decent = Client::new(&self.ca, H2).http2(self.server.address).await;
        assert_eq!(decent.get("/ok").await.text(), "ok");
        eventually("no request is left running", || {
            self.running.now.load(Ordering::SeqCst) == 0
        })
        .await;
        drop(decent);
        eventually("no connection is left", || {
            self.server.stats.open_connections() == 0
        })
        .await;
        assert_eq!(self.server.stats.panics(), 0);
        assert_eq!(self.server.stop().await.cut, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rapid_resets_pile_up_nothing() {
    let target = Target::new(Limits::default()).await;
    let mut flood = Vec::new();
    for request in 0..20_000 {
        let stream = 1 + 2 * request;
        flood.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, GET));
        flood.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
    }
    let mut decent = Client::new(&target.ca, H2)
        .http2(target.server.address)
        .await;
    let meanwhile = async {
        for _ in 0..100 {
            assert_eq!(decent.get("/ok").await.text(), "ok");
        }
    };
    let attacker = target.attacker().await;
    let (goodbye, ()) = tokio::join!(attacker.flood(flood), meanwhile);
    // Told to calm down, or kept up with.
    assert!(
        goodbye.is_none_or(|code| code == CALM || code == 0),
        "{goodbye:?}"
    );
    let limits = Limits::default();
    let most = target.running.most.load(Ordering::SeqCst);
    assert!(
        most <= limits.streams as usize + limits.pending_resets,
        "{most}"
    );
    drop(decent);
    target.stays_unharmed().await;
}

#[tokio::test]
async fn headers_without_end_are_cut_off() {
    let whole = vec![b'x'; 16_384];
    for piece in [whole.as_slice(), &[]] {
        let target = Target::new(Limits::default()).await;
        let mut attacker = target.attacker().await;
        attacker.send(&frame(HEADERS, END_STREAM, 1, GET)).await;
        let more = frame(CONTINUATION, 0, 1, piece).repeat(if piece.is_empty() { 1000 } else { 1 });
        let written = attacker.flood_blindly(&more, 4 * KEPT).await;
        assert!(written < KEPT, "{written}");
        drop(attacker);
        target.stays_unharmed().await;
    }
}

#[tokio::test]
async fn floods_of_frames_that_ask_for_an_answer_do_not_pile_up_answers() {
    let setting = [0, 4, 0, 1, 0, 0];
    for piece in [
        frame(SETTINGS, 0, 0, &setting),
        frame(PING, 0, 0, &[0; 8]),
        // Each is answered by a RST_STREAM.
        frame(WINDOW_UPDATE, 0, 1, &0_u32.to_be_bytes()),
    ] {
        let target = Target::new(Limits::default()).await;
        let mut attacker = target.attacker().await;
        let open = frame(HEADERS, END_HEADERS | END_STREAM, 1, GET);
        attacker.send(&open).await;
        let written = attacker.flood_blindly(&piece.repeat(500), 4 * KEPT).await;
        assert!(written < 2 * KEPT, "{:?}: {written}", piece[3]);
        drop(attacker);
        target.stays_unharmed().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_frames_that_mean_nothing_hold_nobody_up() {
    let priority = [0, 0, 0, 0, 16];
    for (kind, stream, payload) in [
        (PRIORITY, 3, priority.as_slice()),
        (WINDOW_UPDATE, 0, &1_u32.to_be_bytes()),
        (DATA, 1, &[]),
        // Of a kind that nobody knows.
        (0xfa, 0, b"grease"),
    ] {
        let target = Target::new(Limits::default()).await;
        let mut attacker = target.attacker().await;
        attacker.send(&frame(HEADERS, END_HEADERS, 1, POST)).await;
        let flood = frame(kind, 0, stream, payload).repeat(100_000);
        let mut decent = Client::new(&target.ca, H2)
            .http2(target.server.address)
            .await;
        let meanwhile = async {
            for _ in 0..100 {
                assert_eq!(decent.get("/ok").await.text(), "ok");
            }
        };
        tokio::join!(attacker.flood(flood), meanwhile);
        drop(decent);
        target.stays_unharmed().await;
    }
}

#[tokio::test]
async fn requests_beyond_those_allowed_on_a_connection_are_refused_one_by_one() {
    let limits = Limits {
        streams: 3,
        ..Limits::default()
    };
    let target = Target::new(limits).await;
    let mut attacker = target.attacker().await;
    for stream in [1, 3, 5, 7] {
        let request = frame(HEADERS, END_HEADERS | END_STREAM, stream, GET);
        attacker.send(&request).await;
    }
    let refused = attacker
        .find(|frame| matches!(frame.kind, RST_STREAM | GOAWAY))
        .await;
    let refused = refused.unwrap();
    assert_eq!(
        (refused.kind, refused.stream, refused.code()),
        (RST_STREAM, 7, REFUSED)
    );
    eventually("the others run", || {
        target.running.now.load(Ordering::SeqCst) == 3
    })
    .await;
    drop(attacker);
    target.stays_unharmed().await;
}

#[tokio::test]
async fn what_is_no_http2_is_shown_out() {
    let too_long = (1_u32 << 23).to_be_bytes();
    let cases = [
        // A header block that is none.
        frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0xff; 64]),
        // A stream of the server's.
        frame(HEADERS, END_HEADERS | END_STREAM, 2, GET),
        // Data before there is a request.
        frame(DATA, 0, 9, b"x"),
        // A frame that is longer than agreed.
        [&too_long[1..], &[DATA, 0, 0, 0, 0, 1], &[0; 64]].concat(),
        // A window that overflows.
        frame(WINDOW_UPDATE, 0, 0, &0x7fff_ffff_u32.to_be_bytes()),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
    ];
    for bytes in cases {
        let target = Target::new(Limits::default()).await;
        let mut attacker = target.attacker().await;
        attacker.send(&bytes).await;
        let end = attacker.find(|frame| frame.kind == GOAWAY).await;
        assert!(end.is_none_or(|end| end.code() != 0), "{bytes:?}");
        drop(attacker);
        target.stays_unharmed().await;
    }
}

#[tokio::test]
async fn too_many_headers_are_refused_and_many_are_not() {
    let target = Target::new(Limits::default()).await;
    let client = Client::new(&target.ca, &["http/1.1"]);
    for (lines, refused) in [(4_000, false), (5_000, true)] {
        let mut stream = client.tls(target.server.address).await.unwrap();
        let head: String = (0..lines).map(|line| format!("X-H: {line}\r\n")).collect();
        let request = format!("GET /ok HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{head}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // The end may come without a goodbye: the rest of the request is not read.
        drop(stream.read_to_end(&mut answer).await);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert_eq!(
            answer.starts_with("HTTP/1.1 431"),
            refused,
            "{lines}: {answer}"
        );
    }
    // One line of 2 MiB: on HTTP/1.1 the buffer is the limit.
    let mut stream = client.tls(target.server.address).await.unwrap();
    stream
        .write_all(b"GET /ok HTTP/1.1\r\nX-H: ")
        .await
        .unwrap();
    let piece = vec![b'x'; 64 << 10];
    let mut written = 0;
    while written < KEPT {
        match stream.write_all(&piece).await {
            Ok(()) => written += piece.len(),
            Err(_) => break,
        }
    }
    assert!(written < KEPT, "{written}");
    drop(stream);
    target.stays_unharmed().await;
}

/// Writes a byte now and then, for as long as the server listens.
async fn trickle(stream: &mut (impl tokio::io::AsyncWrite + tokio::io::AsyncRead + Unpin)) {
    let trickled = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        let mut answer = [0; 1024];
        loop {
            tokio::select! {
                _ = ticks.tick() => if stream.write_all(b"x").await.is_err() { return },
                read = stream.read(&mut answer) => if matches!(read, Ok(0) | Err(_)) { return },
            }
        }
    };
    let ended = tokio::time::timeout(crate::serve_kit::SOON, trickled).await;
    assert!(ended.is_ok(), "the server hangs up");
}

#[tokio::test]
async fn who_sends_byte_by_byte_is_hung_up_on() {
    let short = Duration::from_millis(300);
    let limits = || Limits {
        handshake: short,
        head: short,
        first_request: 3 * short,
        ping_interval: short,
        ping_timeout: short,
        ..Limits::default()
    };
    let target = Target::new(limits()).await;
    let address = target.server.address;
    // The handshake: a record that says it is long.
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&[22, 3, 1, 0x3f, 0xff]).await.unwrap();
    trickle(&mut stream).await;
    assert_eq!(target.server.stats.failed_handshakes(), 1);
    // The head of a request, on both protocols.
    let http1 = Client::new(&target.ca, &["http/1.1"]);
    let mut stream = http1.tls(address).await.unwrap();
    stream
        .write_all(b"GET /ok HTTP/1.1\r\nX-H: ")
        .await
        .unwrap();
    trickle(&mut stream).await;
    let mut stream = Client::new(&target.ca, H2).tls(address).await.unwrap();
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await
        .unwrap();
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
    let head = frame(HEADERS, END_STREAM, 1, GET);
    stream.write_all(&head).await.unwrap();
    // A continuation that says it is long.
    let mut continuation = frame(CONTINUATION, 0, 1, &[]);
    continuation[1] = 0x3f;
    stream.write_all(&continuation).await.unwrap();
    trickle(&mut stream).await;
    target.stays_unharmed().await;
}

#[tokio::test]
async fn tls_before_1_2_is_refused() {
    let target = Target::new(Limits::default()).await;
    for version in [1, 2] {
        let mut hello = vec![3, version];
        hello.extend([7; 32]);
        // No session, one cipher suite that both would know, no compression, no extensions.
        hello.extend([0, 0, 2, 0xc0, 0x2f, 1, 0]);
        let length = u8::try_from(hello.len()).unwrap();
        let mut record = vec![22, 3, 1, 0, length + 4, 1, 0, 0, length];
        record.extend(hello);
        let mut stream = TcpStream::connect(target.server.address).await.unwrap();
        stream.write_all(&record).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        // A fatal alert: protocol_version (70), or handshake_failure (40).
        assert_eq!((answer[0], answer[5]), (21, 2), "{answer:?}");
        assert!(matches!(answer[6], 40 | 70), "{answer:?}");
    }
    assert_eq!(target.server.stats.failed_handshakes(), 2);
    target.stays_unharmed().await;
}
