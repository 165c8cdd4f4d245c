//! Blobs, looked for and read. Their content is not verified here: `transfer` does that on the way.

use std::fmt;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, RANGE};
use http::{HeaderValue, Method, StatusCode};

use super::Remote;
use super::manifests::{PATIENCE, plain};
use super::request::{Payload, Repeat, Reply, Request, To};
use crate::image::Digest;
use crate::mirror::document::{Descriptor, UNKNOWN_SIZE};
use crate::registry::Error;
use crate::registry::answer::is_html;
use crate::registry::observe::Operation;
use crate::registry::window::{Class, Permit};

/// A blob on its way, from some offset on. Its content is not verified here.
pub struct BlobStream {
    /// Where the first byte stands in the blob: the offset asked for.
    pub offset: u64,
    /// How long the whole blob is, as its descriptor has it; where that does not say, as this answer has it.
    pub size: u64,
    reply: Reply,
    /// What names it in errors.
    what: String,
    /// Bytes in front of the offset, which a registry that knows no ranges sends again.
    skip: u64,
    left: u64,
}

impl fmt::Debug for BlobStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobStream")
            .field("what", &self.what)
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

impl BlobStream {
    /// The next piece; none at the end. Never more than `size - offset` bytes in all; a silence longer than the stall
    /// limit, or slower than 1 KiB/s for a minute, is an error.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let Some(mut piece) = self.reply.chunk().await? else {
                if self.left > 0 || self.skip > 0 {
                    let cause = format!("it ended {} bytes early", self.left + self.skip);
                    return Err(Error::Broken {
                        host: self.reply.host.clone(),
                        cause,
                    });
                }
                return Ok(None);
            };
            if self.skip > 0 {
                let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
                let skipped = self.skip.min(length);
                self.skip -= skipped;
                piece = piece.split_off(usize::try_from(skipped).unwrap_or(usize::MAX));
            }
            if piece.is_empty() {
                continue;
            }
            let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
            let left = self.left.checked_sub(length);
            self.left = left.ok_or_else(|| Error::Integrity {
                host: self.reply.host.clone(),
                what: self.what.clone(),
                cause: format!("it is longer than {} bytes", self.size),
            })?;
            return Ok(Some(piece));
        }
    }
}

impl Remote {
    /// Whether the blob is there.
    pub async fn has_blob(&self, digest: &Digest) -> Result<bool, Error> {
        let request = Request {
            class: Class::UploadStart,
            ..self.about_blob(Method::HEAD, digest)
        };
        let reply = self.send(request).await?;
        match reply.status {
            // A page for people is no blob: then nobody can tell.
            status if status.is_success() => Ok(!is_html(&reply.headers, &[])),
            // Sent on to where it is kept, which does not take HEAD: then it is there.
            StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST | StatusCode::METHOD_NOT_ALLOWED
                if reply.left =>
            {
                Ok(true)
            }
            // Where nobody can tell, it is written once more.
            StatusCode::NOT_FOUND
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::NOT_IMPLEMENTED => Ok(false),
            _ => {
                let asked = self.asked_blob(&Method::HEAD, digest);
                Err(self.refuse(reply, &asked).await)
            }
        }
    }

    /// Opens a blob at `offset`: 200 for 0, 206 with a matching Content-Range otherwise, no encoding, and a length that is
    /// the descriptor's. A registry that knows no ranges sends all of it again, and what is in front of the offset is
    /// left out. Redirects are followed as everywhere: no credential leaves the registry's host.
    ///
    /// Who reads on (an offset above 0) does not wait for a place: it may hold one at the destination.
    pub async fn open_blob(&self, blob: &Descriptor, offset: u64) -> Result<BlobStream, Error> {
        self.open_blob_from(blob, offset, None).await
    }

    /// Waits for a place to read blobs.
    pub(in crate::registry) async fn place_to_read(&self) -> Permit {
        let inner = self.inner();
        let host = self.repository.registry().api_host();
        inner.windows.enter(host, Class::BlobRead).await
    }

    /// As [`Self::open_blob`], from a `place` that was waited for before.
    pub(in crate::registry) async fn open_blob_from(
        &self,
        blob: &Descriptor,
        offset: u64,
        place: Option<Permit>,
    ) -> Result<BlobStream, Error> {
        let mut request = self.about_blob(Method::GET, &blob.digest);
        if offset > 0 {
            let range = HeaderValue::from_str(&format!("bytes={offset}-"));
            let range = range.map_err(|_| Error::Setup {
                cause: "a range makes no header".to_owned(),
            })?;
            request.headers.push((RANGE, range));
        }
        let reply = self
            .send_from(request, Repeat::Always, offset > 0, place)
            .await?;
        let what = format!("{}@{}", self.repository.path(), blob.digest);
        let length = stated_length(&reply);
        let differs = |cause: String| Error::Integrity {
            host: reply.host.clone(),
            what: what.clone(),
            cause,
        };
        // Schema 1 names no sizes.
        let size = match (blob.size, reply.status) {
            (UNKNOWN_SIZE, StatusCode::OK) => length,
            (UNKNOWN_SIZE, StatusCode::PARTIAL_CONTENT) => {
                content_range(&reply).and_then(|(_, _, whole)| whole)
            }
            (UNKNOWN_SIZE, _) => Some(0),
            (size, _) => Some(size),
        };
        let size = size.ok_or_else(|| differs("nobody says how long it is".to_owned()))?;
        let left = size.saturating_sub(offset);
        let asked = self.asked_blob(&Method::GET, &blob.digest);
        let skip = match reply.status {
            StatusCode::OK => {
                if length.is_some_and(|length| length != size) {
                    if is_html(&reply.headers, &[]) {
                        let host = reply.host;
                        return Err(Error::Html { host, asked });
                    }
                    let length = length.unwrap_or_default();
                    return Err(differs(format!(
                        "it has {length} bytes, and {size} are expected"
                    )));
                }
                offset
            }
            StatusCode::PARTIAL_CONTENT if offset > 0 => {
                let is_right = content_range(&reply).is_some_and(|(first, last, whole)| {
                    first == offset
                        && last.checked_add(1) == Some(size)
                        && whole.is_none_or(|whole| whole == size)
                });
                if !is_right || length.is_some_and(|length| length != left) {
                    return Err(Error::Malformed {
                        host: reply.host,
                        asked,
                        cause: format!("it sent another range than from {offset} to the end"),
                    });
                }
                0
            }
            StatusCode::PARTIAL_CONTENT => {
                return Err(Error::Malformed {
                    host: reply.host,
                    asked,
                    cause: "it sent a part, and the whole was asked for".to_owned(),
                });
            }
            _ => return Err(self.refuse(reply, &asked).await),
        };
        if reply.is_encoded() {
            return Err(reply.encoded());
        }
        Ok(BlobStream {
            offset,
            size,
            reply,
            what,
            skip,
            left,
        })
    }

    fn about_blob<'a>(&self, method: Method, digest: &Digest) -> Request<'a> {
        Request {
            method,
            to: To::Path(format!("/v2/{}/blobs/{digest}", self.repository.path())),
            operation: Operation::Blob,
            class: Class::BlobRead,
            headers: vec![plain()],
            accept: "*/*",
            payload: Payload::Empty,
            mount_from: None,
            may_repeat: true,
            patience: PATIENCE,
        }
    }

    fn asked_blob(&self, method: &Method, digest: &Digest) -> String {
        format!("{method} /v2/{}/blobs/{digest}", self.repository.path())
    }
}

/// The length that the head states.
fn stated_length(reply: &Reply) -> Option<u64> {
    let text = reply.headers.get(CONTENT_LENGTH)?.to_str().ok()?;
    text.trim().parse().ok()
}

/// `bytes <first>-<last>/<whole or *>` (RFC 9110 14.4).
fn content_range(reply: &Reply) -> Option<(u64, u64, Option<u64>)> {
    range(reply.headers.get(CONTENT_RANGE)?.to_str().ok()?)
}

fn range(text: &str) -> Option<(u64, u64, Option<u64>)> {
    let (range, whole) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let whole = match whole.trim() {
        "*" => None,
        number => Some(number.parse().ok()?),
    };
    Some((first.trim().parse().ok()?, last.trim().parse().ok()?, whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_range_is_read_as_it_is_written() {
        for (text, expected) in [
            ("bytes 5-9/10", Some((5, 9, Some(10)))),
            ("bytes 5-9/*", Some((5, 9, None))),
            ("bytes */10", None),
            ("bytes 5-/10", None),
            ("5-9/10", None),
            ("bytes 5-9/x", None),
            ("bytes -1-9/10", None),
        ] {
            assert_eq!(range(text), expected, "{text}");
        }
    }
}
