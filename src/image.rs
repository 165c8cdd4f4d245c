//! Image names, parsed once at the edge: registry, repository, tag, digest, reference.
//!
//! The rules are those of go-containerregistry's `name` package, because Flux's users rely on them
//! (`docker.io` and a missing host mean `index.docker.io`, a single segment there means `library/…`).
//! Stricter in four places, so that a name is always safe to put into a URL: no empty, `.` or `..`
//! path segment, no host beyond letters, digits, `-`, `_`, `.` (or an IPv6 address in brackets), a port
//! is a number, a tag keeps to the distribution specification. Nothing here knows how to reach a registry.

mod digest;
mod platform;
mod reference;
mod registry;
mod repository;
mod tag;

pub use digest::{Algorithm, Digest, Hasher};
pub use platform::{Invalid as InvalidPlatform, Platform};
pub use reference::Reference;
pub use registry::Registry;
pub use repository::Repository;
pub use tag::Tag;

/// Longer inputs are cut in messages, which end up in conditions of bounded size.
const SHOWN_CHARS: usize = 300;

/// Why a text is not an image name.
///
/// The first four texts are those of an ImageRepository's `ImageURLInvalid`
/// condition; the cause of [`Error::Unparsable`] says which rule was broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// An image was given as a URL.
    #[error("image '{image}' should not include URL scheme; remove '{scheme}://'")]
    Scheme {
        /// The text as given.
        image: String,
        /// What stands before `://`.
        scheme: String,
    },
    /// A repository was asked for, and the text names a tag too.
    #[error("image '{image}' should not include a tag; remove ':{tag}'")]
    TagIncluded {
        /// The text as given.
        image: String,
        /// Everything after the colon.
        tag: String,
    },
    /// A repository was asked for, and the text names a digest too.
    #[error("image '{image}' should not include a digest; remove '@{digest}'")]
    DigestIncluded {
        /// The text as given.
        image: String,
        /// Everything after the at sign.
        digest: String,
    },
    /// The text breaks a rule that the cause names.
    #[error("could not parse reference: {image}")]
    Unparsable {
        /// The text as given.
        image: String,
        /// The rule.
        source: Box<Self>,
    },
    /// Not a host, or not one that fits into a URL.
    #[error("registries must be valid RFC 3986 URI authorities: {0}")]
    Registry(String),
    /// A repository path outside 2 to 255 characters.
    #[error("repository must be between 2 and 255 characters in length: {0}")]
    RepositoryLength(String),
    /// A repository path with other characters than the allowed ones.
    #[error(
        "repository can only contain the characters `abcdefghijklmnopqrstuvwxyz0123456789_-./`: {0}"
    )]
    RepositoryCharacters(String),
    /// A repository path with an empty, `.` or `..` segment.
    #[error("repository must not contain empty or dot segments: {0}")]
    RepositorySegments(String),
    /// A tag that breaks the distribution specification's grammar.
    #[error(
        "tag must be 1 to 128 of the characters `A-Za-z0-9_.-` and not begin with `.` or `-`: {0}"
    )]
    Tag(String),
    /// A digest that is not `sha256:` and 64 lower-case hexadecimal digits.
    #[error("digest must be `sha256:` and 64 lower-case hexadecimal digits: {0}")]
    Digest(String),
}

/// `text` as it may be shown in a message.
fn shown(text: &str) -> String {
    if text.chars().nth(SHOWN_CHARS).is_none() {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(SHOWN_CHARS).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests;
