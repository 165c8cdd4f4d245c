//! The component that puts tagscope into an installation of Flux: what it changes of Flux's own manifests, and that the
//! program then has all its rights.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::{CONTROLLER, HOME, Tools, USER, flux, ground, its_kubeconfig};
use crate::harness::{ControlPlane, eventually};
use crate::world::SOON;

const COMPONENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/components/in-flux");

/// An installation as `flux bootstrap` writes it, of the manifests that Flux is released with; and one with the
/// component. Only the addresses from which a release fetches its parts are replaced by the parts.
pub(super) async fn installations(cluster: &ControlPlane) -> [PathBuf; 2] {
    let tools = Tools::get().await;
    let dir = cluster.logs.with_file_name("installation");
    let (controller, plain) = (dir.join("controller"), dir.join("plain"));
    for part in ["crd", "manager"] {
        copy(&tools.config.join(part), &controller.join(part));
    }
    for part in ["rbac", "policies"] {
        copy(&tools.manifests.join(part), &plain.join(part));
    }
    let base = tools.manifests.join("bases").join(CONTROLLER);
    for part in ["account.yaml", "labels.yaml", "patch.yaml"] {
        fs::copy(base.join(part), controller.join(part)).unwrap();
    }
    let install = tools.manifests.join("install");
    for part in ["labels.yaml", "namespace.yaml"] {
        fs::copy(install.join(part), plain.join(part)).unwrap();
    }
    kustomization(
        &controller,
        &json!({
            "resources": ["crd", "manager", "account.yaml"],
            "transformers": ["labels.yaml"],
            "patches": [{"target": {"kind": "Deployment", "name": CONTROLLER}, "path": "patch.yaml"}],
        }),
    );
    kustomization(
        &plain,
        &json!({
            "namespace": HOME,
            "resources": ["namespace.yaml", "../controller", "rbac", "policies"],
            "transformers": ["labels.yaml"],
        }),
    );
    let changed = dir.join("changed");
    fs::create_dir_all(&changed).unwrap();
    // A component is named by a relative path.
    let depth = changed.canonicalize().unwrap().components().count() - 1;
    let up = "../".repeat(depth);
    kustomization(
        &changed,
        &json!({
            "resources": ["../plain"],
            "components": [format!("{up}{}", &COMPONENT[1..])],
            "patches": [keep_definitions()],
        }),
    );
    [plain, changed]
}

/// The patch of docs/flux.md with which Flux leaves definitions that are there alone.
fn keep_definitions() -> Value {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/flux.md");
    let page = fs::read_to_string(page).unwrap();
    let (_, rest) = page.split_once("```yaml\npatches:\n").unwrap();
    let (patches, _) = rest.split_once("```").unwrap();
    let mut patches: Vec<Value> = serde_saphyr::from_str(patches).unwrap();
    patches.remove(0)
}

fn kustomization(dir: &Path, what: &Value) {
    fs::write(dir.join("kustomization.yaml"), what.to_string()).unwrap();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    let from = from.join(".");
    let copied = Command::new("cp").arg("-r").arg(from).arg(to).status();
    assert!(copied.unwrap().success());
}

pub(super) async fn build(cluster: &ControlPlane, dir: &Path) -> String {
    let build = ["kustomize", dir.to_str().unwrap()];
    cluster.kubectl(&build).await.ok()
}

/// The objects of a stream, as kubectl understands them.
pub(super) async fn objects(cluster: &ControlPlane, stream: &str) -> Vec<Value> {
    let read = [
        "create",
        "--dry-run=client",
        "--validate=false",
        "-o",
        "json",
        "-f",
        "-",
    ];
    let read = cluster.kubectl_with_input(&read, stream).await.ok();
    let read = serde_json::Deserializer::from_str(&read).into_iter();
    read.map(Result::unwrap).collect()
}

pub(super) fn deployment(objects: &[Value]) -> &Value {
    let mut found = objects.iter().filter(|one| one["kind"] == "Deployment");
    let deployment = found.next().expect("a Deployment");
    assert!(found.next().is_none(), "only one");
    deployment
}

#[tokio::test(flavor = "multi_thread")]
async fn the_component_puts_tagscope_into_flux_s_deployment() {
    let cluster = &ground().await;
    let [plain, changed] = installations(cluster).await;
    let (plain, stream) = (build(cluster, &plain).await, build(cluster, &changed).await);
    let (plain, changed) = (
        objects(cluster, &plain).await,
        objects(cluster, &stream).await,
    );
    let (before, after) = (deployment(&plain), deployment(&changed));
    says_what_is_ours(before, after);

    // Nothing of Flux's is left out or renamed, and nothing but its Deployment is changed, and what was asked for.
    let kept = "kustomize.toolkit.fluxcd.io/reconcile";
    for object in plain.iter().filter(|object| object["kind"] != "Deployment") {
        let mut object = object.clone();
        if object["kind"] == "CustomResourceDefinition" {
            object["metadata"]["annotations"][kept] = json!("disabled");
        }
        assert!(changed.contains(&object), "{object}");
    }
    cluster.apply(&stream).await;
    let version = flux(cluster, &["version"]).await.ok();
    assert!(version.contains("tagscope: v"), "{version}");

    let program = cluster
        .tagscope()
        .kubeconfig(its_kubeconfig(cluster).await)
        .env("RUNTIME_NAMESPACE", HOME)
        .start()
        .await;
    let mut program = program.unwrap_or_else(|log| panic!("it did not start:\n{log}"));
    eventually(SOON, "the aggregated part is on", || async {
        let metrics = program.scrape().await;
        let is_on = metrics.contains("\ntagscope_apiserver_on 1\n");
        is_on.then_some(()).ok_or_else(|| program.log())
    })
    .await;
    eventually(SOON, "the certificate authority is published", || async {
        let service = [
            "get",
            "apiservice",
            "v1alpha1.tags.tagscope.dev",
            "-o",
            "json",
        ];
        let service: Value = serde_json::from_str(&cluster.kubectl(&service).await.ok()).unwrap();
        let bundle = &service["spec"]["caBundle"];
        bundle.as_str().map(drop).ok_or_else(|| service.to_string())
    })
    .await;
    assert!(program.terminate().await.success(), "{}", program.log());
    let refused: Vec<String> = cluster
        .requests_of(USER)
        .iter()
        .filter(|event| event["responseStatus"]["code"] == 403)
        .map(|event| format!("{} {}", event["verb"], event["requestURI"]))
        .collect();
    assert!(refused.is_empty(), "refused: {refused:#?}");
}

/// What is asked of the pod: our image, our port, one at a time; the rest stays Flux's.
fn says_what_is_ours(before: &Value, after: &Value) {
    let (was, is) = (&before["spec"]["template"], &after["spec"]["template"]);
    assert_eq!(after["spec"]["replicas"], 1);
    assert_eq!(after["spec"]["strategy"], json!({"type": "Recreate"}));
    assert_eq!(after["spec"]["selector"], before["spec"]["selector"]);
    let containers = is["spec"]["containers"].as_array().unwrap();
    let [manager] = &containers[..] else {
        panic!("{containers:?}")
    };
    let theirs = &was["spec"]["containers"][0];
    assert_eq!(manager["name"], "manager");
    let image = manager["image"].as_str().unwrap();
    let (name, tag) = image
        .split_once(':')
        .expect("name:tag, or `flux version` fails");
    assert!(name == "tagscope" && tag.starts_with('v'), "{image}");
    for field in [
        "env",
        "volumeMounts",
        "securityContext",
        "readinessProbe",
        "livenessProbe",
    ] {
        assert_eq!(manager[field], theirs[field], "{field}");
    }
    let args = |of: &Value| -> Vec<Value> { of["args"].as_array().unwrap().clone() };
    assert!(
        args(manager).starts_with(&args(theirs)),
        "{:?}",
        args(manager)
    );
    let ports = manager["ports"].as_array().unwrap();
    let port = |name: &str| {
        ports
            .iter()
            .find(|port| port["name"] == name)
            .map(|port| &port["containerPort"])
    };
    assert_eq!(port("http-prom"), Some(&json!(8080)));
    assert_eq!(port("healthz"), Some(&json!(9440)));
    assert_eq!(port("https"), Some(&json!(8443)));
    assert_eq!(is["spec"]["serviceAccountName"], CONTROLLER);
    for (key, value) in before["metadata"]["labels"].as_object().unwrap() {
        assert_eq!(after["metadata"]["labels"][key], *value, "{key}");
    }
    assert_eq!(
        is["metadata"]["labels"]["app.kubernetes.io/name"],
        "tagscope"
    );
    assert_eq!(is["metadata"]["labels"]["app"], CONTROLLER);
}
