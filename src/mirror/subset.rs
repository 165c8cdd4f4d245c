//! An index with only some of its platforms, byte for byte what it was otherwise.

use super::document::{Child, Error};
use crate::image::{Digest, Platform};

/// How platforms are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    /// The index is rewritten without them: a new digest, and everything it names is there.
    #[default]
    Rewritten,
    /// The index stays as it is, and names what is not there; some registries refuse that.
    Sparse,
}

/// Which of an index's children are kept.
pub fn kept<'a>(_children: &'a [Child], _platforms: &[Platform]) -> Vec<&'a Child> {
    todo!()
}

/// The index `bytes` without the children that are not in `keep`; every other byte as it was.
pub fn rewrite(_bytes: &[u8], _keep: &[Digest]) -> Result<Vec<u8>, Error> {
    todo!()
}
