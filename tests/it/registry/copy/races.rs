//! Others who write while an image is copied, and images that name places which are nobody's business.

use serde_json::{Value, json};

use super::*;
use crate::fake_registry::{Fault, Image, Layer, Nth};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A destination with another image by the tag, so that the source is asked what its tag is before it is read.
async fn with_drift() -> (World, Vec<Job>, String) {
    let world = World::new().await;
    let digest = world
        .source
        .add_image("team/app", "1.0", &Image::sized(1, &[100]));
    world
        .destination
        .add_image("team/app", "1.0", &Image::sized(9, &[100]));
    // Of one tag by its name the destination is not listed, and the source read at once.
    let mut job = world.job("team/app", all());
    job.overwrite = Overwrite::Always;
    let slow = Fault::Slow(Duration::from_millis(300));
    world
        .source
        .on(Method::HEAD, "/manifests/", Nth::First(1), slow);
    (world, vec![job], digest)
}

async fn asked(world: &World) {
    until(|| world.source.count_of(&Method::HEAD, Route::Manifest) > 0).await;
}

#[tokio::test]
async fn fault_24_a_tag_that_moves_before_its_manifest_is_read_is_copied_as_it_was() {
    let (world, jobs, before) = with_drift().await;
    let moved = async {
        asked(&world).await;
        let next = Image::sized(50, &[10]);
        world.source.add_image("team/app", "1.0", &next);
    };
    let (done, ()) = tokio::join!(world.run(jobs.clone()), moved);
    assert_all(&done, &Outcome::Copied);
    let found = world.destination.tag_digest("team/app", "1.0");
    assert_eq!(found, Some(before));
    world.destination.check_whole("team/app");
    // The next run brings what it is now.
    assert_all(&world.run(jobs).await, &Outcome::Copied);
    let now = world.source.tag_digest("team/app", "1.0");
    assert_eq!(world.destination.tag_digest("team/app", "1.0"), now);
}

#[tokio::test]
async fn fault_24_a_tag_that_moves_and_whose_old_image_is_swept_away_is_not_gone() {
    let (world, jobs, before) = with_drift().await;
    let moved = async {
        asked(&world).await;
        let next = Image::sized(50, &[10]);
        world.source.add_image("team/app", "1.0", &next);
        world.source.lose_manifest("team/app", &before);
    };
    let (done, ()) = tokio::join!(world.run(jobs.clone()), moved);
    let [(_, Outcome::Failed { is_temporary, .. })] = &outcomes(&done)[..] else {
        panic!("{done:?}");
    };
    assert!(is_temporary, "{done:?}");
    assert_all(&world.run(jobs).await, &Outcome::Copied);
}

#[tokio::test]
async fn fault_24_a_tag_that_moves_before_it_is_written_is_said_to_have_moved_if_it_took_long() {
    for (seconds, is_noticed) in [(0, false), (40, true)] {
        let mut world = World::new().await;
        world.clock = Hasty::new(SignedDuration::from_secs(seconds));
        let before = world
            .source
            .add_image("team/app", "1.0", &Image::sized(1, &[100]));
        let slow = Fault::Slow(Duration::from_millis(300));
        world
            .destination
            .on(Method::PUT, "/uploads/", Nth::Every, slow);
        let run = world.run(vec![world.job("team/app", tag("1.0"))]);
        let moved = async {
            until(|| world.destination.count_of(&Method::PUT, Route::Upload) > 0).await;
            let next = Image::sized(50, &[10]);
            world.source.add_image("team/app", "1.0", &next);
        };
        let (done, ()) = tokio::join!(run, moved);
        assert_all(&done, &Outcome::Copied);
        assert_eq!(done.report.tags[0].moved_meanwhile, is_noticed);
        let found = world.destination.tag_digest("team/app", "1.0");
        assert_eq!(found, Some(before));
        world.destination.check_whole("team/app");
    }
}

/// A source whose image has one referrer, and a destination that keeps no list of such.
async fn without_referrers() -> (World, Vec<Job>, String, String) {
    let world = World::new().await;
    world.destination.configure(|options| {
        options.says_subject = false;
        options.has_referrers = false;
    });
    let digest = world
        .source
        .add_image("team/app", "1.0", &Image::sized(1, &[100]));
    let referrer = world
        .source
        .add_referrer("team/app", &digest, "application/x", 20);
    let mut job = world.job("team/app", tag("1.0"));
    job.referrers = true;
    (world, vec![job], digest.replacen(':', "-", 1), referrer)
}

fn list_of(digest: &str, size: usize) -> Value {
    let entry = json!({"mediaType": MANIFEST, "digest": digest, "size": size});
    json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]})
}

#[tokio::test]
async fn fault_28_and_30_a_list_of_referrers_that_another_overwrites_names_both_in_the_end() {
    let (world, jobs, fallback, referrer) = without_referrers().await;
    let slow = Fault::Slow(Duration::from_millis(300));
    let pattern = format!("/manifests/{fallback}$");
    world
        .destination
        .on(Method::PUT, &pattern, Nth::First(1), slow);
    let digest = world
        .destination
        .add_untagged("team/app", &Image::sized(80, &[10]));
    let (_, theirs) = world.destination.manifest("team/app", &digest).unwrap();
    let other = async {
        // Between our writing and our looking at it.
        until(|| {
            world
                .destination
                .tag_digest("team/app", &fallback)
                .is_some()
        })
        .await;
        let list = list_of(&digest, theirs.len());
        world
            .destination
            .put_manifest("team/app", Some(&fallback), INDEX, &list);
    };
    let (done, ()) = tokio::join!(world.run(jobs), other);
    assert_all(&done, &Outcome::Copied);
    let (_, bytes) = world.destination.manifest("team/app", &fallback).unwrap();
    let list: Value = serde_json::from_slice(&bytes).unwrap();
    let named = list["manifests"].as_array().unwrap().iter();
    let named: Vec<_> = named
        .map(|entry| entry["digest"].as_str().unwrap())
        .collect();
    assert_eq!(named, [digest.as_str(), referrer.as_str()]);
}

#[tokio::test]
async fn fault_28_and_30_a_list_of_referrers_that_never_keeps_ours_fails_the_tag_for_now() {
    let (world, jobs, fallback, _) = without_referrers().await;
    let pattern = format!("/manifests/{fallback}$");
    world
        .destination
        .on(Method::PUT, &pattern, Nth::Every, Fault::Status(201));
    let done = world.run(jobs).await;
    let [
        (
            _,
            Outcome::Failed {
                cause,
                is_temporary,
            },
        ),
    ] = &outcomes(&done)[..]
    else {
        panic!("{done:?}");
    };
    assert!(
        *is_temporary && cause.contains("others write it, too"),
        "{cause}"
    );
    let tries = world
        .destination
        .count_where(|it| it.method == Method::PUT && it.path.ends_with(&fallback));
    assert_eq!(tries, 4);
    assert_eq!(world.destination.tag_digest("team/app", "1.0"), None);
}

#[tokio::test]
async fn fault_28_and_30_what_a_registry_keeps_in_the_place_of_a_list_is_left_alone() {
    let (world, jobs, fallback, _) = without_referrers().await;
    let own = world
        .destination
        .add_image("team/app", &fallback, &Image::sized(70, &[10]));
    let done = world.run(jobs).await;
    assert_eq!(done.report.tags[0].outcome, Outcome::Copied, "{done:?}");
    let [problem] = &done.report.problems[..] else {
        panic!("{done:?}");
    };
    assert!(problem.contains("is no index"), "{problem}");
    let found = world.destination.tag_digest("team/app", &fallback);
    assert_eq!(found, Some(own));
}

#[tokio::test]
async fn fault_38_what_an_image_says_may_be_fetched_elsewhere_is_not() {
    let world = World::new().await;
    let elsewhere = FakeRegistry::start().await;
    let foreign = Layer::new(5, 3000);
    let url = format!("http://{}/layer", elsewhere.plain_host());
    for (tag, image) in [
        (
            "oci",
            Image::new([Layer::new(1, 100), foreign.clone().foreign(&url)]),
        ),
        (
            "docker",
            Image::new([foreign.clone().foreign(&url), Layer::new(1, 100)]).docker(),
        ),
    ] {
        world.source.add_image("team/app", tag, &image);
    }
    // An ordinary layer and a configuration with addresses, and one at an address that is nobody's business.
    let layer = world.source.add_blob("team/app", "layer");
    let config = world.source.add_blob("team/app", "{}");
    let inside = "http://169.254.169.254/latest/meta-data/";
    let plain = json!({"schemaVersion": 2, "mediaType": MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2, "urls": [url]},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer, "size": 5, "urls": [inside, url]}]});
    world
        .source
        .put_manifest("team/app", Some("plain"), MANIFEST, &plain);
    let done = world.run(vec![world.job("team/app", all())]).await;
    assert_all(&done, &Outcome::Copied);
    assert_eq!(done.report.tags.len(), 3);
    assert_eq!(elsewhere.requests().len(), 0);
    let digest = foreign.digest();
    for registry in [&world.source, &world.destination] {
        let about = registry.count_where(|request| request.place().contains(&digest));
        assert_eq!(about, 0, "{:#?}", registry.conversation());
    }
    for tag in ["oci", "docker", "plain"] {
        let (before, after) = (&world.source, &world.destination);
        assert_eq!(
            before.manifest("team/app", tag),
            after.manifest("team/app", tag)
        );
    }
    // Where a layer is not at the source, its addresses are no help.
    world.source.lose_blob("team/app", &layer);
    let mut job = world.job("team/app", tag("plain"));
    job.destinations = vec![place(&world.destination, "team/other")];
    world.destination.lose_repository("team/app");
    let done = world.run_knowing(vec![job], &Known::default()).await;
    let [(_, Outcome::Failed { .. })] = &outcomes(&done)[..] else {
        panic!("{done:?}");
    };
    assert_eq!(elsewhere.requests().len(), 0);
}
