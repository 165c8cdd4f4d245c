//! A store and its model side by side: every step is taken by both, and looked at from all sides.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use futures::executor::block_on;
use jiff::Timestamp;

use super::super::super::{Committed, ResourceVersion, Scan, Store, TagEntry};
use super::rules::{Repository, World, expect, key, owner, tag_name};
use super::told::{Told, Watcher, told_change, told_world};
use super::{Op, REPOSITORIES, Stop, TAGS};
use crate::clock::SystemClock;
use crate::object::Key;

pub(super) struct Machine {
    path: Option<tempfile::TempDir>,
    store: Option<Store>,
    model: BTreeMap<usize, Repository>,
    /// Version and incarnation of every object.
    versions: BTreeMap<String, (u64, u64)>,
    /// What every version ever given meant.
    given: HashMap<u64, String>,
    newest: u64,
    watchers: [Watcher; 2],
    seconds: i64,
}

impl Machine {
    pub(super) fn new(on_disk: bool) -> Self {
        let path = on_disk.then(|| tempfile::tempdir().unwrap());
        let store = match &path {
            Some(path) => Store::open(path.path(), 0, Arc::new(SystemClock)).unwrap(),
            None => Store::in_memory(Arc::new(SystemClock)),
        };
        Self {
            path,
            model: BTreeMap::new(),
            versions: BTreeMap::new(),
            given: HashMap::new(),
            newest: store.snapshot().resource_version().0,
            watchers: [Watcher::list(&store), Watcher::list(&store)],
            store: Some(store),
            seconds: 0,
        }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    pub(super) fn run(&mut self, op: &Op) {
        self.seconds += 1;
        match op {
            Op::Pull { watcher, limit } => {
                let store = self.store.clone().unwrap();
                let watcher = &mut self.watchers[*watcher];
                if watcher.pull(&store, *limit).is_err() {
                    *watcher = Watcher::list(&store);
                }
            }
            Op::Restart(stop) => self.restart(*stop),
            Op::Scan { repository, .. }
            | Op::Elect { repository, .. }
            | Op::Remove { repository }
            | Op::Owner { repository, .. } => {
                let before = self.model.get(repository).cloned();
                let after = expect(op, before.clone(), self.now());
                let committed = self.commit(op);
                self.check_told(before.as_ref(), after.as_ref(), committed);
                match after {
                    Some(after) => drop(self.model.insert(*repository, after)),
                    None => drop(self.model.remove(repository)),
                }
                self.check_served();
            }
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + self.seconds).unwrap()
    }

    fn commit(&self, op: &Op) -> Committed {
        let result = match op.clone() {
            Op::Scan {
                repository,
                tags,
                aside,
                complete,
                first,
                uid,
                label,
                image,
                revision,
            } => self.store().commit_scan(Scan {
                owner: owner(repository, uid, label),
                image: super::rules::image(image).parse().unwrap(),
                // Any order, and some twice.
                tags: (0..TAGS)
                    .rev()
                    .chain(0..3)
                    .filter(|tag| tags & (1 << tag) != 0)
                    .map(|tag| tag_name(tag).parse().unwrap())
                    .collect(),
                aside: (0..aside)
                    .map(|i| format!("sha256-{i}.sig").parse().unwrap())
                    .collect(),
                revision: revision.to_string(),
                time: self.now(),
                complete,
                dating: if first {
                    crate::store::Dating::AtFirst
                } else {
                    crate::store::Dating::Now
                },
            }),
            Op::Elect {
                repository,
                policy,
                tag,
            } => {
                let elected = tag.map(|(tag, digest)| {
                    (
                        tag_name(tag).parse().unwrap(),
                        digest.map(super::rules::digest),
                    )
                });
                self.store().commit_election(
                    &key(repository),
                    &Key::new("p", format!("p{policy}")),
                    elected,
                )
            }
            Op::Remove { repository } => self.store().remove_repository(&key(repository)),
            Op::Owner {
                repository,
                uid,
                label,
            } => self.store().update_owner(owner(repository, uid, label)),
            Op::Pull { .. } | Op::Restart(_) => unreachable!(),
        };
        result.unwrap()
    }

    /// What the history tells of a commit is the difference of the model's two worlds, in order, and nothing else.
    fn check_told(
        &mut self,
        before: Option<&Repository>,
        after: Option<&Repository>,
        committed: Committed,
    ) {
        let (old, new) = (Repository::served(before), Repository::served(after));
        let is_set = |name: &String| !name.contains(':');
        let (tags, sets): (BTreeSet<_>, BTreeSet<_>) = old
            .keys()
            .chain(new.keys())
            .cloned()
            .partition(|name| !is_set(name));
        let vanish = |names: &BTreeSet<String>| {
            names
                .iter()
                .filter(|n| old.contains_key(*n))
                .map(|n| (n.clone(), true, false))
                .collect::<Vec<_>>()
        };
        let appear = |names: &BTreeSet<String>| {
            names
                .iter()
                .filter(|n| new.contains_key(*n))
                .map(|n| (n.clone(), false, true))
                .collect::<Vec<_>>()
        };
        let differ = |names: &BTreeSet<String>| {
            let differing = names.iter().filter(|n| old.get(*n) != new.get(*n));
            differing
                .map(|n| (n.clone(), old.contains_key(n), new.contains_key(n)))
                .collect::<Vec<_>>()
        };
        let expected = match before.zip(after) {
            Some((b, a)) if b.owner.uid != a.owner.uid => {
                [vanish(&tags), vanish(&sets), appear(&tags), appear(&sets)].concat()
            }
            Some((b, a)) if b.image != a.image => {
                [vanish(&tags), appear(&tags), differ(&sets)].concat()
            }
            _ => [differ(&tags), differ(&sets)].concat(),
        };

        let changes = self
            .store()
            .changes_after(ResourceVersion(self.newest), usize::MAX)
            .unwrap();
        let told: Vec<_> = changes.iter().map(told_change).collect();
        let brief: Vec<_> = told
            .iter()
            .map(|(name, before, after, _)| (name.clone(), before.is_some(), after.is_some()))
            .collect();
        assert_eq!(brief, expected);
        let count = |before, after| {
            brief
                .iter()
                .filter(|(n, b, a)| !is_set(n) && (*b, *a) == (before, after))
                .count()
        };
        assert_eq!(
            (committed.added, committed.removed, committed.changed),
            (count(false, true), count(true, false), count(true, true))
        );
        assert_eq!(
            committed.set_changed,
            brief.iter().any(|(name, ..)| is_set(name))
        );

        for (name, before, after, version) in told {
            self.newest += 1;
            assert_eq!(version, self.newest, "versions are consecutive");
            let state = |told: Option<&Told>| told.map(|told| (told.version, told.incarnation));
            assert_eq!(state(before.as_ref()), self.versions.get(&name).copied());
            self.give(
                version,
                format!("{name} {:?}", after.as_ref().map(|told| &told.content)),
            );
            match after {
                Some(after) => {
                    assert_eq!(after.version, version);
                    let model = self.expected_incarnation(&name, before.as_ref(), version, &new);
                    assert_eq!(after.incarnation, model);
                    self.versions.insert(name, (version, after.incarnation));
                }
                None => drop(self.versions.remove(&name)),
            }
        }
        assert_eq!(committed.resource_version.0, self.newest);
        assert_eq!(self.store().snapshot().resource_version().0, self.newest);
        assert_eq!(*self.store().changed().borrow(), committed.resource_version);
    }

    fn expected_incarnation(
        &self,
        name: &str,
        before: Option<&Told>,
        version: u64,
        new: &World,
    ) -> u64 {
        assert!(new.contains_key(name));
        match before {
            Some(before) => before.incarnation,
            None if !name.contains(':') => 0,
            None => {
                let entry = self.find(name).unwrap();
                if entry.incarnation == 0 { 0 } else { version }
            }
        }
    }

    fn find(&self, name: &str) -> Option<TagEntry> {
        let (repository, tag) = name.split_once(':')?;
        let (namespace, repository) = repository.split_once('/')?;
        self.store()
            .snapshot()
            .repository(&Key::new(namespace, repository))?
            .tag(tag)
    }

    /// No version ever means two things.
    fn give(&mut self, version: u64, meaning: String) {
        let before = self.given.insert(version, meaning);
        assert_eq!(before, None, "version {version} was given twice");
    }

    /// Snapshot and model agree, to the version.
    fn check_served(&self) {
        let mut world = World::new();
        for repository in self.model.values() {
            repository.serve(&mut world);
        }
        let snapshot = self.store().snapshot();
        let told = told_world(&snapshot);
        assert_eq!(
            told.iter()
                .map(|(n, t)| (n.clone(), t.content.clone()))
                .collect::<World>(),
            world
        );
        let versions: BTreeMap<_, _> = told
            .iter()
            .map(|(n, t)| (n.clone(), (t.version, t.incarnation)))
            .collect();
        assert_eq!(versions, self.versions);
        assert_eq!(
            snapshot.tag_count(),
            world.keys().filter(|name| name.contains(':')).count()
        );
        for (index, repository) in &self.model {
            let tags = snapshot.repository(&key(*index)).unwrap();
            assert_eq!(Repository::of(&tags), *repository);
            let elected: BTreeSet<_> = repository
                .elections
                .values()
                .map(|(tag, _)| tag.clone())
                .collect();
            assert!(tags.selected().map(|e| e.tag.to_string()).eq(elected));
            assert!(
                tags.entries_after(None)
                    .all(|e| tags.tag(e.tag.as_str()) == Some(e))
            );
        }
    }

    fn restart(&mut self, stop: Stop) {
        let Some(path) = &self.path else { return };
        let store = self.store.take().unwrap();
        match stop {
            Stop::Close => block_on(store.close()).unwrap(),
            Stop::Drop => drop(store),
            Stop::CrashFlushed => {
                block_on(store.flush()).unwrap();
                store.crash();
            }
            Stop::Crash => store.crash(),
        }
        let store = Store::open(path.path(), 1, Arc::new(SystemClock)).unwrap();
        let snapshot = store.snapshot();
        let version = snapshot.resource_version().0;
        assert_eq!(store.epoch(), 1);
        match stop {
            Stop::Close | Stop::Drop => assert_eq!(version, self.newest, "counting goes on"),
            Stop::CrashFlushed | Stop::Crash => {
                assert!(version > self.newest, "no version is given twice");
            }
        }
        assert!(
            store
                .changes_after(ResourceVersion(version - 1), 1)
                .is_err()
        );
        self.newest = version;
        let told = told_world(&snapshot);
        if stop == Stop::Crash {
            // Some commits are lost; what is left was given before, and is what the model goes on with.
            self.model = (0..REPOSITORIES.len())
                .filter_map(|i| Some((i, Repository::of(&*snapshot.repository(&key(i))?))))
                .collect();
            self.versions = told
                .iter()
                .map(|(n, t)| (n.clone(), (t.version, t.incarnation)))
                .collect();
        }
        for (name, told) in &told {
            assert_eq!(
                self.given.get(&told.version),
                Some(&format!("{name} {:?}", Some(&told.content)))
            );
        }
        self.store = Some(store);
        self.check_served();
    }

    /// Whoever was behind catches up to the same world.
    pub(super) fn finish(mut self) {
        let store = self.store.take().unwrap();
        for watcher in &mut self.watchers {
            loop {
                match watcher.pull(&store, 7) {
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(_) => *watcher = Watcher::list(&store),
                }
            }
            assert_eq!(watcher.world, told_world(&store.snapshot()));
        }
    }
}
