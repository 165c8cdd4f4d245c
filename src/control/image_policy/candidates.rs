//! A repository's tags, laid out and parsed once per scan for all of its policies.
//!
//! Kept for a moment only, and never more than a bounded number of tags: the store is where tags live.

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;

use crate::object::Key;
use crate::policy::Candidates;
use crate::store::{RepositoryTags, ResourceVersion};

/// How long candidates are kept after their last use: long enough for all policies of a commit.
const KEPT: Duration = Duration::from_mins(1);

/// How many tags are kept at a time, over all repositories.
const MOST_TAGS: u64 = 500_000;

/// What is parsed is valid for one commit: a revision may come back with other tags, a version never does.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Version {
    repository: Key,
    version: ResourceVersion,
}

/// The candidates of the repositories that are elected from now. Clones share them.
#[derive(Debug, Clone)]
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
    /// The candidates of `tags`, which may take a while; policies that ask at the same time wait for the first one's.
    pub(super) fn of(&self, tags: &RepositoryTags) -> Arc<Candidates> {
        let version = Version {
            repository: tags.owner().key.clone(),
            version: tags.resource_version(),
        };
        self.0.get_with(version, || {
            Arc::new(Candidates::visit(|push| tags.for_each_descending(push)))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;

    use super::*;
    use crate::clock::SystemClock;
    use crate::store::{Owner, Scan, Store};

    #[test]
    fn a_revision_that_comes_back_with_other_tags_is_laid_out_anew() {
        let store = Store::in_memory(Arc::new(SystemClock));
        let cache = CandidateCache::default();
        let key = Key::new("apps", "app");
        for count in [2, 1] {
            let tags = ["a", "b"].into_iter().take(count);
            let scan = Scan {
                owner: Owner {
                    key: key.clone(),
                    uid: "uid-1".into(),
                    created: Timestamp::UNIX_EPOCH,
                    labels: BTreeMap::new(),
                },
                image: "registry.test/o/app".parse().unwrap(),
                tags: tags.map(|tag| tag.parse().unwrap()).collect(),
                aside: vec![],
                revision: "always the same".into(),
                time: Timestamp::UNIX_EPOCH,
                complete: true,
                dating: crate::store::Dating::AtFirst,
            };
            store.commit_scan(scan).unwrap();
            let held = store.snapshot().repository(&key).unwrap();
            assert_eq!(cache.of(&held).len(), count);
        }
    }
}
