//! Tags that are not images but belong to one: cosign's `sha256-<hex>.sig`, `.att`, `.sbom`, and the referrers' fallback
//! `sha256-<hex>` of the distribution specification.

use crate::image::{Digest, Tag};

/// What a tag belongs to, if it is one of these.
pub fn subject(_tag: &Tag) -> Option<Digest> {
    todo!()
}

/// The fallback tag of `subject`: algorithm cut to 32 characters, encoded part to 64, others as `-`.
pub fn fallback_tag(_subject: &Digest) -> Option<Tag> {
    todo!()
}
