//! Exactly how many requests a copy takes: the floors that no client can be below without knowing more.

use super::*;
use crate::fake_registry::{Image, Layer};

fn three_layers() -> Image {
    Image::sized(1, &[3000, 200, 10])
}

/// The tag `tag` of the repository number `repository`: two platforms over a layer that all have, one of the repository and
/// one of the tag.
fn index(repository: u64, tag: u64) -> Image {
    let layers = || {
        [
            Layer::new(1, 5000),
            Layer::new(1000 + repository, 2000),
            Layer::new(10_000 + 100 * repository + tag, 500),
        ]
    };
    Image::index([
        Image::new(layers()).platform("linux/amd64"),
        Image::new(layers()).platform("linux/arm64"),
    ])
}

#[tokio::test]
async fn a_first_copy_of_an_image_takes_two_requests_for_each_blob_and_one_for_the_manifest() {
    let world = World::new().await;
    let digest = world.source.add_image("team/app", "1.0", &three_layers());
    let done = world.run(vec![world.job("team/app", tag("1.0"))]).await;
    assert_all(&done, &Outcome::Copied);
    assert_counted(&world.source, &[("GET Blob", 4), ("GET Manifest", 1)]);
    // The first is the question whether the tag is there.
    assert_counted(
        &world.destination,
        &[
            ("HEAD Manifest", 1),
            ("POST Upload", 4),
            ("PUT Manifest", 1),
            ("PUT Upload", 4),
        ],
    );
    world.destination.check_whole("team/app");
    assert_eq!(
        world.destination.tag_digest("team/app", "1.0"),
        Some(digest.clone())
    );
    let report = &done.report.tags[0];
    assert_eq!(report.source.as_ref().unwrap().as_str(), digest);
    assert_eq!(report.source, report.destination);
    let totals = &done.report.totals;
    assert_eq!(
        (totals.blobs_copied, totals.manifests, totals.retries),
        (4, 1, 0)
    );
    // The first is for https, which is tried before plain http and has no answer.
    assert_eq!(totals.requests[&world.source.plain_host()], 1 + 5);
    assert_eq!(totals.bytes_read, totals.bytes_written);
}

#[tokio::test]
async fn a_first_copy_of_an_index_takes_one_request_more_for_each_child() {
    let world = World::new().await;
    world.source.add_image("team/app", "1.0", &index(0, 0));
    let done = world.run(vec![world.job("team/app", tag("1.0"))]).await;
    assert_all(&done, &Outcome::Copied);
    assert_counted(&world.source, &[("GET Blob", 5), ("GET Manifest", 3)]);
    assert_counted(
        &world.destination,
        &[
            ("HEAD Manifest", 1),
            ("POST Upload", 5),
            ("PUT Manifest", 3),
            ("PUT Upload", 5),
        ],
    );
    world.destination.check_whole("team/app");
}

#[tokio::test]
async fn a_hundred_tags_of_ten_repositories_take_931_requests_and_then_none() {
    let world = World::new().await;
    let paths: Vec<_> = (0..10).map(|number| format!("team/app-{number}")).collect();
    for (repository, path) in (0..).zip(&paths) {
        for tag in 0..10 {
            world
                .source
                .add_image(path, &format!("1.{tag}"), &index(repository, tag));
        }
    }
    let jobs = || paths.iter().map(|path| world.job(path, all())).collect();
    let done = world.run(jobs()).await;
    assert_all(&done, &Outcome::Copied);
    assert_eq!(done.report.tags.len(), 100);
    assert_counted(
        &world.source,
        &[("GET Blob", 311), ("GET List", 10), ("GET Manifest", 300)],
    );
    assert_counted(
        &world.destination,
        &[
            ("GET List", 10),
            ("POST Upload", 320),
            ("PUT Manifest", 300),
            ("PUT Upload", 311),
        ],
    );
    for path in &paths {
        world.destination.check_whole(path);
    }
    let totals = &done.report.totals;
    assert_eq!((totals.blobs_copied, totals.blobs_mounted), (311, 9));
    assert_eq!(totals.bytes_read, totals.bytes_written);

    world.clear();
    let done = world.run(jobs()).await;
    assert_all(&done, &Outcome::Unchanged);
    assert_counted(&world.source, &[("GET List", 10), ("HEAD Manifest", 100)]);
    assert_counted(&world.destination, &[("GET List", 10)]);

    // With nothing known, one question for each tag, and whether what the indexes name is there, too.
    world.clear();
    let done = world.run_knowing(jobs(), &Known::default()).await;
    assert_all(&done, &Outcome::Unchanged);
    assert_counted(
        &world.source,
        &[
            ("GET List", 10),
            ("GET Manifest", 100),
            ("HEAD Manifest", 100),
        ],
    );
    assert_counted(
        &world.destination,
        &[("GET List", 10), ("HEAD Manifest", 300)],
    );
}

#[tokio::test]
async fn a_new_tag_with_one_new_layer_takes_that_layer_and_a_config() {
    let world = World::new().await;
    world.source.add_image("team/app", "1.0", &three_layers());
    world.run(vec![world.job("team/app", all())]).await;
    let next = Image::new([Layer::new(1, 3000), Layer::new(2, 200), Layer::new(99, 77)]);
    world.source.add_image("team/app", "1.1", &next);
    world.clear();
    let done = world.run(vec![world.job("team/app", all())]).await;
    assert_eq!(
        outcomes(&done),
        [
            ("1.0".to_owned(), Outcome::Unchanged),
            ("1.1".to_owned(), Outcome::Copied)
        ]
    );
    assert_counted(
        &world.source,
        &[
            ("GET Blob", 2),
            ("GET List", 1),
            ("GET Manifest", 1),
            ("HEAD Manifest", 1),
        ],
    );
    assert_counted(
        &world.destination,
        &[
            ("GET List", 1),
            ("POST Upload", 2),
            ("PUT Manifest", 1),
            ("PUT Upload", 2),
        ],
    );
    world.destination.check_whole("team/app");
    assert_eq!(done.report.totals.blobs_skipped, 2);
}

#[tokio::test]
async fn another_name_for_an_index_that_is_there_takes_one_request_on_each_side() {
    let world = World::new().await;
    let digest = world.source.add_image("team/app", "1.0", &index(0, 0));
    world.run(vec![world.job("team/app", all())]).await;
    world.source.set_tag("team/app", "stable", &digest);
    world.clear();
    let done = world.run(vec![world.job("team/app", all())]).await;
    assert_eq!(outcomes(&done)[1], ("stable".to_owned(), Outcome::Copied));
    assert_counted(
        &world.source,
        &[("GET List", 1), ("GET Manifest", 1), ("HEAD Manifest", 1)],
    );
    assert_counted(&world.destination, &[("GET List", 1), ("PUT Manifest", 1)]);
    world.destination.check_whole("team/app");
}

#[tokio::test]
async fn what_a_sibling_has_is_mounted() {
    let world = World::new().await;
    world.source.add_image("team/app", "1.0", &three_layers());
    world.source.add_image("team/other", "1.0", &three_layers());
    world.run(vec![world.job("team/app", tag("1.0"))]).await;
    world.clear();
    let done = world.run(vec![world.job("team/other", tag("1.0"))]).await;
    assert_all(&done, &Outcome::Copied);
    assert_counted(&world.source, &[("GET Manifest", 1)]);
    assert_counted(
        &world.destination,
        &[
            ("HEAD Manifest", 1),
            ("POST Upload", 4),
            ("PUT Manifest", 1),
        ],
    );
    world.destination.check_whole("team/other");
    assert_eq!(done.report.totals.blobs_mounted, 4);
}

#[tokio::test]
async fn a_copy_within_a_registry_moves_no_bytes() {
    let world = World::new().await;
    let registry = &world.source;
    registry.add_image("team/app", "1.0", &index(0, 0));
    let job = job(
        place(registry, "team/app"),
        vec![place(registry, "mirror/app")],
        tag("1.0"),
    );
    let done = world.run(vec![job]).await;
    assert_all(&done, &Outcome::Copied);
    assert_eq!(blobs_asked(registry), 0);
    assert_eq!(done.report.totals.bytes_read, 0);
    assert_eq!(registry.count_of(&Method::PUT, Route::Upload), 0);
    registry.check_whole("mirror/app");
}

#[tokio::test]
async fn another_tag_in_the_same_repository_takes_one_manifest() {
    let world = World::new().await;
    let registry = &world.source;
    registry.add_image("team/app", "1.0", &three_layers());
    let mut job = job(
        place(registry, "team/app"),
        vec![place(registry, "team/app")],
        tag("1.0"),
    );
    job.renamed = Some("stable".parse().unwrap());
    let done = world.run(vec![job]).await;
    assert_all(&done, &Outcome::Copied);
    assert_eq!(registry.count(Route::Upload), 0);
    assert_eq!(
        registry.tag_digest("team/app", "stable"),
        registry.tag_digest("team/app", "1.0")
    );
}

#[tokio::test]
async fn three_destinations_are_written_from_one_reading() {
    let world = World::new().await;
    let others = [FakeRegistry::start().await, FakeRegistry::start().await];
    world.source.add_image("team/app", "1.0", &index(0, 0));
    let destinations = [&world.destination, &others[0], &others[1]];
    let places = destinations.map(|registry| place(registry, "team/app"));
    let job = job(place(&world.source, "team/app"), places.into(), tag("1.0"));
    let done = world.run(vec![job]).await;
    assert_all(&done, &Outcome::Copied);
    assert_counted(&world.source, &[("GET Blob", 5), ("GET Manifest", 3)]);
    for registry in destinations {
        registry.check_whole("team/app");
        assert_eq!(registry.count_of(&Method::PUT, Route::Upload), 5);
    }
    assert_eq!(
        done.report.totals.bytes_written,
        3 * done.report.totals.bytes_read
    );
}

#[tokio::test]
async fn a_dry_run_writes_nothing_and_bounds_what_it_would_take() {
    let mut world = World::new().await;
    for tag in 0..3 {
        world
            .source
            .add_image("team/app", &format!("1.{tag}"), &index(0, tag));
    }
    world.is_dry_run = true;
    let dry = world.run(vec![world.job("team/app", all())]).await;
    assert_all(&dry, &Outcome::Copied);
    assert_counted(&world.source, &[("GET List", 1), ("GET Manifest", 9)]);
    assert_counted(&world.destination, &[("GET List", 1)]);
    world.clear();
    world.is_dry_run = false;
    let done = world.run(vec![world.job("team/app", all())]).await;
    let (source, destination) = (world.source.requests(), world.destination.requests());
    assert_eq!(dry.estimate, done.estimate);
    assert_eq!(dry.estimate.source_requests, source.len() as u64);
    assert_eq!(dry.estimate.destination_requests, destination.len() as u64);
    assert_eq!(dry.estimate.bytes_written, done.report.totals.bytes_written);
    assert_eq!(dry.estimate.images, 3);
}

#[tokio::test]
async fn a_digest_is_copied_by_digest_alone_or_under_a_tag() {
    let world = World::new().await;
    let digest = world.source.add_image("team/app", "1.0", &three_layers());
    let by_digest = |tag: Option<&str>| {
        let tag = tag.map(|tag| tag.parse().unwrap());
        vec![world.job("team/app", Wanted::Digest(digest.parse().unwrap(), tag))]
    };
    let done = world.run(by_digest(None)).await;
    assert_all(&done, &Outcome::Copied);
    assert!(world.destination.tags("team/app").is_empty());
    assert!(world.destination.manifest("team/app", &digest).is_some());
    assert_all(&world.run(by_digest(None)).await, &Outcome::Unchanged);
    world.clear();
    let done = world.run(by_digest(Some("pinned"))).await;
    assert_all(&done, &Outcome::Copied);
    assert_counted(&world.source, &[("GET Manifest", 1)]);
    assert_eq!(
        world.destination.tag_digest("team/app", "pinned"),
        Some(digest.clone())
    );
    world.clear();
    assert_all(
        &world.run(by_digest(Some("pinned"))).await,
        &Outcome::Unchanged,
    );
    assert_counted(&world.source, &[]);
}

#[tokio::test]
async fn referrers_that_are_there_are_not_written_again_without_a_state() {
    for has_api in [true, false] {
        let world = World::new().await;
        world
            .destination
            .configure(|options| options.has_referrers = has_api);
        let image = world.source.add_image("team/app", "1.0", &three_layers());
        let [first, _] = [20, 21].map(|seed| {
            world
                .source
                .add_referrer("team/app", &image, "application/x", seed)
        });
        let jobs = || {
            let mut job = world.job("team/app", tag("1.0"));
            job.referrers = true;
            vec![job]
        };
        let done = world.run(jobs()).await;
        assert_all(&done, &Outcome::Copied);
        assert_eq!(done.report.tags[0].referrers, 2);
        let writes = || world.destination.count_of(&Method::PUT, Route::Manifest);
        for _ in 0..2 {
            world.clear();
            let done = world.run_knowing(jobs(), &Known::default()).await;
            assert_all(&done, &Outcome::Unchanged);
            assert_eq!((writes(), done.report.tags[0].referrers), (0, 0));
        }
        let asked: &[(&str, usize)] = if has_api {
            &[("GET Referrers", 1), ("HEAD Manifest", 1)]
        } else {
            &[
                ("GET Manifest", 1),
                ("GET Referrers", 1),
                ("HEAD Manifest", 3),
            ]
        };
        assert_counted(&world.destination, asked);
        // What is not there is.
        world.destination.lose_manifest("team/app", &first);
        let done = world.run_knowing(jobs(), &Known::default()).await;
        assert_eq!(done.report.tags[0].referrers, 1);
        assert!(world.destination.manifest("team/app", &first).is_some());
    }
}

#[tokio::test]
async fn a_dry_run_bounds_what_referrers_would_take() {
    for has_api in [true, false] {
        let mut world = World::new().await;
        world
            .destination
            .configure(|options| options.has_referrers = has_api);
        let image = world.source.add_image("team/app", "1.0", &three_layers());
        let about = world
            .source
            .add_referrer("team/app", &image, "application/x", 20);
        world
            .source
            .add_referrer("team/app", &about, "application/x", 21);
        world.source.add_cosign("team/app", &image, "sig", 9);
        let jobs = |world: &World| {
            let mut job = world.job("team/app", tag("1.0"));
            job.referrers = true;
            vec![job]
        };
        world.is_dry_run = true;
        let dry = world.run(jobs(&world)).await;
        assert_all(&dry, &Outcome::Copied);
        assert_eq!(dry.report.tags[0].referrers, 3);
        let is_write =
            |request: &Request| request.method != Method::GET && request.method != Method::HEAD;
        assert_eq!(world.destination.count_where(is_write), 0);
        world.clear();
        world.is_dry_run = false;
        let done = world.run(jobs(&world)).await;
        assert_all(&done, &Outcome::Copied);
        let (source, destination) = (world.source.requests(), world.destination.requests());
        let estimate = dry.estimate;
        assert!(
            estimate.source_requests >= source.len() as u64,
            "{estimate:?}"
        );
        assert!(
            estimate.destination_requests >= destination.len() as u64,
            "{estimate:?}"
        );
        assert_eq!(estimate.bytes_written, done.report.totals.bytes_written);
        assert_eq!(estimate.bytes_read, done.report.totals.bytes_read);
        // What has come to an image that is there counts, too.
        world
            .source
            .add_referrer("team/app", &image, "application/x", 22);
        world.is_dry_run = true;
        let dry = world.run_knowing(jobs(&world), &Known::default()).await;
        assert_all(&dry, &Outcome::Unchanged);
        assert_eq!(dry.report.tags[0].referrers, 1);
        assert!(dry.estimate.bytes_written > 0);
    }
}
