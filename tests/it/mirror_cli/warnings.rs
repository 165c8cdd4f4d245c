//! What is worth knowing and stops nothing: on standard error, and in what programs read.

use serde_json::json;

use super::{Machine, registries};

#[tokio::test]
async fn a_selection_that_matches_nothing_is_told_and_no_failure() {
    let (source, destination) = registries().await;
    let machine = Machine::new();
    let (from, to) = (source.image("team/app"), destination.image("app"));
    let expected = format!(
        "nothing is copied: none of the 3 tags of {from} is selected (semver \"9.x\", the latest 1)"
    );
    let args = [
        "mirror", &from, &to, "--semver", "9.x", "--latest", "1", "-q",
    ];
    let ran = machine.run(&args).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.err, format!("tagscope: warning: {expected}\n"));
    assert!(ran.out.starts_with("no tags\n"), "{ran:?}");
    let ran = machine.run(&[&args[..], &["-o", "json"]].concat()).await;
    let said = ran.json();
    assert_eq!((ran.code, &said["verdict"]), (Some(0), &json!("done")));
    assert_eq!(said["warnings"], json!([expected]), "{ran:?}");
}

#[tokio::test]
async fn warnings_of_documents_are_in_the_object_as_well() {
    let (source, destination) = registries().await;
    let machine = Machine::new();
    let documents = format!(
        "apiVersion: image.toolkit.fluxcd.io/v1
kind: ImageRepository
metadata: {{name: app}}
spec: {{image: '{}', interval: 5m, suspend: true}}
---
apiVersion: mirror.tagscope.dev/v1alpha1
kind: ImageMirror
metadata: {{name: app}}
spec:
  sourceRef: {{name: app}}
  tags: {{filterTags: {{pattern: '^9'}}}}
  destinations: [{{name: one, registry: {}}}]
",
        source.image("team/app"),
        destination.plain_host(),
    );
    let ran = machine
        .fed(&["mirror", "-f", "-", "-q", "-o", "json"], &documents)
        .await;
    let expected = [
        "standard input, document 1 (ImageRepository default/app): spec.suspend has no effect here"
            .to_owned(),
        format!(
            "standard input, document 2 (ImageMirror default/app): spec.tags: nothing is copied: none of the 3 tags of {} is selected (those that match \"^9\")",
            source.image("team/app")
        ),
    ];
    assert_eq!(ran.json()["warnings"], json!(expected), "{ran:?}");
    let lines: Vec<String> = expected
        .iter()
        .map(|warning| format!("tagscope: warning: {warning}"))
        .collect();
    assert_eq!(ran.err.lines().collect::<Vec<_>>(), lines, "{ran:?}");
}
