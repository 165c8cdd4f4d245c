//! The Go program of `tests/clients`: built once, run with checks, or followed through commands.

use std::path::{Path, PathBuf};
use std::process::{Command as BlockingCommand, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::OnceCell;

use crate::harness::ControlPlane;

/// Where `tests/bin/clients` has built it.
async fn program() -> &'static Path {
    static PROGRAM: OnceCell<PathBuf> = OnceCell::const_new();
    PROGRAM
        .get_or_init(|| async { tokio::task::spawn_blocking(build).await.unwrap() })
        .await
}

fn build() -> PathBuf {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bin/clients");
    let output = BlockingCommand::new(script)
        .arg("build")
        .stderr(Stdio::inherit())
        .output()
        .unwrap_or_else(|e| panic!("start {script}: {e}"));
    assert!(output.status.success(), "{script} failed; why is above");
    let output = String::from_utf8(output.stdout).unwrap();
    let path = output.trim().strip_prefix("CLIENTS=");
    path.unwrap_or_else(|| panic!("{script} printed {output}"))
        .into()
}

/// Runs checks against what is served in a namespace, with further flags; they fail the test when one fails.
pub(crate) async fn check(
    cluster: &ControlPlane,
    flags: &[&str],
    namespace: &str,
    checks: &[&str],
) {
    let output = Command::new(program().await)
        .arg("check")
        .args(flags)
        .arg(&cluster.kubeconfig)
        .arg(namespace)
        .args(checks)
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let (said, complained) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    eprint!("{said}");
    assert!(output.status.success(), "{said}{complained}");
    assert_eq!(
        said.lines().filter(|line| line.starts_with("ok ")).count(),
        checks.len(),
        "{said}"
    );
}

/// Running followers; they end with the test.
#[derive(Debug)]
pub(crate) struct Following {
    child: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    /// `HOST:PORT` of the proxy in front of the server, when one was asked for.
    pub(crate) backend: Option<String>,
}

impl Following {
    /// Starts followers of everything; `namespace` is the one that some of them keep to. They are there when
    /// [`Self::ready`] says so.
    pub(crate) async fn start(cluster: &ControlPlane, flags: &[&str], namespace: &str) -> Self {
        let mut child = Command::new(program().await)
            .arg("follow")
            .args(flags)
            .arg(&cluster.kubeconfig)
            .arg(namespace)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut following = Self {
            orders: child.stdin.take().unwrap(),
            answers: BufReader::new(child.stdout.take().unwrap()).lines(),
            child,
            backend: None,
        };
        if flags.iter().any(|flag| flag.starts_with("-backend")) {
            let line = following.answer().await;
            following.backend = Some(line.strip_prefix("BACKEND=").unwrap().to_owned());
        }
        following
    }

    /// Lets followers begin that wait for the server to be reached through their proxy.
    pub(crate) async fn go(&mut self) {
        self.tell("go").await;
    }

    /// Waits until all have synced.
    pub(crate) async fn ready(&mut self) {
        assert_eq!(self.answer().await, "READY");
    }

    /// From now on connections are cut.
    pub(crate) async fn cut(&mut self) {
        self.tell("cut").await;
        assert_eq!(self.answer().await, "OK");
    }

    /// From now on they are not.
    pub(crate) async fn mend(&mut self) {
        self.tell("mend").await;
        assert_eq!(self.answer().await, "OK");
    }

    /// Waits until all of them know what plain lists say, and returns their counts. Whatever is wrong is printed by them.
    pub(crate) async fn settle(&mut self) -> Value {
        self.tell("settle").await;
        serde_json::from_str(&self.answer().await).unwrap()
    }

    /// Ends them, and fails when one of them was told what cannot be.
    pub(crate) async fn end(mut self) {
        drop(self.orders);
        let end = tokio::time::timeout(Duration::from_mins(1), self.child.wait());
        let end = end.await.expect("followers end").unwrap();
        assert!(end.success(), "{end}; why is above");
    }

    async fn tell(&mut self, order: &str) {
        let line = format!("{order}\n");
        self.orders.write_all(line.as_bytes()).await.unwrap();
    }

    async fn answer(&mut self) -> String {
        let line = self.answers.next_line().await.unwrap();
        line.expect("the followers go on; why they ended is above")
    }
}

/// How many objects of a resource there were when the followers had settled.
pub(crate) fn objects(settled: &Value, resource: &str) -> u64 {
    settled["objects"][resource].as_u64().unwrap()
}

/// The counts as lines for people.
pub(crate) fn summary(settled: &Value) -> String {
    let followers = settled["followers"].as_array().unwrap();
    let sum = |at: usize| -> u64 {
        let counts = followers.iter().map(|one| one["events"][at].as_u64());
        counts.flatten().sum()
    };
    format!(
        "{} followers of {}: {} added, {} changed, {} deleted; {} connections cut",
        followers.len(),
        settled["objects"],
        sum(0),
        sum(1),
        sum(2),
        settled["cuts"]
    )
}
