//! Registries that ask for time, and those that have none.

use std::time::Duration;

use tagscope::registry::{Access, Client, Deadline, Kind, Patience, Settings};
use tokio::time::Instant;

use super::{client, list, repository, settings, texts, with_tags};
use crate::fake_registry::Fault;

#[tokio::test]
async fn retry_after_is_obeyed() {
    let registry = with_tags(&["1"]).await;
    let image = registry.image("team/app");
    for fault in [
        Fault::RateLimited(Some("1".into())),
        Fault::Unavailable("1".into()),
    ] {
        registry.clear_requests();
        registry.fail_next(fault);
        let (client, start) = (client(), Instant::now());
        let error = list(&client, &image, &Access::default()).await.unwrap_err();
        assert_eq!(error.retry_after(), Some(Duration::from_secs(1)));
        assert_eq!(registry.requests().len(), 1, "no other try");
        // A short pause is waited for.
        let found = list(&client, &image, &Access::default()).await.unwrap();
        assert_eq!(texts(&found), ["1"]);
        assert_eq!(registry.requests().len(), 2);
        assert!(
            start.elapsed() >= Duration::from_millis(950),
            "{:?}",
            start.elapsed()
        );
    }
}

#[tokio::test]
async fn other_requests_to_the_host_wait_too() {
    let registry = with_tags(&["1"]).await;
    registry.add_repository("team/other", ["2"]);
    let client = client();
    list(&client, &registry.image("team/app"), &Access::default())
        .await
        .unwrap();
    registry.fail_next(Fault::RateLimited(Some("60".into())));
    let error = list(&client, &registry.image("team/app"), &Access::default())
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "{} limits the rate of requests: it is left alone for 60s",
            registry.plain_host()
        )
    );
    assert_eq!(
        (error.kind(), error.retry_after()),
        (Kind::RateLimited, Some(Duration::from_mins(1)))
    );
    registry.clear_requests();
    let error = list(&client, &registry.image("team/other"), &Access::default())
        .await
        .unwrap_err();
    assert_eq!((error.kind(), error.is_wait()), (Kind::RateLimited, true));
    assert!(
        error
            .retry_after()
            .is_some_and(|wait| wait > Duration::from_secs(50))
    );
    assert_eq!(registry.requests(), []);
}

#[tokio::test]
async fn passing_trouble_is_met_with_another_try() {
    let registry = with_tags(&["1"]).await;
    for fault in [
        Fault::Status(500),
        Fault::Status(502),
        Fault::Status(503),
        Fault::Status(504),
        Fault::Reset,
        Fault::Truncated,
        Fault::Stalled,
    ] {
        let shown = format!("{fault:?}");
        registry.clear_requests();
        registry.fail_next(fault);
        let found = list(&client(), &registry.image("team/app"), &Access::default()).await;
        assert_eq!(
            texts(&found.unwrap_or_else(|e| panic!("{shown}: {e}"))),
            ["1"]
        );
        assert_eq!(registry.requests().len(), 2, "{shown}");
    }
}

#[tokio::test]
async fn tries_are_counted_and_then_over() {
    let registry = with_tags(&["1"]).await;
    let host = registry.plain_host();
    for (fault, kind, text, requests) in [
        (
            Fault::Status(502),
            Kind::Unavailable,
            format!(
                "{host} answered 502 Bad Gateway to GET /v2/team/app/tags/list; UNKNOWN: told to fail"
            ),
            2,
        ),
        (
            Fault::RateLimited(None),
            Kind::RateLimited,
            format!("{host} limits the rate of requests: it is left alone for 1s"),
            1,
        ),
        (
            Fault::Stalled,
            Kind::Transport,
            format!("the answer of {host} broke off: operation timed out"),
            2,
        ),
    ] {
        registry.clear_requests();
        registry.fail_always(fault);
        let error = list(&client(), &registry.image("team/app"), &Access::default())
            .await
            .unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string(), registry.requests().len()),
            (kind, text, requests)
        );
    }
    for fault in [Fault::Reset, Fault::Truncated] {
        registry.fail_always(fault);
        let error = list(&client(), &registry.image("team/app"), &Access::default())
            .await
            .unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with(&format!("the answer of {host} broke off: ")),
            "{error}"
        );
    }
}

#[tokio::test]
async fn what_is_wrong_for_good_is_not_tried_again() {
    let registry = with_tags(&["1"]).await;
    for status in [403, 404, 410, 501] {
        registry.clear_requests();
        registry.fail_next(Fault::Status(status));
        list(&client(), &registry.image("team/app"), &Access::default())
            .await
            .unwrap_err();
        assert_eq!(registry.requests().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn the_time_allowed_is_named_when_it_is_over() {
    let registry = with_tags(&["1"]).await;
    registry.fail_always(Fault::Slow(Duration::from_mins(1)));
    let client = Client::new(Settings {
        stall_timeout: Duration::from_mins(1),
        ..settings()
    });
    let image = repository(&registry.image("team/app"));
    let error = client
        .list_tags(
            &image,
            &Access::default(),
            Deadline::after(Duration::from_millis(300)),
        )
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Transport);
    assert_eq!(
        error.to_string(),
        format!(
            "no complete answer from {} within 300ms, the time allowed",
            registry.plain_host()
        )
    );
}

#[tokio::test]
async fn a_wait_that_does_not_fit_into_the_time_allowed_is_not_begun() {
    let registry = with_tags(&["1"]).await;
    registry.fail_next(Fault::RateLimited(Some("5".into())));
    let patience = Patience::default();
    let client = Client::new(Settings {
        patience,
        ..settings()
    });
    let image = repository(&registry.image("team/app"));
    let start = Instant::now();
    let error = client
        .list_tags(
            &image,
            &Access::default(),
            Deadline::after(Duration::from_secs(3)),
        )
        .await
        .unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(5)));
    assert!(start.elapsed() < Duration::from_secs(2));
}
