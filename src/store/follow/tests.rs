//! Whoever follows a part is shown exactly what changed in it, whatever happens elsewhere and however late it looks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};

use futures::FutureExt as _;
use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::clock::SystemClock;
use crate::store::{Dating, Limits, Owner, Scan};

/// `n` as a repository: two of them in each namespace.
fn key(n: usize) -> Key {
    Key::new(format!("ns-{}", n / 2), format!("repository-{n}"))
}

fn commit(store: &Store, repository: usize, tags: &[u8]) {
    let scan = Scan {
        owner: Owner {
            key: key(repository),
            uid: format!("uid-{repository}"),
            created: Timestamp::UNIX_EPOCH,
            labels: BTreeMap::new(),
        },
        image: "ghcr.io/o/i".parse().unwrap(),
        tags: tags
            .iter()
            .map(|tag| format!("t{tag}").parse().unwrap())
            .collect(),
        aside: Vec::new(),
        revision: format!("{tags:?}"),
        time: Timestamp::UNIX_EPOCH,
        complete: true,
        dating: Dating::Now,
    };
    store.commit_scan(scan).unwrap();
}

fn elect(store: &Store, repository: usize, tag: u8) {
    let policy = Key::new("p", "p");
    let elected = Some((format!("t{tag}").parse().unwrap(), None));
    store
        .commit_election(&key(repository), &policy, elected)
        .unwrap();
}

fn store_with(commits: usize) -> Store {
    let limits = Limits {
        commits,
        ..Limits::default()
    };
    Store::in_memory_with(Arc::new(SystemClock), limits)
}

/// The versions that `follower` is shown, `limit` at most.
fn pull(follower: &mut Follower, limit: usize) -> Result<Vec<u64>, Expired> {
    let mut seen = Vec::new();
    if limit == 0 {
        return Ok(seen);
    }
    follower.pull(&mut |occurrence| {
        assert_eq!(
            occurrence.change().resource_version(),
            occurrence.resource_version()
        );
        seen.push(occurrence.resource_version().0);
        if seen.len() == limit {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    Ok(seen)
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn only_what_is_in_scope_wakes_and_many_changes_wake_once() {
    let store = store_with(100);
    commit(&store, 0, &[1]);
    let scopes = [
        (Scope::Everything, Objects::Tags, 1),
        (Scope::Namespace("ns-0".into()), Objects::Tags, 1),
        (Scope::Repository(key(1)), Objects::Tags, 1),
        (Scope::Repository(key(1)), Objects::Sets, 1),
        (Scope::Repository(key(0)), Objects::Tags, 0),
        (Scope::Namespace("ns-1".into()), Objects::Tags, 0),
        (Scope::Repository(Key::new("ns-0", "")), Objects::Sets, 0),
    ];
    for (scope, objects, wakes) in scopes {
        let (mut follower, _) = store.follow(scope.clone(), objects, None);
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut context = Context::from_waker(&waker);
        let mut changed = Box::pin(follower.changed());
        assert!(changed.poll_unpin(&mut context).is_pending());
        for round in 0..5 {
            commit(&store, 1, &[2, round]);
        }
        assert_eq!(
            woken.0.load(Ordering::SeqCst),
            wakes,
            "{scope:?} {objects:?}"
        );
        assert_eq!(changed.poll_unpin(&mut context).is_ready(), wakes > 0);
        drop(changed);
        assert_eq!(
            pull(&mut follower, usize::MAX).unwrap().is_empty(),
            wakes == 0
        );
        assert_eq!(follower.position(), store.snapshot().resource_version());
        commit(&store, 1, &[9]);
        commit(&store, 1, &[]);
    }
    assert_eq!(store.followers(), 0);
}

#[test]
fn an_election_is_nothing_to_who_follows_sets() {
    let store = store_with(100);
    commit(&store, 0, &[1, 2]);
    let (mut sets, _) = store.follow(Scope::Everything, Objects::Sets, None);
    let (mut tags, _) = store.follow(Scope::Everything, Objects::Tags, None);
    elect(&store, 0, 1);
    assert!(sets.changed().now_or_never().is_none());
    assert!(tags.changed().now_or_never().is_some());
    assert!(pull(&mut sets, usize::MAX).unwrap().is_empty());
    assert_eq!(pull(&mut tags, usize::MAX).unwrap().len(), 1);
}

#[test]
fn a_quiet_scope_outlives_the_history_of_all_others() {
    let store = store_with(4);
    commit(&store, 0, &[1]);
    let (mut quiet, _) = store.follow(Scope::Repository(key(0)), Objects::Tags, None);
    for round in 0..100 {
        commit(&store, 1, &[round]);
    }
    assert!(pull(&mut quiet, usize::MAX).unwrap().is_empty());
    assert_eq!(quiet.position(), store.snapshot().resource_version());
    for round in 0..100 {
        commit(&store, 1, &[round]);
    }
    elect(&store, 0, 1);
    let version = store.snapshot().resource_version().0;
    assert_eq!(pull(&mut quiet, usize::MAX).unwrap(), [version]);
    // One that does lose changes is told, and so is one whose position is not of this store.
    elect(&store, 0, 1);
    commit(&store, 0, &[1, 2]);
    for round in 0..100 {
        commit(&store, 1, &[round]);
    }
    pull(&mut quiet, usize::MAX).unwrap_err();
    for position in [1, version + 1_000_000] {
        let from = Some(ResourceVersion(position));
        let (mut foreign, _) = store.follow(Scope::Repository(key(5)), Objects::Tags, from);
        pull(&mut foreign, usize::MAX).unwrap_err();
    }
}

#[derive(Debug, Clone)]
enum Act {
    Commit(usize, Vec<u8>),
    Elect(usize, u8),
    Remove(usize),
    /// The follower looks, at so many changes.
    Look(usize, usize),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0usize..4, prop::collection::vec(0u8..6, 0..5)).prop_map(|(n, tags)| Act::Commit(n, tags)),
        3 => (0usize..4, 0u8..6).prop_map(|(n, tag)| Act::Elect(n, tag)),
        1 => (0usize..4).prop_map(Act::Remove),
        4 => (0usize..8, 0usize..6).prop_map(|(follower, limit)| Act::Look(follower, limit)),
    ]
}

fn scopes() -> Vec<(Scope, Objects)> {
    let scopes = [
        Scope::Everything,
        Scope::Namespace("ns-0".into()),
        Scope::Repository(key(0)),
        Scope::Repository(key(3)),
    ];
    let both = scopes.into_iter();
    both.flat_map(|scope| [(scope.clone(), Objects::Tags), (scope, Objects::Sets)])
        .collect()
}

proptest! {
    /// With a short history a follower may be told that it lost something, and only then is something missing.
    #[test]
    fn nothing_is_lost_repeated_or_shown_to_others(acts in prop::collection::vec(act(), 1..60), short: bool) {
        let store = store_with(if short { 3 } else { 1000 });
        let reference = store_with(1000);
        let start = store.snapshot().resource_version();
        let mut followers: Vec<_> = scopes()
            .into_iter()
            .map(|(scope, objects)| (store.follow(scope, objects, None).0, Vec::new(), false))
            .collect();
        let look = |followers: &mut Vec<(Follower, Vec<u64>, bool)>, at: usize, limit: usize| {
            let (follower, seen, is_lost) = &mut followers[at];
            match pull(follower, limit) {
                Ok(more) => seen.extend(more),
                Err(_) => *is_lost = true,
            }
        };
        for act in &acts {
            for store in [&store, &reference] {
                match act {
                    Act::Commit(n, tags) => commit(store, *n, tags),
                    Act::Elect(n, tag) => elect(store, *n, *tag),
                    Act::Remove(n) => {
                        store.remove_repository(&key(*n)).unwrap();
                    }
                    Act::Look(..) => {}
                }
            }
            if let Act::Look(at, limit) = act
                && !followers[*at].2
            {
                look(&mut followers, *at, *limit);
            }
        }
        let all = reference.changes_after(start, usize::MAX).unwrap();
        for (at, (scope, objects)) in scopes().into_iter().enumerate() {
            if !followers[at].2 {
                look(&mut followers, at, usize::MAX);
            }
            let expected: Vec<u64> = all
                .iter()
                .filter(|change| match (change, objects) {
                    (Change::Tag { repository, .. }, Objects::Tags) => scope.contains(&repository.owner().key),
                    (Change::Set { before, after, .. }, Objects::Sets) => {
                        scope.contains(&after.as_ref().or(before.as_ref()).unwrap().owner().key)
                    }
                    _ => false,
                })
                .map(|change| change.resource_version().0)
                .collect();
            let (follower, seen, is_lost) = &followers[at];
            prop_assert!(expected.starts_with(seen), "{scope:?}: {seen:?} of {expected:?}");
            prop_assert!(short || !is_lost);
            if !is_lost {
                prop_assert_eq!(seen.len(), expected.len());
                prop_assert_eq!(follower.position(), store.snapshot().resource_version());
            }
        }
    }
}
