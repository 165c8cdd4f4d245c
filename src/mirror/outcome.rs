//! How it ended, for each tag at each destination, and what that makes of the whole.

use std::collections::BTreeMap;

use crate::image::{Digest, Repository, Tag};

/// How one tag fared at one destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was copied.
    Copied,
    /// It is there already.
    Unchanged,
    /// The destination has another image by this tag, which may not be overwritten.
    Drifted {
        /// What the destination has.
        found: Digest,
    },
    /// The registry forbids to move the tag.
    Immutable {
        /// What the destination has, if it says.
        found: Option<Digest>,
        /// The registry's own words.
        cause: String,
    },
    /// The tag was gone from the source when its turn came.
    Gone,
    /// It was not begun: interrupted, or out of budget.
    NotBegun {
        /// Why.
        cause: String,
    },
    /// It failed.
    Failed {
        /// What went wrong, where, and what to do.
        cause: String,
        /// Whether trying again later makes sense.
        is_temporary: bool,
    },
}

/// One tag (or digest) at one destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagReport {
    /// Where from.
    pub from: Repository,
    /// Where to.
    pub to: Repository,
    /// The tag there; none: by digest only.
    pub tag: Option<Tag>,
    /// What it is at the source, if that was found out.
    pub source: Option<Digest>,
    /// What it is at the destination now, when it is there.
    pub destination: Option<Digest>,
    /// How it ended.
    pub outcome: Outcome,
    /// Referrers and signatures copied with it.
    pub referrers: u32,
    /// Whether it moved at the source while it was copied, so that it should be looked at again at once.
    pub moved_meanwhile: bool,
}

/// What was done in all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests, by API host.
    pub requests: BTreeMap<String, u64>,
    /// Bytes read from sources.
    pub bytes_read: u64,
    /// Bytes written to destinations.
    pub bytes_written: u64,
    /// Blobs that crossed the network, each destination repository counted.
    pub blobs_copied: u64,
    /// Blobs that the destination took from another of its repositories.
    pub blobs_mounted: u64,
    /// Blobs that were there.
    pub blobs_skipped: u64,
    /// Manifests written.
    pub manifests: u64,
    /// Requests made again.
    pub retries: u64,
}

/// Everything that happened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Each tag, by destination and tag.
    pub tags: Vec<TagReport>,
    /// What went wrong besides single tags: a list that could not be read, say.
    pub problems: Vec<String>,
    /// The sum.
    pub totals: Totals,
}

/// What a report means for whoever has to act on it, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Something failed.
    Failed,
    /// Drift, or a registry that forbids to move a tag.
    Blocked,
    /// All is there.
    Done,
}

impl Report {
    /// What it means.
    pub fn verdict(&self) -> Verdict {
        todo!()
    }
}
