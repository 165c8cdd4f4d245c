//! What is copied when, and what it costs.

use super::super::bench::condition;
use super::*;

fn counts(all: &[(&str, usize)]) -> std::collections::BTreeMap<String, usize> {
    all.iter()
        .map(|(what, count)| ((*what).to_owned(), *count))
        .collect()
}

#[tokio::test]
async fn what_a_scan_finds_is_copied_at_once_verified_and_told() {
    let rig = Rig::start().await;
    let first = rig
        .source
        .add_image("team/app", "1.0", &Image::sized(1, &[300]));
    rig.scan("1").await;
    rig.mirror(json!({}));
    let object = rig.is("True", "mirrored 1 of 1 tag to 1 destination").await;
    assert_eq!(object["status"]["observedGeneration"], 1);
    assert_eq!(object["status"]["lastRun"]["reason"], "NewTags");
    assert_eq!(object["status"]["tags"]["summary"], "1/1");
    assert_eq!(object["status"]["outcomes"][0]["outcome"], "Copied");
    assert_eq!(object["status"]["outcomes"][0]["sourceDigest"], first);
    rig.destination.check_whole("mirror/team/app");
    assert_eq!(rig.verified().unwrap()["1.0"], first);
    let (_, events) = rig.writes();
    assert_eq!(events, ["Normal mirrored 1 of 1 tag to 1 destination"]);

    // One new tag: the scan's list, one manifest and two blobs; at the destination one question and what is written.
    rig.clear();
    let second = rig
        .source
        .add_image("team/app", "1.1", &Image::sized(2, &[300]));
    rig.scan("2").await;
    rig.is("True", "mirrored 2 of 2 tags to 1 destination")
        .await;
    assert_eq!(
        counted(&rig.source),
        counts(&[("GET List", 1), ("GET Manifest", 1), ("GET Blob", 2)])
    );
    assert_eq!(
        counted(&rig.destination),
        counts(&[
            ("HEAD Manifest", 1),
            ("POST Upload", 2),
            ("PUT Upload", 2),
            ("PUT Manifest", 1)
        ])
    );
    let verified = rig.verified().unwrap();
    assert_eq!((&verified["1.0"], &verified["1.1"]), (&first, &second));
    let (_, events) = rig.writes();
    assert_eq!(events, ["Normal mirrored 2 of 2 tags to 1 destination"]);

    // A scan that finds the same: its list, and nothing else; nothing is written of the mirror.
    rig.clear();
    rig.scan("3").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(counted(&rig.source), counts(&[("GET List", 1)]));
    assert_eq!(counted(&rig.destination), counts(&[]));
    assert_eq!(rig.writes(), (vec![], vec![]));
}

#[tokio::test]
async fn what_is_pushed_during_a_long_run_does_not_wait_for_its_end() {
    let rig = Rig::start().await;
    let image = |seed| Image::sized(seed, &[300]);
    rig.source.add_image("team/app", "1.0", &image(1));
    rig.scan("1").await;
    let long = Fault::PauseReading(0, Duration::from_secs(4));
    rig.destination
        .on(Method::PUT, "/manifests/1.0", Nth::Every, long);
    // Whatever nobody wants is to be deleted: what is new during a run is not that.
    rig.mirror(json!({ "prune": { "enabled": true, "grace": "0s", "maxDeleteFraction": "100%" } }));
    until(|| rig.destination.count_of(&Method::PUT, Route::Manifest) > 0).await;
    rig.source.add_image("team/app", "1.1", &image(2));
    rig.scan("2").await;
    let there = |tag: &str| rig.destination.tag_digest("mirror/team/app", tag);
    until(|| there("1.1").is_some()).await;
    assert_eq!(there("1.0"), None, "the long run is not over");
    rig.is("True", "mirrored 2 of 2 tags to 1 destination")
        .await;
    rig.destination.check_whole("mirror/team/app");
    // Each was written once, and nothing was deleted.
    assert_eq!(rig.destination.count_of(&Method::PUT, Route::Manifest), 2);
    assert_eq!(
        rig.destination.count_of(&Method::DELETE, Route::Manifest),
        0
    );
}

#[tokio::test]
async fn a_source_that_comes_during_a_long_run_is_looked_at_once() {
    let rig = Rig::start().await;
    for (seed, name) in [(1, "team/app"), (2, "team/late")] {
        rig.source
            .add_image(name, "1.0", &Image::sized(seed, &[300]));
    }
    rig.scan("1").await;
    let long = Fault::PauseReading(0, Duration::from_secs(4));
    rig.destination
        .on(Method::PUT, "/app/manifests/1.0", Nth::Every, long);
    rig.mirror(json!({ "sourceRef": { "selector": {} } }));
    until(|| rig.destination.count_of(&Method::PUT, Route::Manifest) > 0).await;
    rig.repository("late");
    let there = |name: &str| {
        rig.destination
            .tag_digest(&format!("mirror/team/{name}"), "1.0")
    };
    until(|| there("late").is_some()).await;
    assert_eq!(there("app"), None, "the long run is not over");
    rig.is("True", "mirrored 2 of 2 tags").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let asked = rig.source.requests().into_iter();
    let asked = asked.filter(|one| one.path.ends_with("/team/late/manifests/1.0"));
    assert_eq!(asked.count(), 1);
}

#[tokio::test]
async fn at_the_interval_only_tags_that_move_are_asked_for_and_only_at_the_source() {
    let rig = Rig::start().await;
    for (seed, tag) in [(1, "1.0"), (2, "latest")] {
        rig.source
            .add_image("team/app", tag, &Image::sized(seed, &[300]));
    }
    rig.scan("1").await;
    rig.mirror(json!({ "interval": "200ms", "overwrite": { "mode": "MutableTagsOnly" } }));
    rig.is("True", "mirrored 2 of 2 tags").await;
    // It may just be writing.
    until(|| rig.source.count_of(&Method::HEAD, Route::Manifest) > 0).await;
    rig.clear();
    // A status has whole seconds: so many looks are in two of them.
    until(|| rig.source.requests().len() > 8).await;
    let asked = rig.source.requests();
    assert!(
        asked
            .iter()
            .all(|one| one.method == Method::HEAD && one.place().ends_with("/latest")),
        "{:?}",
        rig.source.conversation()
    );
    assert_eq!(counted(&rig.destination), counts(&[]));
    let (statuses, events) = rig.writes();
    assert!(!statuses.is_empty() && events.is_empty(), "{events:?}");
    for status in statuses {
        let fields: Vec<_> = status.as_object().unwrap().keys().collect();
        assert!(
            fields.iter().all(|it| *it == "lastRun" || *it == "nextRun"),
            "{fields:?}"
        );
    }
    // One that moved is copied, and what others believe in is the new one.
    let moved = rig
        .source
        .add_image("team/app", "latest", &Image::sized(3, &[300]));
    until(|| {
        rig.destination
            .tag_digest("mirror/team/app", "latest")
            .as_ref()
            == Some(&moved)
    })
    .await;
    until(|| {
        rig.verified()
            .is_some_and(|all| all.get("latest") == Some(&moved))
    })
    .await;
    rig.destination.check_whole("mirror/team/app");
}

#[tokio::test]
async fn a_tag_that_moved_and_may_not_be_overwritten_is_drift_that_nobody_believes_in() {
    let rig = Rig::start().await;
    let before = rig
        .source
        .add_image("team/app", "latest", &Image::sized(1, &[300]));
    rig.scan("1").await;
    rig.mirror(json!({ "interval": "200ms" }));
    rig.is("True", "mirrored 1 of 1 tag").await;
    assert!(rig.verified().unwrap().contains_key("latest"));
    rig.source
        .add_image("team/app", "latest", &Image::sized(2, &[300]));
    let object = rig.is("False", "differ at a destination").await;
    assert_eq!(condition(&object, "Ready").unwrap()["reason"], "Drifted");
    assert_eq!(condition(&object, "Stalled").unwrap()["status"], "True");
    assert_eq!(object["status"]["tags"]["drifted"], 1);
    assert_eq!(object["status"]["outcomes"][0]["destinationDigest"], before);
    assert_eq!(rig.verified().unwrap().len(), 0);
    // It goes on, and is no news; nor is the destination asked.
    rig.clear();
    until(|| rig.source.requests().len() > 3).await;
    assert_eq!(counted(&rig.destination), counts(&[]));
    assert!(
        rig.source
            .requests()
            .iter()
            .all(|one| one.method == Method::HEAD)
    );
    assert_eq!(rig.writes().1, Vec::<String>::new());
    // Another spec may mend it, at once.
    rig.edit(json!({ "overwrite": { "mode": "Always" } }));
    let object = rig.is("True", "mirrored 1 of 1 tag").await;
    assert!(condition(&object, "Stalled").is_none());
    assert_ne!(rig.verified().unwrap()["latest"], before);
}

#[tokio::test]
async fn at_the_verify_interval_everything_is_asked_for_on_both_sides() {
    let rig = Rig::start().await;
    for (seed, tag) in [(1, "1.0"), (2, "2.0")] {
        rig.source
            .add_image("team/app", tag, &Image::sized(seed, &[300]));
    }
    rig.scan("1").await;
    rig.mirror(json!({ "verifyInterval": "1s" }));
    rig.is("True", "mirrored 2 of 2 tags").await;
    rig.clear();
    let is_verified = |object: &serde_json::Value| {
        object["status"]["lastRun"]["reason"] == "Verify"
            && condition(object, "Reconciling").is_none()
    };
    rig.kube.wait_for(MIRRORS, "apps", "app", is_verified).await;
    assert_eq!(counted(&rig.source), counts(&[("HEAD Manifest", 2)]));
    assert_eq!(
        counted(&rig.destination),
        counts(&[("GET List", 1), ("HEAD Manifest", 2)])
    );
    // What was lost there is copied again.
    rig.destination.delete_tag("mirror/team/app", "1.0");
    until(|| {
        rig.destination
            .tag_digest("mirror/team/app", "1.0")
            .is_some()
    })
    .await;
}

#[tokio::test]
async fn who_asks_has_everything_looked_at_and_is_answered() {
    let rig = Rig::start().await;
    for (seed, tag) in [(1, "1.0"), (2, "2.0")] {
        rig.source
            .add_image("team/app", tag, &Image::sized(seed, &[300]));
    }
    rig.scan("1").await;
    rig.mirror(json!({}));
    rig.is("True", "mirrored 2 of 2 tags").await;
    rig.clear();
    rig.destination.delete_tag("mirror/team/app", "2.0");
    rig.kube.annotate(MIRRORS, "apps", "app", "now");
    let is_answered =
        |object: &serde_json::Value| object["status"]["lastHandledReconcileAt"] == "now";
    let object = rig.kube.wait_for(MIRRORS, "apps", "app", is_answered).await;
    assert_eq!(object["status"]["lastRun"]["reason"], "Requested");
    assert_eq!(object["status"]["lastRun"]["copied"], 1);
    rig.destination.check_whole("mirror/team/app");
    assert!(
        rig.destination
            .tag_digest("mirror/team/app", "2.0")
            .is_some()
    );
    assert_eq!(rig.source.count_of(&Method::HEAD, Route::Manifest), 1);
    assert_eq!(rig.destination.count_of(&Method::GET, Route::List), 1);
    assert_eq!(rig.destination.count_of(&Method::HEAD, Route::Manifest), 1);
}

#[tokio::test]
async fn a_policy_elects_what_is_mirrored_and_the_mirror_copies_what_it_would_elect() {
    let rig = Rig::start().await;
    for (seed, tag) in [(1, "1.0.0"), (2, "1.1.0"), (3, "2.0.0")] {
        rig.source
            .add_image("team/app", tag, &Image::sized(seed, &[300]));
    }
    let policy = json!({
        "apiVersion": "image.toolkit.fluxcd.io/v1", "kind": "ImagePolicy",
        "metadata": { "name": "app", "annotations": { "tags.tagscope.dev/require-mirrored": "app" } },
        "spec": { "imageRepositoryRef": { "name": "app" }, "policy": { "semver": { "range": "1.x" } } },
    });
    rig.kube.create("imagepolicies", "apps", policy);
    rig.mirror(json!({ "tags": { "imagePolicyRefs": [{ "name": "app" }] } }));
    rig.scan("1").await;
    let elects = |tag: &'static str| {
        move |object: &serde_json::Value| object["status"]["latestRef"]["tag"] == tag
    };
    rig.kube
        .wait_for("imagepolicies", "apps", "app", elects("1.1.0"))
        .await;
    assert_eq!(rig.destination.tags("mirror/team/app"), ["1.1.0"]);
    rig.source
        .add_image("team/app", "1.2.0", &Image::sized(4, &[300]));
    rig.scan("2").await;
    rig.kube
        .wait_for("imagepolicies", "apps", "app", elects("1.2.0"))
        .await;
    assert!(
        rig.destination
            .tags("mirror/team/app")
            .contains(&"1.2.0".to_owned())
    );
}
