//! Manifests and tags, written.

use http::Method;
use tagscope::image::Digest;
use tagscope::registry::Kind;
use tagscope::registry::remote::{Intent, Put};

use super::{by_digest, manifest, me, remote_as, tag, writer};
use crate::fake_registry::{Fault, Image, Nth, Route};
use crate::registry::with_tags;

const DONE: Put = Put::Done {
    keeps_referrers: false,
    was_there: false,
};
const WAS_THERE: Put = Put::Done {
    keeps_referrers: false,
    was_there: true,
};

#[tokio::test]
async fn a_manifest_is_written_in_one_request() {
    let registry = with_tags(&[]).await;
    let remote = writer(&registry);
    let one = manifest(1);
    assert_eq!(remote.put_manifest(&tag("1"), &one).await.unwrap(), DONE);
    let known = by_digest(one.digest.as_str());
    assert_eq!(remote.put_manifest(&known, &one).await.unwrap(), DONE);
    registry.fail_next(Fault::NoDigestHeader);
    assert_eq!(remote.put_manifest(&tag("2"), &one).await.unwrap(), DONE);
    assert_eq!(registry.requests().len(), 3);
    assert_eq!(registry.manifest("team/app", "1").unwrap().1, one.bytes);
    let sent = &registry.requests()[0];
    assert_eq!(sent.header("content-type"), Some(one.media_type.as_str()));
    assert_eq!(
        sent.header("content-length").unwrap(),
        one.bytes.len().to_string()
    );
    registry.fail_next(Fault::ContentDigest(Some(Digest::of(b"x").to_string())));
    let error = remote.put_manifest(&tag("3"), &one).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Integrity);
}

#[tokio::test]
async fn a_registry_that_keeps_referrers_says_so() {
    let registry = with_tags(&[]).await;
    let subject = registry.add_image("team/app", "1", &Image::sized(1, &[10]));
    let about = registry.add_image("team/other", "1", &Image::sized(1, &[10]).subject(&subject));
    let (media_type, bytes) = registry.manifest("team/other", &about).unwrap();
    let raw = tagscope::registry::remote::RawManifest {
        digest: about.parse().unwrap(),
        media_type,
        bytes,
    };
    let put = writer(&registry)
        .put_manifest(&by_digest(&about), &raw)
        .await;
    assert_eq!(
        put.unwrap(),
        Put::Done {
            keeps_referrers: true,
            was_there: false,
        }
    );
}

#[tokio::test]
async fn fault_13_after_a_lost_answer_the_registry_is_asked() {
    let registry = with_tags(&[]).await;
    let remote = writer(&registry);
    for (number, fault) in [
        (1, Fault::CommitThenReset),
        (2, Fault::CommitThen(500)),
        (3, Fault::CommitThen(502)),
    ] {
        registry.clear_requests();
        registry.on(Method::PUT, "/manifests/", Nth::First(1), fault);
        let done = remote.put_manifest(&tag("1"), &manifest(number)).await;
        assert_eq!(done.unwrap(), DONE);
        assert_eq!(registry.count_of(&Method::PUT, Route::Manifest), 1);
        assert_eq!(registry.count_of(&Method::HEAD, Route::Manifest), 1);
        registry.heal();
    }
    // Lost in front of it: written once more.
    for fault in [Fault::Status(500), Fault::ResetHead] {
        registry.clear_requests();
        registry.on(Method::PUT, "/manifests/", Nth::First(1), fault);
        let done = remote.put_manifest(&tag("2"), &manifest(9)).await;
        assert_eq!(done.unwrap(), DONE);
        registry.heal();
        registry.delete_tag("team/app", "2");
    }
    assert!(remote.tally().counts().retries >= 2);
    registry.on(Method::PUT, "/manifests/", Nth::Every, Fault::Status(500));
    let error = remote
        .put_manifest(&tag("3"), &manifest(3))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
}

#[tokio::test]
async fn fault_26_a_tag_that_may_not_move_is_told_from_a_failure() {
    for status in [400, 403, 405, 409, 412] {
        let registry = with_tags(&[]).await;
        let remote = writer(&registry);
        assert_eq!(
            remote.put_manifest(&tag("1"), &manifest(1)).await.unwrap(),
            DONE
        );
        registry.configure(|options| options.immutable_tags = Some(status));
        let same = remote.put_manifest(&tag("1"), &manifest(1)).await;
        assert_eq!(same.unwrap(), WAS_THERE, "{status}");
        match remote.put_manifest(&tag("1"), &manifest(2)).await.unwrap() {
            Put::Immutable { found, detail } => {
                assert_eq!(found, manifest(1).digest);
                assert!(detail.contains("immutable"), "{detail}");
            }
            other => panic!("{status}: {other:?}"),
        }
        // Not there: then it is the refusal that it says.
        registry.fail_next(Fault::Code(status, "DENIED"));
        let error = remote
            .put_manifest(&tag("2"), &manifest(2))
            .await
            .unwrap_err();
        assert!(error.to_string().contains("DENIED"), "{error}");
        if status == 403 {
            assert!(
                error.to_string().contains("lacks the right to push"),
                "{error}"
            );
        }
    }
}

#[tokio::test]
async fn what_a_manifest_names_and_is_missing_is_named() {
    let registry = with_tags(&[]).await;
    let image = Image::sized(5, &[100]);
    let digest = registry.add_image("team/other", "1", &image);
    let (media_type, bytes) = registry.manifest("team/other", &digest).unwrap();
    let raw = tagscope::registry::remote::RawManifest {
        digest: digest.parse().unwrap(),
        media_type,
        bytes,
    };
    match writer(&registry)
        .put_manifest(&tag("1"), &raw)
        .await
        .unwrap()
    {
        Put::Missing {
            digests,
            is_vague,
            detail,
        } => {
            assert_eq!((digests.len(), is_vague), (1, false));
            assert!(detail.starts_with("MANIFEST_BLOB_UNKNOWN: "), "{detail}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn warnings_are_kept_once() {
    let registry = with_tags(&["1"]).await;
    let remote = writer(&registry);
    for _ in 0..2 {
        registry.fail_next(Fault::Headers(vec![(
            "warning",
            "299 - \"goes away\"".into(),
        )]));
        remote.put_manifest(&tag("1"), &manifest(1)).await.unwrap();
    }
    let expected = (registry.plain_host(), "goes away".to_owned());
    assert_eq!(remote.tally().warnings(), [expected]);
}

#[tokio::test]
async fn a_refusal_without_a_clear_reason_may_mean_that_something_is_missing() {
    let registry = with_tags(&[]).await;
    let remote = writer(&registry);
    for (fault, expected) in [
        (Fault::Code(400, "MANIFEST_INVALID"), true),
        (Fault::Code(404, "MANIFEST_INVALID"), true),
        (Fault::Bare(400), true),
        (Fault::Bare(404), true),
        (Fault::Code(400, "NAME_INVALID"), false),
        (Fault::Code(400, "TAG_INVALID"), false),
        (Fault::Code(404, "NAME_UNKNOWN"), false),
        (Fault::Code(400, "MANIFEST_UNVERIFIED"), false),
        (Fault::HtmlStatus(404), false),
    ] {
        registry.fail_next(fault.clone());
        let put = remote.put_manifest(&tag("1"), &manifest(1)).await;
        let is_missing = matches!(
            &put,
            Ok(Put::Missing { is_vague: true, detail, .. }) if !detail.is_empty()
        );
        assert_eq!(is_missing, expected, "{fault:?}: {put:?}");
        assert_eq!(put.is_err(), !expected, "{fault:?}: {put:?}");
    }
}

#[tokio::test]
async fn fault_34_a_write_follows_307_and_never_becomes_another_request() {
    let registry = with_tags(&[]).await;
    registry.set_auth(crate::registry::bearer());
    let remote = remote_as(&registry, me(), Intent::Write);
    for status in [301, 302, 303] {
        let fault = Fault::CommitThen(status);
        registry.on(Method::PUT, "/manifests/1$", Nth::Every, fault);
        let error = remote.put_manifest(&tag("1"), &manifest(1)).await;
        assert_eq!(error.unwrap_err().kind(), Kind::Unsafe, "{status}");
        registry.heal();
    }
    assert_eq!(registry.count_of(&Method::GET, Route::Manifest), 0);
    let origin = format!("http://{}", registry.plain_host());
    let there = Fault::Redirect(format!("{origin}/v2/team/app/manifests/there"));
    registry.on(Method::PUT, "/manifests/2$", Nth::Every, there);
    assert_eq!(
        remote.put_manifest(&tag("2"), &manifest(2)).await.unwrap(),
        DONE
    );
    let (_, written) = registry.manifest("team/app", "there").unwrap();
    assert_eq!(written, manifest(2).bytes);
    // Elsewhere the credential does not go, whatever is written.
    let elsewhere = with_tags(&[]).await;
    let origin = format!("http://{}", elsewhere.plain_host());
    let there = Fault::Redirect(format!("{origin}/v2/team/app/manifests/3"));
    registry.on(Method::PUT, "/manifests/3$", Nth::Every, there);
    remote.put_manifest(&tag("3"), &manifest(3)).await.unwrap();
    assert!(!elsewhere.saw("hunter2") && !elsewhere.saw("Bearer"));
    assert_eq!(elsewhere.count_of(&Method::PUT, Route::Manifest), 1);
}
