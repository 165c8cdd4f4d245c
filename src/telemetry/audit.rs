//! Writes the audit trail, `--audit-log-path`: JSON lines into a file or to standard output. Requests never wait for it:
//! what a full queue does not take is dropped and counted. A file that somebody moved away is opened anew, so that
//! logrotate needs no help; one that was cut (`copytruncate`) is written on.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::apiserver::chain::Sink;
use crate::task;

/// Events and bytes that may wait to be written.
const WAITING: usize = 8192;
const WAITING_BYTES: usize = 16 << 20;
/// Events that are written at once.
const BATCH: usize = 256;
/// How long the rest may take to be written when the program ends.
const LAST: Duration = Duration::from_secs(5);

/// Where the trail goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Standard output.
    Stdout,
    /// A file, which is made when it is missing, readable for its owner alone.
    File(PathBuf),
}

/// Why the trail cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("failed to open {path} for the audit log")]
pub struct Error {
    path: PathBuf,
    source: io::Error,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Plugin {
    plugin: &'static str,
}

/// What became of events. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    events: Counter,
    errors: Family<Plugin, Counter>,
}

impl Counts {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "apiserver_audit_event",
            "Audit events that were written or are about to be",
            self.events.clone(),
        );
        registry.register(
            "apiserver_audit_error",
            "Audit events that are lost: the queue was full (buffered), or writing failed (log)",
            self.errors.clone(),
        );
    }

    /// Audit events that are lost.
    fn lost(&self, plugin: &'static str, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.errors.get_or_create(&Plugin { plugin }).inc_by(count);
    }
}

/// The near end: takes events. Clones share the queue.
#[derive(Debug, Clone)]
pub struct Queue {
    events: mpsc::Sender<Bytes>,
    waiting_bytes: Arc<AtomicUsize>,
    counts: Counts,
}

/// The far end: writes them.
#[derive(Debug)]
pub struct Writer {
    events: mpsc::Receiver<Bytes>,
    waiting_bytes: Arc<AtomicUsize>,
    output: Output,
    counts: Counts,
}

/// Opens `target`, and tells whether it can be written at all before anything is served.
///
/// # Errors
/// [`Error`], which names the file.
pub fn open(target: Target, counts: Counts) -> Result<(Queue, Writer), Error> {
    let output = Output::open(target)?;
    let (sender, events) = mpsc::channel(WAITING);
    let waiting_bytes = Arc::<AtomicUsize>::default();
    let queue = Queue {
        events: sender,
        waiting_bytes: Arc::clone(&waiting_bytes),
        counts: counts.clone(),
    };
    let writer = Writer {
        events,
        waiting_bytes,
        output,
        counts,
    };
    Ok((queue, writer))
}

impl Sink for Queue {
    fn take(&self, line: Bytes) {
        let length = line.len();
        let before = self.waiting_bytes.fetch_add(length, Ordering::Relaxed);
        if before + length <= WAITING_BYTES && self.events.try_send(line).is_ok() {
            self.counts.events.inc();
        } else {
            self.waiting_bytes.fetch_sub(length, Ordering::Relaxed);
            self.counts.lost("buffered", 1);
        }
    }
}

impl Writer {
    /// Writes until `stop`, and then what is waiting still.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut complaint = None;
        loop {
            let taken = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                taken = self.events.recv_many(&mut batch, BATCH) => taken,
            };
            if taken == 0 {
                // Nobody is left to say anything.
                return stop.cancelled().await;
            }
            self.write(&mut batch, &mut complaint).await;
        }
        self.events.close();
        let rest = async {
            while self.events.recv_many(&mut batch, BATCH).await > 0 {
                self.write(&mut batch, &mut complaint).await;
            }
        };
        if tokio::time::timeout(LAST, rest).await.is_err() {
            tracing::warn!("Audit log not written to its end");
        }
    }

    async fn write(&mut self, batch: &mut Vec<Bytes>, complaint: &mut Option<String>) {
        let count = batch.len();
        let text: Vec<u8> = batch.drain(..).flatten().collect();
        self.waiting_bytes.fetch_sub(text.len(), Ordering::Relaxed);
        let output = self.output.clone();
        let written = task::blocking("audit log", move || output.write(&text)).await;
        match written {
            Ok(()) => *complaint = None,
            Err(error) => {
                self.counts.lost("log", count);
                let text = error.to_string();
                if complaint.as_ref() != Some(&text) {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "Audit log not written"
                    );
                    *complaint = Some(text);
                }
            }
        }
    }
}

/// An open file or standard output. Clones share it; one of them writes at a time.
#[derive(Debug, Clone)]
struct Output {
    target: Target,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    file: Option<File>,
    /// The last line may be half there.
    is_torn: bool,
}

impl Output {
    fn open(target: Target) -> Result<Self, Error> {
        let output = Self {
            target,
            state: Arc::default(),
        };
        if let Target::File(path) = &output.target {
            let file = open_file(path).map_err(|source| Error {
                path: path.clone(),
                source,
            })?;
            output.state.lock().file = Some(file);
        }
        Ok(output)
    }

    fn write(&self, text: &[u8]) -> io::Result<()> {
        let state = &mut *self.state.lock();
        let path = match &self.target {
            Target::Stdout => {
                let mut stdout = io::stdout().lock();
                return stdout.write_all(text).and_then(|()| stdout.flush());
            }
            Target::File(path) => path,
        };
        if !state.file.as_ref().is_some_and(|file| is_at(file, path)) {
            state.file = None;
            state.is_torn = false;
        }
        let file = match &mut state.file {
            Some(file) => file,
            none => none.insert(open_file(path)?),
        };
        // A failure may have left half a line: the next one begins anew.
        if state.is_torn {
            file.write_all(b"\n")?;
        }
        let written = file.write_all(text);
        state.is_torn = written.is_err();
        written
    }
}

fn open_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true).mode(0o600).open(path)
}

/// Whether `path` still names `file`.
fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(open), Ok(named)) = (file.metadata(), std::fs::metadata(path)) else {
        return false;
    };
    (open.dev(), open.ino()) == (named.dev(), named.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &Path) -> Vec<String> {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn take(queue: &Queue, text: &str) {
        queue.take(Bytes::from(format!("{text}\n")));
    }

    #[tokio::test]
    async fn everything_taken_is_written_by_the_end_and_a_moved_file_is_opened_anew() {
        let dir = tempfile::tempdir().unwrap();
        let (path, moved) = (dir.path().join("audit.log"), dir.path().join("audit.1"));
        let counts = Counts::default();
        let (queue, writer) = open(Target::File(path.clone()), counts.clone()).unwrap();
        let stop = CancellationToken::new();
        let mut running = task::Group::new();
        running.spawn("audit", writer.run(stop.clone()));
        take(&queue, "one");
        while lines(&path).is_empty() {
            tokio::task::yield_now().await;
        }
        std::fs::rename(&path, &moved).unwrap();
        take(&queue, "two");
        while lines(&path).is_empty() {
            tokio::task::yield_now().await;
        }
        for _ in 0..1000 {
            take(&queue, "more");
        }
        stop.cancel();
        running.next_end().await;
        assert_eq!(lines(&moved), ["one"]);
        assert_eq!(lines(&path).len(), 1001);
        assert_eq!(counts.events.get(), 1002);
        let mode = std::fs::metadata(&path).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
        take(&queue, "late");
        assert_eq!(
            counts
                .errors
                .get_or_create(&Plugin { plugin: "buffered" })
                .get(),
            1
        );
    }

    #[test]
    fn a_full_queue_drops_and_counts_and_never_waits() {
        let dir = tempfile::tempdir().unwrap();
        let target = Target::File(dir.path().join("audit.log"));
        let counts = Counts::default();
        let (queue, _writer) = open(target, counts.clone()).unwrap();
        let lost = || {
            counts
                .errors
                .get_or_create(&Plugin { plugin: "buffered" })
                .get()
        };
        for _ in 0..WAITING + 5 {
            take(&queue, "x");
        }
        assert_eq!((counts.events.get(), lost()), (WAITING as u64, 5));

        let target = Target::File(dir.path().join("other.log"));
        let (queue, _writer) = open(target, counts.clone()).unwrap();
        for _ in 0..20 {
            queue.take(Bytes::from(vec![b'x'; 1 << 20]));
        }
        assert_eq!(lost(), 5 + 4, "bytes are bounded too");
    }

    #[tokio::test]
    async fn a_disk_that_refuses_costs_events_and_nothing_else() {
        let counts = Counts::default();
        let full = Target::File("/dev/full".into());
        let (queue, writer) = open(full, counts.clone()).unwrap();
        let stop = CancellationToken::new();
        take(&queue, "lost");
        stop.cancel();
        writer.run(stop).await;
        assert_eq!(
            counts.errors.get_or_create(&Plugin { plugin: "log" }).get(),
            1
        );
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_named() {
        let target = Target::File("/nonexistent/audit.log".into());
        let error = open(target, Counts::default()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "failed to open /nonexistent/audit.log for the audit log"
        );
    }
}
