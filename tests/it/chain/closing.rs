//! The end under load: nobody is cut off in the middle, watches end in order, latecomers are told (5.6, checklist 92).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty};
use tagscope::apiserver::chain::{Closing, Manner, Settings};
use tagscope::task::Group;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;

use crate::authn_kit::{LIST, World};
use crate::serve_kit::{Client, SOON, beside, eventually, get};

const USER: [(&str, &str); 1] = [("X-Remote-User", "bob")];
const H1: &[&str] = &["http/1.1"];

async fn closable(manner: Manner) -> (World, Closing) {
    let closing = Closing::new();
    let ends = closing.clone();
    let settings = Settings {
        served: &["imagetags"],
        request_timeout: manner.drain,
        ..Settings::default()
    };
    let world = World::finished(settings, None, |chain| chain.closed_by(ends)).await;
    (world, closing)
}

/// What became of a client's requests.
#[derive(Default)]
struct Told {
    whole: AtomicUsize,
    /// 429 or 503, with a time to come back.
    later: AtomicUsize,
    cut: AtomicUsize,
}

impl Told {
    fn note(&self, answer: Result<(u16, bool, bool), ()>) {
        let counter = match answer {
            Ok((200, _, true)) => &self.whole,
            Ok((429 | 503, true, true)) => &self.later,
            Ok(_) | Err(()) => &self.cut,
        };
        counter.fetch_add(1, Ordering::SeqCst);
    }
}

/// Asks over one HTTP/2 connection until it is told to go. A request that could not be begun any more is no request.
async fn ask_http2(client: Client, address: std::net::SocketAddr, told: Arc<Told>) {
    let mut connection = client.http2(address).await;
    while connection.sender.ready().await.is_ok() {
        let request = get(&format!("https://a{LIST}"), &USER);
        match connection.sender.try_send_request(request).await {
            Ok(response) => {
                let code = response.status().as_u16();
                let comes_back = response.headers().contains_key("retry-after");
                let whole = response.into_body().collect().await.is_ok();
                told.note(Ok((code, comes_back, whole)));
            }
            // Never sent, or refused before it was looked at: clients try such a one elsewhere by themselves.
            Err(mut error) => {
                let error = (error.take_message().is_none()).then(|| error.into_error());
                if error.is_some_and(|error| !error.is_canceled() && !is_unprocessed(&error)) {
                    told.note(Err(()));
                }
                return;
            }
        }
    }
}

/// A GOAWAY without an error, or `REFUSED_STREAM`: the server says that it has not looked at it.
fn is_unprocessed(error: &hyper::Error) -> bool {
    let text = format!("{error:?}");
    text.contains("NO_ERROR") || text.contains("REFUSED_STREAM")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_no_request_is_cut_off_and_watches_end_in_order() {
    let (world, closing) = closable(Manner::default()).await;
    let (proxy, address) = (world.proxy(), world.server.address);
    let client = world.client(Some(&proxy));
    let told = Arc::new(Told::default());
    // In the middle when the end comes.
    let mut slow = Vec::new();
    for connection in 0..10 {
        let (client, told) = (client.clone(), Arc::clone(&told));
        let is_http1 = connection % 2 == 0;
        slow.push(beside(async move {
            let path = format!("{LIST}/slow");
            let answer = if is_http1 {
                let mut client = Client::showing_over(&client, H1).http1(address).await;
                client.send(get(&path, &[USER[0], ("Host", "a")])).await
            } else {
                client.http2(address).await.send(get(&path, &USER)).await
            };
            told.note(Ok((answer.status, false, true)));
        }));
    }
    eventually("the slow ones are in the middle", || {
        world.resources.entered.load(Ordering::SeqCst) == 10
    })
    .await;
    let mut carrier = client.http2(address).await;
    let mut watches = Vec::new();
    for _ in 0..100 {
        let watch = get(&format!("https://a{LIST}?watch=1"), &USER);
        let mut watch = carrier
            .sender
            .send_request(watch)
            .await
            .unwrap()
            .into_body();
        assert!(watch.frame().await.unwrap().is_ok());
        watches.push(watch);
    }
    let mut asking = Group::new();
    for _ in 0..20 {
        let (client, told) = (client.clone(), Arc::clone(&told));
        asking.spawn("client", ask_http2(client, address, told));
    }
    eventually("the load is on", || told.whole.load(Ordering::SeqCst) > 200).await;

    let (accepting, rest) = (world.server.stop.clone(), CancellationToken::new());
    let (ends, resources) = (closing.clone(), Arc::clone(&world.resources));
    let released = Arc::new(AtomicBool::new(false));
    let release = {
        let (accepting, released) = (accepting.clone(), Arc::clone(&released));
        async move {
            accepting.cancelled().await;
            // Everybody who only asks has heard the goodbye.
            while asking.next_end().await.is_some() {}
            released.store(true, Ordering::SeqCst);
            resources.gate.notify_waiters();
        }
    };
    let watching = async {
        for watch in watches {
            // The end of the stream, not a failure of it.
            let end = watch.collect().await.map(|rest| rest.to_bytes().len());
            assert_eq!(
                end.map_err(|error| error.to_string()),
                Ok(0),
                "ended in order"
            );
            assert!(released.load(Ordering::SeqCst), "after the requests");
        }
    };
    let end = async {
        ends.close(Manner::default(), &accepting, &rest).await;
        assert!(rest.is_cancelled());
    };
    let all = async { tokio::join!(end, release, watching) };
    tokio::time::timeout(2 * SOON, all)
        .await
        .expect("it comes to an end");
    for slow in slow {
        slow.await.unwrap();
    }
    assert_eq!(told.cut.load(Ordering::SeqCst), 0, "no request was cut off");
    assert!(
        tokio::net::TcpStream::connect(address).await.is_err(),
        "the door is closed"
    );
    carrier.closed().await;
    assert_eq!(world.server.ended().await.cut, 0);
}

#[tokio::test]
async fn who_comes_late_over_an_old_connection_is_told_so_but_probes_are_answered() {
    let (world, closing) = closable(Manner::default()).await;
    let (proxy, address) = (world.proxy(), world.server.address);
    let identity = world.client(Some(&proxy));
    let open = Client::showing_over(&identity, H1);
    // A request in the middle keeps the server; the heads of two others have begun to arrive.
    let client = identity.http2(address).await;
    let held = client
        .sender
        .clone()
        .send_request(get(&format!("https://a{LIST}/slow"), &USER));
    let held = beside(held);
    let mut late = Vec::new();
    for path in [LIST, "/readyz"] {
        let mut stream = open.tls(address).await.unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nHost: a\r\nX-Remote-User: bob\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        // The server sends tickets once its part of the handshake is done, and then reads.
        while stream.get_ref().1.tls13_tickets_received() == 0 {
            assert!(futures::poll!(std::pin::pin!(stream.read_u8())).is_pending());
            tokio::task::yield_now().await;
        }
        late.push(stream);
    }
    eventually(
        "the request is in the middle, the heads are on their way",
        || {
            world.resources.entered.load(Ordering::SeqCst) == 1
                && world.server.stats.open_connections() == 3
        },
    )
    .await;
    let rest = CancellationToken::new();
    let manner = Manner::default();
    let end = closing.close(manner, &world.server.stop, &rest);
    let told = async {
        // What crosses the goodbye would be served: later than that, then.
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        let mut answers = Vec::new();
        for mut stream in late {
            stream.write_all(b"\r\n").await.unwrap();
            let mut answer = String::new();
            drop(stream.read_to_string(&mut answer).await);
            answers.push(answer.to_ascii_lowercase());
        }
        world.resources.gate.notify_waiters();
        answers
    };
    let ((), answers) = tokio::join!(end, told);
    assert!(answers[0].starts_with("http/1.1 503"), "{}", answers[0]);
    for part in [
        "retry-after: 1\r\n",
        "connection: close\r\n",
        "apiserver is shutting down",
    ] {
        assert!(answers[0].contains(part), "{part} in {}", answers[0]);
    }
    assert!(answers[1].starts_with("http/1.1 200"), "{}", answers[1]);
    assert_eq!(held.await.unwrap().unwrap().status(), 200);
}

#[tokio::test]
async fn with_retry_after_new_clients_are_sent_away_until_the_last_request_is_done() {
    let manner = Manner {
        send_retry_after: true,
        ..Manner::default()
    };
    let (world, closing) = closable(manner).await;
    let (proxy, address) = (world.proxy(), world.server.address);
    let client = world.client(Some(&proxy));
    let mut connection = client.http2(address).await;
    let held = connection
        .sender
        .send_request(get(&format!("https://a{LIST}/slow"), &USER));
    let held = beside(held);
    eventually("the request is in the middle", || {
        world.resources.entered.load(Ordering::SeqCst) == 1
    })
    .await;
    let rest = CancellationToken::new();
    let end = closing.close(manner, &world.server.stop, &rest);
    let others = async {
        let mut comer = client.http2(address).await;
        let answer = comer.send(get(LIST, &USER)).await;
        assert_eq!(
            (answer.status, answer.header("retry-after")),
            (429, Some("5"))
        );
        comer.closed().await;
        let mut probe = client.http2(address).await;
        assert_eq!(probe.send(get("/readyz", &USER)).await.status, 200);
        let open = Client::showing_over(&client, H1);
        let mut comer = open.http1(address).await;
        let answer = comer.send(get(LIST, &[USER[0], ("Host", "a")])).await;
        assert_eq!(
            (answer.status, answer.header("connection")),
            (429, Some("close"))
        );
        world.resources.gate.notify_waiters();
    };
    tokio::join!(end, others);
    assert_eq!(held.await.unwrap().unwrap().status(), 200);
}

#[tokio::test]
async fn goodbyes_by_chance_are_for_http2_and_neither_for_watches_nor_for_posts() {
    let settings = Settings {
        goaway_chance: 1.0,
        served: &["imagetags"],
        ..Settings::default()
    };
    let world = World::with(settings).await;
    let (proxy, address) = (world.proxy(), world.server.address);
    let client = world.client(Some(&proxy));
    let mut connection = client.http2(address).await;
    let watch = get(&format!("https://a{LIST}?watch=1"), &USER);
    let mut watch = connection
        .sender
        .send_request(watch)
        .await
        .unwrap()
        .into_body();
    assert!(watch.frame().await.unwrap().is_ok());
    for _ in 0..3 {
        let post = http::Request::post(format!("https://a{LIST}"))
            .header("X-Remote-User", "bob")
            .body(Empty::new())
            .unwrap();
        assert_eq!(
            connection.sender.send_request(post).await.unwrap().status(),
            200
        );
    }
    // The goodbye lets everything end that runs, the watch too.
    assert_eq!(connection.send(get(LIST, &USER)).await.status, 200);
    let refused = async {
        while connection
            .sender
            .send_request(get(&format!("https://a{LIST}"), &USER))
            .await
            .is_ok()
        {}
    };
    tokio::time::timeout(SOON, refused)
        .await
        .expect("no further request is taken");
    assert!(
        tokio::time::timeout(Duration::from_millis(200), watch.frame())
            .await
            .is_err()
    );
    drop(watch);
    connection.closed().await;

    let open = Client::showing_over(&client, H1);
    let mut one = open.http1(address).await;
    for _ in 0..3 {
        let answer = one.send(get(LIST, &[USER[0], ("Host", "a")])).await;
        assert_eq!((answer.status, answer.header("connection")), (200, None));
    }
}
