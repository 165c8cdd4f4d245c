//! Image names, parsed once at the edge: registry, repository, tag, digest, reference.
//!
//! The rules are those of go-containerregistry's `name` package, because Flux's users rely on them
//! (`docker.io` and a missing host mean `index.docker.io`, a single segment there means `library/…`).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Why a text is not an image name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(pub String);

/// A registry's host with its port when one is given, e.g. `ghcr.io` or `localhost:5000`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Registry(Arc<str>);

impl Registry {
    /// The host, with `:port` when the name carries one.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A repository in a registry, without tag or digest, in canonical form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repository {
    registry: Registry,
    path: Arc<str>,
}

impl Repository {
    /// The registry it is in.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The path inside the registry, e.g. `library/alpine`.
    pub fn path(&self) -> &str {
        &self.path
    }
}

/// The canonical name, e.g. `index.docker.io/library/alpine`.
impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.path)
    }
}

impl FromStr for Repository {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        // Replaced by the full rules.
        let (host, path) = text.split_once('/').ok_or_else(|| Error(text.to_owned()))?;
        Ok(Self {
            registry: Registry(host.into()),
            path: path.into(),
        })
    }
}

/// A tag: 1 to 128 of `[A-Za-z0-9_.-]`, not beginning with `.` or `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(Arc<str>);

impl Tag {
    /// The text of the tag.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Tag {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let first = text.bytes().next();
        let ok = text.len() <= 128
            && first.is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_')
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
        if ok {
            Ok(Self(text.into()))
        } else {
            Err(Error(format!("invalid tag {text:?}")))
        }
    }
}

/// A content digest, e.g. `sha256:…`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(Arc<str>);

impl Digest {
    /// `algorithm:hex`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let ok = text.strip_prefix("sha256:").is_some_and(|hex| {
            hex.len() == 64
                && hex
                    .bytes()
                    .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        });
        if ok {
            Ok(Self(text.into()))
        } else {
            Err(Error(format!("invalid digest {text:?}")))
        }
    }
}
