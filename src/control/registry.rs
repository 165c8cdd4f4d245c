//! What the controllers want of a registry, in their own words, so that tests can answer in its place.

use std::time::Duration;

use futures::future::BoxFuture;

use crate::image::{Digest, Repository, Tag};
use crate::registry::Access;
use crate::secret::{Credential, Fingerprint};

/// Whom to ask, and as whom.
#[derive(Debug, Clone)]
pub struct Question {
    /// The repository in the registry.
    pub image: Repository,
    /// With what rights and over which ways.
    pub ways: Ways,
    /// How long the registry has for the whole answer (`spec.timeout`). Not a part of the question's identity.
    pub timeout: Duration,
}

/// With what rights and over which ways a registry is asked.
#[derive(Debug, Clone, Default)]
pub struct Ways {
    /// Credential, plain http, certificates, proxy.
    pub access: Access,
    /// Tells apart the certificates and proxies of different objects; `None`: neither.
    pub mark: Option<[u8; 32]>,
}

/// What makes two questions the same one: equal answers are due to equal identities, and to no others.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    image: Repository,
    credential: Option<Fingerprint>,
    insecure: bool,
    mark: Option<[u8; 32]>,
}

impl Question {
    /// This question's identity.
    pub fn identity(&self) -> Identity {
        let Ways { access, mark } = &self.ways;
        Identity {
            image: self.image.clone(),
            credential: access.credential.as_ref().map(Credential::fingerprint),
            insecure: access.insecure,
            mark: *mark,
        }
    }
}

/// A registry's whole list of tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The tags, in any order, each once.
    pub tags: Vec<Tag>,
    /// How often the registry listed a tag again after the first time.
    pub duplicates: u64,
    /// Why there may be more tags than these; `None`: these are all.
    pub incomplete: Option<String>,
    /// What was left out because it is no tag; `None`: nothing.
    pub invalid: Option<String>,
}

/// Why a registry gave no answer. The text is the end of a condition message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// What went wrong, with its causes.
    pub message: String,
    /// How long the registry asked to be left alone.
    pub retry_after: Option<Duration>,
}

/// A registry client, as far as the controllers need one.
pub trait Registry: std::fmt::Debug + Send + Sync {
    /// The whole list of tags.
    fn list_tags(&self, question: Question) -> BoxFuture<'static, Result<Listing, Refusal>>;

    /// The digest that a tag stands for.
    fn digest(&self, question: Question, tag: Tag) -> BoxFuture<'static, Result<Digest, Refusal>>;
}
