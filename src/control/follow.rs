//! What the store's own changes ask for: elections after a commit or a mirror's note, and tidying after a start.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Context;
use super::image_policy;
use super::queue::Trigger;
use crate::cluster::index::Found;
use crate::object::Key;
use crate::store::RepositoryTags;

/// How many changed sets are taken from the history at a time.
const CHUNK: usize = 256;

/// Asks for whoever goes by the tags of a repository, as soon as others of it were committed. `referrers`: those of one
/// repository; `all`: all of them, for when it is not known what changed.
pub(super) async fn store(
    context: &Context,
    referrers: impl Fn(&Key) -> Vec<Key>,
    all: impl Fn() -> Vec<Key>,
    trigger: &Trigger,
) {
    let mut newest = context.store.changed();
    let mut position = context.store.snapshot().resource_version();
    loop {
        match context.store.sets_after(position, CHUNK) {
            Ok((_, end)) if end == position => {
                if newest.changed().await.is_err() {
                    // The store is closed: nothing will change any more, and shutdown ends this task.
                    std::future::pending::<()>().await;
                }
            }
            Ok((sets, end)) => {
                position = end;
                let repositories: BTreeSet<Key> = sets
                    .iter()
                    .filter_map(|(before, after)| {
                        whose_tags_changed(before.as_deref(), after.as_deref())
                    })
                    .collect();
                for repository in repositories {
                    for one in referrers(&repository) {
                        trigger.request(one).await;
                    }
                }
            }
            Err(expired) => {
                tracing::debug!(
                    asked = expired.asked.0,
                    oldest = expired.oldest.0,
                    "Fell off the store's history"
                );
                position = context.store.snapshot().resource_version();
                for one in all() {
                    trigger.request(one).await;
                }
            }
        }
    }
}

/// Asks for the policies that require a mirror, when that has verified something else, or itself came, went or changed.
pub(super) async fn mirrors(
    context: &Context,
    elector: &image_policy::Controller,
    elect: &Trigger,
) {
    let told = async {
        loop {
            for mirror in context.store.board().mirrored_changes().await {
                for policy in elector.requirers(&mirror) {
                    elect.request(policy).await;
                }
            }
        }
    };
    // From then on what is absent is missing.
    let listed = async {
        context.mirrors.wait_until_synced().await;
        for policy in elector.all_requirers() {
            elect.request(policy).await;
        }
    };
    tokio::join!(told, listed);
}

/// The repository, unless the change is not about its tags. Revisions do not tell: two lists may have the same one.
fn whose_tags_changed(
    before: Option<&RepositoryTags>,
    after: Option<&RepositoryTags>,
) -> Option<Key> {
    match (before, after) {
        (Some(before), Some(after)) if before.shares_tags_with(after) => None,
        (Some(set), None) | (_, Some(set)) => Some(set.owner().key.clone()),
        (None, None) => None,
    }
}

/// All policies.
pub(super) fn policies(context: &Context) -> Vec<Key> {
    let all = context.policies.objects().into_iter();
    all.map(|(policy, _)| policy).collect()
}

/// Once both kinds were listed: asks for a look at everything the store holds for objects that are not there any
/// more, which is how deletions during a standstill are noticed.
pub(super) async fn tidy(context: &Arc<Context>, scan: &Trigger, elect: &Trigger) {
    context.repositories.wait_until_synced().await;
    context.policies.wait_until_synced().await;
    let (mut repositories, mut policies) = (BTreeSet::new(), BTreeSet::new());
    for repository in context.store.snapshot().repositories() {
        repositories.insert(repository.owner().key.clone());
        policies.extend(
            repository
                .elections()
                .iter()
                .map(|election| election.policy.clone()),
        );
    }
    for key in repositories {
        if matches!(context.repositories.find(&key), Found::Absent) {
            scan.request(key).await;
        }
    }
    for key in policies {
        if matches!(context.policies.find(&key), Found::Absent) {
            elect.request(key).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;

    use super::*;
    use crate::clock::SystemClock;
    use crate::store::{Owner, Scan, Store};

    fn scan(tags: &[&str], complete: bool) -> Scan {
        Scan {
            owner: Owner {
                key: Key::new("apps", "app"),
                uid: "uid-1".into(),
                created: Timestamp::UNIX_EPOCH,
                labels: BTreeMap::new(),
            },
            image: "registry.test/o/app".parse().unwrap(),
            tags: tags.iter().map(|tag| tag.parse().unwrap()).collect(),
            aside: vec![],
            revision: "always the same".into(),
            time: Timestamp::UNIX_EPOCH,
            complete,
            dating: crate::store::Dating::AtFirst,
        }
    }

    #[test]
    fn tags_that_change_are_noticed_whatever_their_revision() {
        let store = Store::in_memory(Arc::new(SystemClock));
        let key = Key::new("apps", "app");
        let rows = [
            ("it appeared", scan(&["a", "b"], true), true),
            ("nothing is missing for sure", scan(&["a"], false), false),
            ("one is gone", scan(&["a"], true), true),
            ("one is new", scan(&["a", "c"], true), true),
        ];
        for (name, scan, expected) in rows {
            let before = store.snapshot().repository(&key);
            store.commit_scan(scan).unwrap();
            let after = store.snapshot().repository(&key);
            let whose = whose_tags_changed(before.as_deref(), after.as_deref());
            assert_eq!(whose.is_some(), expected, "{name}");
        }
        let last = store.snapshot().repository(&key);
        assert_eq!(whose_tags_changed(last.as_deref(), None), Some(key));
    }
}
