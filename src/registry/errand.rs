//! What a mirror's request has besides that of a scan: rights, headers, content, connections of its own, and somebody
//! who counts.
//!
//! A scan has no errand, and what it asks is the same as without this file.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::header::CONTENT_LENGTH;
use http::{HeaderName, HeaderValue, Method};
use hyper::body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::remote::Tally;
use crate::image::Repository;

/// Which connections a request goes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Purpose {
    /// Short documents: HTTP/2 where the host has it.
    Documents,
    /// Long streams: HTTP/1.1, so that each has a congestion window of its own. Silence is watched by whoever
    /// reads and writes, not by the client, which would take an upload under way for one.
    Blobs,
}

/// What a mirror's request has besides.
#[derive(Debug)]
pub(super) struct Errand<'a> {
    /// The rights that its token is asked for.
    pub(super) actions: &'static str,
    /// Where `pull` is asked for with the same token.
    pub(super) mount_from: Option<&'a Repository>,
    pub(super) headers: &'a [(HeaderName, HeaderValue)],
    pub(super) content: Content,
    pub(super) purpose: Purpose,
    pub(super) tally: &'a Tally,
    /// Whom to ask before anything is written.
    pub(super) mandate: Option<&'a Arc<dyn Mandate>>,
}

/// Whether this process may write at registries, where only one of several may: asked right before each request that writes,
/// and while it is on its way.
pub trait Mandate: std::fmt::Debug + Send + Sync {
    /// Whether it may now.
    fn holds(&self) -> bool;

    /// Resolves when it may, at once if it may now: what is written by somebody else meanwhile is not to be disturbed.
    fn returns(&self) -> BoxFuture<'_, ()>;
}

/// What `sending` comes to; none: the mandate ended before. Who slept is not woken by what came meanwhile, but looks at the
/// clock first.
pub(super) async fn while_it_holds<T>(
    mandate: &dyn Mandate,
    sending: impl Future<Output = T>,
) -> Option<T> {
    let mut sending = std::pin::pin!(sending);
    std::future::poll_fn(|context| {
        if mandate.holds() {
            sending.as_mut().poll(context).map(Some)
        } else {
            Poll::Ready(None)
        }
    })
    .await
}

/// What a request carries.
#[derive(Debug)]
pub(super) enum Content {
    /// Nothing.
    Nothing,
    /// These bytes.
    Whole(Bytes),
    /// A stream, until it is taken.
    Stream(Mutex<Option<Watched>>),
}

impl Content {
    /// Whether it can be sent once only.
    pub(super) fn is_stream(&self) -> bool {
        matches!(self, Self::Stream(_))
    }

    /// `request` with it; none: it was sent before, and is no more.
    pub(super) fn put_on(
        &self,
        method: &Method,
        mandate: Option<&Arc<dyn Mandate>>,
        request: reqwest::RequestBuilder,
    ) -> Option<reqwest::RequestBuilder> {
        Some(match self {
            // Some servers want to be told that there is nothing.
            Self::Nothing if matches!(*method, Method::POST | Method::PUT | Method::PATCH) => {
                request.header(CONTENT_LENGTH, HeaderValue::from_static("0"))
            }
            Self::Nothing => request,
            Self::Whole(bytes) if mandate.is_some() => {
                let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                let mandate = mandate.cloned();
                let body = Watched::new(bytes.clone().into(), length, Watch::begin(), mandate);
                request.body(reqwest::Body::wrap(body))
            }
            Self::Whole(bytes) => request.body(bytes.clone()),
            Self::Stream(stream) => request.body(reqwest::Body::wrap(stream.lock().take()?)),
        })
    }
}

/// How far a stream's content is, for who watches over it.
#[derive(Debug)]
pub(super) struct Watch(Mutex<Progress>);

#[derive(Debug)]
enum Progress {
    /// The next piece is awaited from where it comes from: not the receiver's fault.
    Awaited,
    /// A piece was handed over then, and no other has been asked for.
    Handed(Instant),
    /// The last one was handed over then.
    Done(Instant),
}

impl Watch {
    /// Nothing has been handed over yet.
    pub(super) fn begin() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Progress::Handed(Instant::now()))))
    }

    /// The request goes now; what it waited for before was not the receiver's fault.
    pub(super) fn go(&self) {
        *self.0.lock() = Progress::Handed(Instant::now());
    }

    /// Returns when the receiver has taken nothing for `stall`, or not answered within `patience` after the end.
    pub(super) async fn out_of_patience(&self, stall: Duration, patience: Duration) -> Duration {
        loop {
            let (at, allowed) = match *self.0.lock() {
                Progress::Awaited => (Instant::now(), stall),
                Progress::Handed(at) => (at, stall),
                Progress::Done(at) => (at, patience),
            };
            if at.elapsed() >= allowed {
                return allowed;
            }
            tokio::time::sleep_until(at + allowed).await;
        }
    }
}

/// A stream of a known length, watched. The head of a request goes out together with the first of it: where the mandate has
/// ended by then, neither does.
#[derive(Debug)]
pub(super) struct Watched {
    inner: reqwest::Body,
    left: u64,
    watch: Arc<Watch>,
    mandate: Option<Arc<dyn Mandate>>,
}

/// What is sent may not be sent any more.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("this process may not write any more")]
pub(super) struct Over;

impl Watched {
    pub(super) fn new(
        inner: reqwest::Body,
        length: u64,
        watch: Arc<Watch>,
        mandate: Option<Arc<dyn Mandate>>,
    ) -> Self {
        Self {
            inner,
            left: length,
            watch,
            mandate,
        }
    }

    fn note(&self, progress: Progress) {
        *self.watch.0.lock() = progress;
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.mandate.as_ref().is_some_and(|it| !it.holds()) {
            return Poll::Ready(Some(Err(Over.into())));
        }
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        match &polled {
            Poll::Pending => self.note(Progress::Awaited),
            Poll::Ready(Some(Ok(frame))) => {
                let length = frame.data_ref().map_or(0, Bytes::len);
                let length = u64::try_from(length).unwrap_or(u64::MAX);
                self.left = self.left.saturating_sub(length);
                let now = Instant::now();
                self.note(match self.left {
                    0 => Progress::Done(now),
                    _ => Progress::Handed(now),
                });
            }
            Poll::Ready(_) => self.note(Progress::Done(Instant::now())),
        }
        polled.map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    /// Exact, so that `Content-Length` is sent and no chunks are.
    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use futures::future::FutureExt as _;

    use super::*;

    #[derive(Debug)]
    struct Held(AtomicBool);

    impl Mandate for Held {
        fn holds(&self) -> bool {
            self.0.load(Ordering::Relaxed)
        }

        fn returns(&self) -> BoxFuture<'_, ()> {
            std::future::pending().boxed()
        }
    }

    #[test]
    fn who_slept_does_not_go_on_before_it_looks() {
        let mandate = Held(AtomicBool::new(true));
        let (connected, connects) = tokio::sync::oneshot::channel::<()>();
        let mut sent = false;
        let mut sending = Box::pin(while_it_holds(&mandate, async {
            drop(connects.await);
            sent = true;
        }));
        assert_eq!(sending.as_mut().now_or_never(), None);
        mandate.0.store(false, Ordering::Relaxed);
        drop(connected);
        assert_eq!(sending.as_mut().now_or_never(), Some(None));
        drop(sending);
        assert!(!sent);
    }
}
