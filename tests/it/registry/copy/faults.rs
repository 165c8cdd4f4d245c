//! What registries get wrong while images are copied, and that no tag ever points to what is not whole.

use std::collections::HashSet;

use super::*;
use crate::fake_registry::{Auth, Fault, Image, Layer, Mounts, Nth};

fn image() -> Image {
    Image::sized(1, &[3000, 200])
}

fn failure(done: &Done) -> (&str, bool) {
    match &done.report.tags[..] {
        [
            TagReport {
                outcome:
                    Outcome::Failed {
                        cause,
                        is_temporary,
                    },
                ..
            },
        ] => (cause, *is_temporary),
        other => panic!("{other:?}"),
    }
}

/// Two repositories that share their layers, the first of which is at the destination.
async fn siblings() -> World {
    let world = World::new().await;
    world.source.add_image("team/app", "1.0", &image());
    world.source.add_image("team/other", "1.0", &image());
    world.run(vec![world.job("team/app", tag("1.0"))]).await;
    world.clear();
    world
}

#[tokio::test]
async fn fault_19_a_mount_that_is_not_done_costs_no_request() {
    let world = siblings().await;
    world
        .destination
        .configure(|options| options.mounts = Mounts::Ignored);
    let done = world.run(vec![world.job("team/other", tag("1.0"))]).await;
    assert_all(&done, &Outcome::Copied);
    assert_eq!(world.destination.count_of(&Method::POST, Route::Upload), 3);
    assert_eq!(world.destination.count_of(&Method::PUT, Route::Upload), 3);
    world.destination.check_whole("team/other");
}

#[tokio::test]
async fn fault_19_a_mount_that_is_refused_is_an_upload() {
    for status in [403, 404, 405, 500] {
        let world = siblings().await;
        world
            .destination
            .configure(|options| options.mounts = Mounts::Refused(status));
        let done = world.run(vec![world.job("team/other", tag("1.0"))]).await;
        assert_all(&done, &Outcome::Copied);
        world.destination.check_whole("team/other");
    }
}

#[tokio::test]
async fn fault_19_a_mount_that_was_none_is_found_out_and_healed() {
    let world = siblings().await;
    let fault = Fault::MountAcceptedButMissing;
    world
        .destination
        .on(Method::POST, "/blobs/uploads/", Nth::Every, fault);
    let done = world.run(vec![world.job("team/other", tag("1.0"))]).await;
    assert_all(&done, &Outcome::Copied);
    world.destination.check_whole("team/other");
}

#[tokio::test]
async fn fault_20_blobs_that_were_swept_away_are_brought_again() {
    let world = World::new().await;
    world.source.add_image("team/app", "1.0", &image());
    world
        .source
        .add_image("team/app", "1.1", &Image::sized(1, &[3000, 200, 9]));
    world.run(vec![world.job("team/app", tag("1.0"))]).await;
    world
        .destination
        .lose_blob("team/app", &Layer::new(1, 3000).digest());
    world.clear();
    let done = world.run(vec![world.job("team/app", tag("1.1"))]).await;
    assert_all(&done, &Outcome::Copied);
    assert_eq!(world.destination.count_of(&Method::PUT, Route::Manifest), 2);
    world.destination.check_whole("team/app");
}

#[tokio::test]
async fn fault_20_a_registry_that_always_misses_something_is_healed_once() {
    let world = World::new().await;
    world.source.add_image("team/app", "1.0", &image());
    let fault = Fault::Code(400, "MANIFEST_BLOB_UNKNOWN");
    world
        .destination
        .on(Method::PUT, "/manifests/", Nth::Every, fault);
    let done = world.run(vec![world.job("team/app", tag("1.0"))]).await;
    let (cause, is_temporary) = failure(&done);
    assert!(cause.contains("misses what it was given"), "{cause}");
    assert!(!is_temporary);
    assert_eq!(world.destination.count_of(&Method::PUT, Route::Manifest), 2);
    assert_eq!(world.destination.count_of(&Method::PUT, Route::Upload), 3);
}

#[tokio::test]
async fn fault_20_a_child_that_was_swept_away_is_written_again() {
    let world = World::new().await;
    let index = Image::index([image().platform("linux/amd64")]);
    let digest = world.source.add_image("team/app", "1.0", &index);
    world.run(vec![world.job("team/app", all())]).await;
    let child = {
        let (_, bytes) = world.source.manifest("team/app", &digest).unwrap();
        let index: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        index["manifests"][0]["digest"].as_str().unwrap().to_owned()
    };
    world.destination.lose_manifest("team/app", &child);
    let next = index.annotation("name", "next");
    world.source.add_image("team/app", "1.1", &next);
    let done = world.run(vec![world.job("team/app", all())]).await;
    assert_eq!(outcomes(&done)[1].1, Outcome::Copied);
    world.destination.check_whole("team/app");
}

#[tokio::test]
async fn fault_21_a_layer_that_is_gone_for_ever_fails_only_what_needs_it_and_for_good() {
    let world = World::new().await;
    for (tag, seed) in [("1.0", 1), ("1.1", 2), ("1.2", 3)] {
        let layers = [Layer::new(seed, 100), Layer::new(77, 5000)];
        world.source.add_image("team/app", tag, &Image::new(layers));
    }
    world
        .source
        .lose_blob("team/app", &Layer::new(2, 100).digest());
    let done = world.run(vec![world.job("team/app", all())]).await;
    let [
        (_, Outcome::Copied),
        (
            _,
            Outcome::Failed {
                cause,
                is_temporary: false,
            },
        ),
        (_, Outcome::Copied),
    ] = &outcomes(&done)[..]
    else {
        panic!("{done:?}");
    };
    assert!(cause.contains(&Layer::new(2, 100).digest()), "{cause}");
    assert_eq!(world.destination.tags("team/app"), ["1.0", "1.2"]);
    world.destination.check_whole("team/app");
    let lost = Layer::new(2, 100).digest();
    let asked = world
        .source
        .count_where(|request| request.path.ends_with(&lost));
    assert_eq!(asked, 1);
}

#[tokio::test]
async fn fault_21_a_layer_that_one_source_lost_is_read_from_another() {
    let world = World::new().await;
    world.source.add_image("team/app", "1.0", &image());
    world.source.add_image("team/other", "1.0", &image());
    world
        .source
        .lose_blob("team/app", &Layer::new(1, 3000).digest());
    let jobs = vec![
        world.job("team/app", tag("1.0")),
        world.job("team/other", tag("1.0")),
    ];
    let done = world.run(jobs).await;
    assert_all(&done, &Outcome::Copied);
    for path in ["team/app", "team/other"] {
        world.destination.check_whole(path);
    }
}

#[tokio::test]
async fn fault_24_a_tag_that_moves_while_it_is_copied_is_copied_as_it_was_and_said_to_have_moved() {
    let mut world = World::new().await;
    world.clock = Hasty::new(SignedDuration::from_secs(40));
    let before = world.source.add_image("team/app", "1.0", &image());
    world.source.on(
        Method::GET,
        "/blobs/",
        Nth::Every,
        Fault::Slow(Duration::from_millis(300)),
    );
    let run = world.run(vec![world.job("team/app", tag("1.0"))]);
    let moved = async {
        until(|| blobs_asked(&world.source) > 0).await;
        world
            .source
            .add_image("team/app", "1.0", &Image::sized(50, &[10]));
    };
    let (done, ()) = tokio::join!(run, moved);
    assert_all(&done, &Outcome::Copied);
    assert!(done.report.tags[0].moved_meanwhile);
    assert_eq!(
        world.destination.tag_digest("team/app", "1.0"),
        Some(before)
    );
    world.destination.check_whole("team/app");
    assert_eq!(world.source.count_of(&Method::HEAD, Route::Manifest), 1);
}

#[tokio::test]
async fn fault_24_a_tag_that_moves_between_its_children_is_one_image_all_the_same() {
    let world = World::new().await;
    let index = |seed| {
        Image::index([
            Image::sized(seed, &[10]).platform("linux/amd64"),
            Image::sized(seed + 1, &[10]).platform("linux/arm64"),
        ])
    };
    let before = world.source.add_image("team/app", "1.0", &index(1));
    let slow = Fault::Slow(Duration::from_millis(300));
    world
        .source
        .on(Method::GET, "/manifests/sha256:", Nth::Every, slow);
    let run = world.run(vec![world.job("team/app", tag("1.0"))]);
    let moved = async {
        until(|| world.source.count_of(&Method::GET, Route::Manifest) > 1).await;
        world.source.add_image("team/app", "1.0", &index(5));
    };
    let (done, ()) = tokio::join!(run, moved);
    assert_all(&done, &Outcome::Copied);
    assert_eq!(
        world.destination.tag_digest("team/app", "1.0"),
        Some(before)
    );
    world.destination.check_whole("team/app");
}

#[tokio::test]
async fn fault_25_a_tag_that_is_deleted_while_it_is_copied_is_gone() {
    for (wanted, expected) in [(all(), Outcome::Gone), (tag("1.0"), missing())] {
        let mut world = World::new().await;
        world.clock = Hasty::new(SignedDuration::from_secs(40));
        world.source.add_image("team/app", "1.0", &image());
        world.source.on(
            Method::GET,
            "/blobs/",
            Nth::Every,
            Fault::Slow(Duration::from_millis(300)),
        );
        let run = world.run(vec![world.job("team/app", wanted)]);
        let deleted = async {
            until(|| blobs_asked(&world.source) > 0).await;
            world.source.delete_tag("team/app", "1.0");
        };
        let (done, ()) = tokio::join!(run, deleted);
        assert_all(&done, &expected);
        assert_eq!(world.destination.tag_digest("team/app", "1.0"), None);
    }
}

/// What becomes of what was asked for by name and is not there.
fn missing() -> Outcome {
    Outcome::Failed {
        cause: "there is no such image at the source".to_owned(),
        is_temporary: false,
    }
}

#[tokio::test]
async fn fault_25_what_is_asked_for_by_name_and_is_not_there_has_failed() {
    let world = World::new().await;
    world.source.add_image("team/app", "1.0", &image());
    let digest = crate::fake_registry::digest_of(b"nothing");
    let tags = ["1.0", "9.9"].map(|tag| tag.parse().unwrap());
    for (wanted, expected) in [
        (tag("9.9"), vec![missing()]),
        (Wanted::Tags(tags.into()), vec![Outcome::Copied, missing()]),
        (
            Wanted::Digest(digest.parse().unwrap(), None),
            vec![missing()],
        ),
    ] {
        let done = world.run(vec![world.job("team/app", wanted)]).await;
        let found: Vec<_> = outcomes(&done)
            .into_iter()
            .map(|(_, outcome)| outcome)
            .collect();
        assert_eq!(found, expected);
        assert_eq!(done.report.verdict(), Verdict::Failed);
    }
}

#[tokio::test]
async fn fault_25_a_tag_that_vanishes_between_the_list_and_its_turn_is_gone() {
    let world = World::new().await;
    world.source.add_image("team/app", "1.0", &image());
    world.source.add_image("team/app", "1.1", &image());
    let vanished = Fault::Code(404, "MANIFEST_UNKNOWN");
    world
        .source
        .on(Method::GET, "/manifests/1.0", Nth::Every, vanished);
    let done = world.run(vec![world.job("team/app", all())]).await;
    let expected = [("1.0", Outcome::Gone), ("1.1", Outcome::Copied)];
    assert_eq!(
        outcomes(&done),
        expected.map(|(tag, it)| (tag.to_owned(), it))
    );
    assert_eq!(done.report.verdict(), Verdict::Done);
}

#[tokio::test]
async fn fault_25_a_repository_that_is_deleted_while_it_is_copied_is_gone() {
    let world = World::new().await;
    let index = Image::index([image().platform("linux/amd64")]);
    world.source.add_image("team/app", "1.0", &index);
    let slow = Fault::Slow(Duration::from_millis(300));
    world
        .source
        .on(Method::GET, "/manifests/1.0", Nth::Every, slow);
    let run = world.run(vec![world.job("team/app", all())]);
    let deleted = async {
        until(|| world.source.count(Route::Manifest) > 0).await;
        world.source.lose_repository("team/app");
    };
    let (done, ()) = tokio::join!(run, deleted);
    assert_all(&done, &Outcome::Gone);
    assert!(world.destination.tags("team/app").is_empty());
}

#[tokio::test]
async fn fault_27_everything_an_index_names_is_there_before_it() {
    let world = World::new().await;
    // Nothing but the order makes it right.
    world
        .destination
        .configure(|options| options.checks_references = false);
    let children = |seed| {
        [
            Image::sized(seed, &[3000, 20]).platform("linux/amd64"),
            Image::sized(seed + 1, &[3000]).platform("linux/arm64"),
        ]
    };
    let nested = Image::index([Image::index(children(1)), children(10)[0].clone()]);
    world.source.add_image("team/app", "1.0", &nested);
    world
        .source
        .add_image("team/app", "1.1", &Image::index(children(2)));
    world.source.add_image("team/app", "1.2", &children(2)[0]);
    let done = world.run(vec![world.job("team/app", all())]).await;
    assert_all(&done, &Outcome::Copied);
    assert_in_order(&world.destination);
    world.destination.check_whole("team/app");
}

/// Holds every manifest that was written to naming nothing that was not there by then.
fn assert_in_order(registry: &FakeRegistry) {
    let mut there: HashSet<String> = HashSet::new();
    let mut manifests = 0;
    for request in registry.requests() {
        if request.method != Method::PUT || request.status != 201 {
            continue;
        }
        if let Some((_, digest)) = request.query.split_once("digest=") {
            there.insert(digest.split('&').next().unwrap().replace("%3A", ":"));
            continue;
        }
        let (_, reference) = request.path.rsplit_once('/').unwrap();
        let (_, bytes) = registry.manifest("team/app", reference).unwrap();
        let document: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        let named = ["config", "layers", "manifests"].map(|field| &document[field]);
        for descriptor in named.into_iter().flat_map(|named| match named {
            serde_json::Value::Array(all) => all.iter().collect::<Vec<_>>(),
            serde_json::Value::Object(_) => vec![named],
            _ => Vec::new(),
        }) {
            let digest = descriptor["digest"].as_str().unwrap();
            assert!(there.contains(digest), "{} names {digest}", request.path);
        }
        manifests += 1;
        there.insert(crate::fake_registry::digest_of(&bytes));
    }
    assert!(manifests > 0);
}

#[tokio::test]
async fn fault_30_referrers_are_copied_before_the_tag_from_the_api_the_fallback_tag_and_cosigns_tags()
 {
    for has_api in [true, false] {
        let world = World::new().await;
        let digest = world.source.add_image("team/app", "1.0", &image());
        let referrer = world
            .source
            .add_referrer("team/app", &digest, "application/x.sbom", 20);
        let of_referrer = world
            .source
            .add_referrer("team/app", &referrer, "application/x.sig", 21);
        let signature = world.source.add_cosign("team/app", &digest, "sig", 22);
        if !has_api {
            world
                .source
                .configure(|options| options.has_referrers = false);
            world.source.add_referrers_tag("team/app", &digest);
            world.source.add_referrers_tag("team/app", &referrer);
        }
        let mut job = world.job("team/app", all());
        job.referrers = true;
        let done = world.run(vec![job.clone()]).await;
        assert_all(&done, &Outcome::Copied);
        assert_eq!(done.report.tags.len(), 1, "cosign's tag is none of its own");
        assert_eq!(done.report.tags[0].referrers, 3);
        // Of each of the four, or once: it has said that it keeps no lists.
        let asked = world.source.count(Route::Referrers);
        assert_eq!(asked, if has_api { 4 } else { 1 });
        for digest in [&referrer, &of_referrer] {
            assert!(world.destination.manifest("team/app", digest).is_some());
        }
        assert_eq!(
            world.destination.tag_digest("team/app", &signature),
            world.source.tag_digest("team/app", &signature)
        );
        let last = world.destination.requests().pop().unwrap();
        assert!(last.path.ends_with("/manifests/1.0"), "{last:?}");
        world.destination.check_whole("team/app");
        // What comes later is found by its tag.
        let attestation = world.source.add_cosign("team/app", &digest, "att", 23);
        let done = world.run(vec![job]).await;
        assert_all(&done, &Outcome::Unchanged);
        assert_eq!(done.report.tags[0].referrers, 1);
        assert!(
            world
                .destination
                .tag_digest("team/app", &attestation)
                .is_some()
        );
    }
}

#[tokio::test]
async fn fault_30_a_registry_that_keeps_no_referrers_gets_them_listed_under_a_tag_none_lost() {
    let world = World::new().await;
    world.destination.configure(|options| {
        options.says_subject = false;
        options.has_referrers = false;
    });
    let digest = world.source.add_image("team/app", "1.0", &image());
    world.source.set_tag("team/app", "1.1", &digest);
    let referrers: Vec<_> = (20..26)
        .map(|seed| {
            world
                .source
                .add_referrer("team/app", &digest, "application/x", seed)
        })
        .collect();
    let mut job = world.job("team/app", all());
    job.referrers = true;
    let done = world.run(vec![job]).await;
    assert_all(&done, &Outcome::Copied);
    let fallback = digest.replacen(':', "-", 1);
    let (_, bytes) = world.destination.manifest("team/app", &fallback).unwrap();
    let index: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    let listed: HashSet<_> = index["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["digest"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(listed, referrers.into_iter().collect());
    assert_eq!(index["manifests"].as_array().unwrap().len(), 6);
}

#[tokio::test]
async fn fault_30_referrers_that_cannot_be_read_fail_the_tag() {
    for (status, is_temporary) in [(403, false), (500, true)] {
        let world = World::new().await;
        world.source.add_image("team/app", "1.0", &image());
        world.source.on(
            Method::GET,
            "/referrers/",
            Nth::Every,
            Fault::Status(status),
        );
        let mut job = world.job("team/app", tag("1.0"));
        job.referrers = true;
        let done = world.run(vec![job]).await;
        let (cause, temporary) = failure(&done);
        assert!(cause.contains("referrers"), "{cause}");
        assert_eq!(temporary, is_temporary, "{status}");
        assert_eq!(world.destination.tag_digest("team/app", "1.0"), None);
    }
}

#[tokio::test]
async fn fault_30_one_repository_without_referrers_says_nothing_of_others() {
    for code in ["NAME_UNKNOWN", "UNSUPPORTED"] {
        let world = World::new().await;
        let mut jobs = Vec::new();
        for path in ["team/a", "team/b"] {
            let digest = world.source.add_image(path, "1.0", &image());
            world
                .source
                .add_referrer(path, &digest, "application/x.sbom", 20);
            let mut job = world.job(path, tag("1.0"));
            job.referrers = true;
            jobs.push(job);
        }
        let fault = Fault::Code(404, code);
        world
            .source
            .on(Method::GET, "team/a/referrers/", Nth::Every, fault);
        // However soon it is known of the first.
        let slow = Fault::Slow(Duration::from_millis(300));
        world
            .source
            .on(Method::GET, "team/b/manifests/", Nth::First(1), slow);
        let done = world.run(jobs).await;
        assert_all(&done, &Outcome::Copied);
        let copied: Vec<_> = done.report.tags.iter().map(|it| it.referrers).collect();
        assert_eq!(copied, [0, 1], "{code}");
    }
}

#[tokio::test]
async fn fault_39_no_credential_is_seen_by_the_other_side() {
    let world = World::new().await;
    world.source.add_image("team/app", "1.0", &image());
    let guard = |password: &str| Auth::Basic {
        username: "me".to_owned(),
        password: password.to_owned(),
    };
    world.source.set_auth(guard("of-the-source"));
    world.destination.set_auth(guard("of-the-destination"));
    let mut job = world.job("team/app", tag("1.0"));
    job.source.access = crate::registry::basic("me", "of-the-source");
    job.destinations[0].access = crate::registry::basic("me", "of-the-destination");
    let done = world.run(vec![job]).await;
    assert_all(&done, &Outcome::Copied);
    assert!(world.source.saw("of-the-source") && world.destination.saw("of-the-destination"));
    assert!(!world.source.saw("of-the-destination"));
    assert!(!world.destination.saw("of-the-source"));
}

/// Docker's schema 1 does not say how long its layers are.
#[tokio::test]
async fn an_image_of_schema_1_fails_with_the_reason_and_nothing_is_begun() {
    let world = World::new().await;
    let manifest = serde_json::json!({
        "schemaVersion": 1,
        "name": "team/app",
        "tag": "1.0",
        "fsLayers": [{"blobSum": format!("sha256:{}", "a".repeat(64))}],
        "history": [{"v1Compatibility": "{}"}],
    });
    let media_type = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    world
        .source
        .put_manifest("team/app", Some("1.0"), media_type, &manifest);
    let done = world.run(vec![world.job("team/app", tag("1.0"))]).await;
    let (cause, is_temporary) = failure(&done);
    assert!(cause.contains("schema 1") && !is_temporary, "{cause}");
    assert_eq!(world.destination.count_of(&Method::POST, Route::Upload), 0);
}
