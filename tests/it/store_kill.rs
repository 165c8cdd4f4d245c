//! The tag store killed with SIGKILL at random moments: no version ever names two contents, and what is
//! opened again was published before.
//!
//! The parent starts this very test binary again as a child, which commits as fast as it can and prints every
//! change that it publishes; the parent reads along, and kills it.
#![allow(clippy::unwrap_used, reason = "a test, helpers included")]

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use futures::executor::block_on;
use jiff::Timestamp;
use tagscope::clock::SystemClock;
use tagscope::object::Key;
use tagscope::store::{
    Change, Owner, RepositoryTags, ResourceVersion, Scan, Snapshot, Store, TagEntry,
};

const PATH: &str = "TAGSCOPE_TEST_STORE_PATH";
const SEED: &str = "TAGSCOPE_TEST_STORE_SEED";
const CHILD: &str = "store_kill::a_child_commits_until_it_is_killed";
const ROUNDS: u64 = 40;

/// Small and good enough (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

fn key(repository: u64) -> Key {
    Key::new("apps", format!("r{repository}"))
}

fn tag_means(repository: &RepositoryTags, name: &str, entry: Option<&TagEntry>) -> String {
    let key = &repository.owner().key;
    match entry {
        Some(TagEntry {
            incarnation,
            first_seen,
            digest,
            selected_by,
            ..
        }) => {
            let uid = &repository.owner().uid;
            format!("{key}:{name} {uid} {incarnation} {first_seen:?} {digest:?} {selected_by:?}")
        }
        None => format!("{key}:{name} gone"),
    }
}

fn set_means(key: &Key, tags: Option<&RepositoryTags>) -> String {
    let names = tags.map(|tags| {
        tags.entries_after(None)
            .map(|entry| entry.tag.to_string())
            .collect::<Vec<_>>()
    });
    format!(
        "{key} {:?} {names:?}",
        tags.map(|tags| (&tags.owner().uid, tags.revision(), tags.scan_time()))
    )
}

fn means(change: &Change) -> (u64, String) {
    match change {
        Change::Tag {
            resource_version,
            repository,
            before,
            after,
            ..
        } => {
            let name = &after.as_ref().or(before.as_ref()).unwrap().tag;
            (
                resource_version.0,
                tag_means(repository, name.as_str(), after.as_ref()),
            )
        }
        Change::Set {
            resource_version,
            before,
            after,
        } => {
            let key = &after.as_ref().or(before.as_ref()).unwrap().owner().key;
            (resource_version.0, set_means(key, after.as_deref()))
        }
    }
}

/// What every version in a snapshot means.
fn snapshot_means(snapshot: &Snapshot) -> Vec<(u64, String)> {
    let mut all = Vec::new();
    for tags in snapshot.repositories() {
        for entry in tags.entries_after(None) {
            all.push((
                entry.resource_version.0,
                tag_means(&tags, entry.tag.as_str(), Some(&entry)),
            ));
        }
        all.push((
            tags.resource_version().0,
            set_means(&tags.owner().key, Some(&tags)),
        ));
    }
    all
}

fn commit_something(store: &Store, random: &mut Random, turn: i64) {
    let repository = random.below(3);
    match random.below(10) {
        0..5 => {
            let wanted = random.below(1 << 30);
            store
                .commit_scan(Scan {
                    owner: Owner {
                        key: key(repository),
                        uid: format!("uid-{}", random.below(20) / 19),
                        created: Timestamp::UNIX_EPOCH,
                        labels: BTreeMap::new(),
                    },
                    image: "ghcr.io/o/i".parse().unwrap(),
                    tags: (0..30)
                        .filter(|i| wanted & (1 << i) != 0)
                        .map(|i| format!("v1.{i}").parse().unwrap())
                        .collect(),
                    aside: Vec::new(),
                    revision: wanted.to_string(),
                    time: Timestamp::from_second(turn).unwrap(),
                    complete: random.below(4) > 0,
                    dating: if random.below(2) == 0 {
                        tagscope::store::Dating::AtFirst
                    } else {
                        tagscope::store::Dating::Now
                    },
                })
                .unwrap();
        }
        5..9 => {
            let policy = Key::new("apps", format!("p{}", random.below(3)));
            let tag = format!("v1.{}", random.below(30)).parse().unwrap();
            let digest = format!("sha256:{:064}", random.below(9)).parse().unwrap();
            store
                .commit_election(&key(repository), &policy, Some((tag, Some(digest))))
                .unwrap();
        }
        _ => drop(store.remove_repository(&key(repository)).unwrap()),
    }
}

#[test]
#[ignore = "a child of the test below, not a test"]
fn a_child_commits_until_it_is_killed() {
    let (Ok(path), Ok(seed)) = (std::env::var(PATH), std::env::var(SEED)) else {
        return;
    };
    let mut random = Random(seed.parse().unwrap());
    let mut out = std::io::stdout();
    let mut turn = 0;
    // Ends also when nobody listens any more.
    let mut say = |text: String| {
        if out.write_all(text.as_bytes()).is_err() {
            std::process::exit(0)
        }
    };
    loop {
        say("\nopening\n".to_owned());
        let store = Store::open(Path::new(&path), 0, Arc::new(SystemClock)).unwrap();
        let mut position = store.snapshot().resource_version();
        say(format!("start {position}\n"));
        for (version, meaning) in snapshot_means(&store.snapshot()) {
            say(format!("state {version} {meaning}\n"));
        }
        for _ in 0..random.below(400) {
            turn += 1;
            commit_something(&store, &mut random, turn);
            for change in store.changes_after(position, usize::MAX).unwrap() {
                let (version, meaning) = means(&change);
                say(format!("change {version} {meaning}\n"));
                position = ResourceVersion(version);
            }
            if random.below(30) == 0 {
                block_on(store.flush()).unwrap();
            }
        }
        if random.below(2) == 0 {
            block_on(store.close()).unwrap();
        }
    }
}

/// What the parent has learnt in all rounds.
#[derive(Default)]
struct Ledger {
    given: HashMap<u64, String>,
    newest: u64,
    starts: usize,
    restored: usize,
}

impl Ledger {
    fn hear(&mut self, line: &str) {
        let Some((kind, rest)) = line.split_once(' ') else {
            return;
        };
        match kind {
            "start" => {
                let version: u64 = rest.parse().unwrap();
                assert!(
                    version >= self.newest,
                    "counting went back to {version} from {}",
                    self.newest
                );
                self.newest = version;
                self.starts += 1;
            }
            "state" | "change" => {
                let (version, meaning) = rest.split_once(' ').unwrap();
                let version = version.parse().unwrap();
                if kind == "change" {
                    assert_eq!(version, self.newest + 1, "{line}");
                    self.newest = version;
                } else {
                    assert!(version <= self.newest, "{line}");
                    self.restored += 1;
                }
                self.give(version, meaning);
            }
            _ => {}
        }
    }

    fn give(&mut self, version: u64, meaning: &str) {
        let before = self
            .given
            .entry(version)
            .or_insert_with(|| meaning.to_owned());
        assert_eq!(before, meaning, "version {version} names two contents");
    }
}

#[test]
fn a_killed_store_never_gives_a_version_two_contents() {
    let path = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::default();
    let mut random = Random(u64::from(std::process::id()));
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                CHILD,
                "--exact",
                "--ignored",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(PATH, path.path())
            .env(SEED, random.below(u64::MAX).to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        // Some are killed while they open, most while they commit.
        let patience = if round % 5 == 0 {
            0
        } else {
            random.below(3000)
        };
        let mut heard = None;
        let mut line = String::new();
        loop {
            line.clear();
            // A last line without an end was cut by the kill.
            if lines.read_line(&mut line).unwrap() == 0 || !line.ends_with('\n') {
                break;
            }
            if line == "opening\n" && heard.is_none() {
                heard = Some(0);
            }
            ledger.hear(line.trim_end());
            if let Some(count) = &mut heard {
                if *count == patience {
                    child.kill().unwrap();
                }
                *count += 1;
            }
        }
        let status = child.wait().unwrap();
        assert!(
            heard.is_some_and(|heard| heard > patience),
            "the child ended by itself: {status}"
        );
        if round % 4 == 3 {
            let store = Store::open(path.path(), 0, Arc::new(SystemClock)).unwrap();
            assert_eq!(store.epoch(), 1, "a kill is no damage");
            let snapshot = store.snapshot();
            assert!(snapshot.resource_version().0 >= ledger.newest);
            ledger.newest = snapshot.resource_version().0;
            for (version, meaning) in snapshot_means(&snapshot) {
                ledger.give(version, &meaning);
            }
        }
    }
    assert!(
        ledger.given.len() > 1000 && ledger.starts > 20 && ledger.restored > 100,
        "the test proved something"
    );
}
