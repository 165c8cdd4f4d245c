//! What the main job costs: an election, a round of scans, a list of everything.
//!
//! Plain and printed, to be read next to the machine it ran on.
#![allow(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a benchmark prints, and may be blunt"
)]

#[path = "../tests/it"]
mod it {
    #[allow(
        dead_code,
        unused_imports,
        reason = "the benchmark needs only a part of it"
    )]
    pub(crate) mod fake_registry;
}

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use http::{Method, Request};
use it::fake_registry::{FakeRegistry, Route};
use jiff::Timestamp;
use tagscope::apiserver::request_info::RequestInfo;
use tagscope::apiserver::resources::Tags;
use tagscope::apiserver::response::Payload;
use tagscope::clock::SystemClock;
use tagscope::image::{Repository, Tag};
use tagscope::object::Key;
use tagscope::policy::{Candidates, Choice, Policy, TagFilter, elect};
use tagscope::registry::{Access, Client, Deadline, Settings};
use tagscope::scan::{Exclusion, Form, sift};
use tagscope::store::{Owner, Scan, Store};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const RUNS: usize = 7;

fn main() {
    // Fails only when there is a provider already.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    elections();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(lists());
    runtime.block_on(scans());
}

/// The best of several runs, in milliseconds.
fn best<T>(mut run: impl FnMut() -> T) -> f64 {
    let times = (0..RUNS).map(|_| {
        let start = Instant::now();
        std::hint::black_box(run());
        start.elapsed().as_secs_f64() * 1e3
    });
    times.fold(f64::INFINITY, f64::min)
}

/// `count` different versions, in an order that is no order.
fn versions(count: usize) -> Vec<String> {
    let all = (0..count).map(|n| format!("v{}.{}.{}", n / 2500, n / 50 % 50, n % 50));
    all.collect()
}

fn elections() {
    let mut tags = versions(100_000);
    tags.sort_by(|a, b| b.cmp(a));
    let collect = || Candidates::visit(|take| tags.iter().for_each(|tag| take(tag)));
    let range = Choice {
        semver: Some(">=1.0.0 <30.0.0"),
        ..Choice::default()
    };
    let policy = Policy::from_choice(range).unwrap();
    let first = best(|| elect(&policy, None, &collect()).unwrap().to_owned());
    let candidates = collect();
    let next = best(|| elect(&policy, None, &candidates).unwrap().to_owned());
    println!(
        "election, semver, 100,000 tags: {first:.1} ms, parsing included; each further policy {next:.1} ms"
    );
    let filter = TagFilter::new(r"^v(?P<major>\d+)\.(?P<minor>\d+)\.0$", "$major$minor").unwrap();
    let order = Choice {
        numerical: Some("asc"),
        ..Choice::default()
    };
    let policy = Policy::from_choice(order).unwrap();
    let filtered = best(|| {
        elect(&policy, Some(&filter), &candidates)
            .unwrap()
            .to_owned()
    });
    println!("election, filterTags with extract, numerical, 100,000 tags: {filtered:.1} ms");
}

fn owner(n: usize) -> Owner {
    Owner {
        key: Key::new("default", format!("repository-{n:04}")),
        uid: format!("00000000-0000-4000-8000-{n:012}"),
        created: Timestamp::UNIX_EPOCH,
        labels: BTreeMap::new(),
    }
}

async fn lists() {
    let store = Store::in_memory(Arc::new(SystemClock));
    let tags: Vec<Tag> = versions(1000)
        .iter()
        .map(|tag| tag.parse().unwrap())
        .collect();
    for n in 0..100 {
        let scan = Scan {
            owner: owner(n),
            image: format!("registry.example.org/team/repository-{n:04}")
                .parse()
                .unwrap(),
            tags: tags.clone(),
            aside: Vec::new(),
            revision: "1".into(),
            time: Timestamp::UNIX_EPOCH,
            complete: true,
            dating: tagscope::store::Dating::AtFirst,
        };
        store.commit_scan(scan).unwrap();
    }
    let served = Tags::new(store, Arc::new(SystemClock), CancellationToken::new());
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    for (name, accept) in [("JSON", "application/json"), ("Table", table)] {
        list(&served, name, accept).await;
    }
}

async fn list(served: &Tags, name: &str, accept: &str) {
    let (mut bytes, mut whole, mut first) = (0, Duration::MAX, Duration::MAX);
    for _ in 0..RUNS {
        let request =
            Request::get("/apis/tags.tagscope.dev/v1alpha1/imagetags").header("accept", accept);
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let info = RequestInfo::parse(&Method::GET, &parts.uri);
        let start = Instant::now();
        bytes = 0;
        match served.respond(&parts, &info).await.into_body() {
            Payload::Full(all) => {
                first = first.min(start.elapsed());
                bytes = all.len();
            }
            Payload::Stream(mut chunks) => {
                while let Some(chunk) = chunks.next().await {
                    if bytes == 0 {
                        first = first.min(start.elapsed());
                    }
                    bytes += chunk.len();
                }
            }
        }
        whole = whole.min(start.elapsed());
    }
    println!(
        "LIST of 100,000 tags as {name}: {:.0} ms, {bytes} bytes, first byte after {:.2} ms",
        whole.as_secs_f64() * 1e3,
        first.as_secs_f64() * 1e3
    );
}

/// 1,000 repositories of 1,000 tags, from a registry in this process: listed, sifted, hashed and committed.
async fn scans() {
    let fake = FakeRegistry::start().await;
    let tags = versions(1000);
    for n in 0..1000 {
        fake.add_repository(
            &format!("team/repository-{n:04}"),
            tags.iter().map(String::as_str),
        );
    }
    let store = Store::in_memory(Arc::new(SystemClock));
    let client = Client::new(Settings::default());
    let exclusion = Exclusion::compile(&[r"^.*\.sig$".to_owned()]).unwrap();
    let start = Instant::now();
    futures::stream::iter(0..1000)
        .for_each_concurrent(16, |n| {
            let image: Repository = fake
                .image(&format!("team/repository-{n:04}"))
                .parse()
                .unwrap();
            let (client, store, exclusion) = (&client, &store, &exclusion);
            async move {
                let deadline = Deadline::after(Duration::from_mins(1));
                let list = client
                    .list_tags(&image, &Access::default(), deadline)
                    .await
                    .unwrap();
                let sifted = sift(list.tags, exclusion);
                let revision = Form::choose(None, false).revision(&sifted.tags);
                let scan = Scan {
                    owner: owner(n),
                    image,
                    tags: sifted.tags,
                    aside: sifted.aside,
                    revision,
                    time: Timestamp::UNIX_EPOCH,
                    complete: true,
                    dating: tagscope::store::Dating::AtFirst,
                };
                store.commit_scan(scan).unwrap();
            }
        })
        .await;
    let took = start.elapsed().as_secs_f64();
    println!(
        "scans, 1,000 repositories × 1,000 tags: {took:.2} s, the registry in the same process; {} list requests, {} tags held",
        fake.count(Route::List),
        store.snapshot().tag_count()
    );
}
