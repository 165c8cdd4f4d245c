//! Manifests and indexes, read from bytes that somebody else wrote (OCI image specification 1.1, Docker image manifest v2
//! schema 2 and manifest list; schema 1 is recognised and copied as it is).
//!
//! The bytes themselves are never changed here: a digest is of them. Bounded: see [`MOST_DESCRIPTORS`].

use crate::image::{Digest, Platform};

/// A document with more descriptors than this is refused.
pub const MOST_DESCRIPTORS: usize = 20_000;

/// Something that a document names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// Its media type; may be empty.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
}

/// One entry of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// The manifest or index.
    pub descriptor: Descriptor,
    /// What it runs on, if it says and it can be read.
    pub platform: Option<Platform>,
    /// The manifest that this one is an attestation of (`vnd.docker.reference.digest`, as BuildKit writes it).
    pub attests: Option<Digest>,
    /// The kind of artifact, in an index of referrers.
    pub artifact_type: Option<String>,
}

/// What a document is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// An image or artifact: configuration and layers, each once.
    Manifest {
        /// What has to be at the destination before it.
        blobs: Vec<Descriptor>,
        /// Layers that are not to be distributed; they are fetched from elsewhere by whoever may (`urls`).
        foreign: Vec<Descriptor>,
    },
    /// An index or manifest list.
    Index(Vec<Child>),
}

/// A document, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The media type to push it with.
    pub media_type: String,
    /// What it is.
    pub content: Content,
    /// What it refers to (`subject`).
    pub subject: Option<Descriptor>,
}

/// Why bytes are no document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(pub String);

/// Reads a document. `content_type` is what its sender called it, and counts where it does not say itself.
pub fn parse(_bytes: &[u8], _content_type: Option<&str>) -> Result<Document, Error> {
    todo!()
}
