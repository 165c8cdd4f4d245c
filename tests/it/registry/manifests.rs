//! Digests of what tags point at.

use http::Method;
use tagscope::image::{Digest, Reference};
use tagscope::registry::{Access, Client, Error, Kind};

use super::{anonymous_bearer, client, soon, with_tags};
use crate::fake_registry::{FakeRegistry, Fault, Route};

async fn head(client: &Client, registry: &FakeRegistry, suffix: &str) -> Result<Digest, Error> {
    let reference: Reference = format!("{}{suffix}", registry.image("team/app"))
        .parse()
        .unwrap();
    client
        .head_manifest(&reference, &Access::default(), soon())
        .await
}

fn methods(registry: &FakeRegistry) -> Vec<Method> {
    registry
        .requests()
        .into_iter()
        .filter(|request| request.route == Route::Manifest)
        .map(|request| request.method)
        .collect()
}

#[tokio::test]
async fn a_digest_costs_one_head() {
    let registry = with_tags(&[]).await;
    let digest = registry.push("team/app", "1.0");
    assert_eq!(
        head(&client(), &registry, ":1.0").await.unwrap().as_str(),
        digest
    );
    assert_eq!(
        head(&client(), &registry, &format!("@{digest}"))
            .await
            .unwrap()
            .as_str(),
        digest
    );
    assert_eq!(methods(&registry), [Method::HEAD, Method::HEAD]);
}

#[tokio::test]
async fn where_head_has_no_digest_the_manifest_is_hashed() {
    let registry = with_tags(&[]).await;
    let digest = registry.push("team/app", "1.0");
    for fault in [Fault::ContentDigest(None), Fault::Status(405)] {
        registry.clear_requests();
        registry.fail_next(fault);
        assert_eq!(
            head(&client(), &registry, ":1.0").await.unwrap().as_str(),
            digest
        );
        assert_eq!(methods(&registry), [Method::HEAD, Method::GET]);
    }
}

#[tokio::test]
async fn digests_that_lie_are_found_out() {
    let registry = with_tags(&[]).await;
    let digest = registry.push("team/app", "1.0");
    let other = Digest::of(b"other").to_string();
    registry.fail_next(Fault::ContentDigest(Some("md5:x".into())));
    let error = head(&client(), &registry, ":1.0").await.unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("its Docker-Content-Digest is not a sha256 digest: md5:x"),
        "{error}"
    );

    registry.fail_next(Fault::ContentDigest(Some(other.clone())));
    let error = head(&client(), &registry, &format!("@{digest}"))
        .await
        .unwrap_err();
    assert!(
        error.to_string().ends_with(&format!(
            "it states the digest {other}, and another was asked for"
        )),
        "{error}"
    );

    registry.fail_next(Fault::ContentDigest(None));
    registry.fail_next(Fault::ContentDigest(Some(other.clone())));
    let error = head(&client(), &registry, ":1.0").await.unwrap_err();
    assert!(
        error.to_string().ends_with(&format!(
            "its digest is {digest}, not the {other} that its header states"
        )),
        "{error}"
    );
}

#[tokio::test]
async fn a_manifest_that_is_not_there_is_named() {
    let registry = with_tags(&["1.0"]).await;
    let error = head(&client(), &registry, ":2.0").await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert_eq!(
        error.to_string(),
        format!(
            "{} does not know the manifest team/app:2.0",
            registry.plain_host()
        )
    );
    // A missing tag is not asked for again by GET, which would count as a pull.
    assert_eq!(methods(&registry), [Method::HEAD]);
}

#[tokio::test]
async fn a_list_and_a_digest_share_one_token() {
    let registry = with_tags(&["1.0"]).await;
    registry.set_auth(anonymous_bearer());
    let client = client();
    super::list(&client, &registry.image("team/app"), &Access::default())
        .await
        .unwrap();
    head(&client, &registry, ":1.0").await.unwrap();
    assert_eq!(
        (
            registry.count(Route::Token),
            registry.count(Route::Manifest)
        ),
        (1, 1)
    );
}

#[tokio::test]
async fn a_missing_manifest_behind_a_page_for_people_is_no_missing_manifest() {
    let registry = with_tags(&["1.0"]).await;
    registry.fail_next(Fault::ContentDigest(None));
    registry.fail_next(Fault::Html);
    let error = head(&client(), &registry, ":1.0").await.unwrap_err();
    assert!(matches!(error, Error::Html { .. }), "{error}");
}
