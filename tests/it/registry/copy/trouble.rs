//! Runs that are interrupted, that meet each other, and that find another world than they left.

use super::*;
use crate::fake_registry::{Auth, Fault, Image, Layer, Nth};
use crate::registry::basic;

fn image(seed: u64) -> Image {
    Image::new([Layer::new(1, 40_000), Layer::new(seed, 100)])
}

#[tokio::test]
async fn fault_28_two_runs_into_one_destination_do_not_harm_each_other() {
    let world = World::new().await;
    for tag in 0..20 {
        let name = format!("1.{tag}");
        world.source.add_image("team/app", &name, &image(100 + tag));
    }
    let (one, other) = (Known::default(), Known::default());
    let jobs = || vec![world.job("team/app", all())];
    let (first, second) = tokio::join!(
        world.run_knowing(jobs(), &one),
        world.run_knowing(jobs(), &other)
    );
    for done in [first, second] {
        let is_fine = |outcome| matches!(outcome, Outcome::Copied | Outcome::Unchanged);
        assert!(
            outcomes(&done)
                .into_iter()
                .all(|(_, outcome)| is_fine(outcome))
        );
    }
    world.destination.check_whole("team/app");
    one.merge(&other);
    world.clear();
    let done = world.run_knowing(jobs(), &one).await;
    assert_all(&done, &Outcome::Unchanged);
}

#[tokio::test]
async fn fault_29_a_run_that_is_interrupted_leaves_no_half_tag_and_the_next_one_completes() {
    let mut world = World::new().await;
    world.source.add_image("team/app", "1.0", &image(2));
    world.source.add_image("team/app", "1.1", &image(3));
    let stalled = Layer::new(3, 100).digest();
    world
        .source
        .on(Method::GET, &stalled, Nth::Every, Fault::HangHead);
    let run = world.run(vec![world.job("team/app", all())]);
    let interrupted = async {
        until(|| world.destination.tag_digest("team/app", "1.0").is_some()).await;
        until(|| world.source.count_where(|it| it.path.ends_with(&stalled)) > 0).await;
        world.cancel.cancel();
    };
    let (done, ()) = tokio::join!(run, interrupted);
    let not_begun = Outcome::NotBegun {
        cause: "interrupted".to_owned(),
    };
    let expected = [
        ("1.0".to_owned(), Outcome::Copied),
        ("1.1".to_owned(), not_begun),
    ];
    assert_eq!(outcomes(&done), expected);
    assert_eq!(world.destination.tags("team/app"), ["1.0"]);
    assert_eq!(
        world.destination.sessions(),
        0,
        "what was begun is given up"
    );
    world.destination.check_whole("team/app");

    world.source.heal();
    world.cancel = CancellationToken::new();
    world.clear();
    let done = world.run(vec![world.job("team/app", all())]).await;
    assert_eq!(outcomes(&done)[1].1, Outcome::Copied);
    // What was there is not brought again.
    assert!(blobs_asked(&world.source) <= 2);
    world.destination.check_whole("team/app");
}

#[tokio::test]
async fn fault_29_a_run_that_is_interrupted_before_it_begins_asks_nothing() {
    let world = World::new().await;
    world.source.add_image("team/app", "1.0", &image(2));
    world.cancel.cancel();
    let done = world.run(vec![world.job("team/app", tag("1.0"))]).await;
    assert!(
        done.report
            .tags
            .iter()
            .all(|report| matches!(report.outcome, Outcome::NotBegun { .. }))
    );
    assert_counted(&world.source, &[]);
    assert_counted(&world.destination, &[]);
}

#[tokio::test]
async fn fault_29_a_run_that_is_interrupted_while_it_lists_tells_of_every_tag_that_has_a_name() {
    let world = World::new().await;
    world.source.add_image("team/app", "1.0", &image(2));
    world.source.add_image("team/other", "1.0", &image(2));
    for registry in [&world.source, &world.destination] {
        registry.on(Method::GET, "/tags/list", Nth::Every, Fault::HangHead);
    }
    let tags = ["1.0", "1.1"].map(|tag| tag.parse().unwrap());
    let jobs = vec![
        world.job("team/app", Wanted::Tags(tags.into())),
        world.job("team/other", all()),
    ];
    let run = world.run(jobs);
    let interrupted = async {
        until(|| world.source.count(Route::List) > 0 && world.destination.count(Route::List) > 1)
            .await;
        world.cancel.cancel();
    };
    let (done, ()) = tokio::join!(run, interrupted);
    let not_begun = Outcome::NotBegun {
        cause: "interrupted".to_owned(),
    };
    let told: Vec<_> = done
        .report
        .tags
        .iter()
        .map(|report| {
            (
                report.tag.clone().unwrap().to_string(),
                report.outcome.clone(),
            )
        })
        .collect();
    let expected = ["1.0", "1.1"].map(|tag| (tag.to_owned(), not_begun.clone()));
    assert_eq!(told, expected);
    let [problem] = &done.report.problems[..] else {
        panic!("{done:?}");
    };
    assert!(
        problem.contains("team/other was not looked at: interrupted"),
        "{problem}"
    );
}

#[tokio::test]
async fn a_destination_that_was_wiped_is_filled_again() {
    let world = World::new().await;
    for seed in 2..5 {
        let name = format!("1.{seed}");
        world.source.add_image("team/app", &name, &image(seed));
        world.source.add_image("team/other", &name, &image(seed));
    }
    let jobs = || vec![world.job("team/app", all()), world.job("team/other", all())];
    assert_all(&world.run(jobs()).await, &Outcome::Copied);
    world.destination.lose_repository("team/app");
    world.clear();
    let done = world.run(jobs()).await;
    assert_eq!(
        done.report
            .tags
            .iter()
            .filter(|tag| tag.outcome == Outcome::Copied)
            .count(),
        3
    );
    world.destination.check_whole("team/app");
    world.destination.lose_repository("team/app");
    world.destination.lose_repository("team/other");
    assert_all(&world.run(jobs()).await, &Outcome::Copied);
    for path in ["team/app", "team/other"] {
        world.destination.check_whole(path);
    }
}

#[tokio::test]
async fn what_cannot_be_listed_is_said_once_and_holds_nothing_else_up() {
    let world = World::new().await;
    world.source.add_image("team/app", "1.0", &image(2));
    let jobs = vec![world.job("team/app", all()), world.job("team/none", all())];
    let done = world.run(jobs).await;
    let [problem] = &done.report.problems[..] else {
        panic!("{done:?}");
    };
    assert!(problem.contains("team/none"), "{problem}");
    assert_eq!(done.report.tags.len(), 1);
    assert_eq!(done.report.tags[0].outcome, Outcome::Copied);
}

#[tokio::test]
async fn jobs_of_one_repository_each_use_their_own_credentials() {
    let world = World::new().await;
    for path in ["team/app", "team/other"] {
        for (tag, seed) in [("1.0", 2), ("1.1", 3)] {
            world.source.add_image(path, tag, &image(seed));
        }
    }
    let guard = || Auth::Basic {
        username: "me".to_owned(),
        password: "right".to_owned(),
    };
    let named = |tags: [&str; 2]| Wanted::Tags(tags.map(|tag| tag.parse().unwrap()).into());
    let outcomes_of = |done: &Done| -> Vec<&str> {
        let tags = done.report.tags.iter();
        tags.map(|report| report.outcome.name()).collect()
    };
    // At the destination: one list, one blob that both need, two accounts.
    world.destination.set_auth(guard());
    for order in [["wrong", "right"], ["right", "wrong"]] {
        world.destination.lose_repository("team/app");
        let jobs = order.map(|password| {
            let wanted = match password {
                "wrong" => named(["1.0", "1.2"]),
                _ => named(["1.1", "1.3"]),
            };
            let mut job = world.job("team/app", wanted);
            job.destinations[0].access = basic("me", password);
            job
        });
        for (tag, seed) in [("1.2", 4), ("1.3", 5)] {
            world.source.add_image("team/app", tag, &image(seed));
        }
        let done = world.run_knowing(jobs.into(), &Known::default()).await;
        let expected = ["failed", "copied", "failed", "copied"];
        assert_eq!(outcomes_of(&done), expected, "{order:?} {done:?}");
        world.destination.check_whole("team/app");
    }
    // At the source: a list.
    world.source.set_auth(guard());
    for order in [["wrong", "right"], ["right", "wrong"]] {
        world.destination.lose_repository("team/other");
        let jobs = order.map(|password| {
            let mut job = world.job("team/other", all());
            job.source.access = basic("me", password);
            job.destinations[0].access = basic("me", "right");
            job
        });
        let done = world.run_knowing(jobs.into(), &Known::default()).await;
        assert_eq!(outcomes_of(&done), ["copied", "copied"], "{done:?}");
        assert_eq!(done.report.problems.len(), 1, "{done:?}");
    }
}

#[tokio::test]
async fn what_registries_warn_of_is_told_apart_and_changes_no_verdict() {
    let world = World::new().await;
    world.source.add_image("team/app", "1.0", &image(2));
    for registry in [&world.source, &world.destination] {
        let words = "299 - \"This registry closes down.\"".to_owned();
        let fault = Fault::Headers(vec![("warning", words)]);
        registry.on(None, "/v2/", Nth::Every, fault);
    }
    let done = world.run(vec![world.job("team/app", tag("1.0"))]).await;
    assert_all(&done, &Outcome::Copied);
    assert_eq!(done.report.verdict(), Verdict::Done);
    let mut expected = [&world.source, &world.destination].map(|registry| {
        format!(
            "{} warns: This registry closes down.",
            registry.plain_host()
        )
    });
    expected.sort();
    assert_eq!(done.report.warnings, expected);
}

#[tokio::test]
async fn a_destination_that_fails_holds_up_no_other() {
    let world = World::new().await;
    let broken = FakeRegistry::start().await;
    broken.on(
        Method::POST,
        "/blobs/uploads/",
        Nth::Every,
        Fault::Status(403),
    );
    world.source.add_image("team/app", "1.0", &image(2));
    let places = [&broken, &world.destination].map(|registry| place(registry, "team/app"));
    let job = job(place(&world.source, "team/app"), places.into(), tag("1.0"));
    let done = world.run(vec![job]).await;
    let outcome_at = |registry: &FakeRegistry| {
        let host = registry.plain_host();
        let mut tags = done.report.tags.iter();
        let report = tags.find(|report| report.to.registry().as_str() == host);
        report.unwrap().outcome.clone()
    };
    assert_eq!(outcome_at(&world.destination), Outcome::Copied);
    let failed = outcome_at(&broken);
    assert!(
        matches!(
            &failed,
            Outcome::Failed {
                is_temporary: false,
                ..
            }
        ),
        "{failed:?}"
    );
    world.destination.check_whole("team/app");
}

#[tokio::test]
async fn fault_29_a_session_that_was_begun_anew_is_given_up_too() {
    let world = World::new().await;
    world.source.add_image("team/app", "1.0", &image(2));
    // The PUT is refused, and what comes in its place never ends.
    world
        .destination
        .configure(|options| options.refuses_put_body = Some(405));
    let hangs = Fault::StallReading(10);
    world
        .destination
        .on(Method::PATCH, "/blobs/uploads/", Nth::Every, hangs);
    let patched = || world.destination.count_of(&Method::PATCH, Route::Upload);
    let run = world.run(vec![world.job("team/app", tag("1.0"))]);
    let interrupted = async {
        until(|| patched() > 1).await;
        world.cancel.cancel();
    };
    let (done, ()) = tokio::join!(run, interrupted);
    assert!(matches!(outcomes(&done)[0].1, Outcome::NotBegun { .. }));
    let conversation = world.destination.conversation();
    assert_eq!(world.destination.sessions(), 0, "{conversation:#?}");
}

#[tokio::test]
async fn fault_29_uploads_that_nobody_waits_for_any_more_are_given_up() {
    let world = World::new().await;
    world.source.add_image("team/app", "1.0", &image(2));
    world
        .source
        .lose_blob("team/app", &Layer::new(2, 100).digest());
    // The other layer would take for ever.
    let slow = Layer::new(1, 40_000).digest();
    world
        .source
        .on(Method::GET, &slow, Nth::Every, Fault::StallAt(100));
    let done = world.run(vec![world.job("team/app", tag("1.0"))]).await;
    assert!(matches!(outcomes(&done)[0].1, Outcome::Failed { .. }));
    let conversation = world.destination.conversation();
    assert_eq!(world.destination.sessions(), 0, "{conversation:#?}");
}

#[tokio::test]
async fn a_tag_that_several_jobs_want_is_copied_once_and_told_of_once() {
    let world = World::new().await;
    world.source.add_image("team/app", "1.0", &image(2));
    world.source.add_image("team/app", "1.1", &image(3));
    let elected = |pattern: &str| {
        let pattern = tagscope::regexp::Regexp::new(pattern).unwrap();
        Wanted::Selected(Selection::matching(pattern))
    };
    let twice = ["1.0", "1.0"].map(|tag| tag.parse().unwrap());
    let jobs = vec![
        world.job("team/app", elected("0$")),
        world.job("team/app", elected("^1")),
        world.job("team/app", tag("1.1")),
        world.job("team/app", Wanted::Tags(twice.into())),
    ];
    let done = world.run(jobs).await;
    let expected = ["1.0", "1.1"].map(|tag| (tag.to_owned(), Outcome::Copied));
    assert_eq!(outcomes(&done), expected);
    assert_eq!(world.source.count(Route::Manifest), 2);
    assert_eq!(world.destination.count_of(&Method::PUT, Route::Manifest), 2);
}

#[tokio::test]
async fn jobs_that_share_some_of_their_destinations_share_those() {
    let world = World::new().await;
    world.source.add_image("team/app", "1.0", &image(2));
    let to = |paths: &[&str]| {
        let places = paths.iter().map(|path| place(&world.destination, path));
        job(
            place(&world.source, "team/app"),
            places.collect(),
            tag("1.0"),
        )
    };
    let jobs = vec![
        to(&["a/app", "b/app"]),
        to(&["b/app", "c/app"]),
        to(&["c/app", "c/app"]),
    ];
    let done = world.run(jobs).await;
    assert_all(&done, &Outcome::Copied);
    let tags = done.report.tags.iter();
    let paths: Vec<_> = tags.map(|report| report.to.path().to_owned()).collect();
    assert_eq!(paths, ["a/app", "b/app", "c/app"]);
    assert_eq!(world.destination.count_of(&Method::PUT, Route::Manifest), 3);
}

#[tokio::test]
async fn jobs_that_contradict_each_other_are_named_and_the_first_one_counts() {
    for is_first in [true, false] {
        let world = World::new().await;
        world.source.add_image("team/app", "1.0", &image(2));
        world.source.add_image("team/app", "1.1", &image(3));
        let plain = world.job("team/app", tag("1.0"));
        let mut other = plain.clone();
        other.wanted = all();
        other.referrers = true;
        other.overwrite = Overwrite::Always;
        let jobs = if is_first {
            vec![plain, other]
        } else {
            vec![other, plain]
        };
        let done = world.run(jobs).await;
        let [problem] = &done.report.problems[..] else {
            panic!("{done:?}");
        };
        let from = world.source.image("team/app:1.0");
        let mut ways = [
            format!("{from} (all platforms, without referrers, never overwritten)"),
            format!("{from} (all platforms, with referrers, always overwritten)"),
        ];
        if !is_first {
            ways.reverse();
        }
        let ways = ways.join(" and ");
        assert!(problem.ends_with(&ways), "{problem}");
        assert!(
            problem.starts_with(&world.destination.image("team/app:1.0 ")),
            "{problem}"
        );
        assert_eq!(done.report.verdict(), Verdict::Failed);
        assert_eq!(
            done.report.tags.len(),
            2,
            "what nobody disagrees on is copied"
        );
        let wrote = |tag: &str| {
            let path = format!("/manifests/{tag}");
            world
                .destination
                .count_where(|it| it.method == Method::PUT && it.path.ends_with(&path))
        };
        assert_eq!((wrote("1.0"), wrote("1.1")), (1, 1));
        world.destination.check_whole("team/app");
    }
}

#[tokio::test]
async fn each_job_keeps_to_its_own_bandwidth_and_all_of_them_to_theirs() {
    let world = World::new().await;
    let blob = |seed| Image::new([Layer::new(seed, 400_000)]);
    for (path, seed) in [("team/slow", 1), ("team/fast", 2)] {
        world.source.add_image(path, "1.0", &blob(seed));
    }
    let limited = |path: &str, rate: u64| {
        let mut job = world.job(path, tag("1.0"));
        job.bandwidth = Some(Arc::new(Limiter::new(rate)));
        job
    };
    // A second of the one, and no time of the other.
    let jobs = vec![limited("team/slow", 400_000), limited("team/fast", 1 << 30)];
    let begun = tokio::time::Instant::now();
    let (mut fast, mut slow) = (None, None);
    let run = world.run(jobs);
    let watched = async {
        let is_there = |path: &str| world.destination.tag_digest(path, "1.0").is_some();
        until(|| is_there("team/fast")).await;
        fast = Some(begun.elapsed());
        assert!(!is_there("team/slow"), "the other is not done yet");
        until(|| is_there("team/slow")).await;
        slow = Some(begun.elapsed());
    };
    let (done, ()) = tokio::join!(run, watched);
    assert_all(&done, &Outcome::Copied);
    assert!(
        slow.unwrap() >= Duration::from_millis(700),
        "{fast:?} {slow:?}"
    );
}

#[tokio::test]
async fn referrers_that_were_not_asked_for_are_copied_when_they_are() {
    let world = World::new().await;
    for tag in ["1.0", "1.1"] {
        let digest = world.source.add_image("team/app", tag, &image(2));
        world.source.add_referrer("team/app", &digest, "a/b", 7);
        world.source.add_cosign("team/app", &digest, "sig", 8);
    }
    let of_versions = || {
        let tags = ["1.0", "1.1"].map(|tag| tag.parse().unwrap());
        let mut job = world.job("team/app", Wanted::Tags(tags.into()));
        job.overwrite = Overwrite::MutableTagsOnly(Vec::new());
        job
    };
    assert_all(&world.run(vec![of_versions()]).await, &Outcome::Copied);
    assert_eq!(world.destination.tags("team/app"), ["1.0", "1.1"]);
    let with_referrers = || Job {
        referrers: true,
        ..of_versions()
    };
    let done = world.run(vec![with_referrers()]).await;
    assert_all(&done, &Outcome::Unchanged);
    assert_eq!(world.destination.tags("team/app").len(), 3);
    world.destination.check_whole("team/app");
    // A signature that was deleted comes back.
    let tags = world.destination.tags("team/app");
    let signature = tags.iter().find(|tag| tag.contains(".sig")).unwrap();
    world.destination.delete_tag("team/app", signature);
    let done = world.run(vec![with_referrers()]).await;
    assert_all(&done, &Outcome::Unchanged);
    assert_eq!(world.destination.tags("team/app"), tags);
}

#[tokio::test]
async fn a_destination_that_was_wiped_is_noticed_by_tags_that_nobody_asks_for_now() {
    let world = World::new().await;
    for tag in ["1.0", "1.1", "1.2"] {
        world.source.add_image("team/app", tag, &image(2));
    }
    let old = vec![world.job("team/app", tag("1.0"))];
    assert_all(&world.run(old).await, &Outcome::Copied);
    world.destination.lose_repository("team/app");
    let tags = ["1.1", "1.2"].map(|tag| tag.parse().unwrap());
    let new = vec![world.job("team/app", Wanted::Tags(tags.into()))];
    assert_all(&world.run(new).await, &Outcome::Copied);
    world.destination.check_whole("team/app");
    // Nothing was taken for there that is not: no manifest was refused.
    let refused = world.destination.count_of(&Method::PUT, Route::Manifest);
    assert_eq!(refused, 3);
}

#[tokio::test]
async fn fault_29_a_run_that_is_interrupted_while_it_looks_for_referrers_ends_soon() {
    for is_there in [false, true] {
        let mut world = World::new().await;
        world.source.add_image("team/app", "1.0", &image(2));
        if is_there {
            world.destination.add_image("team/app", "1.0", &image(2));
        }
        world
            .source
            .on(Method::GET, "/referrers/", Nth::Every, Fault::HangHead);
        let job = Job {
            referrers: true,
            ..world.job("team/app", tag("1.0"))
        };
        let run = world.run(vec![job]);
        let interrupted = async {
            until(|| {
                world
                    .source
                    .count_where(|it| it.path.contains("/referrers/"))
                    > 0
            })
            .await;
            world.cancel.cancel();
        };
        let both = async { tokio::join!(run, interrupted) };
        let (done, ()) = tokio::time::timeout(Duration::from_secs(4), both)
            .await
            .expect("it does not wait for what hangs");
        let not_begun = Outcome::NotBegun {
            cause: "interrupted".to_owned(),
        };
        assert_all(&done, &not_begun);
        world.cancel = CancellationToken::new();
    }
}

#[tokio::test]
async fn an_index_that_names_too_much_is_not_read_any_further() {
    let world = World::new().await;
    let children: Vec<_> = (0..20)
        .map(|number: u32| {
            serde_json::json!({
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": format!("sha256:{number:064}"),
                "size": 4 << 20,
            })
        })
        .collect();
    let media_type = "application/vnd.oci.image.index.v1+json";
    let index = serde_json::json!({
        "schemaVersion": 2, "mediaType": media_type, "manifests": children,
    });
    world
        .source
        .put_manifest("team/app", Some("1.0"), media_type, &index);
    let done = world.run(vec![world.job("team/app", tag("1.0"))]).await;
    let [(_, Outcome::Failed { cause, .. })] = &outcomes(&done)[..] else {
        panic!("{done:?}");
    };
    assert!(cause.contains("bytes of manifests"), "{cause}");
    assert_counted(&world.source, &[("GET Manifest", 1)]);
}
