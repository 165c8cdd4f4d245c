//! Watches over a WebSocket, spoken to by a client of another make.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use http::{Request, Response};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tagscope::apiserver::chain::Settings;
use tagscope::task;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::support::{BASE, PARTIAL, TABLE};
use super::wire::{USER, Wire, brief};
use crate::serve_kit::{Answer, SOON, eventually};

/// Key and answer of RFC 6455, section 1.3.
const KEY: (&str, &str) = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const HANDSHAKE: [(&str, &str); 5] = [
    ("host", "localhost"),
    ("connection", "Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    KEY,
];

/// A path, headers, and the code and words that they are answered with.
type Row<'a> = (&'a str, Vec<(&'a str, &'a str)>, u16, &'a str);

struct Socket(WebSocketStream<TokioIo<Upgraded>>);

impl Socket {
    async fn over(response: Response<Incoming>) -> Self {
        assert_eq!(response.status(), 101);
        assert_eq!(response.headers()["sec-websocket-accept"], ACCEPT);
        let upgraded = hyper::upgrade::on(response).await.unwrap();
        let io = TokioIo::new(upgraded);
        Self(WebSocketStream::from_raw_socket(io, Role::Client, None).await)
    }

    async fn message(&mut self) -> Message {
        let message = tokio::time::timeout(SOON, self.0.next());
        let message = message.await.expect("a message comes");
        message.expect("the server goes on").unwrap()
    }

    /// The next event, which is one text message.
    async fn event(&mut self) -> Value {
        match self.message().await {
            Message::Text(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// The code that the server closes with; after it nothing comes.
    async fn closed(&mut self) -> CloseCode {
        match self.message().await {
            Message::Close(Some(frame)) => {
                while let Ok(Some(Ok(_))) = tokio::time::timeout(SOON, self.0.next()).await {}
                frame.code
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Asks for `path` with these headers and the ones of the front proxy.
async fn ask(wire: &Wire, path: &str, headers: &[(&str, &str)]) -> Response<Incoming> {
    let stream = wire
        .client(&["http/1.1"])
        .tls(wire.server.address)
        .await
        .unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    task::detach("client", async move {
        drop(connection.with_upgrades().await);
    });
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if !headers.iter().any(|(name, _)| *name == USER.0) {
        request = request.header(USER.0, USER.1);
    }
    let request = request.body(Empty::<Bytes>::new()).unwrap();
    sender.send_request(request).await.unwrap()
}

/// Opens a watch.
async fn open(wire: &Wire, path: &str, more: &[(&str, &str)]) -> Socket {
    Socket::over(ask(wire, path, &[&HANDSHAKE, more].concat()).await).await
}

#[tokio::test]
async fn each_event_is_one_text_message() {
    let wire = Wire::new().await;
    let path = format!(
        "{BASE}/namespaces/n/imagetags?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    );
    let mut socket = open(&wire, &path, &[]).await;
    assert_eq!(brief(&socket.event().await), "ADDED a:1");
    let mark = socket.event().await;
    assert_eq!(
        mark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"],
        "true"
    );
    // Many at once, and then one alone.
    let tags: Vec<String> = (100..300).map(|tag| tag.to_string()).collect();
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    wire.scan("n", "a", &tags);
    let mut seen = Vec::new();
    for _ in 0..=tags.len() {
        seen.push(brief(&socket.event().await));
    }
    let added = tags.iter().map(|tag| format!("ADDED a:{tag}"));
    let mut expected: Vec<String> = added.chain(["DELETED a:1".to_owned()]).collect();
    seen.sort();
    expected.sort();
    assert_eq!(seen, expected);
    wire.scan("n", "a", &tags[1..]);
    assert_eq!(brief(&socket.event().await), "DELETED a:100");
}

#[tokio::test]
async fn every_form_of_a_watch_goes_over_a_web_socket() {
    let wire = Wire::new().await;
    for (resource, accept, kind) in [
        ("imagetags", "application/json", "ImageTag"),
        ("tagsets", "", "TagSet"),
        ("imagetags", PARTIAL, "PartialObjectMetadata"),
        ("imagetags", TABLE, "Table"),
    ] {
        let accept = if accept.is_empty() { "*/*" } else { accept };
        let path = format!("{BASE}/namespaces/n/{resource}?watch=true");
        let mut socket = open(&wire, &path, &[("accept", accept)]).await;
        let event = socket.event().await;
        assert_eq!(
            (&event["type"], &event["object"]["kind"]),
            (&"ADDED".into(), &kind.into())
        );
    }
}

#[tokio::test]
async fn a_sub_protocol_is_echoed_and_a_token_never() {
    let wire = Wire::new().await;
    let path = wire.watch_path("imagetags", "");
    let bearer = "base64url.bearer.authorization.k8s.io.dG9rZW4";
    let both = format!("{bearer}, base64.binary.k8s.io");
    for (offered, echoed) in [
        ("base64.binary.k8s.io", Some("base64.binary.k8s.io")),
        ("binary.k8s.io", Some("binary.k8s.io")),
        ("one.of.theirs", Some("one.of.theirs")),
        ("one.of.theirs, binary.k8s.io", Some("binary.k8s.io")),
        ("one.of.theirs, another", None),
        (&both, Some("base64.binary.k8s.io")),
        (bearer, None),
    ] {
        let offer = [("sec-websocket-protocol", offered)];
        let response = ask(&wire, &path, &[&HANDSHAKE, &offer[..]].concat()).await;
        assert_eq!(response.status(), 101);
        let echo = response.headers().get("sec-websocket-protocol");
        assert_eq!(
            echo.map(|value| value.to_str().unwrap()),
            echoed,
            "{offered}"
        );
    }
    // Whatever is agreed on, events are plain text.
    let offer = [("sec-websocket-protocol", "base64.binary.k8s.io")];
    let mut socket = open(&wire, &path, &offer).await;
    wire.scan("n", "a", &["1", "2"]);
    assert_eq!(brief(&socket.event().await), "ADDED a:2");
}

#[tokio::test]
async fn pings_are_answered_and_what_else_is_said_is_ignored() {
    let wire = Wire::new().await;
    let mut socket = open(&wire, &wire.watch_path("imagetags", ""), &[]).await;
    socket.0.send(Message::text("stop that")).await.unwrap();
    socket.0.send(Message::binary(vec![0; 1000])).await.unwrap();
    socket
        .0
        .send(Message::Ping(Bytes::from("are you there")))
        .await
        .unwrap();
    assert_eq!(
        socket.message().await,
        Message::Pong(Bytes::from("are you there"))
    );
    wire.scan("n", "a", &["1", "2"]);
    assert_eq!(brief(&socket.event().await), "ADDED a:2");
    socket.0.close(None).await.unwrap();
    while socket.0.next().await.is_some() {}
    eventually("the watch is over", || wire.store.followers() == 0).await;
    eventually("it is recorded", || wire.watches_ended().len() == 1).await;
    let (code, complete, bytes) = wire.watches_ended()[0];
    assert_eq!((code, complete), (Some(101), false), "the client ended it");
    assert_eq!(bytes, wire.told.bytes.load(Ordering::SeqCst) as u64);
}

#[tokio::test]
async fn what_a_client_says_is_bounded() {
    let wire = Wire::new().await;
    let mut socket = open(&wire, &wire.watch_path("imagetags", ""), &[]).await;
    // The server may have hung up before all of it was sent.
    drop(socket.0.send(Message::binary(vec![0; 1 << 20])).await);
    eventually("the watch is over", || wire.store.followers() == 0).await;
}

#[tokio::test]
async fn a_fallen_position_is_told_in_a_message() {
    let wire = Wire::new().await;
    let path = format!("{BASE}/imagetags?watch=1&resourceVersion=1");
    let mut socket = open(&wire, &path, &[]).await;
    let error = socket.event().await;
    assert_eq!(error["type"], "ERROR");
    assert_eq!(
        (&error["object"]["code"], &error["object"]["reason"]),
        (&410.into(), &"Expired".into())
    );
    assert_eq!(socket.closed().await, CloseCode::Normal);
}

#[tokio::test]
async fn a_web_socket_ends_on_time_and_on_shutdown() {
    let wire = Wire::new().await;
    let mut timed = open(
        &wire,
        &wire.watch_path("imagetags", "&timeoutSeconds=1"),
        &[],
    )
    .await;
    let mut open_ended = open(&wire, &wire.watch_path("imagetags", ""), &[]).await;
    assert_eq!(timed.closed().await, CloseCode::Normal);
    eventually("it is recorded as whole", || {
        wire.watches_ended() == [(Some(101), true, 0)]
    })
    .await;
    wire.shutdown.cancel();
    wire.server.stop.cancel();
    assert_eq!(open_ended.closed().await, CloseCode::Normal);
    let Wire { server, .. } = wire;
    assert_eq!(server.ended().await.cut, 0);
}

#[tokio::test]
async fn a_web_socket_is_a_watch_and_a_connection_until_it_ends() {
    let wire = Wire::with(Settings {
        watches: 1,
        ..Settings::default()
    })
    .await;
    let path = wire.watch_path("imagetags", "");
    let socket = open(&wire, &path, &[]).await;
    assert_eq!(wire.server.stats.open_connections(), 1);
    let refused = Answer::of(ask(&wire, &path, &HANDSHAKE).await).await;
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (429, Some("1"))
    );
    eventually("the refused one is recorded", || {
        wire.watches_ended().len() == 1
    })
    .await;
    assert_eq!(wire.watches_ended()[0].0, Some(429));
    eventually("its connection is closed", || {
        wire.server.stats.open_connections() == 1
    })
    .await;
    // Gone without a word.
    drop(socket);
    eventually("the watch is over", || wire.watches_ended().len() == 2).await;
    assert_eq!(wire.watches_ended()[1], (Some(101), false, 0));
    eventually("the connection is closed", || {
        wire.server.stats.open_connections() == 0
    })
    .await;
    let mut again = open(&wire, &path, &[]).await;
    wire.scan("n", "a", &["1", "2"]);
    assert_eq!(brief(&again.event().await), "ADDED a:2");
}

#[tokio::test]
async fn who_takes_nothing_is_cut_off() {
    let wire = Wire::with(Settings {
        stall_timeout: Duration::from_millis(300),
        ..Settings::default()
    })
    .await;
    let path = wire.watch_path("imagetags", "");
    let mut quiet = open(&wire, &path, &[]).await;
    let idle = open(&wire, &path, &[]).await;
    // Enough to fill what the kernel takes for the idle one; the other reads.
    let mut round = 0;
    while wire.told.stalled.load(Ordering::SeqCst) == 0 {
        let tags: Vec<String> = (0..500).map(|tag| format!("{round}.{tag}")).collect();
        let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
        wire.scan("n", "a", &tags);
        let last = format!("ADDED a:{round}.99");
        while brief(&quiet.event().await) != last {}
        round += 1;
        assert!(round < 1000, "nothing was cut off");
    }
    drop(idle);
    eventually("it is recorded", || wire.watches_ended().len() == 1).await;
    assert_eq!(wire.watches_ended()[0].0, Some(101));
    assert!(!wire.watches_ended()[0].1);
    assert_eq!(wire.store.followers(), 1);
}

/// What would be answered without end must not pile up here.
#[tokio::test]
async fn who_asks_without_listening_is_cut_off() {
    let wire = Wire::with(Settings {
        stall_timeout: Duration::from_millis(300),
        ..Settings::default()
    })
    .await;
    let mut socket = open(&wire, &wire.watch_path("imagetags", ""), &[]).await;
    let pings = async {
        loop {
            let ping = Message::Ping(Bytes::from_static(&[b'x'; 125]));
            if socket.0.send(ping).await.is_err() {
                return;
            }
        }
    };
    let cut = eventually("it is cut off", || {
        wire.told.stalled.load(Ordering::SeqCst) == 1
    });
    tokio::join!(pings, cut);
    assert_eq!(wire.store.followers(), 0);
}

#[tokio::test]
async fn what_is_wrong_is_answered_before_the_upgrade() {
    let wire = Wire::new().await;
    let without = |name: &str| {
        let kept = HANDSHAKE.iter().filter(|(header, _)| *header != name);
        kept.copied().collect::<Vec<_>>()
    };
    let with = |name: &'static str, value: &'static str| {
        let mut headers = without(name);
        headers.push((name, value));
        headers
    };
    let path = wire.watch_path("imagetags", "");
    let all = HANDSHAKE.to_vec();
    let protobuf = [
        &HANDSHAKE[..],
        &[("accept", "application/vnd.kubernetes.protobuf")],
    ]
    .concat();
    let rows: [Row<'_>; 8] = [
        (
            &path,
            without("sec-websocket-key"),
            400,
            "there must be one Sec-WebSocket-Key",
        ),
        (
            &path,
            with("sec-websocket-key", "c2hvcnQ="),
            400,
            "16 bytes in base64",
        ),
        (&path, with("sec-websocket-version", "8"), 426, "must be 13"),
        (&path, without("sec-websocket-version"), 426, "must be 13"),
        (&path, protobuf, 406, "media types"),
        (
            &format!("{BASE}/imagetags?watch=1&resourceVersion=abc"),
            all.clone(),
            422,
            "resourceVersion",
        ),
        (
            &format!("{BASE}/imagetags?watch=1&fieldSelector=x%3D1"),
            all.clone(),
            400,
            "field selector",
        ),
        (
            &format!("{BASE}/nothings?watch=1"),
            all.clone(),
            404,
            "could not find",
        ),
    ];
    for (path, headers, code, word) in rows {
        let answer = Answer::of(ask(&wire, path, &headers).await).await;
        assert_eq!(answer.status, code, "{path} {headers:?}");
        let status = answer.json();
        assert_eq!(
            (&status["kind"], &status["code"]),
            (&"Status".into(), &code.into())
        );
        assert!(
            status["message"].as_str().unwrap().contains(word),
            "{status}"
        );
        if code == 426 {
            assert_eq!(answer.header("sec-websocket-version"), Some("13"));
        }
    }
    let stranger = [&HANDSHAKE[..], &[(USER.0, "eve")]].concat();
    let answer = Answer::of(ask(&wire, &path, &stranger).await).await;
    assert_eq!(
        (answer.status, &answer.json()["reason"]),
        (403, &"Forbidden".into())
    );
    // What is no watch, or asks for no WebSocket, is answered as ever.
    let list = Answer::of(ask(&wire, &format!("{BASE}/imagetags"), &HANDSHAKE).await).await;
    assert_eq!(
        (list.status, &list.json()["kind"]),
        (200, &"ImageTagList".into())
    );
    let plain = ask(&wire, &path, &without("connection")).await;
    assert_eq!(plain.status(), 200);
}

#[tokio::test]
async fn a_panic_is_counted_and_ends_its_own_socket_alone() {
    let wire = Wire::new().await;
    let path = format!("{BASE}/namespaces/n/imagetags?watch=1");
    let mut first = open(&wire, &path, &[]).await;
    assert_eq!(brief(&first.event().await), "ADDED a:1");
    wire.told.panics.store(true, Ordering::SeqCst);
    wire.scan("n", "a", &["1", "2"]);
    let next = tokio::time::timeout(SOON, first.0.next()).await;
    let next = next.expect("it ends");
    assert!(!matches!(next, Some(Ok(_))), "no farewell: {next:?}");
    eventually("it is over", || !wire.metrics.ended.lock().is_empty()).await;
    assert_eq!(wire.metrics.panics.load(Ordering::SeqCst), 1);
    let outcome = wire.metrics.ended.lock()[0].1;
    assert!(outcome.aborted && !outcome.complete, "{outcome:?}");
    wire.told.panics.store(false, Ordering::SeqCst);
    let mut second = open(&wire, &path, &[]).await;
    assert_eq!(brief(&second.event().await), "ADDED a:1");
}
