//! The thread that owns the database: gathers, writes, tries again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use redb::{Database, ReadableTable as _, TableDefinition};
use tokio::sync::watch;
use tokio::time::Instant;

use super::files::Opened;
use super::{Progress, Shared, Stop, record};
use crate::object::Key;
use crate::store::RepositoryTags;

/// Numbers about the database itself, by name.
pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// One record per repository, by namespace and name.
pub(super) const REPOSITORIES: TableDefinition<'_, (&str, &str), &[u8]> =
    TableDefinition::new("repositories");

/// The layout of tables and records.
pub(super) const FORMAT: &str = "format";
/// The epoch that the database was begun in.
pub(super) const EPOCH: &str = "epoch";
/// Versions below may have been given.
pub(super) const CEILING: &str = "ceiling";
/// The last version given, noted by a clean stop and taken away at the next start.
pub(super) const CLEAN: &str = "clean";

/// How long to wait before the disk is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// How long work is gathered once there is some: an election follows its scan within less, and what a disk takes to
/// note two things one after the other is longer.
const GATHER: Duration = Duration::from_millis(1);

/// The thread's belongings.
pub(super) struct Writer {
    shared: Arc<Shared>,
    progress: watch::Sender<Progress>,
    opened: Opened,
    /// `None` after a failure: a database that has failed refuses everything until it is opened again.
    database: Option<Database>,
    /// What the next opening has to find out.
    check: Check,
}

/// How a database that failed is opened again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// As after a crash: the disk did not take something, and what it took before is good.
    Trust,
    /// Every page is read: its content is in doubt.
    Integrity,
}

/// What goes down in one transaction.
struct Batch {
    pending: BTreeMap<Key, Option<Arc<RepositoryTags>>>,
    sequence: u64,
    /// Versions below shall be reserved.
    ceiling: u64,
    stop: Option<Stop>,
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        progress: watch::Sender<Progress>,
        mut opened: Opened,
    ) -> Self {
        let database = opened.database.take();
        Self {
            shared,
            progress,
            opened,
            database,
            check: Check::Trust,
        }
    }

    /// Until it is told to stop.
    pub(super) fn run(mut self) {
        loop {
            let batch = self.gather();
            #[cfg(test)]
            if batch.stop == Some(Stop::Crash) {
                return;
            }
            let stop = batch.stop;
            match self.write(&batch) {
                Ok(()) => self.succeeded(&batch),
                Err(error) => self.failed(batch, error),
            }
            if stop.is_some() {
                return;
            }
        }
    }

    /// Waits for work and takes all of it.
    fn gather(&self) -> Batch {
        let mut queue = self.shared.queue.lock();
        while queue.pending.is_empty() && queue.wanted <= queue.ceiling && queue.stop.is_none() {
            self.shared.work.wait(&mut queue);
        }
        let until = (Instant::now() + GATHER).into_std();
        while queue.stop.is_none() && !queue.is_awaited {
            if self.shared.work.wait_until(&mut queue, until).timed_out() {
                break;
            }
        }
        queue.is_awaited = false;
        Batch {
            pending: std::mem::take(&mut queue.pending),
            sequence: queue.sequence,
            ceiling: queue.wanted,
            stop: queue.stop,
        }
    }

    fn write(&mut self, batch: &Batch) -> Result<(), redb::Error> {
        let database = match self.database.take() {
            Some(database) => database,
            None => (self.opened.reopen)(self.check)?,
        };
        write_batch(&database, batch)?;
        self.database = Some(database);
        self.check = Check::Trust;
        Ok(())
    }

    fn succeeded(&self, batch: &Batch) {
        let recovered = {
            let mut queue = self.shared.queue.lock();
            queue.ceiling = queue.ceiling.max(batch.ceiling);
            queue.failure.take().is_some()
        };
        self.shared.reserved.notify_all();
        self.progress
            .send_modify(|progress| progress.durable = batch.sequence);
        if recovered {
            tracing::info!(path = %self.opened.path.display(), "Wrote the tag store again");
        }
    }

    /// Puts the work back, tells who waits, and waits a little: for new work too, unless a commit waits for its versions.
    fn failed(&mut self, batch: Batch, error: redb::Error) {
        if !matches!(error, redb::Error::Io(_) | redb::Error::PreviousIo) {
            self.check = Check::Integrity;
        }
        let error = Arc::new(error);
        let (is_first, failures) = {
            let mut queue = self.shared.queue.lock();
            for (key, tags) in batch.pending {
                queue.pending.entry(key).or_insert(tags);
            }
            queue.failures += 1;
            // Whoever waited until now is told of this failure.
            queue.is_awaited = false;
            (
                queue.failure.replace(Arc::clone(&error)).is_none(),
                queue.failures,
            )
        };
        self.shared.reserved.notify_all();
        self.progress.send_modify(|progress| {
            progress.failures = failures;
            progress.failure = Some(Arc::clone(&error));
        });
        if is_first {
            let path = self.opened.path.display();
            tracing::error!(%path, error = &*error as &dyn std::error::Error, "Failed to write the tag store");
        }
        let until = (Instant::now() + RETRY).into_std();
        let mut queue = self.shared.queue.lock();
        while queue.stop.is_none() && !queue.is_awaited {
            if self.shared.work.wait_until(&mut queue, until).timed_out() {
                break;
            }
        }
    }
}

/// However the thread ends, nobody waits for it any more.
impl Drop for Writer {
    fn drop(&mut self) {
        // The database is closed and the path unlocked before anybody hears of the end.
        self.database = None;
        self.opened.lock = None;
        self.shared.queue.lock().has_ended = true;
        self.shared.reserved.notify_all();
        self.progress
            .send_modify(|progress| progress.has_ended = true);
    }
}

fn write_batch(database: &Database, batch: &Batch) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut repositories = transaction.open_table(REPOSITORIES)?;
        for (key, tags) in &batch.pending {
            let name = (&*key.namespace, &*key.name);
            match tags {
                Some(tags) => repositories.insert(name, record::encode(tags).as_slice())?,
                None => repositories.remove(name)?,
            };
        }
        let mut meta = transaction.open_table(META)?;
        let ceiling = meta.get(CEILING)?.map_or(0, |ceiling| ceiling.value());
        if batch.ceiling > ceiling {
            meta.insert(CEILING, batch.ceiling)?;
        }
        if let Some(Stop::Clean { position }) = batch.stop {
            meta.insert(CLEAN, position)?;
        }
    }
    Ok(transaction.commit()?)
}
