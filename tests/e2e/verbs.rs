//! Every verb and flag of kubectl, right and wrong, of several versions of it. What is wrong is asked of a built-in kind
//! too, and answered in the same words.

use std::path::Path;

use tokio::sync::OnceCell;

use crate::harness::{ControlPlane, eventually};
use crate::world::{SOON, World};

/// A namespace of the shared world with one repository of four tags, `1.1.0` elected.
async fn stage() -> (&'static World, &'static str) {
    static STAGE: OnceCell<String> = OnceCell::const_new();
    let world = World::shared().await;
    let namespace = STAGE
        .get_or_init(|| async {
            let ns = world.cluster.namespace("verbs").await;
            let tags = ["1.0.0", "1.1.0", "2.0.0-rc.1", "latest"];
            world.cluster.registry.push("verbs/app", &tags).await;
            world.scan(&ns, "app", "verbs/app").await;
            world.create_policy(&ns, "app", "app", "1.x").await;
            world.elects(&ns, "app", "1.1.0").await;
            ns
        })
        .await;
    (world, namespace)
}

/// Runs a command line; words are separated by blanks, and `~` stands for a blank within one.
async fn run(
    cluster: &ControlPlane,
    kubectl: &Path,
    line: &str,
    input: &str,
) -> (bool, String, String) {
    let words: Vec<String> = line
        .split_whitespace()
        .map(|word| word.replace('~', " "))
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let output = cluster.kubectl_of(kubectl, &words, input).await;
    (output.success, output.stdout, output.stderr)
}

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
            let (success, stdout, stderr) = run(cluster, &kubectl, &line, "").await;
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

/// A question to us, and the same question to a built-in kind.
struct Pair<'a> {
    ours: &'a str,
    theirs: &'a str,
    input: [&'a str; 2],
}

const TAG: &str =
    "{apiVersion: tags.tagscope.dev/v1alpha1, kind: ImageTag, metadata: {name: 'app:1.0.0'}}";
const COMPONENT: &str = "{apiVersion: v1, kind: ComponentStatus, metadata: {name: scheduler}}";

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
    let errors = stderr
        .lines()
        .filter(|line| !line.starts_with("Warning:") && !line.trim().is_empty());
    // What is being patched, and from which file, is told before the server's own words.
    let last = errors.last().unwrap_or_default().to_owned();
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
            "expose componentstatus scheduler --port=1",
        ),
        plain(
            "rollout restart imagetag app:1.0.0 -n NS",
            "rollout restart componentstatus scheduler",
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
        ] {
            let line = line.replace("NS", ns);
            let words: Vec<&str> = line.split_whitespace().collect();
            let editor = cluster.logs.join("editor");
            if words[0] == "edit" {
                std::fs::write(
                    &editor,
                    "#!/bin/sh\nsed -i 's/^  name:.*/&\\n  annotations: {a: b}/' \"$1\"\n",
                )
                .unwrap();
                let mut mode = std::fs::metadata(&editor).unwrap().permissions();
                std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o755);
                std::fs::set_permissions(&editor, mode).unwrap();
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
        "get RESOURCE -n NS --chunk-size=-1",
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
        "?continue=abc&resourceVersion=5",
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
        "?watch=1&resourceVersion=abc",
        "?watch=1&sendInitialEvents=true",
        "?watch=1&resourceVersionMatch=NotOlderThan",
        "?watch=1&sendInitialEvents=true&resourceVersionMatch=Exact&resourceVersion=1",
        "?watch=1&labelSelector=a===b",
        "?watch=1&timeoutSeconds=abc",
        "?timeout=bogus",
        "?pretty=maybe",
        "/x?resourceVersion=abc",
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

#[tokio::test(flavor = "multi_thread")]
async fn watches_print_what_changes() {
    let world = World::shared().await;
    let cluster = &world.cluster;
    let ns = &cluster.namespace("watched").await;
    cluster.registry.push("watched/app", &["1.0.0"]).await;
    world.scan(ns, "app", "watched/app").await;
    let named = ["get", "imgtag", "app:1.0.0", "-n", ns, "-w"];
    let plain = ["get", "imgtag", "-n", ns, "-w"];
    let only = [
        "get",
        "imgtag",
        "-n",
        ns,
        "--watch-only",
        "--output-watch-events",
    ];
    let json = [
        "get",
        "imgtag",
        "-n",
        ns,
        "-w",
        "--output-watch-events",
        "-o",
        "json",
    ];
    let selected = [
        "get",
        "imgtag",
        "-n",
        ns,
        "-w",
        "-o",
        "name",
        "-l",
        "tags.tagscope.dev/selected=true",
    ];
    let mut watching = Vec::new();
    for kubectl in cluster.kubectls() {
        let start = |args: &[&str]| cluster.kubectl_of_following(&kubectl, args);
        watching.push((
            kubectl.clone(),
            [
                start(&named),
                start(&plain),
                start(&only),
                start(&json),
                start(&selected),
            ],
        ));
    }
    let prints = async |which: usize, what: &str| {
        for (kubectl, watches) in &watching {
            let what_of = format!("{} prints {what}", kubectl.display());
            eventually(SOON, &what_of, || async {
                let log = watches[which].log();
                let lines = log.split_whitespace().collect::<Vec<_>>().join(" ");
                if lines.contains(what) {
                    Ok(())
                } else {
                    Err(log)
                }
            })
            .await;
        }
    };
    for which in [0, 1] {
        prints(which, "app:1.0.0").await;
    }
    prints(3, "\"type\": \"ADDED\"").await;
    // Those that print nothing yet have begun when the server counts them.
    let begun = watching.len() as u64 * 5;
    eventually(SOON, "all of them watch", || async {
        let metrics = world.program.scrape().await;
        let count = crate::clients::watchers(&metrics);
        if count >= begun { Ok(()) } else { Err(count) }
    })
    .await;

    cluster.registry.push("watched/app", &["1.1.0"]).await;
    world.request_scan(ns, "app").await;
    prints(1, "app:1.1.0").await;
    prints(2, "ADDED app:1.1.0").await;
    world.create_policy(ns, "app", "app", "1.0.x").await;
    prints(2, "MODIFIED app:1.0.0").await;
    prints(4, "imagetag.tags.tagscope.dev/app:1.0.0").await;
    cluster.registry.delete("watched/app", &["1.0.0"]).await;
    world.request_scan(ns, "app").await;
    prints(2, "DELETED app:1.0.0").await;
    prints(3, "\"type\": \"DELETED\"").await;
    for (_, watches) in &watching {
        let log = watches[0].log();
        assert!(!log.contains("app:1.1.0"), "{log}");
        let log = watches[2].log();
        assert!(!log.contains("ADDED app:1.0.0"), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_read_one_tag_only_can_get_watch_and_wait_for_it() {
    let (world, ns) = stage().await;
    let cluster = &world.cluster;
    cluster
        .apply(&format!(
            "{{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {{name: one, namespace: {ns}}}, rules: \
             [{{apiGroups: [tags.tagscope.dev], resources: [imagetags], resourceNames: ['app:1.1.0'], verbs: [get, list, watch]}}]}}\n---\n\
             {{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {{name: one, namespace: {ns}}}, \
             roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: one}}, \
             subjects: [{{apiGroup: rbac.authorization.k8s.io, kind: User, name: only-one}}]}}"
        ))
        .await;
    for kubectl in cluster.kubectls() {
        let ask = async |line: &str| {
            let line = format!("{line} -n {ns} --as only-one");
            run(cluster, &kubectl, &line, "").await
        };
        eventually(SOON, "the right is known", || async {
            let (success, stdout, stderr) = ask("get imgtag app:1.1.0").await;
            if success { Ok(stdout) } else { Err(stderr) }
        })
        .await;
        let wait = "wait --for=jsonpath={.tag}=1.1.0 imgtag/app:1.1.0 --timeout=20s";
        for allowed in ["get imgtag --field-selector metadata.name=app:1.1.0", wait] {
            let (success, stdout, stderr) = ask(allowed).await;
            assert!(success, "{} {allowed}: {stdout}{stderr}", kubectl.display());
        }
        for refused in [
            "get imgtag",
            "get imgtag app:1.0.0",
            "get imgtag --field-selector metadata.name=app:1.0.0",
            "get tset app",
        ] {
            let (success, _, stderr) = ask(refused).await;
            assert!(
                !success && stderr.contains("Forbidden"),
                "{refused}: {stderr}"
            );
        }
        let args = [
            "get",
            "imgtag",
            "app:1.1.0",
            "-n",
            ns,
            "-w",
            "--as",
            "only-one",
        ];
        let watch = cluster.kubectl_of_following(&kubectl, &args);
        eventually(SOON, "the watch prints the tag", || async {
            let log = watch.log();
            if log.contains("app:1.1.0") && !log.contains("orbidden") {
                Ok(())
            } else {
                Err(log)
            }
        })
        .await;
    }
}
