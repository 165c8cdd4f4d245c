//! Why the store could not do what it was asked.

use crate::object::Key;

/// The cause of a failure, of whatever library.
pub(super) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// What the store failed at.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The storage path cannot be used: rights, space, a broken disk. Damaged content is not an error: it is set aside.
    #[error("failed to open the tag store under {path}")]
    Open {
        /// The storage path.
        path: String,
        /// What stood in the way.
        source: Cause,
    },
    /// Another process (or another store of this one) holds the storage path.
    #[error("the tag store under {path} is in use by another process")]
    InUse {
        /// The storage path.
        path: String,
    },
    /// The disk did not take what has to be durable. Nothing of the commit was published.
    #[error("failed to write the tag store")]
    Write {
        /// What stood in the way.
        source: Cause,
    },
    /// The list is longer than one repository may be. Nothing of the commit was published.
    #[error("{repository} lists {count} tags, more than the limit of {limit}")]
    TooManyTags {
        /// Whose list.
        repository: Key,
        /// How many tags the repository would hold.
        count: usize,
        /// How many it may hold.
        limit: usize,
    },
    /// The store was closed; it takes no more commits.
    #[error("the tag store is closed")]
    Closed,
}
