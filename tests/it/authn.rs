//! Who is taken for whom, over real TLS: certificates right, wrong, ended and rotated; headers; tokens.

use jiff::SignedDuration;
use serde_json::json;
use tagscope::cluster::delegated::AllowedNames;

use crate::authn_kit::{LIST, World};
use crate::serve_kit::{Answer, Ca, Identity, distant, get};

const BOB: (&str, &str) = ("X-Remote-User", "bob");

async fn ask(world: &World, identity: Option<&Identity>, headers: &[(&str, &str)]) -> Answer {
    world
        .client(identity)
        .http2(world.server.address)
        .await
        .send(get(LIST, headers))
        .await
}

type Row<'a> = (
    &'a str,
    Option<&'a Identity>,
    &'a [(&'a str, &'a str)],
    Result<&'a str, u16>,
);

/// Presented: a certificate, headers. Taken for: a user, `anonymous` (403), or nobody (401).
#[tokio::test]
async fn what_is_presented_decides_who_it_is() {
    let world = World::new().await;
    let proxy = world.proxy();
    let wrong_name = world.proxies.client("another", &[], distant());
    let alice = world.users.client("alice", &["dev"], distant());
    let nameless = world.users.client("", &["dev"], distant());
    let stranger = Ca::new("proxies").client("front-proxy", &[], distant());
    let masters = ("X-Remote-Group", "system:masters");
    let good = ("Authorization", "Bearer good");
    let bad = ("Authorization", "Bearer bad");
    let robot = "system:serviceaccount:n:robot";
    let rows: &[Row<'_>] = &[
        ("nothing", None, &[], Err(403)),
        (
            "headers without a certificate",
            None,
            &[BOB, masters],
            Err(403),
        ),
        (
            "headers with a user's certificate",
            Some(&alice),
            &[BOB, masters],
            Ok("alice"),
        ),
        (
            "headers with an unknown certificate",
            Some(&stranger),
            &[BOB],
            Err(401),
        ),
        (
            "an unknown certificate and a token",
            Some(&stranger),
            &[BOB, good],
            Ok(robot),
        ),
        (
            "a proxy of another name",
            Some(&wrong_name),
            &[BOB],
            Err(401),
        ),
        (
            "a proxy of another name and a token",
            Some(&wrong_name),
            &[BOB, good],
            Ok(robot),
        ),
        ("the proxy", Some(&proxy), &[BOB], Ok("bob")),
        ("the proxy that names nobody", Some(&proxy), &[], Err(401)),
        (
            "the proxy with an empty name",
            Some(&proxy),
            &[("X-Remote-User", "")],
            Err(401),
        ),
        (
            "the proxy that names nobody, with a token",
            Some(&proxy),
            &[good],
            Ok(robot),
        ),
        ("a user's certificate", Some(&alice), &[], Ok("alice")),
        (
            "a user's certificate and a false token",
            Some(&alice),
            &[bad],
            Ok("alice"),
        ),
        (
            "a certificate without a name",
            Some(&nameless),
            &[],
            Err(401),
        ),
        ("a token", None, &[good], Ok(robot)),
        (
            "a token, scheme in any case",
            None,
            &[("authorization", "bEaReR good")],
            Ok(robot),
        ),
        ("a false token", None, &[bad], Err(401)),
        (
            "a token behind two spaces",
            None,
            &[("Authorization", "Bearer  good")],
            Err(403),
        ),
        (
            "another scheme",
            None,
            &[("Authorization", "Basic good")],
            Err(403),
        ),
        (
            "impersonation",
            Some(&alice),
            &[("Impersonate-User", "root")],
            Err(403),
        ),
        (
            "impersonation by group alone",
            None,
            &[good, ("Impersonate-Group", "g")],
            Err(403),
        ),
        (
            "impersonation by extra",
            Some(&proxy),
            &[BOB, ("Impersonate-Extra-scopes", "a")],
            Err(403),
        ),
    ];
    for (what, identity, headers, expected) in rows {
        let answer = ask(&world, *identity, headers).await;
        let got = if answer.status == 200 {
            Ok(answer.json())
        } else {
            Err(answer.status)
        };
        match (got, expected) {
            (Ok(said), Ok(name)) => {
                assert_eq!(said["user"], *name, "{what}");
                assert!(
                    said["groups"]
                        .as_array()
                        .unwrap()
                        .contains(&json!("system:authenticated")),
                    "{what}"
                );
                let left = said["headers"].as_array().unwrap();
                assert!(
                    !left
                        .iter()
                        .any(|name| name == "authorization" || name == "x-remote-user"),
                    "{what}"
                );
            }
            (got, expected) => assert_eq!(got.err(), expected.err(), "{what}"),
        }
    }
}

#[tokio::test]
async fn refusals_are_statuses_that_tell_nothing() {
    let world = World::new().await;
    let unauthorized = ask(&world, None, &[("Authorization", "Bearer bad")]).await;
    let expected = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "Unauthorized", "reason": "Unauthorized", "code": 401,
    });
    assert_eq!(
        (unauthorized.json(), unauthorized.header("content-type")),
        (expected, Some("application/json"))
    );
    let anonymous = ask(&world, None, &[("Authorization", "Bearer  good")]).await;
    let message = "imagetags.tags.tagscope.dev is forbidden: User \"system:anonymous\" cannot list resource \
                   \"imagetags\" in API group \"tags.tagscope.dev\" in the namespace \"n\"";
    assert_eq!(anonymous.json()["message"], message);
    let warning = "299 - \"the provided Authorization header contains extra space before the bearer token, \
                   and is ignored\"";
    assert_eq!(anonymous.header("warning"), Some(warning));
    let impersonation = ask(&world, None, &[("Impersonate-User", "root")]).await;
    assert_eq!(
        (impersonation.status, &impersonation.json()["reason"]),
        (403, &json!("Forbidden"))
    );
}

#[tokio::test]
async fn the_proxys_headers_reach_the_question_whole() {
    let world = World::new().await;
    let headers = [
        BOB,
        ("X-Remote-Group", "a,b"),
        ("X-Remote-Group", "c"),
        ("X-Remote-Group", "c"),
        ("X-Remote-Uid", "1"),
        ("X-Remote-Extra-Example.com%2Fscope", "a"),
        ("X-Remote-Extra-Example.com%2Fscope", "a"),
    ];
    let proxy = world.proxy();
    let mut client = world.client(Some(&proxy)).http2(world.server.address).await;
    assert_eq!(client.send(get(LIST, &headers)).await.status, 200);
    let question = world.reviews.questions.lock().last().unwrap().clone();
    assert_eq!(question["user"], "bob");
    assert_eq!(
        question["groups"],
        json!(["a,b", "c", "c", "system:authenticated"])
    );
    assert_eq!(question["extra"], json!({"example.com/scope": ["a", "a"]}));
    assert_eq!(
        question.get("uid"),
        None,
        "a uid nobody strips is not believed"
    );
    world.reconfigure(|config| config.uid_headers = vec!["x-remote-uid".into()]);
    assert_eq!(client.send(get(LIST, &headers)).await.json()["uid"], "1");
}

/// kube-apiserver's OpenAPI and discovery callers have no groups at all.
#[tokio::test]
async fn the_aggregator_without_groups_is_authenticated_all_the_same() {
    let world = World::new().await;
    let proxy = world.proxy();
    let mut client = world.client(Some(&proxy)).http2(world.server.address).await;
    let answer = client
        .send(get(
            "/openapi/v2",
            &[("X-Remote-User", "system:aggregator")],
        ))
        .await;
    assert_eq!(answer.status, 200);
    let question = world.reviews.questions.lock().last().unwrap().clone();
    assert_eq!(question["groups"], json!(["system:authenticated"]));
    assert_eq!(
        question["nonResourceAttributes"],
        json!({"path": "/openapi/v2", "verb": "get"})
    );
}

#[tokio::test]
async fn a_rotated_authority_counts_from_the_next_request_on_the_same_connection() {
    let world = World::new().await;
    let (old, next) = (world.proxy(), Ca::new("proxies"));
    let mut client = world.client(Some(&old)).http2(world.server.address).await;
    assert_eq!(client.send(get(LIST, &[BOB])).await.status, 200);
    let both = vec![world.proxies.der(), next.der()];
    world.reconfigure(|config| config.front_proxy_ca = Some(both.into()));
    assert_eq!(client.send(get(LIST, &[BOB])).await.status, 200);
    world.reconfigure(|config| config.front_proxy_ca = Some(vec![next.der()].into()));
    assert_eq!(client.send(get(LIST, &[BOB])).await.status, 401);
    client.closed().await;
    let new = next.client("front-proxy", &[], distant());
    assert_eq!(ask(&world, Some(&new), &[BOB]).await.status, 200);
    assert_eq!(ask(&world, Some(&old), &[BOB]).await.status, 401);
}

#[tokio::test]
async fn allowed_names_count_from_the_next_request_on_the_same_connection() {
    let world = World::new().await;
    let another = world.proxies.client("another", &[], distant());
    world.reconfigure(|config| config.allowed_names = AllowedNames::Any);
    let mut client = world
        .client(Some(&another))
        .http2(world.server.address)
        .await;
    assert_eq!(
        client.send(get(LIST, &[BOB])).await.status,
        200,
        "an empty list allows any name"
    );
    assert_eq!(
        ask(&world, None, &[BOB]).await.status,
        403,
        "but no missing certificate"
    );
    world.reconfigure(|config| {
        config.allowed_names = AllowedNames::These(vec!["front-proxy".into()]);
    });
    assert_eq!(client.send(get(LIST, &[BOB])).await.status, 401);
}

#[tokio::test]
async fn allowed_names_that_cannot_be_read_allow_nobody() {
    let world = World::new().await;
    world.reconfigure(|config| config.allowed_names = AllowedNames::Unreadable);
    let proxy = world.proxy();
    assert_eq!(ask(&world, Some(&proxy), &[BOB]).await.status, 401);
}

#[tokio::test]
async fn a_certificate_that_ends_ends_on_its_open_connection() {
    let world = World::new().await;
    let proxy = world
        .proxies
        .client("front-proxy", &[], "2030-01-01T01:00:00Z".parse().unwrap());
    let mut client = world.client(Some(&proxy)).http2(world.server.address).await;
    assert_eq!(client.send(get(LIST, &[BOB])).await.status, 200);
    world.clock.advance(SignedDuration::from_mins(59));
    assert_eq!(client.send(get(LIST, &[BOB])).await.status, 200);
    world.clock.advance(SignedDuration::from_mins(2));
    assert_eq!(client.send(get(LIST, &[BOB])).await.status, 401);
}

#[tokio::test]
async fn the_two_bundles_never_stand_in_for_each_other() {
    let world = World::new().await;
    let (proxy, alice) = (
        world.proxy(),
        world.users.client("front-proxy", &[], distant()),
    );
    assert_eq!(
        ask(&world, Some(&alice), &[BOB]).await.json()["user"],
        "front-proxy",
        "a name is not enough"
    );
    world.reconfigure(|config| config.front_proxy_ca = None);
    assert_eq!(
        ask(&world, Some(&proxy), &[BOB]).await.status,
        401,
        "never seen: nobody is the proxy"
    );
    world.reconfigure(|config| config.client_ca = None);
    assert_eq!(
        ask(&world, Some(&alice), &[BOB]).await.status,
        403,
        "never seen: certificates name nobody"
    );
}

#[tokio::test]
async fn one_connection_carries_many_users() {
    let world = World::new().await;
    let proxy = world.proxy();
    let mut client = world.client(Some(&proxy)).http2(world.server.address).await;
    for user in ["bob", "eve", "bob", "jane"] {
        let answer = client.send(get(LIST, &[("X-Remote-User", user)])).await;
        assert_eq!(
            answer.status,
            if user == "eve" { 403 } else { 200 },
            "{user}"
        );
    }
    assert_eq!(world.server.stats.accepted_connections(), 1);
}

#[tokio::test]
async fn tokens_are_reviewed_once_and_an_outage_touches_only_them() {
    use std::sync::atomic::Ordering;
    let world = World::new().await;
    let mut client = world.client(None).http2(world.server.address).await;
    let requests = (0..100).map(|_| {
        let mut sender = client.sender.clone();
        async move {
            let request = get(
                &format!("https://a{LIST}"),
                &[("Authorization", "Bearer good")],
            );
            sender
                .send_request(request)
                .await
                .unwrap()
                .status()
                .as_u16()
        }
    });
    assert!(
        futures::future::join_all(requests)
            .await
            .iter()
            .all(|status| *status == 200)
    );
    assert_eq!(*world.reviews.tokens.lock(), ["good"]);
    assert_eq!(
        world.reviews.questions.lock().len(),
        1,
        "and its right is asked for once"
    );
    for _ in 0..2 {
        let bad = client
            .send(get(LIST, &[("Authorization", "Bearer bad")]))
            .await;
        assert_eq!(bad.status, 401);
        client = world.client(None).http2(world.server.address).await;
    }
    assert_eq!(*world.reviews.tokens.lock(), ["good", "bad"]);
    world.reviews.down.store(true, Ordering::SeqCst);
    assert_eq!(
        ask(&world, None, &[("Authorization", "Bearer new")])
            .await
            .status,
        401
    );
    let proxy = world.proxy();
    let masters = [
        ("X-Remote-User", "root"),
        ("X-Remote-Group", "system:masters"),
    ];
    assert_eq!(ask(&world, Some(&proxy), &masters).await.status, 200);
}
