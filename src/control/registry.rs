//! What the controllers want of a registry, in their own words, so that tests can answer in its place.

use std::time::Duration;

use futures::future::BoxFuture;

use crate::image::{Digest, Repository, Tag};
use crate::secret::{Credential, Fingerprint};

/// Whom to ask, and as whom.
#[derive(Debug, Clone)]
pub struct Question {
    /// The repository in the registry.
    pub image: Repository,
    /// What proves who we are; `None`: nobody in particular.
    pub credential: Option<Credential>,
    /// Whether plain http will do (`spec.insecure`).
    pub insecure: bool,
    /// How long the registry has for the whole answer (`spec.timeout`). Not a part of the question's identity.
    pub timeout: Duration,
}

/// What makes two questions the same one: equal answers are due to equal identities, and to no others.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    image: Repository,
    credential: Option<Fingerprint>,
    insecure: bool,
}

impl Question {
    /// This question's identity.
    pub fn identity(&self) -> Identity {
        Identity {
            image: self.image.clone(),
            credential: self.credential.as_ref().map(Credential::fingerprint),
            insecure: self.insecure,
        }
    }
}

/// A registry's whole list of tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The tags, in any order; duplicates are possible.
    pub tags: Vec<Tag>,
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
