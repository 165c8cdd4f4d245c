//! The main job: what is pushed at the source is scanned, copied, verified, and only then elected.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{apply, elects, get, mirror, policy, ready, repository, request, says};
use crate::harness::eventually;
use crate::mirror::yard::{Kind, Registry};
use crate::world::{SOON, World};

/// From the push until it is elected, on a machine that is busy with everything else.
const LIMIT: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pushed_is_copied_verified_and_then_elected() {
    let world = World::shared().await;
    let (cluster, source) = (&world.cluster, &world.cluster.registry);
    let destination = Registry::start(Kind::Distribution).await.unwrap();
    let ns = &cluster.namespace("mirrored").await;
    let path = &format!("{ns}/app");
    let pushed = source.push_index(path, &["1.0.0"]).await;
    let followed = json!({ "tags": { "imagePolicyRefs": [{ "name": "app" }] }, "referrers": true });
    apply(
        cluster,
        &[
            repository(ns, "app", &source.image(path)),
            policy(ns, "app", ">=1.0.0", Some("app")),
            mirror(ns, "app", "app", &destination.address, followed),
        ],
    )
    .await;
    elects(cluster, ns, "app", "1.0.0").await;
    says(cluster, ns, "app", "1/1").await;
    let there = destination.check(&[path]).await.unwrap();
    assert_eq!(there.len(), 1, "{there:?}");
    assert!(there[0].contains(&pushed[0]), "{there:?}");

    // Again and again, with the times at which each step was first seen.
    for number in 1..=3 {
        let tag = &format!("1.{number}.0");
        source.push_index(path, &[tag]).await;
        let begin = Instant::now();
        request(cluster, ns, "imagerepository/app").await;
        let mut seen: BTreeMap<&str, Duration> = BTreeMap::new();
        let name = &format!("app:{tag}");
        while !seen.contains_key("elected") {
            let passed = begin.elapsed();
            assert!(passed < SOON, "{seen:?}");
            // What comes first is asked for last, so that no later step is seen before an earlier one.
            let object = get(cluster, ns, &["imagepolicy", "app"]).await.unwrap();
            let is_elected = object["status"]["latestRef"]["tag"] == tag.as_str();
            let of_mirror = get(cluster, ns, &["imagemirror", "app"]).await.unwrap();
            let is_verified = of_mirror["status"]["outcomes"]
                .as_array()
                .is_some_and(|all| all.iter().any(|one| one["tag"] == tag.as_str()))
                && ready(&of_mirror).0 == "True";
            let is_copied = destination.tags(path).await.contains(tag);
            let is_scanned = get(cluster, ns, &["imagetag", name]).await.is_ok();
            let steps = [
                ("scanned", is_scanned),
                ("copied", is_copied),
                ("verified", is_verified),
                ("elected", is_elected),
            ];
            for (step, _) in steps.into_iter().filter(|(_, has_come)| *has_come) {
                seen.entry(step).or_insert_with(|| begin.elapsed());
            }
            assert!(
                !is_elected || (is_copied && is_scanned),
                "elected before it was there: {steps:?}"
            );
        }
        eprintln!("{tag}: {seen:?}");
        assert!(seen["elected"] < LIMIT, "{seen:?}");
    }
    says(cluster, ns, "app", "1/1").await;
    let there = destination.check(&[path]).await.unwrap();
    assert_eq!(there.len(), 4, "{there:?}");

    let table = cluster.kubectl(&["get", "imirror", "-n", ns]).await.ok();
    let lines: Vec<&str> = table.lines().collect();
    let header: Vec<&str> = lines[0]
        .split("  ")
        .map(str::trim)
        .filter(|word| !word.is_empty())
        .collect();
    let expected = [
        "NAME", "SOURCE", "MIRRORED", "DRIFT", "READY", "STATUS", "LAST RUN", "AGE",
    ];
    assert_eq!(header, expected, "{table}");
    for word in ["1/1", " 0 ", "True"] {
        assert!(lines[1].contains(word), "{table}");
    }
    let wide = ["get", "imirror", "-n", ns, "-o", "wide"];
    let wide = cluster.kubectl(&wide).await.ok();
    assert!(wide.contains(&destination.address), "{wide}");
}

/// Without a mirror that has it, an election stays as it is and says why.
#[tokio::test(flavor = "multi_thread")]
async fn an_election_waits_for_a_destination_that_is_away() {
    let world = World::shared().await;
    let (cluster, source) = (&world.cluster, &world.cluster.registry);
    let destination = Registry::start(Kind::Distribution).await.unwrap();
    let address = destination.address.clone();
    let ns = &cluster.namespace("waits").await;
    let path = &format!("{ns}/app");
    source.push(path, &["1.0.0"]).await;
    let followed = json!({ "tags": { "imagePolicyRefs": [{ "name": "app" }] } });
    apply(
        cluster,
        &[
            repository(ns, "app", &source.image(path)),
            policy(ns, "app", ">=1.0.0", Some("app")),
            mirror(ns, "app", "app", &address, followed),
        ],
    )
    .await;
    elects(cluster, ns, "app", "1.0.0").await;
    drop(destination);
    source.push(path, &["1.1.0"]).await;
    request(cluster, ns, "imagerepository/app").await;
    eventually(
        SOON,
        "the mirror has failed, and the election stands",
        || async {
            let of_mirror = get(cluster, ns, &["imagemirror", "app"]).await?;
            let of_policy = get(cluster, ns, &["imagepolicy", "app"]).await?;
            assert_eq!(of_policy["status"]["latestRef"]["tag"], "1.0.0");
            let has_failed = ready(&of_mirror).0 == "False";
            has_failed
                .then_some(())
                .ok_or_else(|| of_mirror["status"].to_string())
        },
    )
    .await;
    let _destination = Registry::start_at(Kind::Distribution, &address).await;
    request(cluster, ns, "imagemirror/app").await;
    elects(cluster, ns, "app", "1.1.0").await;
    says(cluster, ns, "app", "1/1").await;
}
