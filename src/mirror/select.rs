//! Which tags of a source are copied.

use crate::image::Tag;

/// What is wanted of a repository's tags.
#[derive(Debug, Clone)]
pub struct Selection {}

/// The tags to copy, and those that belong to images (cosign's and fallback tags), apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selected {
    /// Images.
    pub tags: Vec<Tag>,
    /// What belongs to images, by name; copied with them or not at all.
    pub companions: Vec<Tag>,
}
