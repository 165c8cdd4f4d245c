//! On Flux's own ground: its definitions, its rights, its manifests, its controller and its command line, all as they
//! are released, built from source by `tests/bin/flux`.
//!
//! Nothing of Flux's is kept in this tree; what a test needs is read from what was built.

mod beside;
mod cli;
mod ground;
mod install;
mod pod;
mod takeover;
mod versions;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command as BlockingCommand, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;
use tokio::sync::OnceCell;

use crate::harness::{ControlPlane, Process, Tagscope, eventually, free_ports};
use crate::rights::kubeconfig_of_service_account;
use crate::world::SOON;

/// Where Flux lives.
const HOME: &str = "flux-system";
/// Its controller, its ServiceAccount and its field manager.
const CONTROLLER: &str = "image-reflector-controller";
/// As the API server knows both programs here.
const USER: &str = "system:serviceaccount:flux-system:image-reflector-controller";
/// The kinds, as kubectl takes them.
const KINDS: &str = "imagerepositories,imagepolicies";

/// What `tests/bin/flux` has built.
#[derive(Debug)]
struct Tools {
    reflector: PathBuf,
    cli: PathBuf,
    /// The manifests that the controller is released with.
    config: PathBuf,
    /// The manifests that an installation consists of besides.
    manifests: PathBuf,
}

impl Tools {
    async fn get() -> &'static Self {
        static TOOLS: OnceCell<Tools> = OnceCell::const_new();
        TOOLS
            .get_or_init(|| async { tokio::task::spawn_blocking(Self::build).await.unwrap() })
            .await
    }

    fn build() -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bin/flux");
        let output = BlockingCommand::new(script)
            .arg("build")
            .stderr(Stdio::inherit())
            .output()
            .unwrap_or_else(|e| panic!("start {script}: {e}"));
        assert!(output.status.success(), "{script} failed; why is above");
        let output = String::from_utf8(output.stdout).unwrap();
        let paths: HashMap<_, _> = output
            .lines()
            .filter_map(|line| line.split_once('='))
            .collect();
        let path = |key| PathBuf::from(paths[key]);
        Self {
            reflector: path("FLUX_REFLECTOR"),
            cli: path("FLUX_CLI"),
            config: path("FLUX_CONFIG"),
            manifests: path("FLUX_MANIFESTS"),
        }
    }

    /// Flux's own definitions of the kinds, unchanged.
    fn definitions(&self) -> String {
        let bases = self.config.join("crd/bases");
        let mut files: Vec<_> = fs::read_dir(&bases)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        assert_eq!(files.len(), 2, "{files:?}");
        files
            .iter()
            .map(|file| fs::read_to_string(file).unwrap())
            .collect()
    }
}

/// A control plane as Flux leaves it: its definitions, its namespace, its ServiceAccount and its rights.
async fn ground() -> ControlPlane {
    let tools = Tools::get().await;
    let cluster = ControlPlane::start().await;
    define(&cluster, &tools.definitions()).await;
    let create = ["create", "namespace", HOME];
    cluster.kubectl(&create).await.ok();
    let create = ["create", "serviceaccount", CONTROLLER, "-n", HOME];
    cluster.kubectl(&create).await.ok();
    let rights = tools.manifests.join("rbac/controller.yaml");
    let rights = fs::read_to_string(rights).unwrap();
    cluster.apply(&rights).await;
    cluster
}

/// Installs definitions and waits until they are in force.
async fn define(cluster: &ControlPlane, definitions: &str) {
    cluster.apply(definitions).await;
    let wait = ["wait", "--for=condition=Established", "crd", "--all"];
    cluster.kubectl(&wait).await.ok();
}

/// Acts as Flux's controller does.
async fn its_kubeconfig(cluster: &ControlPlane) -> PathBuf {
    kubeconfig_of_service_account(cluster, HOME, CONTROLLER).await
}

/// The tests that take nothing away share this one, with the program in it.
struct Shared {
    cluster: ControlPlane,
    program: Tagscope,
}

impl Shared {
    async fn get() -> &'static Self {
        static SHARED: OnceCell<Shared> = OnceCell::const_new();
        SHARED
            .get_or_init(|| async {
                let cluster = ground().await;
                let kubeconfig = its_kubeconfig(&cluster).await;
                let program = cluster
                    .tagscope()
                    .kubeconfig(kubeconfig)
                    .env("RUNTIME_NAMESPACE", HOME)
                    .start()
                    .await;
                let program = program.unwrap_or_else(|log| panic!("it did not start:\n{log}"));
                Self { cluster, program }
            })
            .await
    }
}

/// Flux's controller, running.
#[derive(Debug)]
struct Reflector {
    process: Process,
    health: String,
}

impl Reflector {
    /// Starts it for one namespace only, so that several can run, and waits until it is ready.
    async fn start(
        cluster: &ControlPlane,
        namespace: &str,
        storage: &Path,
        features: Option<&str>,
    ) -> Self {
        let [metrics, health] = free_ports().map(|port| format!("127.0.0.1:{port}"));
        let mut args = vec![
            format!("--metrics-addr={metrics}"),
            format!("--health-addr={health}"),
            format!("--storage-path={}", storage.display()),
            "--watch-all-namespaces=false".to_owned(),
            "--log-level=debug".to_owned(),
        ];
        args.extend(features.map(|features| format!("--feature-gates={features}")));
        let kubeconfig = its_kubeconfig(cluster).await;
        let environment = [
            ("KUBECONFIG", kubeconfig.to_str().unwrap()),
            ("RUNTIME_NAMESPACE", namespace),
        ];
        let process = Process::spawn(
            &Tools::get().await.reflector,
            args.iter().map(String::as_str),
            &environment,
            cluster.new_log(CONTROLLER),
        );
        let mut this = Self { process, health };
        this.ready().await;
        this
    }

    async fn ready(&mut self) {
        let url = format!("http://{}/readyz", self.health);
        let process = &mut self.process;
        eventually(SOON, "Flux's controller is ready", || {
            assert_eq!(process.end(), None, "{}", process.log());
            let url = &url;
            async move {
                let answer = reqwest::get(url).await;
                answer.and_then(reqwest::Response::error_for_status)
            }
        })
        .await;
    }

    async fn stop(mut self) {
        self.process.terminate(Duration::from_secs(30)).await;
    }
}

/// What the flux CLI said.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Said {
    /// What it printed, on a success.
    #[track_caller]
    fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "flux: {}{}", self.stdout, self.stderr);
        self.stdout
    }

    /// The words of its table, row by row, without the header.
    #[track_caller]
    fn rows(self) -> Vec<Vec<String>> {
        let stdout = self.ok();
        let rows = stdout.lines().skip(1).map(|line| {
            let cells = line
                .split('\t')
                .map(str::trim)
                .filter(|cell| !cell.is_empty());
            cells.map(str::to_owned).collect()
        });
        rows.collect()
    }
}

/// Runs the flux CLI as the cluster's administrator.
async fn flux(cluster: &ControlPlane, args: &[&str]) -> Said {
    let output = Command::new(&Tools::get().await.cli)
        .args(["--timeout=30s", "--kubeconfig"])
        .arg(&cluster.kubeconfig)
        .args(args)
        .env("HOME", &cluster.logs)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    Said {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// `kubectl get … -o json`.
async fn get(cluster: &ControlPlane, args: &[&str]) -> Value {
    let args = [&["get"], args, &["-o", "json"]].concat();
    serde_json::from_str(&cluster.kubectl(&args).await.ok()).unwrap()
}

/// A repository that is scanned once an hour, and a policy over it, both named `name`.
fn pair(cluster: &ControlPlane, ns: &str, name: &str, image: &str, range: &str) -> String {
    let image = cluster.registry.image(image);
    format!(
        "apiVersion: image.toolkit.fluxcd.io/v1\nkind: ImageRepository\nmetadata: {{name: {name}, namespace: {ns}}}\n\
         spec: {{image: \"{image}\", interval: 1h}}\n---\n\
         apiVersion: image.toolkit.fluxcd.io/v1\nkind: ImagePolicy\nmetadata: {{name: {name}, namespace: {ns}}}\n\
         spec: {{imageRepositoryRef: {{name: {name}}}, policy: {{semver: {{range: \"{range}\"}}}}}}\n---\n"
    )
}

/// Waits until everything in `ns` is Ready.
async fn all_ready(cluster: &ControlPlane, ns: &str) {
    let wait = ["wait", "--for=condition=Ready", KINDS, "--all", "-n", ns];
    let wait = [&wait[..], &["--timeout=30s"]].concat();
    cluster.kubectl(&wait).await.ok();
}

/// What the API server was asked to write by [`USER`] since `seen` requests, as `verb resource[/subresource]`, sorted.
fn writes_since(cluster: &ControlPlane, seen: usize) -> Vec<String> {
    let mut writes: Vec<String> = cluster
        .requests_of(USER)
        .iter()
        .skip(seen)
        .filter(|event| {
            let verb = event["verb"].as_str().unwrap_or_default();
            !["get", "list", "watch", "head"].contains(&verb)
        })
        .map(|event| {
            let object = &event["objectRef"];
            let resource = object["resource"].as_str().unwrap_or_default();
            let subresource = object["subresource"].as_str().unwrap_or_default();
            format!(
                "{} {resource}/{subresource}",
                event["verb"].as_str().unwrap()
            )
            .trim_end_matches('/')
            .to_owned()
        })
        .collect();
    writes.sort();
    writes
}
