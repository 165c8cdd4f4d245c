//! The store against a model that keeps every object as text in one map, and knows no table, mark or record.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use futures::executor::block_on;
use jiff::Timestamp;
use proptest::prelude::*;

use super::super::*;
use crate::clock::SystemClock;

const REPOSITORIES: [(&str, &str); 3] = [("a", "r"), ("a", "r-x"), ("b", "r")];
const TAGS: u16 = 20;

#[derive(Debug, Clone)]
enum Op {
    Scan {
        repository: usize,
        tags: u32,
        aside: u8,
        complete: bool,
        first: bool,
        uid: u8,
        label: u8,
        image: u8,
        revision: u8,
    },
    Elect {
        repository: usize,
        policy: u8,
        tag: Option<(u16, Option<u8>)>,
    },
    Remove {
        repository: usize,
    },
    Owner {
        repository: usize,
        uid: u8,
        label: u8,
    },
    Pull {
        watcher: usize,
        limit: usize,
    },
    Restart(Stop),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    Close,
    Drop,
    CrashFlushed,
    Crash,
}

fn mostly_zero() -> impl Strategy<Value = u8> {
    prop_oneof![8 => Just(0u8), 1 => Just(1u8)]
}

fn op() -> impl Strategy<Value = Op> {
    let repository = || 0..REPOSITORIES.len();
    let scan = (
        repository(),
        prop_oneof![
            any::<u32>(),
            any::<u32>().prop_map(|m| m | (m >> 7) | (m << 9))
        ],
        0u8..4,
        prop::bool::weighted(0.8),
        any::<bool>(),
    )
        .prop_flat_map(|(repository, tags, aside, complete, first)| {
            (mostly_zero(), mostly_zero(), mostly_zero(), 0u8..3).prop_map(
                move |(uid, label, image, revision)| Op::Scan {
                    repository,
                    tags: tags & ((1 << TAGS) - 1),
                    aside: if aside == 3 { 1 } else { 0 },
                    complete,
                    first,
                    uid,
                    label,
                    image,
                    revision,
                },
            )
        });
    let tag = prop::option::weighted(0.8, (0..TAGS, prop::option::of(0u8..2)));
    prop_oneof![
        6 => scan,
        6 => (repository(), 0u8..3, tag).prop_map(|(repository, policy, tag)| Op::Elect { repository, policy, tag }),
        1 => repository().prop_map(|repository| Op::Remove { repository }),
        1 => (repository(), mostly_zero(), 0u8..2).prop_map(|(repository, uid, label)| Op::Owner { repository, uid, label }),
        4 => (0..2usize, 1..30usize).prop_map(|(watcher, limit)| Op::Pull { watcher, limit }),
    ]
}

fn op_or_restart() -> impl Strategy<Value = Op> {
    let stop = prop_oneof![
        Just(Stop::Close),
        Just(Stop::Drop),
        Just(Stop::CrashFlushed),
        Just(Stop::Crash)
    ];
    prop_oneof![8 => op(), 1 => stop.prop_map(Op::Restart)]
}

/// What the model knows of one repository.
#[derive(Debug, Clone, PartialEq)]
struct Repository {
    owner: Owner,
    image: u8,
    revision: u8,
    complete: bool,
    aside: BTreeSet<String>,
    scan_time: Timestamp,
    tags: BTreeMap<String, ModelTag>,
    elections: BTreeMap<Key, (String, Option<Digest>)>,
}

#[derive(Debug, Clone, PartialEq)]
struct ModelTag {
    first_seen: Option<Timestamp>,
    /// Whether its incarnation is 0.
    is_old: bool,
    digest: Option<Digest>,
}

/// What is served of one object: its content as text, with neither version nor incarnation.
type World = BTreeMap<String, String>;

#[derive(Debug, Clone, PartialEq)]
struct Told {
    name: String,
    content: String,
    version: u64,
    /// 0 for sets.
    incarnation: u64,
}

fn key(repository: usize) -> Key {
    Key::new(REPOSITORIES[repository].0, REPOSITORIES[repository].1)
}

fn owner(repository: usize, uid: u8, label: u8) -> Owner {
    let labels = [("label".to_owned(), label.to_string())].into();
    Owner {
        key: key(repository),
        uid: format!("uid-{uid}"),
        created: Timestamp::UNIX_EPOCH,
        labels,
    }
}

fn image(image: u8) -> String {
    format!("ghcr.io/o/i{image}")
}

fn tag_name(tag: u16) -> String {
    format!("v{}.{tag}", tag % 3)
}

fn digest(digest: u8) -> Digest {
    format!("sha256:{digest:064}").parse().unwrap()
}

fn tag_content(
    owner: &Owner,
    image: &str,
    first_seen: Option<Timestamp>,
    digest: Option<&Digest>,
    by: &[Key],
) -> String {
    format!("{owner:?} {image} {first_seen:?} {digest:?} {by:?}")
}

fn set_content(
    owner: &Owner,
    image: &str,
    revision: &str,
    complete: bool,
    time: Timestamp,
    aside: &[String],
    tags: &[String],
) -> String {
    format!("{owner:?} {image} {revision} {complete} {time} {aside:?} {tags:?}")
}

impl Repository {
    fn serve(&self, world: &mut World) {
        for (name, tag) in &self.tags {
            let by: Vec<_> = self
                .elections
                .iter()
                .filter(|(_, (tag, _))| tag == name)
                .map(|(policy, _)| policy.clone())
                .collect();
            let content = tag_content(
                &self.owner,
                &image(self.image),
                tag.first_seen,
                tag.digest.as_ref(),
                &by,
            );
            world.insert(format!("{}:{name}", self.owner.key), content);
        }
        let aside: Vec<_> = self.aside.iter().cloned().collect();
        let tags: Vec<_> = self.tags.keys().cloned().collect();
        let content = set_content(
            &self.owner,
            &image(self.image),
            &self.revision.to_string(),
            self.complete,
            self.scan_time,
            &aside,
            &tags,
        );
        world.insert(self.owner.key.to_string(), content);
    }

    fn served(repository: Option<&Self>) -> World {
        let mut world = World::new();
        if let Some(repository) = repository {
            repository.serve(&mut world);
        }
        world
    }

    fn of(tags: &RepositoryTags) -> Self {
        let number = |text: &str| text[text.len() - 1..].parse().unwrap();
        Self {
            owner: tags.owner().clone(),
            image: number(&tags.image().to_string()),
            revision: number(tags.revision()),
            complete: tags.is_complete(),
            aside: tags.aside().iter().map(ToString::to_string).collect(),
            scan_time: tags.scan_time(),
            tags: tags
                .entries_after(None)
                .map(|e| {
                    (
                        e.tag.to_string(),
                        ModelTag {
                            first_seen: e.first_seen,
                            is_old: e.incarnation == 0,
                            digest: e.digest,
                        },
                    )
                })
                .collect(),
            elections: tags
                .elections()
                .iter()
                .map(|e| (e.policy.clone(), (e.tag.to_string(), e.digest.clone())))
                .collect(),
        }
    }
}

fn told_tag(repository: &RepositoryTags, entry: &TagEntry) -> Told {
    Told {
        name: format!("{}:{}", repository.owner().key, entry.tag),
        content: tag_content(
            repository.owner(),
            &repository.image().to_string(),
            entry.first_seen,
            entry.digest.as_ref(),
            &entry.selected_by,
        ),
        version: entry.resource_version.0,
        incarnation: entry.incarnation,
    }
}

fn told_set(tags: &RepositoryTags) -> Told {
    let text = |tag: &Tag| tag.to_string();
    let aside: Vec<_> = tags.aside().iter().map(text).collect();
    let listed: Vec<_> = tags
        .entries_after(None)
        .map(|e| e.tag.to_string())
        .collect();
    Told {
        name: tags.owner().key.to_string(),
        content: set_content(
            tags.owner(),
            &tags.image().to_string(),
            tags.revision(),
            tags.is_complete(),
            tags.scan_time(),
            &aside,
            &listed,
        ),
        version: tags.resource_version().0,
        incarnation: 0,
    }
}

fn told_world(snapshot: &Snapshot) -> BTreeMap<String, Told> {
    let mut world = BTreeMap::new();
    for tags in snapshot.repositories() {
        let told = tags
            .entries_after(None)
            .map(|entry| told_tag(&tags, &entry))
            .chain([told_set(&tags)]);
        world.extend(told.map(|told| (told.name.clone(), told)));
    }
    world
}

/// Name, before, after, version.
fn told_change(change: &Change) -> (String, Option<Told>, Option<Told>, u64) {
    match change {
        Change::Tag {
            resource_version,
            repository,
            previous,
            before,
            after,
        } => {
            let name = format!(
                "{}:{}",
                repository.owner().key,
                after.as_ref().or(before.as_ref()).unwrap().tag
            );
            let before = before
                .as_ref()
                .map(|entry| told_tag(previous.as_ref().unwrap(), entry));
            (
                name,
                before,
                after.as_ref().map(|entry| told_tag(repository, entry)),
                resource_version.0,
            )
        }
        Change::Set {
            resource_version,
            before,
            after,
        } => {
            let name = after
                .as_ref()
                .or(before.as_ref())
                .unwrap()
                .owner()
                .key
                .to_string();
            let told =
                |tags: &Option<Arc<RepositoryTags>>| tags.as_ref().map(|tags| told_set(tags));
            (name, told(before), told(after), resource_version.0)
        }
    }
}

/// Who follows the store by list and watch.
struct Watcher {
    position: ResourceVersion,
    world: BTreeMap<String, Told>,
}

impl Watcher {
    fn list(store: &Store) -> Self {
        let snapshot = store.snapshot();
        Self {
            position: snapshot.resource_version(),
            world: told_world(&snapshot),
        }
    }

    fn pull(&mut self, store: &Store, limit: usize) -> Result<usize, Expired> {
        let changes = store.changes_after(self.position, limit)?;
        assert!(changes.len() <= limit);
        for change in &changes {
            let (name, before, after, version) = told_change(change);
            assert_eq!(version, self.position.0 + 1, "no version is skipped");
            assert_eq!(
                self.world.get(&name),
                before.as_ref(),
                "{name} before {version}"
            );
            match after {
                Some(after) => {
                    assert_eq!(after.version, version);
                    self.world.insert(name, after);
                }
                None => drop(self.world.remove(&name).unwrap()),
            }
            self.position = change.resource_version();
        }
        Ok(changes.len())
    }
}

struct Machine {
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
    fn new(on_disk: bool) -> Self {
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

    fn run(&mut self, op: Op) {
        self.seconds += 1;
        match op {
            Op::Pull { watcher, limit } => {
                let store = self.store.clone().unwrap();
                let watcher = &mut self.watchers[watcher];
                if watcher.pull(&store, limit).is_err() {
                    *watcher = Watcher::list(&store);
                }
            }
            Op::Restart(stop) => self.restart(stop),
            Op::Scan { repository, .. }
            | Op::Elect { repository, .. }
            | Op::Remove { repository }
            | Op::Owner { repository, .. } => {
                let before = self.model.get(&repository).cloned();
                let after = self.expect(&op, before.clone());
                let committed = self.commit(&op);
                self.check_told(before.as_ref(), after.as_ref(), committed);
                match after {
                    Some(after) => drop(self.model.insert(repository, after)),
                    None => drop(self.model.remove(&repository)),
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
                image: super::model::image(image).parse().unwrap(),
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
                first,
            }),
            Op::Elect {
                repository,
                policy,
                tag,
            } => {
                let elected = tag.map(|(tag, digest)| {
                    (
                        tag_name(tag).parse().unwrap(),
                        digest.map(super::model::digest),
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

    /// The rules again, as simple as they can be said.
    fn expect(&self, op: &Op, before: Option<Repository>) -> Option<Repository> {
        match op.clone() {
            Op::Remove { .. } => None,
            Op::Owner {
                repository,
                uid,
                label,
            } => {
                let owner = owner(repository, uid, label);
                before
                    .filter(|before| before.owner.uid == owner.uid)
                    .map(|before| Repository { owner, ..before })
            }
            Op::Elect { policy, tag, .. } => {
                let mut after = before?;
                let policy = Key::new("p", format!("p{policy}"));
                let elected =
                    tag.map(|(tag, digest)| (tag_name(tag), digest.map(super::model::digest)));
                if elected
                    .as_ref()
                    .is_some_and(|(tag, _)| !after.tags.contains_key(tag))
                {
                    return Some(after);
                }
                let lost = after.elections.remove(&policy);
                if let Some(elected) = &elected {
                    after.elections.insert(policy, elected.clone());
                }
                if lost == elected {
                    return Some(after);
                }
                for name in lost.iter().chain(&elected).map(|(tag, _)| tag) {
                    let known: Vec<_> = after
                        .elections
                        .values()
                        .filter(|(tag, _)| tag == name)
                        .filter_map(|(_, d)| d.clone())
                        .collect();
                    let brought = elected
                        .as_ref()
                        .filter(|(tag, _)| tag == name)
                        .and_then(|(_, digest)| digest.clone());
                    let tag = after.tags.get_mut(name).unwrap();
                    if brought.is_some() {
                        tag.digest = brought;
                    } else if !tag
                        .digest
                        .as_ref()
                        .is_some_and(|digest| known.contains(digest))
                    {
                        tag.digest = known.first().cloned();
                    }
                }
                Some(after)
            }
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
            } => {
                let owner = owner(repository, uid, label);
                let listed: BTreeSet<_> = (0..TAGS)
                    .filter(|tag| tags & (1 << tag) != 0)
                    .map(tag_name)
                    .collect();
                let aside: BTreeSet<_> = (0..aside).map(|i| format!("sha256-{i}.sig")).collect();
                let same_object = before.filter(|before| before.owner.uid == owner.uid);
                let new_tag = |first_seen, is_old| ModelTag {
                    first_seen,
                    is_old,
                    digest: None,
                };
                let (known, appearing) = match same_object {
                    None => (
                        None,
                        if first {
                            new_tag(None, true)
                        } else {
                            new_tag(Some(self.now()), false)
                        },
                    ),
                    Some(before) if before.image != image => (None, new_tag(None, false)),
                    Some(before) => (Some(before), new_tag(Some(self.now()), false)),
                };
                let Some(before) = known else {
                    let tags = listed
                        .into_iter()
                        .map(|name| (name, appearing.clone()))
                        .collect();
                    let elections = BTreeMap::new();
                    return Some(Repository {
                        owner,
                        image,
                        revision,
                        complete,
                        aside,
                        scan_time: self.now(),
                        tags,
                        elections,
                    });
                };
                let mut after = Repository {
                    owner,
                    image,
                    revision,
                    complete,
                    aside,
                    ..before.clone()
                };
                if complete {
                    after.tags.retain(|name, _| listed.contains(name));
                } else {
                    after.aside.extend(before.aside.iter().cloned());
                }
                for name in listed {
                    after.tags.entry(name).or_insert(appearing.clone());
                }
                after.elections.retain(|_, (tag, _)| {
                    before.tags.contains_key(tag) && after.tags.contains_key(tag)
                });
                let is_same = before
                    == Repository {
                        owner: before.owner.clone(),
                        ..after.clone()
                    };
                if !is_same {
                    after.scan_time = self.now();
                }
                Some(after)
            }
            Op::Pull { .. } | Op::Restart(_) => unreachable!(),
        }
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
        if let Some(before) = self.given.insert(version, meaning.clone()) {
            assert_eq!(before, meaning, "version {version} was given twice");
        }
    }

    /// Snapshot and model agree, to the version.
    fn check_served(&self) {
        let mut world = World::new();
        self.model
            .values()
            .for_each(|repository| repository.serve(&mut world));
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
                assert!(version > self.newest, "no version is given twice")
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
    fn finish(mut self) {
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

fn play(on_disk: bool, ops: Vec<Op>) {
    let mut machine = Machine::new(on_disk);
    for op in ops {
        machine.run(op);
    }
    machine.finish();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]
    #[test]
    fn in_memory_it_is_the_model(ops in prop::collection::vec(op(), 1..60)) {
        play(false, ops);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn on_disk_it_is_the_model_across_restarts(ops in prop::collection::vec(op_or_restart(), 1..60)) {
        play(true, ops);
    }
}
