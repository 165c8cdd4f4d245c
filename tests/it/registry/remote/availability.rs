//! Hosts that are slow, ill, or want to be left alone.

use std::sync::Arc;

use futures::future::join_all;
use http::Method;
use tagscope::registry::remote::{Intent, Tally};
use tagscope::registry::{Access, Client, Kind};

use super::{quick, reader, tag, writer};
use crate::fake_registry::{Fault, Nth, Route};
use crate::registry::{repository, with_tags};

#[tokio::test]
async fn fault_11_a_pause_is_kept_and_the_request_made_again() {
    for after in [
        Some("1".to_owned()),
        None,
        Some("Thu, 01 Jan 1970 00:00:00 GMT".to_owned()),
    ] {
        let registry = with_tags(&["1"]).await;
        let remote = reader(&registry);
        registry.fail_next(Fault::RateLimited(after.clone()));
        let begin = tokio::time::Instant::now();
        assert!(remote.head(&tag("1")).await.unwrap().is_some(), "{after:?}");
        assert!(begin.elapsed() >= std::time::Duration::from_millis(900));
        assert_eq!(remote.tally().counts().retries, 1);
    }
    let registry = with_tags(&["1"]).await;
    registry.fail_next(Fault::Unavailable("1".into()));
    assert_eq!(reader(&registry).tags().await.unwrap().tags.len(), 1);
}

#[tokio::test]
async fn fault_11_nobody_waits_for_ever() {
    let registry = with_tags(&["1"]).await;
    let remote = reader(&registry);
    registry.fail_next(Fault::RateLimited(Some("864000".into())));
    let error = remote.head(&tag("1")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::RateLimited);
    assert_eq!(error.retry_after().unwrap().as_secs(), 3600, "capped");
    // The next one is told so at once.
    assert_eq!(remote.tags().await.unwrap_err().kind(), Kind::RateLimited);
    assert_eq!(registry.requests().len(), 1);
}

#[tokio::test]
async fn fault_11_what_a_host_says_is_left_is_kept_by_who_copies_too() {
    let registry = with_tags(&["1"]).await;
    let remote = reader(&registry);
    registry.fail_next(Fault::Headers(vec![
        ("ratelimit-limit", "100;w=21600".into()),
        ("ratelimit-remaining", "0;w=21600".into()),
    ]));
    assert!(remote.head(&tag("1")).await.unwrap().is_some());
    let error = remote.head(&tag("1")).await.unwrap_err();
    assert_eq!(
        (error.kind(), registry.requests().len()),
        (Kind::RateLimited, 1)
    );
}

#[tokio::test]
async fn fault_13_passing_trouble_is_met_with_another_try_and_counted() {
    let registry = with_tags(&["1"]).await;
    for fault in [
        Fault::Status(500),
        Fault::Status(502),
        Fault::Status(504),
        Fault::ResetHead,
        Fault::Truncated,
    ] {
        let remote = reader(&registry);
        registry.on(Method::GET, "/manifests/", Nth::First(1), fault.clone());
        assert!(
            remote.manifest(&tag("1")).await.unwrap().is_some(),
            "{fault:?}"
        );
        assert_eq!(remote.tally().counts().retries, 1, "{fault:?}");
        registry.heal();
    }
    registry.fail_always(Fault::Status(503));
    registry.clear_requests();
    let error = reader(&registry).manifest(&tag("1")).await.unwrap_err();
    assert_eq!(
        (error.kind(), registry.requests().len()),
        (Kind::Unavailable, 3)
    );
}

#[tokio::test]
async fn two_runs_are_counted_apart() {
    let registry = with_tags(&["1"]).await;
    let client = Client::new(quick());
    let [first, second] = [0, 1].map(|_| Arc::new(Tally::default()));
    for (tally, times) in [(&first, 2), (&second, 3)] {
        let remote = client
            .remote(
                repository(&registry.image("team/app")),
                Access::default(),
                Intent::Read,
            )
            .tallied(Arc::clone(tally));
        for _ in 0..times {
            remote.head(&tag("1")).await.unwrap();
        }
    }
    let host = registry.plain_host();
    // The first one tried https, too.
    assert_eq!(first.counts().requests[&host], 3);
    assert_eq!(second.counts().requests[&host], 3);
}

#[tokio::test]
async fn a_window_bounds_what_is_under_way_and_scans_have_places_of_their_own() {
    let registry = with_tags(&["1"]).await;
    let client = Client::new(quick());
    let remote = client.remote(
        repository(&registry.image("team/app")),
        Access::default(),
        Intent::Read,
    );
    remote.head(&tag("1")).await.unwrap();
    registry.configure(|options| options.latency = std::time::Duration::from_millis(100));
    let named = tag("1");
    let all = join_all((0..24).map(|_| remote.head(&named)));
    let (image, anonymous) = (registry.image("team/app"), Access::default());
    let scan = crate::registry::list(&client, &image, &anonymous);
    let (all, scan) = tokio::join!(all, scan);
    assert!(all.into_iter().all(|head| head.unwrap().is_some()) && scan.is_ok());
    let most = registry.most_at_once(Route::Manifest);
    assert!((6..=10).contains(&most), "{most}");
}

#[tokio::test]
async fn writes_have_a_window_of_their_own() {
    let registry = with_tags(&["1"]).await;
    let remote = writer(&registry);
    registry.configure(|options| options.latency = std::time::Duration::from_millis(30));
    let names: Vec<_> = (0..20).map(|n| tag(&n.to_string())).collect();
    let one = super::manifest(1);
    let done = join_all(names.iter().map(|name| remote.put_manifest(name, &one))).await;
    assert!(done.into_iter().all(|put| put.is_ok()));
    assert_eq!(registry.count(Route::Ping), 0);
}

#[tokio::test]
async fn fault_11_a_page_for_people_that_comes_with_a_429_is_a_pause_like_any_other() {
    let registry = with_tags(&["1"]).await;
    let remote = reader(&registry);
    for method in [Method::HEAD, Method::GET] {
        let page = Fault::HtmlStatus(429);
        registry.on(method, "/manifests/", Nth::First(1), page);
    }
    let begin = tokio::time::Instant::now();
    assert!(remote.head(&tag("1")).await.unwrap().is_some());
    assert!(remote.manifest(&tag("1")).await.unwrap().is_some());
    assert!(begin.elapsed() >= std::time::Duration::from_millis(1900));
    assert_eq!(remote.tally().counts().retries, 2);
}

#[tokio::test]
async fn fault_12_a_pause_of_head_alone_is_kept_and_not_got_round_by_get() {
    let registry = with_tags(&["1"]).await;
    let remote = reader(&registry);
    let pause = Fault::RateLimited(Some("1".into()));
    registry.on(Method::HEAD, "/manifests/", Nth::First(1), pause);
    assert!(remote.head(&tag("1")).await.unwrap().is_some());
    assert_eq!(registry.count_of(&Method::HEAD, Route::Manifest), 2);
    registry.heal();
    let pause = Fault::RateLimited(Some("3600".into()));
    registry.on(Method::HEAD, "/manifests/", Nth::Every, pause);
    let error = remote.head(&tag("1")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::RateLimited);
    // Some count a GET where they count no HEAD.
    assert_eq!(registry.count_of(&Method::GET, Route::Manifest), 0);
}
