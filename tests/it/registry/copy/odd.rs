//! What registries name, keep and refuse in ways of their own.

use serde_json::json;
use tagscope::image::{Algorithm, Digest, Hasher};

use super::*;
use crate::fake_registry::{Fault, Image, Layer, Nth};

fn long_digest(bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(Algorithm::Sha512);
    hasher.update(bytes);
    hasher.finish()
}

#[tokio::test]
async fn fault_08_a_manifest_that_is_named_by_another_algorithm_has_not_drifted() {
    let world = World::new().await;
    world
        .source
        .add_image("team/app", "1.0", &Image::sized(1, &[100]));
    let jobs = |verify_after| {
        let mut job = world.job("team/app", tag("1.0"));
        job.verify_after = verify_after;
        vec![job]
    };
    let day = Duration::from_hours(24);
    assert_all(&world.run(jobs(day)).await, &Outcome::Copied);
    let (_, bytes) = world.destination.manifest("team/app", "1.0").unwrap();
    let names = |registry: &FakeRegistry, digest: &Digest| {
        registry.heal();
        let named = Fault::ContentDigest(Some(digest.to_string()));
        registry.on(Method::HEAD, "/manifests/1.0$", Nth::Every, named);
    };
    let (same, other) = (long_digest(&bytes), long_digest(b"other"));
    names(&world.destination, &same);
    for known in [&world.known, &Known::default()] {
        let done = world.run_knowing(jobs(Duration::ZERO), known).await;
        assert_all(&done, &Outcome::Unchanged);
    }
    // The source may come to name it so, too.
    names(&world.source, &same);
    assert_all(&world.run(jobs(day)).await, &Outcome::Unchanged);
    assert_eq!(world.destination.count_of(&Method::PUT, Route::Manifest), 1);
    world.source.heal();
    names(&world.destination, &other);
    let drifted = Outcome::Drifted { found: other };
    for known in [&world.known, &Known::default()] {
        let done = world.run_knowing(jobs(Duration::ZERO), known).await;
        assert_all(&done, &drifted);
    }
}

#[tokio::test]
async fn a_registry_that_takes_no_foreign_layers_is_told_of_for_good() {
    let foreign = Layer::new(5, 3000);
    let url = "http://elsewhere.example/layer";
    let image = Image::new([Layer::new(1, 100), foreign.clone().foreign(url)]);
    for status in [500, 400, 404] {
        let world = World::new().await;
        world.source.add_image("team/app", "1.0", &image);
        world
            .destination
            .configure(|options| options.refuses_foreign_layers = Some(status));
        let done = world.run(vec![world.job("team/app", tag("1.0"))]).await;
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
        assert!(!is_temporary, "{cause}");
        let names = [&foreign.digest(), "1 foreign layers", "unknown to registry"];
        for part in names {
            assert!(cause.contains(part), "{part}: {cause}");
        }
        if status != 500 {
            assert_eq!(world.destination.count_of(&Method::PUT, Route::Manifest), 1);
        }
    }
    // Others have other reasons to be ill.
    let world = World::new().await;
    world
        .source
        .add_image("team/app", "1.0", &Image::sized(1, &[10]));
    world
        .destination
        .on(Method::PUT, "/manifests/", Nth::Every, Fault::Status(500));
    let done = world.run(vec![world.job("team/app", tag("1.0"))]).await;
    let [(_, Outcome::Failed { is_temporary, .. })] = &outcomes(&done)[..] else {
        panic!("{done:?}");
    };
    assert!(is_temporary);
}

#[tokio::test]
async fn names_in_a_list_that_are_no_tags_are_told_of_once() {
    let world = World::new().await;
    world
        .source
        .add_image("team/app", "1.0", &Image::sized(1, &[10]));
    let names = json!({"name": "team/app", "tags": ["1.0", "-\u{1b}[31m", "a b"]});
    let list = Fault::Json(names.to_string());
    world.source.on(None, "/tags/list", Nth::Every, list);
    let mut other = world.job("team/app", all());
    other.destinations = vec![place(&world.destination, "team/other")];
    let done = world.run(vec![world.job("team/app", all()), other]).await;
    assert_all(&done, &Outcome::Copied);
    let [warning] = &done.report.warnings[..] else {
        panic!("{done:?}");
    };
    assert!(
        warning.contains("team/app: 2 names are no tags"),
        "{warning}"
    );
    assert!(!warning.contains(char::is_control), "{warning:?}");
    assert_eq!(done.report.verdict(), Verdict::Done);
}

#[tokio::test]
async fn a_repository_that_is_written_in_two_ways_is_one() {
    let world = World::new().await;
    for tag in ["1.0", "1.1"] {
        let image = Image::sized(1, &[100]);
        world.source.add_image("team/app", tag, &image);
    }
    let jobs = ["localhost", "LOCALHOST"].map(|host| {
        let at = |registry: &FakeRegistry| {
            let name = registry.image("team/app").replace("127.0.0.1", host);
            Place {
                repository: name.parse().unwrap(),
                access: Access {
                    insecure: true,
                    ..Access::default()
                },
            }
        };
        job(at(&world.source), vec![at(&world.destination)], all())
    });
    let done = world.run(jobs.into()).await;
    assert_all(&done, &Outcome::Copied);
    assert_eq!(done.report.tags.len(), 2);
    for registry in [&world.source, &world.destination] {
        assert_eq!(registry.count_of(&Method::GET, Route::List), 1);
    }
    assert_eq!(world.destination.count_of(&Method::PUT, Route::Manifest), 2);
}
