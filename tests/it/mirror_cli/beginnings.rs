//! What keeps a run from beginning: the state, the credentials, a signal; what programs read of it, and what is left behind.

use std::fs::File;

use serde_json::json;
use tokio::process::Command;

use super::{Machine, Ran, registries};
use crate::serve_kit::eventually;

#[tokio::test]
async fn programs_read_why_it_did_not_begin() {
    let (source, destination) = registries().await;
    let machine = Machine::new();
    let config = json!({"credHelpers": {source.plain_host(): "vault"}});
    machine.write(".docker/config.json", &config.to_string());
    let (from, to) = (source.image("team/app:1.0.0"), destination.image("app"));
    let ran = machine.run(&["mirror", &from, &to, "-o", "json"]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let said = ran.json();
    assert_eq!(
        (&said["verdict"], &said["tags"]),
        (&json!("failed"), &json!([]))
    );
    let problem = said["problems"][0].as_str().unwrap();
    assert!(
        problem.contains("docker-credential-vault") && ran.err.contains(problem),
        "{ran:?}"
    );
    // What makes no sense is for people.
    let ran = machine
        .run(&["mirror", &from, &to, "--all-tags", "-o", "json"])
        .await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(64), ""), "{ran:?}");
}

#[tokio::test]
async fn a_state_that_cannot_be_there_is_a_mistake_and_nobody_is_asked() {
    let (source, destination) = registries().await;
    let machine = Machine::new();
    let file = machine.write("file", "");
    let below = format!("{file}/below");
    let (from, to) = (source.image("team/app:1.0.0"), destination.image("app"));
    for (state, expected) in [
        (&file, "is no directory"),
        (&below, "failed to make the state directory"),
    ] {
        for output in ["text", "json"] {
            let args = ["mirror", &from, &to, "--state", state, "-o", output];
            let ran = machine.run(&args).await;
            assert_eq!((ran.code, ran.out.as_str()), (Some(64), ""), "{ran:?}");
            assert!(
                ran.err.starts_with("tagscope: --state: ") && ran.err.contains(expected),
                "{ran:?}"
            );
        }
    }
    assert!(source.requests().is_empty() && destination.requests().is_empty());
}

#[tokio::test]
async fn a_dry_run_leaves_a_state_as_it_is() {
    let (source, destination) = registries().await;
    let machine = Machine::new();
    let (from, to) = (source.image("team/app:1.0.0"), destination.image("app"));
    let ran = machine.run(&["mirror", &from, &to, "--dry-run"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(!machine.path(".local").exists(), "not even the directory");
    machine.write(".local/state/tagscope/mirror.known", "nonsense");
    let ran = machine
        .run(&["mirror", &from, &to, "--dry-run", "-q"])
        .await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.err.contains("mirror.known is not used: "), "{ran:?}");
    let names = std::fs::read_dir(machine.path(".local/state/tagscope")).unwrap();
    assert_eq!(names.count(), 1);
}

#[tokio::test]
async fn who_waits_for_a_lock_can_be_told_to_stop() {
    let (source, destination) = registries().await;
    let machine = Machine::new();
    // What makes no sense is set aside under the lock, which somebody holds.
    machine.write(".local/state/tagscope/mirror.known", "nonsense");
    let lock = machine.write(".local/state/tagscope/mirror.lock", "");
    let held = File::options().write(true).open(&lock).unwrap();
    held.lock().unwrap();
    let (from, to) = (source.image("team/app:1.0.0"), destination.image("app"));
    let child = machine
        .command(&["mirror", &from, &to, "-o", "json"])
        .spawn()
        .unwrap();
    let id = child.id().unwrap();
    eventually("it has opened the lock", || {
        let mut open = std::fs::read_dir(format!("/proc/{id}/fd")).unwrap();
        open.any(|it| {
            let target = it.and_then(|it| std::fs::read_link(it.path()));
            target.is_ok_and(|target| target.ends_with("mirror.lock"))
        })
    })
    .await;
    let killed = Command::new("kill")
        .args(["-INT", &id.to_string()])
        .status()
        .await;
    assert!(killed.unwrap().success());
    let ran = Ran::from(child.wait_with_output().await.unwrap());
    assert_eq!(ran.code, Some(130), "{ran:?}");
    assert_eq!(ran.json()["verdict"], "interrupted", "{ran:?}");
    assert!(source.requests().is_empty());
    // And when nobody holds it, what made no sense is kept aside.
    drop(held);
    let ran = machine.run(&["mirror", &from, &to, "-q"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.err.contains("it is kept as "), "{ran:?}");
    let kept = std::fs::read(machine.path(".local/state/tagscope/mirror.known.bad"));
    assert_eq!(kept.unwrap(), b"nonsense");
}
