//! What the registry can be made to do wrong.

use std::time::Duration;

/// One way to misbehave.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// This status, with an error document.
    Status(u16),
    /// This status, with this error code.
    Code(u16, &'static str),
    /// 429, with this Retry-After if any.
    RateLimited(Option<String>),
    /// 503, with this Retry-After.
    Unavailable(String),
    /// 200 and a page for people.
    Html,
    /// 200 and this body as JSON.
    Json(String),
    /// 200 and a tag list that never ends.
    EndlessJson,
    /// 200 and a page that names itself as its next.
    LinkToItself,
    /// 200, the usual page, and this `Link` header.
    Link(String),
    /// 200, and ever the same page, each naming a new next one.
    EndlessPages,
    /// Empty pages, each naming a new next one.
    EndlessEmptyPages,
    /// Part of the body, then the connection is reset.
    Reset,
    /// Part of the body, then the connection ends in order.
    Truncated,
    /// The usual answer, after this time.
    Slow(Duration),
    /// Part of the body, then nothing more.
    Stalled,
    /// 307 to this place.
    Redirect(String),
    /// 307 to where the request went, for ever.
    RedirectToItself,
    /// 401 with this `WWW-Authenticate`, before authentication is looked at; none: without the header.
    Challenge(Option<String>),
    /// 401 that repeats the `Authorization` header in its message.
    Echo,
    /// The usual answer, gzip claimed.
    Compressed,
    /// The usual answer, with these headers besides.
    Headers(Vec<(&'static str, String)>),
    /// The usual manifest without, or with another, Docker-Content-Digest.
    ContentDigest(Option<String>),
}

impl Fault {
    /// Whether it comes before authentication.
    pub(super) fn is_early(&self) -> bool {
        matches!(self, Self::Challenge(_) | Self::Echo)
    }
}
