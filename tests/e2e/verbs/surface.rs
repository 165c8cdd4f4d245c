//! Corners of the HTTP surface that Go's clients never show: each is asked of a built-in kind and of ours, through the same
//! kube-apiserver, and answered with the same code, or with another one that docs/conformance.md gives the reason for.

use http::{Method, Request};

use super::stage;

const LEASES: &str = "/apis/coordination.k8s.io/v1";
const OURS: &str = "/apis/tags.tagscope.dev/v1alpha1";

/// What is asked, and the codes that the built-in kind and ours answer with.
struct Row {
    method: Method,
    path: String,
    accept: &'static str,
    theirs: u16,
    ours: u16,
}

fn row(path: impl Into<String>, accept: &'static str, theirs: u16, ours: u16) -> Row {
    Row {
        method: Method::GET,
        path: path.into(),
        accept,
        theirs,
        ours,
    }
}

/// The code, and the beginning of what was said.
async fn ask(client: &kube::Client, row: &Row, path: &str) -> (u16, String) {
    let mut request = Request::builder().method(row.method.clone()).uri(path);
    if !row.accept.is_empty() {
        request = request.header("accept", row.accept);
    }
    let request = request.body(kube::client::Body::empty()).unwrap();
    let response = client.send(request).await.unwrap();
    let code = response.status().as_u16();
    let mut said = String::new();
    let body = http_body_util::BodyExt::collect(response.into_body()).await;
    if let Ok(body) = body {
        said = String::from_utf8_lossy(&body.to_bytes())
            .chars()
            .take(300)
            .collect();
    }
    (code, said)
}

#[tokio::test(flavor = "multi_thread")]
async fn corners_are_answered_as_a_built_in_kind_answers_them() {
    let (world, ns) = stage().await;
    let client = world.cluster.client().await;
    let lease = format!(
        r#"{{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{{"name":"corner","namespace":"{ns}"}}}}"#
    );
    world.cluster.apply(&lease).await;
    let inside = "/namespaces/NS/RES";
    let long = |length: usize| format!("{inside}/{}", "a".repeat(length));
    let stream = "timeoutSeconds=1";
    let rows = vec![
        row(inside, "", 200, 200),
        row(format!("{inside}/"), "", 200, 200),
        row("/RES/", "", 200, 200),
        row(format!("{inside}/NAME/"), "", 200, 200),
        row(format!("{inside}//NAME"), "", 404, 404),
        row(format!("/{inside}"), "", 404, 404),
        row(format!("/watch/RES?{stream}"), "", 200, 200),
        row(format!("/watch{inside}?{stream}"), "", 200, 200),
        row(format!("/watch{inside}/NAME?{stream}"), "", 200, 200),
        row(format!("/watch{inside}/absent?{stream}"), "", 200, 200),
        row(format!("/watch{inside}/?{stream}"), "", 200, 200),
        row("/watch", "", 500, 500),
        row("/watch/", "", 500, 500),
        row(format!("/proxy{inside}/NAME"), "", 404, 404),
        row(format!("{inside}/NAME/nothing"), "", 404, 404),
        Row {
            method: Method::HEAD,
            ..row(inside, "", 405, 200)
        },
        Row {
            method: Method::HEAD,
            ..row(format!("{inside}/NAME"), "", 405, 200)
        },
        Row {
            method: Method::OPTIONS,
            ..row(inside, "", 405, 405)
        },
        row(format!("{inside}/.."), "", 400, 400),
        row(format!("{inside}/%2E%2E"), "", 400, 400),
        row(format!("{inside}/."), "", 400, 400),
        row(format!("{inside}/a%2Fb"), "", 404, 404),
        row(format!("{inside}/a%25b"), "", 400, 400),
        row(inside, "application/json;q=0", 200, 200),
        row(inside, "application/json;q=0, application/yaml", 200, 200),
        row(inside, "*/*;q=0", 200, 200),
        row(inside, "application/json;q=0,*/*", 200, 200),
        row(inside, "text/plain", 406, 406),
        row(
            inside,
            "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
            200,
            200,
        ),
        row(
            inside,
            "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
            406,
            406,
        ),
        row(
            // Theirs ends without a word.
            format!("{inside}?watch=1&{stream}"),
            "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
            200,
            406,
        ),
        row(
            format!("{inside}?watch=1&{stream}"),
            "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
            200,
            200,
        ),
        row(
            format!("{inside}?watch=1&{stream}"),
            "application/yaml",
            406,
            406,
        ),
        row(
            format!("{inside}/NAME"),
            "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
            406,
            406,
        ),
        row(long(253), "", 404, 404),
        row(long(254), "", 404, 404),
        row(long(2000), "", 404, 404),
        row(
            format!("{inside}?fieldSelector=metadata.name%3D{}", "a".repeat(300)),
            "",
            200,
            200,
        ),
    ];
    let mut wrong = Vec::new();
    for row in &rows {
        let of = |base: &str, resource: &str, name: &str| {
            let path = row
                .path
                .replace("NS", ns)
                .replace("RES", resource)
                .replace("NAME", name);
            format!("{base}{path}")
        };
        let theirs = ask(&client, row, &of(LEASES, "leases", "corner")).await;
        let ours = ask(&client, row, &of(OURS, "imagetags", "app:1.0.0")).await;
        if (theirs.0, ours.0) != (row.theirs, row.ours) {
            wrong.push(format!(
                "{} {} {}: {theirs:?}, ours {ours:?}",
                row.method, row.path, row.accept
            ));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// A custom resource's name has up to 253 characters; one of ours is such a name with a tag behind it.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_longer_than_a_custom_resources_comes_through() {
    let (world, _) = stage().await;
    let ns = world.cluster.namespace("long").await;
    let repository = [
        "r".repeat(63),
        "s".repeat(63),
        "t".repeat(63),
        "u".repeat(61),
    ]
    .join(".");
    let tag = "T".repeat(128);
    world.cluster.registry.push("long/app", &[&tag]).await;
    world.scan(&ns, &repository, "long/app").await;
    let name = format!("{repository}:{tag}");
    assert_eq!(name.len(), 382);
    let get = ["get", "imagetag", &name, "-n", &ns, "-o", "name"];
    let got = world.cluster.kubectl(&get).await.ok();
    assert_eq!(got.trim(), format!("imagetag.tags.tagscope.dev/{name}"));
    let field = format!("metadata.name={name}");
    let select = [
        "get",
        "imagetags",
        "-n",
        &ns,
        "-o",
        "name",
        "--field-selector",
        &field,
    ];
    assert_eq!(world.cluster.kubectl(&select).await.ok(), got);
    let client = world.cluster.client().await;
    let path = format!("/namespaces/{ns}/imagetags?watch=1&timeoutSeconds=1&fieldSelector={field}");
    let (code, said) = ask(
        &client,
        &row(path.clone(), "", 0, 0),
        &format!("{OURS}{path}"),
    )
    .await;
    assert!(code == 200 && said.contains("ADDED"), "{code} {said}");
}
