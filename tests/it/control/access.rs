//! Secrets, ServiceAccounts, certificates and proxies, from the spec to the registry, and back when they change.

use std::time::Duration;

use base64::Engine as _;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tagscope::control::{Limits, Settings};

use super::bench::{Bench, IMAGE, POLICIES, REPOSITORIES, condition};
use crate::fake_proxy::{FakeProxy, Mood};
use crate::fake_registry::{Auth, FakeRegistry};

fn secret(name: &str, kind: &str, data: &[(&str, &str)]) -> Value {
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let data: serde_json::Map<_, _> = data
        .iter()
        .map(|(key, value)| ((*key).to_owned(), encode(value).into()))
        .collect();
    json!({ "metadata": { "name": name }, "type": kind, "data": data })
}

pub(super) fn pull_secret(name: &str, host: &str, username: &str) -> Value {
    let config = json!({ "auths": { host: { "username": username, "password": "hunter2" } } });
    secret(
        name,
        "kubernetes.io/dockerconfigjson",
        &[(".dockerconfigjson", &config.to_string())],
    )
}

/// Objects that fail look again in an hour, unless somebody wakes them.
fn patient() -> Settings {
    let hour = Duration::from_hours(1);
    Settings {
        retry: Limits {
            min: hour,
            max: hour,
        },
        requeue_dependency: hour,
        ..Settings::default()
    }
}

fn bench_with(settings: Settings) -> Bench {
    let bench = Bench::with(settings);
    bench.images.push(IMAGE, &["1.0.0"]);
    bench
}

fn reason(object: &Value, type_: &str) -> String {
    let reason = &condition(object, type_).expect("the condition")["reason"];
    reason.as_str().expect("a reason").to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_appears_or_is_mended_is_noticed_at_once() {
    let bench = bench_with(patient());
    bench.repository("app", json!({ "secretRef": { "name": "pull" } }));
    bench.repository("other", json!({ "secretRef": { "name": "other" } }));
    let missing = "failed to configure authentication options: secrets \"pull\" not found";
    bench.repository_is("app", "False", missing).await;
    bench.repository_is("other", "False", "not found").await;
    let begin = tokio::time::Instant::now();
    let wrong = secret("pull", "Opaque", &[("token", "hunter2")]);
    bench.kube.create("secrets", "apps", wrong);
    let object = bench
        .repository_is("app", "False", "the Secret is of type \"Opaque\"")
        .await;
    assert_eq!(reason(&object, "Ready"), "AuthenticationFailed");
    bench.kube.delete("secrets", "apps", "pull");
    let good = pull_secret("pull", "registry.test", "me");
    bench.kube.create("secrets", "apps", good);
    let object = bench.repository_is("app", "True", "found 1 tags").await;
    assert!(
        begin.elapsed() < Duration::from_secs(1),
        "{:?}",
        begin.elapsed()
    );
    assert!(!object.to_string().contains("hunter2"));
    bench.pass(Duration::from_mins(5)).await;
    bench.repository_is("other", "False", "not found").await;
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_changes_wakes_nobody_who_is_well() {
    let bench = bench_with(patient());
    bench.kube.create(
        "secrets",
        "apps",
        pull_secret("pull", "registry.test", "me"),
    );
    bench.repository(
        "app",
        json!({ "secretRef": { "name": "pull" }, "interval": "12h" }),
    );
    bench.repository_is("app", "True", "found 1 tags").await;
    bench.settle().await;
    bench.images.take_lists();
    bench.take_writes();
    let label = json!({ "metadata": { "labels": { "rotated": "yes" } } });
    bench.kube.edit("secrets", "apps", "pull", label);
    // A list that is told anew wakes nobody either.
    bench.kube.restart();
    bench.pass(Duration::from_mins(10)).await;
    assert!(bench.images.take_lists().is_empty());
    assert!(bench.take_writes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn without_the_right_to_watch_secrets_everything_else_goes_on() {
    let settings = Settings {
        requeue_dependency: Duration::from_secs(30),
        ..Settings::default()
    };
    let kube = super::fake_kube::FakeKube::new();
    kube.refuse(Method::GET, "/secrets", StatusCode::FORBIDDEN);
    let (clock, images) = (
        super::bench::clock(),
        super::fake_images::FakeImages::default(),
    );
    images.push(IMAGE, &["1.0.0"]);
    let store = tagscope::store::Store::in_memory(clock.clone());
    let bench = Bench::on(kube, images, store, clock, settings);
    bench.repository("app", json!({ "secretRef": { "name": "pull" } }));
    bench.repository_is("app", "False", "not found").await;
    bench.pass(Duration::from_mins(5)).await;
    bench.kube.create(
        "secrets",
        "apps",
        pull_secret("pull", "registry.test", "me"),
    );
    let begin = tokio::time::Instant::now();
    bench.repository_is("app", "True", "found 1 tags").await;
    assert!(begin.elapsed() <= Duration::from_secs(30));
    let lists = bench.kube.take_asked();
    let lists = lists.iter().filter(|one| one.path.ends_with("/secrets"));
    assert_eq!(lists.count(), 1, "it is not tried over and over");
}

#[tokio::test(start_paused = true)]
async fn a_policy_whose_digest_failed_for_a_secret_is_woken_with_it() {
    let bench = bench_with(patient());
    bench.repository("app", json!({ "interval": "12h" }));
    bench.repository_is("app", "True", "found 1 tags").await;
    let reference = json!({ "spec": { "secretRef": { "name": "pull" } } });
    bench.kube.edit(REPOSITORIES, "apps", "app", reference);
    bench.repository_is("app", "False", "not found").await;
    bench.kube.create(
        POLICIES,
        "apps",
        json!({
            "apiVersion": "image.toolkit.fluxcd.io/v1", "kind": "ImagePolicy",
            "metadata": { "name": "app" },
            "spec": {
                "imageRepositoryRef": { "name": "app" }, "digestReflectionPolicy": "IfNotPresent",
                "policy": { "semver": { "range": "*" } },
            },
        }),
    );
    bench
        .policy_is("app", "False", "secrets \"pull\" not found")
        .await;
    let begin = tokio::time::Instant::now();
    bench.kube.create(
        "secrets",
        "apps",
        pull_secret("pull", "registry.test", "me"),
    );
    bench.policy_is("app", "True", "with digest").await;
    assert!(
        begin.elapsed() < Duration::from_secs(1),
        "{:?}",
        begin.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_service_account_lends_its_pull_secrets() {
    let bench = bench_with(patient());
    bench.repository("app", json!({ "serviceAccountName": "puller" }));
    let object = bench
        .repository_is(
            "app",
            "False",
            "failed to configure authentication options: serviceaccounts \"puller\" not found",
        )
        .await;
    assert_eq!(reason(&object, "Ready"), "AuthenticationFailed");
    bench.kube.create(
        "serviceaccounts",
        "apps",
        json!({
            "metadata": { "name": "puller" },
            "imagePullSecrets": [{ "name": "first" }, { "name": "second" }],
        }),
    );
    bench.kube.create(
        "secrets",
        "apps",
        pull_secret("first", "elsewhere.test", "you"),
    );
    bench.kube.annotate(REPOSITORIES, "apps", "app", "now");
    let told = "image pull secret of service account 'apps/puller': secrets \"second\" not found";
    bench.repository_is("app", "False", told).await;
    let begin = tokio::time::Instant::now();
    bench.kube.create(
        "secrets",
        "apps",
        pull_secret("second", "registry.test", "me"),
    );
    bench.repository_is("app", "True", "found 1 tags").await;
    assert!(
        begin.elapsed() < Duration::from_secs(1),
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(bench.images.take_lists()[0].user.as_deref(), Some("me"));
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_is_not_supported_ends_the_wait() {
    let bench = bench_with(patient());
    bench.repository("app", json!({ "provider": "aws" }));
    let object = bench
        .repository_is("app", "False", "provider 'aws' is not supported yet: ")
        .await;
    assert_eq!(reason(&object, "Ready"), "AuthenticationFailed");
    assert_eq!(reason(&object, "Stalled"), "AuthenticationFailed");
    assert_eq!(object["status"]["observedGeneration"], 1);
    assert!(bench.images.take_lists().is_empty());
    bench.kube.create(
        "secrets",
        "apps",
        pull_secret("pull", "registry.test", "me"),
    );
    let patch = json!({ "spec": { "secretRef": { "name": "pull" } } });
    bench.kube.edit(REPOSITORIES, "apps", "app", patch);
    let object = bench.repository_is("app", "True", "found 1 tags").await;
    assert!(condition(&object, "Stalled").is_none());
}

#[tokio::test]
async fn both_kinds_of_pull_secrets_are_tried_the_named_one_first() {
    let registry = FakeRegistry::start().await;
    registry.add_repository("team/app", ["1.0.0"]);
    registry.set_auth(Auth::Basic {
        username: "me".into(),
        password: "hunter2".into(),
    });
    let bench = Bench::over_the_wire();
    let host = registry.plain_host();
    bench
        .kube
        .create("secrets", "apps", pull_secret("wrong", &host, "you"));
    let old = json!({ &host: { "username": "me", "password": "hunter2" } }).to_string();
    let old = secret("old", "kubernetes.io/dockercfg", &[(".dockercfg", &old)]);
    bench.kube.create("secrets", "apps", old);
    bench.kube.create(
        "serviceaccounts",
        "apps",
        json!({ "metadata": { "name": "puller" }, "imagePullSecrets": [{ "name": "old" }] }),
    );
    let image = registry.image("team/app");
    bench.repository(
        "named",
        json!({ "image": image, "secretRef": { "name": "wrong" } }),
    );
    let object = bench
        .repository_is("named", "False", "refused the credential")
        .await;
    assert!(!object.to_string().contains("hunter2"));
    bench.repository(
        "both",
        json!({ "image": image, "secretRef": { "name": "wrong" }, "serviceAccountName": "puller" }),
    );
    bench.repository_is("both", "True", "found 1 tags").await;
}

#[tokio::test]
async fn one_secret_may_hold_credential_certificates_and_proxy() {
    let registry = FakeRegistry::start().await;
    registry.add_repository("team/app", ["1.0.0"]);
    registry.set_auth(Auth::Basic {
        username: "me".into(),
        password: "hunter2".into(),
    });
    let proxy = FakeProxy::start(Mood::Asks("guest", "let me")).await;
    let host = registry.tls_host();
    let config = json!({ "auths": { host: { "username": "me", "password": "hunter2" } } });
    let bench = Bench::over_the_wire();
    let all = secret(
        "all",
        "kubernetes.io/dockerconfigjson",
        &[
            (".dockerconfigjson", &config.to_string()),
            ("caFile", registry.ca_pem()),
            ("address", &proxy.address()),
            ("username", "guest"),
            ("password", "let me"),
        ],
    );
    bench.kube.create("secrets", "apps", all);
    let all = json!({ "name": "all" });
    bench.repository(
        "app",
        json!({
            "image": registry.tls_image("team/app"),
            "secretRef": all, "certSecretRef": all, "proxySecretRef": all,
        }),
    );
    bench.repository_is("app", "True", "found 1 tags").await;
    assert!(proxy.asked()[0].starts_with("CONNECT "));
    let gets = bench.kube.take_asked();
    let gets = gets.iter().filter(|one| one.path.ends_with("/secrets/all"));
    assert_eq!(gets.count(), 1, "it is read once");
}

#[tokio::test]
async fn wrong_certificates_and_proxies_are_told_by_their_secret() {
    let bench = Bench::over_the_wire();
    let silent = FakeProxy::start(Mood::Refuses).await;
    for (name, field, data, told) in [
        (
            "ca",
            "certSecretRef",
            &[("ca.crt", "hunter2")][..],
            "secret 'apps/ca': 'ca.crt' holds no PEM certificate",
        ),
        (
            "half",
            "certSecretRef",
            &[("tls.crt", "hunter2")],
            "secret 'apps/half': it has 'tls.crt', but no 'tls.key'",
        ),
        (
            "proxy",
            "proxySecretRef",
            &[("address", "hunter2:3128")],
            "secret 'apps/proxy': the proxy's address is not an http or https URL",
        ),
        (
            "refusing",
            "proxySecretRef",
            &[("address", &*silent.address())],
            "did not connect to it",
        ),
    ] {
        bench
            .kube
            .create("secrets", "apps", secret(name, "Opaque", data));
        bench.repository(
            name,
            json!({ "image": "registry.proxied.test/o/app", field: { "name": name } }),
        );
        let object = bench.repository_is(name, "False", told).await;
        assert!(
            !object["status"].to_string().contains("hunter2"),
            "{object}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_stays_away_is_looked_for_ever_more_seldom_where_its_coming_is_heard_of() {
    let bench = bench_with(Settings::default());
    bench.repository("app", json!({ "secretRef": { "name": "pull" } }));
    bench.repository_is("app", "False", "not found").await;
    bench.pass(Duration::from_mins(30)).await;
    bench.kube.take_asked();
    bench.pass(Duration::from_hours(1)).await;
    let asked = bench.kube.take_asked();
    let reads = asked
        .iter()
        .filter(|one| one.path.ends_with("/secrets/pull"));
    assert_eq!(reads.count(), 4, "every quarter of an hour");
    let good = pull_secret("pull", "registry.test", "me");
    bench.kube.create("secrets", "apps", good);
    bench.settle().await;
    bench.repository_is("app", "True", "found 1 tags").await;
}
