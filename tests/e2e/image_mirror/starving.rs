//! A mirror that copies a large layer keeps no scan waiting.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{apply, get, mirror, repository, request, says};
use crate::harness::eventually;
use crate::mirror::yard::{Kind, Registry};
use crate::world::{SOON, World};

/// MiB of the layer. What matters is that it is copied for as long as the scans take.
const LAYER: &str = "256";
const SCANS: usize = 8;
/// What a scan may take longer beside a copy, on a machine that is busy with everything else.
const LIMIT: Duration = Duration::from_secs(3);

/// Scans of a repository of the same registry, one after the other: the median, and the longest.
async fn scans(world: &World, ns: &str) -> (Duration, Duration) {
    let mut took = Vec::new();
    for _ in 0..SCANS {
        let begin = Instant::now();
        let token = request(&world.cluster, ns, "imagerepository/small").await;
        eventually(SOON, "it is scanned", || async {
            let object = get(&world.cluster, ns, &["imagerepository", "small"]).await?;
            let handled = &object["status"]["lastHandledReconcileAt"];
            (*handled == token.as_str())
                .then_some(())
                .ok_or_else(|| handled.to_string())
        })
        .await;
        took.push(begin.elapsed());
    }
    took.sort();
    (took[took.len() / 2], took[took.len() - 1])
}

#[tokio::test(flavor = "multi_thread")]
async fn scans_do_not_wait_for_a_large_layer() {
    let world = World::shared().await;
    let cluster = &world.cluster;
    let source = Registry::start(Kind::Distribution).await.unwrap();
    let destination = Registry::start(Kind::Distribution).await.unwrap();
    source.kit("layer", &["big/one", LAYER]).await.unwrap();
    source.kit("images", &["1", "2"]).await.unwrap();
    let ns = &cluster.namespace("starving").await;
    let objects = [
        repository(ns, "small", &source.image("team/app-0")),
        repository(ns, "big", &source.image("big/one")),
    ];
    apply(cluster, &objects).await;
    world.wait_ready(ns, "imagerepository/small").await;
    let (alone, longest_alone) = scans(world, ns).await;

    // As fast as it goes would be over too soon to measure anything.
    let slow = json!({ "bandwidth": "10MiB" });
    apply(
        cluster,
        &[mirror(ns, "big", "big", &destination.address, slow)],
    )
    .await;
    eventually(SOON, "bytes arrive", || async {
        let arrived = destination.uploading();
        (arrived > 1 << 20).then_some(()).ok_or(arrived)
    })
    .await;
    let (beside, longest_beside) = scans(world, ns).await;
    assert!(
        destination.tags("big/one").await.is_empty(),
        "the copy was over too soon"
    );
    eprintln!(
        "a scan takes {alone:?} (at most {longest_alone:?}) alone, {beside:?} (at most {longest_beside:?}) beside a copy"
    );
    assert!(beside < alone + LIMIT, "{beside:?}, alone {alone:?}");
    // The rest without a brake.
    let fast = json!({ "bandwidth": "1GiB" });
    apply(
        cluster,
        &[mirror(ns, "big", "big", &destination.address, fast)],
    )
    .await;
    says(cluster, ns, "big", "1/1").await;
    assert_eq!(
        destination.check(&["big/one"]).await.unwrap(),
        source.check(&["big/one"]).await.unwrap()
    );
}
