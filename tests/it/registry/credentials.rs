//! Several credentials for one repository: each is tried, in order, and the one that works is remembered.

use super::*;
use crate::fake_registry::{Fault, Sent};

fn user(username: &str, password: &str) -> Credential {
    Credential::Basic {
        username: username.into(),
        password: password.into(),
    }
}

fn access(credentials: &[(&str, &str)]) -> Access {
    let credentials = credentials
        .iter()
        .map(|(username, password)| user(username, password));
    Access::default().with_credentials(credentials)
}

fn lists(registry: &FakeRegistry) -> Vec<bool> {
    let requests = registry.requests();
    let lists = requests
        .iter()
        .filter(|request| request.route == Route::List);
    lists.map(|request| request.sent != Sent::Nothing).collect()
}

async fn private(auth: Auth) -> FakeRegistry {
    let registry = with_tags(&["1"]).await;
    registry.set_auth(auth);
    registry
}

fn basic_auth() -> Auth {
    Auth::Basic {
        username: "me".into(),
        password: "hunter2".into(),
    }
}

#[tokio::test]
async fn each_credential_is_tried_and_the_one_that_works_is_the_first_the_next_time() {
    let registry = private(basic_auth()).await;
    let client = client();
    let access = access(&[
        ("me", "old-password"),
        ("other", "hunter2"),
        ("me", "hunter2"),
    ]);
    let image = registry.image("team/app");
    let found = list(&client, &image, &access).await.unwrap();
    assert_eq!(texts(&found), ["1"]);
    // The challenge, two refusals, and the list.
    assert_eq!(lists(&registry), [false, true, true, true]);
    registry.clear_requests();
    list(&client, &image, &access).await.unwrap();
    assert_eq!(lists(&registry), [true]);
    let reference = repository(&image).tagged("1".parse().unwrap());
    registry.clear_requests();
    client
        .head_manifest(&reference, &access, soon())
        .await
        .unwrap();
    assert_eq!(registry.requests().len(), 1, "remembered for digests too");
}

#[tokio::test]
async fn the_token_servers_refusal_leads_to_the_next_too() {
    let registry = private(bearer()).await;
    let access = access(&[("me", "old-password"), ("me", "hunter2")]);
    list(&client(), &registry.image("team/app"), &access)
        .await
        .unwrap();
    assert_eq!(registry.count(Route::Token), 2);
}

#[tokio::test]
async fn a_credential_without_the_right_leads_to_the_next() {
    let registry = private(basic_auth()).await;
    // Both are known, and the first may not read this.
    registry.fail_next(Fault::Code(403, "DENIED"));
    let access = Access::default().with_credentials([
        user("me", "hunter2"),
        user("me", "hunter2"),
        Credential::RegistryToken("unfit".into()),
    ]);
    assert_eq!(access.credentials().count(), 2, "equal ones count once");
    let error = list(&client(), &registry.image("team/app"), &access)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Forbidden);
    assert!(
        error
            .to_string()
            .ends_with("; 2 credentials match it, and none was accepted"),
        "{error}"
    );
    let found = list(&client(), &registry.image("team/app"), &access).await;
    assert_eq!(texts(&found.unwrap()), ["1"]);
}

#[tokio::test]
async fn when_none_is_accepted_the_first_refusal_is_told_with_their_number() {
    let registry = private(basic_auth()).await;
    let access = access(&[("me", "one-password"), ("me", "two-password")]);
    let error = list(&client(), &registry.image("team/app"), &access)
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "{} refused the credential for team/app: check user name and password in the Secret; UNAUTHORIZED: authentication required; 2 credentials match it, and none was accepted",
            registry.plain_host()
        )
    );
}

#[tokio::test]
async fn other_failures_are_not_tried_with_another_credential() {
    let registry = private(basic_auth()).await;
    let access = access(&[("me", "hunter2"), ("you", "hunter3")]);
    for (fault, kind) in [
        (Fault::Code(404, "NAME_UNKNOWN"), Kind::NotFound),
        (Fault::Html, Kind::Protocol),
    ] {
        registry.clear_requests();
        registry.fail_next(fault);
        let error = list(&client(), &registry.image("team/app"), &access)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert_eq!(lists(&registry), [false, true], "the challenge and one try");
    }
}
