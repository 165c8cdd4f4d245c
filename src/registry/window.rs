//! How many requests of a class are under way at one host: found out, not configured (additive increase, multiplicative
//! decrease). Scans have places of their own (`budget`), so that copying never keeps them waiting.

use std::sync::Arc;

/// Classes do not hold each other up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Class {
    /// Manifests and lists, read.
    Read,
    /// Blobs, read: held for as long as the bytes flow.
    BlobRead,
    /// The beginning of an upload, a mount, a HEAD of a blob.
    UploadStart,
    /// The bytes of an upload.
    UploadData,
    /// Manifests, written.
    ManifestWrite,
}

/// The windows of all hosts.
#[derive(Debug)]
pub(super) struct Windows {}

/// The right to have one request under way. How it went is told by [`Permit::went_well`] or [`Permit::congested`]; dropped
/// without either, it says nothing.
#[derive(Debug)]
pub(super) struct Permit {}

impl Windows {
    pub(super) fn new(_most: usize) -> Self {
        todo!()
    }

    /// Waits for a place.
    pub(super) async fn enter(self: &Arc<Self>, _host: &str, _class: Class) -> Permit {
        todo!()
    }
}

impl Permit {
    pub(super) fn went_well(self) {
        todo!()
    }
    /// 429, 503, a reset, a time-out: the window halves, once for all that were under way then.
    pub(super) fn congested(self) {
        todo!()
    }
}
