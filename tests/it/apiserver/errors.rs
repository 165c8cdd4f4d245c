//! Refusals: codes, reasons, headers.

use http::{Method, StatusCode};

use super::support::{PARTIAL, TABLE, World};

#[tokio::test]
async fn nothing_can_be_written() {
    let world = World::filled();
    let one = "namespaces/flux-system/imagetags/podinfo:6.3.0";
    let all = "namespaces/flux-system/tagsets";
    for (method, path) in [
        (Method::POST, all),
        (Method::PUT, one),
        (Method::PATCH, one),
        (Method::DELETE, one),
        (Method::DELETE, all),
    ] {
        let answer = world.ask(method.clone(), path, &[]).await;
        assert_eq!(
            answer.status,
            StatusCode::METHOD_NOT_ALLOWED,
            "{method} {path}"
        );
        assert_eq!(answer.header("allow"), Some("GET, HEAD"));
        let status = answer.json();
        assert_eq!(status["reason"], "MethodNotAllowed");
        assert_eq!(
            status["message"],
            "the server does not allow this method on the requested resource"
        );
    }
}

#[tokio::test]
async fn what_is_not_served_is_not_found() {
    let world = World::filled();
    for path in [
        "tagqueries",
        "namespaces/flux-system/tagqueries/app/status",
        "namespaces/flux-system/imagetags/podinfo:6.3.0/status",
        "imagetags/podinfo:6.3.0",
        "namespaces/flux-system/imagetags//podinfo:6.3.0",
        "/apis/tags.tagscope.dev/v1beta1/imagetags",
        "/apis/other.example/v1alpha1/imagetags",
    ] {
        let answer = world.get(path).await;
        assert_eq!(
            (answer.status, answer.json()["reason"].as_str()),
            (StatusCode::NOT_FOUND, Some("NotFound")),
            "{path}"
        );
    }
}

#[tokio::test]
async fn every_refusal_is_an_uncached_status() {
    let world = World::filled();
    for (path, accept, code) in [
        ("imagetags?limit=abc", "", 400),
        ("imagetags?resourceVersionMatch=Exact", "", 422),
        ("imagetags?includeObject=Foo", TABLE, 400),
        ("imagetags", PARTIAL, 406),
        ("imagetags?watch=true", "application/cbor-seq", 406),
        ("imagetags?watch=true&resourceVersion=abc", "", 422),
        ("namespaces/flux-system/imagetags/podinfo:9", TABLE, 404),
    ] {
        let answer = world.get_as(path, accept).await;
        assert_eq!(answer.status.as_u16(), code, "{path}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("cache-control"), Some("no-cache, private"));
        let status = answer.json();
        assert_eq!(
            (status["kind"].as_str(), status["code"].as_u64()),
            (Some("Status"), Some(code.into())),
            "{path}"
        );
    }
}

#[tokio::test]
async fn an_indented_refusal_is_asked_for() {
    let world = World::filled();
    let path = "namespaces/flux-system/imagetags/podinfo:9?pretty=true";
    assert!(
        world
            .get(path)
            .await
            .text
            .starts_with("{\n  \"kind\": \"Status\"")
    );
}
