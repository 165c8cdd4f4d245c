//! What goes wrong on the way.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tagscope::clock::HandClock;

use super::super::bench::{REPOSITORIES, condition};
use super::*;
use crate::fake_registry::Auth;

#[tokio::test]
async fn a_destination_that_is_down_for_long_is_told_of_once_and_then_all_is_copied() {
    let rig = Rig::start().await;
    rig.source
        .add_image("team/app", "1.0", &Image::sized(1, &[300]));
    rig.scan("1").await;
    rig.mirror(json!({}));
    rig.is("True", "mirrored 1 of 1 tag").await;
    rig.clear();
    rig.destination.fail_always(Fault::Status(503));
    for seed in 2..5 {
        let tag = format!("{seed}.0");
        rig.source
            .add_image("team/app", &tag, &Image::sized(seed, &[300]));
    }
    rig.scan("2").await;
    let object = rig.is("False", "failed to mirror 3 of 4 tags").await;
    assert_eq!(condition(&object, "Ready").unwrap()["reason"], "CopyFailed");
    assert_eq!(
        condition(&object, "Reconciling").unwrap()["reason"],
        "ProgressingWithRetry"
    );
    // What is there is there.
    assert_eq!(rig.verified().unwrap().keys().collect::<Vec<_>>(), ["1.0"]);
    // Several attempts later.
    let before = rig.destination.requests().len();
    until(|| rig.destination.requests().len() > before + 5).await;
    rig.destination.heal();
    rig.is("True", "mirrored 4 of 4 tags").await;
    assert_eq!(rig.verified().unwrap().len(), 4);
    rig.destination.check_whole("mirror/team/app");
    tokio::time::sleep(Duration::from_millis(200)).await;
    let (_, events) = rig.writes();
    let warnings = events.iter().filter(|it| it.starts_with("Warning"));
    assert_eq!(warnings.count(), 1, "{events:?}");
    assert_eq!(
        events.last().unwrap(),
        "Normal mirrored 4 of 4 tags to 1 destination"
    );
}

#[tokio::test]
async fn suspending_ends_what_is_under_way_and_resuming_goes_on() {
    let rig = Rig::start().await;
    rig.source
        .add_image("team/app", "1.0", &Image::sized(1, &[300]));
    let slow = Fault::Slow(Duration::from_secs(20));
    rig.destination
        .on(Method::PUT, "/uploads/", Nth::Every, slow);
    rig.scan("1").await;
    rig.mirror(json!({}));
    until(|| rig.destination.count_of(&Method::POST, Route::Upload) > 0).await;
    rig.edit(json!({ "suspend": true }));
    let is_observed = |object: &serde_json::Value| object["status"]["observedGeneration"] == 2;
    let object = rig.kube.wait_for(MIRRORS, "apps", "app", is_observed).await;
    assert!(condition(&object, "Reconciling").is_none());
    assert_eq!(rig.destination.tag_digest("mirror/team/app", "1.0"), None);
    rig.clear();
    rig.kube.annotate(MIRRORS, "apps", "app", "now");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(rig.source.requests().len(), 0);
    assert_eq!(rig.destination.count_of(&Method::POST, Route::Upload), 0);
    rig.destination.heal();
    rig.edit(json!({ "suspend": false }));
    rig.is("True", "mirrored 1 of 1 tag").await;
    rig.destination.check_whole("mirror/team/app");
}

#[tokio::test]
async fn a_run_ends_when_its_source_may_not_be_read_any_more() {
    let rig = Rig::start().await;
    rig.source
        .add_image("team/app", "1.0", &Image::sized(1, &[300]));
    let slow = Fault::Slow(Duration::from_secs(30));
    rig.destination
        .on(Method::PUT, "/uploads/", Nth::Every, slow);
    rig.scan("1").await;
    rig.mirror(json!({}));
    until(|| rig.destination.count_of(&Method::PUT, Route::Upload) > 0).await;
    let begun = tokio::time::Instant::now();
    rig.kube.delete(REPOSITORIES, "apps", "app");
    let object = rig
        .is("False", "ImageRepository 'apps/app' not found")
        .await;
    let reason = &condition(&object, "Ready").unwrap()["reason"];
    assert_eq!(reason, "DependencyNotReady");
    assert!(begun.elapsed() < Duration::from_secs(25), "it was ended");
    assert_eq!(rig.destination.tag_digest("mirror/team/app", "1.0"), None);
}

/// Also when all that is left of it is what came to be wanted on the way.
#[tokio::test]
async fn what_came_to_be_wanted_ends_with_its_source_too() {
    let rig = Rig::start().await;
    rig.source
        .add_image("team/app", "1.0", &Image::sized(1, &[300]));
    let long = Fault::PauseReading(0, Duration::from_secs(2));
    rig.destination
        .on(Method::PUT, "/manifests/1.0", Nth::Every, long);
    let longer = Fault::PauseReading(0, Duration::from_secs(30));
    rig.destination
        .on(Method::PUT, "/manifests/1.1", Nth::Every, longer);
    rig.scan("1").await;
    rig.mirror(json!({}));
    let written = || rig.destination.count_of(&Method::PUT, Route::Manifest);
    until(|| written() > 0).await;
    rig.source
        .add_image("team/app", "1.1", &Image::sized(2, &[300]));
    rig.scan("2").await;
    until(|| written() > 1).await;
    let there = |tag: &str| rig.destination.tag_digest("mirror/team/app", tag);
    until(|| there("1.0").is_some()).await;
    let begun = tokio::time::Instant::now();
    rig.kube.delete(REPOSITORIES, "apps", "app");
    rig.is("False", "ImageRepository 'apps/app' not found")
        .await;
    assert!(begun.elapsed() < Duration::from_secs(20), "it was ended");
    assert_eq!(there("1.1"), None);
}

#[tokio::test]
async fn a_tag_that_moves_while_it_is_copied_is_looked_at_again_at_once() {
    let clock = Arc::new(HandClock::at(
        Timestamp::UNIX_EPOCH + SignedDuration::from_hours(9),
    ));
    let rig = Rig::by(clock.clone()).await;
    rig.source
        .add_image("team/app", "latest", &Image::sized(1, &[300]));
    let slow = Fault::Slow(Duration::from_millis(300));
    rig.destination
        .on(Method::PUT, "/uploads/", Nth::First(1), slow);
    rig.scan("1").await;
    rig.mirror(json!({ "overwrite": { "mode": "MutableTagsOnly" } }));
    until(|| rig.destination.count_of(&Method::POST, Route::Upload) > 0).await;
    let moved = rig
        .source
        .add_image("team/app", "latest", &Image::sized(2, &[300]));
    clock.advance(SignedDuration::from_secs(40));
    until(|| {
        rig.destination
            .tag_digest("mirror/team/app", "latest")
            .as_ref()
            == Some(&moved)
    })
    .await;
    rig.is("True", "mirrored 1 of 1 tag").await;
    until(|| {
        rig.verified()
            .is_some_and(|all| all.get("latest") == Some(&moved))
    })
    .await;
}

#[tokio::test]
async fn a_mirror_that_is_gone_is_believed_in_no_more_and_its_copies_stay() {
    let rig = Rig::start().await;
    rig.source
        .add_image("team/app", "1.0", &Image::sized(1, &[300]));
    rig.scan("1").await;
    rig.mirror(json!({}));
    rig.is("True", "mirrored 1 of 1 tag").await;
    rig.kube.delete(MIRRORS, "apps", "app");
    until(|| rig.verified().is_none()).await;
    rig.destination.check_whole("mirror/team/app");
    assert!(
        rig.destination
            .tag_digest("mirror/team/app", "1.0")
            .is_some()
    );
}

#[tokio::test]
async fn no_secret_shows_anywhere() {
    use base64::Engine as _;
    let rig = Rig::start().await;
    rig.source
        .add_image("team/app", "1.0", &Image::sized(1, &[300]));
    let config = |host: &str, password: &str| {
        let config = json!({ "auths": { host: { "username": "me", "password": password } } });
        base64::engine::general_purpose::STANDARD.encode(config.to_string())
    };
    let secret = |name: &str, data: String| {
        json!({
            "metadata": { "name": name }, "type": "kubernetes.io/dockerconfigjson",
            "data": { ".dockerconfigjson": data },
        })
    };
    for (registry, name, password) in [
        (&rig.source, "pull", "hunter-of-sources"),
        (&rig.destination, "push", "hunter-of-destinations"),
    ] {
        registry.set_auth(Auth::Basic {
            username: "me".into(),
            password: password.into(),
        });
        let data = config(&registry.plain_host(), password);
        rig.kube.create("secrets", "apps", secret(name, data));
    }
    let patch = json!({ "spec": { "secretRef": { "name": "pull" } } });
    rig.kube.edit("imagerepositories", "apps", "app", patch);
    rig.scan("1").await;
    rig.kube.take_asked();
    let destination = json!({
        "name": "main", "insecure": true, "repositoryTemplate": "{path}",
        "registry": format!("{}/mirror", rig.destination.plain_host()),
    });
    rig.mirror(json!({ "destinations": [destination] }));
    rig.is("False", "failed to mirror 1 of 1 tag").await;
    rig.destination
        .on(Method::PUT, "/manifests/", Nth::First(2), Fault::Echo);
    let mut destination = destination;
    destination["secretRef"] = json!({ "name": "push" });
    rig.edit(json!({ "destinations": [destination] }));
    let object = rig.is("True", "mirrored 1 of 1 tag").await;
    let written: Vec<_> = rig
        .kube
        .take_asked()
        .into_iter()
        .map(|one| one.body.to_string())
        .collect();
    assert!(!written.is_empty());
    for password in ["hunter-of-sources", "hunter-of-destinations"] {
        let encoded = base64::engine::general_purpose::STANDARD.encode(format!("me:{password}"));
        for shown in [password, encoded.as_str()] {
            assert!(!object.to_string().contains(shown));
            assert!(
                written.iter().all(|one| !one.contains(shown)),
                "{written:?}"
            );
        }
    }
    assert!(!rig.source.saw("hunter-of-destinations"));
    assert!(!rig.destination.saw("hunter-of-sources"));
}
