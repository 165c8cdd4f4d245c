//! Answers that are not a registry's.

use tagscope::registry::{Access, Kind};

use super::{client, list, with_tags};
use crate::fake_registry::Fault;

#[tokio::test]
async fn answers_that_are_no_tag_list_say_what_they_are() {
    let registry = with_tags(&["1"]).await;
    let host = registry.plain_host();
    let asked = "GET /v2/team/app/tags/list";
    for (fault, text) in [
        (
            Fault::Html,
            format!(
                "{host} answered with an HTML page to {asked}: it is not a registry, or a login page or proxy stands before it"
            ),
        ),
        (
            Fault::Json(" <p>".into()),
            format!(
                "{host} answered with an HTML page to {asked}: it is not a registry, or a login page or proxy stands before it"
            ),
        ),
        (
            Fault::Json("{}".into()),
            format!(
                "{host} sent a malformed answer to {asked}: it has neither `name` nor `tags` at line 1 column 2"
            ),
        ),
        (
            Fault::Json("{\"tags\":[1]}".into()),
            format!(
                "{host} sent a malformed answer to {asked}: invalid type: integer `1`, expected a tag at line 1 column 10"
            ),
        ),
        (
            Fault::Json("{\"tags\":[\"1\"".into()),
            format!(
                "{host} sent a malformed answer to {asked}: the JSON ends too early at line 1 column 12"
            ),
        ),
        (
            Fault::Compressed,
            format!(
                "{host} sent a malformed answer to {asked}: it is compressed, which was not asked for"
            ),
        ),
    ] {
        registry.clear_requests();
        registry.fail_next(fault);
        let error = list(&client(), &registry.image("team/app"), &Access::default())
            .await
            .unwrap_err();
        assert_eq!((error.kind(), error.to_string()), (Kind::Protocol, text));
        assert_eq!(registry.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_message_of_the_registry_is_bounded_and_escaped() {
    let registry = with_tags(&["1"]).await;
    registry.fail_next(Fault::Status(418));
    let error = list(&client(), &registry.image("team/app"), &Access::default())
        .await
        .unwrap_err();
    assert!(
        error.to_string().ends_with("; UNKNOWN: told to fail"),
        "{error}"
    );
    // A repository's name comes from the user, its tags from the registry: none reaches a message unescaped.
    registry.fail_next(Fault::Json(r#"{"tags":["\u001b[31m\n"]}"#.into()));
    let found = list(&client(), &registry.image("team/app"), &Access::default())
        .await
        .unwrap();
    assert_eq!(found.invalid.unwrap().first, "\\u{1b}[31m\\n");
}
