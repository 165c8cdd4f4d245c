//! The pieces on their way from a reader to one destination: a bounded queue whose other end is a request's body.
//!
//! The reader puts in what it has hashed, and the last piece only when digest and length are right; a body that
//! comes to its end is therefore a body that is right. When reading fails the body fails, and the connection breaks before
//! the request is whole.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use crate::image::Hasher;
use crate::registry::Error;

/// As much as is in flight to one destination.
pub(super) const ROOM: usize = 1 << 20;
/// No piece in the queue counts as less: many small ones are not free.
const LEAST_COST: usize = 512;
/// Between two marks.
const MARK_EVERY: u64 = 8 << 20;
/// Only the last ones are kept: no registry acknowledges less than what these cover.
const MARKS: usize = 4;

/// Where a reader stands.
#[derive(Debug, Clone)]
pub(super) struct Cursor {
    /// The next byte to read.
    pub(super) offset: u64,
    /// Of all bytes before it.
    pub(super) hasher: Hasher,
    /// Bytes before this are read for the hash alone.
    pub(super) feed_from: u64,
}

/// One destination's queue.
#[derive(Debug)]
pub(super) struct Feed {
    state: Mutex<State>,
    /// The body took something.
    room: Notify,
    /// Something was taken, or is to be done.
    stir: Notify,
    /// Something can be sent.
    ready: Notify,
}

#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is set and cleared apart from the others"
)]
struct State {
    queue: VecDeque<Bytes>,
    cost: usize,
    most: usize,
    taken: u64,
    /// There was nothing to take at some time since the last look.
    starved: bool,
    /// A body is being sent.
    active: bool,
    /// Nobody takes anything yet: what it goes into is still to be begun.
    is_awaited: bool,
    failure: Option<Error>,
    closed: bool,
    taker: Option<Waker>,
    detached: Option<Cursor>,
    marks: VecDeque<(u64, Hasher)>,
}

/// What the destination's side sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    /// So many bytes were taken in all.
    pub(super) taken: u64,
    /// Whether there was something to take, and somebody to take it, ever since the last look.
    pub(super) could: bool,
    /// Whether a body is being sent.
    pub(super) active: bool,
}

/// Why a body broke off.
#[derive(Debug)]
pub(super) struct BrokenOff;

impl fmt::Display for BrokenOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the upload is given up")
    }
}

impl std::error::Error for BrokenOff {}

impl Feed {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            room: Notify::new(),
            stir: Notify::new(),
            ready: Notify::new(),
        })
    }

    /// As [`Self::new`], for whoever says later that something is taken ([`Self::begin`]).
    pub(super) fn awaited() -> Arc<Self> {
        let feed = Self::new();
        feed.state.lock().is_awaited = true;
        feed
    }

    /// Something will be taken from now on.
    pub(super) fn begin(&self) {
        self.state.lock().is_awaited = false;
        self.room.notify_one();
    }

    /// Whether nothing will be taken for now.
    pub(super) fn is_awaited(&self) -> bool {
        let state = self.state.lock();
        state.is_awaited && !state.closed
    }

    /// Whether a body is being sent.
    pub(super) fn is_active(&self) -> bool {
        let state = self.state.lock();
        state.active && !state.closed
    }

    /// Puts `piece` in; false: there is no room for it now.
    pub(super) fn give(&self, piece: &Bytes) -> bool {
        let mut state = self.state.lock();
        if state.closed {
            return true;
        }
        let cost = piece.len().max(LEAST_COST);
        if !state.queue.is_empty() && state.cost + cost > ROOM {
            return false;
        }
        state.starved |= state.queue.is_empty();
        state.cost += cost;
        state.most = state.most.max(state.cost);
        state.queue.push_back(piece.clone());
        Self::wake(state);
        self.ready.notify_one();
        true
    }

    /// Waits until the body has taken something, or there is nobody to take it any more.
    pub(super) async fn room(&self) {
        self.room.notified().await;
    }

    /// Whether a piece would be taken now.
    pub(super) fn has_room(&self) -> bool {
        let state = self.state.lock();
        state.closed || state.queue.is_empty() || state.cost < ROOM / 2
    }

    /// Whether the body has taken everything and waits for more.
    pub(super) fn is_starving(&self) -> bool {
        let state = self.state.lock();
        state.queue.is_empty() && state.taker.is_some() && !state.closed
    }

    /// Whether nobody takes anything any more.
    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    /// Reading failed: the body fails, and what is in the queue is never sent.
    pub(super) fn fail(&self, error: Error) {
        let mut state = self.state.lock();
        state.failure.get_or_insert(error);
        state.queue.clear();
        state.cost = 0;
        Self::wake(state);
        self.ready.notify_one();
    }

    /// The destination gave up: what is given from now on goes nowhere.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.queue.clear();
        state.cost = 0;
        Self::wake(state);
        self.room.notify_one();
    }

    fn wake(mut state: MutexGuard<'_, State>) {
        let taker = state.taker.take();
        drop(state);
        if let Some(taker) = taker {
            taker.wake();
        }
    }

    /// Why reading failed.
    pub(super) fn failure(&self) -> Option<Error> {
        self.state.lock().failure.clone()
    }

    /// Waits until there is something to send, or there will never be.
    pub(super) async fn ready(&self) {
        let is_ready = || {
            let state = self.state.lock();
            !state.queue.is_empty() || state.failure.is_some()
        };
        while !is_ready() {
            self.ready.notified().await;
        }
    }

    /// The reader goes on without this one, which has to be fed from `cursor` on.
    pub(super) fn detach(&self, cursor: Cursor) {
        self.state.lock().detached = Some(cursor);
        self.stir.notify_one();
    }

    /// Where to go on reading, once after [`Self::detach`].
    pub(super) fn take_detached(&self) -> Option<Cursor> {
        self.state.lock().detached.take()
    }

    /// Waits until something was taken, or the reader has let go.
    pub(super) async fn stirred(&self) {
        self.stir.notified().await;
    }

    /// How it goes; begins to watch anew.
    pub(super) fn look(&self) -> Look {
        let mut state = self.state.lock();
        let starved = std::mem::take(&mut state.starved) || state.queue.is_empty();
        Look {
            taken: state.taken,
            could: state.active && !starved,
            active: state.active,
        }
    }

    /// How many bytes were taken.
    pub(super) fn taken(&self) -> u64 {
        self.state.lock().taken
    }

    /// Notes the state of the hash at `offset`, now and then.
    pub(super) fn mark(&self, offset: u64, hasher: &Hasher) {
        let mut state = self.state.lock();
        let last = state.marks.back().map_or(0, |(offset, _)| *offset);
        if offset >= last.saturating_add(MARK_EVERY) {
            state.marks.push_back((offset, hasher.clone()));
            if state.marks.len() > MARKS {
                state.marks.pop_front();
            }
        }
    }

    /// The marks that are not past `offset`: where reading can begin again for whoever has all bytes before `offset`.
    pub(super) fn marks_until(&self, offset: u64) -> Vec<(u64, Hasher)> {
        let state = self.state.lock();
        let marks = state.marks.iter().filter(|(at, _)| *at <= offset);
        marks.cloned().collect()
    }

    /// Begins with the marks of the feed before.
    pub(super) fn with_marks(self: Arc<Self>, marks: Vec<(u64, Hasher)>) -> Arc<Self> {
        self.state.lock().marks = marks.into();
        self
    }

    /// The most that was ever in the queue.
    #[cfg(test)]
    pub(super) fn most(&self) -> usize {
        self.state.lock().most
    }

    /// The next `length` bytes, as a request's body.
    pub(super) fn body(self: &Arc<Self>, length: u64) -> FeedBody {
        FeedBody {
            feed: Arc::clone(self),
            left: length,
        }
    }

    /// No body is being sent.
    fn rest(&self) {
        self.state.lock().active = false;
    }

    /// At most `most` bytes.
    fn take(&self, most: u64, cx: &Context<'_>) -> Poll<Result<Bytes, BrokenOff>> {
        let mut state = self.state.lock();
        if state.closed || state.failure.is_some() {
            return Poll::Ready(Err(BrokenOff));
        }
        state.active = true;
        let Some(mut piece) = state.queue.pop_front() else {
            state.starved = true;
            let has_said_so = state.taker.replace(cx.waker().clone()).is_some();
            drop(state);
            // A reader that waits for room has it; one that does not is not held up. It is told once, however often this is asked.
            if !has_said_so {
                self.room.notify_one();
            }
            return Poll::Pending;
        };
        state.cost -= piece.len().max(LEAST_COST).min(state.cost);
        if length(&piece) > most {
            let rest =
                piece.split_off(usize::try_from(most).unwrap_or(usize::MAX).min(piece.len()));
            state.cost += rest.len().max(LEAST_COST);
            state.queue.push_front(rest);
        }
        state.taken += length(&piece);
        drop(state);
        self.room.notify_one();
        self.stir.notify_one();
        Poll::Ready(Ok(piece))
    }
}

/// As the body of a request.
#[derive(Debug)]
pub(super) struct FeedBody {
    feed: Arc<Feed>,
    left: u64,
}

impl Body for FeedBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.feed.take(self.left, cx).map(|taken| {
            Some(taken.map(|piece| {
                self.left = self.left.saturating_sub(length(&piece));
                if self.left == 0 {
                    self.feed.rest();
                }
                Frame::data(piece)
            }))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

impl Drop for FeedBody {
    fn drop(&mut self) {
        self.feed.rest();
    }
}

/// The destination's hold on a feed: given up when dropped, so that no reader waits for nobody.
#[derive(Debug)]
pub(super) struct Hold(pub(super) Arc<Feed>);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.close();
    }
}

pub(super) fn length(piece: &Bytes) -> u64 {
    u64::try_from(piece.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::image::Algorithm;

    fn piece(length: usize) -> Bytes {
        Bytes::from(vec![7; length])
    }

    fn broken() -> Error {
        Error::Broken {
            host: "r.example".to_owned(),
            cause: "it did".to_owned(),
        }
    }

    #[tokio::test]
    async fn a_full_queue_takes_nothing_until_the_body_does() {
        let feed = Feed::new();
        let mut given = 0;
        while feed.give(&piece(100 << 10)) {
            given += 1;
        }
        assert_eq!(given, 10);
        assert!(feed.most() <= ROOM && !feed.has_room());
        let mut body = feed.body(1 << 30);
        body.frame().await.unwrap().unwrap();
        assert!(feed.give(&piece(100 << 10)));
        assert_eq!(feed.taken(), 100 << 10);
    }

    #[tokio::test]
    async fn many_tiny_pieces_fill_it_too() {
        let feed = Feed::new();
        let mut given = 0;
        while feed.give(&piece(1)) {
            given += 1;
        }
        assert_eq!(given, ROOM / LEAST_COST);
    }

    #[tokio::test]
    async fn a_body_ends_where_it_is_told_to_and_the_next_goes_on() {
        let feed = Feed::new();
        assert!(feed.give(&Bytes::from_static(b"abcdef")));
        let first = feed.body(4);
        assert_eq!(first.size_hint().exact(), Some(4));
        assert_eq!(first.collect().await.unwrap().to_bytes(), "abcd");
        assert!(feed.give(&Bytes::from_static(b"gh")));
        assert_eq!(feed.body(4).collect().await.unwrap().to_bytes(), "efgh");
    }

    #[tokio::test]
    async fn a_failure_breaks_the_body_whatever_is_in_the_queue() {
        let feed = Feed::new();
        assert!(feed.give(&piece(10)));
        feed.fail(broken());
        assert!(feed.body(10).frame().await.unwrap().is_err());
        assert_eq!(feed.failure(), Some(broken()));

        let feed = Feed::new();
        let mut body = feed.body(10);
        assert!(body.frame().now_or_never().is_none());
        drop(Hold(Arc::clone(&feed)));
        assert!(body.frame().await.unwrap().is_err());
        assert!(feed.give(&piece(2 << 20)), "into nothing");
    }

    #[test]
    fn the_last_marks_are_kept() {
        let feed = Feed::new();
        let hasher = Hasher::new(Algorithm::Sha256);
        for megabytes in 0..100 {
            feed.mark(megabytes << 20, &hasher);
        }
        let marks = |until: u64| -> Vec<u64> {
            let marks = feed.marks_until(until << 20);
            marks.iter().map(|(at, _)| at >> 20).collect()
        };
        assert_eq!(marks(100), [72, 80, 88, 96]);
        assert_eq!(marks(90), [72, 80, 88]);
        assert_eq!(marks(10), [0; 0]);
    }
}
