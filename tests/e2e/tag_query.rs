//! Queries through a real kube-apiserver, as somebody with kubectl asks them.

use std::fs;

use serde_json::Value;

use crate::harness::eventually;
use crate::world::{SOON, World};

const INLINE: &str = "{apiVersion: tags.tagscope.dev/v1alpha1, kind: TagQuery, \
                      spec: {tags: [1.0.0, 1.1.0, 2.0.0], policy: {semver: {range: 1.x}}, explain: true}}";

fn query(spec: &str) -> String {
    format!("{{apiVersion: tags.tagscope.dev/v1alpha1, kind: TagQuery, spec: {{{spec}}}}}")
}

/// `kubectl create -o json`, which must work.
async fn ask(world: &World, ns: &str, spec: &str) -> Value {
    let args = ["create", "-n", ns, "-f", "-", "-o", "json"];
    let said = world.cluster.kubectl_with_input(&args, &query(spec)).await;
    serde_json::from_str(&said.ok()).unwrap()
}

/// `kubectl create`, which must not work: what it says.
async fn refused(world: &World, ns: &str, more: &[&str], object: &str) -> String {
    let args = [&["create", "-n", ns, "-f", "-"], more].concat();
    let said = world.cluster.kubectl_with_input(&args, object).await;
    assert!(!said.success, "{}", said.stdout);
    said.stderr
}

fn reasons(answer: &Value) -> Vec<String> {
    let rejected = answer["status"]["rejected"].as_array().cloned();
    rejected
        .unwrap_or_default()
        .iter()
        .map(|one| {
            format!(
                "{} {}",
                one["tag"].as_str().unwrap(),
                one["reason"].as_str().unwrap()
            )
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_create_one_works() {
    let world = World::shared().await;
    let cluster = &world.cluster;
    let ns = &cluster.namespace("queries").await;
    for more in [
        &[][..],
        &["--dry-run=server"],
        &["--validate=strict"],
        &["--validate=warn"],
        &["--validate=ignore"],
        &["--field-manager=somebody"],
    ] {
        let args = [&["create", "-n", ns, "-f", "-", "-o", "yaml"], more].concat();
        let said = cluster.kubectl_with_input(&args, INLINE).await;
        assert!(
            said.success && said.stderr.is_empty(),
            "{more:?}: {}",
            said.stderr
        );
        let yaml = said.stdout;
        assert!(
            yaml.contains("kind: TagQuery") && yaml.contains("tag: 1.1.0"),
            "{yaml}"
        );
        assert!(yaml.contains("reason: OutOfRange"), "{yaml}");
    }
    let told = cluster
        .kubectl_with_input(&["create", "-n", ns, "-f", "-"], INLINE)
        .await
        .ok();
    assert!(
        told.contains("tagquery.tags.tagscope.dev") && told.contains("created"),
        "{told}"
    );

    let body = r#"{"spec": {"tags": ["1.0.0"], "policy": {"semver": {"range": "*"}}}}"#;
    let path = format!("/apis/tags.tagscope.dev/v1alpha1/namespaces/{ns}/tagqueries");
    let raw = cluster
        .kubectl_with_input(&["create", "--raw", &path, "-f", "-"], body)
        .await
        .ok();
    let raw: Value = serde_json::from_str(&raw).unwrap();
    assert_eq!(raw["status"]["latest"]["tag"], "1.0.0");
    assert_eq!(raw["metadata"]["namespace"], ns.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said_as_a_built_in_kind_says_it() {
    let world = World::shared().await;
    let cluster = &world.cluster;
    let ns = &cluster.namespace("wrong").await;
    let unknown = query("tags: [1.0.0], polisy: {}, policy: {alphabetical: {}}");
    let said = refused(world, ns, &[], &unknown).await;
    assert!(
        said.contains("BadRequest")
            && said.contains("strict decoding error: unknown field \"spec.polisy\""),
        "{said}"
    );
    let args = ["create", "--validate=warn", "-n", ns, "-f", "-"];
    let warned = cluster.kubectl_with_input(&args, &unknown).await;
    assert!(warned.success, "{}", warned.stderr);
    assert!(
        warned
            .stderr
            .contains("Warning: unknown field \"spec.polisy\""),
        "{}",
        warned.stderr
    );
    for (object, words) in [
        (query(""), "spec: Required value"),
        (
            query("tags: [a b], policy: {}"),
            "spec.tags[0]: Invalid value: \"a b\"",
        ),
        (
            query("tags: [a], policy: {}, limit: -1"),
            "spec.limit: Invalid value: -1",
        ),
        (
            query("tags: a"),
            "cannot unmarshal string into Go struct field TagQuery.spec.tags",
        ),
        (
            INLINE.replace(
                "kind: TagQuery",
                "kind: TagQuery, metadata: {namespace: elsewhere}",
            ),
            "namespace",
        ),
        (
            INLINE.replace("v1alpha1", "v1"),
            "no matches for kind \"TagQuery\"",
        ),
    ] {
        let said = refused(world, ns, &[], &object).await;
        assert!(said.contains(words), "{object}: {said}");
    }
    // Through the whole chain of proxies, a body that is too long is answered and not cut off.
    let tags = vec!["a".repeat(100); 40_000].join(",");
    let said = refused(
        world,
        ns,
        &[],
        &query(&format!("tags: [{tags}], policy: {{}}")),
    )
    .await;
    assert!(
        said.contains("Request entity too large: limit is 3145728"),
        "{said}"
    );

    for args in [
        &["get", "tagqueries"][..],
        &["get", "tagqueries", "-w"],
        &["get", "tagquery", "mine"],
        &["delete", "tagquery", "mine"],
        &["delete", "tagqueries", "--all"],
        &["label", "tagquery", "mine", "a=b"],
    ] {
        let args = [args, &["-n", ns]].concat();
        let said = cluster.kubectl(&args).await;
        assert!(!said.success, "{args:?}");
        assert!(
            said.stderr
                .contains("the server does not allow this method on the requested resource")
                || said.stderr.contains("MethodNotAllowed"),
            "{args:?}: {}",
            said.stderr
        );
    }
    // A query that is refused leaves the answer itself in order.
    let answer = ask(world, ns, "tags: [x], policy: {semver: {range: no range}}").await;
    assert_eq!(answer["status"]["error"]["reason"], "InvalidPolicy");
    assert_eq!(
        answer["status"]["error"]["message"],
        "invalid policy: improper constraint: \"no range\""
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_edits_a_namespace_may_ask_without_any_right_to_the_definitions() {
    let world = World::shared().await;
    let cluster = &world.cluster;
    let ns = &cluster.namespace("editors").await;
    let repository = format!("{ns}/app");
    cluster
        .registry
        .push(&repository, &["1.0.0", "1.1.0"])
        .await;
    world.scan(ns, "app", &repository).await;
    world.create_policy(ns, "app", "app", "1.x").await;
    world.elects(ns, "app", "1.1.0").await;
    let roles = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/base/user-roles.yaml");
    cluster.kubectl(&["apply", "-f", roles]).await.ok();
    for (user, role) in [("query-editor", "edit"), ("query-viewer", "view")] {
        let binding = ["create", "rolebinding", user, "-n", ns];
        let of = [format!("--clusterrole={role}"), format!("--user={user}")];
        let of = [of[0].as_str(), of[1].as_str()];
        cluster.kubectl(&[&binding[..], &of].concat()).await.ok();
    }
    for right in [
        ["create", "tagqueries.tags.tagscope.dev"],
        ["list", "imagetags.tags.tagscope.dev"],
        ["get", "imagepolicies.image.toolkit.fluxcd.io"],
    ] {
        eventually(SOON, "the roles are aggregated", || async {
            let can = [
                &["auth", "can-i"],
                &right[..],
                &["-n", ns, "--as=query-editor"],
            ]
            .concat();
            cluster.kubectl(&can).await.probe()
        })
        .await;
    }
    let definitions = [
        "auth",
        "can-i",
        "list",
        "customresourcedefinitions",
        "--as=query-editor",
    ];
    assert!(!cluster.kubectl(&definitions).await.success);
    for spec in [
        "imagePolicyRef: {name: app}",
        "imageRepositoryRef: {name: app}, policy: {semver: {range: 1.x}}",
    ] {
        let args = [
            "create",
            "--as=query-editor",
            "-n",
            ns,
            "-f",
            "-",
            "-o",
            "yaml",
        ];
        let said = cluster.kubectl_with_input(&args, &query(spec)).await;
        assert!(said.success && said.stderr.is_empty(), "{}", said.stderr);
        assert!(said.stdout.contains("tag: 1.1.0"), "{}", said.stdout);
    }
    let said = refused(world, ns, &["--as=query-viewer"], INLINE).await;
    assert!(
        said.contains(
            "tagqueries.tags.tagscope.dev is forbidden: User \"query-viewer\" cannot create resource \"tagqueries\""
        ),
        "{said}"
    );
    // In another namespace the right to ask here counts for nothing.
    let other = &cluster.namespace("others").await;
    world.scan(other, "app", &repository).await;
    let spec = format!(
        "imageRepositoryRef: {{name: app, namespace: {other}}}, policy: {{alphabetical: {{}}}}"
    );
    let said = refused(world, ns, &["--as=query-editor"], &query(&spec)).await;
    assert!(
        said.contains("imagetags.tags.tagscope.dev is forbidden: User \"query-editor\" cannot list resource \"imagetags\"")
            && said.contains(&format!("in the namespace \"{other}\"")),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_tells_why_this_one_and_why_not_that_one() {
    let world = World::shared().await;
    let cluster = &world.cluster;
    let ns = &cluster.namespace("why").await;
    let repository = format!("{ns}/app");
    let tags = ["1.0.0", "1.1.0", "1.2.0-rc.1", "2.0.0", "latest"];
    cluster.registry.push(&repository, &tags).await;
    world.scan(ns, "app", &repository).await;
    world.create_policy(ns, "app", "app", "1.x").await;
    world.elects(ns, "app", "1.1.0").await;
    let why = "imagePolicyRef: {name: app}, explain: true";
    let answer = ask(world, ns, why).await;
    assert_eq!(answer["status"]["latest"]["tag"], "1.1.0");
    let sets = world.get(&["tagset", "app", "-n", ns]).await;
    assert_eq!(answer["status"]["revision"], sets["revision"]);
    assert_eq!(
        reasons(&answer),
        [
            "1.0.0 LowerRank",
            "latest NotSemver",
            "2.0.0 OutOfRange",
            "1.2.0-rc.1 Prerelease"
        ]
    );
    let hold = [
        "annotate",
        "-n",
        ns,
        "imagepolicy/app",
        "tags.tagscope.dev/hold=1.0.0",
    ];
    cluster.kubectl(&hold).await.ok();
    world.elects(ns, "app", "1.0.0").await;
    let answer = ask(world, ns, why).await;
    assert_eq!(answer["status"]["latest"]["tag"], "1.0.0");
    assert!(
        reasons(&answer).contains(&"1.1.0 NotHeld".to_owned()),
        "{answer}"
    );
    let lifted = ask(world, ns, "imagePolicyRef: {name: app}, governance: {}").await;
    assert_eq!(lifted["status"]["latest"]["tag"], "1.1.0");
    let missing = ask(world, ns, "imagePolicyRef: {name: nobody}").await;
    assert_eq!(missing["status"]["error"]["reason"], "PolicyNotFound");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_namespaces_repository_has_to_let_the_query_in() {
    let world = World::shared().await;
    let cluster = &world.cluster;
    let (owner, guest) = (
        &cluster.namespace("owner").await,
        &cluster.namespace("guest").await,
    );
    let repository = format!("{owner}/app");
    cluster.registry.push(&repository, &["1.0.0"]).await;
    world.scan(owner, "app", &repository).await;
    let spec = format!(
        "imageRepositoryRef: {{name: app, namespace: {owner}}}, policy: {{semver: {{range: '*'}}}}"
    );
    let said = refused(world, guest, &[], &query(&spec)).await;
    assert!(
        said.contains("Forbidden")
            && said.contains(&format!(
                "'{owner}/app' can't be accessed due to missing ACL labels on 'accessFrom'"
            )),
        "{said}"
    );
    let open = r#"{"spec": {"accessFrom": {"namespaceSelectors": [{"matchLabels": {"team": "guests"}}]}}}"#;
    let patch = [
        "patch",
        "imagerepository",
        "app",
        "-n",
        owner,
        "--type=merge",
        "-p",
        open,
    ];
    cluster.kubectl(&patch).await.ok();
    eventually(SOON, "it is open to others", || async {
        let said = refused(world, guest, &[], &query(&spec)).await;
        let words = format!("due to ACL labels mismatch on namespace '{guest}'");
        if said.contains(&words) {
            Ok(())
        } else {
            Err(said)
        }
    })
    .await;
    let label = ["label", "namespace", guest, "team=guests"];
    cluster.kubectl(&label).await.ok();
    let answer = ask(world, guest, &spec).await;
    assert_eq!(answer["status"]["latest"]["tag"], "1.0.0");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kind_explains_itself() {
    let world = World::shared().await;
    let cluster = &world.cluster;
    let resources = [
        "api-resources",
        "--api-group=tags.tagscope.dev",
        "-o",
        "wide",
        "--no-headers",
    ];
    let resources = cluster.kubectl(&resources).await.ok();
    let row = resources
        .lines()
        .find(|line| line.starts_with("tagqueries"));
    let row: Vec<&str> = row.unwrap().split_whitespace().collect();
    assert_eq!(
        row,
        [
            "tagqueries",
            "tags.tagscope.dev/v1alpha1",
            "true",
            "TagQuery",
            "create"
        ]
    );
    for path in [
        "tagquery",
        "tagquery.spec",
        "tagquery.spec.imageRepositoryRef",
        "tagquery.spec.policy.semver.range",
        "tagquery.spec.governance",
        "tagquery.status",
        "tagquery.status.rejected",
        "tagquery.status.counts",
        "tagquery.status.error",
    ] {
        let text = cluster.kubectl(&["explain", path]).await.ok();
        assert!(
            text.contains("KIND:       TagQuery") && text.contains("DESCRIPTION:"),
            "{text}"
        );
        assert!(
            !text.contains("<no description>") && !text.contains("<empty>"),
            "{path}: {text}"
        );
    }
    let all = cluster
        .kubectl(&["explain", "tagquery", "--recursive"])
        .await
        .ok();
    for field in ["exclusionList", "minimumAge", "rejectedOmitted", "revision"] {
        assert!(all.contains(field), "{field}: {all}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_are_taken_as_they_stand() {
    let world = World::shared().await;
    let ns = &world.cluster.namespace("query-examples").await;
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/tagqueries");
    let mut files = 0;
    for entry in fs::read_dir(dir).unwrap() {
        let file = entry.unwrap().path().display().to_string();
        let args = [
            "create",
            "--validate=strict",
            "-n",
            ns,
            "-f",
            &file,
            "-o",
            "json",
        ];
        let said = world.cluster.kubectl(&args).await;
        assert!(
            said.success && said.stderr.is_empty(),
            "{file}: {}",
            said.stderr
        );
        let answer: Value = serde_json::from_str(&said.stdout).unwrap();
        if file.ends_with("inline.yaml") {
            assert_eq!(answer["status"]["latest"]["tag"], "6.6.1");
        }
        files += 1;
    }
    assert!(files >= 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_elects_a_query_is_answered_all_the_same() {
    let world = World::start(&["--controllers=*,-imagepolicy"]).await;
    let ns = &world.cluster.namespace("nobody").await;
    let repository = format!("{ns}/app");
    let tags = ["1.0.0", "1.1.0"];
    world.cluster.registry.push(&repository, &tags).await;
    world.scan(ns, "app", &repository).await;
    world.create_policy(ns, "app", "app", "1.x").await;
    eventually(SOON, "the policy is known", || async {
        let answer = ask(&world, ns, "imagePolicyRef: {name: app}").await;
        match answer["status"]["latest"]["tag"].as_str() {
            Some("1.1.0") => Ok(()),
            _ => Err(answer.to_string()),
        }
    })
    .await;
    let policy = world.get(&["imagepolicy", "app", "-n", ns]).await;
    assert_eq!(policy["status"]["latestRef"], Value::Null, "{policy}");
}
