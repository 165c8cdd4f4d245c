//! Bodies that are counted while they pass: what a client sends, at the pace and as far as it is read, and what it is sent.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Response};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};

use super::Shared;
use super::faults::Fault;
use super::log::Route;
use super::replies::Body;

/// One request under way.
#[derive(Debug)]
pub(super) struct Ticket {
    shared: Arc<Shared>,
    pub(super) number: usize,
    route: Route,
}

impl Ticket {
    pub(super) fn new(shared: &Arc<Shared>, number: usize, route: Route) -> Self {
        Self {
            shared: Arc::clone(shared),
            number,
            route,
        }
    }

    /// `answer`, its status written down, its body to be counted.
    pub(super) fn stamp(self, answer: Response<Body>) -> Response<Body> {
        let status = answer.status().as_u16();
        self.shared.state.lock().book.answered(self.number, status);
        answer.map(|body| Body::new(Metered { body, ticket: self }))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.shared.state.lock().book.end(self.route);
    }
}

/// An answer's body.
struct Metered {
    body: Body,
    ticket: Ticket,
}

impl hyper::body::Body for Metered {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            let book = &mut self.ticket.shared.state.lock().book;
            book.wrote(self.ticket.number, data.len() as u64);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A request's body.
pub(super) struct Intake {
    body: Incoming,
    shared: Arc<Shared>,
    number: usize,
    wants_reset: Arc<AtomicBool>,
    end: End,
    /// Bytes until `end`.
    left: u64,
    bytes_per_second: Option<u64>,
    /// After so many more bytes.
    pause: Option<(u64, Duration)>,
}

/// What comes after the last byte that may be read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Orderly,
    Reset,
    Stall,
}

impl Intake {
    pub(super) fn new(
        body: Incoming,
        ticket: &Ticket,
        wants_reset: &Arc<AtomicBool>,
        fault: Option<&Fault>,
    ) -> Self {
        let (end, left) = match fault {
            Some(Fault::ResetAfter(bytes)) => (End::Reset, *bytes),
            Some(Fault::StallReading(bytes)) => (End::Stall, *bytes),
            _ => (End::Orderly, u64::MAX),
        };
        let bytes_per_second = match fault {
            Some(Fault::SlowReading(bytes)) => Some(*bytes),
            _ => None,
        };
        let pause = match fault {
            Some(Fault::PauseReading(bytes, time)) => Some((*bytes, *time)),
            _ => None,
        };
        Self {
            body,
            shared: Arc::clone(&ticket.shared),
            number: ticket.number,
            wants_reset: Arc::clone(wants_reset),
            end,
            left,
            bytes_per_second,
            pause,
        }
    }

    /// The next bytes; an error: the connection is to end, or has.
    pub(super) async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if self.left == 0 {
                match self.end {
                    End::Orderly => {}
                    End::Reset => return Err(self.reset()),
                    End::Stall => std::future::pending().await,
                }
            }
            let Some(frame) = self.body.frame().await else {
                if self.end == End::Reset {
                    return Err(self.reset());
                }
                return Ok(None);
            };
            let frame = frame.map_err(io::Error::other)?;
            let Ok(mut data) = frame.into_data() else {
                continue;
            };
            data.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
            self.left -= data.len() as u64;
            self.shared
                .state
                .lock()
                .book
                .read(self.number, data.len() as u64);
            if let Some((bytes, time)) = &mut self.pause {
                *bytes = bytes.saturating_sub(data.len() as u64);
                if *bytes == 0 {
                    let time = *time;
                    self.pause = None;
                    tokio::time::sleep(time).await;
                }
            }
            if let Some(bytes) = self.bytes_per_second {
                tokio::time::sleep(time_for(data.len() as u64, bytes)).await;
            }
            return Ok(Some(data));
        }
    }

    fn reset(&self) -> io::Error {
        self.wants_reset.store(true, Ordering::SeqCst);
        io::Error::other("told to break off")
    }

    /// All of it.
    pub(super) async fn whole(&mut self) -> io::Result<Bytes> {
        let mut all = BytesMut::new();
        while let Some(data) = self.next().await? {
            all.extend_from_slice(&data);
        }
        Ok(all.freeze())
    }

    /// Whether nothing is left of it.
    pub(super) fn is_empty(&self) -> bool {
        self.body.is_end_stream()
    }

    /// Lets it go.
    pub(super) async fn drain(&mut self) -> io::Result<()> {
        while self.next().await?.is_some() {}
        Ok(())
    }
}

pub(super) fn time_for(bytes: u64, per_second: u64) -> Duration {
    Duration::from_nanos(bytes.saturating_mul(1_000_000_000) / per_second.max(1))
}

/// A number in a header.
pub(super) fn number(headers: &HeaderMap, name: http::HeaderName) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}
