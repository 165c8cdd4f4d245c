//! Every way in which kubectl asks, answered as by a built-in kind.

use serde_json::Value;

use crate::world::World;

/// A namespace with one repository of four tags, `1.1.0` elected.
async fn stage(world: &World, name: &str) -> String {
    let ns = world.cluster.namespace(name).await;
    let repository = format!("{name}/app");
    world
        .cluster
        .registry
        .push(&repository, &["1.0.0", "1.1.0", "2.0.0-rc.1", "latest"])
        .await;
    world.scan(&ns, "app", &repository).await;
    world.create_policy(&ns, "pinned", "app", "1.x").await;
    world.elects(&ns, "pinned", "1.1.0").await;
    ns
}

async fn names(world: &World, args: &[&str]) -> Vec<String> {
    let args = [&["get", "imagetags", "-o", "name"], args].concat();
    let names = world.cluster.kubectl(&args).await.ok();
    names
        .lines()
        .map(|line| {
            line.trim_start_matches("imagetag.tags.tagscope.dev/")
                .to_owned()
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn selectors_choose() {
    let world = World::shared().await;
    let ns = &stage(world, "selectors").await;
    let image = world.cluster.registry.image("selectors/app");
    let by_image = format!("image={image}");
    let table: [(&[&str], &[&str]); 8] = [
        (&["-l", "tags.tagscope.dev/selected=true"], &["app:1.1.0"]),
        (
            &["-l", "tags.tagscope.dev/selected!=true"],
            &["app:1.0.0", "app:2.0.0-rc.1", "app:latest"],
        ),
        (
            &[
                "-l",
                "tags.tagscope.dev/repository in (app,other)",
                "--field-selector",
                "tag=latest",
            ],
            &["app:latest"],
        ),
        (
            &["--field-selector", "metadata.name=app:1.0.0"],
            &["app:1.0.0"],
        ),
        (
            &["--field-selector", "tag!=latest"],
            &["app:1.0.0", "app:1.1.0", "app:2.0.0-rc.1"],
        ),
        (&["--field-selector", "repository=nobody"], &[]),
        (
            &["--field-selector", &by_image],
            &["app:1.0.0", "app:1.1.0", "app:2.0.0-rc.1", "app:latest"],
        ),
        (
            &["--chunk-size=1"],
            &["app:1.0.0", "app:1.1.0", "app:2.0.0-rc.1", "app:latest"],
        ),
    ];
    for (args, expected) in table {
        let args = [args, &["-n", ns]].concat();
        assert_eq!(names(world, &args).await, expected, "{args:?}");
    }
    let wrong = world
        .cluster
        .kubectl(&[
            "get",
            "imagetags",
            "-n",
            ns,
            "--field-selector",
            "colour=red",
        ])
        .await;
    assert!(!wrong.success);
    assert!(
        wrong
            .stderr
            .contains("\"colour\" is not a known field selector"),
        "{}",
        wrong.stderr
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_output_works() {
    let world = World::shared().await;
    let cluster = &world.cluster;
    let ns = &stage(world, "outputs").await;
    let wide = cluster
        .kubectl(&["get", "imgtag", "-n", ns, "-o", "wide"])
        .await
        .ok();
    assert!(wide.lines().next().unwrap().contains("VERSION"), "{wide}");
    let yaml = cluster
        .kubectl(&["get", "imgtag", "app:1.1.0", "-n", ns, "-o", "yaml"])
        .await
        .ok();
    assert!(yaml.contains("kind: ImageTag"), "{yaml}");
    let all = cluster.kubectl(&["get", "imagetags", "-A"]).await.ok();
    assert!(
        all.lines().next().unwrap().starts_with("NAMESPACE"),
        "{all}"
    );
    let sets = cluster.kubectl(&["get", "tset", "-n", ns]).await.ok();
    let header: Vec<&str> = sets.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(header, ["NAME", "IMAGE", "TAGS", "COMPLETE", "SCANNED"]);
    let described = cluster
        .kubectl(&["describe", "imagetag", "app:1.1.0", "-n", ns])
        .await
        .ok();
    assert!(
        described.contains("Tag:") && described.contains("pinned"),
        "{described}"
    );
    let jsonpath = cluster
        .kubectl(&[
            "get",
            "imagetag",
            "app:1.1.0",
            "-n",
            ns,
            "-o",
            "jsonpath={.version.minor}",
        ])
        .await
        .ok();
    assert_eq!(jsonpath, "1");
    cluster
        .kubectl(&[
            "wait",
            "--for=jsonpath={.tag}=1.1.0",
            "imagetag/app:1.1.0",
            "-n",
            ns,
            "--timeout=20s",
        ])
        .await
        .ok();
    let sorted = cluster
        .kubectl(&[
            "get",
            "imagetags",
            "-n",
            ns,
            "--sort-by=.tag",
            "--no-headers",
        ])
        .await
        .ok();
    assert_eq!(sorted.lines().count(), 4, "{sorted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_election_can_be_waited_for() {
    let world = World::shared().await;
    let ns = &stage(world, "waiting").await;
    let wait = async |tag: &str, timeout: &str| {
        let timeout = format!("--timeout={timeout}");
        let selected = ["wait", "--for=jsonpath={.selectedBy}", tag, "-n", ns];
        world
            .cluster
            .kubectl(&[&selected[..], &[&timeout]].concat())
            .await
    };
    wait("imgtag/app:1.1.0", "20s").await.ok();
    let not_elected = wait("imgtag/app:1.0.0", "1s").await;
    assert!(
        not_elected.stderr.contains("timed out waiting"),
        "{not_elected:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kinds_explain_themselves() {
    let world = World::shared().await;
    let cluster = &world.cluster;
    let resources = cluster
        .kubectl(&[
            "api-resources",
            "--api-group=tags.tagscope.dev",
            "--no-headers",
        ])
        .await
        .ok();
    let rows: Vec<Vec<&str>> = resources
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert!(
        rows.contains(&vec![
            "imagetags",
            "imgtag",
            "tags.tagscope.dev/v1alpha1",
            "true",
            "ImageTag"
        ]),
        "{resources}"
    );
    assert!(
        rows.contains(&vec![
            "tagsets",
            "tset",
            "tags.tagscope.dev/v1alpha1",
            "true",
            "TagSet"
        ]),
        "{resources}"
    );
    for path in [
        "imagetag",
        "imagetag.selectedBy",
        "imagetag.version",
        "tagset",
        "tagset.tags",
    ] {
        let text = cluster.kubectl(&["explain", path]).await.ok();
        assert!(text.contains("tags.tagscope.dev"), "{text}");
        assert!(text.contains("DESCRIPTION:"), "{text}");
        assert!(
            !text.contains("<no description>") && !text.contains("<empty>"),
            "{path}: {text}"
        );
    }
    let everything = cluster.kubectl(&["get", "all", "-A"]).await.ok();
    assert!(
        !everything.contains("imagetag.tags"),
        "never in category all: {everything}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_refused_in_kubernetes_own_words() {
    let world = World::shared().await;
    let cluster = &world.cluster;
    let ns = &stage(world, "refused").await;
    let absent = cluster
        .kubectl(&["get", "imagetag", "app:9.9.9", "-n", ns])
        .await;
    assert!(
        absent
            .stderr
            .contains("(NotFound): imagetags.tags.tagscope.dev \"app:9.9.9\" not found"),
        "{}",
        absent.stderr
    );
    let delete = cluster
        .kubectl(&["delete", "imagetag", "app:1.0.0", "-n", ns])
        .await;
    assert!(!delete.success);
    assert!(
        delete.stderr.contains("MethodNotAllowed"),
        "{}",
        delete.stderr
    );
    let tag = "{apiVersion: tags.tagscope.dev/v1alpha1, kind: ImageTag, metadata: {name: \"a:b\"}}";
    let create = cluster
        .kubectl_with_input(&["create", "--validate=false", "-n", ns, "-f", "-"], tag)
        .await;
    assert!(!create.success);
    assert!(
        create.stderr.contains("MethodNotAllowed"),
        "{}",
        create.stderr
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_carry_what_clients_rely_on() {
    let world = World::shared().await;
    let ns = &stage(world, "objects").await;
    let raw = world
        .cluster
        .kubectl(&[
            "get",
            "--raw",
            &format!("/apis/tags.tagscope.dev/v1alpha1/namespaces/{ns}/imagetags"),
        ])
        .await
        .ok();
    let list: Value = serde_json::from_str(&raw).unwrap();
    let items = list["items"].as_array().unwrap();
    let uids: std::collections::HashSet<&str> = items
        .iter()
        .map(|i| i["metadata"]["uid"].as_str().unwrap())
        .collect();
    assert_eq!(uids.len(), items.len(), "uids are unique");
    let newest: u64 = list["metadata"]["resourceVersion"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    for item in items {
        let own: u64 = item["metadata"]["resourceVersion"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!(own <= newest, "{item}");
        assert!(item["metadata"]["creationTimestamp"].is_string(), "{item}");
        assert_eq!(
            item["metadata"]["labels"]["tags.tagscope.dev/repository"],
            "app"
        );
        assert_eq!(item["metadata"]["managedFields"], Value::Null);
    }
}
