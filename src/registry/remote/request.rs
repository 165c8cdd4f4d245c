//! One request on behalf of a [`Remote`](super::Remote): window, pace, credential, token, redirects, tries.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use url::Url;

use super::Remote;
use crate::image::Repository;
use crate::registry::Error;
use crate::registry::observe::Operation;
use crate::registry::window::Class;

/// What a request carries.
#[derive(Debug)]
pub(in crate::registry) enum Payload {
    /// Nothing (`Content-Length: 0` where the method wants one).
    Empty,
    /// These bytes; they can be sent again.
    Whole(Bytes),
    /// A stream of exactly so many bytes (`Content-Length`, never chunked); it can be sent once.
    Stream {
        /// The bytes (a body whose size hint is exact).
        body: reqwest::Body,
        /// How many.
        length: u64,
    },
}

/// Where a request goes.
#[derive(Debug)]
pub(in crate::registry) enum To<'a> {
    /// A path and query on the registry itself, with the leading slash.
    Path(String),
    /// Where a `Location` of the registry led, already resolved by [`Remote::resolve`]: with the credential only on the
    /// registry's own origin, never nearer than the registry, never from https to http.
    Location(&'a Url),
}

/// One request.
#[derive(Debug)]
pub(in crate::registry) struct Request<'a> {
    pub(in crate::registry) method: Method,
    pub(in crate::registry) to: To<'a>,
    pub(in crate::registry) operation: Operation,
    /// Whose window it waits for; the permit is kept in the [`Reply`] until it is read or dropped.
    pub(in crate::registry) class: Class,
    /// Headers besides `Accept`, `Authorization`, `User-Agent` and `Content-Length`.
    pub(in crate::registry) headers: Vec<(HeaderName, HeaderValue)>,
    pub(in crate::registry) accept: &'static str,
    pub(in crate::registry) payload: Payload,
    /// Repositories that are mounted from: `pull` on them goes into the same token.
    pub(in crate::registry) mount_from: Option<&'a Repository>,
    /// Whether it may be made again after a 5xx, a reset, a 429: false for streams, whatever is said here.
    pub(in crate::registry) may_repeat: bool,
    /// Until the head of the answer; a stream has no such limit, only one on silence.
    pub(in crate::registry) patience: Duration,
}

/// An answer whose body is still to be read. Statuses are not judged but for 401 and 429/503 when it may be repeated.
#[derive(Debug)]
pub(in crate::registry) struct Reply {
    pub(in crate::registry) status: StatusCode,
    pub(in crate::registry) headers: HeaderMap,
    /// Where it was asked in the end: `Location` is relative to this.
    pub(in crate::registry) url: Url,
    /// The host that answered, for messages.
    pub(in crate::registry) host: String,
}

impl Reply {
    /// The whole body, at most `limit` bytes (of an error status: its beginning).
    pub(in crate::registry) async fn body(&mut self, _limit: u64) -> Result<Bytes, Error> {
        todo!()
    }

    /// The next piece of the body; none at its end.
    pub(in crate::registry) async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        todo!()
    }
}

impl Remote {
    /// Makes the request. 401 is answered with a credential (once more with a fresh token; a stream only before it is begun: then
    /// the error is [`Error::Stale`], and the upload is begun anew).
    pub(in crate::registry) async fn send(&self, _request: Request<'_>) -> Result<Reply, Error> {
        todo!()
    }

    /// Resolves the `Location` of `reply`, or says why it is not followed.
    pub(in crate::registry) async fn resolve(&self, _reply: &Reply) -> Result<Url, Error> {
        todo!()
    }

    /// The error that a status other than a success means, the body's account included. Reads the body.
    pub(in crate::registry) async fn refuse(&self, _reply: Reply, _asked: &str) -> Error {
        todo!()
    }
}
