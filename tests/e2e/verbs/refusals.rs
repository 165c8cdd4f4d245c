//! What cannot be done and what was asked wrongly: the words are those that kube-apiserver has for a kind of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::{run, stage};
use crate::harness::ControlPlane;

/// A question to us, and the same question to a built-in kind.
struct Pair<'a> {
    ours: &'a str,
    theirs: &'a str,
    input: [&'a str; 2],
}

const TAG: &str = r#"{"apiVersion": "tags.tagscope.dev/v1alpha1", "kind": "ImageTag", "metadata": {"name": "app:1.0.0"},
    "repository": "app", "image": "registry.example/app", "tag": "1.0.0"}"#;
const COMPONENT: &str =
    r#"{"apiVersion": "v1", "kind": "ComponentStatus", "metadata": {"name": "scheduler"}}"#;

/// Asks both, and says where the answers differ in more than names.
async fn compare(
    cluster: &ControlPlane,
    kubectl: &Path,
    ns: &str,
    pair: &Pair<'_>,
) -> Option<String> {
    let ours = pair.ours.replace("NS", ns);
    let theirs = pair.theirs.replace("NS", ns);
    let (we_succeed, _, we_say) = run(cluster, kubectl, &ours, pair.input[0]).await;
    let (they_succeed, _, they_say) = run(cluster, kubectl, &theirs, pair.input[1]).await;
    let we_mean = meaning(&we_say);
    let they_mean = meaning(&they_say);
    (we_succeed != they_succeed || we_mean != they_mean).then(|| {
        format!(
            "{} {ours}: {we_say}\nand {theirs}: {they_say}\n  {we_mean}\n  {they_mean}",
            kubectl.display()
        )
    })
}

/// The words of an answer without the names of what was asked about.
fn meaning(stderr: &str) -> String {
    let mut errors = stderr
        .lines()
        .filter(|line| !line.starts_with("Warning:") && !line.trim().is_empty());
    // What is being patched, and from which file, is told before the server's own words.
    let last = errors.next_back().unwrap_or_default().to_owned();
    let mut text = last;
    for (name, place) in [
        ("imagetags.tags.tagscope.dev", "RESOURCES"),
        ("imagetag.tags.tagscope.dev", "RESOURCE"),
        ("ImageTag.tags.tagscope.dev", "KIND"),
        ("tags.tagscope.dev/v1alpha1, Kind=ImageTag", "KIND"),
        ("componentstatuses", "RESOURCES"),
        ("componentstatus", "RESOURCE"),
        ("/v1, Kind=ComponentStatus", "KIND"),
        ("ComponentStatus", "KIND"),
        ("\"ImageRepository\"", "\"KIND\""),
        ("image.toolkit.fluxcd.io/v1\"", "GROUP\""),
        ("tags.tagscope.dev/v1alpha1\"", "GROUP\""),
        ("tags.tagscope.dev/v1alpha1, Resource", "GROUP, Resource"),
        ("/v1, Resource", "GROUP, Resource"),
        ("configmaps", "RESOURCES"),
        ("configmap", "RESOURCE"),
        ("ImageTag", "KIND"),
        ("imagetags", "RESOURCES"),
        ("imagetag", "RESOURCE"),
        ("API group \"tags.tagscope.dev\"", "API group GROUP"),
        ("API group \"\"", "API group GROUP"),
        ("app:1.0.0", "NAME"),
        ("scheduler", "NAME"),
    ] {
        text = text.replace(name, place);
    }
    // What Go's JSON parser says of a token is its own affair.
    let token = "continue key is not valid";
    if let Some(end) = text.find(token) {
        text.truncate(end + token.len());
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn verbs_that_change_are_refused_as_by_a_built_in_kind() {
    let (world, ns) = stage().await;
    let cluster = &world.cluster;
    let plain = |ours, theirs| Pair {
        ours,
        theirs,
        input: ["", ""],
    };
    let given = |ours, theirs| Pair {
        ours,
        theirs,
        input: [TAG, COMPONENT],
    };
    let pairs = [
        plain(
            "delete imagetag app:1.0.0 -n NS",
            "delete componentstatus scheduler",
        ),
        plain(
            "delete imagetag app:1.0.0 -n NS --force --grace-period=0",
            "delete componentstatus scheduler --force --grace-period=0",
        ),
        plain(
            "delete imagetag app:1.0.0 -n NS --wait=false --cascade=orphan",
            "delete componentstatus scheduler --wait=false --cascade=orphan",
        ),
        plain(
            "delete imagetag app:1.0.0 -n NS --dry-run=server",
            "delete componentstatus scheduler --dry-run=server",
        ),
        plain(
            "delete --raw /apis/tags.tagscope.dev/v1alpha1/namespaces/NS/imagetags/app:1.0.0",
            "delete --raw /api/v1/componentstatuses/scheduler",
        ),
        plain(
            "delete --raw /apis/tags.tagscope.dev/v1alpha1/namespaces/NS/imagetags",
            "delete --raw /api/v1/componentstatuses",
        ),
        plain(
            "patch imagetag app:1.0.0 -n NS -p {} --type=merge",
            "patch componentstatus scheduler -p {} --type=merge",
        ),
        plain(
            "patch imagetag app:1.0.0 -n NS -p [] --type=json",
            "patch componentstatus scheduler -p [] --type=json",
        ),
        plain(
            "label imagetag app:1.0.0 -n NS a=b",
            "label componentstatus scheduler a=b",
        ),
        plain(
            "annotate imagetag app:1.0.0 -n NS a=b",
            "annotate componentstatus scheduler a=b",
        ),
        plain(
            "scale imagetag app:1.0.0 -n NS --replicas=2",
            "scale componentstatus scheduler --replicas=2",
        ),
        plain(
            "expose imagetag app:1.0.0 -n NS --port=1",
            "expose imagerepository app -n NS --port=1",
        ),
        plain(
            "rollout restart imagetag app:1.0.0 -n NS",
            "rollout restart imagerepository app -n NS",
        ),
        plain(
            "get imagetag app:1.0.0 -n NS --subresource=status",
            "get componentstatus scheduler --subresource=status",
        ),
        plain(
            "get imagetag app:1.0.0 -n NS --subresource=scale",
            "get componentstatus scheduler --subresource=scale",
        ),
        given(
            "create --validate=false -n NS -f -",
            "create --validate=false -f -",
        ),
        given("create -n NS -f -", "create -f -"),
        given(
            "replace --validate=false -n NS -f -",
            "replace --validate=false -f -",
        ),
        given(
            "apply --validate=false --server-side -n NS -f -",
            "apply --validate=false --server-side -f -",
        ),
        given("delete -n NS -f -", "delete -f -"),
    ];
    let mut problems = Vec::new();
    for kubectl in cluster.kubectls() {
        for pair in &pairs {
            problems.extend(compare(cluster, &kubectl, ns, pair).await);
        }
        // A typed kind is patched in another way than one that kubectl does not know: the words are the server's.
        for line in [
            "apply --validate=false -n NS -f -",
            "delete imagetags --all -n NS",
            "delete imagetags -l tags.tagscope.dev/repository=app -n NS",
            "edit imagetag app:1.0.0 -n NS",
            "diff -n NS -f -",
            "diff --server-side -n NS -f -",
        ] {
            let line = line.replace("NS", ns);
            let words: Vec<&str> = line.split_whitespace().collect();
            let editor = cluster.logs.join("editor");
            if words[0] == "edit" {
                let script = "#!/bin/sh\nsed -i 's/^  name:.*/&\\n  annotations: {a: b}/' \"$1\"\n";
                fs::write(&editor, script).unwrap();
                fs::set_permissions(&editor, fs::Permissions::from_mode(0o755)).unwrap();
            }
            let output = cluster
                .kubectl_in(
                    &kubectl,
                    &words,
                    TAG,
                    &[("KUBE_EDITOR", editor.to_str().unwrap())],
                )
                .await;
            let refused = output
                .stderr
                .contains("the server does not allow this method on the requested resource");
            if output.success || !refused {
                problems.push(format!("{} {line}: {output:?}", kubectl.display()));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    // Nothing of this has changed anything.
    let (_, names, _) = run(
        cluster,
        &cluster.kubectls()[0],
        &format!("get imgtag -n {ns} -o name"),
        "",
    )
    .await;
    assert_eq!(names.lines().count(), 4, "{names}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_questions_are_answered_as_by_a_built_in_kind() {
    const OURS: &str = "/apis/tags.tagscope.dev/v1alpha1/namespaces/NS/imagetags";
    const THEIRS: &str = "/api/v1/namespaces/NS/configmaps";
    // Not compared: a wrong resourceVersion of a get or a watch, which kube-apiserver answers 500 without a reason.
    let (world, ns) = stage().await;
    let cluster = &world.cluster;
    let typed = [
        "get RESOURCE none -n NS",
        "get RESOURCE a/b -n NS",
        "get RESOURCE -n NS -l a~in~(",
        "get RESOURCE -n NS -l a===b",
        "get RESOURCE -n NS -l a=b=c",
        "get RESOURCE -n NS -l !",
        "get RESOURCE -n NS -l a>x",
        "get RESOURCE -n NS -l -a",
        "get RESOURCE -n NS -l a=-b",
        "get RESOURCE -n NS -l a~near~(b)",
        "get RESOURCE -n NS -l a~in~(b)c",
        "get RESOURCE -n NS --field-selector metadata.name",
        "get RESOURCE -n NS --field-selector metadata.name=a=b",
        "get RESOURCE -n NS --field-selector metadata.name>a",
        "get RESOURCE -n NS --chunk-size=abc",
        "get RESOURCE -n NS --sort-by={.x",
        "get RESOURCE -n NS -o nothing",
        "get RESOURCE -n NS --as stranger",
        "get RESOURCE x -n NS --as stranger",
        "get RESOURCE -A --as stranger",
        "get RESOURCE -n NS -w --as stranger",
        "describe RESOURCE none -n NS",
        "wait --for=jsonpath={.tag}=x RESOURCE/none -n NS --timeout=1s",
        "auth can-i fly RESOURCE",
    ];
    let raw = [
        "/none",
        "/none/status",
        "?limit=abc",
        "?limit=-1",
        "?limit=99999999999999999999",
        "?continue=abc",
        "?resourceVersion=abc",
        "?resourceVersion=-1",
        "?resourceVersionMatch=Exact",
        "?resourceVersion=0&resourceVersionMatch=Exact",
        "?resourceVersion=1&resourceVersionMatch=Foo",
        "?sendInitialEvents=true",
        "?sendInitialEvents=maybe",
        "?timeoutSeconds=x",
        "?labelSelector=a%20in%20(",
        "?labelSelector=a+in+(b",
        "?fieldSelector=metadata.name",
        "?watch=1&sendInitialEvents=true",
        "?watch=1&continue=abc",
        "?watch=1&continue=abc&resourceVersion=0",
        "?watch=1&resourceVersionMatch=NotOlderThan",
        "?watch=1&sendInitialEvents=true&resourceVersionMatch=Exact&resourceVersion=1",
        "?watch=1&labelSelector=a===b",
        "?watch=1&timeoutSeconds=abc",
        "?timeout=bogus",
        "?pretty=maybe",
    ];
    let mut problems = Vec::new();
    for kubectl in cluster.kubectls() {
        for line in typed {
            let (ours, theirs) = (
                line.replace("RESOURCE", "imagetags.tags.tagscope.dev"),
                line.replace("RESOURCE", "configmaps"),
            );
            let pair = Pair {
                ours: &ours,
                theirs: &theirs,
                input: ["", ""],
            };
            problems.extend(compare(cluster, &kubectl, ns, &pair).await);
        }
    }
    // These pass kubectl as they are: one version will do.
    let kubectl = &cluster.kubectls()[0];
    for question in raw {
        let (ours, theirs) = (
            format!("get --raw {OURS}{question}"),
            format!("get --raw {THEIRS}{question}"),
        );
        let pair = Pair {
            ours: &ours,
            theirs: &theirs,
            input: ["", ""],
        };
        problems.extend(compare(cluster, kubectl, ns, &pair).await);
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
