//! Tags as flags and documents ask for them, in the words of `mirror::select`.

use crate::mirror::select::Selection;
use crate::policy::{Policy, TagFilter};
use crate::scan;

/// What is wanted of a source's tags.
#[derive(Debug)]
pub(super) struct Wish<'a> {
    pub(super) exclude: &'a [String],
    pub(super) filter: Option<TagFilter>,
    pub(super) policy: Option<Policy>,
    pub(super) limit: Option<u32>,
}

impl Wish<'_> {
    /// The same in the engine's words.
    ///
    /// # Errors
    /// A pattern of `exclude` does not compile.
    pub(super) fn selection(self) -> Result<Selection, scan::Error> {
        todo!()
    }
}
