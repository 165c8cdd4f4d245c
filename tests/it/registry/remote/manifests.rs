//! Manifests and tags, read.

use http::Method;
use tagscope::image::Digest;
use tagscope::registry::Kind;
use tagscope::registry::remote::{Intent, Remote};

use super::{by_digest, me, reader, remote_as, tag, writer};
use crate::fake_registry::{FakeRegistry, Fault, Image, Nth, Route};
use crate::registry::with_tags;

async fn digest_of(remote: &Remote, name: &str) -> Digest {
    remote.head(&tag(name)).await.unwrap().unwrap().digest
}

#[tokio::test]
async fn each_question_is_one_request_and_there_are_no_pings() {
    let registry = with_tags(&["1"]).await;
    let remote = reader(&registry);
    let digest = digest_of(&remote, "1").await;
    let read = remote.manifest(&tag("1")).await.unwrap().unwrap();
    assert_eq!(
        (read.digest.clone(), read.media_type.as_str()),
        (digest.clone(), "application/vnd.oci.image.manifest.v1+json")
    );
    let again = remote.manifest(&by_digest(digest.as_str())).await.unwrap();
    assert_eq!(again, Some(read));
    assert_eq!(remote.tags().await.unwrap().tags.len(), 1);
    assert_eq!(
        (registry.requests().len(), registry.count(Route::Ping)),
        (4, 0)
    );
    let counts = remote.tally().counts();
    // Once over https, which is not spoken there.
    assert_eq!(counts.requests[&registry.plain_host()], 5);
    assert_eq!(counts.retries, 0);
}

#[tokio::test]
async fn fault_05_a_manifest_that_is_not_what_it_is_called_is_refused() {
    let registry = with_tags(&["1"]).await;
    let remote = reader(&registry);
    let digest = digest_of(&remote, "1").await;
    let other = Digest::of(b"other");
    registry.fail_next(Fault::ContentDigest(Some(other.to_string())));
    let lies = remote.manifest(&tag("1")).await.unwrap_err();
    assert_eq!(lies.kind(), Kind::Integrity);
    assert!(
        lies.to_string()
            .contains(&format!("its header states {other}")),
        "{lies}"
    );
    registry.fail_next(Fault::ContentDigest(Some(other.to_string())));
    let head = remote.head(&by_digest(digest.as_str())).await.unwrap_err();
    assert_eq!(head.kind(), Kind::Integrity);
    registry.fail_next(Fault::ContentDigest(Some("sha256:../../x".into())));
    let none = remote.manifest(&tag("1")).await.unwrap_err();
    assert_eq!(none.kind(), Kind::Protocol);
    registry.fail_next(Fault::NoDigestHeader);
    assert_eq!(
        remote.manifest(&tag("1")).await.unwrap().unwrap().digest,
        digest
    );
    registry.corrupt_manifest("team/app", digest.as_str(), "{}");
    let wrong = remote
        .manifest(&by_digest(digest.as_str()))
        .await
        .unwrap_err();
    assert!(
        wrong.to_string().ends_with(&format!(
            "what it sent has the digest {}",
            Digest::of(b"{}")
        )),
        "{wrong}"
    );
}

#[tokio::test]
async fn fault_06_an_encoding_that_nobody_asked_for_is_refused() {
    let registry = with_tags(&["1"]).await;
    registry.fail_next(Fault::Compressed);
    let error = reader(&registry).manifest(&tag("1")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Integrity);
    assert_eq!(
        registry.requests()[0].header("accept-encoding"),
        Some("identity")
    );
}

#[tokio::test]
async fn fault_10_a_manifest_has_four_mebibytes_at_the_most() {
    let registry = FakeRegistry::start().await;
    let padded = |size: usize| serde_json::json!({"x": "y".repeat(size - 8)});
    let most = 4 << 20;
    registry.put_manifest("team/app", Some("most"), "application/x", &padded(most));
    registry.put_manifest("team/app", Some("more"), "application/x", &padded(most + 1));
    let remote = reader(&registry);
    assert_eq!(
        remote
            .manifest(&tag("most"))
            .await
            .unwrap()
            .unwrap()
            .bytes
            .len(),
        most
    );
    let more = remote.manifest(&tag("more")).await.unwrap_err();
    assert_eq!(more.kind(), Kind::Limit);
    // Without a length, and without an end.
    registry.fail_next(Fault::EndlessJson);
    let endless = remote.manifest(&tag("most")).await.unwrap_err();
    assert_eq!(endless.kind(), Kind::Limit);
}

#[tokio::test]
async fn fault_22_where_head_says_nothing_the_manifest_is_read() {
    let registry = with_tags(&["1"]).await;
    let remote = reader(&registry);
    let digest = digest_of(&remote, "1").await;
    for fault in [
        Fault::Status(405),
        Fault::Status(501),
        Fault::NoDigestHeader,
    ] {
        registry.clear_requests();
        registry.heal();
        registry.on(Method::HEAD, "/manifests/", Nth::Every, fault);
        assert_eq!(digest_of(&remote, "1").await, digest);
        assert_eq!(registry.count_of(&Method::GET, Route::Manifest), 1);
    }
    registry.heal();
    registry.on(
        Method::HEAD,
        "/manifests/",
        Nth::Every,
        Fault::Challenge(Some("Basic realm=x".into())),
    );
    let with_credential = remote_as(&registry, me(), Intent::Read);
    assert_eq!(digest_of(&with_credential, "1").await, digest);
}

#[tokio::test]
async fn fault_23_a_repository_that_is_missing_has_no_manifest_and_one_that_is_denied_is_an_error()
{
    let registry = FakeRegistry::start().await;
    let remote = writer(&registry);
    assert_eq!(remote.head(&tag("1")).await.unwrap(), None);
    assert_eq!(remote.manifest(&tag("1")).await.unwrap(), None);
    let list = remote.tags().await.unwrap();
    assert!(list.tags.is_empty() && list.is_complete());
    let error = reader(&registry).tags().await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound, "of a source it is an error");
    registry.fail_next(Fault::Code(403, "DENIED"));
    let error = remote.head(&tag("1")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Forbidden);
    registry.configure(|options| options.creates_repositories = false);
    let error = remote
        .put_manifest(&tag("1"), &super::manifest(1))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(
        error
            .to_string()
            .contains("does not know the repository team/app, and does not create it by itself"),
        "{error}"
    );
}

#[tokio::test]
async fn what_is_no_manifest_is_told_from_one() {
    let registry = FakeRegistry::start().await;
    registry.add_image("team/app", "1", &Image::sized(1, &[10]));
    registry.fail_next(Fault::Html);
    let error = reader(&registry).manifest(&tag("1")).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("HTML page to GET /v2/team/app/manifests/1"),
        "{error}"
    );
}
