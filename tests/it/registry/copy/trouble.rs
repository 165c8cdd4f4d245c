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
