//! The main job, as its user sees it: a real registry is scanned, a tag elected, and kubectl shows both.

use crate::harness::eventually;
use crate::world::{COMPONENTS, SOON, World};

#[tokio::test(flavor = "multi_thread")]
async fn tags_of_a_real_registry_are_listed_and_a_pushed_one_is_elected() {
    let world = World::shared().await;
    let (cluster, registry) = (&world.cluster, &world.cluster.registry);
    let ns = &cluster.namespace("main").await;
    registry
        .push("main/app", &["1.0.0", "1.1.0", "2.0.0-rc.1", "latest"])
        .await;
    world.scan(ns, "app", "main/app").await;
    world.create_policy(ns, "app", "app", "1.x").await;
    world.elects(ns, "app", "1.1.0").await;

    let table = cluster.kubectl(&["get", "imagetags", "-n", ns]).await.ok();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 5, "{table}");
    let header: Vec<&str> = lines[0]
        .split("  ")
        .map(str::trim)
        .filter(|w| !w.is_empty())
        .collect();
    assert_eq!(
        header,
        ["NAME", "IMAGE", "TAG", "SELECTED BY", "FIRST SEEN"]
    );
    assert!(lines[2].starts_with("app:1.1.0 "), "{table}");
    assert!(lines[2].contains(&registry.image("main/app")), "{table}");
    assert!(lines[2].contains("app"), "{table}");

    // Somebody watches, somebody else pushes.
    let watch = cluster.kubectl_following(&[
        "get",
        "imgtag",
        "-n",
        ns,
        "-l",
        "tags.tagscope.dev/selected=true",
        "-w",
    ]);
    eventually(SOON, "the watch shows what is elected", || async {
        watch
            .log()
            .contains("app:1.1.0")
            .then_some(())
            .ok_or_else(|| watch.log())
    })
    .await;
    registry.push("main/app", &["1.2.0"]).await;
    world.request_scan(ns, "app").await;
    world.elects(ns, "app", "1.2.0").await;
    eventually(SOON, "the watch shows the election", || async {
        watch
            .log()
            .contains("app:1.2.0")
            .then_some(())
            .ok_or_else(|| watch.log())
    })
    .await;

    let tag = world.get(&["imagetag", "app:1.2.0", "-n", ns]).await;
    assert_eq!(tag["tag"], "1.2.0");
    assert_eq!(tag["repository"], "app");
    assert_eq!(
        tag["selectedBy"],
        serde_json::json!([{"namespace": ns, "name": "app"}])
    );
    assert!(
        tag["firstSeen"].is_string(),
        "pushed after the first scan: {tag}"
    );
    let old = world.get(&["imagetag", "app:1.1.0", "-n", ns]).await;
    assert!(old["firstSeen"].is_null(), "there at the first scan: {old}");
    assert!(
        old["selectedBy"].as_array().is_none_or(Vec::is_empty),
        "{old}"
    );

    let policy = cluster
        .kubectl(&["get", "imagepolicy", "-n", ns])
        .await
        .ok();
    assert!(policy.contains("1.2.0"), "{policy}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_is_written_after_its_tags_are_served() {
    let world = World::shared().await;
    let cluster = &world.cluster;
    let ns = &cluster.namespace("order").await;
    cluster
        .registry
        .push("order/app", &["1.0.0", "1.0.1"])
        .await;
    world.create_repository(ns, "app", "order/app").await;
    world.wait_ready(ns, "imagerepository/app").await;
    // No waiting in between: Ready means served.
    let served = world.get(&["imagetags", "-n", ns]).await;
    assert_eq!(
        served["items"].as_array().map(Vec::len),
        Some(2),
        "{served}"
    );
    let set = world.get(&["tagset", "app", "-n", ns]).await;
    let status = world.get(&["imagerepository", "app", "-n", ns]).await;
    assert_eq!(
        set["revision"],
        status["status"]["lastScanResult"]["revision"]
    );
    assert_eq!(set["tagCount"], 2);
    assert_eq!(set["complete"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_with_tags_can_be_deleted() {
    let world = World::shared().await;
    let cluster = &world.cluster;
    let ns = &cluster.namespace("gone").await;
    cluster.registry.push("gone/app", &["1.0.0"]).await;
    world.scan(ns, "app", "gone/app").await;
    world.create_policy(ns, "app", "app", "*").await;
    world.elects(ns, "app", "1.0.0").await;
    cluster
        .kubectl(&["delete", "namespace", ns, "--timeout=60s"])
        .await
        .ok();
    eventually(SOON, "no tag of it is served", || async {
        let tags = world.get(&["imagetags", "-A"]).await;
        let left = tags["items"].as_array().is_some_and(|items| {
            items
                .iter()
                .any(|item| item["metadata"]["namespace"] == ns.as_str())
        });
        if left { Err(tags.to_string()) } else { Ok(()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_see_tags_by_aggregation_and_others_do_not() {
    let world = World::shared().await;
    let cluster = &world.cluster;
    let ns = &cluster.namespace("rights").await;
    cluster.registry.push("rights/app", &["1.0.0"]).await;
    world.scan(ns, "app", "rights/app").await;
    cluster
        .kubectl(&[
            "create",
            "rolebinding",
            "viewer",
            "-n",
            ns,
            "--clusterrole=view",
            "--user=vera",
        ])
        .await
        .ok();
    let as_vera = ["get", "imagetags", "-n", ns, "--as=vera"];
    eventually(SOON, "a viewer sees tags", || async {
        cluster.kubectl(&as_vera).await.probe()
    })
    .await;
    let stranger = cluster
        .kubectl(&["get", "imagetags", "-n", ns, "--as=sam"])
        .await;
    assert!(!stranger.success);
    assert!(
        stranger.stderr.contains(
            "imagetags.tags.tagscope.dev is forbidden: User \"sam\" cannot list resource"
        ),
        "{}",
        stranger.stderr
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_control_plane_has_nothing_to_complain_about() {
    let world = World::shared().await;
    let cluster = &world.cluster;
    let ns = &cluster.namespace("quiet").await;
    cluster.registry.push("quiet/app", &["1.0.0"]).await;
    world.scan(ns, "app", "quiet/app").await;
    cluster.kubectl(&["get", "imagetags", "-A"]).await.ok();
    cluster.kubectl(&["explain", "imagetags"]).await.ok();
    for (component, settled) in COMPONENTS.into_iter().zip(world.settled) {
        let log = cluster.log(component);
        let log = &log[settled..];
        let complaints: Vec<&str> = log
            .lines()
            .filter(|line| line.starts_with('E') && line.contains("tagscope"))
            // Its proxy says so whenever a client of a watch goes away, whoever serves it.
            .filter(|line| !line.contains("Timeout or abort while handling"))
            .collect();
        assert!(complaints.is_empty(), "{component}: {complaints:#?}");
    }
}
