//! Tags that are there with something else: drift, what may be written over, and registries that forbid it.

use tagscope::image::Digest;
use tagscope::regexp::Regexp;

use super::*;
use crate::fake_registry::{Fault, Image, Nth};

fn overwriting(world: &World, tag_name: &str, overwrite: Overwrite) -> Vec<Job> {
    let mut job = world.job("team/app", tag(tag_name));
    job.overwrite = overwrite;
    vec![job]
}

#[tokio::test]
async fn a_tag_that_differs_is_drift_unless_it_may_be_written_over() {
    let world = World::new().await;
    world
        .source
        .add_image("team/app", "1.0", &Image::sized(1, &[10]));
    world
        .source
        .add_image("team/app", "latest", &Image::sized(1, &[10]));
    let found = world
        .destination
        .add_image("team/app", "1.0", &Image::sized(2, &[10]));
    world
        .destination
        .add_image("team/app", "latest", &Image::sized(2, &[10]));
    let drifted = Outcome::Drifted {
        found: found.parse().unwrap(),
    };
    for never in [Overwrite::Never, Overwrite::MutableTagsOnly(Vec::new())] {
        let done = world.run(overwriting(&world, "1.0", never)).await;
        assert_all(&done, &drifted);
        assert_eq!(
            world.destination.tag_digest("team/app", "1.0"),
            Some(found.clone())
        );
    }
    assert_eq!(blobs_asked(&world.source), 0);
    let mutable = Overwrite::MutableTagsOnly(Vec::new());
    let done = world.run(overwriting(&world, "latest", mutable)).await;
    assert_all(&done, &Outcome::Copied);
    let named = Overwrite::MutableTagsOnly(vec![Regexp::new("^1").unwrap()]);
    let done = world.run(overwriting(&world, "1.0", named)).await;
    assert_all(&done, &Outcome::Copied);
    world.destination.check_whole("team/app");
}

#[tokio::test]
async fn a_tag_that_moved_at_the_source_is_drift_at_the_destination() {
    let world = World::new().await;
    world
        .source
        .add_image("team/app", "1.0", &Image::sized(1, &[10]));
    world
        .source
        .add_image("team/app", "1.1", &Image::sized(1, &[10]));
    world.run(vec![world.job("team/app", all())]).await;
    let found = world.destination.tag_digest("team/app", "1.0").unwrap();
    world
        .source
        .add_image("team/app", "1.0", &Image::sized(3, &[10]));
    let done = world.run(vec![world.job("team/app", all())]).await;
    let found = found.parse().unwrap();
    assert_eq!(outcomes(&done)[0].1, Outcome::Drifted { found });
    let mut job = world.job("team/app", all());
    job.overwrite = Overwrite::Always;
    let done = world.run(vec![job]).await;
    assert_eq!(outcomes(&done)[0].1, Outcome::Copied);
    assert_eq!(
        world.destination.tag_digest("team/app", "1.0"),
        world.source.tag_digest("team/app", "1.0")
    );
}

#[tokio::test]
async fn fault_26_an_immutable_tag_is_left_alone_when_it_is_the_same_and_reported_when_it_is_not() {
    for status in [400, 403, 405, 409, 412] {
        let world = World::new().await;
        let image = Image::sized(1, &[10]);
        world.source.add_image("team/app", "1.0", &image);
        world.destination.add_image("team/app", "1.0", &image);
        world
            .destination
            .configure(|options| options.immutable_tags = Some(status));
        let done = world
            .run(overwriting(&world, "1.0", Overwrite::Always))
            .await;
        assert_all(&done, &Outcome::Unchanged);
        assert_eq!(world.destination.count_of(&Method::PUT, Route::Manifest), 0);

        world
            .source
            .add_image("team/app", "1.0", &Image::sized(2, &[10]));
        let before = world.destination.tag_digest("team/app", "1.0").unwrap();
        let done = world
            .run(overwriting(&world, "1.0", Overwrite::Always))
            .await;
        let [(_, Outcome::Immutable { found, .. })] = &outcomes(&done)[..] else {
            panic!("{status}: {done:?}");
        };
        assert_eq!(found.as_ref().unwrap().as_str(), before, "{status}");
        assert_eq!(
            world.destination.tag_digest("team/app", "1.0"),
            Some(before)
        );
    }
}

#[tokio::test]
async fn fault_26_a_tag_that_is_refused_without_a_clear_reason_may_be_one_that_does_not_move() {
    let locked = "tag is locked";
    for (fault, words) in [
        (Fault::Bare(400), Some("400")),
        (Fault::Bare(404), Some("404")),
        (Fault::Says(400, "MANIFEST_INVALID", locked), Some(locked)),
        (Fault::Code(400, "MANIFEST_BLOB_UNKNOWN"), None),
    ] {
        for is_there in [true, false] {
            let world = World::new().await;
            let image = Image::sized(1, &[10]);
            world.source.add_image("team/app", "1.0", &image);
            let other = Image::sized(2, &[10]);
            let theirs = is_there.then(|| world.destination.add_image("team/app", "1.0", &other));
            let destination = &world.destination;
            destination.on(Method::PUT, "/manifests/1.0$", Nth::Every, fault.clone());
            let done = world
                .run(overwriting(&world, "1.0", Overwrite::Always))
                .await;
            let [(_, outcome)] = &outcomes(&done)[..] else {
                panic!("{done:?}");
            };
            match (words.filter(|_| is_there), outcome) {
                (Some(words), Outcome::Immutable { found, cause }) => {
                    assert_eq!(found.as_ref().map(Digest::as_str), theirs.as_deref());
                    assert!(cause.contains(words), "{cause}");
                    assert_eq!(done.report.verdict(), Verdict::Blocked);
                }
                (None, Outcome::Failed { cause, .. }) => {
                    assert!(cause.contains("misses what it was given"), "{cause}");
                }
                _ => panic!("{fault:?}, {is_there}: {outcome:?}"),
            }
            assert_eq!(world.destination.tag_digest("team/app", "1.0"), theirs);
        }
    }
}

#[tokio::test]
async fn what_is_verified_is_asked_of_the_destination_again_when_it_is_old() {
    let mut world = World::new().await;
    let clock = Arc::new(HandClock::at(Timestamp::UNIX_EPOCH));
    world.clock = Arc::<HandClock>::clone(&clock);
    for tag in ["1.0", "1.1"] {
        world
            .source
            .add_image("team/app", tag, &Image::sized(1, &[10]));
    }
    let jobs = || vec![world.job("team/app", all())];
    world.run(jobs()).await;
    for (hours, asked) in [(23, 0), (2, 2), (2, 0)] {
        clock.advance(SignedDuration::from_hours(hours));
        world.clear();
        assert_all(&world.run(jobs()).await, &Outcome::Unchanged);
        assert_eq!(
            world.destination.count_of(&Method::HEAD, Route::Manifest),
            asked
        );
    }
}

#[tokio::test]
async fn platforms_that_are_not_wanted_are_neither_read_nor_written() {
    let world = World::new().await;
    let index = Image::index([
        Image::sized(1, &[10]).platform("linux/amd64"),
        Image::sized(2, &[20]).platform("linux/arm64"),
    ]);
    let whole = world.source.add_image("team/app", "1.0", &index);
    let jobs = |mode| {
        let mut job = world.job("team/app", tag("1.0"));
        job.platforms = vec!["linux/arm64".parse().unwrap()];
        job.mode = mode;
        vec![job]
    };
    let done = world.run(jobs(subset::Mode::Rewritten)).await;
    assert_all(&done, &Outcome::Copied);
    assert_counted(&world.source, &[("GET Blob", 2), ("GET Manifest", 2)]);
    world.destination.check_whole("team/app");
    let written = world.destination.tag_digest("team/app", "1.0").unwrap();
    assert_ne!(written, whole);
    assert_eq!(
        done.report.tags[0].destination.as_ref().unwrap().as_str(),
        written
    );
    world.clear();
    let done = world.run(jobs(subset::Mode::Rewritten)).await;
    assert_all(&done, &Outcome::Unchanged);
    assert_counted(&world.source, &[("HEAD Manifest", 1)]);
    // With nothing known, the index is read to know what it would become.
    let unknowing = world
        .run_knowing(jobs(subset::Mode::Rewritten), &Known::default())
        .await;
    assert_all(&unknowing, &Outcome::Unchanged);
}

#[tokio::test]
async fn fault_27_a_sparse_index_is_refused_in_the_registrys_words_and_taken_where_it_is() {
    let world = World::new().await;
    let index = Image::index([
        Image::sized(1, &[10]).platform("linux/amd64"),
        Image::sized(2, &[20]).platform("linux/arm64"),
    ]);
    let whole = world.source.add_image("team/app", "1.0", &index);
    let jobs = || {
        let mut job = world.job("team/app", tag("1.0"));
        job.platforms = vec!["linux/arm64".parse().unwrap()];
        job.mode = subset::Mode::Sparse;
        vec![job]
    };
    let done = world.run(jobs()).await;
    let [
        (
            _,
            Outcome::Failed {
                cause,
                is_temporary: false,
            },
        ),
    ] = &outcomes(&done)[..]
    else {
        panic!("{done:?}");
    };
    assert!(cause.contains("names what is not there"), "{cause}");
    assert_eq!(world.destination.tag_digest("team/app", "1.0"), None);
    world
        .destination
        .configure(|options| options.takes_sparse_indexes = true);
    assert_all(&world.run(jobs()).await, &Outcome::Copied);
    assert_eq!(world.destination.tag_digest("team/app", "1.0"), Some(whole));
    // Later all of it is wanted, by the same name and with the same digest.
    let whole = || vec![world.job("team/app", tag("1.0"))];
    world
        .destination
        .configure(|options| options.takes_sparse_indexes = false);
    assert_all(&world.run(whole()).await, &Outcome::Copied);
    world.destination.check_whole("team/app");
    assert_all(&world.run(whole()).await, &Outcome::Unchanged);
}

#[tokio::test]
async fn a_404_that_does_not_say_that_there_is_no_repository_does_not_mean_that_there_are_no_tags()
{
    for code in ["MANIFEST_UNKNOWN", "NOT_FOUND", "NAME_UNKNOWN"] {
        let world = World::new().await;
        for tag in ["1.0", "1.1"] {
            let image = Image::sized(1, &[10]);
            world.source.add_image("team/app", tag, &image);
        }
        let found = world
            .destination
            .add_image("team/app", "1.0", &Image::sized(2, &[10]));
        let fault = Fault::Code(404, code);
        world
            .destination
            .on(Method::GET, "/tags/list", Nth::Every, fault);
        let done = world.run(vec![world.job("team/app", all())]).await;
        if code == "NAME_UNKNOWN" {
            assert_all(&done, &Outcome::Copied);
            continue;
        }
        let drifted = Outcome::Drifted {
            found: found.parse().unwrap(),
        };
        let expected = [("1.0", drifted), ("1.1", Outcome::Copied)];
        let expected = expected.map(|(tag, outcome)| (tag.to_owned(), outcome));
        assert_eq!(outcomes(&done), expected, "{code}");
        assert_eq!(
            world.destination.tag_digest("team/app", "1.0"),
            Some(found.clone())
        );
    }
}

#[tokio::test]
async fn a_tag_that_came_to_be_while_it_was_copied_is_not_written_over() {
    let mut world = World::new().await;
    world.clock = Hasty::new(SignedDuration::from_secs(31));
    let image = Image::sized(1, &[10]);
    for tag in ["1.0", "1.1"] {
        world.source.add_image("team/app", tag, &image);
    }
    // The list is from before somebody else wrote the tag.
    let found = world
        .destination
        .add_image("team/app", "1.0", &Image::sized(2, &[10]));
    let before = r#"{"name": "team/app", "tags": []}"#.to_owned();
    world
        .destination
        .on(Method::GET, "/tags/list", Nth::Every, Fault::Json(before));
    let done = world.run(vec![world.job("team/app", all())]).await;
    let drifted = Outcome::Drifted {
        found: found.parse().unwrap(),
    };
    let expected = [("1.0", drifted), ("1.1", Outcome::Copied)];
    let expected = expected.map(|(tag, outcome)| (tag.to_owned(), outcome));
    assert_eq!(outcomes(&done), expected);
    assert_eq!(world.destination.tag_digest("team/app", "1.0"), Some(found));
}

#[tokio::test]
async fn signatures_under_tags_of_their_own_are_not_written_over_where_tags_do_not_move() {
    let world = World::new().await;
    let digest = world
        .source
        .add_image("team/app", "1.0", &Image::sized(1, &[10]));
    let signature = world.source.add_cosign("team/app", &digest, "sig", 7);
    world.destination.add_cosign("team/app", &digest, "sig", 8);
    let found = world.destination.tag_digest("team/app", &signature);
    let drifted = Outcome::Drifted {
        found: found.as_ref().unwrap().parse().unwrap(),
    };
    let jobs = |overwrite, verify_after| {
        let mut job = world.job("team/app", tag("1.0"));
        job.referrers = true;
        job.overwrite = overwrite;
        job.verify_after = verify_after;
        vec![job]
    };
    let done = world.run(jobs(Overwrite::Never, Duration::ZERO)).await;
    let expected = [
        ("1.0".to_owned(), Outcome::Copied),
        (signature.clone(), drifted),
    ];
    assert_eq!(outcomes(&done), expected);
    assert_eq!(world.destination.tag_digest("team/app", &signature), found);
    let mutable = Overwrite::MutableTagsOnly(Vec::new());
    let done = world.run(jobs(mutable, Duration::ZERO)).await;
    assert_all(&done, &Outcome::Unchanged);
    assert_eq!(
        world.destination.tag_digest("team/app", &signature),
        world.source.tag_digest("team/app", &signature)
    );
}
