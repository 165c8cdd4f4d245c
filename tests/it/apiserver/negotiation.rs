//! How answers are written down: YAML, gzip, indented; and what is not acceptable.

use std::io::Read as _;

use flate2::read::GzDecoder;
use futures::StreamExt as _;
use http::{Method, StatusCode};
use serde_json::Value;
use tagscope::apiserver::response::Payload;

use super::support::{PARTIAL_LIST, TABLE, World};

const V2: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

fn read(yaml: &str) -> Value {
    serde_saphyr::from_str(yaml).unwrap_or_else(|error| panic!("{error}\n{yaml}"))
}

/// More than 128 KiB of tags.
fn long() -> World {
    let world = World::new();
    let tags: Vec<String> = (0..2_000).map(|n| format!("v1.0.{n}")).collect();
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    world.scan("apps", "long", "ghcr.io/example/long", &tags, true);
    world
}

#[tokio::test]
async fn yaml_says_what_json_says() {
    let world = World::filled();
    let tag = "namespaces/flux-system/imagetags/podinfo:6.3.0";
    for (path, accept) in [
        (tag, "application/json"),
        ("imagetags", "application/json"),
        ("imagetags?limit=2", "application/json"),
        ("namespaces/nowhere/imagetags", "application/json"),
        ("tagsets", "application/json"),
        ("imagetags", TABLE),
        (tag, TABLE),
        ("imagetags", PARTIAL_LIST),
        ("/apis", "application/json"),
        ("/apis/tags.tagscope.dev", "application/json"),
        ("/apis/tags.tagscope.dev/v1alpha1", "application/json"),
        ("imagetags?limit=abc", "application/json"),
        (
            "namespaces/flux-system/imagetags/podinfo:9",
            "application/json",
        ),
    ] {
        let json = world.get_as(path, accept).await;
        let yaml = world.get_as(path, &accept.replace("json", "yaml")).await;
        assert_eq!(json.status, yaml.status, "{path}");
        assert_eq!(
            yaml.header("content-type"),
            Some("application/yaml"),
            "{path} {accept}"
        );
        assert_eq!(read(&yaml.text), json.json(), "{path} {accept}");
        assert!(
            yaml.text
                .starts_with(|first: char| first.is_ascii_alphabetic()),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_long_list_is_written_as_yaml_in_bounded_chunks() {
    let world = long();
    let json = world.get("imagetags").await;
    let yaml = world.get_as("imagetags", "application/yaml").await;
    assert_eq!(read(&yaml.text), json.json());
    let chunks = yaml.chunks.expect("it is streamed");
    assert!(
        chunks.len() > 4 && chunks.iter().all(|size| (1..128 * 1024).contains(size)),
        "{chunks:?}"
    );
}

#[tokio::test]
async fn aggregated_discovery_comes_as_yaml_too_and_says_so() {
    let world = World::new();
    let yaml = world.get_as("/apis", &V2.replace("json", "yaml")).await;
    assert_eq!(
        yaml.header("content-type"),
        Some("application/yaml;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")
    );
    assert_eq!(read(&yaml.text), world.get_as("/apis", V2).await.json());
    let tags = [
        yaml.header("etag").unwrap().to_owned(),
        world
            .get_as("/apis", V2)
            .await
            .header("etag")
            .unwrap()
            .to_owned(),
        world
            .get_as("/apis", "application/yaml")
            .await
            .header("etag")
            .unwrap()
            .to_owned(),
    ];
    assert!(tags[0] != tags[1] && tags[1] != tags[2] && tags[0] != tags[2]);
}

#[tokio::test]
async fn each_way_to_write_a_document_has_a_tag_of_its_own() {
    let world = World::new();
    for path in [
        "/apis",
        "/apis/tags.tagscope.dev",
        "/apis/tags.tagscope.dev/v1alpha1",
    ] {
        let json = world.get(path).await;
        let yaml = world.get_as(path, "application/yaml").await;
        let [json, yaml] = [&json, &yaml].map(|answer| answer.header("etag").unwrap().to_owned());
        for (accept, known, code) in [
            ("application/json", &json, StatusCode::NOT_MODIFIED),
            ("application/yaml", &yaml, StatusCode::NOT_MODIFIED),
            ("application/json", &yaml, StatusCode::OK),
            ("application/yaml", &json, StatusCode::OK),
        ] {
            let headers = [("accept", accept), ("if-none-match", known.as_str())];
            let answer = world.ask(Method::GET, path, &headers).await;
            assert_eq!(answer.status, code, "{path} {accept}");
            assert_eq!(answer.header("vary"), Some("Accept"), "{path}");
            assert_eq!(answer.text.is_empty(), code == StatusCode::NOT_MODIFIED);
        }
    }
}

#[tokio::test]
async fn what_nobody_here_writes_is_not_acceptable() {
    let world = World::filled();
    for (path, accept, expected) in [
        (
            "imagetags",
            "application/vnd.kubernetes.protobuf",
            "application/json, application/yaml",
        ),
        (
            "imagetags",
            "application/cbor",
            "application/json, application/yaml",
        ),
        (
            "imagetags",
            "application/json;as=Unknown;g=x;v=y",
            "application/json, application/yaml",
        ),
        (
            "imagetags?watch=true",
            "application/yaml",
            "application/json;stream=watch",
        ),
        (
            "imagetags?watch=true",
            "application/cbor-seq",
            "application/json;stream=watch",
        ),
        (
            "imagetags?watch=true",
            "application/vnd.kubernetes.protobuf;stream=watch",
            "application/json;stream=watch",
        ),
        (
            "/apis",
            "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
            "application/json, application/yaml",
        ),
        (
            "/apis/tags.tagscope.dev",
            "application/cbor",
            "application/json, application/yaml",
        ),
        ("/openapi/v2", "application/yaml", "application/json"),
        (
            "/openapi/v3/apis/tags.tagscope.dev/v1alpha1",
            "application/com.github.proto-openapi.spec.v3.v1.0+protobuf",
            "application/json",
        ),
    ] {
        let answer = world.get_as(path, accept).await;
        assert_eq!(answer.status, StatusCode::NOT_ACCEPTABLE, "{path} {accept}");
        let status = if answer.header("content-type") == Some("application/yaml") {
            read(&answer.text)
        } else {
            answer.json()
        };
        assert_eq!(status["reason"], "NotAcceptable");
        let message = format!("only the following media types are accepted: {expected}");
        assert_eq!(status["message"], message.as_str(), "{path} {accept}");
    }
}

#[tokio::test]
async fn clauses_that_cannot_be_served_are_passed_over() {
    let world = World::filled();
    let metadata = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,\
                    application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";
    let list = world.get_as("imagetags", metadata).await;
    let json = list.json();
    assert_eq!(
        (&json["kind"], &json["apiVersion"]),
        (
            &"PartialObjectMetadataList".into(),
            &"meta.k8s.io/v1".into()
        )
    );
    assert!(list.list_version() > 0);
    assert_eq!(list.header("content-type"), Some("application/json"));
    for accept in [
        "application/json;as=Unknown;g=x;v=y,application/json",
        "application/cbor,application/json;q=0.5",
        "application/json;q=0.9,application/cbor;q=1",
        "application/vnd.kubernetes.protobuf,application/json",
    ] {
        let answer = world.get_as("imagetags", accept).await;
        assert_eq!(answer.json()["kind"], "ImageTagList", "{accept}");
    }
    let dead = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
    assert_eq!(
        world.get_as("/apis", dead).await.json()["kind"],
        "APIGroupList"
    );
}

#[tokio::test]
async fn people_read_indented_answers() {
    let world = World::filled();
    for (path, query) in [
        ("imagetags", "?"),
        ("namespaces/flux-system/imagetags/podinfo:6.3.0", "?"),
        ("namespaces/flux-system/imagetags/podinfo:9", "?"),
        ("imagetags", "?limit=abc&"),
        ("/apis", "?"),
        ("/apis/tags.tagscope.dev/v1alpha1", "?"),
    ] {
        for (agent, pretty, expected) in [
            ("curl/8.5", "", true),
            ("curl/8.5", "pretty=false", false),
            ("Mozilla/5.0 (X11)", "", true),
            ("Wget/1.24", "", true),
            ("kubectl/v1.36", "", false),
            ("kubectl/v1.36", "pretty=true", true),
            ("kubectl/v1.36", "pretty=1", true),
        ] {
            let path = format!("{path}{query}{pretty}");
            let answer = world
                .ask(Method::GET, &path, &[("user-agent", agent)])
                .await;
            assert_eq!(
                answer.text.starts_with("{\n  \""),
                expected,
                "{path} {agent}"
            );
            assert_eq!(answer.text.ends_with("}\n"), expected, "{path} {agent}");
        }
    }
    // Who wrote the accepting header may ask so, too.
    let asked = world.get_as("imagetags", "application/json;pretty=1").await;
    assert!(asked.text.starts_with("{\n"));
}

/// The status, the coding, what `Vary` says, and the body unpacked.
async fn packed(
    world: &World,
    path: &str,
    headers: &[(&str, &str)],
) -> (StatusCode, Option<String>, Option<String>, String) {
    let (status, answer, payload) = world.begin(Method::GET, path, headers).await;
    let body = match payload {
        Payload::Full(bytes) => bytes.to_vec(),
        Payload::Stream(chunks) => chunks.collect::<Vec<_>>().await.concat(),
    };
    let text = |name| {
        answer
            .get(name)
            .map(|value| value.to_str().unwrap().to_owned())
    };
    let coding = text("content-encoding");
    let plain = if coding.is_some() {
        let mut plain = Vec::new();
        GzDecoder::new(&body[..]).read_to_end(&mut plain).unwrap();
        plain
    } else {
        body
    };
    (
        status,
        coding,
        text("vary"),
        String::from_utf8(plain).unwrap(),
    )
}

#[tokio::test]
async fn long_answers_are_compressed_for_who_takes_that() {
    let world = long();
    let gzip = ("accept-encoding", "gzip");
    let long_list = world.get("imagetags").await.text;
    let long_yaml = world.get_as("imagetags", "application/yaml").await.text;
    let (code, coding, vary, text) = packed(&world, "imagetags", &[gzip]).await;
    assert_eq!(
        (code, coding.as_deref(), vary.as_deref()),
        (StatusCode::OK, Some("gzip"), Some("Accept-Encoding"))
    );
    assert_eq!(text, long_list);
    let yaml = [gzip, ("accept", "application/yaml")];
    assert_eq!(packed(&world, "imagetags", &yaml).await.3, long_yaml);

    for (path, headers) in [
        ("imagetags", &[][..]),
        ("imagetags", &[("accept-encoding", "gzip;q=0")]),
        ("imagetags", &[("accept-encoding", "identity, deflate")]),
        ("imagetags?limit=100", &[gzip]),
        ("imagetags?limit=abc", &[gzip]),
        ("namespaces/apps/tagsets/long", &[gzip]),
        ("/apis", &[gzip]),
    ] {
        let (_, coding, vary, _) = packed(&world, path, headers).await;
        assert_eq!(coding, None, "{path} {headers:?}");
        assert!(vary.is_none_or(|vary| vary == "Accept"), "{path}");
    }
}

#[tokio::test]
async fn one_long_object_is_compressed_too() {
    let world = World::new();
    let tags: Vec<String> = (0..20_000).map(|n| format!("v1.0.{n}")).collect();
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    world.scan("apps", "long", "ghcr.io/example/long", &tags, true);
    let path = "namespaces/apps/tagsets/long";
    let plain = world.get(path).await.text;
    let (_, coding, _, text) = packed(&world, path, &[("accept-encoding", "gzip")]).await;
    assert_eq!(coding.as_deref(), Some("gzip"));
    assert_eq!(text, plain);
}

#[tokio::test]
async fn a_watch_is_never_compressed() {
    let world = long();
    let headers = [("accept-encoding", "gzip")];
    let (code, answer, payload) = world
        .begin(Method::GET, "imagetags?watch=true", &headers)
        .await;
    assert_eq!(
        (code, answer.get("content-encoding")),
        (StatusCode::OK, None)
    );
    let Payload::Stream(mut chunks) = payload else {
        panic!("not a stream")
    };
    assert!(
        chunks
            .next()
            .await
            .unwrap()
            .starts_with(b"{\"type\":\"ADDED\"")
    );
}
