//! Whatever users get wrong: one precise answer, and the program lives on.

use std::process::Command;

use crate::harness::{ControlPlane, eventually};
use crate::world::{SOON, World};

#[tokio::test(flavor = "multi_thread")]
async fn wrong_objects_say_what_is_wrong() {
    let world = World::shared().await;
    let cluster = &world.cluster;
    let ns = &cluster.namespace("wrong").await;
    cluster.registry.push("wrong/app", &["1.0.0"]).await;
    let good = cluster.registry.image("wrong/app");
    let absent = cluster.registry.image("wrong/absent");
    let repositories = [
        (
            "tag",
            format!("{good}:1.0.0"),
            "ImageURLInvalid",
            format!("image '{good}:1.0.0' should not include a tag; remove ':1.0.0'"),
        ),
        (
            "scheme",
            format!("https://{good}"),
            "ImageURLInvalid",
            format!("image 'https://{good}' should not include URL scheme; remove 'https://'"),
        ),
        (
            "absent",
            absent,
            "ReadOperationFailed",
            "scan failed: ".to_owned(),
        ),
        (
            "nobody",
            "127.0.0.1:1/app".to_owned(),
            "ReadOperationFailed",
            "scan failed: ".to_owned(),
        ),
    ];
    for (name, image, _, _) in &repositories {
        cluster
            .apply(&format!(
                "{{apiVersion: image.toolkit.fluxcd.io/v1, kind: ImageRepository, metadata: {{name: {name}, namespace: {ns}}}, \
                 spec: {{image: \"{image}\", interval: 1h}}}}"
            ))
            .await;
    }
    for (name, _, reason, message) in &repositories {
        eventually(SOON, &format!("{name} says {reason}"), || async {
            let object = world.get(&["imagerepository", name, "-n", ns]).await;
            let ready = object["status"]["conditions"]
                .as_array()
                .and_then(|all| all.iter().find(|c| c["type"] == "Ready"))
                .cloned()
                .unwrap_or_default();
            let said = ready["message"].as_str().unwrap_or_default();
            if ready["reason"] == *reason && said.starts_with(message.as_str()) {
                Ok(())
            } else {
                Err(ready.to_string())
            }
        })
        .await;
    }

    world.scan(ns, "app", "wrong/app").await;
    world
        .create_policy(ns, "range", "app", "1.2.3 || foo")
        .await;
    eventually(SOON, "the policy says which segment is wrong", || async {
        let object = world.get(&["imagepolicy", "range", "-n", ns]).await;
        let text = object["status"]["conditions"].to_string();
        if text.contains("invalid policy: improper constraint: \\\" foo\\\"") {
            Ok(())
        } else {
            Err(text)
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_good_tags_stay_when_the_secret_is_gone() {
    let world = World::shared().await;
    let cluster = &world.cluster;
    let ns = &cluster.namespace("good").await;
    cluster.registry.push("good/app", &["1.0.0"]).await;
    world.scan(ns, "app", "good/app").await;
    cluster
        .kubectl(&[
            "patch",
            "imagerepository",
            "app",
            "-n",
            ns,
            "--type=merge",
            "-p",
            "{\"spec\":{\"secretRef\":{\"name\":\"absent\"}}}",
        ])
        .await
        .ok();
    cluster
        .kubectl(&[
            "wait",
            "--for=condition=Ready=false",
            "imagerepository/app",
            "-n",
            ns,
            "--timeout=30s",
        ])
        .await
        .ok();
    cluster
        .kubectl(&["get", "imagetag", "app:1.0.0", "-n", ns])
        .await
        .ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_crds_it_says_how_to_install_them_and_waits() {
    let cluster = ControlPlane::start().await;
    // Not ready without them, so its start is not waited for here.
    let kubeconfig = cluster.kubeconfig.display().to_string();
    let log = cluster.new_log("tagscope-waiting");
    let storage = log.with_extension("store");
    let program = crate::harness::Process::spawn(
        env!("CARGO_BIN_EXE_tagscope"),
        [
            "run",
            "--bind-address=127.0.0.1",
            "--secure-port=0",
            "--metrics-addr=127.0.0.1:0",
            "--health-addr=127.0.0.1:0",
            &format!("--storage-path={}", storage.display()),
        ],
        &[("KUBECONFIG", kubeconfig.as_str())],
        log,
    );
    eventually(SOON, "it names the command", || async {
        program
            .log()
            .contains("tagscope crds")
            .then_some(())
            .ok_or_else(|| program.log())
    })
    .await;
    cluster.apply(&cluster.definitions().await).await;
    eventually(SOON, "it goes on by itself", || async {
        let log = program.log();
        log.contains("\"Ready\"").then_some(()).ok_or(log)
    })
    .await;
}

/// Runs the program to its end, and returns its exit code and what it said.
fn run(args: &[&str], kubeconfig: &str) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_tagscope"))
        .args(args)
        .env("KUBECONFIG", kubeconfig)
        .output()
        .unwrap();
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[test]
fn a_start_that_cannot_be_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let storage = format!("--storage-path={}", dir.path().display());
    let quiet = [
        "--metrics-addr=127.0.0.1:0",
        "--health-addr=127.0.0.1:0",
        "--bind-address=127.0.0.1",
        &storage,
    ];

    let (code, said) = run(&["run", "--secure-port=x", "--log-level=loud"], "/nowhere");
    assert_eq!(code, Some(64), "{said}");
    assert!(
        said.contains("--secure-port \"x\"") && said.contains("--log-level \"loud\""),
        "{said}"
    );

    let (code, said) = run(&["run", "--colour"], "/nowhere");
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("--colour"), "{said}");

    let (code, said) = run(
        &[&["run", "--secure-port=0"], &quiet[..]].concat(),
        "/nowhere/kubeconfig",
    );
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("/nowhere/kubeconfig"), "{said}");

    let garbage = dir.path().join("kubeconfig");
    std::fs::write(&garbage, "clusters: 3").unwrap();
    let (code, said) = run(
        &[&["run", "--secure-port=0"], &quiet[..]].concat(),
        garbage.to_str().unwrap(),
    );
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(garbage.to_str().unwrap()), "{said}");

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = format!("--secure-port={}", taken.local_addr().unwrap().port());
    let (code, said) = run(
        &[&["run", &port], &quiet[..]].concat(),
        "/nowhere/kubeconfig",
    );
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("already taken by another program"), "{said}");
}
