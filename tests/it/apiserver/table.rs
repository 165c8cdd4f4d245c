//! Tables: what `kubectl get` prints.

use serde_json::Value;

use super::support::{TABLE, World};

fn cells(table: &Value) -> Vec<Vec<String>> {
    let rows = table["rows"].as_array().unwrap();
    rows.iter()
        .map(|row| {
            let cells = row["cells"].as_array().unwrap().iter();
            cells
                .map(|cell| {
                    cell.as_str()
                        .map_or_else(|| cell.to_string(), str::to_owned)
                })
                .collect()
        })
        .collect()
}

fn columns(table: &Value, wide: bool) -> Vec<String> {
    let columns = table["columnDefinitions"].as_array().unwrap().iter();
    columns
        .filter(|column| wide || column["priority"] == 0)
        .map(|column| column["name"].as_str().unwrap().to_uppercase())
        .collect()
}

#[tokio::test]
async fn kubectl_prints_tags_in_the_promised_columns() {
    let world = World::filled();
    let table = world
        .get_as("namespaces/flux-system/imagetags", TABLE)
        .await
        .json();
    assert_eq!(
        columns(&table, false),
        ["NAME", "IMAGE", "TAG", "SELECTED BY", "FIRST SEEN"]
    );
    assert_eq!(columns(&table, true)[5..], ["DIGEST", "VERSION"]);
    let cells = cells(&table);
    assert_eq!(
        cells[4],
        [
            "podinfo:6.3.0",
            "ghcr.io/stefanprodan/podinfo",
            "6.3.0",
            "apps/stable,podinfo",
            "7m",
            "sha256:0123456789ab",
            "6.3.0",
        ]
    );
    assert_eq!(cells[5][3..], ["<none>", "<unknown>", "<none>", "<none>"]);
}

#[tokio::test]
async fn kubectl_prints_tag_sets_in_the_promised_columns() {
    let world = World::filled();
    let table = world
        .get_as("namespaces/flux-system/tagsets", TABLE)
        .await
        .json();
    assert_eq!(
        columns(&table, true),
        ["NAME", "IMAGE", "TAGS", "COMPLETE", "SCANNED"]
    );
    let cells = cells(&table);
    assert_eq!(
        cells[0],
        ["podinfo", "ghcr.io/stefanprodan/podinfo", "5", "true", "7m"]
    );
    assert_eq!(cells[1][4], "5h7m");
}

#[tokio::test]
async fn every_row_has_as_many_cells_as_there_are_columns() {
    let world = World::filled();
    for path in ["imagetags", "tagsets"] {
        let table = world.get_as(path, TABLE).await.json();
        let count = table["columnDefinitions"].as_array().unwrap().len();
        assert!(cells(&table).iter().all(|row| row.len() == count), "{path}");
    }
}

#[tokio::test]
async fn rows_carry_what_was_asked_for() {
    let world = World::filled();
    for (query, version, kind) in [
        ("", "v1", Some("PartialObjectMetadata")),
        (
            "?includeObject=Metadata",
            "v1",
            Some("PartialObjectMetadata"),
        ),
        ("?includeObject=Object", "v1", Some("ImageTag")),
        ("?includeObject=None", "v1", None),
        ("", "v1beta1", Some("PartialObjectMetadata")),
    ] {
        let accept = format!("application/json;as=Table;v={version};g=meta.k8s.io");
        let table = world
            .get_as(&format!("namespaces/apps/imagetags{query}"), &accept)
            .await
            .json();
        assert_eq!(table["apiVersion"], format!("meta.k8s.io/{version}"));
        let object = &table["rows"][0]["object"];
        assert_eq!(object["kind"].as_str(), kind, "{query}");
        if kind == Some("PartialObjectMetadata") {
            assert_eq!(object["apiVersion"], format!("meta.k8s.io/{version}"));
            assert_eq!(object["metadata"]["namespace"], "apps");
        }
    }
}
