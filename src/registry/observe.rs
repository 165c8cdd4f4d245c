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
    /// A token server's token.
    Token,
}

impl Operation {
    /// A label's value, from a closed set.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Manifest => "manifest",
            Self::Token => "token",
        }
    }
}

/// One request and how it went.
#[derive(Debug, Clone, Copy)]
pub struct Exchange<'a> {
    /// The host and port that were asked.
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

/// Is told of every request. Must be quick: it is called on the way.
pub trait Observer: Debug + Send + Sync {
    /// `exchange` has just been answered, or failed.
    fn observe(&self, exchange: Exchange<'_>);
}

/// Looks away.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Nobody;

impl Observer for Nobody {
    fn observe(&self, _: Exchange<'_>) {}
}
