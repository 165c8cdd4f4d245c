//! What the server uses, and by how much that may differ while the same clients follow the same number of objects.

use std::fmt;
use std::fs;

use crate::harness::Tagscope;

/// One look at the process, its metrics and its storage.
#[derive(Debug, Clone)]
pub(super) struct Usage {
    resident: u64,
    files: u64,
    /// Of the files, those that are connections or listen for some.
    sockets: u64,
    threads: u64,
    tasks: u64,
    watchers: u64,
    stored: u64,
}

const MIB: u64 = 1024 * 1024;
/// Connections come and go with kube-apiserver, and may not be closed yet.
const FILES: u64 = 24;
/// Threads for blocking work end some seconds after it.
const THREADS: u64 = 16;
/// Each connection is a few.
const TASKS: u64 = 96;
/// The history of changes for watches may grow to this many, as `docs/limits.md` has it, and the allocator keeps some.
const RESIDENT: u64 = (64 + 16) * MIB;
/// The store on disk grows until it is compacted.
const STORED: u64 = 16 * MIB;

impl Usage {
    pub(super) async fn of(program: &Tagscope) -> Self {
        let metrics = program.scrape().await;
        let metric = |name: &str| -> u64 {
            let line = metrics
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            let value: f64 = line
                .unwrap_or_else(|| panic!("no {name} in:\n{metrics}"))
                .parse()
                .unwrap();
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a count"
            )]
            let value = value as u64;
            value
        };
        let threads = fs::read_dir(format!("/proc/{}/task", program.id())).unwrap();
        Self {
            resident: metric("process_resident_memory_bytes"),
            files: metric("process_open_fds"),
            sockets: sockets(program.id()),
            tasks: metric("tagscope_tasks"),
            threads: threads.count() as u64,
            watchers: crate::clients::watchers(&metrics),
            stored: stored(&program.storage),
        }
    }

    /// Fails when this is more than `first` by more than may be.
    pub(super) fn compare(&self, first: &Self) {
        let resident = ("resident bytes", self.resident, first.resident, RESIDENT);
        self.bound(first, &[resident]);
        self.compare_idle(first);
    }

    /// Like [`Self::compare`], but for memory: another process may have been younger.
    pub(super) fn compare_idle(&self, first: &Self) {
        let rows = [
            ("open files", self.files, first.files, FILES),
            ("threads", self.threads, first.threads, THREADS),
            ("tasks", self.tasks, first.tasks, TASKS),
            ("watches", self.watchers, first.watchers, 0),
            ("bytes on disk", self.stored, first.stored, STORED),
        ];
        self.bound(first, &rows);
    }

    fn bound(&self, first: &Self, rows: &[(&str, u64, u64, u64)]) {
        for &(what, now, then, more) in rows {
            assert!(
                now <= then + more,
                "{what}: {then} in the beginning, {now} now, at most {more} more are allowed\nthen {first}\nnow {self}"
            );
        }
    }
}

fn sockets(process: u32) -> u64 {
    let files = fs::read_dir(format!("/proc/{process}/fd")).unwrap();
    // Some are closed while we look.
    let targets = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
    targets
        .filter(|target| target.to_string_lossy().starts_with("socket:"))
        .count() as u64
}

fn stored(dir: &std::path::Path) -> u64 {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    // A file may be replaced while it is looked at.
    files
        .filter_map(|file| file.metadata().ok())
        .map(|file| file.len())
        .sum()
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            resident,
            files,
            sockets,
            threads,
            tasks,
            watchers,
            stored,
        } = self;
        let (resident, stored) = (resident / 1024, stored / 1024);
        write!(
            f,
            "{resident} KiB resident, {files} files ({sockets} sockets), {threads} threads, {tasks} tasks, {watchers} watches, {stored} KiB on disk"
        )
    }
}
