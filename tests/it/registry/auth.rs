//! Challenges, tokens, and where credentials do not go.

use std::time::Duration;

use futures::future::join_all;
use tagscope::registry::{Access, Kind};
use tagscope::secret::Credential;

use super::{anonymous_bearer, basic, bearer, client, list, texts, trusting, with_tags};
use crate::fake_registry::{Auth, FakeRegistry, Fault, Listener, Route, Sent};

fn basic_auth() -> Auth {
    Auth::Basic {
        username: "me".into(),
        password: "hunter2".into(),
    }
}

fn sent(registry: &FakeRegistry) -> Vec<(Route, Sent)> {
    registry
        .requests()
        .iter()
        .map(|request| (request.route, request.sent))
        .collect()
}

#[tokio::test]
async fn basic_is_answered_once_asked_and_then_sent_at_once() {
    let registry = with_tags(&["1"]).await;
    registry.set_auth(basic_auth());
    let client = client();
    for _ in 0..2 {
        list(
            &client,
            &registry.image("team/app"),
            &basic("me", "hunter2"),
        )
        .await
        .unwrap();
    }
    assert_eq!(
        sent(&registry),
        [
            (Route::List, Sent::Nothing),
            (Route::List, Sent::Basic),
            (Route::List, Sent::Basic)
        ]
    );
}

#[tokio::test]
async fn a_token_is_fetched_once_and_then_sent_at_once() {
    let registry = with_tags(&["1"]).await;
    registry.add_repository("team/other", ["1"]);
    for (auth, access, to_token_server) in [
        (bearer(), basic("me", "hunter2"), Sent::Basic),
        (anonymous_bearer(), Access::default(), Sent::Nothing),
    ] {
        registry.set_auth(auth);
        registry.clear_requests();
        let client = client();
        for _ in 0..2 {
            list(&client, &registry.image("team/app"), &access)
                .await
                .unwrap();
        }
        // The host is known: no challenge, but a token of its own for another repository.
        list(&client, &registry.image("team/other"), &access)
            .await
            .unwrap();
        assert_eq!(
            sent(&registry),
            [
                (Route::List, Sent::Nothing),
                (Route::Token, to_token_server),
                (Route::List, Sent::Bearer),
                (Route::List, Sent::Bearer),
                (Route::Token, to_token_server),
                (Route::List, Sent::Bearer),
            ]
        );
        let token = &registry.requests()[1];
        assert!(
            token
                .query
                .contains("service=fake&scope=repository%3Ateam%2Fapp%3Apull&client_id=tagscope"),
            "{token:?}"
        );
    }
}

#[tokio::test]
async fn twenty_cold_requests_share_one_token() {
    let registry = with_tags(&["1"]).await;
    registry.set_auth(bearer());
    let client = client();
    let (image, access) = (registry.image("team/app"), basic("me", "hunter2"));
    let results = join_all((0..20).map(|_| list(&client, &image, &access))).await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(registry.count(Route::Token), 1);
}

#[tokio::test]
async fn tokens_are_not_shared_between_credentials() {
    let registry = with_tags(&["1"]).await;
    registry.set_auth(anonymous_bearer());
    let client = client();
    let image = registry.image("team/app");
    list(&client, &image, &basic("me", "hunter2"))
        .await
        .unwrap();
    list(&client, &image, &Access::default()).await.unwrap();
    list(&client, &image, &basic("me", "wrong"))
        .await
        .unwrap_err();
    assert_eq!(registry.count(Route::Token), 3);
}

#[tokio::test]
async fn a_void_token_is_replaced_once() {
    let registry = with_tags(&["1"]).await;
    registry.set_auth(bearer());
    let client = client();
    let (image, access) = (registry.image("team/app"), basic("me", "hunter2"));
    list(&client, &image, &access).await.unwrap();
    registry.revoke_tokens();
    registry.clear_requests();
    list(&client, &image, &access).await.unwrap();
    assert_eq!(
        sent(&registry),
        [
            (Route::List, Sent::Bearer),
            (Route::Token, Sent::Basic),
            (Route::List, Sent::Bearer)
        ]
    );
}

#[tokio::test]
async fn an_identity_token_is_exchanged_by_post() {
    let registry = with_tags(&["1"]).await;
    registry.set_auth(Auth::Bearer {
        username: "me".into(),
        password: "hunter2".into(),
        identity_token: Some("long-lived".into()),
        anonymous: false,
    });
    let access = |token: &str| Access {
        credential: Some(Credential::IdentityToken(token.into())),
        ..Access::default()
    };
    list(
        &client(),
        &registry.image("team/app"),
        &access("long-lived"),
    )
    .await
    .unwrap();
    let token = registry
        .requests()
        .into_iter()
        .find(|request| request.route == Route::Token)
        .unwrap();
    assert_eq!(
        (token.method.as_str(), token.query.as_str(), token.sent),
        ("POST", "", Sent::Nothing)
    );
    let error = list(&client(), &registry.image("team/app"), &access("forged"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Authentication);

    registry.fail_next_token(Fault::Status(405));
    let error = list(
        &client(),
        &registry.image("team/app"),
        &access("long-lived"),
    )
    .await
    .unwrap_err();
    assert!(
        error.to_string().ends_with(
            "answered 405 Method Not Allowed: it does not take identity tokens (OAuth2)"
        ),
        "{error}"
    );

    registry.set_auth(basic_auth());
    let error = list(
        &client(),
        &registry.image("team/app"),
        &access("long-lived"),
    )
    .await
    .unwrap_err();
    let host = registry.plain_host();
    assert_eq!(
        error.to_string(),
        format!("{host} asks for Basic authentication, which an identity token cannot answer")
    );
}

#[tokio::test]
async fn a_registry_token_is_sent_as_it_is() {
    let registry = with_tags(&["1"]).await;
    registry.set_auth(anonymous_bearer());
    let given = Access {
        credential: Some(Credential::RegistryToken("given-token".into())),
        ..Access::default()
    };
    let error = list(&client(), &registry.image("team/app"), &given)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Authentication);
    assert_eq!(
        sent(&registry),
        [(Route::List, Sent::Nothing), (Route::List, Sent::Bearer)]
    );
}

#[tokio::test]
async fn a_missing_and_a_wrong_credential_are_told_apart() {
    let registry = with_tags(&["1"]).await;
    let (image, host) = (registry.image("team/app"), registry.plain_host());
    registry.set_auth(basic_auth());
    let missing = list(&client(), &image, &Access::default())
        .await
        .unwrap_err();
    assert_eq!(
        missing.to_string(),
        format!(
            "{host} asks for a credential to read team/app, and none matches it: name a Secret that has one; UNAUTHORIZED: authentication required"
        )
    );
    registry.clear_requests();
    let wrong = list(&client(), &image, &basic("me", "wrong"))
        .await
        .unwrap_err();
    assert_eq!(
        wrong.to_string(),
        format!(
            "{host} refused the credential for team/app: check user name and password in the Secret; UNAUTHORIZED: authentication required"
        )
    );
    // A refused credential is not followed by an anonymous try, nor by another of the same.
    assert_eq!(
        sent(&registry),
        [(Route::List, Sent::Nothing), (Route::List, Sent::Basic)]
    );
    registry.set_auth(bearer());
    for access in [Access::default(), basic("me", "wrong")] {
        registry.clear_requests();
        let error = list(&client(), &image, &access).await.unwrap_err();
        assert_eq!(
            (
                error.kind(),
                registry.count(Route::Token),
                registry.count(Route::List)
            ),
            (Kind::Authentication, 1, 1)
        );
    }
    registry.set_auth(Auth::Open);
    registry.fail_next(Fault::Status(403));
    let error = list(&client(), &image, &Access::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Forbidden);
}

#[tokio::test]
async fn a_token_that_is_never_good_enough_ends_the_matter() {
    let registry = with_tags(&["1"]).await;
    registry.set_auth(anonymous_bearer());
    registry.fail_next_token(Fault::Json(r#"{"token":"unknown"}"#.into()));
    registry.fail_next_token(Fault::Json(r#"{"token":"unknown"}"#.into()));
    let error = list(&client(), &registry.image("team/app"), &Access::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Authentication);
    assert_eq!(
        (registry.count(Route::List), registry.count(Route::Token)),
        (2, 1)
    );
}

#[tokio::test]
async fn a_token_is_asked_for_again_with_the_scope_that_the_registry_names() {
    let registry = with_tags(&["1"]).await;
    let token_server = token_realm(&registry).await;
    registry.set_auth(anonymous_bearer());
    // Two challenges of the registry's own making: the usual scope is not enough.
    let challenge = format!(
        "Bearer realm=\"{token_server}\",service=\"fake\",scope=\"repository:team/app:pull,metadata_read\",error=\"insufficient_scope\""
    );
    registry.fail_times(2, Fault::Challenge(Some(challenge)));
    list(&client(), &registry.image("team/app"), &Access::default())
        .await
        .unwrap();
    let scopes: Vec<bool> = registry
        .requests()
        .iter()
        .filter(|request| request.route == Route::Token)
        .map(|request| request.query.contains("metadata_read"))
        .collect();
    assert_eq!(scopes, [false, true]);
    // And if that is not enough either, it is a matter of rights.
    let challenge =
        format!("Bearer realm=\"{token_server}\",service=\"fake\",error=\"insufficient_scope\"");
    registry.set_auth(bearer());
    registry.fail_always(Fault::Challenge(Some(challenge)));
    let error = list(
        &client(),
        &registry.image("team/app"),
        &basic("me", "hunter2"),
    )
    .await
    .unwrap_err();
    assert_eq!(error.kind(), Kind::Forbidden, "{error}");
}

/// The address of the registry's own token server.
async fn token_realm(registry: &FakeRegistry) -> String {
    registry.set_auth(bearer());
    let url = format!("http://{}/v2/", registry.plain_host());
    let answer = reqwest::Client::builder()
        .no_proxy()
        .build()
        .unwrap()
        .get(url)
        .send()
        .await
        .unwrap();
    registry.clear_requests();
    answer.headers()["www-authenticate"]
        .to_str()
        .unwrap()
        .split('"')
        .nth(1)
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn challenges_that_cannot_be_answered_say_why() {
    let registry = with_tags(&["1"]).await;
    for (challenge, kind, cause) in [
        (
            None,
            Kind::Protocol,
            "its 401 has no WWW-Authenticate header that can be read",
        ),
        (
            Some("Negotiate"),
            Kind::Protocol,
            "the scheme negotiate is not supported",
        ),
        (
            Some("Bearer service=x"),
            Kind::Protocol,
            "its challenge names no realm",
        ),
        (
            Some("Bearer realm=\"/token\""),
            Kind::Unsafe,
            "its address is not a URL",
        ),
        (
            Some("Bearer realm=\"file:///etc/passwd\""),
            Kind::Unsafe,
            "its address is not an https URL",
        ),
        (
            Some("Bearer realm=\"https://a:b@127.0.0.1/\""),
            Kind::Unsafe,
            "its address carries a user name, password or fragment",
        ),
        (
            Some("Bearer realm=\"https://169.254.169.254/latest\""),
            Kind::Unsafe,
            "169.254.169.254 is an address nearer to this network than the registry's own",
        ),
    ] {
        registry.clear_requests();
        registry.fail_next(Fault::Challenge(challenge.map(str::to_owned)));
        let error = list(&client(), &registry.image("team/app"), &Access::default())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), kind, "{challenge:?}: {error}");
        assert!(error.to_string().ends_with(cause), "{challenge:?}: {error}");
        assert_eq!(registry.requests().len(), 1, "{challenge:?}");
    }
}

#[tokio::test]
async fn a_credential_does_not_go_to_a_token_server_of_another_domain() {
    let registry = with_tags(&["1"]).await;
    registry.fail_next(Fault::Challenge(Some(
        "Bearer realm=\"https://auth.evil.example/token\"".into(),
    )));
    let error = list(
        &client(),
        &registry.image("team/app"),
        &basic("me", "hunter2"),
    )
    .await
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "the token server that {} names is refused: auth.evil.example is in another domain, and the credential was not sent there",
            registry.plain_host()
        )
    );
}

#[tokio::test]
async fn a_registry_on_https_may_not_name_a_token_server_on_http() {
    let registry = with_tags(&["1"]).await;
    let elsewhere = FakeRegistry::start().await;
    registry.fail_next(Fault::Challenge(Some(format!(
        "Bearer realm=\"http://{}/token\"",
        elsewhere.plain_host()
    ))));
    let access = trusting(&registry, basic("me", "hunter2"));
    let error = list(&client(), &registry.tls_image("team/app"), &access)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Unsafe);
    assert!(
        error
            .to_string()
            .ends_with("it is on plain http, and the registry is not"),
        "{error}"
    );
    assert_eq!(elsewhere.requests(), []);
}

#[tokio::test]
async fn an_ill_token_server_is_named() {
    let registry = with_tags(&["1"]).await;
    registry.set_auth(anonymous_bearer());
    let elsewhere = with_tags(&["1"]).await;
    for (fault, cause) in [
        (Fault::Html, "answered with an HTML page instead of a token"),
        (
            Fault::Json("{}".into()),
            "sent no token: `token` and `access_token` are missing or empty",
        ),
        (
            Fault::Json("hello".into()),
            "sent no token: the answer is not a token document",
        ),
        (Fault::EndlessJson, "sent more than 65536 bytes, the limit"),
        (
            Fault::Redirect(format!("http://{}/", elsewhere.plain_host())),
            "answered 307 Temporary Redirect: redirects of token servers are not followed",
        ),
        (Fault::Status(404), "answered 404 Not Found"),
    ] {
        registry.clear_requests();
        registry.fail_next_token(fault);
        let error = list(&client(), &registry.image("team/app"), &Access::default())
            .await
            .unwrap_err();
        let text = error.to_string();
        assert!(
            text.starts_with("the token server 127.0.0.1:") && text.ends_with(cause),
            "{text}"
        );
        assert_eq!(
            (error.kind(), registry.count(Route::Token)),
            (Kind::Protocol, 1),
            "{text}"
        );
    }
    assert_eq!(elsewhere.requests(), []);
}

#[tokio::test]
async fn a_token_server_that_fails_is_asked_again_and_one_that_is_busy_is_left_alone() {
    let registry = with_tags(&["1"]).await;
    registry.set_auth(anonymous_bearer());
    let client = client();
    registry.fail_next_token(Fault::Status(503));
    list(&client, &registry.image("team/app"), &Access::default())
        .await
        .unwrap();
    assert_eq!(registry.count(Route::Token), 2);
    registry.revoke_tokens();
    registry.fail_next_token(Fault::RateLimited(Some("3000".into())));
    let error = list(&client, &registry.image("team/app"), &Access::default())
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.retry_after()),
        (Kind::RateLimited, Some(Duration::from_mins(50)))
    );
    registry.clear_requests();
    registry.add_repository("team/other", ["1"]);
    let error = list(&client, &registry.image("team/other"), &Access::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::RateLimited);
    assert_eq!(registry.count(Route::Token), 0);
}

#[tokio::test]
async fn what_was_sent_is_never_repeated_in_a_message() {
    let registry = with_tags(&["1"]).await;
    registry.set_auth(basic_auth());
    registry.fail_times(2, Fault::Echo);
    let error = list(
        &client(),
        &registry.image("team/app"),
        &basic("me", "hunter2"),
    )
    .await
    .unwrap_err();
    for text in [error.to_string(), format!("{error:?}")] {
        assert!(
            text.contains("you sent Basic [redacted] which is me:[redacted]"),
            "{text}"
        );
        assert!(
            !text.contains("hunter2") && !text.contains("bWU6aHVudGVyMg=="),
            "{text}"
        );
    }
    registry.set_auth(bearer());
    registry.fail_next_token(Fault::Echo);
    let error = list(
        &client(),
        &registry.image("team/app"),
        &basic("me", "hunter2"),
    )
    .await
    .unwrap_err();
    assert!(
        error.to_string().contains("you sent Basic [redacted]"),
        "{error}"
    );
}

#[tokio::test]
async fn over_tls_the_token_server_is_asked_over_tls() {
    let registry = with_tags(&["1"]).await;
    registry.set_auth(bearer());
    let access = trusting(&registry, basic("me", "hunter2"));
    let found = list(&client(), &registry.tls_image("team/app"), &access)
        .await
        .unwrap();
    assert_eq!(texts(&found), ["1"]);
    let listeners: Vec<_> = registry
        .requests()
        .iter()
        .map(|request| request.listener)
        .collect();
    assert_eq!(
        listeners,
        [Listener::Tls, Listener::TokenTls, Listener::Tls]
    );
}
