//! Connections that go wrong beneath a request: in the handshake, half closed, slow, and in the ways of HTTP/2. Servers
//! here are bare sockets, because no proper one misbehaves like this.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use http::Method;
use parking_lot::Mutex;
use tagscope::registry::remote::{Intent, Remote};
use tagscope::registry::{Access, Client, Kind, Names, Settings};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::http2::{self, Trouble};
use super::{manifest, quick, repository, tag};
use crate::fake_registry::{Fault, Nth};
use crate::registry::with_tags;

/// The first byte of a TLS connection.
const HANDSHAKE: u8 = 22;

/// A server of bare connections, which are counted from 1.
pub(super) struct Odd {
    pub(super) address: SocketAddr,
    pub(super) connections: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Odd {
    pub(super) async fn start<S, F>(serve: S) -> Self
    where
        S: Fn(TcpStream, usize) -> F + Send + 'static,
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        let count = Arc::clone(&connections);
        tasks.spawn(async move {
            let mut all = JoinSet::new();
            loop {
                let (stream, _) = socket.accept().await.unwrap();
                let number = count.fetch_add(1, Ordering::SeqCst) + 1;
                let served = serve(stream, number);
                // A client that goes away is in order here.
                all.spawn(async move { drop(served.await) });
            }
        });
        Self {
            address,
            connections,
            _tasks: tasks,
        }
    }

    /// The same in plain http: whoever comes with TLS is told so, and not counted.
    async fn plain<S, F>(serve: S) -> Self
    where
        S: Fn(TcpStream, usize) -> F + Send + Clone + Sync + 'static,
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let count = Arc::new(AtomicUsize::new(0));
        let connections = Arc::clone(&count);
        let mut odd = Self::start(move |mut stream, _| {
            let (serve, count) = (serve.clone(), Arc::clone(&count));
            async move {
                let mut first = [0];
                stream.peek(&mut first).await?;
                if first[0] == HANDSHAKE {
                    if stream.read(&mut [0; 4096]).await? == 0 {
                        return Ok(());
                    }
                    stream
                        .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                        .await?;
                    return stay(stream).await;
                }
                let number = count.fetch_add(1, Ordering::SeqCst) + 1;
                serve(stream, number).await
            }
        })
        .await;
        odd.connections = connections;
        odd
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    fn reader(&self) -> Remote {
        self.remote(quick(), Access::default(), Intent::Read)
    }

    pub(super) fn remote(&self, settings: Settings, access: Access, intent: Intent) -> Remote {
        let image = repository(&format!("{}/team/app", self.address));
        Client::new(settings).remote(image, access, intent)
    }
}

/// Says no more, and reads until the client is gone.
pub(super) async fn stay(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    stream.shutdown().await?;
    while stream.read(&mut [0; 4096]).await? > 0 {}
    Ok(())
}

/// The head of a request.
async fn head(stream: &mut TcpStream) -> io::Result<String> {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        text.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// What a request for the head of a manifest is answered with.
fn answer() -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 400\r\nContent-Type: application/vnd.oci.image.manifest.v1+json\r\nDocker-Content-Digest: {}\r\n\r\n",
        manifest(1).digest
    )
}

/// Answers every request.
async fn be_well(mut stream: TcpStream) -> io::Result<()> {
    loop {
        head(&mut stream).await?;
        stream.write_all(answer().as_bytes()).await?;
    }
}

async fn assert_found(remote: &Remote) {
    let found = remote.head(&tag("1")).await.unwrap().unwrap();
    assert_eq!(found.digest, manifest(1).digest);
}

#[tokio::test]
async fn fault_14_a_connection_that_is_half_closed_is_left() {
    let odd = Odd::plain(|mut stream, number| async move {
        if number > 1 {
            return be_well(stream).await;
        }
        head(&mut stream).await?;
        stay(stream).await
    })
    .await;
    let remote = odd.reader();
    assert_found(&remote).await;
    assert_eq!((odd.connections(), remote.tally().counts().retries), (2, 1));
}

#[tokio::test]
async fn fault_14_a_connection_that_is_closed_between_requests_costs_no_request() {
    let odd = Odd::plain(|mut stream, _| async move {
        head(&mut stream).await?;
        stream.write_all(answer().as_bytes()).await?;
        stay(stream).await
    })
    .await;
    let remote = odd.reader();
    for _ in 0..4 {
        assert_found(&remote).await;
    }
    assert_eq!(odd.connections(), 4);
}

#[tokio::test]
async fn fault_14_a_handshake_that_fails_is_no_reason_for_plain_http() {
    const ALERT: [u8; 7] = [21, 3, 3, 0, 2, 2, 40];
    for how in ["alert", "end", "silence"] {
        let odd = Odd::start(move |mut stream, _| async move {
            assert_eq!(stream.read_u8().await?, HANDSHAKE);
            match how {
                "alert" => stream.write_all(&ALERT).await?,
                "silence" => std::future::pending().await,
                _ => {}
            }
            stay(stream).await
        })
        .await;
        let settings = Settings {
            connect_timeout: Duration::from_millis(300),
            ..quick()
        };
        let remote = odd.remote(settings, Access::default(), Intent::Read);
        let error = remote.head(&tag("1")).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Transport, "{how}: {error}");
        assert_eq!(odd.connections(), 1, "{how}: {error}");
    }
}

/// Names that are known or not, in this order, and known from then on.
#[derive(Debug)]
struct Moody(Mutex<VecDeque<bool>>);

impl Names for Moody {
    fn lookup(&self, _: &str) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        let is_known = self.0.lock().pop_front().unwrap_or(true);
        Box::pin(async move {
            if is_known {
                Ok(vec![([127, 0, 0, 1], 0).into()])
            } else {
                Err(io::Error::other("failed to lookup address information"))
            }
        })
    }
}

#[tokio::test]
async fn fault_14_a_name_that_is_not_known_for_a_while_is_asked_for_again() {
    let registry = with_tags(&["1"]).await;
    let host = registry.plain_host().replace("127.0.0.1", "shop.example");
    let remote = |answers: &[bool]| {
        let settings = Settings {
            names: Arc::new(Moody(Mutex::new(answers.iter().copied().collect()))),
            ..quick()
        };
        let access = Access {
            insecure: true,
            ..Access::default()
        };
        let image = repository(&format!("{host}/team/app"));
        Client::new(settings).remote(image, access, Intent::Read)
    };
    // Of a host that was never heard it is a mistake rather than trouble.
    let error = remote(&[false]).head(&tag("1")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Transport, "{error}");
    assert_eq!(registry.requests().len(), 0);
    // Over https, over http, and then not for a while.
    let known = remote(&[true, true, false]);
    assert!(known.head(&tag("1")).await.unwrap().is_some());
    registry.on(Method::HEAD, "/manifests/", Nth::First(1), Fault::ResetHead);
    assert!(known.head(&tag("1")).await.unwrap().is_some());
    assert_eq!(known.tally().counts().retries, 2);
}

#[tokio::test]
async fn fault_15_a_head_that_comes_byte_by_byte_is_not_waited_for() {
    let odd = Odd::plain(|mut stream, number| async move {
        if number > 1 {
            return be_well(stream).await;
        }
        head(&mut stream).await?;
        for byte in answer().bytes() {
            stream.write_all(&[byte]).await?;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        stay(stream).await
    })
    .await;
    let remote = odd.reader();
    let begin = tokio::time::Instant::now();
    assert_found(&remote).await;
    assert!(begin.elapsed() < Duration::from_secs(5));
    assert_eq!(odd.connections(), 2);
}

#[tokio::test]
async fn fault_10_a_page_without_end_that_tells_of_an_error_is_not_read() {
    let sent = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&sent);
    let odd = Odd::plain(move |mut stream, _| {
        let count = Arc::clone(&count);
        async move {
            head(&mut stream).await?;
            let head = "HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\nContent-Length: 1073741824\r\n\r\n";
            stream.write_all(head.as_bytes()).await?;
            let page = "<p>no</p>\n".repeat(1000);
            loop {
                stream.write_all(page.as_bytes()).await?;
                count.fetch_add(page.len() as u64, Ordering::SeqCst);
            }
        }
    })
    .await;
    let remote = odd.remote(quick(), Access::default(), Intent::Write);
    let errors = [
        remote.manifest(&tag("1")).await.unwrap_err(),
        remote
            .put_manifest(&tag("1"), &manifest(1))
            .await
            .unwrap_err(),
    ];
    for error in errors {
        let text = error.to_string();
        assert!(!text.contains("<p>") && text.len() < 1000, "{text}");
    }
    // What the sockets hold, and no more.
    assert!(sent.load(Ordering::SeqCst) < 64 << 20);
}

#[tokio::test]
async fn fault_14_http2_streams_and_connections_that_are_given_up_are_begun_anew() {
    for trouble in [
        Trouble::GoAway(0),
        Trouble::GoAway(11),
        Trouble::Reset(2),
        Trouble::Reset(7),
        Trouble::Reset(8),
    ] {
        let server = http2::server(trouble).await;
        let remote = server.remote(Intent::Read);
        assert_found(&remote).await;
        assert!(server.seen() >= 2, "{trouble:?}");
    }
}

#[tokio::test]
async fn fault_14_http2_answers_that_are_given_up_are_asked_for_again() {
    for trouble in [Trouble::GoAwayInBody, Trouble::ResetInBody] {
        let server = http2::server(trouble).await;
        let remote = server.remote(Intent::Read);
        let found = remote.manifest(&tag("1")).await.unwrap().unwrap();
        assert_eq!(found.bytes, manifest(1).bytes, "{trouble:?}");
        assert!(server.seen() >= 2, "{trouble:?}");
    }
}

#[tokio::test]
async fn fault_14_an_http2_window_that_stays_shut_is_left() {
    let server = http2::server(Trouble::NoWindow).await;
    let remote = server.remote(Intent::Write);
    // More than a window takes at first.
    let padding = " ".repeat(200_000);
    let mut large = manifest(2);
    large.bytes = [&large.bytes[..], padding.as_bytes()].concat().into();
    large.digest = tagscope::image::Digest::of(&large.bytes);
    remote.put_manifest(&tag("1"), &large).await.unwrap();
    assert!(server.seen() >= 2);
}
