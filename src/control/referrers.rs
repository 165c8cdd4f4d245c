//! Which policies refer to which repository, and in which repository a policy has an election.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::OnceLock;

use parking_lot::Mutex;

use super::queue::Next;
use crate::api::ImagePolicy;
use crate::cluster::index::{Found, Touched};
use crate::cluster::with_causes;
use crate::object::Key;
use crate::store::{Snapshot, Store};

/// The references, both ways. As large as there are policies.
#[derive(Debug, Default)]
pub(super) struct Referrers {
    /// Protects both directions of the references, for the time of one lookup.
    references: Mutex<References>,
    /// The elections that the store held at the start, and since then the ones made here.
    elected: OnceLock<Mutex<HashMap<Key, BTreeSet<Key>>>>,
}

#[derive(Debug, Default)]
struct References {
    repository: HashMap<Key, Key>,
    policies: HashMap<Key, HashSet<Key>>,
}

impl Referrers {
    /// An object was heard of, or is gone. One that cannot be read keeps its reference.
    pub(super) fn noted(&self, touched: &Touched<ImagePolicy>) {
        let mut references = self.references.lock();
        match &touched.after {
            Found::Object(object) => {
                let repository = object.spec.image_repository_ref.key(&touched.key.namespace);
                references.put(&touched.key, Some(repository));
            }
            Found::Unreadable => {}
            Found::Absent => references.put(&touched.key, None),
        }
    }

    /// The policies that refer to `repository`.
    pub(super) fn of(&self, repository: &Key) -> Vec<Key> {
        self.references
            .lock()
            .policies
            .get(repository)
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }

    /// Takes back what `policy` elected, everywhere but in `except`, and waits until it is on disk.
    pub(super) async fn withdraw(&self, store: &Store, policy: &Key, except: Option<&Key>) -> Next {
        let elected = self.elected(policy, &store.snapshot());
        let mut withdrew = false;
        for repository in elected
            .into_iter()
            .filter(|repository| Some(repository) != except)
        {
            if let Err(error) = store.commit_election(&repository, policy, None) {
                tracing::error!(
                    error = with_causes(&error),
                    "Failed to withdraw an election"
                );
                return Next::RETRY;
            }
            withdrew = true;
        }
        if withdrew && let Err(error) = store.flush().await {
            tracing::error!(
                error = with_causes(&error),
                "Failed to store that an election is withdrawn"
            );
            return Next::RETRY;
        }
        self.elects_in(policy, except);
        Next::Await
    }

    /// The repositories in which `policy` has an election. The first call reads what the store holds; it has to be
    /// made before any election is.
    fn elected(&self, policy: &Key, snapshot: &Snapshot) -> BTreeSet<Key> {
        let elected = self.elected.get_or_init(|| {
            let mut elected: HashMap<Key, BTreeSet<Key>> = HashMap::new();
            for repository in snapshot.repositories() {
                for election in repository.elections() {
                    elected
                        .entry(election.policy.clone())
                        .or_default()
                        .insert(repository.owner().key.clone());
                }
            }
            Mutex::new(elected)
        });
        elected.lock().get(policy).cloned().unwrap_or_default()
    }

    /// From now on `policy` has an election in `repository` at most.
    fn elects_in(&self, policy: &Key, repository: Option<&Key>) {
        let Some(elected) = self.elected.get() else {
            return;
        };
        let mut elected = elected.lock();
        match repository {
            Some(repository) => {
                elected.insert(policy.clone(), BTreeSet::from([repository.clone()]));
            }
            None => {
                elected.remove(policy);
            }
        }
    }
}

impl References {
    fn put(&mut self, policy: &Key, repository: Option<Key>) {
        if let Some(before) = self.repository.remove(policy)
            && let Some(policies) = self.policies.get_mut(&before)
        {
            policies.remove(policy);
            if policies.is_empty() {
                self.policies.remove(&before);
            }
        }
        if let Some(repository) = repository {
            self.policies
                .entry(repository.clone())
                .or_default()
                .insert(policy.clone());
            self.repository.insert(policy.clone(), repository);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::api::ImagePolicySpec;

    fn note(referrers: &Referrers, name: &str, repository: Option<&str>) {
        let after = repository.map_or(Found::Absent, |repository| {
            let mut spec = ImagePolicySpec::default();
            spec.image_repository_ref.name = repository.to_owned();
            Found::Object(Arc::new(ImagePolicy::new(name, spec)))
        });
        referrers.noted(&Touched {
            key: Key::new("apps", name),
            before: Found::Absent,
            after,
        });
    }

    #[test]
    fn a_policy_refers_to_one_repository_at_a_time() {
        let referrers = Referrers::default();
        let of = |repository: &str| {
            let mut names: Vec<String> = referrers
                .of(&Key::new("apps", repository))
                .iter()
                .map(|key| key.name.to_string())
                .collect();
            names.sort();
            names
        };
        note(&referrers, "a", Some("one"));
        note(&referrers, "b", Some("one"));
        assert_eq!(of("one"), ["a", "b"]);
        note(&referrers, "a", Some("two"));
        assert_eq!(
            (of("one"), of("two")),
            (vec!["b".to_owned()], vec!["a".to_owned()])
        );
        note(&referrers, "b", None);
        assert!(of("one").is_empty());
        assert_eq!(
            referrers.references.lock().policies.len(),
            1,
            "nothing is left behind"
        );
    }
}
