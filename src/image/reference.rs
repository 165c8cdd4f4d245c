//! A name that points at one manifest: by tag or by digest.

use std::fmt;
use std::str::FromStr;

use super::{Digest, Error, Repository, Tag, shown};

/// The tag that is meant when a name says none.
const DEFAULT_TAG: &str = "latest";

/// A repository with the tag or the digest that picks one manifest in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reference {
    /// By tag; `latest` when the name says none.
    Tag(Repository, Tag),
    /// By digest; a tag before the digest is dropped.
    Digest(Repository, Digest),
}

impl Reference {
    /// The repository the manifest is in.
    pub fn repository(&self) -> &Repository {
        match self {
            Self::Tag(repository, _) | Self::Digest(repository, _) => repository,
        }
    }

    /// The tag or the digest, as the distribution API takes it in a path.
    pub fn identifier(&self) -> &str {
        match self {
            Self::Tag(_, tag) => tag.as_str(),
            Self::Digest(_, digest) => digest.as_str(),
        }
    }
}

/// The canonical name, e.g. `index.docker.io/library/alpine:3.22`.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(repository, tag) => write!(f, "{repository}:{tag}"),
            Self::Digest(repository, digest) => write!(f, "{repository}@{digest}"),
        }
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if let Some((scheme, _)) = text.split_once("://") {
            return Err(Error::Scheme {
                image: shown(text),
                scheme: shown(scheme),
            });
        }
        let Parts {
            repository,
            tag,
            digest,
            ..
        } = split(text)?;
        match (digest, tag) {
            (Some(digest), _) => Ok(Self::Digest(repository, digest)),
            (None, Some(tag)) => Ok(Self::Tag(repository, tag)),
            (None, None) => Ok(Self::Tag(repository, DEFAULT_TAG.parse()?)),
        }
    }
}

/// A name taken apart.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    pub(super) repository: Repository,
    pub(super) tag: Option<Tag>,
    /// Everything after the colon of the tag, a digest included.
    pub(super) tag_text: Option<&'a str>,
    pub(super) digest: Option<Digest>,
}

/// Takes `[host/]path[:tag][@digest]` apart.
pub(super) fn split(text: &str) -> Result<Parts<'_>, Error> {
    take_apart(text).map_err(|source| Error::Unparsable {
        image: shown(text),
        source: Box::new(source),
    })
}

fn take_apart(text: &str) -> Result<Parts<'_>, Error> {
    let (name, digest) = match text.split_once('@') {
        Some((name, digest)) => (name, Some(digest.parse::<Digest>()?)),
        None => (text, None),
    };
    // The last colon begins a tag, unless a slash follows: then it begins a port.
    let (base, tag) = match name.rsplit_once(':') {
        Some((base, tag)) if !tag.contains('/') => (base, Some(tag)),
        _ => (name, None),
    };
    let repository = Repository::parse_name(base)?;
    let tag_text = tag.and_then(|_| text.get(base.len() + 1..));
    let tag = tag.map(str::parse).transpose()?;
    Ok(Parts {
        repository,
        tag,
        tag_text,
        digest,
    })
}
