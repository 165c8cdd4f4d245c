//! Rights: the scopes that are asked for, tokens that end, and credentials that stay where they belong.

use std::time::Duration;

use futures::future::join_all;
use http::Method;
use tagscope::registry::remote::Intent;
use tagscope::registry::{Access, Error, Kind};
use tagscope::secret::Credential;

use super::{bearer, manifest, me, remote_as, tag};
use crate::fake_registry::{Auth, FakeRegistry, Fault, Nth, Route};
use crate::registry::with_tags;

async fn guarded() -> FakeRegistry {
    let registry = with_tags(&["1"]).await;
    registry.set_auth(bearer());
    registry
}

/// The scopes that tokens were asked for.
pub(super) fn scopes(registry: &FakeRegistry) -> Vec<String> {
    let requests = registry.requests();
    let tokens = requests
        .iter()
        .filter(|request| request.route == Route::Token);
    tokens
        .flat_map(|token| {
            url::form_urlencoded::parse(token.query.as_bytes())
                .filter(|(name, _)| name == "scope")
                .map(|(_, scope)| scope.into_owned())
                .collect::<Vec<_>>()
        })
        .collect()
}

#[tokio::test]
async fn each_intent_asks_for_its_rights_once() {
    for (intent, scope) in [
        (Intent::Read, "repository:team/app:pull"),
        (Intent::Write, "repository:team/app:pull,push"),
        (Intent::Delete, "repository:team/app:pull,push,delete"),
    ] {
        let registry = guarded().await;
        let remote = remote_as(&registry, me(), intent);
        remote.head(&tag("1")).await.unwrap();
        remote.tags().await.unwrap();
        if intent != Intent::Read {
            remote.put_manifest(&tag("2"), &manifest(1)).await.unwrap();
        }
        if intent == Intent::Delete {
            let tag = "2".parse().unwrap();
            remote.delete_tag(&tag, &manifest(1).digest).await.unwrap();
        }
        assert_eq!(scopes(&registry), [scope]);
    }
}

#[tokio::test]
async fn twenty_cold_requests_fetch_one_token_and_send_no_ping() {
    let registry = guarded().await;
    let remote = remote_as(&registry, me(), Intent::Read);
    let named = tag("1");
    let all = join_all((0..20).map(|_| remote.head(&named))).await;
    assert!(all.into_iter().all(|head| head.unwrap().is_some()));
    assert_eq!(
        (registry.count(Route::Token), registry.count(Route::Ping)),
        (1, 0)
    );
}

#[tokio::test]
async fn a_server_that_names_another_scope_is_asked_for_that_once() {
    let registry = guarded().await;
    let remote = remote_as(&registry, me(), Intent::Delete);
    let one = remote.head(&tag("1")).await.unwrap().unwrap().digest;
    let token_server = registry
        .requests()
        .iter()
        .find(|request| request.route == Route::Token)
        .unwrap()
        .host
        .clone();
    let challenge = format!(
        "Bearer realm=\"http://{token_server}/token\",service=\"fake\",scope=\"repository:team/app:*\",error=\"insufficient_scope\""
    );
    // The token is thrown away first, as nobody knows why it is refused.
    registry.on(
        Method::DELETE,
        "/manifests/",
        Nth::First(2),
        Fault::Challenge(Some(challenge)),
    );
    let tag = "1".parse().unwrap();
    remote.delete_tag(&tag, &one).await.unwrap();
    assert_eq!(scopes(&registry).last().unwrap(), "repository:team/app:*");
    assert_eq!(registry.count_of(&Method::DELETE, Route::Manifest), 3);
}

#[tokio::test]
async fn fault_33_a_token_that_lives_for_seconds_is_renewed() {
    let registry = guarded().await;
    registry.configure(|options| options.token_lifetime = Duration::from_secs(1));
    let remote = remote_as(&registry, me(), Intent::Write);
    let begin = tokio::time::Instant::now();
    let mut written = 0;
    while begin.elapsed() < Duration::from_millis(2500) {
        remote
            .put_manifest(&tag("1"), &manifest(written))
            .await
            .unwrap();
        written += 1;
    }
    let refused = registry.count_where(|request| request.status == 401);
    assert!(refused <= 2, "renewed before it is refused: {refused}");
    assert!(registry.count(Route::Token) >= 3);
}

#[tokio::test]
async fn fault_32_what_a_token_server_says_of_time_is_not_believed() {
    for says in [0, -5, 1 << 60] {
        let registry = guarded().await;
        registry.configure(|options| options.token_says = Some(says));
        let remote = remote_as(&registry, me(), Intent::Read);
        for _ in 0..3 {
            remote.head(&tag("1")).await.unwrap();
        }
        assert_eq!(registry.count(Route::Token), 1, "{says}");
    }
}

#[tokio::test]
async fn fault_33_a_token_of_fewer_rights_is_told_as_what_is_missing() {
    let registry = guarded().await;
    registry.configure(|options| options.token_grants = Some(vec!["pull"]));
    let remote = remote_as(&registry, me(), Intent::Write);
    let error = remote
        .put_manifest(&tag("2"), &manifest(1))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Forbidden);
    assert!(
        error
            .to_string()
            .contains("denies access to team/app: the credential lacks the right to push"),
        "{error}"
    );
}

#[tokio::test]
async fn without_a_credential_a_write_is_told_as_one() {
    let registry = guarded().await;
    let remote = remote_as(&registry, Access::default(), Intent::Write);
    let error = remote
        .put_manifest(&tag("2"), &manifest(1))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Authentication);
    assert!(
        matches!(&error, Error::CredentialMissing { right: "push", .. }),
        "{error}"
    );
}

#[tokio::test]
async fn of_several_credentials_the_one_that_works_is_used_from_then_on() {
    let registry = guarded().await;
    let credentials = ["wrong", "hunter2"].map(|password| Credential::Basic {
        username: "me".into(),
        password: password.into(),
    });
    let access = Access::default().with_credentials(credentials);
    let remote = remote_as(&registry, access, Intent::Write);
    remote.put_manifest(&tag("2"), &manifest(1)).await.unwrap();
    let before = registry.requests().len();
    remote.put_manifest(&tag("3"), &manifest(2)).await.unwrap();
    assert_eq!(registry.requests().len(), before + 1);
}

#[tokio::test]
async fn fault_12_a_token_server_that_wants_to_be_left_alone_is_waited_for() {
    let registry = guarded().await;
    registry.fail_next_token(Fault::RateLimited(Some("1".into())));
    let remote = remote_as(&registry, me(), Intent::Read);
    assert!(remote.head(&tag("1")).await.unwrap().is_some());
    assert_eq!(registry.count(Route::Token), 2);
}

#[tokio::test]
async fn fault_37_a_token_server_inside_is_not_asked() {
    let registry = guarded().await;
    let remote = remote_as(&registry, me(), Intent::Write);
    for realm in [
        "http://169.254.169.254/token",
        "file:///etc/passwd",
        "http://evil.example/token",
    ] {
        registry.fail_next(Fault::Challenge(Some(format!(
            "Bearer realm=\"{realm}\",service=\"fake\""
        ))));
        let error = remote
            .put_manifest(&tag("2"), &manifest(1))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), Kind::Unsafe, "{realm}: {error}");
    }
    assert!(registry.tag_digest("team/app", "2").is_none());
}

#[tokio::test]
async fn fault_39_a_credential_stays_on_its_side() {
    let source = guarded().await;
    let destination = with_tags(&[]).await;
    destination.set_auth(Auth::Basic {
        username: "robot".into(),
        password: "swordfish".into(),
    });
    let client = tagscope::registry::Client::new(super::quick());
    let from = client.remote(
        super::repository(&source.image("team/app")),
        me(),
        Intent::Read,
    );
    let robot = super::basic("robot", "swordfish");
    let to = client.remote(
        super::repository(&destination.image("team/app")),
        robot,
        Intent::Write,
    );
    let read = from.manifest(&tag("1")).await.unwrap().unwrap();
    to.put_manifest(&tag("1"), &read).await.unwrap();
    assert!(!destination.saw("hunter2") && !destination.saw("token-number"));
    assert!(!source.saw("swordfish") && source.saw("hunter2"));
    assert_eq!(
        destination.tag_digest("team/app", "1"),
        Some(read.digest.to_string())
    );
}
