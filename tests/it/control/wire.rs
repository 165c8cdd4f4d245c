//! The controllers over the program's own registry client and a registry with sockets.

use base64::Engine as _;
use serde_json::{Value, json};

use super::bench::{Bench, REPOSITORIES, condition};
use crate::fake_registry::{Auth, FakeRegistry, Route};

fn secret(name: &str, kind: &str, data: &[(&str, &str)]) -> Value {
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let data: serde_json::Map<_, _> = data
        .iter()
        .map(|(key, value)| ((*key).to_owned(), encode(value).into()))
        .collect();
    json!({ "metadata": { "name": name }, "type": kind, "data": data })
}

#[tokio::test]
async fn a_one_page_repository_costs_one_request_and_its_new_tags_are_elected() {
    let registry = FakeRegistry::start().await;
    registry.add_repository("team/app", ["1.0.0", "1.1.0"]);
    let bench = Bench::over_the_wire();
    let image = registry.image("team/app");
    bench.repository("app", json!({ "image": image, "insecure": true }));
    bench.policy("app", &json!({ "name": "app" }), "1.x");
    bench.repository_is("app", "True", "found 2 tags").await;
    bench
        .policy_is(
            "app",
            "True",
            &format!("Latest image tag for {image} resolved to 1.1.0"),
        )
        .await;
    registry.clear_requests();
    registry.push("team/app", "1.2.0");
    bench.kube.annotate(REPOSITORIES, "apps", "app", "now");
    bench.policy_is("app", "True", "resolved to 1.2.0").await;
    assert_eq!(registry.count(Route::List), 1);
    assert_eq!(registry.requests().len(), 1);
    assert_eq!(bench.elected("apps", "app"), ["1.2.0 by apps/app"]);
}

#[tokio::test]
async fn a_pull_secret_and_a_certificate_authority_open_a_registry() {
    let registry = FakeRegistry::start().await;
    registry.add_repository("team/app", ["1.0.0"]);
    registry.set_auth(Auth::Basic {
        username: "me".into(),
        password: "hunter2".into(),
    });
    let bench = Bench::over_the_wire();
    let spec = json!({ "image": registry.tls_image("team/app") });
    bench.repository("app", spec);
    let object = bench.repository_is("app", "False", "scan failed: ").await;
    let told = condition(&object, "Ready").unwrap()["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(told.contains("certificate"), "{told}");
    let ca = secret("ca", "Opaque", &[("ca.crt", registry.ca_pem())]);
    bench.kube.create("secrets", "apps", ca);
    let patch = json!({ "spec": { "certSecretRef": { "name": "ca" } } });
    bench.kube.edit(REPOSITORIES, "apps", "app", patch);
    bench
        .repository_is("app", "False", "asks for a credential")
        .await;
    let config =
        json!({ "auths": { registry.tls_host(): { "username": "me", "password": "hunter2" } } });
    let pull = secret(
        "pull",
        "kubernetes.io/dockerconfigjson",
        &[(".dockerconfigjson", &config.to_string())],
    );
    bench.kube.create("secrets", "apps", pull);
    let patch = json!({ "spec": { "secretRef": { "name": "pull" } } });
    bench.kube.edit(REPOSITORIES, "apps", "app", patch);
    let object = bench.repository_is("app", "True", "found 1 tags").await;
    assert!(!object.to_string().contains("hunter2"));
}

#[tokio::test]
async fn a_digest_is_asked_of_the_registry() {
    let registry = FakeRegistry::start().await;
    let digest = registry.push("team/app", "1.0.0");
    let bench = Bench::over_the_wire();
    bench.repository(
        "app",
        json!({ "image": registry.image("team/app"), "insecure": true }),
    );
    bench.policy("app", &json!({ "name": "app" }), "1.x");
    let patch = json!({ "spec": { "digestReflectionPolicy": "IfNotPresent" } });
    bench.kube.edit("imagepolicies", "apps", "app", patch);
    let object = bench.policy_is("app", "True", "with digest").await;
    assert_eq!(object["status"]["latestRef"]["digest"], digest);
}

#[tokio::test]
async fn a_registry_that_does_not_know_the_image_is_told_as_it_is() {
    let registry = FakeRegistry::start().await;
    let bench = Bench::over_the_wire();
    bench.repository(
        "app",
        json!({ "image": registry.image("team/none"), "insecure": true }),
    );
    let object = bench.repository_is("app", "False", "does not know").await;
    assert_eq!(
        condition(&object, "Ready").unwrap()["reason"],
        "ReadOperationFailed"
    );
    assert!(bench.tags("app").is_none());
}
