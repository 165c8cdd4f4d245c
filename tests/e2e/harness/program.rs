//! The program under test, run as a user runs it out of a cluster.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;
use std::{env, fs};

use super::{ControlPlane, Process, eventually};

/// From start to ready, on a busy machine and with everything to scan for the first time.
const READY_WITHIN: Duration = Duration::from_mins(1);
/// From SIGTERM to the end.
const STOPPED_WITHIN: Duration = Duration::from_secs(40);
/// How often a start is tried on other ports, when somebody else took one of those that were free.
const ATTEMPTS: usize = 3;

/// How to run it; every part has a default.
#[derive(Debug, Clone)]
pub(crate) struct Launch<'a> {
    cluster: &'a ControlPlane,
    kubeconfig: PathBuf,
    storage: Option<PathBuf>,
    environment: Vec<(String, String)>,
    extra: Vec<String>,
}

/// The running program.
#[derive(Debug)]
pub(crate) struct Tagscope {
    /// Where the aggregated API is served, on loopback.
    pub(crate) secure_port: u16,
    /// Where `/readyz` and `/healthz` are.
    pub(crate) health: SocketAddr,
    /// Where `/metrics` is.
    pub(crate) metrics: SocketAddr,
    /// Its `--storage-path`, which outlives restarts.
    pub(crate) storage: PathBuf,
    environment: Vec<(String, String)>,
    arguments: Vec<String>,
    log: PathBuf,
    process: Process,
}

impl ControlPlane {
    /// The program, to be started against this control plane as its administrator.
    pub(crate) fn tagscope(&self) -> Launch<'_> {
        Launch {
            cluster: self,
            kubeconfig: self.kubeconfig.clone(),
            storage: None,
            environment: Vec::new(),
            extra: Vec::new(),
        }
    }

    /// Installs what the program needs, and points the APIService at this one.
    pub(crate) async fn install(&self, program: &Tagscope) {
        self.apply(&self.definitions().await).await;
        self.kubectl(&[
            "wait",
            "--for=condition=Established",
            "crd",
            "--all",
            "--timeout=30s",
        ])
        .await
        .ok();
        let local = self.kustomize("apiservice/local").await;
        self.apply(&local.replace("8443", &program.secure_port.to_string()))
            .await;
    }

    /// The definitions to install: ours, or what the files in `$TAGSCOPE_DEFINITIONS` say, such as Flux's.
    pub(crate) async fn definitions(&self) -> String {
        let Some(dir) = env::var_os("TAGSCOPE_DEFINITIONS") else {
            return self.kustomize("deploy/crds").await;
        };
        let files = fs::read_dir(dir).unwrap();
        files
            .map(|file| fs::read_to_string(file.unwrap().path()).unwrap())
            .collect()
    }

    /// The manifests of a kustomization of this checkout.
    pub(crate) async fn kustomize(&self, path: &str) -> String {
        let path = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
        self.kubectl(&["kustomize", &path]).await.ok()
    }
}

impl Launch<'_> {
    /// Acts as somebody else than the administrator.
    pub(crate) fn kubeconfig(mut self, file: impl Into<PathBuf>) -> Self {
        self.kubeconfig = file.into();
        self
    }

    /// Keeps its tags where somebody else may have kept his.
    pub(crate) fn storage(mut self, dir: impl Into<PathBuf>) -> Self {
        self.storage = Some(dir.into());
        self
    }

    /// Sets a variable of its environment.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds flags.
    pub(crate) fn args<'a>(mut self, args: impl IntoIterator<Item = &'a str>) -> Self {
        self.extra.extend(args.into_iter().map(str::to_owned));
        self
    }

    /// Starts it and waits until it is ready. `Err` holds its log.
    pub(crate) async fn start(self) -> Result<Tagscope, String> {
        for attempt in 1.. {
            match self.clone().start_once().await {
                Err(log)
                    if attempt < ATTEMPTS && log.contains("already taken by another program") => {}
                outcome => return outcome,
            }
        }
        unreachable!("the last attempt returns")
    }

    /// Starts it and waits for nothing.
    pub(crate) fn spawn(self) -> Tagscope {
        let [secure_port, health, metrics] = free_ports();
        let [health, metrics] =
            [health, metrics].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let storage = self
            .storage
            .unwrap_or_else(|| self.cluster.dir.join(self.cluster.new_name("storage")));
        let arguments = [
            "run".to_owned(),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={secure_port}"),
            format!("--storage-path={}", storage.display()),
            format!("--metrics-addr={metrics}"),
            format!("--health-addr={health}"),
        ];
        let arguments = [&arguments, self.extra.as_slice()].concat();
        let log = self.cluster.new_log("tagscope");
        let mut environment = self.environment;
        let kubeconfig = self.kubeconfig.display().to_string();
        environment.push(("KUBECONFIG".to_owned(), kubeconfig));
        let process = spawn(&environment, &arguments, &log);
        Tagscope {
            secure_port,
            health,
            metrics,
            storage,
            environment,
            arguments,
            log,
            process,
        }
    }

    async fn start_once(self) -> Result<Tagscope, String> {
        let mut program = self.spawn();
        program.ready().await?;
        Ok(program)
    }
}

impl Tagscope {
    /// Everything it has logged so far, over all restarts.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// The file that it logs to.
    pub(crate) fn log_file(&self) -> &Path {
        &self.log
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Sends SIGTERM and waits for the end.
    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        self.process.terminate(STOPPED_WITHIN).await
    }

    /// Sends SIGKILL and waits for the end.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// How it ended, when it has.
    pub(crate) fn end(&mut self) -> Option<ExitStatus> {
        self.process.end()
    }

    /// Starts it again, on the same ports and with the same storage, after it was terminated or killed.
    pub(crate) async fn restart(&mut self) -> Result<(), String> {
        self.respawn();
        self.ready().await
    }

    /// Like [`Self::restart`], and waits for nothing.
    pub(crate) fn respawn(&mut self) {
        self.process = spawn(&self.environment, &self.arguments, &self.log);
    }

    /// The metrics, as text.
    pub(crate) async fn scrape(&self) -> String {
        let answer = reqwest::get(format!("http://{}/metrics", self.metrics))
            .await
            .unwrap();
        answer.error_for_status().unwrap().text().await.unwrap()
    }

    /// Waits until it is ready. `Err` holds its log, when it ended instead.
    pub(crate) async fn ready(&mut self) -> Result<(), String> {
        let url = format!("http://{}/readyz", self.health);
        let process = &mut self.process;
        eventually(READY_WITHIN, "tagscope is ready", || {
            let ended = process.end().map(|status| {
                format!(
                    "it ended ({status}) before it was ready:\n{}",
                    process.log()
                )
            });
            let url = &url;
            async move {
                if let Some(ended) = ended {
                    return Ok(Err(ended));
                }
                let answer = reqwest::get(url)
                    .await
                    .and_then(reqwest::Response::error_for_status);
                answer.map(|_| Ok(()))
            }
        })
        .await
    }
}

fn spawn(environment: &[(String, String)], arguments: &[String], log: &Path) -> Process {
    let environment: Vec<_> = environment
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    Process::spawn(
        env!("CARGO_BIN_EXE_tagscope"),
        arguments.iter().map(String::as_str),
        &environment,
        log,
    )
}

/// Free ports, all different. Somebody else may take one before it is used.
pub(crate) fn free_ports<const N: usize>() -> [u16; N] {
    let held = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap().port())
}
