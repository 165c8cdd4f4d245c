//! `tagscope mirror` as a program: what it writes, with which code it ends, and what it leaves for the next run.

mod beginnings;
mod drift;
mod hostile;
mod output;
mod prune;
mod warnings;

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use http::Method;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::fake_registry::{Auth, FakeRegistry, Fault, Image, Nth, Route};
use crate::serve_kit::eventually;

/// A user's machine: a home, without anything of the real one.
struct Machine(tempfile::TempDir);

impl Machine {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    fn write(&self, file: &str, text: &str) -> String {
        let path = self.path(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tagscope"));
        command
            .args(args)
            .env_clear()
            .env("HOME", self.0.path())
            .env(
                "PATH",
                format!("{}:/usr/bin:/bin", self.path("bin").display()),
            )
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    async fn run(&self, args: &[&str]) -> Ran {
        self.fed(args, "").await
    }

    async fn fed(&self, args: &[&str], input: &str) -> Ran {
        let mut child = self.command(args).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        drop(stdin.write_all(input.as_bytes()).await);
        drop(stdin);
        Ran::from(child.wait_with_output().await.unwrap())
    }
}

/// How a command ended.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self {
            code: output.status.code(),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }
}

impl Ran {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}\n{self:?}"))
    }

    fn line(&self, beginning: &str) -> &str {
        let line = self.out.lines().find(|line| line.starts_with(beginning));
        line.unwrap_or_else(|| panic!("{beginning} in {self:?}"))
    }
}

/// A source with three tags, and an empty destination.
async fn registries() -> (FakeRegistry, FakeRegistry) {
    let (source, destination) = (FakeRegistry::start().await, FakeRegistry::start().await);
    for (tag, seed) in [("1.0.0", 10), ("1.1.0", 20), ("2.0.0", 30)] {
        source.add_image("team/app", tag, &Image::sized(seed, &[40_000, 2_000]));
    }
    (source, destination)
}

#[tokio::test]
async fn one_tag_is_copied_and_the_next_run_finds_it_there() {
    let (source, destination) = registries().await;
    let machine = Machine::new();
    let (from, to) = (
        source.image("team/app:1.0.0"),
        destination.image("mirror/app:one"),
    );
    let ran = machine.run(&["mirror", &from, &to]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.line("copied ").contains(&to), "{ran:?}");
    assert!(
        ran.err.lines().any(|line| line.starts_with("copied ")),
        "one line for each tag: {ran:?}"
    );
    destination.check_whole("mirror/app");
    assert_eq!(
        destination.tag_digest("mirror/app", "one"),
        source.tag_digest("team/app", "1.0.0")
    );
    assert!(machine.path(".local/state/tagscope/mirror.known").exists());

    destination.clear_requests();
    let ran = machine.run(&["mirror", &from, &to, "--quiet"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(
        ran.line("unchanged ").contains(&to) && ran.err.is_empty(),
        "{ran:?}"
    );
    assert_eq!(destination.count(Route::Upload), 0);
}

#[tokio::test]
async fn selections_and_json() {
    let (source, destination) = registries().await;
    let machine = Machine::new();
    let (from, to) = (source.image("team/app"), destination.image("app"));
    let args = [
        "mirror", &from, &to, "--semver", "1.x", "--latest", "1", "-o", "json",
    ];
    let dry = machine.run(&[&args[..], &["--dry-run"]].concat()).await;
    let said = dry.json();
    assert_eq!(
        (dry.code, &said["dryRun"]),
        (Some(0), &Value::Bool(true)),
        "{dry:?}"
    );
    assert!(
        said["atMost"]["bytesWritten"].as_u64().unwrap() >= 42_000,
        "{dry:?}"
    );
    assert_eq!(destination.tag_digest("app", "1.1.0"), None);
    assert!(
        !machine.path(".local/state/tagscope/mirror.known").exists(),
        "a dry run leaves no trace"
    );

    let ran = machine.run(&args).await;
    let said = ran.json();
    assert_eq!(
        (ran.code, said["verdict"].as_str()),
        (Some(0), Some("done")),
        "{ran:?}"
    );
    let tags = said["tags"].as_array().unwrap();
    assert_eq!(tags.len(), 1, "{ran:?}");
    assert_eq!(
        (tags[0]["tag"].as_str(), tags[0]["outcome"].as_str()),
        (Some("1.1.0"), Some("copied"))
    );
    assert_eq!(
        tags[0]["destinationDigest"].as_str().map(str::to_owned),
        destination.tag_digest("app", "1.1.0")
    );
    assert!(
        said["totals"]["bytesWritten"].as_u64().unwrap()
            <= said["atMost"]["bytesWritten"].as_u64().unwrap(),
        "{ran:?}"
    );
}

#[tokio::test]
async fn drift_is_code_2_and_overwriting_mends_it() {
    let (source, destination) = registries().await;
    destination.add_image("app", "1.0.0", &Image::sized(90, &[100]));
    let machine = Machine::new();
    let (from, to) = (source.image("team/app:1.0.0"), destination.image("app"));
    let ran = machine.run(&["mirror", &from, &to]).await;
    assert_eq!(ran.code, Some(2), "{ran:?}");
    ran.line("drifted ");
    let ran = machine
        .run(&["mirror", &from, &to, "--overwrite=always"])
        .await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(
        destination.tag_digest("app", "1.0.0"),
        source.tag_digest("team/app", "1.0.0")
    );
}

#[tokio::test]
async fn failures_are_code_1_and_nonsense_is_64() {
    let (source, destination) = registries().await;
    let machine = Machine::new();
    let to = destination.image("app");
    let ran = machine
        .run(&["mirror", &source.image("team/app:9.9.9"), &to])
        .await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.line("failed ")
            .ends_with("there is no such image at the source"),
        "{ran:?}"
    );
    source.clear_requests();
    for args in [
        &["mirror", &source.image("team/app:1.0.0"), &to, "--all-tags"][..],
        &["mirror", "-f", "/nowhere.yaml"],
        &["mirror"],
    ] {
        let ran = machine.run(args).await;
        assert_eq!((ran.code, ran.out.as_str()), (Some(64), ""), "{ran:?}");
        assert!(!ran.err.is_empty());
    }
    assert!(source.requests().is_empty(), "nobody was asked");
}

#[tokio::test]
async fn documents_work_as_in_a_cluster() {
    let (source, destination) = registries().await;
    let machine = Machine::new();
    let documents = format!(
        "apiVersion: image.toolkit.fluxcd.io/v1
kind: ImageRepository
metadata: {{name: app}}
spec: {{image: '{}', interval: 5m, exclusionList: ['^2']}}
---
apiVersion: mirror.tagscope.dev/v1alpha1
kind: ImageMirror
metadata: {{name: app}}
spec:
  sourceRef: {{name: app}}
  destinations:
  - {{name: one, registry: {host}, repositoryTemplate: 'one/{{name}}'}}
  - {{name: two, registry: {host}/two, repositoryTemplate: '{{path}}'}}
",
        source.image("team/app"),
        host = destination.plain_host(),
    );
    let file = machine.write("mirrors.yaml", &documents);
    let ran = machine.run(&["mirror", "-f", &file, "--no-state"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for repository in ["one/app", "two/team/app"] {
        destination.check_whole(repository);
        for (tag, is_there) in [("1.0.0", true), ("1.1.0", true), ("2.0.0", false)] {
            assert_eq!(
                destination.tag_digest(repository, tag).is_some(),
                is_there,
                "{repository}:{tag}"
            );
        }
    }
    assert!(!machine.path(".local/state/tagscope").exists());
    let ran = machine
        .fed(&["mirror", "-f", "-", "--no-state", "-q"], &documents)
        .await;
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{ran:?}");
    assert!(ran.out.contains("4 unchanged"), "{ran:?}");
}

#[tokio::test]
async fn a_credential_helper_is_asked_for_each_registry_of_its_own() {
    let (source, destination) = registries().await;
    source.set_auth(Auth::Basic {
        username: "reader".into(),
        password: "hunter2".into(),
    });
    let machine = Machine::new();
    let config = serde_json::json!({"credHelpers": {source.plain_host(): "vault"}});
    machine.write(".docker/config.json", &config.to_string());
    let (from, to) = (source.image("team/app:1.0.0"), destination.image("app"));
    let ran = machine.run(&["mirror", &from, &to]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.err
            .contains("credential helper docker-credential-vault (credHelpers)")
            && ran.err.contains("it is not on PATH"),
        "{ran:?}"
    );
    let script = "#!/bin/sh\nread server\necho \"$1 $server\" >> \"$HOME/asked\"\necho '{\"Username\":\"reader\",\"Secret\":\"hunter2\"}'\n";
    let text = machine.write("bin/text", script);
    let program = Path::new(&text).with_file_name("docker-credential-vault");
    // By another process: what this one has open for writing, a child of another test may hold open.
    let made = std::process::Command::new("install")
        .args(["-m", "755", &text])
        .arg(program)
        .status();
    assert!(made.unwrap().success());
    let ran = machine.run(&["mirror", &from, &to]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let asked = std::fs::read_to_string(machine.path("asked")).unwrap();
    assert_eq!(asked, format!("get {}\n", source.plain_host()));
    assert!(!destination.saw("hunter2") && !format!("{ran:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_signal_stops_it_with_130_and_the_next_run_goes_on() {
    let (source, destination) = registries().await;
    let machine = Machine::new();
    let (from, to) = (source.image("team/app"), destination.image("app"));
    // The uploads hang: the run cannot end by itself.
    let never = Fault::Slow(Duration::from_hours(1));
    destination.on(Method::PUT, "/blobs/uploads/", Nth::Every, never);
    let child = machine
        .command(&["mirror", &from, &to, "--all-tags"])
        .spawn()
        .unwrap();
    let id = child.id().unwrap().to_string();
    eventually("an upload has begun", || {
        destination.count(Route::Upload) > 0
    })
    .await;
    let killed = Command::new("kill")
        .args(["-INT", &id])
        .status()
        .await
        .unwrap();
    assert!(killed.success());
    let ran = Ran::from(child.wait_with_output().await.unwrap());
    assert_eq!(ran.code, Some(130), "{ran:?}");
    assert!(
        ran.out.contains("interrupted: run it again to go on") && ran.err.contains("stopping"),
        "{ran:?}"
    );
    destination.heal();
    let ran = machine.run(&["mirror", &from, &to, "--all-tags"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    destination.check_whole("app");
}
