//! Whether a tag that is there with other content may be written over.

use crate::image::Tag;
use crate::regexp::Regexp;

/// When a tag that differs is overwritten.
#[derive(Debug, Clone, Default)]
pub enum Overwrite {
    /// Never: it is reported as drift.
    #[default]
    Never,
    /// Only tags that are meant to move: `latest`, names of branches (no digit in them), and what the patterns match.
    MutableTagsOnly(Vec<Regexp>),
    /// Always.
    Always,
}

impl Overwrite {
    /// Whether `tag` may be written over.
    pub fn permits(&self, _tag: &Tag) -> bool {
        todo!()
    }
}

/// Whether a tag is one that moves by its name alone.
pub fn is_mutable_by_name(_tag: &Tag) -> bool {
    todo!()
}
