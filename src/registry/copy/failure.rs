//! Why something was not copied, in words that stand by themselves. Failures are shared: one blob may be what many
//! images wait for.

use std::sync::Arc;

use crate::registry::{Error, Kind};

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) cause: Arc<str>,
    /// Whether trying again later makes sense.
    pub(super) is_temporary: bool,
    /// Whether it is that the source no longer has what was asked for.
    pub(super) is_lost: bool,
}

/// Why an image was not copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stop {
    Failed(Failure),
    /// The registry says that it misses something the manifest names.
    Missing {
        words: String,
        /// Whether it may be that a tag is refused for itself.
        is_vague: bool,
    },
    /// The tag is not to be moved.
    Immutable {
        found: crate::image::Digest,
        cause: String,
    },
    /// The tag came to be something else meanwhile, and is not to be written over.
    Drifted {
        found: crate::image::Digest,
    },
    /// The source does not have it: what was on its list is gone, what was asked for by name a mistake.
    Gone,
    Interrupted,
}

impl Failure {
    /// It will not do, however often it is tried.
    pub(super) fn lasting(cause: impl Into<Arc<str>>) -> Self {
        Self {
            cause: cause.into(),
            is_temporary: false,
            is_lost: false,
        }
    }

    /// The source does not have what it should.
    pub(super) fn lost(cause: impl Into<Arc<str>>) -> Self {
        Self {
            is_lost: true,
            ..Self::lasting(cause)
        }
    }

    /// `attempt` failed.
    pub(super) fn of(attempt: &str, error: &Error) -> Self {
        Self {
            cause: format!("{attempt}: {error}").into(),
            is_temporary: is_temporary(error.kind()),
            is_lost: error.kind() == Kind::NotFound,
        }
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

fn is_temporary(kind: Kind) -> bool {
    match kind {
        Kind::RateLimited | Kind::Unavailable | Kind::Transport => true,
        Kind::Authentication
        | Kind::Forbidden
        | Kind::NotFound
        | Kind::InvalidName
        | Kind::Certificate
        | Kind::Integrity
        | Kind::Protocol
        | Kind::Limit
        | Kind::Unsafe
        | Kind::Configuration => false,
    }
}
