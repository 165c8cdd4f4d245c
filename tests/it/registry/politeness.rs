//! What registries are spared: requests beyond what they allow, lists that did not change, probes that find nothing.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tagscope::clock::HandClock;
use tagscope::registry::{Access, Client, Deadline, Error, Found, Kind, Rate, Settings};
use tokio::time::Instant;

use super::{basic, client, list, repository, settings, soon, texts, with_tags};
use crate::fake_registry::{ETags, FakeRegistry, Fault, Links, Paging, Route};

async fn known(client: &Client, image: &str, known: Option<&str>) -> Result<Found, Error> {
    client
        .list(&repository(image), &Access::default(), known, soon())
        .await
}

/// The ETag that came with the list.
fn validator(found: &Found) -> Option<&str> {
    match found {
        Found::Fresh(list) => list.validator.as_deref(),
        Found::Unchanged => None,
    }
}

#[tokio::test]
async fn one_noisy_host_never_slows_another() {
    let noisy = with_tags(&["1"]).await;
    let quiet = with_tags(&["1"]).await;
    let client = client();
    list(&client, &noisy.image("team/app"), &Access::default())
        .await
        .unwrap();
    noisy.fail_next(Fault::RateLimited(Some("300".into())));
    noisy.fail_next(Fault::Slow(Duration::from_mins(1)));
    for n in 0..20 {
        let error = list(&client, &noisy.image("team/app"), &Access::default())
            .await
            .unwrap_err();
        assert_eq!((error.kind(), error.is_wait()), (Kind::RateLimited, n > 0));
        list(&client, &quiet.image("team/app"), &Access::default())
            .await
            .unwrap();
    }
    assert_eq!(noisy.count(Route::List), 2);
}

#[tokio::test]
async fn a_pause_until_a_date_holds_for_every_repository_and_credential() {
    let registry = with_tags(&["1"]).await;
    registry.add_repository("other/app", ["1"]);
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let clock = Arc::new(HandClock::at(now));
    let client = Client::new(Settings {
        clock: Arc::<HandClock>::clone(&clock),
        ..settings()
    });
    list(&client, &registry.image("team/app"), &Access::default())
        .await
        .unwrap();
    registry.clear_requests();
    registry.fail_next(Fault::Unavailable("Thu, 01 Jan 2026 00:01:30 GMT".into()));
    let error = list(&client, &registry.image("team/app"), &Access::default())
        .await
        .unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(90)));
    // Whoever's calendar jumps meanwhile: a pause is measured in time that passes.
    clock.advance(SignedDuration::from_hours(-1));
    for (image, access) in [
        ("team/app", Access::default()),
        ("other/app", Access::default()),
        ("other/app", basic("me", "hunter2")),
    ] {
        let error = list(&client, &registry.image(image), &access)
            .await
            .unwrap_err();
        assert!(error.is_wait(), "{error}");
        let left = error.retry_after().unwrap();
        assert!(left > Duration::from_mins(1) && left <= Duration::from_secs(90));
    }
    assert_eq!(registry.requests().len(), 1);
}

#[tokio::test]
async fn a_burst_of_503_ends_with_the_first_that_names_a_time() {
    let registry = with_tags(&["1"]).await;
    for n in 0..30 {
        registry.add_repository(&format!("team/app{n}"), ["1"]);
    }
    let client = client();
    list(&client, &registry.image("team/app"), &Access::default())
        .await
        .unwrap();
    registry.clear_requests();
    registry.fail_always(Fault::Unavailable("1".into()));
    let images: Vec<_> = (0..30)
        .map(|n| registry.image(&format!("team/app{n}")))
        .collect();
    let access = Access::default();
    let all = images.iter().map(|image| list(&client, image, &access));
    let start = Instant::now();
    // Each of the four places asks in vain once a pause at most.
    let results = tokio::time::timeout(Duration::from_secs(5), futures::future::join_all(all));
    drop(results.await);
    let pauses = usize::try_from(start.elapsed().as_secs()).unwrap() + 1;
    let asked = registry.count(Route::List);
    assert!(
        (1..=4 * pauses).contains(&asked),
        "{asked} in {pauses} pauses"
    );
    registry.heal();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let found = list(&client, &images[7], &Access::default()).await.unwrap();
    assert_eq!(texts(&found), ["1"]);
}

#[tokio::test]
async fn no_more_requests_at_a_time_than_allowed_whoever_asks() {
    let registry = with_tags(&["1"]).await;
    let client = Client::new(Settings {
        rate: Rate {
            concurrency: 3,
            ..Rate::default()
        },
        ..settings()
    });
    let image = registry.image("team/app");
    list(&client, &image, &Access::default()).await.unwrap();
    registry.fail_times(12, Fault::Slow(Duration::from_millis(100)));
    let start = Instant::now();
    let all = (0..12).map(|n| {
        let access = basic(&format!("user{}", n % 5), "hunter2");
        let (client, image) = (client.clone(), image.clone());
        async move { list(&client, &image, &access).await.unwrap() }
    });
    futures::future::join_all(all).await;
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(390), "four rounds: {took:?}");
}

#[tokio::test]
async fn a_rate_that_was_set_is_kept() {
    let registry = with_tags(&["1"]).await;
    let client = Client::new(Settings {
        rate: Rate {
            per_second: 10.0,
            ..Rate::default()
        },
        ..settings()
    });
    let image = registry.image("team/app");
    let start = Instant::now();
    for _ in 0..16 {
        // As little time as the registry needs: waiting for the rate is not its fault.
        let deadline = Deadline::after(Duration::from_secs(10));
        client
            .list_tags(&repository(&image), &Access::default(), deadline)
            .await
            .unwrap();
    }
    let took = start.elapsed();
    assert!(
        took >= Duration::from_millis(590),
        "ten, then ten a second: {took:?}"
    );
}

#[tokio::test]
async fn what_a_registry_says_is_left_is_not_used_up() {
    let registry = with_tags(&["1"]).await;
    let client = client();
    let image = registry.image("team/app");
    registry.fail_next(Fault::Headers(vec![
        ("ratelimit-limit", "100;w=21600".into()),
        ("ratelimit-remaining", "12;w=21600".into()),
    ]));
    for _ in 0..3 {
        list(&client, &image, &Access::default()).await.unwrap();
    }
    let error = list(&client, &image, &Access::default()).await.unwrap_err();
    assert!(error.is_wait(), "{error}");
    assert!(error.retry_after() > Some(Duration::from_secs(200)));
    assert_eq!(registry.count(Route::List), 3);
}

#[tokio::test]
async fn a_list_that_did_not_change_is_not_sent_again() {
    for etags in [ETags::Strong, ETags::Weak] {
        let registry = with_tags(&["1", "2"]).await;
        registry.set_etags(etags);
        let (client, image) = (client(), registry.image("team/app"));
        let first = known(&client, &image, None).await.unwrap();
        let etag = validator(&first).unwrap().to_owned();
        for _ in 0..3 {
            let found = known(&client, &image, Some(&etag)).await;
            assert_eq!(found, Ok(Found::Unchanged), "{etags:?}");
        }
        assert_eq!((registry.list_bodies(), registry.requests().len()), (1, 4));
        registry.push("team/app", "3");
        let found = known(&client, &image, Some(&etag)).await.unwrap();
        assert!(matches!(&found, Found::Fresh(list) if texts(list) == ["1", "2", "3"]));
        assert_ne!(validator(&found), Some(etag.as_str()));
        // Who knows nothing is told everything.
        assert!(matches!(
            known(&client, &image, None).await,
            Ok(Found::Fresh(_))
        ));
    }
}

#[tokio::test]
async fn only_an_etag_that_covers_the_whole_list_counts() {
    let two_pages = Paging {
        max_size: Some(2),
        ..Paging::default()
    };
    let numbered = |count: usize| (0..count).map(|n| format!("v{n:05}")).collect::<Vec<_>>();
    for (count, paging, etags, why) in [
        (3, two_pages, ETags::Strong, "two pages"),
        (1000, Paging::default(), ETags::Strong, "a full page"),
        (3, Paging::default(), ETags::Unquoted, "by its grammar none"),
        (3, Paging::default(), ETags::Long, "too long"),
        (3, Paging::default(), ETags::None, "none"),
    ] {
        let registry = FakeRegistry::start().await;
        registry.add_repository("team/app", numbered(count));
        registry.set_paging(paging);
        registry.set_etags(etags);
        let found = known(&client(), &registry.image("team/app"), None)
            .await
            .unwrap();
        assert_eq!(validator(&found), None, "{why}");
    }
}

#[tokio::test]
async fn nothing_changed_is_no_answer_to_who_did_not_ask() {
    let registry = with_tags(&["1"]).await;
    registry.fail_next(Fault::Status(304));
    let error = list(&client(), &registry.image("team/app"), &Access::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Protocol);
    assert!(
        error
            .to_string()
            .ends_with("it says that nothing changed, and was not asked that"),
        "{error}"
    );
}

#[tokio::test]
async fn full_pages_cost_one_request_each_once_probes_have_found_nothing() {
    let registry = FakeRegistry::start().await;
    registry.set_paging(Paging {
        links: Links::Missing,
        ..Paging::default()
    });
    let images: Vec<_> = (0..10).map(|n| format!("team/app{n}")).collect();
    for path in &images {
        registry.add_repository(path, (0..1000).map(|n| format!("v{n:05}")));
    }
    let client = client();
    for requests in [13, 10] {
        registry.clear_requests();
        for path in &images {
            let found = list(&client, &registry.image(path), &Access::default())
                .await
                .unwrap();
            assert_eq!((found.tags.len(), found.is_complete()), (1000, true));
        }
        assert_eq!(registry.requests().len(), requests);
    }
    // A tag that pushes another off the page is no removal: the page changed, and is probed.
    let tags = std::iter::once("v".to_owned()).chain((0..1000).map(|n| format!("v{n:05}")));
    registry.add_repository(&images[4], tags);
    registry.clear_requests();
    let found = list(&client, &registry.image(&images[4]), &Access::default())
        .await
        .unwrap();
    assert_eq!((found.tags.len(), registry.requests().len()), (1001, 2));
    // From now on nothing is believed there.
    list(&client, &registry.image(&images[5]), &Access::default())
        .await
        .unwrap();
    assert_eq!(registry.requests().len(), 4);
}

#[tokio::test]
async fn where_links_were_seen_a_full_page_without_one_is_the_last() {
    let registry = FakeRegistry::start().await;
    registry.add_repository("team/long", (0..1500).map(|n| format!("v{n:05}")));
    registry.add_repository("team/full", (0..1000).map(|n| format!("v{n:05}")));
    let client = client();
    for (path, tags, requests) in [("team/long", 1500, 2), ("team/full", 1000, 1)] {
        registry.clear_requests();
        let found = list(&client, &registry.image(path), &Access::default())
            .await
            .unwrap();
        assert_eq!((found.tags.len(), found.is_complete()), (tags, true));
        assert_eq!(registry.requests().len(), requests, "{path}");
    }
}
