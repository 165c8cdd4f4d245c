//! An answer whose body is still to be read: bounded, and watched for silence.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_ENCODING;
use http::{HeaderMap, StatusCode};
use tokio::time::Instant;
use url::Url;

use crate::registry::Error;
use crate::registry::redact::Redactor;
use crate::registry::transport::{Opened, innermost};
use crate::registry::window::Permit;

/// Slower than this, and it counts as silence.
const SLOWEST: u64 = 1 << 10;

/// A document takes no longer, besides one silence.
const WHOLE: Duration = Duration::from_mins(2);

/// Watches over the pace of what is read: only the time spent waiting for it counts.
#[derive(Debug)]
pub(super) struct Stall {
    allowed: Duration,
    waited: Duration,
    bytes: u64,
}

impl Stall {
    /// Silence, or less than 1 KiB/s, is an error after `allowed`.
    pub(super) fn new(allowed: Duration) -> Self {
        Self {
            allowed,
            waited: Duration::ZERO,
            bytes: 0,
        }
    }

    /// Takes in that `bytes` came after `waited`; false: it is too slow.
    fn took(&mut self, waited: Duration, bytes: u64) -> bool {
        self.waited += waited;
        self.bytes = self.bytes.saturating_add(bytes);
        if self.waited < self.allowed {
            return true;
        }
        let is_fast = self.bytes >= SLOWEST.saturating_mul(self.waited.as_secs());
        self.waited = Duration::ZERO;
        self.bytes = 0;
        is_fast
    }
}

/// A place in a window, given back with the word of how it went.
#[derive(Debug)]
struct Place(Option<Permit>);

impl Place {
    fn congested(&mut self) {
        if let Some(permit) = self.0.take() {
            permit.congested();
        }
    }

    fn went_well(&mut self) {
        if let Some(permit) = self.0.take() {
            permit.went_well();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.went_well();
    }
}

/// An answer whose body is still to be read. Statuses are not judged but for 401 and 429/503 when it may be repeated.
pub(in crate::registry) struct Reply {
    pub(in crate::registry) status: StatusCode,
    pub(in crate::registry) headers: HeaderMap,
    /// Where it was asked in the end: `Location` is relative to this.
    pub(in crate::registry) url: Url,
    /// The host that answered, for messages.
    pub(in crate::registry) host: String,
    /// Whether that is another host than the registry.
    pub(in crate::registry) left: bool,
    /// What was asked of the registry itself, before any redirect.
    pub(super) asked: Url,
    pub(super) redactor: Redactor,
    /// The right that it took.
    pub(super) right: &'static str,
    pub(super) response: reqwest::Response,
    repository: String,
    place: Place,
    stall: Stall,
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("status", &self.status)
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

impl Reply {
    pub(super) fn new(
        opened: Opened,
        permit: Option<Permit>,
        redactor: Redactor,
        repository: &str,
        right: &'static str,
        stall: Stall,
    ) -> Self {
        let Opened {
            response,
            asked,
            host,
            left,
            at,
        } = opened;
        Self {
            status: response.status(),
            headers: response.headers().clone(),
            url: at,
            host,
            left,
            asked,
            redactor,
            right,
            response,
            repository: repository.to_owned(),
            place: Place(permit),
            stall,
        }
    }

    /// The whole body, at most `limit` bytes (of an error status: its beginning).
    pub(in crate::registry) async fn body(&mut self, limit: u64) -> Result<Bytes, Error> {
        let is_error = !self.status.is_success();
        let too_long = |reply: &Self| Error::Limit {
            host: reply.host.clone(),
            repository: reply.repository.clone(),
            what: "an answer",
            limit,
            unit: "bytes",
        };
        if self.is_encoded() {
            return if is_error {
                Ok(Bytes::new())
            } else {
                Err(self.encoded())
            };
        }
        let stated = self.response.content_length();
        if !is_error && stated.is_some_and(|length| length > limit) {
            return Err(too_long(self));
        }
        let allowed = WHOLE + self.stall.allowed;
        let end = Instant::now() + allowed;
        let mut body = Vec::new();
        loop {
            let chunk = tokio::time::timeout_at(end, self.chunk()).await;
            let chunk = chunk.unwrap_or_else(|_| {
                self.place.congested();
                Err(Error::TimedOut {
                    host: self.host.clone(),
                    allowed,
                })
            });
            let chunk = match chunk {
                Ok(Some(chunk)) => chunk,
                Ok(None) => return Ok(body.into()),
                // The status says enough.
                Err(_) if is_error => return Ok(body.into()),
                Err(error) => return Err(error),
            };
            let room = limit.saturating_sub(u64::try_from(body.len()).unwrap_or(u64::MAX));
            if u64::try_from(chunk.len()).is_ok_and(|length| length <= room) {
                body.extend_from_slice(&chunk);
            } else if is_error {
                return Ok(body.into());
            } else {
                return Err(too_long(self));
            }
        }
    }

    /// The next piece of the body; none at its end.
    pub(in crate::registry) async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        let begin = Instant::now();
        let allowed = self.stall.allowed;
        let read = tokio::time::timeout(allowed, self.response.chunk()).await;
        let broken = |cause: String| Error::Broken {
            host: self.host.clone(),
            cause,
        };
        let outcome = match read {
            Err(_) => Err(broken(format!("nothing was heard for {allowed:?}"))),
            Ok(Err(error)) if error.is_timeout() => {
                Err(broken("nothing was heard for too long".to_owned()))
            }
            Ok(Err(error)) => Err(broken(innermost(&error))),
            Ok(Ok(chunk)) => {
                let length = chunk.as_ref().map_or(0, Bytes::len);
                let length = u64::try_from(length).unwrap_or(u64::MAX);
                if chunk.is_none() || self.stall.took(begin.elapsed(), length) {
                    Ok(chunk)
                } else {
                    Err(broken("it comes slower than 1 KiB/s".to_owned()))
                }
            }
        };
        match &outcome {
            Ok(Some(_)) => {}
            Ok(None) => self.place.went_well(),
            Err(_) => self.place.congested(),
        }
        outcome
    }

    /// Whether the body came in an encoding, none of which was asked for.
    pub(super) fn is_encoded(&self) -> bool {
        self.headers
            .get(CONTENT_ENCODING)
            .is_some_and(|encoding| encoding != "identity")
    }

    pub(super) fn encoded(&self) -> Error {
        Error::Integrity {
            host: self.host.clone(),
            what: self.repository.clone(),
            cause: "it is compressed on the way, which was not asked for".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_document_that_trickles_for_ever_comes_to_an_end() {
        let pieces = futures::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let piece = Bytes::from(vec![b' '; 1 << 10]);
            Some((Ok::<_, std::io::Error>(hyper::body::Frame::data(piece)), ()))
        });
        let body = reqwest::Body::wrap(http_body_util::StreamBody::new(Box::pin(pieces)));
        let url: Url = "https://r.example/v2/".parse().unwrap();
        let opened = Opened {
            response: http::Response::new(body).into(),
            asked: url.clone(),
            host: "r.example".to_owned(),
            left: false,
            at: url,
        };
        let stall = Stall::new(Duration::from_secs(30));
        let redactor = Redactor::for_credential(None);
        let mut reply = Reply::new(opened, None, redactor, "team/app", "pull", stall);
        let begin = Instant::now();
        let error = reply.body(4 << 20).await.unwrap_err();
        assert!(matches!(error, Error::TimedOut { .. }), "{error}");
        assert_eq!(begin.elapsed().as_secs(), 150);
    }

    #[test]
    fn what_trickles_is_as_good_as_silent() {
        let mut stall = Stall::new(Duration::from_mins(1));
        let second = Duration::from_secs(1);
        assert!((0..60).all(|_| stall.took(second, 1024)));
        assert!((0..59).all(|_| stall.took(second, 1000)));
        assert!(!stall.took(second, 1000));
        // Time that nobody waited does not count.
        assert!((0..1000).all(|_| stall.took(Duration::ZERO, 1)));
    }
}
