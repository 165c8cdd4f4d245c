//! The one response body: nothing, some bytes, or a stream that is pulled (so a slow client slows its producer).
//!
//! A stream that fails or panics resets its own HTTP stream and nothing else.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::Stream;
use futures::stream::BoxStream;
use hyper::body::{Frame, SizeHint};

use crate::task::panic_text;

/// Why a body broke off.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Something that lives as long as a body is being sent: a permit, a measurement. Dropped with the body.
pub trait Guard: Send {
    /// `bytes` more have been handed to the connection.
    fn wrote(&mut self, bytes: usize);

    /// The body came to its end: everything has been handed to the connection.
    fn ended(&mut self) {}
}

/// A response's body.
#[derive(Default)]
pub struct Body {
    content: Content,
    guards: Vec<Box<dyn Guard>>,
}

#[derive(Default)]
enum Content {
    #[default]
    Empty,
    Full(Bytes),
    Stream(BoxStream<'static, Result<Bytes, BoxError>>),
}

impl Body {
    /// No bytes at all.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Exactly these bytes.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let content = if bytes.is_empty() {
            Content::Empty
        } else {
            Content::Full(bytes)
        };
        Self {
            content,
            guards: Vec::new(),
        }
    }

    /// The pieces of `stream`, pulled as the client takes them. An error breaks the response off, so that the client
    /// cannot take it for whole.
    pub fn stream<E: Into<BoxError> + 'static>(
        stream: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
    ) -> Self {
        use futures::TryStreamExt as _;
        Self {
            content: Content::Stream(Box::pin(stream.map_err(Into::into))),
            guards: Vec::new(),
        }
    }

    /// Keeps `guard` until this body is sent or given up.
    #[must_use]
    pub fn guarded(mut self, guard: impl Guard + 'static) -> Self {
        self.guards.push(Box::new(guard));
        self
    }

    /// The same body as far as lengths and guards go, without a byte to send: for answers to HEAD.
    pub(super) fn unsent(mut self) -> Self {
        self.content = Content::Empty;
        self
    }

    fn end(&mut self) {
        self.content = Content::Empty;
        for mut guard in self.guards.drain(..) {
            guard.ended();
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        // A body without bytes need not be polled: it is whole as it is.
        if matches!(self.content, Content::Empty) {
            self.end();
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.content {
            Content::Empty => "Body(empty)",
            Content::Full(_) => "Body(full)",
            Content::Stream(_) => "Body(stream)",
        })
    }
}

impl<B: Into<Bytes>> From<B> for Body {
    fn from(bytes: B) -> Self {
        Self::full(bytes)
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let next = match &mut this.content {
            Content::Empty => None,
            Content::Full(bytes) => Some(Ok(std::mem::take(bytes))),
            Content::Stream(stream) => {
                let polled =
                    std::panic::catch_unwind(AssertUnwindSafe(|| stream.as_mut().poll_next(cx)));
                match polled {
                    Ok(polled) => std::task::ready!(polled),
                    Err(payload) => {
                        let panic = panic_text(payload.as_ref());
                        tracing::error!(panic, "Response body panicked");
                        Some(Err("the response body panicked".into()))
                    }
                }
            }
        };
        match next {
            None => {
                this.end();
                Poll::Ready(None)
            }
            Some(Err(error)) => {
                // Not ended: the guards see that the body broke off when they are dropped.
                this.content = Content::Empty;
                this.guards.clear();
                Poll::Ready(Some(Err(error)))
            }
            Some(Ok(bytes)) => {
                for guard in &mut this.guards {
                    guard.wrote(bytes.len());
                }
                if matches!(this.content, Content::Full(_)) {
                    this.end();
                }
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.content, Content::Empty)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Empty => SizeHint::with_exact(0),
            Content::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Stream(_) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[derive(Clone, Default)]
    struct Tally {
        bytes: Arc<AtomicUsize>,
        ended: Arc<AtomicUsize>,
        held: Arc<()>,
    }

    impl Guard for Tally {
        fn wrote(&mut self, bytes: usize) {
            self.bytes.fetch_add(bytes, Ordering::SeqCst);
        }
        fn ended(&mut self) {
            self.ended.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[tokio::test]
    async fn a_guard_sees_every_byte_and_the_end_and_is_then_dropped() {
        let chunks =
            || futures::stream::iter([Ok::<_, BoxError>(Bytes::from("ab")), Ok(Bytes::from("c"))]);
        for body in [Body::full("abc"), Body::stream(chunks())] {
            let tally = Tally::default();
            let body = body.guarded(tally.clone());
            assert_eq!(Arc::strong_count(&tally.held), 2);
            assert_eq!(body.collect().await.unwrap().to_bytes(), "abc");
            assert_eq!(tally.bytes.load(Ordering::SeqCst), 3);
            assert_eq!(tally.ended.load(Ordering::SeqCst), 1);
            assert_eq!(Arc::strong_count(&tally.held), 1);
        }
    }

    #[tokio::test]
    async fn a_stream_that_fails_or_panics_is_an_error_and_no_end() {
        let fails = futures::stream::iter([Err::<Bytes, _>(BoxError::from("cut"))]);
        let panics = futures::stream::poll_fn(|_| -> Poll<Option<Result<Bytes, BoxError>>> {
            panic!("boom")
        });
        for body in [Body::stream(fails), Body::stream(panics)] {
            let tally = Tally::default();
            assert!(body.guarded(tally.clone()).collect().await.is_err());
            assert_eq!(tally.ended.load(Ordering::SeqCst), 0);
            assert_eq!(Arc::strong_count(&tally.held), 1);
        }
    }

    #[test]
    fn a_body_dropped_unsent_is_whole_only_when_it_is_empty() {
        for (body, ended) in [
            (Body::empty(), 1),
            (Body::full("abc"), 0),
            (Body::full("abc").unsent(), 1),
        ] {
            let tally = Tally::default();
            drop(body.guarded(tally.clone()));
            assert_eq!(tally.ended.load(Ordering::SeqCst), ended);
        }
    }

    #[test]
    fn an_empty_text_is_an_empty_body() {
        assert!(hyper::body::Body::is_end_stream(&Body::from("")));
        assert_eq!(
            hyper::body::Body::size_hint(&Body::from("four")).exact(),
            Some(4)
        );
    }
}
