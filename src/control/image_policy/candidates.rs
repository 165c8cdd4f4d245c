//! A repository's tags, laid out and parsed once per scan for all of its policies.
//!
//! Kept for a moment only, and never more than a bounded number of tags: the store is where tags live.

use std::sync::Arc;
use std::time::Duration;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use crate::object::Key;
use crate::policy::Candidates;
use crate::store::{RepositoryTags, ResourceVersion};

/// How long candidates are kept after their last use: long enough for all policies of a commit.
const KEPT: Duration = Duration::from_mins(1);

/// How many tags are kept at a time, over all repositories.
const MOST_TAGS: u64 = 500_000;

/// How many repositories are kept at a time. The policies of a commit run one after another, so the last few are
/// enough; more would be kept for nobody, and what is parsed is ten times what the store holds.
const MOST_REPOSITORIES: u64 = 16;

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
        // Few tags weigh as if they were more, which bounds the repositories.
        let weight = |_: &Version, candidates: &Arc<Candidates>| {
            let tags = u64::try_from(candidates.len()).unwrap_or(u64::MAX);
            u32::try_from(tags.max(MOST_TAGS / MOST_REPOSITORIES)).unwrap_or(u32::MAX)
        };
        Self(
            Cache::builder()
                .max_capacity(MOST_TAGS)
                .eviction_policy(EvictionPolicy::lru())
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

    /// What the store holds after a scan of `key` that found `tags`.
    fn scanned(store: &Store, key: &Key, tags: &[&str]) -> Arc<RepositoryTags> {
        let scan = Scan {
            owner: Owner {
                key: key.clone(),
                uid: "uid-1".into(),
                created: Timestamp::UNIX_EPOCH,
                labels: BTreeMap::new(),
            },
            image: "registry.test/o/app".parse().unwrap(),
            tags: tags.iter().map(|tag| tag.parse().unwrap()).collect(),
            aside: vec![],
            revision: "always the same".into(),
            time: Timestamp::UNIX_EPOCH,
            complete: true,
            dating: crate::store::Dating::AtFirst,
        };
        store.commit_scan(scan).unwrap();
        store.snapshot().repository(key).unwrap()
    }

    #[test]
    fn a_revision_that_comes_back_with_other_tags_is_laid_out_anew() {
        let store = Store::in_memory(Arc::new(SystemClock));
        let cache = CandidateCache::default();
        let key = Key::new("apps", "app");
        for tags in [&["a", "b"][..], &["a"]] {
            let held = scanned(&store, &key, tags);
            assert_eq!(cache.of(&held).len(), tags.len());
        }
    }

    #[test]
    fn policies_of_one_repository_share_and_few_repositories_are_kept() {
        let store = Store::in_memory(Arc::new(SystemClock));
        let cache = CandidateCache::default();
        let of = |n: usize| {
            let held = scanned(&store, &Key::new("apps", format!("app-{n}")), &["a"]);
            cache.of(&held)
        };
        let first = of(0);
        assert!(Arc::ptr_eq(&first, &of(0)), "laid out once");
        let weak = Arc::downgrade(&first);
        drop(first);
        for n in 1..100 {
            of(n);
        }
        cache.0.run_pending_tasks();
        assert!(cache.0.entry_count() <= MOST_REPOSITORIES);
        assert!(weak.upgrade().is_none(), "the oldest went");
    }
}
