//! The chain's own answers as clients read them, and what it answers before it has started.

use serde_json::{Value, json};
use tagscope::cluster::delegated::AllowedNames;

use crate::authn_kit::{LIST, World};
use crate::serve_kit::{Ca, distant, get};

const EVE: (&str, &str) = ("X-Remote-User", "eve");
const BOB: (&str, &str) = ("X-Remote-User", "bob");

#[tokio::test]
async fn refusals_are_told_as_the_client_reads_them() {
    let world = World::new().await;
    let proxy = world.proxy();
    let mut client = world.client(Some(&proxy)).http2(world.server.address).await;
    let plain = client.send(get(LIST, &[EVE])).await;
    assert_eq!(
        (plain.status, plain.header("content-type")),
        (403, Some("application/json"))
    );
    assert!(plain.text().starts_with("{\"kind\":\"Status\""));

    let yaml = client
        .send(get(LIST, &[EVE, ("Accept", "application/yaml")]))
        .await;
    assert_eq!(
        (yaml.status, yaml.header("content-type")),
        (403, Some("application/yaml"))
    );
    assert_eq!(yaml.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(yaml.header("cache-control"), Some("no-cache, private"));
    let said: Value = serde_saphyr::from_str(yaml.text()).unwrap();
    assert_eq!(said, plain.json());

    let people = client
        .send(get(LIST, &[EVE, ("User-Agent", "curl/8.5")]))
        .await;
    assert!(
        people.text().starts_with("{\n  \"kind\": \"Status\""),
        "{}",
        people.text()
    );
    assert_eq!(people.json(), plain.json());
    let compact = client
        .send(get(
            &format!("{LIST}?pretty=false"),
            &[EVE, ("User-Agent", "curl/8.5")],
        ))
        .await;
    assert_eq!(compact.text(), plain.text());

    // A Status is never refused for the form it was asked for in.
    let protobuf = [EVE, ("Accept", "application/vnd.kubernetes.protobuf")];
    assert_eq!(client.send(get(LIST, &protobuf)).await.text(), plain.text());
}

/// A 404 in this time would be taken for the end of our resources (AGG, OA3-2).
#[tokio::test]
async fn before_it_has_started_every_path_of_the_api_answers_503() {
    let world = World::new().await;
    world.store.set(false);
    let proxy = world.proxy();
    let mut client = world.client(Some(&proxy)).http2(world.server.address).await;
    let paths = [
        "/apis",
        "/apis/tags.tagscope.dev",
        "/apis/tags.tagscope.dev/v1alpha1",
        "/apis/tags.tagscope.dev/v1alpha1/unknown",
        LIST,
        "/openapi/v2",
        "/openapi/v3",
        "/openapi/v3/apis/tags.tagscope.dev/v1alpha1",
    ];
    for path in paths {
        let answer = client.send(get(path, &[BOB])).await;
        assert_eq!(
            (answer.status, &answer.json()["kind"]),
            (503, &json!("Status")),
            "{path}"
        );
        assert_eq!(answer.header("retry-after"), Some("5"), "{path}");
    }
    world.store.set(true);
    for path in paths {
        assert_eq!(client.send(get(path, &[BOB])).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn without_a_list_of_names_any_proxy_of_the_authority_speaks_but_nobody_without_a_certificate()
 {
    let world = World::new().await;
    let another = world.proxies.client("another", &[], distant());
    let mut client = world
        .client(Some(&another))
        .http2(world.server.address)
        .await;
    assert_eq!(client.send(get(LIST, &[BOB])).await.status, 401);
    client.closed().await;
    let mut client = world
        .client(Some(&another))
        .http2(world.server.address)
        .await;
    world.reconfigure(|config| config.allowed_names = AllowedNames::Any);
    assert_eq!(
        client.send(get(LIST, &[BOB])).await.status,
        200,
        "the connection was open before"
    );
    let stranger = Ca::new("proxies").client("front-proxy", &[], distant());
    for identity in [None, Some(&stranger)] {
        let mut client = world.client(identity).http2(world.server.address).await;
        let status = client.send(get(LIST, &[BOB])).await.status;
        assert_eq!(status, if identity.is_some() { 401 } else { 403 });
    }
}

/// What has shown nothing that holds does not get to pile up requests on one connection (AUTHN-9).
#[tokio::test]
async fn http2_connections_end_behind_a_401_and_behind_an_anonymous_answer() {
    let world = World::new().await;
    for (headers, status) in [
        (&[("Authorization", "Bearer bad")][..], 401),
        (&[][..], 403),
    ] {
        let mut client = world.client(None).http2(world.server.address).await;
        let answer = client.send(get(LIST, headers)).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.json()["code"], status, "the answer comes whole");
        client.closed().await;
    }
    let mut client = world.client(None).http2(world.server.address).await;
    let good = [("Authorization", "Bearer good")];
    for _ in 0..3 {
        assert_eq!(client.send(get(LIST, &good)).await.status, 200);
    }
    // HTTP/1.1 has one request at a time: nothing to end.
    let anybody = crate::serve_kit::Client::new(&world.server_ca, &["http/1.1"]);
    let mut client = anybody.http1(world.server.address).await;
    for _ in 0..2 {
        assert_eq!(client.get(LIST).await.status, 403);
    }
}
