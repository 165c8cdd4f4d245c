//! Lists of several pages, and registries that lose the thread.

use tagscope::registry::{Access, Incomplete, Kind, TagList};

use super::{client, list, texts, with_tags};
use crate::fake_registry::{FakeRegistry, Fault, Links, Paging, Route};

async fn numbered(count: usize, paging: Paging) -> FakeRegistry {
    let registry = FakeRegistry::start().await;
    registry.add_repository("team/app", (0..count).map(|n| format!("v{n:05}")));
    registry.set_paging(paging);
    registry
}

async fn scan(registry: &FakeRegistry) -> TagList {
    list(&client(), &registry.image("team/app"), &Access::default())
        .await
        .unwrap()
}

#[tokio::test]
async fn every_page_is_read_over_every_kind_of_link() {
    for links in [Links::Relative, Links::Absolute, Links::WrongHost] {
        let registry = numbered(
            25,
            Paging {
                max_size: Some(10),
                links,
                ..Paging::default()
            },
        )
        .await;
        let found = scan(&registry).await;
        assert_eq!(
            (found.tags.len(), found.pages, found.is_complete()),
            (25, 3, true),
            "{links:?}"
        );
        // A wrong host is never asked: its cursor is used on our own.
        assert_eq!(registry.count(Route::List), 3, "{links:?}");
    }
}

#[tokio::test]
async fn a_refused_page_size_shrinks_and_is_remembered() {
    for (max_size, refuses_any_size, refusal, sizes) in [
        (
            Some(100),
            false,
            (400, "UNSUPPORTED"),
            ["n=1000", "n=100"].as_slice(),
        ),
        (
            Some(100),
            false,
            (405, "TOO_MANY_TAGS_REQUESTED"),
            &["n=1000", "n=100"],
        ),
        (
            Some(100),
            false,
            (400, "PAGINATION_NUMBER_INVALID"),
            &["n=1000", "n=100"],
        ),
        (None, true, (400, "WHATEVER"), &["n=1000", "n=100", ""]),
    ] {
        let paging = Paging {
            max_size,
            refuses_any_size,
            refusal: Some(refusal),
            ..Paging::default()
        };
        let registry = numbered(5, paging).await;
        let client = client();
        for _ in 0..2 {
            let found = list(&client, &registry.image("team/app"), &Access::default())
                .await
                .unwrap();
            assert_eq!(found.tags.len(), 5);
        }
        let asked: Vec<String> = registry
            .requests()
            .into_iter()
            .map(|request| request.query)
            .collect();
        let last = sizes.last().copied().unwrap();
        assert_eq!(asked, [sizes, &[last]].concat(), "{refusal:?}");
    }
}

#[tokio::test]
async fn a_bad_name_is_not_taken_for_a_bad_size() {
    let registry = with_tags(&["1"]).await;
    registry.fail_always(Fault::Code(400, "NAME_INVALID"));
    let error = list(&client(), &registry.image("team/app"), &Access::default())
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), registry.requests().len()),
        (Kind::InvalidName, 1)
    );
    assert!(
        error.to_string().ends_with(
            "takes no repository by the name team/app: correct spec.image; NAME_INVALID: told to fail"
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_full_page_without_a_link_is_probed() {
    for (count, requests) in [(999, 1), (1000, 2), (1500, 2), (2000, 3)] {
        let registry = numbered(
            count,
            Paging {
                links: Links::Missing,
                ..Paging::default()
            },
        )
        .await;
        let found = scan(&registry).await;
        assert_eq!((found.tags.len(), found.is_complete()), (count, true));
        assert_eq!(registry.requests().len(), requests, "{count} tags");
    }
}

#[tokio::test]
async fn a_registry_that_sends_links_is_taken_at_its_word() {
    for (count, requests) in [(1000, 2), (2000, 2), (3000, 3)] {
        let registry = numbered(count, Paging::default()).await;
        let found = scan(&registry).await;
        assert_eq!((found.tags.len(), found.is_complete()), (count, true));
        assert_eq!(registry.requests().len(), requests, "{count} tags");
    }
}

#[tokio::test]
async fn a_registry_that_ignores_the_probe_has_shown_all() {
    let registry = numbered(
        1000,
        Paging {
            links: Links::Missing,
            ignores_last: true,
            ..Paging::default()
        },
    )
    .await;
    let found = scan(&registry).await;
    assert_eq!(
        (
            found.tags.len(),
            found.is_complete(),
            found.duplicates,
            registry.requests().len()
        ),
        (1000, true, 0, 2)
    );
}

#[tokio::test]
async fn a_refused_probe_leaves_the_list_incomplete() {
    let registry = numbered(
        1000,
        Paging {
            links: Links::Missing,
            ..Paging::default()
        },
    )
    .await;
    let client = client();
    let image = registry.image("team/app");
    // Meet the host first, so that the faults hit the right requests.
    registry.fail_next(Fault::Json(r#"{"tags":[]}"#.into()));
    list(&client, &image, &Access::default()).await.unwrap();
    registry.fail_next(Fault::Slow(std::time::Duration::ZERO));
    registry.fail_next(Fault::Status(400));
    let found = list(&client, &image, &Access::default()).await.unwrap();
    assert_eq!(found.incomplete, Some(Incomplete::ProbeRefused { page: 1 }));
    assert_eq!(found.tags.len(), 1000);
}

#[tokio::test]
async fn a_link_to_another_host_is_not_followed() {
    let elsewhere = with_tags(&["evil"]).await;
    let registry = with_tags(&["1", "2"]).await;
    registry.fail_next(Fault::Link(format!(
        "<http://{}/v2/team/app/tags/list>; rel=\"next\"",
        elsewhere.plain_host()
    )));
    let found = scan(&registry).await;
    assert_eq!(texts(&found), ["1", "2"]);
    assert_eq!(found.incomplete, Some(Incomplete::LostLink { page: 1 }));
    assert_eq!(
        found.incomplete.unwrap().to_string(),
        "the link after page 1 leads away from the registry or cannot be read, and was not followed"
    );
    assert_eq!(elsewhere.requests(), []);
}

#[tokio::test]
async fn tags_that_are_repeated_are_listed_once_and_counted() {
    let registry = with_tags(&["1", "2"]).await;
    registry.fail_next(Fault::Json(r#"{"tags":["2","1","2","2"]}"#.into()));
    let found = scan(&registry).await;
    assert_eq!((texts(&found), found.duplicates), (vec!["1", "2"], 2));
    assert_eq!(scan(&registry).await.duplicates, 0);
}

#[tokio::test]
async fn a_link_that_cannot_be_read_leaves_the_list_incomplete() {
    let long = format!("<?last={}>; rel=\"next\"", "1".repeat(17 << 10));
    for link in ["next", "</v2/team/app/tags/list?last=1", long.as_str()] {
        let registry = with_tags(&["1", "2"]).await;
        registry.fail_next(Fault::Link(link.to_owned()));
        let found = scan(&registry).await;
        assert_eq!(texts(&found), ["1", "2"]);
        assert_eq!(found.incomplete, Some(Incomplete::LostLink { page: 1 }));
    }
}

#[tokio::test]
async fn a_full_page_with_a_link_to_another_place_is_probed() {
    let registry = numbered(
        1500,
        Paging {
            links: Links::Missing,
            ..Paging::default()
        },
    )
    .await;
    registry.fail_next(Fault::Link("<https://docs.example/>; rel=\"help\"".into()));
    let found = scan(&registry).await;
    assert_eq!((found.tags.len(), found.is_complete()), (1500, true));
}

#[tokio::test]
async fn a_link_to_an_empty_page_is_the_end() {
    let registry = with_tags(&["1"]).await;
    registry.fail_next(Fault::Link(
        "</v2/team/app/tags/list?n=0&last=1>; rel=\"next\"".into(),
    ));
    assert!(scan(&registry).await.is_complete());
    assert_eq!(registry.requests().len(), 1);
}

#[tokio::test]
async fn circles_are_errors_that_name_the_page() {
    let registry = with_tags(&["1"]).await;
    let image = registry.image("team/app");
    for (fault, page, cause, requests) in [
        (
            Fault::LinkToItself,
            1,
            "names a page as its next that was read before",
            1,
        ),
        (
            Fault::EndlessPages,
            2,
            "repeats tags of the pages before it",
            2,
        ),
    ] {
        registry.clear_requests();
        registry.fail_always(fault);
        let error = list(&client(), &image, &Access::default())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), Kind::Limit);
        let host = registry.plain_host();
        assert_eq!(
            error.to_string(),
            format!("the tag list of team/app at {host} runs in a circle: page {page} {cause}")
        );
        assert_eq!(registry.requests().len(), requests);
    }
}

#[tokio::test]
async fn duplicates_are_one_tag_and_names_that_are_no_tags_are_left_out_and_counted() {
    let long = "x".repeat(300);
    let registry = with_tags(&["2", "1", "2", &long, "1", "no tag", "-x"]).await;
    let found = scan(&registry).await;
    assert_eq!(texts(&found), ["1", "2"]);
    assert!(found.is_complete());
    let invalid = found.invalid.unwrap();
    assert_eq!(invalid.count, 3);
    assert_eq!(
        invalid.to_string(),
        format!(
            "3 names are no tags and were left out, such as \"{}…\": \
             a tag is 1 to 128 of the characters A-Za-z0-9_.- and does not begin with . or -",
            "x".repeat(40)
        )
    );
}

#[tokio::test]
async fn a_page_of_names_that_are_no_tags_is_no_circle() {
    let registry = with_tags(&["1", "no tag", "2"]).await;
    registry.set_paging(Paging {
        max_size: Some(1),
        ..Paging::default()
    });
    let found = scan(&registry).await;
    assert_eq!(
        (texts(&found), found.pages, found.is_complete()),
        (vec!["1", "2"], 3, true)
    );
}

#[tokio::test]
async fn two_hundred_thousand_tags_are_two_hundred_pages() {
    let registry = numbered(
        200_000,
        Paging {
            max_size: Some(1000),
            ..Paging::default()
        },
    )
    .await;
    let found = scan(&registry).await;
    assert_eq!(
        (found.tags.len(), found.pages, found.is_complete()),
        (200_000, 200, true)
    );
    assert!(found.tags.is_sorted());
}
