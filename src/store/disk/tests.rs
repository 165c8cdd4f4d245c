//! What happens when the disk does not take it.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::executor::block_on;
use jiff::Timestamp;
use redb::backends::FileBackend;
use redb::{Database, StorageBackend};

use super::writer::Check;
use super::*;
use crate::clock::SystemClock;
use crate::store::snapshot::World;
use crate::store::{Limits, Owner, ResourceVersion, Scan, Store};

/// A file on a disk that can be full.
#[derive(Debug)]
struct Flaky {
    file: FileBackend,
    is_full: Arc<AtomicBool>,
}

impl Flaky {
    fn check(&self) -> io::Result<()> {
        if self.is_full.load(Ordering::SeqCst) {
            Err(io::ErrorKind::StorageFull.into())
        } else {
            Ok(())
        }
    }
}

impl StorageBackend for Flaky {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check()?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.check()?;
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check()?;
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
}

fn open_flaky(file: &PathBuf, is_full: &Arc<AtomicBool>) -> Result<Database, redb::Error> {
    let file = FileBackend::new(File::options().read(true).write(true).open(file)?)?;
    Ok(Database::builder().create_with_backend(Flaky {
        file,
        is_full: Arc::clone(is_full),
    })?)
}

/// A store on a disk that can be full, with room for `reserved` versions.
fn flaky_store(path: &Path, reserved: u64) -> (Store, Arc<AtomicBool>) {
    let is_full = Arc::new(AtomicBool::new(false));
    let (mut opened, loaded) = files::open(path, 0, &SystemClock).unwrap();
    drop(opened.database.take());
    let file = path.join("tags-1.redb");
    opened.database = Some(open_flaky(&file, &is_full).unwrap());
    let full = Arc::clone(&is_full);
    opened.reopen = Box::new(move |_| open_flaky(&file, &full));
    opened.ceiling = loaded.position + 1 + reserved;
    let disk = Disk::start(opened, loaded.position).unwrap();
    let world = World::new(loaded.position, loaded.repositories);
    (Store::new(world, Some(disk), Limits::default()), is_full)
}

fn scan(count: usize) -> Scan {
    let owner = Owner {
        key: Key::new("apps", "r"),
        uid: "uid".to_owned(),
        created: Timestamp::UNIX_EPOCH,
        labels: [].into(),
    };
    Scan {
        owner,
        image: "ghcr.io/o/i".parse().unwrap(),
        tags: (0..count)
            .map(|i| format!("v{i}").parse().unwrap())
            .collect(),
        aside: Vec::new(),
        revision: String::new(),
        time: Timestamp::UNIX_EPOCH,
        complete: true,
        dating: crate::store::Dating::AtFirst,
    }
}

#[test]
fn what_the_disk_refuses_is_served_reported_and_tried_again() {
    let path = tempfile::tempdir().unwrap();
    let (store, is_full) = flaky_store(path.path(), RESERVE);
    is_full.store(true, Ordering::SeqCst);
    store.commit_scan(scan(3)).unwrap();
    assert_eq!(store.snapshot().tag_count(), 3);
    let error = block_on(store.flush()).unwrap_err();
    assert!(matches!(error, Error::Write { .. }), "{error:?}");
    assert!(block_on(store.flush()).is_err(), "as long as it is full");
    is_full.store(false, Ordering::SeqCst);
    // The next attempt may have begun before there was room.
    let is_flushed = (0..2).any(|_| block_on(store.flush()).is_ok());
    assert!(is_flushed);
    block_on(store.close()).unwrap();
    drop(store);
    let store = Store::open(path.path(), 0, Arc::new(SystemClock)).unwrap();
    assert_eq!((store.epoch(), store.snapshot().tag_count()), (1, 3));
}

#[test]
fn nothing_is_published_in_versions_that_are_not_reserved() {
    let path = tempfile::tempdir().unwrap();
    let (store, is_full) = flaky_store(path.path(), 4);
    let start = store.snapshot().resource_version();
    is_full.store(true, Ordering::SeqCst);
    assert!(
        matches!(store.commit_scan(scan(4)), Err(Error::Write { .. })),
        "5 changes do not fit into 4"
    );
    assert_eq!(
        (
            store.snapshot().resource_version(),
            store.snapshot().tag_count()
        ),
        (start, 0)
    );
    store.commit_scan(scan(3)).unwrap();
    assert_eq!(
        store.snapshot().resource_version(),
        ResourceVersion(start.0 + 4)
    );
    is_full.store(false, Ordering::SeqCst);
    let is_committed = (0..2).any(|_| store.commit_scan(scan(2000)).is_ok());
    assert!(is_committed, "there is room again");
    assert_eq!(store.snapshot().tag_count(), 2000);
}

#[test]
fn commits_do_not_hurry_a_disk_that_fails_and_it_is_not_read_through_again() {
    let path = tempfile::tempdir().unwrap();
    let (mut opened, loaded) = files::open(path.path(), 0, &SystemClock).unwrap();
    drop(opened.database.take());
    let openings = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&openings);
    opened.reopen = Box::new(move |check| {
        seen.lock().push(check);
        Err(io::Error::from(io::ErrorKind::StorageFull).into())
    });
    let disk = Disk::start(opened, loaded.position).unwrap();
    let started = tokio::time::Instant::now();
    for number in 0..40 {
        disk.enqueue(Key::new("apps", format!("r{number}")), None);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let attempts = openings.lock().clone();
    assert!(!attempts.is_empty());
    assert!(
        attempts.len() as u64 <= 1 + started.elapsed().as_secs(),
        "{attempts:?}"
    );
    assert!(attempts.iter().all(|check| *check == Check::Trust));
    // Who cannot go on without an answer is not kept waiting for a pause to end.
    let asked = tokio::time::Instant::now();
    assert!(disk.reserve(loaded.position + 2 * RESERVE).is_err());
    assert!(disk.reserve(loaded.position + 2 * RESERVE).is_err());
    assert!(asked.elapsed() < std::time::Duration::from_secs(1));
    disk.crash();
}

#[test]
fn a_stop_that_cannot_be_written_is_an_error_and_counts_as_unclean() {
    let path = tempfile::tempdir().unwrap();
    let (store, is_full) = flaky_store(path.path(), RESERVE);
    store.commit_scan(scan(3)).unwrap();
    block_on(store.flush()).unwrap();
    let newest = store.snapshot().resource_version();
    is_full.store(true, Ordering::SeqCst);
    assert!(matches!(block_on(store.close()), Err(Error::Write { .. })));
    drop(store);
    let store = Store::open(path.path(), 0, Arc::new(SystemClock)).unwrap();
    assert!(store.snapshot().resource_version() > newest);
    assert_eq!(store.snapshot().tag_count(), 3);
}

#[test]
fn a_writer_that_is_gone_is_noticed() {
    let path = tempfile::tempdir().unwrap();
    let (store, _) = flaky_store(path.path(), RESERVE);
    let disk = store.inner.disk.as_ref().unwrap();
    disk.crash();
    assert!(matches!(
        store.commit_scan(scan(3)),
        Err(Error::Write { .. })
    ));
    disk.enqueue(Key::new("apps", "r"), None);
    assert!(matches!(block_on(store.flush()), Err(Error::Write { .. })));
}

#[test]
fn a_database_is_reserved_ahead_before_it_is_needed() {
    let path = tempfile::tempdir().unwrap();
    let (store, _) = flaky_store(path.path(), RESERVE / 2);
    let disk = store.inner.disk.as_ref().unwrap();
    let before = disk.shared.queue.lock().ceiling;
    store.commit_scan(scan(3)).unwrap();
    block_on(store.flush()).unwrap();
    let mut queue = disk.shared.queue.lock();
    while queue.ceiling == before {
        disk.shared.reserved.wait(&mut queue);
    }
    assert!(queue.ceiling >= before + RESERVE / 2);
}
