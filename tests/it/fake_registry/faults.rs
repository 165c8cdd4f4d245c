//! What the registry can be made to do wrong, and when.

use std::time::Duration;

use http::Method;
use regex::Regex;

/// One way to misbehave.
///
/// What replaces the answer of a request that writes (anything but GET and HEAD) replaces the work too, unless it says so.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// This status, with an error document.
    Status(u16),
    /// This status, with this error code.
    Code(u16, &'static str),
    /// This status, with this error code and these words.
    Says(u16, &'static str, &'static str),
    /// This status, and nothing else.
    Bare(u16),
    /// This status, and a page for people.
    HtmlStatus(u16),
    /// This status at once: the request's body is not read, and the connection is closed.
    Unread(u16),
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
    /// The usual answer without, or with another, Docker-Content-Digest.
    ContentDigest(Option<String>),
    /// The usual answer without Docker-Content-Digest.
    NoDigestHeader,
    /// The usual answer, of this type.
    ContentType(&'static str),
    /// The usual answer (and work), with this `Location`; empty: without one.
    Location(String),

    /// The head with the right Content-Length, this many bytes of the body, then the connection ends in order.
    TruncateAt(u64),
    /// The same, and the connection is reset.
    ResetAt(u64),
    /// The head, this many bytes of the body, then nothing more.
    StallAt(u64),
    /// The usual answer, this Content-Length claimed: cut where smaller, ended too early where larger.
    ContentLength(u64),
    /// The usual length, a byte in the middle changed.
    WrongBytes,
    /// The usual body, 64 KiB behind it, and no Content-Length.
    TooLong,
    /// The usual body at this many bytes in a second.
    SlowBody(u64),
    /// The connection is reset before anything is answered; nothing was done.
    ResetHead,
    /// No answer, ever; nothing was done.
    HangHead,
    /// This many bytes of the request's body are read (and kept, of an upload), then the connection is reset.
    ResetAfter(u64),
    /// This many bytes of the request's body are read (and kept, of an upload), then no more, for ever.
    StallReading(u64),
    /// This many bytes of the request's body are read, then nothing for this time, then the rest.
    PauseReading(u64, Duration),
    /// The request's body is read at this many bytes in a second.
    SlowReading(u64),
    /// The work is done, the connection reset instead of an answer.
    CommitThenReset,
    /// The work is done, and this status answered.
    CommitThen(u16),

    /// `Range` is not looked at: 200 and the whole.
    RangeIgnored,
    /// 206 from one byte later than asked, and saying so.
    RangeShifted,
    /// The upload session is forgotten (one just begun, as soon as it is answered).
    SessionLost,
    /// The work of a PATCH is done, answered with this status and a `Range` of `0-0`.
    PatchStatus(u16),
    /// This status to whoever asks for a mount; others are not met.
    MountForbidden(u16),
    /// 201 to whoever asks for a mount, and no blob; others are not met.
    MountAcceptedButMissing,
}

impl Fault {
    /// Whether it comes before authentication.
    pub(super) fn is_early(&self) -> bool {
        matches!(self, Self::Challenge(_) | Self::Echo)
    }

    /// Whether only a wish to mount meets it.
    fn is_of_mounts(&self) -> bool {
        matches!(
            self,
            Self::MountForbidden(_) | Self::MountAcceptedButMissing
        )
    }

    /// Whether nothing of the usual answer is left.
    pub(super) fn replaces_answer(&self) -> bool {
        matches!(
            self,
            Self::Status(_)
                | Self::Code(..)
                | Self::Says(..)
                | Self::Bare(_)
                | Self::HtmlStatus(_)
                | Self::RateLimited(_)
                | Self::Unavailable(_)
                | Self::Html
                | Self::Json(_)
                | Self::EndlessJson
                | Self::Reset
                | Self::Truncated
                | Self::Stalled
                | Self::Redirect(_)
                | Self::RedirectToItself
                | Self::Challenge(_)
                | Self::Echo
        )
    }
}

/// Which of the requests that a script is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nth {
    /// The first so many.
    First(usize),
    /// All.
    Every,
    /// This one, counted from 1.
    Exactly(usize),
    /// All but the first so many.
    After(usize),
}

/// A fault for requests of one kind.
#[derive(Debug, Clone)]
pub(super) struct Script {
    method: Option<Method>,
    /// Over `path` or `path?query`.
    pattern: Regex,
    nth: Nth,
    fault: Fault,
    seen: usize,
}

impl Script {
    pub(super) fn new(method: Option<Method>, pattern: &str, nth: Nth, fault: Fault) -> Self {
        Self {
            method,
            pattern: Regex::new(pattern).unwrap(),
            nth,
            fault,
            seen: 0,
        }
    }
}

/// The fault that `scripts` have for this request, which they count. Of several, the first.
pub(super) fn scripted(
    scripts: &mut [Script],
    is_early: bool,
    method: &Method,
    place: &str,
) -> Option<Fault> {
    let mut found = None;
    for script in scripts {
        if script.fault.is_early() != is_early
            || script.method.as_ref().is_some_and(|known| known != method)
            || !script.pattern.is_match(place)
            || (script.fault.is_of_mounts() && !place.contains("mount="))
        {
            continue;
        }
        script.seen += 1;
        let is_due = match script.nth {
            Nth::First(n) => script.seen <= n,
            Nth::Every => true,
            Nth::Exactly(n) => script.seen == n,
            Nth::After(n) => script.seen > n,
        };
        if is_due && found.is_none() {
            found = Some(script.fault.clone());
        }
    }
    found
}
