//! `make run`, as somebody who has just cloned this runs it, but for the build.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use crate::harness::{Process, eventually, processes_naming, signal};
use crate::world::SOON;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// Of the sample images that the script pushes.
const TAGS: usize = 52;

#[tokio::test(flavor = "multi_thread")]
async fn make_run_shows_all_sample_tags_and_leaves_nothing_running() {
    let kubectl = built_kubectl().await;
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let run = dir.path().join("run").display().to_string();
    // Fails when somebody has it already, which is as good.
    let held = TcpListener::bind("127.0.0.1:8443");

    // A test run in a shell's background ignores SIGINT, and so would whatever it starts.
    let script = format!("{ROOT}/tests/bin/run");
    let environment = [
        ("TAGSCOPE_BIN", env!("CARGO_BIN_EXE_tagscope")),
        ("TAGSCOPE_RUN_DIR", &run),
    ];
    let args = ["--default-signal=INT", script.as_str()];
    let log = dir.path().join("run.log");
    let mut program = Process::spawn("env", args, &environment, log);
    eventually(
        Duration::from_mins(2),
        "it is ready and follows the log",
        || {
            let end = program
                .end()
                .map(|end| format!("it ended ({end}):\n{}", program.log()));
            let log = program.log();
            async move {
                if let Some(end) = end {
                    return Ok(Err(end));
                }
                let is_there = log.contains("The log of tagscope, until Ctrl-C:");
                is_there.then_some(Ok(())).ok_or(log)
            }
        },
    )
    .await
    .unwrap_or_else(|end| panic!("{end}"));
    let said = program.log();
    assert!(said.contains("Ready. In another terminal:"), "{said}");
    assert!(
        said.contains("Port 8443 is taken: tagscope serves on "),
        "{said}"
    );
    let table: Vec<&str> = said
        .lines()
        .skip_while(|line| !line.starts_with("NAMESPACE "))
        .collect();
    assert!(table.len() > TAGS, "{said}");
    assert!(
        table.iter().any(|line| line.contains(" podinfo:6.6.1 ")),
        "{said}"
    );

    let kubeconfig = said
        .lines()
        .find_map(|line| line.trim().strip_prefix("export KUBECONFIG="));
    let listed = Command::new(kubectl)
        .args(["get", "imagetags", "-A", "--no-headers"])
        .env("KUBECONFIG", kubeconfig.unwrap())
        .env("KUBECACHEDIR", Path::new(&run).join("kubectl-cache"))
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert_eq!(listed.lines().count(), TAGS, "{listed}");
    assert!(
        !processes_naming(&run).is_empty(),
        "they name the directory"
    );

    signal(program.id(), "INT");
    let end = program.ended(SOON).await;
    assert!(end.success(), "Ctrl-C is no failure: {end}");
    assert!(
        program.log().contains("\"Stopped\""),
        "tagscope ended in order"
    );
    eventually(SOON, "nothing is left running", || async {
        let left = processes_naming(&run);
        left.is_empty().then_some(()).ok_or_else(|| left.join("\n"))
    })
    .await;
    drop(held);
}

async fn built_kubectl() -> PathBuf {
    let output = Command::new(format!("{ROOT}/tests/bin/control-plane"))
        .arg("build")
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let facts = String::from_utf8(output.stdout).unwrap();
    let kubectl = facts.lines().find_map(|line| line.strip_prefix("KUBECTL="));
    PathBuf::from(kubectl.unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&output.stderr))))
}
