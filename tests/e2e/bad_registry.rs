//! Whatever registries get wrong, end to end: the condition says what it was, and everything else goes on.

use serde_json::Value;

use crate::harness::eventually;
use crate::hostile::{Answer, Hostile};
use crate::world::{SOON, World};

/// An object's Ready condition, as status, reason and message, once `is_expected`.
async fn ready(world: &World, ns: &str, name: &str, what: &str, expected: [&str; 3]) {
    eventually(SOON, &format!("{name} says {what}"), || async {
        let object = world.get(&["imagerepository", name, "-n", ns]).await;
        let conditions = object["status"]["conditions"].as_array();
        let ready = conditions.and_then(|all| all.iter().find(|c| c["type"] == "Ready"));
        let ready = ready.cloned().unwrap_or_default();
        let [status, reason, message] = expected;
        let said = ready["message"].as_str().unwrap_or_default();
        if ready["status"] == status && ready["reason"] == reason && said.contains(message) {
            Ok(())
        } else {
            Err(ready.to_string())
        }
    })
    .await;
}

async fn create(world: &World, ns: &str, name: &str, image: &str, more: &str) {
    world
        .cluster
        .apply(&format!(
            "{{apiVersion: image.toolkit.fluxcd.io/v1, kind: ImageRepository, \
             metadata: {{name: {name}, namespace: {ns}}}, \
             spec: {{image: \"{image}\", interval: 1h{more}}}}}"
        ))
        .await;
}

async fn served_tags(world: &World, ns: &str, name: &str) -> Vec<String> {
    let selector = format!("repository={name}");
    let list = world
        .get(&["imagetags", "-n", ns, "--field-selector", &selector])
        .await;
    let items = list["items"].as_array().unwrap();
    let tag = |item: &Value| item["tag"].as_str().unwrap().to_owned();
    items.iter().map(tag).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_no_use_are_named_in_the_condition() {
    const FAILED: &str = "ReadOperationFailed";
    let world = World::shared().await;
    let ns = &world.cluster.namespace("hostile").await;
    // Who asks to be left alone is, for all its repositories.
    let (registry, crowded) = (Hostile::start().await, Hostile::start().await);
    let whole = |status, headers: &str, body: &str| {
        Answer::Whole(status, headers.to_owned(), body.to_owned())
    };
    let circle = "Content-Type: application/json\r\nLink: </v2/circle/tags/list?n=1&last=1.0.0>; rel=\"next\"\r\n";
    let rows = [
        (
            "html",
            whole(
                "200 OK",
                "Content-Type: text/html\r\n",
                "<!doctype html><html><body>Log in</body></html>",
            ),
            "answered with an HTML page to",
        ),
        (
            "endless",
            Answer::Endless,
            "exceeds 16777216 bytes, the limit",
        ),
        (
            "circle",
            whole(
                "200 OK",
                circle,
                "{\"name\":\"circle\",\"tags\":[\"1.0.0\"]}",
            ),
            "runs in a circle",
        ),
        (
            "cut",
            whole(
                "200 OK",
                "Content-Type: application/json\r\n",
                "{\"name\":\"cut\",\"tags\":[\"1.0.0\"",
            ),
            "the JSON ends too early",
        ),
    ];
    for (name, answer, _) in &rows {
        registry.answer(name, answer.clone());
        create(world, ns, name, &registry.image(name), "").await;
    }
    for (name, _, message) in rows {
        ready(world, ns, name, message, ["False", FAILED, message]).await;
        assert_eq!(served_tags(world, ns, name).await, [""; 0], "{name}");
    }

    let retry_after = "Retry-After: 120\r\n";
    let limited = whole("429 Too Many Requests", retry_after, "");
    crowded.answer("limited", limited);
    create(world, ns, "limited", &crowded.image("limited"), "").await;
    let message = "limits the rate of requests: it is left alone for 1";
    ready(world, ns, "limited", message, ["False", FAILED, message]).await;

    // In the midst of all this a good one is scanned.
    world
        .cluster
        .registry
        .push("hostile/good", &["1.0.0"])
        .await;
    world.scan(ns, "good", "hostile/good").await;
    assert_eq!(served_tags(world, ns, "good").await, ["1.0.0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_tag_is_left_out_and_what_is_said_twice_counts_once() {
    let world = World::shared().await;
    let ns = &world.cluster.namespace("odd").await;
    let registry = Hostile::start().await;
    let oversized = "x".repeat(300);
    registry.answer("long", Answer::tags(&["1.0.0", &oversized, "a b", "1.1.0"]));
    registry.answer("twice", Answer::tags(&["1.0.0", "1.1.0", "1.0.0", "1.1.0"]));
    for name in ["long", "twice"] {
        create(world, ns, name, &registry.image(name), "").await;
        let message = "successful scan: found 2 tags";
        ready(world, ns, name, message, ["True", "Succeeded", message]).await;
        assert_eq!(served_tags(world, ns, name).await, ["1.0.0", "1.1.0"]);
    }
    let log = world.program.log();
    assert!(
        log.contains("2 names are no tags and were left out"),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_another_type_is_named() {
    let world = World::shared().await;
    let ns = &world.cluster.namespace("opaque").await;
    world.cluster.registry.push("opaque/app", &["1.0.0"]).await;
    let secret = "{apiVersion: v1, kind: Secret, metadata: {name: pull}, type: Opaque, stringData: {token: s3cret-value}}";
    world
        .cluster
        .kubectl_with_input(&["apply", "-n", ns, "-f", "-"], secret)
        .await
        .ok();
    let image = world.cluster.registry.image("opaque/app");
    create(world, ns, "app", &image, ", secretRef: {name: pull}").await;
    let message = &format!("failed to configure authentication options: secret '{ns}/pull': ");
    let reason = "AuthenticationFailed";
    ready(world, ns, "app", message, ["False", reason, message]).await;
    let type_is_named = "Opaque";
    ready(world, ns, "app", "Opaque", ["False", reason, type_is_named]).await;
    let said = world.get(&["imagerepository", "app", "-n", ns]).await;
    assert!(
        !said["status"].to_string().contains("s3cret-value"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_good_tags_are_served_while_the_registry_is_ill() {
    let world = World::shared().await;
    let ns = &world.cluster.namespace("ill").await;
    let registry = Hostile::start().await;
    registry.answer("app", Answer::tags(&["1.0.0", "1.1.0"]));
    create(world, ns, "app", &registry.image("app"), "").await;
    world.wait_ready(ns, "imagerepository/app").await;
    world.create_policy(ns, "app", "app", "1.x").await;
    world.elects(ns, "app", "1.1.0").await;
    let before = world.get(&["imagetags", "-n", ns]).await;

    let ill = |status| Answer::Whole(status, String::new(), String::new());
    let symptoms = [
        ("500 Internal Server Error", "500 Internal Server Error"),
        // As if it had never heard of it.
        ("404 Not Found", "does not know"),
    ];
    for (status, message) in symptoms {
        registry.answer("app", ill(status));
        world.request_scan(ns, "app").await;
        let failed = ["False", "ReadOperationFailed", message];
        ready(world, ns, "app", message, failed).await;
        let after = world.get(&["imagetags", "-n", ns]).await;
        assert_eq!(after["items"], before["items"], "{status}");
        world.elects(ns, "app", "1.1.0").await;
    }

    registry.answer("app", Answer::tags(&["1.0.0", "1.2.0"]));
    world.request_scan(ns, "app").await;
    world.elects(ns, "app", "1.2.0").await;
    assert_eq!(served_tags(world, ns, "app").await, ["1.0.0", "1.2.0"]);
}
