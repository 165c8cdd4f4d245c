//! What metrics learn of each request: never a path, a tag or a credential.

use std::fmt::Debug;
use std::time::Duration;

use http::StatusCode;

/// What a request was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A page of a tag list.
    List,
    /// A manifest or its digest.
    Manifest,
    /// An image's configuration, or any other blob, read.
    Blob,
    /// The beginning of an upload, a mount, or the end of one.
    Upload,
    /// The list of a manifest's referrers.
    Referrers,
    /// A token server's token.
    Token,
}

impl Operation {
    /// A label's value, from a closed set.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Manifest => "manifest",
            Self::Blob => "blob",
            Self::Upload => "upload",
            Self::Referrers => "referrers",
            Self::Token => "token",
        }
    }
}

/// One request and how it went.
#[derive(Debug, Clone, Copy)]
pub struct Exchange<'a> {
    /// Host and port of the registry on whose behalf this was: of a token server's or a redirect's target no less.
    pub host: &'a str,
    /// What for.
    pub operation: Operation,
    /// The status; none: no answer.
    pub status: Option<StatusCode>,
    /// Until the head of the answer.
    pub elapsed: Duration,
}

impl Exchange<'_> {
    /// A label's value, from a closed set: `2xx` … `5xx`, `other`, or `error` when there was no answer.
    pub fn status_class(&self) -> &'static str {
        match self.status.map(|status| status.as_u16() / 100) {
            Some(2) => "2xx",
            Some(3) => "3xx",
            Some(4) => "4xx",
            Some(5) => "5xx",
            Some(_) => "other",
            None => "error",
        }
    }
}

/// A wait for a host's budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// It was waited for.
    For(Duration),
    /// Nothing was asked: it would have taken too long.
    PutOff,
}

/// How the reading of a tag list ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scan {
    /// With a list.
    Listed,
    /// With the word that nothing changed.
    Unchanged,
    /// With an error.
    Failed,
    /// Before it began: the host's budget had no room.
    PutOff,
}

impl Scan {
    /// A label's value, from a closed set.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Listed => "listed",
            Self::Unchanged => "unchanged",
            Self::Failed => "failed",
            Self::PutOff => "put_off",
        }
    }
}

/// Is told of every request. Must be quick: it is called on the way.
pub trait Observer: Debug + Send + Sync {
    /// `exchange` has just been answered, or failed.
    fn observe(&self, exchange: Exchange<'_>);

    /// A request to the host had to wait for the host's budget.
    fn waited(&self, _host: &str, _wait: Wait) {}

    /// The reading of a tag list ended so; the time it took is without waiting for the host's budget.
    fn scanned(&self, _host: &str, _scan: Scan, _took: Duration) {}
}

/// Looks away.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Nobody;

impl Observer for Nobody {
    fn observe(&self, _: Exchange<'_>) {}
}
