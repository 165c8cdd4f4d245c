//! What lists cost: allocations, counted, while they run over a million tags.

use std::sync::Arc;

use futures::StreamExt as _;
use http::{Method, Request};
use tagscope::apiserver::request_info::RequestInfo;
use tagscope::apiserver::resources::Tags;
use tagscope::apiserver::response::Payload;
use tagscope::clock::SystemClock;
use tagscope::store::Store;
use tokio_util::sync::CancellationToken;

use super::{ALLOCATOR, REPOSITORIES, TAGS, held};

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

/// What an answer cost.
struct Cost {
    bytes: usize,
    allocations: usize,
    allocated: usize,
    /// Bytes held at most, beside what was held before.
    peak: usize,
}

/// Takes everything, as a client would, and keeps nothing.
async fn take(tags: &Tags, path: &str, accept: &str) -> Cost {
    let request =
        Request::get(format!("/apis/tags.tagscope.dev/v1alpha1/{path}")).header("accept", accept);
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let info = RequestInfo::parse(&Method::GET, &parts.uri);
    let (before, held_before) = (ALLOCATOR.stats(), held());
    let (mut bytes, mut peak) = (0, 0);
    match tags.respond(&parts, &info).await.into_body() {
        Payload::Full(all) => bytes = all.len(),
        Payload::Stream(mut chunks) => {
            while let Some(chunk) = chunks.next().await {
                bytes += chunk.len();
                peak = peak.max(held().saturating_sub(held_before));
            }
        }
    }
    let after = ALLOCATOR.stats();
    Cost {
        bytes,
        allocations: after.allocations + after.reallocations
            - before.allocations
            - before.reallocations,
        allocated: after.bytes_allocated - before.bytes_allocated,
        peak,
    }
}

/// An object of a list costs no allocation: a chunk and a repository do.
pub(super) fn lists_are_cheap(store: &Store) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let tags = Tags::new(
        store.clone(),
        Arc::new(SystemClock),
        CancellationToken::new(),
    );
    runtime.block_on(async {
        // In one of twenty namespaces is a twentieth.
        for (name, path, all, accept) in [
            ("JSON", "imagetags", REPOSITORIES * TAGS, "application/json"),
            ("Table", "namespaces/team-7/imagetags", REPOSITORIES * TAGS / 20, TABLE),
        ] {
            let cost = take(&tags, path, accept).await;
            println!(
                "LIST of {all} as {name}: {} bytes, {:.3} allocations per object, {} bytes held at most",
                cost.bytes,
                cost.allocations as f64 / all as f64,
                cost.peak
            );
            assert!(cost.allocations * 10 <= all, "{} allocations", cost.allocations);
            assert!(cost.peak <= 200 << 10, "{} bytes at once", cost.peak);
        }
        for path in [
            "imagetags?limit=500",
            "namespaces/team-7/imagetags?limit=500",
            "imagetags?limit=500&labelSelector=team%3Dplatform",
            "imagetags?limit=500&fieldSelector=repository%3Drepository-999",
        ] {
            let cost = take(&tags, path, "application/json").await;
            println!("{path}: {} bytes, {} allocations", cost.bytes, cost.allocations);
            assert!(cost.bytes > 200_000, "a page of 500");
            assert!(cost.allocations <= 150, "{} allocations", cost.allocations);
            // Chunks have some room behind what they hold.
            assert!(cost.allocated <= cost.bytes * 3 / 2 + (64 << 10), "{} bytes", cost.allocated);
        }
        // What is dropped is not made: not for a thousand repositories.
        for query in [
            "labelSelector=team%3Dnobody",
            "labelSelector=tags.tagscope.dev/selected",
            "fieldSelector=image%3Dghcr.io/nobody/nothing",
            "fieldSelector=tag%3Dnothing",
            "fieldSelector=tag!%3Dnothing,digest%3Dsha256:0",
        ] {
            let cost = take(&tags, &format!("imagetags?{query}"), "application/json").await;
            println!("{query}: {} bytes, {} allocations", cost.bytes, cost.allocations);
            assert!(cost.bytes < 200, "nothing is selected");
            let most = if query.contains("tag%3D") { 3 * REPOSITORIES } else { 60 };
            assert!(cost.allocations <= most, "{} allocations", cost.allocations);
        }
    });
}
