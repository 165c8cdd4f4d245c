//! Files that are whole, broken, foreign, or somebody else's.

use std::sync::Mutex;

use futures::executor::block_on;
use jiff::Timestamp;
use tempfile::TempDir;

use super::*;
use crate::clock::{HandClock, SharedClock};
use crate::store::{Change, Owner, Scan, Store};

fn clock() -> SharedClock {
    Arc::new(HandClock::at("2026-08-21T10:11:12Z".parse().unwrap()))
}

fn open_at(path: &Path, last_epoch: u64) -> Store {
    Store::open(path, last_epoch, clock()).unwrap()
}

fn commit(store: &Store, name: &str, tags: &[&str]) {
    let owner = Owner {
        key: Key::new("apps", name),
        uid: "uid".to_owned(),
        created: Timestamp::UNIX_EPOCH,
        labels: [].into(),
    };
    let scan = Scan {
        owner,
        image: "ghcr.io/o/i".parse().unwrap(),
        tags: tags.iter().map(|tag| tag.parse().unwrap()).collect(),
        aside: Vec::new(),
        revision: String::new(),
        time: Timestamp::UNIX_EPOCH,
        complete: true,
        dating: crate::store::Dating::AtFirst,
    };
    store.commit_scan(scan).unwrap();
}

/// A path with a store of epoch 1 that was closed cleanly, and how far it had counted.
fn filled() -> (TempDir, u64) {
    let path = tempfile::tempdir().unwrap();
    let store = open_at(path.path(), 0);
    for repository in 0..20 {
        let tags: Vec<_> = (0..50).map(|i| format!("v{repository}.{i}")).collect();
        commit(
            &store,
            &format!("r{repository}"),
            &tags.iter().map(String::as_str).collect::<Vec<_>>(),
        );
    }
    block_on(store.close()).unwrap();
    let newest = store.snapshot().resource_version().0;
    (path, newest)
}

fn files(path: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn edit(file: &Path, change: impl Fn(&redb::WriteTransaction)) {
    let database = Database::open(file).unwrap();
    let transaction = database.begin_write().unwrap();
    change(&transaction);
    transaction.commit().unwrap();
}

#[test]
fn a_clean_stop_loses_nothing_and_positions_stay_good() {
    let (path, newest) = filled();
    let store = open_at(path.path(), 1);
    assert_eq!(
        (
            store.snapshot().resource_version().0,
            store.snapshot().tag_count()
        ),
        (newest, 1000)
    );
    assert!(
        store
            .changes_after(ResourceVersion(newest), 1)
            .unwrap()
            .is_empty()
    );
    assert!(store.changes_after(ResourceVersion(newest - 1), 1).is_err());
    commit(&store, "another", &["a"]);
    match store
        .changes_after(ResourceVersion(newest), 1)
        .unwrap()
        .as_slice()
    {
        [
            Change::Tag {
                resource_version, ..
            },
        ] => assert_eq!(resource_version.0, newest + 1),
        other => panic!("{other:?}"),
    }
}

#[test]
fn after_an_unclean_stop_counting_goes_on_above_what_was_reserved() {
    let (path, newest) = filled();
    for _ in 0..3 {
        let store = open_at(path.path(), 1);
        let before = store.snapshot().resource_version().0;
        store.crash();
        let store = open_at(path.path(), 1);
        let after = store.snapshot().resource_version().0;
        assert_eq!(after, before + RESERVE);
        assert_eq!(store.snapshot().tag_count(), 1000);
        assert!(after > newest && store.changes_after(ResourceVersion(newest), 1).is_err());
        block_on(store.close()).unwrap();
    }
}

#[test]
fn a_lost_or_an_older_store_starts_above_the_last_known_epoch() {
    let path = tempfile::tempdir().unwrap();
    assert_eq!(open_at(path.path(), 7).epoch(), 8);
    assert_eq!(
        open_at(path.path(), 8).epoch(),
        8,
        "its own epoch is no reason to go"
    );
    assert_eq!(
        open_at(path.path(), 0).epoch(),
        8,
        "nor is a forgetful Lease"
    );
    commit(&open_at(path.path(), 8), "r", &["a"]);
    let foreign = open_at(path.path(), 9);
    assert_eq!((foreign.epoch(), foreign.snapshot().tag_count()), (10, 0));
    drop(foreign);
    assert_eq!(
        files(path.path()),
        ["lock", "tags-10.redb", "tags-8.redb.aside-20260821T101112Z"]
    );
}

#[test]
fn no_epoch_beyond_the_last_one_is_begun() {
    let path = tempfile::tempdir().unwrap();
    assert!(matches!(
        Store::open(path.path(), MAX_EPOCH, clock()),
        Err(Error::Open { .. })
    ));
    assert!(matches!(
        Store::open(path.path(), u64::MAX, clock()),
        Err(Error::Open { .. })
    ));
    assert_eq!(open_at(path.path(), MAX_EPOCH - 1).epoch(), MAX_EPOCH);
}

#[test]
fn two_stores_cannot_have_one_path() {
    let path = tempfile::tempdir().unwrap();
    let first = open_at(path.path(), 0);
    let second = Store::open(path.path(), 0, clock()).unwrap_err();
    assert!(
        second.to_string().contains("is in use by another process"),
        "{second}"
    );
    commit(&first, "r", &["a"]);
    drop(first);
    assert_eq!(open_at(path.path(), 0).snapshot().tag_count(), 1);
}

#[test]
fn a_path_that_cannot_be_used_is_an_error() {
    let path = tempfile::tempdir().unwrap();
    let file = path.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(
        Store::open(&file, 0, clock()),
        Err(Error::Open { .. })
    ));
    // A disk that does not answer is no damage: nothing is set aside.
    fs::create_dir(path.path().join("tags-3.redb")).unwrap();
    assert!(matches!(
        Store::open(path.path(), 0, clock()),
        Err(Error::Open { .. })
    ));
    assert_eq!(files(path.path()), ["file", "lock", "tags-3.redb"]);
}

#[test]
fn a_file_of_the_layout_before_is_gone_on_with() {
    let (path, newest) = filled();
    let file = path.path().join("tags-1.redb");
    edit(&file, |t| {
        drop(
            t.open_table(META)
                .unwrap()
                .insert(FORMAT, record::OLD_FORMAT_VERSION),
        );
    });
    let store = open_at(path.path(), 1);
    let snapshot = store.snapshot();
    assert_eq!(
        (snapshot.resource_version().0, snapshot.tag_count()),
        (newest, 1000)
    );
    commit(&store, "r0", &["a"]);
    block_on(store.close()).unwrap();
    drop(store);
    edit(&file, |t| {
        let meta = t.open_table(META).unwrap();
        assert_eq!(
            meta.get(FORMAT).unwrap().map(|format| format.value()),
            Some(record::FORMAT_VERSION)
        );
    });
    assert_eq!(open_at(path.path(), 1).snapshot().tag_count(), 951);
}

#[test]
fn a_file_that_is_not_ours_is_set_aside() {
    type Change = fn(&redb::WriteTransaction);
    let format: Change = |t| drop(t.open_table(META).unwrap().insert(FORMAT, 3));
    let no_format: Change = |t| drop(t.open_table(META).unwrap().remove(FORMAT));
    let epoch: Change = |t| drop(t.open_table(META).unwrap().insert(EPOCH, 2));
    let ceiling: Change = |t| drop(t.open_table(META).unwrap().insert(CEILING, 5));
    let low_ceiling: Change = |t| {
        let mut meta = t.open_table(META).unwrap();
        meta.remove(CLEAN).unwrap();
        meta.insert(CEILING, (1 << 40) + 10).unwrap();
    };
    let clean: Change = |t| drop(t.open_table(META).unwrap().insert(CLEAN, u64::MAX));
    let record: Change = |t| {
        drop(
            t.open_table(REPOSITORIES)
                .unwrap()
                .insert(("apps", "r3"), &b"garbage, certainly"[..]),
        );
    };
    let moved: Change = |t| {
        let mut table = t.open_table(REPOSITORIES).unwrap();
        let record = table.get(("apps", "r3")).unwrap().unwrap().value().to_vec();
        table.insert(("apps", "other"), record.as_slice()).unwrap();
    };
    let tables: Change = |t| assert!(t.delete_table(REPOSITORIES).unwrap());
    let used_up: Change = |t| {
        let mut meta = t.open_table(META).unwrap();
        meta.remove(CLEAN).unwrap();
        meta.insert(CEILING, u64::MAX).unwrap();
    };
    let changes = [
        format,
        no_format,
        epoch,
        ceiling,
        low_ceiling,
        clean,
        record,
        moved,
        tables,
        used_up,
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let (path, _) = filled();
        edit(&path.path().join("tags-1.redb"), change);
        let store = open_at(path.path(), 0);
        assert_eq!(
            (store.epoch(), store.snapshot().tag_count()),
            (2, 0),
            "change {number}"
        );
        drop(store);
        assert_eq!(
            files(path.path()),
            ["lock", "tags-1.redb.aside-20260821T101112Z", "tags-2.redb"],
            "change {number}"
        );
    }
}

#[test]
fn a_file_that_was_cut_is_set_aside() {
    let (path, _) = filled();
    let file = path.path().join("tags-1.redb");
    let whole = fs::read(&file).unwrap();
    for length in (0..30)
        .map(|i| whole.len() * i / 30)
        .chain([1, 9, 100, 4096, whole.len() - 1])
    {
        let path = tempfile::tempdir().unwrap();
        fs::write(path.path().join("tags-1.redb"), &whole[..length]).unwrap();
        let store = open_at(path.path(), 0);
        assert_eq!(
            (store.epoch(), store.snapshot().tag_count()),
            (2, 0),
            "cut at {length}"
        );
        commit(&store, "r", &["a"]);
        block_on(store.flush()).unwrap();
    }
}

#[test]
fn a_file_with_a_flipped_bit_is_set_aside_or_reads_as_before() {
    let (path, _) = filled();
    let whole = fs::read(path.path().join("tags-1.redb")).unwrap();
    let used = whole.iter().rposition(|byte| *byte != 0).unwrap();
    let mut set_aside = 0;
    for at in (0..64).chain((0..150).map(|i| used * i / 150)) {
        let path = tempfile::tempdir().unwrap();
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        fs::write(path.path().join("tags-1.redb"), &flipped).unwrap();
        let store = open_at(path.path(), 0);
        let seen = (store.epoch(), store.snapshot().tag_count());
        assert!(
            seen == (2, 0) || seen == (1, 1000),
            "{seen:?} after a flip at {at}"
        );
        set_aside += u64::from(seen.0 == 2);
    }
    assert!(set_aside > 10, "{set_aside}");
}

#[test]
fn an_epoch_is_never_begun_twice_whatever_becomes_of_the_files() {
    let path = tempfile::tempdir().unwrap();
    for epoch in 1..=9 {
        assert_eq!(open_at(path.path(), 0).epoch(), epoch);
        // What a kill between setting aside and beginning anew leaves: only a file that is aside.
        let file = path.path().join(format!("tags-{epoch}.redb"));
        if epoch % 2 == 0 {
            fs::rename(
                &file,
                path.path().join(format!("tags-{epoch}.redb.aside-x")),
            )
            .unwrap();
        } else {
            fs::write(&file, "damaged").unwrap();
        }
    }
    fs::write(path.path().join("tags-99.redb.new"), "half").unwrap();
    fs::write(path.path().join("tags-x.redb"), "not ours").unwrap();
    assert_eq!(open_at(path.path(), 0).epoch(), 10);
    let names = files(path.path());
    assert!(
        names.contains(&"tags-x.redb".to_owned())
            && !names.contains(&"tags-99.redb.new".to_owned())
    );
    let aside = names.iter().filter(|name| name.contains(".aside-")).count();
    assert!((KEEP_ASIDE..=KEEP_ASIDE + 1).contains(&aside), "{names:?}");
}

/// Collects what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn one_line_says_what_was_set_aside_and_why() {
    let path = tempfile::tempdir().unwrap();
    fs::write(path.path().join("tags-1.redb"), "damaged").unwrap();
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, || drop(open_at(path.path(), 0)));
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let warnings: Vec<_> = text.lines().filter(|line| line.contains("WARN")).collect();
    assert_eq!(warnings.len(), 1, "{text}");
    let line = warnings[0];
    assert!(
        line.contains("Set the tag store's file aside")
            && line.contains("tags-1.redb.aside-")
            && line.contains("reason="),
        "{line}"
    );
    assert!(!text.contains("ERROR"), "{text}");
}
