//! Tags and manifests, deleted: what each registry offers, and that nothing else goes with it.

use std::time::Duration;

use http::Method;
use serde_json::json;
use tagscope::image::{Digest, Tag};
use tagscope::registry::remote::{Deletion, Intent, Remote};
use tagscope::registry::{Access, Client};

use super::{by_digest, me, quick, remote_as, tag, writer};
use crate::fake_registry::{FakeRegistry, Fault, Image, Nth, Personality, Route};
use crate::registry::{bearer, repository, with_tags};

fn named(text: &str) -> Tag {
    text.parse().unwrap()
}

async fn digest_of(remote: &Remote, text: &str) -> Digest {
    remote.head(&tag(text)).await.unwrap().unwrap().digest
}

/// `team/app` with one image under `1` and `same`.
async fn twice() -> (FakeRegistry, Digest) {
    let registry = FakeRegistry::start().await;
    let image = Image::sized(1, &[100]);
    let digest = registry.add_image("team/app", "1", &image);
    registry.add_image("team/app", "same", &image);
    (registry, digest.parse().unwrap())
}

/// Nothing but `same` is left of it, whole.
fn assert_only_the_other_is_left(registry: &FakeRegistry, digest: &Digest) {
    assert_eq!(registry.tags("team/app"), ["same"]);
    let same = registry.tag_digest("team/app", "same");
    assert_eq!(same.as_deref(), Some(digest.as_str()));
    registry.check_whole("team/app");
}

#[tokio::test]
async fn tags_and_manifests_are_deleted_where_that_is_possible() {
    let (registry, digest) = twice().await;
    let remote = writer(&registry);
    let deletion = remote.delete_tag(&named("1"), &digest).await;
    assert_eq!(deletion, Ok(Deletion::Deleted));
    assert_only_the_other_is_left(&registry, &digest);
    let deletion = remote.delete_tag(&named("1"), &digest).await;
    assert_eq!(deletion, Ok(Deletion::Gone));
    for status in [405, 400, 501] {
        registry.configure(|options| {
            options.refuses_tag_deletion = Some(status);
            options.refuses_digest_deletion = Some(status);
        });
        let of_tag = remote.delete_tag(&named("same"), &digest).await;
        let of_manifest = remote.delete_manifest(&digest).await;
        assert_eq!(of_tag, Ok(Deletion::Unsupported), "{status}");
        assert_eq!(of_manifest, Ok(Deletion::Unsupported), "{status}");
    }
    registry.configure(|options| options.refuses_digest_deletion = None);
    assert_eq!(remote.delete_manifest(&digest).await, Ok(Deletion::Deleted));
    assert!(registry.tags("team/app").is_empty());
    assert_eq!(remote.delete_manifest(&digest).await, Ok(Deletion::Gone));
}

#[tokio::test]
async fn the_right_to_delete_is_asked_for_to_delete_only() {
    let registry = with_tags(&["1", "2"]).await;
    registry.set_auth(bearer());
    let remote = remote_as(&registry, me(), Intent::Write);
    let one = digest_of(&remote, "1").await;
    let two = digest_of(&remote, "2").await;
    assert_eq!(
        super::auth::scopes(&registry),
        ["repository:team/app:pull,push"]
    );
    let deletion = remote.delete_tag(&named("1"), &one).await;
    assert_eq!(deletion, Ok(Deletion::Deleted));
    assert_eq!(remote.delete_manifest(&two).await, Ok(Deletion::Deleted));
    assert_eq!(
        super::auth::scopes(&registry),
        [
            "repository:team/app:pull,push",
            "repository:team/app:pull,push,delete"
        ]
    );
}

#[tokio::test]
async fn who_may_not_delete_is_told_so() {
    let registry = with_tags(&["1"]).await;
    let refused = |deletion: Result<Deletion, _>| match deletion {
        Ok(Deletion::Refused(error)) => error.to_string(),
        other => panic!("{other:?}"),
    };
    for status in [403, 409, 412, 423] {
        registry.configure(|options| options.refuses_tag_deletion = Some(status));
        registry.on(
            Method::DELETE,
            "/manifests/1$",
            Nth::Exactly(1),
            Fault::Says(status, "DENIED", "it is kept for ever"),
        );
        let remote = writer(&registry);
        let one = digest_of(&remote, "1").await;
        let words = refused(remote.delete_tag(&named("1"), &one).await);
        assert!(words.contains("kept for ever"), "{words}");
        registry.heal();
    }
    registry.configure(|options| {
        options.refuses_tag_deletion = None;
        options.token_grants = Some(vec!["pull", "push"]);
    });
    registry.set_auth(bearer());
    let remote = remote_as(&registry, me(), Intent::Write);
    let one = digest_of(&remote, "1").await;
    let words = refused(remote.delete_tag(&named("1"), &one).await);
    assert!(words.contains("right to delete"), "{words}");
    assert_eq!(registry.tags("team/app"), ["1"]);
}

#[tokio::test]
async fn a_deletion_outlives_passing_trouble_and_believes_no_page() {
    let registry = with_tags(&["1", "2", "3", "4"]).await;
    let remote = writer(&registry);
    for (name, fault) in [
        ("1", Fault::Status(503)),
        ("2", Fault::ResetHead),
        ("3", Fault::RateLimited(Some("0".into()))),
    ] {
        let pattern = format!("/manifests/{name}$");
        registry.on(Method::DELETE, &pattern, Nth::First(1), fault);
        let digest = digest_of(&remote, name).await;
        let deletion = remote.delete_tag(&named(name), &digest).await;
        assert_eq!(deletion, Ok(Deletion::Deleted), "{name}");
    }
    assert_eq!(registry.tags("team/app"), ["4"]);
    let four = digest_of(&remote, "4").await;
    registry.on(
        Method::DELETE,
        "/manifests/4$",
        Nth::First(1),
        Fault::HtmlStatus(404),
    );
    assert!(remote.delete_tag(&named("4"), &four).await.is_err());
    // An answer that is lost: it was this request's doing, or nobody can tell.
    registry.heal();
    registry.on(
        Method::DELETE,
        "/manifests/4$",
        Nth::First(1),
        Fault::CommitThenReset,
    );
    let deletion = remote.delete_tag(&named("4"), &four).await;
    assert_eq!(deletion, Ok(Deletion::Gone));
    assert!(registry.tags("team/app").is_empty());
}

#[tokio::test]
async fn a_tag_that_is_not_found_and_is_there_cannot_be_deleted_by_its_name() {
    let registry = with_tags(&["1"]).await;
    let remote = writer(&registry);
    registry.on(
        Method::DELETE,
        "/manifests/1$",
        Nth::Every,
        Fault::Code(404, "MANIFEST_UNKNOWN"),
    );
    let one = digest_of(&remote, "1").await;
    let deletion = remote.delete_tag(&named("1"), &one).await;
    assert_eq!(deletion, Ok(Deletion::Unsupported));
}

#[tokio::test]
async fn by_a_placeholder_a_tag_goes_alone() {
    for status in [400, 405] {
        let (registry, digest) = twice().await;
        registry.configure(|options| options.refuses_tag_deletion = Some(status));
        let remote = writer(&registry);
        assert_eq!(
            remote.delete_tag(&named("1"), &digest).await,
            Ok(Deletion::Unsupported)
        );
        let deletion = remote.delete_tag_by_placeholder(&named("1"), &digest).await;
        assert_eq!(deletion, Ok(Deletion::Deleted));
        assert_only_the_other_is_left(&registry, &digest);
        let deleted = registry
            .requests()
            .into_iter()
            .rfind(|it| it.method == Method::DELETE);
        let path = deleted.expect("the placeholder is deleted").path;
        let (_, placeholder) = path.rsplit_once('/').unwrap();
        assert_ne!(placeholder, digest.as_str());
        assert_eq!(remote.head(&by_digest(placeholder)).await, Ok(None));
        assert_eq!(registry.sessions(), 0);
        // What is not there is not made to be deleted.
        let writes = registry.count_of(&Method::PUT, Route::Manifest);
        let deletion = remote.delete_tag_by_placeholder(&named("1"), &digest).await;
        assert_eq!(deletion, Ok(Deletion::Gone));
        assert_eq!(registry.count_of(&Method::PUT, Route::Manifest), writes);
    }
}

#[tokio::test]
async fn a_placeholder_takes_what_way_the_registry_has_for_its_blob() {
    for personality in Personality::ALL {
        let (registry, digest) = twice().await;
        registry.become_a(personality);
        registry.configure(|options| {
            options.refuses_tag_deletion = Some(405);
            options.refuses_digest_deletion = None;
        });
        let deletion = writer(&registry)
            .delete_tag_by_placeholder(&named("1"), &digest)
            .await;
        assert_eq!(deletion, Ok(Deletion::Deleted), "{personality:?}");
        assert_only_the_other_is_left(&registry, &digest);
    }
    let (registry, digest) = twice().await;
    registry.configure(|options| {
        options.refuses_tag_deletion = Some(405);
        options.refuses_put_body = Some(405);
        options.refuses_plain_patch = Some(405);
    });
    let deletion = writer(&registry)
        .delete_tag_by_placeholder(&named("1"), &digest)
        .await;
    assert_eq!(deletion, Ok(Deletion::Deleted));
    assert_only_the_other_is_left(&registry, &digest);
}

#[tokio::test]
async fn a_tag_that_does_not_go_with_its_placeholder_is_what_it_was() {
    for status in [405, 403] {
        let (registry, digest) = twice().await;
        registry.configure(|options| {
            options.refuses_tag_deletion = Some(405);
            options.refuses_digest_deletion = Some(status);
        });
        let remote = writer(&registry);
        let deletion = remote.delete_tag_by_placeholder(&named("1"), &digest).await;
        match (status, deletion) {
            (405, Ok(Deletion::Unsupported)) | (403, Ok(Deletion::Refused(_))) => {}
            (_, other) => panic!("{other:?}"),
        }
        assert_eq!(digest_of(&remote, "1").await, digest);
        registry.check_whole("team/app");
    }
    // Ill, or of another mind, once it has said that it may be.
    for fault in [Fault::Status(500), Fault::Status(405)] {
        let (registry, digest) = twice().await;
        let remote = writer(&registry);
        let later = Nth::After(1);
        registry.on(Method::DELETE, "/manifests/", later, fault);
        let deletion = remote.delete_tag_by_placeholder(&named("1"), &digest).await;
        assert_ne!(deletion, Ok(Deletion::Deleted));
        assert_eq!(registry.count_of(&Method::PUT, Route::Manifest), 2);
        assert_eq!(digest_of(&remote, "1").await, digest);
    }
}

#[tokio::test]
async fn where_nothing_is_deleted_by_a_digest_nothing_is_written_for_it() {
    for status in [405, 501, 403] {
        let (registry, digest) = twice().await;
        registry.configure(|options| {
            options.refuses_tag_deletion = Some(405);
            options.refuses_digest_deletion = Some(status);
        });
        let remote = writer(&registry);
        let deletion = remote.delete_tag_by_placeholder(&named("1"), &digest).await;
        assert!(
            matches!(deletion, Ok(Deletion::Unsupported | Deletion::Refused(_))),
            "{deletion:?}"
        );
        assert_eq!(registry.count_of(&Method::PUT, Route::Manifest), 0);
        assert_eq!(registry.count_of(&Method::HEAD, Route::Blob), 0);
    }
}

#[tokio::test]
async fn what_somebody_else_has_moved_is_neither_deleted_nor_moved() {
    let (registry, digest) = twice().await;
    let remote = writer(&registry);
    let theirs = registry.add_image("team/app", "1", &Image::sized(9, &[10]));
    let moved = Ok(Deletion::Moved {
        found: theirs.parse().unwrap(),
    });
    assert_eq!(remote.delete_tag(&named("1"), &digest).await, moved);
    let deletion = remote.delete_tag_by_placeholder(&named("1"), &digest).await;
    assert_eq!(deletion, moved);
    assert_eq!(registry.count_of(&Method::DELETE, Route::Manifest), 0);
    assert_eq!(registry.count_of(&Method::PUT, Route::Manifest), 0);
}

/// Somebody else makes the tag anew as soon as `when` is so.
async fn push_when(registry: &FakeRegistry, when: impl Fn(&FakeRegistry) -> bool) -> Digest {
    let waiting = async {
        while !when(registry) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting)
        .await
        .expect("it comes to that");
    let theirs = registry.add_image("team/app", "1", &Image::sized(9, &[10]));
    theirs.parse().unwrap()
}

#[tokio::test]
async fn a_deletion_whose_answer_is_lost_is_not_made_again_of_what_came_meanwhile() {
    let (registry, digest) = twice().await;
    let mut settings = quick();
    settings.copying.patience.first_wait = Duration::from_secs(1);
    settings.copying.patience.longest_wait = Duration::from_secs(1);
    let remote = Client::new(settings).remote(
        repository(&registry.image("team/app")),
        Access::default(),
        Intent::Write,
    );
    registry.on(
        Method::DELETE,
        "/manifests/1$",
        Nth::First(1),
        Fault::CommitThenReset,
    );
    let tag = named("1");
    let (deletion, found) = tokio::join!(
        remote.delete_tag(&tag, &digest),
        push_when(&registry, |it| it.tag_digest("team/app", "1").is_none()),
    );
    assert_eq!(digest_of(&remote, "1").await, found);
    assert_eq!(deletion, Ok(Deletion::Moved { found }));
}

#[tokio::test]
async fn what_came_while_a_placeholder_was_made_ready_stays() {
    let (registry, digest) = twice().await;
    // The registry takes its time to say whether it deletes by digests.
    let slow = Fault::Slow(Duration::from_secs(1));
    registry.on(Method::DELETE, "/manifests/sha256:", Nth::First(1), slow);
    let remote = writer(&registry);
    let tag = named("1");
    let is_asked = |it: &FakeRegistry| it.count_of(&Method::DELETE, Route::Manifest) > 0;
    let (deletion, found) = tokio::join!(
        remote.delete_tag_by_placeholder(&tag, &digest),
        push_when(&registry, is_asked),
    );
    assert_eq!(digest_of(&remote, "1").await, found);
    assert_eq!(deletion, Ok(Deletion::Moved { found }));
    assert_eq!(registry.count_of(&Method::PUT, Route::Manifest), 0);
}

#[tokio::test]
async fn a_tag_that_may_not_move_has_no_placeholder() {
    let (registry, digest) = twice().await;
    registry.configure(|options| options.immutable_tags = Some(412));
    let remote = writer(&registry);
    match remote.delete_tag_by_placeholder(&named("1"), &digest).await {
        Ok(Deletion::Refused(error)) => {
            let words = error.to_string();
            assert!(
                words.contains("team/app:1") && words.contains("immutable"),
                "{words}"
            );
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(digest_of(&remote, "1").await, digest);
}

/// What a run leaves that was killed between the two steps.
fn leave_placeholder(registry: &FakeRegistry) -> String {
    registry.put_manifest(
        "team/app",
        Some("1"),
        "application/vnd.oci.image.manifest.v1+json",
        &json!({"schemaVersion": 2, "artifactType": "application/vnd.tagscope.placeholder.v1"}),
    )
}

#[tokio::test]
async fn a_placeholder_that_was_left_is_deleted_the_next_time() {
    let (registry, digest) = twice().await;
    registry.configure(|options| options.refuses_tag_deletion = Some(405));
    let left = leave_placeholder(&registry);
    let remote = writer(&registry);
    let deletion = remote.delete_tag_by_placeholder(&named("1"), &digest).await;
    assert_eq!(deletion, Ok(Deletion::Deleted));
    assert_eq!(registry.count_of(&Method::PUT, Route::Manifest), 0);
    assert_eq!(remote.head(&by_digest(&left)).await, Ok(None));
    assert_only_the_other_is_left(&registry, &digest);
}

#[tokio::test]
async fn a_placeholder_that_was_left_and_cannot_be_deleted_makes_room_for_what_was_there() {
    for status in [405, 403] {
        let (registry, digest) = twice().await;
        registry.configure(|options| {
            options.refuses_tag_deletion = Some(405);
            options.refuses_digest_deletion = Some(status);
        });
        leave_placeholder(&registry);
        let remote = writer(&registry);
        let deletion = remote.delete_tag_by_placeholder(&named("1"), &digest).await;
        assert!(
            matches!(deletion, Ok(Deletion::Unsupported | Deletion::Refused(_))),
            "{deletion:?}"
        );
        assert_eq!(digest_of(&remote, "1").await, digest);
        // What is not there any more cannot come back, and that is told.
        leave_placeholder(&registry);
        let lost = Digest::of(b"lost");
        let deletion = remote.delete_tag_by_placeholder(&named("1"), &lost).await;
        let words = deletion.unwrap_err().to_string();
        assert!(words.contains("names a placeholder now"), "{words}");
    }
}
