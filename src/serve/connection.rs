//! One connection, from the accepted socket to its end. Its task ends with it, in every case: a handshake and the first
//! bytes have a deadline, and both are given up at once when the server drains. Who asks nothing for long is shown out.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use futures::FutureExt as _;
use futures::future::{AbortHandle, Abortable};
use http::header::{CONNECTION, HeaderValue};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::idle::Requests;
use super::server::{Handler, Shared, answer};
use super::stall::Watched;
use super::{Body, CertificateChain, Limits, Peer};
use crate::task;

/// Length of HTTP/2's opening line: before it has arrived, the library is in no state to say goodbye.
const HTTP2_PREFACE: u64 = 24;

/// Serves one accepted socket until it closes, or until `drain` is cancelled and its requests are done.
pub(super) async fn serve<H: Handler>(
    shared: Arc<Shared<H>>,
    stream: TcpStream,
    address: SocketAddr,
    drain: CancellationToken,
) {
    let Some(tls) = &shared.tls else {
        let end = speak_http1(&shared, stream, address, None, &drain).await;
        return log_end(address, end);
    };
    let handshake = tokio::time::timeout(
        shared.limits.handshake,
        TlsAcceptor::from(tls.config()).accept(stream),
    );
    let stream = tokio::select! {
        biased;
        () = drain.cancelled() => return,
        done = handshake => match done {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                shared.stats.handshake_failed();
                return tracing::debug!(%address, %error, "TLS handshake failed");
            }
            Err(_) => {
                shared.stats.handshake_failed();
                return tracing::debug!(%address, "TLS handshake took too long");
            }
        },
    };
    let (_, session) = stream.get_ref();
    let certificates = session
        .peer_certificates()
        .map(<[_]>::to_vec)
        .and_then(CertificateChain::new)
        .map(Arc::new);
    let end = if session.alpn_protocol() == Some(b"h2") {
        speak_http2(&shared, stream, address, certificates, &drain).await
    } else {
        speak_http1(&shared, stream, address, certificates, &drain).await
    };
    log_end(address, end);
}

/// A client that goes away is ordinary (probes do it all the time): nothing for an operator to read.
fn log_end(address: SocketAddr, end: Result<(), hyper::Error>) {
    if let Err(error) = end {
        tracing::debug!(%address, error = %chained(&error), "Connection ended with an error");
    }
}

fn chained(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

async fn speak_http1<H: Handler>(
    shared: &Arc<Shared<H>>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    address: SocketAddr,
    certificates: Option<Arc<CertificateChain>>,
    drain: &CancellationToken,
) -> Result<(), hyper::Error> {
    let close = CancellationToken::new();
    let peer = Peer::new(address, certificates, false, close.clone());
    let requests = Requests::default();
    let watched = Arc::new(Watched::default());
    let (stream, read) = Counted::new(stream);
    let limits = &shared.limits;
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_headers(limits.headers)
        .max_buf_size(limits.head_bytes as usize)
        .serve_connection(
            TokioIo::new(stream),
            service_fn(|request| respond(shared, request, &peer, &requests, &watched)),
        )
        .with_upgrades();
    let asked = (&requests, &*watched);
    let end = drive(connection, limits, asked, &read, 1, drain, &close).await;
    requests.finished().await;
    end
}

async fn speak_http2<H: Handler>(
    shared: &Arc<Shared<H>>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    address: SocketAddr,
    certificates: Option<Arc<CertificateChain>>,
    drain: &CancellationToken,
) -> Result<(), hyper::Error> {
    let close = CancellationToken::new();
    let peer = Peer::new(address, certificates, true, close.clone());
    let requests = Arc::new(Requests::default());
    let watched = Arc::new(Watched::default());
    let (stream, read) = Counted::new(stream);
    let limits = &shared.limits;
    let connection = http2::Builder::new(Streams)
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(limits.head_bytes)
        .max_pending_accept_reset_streams(limits.pending_resets)
        .initial_stream_window_size(limits.stream_window)
        .initial_connection_window_size(limits.connection_window)
        .max_send_buf_size(limits.send_buffer)
        .keep_alive_interval(limits.ping_interval)
        .keep_alive_timeout(limits.ping_timeout)
        .serve_connection(TokioIo::new(stream), {
            let (shared, requests) = (Arc::clone(shared), Arc::clone(&requests));
            let watched = Arc::clone(&watched);
            service_fn(move |request| respond(&shared, request, &peer, &requests, &watched))
        });
    drive(
        connection,
        limits,
        (&requests, &watched),
        &read,
        HTTP2_PREFACE,
        drain,
        &close,
    )
    .await
}

/// The handler's answer; owns all it needs, since HTTP/2 requests run beside their connection. In a box, so that what it
/// took to answer is let go before the body is sent, which for a watch takes an hour.
fn respond<H: Handler>(
    shared: &Arc<Shared<H>>,
    request: Request<Incoming>,
    peer: &Peer,
    requests: &Requests,
    watched: &Arc<Watched>,
) -> impl Future<Output = Result<Response<Body>, std::convert::Infallible>> + Send + use<H> {
    let (shared, peer, watched) = (Arc::clone(shared), peer.clone(), Arc::clone(watched));
    let open = requests.begin();
    Box::pin(async move {
        let mut response = answer(&shared, request, peer.clone()).await;
        if peer.is_closing() && !peer.is_http2() {
            // The connection learns of it only after this answer's head is written.
            response
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
        watched.add(response.body(), STREAM.try_with(AbortHandle::clone).ok());
        Ok(response.map(|body| body.guarded(open)))
    })
}

/// Runs `connection` to its end. `opening` bytes must have been `read` in time, and before a drain is worth waiting for.
async fn drive<C: Graceful>(
    connection: C,
    limits: &Limits,
    (requests, watched): (&Requests, &Watched),
    read: &AtomicU64,
    opening: u64,
    drain: &CancellationToken,
    close: &CancellationToken,
) -> Result<(), hyper::Error> {
    let mut connection = pin!(connection);
    let mut deadline = pin!(tokio::time::sleep(limits.head));
    let mut idle = pin!(requests.idle(limits.first_request, limits.idle));
    let mut stalled = pin!(watched.stalled());
    let (mut opened, mut closing, mut draining) = (false, false, false);
    loop {
        tokio::select! {
            end = connection.as_mut() => return end,
            // The library waits for a client that takes nothing, and would never look at its body again.
            () = stalled.as_mut() => return Ok(()),
            () = drain.cancelled(), if !draining => {
                if read.load(Ordering::Relaxed) < opening {
                    return Ok(());
                }
                draining = true;
                if !closing {
                    closing = true;
                    connection.as_mut().close();
                }
                idle.set(requests.idle(limits.goodbye, limits.goodbye));
            }
            () = close.cancelled(), if !closing => {
                closing = true;
                connection.as_mut().close();
            }
            () = deadline.as_mut(), if !opened => {
                if read.load(Ordering::Relaxed) < opening {
                    return Ok(());
                }
                opened = true;
            }
            () = idle.as_mut() => {
                // The goodbye has been said, and nobody is left to be waited for.
                if closing {
                    return Ok(());
                }
                closing = true;
                connection.as_mut().close();
                idle.set(requests.idle(limits.ping_timeout, limits.ping_timeout));
            }
        }
    }
}

/// Both kinds of connection, as far as they are driven alike.
trait Graceful: Future<Output = Result<(), hyper::Error>> {
    fn close(self: Pin<&mut Self>);
}

impl<I, S> Graceful for http1::UpgradeableConnection<I, S>
where
    S: hyper::service::HttpService<Incoming, ResBody = Body>,
    S::Error: Into<super::BoxError>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    fn close(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<I, S> Graceful for http2::Connection<I, S, Streams>
where
    S: hyper::service::HttpService<Incoming, ResBody = Body>,
    S::Future: Send + 'static,
    S::Error: Into<super::BoxError>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
{
    fn close(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

tokio::task_local! {
    /// Ends the HTTP/2 stream whose request is being answered, even while its client has no room for more of it.
    static STREAM: AbortHandle;
}

/// Starts the requests of an HTTP/2 connection; each ends with its stream, and every stream with its connection.
#[derive(Debug, Clone, Copy)]
struct Streams;

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let (handle, ends) = AbortHandle::new_pair();
        // Given up, the library resets it, and forgets what it has not sent.
        let stream = STREAM.scope(handle, Abortable::new(stream, ends));
        task::detach("http2 stream", stream.map(drop));
    }
}

/// Counts what has been read, to tell a silent client from one that speaks.
struct Counted<S> {
    stream: S,
    read: Arc<AtomicU64>,
}

impl<S> Counted<S> {
    fn new(stream: S) -> (Self, Arc<AtomicU64>) {
        let read = Arc::new(AtomicU64::new(0));
        (
            Self {
                stream,
                read: Arc::clone(&read),
            },
            read,
        )
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let bytes = buffer.filled().len().saturating_sub(before);
        self.read.fetch_add(bytes as u64, Ordering::Relaxed);
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
