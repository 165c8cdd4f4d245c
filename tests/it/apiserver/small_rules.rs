//! Small rules of the surface that belong to no other file: methods and paths of old, blanks, names, what documents say of
//! themselves.

use http::{Method, StatusCode};
use serde_json::Value;
use tagscope::apiserver::request_info::RequestInfo;

use super::support::{Frames, TABLE, World, brief};

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
async fn other_prefixes_of_old_lead_nowhere() {
    let world = World::filled();
    for path in [
        "proxy/namespaces/flux-system/imagetags/podinfo:6.3.0",
        "watch",
        "watch/others",
        "watch/namespaces/flux-system/imagetags/podinfo:6.3.0/status",
    ] {
        let answer = world.get(path).await;
        assert_eq!(
            (answer.status, answer.json()["reason"].as_str()),
            (StatusCode::NOT_FOUND, Some("NotFound")),
            "{path}"
        );
    }
}

/// Deprecated, and served by kube-apiserver all the same.
#[tokio::test(start_paused = true)]
async fn the_watch_prefix_of_old_is_a_watch() {
    let world = World::filled();
    let all = brief(&world.watch("imagetags").await.ready().await);
    let podinfo = ["ADDED podinfo:6.3.0".to_owned()];
    for (path, expected) in [
        ("watch/imagetags", &all[..]),
        ("watch/imagetags/", &all),
        (
            "watch/namespaces/flux-system/imagetags/podinfo:6.3.0",
            &podinfo,
        ),
        (
            "watch/namespaces/flux-system/imagetags/podinfo:6.3.0?fieldSelector=metadata.name%3Dpodinfo:6.3.0",
            &podinfo,
        ),
        ("watch/namespaces/flux-system/imagetags/absent", &[]),
        (
            "watch/namespaces/flux-system/tagsets/podinfo",
            &["ADDED podinfo".to_owned()],
        ),
    ] {
        let (status, _, payload) = world.begin(Method::GET, path, &[]).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        assert_eq!(
            brief(&Frames::of(payload).ready().await),
            expected,
            "{path}"
        );
    }
    let scoped = world.get("watch/namespaces/flux-system/imagetags?timeoutSeconds=1");
    let scoped = scoped.await.text;
    assert!(
        scoped.contains("podinfo:6.3.0") && !scoped.contains("cache:"),
        "{scoped}"
    );
    let other =
        "watch/namespaces/flux-system/imagetags/podinfo:6.3.0?fieldSelector=metadata.name%3Dx:1";
    let refused = world.get(other).await;
    assert_eq!(
        (refused.status, refused.json()["message"].as_str()),
        (
            StatusCode::BAD_REQUEST,
            Some("fieldSelector metadata.name doesn't match requested name")
        )
    );
    let posted = world.ask(Method::POST, "watch/imagetags", &[]).await;
    assert_eq!(posted.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn a_trailing_slash_means_the_same() {
    let world = World::filled();
    for path in [
        "imagetags",
        "tagsets",
        "namespaces/flux-system/imagetags",
        "namespaces/flux-system/imagetags/podinfo:6.3.0",
        "namespaces/flux-system/tagsets/podinfo",
    ] {
        let plain = world.get(path).await;
        assert_eq!(plain.status, StatusCode::OK);
        assert_eq!(
            world.get(&format!("{path}/")).await.text,
            plain.text,
            "{path}"
        );
    }
}

/// Of a repository whose name is as long as names are, with a tag as long as tags are.
#[tokio::test(start_paused = true)]
async fn names_are_as_long_as_their_two_parts() {
    let world = World::new();
    let (repository, tag) = ("r".repeat(253), "t".repeat(128));
    world.scan("n", &repository, "ghcr.io/a/b", &[&tag], true);
    let name = format!("{repository}:{tag}");
    assert_eq!(name.len(), 382);
    let got = world.get(&format!("namespaces/n/imagetags/{name}")).await;
    assert_eq!(got.status, StatusCode::OK);
    assert_eq!(got.json()["metadata"]["name"], name);
    let selected = format!("namespaces/n/imagetags?fieldSelector=metadata.name%3D{name}");
    assert_eq!(world.get(&selected).await.names(), [&*name]);
    let watched = world.watch(&selected).await.ready().await;
    assert_eq!(brief(&watched), [format!("ADDED {name}")]);
    let longer = world.get(&format!("namespaces/n/imagetags/{name}x")).await;
    assert_eq!(longer.status, StatusCode::NOT_FOUND);
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
