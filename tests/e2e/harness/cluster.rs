//! A control plane and a registry: real ones, on loopback, thrown away with the test process.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use kube::config::{KubeConfigOptions, Kubeconfig};

use super::registry::Registry;

/// etcd, kube-apiserver, kube-controller-manager and a registry, until it is dropped.
///
/// The controllers that run are those for namespaces, aggregated cluster roles, garbage collection and
/// quotas. There is no node: no pod ever runs.
#[derive(Debug)]
pub(crate) struct ControlPlane {
    /// Of the cluster's administrator.
    pub(crate) kubeconfig: PathBuf,
    /// One file per component, and `audit.log`.
    pub(crate) logs: PathBuf,
    pub(crate) registry: Registry,
    pub(super) dir: PathBuf,
    pub(super) kubectl: PathBuf,
    names: AtomicUsize,
    launcher: Child,
    /// Everything runs for as long as this pipe is open, which the kernel closes when we are killed.
    alive: Option<ChildStdin>,
    answers: Lines<BufReader<ChildStdout>>,
}

impl ControlPlane {
    /// The one that tests share, each in a namespace of its own.
    pub(crate) async fn shared() -> &'static Self {
        static SHARED: OnceLock<Result<ControlPlane, String>> = OnceLock::new();
        let shared =
            tokio::task::spawn_blocking(|| SHARED.get_or_init(|| Self::start_blocking(&new_dir())));
        shared.await.unwrap().as_ref().unwrap()
    }

    /// One of its own, for tests that break it or change what all share.
    pub(crate) async fn start() -> Self {
        Self::start_in(&new_dir()).await
    }

    /// One of its own, in this directory.
    pub(crate) async fn start_in(dir: &Path) -> Self {
        let dir = dir.to_owned();
        let started = tokio::task::spawn_blocking(move || Self::start_blocking(&dir));
        started.await.unwrap().unwrap()
    }

    /// A client of the cluster's administrator. It belongs to the runtime it is made on: make one per test.
    pub(crate) async fn client(&self) -> kube::Client {
        let kubeconfig = Kubeconfig::read_from(&self.kubeconfig).unwrap();
        let options = KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .unwrap();
        kube::Client::try_from(config).unwrap()
    }

    /// Creates a namespace that no other test has, whose name begins with `prefix`.
    pub(crate) async fn namespace(&self, prefix: &str) -> String {
        let name = self.new_name(prefix);
        self.kubectl(&["create", "namespace", &name]).await.ok();
        name
    }

    /// A name that is given out once.
    pub(crate) fn new_name(&self, prefix: &str) -> String {
        format!("{prefix}-{}", self.names.fetch_add(1, Ordering::Relaxed))
    }

    /// A log file that is given out once.
    pub(crate) fn new_log(&self, program: &str) -> PathBuf {
        self.logs.join(self.new_name(program)).with_extension("log")
    }

    /// What `component` has logged so far.
    pub(crate) fn log(&self, component: &str) -> String {
        let file = self.logs.join(component).with_extension("log");
        fs::read_to_string(&file).unwrap_or_else(|e| panic!("read {}: {e}", file.display()))
    }

    /// Every request that kube-apiserver has answered `user`, as audit events: `verb`, `requestURI`,
    /// `objectRef`, `responseStatus.code`.
    pub(crate) fn requests_of(&self, user: &str) -> Vec<serde_json::Value> {
        let log = self.log("audit");
        // The last line may be half written.
        let events = log
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let of_user = events.filter(|event| {
            let impersonated = &event["impersonatedUser"]["username"];
            impersonated == user || (impersonated.is_null() && event["user"]["username"] == user)
        });
        of_user.collect()
    }

    /// The process that keeps the others.
    pub(crate) fn launcher_id(&self) -> u32 {
        self.launcher.id()
    }

    fn start_blocking(dir: &Path) -> Result<Self, String> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bin/control-plane");
        let mut launcher = Command::new(script)
            .arg("run")
            .arg(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("start {script}: {e}"))?;
        let alive = launcher.stdin.take();
        let mut facts = HashMap::new();
        let mut answers = BufReader::new(launcher.stdout.take().unwrap()).lines();
        for line in answers.by_ref() {
            let line = line.map_err(|e| format!("read from {script}: {e}"))?;
            if let Some((key, value)) = line.split_once('=') {
                facts.insert(key.to_owned(), value.to_owned());
            }
            if line == "READY=1" {
                break;
            }
        }
        if !facts.contains_key("READY") {
            let end = launcher
                .wait()
                .map_err(|e| format!("wait for {script}: {e}"))?;
            return Err(format!(
                "the control plane did not start ({end}); why is printed above"
            ));
        }
        Ok(Self {
            kubeconfig: facts["KUBECONFIG"].clone().into(),
            logs: facts["LOGS"].clone().into(),
            registry: Registry {
                address: facts["REGISTRY_ADDRESS"].clone(),
                seed: facts["SEED"].clone().into(),
            },
            dir: dir.to_owned(),
            kubectl: facts["KUBECTL"].clone().into(),
            names: AtomicUsize::new(0),
            launcher,
            alive,
            answers,
        })
    }

    /// Kills a component and starts it again, on its port and with its data; it may take a while to answer.
    pub(crate) fn restart(&mut self, component: &str) {
        let alive = self.alive.as_mut().unwrap();
        writeln!(alive, "restart {component}").unwrap();
        let answer = self.answers.next().unwrap().unwrap();
        assert_eq!(answer, format!("RESTARTED={component}"));
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        drop(self.alive.take());
        // Without children of its own to wait for, it cannot fail.
        drop(self.launcher.wait());
    }
}

/// A directory that no other control plane uses. Those of test processes that are gone are removed.
fn new_dir() -> PathBuf {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let parent = Path::new(env!("CARGO_TARGET_TMPDIR")).join("control-planes");
    fs::create_dir_all(&parent).unwrap();
    for entry in fs::read_dir(&parent).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let owner = name.split('-').next().unwrap();
        if !Path::new("/proc").join(owner).exists() {
            // Another test process may be doing the same.
            drop(fs::remove_dir_all(entry.path()));
        }
    }
    parent.join(format!(
        "{}-{}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    ))
}
