//! The one response body: nothing, some bytes, or a stream that is pulled (so a slow client slows its producer).
//!
//! A stream that fails or panics resets its own HTTP stream and nothing else. One whose client takes nothing can be
//! broken off: what it holds is let go even though nobody asks for its next piece any more. It does not notice that by
//! itself; its connection watches it.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt as _, Stream};
use hyper::body::{Frame, SizeHint};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::task::panic_text;

/// Why a body broke off.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How many guards most bodies have: the request's record, and its place in the connection's count.
const GUARDS: usize = 2;

/// Something that lives as long as a body is being sent: a permit, a measurement. Dropped with the body.
pub trait Guard: Send {
    /// `bytes` more have been handed to the connection.
    fn wrote(&mut self, bytes: usize);

    /// The body came to its end: everything has been handed to the connection.
    fn ended(&mut self) {}

    /// Making the body panicked; it is broken off next.
    fn panicked(&mut self) {}

    /// The server broke the body off: it failed, panicked, or nobody took it. When the client goes away, the guard is only
    /// dropped.
    fn broken_off(&mut self) {}
}

/// A response's body.
#[derive(Default)]
pub struct Body {
    /// Shared with who watches over a stream.
    sending: Arc<Mutex<Sending>>,
}

#[derive(Default)]
struct Sending {
    content: Content,
    guards: Vec<Box<dyn Guard>>,
    /// Since when what was handed over last has not been taken, as far as one can know here: nobody has asked for more.
    untaken_since: Option<Instant>,
    /// How long the client of an upgraded connection may take nothing.
    limit: Option<Duration>,
    /// When it is told to end, for an upgraded connection.
    turn: Option<BoxFuture<'static, ()>>,
    /// When it is broken off however fast it is taken.
    latest: Option<Instant>,
}

#[derive(Default)]
enum Content {
    #[default]
    Empty,
    Full(Bytes),
    Stream(BoxStream<'static, Result<Bytes, BoxError>>),
    /// A stream that was broken off.
    Stalled,
    /// Nothing by this way: the connection was upgraded.
    Elsewhere,
}

/// The other end of a body whose bytes go over an upgraded connection. The guards live until this and the body are gone.
pub struct Elsewhere {
    sending: Arc<Mutex<Sending>>,
}

impl Elsewhere {
    /// `bytes` more have been handed to the connection.
    pub fn wrote(&self, bytes: usize) {
        for guard in &mut self.sending.lock().guards {
            guard.wrote(bytes);
        }
    }

    /// Everything has been handed to the connection.
    pub fn ended(self) {
        self.sending.lock().end();
    }

    /// Making what is written panicked: nothing more comes.
    pub fn panicked(self) {
        let mut sending = self.sending.lock();
        sending.note_panic();
        sending.break_off(Content::Elsewhere);
    }

    /// How long the client may take nothing of what is waiting, where a limit has been set by
    /// [`Body::broken_off_after`]: whoever writes sees to it.
    pub fn stall_limit(&self) -> Option<Duration> {
        self.sending.lock().limit
    }

    /// Resolves when what is written should end, as [`Body::ended_by`] said; never where nothing was said. To be asked
    /// once.
    pub fn turn(&self) -> impl Future<Output = ()> + Send + use<> {
        let turn = self.sending.lock().turn.take();
        turn.unwrap_or_else(|| futures::future::pending().boxed())
    }
}

impl fmt::Debug for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Elsewhere")
    }
}

/// The client has not taken anything of a body for too long.
#[derive(Debug, thiserror::Error)]
#[error("the client has stopped taking the response")]
struct Stalled;

impl Body {
    /// No bytes at all.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Exactly these bytes.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self::of(if bytes.is_empty() {
            Content::Empty
        } else {
            Content::Full(bytes)
        })
    }

    /// The pieces of `stream`, pulled as the client takes them. An error breaks the response off, so that the client
    /// cannot take it for whole.
    pub fn stream<E: Into<BoxError> + 'static>(
        stream: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
    ) -> Self {
        use futures::TryStreamExt as _;
        Self::of(Content::Stream(Box::pin(stream.map_err(Into::into))))
    }

    /// The body of an answer that upgrades the connection (101), and the other end, for who writes to it then.
    pub fn elsewhere() -> (Self, Elsewhere) {
        let body = Self::of(Content::Elsewhere);
        let sending = Arc::clone(&body.sending);
        (body, Elsewhere { sending })
    }

    fn of(content: Content) -> Self {
        Self {
            sending: Arc::new(Mutex::new(Sending {
                content,
                guards: Vec::new(),
                untaken_since: None,
                limit: None,
                turn: None,
                latest: None,
            })),
        }
    }

    /// Keeps `guard` until this body is sent or given up.
    #[must_use]
    pub fn guarded(self, guard: impl Guard + 'static) -> Self {
        let mut sending = self.sending.lock();
        // Room for these is kept for as long as a watch lasts, and there are seldom more.
        if sending.guards.is_empty() {
            sending.guards.reserve_exact(GUARDS);
        }
        sending.guards.push(Box::new(guard));
        drop(sending);
        self
    }

    /// Breaks a stream off when something of it is waiting to be taken for as long as `limit`: it and the guards are
    /// dropped. A stream that has nothing to hand over may take all the time there is. Bytes that are whole are not
    /// concerned.
    #[must_use]
    pub fn broken_off_after(self, limit: Duration) -> Self {
        let mut sending = self.sending.lock();
        sending.limit = Some(limit);
        sending.untaken_since = Some(Instant::now());
        drop(sending);
        self
    }

    /// Breaks a stream off after `longest`, however fast it is taken: who takes a little now and then holds a place, too.
    /// Works only beside [`Body::broken_off_after`].
    #[must_use]
    pub fn lasting_at_most(self, longest: Duration) -> Self {
        self.sending.lock().latest = Some(Instant::now() + longest);
        self
    }

    /// Ends a stream in order once `over` resolves, between two of its pieces; what goes over an upgraded connection, by
    /// [`Elsewhere::turn`]. Bytes that are whole are not concerned.
    #[must_use]
    pub fn ended_by(self, over: impl Future<Output = ()> + Send + 'static) -> Self {
        use futures::StreamExt as _;
        let mut sending = self.sending.lock();
        sending.content = match std::mem::take(&mut sending.content) {
            Content::Stream(stream) => Content::Stream(stream.take_until(over).boxed()),
            Content::Elsewhere => {
                sending.turn = Some(over.boxed());
                Content::Elsewhere
            }
            whole => whole,
        };
        drop(sending);
        self
    }

    /// The same body as far as lengths and guards go, without a byte to send: for answers to HEAD.
    pub(super) fn unsent(self) -> Self {
        self.sending.lock().content = Content::Empty;
        self
    }
}

/// A body that is being sent, as who watches it has it.
#[derive(Debug)]
pub(super) struct Sent(Weak<Mutex<Sending>>);

/// What was seen of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// It is over: nothing more is to be seen.
    Gone,
    /// It goes on, and cannot have stalled before then.
    Again(Instant),
    /// It had stalled, and has been broken off.
    Stalled,
}

impl Body {
    /// What is to be watched of this body, and when for the first time; `None` when it cannot stall.
    pub(super) fn to_be_watched(&self) -> Option<(Sent, Instant)> {
        let at = self.sending.lock().stalls_at(Instant::now())?;
        Some((Sent(Arc::downgrade(&self.sending)), at))
    }
}

impl Sent {
    /// Whether nobody has the body any more.
    pub(super) fn is_gone(&self) -> bool {
        self.0.strong_count() == 0
    }

    /// Looks at the body, and breaks it off if it has stalled.
    pub(super) fn look(&self, now: Instant) -> Look {
        let Some(sending) = self.0.upgrade() else {
            return Look::Gone;
        };
        let mut sending = sending.lock();
        match sending.stalls_at(now) {
            None => Look::Gone,
            Some(at) if at > now => Look::Again(at),
            Some(_) => {
                let limit = sending.limit;
                tracing::debug!(?limit, "Response broken off, its client takes too little");
                sending.break_off(Content::Stalled);
                Look::Stalled
            }
        }
    }
}

impl Sending {
    fn note_panic(&mut self) {
        for guard in &mut self.guards {
            guard.panicked();
        }
    }

    /// When it will have stalled if nothing is taken; `None` when it cannot.
    fn stalls_at(&self, now: Instant) -> Option<Instant> {
        let Content::Stream(_) = self.content else {
            return None;
        };
        let at = self.untaken_since.unwrap_or(now) + self.limit?;
        Some(self.latest.map_or(at, |latest| latest.min(at)))
    }

    /// Not ended: the guards see that the body broke off when they are dropped.
    fn break_off(&mut self, rest: Content) {
        self.content = rest;
        for mut guard in self.guards.drain(..) {
            guard.broken_off();
        }
        self.untaken_since = None;
    }

    fn end(&mut self) {
        self.content = Content::Empty;
        for mut guard in self.guards.drain(..) {
            guard.ended();
        }
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        // A body without bytes need not be polled: it is whole as it is.
        if matches!(self.content, Content::Empty) {
            self.end();
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.sending.lock().content {
            Content::Empty => "Body(empty)",
            Content::Full(_) => "Body(full)",
            Content::Stream(_) => "Body(stream)",
            Content::Stalled => "Body(stalled)",
            Content::Elsewhere => "Body(elsewhere)",
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
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self.sending.lock();
        this.untaken_since = None;
        let next = match &mut this.content {
            Content::Empty => None,
            // Over as far as this way goes, but not ended.
            Content::Elsewhere => return Poll::Ready(None),
            Content::Full(bytes) => Some(Ok(std::mem::take(bytes))),
            Content::Stream(stream) => {
                let polled =
                    std::panic::catch_unwind(AssertUnwindSafe(|| stream.as_mut().poll_next(cx)));
                match polled {
                    Ok(polled) => std::task::ready!(polled),
                    Err(payload) => {
                        let panic = panic_text(payload.as_ref());
                        tracing::error!(panic, "Response body panicked");
                        this.note_panic();
                        Some(Err("the response body panicked".into()))
                    }
                }
            }
            Content::Stalled => Some(Err(Stalled.into())),
        };
        match next {
            None => {
                this.end();
                Poll::Ready(None)
            }
            Some(Err(error)) => {
                this.break_off(Content::Empty);
                Poll::Ready(Some(Err(error)))
            }
            Some(Ok(bytes)) => {
                for guard in &mut this.guards {
                    guard.wrote(bytes.len());
                }
                if matches!(this.content, Content::Full(_)) {
                    this.end();
                }
                this.untaken_since = Some(Instant::now());
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(
            self.sending.lock().content,
            Content::Empty | Content::Elsewhere
        )
    }

    fn size_hint(&self) -> SizeHint {
        match &self.sending.lock().content {
            Content::Empty | Content::Elsewhere => SizeHint::with_exact(0),
            Content::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Stream(_) | Content::Stalled => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[derive(Clone, Default)]
    struct Tally {
        bytes: Arc<AtomicUsize>,
        ended: Arc<AtomicUsize>,
        broken_off: Arc<AtomicUsize>,
        held: Arc<()>,
    }

    impl Guard for Tally {
        fn wrote(&mut self, bytes: usize) {
            self.bytes.fetch_add(bytes, Ordering::SeqCst);
        }
        fn ended(&mut self) {
            self.ended.fetch_add(1, Ordering::SeqCst);
        }
        fn broken_off(&mut self) {
            self.broken_off.fetch_add(1, Ordering::SeqCst);
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
            assert_eq!(tally.broken_off.load(Ordering::SeqCst), 1);
            assert_eq!(Arc::strong_count(&tally.held), 1);
        }
    }

    const LIMIT: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn what_goes_elsewhere_is_guarded_until_both_ends_are_gone() {
        for ends in [true, false] {
            let tally = Tally::default();
            let (body, elsewhere) = Body::elsewhere();
            let body = body.guarded(tally.clone()).broken_off_after(LIMIT);
            assert_eq!(elsewhere.stall_limit(), Some(LIMIT));
            assert!(hyper::body::Body::is_end_stream(&body));
            assert_eq!(body.collect().await.unwrap().to_bytes(), "");
            assert_eq!(Arc::strong_count(&tally.held), 2);
            elsewhere.wrote(5);
            if ends {
                elsewhere.ended();
            } else {
                drop(elsewhere);
            }
            assert_eq!(tally.bytes.load(Ordering::SeqCst), 5);
            assert_eq!(tally.ended.load(Ordering::SeqCst), usize::from(ends));
            assert_eq!(Arc::strong_count(&tally.held), 1);
        }
    }

    #[tokio::test]
    async fn what_goes_elsewhere_hears_when_its_turn_has_come() {
        let (over, told) = tokio::sync::oneshot::channel::<()>();
        let (body, elsewhere) = Body::elsewhere();
        let _body = body.ended_by(async { drop(told.await) });
        let mut turn = std::pin::pin!(elsewhere.turn());
        assert!(futures::poll!(turn.as_mut()).is_pending());
        over.send(()).unwrap();
        turn.await;
    }

    #[tokio::test]
    async fn a_stream_can_be_told_to_end_and_what_is_whole_cannot() {
        let (over, told) = tokio::sync::oneshot::channel::<()>();
        let endless = futures::stream::repeat_with(|| Ok::<_, BoxError>(Bytes::from("abc")));
        let tally = Tally::default();
        let mut body = Body::stream(endless)
            .ended_by(async { drop(told.await) })
            .guarded(tally.clone());
        assert_eq!(
            body.frame().await.unwrap().unwrap().into_data().unwrap(),
            "abc"
        );
        over.send(()).unwrap();
        assert!(body.frame().await.is_none());
        assert_eq!(tally.ended.load(Ordering::SeqCst), 1);
        let whole = Body::full("abc").ended_by(std::future::ready(()));
        assert_eq!(whole.collect().await.unwrap().to_bytes(), "abc");
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
