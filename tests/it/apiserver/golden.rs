//! The wire documents as files. `UPDATE_GOLDENS=1` writes them anew; the diff is then for a person to read.

use std::path::PathBuf;

use serde_json::Value;

use super::support::{PARTIAL, PARTIAL_LIST, TABLE, World};

/// Compares `text`, JSON objects each on its own line or one over many, with the golden of that name.
pub(super) fn check(name: &str, text: &str) {
    let values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let got: String = values
        .map(|value| format!("{}\n", sorted(&value.unwrap())))
        .collect();
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/golden/apiserver")
        .join(name);
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        std::fs::write(&path, got).unwrap();
        return;
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        got == golden,
        "{name} differs from its golden (UPDATE_GOLDENS=1 rewrites it); got:\n{got}"
    );
}

/// Indented, with sorted members, whatever order the map in memory has.
fn sorted(value: &Value) -> String {
    fn sort(value: &Value) -> Value {
        match value {
            Value::Object(members) => {
                let mut keys: Vec<_> = members.keys().collect();
                keys.sort();
                Value::Object(
                    keys.into_iter()
                        .map(|key| (key.clone(), sort(&members[key])))
                        .collect(),
                )
            }
            Value::Array(items) => items.iter().map(sort).collect(),
            other => other.clone(),
        }
    }
    serde_json::to_string_pretty(&sort(value)).unwrap()
}

#[tokio::test]
async fn the_documents_are_those_on_file() {
    let world = World::new();
    let v2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    for (name, path, accept) in [
        ("apis.json", "/apis", ""),
        ("apis-aggregated.json", "/apis", v2),
        ("group.json", "/apis/tags.tagscope.dev", ""),
        ("resources.json", "/apis/tags.tagscope.dev/v1alpha1", ""),
    ] {
        check(name, &world.get_as(path, accept).await.text);
    }
    for (name, path, schemas) in [
        ("openapi-v2.json", "/openapi/v2", "/definitions"),
        (
            "openapi-v3.json",
            "/openapi/v3/apis/tags.tagscope.dev/v1alpha1",
            "/components/schemas",
        ),
    ] {
        let mut document = world.get(path).await.json();
        // Kubernetes' own definitions come from a dependency: only that they are there is ours to hold.
        let schemas = document
            .pointer_mut(schemas)
            .unwrap()
            .as_object_mut()
            .unwrap();
        for (name, schema) in schemas {
            if name.starts_with("io.k8s.") {
                *schema = Value::Null;
            }
        }
        check(name, &document.to_string());
    }
}

#[tokio::test]
async fn objects_lists_and_tables_are_those_on_file() {
    let world = World::filled();
    for (name, path, accept) in [
        (
            "get-imagetag.json",
            "namespaces/flux-system/imagetags/podinfo:6.3.0",
            "",
        ),
        (
            "get-imagetag-old.json",
            "namespaces/apps/imagetags/cache:v7.4.0",
            "",
        ),
        (
            "get-imagetag-partial.json",
            "namespaces/flux-system/imagetags/podinfo:6.3.0",
            PARTIAL,
        ),
        (
            "get-imagetag-table.json",
            "namespaces/flux-system/imagetags/podinfo:6.3.0",
            TABLE,
        ),
        (
            "get-tagset.json",
            "namespaces/flux-system/tagsets/podinfo",
            "",
        ),
        ("list-imagetags.json", "imagetags", ""),
        (
            "list-imagetags-partial.json",
            "namespaces/apps/imagetags",
            PARTIAL_LIST,
        ),
        ("list-imagetags-table.json", "imagetags", TABLE),
        (
            "list-imagetags-table-object.json",
            "namespaces/apps/imagetags?includeObject=Object",
            TABLE,
        ),
        ("list-imagetags-page.json", "imagetags?limit=2", ""),
        ("list-tagsets.json", "tagsets", ""),
        ("list-tagsets-table.json", "tagsets", TABLE),
        ("list-empty.json", "namespaces/nowhere/imagetags", ""),
    ] {
        check(name, &world.get_as(path, accept).await.text);
    }
}

#[tokio::test(start_paused = true)]
async fn refusals_are_those_on_file() {
    let world = World::filled();
    for (name, path, accept) in [
        (
            "status-404.json",
            "namespaces/flux-system/imagetags/podinfo:9",
            "",
        ),
        (
            "status-404-resource.json",
            "namespaces/flux-system/nothings",
            "",
        ),
        (
            "status-400-field.json",
            "imagetags?fieldSelector=spec.nope%3D1",
            "",
        ),
        (
            "status-400-label.json",
            "imagetags?labelSelector=a+in+(",
            "",
        ),
        ("status-400-continue.json", "imagetags?continue=garbage", ""),
        (
            "status-406.json",
            "imagetags",
            "application/vnd.kubernetes.protobuf",
        ),
        (
            "status-410.json",
            "imagetags?resourceVersion=1&resourceVersionMatch=Exact",
            "",
        ),
        (
            "status-422.json",
            "imagetags?resourceVersionMatch=Exact",
            "",
        ),
        (
            "status-504.json",
            "imagetags?resourceVersion=9223372036854775807",
            "",
        ),
    ] {
        check(name, &world.get_as(path, accept).await.text);
    }
    let refused = world
        .ask(
            http::Method::DELETE,
            "namespaces/flux-system/imagetags/podinfo:6.3.0",
            &[],
        )
        .await;
    check("status-405.json", &refused.text);
}

#[tokio::test(start_paused = true)]
async fn watch_frames_are_those_on_file() {
    for (name, path, accept) in [
        (
            "watch-imagetags.json",
            "namespaces/flux-system/imagetags",
            "",
        ),
        (
            "watch-imagetags-table.json",
            "namespaces/flux-system/imagetags",
            TABLE,
        ),
        (
            "watch-imagetags-partial.json",
            "namespaces/flux-system/imagetags",
            PARTIAL,
        ),
        ("watch-tagsets.json", "namespaces/flux-system/tagsets", ""),
    ] {
        let world = World::filled();
        let query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=30";
        let accept = if accept.is_empty() {
            "application/json"
        } else {
            accept
        };
        let mut watch = world.watch_as(&format!("{path}?{query}"), accept).await;
        let mut frames = watch.ready().await;
        world.elect(
            "flux-system/podinfo",
            "flux-system/podinfo",
            Some("latest"),
            false,
        );
        world.scan(
            "flux-system",
            "podinfo-web",
            "ghcr.io/stefanprodan/podinfo-web",
            &["main-2"],
            false,
        );
        frames.extend(watch.ready().await);
        while let Some(frame) = watch.next().await {
            frames.push(frame);
        }
        let lines: String = frames.iter().map(|frame| format!("{frame}\n")).collect();
        check(name, &lines);
    }
    let world = World::filled();
    let mut watch = world.watch("imagetags?resourceVersion=1").await;
    let mut lines = String::new();
    while let Some(frame) = watch.next().await {
        lines.push_str(&format!("{frame}\n"));
    }
    check("watch-expired.json", &lines);
}
