//! What the other tests build on: the control plane does what a real one does, and leaves nothing behind.

use std::io::Read as _;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::Api;

use crate::harness::{ControlPlane, Process, eventually, processes_naming, signal};

/// For what a controller does within seconds, on a busy machine.
const SOON: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_deleted_namespace_goes_away_with_what_is_in_it() {
    let cluster = ControlPlane::shared().await;
    let namespace = cluster.namespace("deleted").await;
    cluster
        .kubectl(&["create", "configmap", "content", "-n", &namespace])
        .await
        .ok();
    cluster
        .kubectl(&["delete", "namespace", &namespace, "--wait=false"])
        .await
        .ok();

    let namespaces: Api<Namespace> = Api::all(cluster.client().await);
    eventually(SOON, "the namespace is gone", || async {
        match namespaces.get_opt(&namespace).await.unwrap() {
            None => Ok(()),
            Some(found) => Err(format!("{:?}", found.status)),
        }
    })
    .await;
}

#[tokio::test]
async fn roles_are_aggregated_to_view() {
    let cluster = ControlPlane::shared().await;
    let name = cluster.new_name("aggregated");
    cluster
        .apply(&format!(
            "apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: {name}, labels: {{rbac.authorization.k8s.io/aggregate-to-view: \"true\"}}}}
rules: [{{apiGroups: [{name}.example.com], resources: [things], verbs: [get]}}]"
        ))
        .await;

    let roles: Api<ClusterRole> = Api::all(cluster.client().await);
    let group = format!("{name}.example.com");
    eventually(SOON, "view has the rule", || async {
        let rules = roles.get("view").await.unwrap().rules.unwrap_or_default();
        let found = rules.iter().any(|rule| {
            rule.api_groups
                .as_deref()
                .is_some_and(|groups| groups.contains(&group))
        });
        found
            .then_some(())
            .ok_or_else(|| format!("{} other rules", rules.len()))
    })
    .await;
}

#[tokio::test]
async fn requests_and_their_answers_are_on_record() {
    let cluster = ControlPlane::shared().await;
    let user = cluster.new_name("curious");
    let refused = cluster
        .kubectl(&["get", "secrets", "-n", "default", "--as", &user])
        .await;
    assert!(!refused.success);
    assert!(refused.stderr.contains("Forbidden"), "{}", refused.stderr);

    let request = eventually(SOON, "the request is recorded", || async {
        let requests = cluster.requests_of(&user);
        requests
            .into_iter()
            .find(|r| r["objectRef"]["resource"] == "secrets")
            .ok_or("not yet")
    })
    .await;
    assert_eq!(request["verb"], "list");
    assert_eq!(request["responseStatus"]["code"], 403);
}

#[tokio::test]
async fn an_apiservice_reaches_a_server_on_loopback() {
    // One of its own: an APIService that does not answer holds up every deletion of a namespace.
    let cluster = ControlPlane::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    cluster
        .apply(&format!(
            "apiVersion: v1
kind: Namespace
metadata: {{name: loopback}}
---
apiVersion: v1
kind: Service
metadata: {{name: server, namespace: loopback}}
spec: {{type: ExternalName, externalName: localhost, ports: [{{port: {port}}}]}}
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {{name: v1.loopback.example.com}}
spec:
  group: loopback.example.com
  version: v1
  groupPriorityMinimum: 1000
  versionPriority: 15
  insecureSkipTLSVerify: true
  service: {{namespace: loopback, name: server, port: {port}}}"
        ))
        .await;

    let accepted = tokio::task::spawn_blocking(move || {
        let (mut connection, _) = listener.accept().unwrap();
        let mut first = [0; 1];
        connection.read_exact(&mut first).unwrap();
        first
    });
    let first = tokio::time::timeout(SOON, accepted)
        .await
        .expect("kube-apiserver connects")
        .unwrap();
    assert_eq!(first, [0x16], "a TLS handshake begins");
}

#[tokio::test]
async fn the_registry_lists_what_is_pushed() {
    let registry = &ControlPlane::shared().await.registry;
    let image = registry.push("lists/image", &["1.0.0", "1.1.0"]).await;
    let index = registry.push_index("lists/image", &["2.0.0"]).await;
    assert!(
        [image, index]
            .concat()
            .iter()
            .all(|digest| digest.starts_with("sha256:"))
    );
    assert_eq!(
        registry.tags("lists/image").await,
        ["1.0.0", "1.1.0", "2.0.0"]
    );

    registry.delete("lists/image", &["1.1.0"]).await;
    assert_eq!(registry.tags("lists/image").await, ["1.0.0", "2.0.0"]);
}

#[tokio::test]
async fn a_program_that_ends_before_it_is_ready_is_reported() {
    let cluster = ControlPlane::shared().await;
    let failure = cluster
        .tagscope()
        .args(["--no-such-flag"])
        .start()
        .await
        .unwrap_err();
    assert!(failure.contains("before it was ready"), "{failure}");
}

#[tokio::test]
async fn processes_are_asked_to_end_and_their_output_is_kept() {
    let logs = tempfile::tempdir().unwrap();
    let script = "trap 'echo asked; exit 7' TERM; echo up; while :; do sleep 0.1; done";
    let mut process = Process::spawn("/bin/sh", ["-c", script], &[], logs.path().join("log"));
    eventually(SOON, "it is up", || {
        let log = process.log();
        async move { if log == "up\n" { Ok(()) } else { Err(log) } }
    })
    .await;
    assert_eq!(process.end(), None);
    assert_eq!(process.terminate(SOON).await.code(), Some(7));
    assert_eq!(process.log(), "up\nasked\n");
}

#[tokio::test]
async fn a_killed_launcher_takes_everything_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = ControlPlane::start_in(dir.path()).await;
    assert_eq!(running(dir.path()).len(), 5, "{:#?}", running(dir.path()));
    signal(cluster.launcher_id(), "KILL");
    nothing_runs(dir.path()).await;
}

#[tokio::test]
async fn a_killed_test_process_leaves_nothing_behind() {
    const VICTIM: &str = "TAGSCOPE_E2E_VICTIM";
    if let Ok(dir) = std::env::var(VICTIM) {
        // We are the test process that will be killed.
        let dir = Path::new(&dir);
        let _cluster = ControlPlane::start_in(dir).await;
        let kubeconfig = dir.join("kubeconfig");
        let _child = Process::spawn(
            "tail",
            ["-f", kubeconfig.to_str().unwrap()],
            &[],
            dir.join("tail.log"),
        );
        println!("the victim is up");
        return std::future::pending().await;
    }

    let dir = tempfile::tempdir().unwrap();
    let logs = tempfile::tempdir().unwrap();
    let myself = std::env::current_exe().unwrap();
    let test = "control_plane::a_killed_test_process_leaves_nothing_behind";
    let environment = [(VICTIM, dir.path().to_str().unwrap())];
    let mut victim = Process::spawn(
        myself,
        [test, "--exact", "--nocapture"],
        &environment,
        logs.path().join("log"),
    );
    eventually(SOON * 3, "the victim is up", || {
        let log = victim.log();
        async move {
            if log.contains("the victim is up") {
                Ok(())
            } else {
                Err(log)
            }
        }
    })
    .await;
    assert_eq!(running(dir.path()).len(), 6, "{:#?}", running(dir.path()));

    victim.kill();
    nothing_runs(dir.path()).await;
}

/// The launcher, etcd, kube-apiserver, kube-controller-manager, the registry, and what else names `dir`.
fn running(dir: &Path) -> Vec<String> {
    processes_naming(dir.to_str().unwrap())
}

async fn nothing_runs(dir: &Path) {
    eventually(SOON, "nothing runs any more", || async {
        let running = running(dir);
        if running.is_empty() {
            Ok(())
        } else {
            Err(format!("{running:#?}"))
        }
    })
    .await;
}
