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
    /// How long the registry has for the whole answer (`spec.timeout`), from when it may be asked: waiting for others
    /// who ask the same host and for its rate comes on top. Not a part of the question's identity.
    pub timeout: Duration,
    /// What the registry called the list that the asker still has: then it may answer that nothing changed.
    pub known: Option<Validator>,
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
    credentials: Vec<Fingerprint>,
    insecure: bool,
    mark: Option<[u8; 32]>,
    known: Option<Validator>,
}

impl Question {
    /// This question's identity.
    pub fn identity(&self) -> Identity {
        let Ways { access, mark } = &self.ways;
        Identity {
            image: self.image.clone(),
            credentials: access.credentials().map(Credential::fingerprint).collect(),
            insecure: access.insecure,
            mark: *mark,
            known: self.known.clone(),
        }
    }

    /// How long an answer may take, with its turn: not less than the client's own time, which knows better what was amiss.
    pub fn patience(&self) -> Duration {
        LONGEST_WAIT + self.timeout + Duration::from_secs(1)
    }
}

/// An ETag: the registry's own name for one state of a list.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Validator(pub std::sync::Arc<str>);

/// A question that has no answer after so long and its timeout never gets one. The client keeps the
/// time itself, and nothing shorter will do for a list of many pages at a low rate.
const LONGEST_WAIT: Duration = Duration::from_hours(24);

/// What a registry said when it was asked for its tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listed {
    /// This is the list.
    Fresh(Listing),
    /// It is the one that the asker [knows](Question::known) already.
    Unchanged,
}

impl Listed {
    /// The list, where there is one.
    pub fn fresh(&self) -> Option<&Listing> {
        match self {
            Self::Fresh(listing) => Some(listing),
            Self::Unchanged => None,
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
    /// What the registry calls this list, to be asked with the next time; only of a list that came in one page.
    pub validator: Option<Validator>,
}

/// Why a registry gave no answer. The text is the end of a condition message.
///
/// With `is_wait`, nothing was asked: the host wants to be left alone because of what it answered to others, or its
/// budget is used up. That is no news of this repository. Whoever has something to show (an object that is Ready, and
/// merely due) writes no status, counts no failure, and comes back after `retry_after`; whoever has nothing, or was
/// asked for by somebody who waits, says so like any other failure. `retry_after` is never shorter than the registry
/// asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// What went wrong, with its causes.
    pub message: String,
    /// How long the registry asked to be left alone.
    pub retry_after: Option<Duration>,
    /// Whether the same question will be refused for ever, as far as the registry can be understood: the repository is
    /// unknown, the credential is denied, the name is none. Of a tag's manifest: only that there is none. Rights are as
    /// good for the whole repository, and who lacks them for one tag may have them again in a moment.
    pub is_permanent: bool,
    /// Whether nothing was asked: come back after `retry_after`.
    pub is_wait: bool,
}

/// What a tag's index says it can run on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platforms {
    /// The digest of the index or manifest that the tag stood for.
    pub digest: Digest,
    /// `os/arch` or `os/arch/variant`, sorted, each once. A single manifest has the one of its configuration.
    pub platforms: Vec<String>,
}

/// A registry client, as far as the controllers need one.
pub trait Registry: std::fmt::Debug + Send + Sync {
    /// The whole list of tags.
    fn list_tags(&self, question: Question) -> BoxFuture<'static, Result<Listed, Refusal>>;

    /// The digest that a tag stands for.
    fn digest(&self, question: Question, tag: Tag) -> BoxFuture<'static, Result<Digest, Refusal>>;

    /// What the image with this digest can run on. Nothing of it ever changes: whoever asks may keep the answer.
    fn platforms(
        &self,
        question: Question,
        digest: Digest,
    ) -> BoxFuture<'static, Result<Platforms, Refusal>>;
}
