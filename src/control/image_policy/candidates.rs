//! A repository's tags, laid out and parsed once per scan for all of its policies.
//!
//! Kept for a moment only, and never more than a bounded number of tags: the store is where tags live.

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;

use crate::object::Key;
use crate::policy::Candidates;
use crate::store::RepositoryTags;

/// How long candidates are kept after their last use: long enough for all policies of a commit.
const KEPT: Duration = Duration::from_mins(1);

/// How many tags are kept at a time, over all repositories.
const MOST_TAGS: u64 = 500_000;

/// What is parsed is valid for one object, one image and one revision.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Version {
    repository: Key,
    uid: String,
    image: String,
    revision: String,
}

/// The candidates of the repositories that are elected from now.
#[derive(Debug)]
pub(super) struct CandidateCache(Cache<Version, Arc<Candidates>>);

impl Default for CandidateCache {
    fn default() -> Self {
        let weight = |_: &Version, candidates: &Arc<Candidates>| {
            u32::try_from(candidates.len())
                .unwrap_or(u32::MAX)
                .saturating_add(1)
        };
        Self(
            Cache::builder()
                .max_capacity(MOST_TAGS)
                .weigher(weight)
                .time_to_idle(KEPT)
                .build(),
        )
    }
}

impl CandidateCache {
    /// The candidates of `tags`; policies that ask at the same time wait for the first one's.
    pub(super) fn of(&self, tags: &RepositoryTags) -> Arc<Candidates> {
        let version = Version {
            repository: tags.owner().key.clone(),
            uid: tags.owner().uid.clone(),
            image: tags.image().to_string(),
            revision: tags.revision().to_owned(),
        };
        self.0.get_with(version, || {
            Arc::new(Candidates::visit(|push| tags.for_each_descending(push)))
        })
    }
}
