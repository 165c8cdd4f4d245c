//! Which methods are there (VERB-1, CRT-3), and what is written to the things that cannot be.

use http::{Method, StatusCode};
use http_body_util::Full;

use super::kit::{Kit, inline, semver};
use crate::apiserver::support::World;

#[tokio::test]
async fn a_query_is_created_answered_and_not_stored() {
    let kit = Kit::new();
    let before = kit.world.version();
    let body = serde_json::json!({
        "apiVersion": "tags.tagscope.dev/v1alpha1",
        "kind": "TagQuery",
        "metadata": {
            "name": "mine", "generateName": "g-", "creationTimestamp": null, "labels": {"a": "b"},
            "managedFields": [{"manager": "x"}], "selfLink": "/x",
        },
        "spec": inline(&["1.0.0", "1.1.0"], semver("1.x")),
        "status": {"latest": {"tag": "9.9.9"}},
    });
    for _ in 0..2 {
        let answer = kit.post(&body.to_string()).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("cache-control"), Some("no-cache, private"));
        let answer = answer.json();
        assert_eq!(answer["kind"], "TagQuery");
        assert_eq!(answer["apiVersion"], "tags.tagscope.dev/v1alpha1");
        assert_eq!(
            answer["metadata"],
            serde_json::json!({
                "name": "mine", "generateName": "g-", "namespace": "apps", "labels": {"a": "b"},
            })
        );
        assert_eq!(answer["spec"], body["spec"]);
        assert_eq!(answer["status"]["latest"]["tag"], "1.1.0");
    }
    assert_eq!(kit.world.version(), before);
}

#[tokio::test]
async fn nothing_but_creating_is_allowed() {
    let kit = Kit::new();
    let all = "namespaces/apps/tagqueries";
    let one = "namespaces/apps/tagqueries/mine";
    for (method, path) in [
        (Method::GET, all),
        (Method::HEAD, all),
        (Method::GET, "namespaces/apps/tagqueries?watch=true"),
        (Method::DELETE, all),
        (Method::GET, one),
        (Method::POST, one),
        (Method::PUT, one),
        (Method::PATCH, one),
        (Method::DELETE, one),
    ] {
        let body = Full::new(bytes::Bytes::from_static(b"{}"));
        let answer = kit.send(method.clone(), path, &[], body).await;
        assert_eq!(
            answer.status,
            StatusCode::METHOD_NOT_ALLOWED,
            "{method} {path}"
        );
        assert_eq!(answer.header("allow"), Some("POST"), "{method} {path}");
        let status = answer.json();
        assert_eq!(status["reason"], "MethodNotAllowed");
        assert_eq!(
            status["message"],
            "the server does not allow this method on the requested resource"
        );
        assert_eq!(status["details"]["kind"], "tagqueries");
    }
    for path in ["tagqueries", "namespaces/apps/tagqueries/a/b"] {
        let answer = kit.post_to(path, &[], "{}").await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
    }
    let body = r#"{"spec": {"tags": ["1.0.0"], "policy": {"semver": {"range": "*"}}}}"#;
    let slash = kit.post_to("namespaces/apps/tagqueries/", &[], body).await;
    assert_eq!(slash.status, StatusCode::CREATED);
}

#[tokio::test]
async fn what_is_computed_cannot_be_written() {
    let world = World::filled();
    let all = "namespaces/flux-system/imagetags";
    let one = "namespaces/flux-system/imagetags/podinfo:6.3.0";
    for (method, path) in [
        (Method::POST, all),
        (Method::PUT, one),
        (Method::PATCH, one),
        (Method::DELETE, one),
        (Method::DELETE, all),
        (Method::DELETE, "imagetags"),
    ] {
        let answer = world.ask(method.clone(), path, &[]).await;
        assert_eq!(
            answer.status,
            StatusCode::METHOD_NOT_ALLOWED,
            "{method} {path}"
        );
        assert_eq!(answer.header("allow"), Some("GET, HEAD"));
        let status = answer.json();
        assert_eq!(
            (status["kind"].as_str(), status["reason"].as_str()),
            (Some("Status"), Some("MethodNotAllowed"))
        );
    }
}

#[tokio::test]
async fn discovery_has_one_verb_for_queries() {
    let world = World::new();
    let resources = world.get("/apis/tags.tagscope.dev/v1alpha1").await.json();
    let resources = resources["resources"].as_array().unwrap();
    let verbs = |name: &str| {
        let found = resources.iter().find(|one| one["name"] == name).unwrap();
        found["verbs"].clone()
    };
    assert_eq!(verbs("tagqueries"), serde_json::json!(["create"]));
    assert_eq!(
        verbs("imagetags"),
        serde_json::json!(["get", "list", "watch"])
    );
}
