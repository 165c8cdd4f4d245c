//! Registries to mirror between, images to fill them with, and the command itself.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use reqwest::header::ACCEPT;
use tokio::process::Command;

use crate::harness::{Process, eventually, free_ports};

const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json";

/// Which registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// distribution v3.
    Distribution,
    /// distribution 2.8.2, as Debian packages it.
    DockerRegistry,
    /// go-containerregistry's own, with referrers; in memory.
    Peer,
}

/// The programs that the tests run.
#[derive(Debug)]
struct Programs {
    kit: String,
    distribution: String,
}

fn programs() -> &'static Programs {
    static PROGRAMS: OnceLock<Programs> = OnceLock::new();
    PROGRAMS.get_or_init(|| Programs {
        kit: built("mirror", "KIT"),
        distribution: built("control-plane", "REGISTRY"),
    })
}

/// The line `key=` of what `script build` prints.
fn built(script: &str, key: &str) -> String {
    let script = format!("{}/tests/bin/{script}", env!("CARGO_MANIFEST_DIR"));
    let output = std::process::Command::new(&script)
        .arg("build")
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "{script} build");
    let lines = String::from_utf8(output.stdout).unwrap();
    let line = lines
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{key}=")));
    line.unwrap_or_else(|| panic!("{script} prints no {key}"))
        .to_owned()
}

/// A registry on loopback, in plain http, thrown away with the test.
#[derive(Debug)]
pub(crate) struct Registry {
    /// `127.0.0.1:PORT`.
    pub(crate) address: String,
    _process: Process,
    dir: tempfile::TempDir,
}

impl Registry {
    /// Starts one; none, with a word why, where it is not installed.
    pub(crate) async fn start(kind: Kind) -> Option<Self> {
        Self::start_with(kind, true).await
    }

    /// The same; whether it deletes anything is for distribution's.
    pub(crate) async fn start_with(kind: Kind, deletes: bool) -> Option<Self> {
        let [port] = free_ports::<1>();
        Self::launch(kind, &format!("127.0.0.1:{port}"), deletes).await
    }

    /// The same at this address.
    pub(crate) async fn start_at(kind: Kind, address: &str) -> Option<Self> {
        Self::launch(kind, address, true).await
    }

    async fn launch(kind: Kind, address: &str, deletes: bool) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let address = address.to_owned();
        let log = dir.path().join("log");
        let process = match kind {
            Kind::Peer => {
                Process::spawn(&programs().kit, ["registry", address.as_str()], &[], &log)
            }
            Kind::Distribution => {
                let program = Path::new(&programs().distribution);
                distribution(program, dir.path(), &address, deletes)
            }
            Kind::DockerRegistry => {
                let Some(program) = find("docker-registry") else {
                    assert!(
                        std::env::var("CI").as_deref() != Ok("true"),
                        "docker-registry is not installed: .ci/run does it"
                    );
                    eprintln!("left out: docker-registry (distribution 2.8.2) is not installed");
                    return None;
                };
                distribution(&program, dir.path(), &address, deletes)
            }
        };
        let url = format!("http://{address}/v2/");
        eventually(Duration::from_secs(30), "the registry answers", || async {
            reqwest::get(&url).await.map_err(|error| error.to_string())
        })
        .await;
        Some(Self {
            address,
            _process: process,
            dir,
        })
    }

    /// Runs the kit against it, and returns what it prints.
    pub(crate) async fn kit(&self, verb: &str, args: &[&str]) -> Result<String, String> {
        let mut command = Command::new(&programs().kit);
        command
            .arg(verb)
            .arg(&self.address)
            .args(args)
            .kill_on_drop(true);
        let output = command.output().await.unwrap();
        if output.status.success() {
            Ok(String::from_utf8(output.stdout).unwrap())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    /// Every tag of `repositories`, each read to its last byte, with its digest.
    pub(crate) async fn check(&self, repositories: &[&str]) -> Result<Vec<String>, String> {
        let lines = self.kit("check", repositories).await?;
        Ok(lines.lines().map(str::to_owned).collect())
    }

    /// The tags as the registry lists them.
    pub(crate) async fn tags(&self, repository: &str) -> Vec<String> {
        let url = format!("http://{}/v2/{repository}/tags/list", self.address);
        let answer = reqwest::get(url).await.unwrap();
        if answer.status() == 404 {
            return Vec::new();
        }
        let answer: serde_json::Value =
            serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        let mut tags: Vec<String> = serde_json::from_value(answer["tags"].clone()).unwrap();
        tags.sort();
        tags
    }

    /// Deletes a tag.
    pub(crate) async fn delete(&self, repository: &str, tag: &str) {
        let url = format!("http://{}/v2/{repository}/manifests/{tag}", self.address);
        let client = reqwest::Client::new();
        let answer = client.delete(url).send().await.unwrap();
        assert_eq!(answer.status(), 202, "{tag}");
    }

    /// Type and bytes of a manifest.
    pub(crate) async fn manifest(
        &self,
        repository: &str,
        reference: &str,
    ) -> Option<(String, Vec<u8>)> {
        let url = format!(
            "http://{}/v2/{repository}/manifests/{reference}",
            self.address
        );
        let client = reqwest::Client::new();
        let answer = client
            .get(url)
            .header(ACCEPT, MANIFESTS)
            .send()
            .await
            .unwrap();
        if !answer.status().is_success() {
            return None;
        }
        let media_type = answer.headers()["content-type"]
            .to_str()
            .unwrap()
            .to_owned();
        Some((media_type, answer.bytes().await.unwrap().to_vec()))
    }

    /// Type and bytes behind every tag.
    pub(crate) async fn manifests(&self, repository: &str) -> BTreeMap<String, (String, Vec<u8>)> {
        let mut found = BTreeMap::new();
        for tag in self.tags(repository).await {
            let manifest = self.manifest(repository, &tag).await;
            found.insert(tag.clone(), manifest.unwrap_or_else(|| panic!("{tag}")));
        }
        found
    }

    /// The bytes of uploads that have not ended, in a registry that keeps them in files.
    pub(crate) fn uploading(&self) -> u64 {
        let mut bytes = 0;
        let mut folders = vec![self.dir.path().join("data")];
        while let Some(folder) = folders.pop() {
            // Folders come and go.
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                let Ok(found) = entry.metadata() else {
                    continue;
                };
                if found.is_dir() {
                    folders.push(path);
                } else if path.ends_with("data") && path.iter().any(|part| part == "_uploads") {
                    bytes += found.len();
                }
            }
        }
        bytes
    }

    /// `ADDRESS/REPOSITORY`.
    pub(crate) fn image(&self, repository: &str) -> String {
        format!("{}/{repository}", self.address)
    }
}

fn distribution(program: &Path, dir: &Path, address: &str, deletes: bool) -> Process {
    let config = dir.join("config.yaml");
    let data = dir.join("data").display().to_string();
    let text = format!(
        "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
         storage: {{filesystem: {{rootdirectory: {data}}}, delete: {{enabled: {deletes}}}}}\n\
         http: {{addr: \"{address}\", secret: no-secret}}\n"
    );
    fs::write(&config, text).unwrap();
    Process::spawn(
        program,
        ["serve", config.to_str().unwrap()],
        &[("OTEL_TRACES_EXPORTER", "none")],
        dir.join("log"),
    )
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}

/// Where the command keeps its state and looks for credentials: nowhere but here.
#[derive(Debug)]
pub(crate) struct Home(tempfile::TempDir);

impl Home {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// `tagscope mirror` with these arguments.
    pub(crate) fn mirror(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tagscope"));
        command
            .arg("mirror")
            .args(args)
            .env("HOME", self.0.path())
            .env("XDG_STATE_HOME", self.0.path().join("state"))
            .env_remove("DOCKER_CONFIG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs it to its end.
    pub(crate) async fn run(&self, args: &[&str]) -> Output {
        self.mirror(args).output().await.unwrap()
    }

    /// Runs it to a good end, and returns what it prints.
    pub(crate) async fn good(&self, args: &[&str]) -> String {
        let output = self.run(args).await;
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(
            output.status.success(),
            "{args:?}: {}\n{out}{err}",
            output.status
        );
        out
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
