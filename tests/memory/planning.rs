//! What it takes to plan many tags: time and memory in proportion to what is asked for.

use std::time::Duration;

use tagscope::image::{Digest, Repository};
use tagscope::mirror::document::Descriptor;
use tagscope::mirror::plan::{Answer, Mount, Plan, Spot, Step, Want};
use tokio::time::Instant;

const TAGS: usize = 2000;
const SHARED: usize = 8;
const OWN: usize = 5;
const MOST_BYTES: usize = 50 << 20;
/// Not to measure it, but to tell what grows with the square: that takes minutes.
const MOST_TIME: Duration = Duration::from_secs(10);

fn blob(name: &str) -> Descriptor {
    Descriptor {
        media_type: "application/vnd.oci.image.layer.v1.tar+gzip".to_owned(),
        digest: Digest::of(name.as_bytes()),
        size: 1000,
    }
}

fn spot(path: &str) -> Spot {
    let repository: Repository = format!("registry.example/{path}").parse().unwrap();
    Spot {
        repository,
        account: 0,
    }
}

fn want(plan: &mut Plan<usize, ()>, blob: &Descriptor, to: &Spot, source: usize) {
    let want = Want {
        blob,
        to,
        source,
        mount: Mount::FromLeader,
    };
    assert!(matches!(plan.want(want, source), Answer::Waits { .. }));
}

/// Wishes of `TAGS` tags, and of as many repositories. `held`, `allocated`: bytes that are allocated now, and that ever
/// were.
pub(crate) fn plans_are_cheap(held: &dyn Fn() -> usize, allocated: &dyn Fn() -> usize) {
    let to = spot("team/app");
    let shared: Vec<_> = (0..SHARED).map(|n| blob(&format!("s{n}"))).collect();
    let own: Vec<_> = (0..TAGS * OWN).map(|n| blob(&format!("o{n}"))).collect();
    let (before, begin) = (held(), Instant::now());
    let mut plan = Plan::default();
    for (tag, own) in own.chunks(OWN).enumerate() {
        for blob in shared.iter().chain(own) {
            want(&mut plan, blob, &to, tag);
        }
    }
    let (bytes, took) = (held() - before, begin.elapsed());
    println!("{bytes} bytes and {took:?} to plan {TAGS} tags with {SHARED} shared layers");
    assert!(bytes <= MOST_BYTES, "{bytes} bytes");
    assert!(took <= MOST_TIME, "{took:?}");
    let mut streams = 0;
    while let Some(Step::Stream { .. }) = plan.next_stream() {
        streams += 1;
    }
    assert_eq!(streams, SHARED + TAGS * OWN);

    let few = base_layer(TAGS, held, allocated);
    assert!(few.took <= MOST_TIME, "{:?}", few.took);
    assert!(few.held <= MOST_BYTES, "{} bytes", few.held);
    // Ten times as many take ten times as much, and a little; a hundred times as much would be minutes.
    let many = base_layer(10 * TAGS, held, allocated);
    assert!(many.allocated <= 15 * few.allocated, "{few:?} {many:?}");
    assert!(many.took <= 5 * MOST_TIME, "{few:?} {many:?}");
}

#[derive(Debug)]
struct Cost {
    held: usize,
    allocated: usize,
    took: Duration,
}

/// One layer of so many repositories: planned, streamed to one and mounted by the others.
fn base_layer(
    repositories: usize,
    held: &dyn Fn() -> usize,
    allocated: &dyn Fn() -> usize,
) -> Cost {
    let base = blob("base");
    let spots: Vec<_> = (0..repositories)
        .map(|n| spot(&format!("team/app-{n}")))
        .collect();
    let (held_before, before, begin) = (held(), allocated(), Instant::now());
    let mut plan = Plan::default();
    for (source, spot) in spots.iter().enumerate() {
        want(&mut plan, &base, spot, source);
    }
    let most = held() - held_before;
    let Some(Step::Stream { to, .. }) = plan.next_stream() else {
        panic!("one is streamed to");
    };
    let mut told = 0;
    for leader in &to {
        told += plan.there(&base, leader).len();
    }
    while let Some(Step::Mount { to, .. }) = plan.next_mount() {
        told += plan.there(&base, &to).len();
    }
    assert_eq!(told, repositories);
    let cost = Cost {
        held: most,
        allocated: allocated() - before,
        took: begin.elapsed(),
    };
    println!("{repositories} repositories with one layer: {cost:?}");
    cost
}
