//! A repository in a registry, in canonical form.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::{Error, Reference, Registry, Tag, reference, shown};

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

    /// The reference of `tag` in this repository.
    pub fn tagged(&self, tag: Tag) -> Reference {
        Reference::Tag(self.clone(), tag)
    }

    /// Reads `[host/]path`, with neither tag nor digest nor scheme.
    ///
    /// The first segment is a host when it is `localhost` or has a `.` or `:`.
    pub(super) fn parse_name(name: &str) -> Result<Self, Error> {
        let (host, path) = match name.split_once('/') {
            Some((first, rest)) if first == "localhost" || first.contains(['.', ':']) => {
                (first, rest)
            }
            _ => ("", name),
        };
        check_path(path)?;
        let registry: Registry = host.parse()?;
        let path = if registry == Registry::docker_hub() && !path.contains('/') {
            format!("library/{path}").into()
        } else {
            path.into()
        };
        Ok(Self { registry, path })
    }
}

/// The canonical name, e.g. `index.docker.io/library/alpine`.
impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.path)
    }
}

/// Reads an ImageRepository's `spec.image`: a repository's name, in any of its spellings.
///
/// The errors are Flux's words for a scheme, a tag, and a name that does not parse.
impl FromStr for Repository {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if let Some((scheme, _)) = text.split_once("://") {
            return Err(Error::Scheme {
                image: shown(text),
                scheme: shown(scheme),
            });
        }
        let parsed = reference::split(text)?;
        if let Some(tag) = parsed.tag_text {
            return Err(Error::TagIncluded {
                image: shown(text),
                tag: shown(tag),
            });
        }
        if let Some(digest) = parsed.digest {
            return Err(Error::DigestIncluded {
                image: shown(text),
                digest: digest.to_string(),
            });
        }
        Ok(parsed.repository)
    }
}

fn check_path(path: &str) -> Result<(), Error> {
    if !(2..=255).contains(&path.chars().count()) {
        return Err(Error::RepositoryLength(shown(path)));
    }
    if !path.bytes().all(|b| {
        b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-' | b'.' | b'/')
    }) {
        return Err(Error::RepositoryCharacters(shown(path)));
    }
    if path
        .split('/')
        .any(|segment| matches!(segment, "" | "." | ".."))
    {
        return Err(Error::RepositorySegments(shown(path)));
    }
    Ok(())
}
