//! Watches as kubectl prints them, and the rights that they take.

use super::{run, stage};
use crate::harness::eventually;
use crate::world::{SOON, World};

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
                // Columns are as wide as they are, and versions of kubectl differ in how they indent.
                let words: Vec<&str> = log.split_whitespace().collect();
                if words.join(" ").contains(what) || words.concat().contains(what) {
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
    prints(3, r#""type":"ADDED""#).await;
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
    prints(3, r#""type":"DELETED""#).await;
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
