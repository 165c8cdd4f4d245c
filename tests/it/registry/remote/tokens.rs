//! What token servers answer: documents in every shape, and clocks that nobody should believe.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};
use tagscope::clock::HandClock;
use tagscope::registry::remote::{Intent, Remote};
use tagscope::registry::{Client, Kind, Settings};

use super::{bearer, manifest, me, quick, remote_as, repository, tag};
use crate::fake_registry::{Auth, FakeRegistry, Fault, Nth, Route};
use crate::registry::with_tags;

const SCOPE: &str = "repository:team/app:pull,push";

/// A registry, where its token server is, and a token that it gave to somebody else.
async fn with_token() -> (FakeRegistry, String, String) {
    let registry = with_tags(&["1"]).await;
    registry.set_auth(bearer());
    let remote = remote_as(&registry, me(), Intent::Read);
    remote.head(&tag("1")).await.unwrap();
    let requests = registry.requests();
    let mut requests = requests.iter();
    let server = requests.find(|request| request.route == Route::Token);
    let realm = format!("http://{}/token", server.unwrap().host);
    let asked = format!("{realm}?service=fake&scope={SCOPE}");
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.get(asked).basic_auth("me", Some("hunter2")).send();
    let answer = answer.await.unwrap().text().await.unwrap();
    let document: Value = serde_json::from_str(&answer).unwrap();
    let token = document["token"].as_str().unwrap().to_owned();
    registry.clear_requests();
    (registry, realm, token)
}

async fn works(remote: &Remote) {
    for number in 0..3 {
        assert!(remote.head(&tag("1")).await.unwrap().is_some());
        let one = manifest(number);
        remote.put_manifest(&tag("2"), &one).await.unwrap();
    }
}

#[tokio::test]
async fn fault_32_dates_and_lifetimes_of_token_servers_change_nothing() {
    let (registry, _, token) = with_token().await;
    let with = |field: &str, value: Value| {
        let mut document = json!({"token": token});
        document[field] = value;
        document
    };
    for document in [
        with("issued_at", json!("1970-01-01T00:00:00Z")),
        with("issued_at", json!("2999-01-01T00:00:00Z")),
        with("issued_at", json!("yesterday")),
        with("issued_at", json!(-1)),
        with("expires_in", Value::Null),
        with("expires_in", json!(0)),
        with("expires_in", json!(-300)),
        with("expires_in", json!(1e300)),
        with("expires_in", json!(u64::MAX)),
        with("expires_in", json!("300")),
        with("expires_in", json!([])),
        json!({"token": token}),
        json!({"token": token, "expires_in": 300, "issued_at": "1970-01-01T00:00:00Z"}),
    ] {
        registry.clear_requests();
        registry.fail_next_token(Fault::Json(document.to_string()));
        works(&remote_as(&registry, me(), Intent::Write)).await;
        // One that is stated to live for no time at all is used for half a minute.
        assert_eq!(registry.count(Route::Token), 1, "{document}");
    }
}

#[tokio::test]
async fn fault_32_a_clock_that_steps_back_takes_no_token_away() {
    let registry = with_tags(&["1"]).await;
    registry.set_auth(bearer());
    let clock = Arc::new(HandClock::at("2030-01-01T00:00:00Z".parse().unwrap()));
    let client = Client::new(Settings {
        clock: Arc::<HandClock>::clone(&clock),
        ..quick()
    });
    let image = repository(&registry.image("team/app"));
    let remote = client.remote(image, me(), Intent::Write);
    works(&remote).await;
    clock.advance(SignedDuration::from_hours(-24 * 365));
    works(&remote).await;
    assert_eq!(registry.count(Route::Token), 1);
}

#[tokio::test]
async fn fault_33_a_token_is_read_in_either_spelling_and_an_empty_one_is_none() {
    let (registry, _, token) = with_token().await;
    for document in [
        json!({"access_token": token}),
        json!({"token": "", "access_token": token}),
        json!({"token": null, "access_token": token, "expires_in": 300}),
        json!({"token": token, "access_token": ""}),
    ] {
        registry.clear_requests();
        registry.fail_next_token(Fault::Json(document.to_string()));
        works(&remote_as(&registry, me(), Intent::Write)).await;
        assert_eq!(registry.count(Route::Token), 1, "{document}");
    }
    for document in [
        json!({"token": ""}),
        json!({"token": "", "access_token": ""}),
    ] {
        registry.clear_requests();
        registry.fail_next_token(Fault::Json(document.to_string()));
        let remote = remote_as(&registry, me(), Intent::Read);
        let error = remote.head(&tag("1")).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Protocol, "{error}");
        assert!(error.to_string().contains("missing or empty"), "{error}");
        assert_eq!(registry.count(Route::Token), 1, "asked for once");
    }
}

#[tokio::test]
async fn fault_33_of_several_challenges_the_one_that_can_be_answered_is() {
    let (registry, realm, _) = with_token().await;
    let bearer = format!("Bearer realm=\"{realm}\",service=\"fake\"");
    let full = format!("{bearer},scope=\"{SCOPE}\"");
    for challenge in [
        format!("Basic realm=\"x\", {full}"),
        format!("{full}, Basic realm=\"x\""),
        format!("Negotiate, {full}"),
        format!("Bearer realm=\"file:///etc/passwd\", {full}"),
        // Without a scope: we know what we want.
        bearer,
    ] {
        registry.clear_requests();
        let early = Fault::Challenge(Some(challenge.clone()));
        registry.on(None, "/manifests/", Nth::First(1), early);
        let remote = remote_as(&registry, me(), Intent::Write);
        works(&remote).await;
        assert_eq!(registry.count(Route::Token), 1, "{challenge}");
        registry.heal();
    }
}

#[tokio::test]
async fn fault_33_where_there_is_no_token_server_the_password_itself_is_sent() {
    let registry = with_tags(&["1"]).await;
    registry.set_auth(Auth::Basic {
        username: "me".into(),
        password: "hunter2".into(),
    });
    works(&remote_as(&registry, me(), Intent::Write)).await;
    let refused = registry.count_where(|request| request.status == 401);
    assert_eq!((refused, registry.count(Route::Token)), (1, 0));
}

#[tokio::test]
async fn fault_33_a_token_that_ends_before_it_says_is_replaced() {
    let registry = with_tags(&["1"]).await;
    registry.set_auth(bearer());
    registry.configure(|options| {
        options.token_lifetime = Duration::from_millis(300);
        options.token_says = Some(3600);
    });
    let remote = remote_as(&registry, me(), Intent::Write);
    works(&remote).await;
    tokio::time::timeout(Duration::from_secs(5), async {
        while registry.count(Route::Token) < 3 {
            works(&remote).await;
        }
    })
    .await
    .expect("tokens are replaced as they end");
}
