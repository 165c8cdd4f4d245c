//! What readers pull from the history: one change of one object.

use std::sync::Arc;

use super::{RepositoryTags, ResourceVersion, TagEntry};

/// What happened to one object.
#[derive(Debug, Clone)]
pub enum Change {
    /// A tag appeared (`before` None), changed, or vanished (`after` None). The entries' own resource versions
    /// are those of the states; `resource_version` is that of this change (also for deletions).
    Tag {
        /// The place of this change in the sequence.
        resource_version: ResourceVersion,
        /// The repository as it was after (for deletions of the whole repository: before) the commit: owner, image.
        repository: Arc<RepositoryTags>,
        /// The repository as it was before the commit: the owner and image that `before` was served with, whose labels a
        /// selector may have matched. `None` when the repository appeared with this commit.
        previous: Option<Arc<RepositoryTags>>,
        /// The tag as it was.
        before: Option<TagEntry>,
        /// The tag as it is now.
        after: Option<TagEntry>,
    },
    /// The TagSet appeared, changed or vanished.
    Set {
        /// The place of this change in the sequence.
        resource_version: ResourceVersion,
        /// The set as it was.
        before: Option<Arc<RepositoryTags>>,
        /// The set as it is now.
        after: Option<Arc<RepositoryTags>>,
    },
}

impl Change {
    /// The place of this change in the sequence.
    pub fn resource_version(&self) -> ResourceVersion {
        match self {
            Self::Tag {
                resource_version, ..
            }
            | Self::Set {
                resource_version, ..
            } => *resource_version,
        }
    }
}

/// The position is not in the history any more, in the future, or of another epoch: answer 410.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too old resource version: {asked} ({oldest})")]
pub struct Expired {
    /// The position that was asked for.
    pub asked: ResourceVersion,
    /// The oldest position from which every change is still known.
    pub oldest: ResourceVersion,
}
