//! The rights that `deploy/` grants are exactly enough: the program runs with its own ServiceAccount's and is never refused.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::harness::{ControlPlane, eventually};
use crate::world::SOON;

const USER: &str = "system:serviceaccount:tagscope-system:tagscope";

#[tokio::test(flavor = "multi_thread")]
async fn its_own_rights_are_enough() {
    let cluster = ControlPlane::start().await;
    cluster.apply(&cluster.kustomize("deploy").await).await;
    cluster
        .apply(&cluster.kustomize("apiservice/local").await)
        .await;
    let kubeconfig = kubeconfig_of_service_account(&cluster, "tagscope-system", "tagscope").await;
    let mut program = cluster
        .tagscope()
        .kubeconfig(kubeconfig)
        .start()
        .await
        .unwrap_or_else(|log| panic!("it did not start:\n{log}"));
    cluster.install(&program).await;
    let ns = &cluster.namespace("rights").await;
    cluster.registry.push("rights/app", &["1.0.0"]).await;
    let image = cluster.registry.image("rights/app");
    cluster
        .apply(&format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: pull, namespace: {ns}}}\ntype: kubernetes.io/dockerconfigjson\n\
             stringData: {{.dockerconfigjson: '{{\"auths\":{{}}}}'}}\n---\n\
             apiVersion: image.toolkit.fluxcd.io/v1\nkind: ImageRepository\nmetadata: {{name: app, namespace: {ns}}}\n\
             spec: {{image: \"{image}\", interval: 1h, secretRef: {{name: pull}}}}\n---\n\
             apiVersion: image.toolkit.fluxcd.io/v1\nkind: ImagePolicy\nmetadata: {{name: app, namespace: {ns}}}\n\
             spec: {{imageRepositoryRef: {{name: app}}, policy: {{semver: {{range: '*'}}}}}}\n"
        ))
        .await;
    cluster
        .kubectl(&[
            "wait",
            "--for=condition=Ready",
            "imagepolicy/app",
            "-n",
            ns,
            "--timeout=30s",
        ])
        .await
        .ok();
    eventually(
        SOON,
        "kubectl reads tags through the API server",
        || async {
            cluster
                .kubectl(&["get", "imagetags", "-n", ns])
                .await
                .probe()
        },
    )
    .await;
    eventually(SOON, "its events are there", || async {
        let events = cluster
            .kubectl(&["get", "events", "-n", ns])
            .await
            .probe()?;
        if events.contains("successful scan") {
            Ok(())
        } else {
            Err(events)
        }
    })
    .await;
    assert!(program.terminate().await.success(), "{}", program.log());

    let requests = cluster.requests_of(USER);
    assert!(!requests.is_empty(), "the audit log knows {USER}");
    let refused: Vec<String> = requests
        .iter()
        .filter(|event| event["responseStatus"]["code"] == 403)
        .map(|event| format!("{} {}", event["verb"], event["requestURI"]))
        .collect();
    assert!(refused.is_empty(), "refused: {refused:#?}");
}

/// A kubeconfig like the administrator's, but with the ServiceAccount's token in place of a certificate.
async fn kubeconfig_of_service_account(
    cluster: &ControlPlane,
    namespace: &str,
    name: &str,
) -> PathBuf {
    let token = cluster
        .kubectl(&["create", "token", name, "-n", namespace, "--duration=1h"])
        .await
        .ok();
    let admin = cluster
        .kubectl(&[
            "config",
            "view",
            "--raw",
            "--flatten",
            "--minify",
            "-o",
            "json",
        ])
        .await
        .ok();
    let mut kubeconfig: Value = serde_json::from_str(&admin).unwrap();
    kubeconfig["users"][0]["user"] = json!({"token": token.trim()});
    let file = cluster.new_log("kubeconfig").with_extension("json");
    std::fs::write(&file, kubeconfig.to_string()).unwrap();
    file
}
