//! Each limit hit is an error with its number.

use tagscope::registry::{Access, Client, Kind, Limits, Settings};

use super::{list, settings, with_tags};
use crate::fake_registry::{Fault, Paging};

fn limited(limits: Limits) -> Client {
    Client::new(Settings {
        limits,
        ..settings()
    })
}

#[tokio::test]
async fn an_endless_page_stops_at_the_limit() {
    let registry = with_tags(&["1"]).await;
    let host = registry.plain_host();
    registry.fail_next(Fault::EndlessJson);
    let client = limited(Limits {
        page_bytes: 1 << 20,
        ..Limits::default()
    });
    let error = list(&client, &registry.image("team/app"), &Access::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Limit);
    assert_eq!(
        error.to_string(),
        format!("a page of the tag list of {host} for team/app exceeds 1048576 bytes, the limit")
    );
    assert_eq!(registry.requests().len(), 1);
}

#[tokio::test]
async fn a_page_that_announces_its_size_is_not_even_read() {
    let registry = with_tags(&["1.0.0", "1.0.1"]).await;
    let client = limited(Limits {
        page_bytes: 20,
        ..Limits::default()
    });
    let error = list(&client, &registry.image("team/app"), &Access::default())
        .await
        .unwrap_err();
    assert!(
        error.to_string().ends_with("exceeds 20 bytes, the limit"),
        "{error}"
    );
}

#[tokio::test]
async fn all_pages_together_have_limits_too() {
    let registry = with_tags(&["1", "2", "3", "4"]).await;
    registry.set_paging(Paging {
        max_size: Some(1),
        ..Paging::default()
    });
    let host = registry.plain_host();
    for (limits, text) in [
        (
            Limits {
                total_bytes: 100,
                ..Limits::default()
            },
            "100 bytes",
        ),
        (
            Limits {
                pages: 3,
                ..Limits::default()
            },
            "3 pages",
        ),
        (
            Limits {
                tags: 2,
                ..Limits::default()
            },
            "2 tags",
        ),
    ] {
        let error = list(
            &limited(limits),
            &registry.image("team/app"),
            &Access::default(),
        )
        .await
        .unwrap_err();
        assert_eq!(error.kind(), Kind::Limit);
        assert_eq!(
            error.to_string(),
            format!("the tag list of {host} for team/app exceeds {text}, the limit")
        );
    }
    let exact = Limits {
        pages: 4,
        tags: 4,
        ..Limits::default()
    };
    assert_eq!(
        list(
            &limited(exact),
            &registry.image("team/app"),
            &Access::default()
        )
        .await
        .unwrap()
        .tags
        .len(),
        4
    );
}

#[tokio::test]
async fn empty_pages_without_end_end_at_the_limit() {
    let registry = with_tags(&["1"]).await;
    registry.fail_always(Fault::EndlessEmptyPages);
    let client = limited(Limits {
        pages: 7,
        ..Limits::default()
    });
    let error = list(&client, &registry.image("team/app"), &Access::default())
        .await
        .unwrap_err();
    assert!(
        error.to_string().ends_with("exceeds 7 pages, the limit"),
        "{error}"
    );
    assert_eq!(registry.requests().len(), 7);
}
