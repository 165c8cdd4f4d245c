//! Gets and lists as clients see them behind kube-apiserver's proxy: states, pages, refusals, forms, kubectl's flags.

use http::{Method, Request};
use http_body_util::BodyExt as _;
use serde_json::Value;

use crate::world::World;

const TAGS: [&str; 5] = ["1.0.0", "1.1.0", "1.2.0", "2.0.0-rc.1", "latest"];

/// A namespace with one repository of five tags, `1.2.0` elected.
async fn stage(world: &World, name: &str) -> String {
    let ns = world.cluster.namespace(name).await;
    let repository = format!("{name}/app");
    world.cluster.registry.push(&repository, &TAGS).await;
    world.scan(&ns, "app", &repository).await;
    world.create_policy(&ns, "pinned", "app", "1.x").await;
    world.elects(&ns, "pinned", "1.2.0").await;
    ns
}

struct Answer {
    code: u16,
    json: Value,
}

/// Asks kube-apiserver, which asks the program.
async fn ask(client: &kube::Client, method: Method, path: &str, accept: &str) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(format!("/apis/tags.tagscope.dev/v1alpha1/{path}"))
        .header("accept", accept)
        .body(kube::client::Body::empty())
        .unwrap();
    let (head, body) = client.send(request).await.unwrap().into_parts();
    let text = body.collect().await.unwrap().to_bytes();
    let json = serde_json::from_slice(&text)
        .unwrap_or_else(|_| panic!("{path}: {}", String::from_utf8_lossy(&text)));
    Answer {
        code: head.status.as_u16(),
        json,
    }
}

async fn get(client: &kube::Client, path: &str) -> Answer {
    ask(client, Method::GET, path, "application/json").await
}

fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().unwrap().iter();
    items
        .map(|item| item["metadata"]["name"].as_str().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn states_pages_and_refusals_come_through_the_proxy_as_they_are() {
    let world = World::shared().await;
    let client = world.cluster.client().await;
    let all = format!("namespaces/{}/imagetags", stage(world, "lists").await);
    let whole = get(&client, &all).await;
    let version = whole.json["metadata"]["resourceVersion"].as_str().unwrap();
    assert_eq!(names(&whole.json), TAGS.map(|tag| format!("app:{tag}")));
    let (mut pages, mut remaining, mut token) = (Vec::new(), Vec::new(), String::new());
    loop {
        let page = get(&client, &format!("{all}?limit=2&continue={token}")).await;
        pages.push(names(&page.json).len());
        remaining.push(page.json["metadata"]["remainingItemCount"].as_u64());
        match page.json["metadata"].get("continue") {
            Some(next) => token = next.as_str().unwrap().to_owned(),
            None => break,
        }
    }
    assert_eq!(
        (pages, remaining),
        (vec![2, 2, 1], vec![Some(3), Some(1), None])
    );
    for (query, code, reason) in [
        ("resourceVersion=0".to_owned(), 200, ""),
        (format!("resourceVersion={version}"), 200, ""),
        (
            format!("resourceVersion={version}&resourceVersionMatch=Exact"),
            200,
            "",
        ),
        ("resourceVersion=abc".to_owned(), 400, "BadRequest"),
        (
            "resourceVersion=0&resourceVersionMatch=Exact".to_owned(),
            422,
            "Invalid",
        ),
        ("resourceVersionMatch=Exact".to_owned(), 422, "Invalid"),
        ("sendInitialEvents=true".to_owned(), 422, "Invalid"),
        (
            "resourceVersion=1&resourceVersionMatch=Exact".to_owned(),
            410,
            "Expired",
        ),
        ("continue=garbage".to_owned(), 400, "BadRequest"),
        ("limit=x".to_owned(), 400, "BadRequest"),
        ("unknownParam=1".to_owned(), 200, ""),
        ("labelSelector=a+in+(".to_owned(), 400, "BadRequest"),
        ("fieldSelector=spec.nope=1".to_owned(), 400, "BadRequest"),
        ("fieldSelector=metadata.name!=app:1.0.0".to_owned(), 200, ""),
    ] {
        let answer = get(&client, &format!("{all}?{query}")).await;
        assert_eq!(answer.code, code, "{query}: {}", answer.json);
        if code != 200 {
            assert_eq!(
                (&answer.json["kind"], &answer.json["reason"]),
                (&"Status".into(), &reason.into()),
                "{query}"
            );
        }
    }
    for (method, path) in [
        (Method::POST, all.clone()),
        (Method::DELETE, all.clone()),
        (Method::PUT, format!("{all}/app:latest")),
        (Method::PATCH, format!("{all}/app:latest")),
        (Method::DELETE, format!("{all}/app:latest")),
    ] {
        let answer = ask(&client, method.clone(), &path, "application/json").await;
        assert_eq!(
            (answer.code, &answer.json["reason"]),
            (405, &"MethodNotAllowed".into()),
            "{method}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_object_and_every_form_come_through_the_proxy() {
    let world = World::shared().await;
    let client = world.cluster.client().await;
    let all = format!("namespaces/{}/imagetags", stage(world, "forms").await);
    for name in ["app:1.2.0", "app%3A1.2.0"] {
        let one = get(&client, &format!("{all}/{name}")).await;
        assert_eq!((one.code, &one.json["kind"]), (200, &"ImageTag".into()));
        for field in [
            "name",
            "namespace",
            "uid",
            "resourceVersion",
            "creationTimestamp",
        ] {
            assert!(one.json["metadata"][field].is_string(), "{field}");
        }
    }
    let missing = get(&client, &format!("{all}/app:9")).await;
    assert_eq!(missing.code, 404);
    let details = &missing.json["details"];
    assert_eq!(
        (&details["name"], &details["group"], &details["kind"]),
        (
            &"app:9".into(),
            &"tags.tagscope.dev".into(),
            &"imagetags".into()
        )
    );
    let empty = get(&client, "namespaces/nobody-has-this/imagetags").await;
    assert_eq!(
        (empty.code, &empty.json["items"]),
        (200, &Value::Array(Vec::new()))
    );
    let meta = "g=meta.k8s.io;v=v1";
    for (accept, kind) in [
        (
            format!(
                "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;{meta},application/json;as=PartialObjectMetadataList;{meta},application/json"
            ),
            "PartialObjectMetadataList",
        ),
        (
            format!("application/json;as=Table;{meta},application/json"),
            "Table",
        ),
        (
            "application/json;as=Unknown;g=x;v=y,application/json".to_owned(),
            "ImageTagList",
        ),
    ] {
        let list = ask(&client, Method::GET, &all, &accept).await;
        assert_eq!(
            (list.code, &list.json["kind"]),
            (200, &kind.into()),
            "{accept}"
        );
        assert!(list.json["metadata"]["resourceVersion"].is_string());
    }
    for accept in [
        "application/vnd.kubernetes.protobuf",
        "application/json;as=Unknown;g=x;v=y",
    ] {
        assert_eq!(
            ask(&client, Method::GET, &all, accept).await.code,
            406,
            "{accept}"
        );
    }
    let table = format!("application/json;as=Table;{meta}");
    for (include, kind, code) in [
        ("None", Value::Null, 200),
        ("Object", "ImageTag".into(), 200),
        ("Metadata", "PartialObjectMetadata".into(), 200),
        ("Foo", Value::Null, 400),
    ] {
        let path = format!("{all}?includeObject={include}");
        let answer = ask(&client, Method::GET, &path, &table).await;
        assert_eq!(answer.code, code, "{include}");
        if code == 200 {
            assert_eq!(answer.json["rows"][0]["object"]["kind"], kind, "{include}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_prints_sorts_and_pages() {
    let world = World::shared().await;
    let ns = stage(world, "prints").await;
    let kubectl = async |args: &[&str]| {
        let args = [&["get", "imagetags", "-n", &ns], args].concat();
        world.cluster.kubectl(&args).await.ok()
    };
    let expected = TAGS.map(|tag| format!("app:{tag}"));
    let first = |text: &str| -> Vec<String> {
        let lines = text.lines();
        lines
            .map(|line| line.split_whitespace().next().unwrap().to_owned())
            .collect()
    };
    let none = "--no-headers";
    assert_eq!(first(&kubectl(&[none, "--chunk-size=1"]).await), expected);
    assert_eq!(
        first(&kubectl(&[none, "--sort-by=.metadata.name"]).await),
        expected
    );
    let newest_last = kubectl(&[
        none,
        "--sort-by={.version.major}",
        "-l",
        "tags.tagscope.dev/selected",
    ])
    .await;
    assert_eq!(first(&newest_last), ["app:1.2.0"]);
    let labels = kubectl(&[none, "--show-labels"]).await;
    assert!(
        labels
            .lines()
            .all(|line| line.contains("tags.tagscope.dev/repository=app")),
        "{labels}"
    );
    let column = kubectl(&[none, "-L", "tags.tagscope.dev/selected"]).await;
    assert_eq!(
        column
            .lines()
            .filter(|line| line.trim_end().ends_with("true"))
            .count(),
        1,
        "{column}"
    );
    let wide = kubectl(&["-o", "wide"]).await;
    assert!(wide.lines().next().unwrap().contains("DIGEST"), "{wide}");
    let gone = ["get", "imagetag", "app:9", "-n", &ns, "--ignore-not-found"];
    assert_eq!(world.cluster.kubectl(&gone).await.ok(), "");
}
