//! The store's other half: what survives a stop, written behind.
//!
//! One thread owns the database. Commits hand it the newest moment of a repository and go on; whatever has
//! gathered while the disk was busy goes down as one transaction. Only two things wait for it: who asks
//! ([`Disk::flush`]), and a commit whose versions are not reserved yet ([`Disk::reserve`]), which is rare,
//! because the thread reserves ahead.
//!
//! Not here: what is in a moment, and what a version means.

mod files;
mod record;
mod writer;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;

use super::error::Cause;
use super::{Error, RepositoryTags};
use crate::clock::Clock;
use crate::object::Key;
use files::Opened;
use writer::Writer;

/// How many versions are reserved at a time: what an unclean stop skips at most.
const RESERVE: u64 = 1 << 20;

/// What a database holds when it is opened.
#[derive(Debug)]
pub(super) struct Loaded {
    /// Every version up to here may have been given.
    pub(super) position: u64,
    pub(super) repositories: Vec<Arc<RepositoryTags>>,
}

/// The hand that commits hold.
#[derive(Debug)]
pub(super) struct Disk {
    shared: Arc<Shared>,
    progress: watch::Receiver<Progress>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Between the hand and the thread.
#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    /// Told to the thread: there is something to do.
    work: Condvar,
    /// Told to commits: versions were reserved, or could not be.
    reserved: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    /// The newest moment of each repository that is not on disk; `None` takes it off. At most one per repository.
    pending: BTreeMap<Key, Option<Arc<RepositoryTags>>>,
    /// Counts what was put into `pending`.
    sequence: u64,
    /// Versions below are reserved durably.
    ceiling: u64,
    /// Versions below are wanted.
    wanted: u64,
    /// A commit waits for the versions it wants.
    is_awaited: bool,
    /// Set once: write the rest and end.
    stop: Option<Stop>,
    /// Copy of what [`Progress`] says, for those who cannot await.
    failures: u64,
    failure: Option<Arc<redb::Error>>,
    has_ended: bool,
}

/// How to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// Everything up to this version is pending or on disk; note that, so that counting goes on from it.
    Clean { position: u64 },
    /// As if the process were killed now.
    #[cfg(test)]
    Crash,
}

/// What the thread has done.
#[derive(Debug, Clone, Default)]
struct Progress {
    /// Everything up to this sequence number is on disk.
    durable: u64,
    /// Counts transactions that the disk did not take.
    failures: u64,
    failure: Option<Arc<redb::Error>>,
    has_ended: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("the writer of the tag store has ended")]
struct WriterEnded;

impl Disk {
    /// Opens the newest database under `path`, or begins one; starts the thread.
    pub(super) fn open(
        path: &Path,
        last_epoch: u64,
        clock: &dyn Clock,
    ) -> Result<(Self, Loaded), Error> {
        let (opened, loaded) = files::open(path, last_epoch, clock)?;
        let disk = Self::start(opened, loaded.position).map_err(|source| Error::Open {
            path: path.display().to_string(),
            source: source.into(),
        })?;
        Ok((disk, loaded))
    }

    fn start(opened: Opened, position: u64) -> std::io::Result<Self> {
        let ceiling = opened.ceiling;
        debug_assert!(
            ceiling > position,
            "versions are reserved when a database is opened"
        );
        let queue = Queue {
            ceiling,
            wanted: ceiling,
            ..Queue::default()
        };
        let shared = Arc::new(Shared {
            queue: Mutex::new(queue),
            work: Condvar::new(),
            reserved: Condvar::new(),
        });
        let (sender, progress) = watch::channel(Progress::default());
        let writer = Writer::new(Arc::clone(&shared), sender, opened);
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run())?;
        Ok(Self {
            shared,
            progress,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Makes sure that every version up to `version` is reserved durably. Blocks only when the thread has not kept ahead.
    pub(super) fn reserve(&self, version: u64) -> Result<(), Error> {
        let mut queue = self.shared.queue.lock();
        if queue.has_ended {
            return Err(write_error(None));
        }
        if queue.ceiling.saturating_sub(version) < RESERVE / 2 {
            queue.wanted = queue.wanted.max(version.saturating_add(RESERVE));
            self.shared.work.notify_one();
        }
        let failures = queue.failures;
        while queue.ceiling <= version {
            if queue.failures > failures || queue.has_ended {
                return Err(write_error(queue.failure.clone()));
            }
            queue.is_awaited = true;
            self.shared.work.notify_one();
            self.shared.reserved.wait(&mut queue);
        }
        Ok(())
    }

    /// Hands over the newest moment of a repository.
    pub(super) fn enqueue(&self, key: Key, tags: Option<Arc<RepositoryTags>>) {
        let mut queue = self.shared.queue.lock();
        let replaced = queue.pending.insert(key, tags);
        queue.sequence += 1;
        drop(queue);
        self.shared.work.notify_one();
        drop(replaced);
    }

    /// Resolves when what was handed over is on disk, or the disk has refused something meanwhile.
    pub(super) async fn flush(&self) -> Result<(), Error> {
        let (sequence, failures) = {
            let queue = self.shared.queue.lock();
            (queue.sequence, queue.failures)
        };
        self.progressed(|progress| progress.durable >= sequence || progress.failures > failures)
            .await?;
        let progress = self.progress.borrow().clone();
        if progress.durable >= sequence {
            Ok(())
        } else {
            Err(write_error(progress.failure))
        }
    }

    /// Ends the thread, everything written and the stop noted as clean.
    pub(super) async fn close(&self, position: u64) -> Result<(), Error> {
        self.stop(Stop::Clean { position });
        self.progressed(|progress| progress.has_ended).await?;
        self.join()
    }

    /// [`Disk::close`] for who cannot await. What goes wrong is in the log.
    pub(super) fn close_blocking(&self, position: u64) {
        self.stop(Stop::Clean { position });
        if let Err(error) = self.join() {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "Failed to close the tag store"
            );
        }
    }

    /// Ends the thread as a kill would: nothing more is written.
    #[cfg(test)]
    pub(super) fn crash(&self) {
        self.stop(Stop::Crash);
        drop(self.join());
    }

    fn stop(&self, stop: Stop) {
        self.shared.queue.lock().stop.get_or_insert(stop);
        self.shared.work.notify_one();
    }

    /// Waits for the thread to be gone (and with it the lock on the path), and says whether its last words were written.
    fn join(&self) -> Result<(), Error> {
        let Some(thread) = self.thread.lock().take() else {
            return Ok(());
        };
        if thread.join().is_err() {
            return Err(write_error(None));
        }
        let queue = self.shared.queue.lock();
        match &queue.failure {
            None => Ok(()),
            Some(failure) => Err(write_error(Some(Arc::clone(failure)))),
        }
    }

    async fn progressed(&self, is_enough: impl Fn(&Progress) -> bool) -> Result<(), Error> {
        let mut progress = self.progress.clone();
        // The sender is gone only when the thread ended, however it did.
        let ended = progress
            .wait_for(|progress| progress.has_ended || is_enough(progress))
            .await
            .is_err();
        if ended {
            Err(write_error(None))
        } else {
            Ok(())
        }
    }
}

fn write_error(failure: Option<Arc<redb::Error>>) -> Error {
    let source: Cause = match failure {
        Some(failure) => Box::new(failure),
        None => Box::new(WriterEnded),
    };
    Error::Write { source }
}

#[cfg(test)]
mod tests;
