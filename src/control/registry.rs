//! What the controllers want of a registry, in their own words, so that tests can answer in its place.

use std::time::Duration;

use futures::future::BoxFuture;

use crate::image::{Digest, Repository, Tag};
use crate::secret::{Credential, Fingerprint, SecretString};

/// Whom to ask, and as whom.
#[derive(Debug, Clone)]
pub struct Question {
    /// The repository in the registry.
    pub image: Repository,
    /// What proves who we are; `None`: nobody in particular.
    pub credential: Option<Credential>,
    /// Whether plain http, and certificates that nobody vouches for, will do (`spec.insecure`).
    pub insecure: bool,
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
    /// The tags, in the registry's order; duplicates are possible.
    pub tags: Vec<Tag>,
    /// False when the list may be incomplete.
    pub complete: bool,
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

    /// The credential that a dockerconfigjson holds for an image; `None` when it holds none for it. The error says what
    /// is wrong with the text, without repeating any of it.
    fn credential(&self, docker_config: &SecretString, image: &Repository) -> Result<Option<Credential>, String>;
}
