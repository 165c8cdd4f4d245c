//! Redirects: followed where it is safe, without what is not theirs.

use tagscope::registry::{Access, Kind};

use super::{basic, client, list, texts, trusting, with_tags};
use crate::fake_registry::{Auth, Fault, Route, Sent};

fn basic_auth() -> Auth {
    Auth::Basic {
        username: "me".into(),
        password: "hunter2".into(),
    }
}

#[tokio::test]
async fn a_redirect_to_another_host_is_followed_without_the_credential() {
    let registry = with_tags(&["here"]).await;
    let elsewhere = with_tags(&["there"]).await;
    registry.set_auth(basic_auth());
    registry.fail_next(Fault::Redirect(format!(
        "http://{}/v2/team/app/tags/list",
        elsewhere.plain_host()
    )));
    let found = list(
        &client(),
        &registry.image("team/app"),
        &basic("me", "hunter2"),
    )
    .await
    .unwrap();
    assert_eq!(texts(&found), ["there"]);
    let there = elsewhere.requests();
    assert_eq!((there.len(), there[0].sent), (1, Sent::Nothing));
}

#[tokio::test]
async fn a_redirect_within_the_registry_keeps_the_credential() {
    let registry = with_tags(&["1"]).await;
    registry.add_repository("moved/app", ["2"]);
    registry.set_auth(basic_auth());
    registry.fail_next(Fault::Redirect("/v2/moved/app/tags/list".into()));
    let found = list(
        &client(),
        &registry.image("team/app"),
        &basic("me", "hunter2"),
    )
    .await
    .unwrap();
    assert_eq!(texts(&found), ["2"]);
}

#[tokio::test]
async fn a_redirect_back_to_the_registry_does_not_get_the_credential_back() {
    let registry = with_tags(&["1"]).await;
    let elsewhere = with_tags(&["1"]).await;
    registry.set_auth(basic_auth());
    registry.fail_next(Fault::Redirect(format!(
        "http://{}/v2/x/tags/list",
        elsewhere.plain_host()
    )));
    elsewhere.fail_next(Fault::Redirect(format!(
        "http://{}/v2/team/app/tags/list",
        registry.plain_host()
    )));
    let error = list(
        &client(),
        &registry.image("team/app"),
        &basic("me", "hunter2"),
    )
    .await
    .unwrap_err();
    assert_eq!(error.kind(), Kind::Authentication);
    assert_eq!(registry.requests().last().unwrap().sent, Sent::Nothing);
}

#[tokio::test]
async fn another_hosts_challenge_is_not_answered() {
    let registry = with_tags(&["1"]).await;
    let elsewhere = with_tags(&["1"]).await;
    elsewhere.set_auth(basic_auth());
    registry.fail_next(Fault::Redirect(format!(
        "http://{}/v2/team/app/tags/list",
        elsewhere.plain_host()
    )));
    let error = list(
        &client(),
        &registry.image("team/app"),
        &basic("me", "hunter2"),
    )
    .await
    .unwrap_err();
    assert!(
        error.to_string().starts_with(&elsewhere.plain_host()),
        "{error}"
    );
    assert_eq!(
        (error.kind(), elsewhere.requests().len()),
        (Kind::Authentication, 1)
    );
}

#[tokio::test]
async fn unsafe_redirects_are_refused_with_reasons() {
    let registry = with_tags(&["1"]).await;
    for (target, cause) in [
        (
            "file:///etc/passwd",
            "to an address that is neither http nor https",
        ),
        (
            "http://user:pw@127.0.0.1/",
            "to an address with a user name or password in it",
        ),
        (
            "http://169.254.169.254/latest/meta-data",
            "to an address nearer to this network than its own",
        ),
        (
            "http://[fe80::1]/",
            "to an address nearer to this network than its own",
        ),
        ("http://[bad", "it names no place that is a URL"),
    ] {
        registry.fail_next(Fault::Redirect(target.into()));
        let error = list(&client(), &registry.image("team/app"), &Access::default())
            .await
            .unwrap_err();
        let host = registry.plain_host();
        assert_eq!(error.kind(), Kind::Unsafe, "{target}");
        assert_eq!(
            error.to_string(),
            format!(
                "{host} redirects GET /v2/team/app/tags/list to where it must not lead: {cause}"
            )
        );
    }
    registry.fail_next(Fault::Redirect(format!(
        "http://{}/v2/team/app/tags/list",
        registry.plain_host()
    )));
    let access = trusting(&registry, Access::default());
    let error = list(&client(), &registry.tls_image("team/app"), &access)
        .await
        .unwrap_err();
    assert!(
        error.to_string().ends_with("from https to plain http"),
        "{error}"
    );
}

#[tokio::test]
async fn a_circle_of_redirects_ends_at_the_limit() {
    let registry = with_tags(&["1"]).await;
    registry.fail_always(Fault::RedirectToItself);
    let error = list(&client(), &registry.image("team/app"), &Access::default())
        .await
        .unwrap_err();
    let host = registry.plain_host();
    assert_eq!(
        error.to_string(),
        format!("the number of redirects of {host} for team/app exceeds 5 redirects, the limit")
    );
    assert_eq!(registry.count(Route::List), 6);
}

#[tokio::test]
async fn pages_after_a_redirect_are_asked_of_the_registry_itself() {
    let registry = with_tags(&["1"]).await;
    let elsewhere = with_tags(&["2", "3"]).await;
    let path = "/v2/team/app/tags/list";
    registry.fail_next(Fault::Redirect(format!(
        "http://{}{path}",
        elsewhere.plain_host()
    )));
    elsewhere.fail_next(Fault::Link(format!("<{path}?last=3>; rel=\"next\"")));
    let found = list(&client(), &registry.image("team/app"), &Access::default())
        .await
        .unwrap();
    assert_eq!((texts(&found), found.pages), (vec!["1", "2", "3"], 2));
    assert_eq!(elsewhere.requests().len(), 1);
}
