//! Every way to read, with every kubectl.

use super::{run, stage};

/// What `-f -` reads.
const NAMED: &str = r#"{"apiVersion": "tags.tagscope.dev/v1alpha1", "kind": "ImageTag", "metadata": {"name": "app:1.0.0"}}"#;

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_read_works_with_every_kubectl() {
    let (world, ns) = stage().await;
    let cluster = &world.cluster;
    // What is typed, and what has to be printed; `!` before what must not.
    let table: &[(&str, &[&str])] = &[
        (
            "api-resources --api-group=tags.tagscope.dev -o wide",
            &[
                "imagetags",
                "imgtag",
                "ImageTag",
                "tagsets",
                "tset",
                "TagSet",
                "get,list,watch",
            ],
        ),
        (
            "api-resources --verbs=list,watch --namespaced -o name",
            &["imagetags.tags.tagscope.dev", "tagsets.tags.tagscope.dev"],
        ),
        (
            "api-resources --categories=all -o name",
            &["!tags.tagscope.dev"],
        ),
        ("api-versions", &["tags.tagscope.dev/v1alpha1"]),
        (
            "explain imagetag",
            &[
                "GROUP:",
                "tags.tagscope.dev",
                "selectedBy",
                "DESCRIPTION:",
                "!<no description>",
            ],
        ),
        (
            "explain imagetags.selectedBy.namespace",
            &["the namespace of the ImagePolicy"],
        ),
        ("explain tagset --recursive", &["tagCount", "metadata"]),
        (
            "explain imagetags --api-version=tags.tagscope.dev/v1alpha1",
            &["ImageTag"],
        ),
        (
            "explain imagetag.metadata.labels",
            &["Map of string keys and values"],
        ),
        (
            "get imagetags -n NS",
            &["NAME", "app:1.0.0", "app:latest", "!NAMESPACE"],
        ),
        ("get imagetags -A", &["NAMESPACE", "app:1.0.0"]),
        ("get imagetags -n NS -o wide", &["VERSION"]),
        (
            "get imagetags -n NS -o name",
            &["imagetag.tags.tagscope.dev/app:1.0.0\n"],
        ),
        (
            "get imgtag app:1.1.0 -n NS -o json",
            &["\"kind\": \"ImageTag\"", "\"tag\": \"1.1.0\""],
        ),
        (
            "get imgtag -n NS -o yaml",
            &["kind: List", "tag: 2.0.0-rc.1"],
        ),
        (
            "get imgtag app:1.1.0 app:1.0.0 -n NS -o name",
            &["app:1.1.0\nimagetag.tags.tagscope.dev/app:1.0.0"],
        ),
        (
            "get imagetag/app:1.1.0 tagset/app -n NS",
            &[
                "imagetag.tags.tagscope.dev/app:1.1.0",
                "tagset.tags.tagscope.dev/app",
            ],
        ),
        (
            "get imgtag,tset -n NS --show-kind",
            &[
                "imagetag.tags.tagscope.dev/app:latest",
                "tagset.tags.tagscope.dev/app",
            ],
        ),
        ("get imagetags.tags.tagscope.dev -n NS", &["app:1.0.0"]),
        (
            "get imagetags.v1alpha1.tags.tagscope.dev/app:1.0.0 -n NS",
            &["app:1.0.0"],
        ),
        (
            "get imgtag app:1.1.0 -n NS -o jsonpath={.version.minor}",
            &["1"],
        ),
        (
            "get imgtag -n NS -o jsonpath={.items[*].tag}",
            &["1.0.0 1.1.0 2.0.0-rc.1 latest"],
        ),
        (
            "get imgtag -n NS -o jsonpath={.items[?(@.selectedBy)].tag}",
            &["1.1.0", "!1.0.0"],
        ),
        (
            "get imgtag -n NS -o go-template={{range~.items}}{{.tag}};{{end}}",
            &["1.0.0;1.1.0;2.0.0-rc.1;latest;"],
        ),
        (
            "get imgtag -n NS -o custom-columns=TAG:.tag,BY:.selectedBy[*].name",
            &["TAG", "1.1.0        app", "1.0.0        <none>"],
        ),
        (
            "get imgtag -n NS --show-labels",
            &["LABELS", "tags.tagscope.dev/repository=app"],
        ),
        (
            "get imgtag -n NS -L tags.tagscope.dev/selected",
            &["SELECTED", "true"],
        ),
        (
            "get imgtag -n NS --label-columns tags.tagscope.dev/repository --no-headers",
            &["app", "!NAME"],
        ),
        ("get imgtag -n NS --sort-by=.tag", &["app:1.0.0"]),
        (
            "get imgtag -n NS --sort-by={.metadata.name} -o name",
            &["app:1.0.0\nimagetag.tags.tagscope.dev/app:1.1.0\n"],
        ),
        (
            "get imgtag -n NS --chunk-size=1",
            &["app:1.0.0", "app:latest"],
        ),
        (
            "get imgtag -n NS --chunk-size=1 -o json",
            &["\"kind\": \"List\"", "\"tag\": \"latest\""],
        ),
        (
            "get imgtag -n NS --server-print=false",
            &["NAME", "AGE", "app:1.0.0"],
        ),
        ("get imgtag app:none -n NS --ignore-not-found", &[]),
        (
            "get imgtag -n NS -l tags.tagscope.dev/selected=true -o name",
            &["app:1.1.0", "!app:1.0.0"],
        ),
        (
            "get imgtag -n NS -l tags.tagscope.dev/selected~notin~(true),tags.tagscope.dev/repository -o name",
            &["app:1.0.0", "!app:1.1.0"],
        ),
        (
            "get imgtag -n NS --field-selector tag=latest,metadata.namespace=NS -o name",
            &["app:latest", "!app:1"],
        ),
        (
            "get imgtag -n NS --field-selector metadata.namespace=other",
            &[],
        ),
        ("get imgtag -n not-there", &[]),
        ("get all -n NS", &["!imagetag"]),
        (
            "get -n NS -o name -f -",
            &["imagetag.tags.tagscope.dev/app:1.0.0"],
        ),
        (
            "get imgtag -n NS -o jsonpath-as-json={.items[*].repository}",
            &["\"app\""],
        ),
        (
            "get imgtag app:1.0.0 -n NS -o yaml --show-managed-fields",
            &["uid:", "!managedFields"],
        ),
        (
            "get imgtag -n NS --watch=false --request-timeout=20s --no-headers",
            &["app:1.0.0"],
        ),
        (
            "explain imagetag.version --output=plaintext-openapiv2",
            &["major"],
        ),
        ("auth can-i --list -n NS", &["Resources"]),
        (
            "get --raw /apis/tags.tagscope.dev/v1alpha1/imagetags?limit=1",
            &["\"continue\""],
        ),
        (
            "get --raw /apis/tags.tagscope.dev/v1alpha1",
            &["APIResourceList", "imagetags"],
        ),
        (
            "get --raw /apis/tags.tagscope.dev/v1alpha1/namespaces/NS/imagetags/app:1.0.0",
            &["\"tag\":\"1.0.0\""],
        ),
        (
            "get --raw /apis/tags.tagscope.dev/v1alpha1/namespaces/NS/imagetags/app%3A1.0.0",
            &["\"tag\":\"1.0.0\""],
        ),
        (
            "get --raw /openapi/v3/apis/tags.tagscope.dev/v1alpha1",
            &["dev.tagscope.tags.v1alpha1.ImageTag"],
        ),
        (
            "describe imagetag app:1.1.0 -n NS",
            &["Name:", "Tag:", "1.1.0", "Selected By:", "Events:"],
        ),
        ("describe imagetags -n NS", &["app:1.0.0", "app:latest"]),
        (
            "describe imgtag app:1 -n NS",
            &["app:1.0.0", "app:1.1.0", "!app:latest"],
        ),
        (
            "describe tset app -n NS -l tags.tagscope.dev/repository=app",
            &["error"],
        ),
        ("events --for imagetag/app:1.0.0 -n NS", &["No events"]),
        (
            "wait --for=jsonpath={.tag}=1.1.0 imgtag/app:1.1.0 -n NS --timeout=20s",
            &["condition met"],
        ),
        (
            "wait --for=jsonpath={.selectedBy[0].name}=app imgtag -l tags.tagscope.dev/selected=true -n NS --timeout=20s",
            &["condition met"],
        ),
        ("wait --for=delete imgtag/app:none -n NS --timeout=20s", &[]),
        ("auth can-i list imagetags.tags.tagscope.dev", &["yes"]),
        ("auth can-i watch imgtag/app:1.0.0 -n NS", &["yes"]),
        (
            "auth can-i list imagetags.tags.tagscope.dev -n NS --as stranger",
            &["no"],
        ),
        (
            "get imgtag -n NS -o name --as root --as-group system:masters",
            &["app:1.0.0"],
        ),
    ];
    // In these kubectl itself sees something wrong, and says so in the right way.
    let fail = ["describe tset app -n NS -l", "--as stranger"];
    let mut problems = Vec::new();
    for kubectl in cluster.kubectls() {
        for (line, printed) in table {
            let line = line.replace("NS", ns);
            let (success, stdout, stderr) = run(cluster, &kubectl, &line, NAMED).await;
            let all = format!("{stdout}{stderr}");
            let meant_to_fail = fail
                .iter()
                .any(|part| line.contains(&part.replace("NS", ns)));
            let right = printed.iter().all(|text| match text.strip_prefix('!') {
                Some(absent) => !all.contains(absent),
                None => all.contains(&text.replace("NS", ns)),
            });
            if success == meant_to_fail || !right {
                problems.push(format!("{} {line}: {all}", kubectl.display()));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
