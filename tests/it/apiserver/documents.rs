//! Discovery and OpenAPI as their callers ask for them.

use http::{Method, StatusCode};

use super::support::World;

const V2: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

#[tokio::test]
async fn the_aggregated_answer_says_its_type_to_the_letter() {
    let world = World::new();
    let answer = world.get_as("/apis", V2).await;
    assert_eq!(
        answer.header("content-type"),
        Some("application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")
    );
    assert_eq!(answer.header("vary"), Some("Accept"));
    assert_eq!(answer.header("cache-control"), Some("public"));
    assert_eq!(
        world
            .get_as("/apis", "application/json")
            .await
            .header("content-type"),
        Some("application/json")
    );
}

#[tokio::test]
async fn a_known_tag_is_answered_with_304_and_nothing_else() {
    let world = World::new();
    for (path, accept) in [
        ("/apis", V2),
        ("/openapi/v2", "application/json"),
        ("/openapi/v3", ""),
    ] {
        let first = world.get_as(path, accept).await;
        let tag = first.header("etag").unwrap().to_owned();
        assert!(tag.len() == 130 && tag.starts_with('"'), "{tag}");
        for known in [
            tag.clone(),
            format!("W/{tag}"),
            format!("\"x\", {tag}"),
            "*".to_owned(),
        ] {
            let headers = [("if-none-match", known.as_str()), ("accept", accept)];
            let headers = if accept.is_empty() {
                &headers[..1]
            } else {
                &headers[..]
            };
            let again = world.ask(Method::GET, path, headers).await;
            assert_eq!(
                (again.status, again.text.as_str()),
                (StatusCode::NOT_MODIFIED, ""),
                "{path} {known}"
            );
            assert_eq!(again.header("etag"), Some(tag.as_str()));
        }
        let headers = [("if-none-match", "\"other\""), ("accept", accept)];
        let headers = if accept.is_empty() {
            &headers[..1]
        } else {
            &headers[..]
        };
        assert_eq!(
            world.ask(Method::GET, path, headers).await.status,
            StatusCode::OK,
            "{path}"
        );
    }
}

#[tokio::test]
async fn the_v3_index_leads_to_a_document_that_may_be_kept_for_good() {
    let world = World::new();
    let index = world.get("/openapi/v3").await.json();
    let url = index["paths"]["apis/tags.tagscope.dev/v1alpha1"]["serverRelativeURL"]
        .as_str()
        .unwrap();
    let kept = world.get(url).await;
    assert_eq!(kept.status, StatusCode::OK);
    assert_eq!(kept.header("cache-control"), Some("public, immutable"));
    assert_eq!(
        kept.header("expires"),
        Some("Mon, 01 Mar 2027 00:00:00 GMT")
    );
    assert!(url.ends_with(kept.header("etag").unwrap().trim_matches('"')));
    let stale = world
        .get("/openapi/v3/apis/tags.tagscope.dev/v1alpha1?hash=WRONG")
        .await;
    assert_eq!(
        (stale.status, stale.header("cache-control")),
        (StatusCode::OK, Some("no-cache, private"))
    );
    assert_eq!(stale.text, kept.text);
}

#[tokio::test]
async fn documents_come_as_json_or_not_at_all() {
    let world = World::new();
    for path in [
        "/openapi/v2",
        "/openapi/v3",
        "/apis/tags.tagscope.dev",
        "/apis/tags.tagscope.dev/v1alpha1",
    ] {
        for accept in [
            "",
            "*/*",
            "application/json",
            "application/com.github.proto-openapi.spec.v2.v1.0+protobuf,*/*",
        ] {
            let answer = world.get_as(path, accept).await;
            assert_eq!(
                (answer.status, answer.header("content-type")),
                (StatusCode::OK, Some("application/json"))
            );
        }
        let protobuf = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
        assert_eq!(
            world.get_as(path, protobuf).await.status,
            StatusCode::NOT_ACCEPTABLE,
            "{path}"
        );
    }
    let dead = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";
    assert_eq!(
        world.get_as("/apis", dead).await.status,
        StatusCode::NOT_ACCEPTABLE
    );
}

#[tokio::test]
async fn a_trailing_slash_means_the_same_and_other_paths_are_not_found() {
    let world = World::new();
    for path in [
        "/apis",
        "/apis/tags.tagscope.dev",
        "/apis/tags.tagscope.dev/v1alpha1",
        "/openapi/v2",
        "/openapi/v3",
    ] {
        let plain = world.get(path).await;
        assert_eq!(
            world.get(&format!("{path}/")).await.text,
            plain.text,
            "{path}"
        );
        let posted = world.ask(Method::POST, path, &[]).await;
        assert_eq!(
            (posted.status, posted.header("allow")),
            (StatusCode::METHOD_NOT_ALLOWED, Some("GET, HEAD"))
        );
        let head = world.ask(Method::HEAD, path, &[]).await;
        assert_eq!((head.status, &head.text), (StatusCode::OK, &plain.text));
    }
    for path in [
        "/apis/other.example",
        "/apis/tags.tagscope.dev/v2",
        "/openapi/v4",
        "/openapi/v3/apis/x/v1",
        "/",
    ] {
        assert_eq!(
            world.get(path).await.status,
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
}

#[tokio::test]
async fn two_servers_send_the_same_bytes() {
    let (one, other) = (World::new(), World::filled());
    for (path, accept) in [
        ("/apis", ""),
        ("/apis", V2),
        ("/apis/tags.tagscope.dev/v1alpha1", ""),
        ("/openapi/v2", ""),
        ("/openapi/v3", ""),
    ] {
        assert_eq!(
            one.get_as(path, accept).await.text,
            other.get_as(path, accept).await.text,
            "{path}"
        );
    }
}
