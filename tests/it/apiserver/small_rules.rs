//! Small rules of the surface that belong to no other file: methods and paths of old, blanks, names, what documents say of
//! themselves.

use http::{Method, StatusCode};
use serde_json::Value;
use tagscope::apiserver::request_info::RequestInfo;

use super::support::{TABLE, World};

const V3: &str = "/openapi/v3/apis/tags.tagscope.dev/v1alpha1";

#[tokio::test]
async fn options_is_no_method_and_opens_nothing_to_other_origins() {
    let world = World::filled();
    for path in [
        "/apis",
        "/apis/tags.tagscope.dev",
        "/apis/tags.tagscope.dev/v1alpha1",
        "/openapi/v2",
        "/openapi/v3",
        V3,
        "/apis/tags.tagscope.dev/v1alpha1/imagetags",
        "/apis/tags.tagscope.dev/v1alpha1/namespaces/flux-system/imagetags/podinfo:6.3.0",
        "/apis/tags.tagscope.dev/v1alpha1/namespaces/flux-system/tagqueries",
    ] {
        let origin = [("origin", "https://elsewhere.example")];
        let answer = world.ask(Method::OPTIONS, path, &origin).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        assert_eq!(answer.json()["kind"], "Status", "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), None, "{path}");
    }
}

#[tokio::test]
async fn prefixes_of_old_lead_nowhere() {
    let world = World::filled();
    for path in [
        "watch/imagetags",
        "watch/namespaces/flux-system/imagetags",
        "watch/namespaces/flux-system/imagetags/podinfo:6.3.0",
        "proxy/namespaces/flux-system/imagetags/podinfo:6.3.0",
        "watch",
    ] {
        let answer = world.get(path).await;
        assert_eq!(
            (answer.status, answer.json()["reason"].as_str()),
            (StatusCode::NOT_FOUND, Some("NotFound")),
            "{path}"
        );
    }
}

/// kube-apiserver writes queries anew, with `+` for a blank; paths it decodes.
#[test]
fn a_plus_is_itself_in_a_path_and_a_blank_in_a_query() {
    let read = |uri: &str| match RequestInfo::parse(&Method::GET, &uri.parse().unwrap()) {
        RequestInfo::Resource(request) => request.name,
        RequestInfo::NonResource { path, .. } => panic!("{path} is no resource"),
    };
    let all = "/apis/g/v/namespaces/n/things";
    assert_eq!(read(&format!("{all}/a+b")).as_deref(), Some("a+b"));
    assert_eq!(read(&format!("{all}/a%2Bb")).as_deref(), Some("a+b"));
    let named = format!("{all}?fieldSelector=metadata.name%3Da+b");
    assert_eq!(read(&named).as_deref(), Some("a b"));
}

#[tokio::test]
async fn a_tag_of_any_spelling_is_found_under_its_own_name() {
    let world = World::new();
    let long = format!("V_1.0-{}", "x".repeat(122));
    let tags = ["1.0_rc-1.B", "UPPER", "__", &long];
    world.scan("n", "app", "ghcr.io/a/b", &tags, true);
    for tag in tags {
        let path = format!("namespaces/n/imagetags/app:{tag}");
        let answer = world.get(&path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        let found = answer.json();
        assert_eq!(found["tag"], tag);
        let labels = found["metadata"]["labels"].as_object().unwrap();
        assert!(
            labels
                .values()
                .all(|value| value.as_str().is_some_and(|value| value.len() <= 63)),
            "{labels:?}"
        );
        let query = format!("imagetags?fieldSelector=metadata.name%3Dapp:{tag}");
        assert_eq!(world.get(&query).await.names(), [format!("app:{tag}")]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_is_never_indented() {
    let world = World::filled();
    // Each frame is read from one line.
    let mut watch = world.watch("namespaces/apps/imagetags?pretty=true").await;
    assert_eq!(watch.ready().await.len(), 2);
    let mut watch = world.watch("imagetags?pretty=true&resourceVersion=1").await;
    assert_eq!(watch.ready().await[0]["type"], "ERROR");
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_initial_events_is_told_to_those_who_want_no_objects() {
    let world = World::filled();
    let streaming =
        "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let path = format!("namespaces/apps/imagetags?includeObject=None&{streaming}");
    let mut watch = world.watch_as(&path, TABLE).await;
    let frames = watch.ready().await;
    assert_eq!(frames.len(), 3);
    for tag in &frames[..2] {
        assert!(tag["object"]["rows"][0]["object"].is_null(), "{tag}");
    }
    let mark = &frames[2]["object"]["rows"][0]["object"]["metadata"]["annotations"];
    assert_eq!(mark["k8s.io/initial-events-end"], "true");
}

#[tokio::test]
async fn a_document_that_is_asked_for_without_its_hash_is_asked_for_each_time() {
    let world = World::new();
    let answer = world.get(V3).await;
    assert_eq!(answer.header("cache-control"), Some("no-cache, private"));
    assert!(answer.header("vary").unwrap().contains("Accept"));
    assert!(answer.header("expires").is_none());
    let tag = answer.header("etag").unwrap();
    assert!(tag.starts_with('"') && tag.ends_with('"'), "{tag}");
}

#[tokio::test]
async fn our_schemas_are_of_openapi_3_0_and_promise_no_strategic_merge() {
    let world = World::new();
    let v3 = world.get(V3).await.json();
    assert!(v3["openapi"].as_str().unwrap().starts_with("3.0."));
    let v2 = world.get("/openapi/v2").await.json();
    assert_eq!(v2["swagger"], "2.0");
    for (document, place) in [(&v2, "/definitions"), (&v3, "/components/schemas")] {
        let schemas = document.pointer(place).and_then(Value::as_object).unwrap();
        let (ours, theirs): (Vec<_>, Vec<_>) = schemas
            .iter()
            .partition(|(name, _)| name.starts_with("dev.tagscope."));
        assert!(!ours.is_empty() && !theirs.is_empty());
        for (name, schema) in ours {
            let text = schema.to_string();
            for key in ["x-kubernetes-list-", "x-kubernetes-patch-"] {
                assert!(!text.contains(key), "{key} in {name}");
            }
        }
        for (name, _) in theirs {
            assert!(name.starts_with("io.k8s.apimachinery."), "{name}");
        }
    }
}
