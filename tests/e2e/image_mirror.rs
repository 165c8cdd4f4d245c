//! ImageMirrors on a real control plane: from a push at one registry to an election of what is at another, and what becomes
//! of it when something breaks. What is at a destination is read by a library that is not ours.

mod companion;
mod faults;
mod follows;
mod kills;
mod leaders;
mod many;
mod prune;
mod quiet;
mod road;
mod starving;

use serde_json::{Value, json};

use crate::harness::{ControlPlane, eventually};
use crate::world::SOON;

const GROUP: &str = "mirror.tagscope.dev";

/// An ImageRepository, scanned when it is asked for.
fn repository(ns: &str, name: &str, image: &str) -> Value {
    json!({
        "apiVersion": "image.toolkit.fluxcd.io/v1", "kind": "ImageRepository",
        "metadata": { "name": name, "namespace": ns },
        "spec": { "image": image, "interval": "1h" },
    })
}

/// An ImagePolicy of a semver range, that waits for a mirror if one is given.
fn policy(ns: &str, name: &str, range: &str, mirror: Option<&str>) -> Value {
    let mut object = json!({
        "apiVersion": "image.toolkit.fluxcd.io/v1", "kind": "ImagePolicy",
        "metadata": { "name": name, "namespace": ns },
        "spec": { "imageRepositoryRef": { "name": name }, "policy": { "semver": { "range": range } } },
    });
    if let Some(mirror) = mirror {
        let name = tagscope::api::names::REQUIRE_MIRRORED;
        object["metadata"]["annotations"] = json!({ name: mirror });
    }
    object
}

/// An ImageMirror of the ImageRepository `source` to `registry`, and what its spec says besides.
fn mirror(ns: &str, name: &str, source: &str, registry: &str, rest: Value) -> Value {
    let mut spec = json!({
        "sourceRef": { "name": source },
        "destinations": [{ "name": "there", "registry": registry, "repositoryTemplate": "{path}" }],
    });
    let Value::Object(rest) = rest else {
        panic!("{rest}")
    };
    for (field, value) in rest {
        spec[field] = value;
    }
    json!({
        "apiVersion": format!("{GROUP}/v1alpha1"), "kind": "ImageMirror",
        "metadata": { "name": name, "namespace": ns }, "spec": spec,
    })
}

/// A Secret of credentials for one registry.
fn secret(ns: &str, name: &str, registry: &str, user: &str, password: &str) -> Value {
    let config = json!({ "auths": { registry: { "username": user, "password": password } } });
    json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name, "namespace": ns },
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": { ".dockerconfigjson": config.to_string() },
    })
}

async fn apply(cluster: &ControlPlane, objects: &[Value]) {
    let objects: Vec<String> = objects.iter().map(Value::to_string).collect();
    cluster.apply(&objects.join("\n---\n")).await;
}

/// What kubectl prints of one object, or of a list.
async fn get(cluster: &ControlPlane, ns: &str, what: &[&str]) -> Result<Value, String> {
    let args = [&["get"], what, &["-n", ns, "-o", "json"]].concat();
    let said = cluster.kubectl(&args).await.probe()?;
    serde_json::from_str(&said).map_err(|error| error.to_string())
}

/// Asks for a look now, as `flux reconcile` does.
async fn request(cluster: &ControlPlane, ns: &str, object: &str) -> String {
    let token = cluster.new_name("requested");
    let request = format!("reconcile.fluxcd.io/requestedAt={token}");
    let args = ["annotate", "--overwrite", "-n", ns, object, &request];
    cluster.kubectl(&args).await.ok();
    token
}

/// The condition Ready of an object: its status, reason and message.
fn ready(object: &Value) -> (String, String, String) {
    let conditions = object["status"]["conditions"].as_array();
    let found = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition["type"] == "Ready");
    let word = |name: &str| {
        let found = found.and_then(|condition| condition[name].as_str());
        found.unwrap_or_default().to_owned()
    };
    (word("status"), word("reason"), word("message"))
}

/// Waits until a mirror says this of its tags (`3/3`), and is Ready if that is all of them.
async fn says(cluster: &ControlPlane, ns: &str, name: &str, summary: &str) -> Value {
    let is_all = summary
        .split_once('/')
        .is_some_and(|(some, all)| some == all);
    eventually(SOON * 3, &format!("{name} says {summary}"), || async {
        let object = get(cluster, ns, &["imagemirror", name]).await?;
        // Not of what the spec was before.
        let is_now = object["status"]["observedGeneration"] == object["metadata"]["generation"];
        let is_it = is_now && object["status"]["tags"]["summary"] == summary;
        if is_it && (!is_all || ready(&object).0 == "True") {
            Ok(object)
        } else {
            Err(object["status"].to_string())
        }
    })
    .await
}

async fn elects(cluster: &ControlPlane, ns: &str, name: &str, tag: &str) {
    eventually(SOON * 2, &format!("{name} elects {tag}"), || async {
        let object = get(cluster, ns, &["imagepolicy", name]).await?;
        if object["status"]["latestRef"]["tag"] == tag {
            Ok(())
        } else {
            Err(object["status"].to_string())
        }
    })
    .await;
}
