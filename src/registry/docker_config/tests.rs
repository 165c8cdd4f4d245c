//! Helpers as programs of a test's own: what they say, how long they take, and how they fail.

use std::ffi::OsString;
use std::time::Duration;

use super::*;
use crate::secret::ExposeSecret as _;

/// A directory with one program.
struct Bin(tempfile::TempDir);

impl Bin {
    fn with(name: &str, script: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(format!("docker-credential-{name}"));
        let text = directory.path().join("text");
        std::fs::write(&text, format!("#!/bin/sh\n{script}\n")).unwrap();
        // By another process: what this one has open for writing, a child of another test may hold open, and it cannot
        // be run then.
        let made = std::process::Command::new("install")
            .args(["-m", "755"])
            .args([&text, &file])
            .status();
        assert!(made.unwrap().success());
        Self(directory)
    }

    fn path(&self) -> OsString {
        self.0.path().as_os_str().to_owned()
    }
}

fn question(helper: &str) -> Question {
    Question {
        helper: helper.to_owned(),
        named_in: "credsStore",
        server: "r.example:5000".to_owned(),
    }
}

async fn ask(script: &str, limit: Duration) -> Result<Option<Credential>, String> {
    let bin = Bin::with("test", script);
    helper::ask_within(&question("test"), &bin.path(), limit)
        .await
        .map_err(|error| error.to_string())
}

const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_helper_is_asked_for_the_server() {
    let script = r#"read server; echo "{\"Username\":\"$1\",\"Secret\":\"$server\"}""#;
    match ask(script, LONG).await {
        Ok(Some(Credential::Basic { username, password })) => {
            assert_eq!(
                (username.as_str(), password.expose_secret()),
                ("get", "r.example:5000")
            );
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_a_helper_does_not_have_is_nothing() {
    for script in [
        "cat > /dev/null; echo 'credentials not found in native keychain'; exit 1",
        // One that never reads what it is asked.
        r#"echo '{"Username":"","Secret":""}'"#,
    ] {
        assert!(matches!(ask(script, LONG).await, Ok(None)), "{script}");
    }
}

#[tokio::test]
async fn each_way_to_fail_has_its_words() {
    let begin = "credential helper docker-credential-test (credsStore) for r.example:5000: ";
    for (script, expected) in [
        (
            "echo 'the vault is sealed'; exit 3",
            "it failed (exit status: 3): the vault is sealed",
        ),
        (
            "echo 'no display' >&2; exit 1",
            "it failed (exit status: 1): no display",
        ),
        ("exit 1", "it failed (exit status: 1), and said nothing"),
        (
            "echo hunter2",
            "its answer is unusable: it is not JSON at line 1 column 1",
        ),
        (
            "head -c 70000 /dev/zero | tr '\\0' x",
            "it says more than 65536 bytes",
        ),
    ] {
        assert_eq!(
            ask(script, LONG).await.unwrap_err(),
            format!("{begin}{expected}")
        );
    }
    let stuck = ask("exec tail -f /dev/null", Duration::from_millis(50)).await;
    assert_eq!(
        stuck.unwrap_err(),
        format!("{begin}it gave no answer within 0.05 seconds")
    );
    let absent = helper::ask_within(&question("test"), "/nowhere:relative:".as_ref(), LONG).await;
    assert_eq!(
        absent.unwrap_err().to_string(),
        format!("{begin}it is not on PATH")
    );
}

#[tokio::test]
async fn a_helper_s_credential_goes_before_the_file_s() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.json");
    let config = serde_json::json!({
        "auths": {"r.example": {"username": "file", "password": "p"}, "q.example": {"username": "q", "password": "p"}},
        "credHelpers": {"r.example": "never-asked"},
    });
    std::fs::write(&file, config.to_string()).unwrap();
    let read = DockerConfig::read(file).unwrap();
    let r = "r.example/app".parse().unwrap();
    let known = read.helpers.question(&r).unwrap().unwrap();
    let answer = Credential::Basic {
        username: "helper".into(),
        password: "p".into(),
    };
    read.answers.lock().await.insert(known, Some(answer));
    let names = async |repository: &Repository| -> Vec<String> {
        let found = read.credentials(repository).await.unwrap();
        let name = |credential| match credential {
            Credential::Basic { username, .. } => username,
            other => panic!("{other:?}"),
        };
        found.into_iter().map(name).collect()
    };
    assert_eq!(names(&r).await, ["helper", "file"]);
    assert_eq!(names(&"q.example/app".parse().unwrap()).await, ["q"]);
    assert!(names(&"alpine".parse().unwrap()).await.is_empty());
}

#[tokio::test]
async fn a_missing_file_is_no_credentials_and_a_broken_one_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let absent = DockerConfig::read(directory.path().join("config.json")).unwrap();
    assert!(
        absent
            .credentials(&"alpine".parse().unwrap())
            .await
            .unwrap()
            .is_empty()
    );
    let file = directory.path().join("broken.json");
    std::fs::write(&file, "{").unwrap();
    let failure = DockerConfig::read(file.clone()).unwrap_err();
    assert_eq!(
        format!("{:#}", anyhow::Error::from(failure)),
        format!(
            "failed to use {}: \"config.json\" is not a Docker configuration: the JSON ends too early at line 1 column 1",
            file.display()
        )
    );
    // Without credentials it is a configuration all the same.
    std::fs::write(&file, r#"{"detachKeys": "ctrl-e"}"#).unwrap();
    assert!(DockerConfig::read(file).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_program_that_goes_on_reads_it_again_and_a_helper_goes_first_for_its_registry() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.json");
    let write = |name: &str| {
        let config = serde_json::json!({
            "auths": {"r.example": {"username": name, "password": "p"}, "index.docker.io": {"username": name, "password": "p"}},
        });
        std::fs::write(&file, config.to_string()).unwrap();
    };
    write("one");
    let renewed = Renewed::at(file.clone());
    let name = async || {
        let repository = "r.example/team/app".parse().unwrap();
        let keychain = renewed.keychain(&repository).await.unwrap();
        match keychain.lookup(&repository) {
            Some(Credential::Basic { username, .. }) => username,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(name().await, "one");
    write("two");
    assert_eq!(name().await, "one");
    tokio::time::advance(BELIEVED).await;
    assert_eq!(name().await, "two");
    std::fs::write(&file, "{").unwrap();
    tokio::time::advance(BELIEVED).await;
    assert!(
        renewed
            .keychain(&"r.example/team/app".parse().unwrap())
            .await
            .is_err()
    );

    let answer = || Credential::Basic {
        username: "helper".into(),
        password: "p".into(),
    };
    write("three");
    for (repository, others) in [
        ("r.example/team/app", "q.example/app"),
        ("alpine", "r.example/team/app"),
    ] {
        let repository: Repository = repository.parse().unwrap();
        let keychain = DockerConfig::read(file.clone()).unwrap().keychain;
        let keychain = keychain.with_first(repository.registry(), answer());
        let found: Vec<_> = keychain.lookup_all(&repository).collect();
        let first = matches!(found[0], Credential::Basic { username, .. } if username == "helper");
        assert!(first && found.len() == 2, "{repository}");
        let others = keychain.lookup(&others.parse().unwrap());
        assert!(
            !matches!(others, Some(Credential::Basic { username, .. }) if username == "helper")
        );
    }
}

#[test]
fn a_directory_that_is_set_to_nothing_is_not_set() {
    for (given, home, expected) in [
        (Some("/etc/d"), Some("/home/me"), Some("/etc/d")),
        (Some(""), Some("/home/me"), Some("/home/me/.docker")),
        (None, Some("/home/me"), Some("/home/me/.docker")),
        (Some(""), Some(""), None),
        (Some(""), None, None),
        (None, None, None),
    ] {
        let found = directory(given.map(OsString::from), home.map(OsString::from));
        assert_eq!(found, expected.map(PathBuf::from), "{given:?} {home:?}");
    }
}
