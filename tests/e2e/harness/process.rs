//! Children that cannot outlive the test process.
//!
//! The kernel kills each of them when its parent ends (`setpriv --pdeathsig`). It means the parent's thread,
//! and threads of tests end with their test, so one thread that never ends starts them all.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{LazyLock, mpsc};
use std::thread;
use std::time::Duration;

use super::eventually;

type Order = (Command, mpsc::Sender<io::Result<Child>>);

static SPAWNER: LazyLock<mpsc::Sender<Order>> = LazyLock::new(|| {
    let (orders, received) = mpsc::channel::<Order>();
    thread::Builder::new()
        .name("spawner".into())
        .spawn(move || {
            for (mut command, answer) in received {
                // Nobody is left to take the answer only when the test that ordered it has panicked.
                drop(answer.send(command.spawn()));
            }
        })
        .expect("a thread can be started");
    orders
});

/// A child process that writes to a log file, and is killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `program`; what it prints is appended to `log`.
    pub(crate) fn spawn<'a>(
        program: impl AsRef<Path>,
        args: impl IntoIterator<Item = &'a str>,
        environment: &[(&str, &str)],
        log: impl Into<PathBuf>,
    ) -> Self {
        let (program, log) = (program.as_ref(), log.into());
        let output = File::options().create(true).append(true).open(&log);
        let output = output.unwrap_or_else(|e| panic!("open {}: {e}", log.display()));
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .args(args)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output);
        let (answer, child) = mpsc::channel();
        SPAWNER.send((command, answer)).unwrap();
        let child = child.recv().unwrap();
        Self {
            name: program
                .file_name()
                .unwrap_or_default()
                .display()
                .to_string(),
            child: child.unwrap_or_else(|e| panic!("start setpriv for {}: {e}", program.display())),
            log,
        }
    }

    /// The process id: `setpriv` becomes the program, it is not its parent.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has printed so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// How it ended, when it has.
    pub(crate) fn end(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Sends SIGTERM and waits for the end.
    pub(crate) async fn terminate(&mut self, within: Duration) -> ExitStatus {
        signal(self.id(), "TERM");
        self.ended(within).await
    }

    /// Sends SIGKILL and waits for the end.
    pub(crate) fn kill(&mut self) -> ExitStatus {
        self.child.kill().unwrap();
        self.child.wait().unwrap()
    }

    /// Waits for the end.
    pub(crate) async fn ended(&mut self, within: Duration) -> ExitStatus {
        let what = format!("{} ends", self.name);
        eventually(within, &what, || {
            let end = self.end();
            async move { end.ok_or("it still runs") }
        })
        .await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if thread::panicking() {
            let log = self.log();
            let tail: Vec<_> = log.lines().rev().take(40).collect();
            eprintln!("--- the end of {}:", self.log.display());
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
        // Fails only when it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Sends a signal, by its name without SIG. The shell's own `kill` is there on every machine.
pub(crate) fn signal(process: u32, name: &str) {
    let process = process.to_string();
    let status = Command::new("sh")
        .args(["-c", "kill -s \"$0\" \"$1\"", name, &process])
        .status();
    assert!(status.unwrap().success(), "SIG{name} to process {process}");
}

/// The running processes whose command line contains `text`, as `PID COMMAND LINE`.
pub(crate) fn processes_naming(text: &str) -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let entry = entry.unwrap();
        let id: u32 = entry.file_name().to_str()?.parse().ok()?;
        // It may end while we look; one that has ended but is not yet reaped has an empty command line.
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        line.contains(text).then(|| format!("{id} {line}"))
    });
    processes.collect()
}
