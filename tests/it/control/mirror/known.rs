//! What is known to be where: over a restart, and when it is lost.

use std::collections::BTreeMap;

use http::StatusCode;

use super::super::bench::REPOSITORIES;
use super::*;

#[tokio::test]
async fn a_restart_with_what_is_known_asks_nobody_and_says_the_same() {
    let mut rig = Rig::start().await;
    for seed in 1..6 {
        let tag = format!("{seed}.0");
        rig.source
            .add_image("team/app", &tag, &Image::sized(seed, &[300]));
    }
    rig.scan("1").await;
    rig.mirror(json!({}));
    let object = rig.is("True", "mirrored 5 of 5 tags").await;
    let verified = rig.verified().unwrap();
    assert_eq!(verified.len(), 5);
    rig.stop().await;
    rig.clear();
    rig.run();
    until(|| rig.verified().is_some_and(|again| again == verified)).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(
        rig.destination.requests().len(),
        0,
        "{:?}",
        rig.destination.conversation()
    );
    assert_eq!(rig.source.count(Route::Manifest), 0);
    let again = rig.object();
    for field in [
        "conditions",
        "tags",
        "lastRun",
        "nextRun",
        "observedGeneration",
    ] {
        assert_eq!(again["status"][field], object["status"][field], "{field}");
    }
    assert_eq!(rig.writes().1, Vec::<String>::new());

    // New tags go on from there.
    rig.source
        .add_image("team/app", "6.0", &Image::sized(6, &[300]));
    rig.scan("2").await;
    rig.is("True", "mirrored 6 of 6 tags").await;
    assert_eq!(rig.destination.count_of(&Method::HEAD, Route::Manifest), 1);
}

#[tokio::test]
async fn after_another_process_was_at_work_destinations_are_asked() {
    let mut rig = Rig::start().await;
    let images = [(1, "1.0"), (2, "2.0"), (3, "3.0")];
    let images = images.map(|(seed, tag)| (tag, Image::sized(seed, &[300])));
    for (tag, image) in &images {
        rig.source.add_image("team/app", tag, image);
    }
    rig.scan("1").await;
    rig.mirror(json!({}));
    let object = rig.is("True", "mirrored 3 of 3 tags").await;
    let own = object["status"]["witness"].clone();
    assert!(own.is_string(), "{own}");
    rig.source.delete_tag("team/app", "3.0");
    rig.scan("2").await;
    rig.is("True", "mirrored 2 of 2 tags").await;
    rig.stop().await;
    // It led meanwhile, and deleted a tag that came back to the source, and one that does later.
    rig.destination.delete_tag("mirror/team/app", "3.0");
    let mut status = rig.object()["status"].clone();
    status["witness"] = json!("another");
    rig.kube.set_status(MIRRORS, "apps", "app", status);
    rig.destination.delete_tag("mirror/team/app", "1.0");
    rig.clear();
    rig.run();
    until(|| {
        rig.destination
            .tag_digest("mirror/team/app", "1.0")
            .is_some()
    })
    .await;
    let is_own = |object: &serde_json::Value| object["status"]["witness"] == own;
    rig.kube.wait_for(MIRRORS, "apps", "app", is_own).await;
    assert_eq!(rig.verified().unwrap().len(), 2);
    // The first that is said is that nobody's state is to be believed.
    let (statuses, _) = rig.writes();
    assert_eq!(statuses[0].get("witness"), Some(&serde_json::Value::Null));
    let (tag, image) = &images[2];
    rig.source.add_image("team/app", tag, image);
    rig.scan("3").await;
    rig.is("True", "mirrored 3 of 3 tags").await;
    rig.destination.check_whole("mirror/team/app");
    assert_eq!(rig.destination.tags("mirror/team/app").len(), 3);
}

/// A source that is out of reach when another process's work is taken over is asked for when it is back.
#[tokio::test]
async fn after_another_process_was_at_work_who_comes_back_later_is_asked_for_too() {
    let mut rig = Rig::start().await;
    for (seed, name) in [(1, "team/app"), (2, "team/late")] {
        rig.source
            .add_image(name, "1.0", &Image::sized(seed, &[300]));
    }
    rig.repository("late");
    rig.scan("1").await;
    rig.mirror(json!({ "sourceRef": { "selector": {} } }));
    let object = rig.is("True", "mirrored 2 of 2 tags").await;
    let own = object["status"]["witness"].clone();
    rig.stop().await;
    let mut status = rig.object()["status"].clone();
    status["witness"] = json!("another");
    rig.kube.set_status(MIRRORS, "apps", "app", status);
    rig.destination.delete_tag("mirror/team/late", "1.0");
    let secret = |name: Option<&str>| {
        let secret = name.map(|name| json!({ "name": name }));
        rig.kube.edit(
            REPOSITORIES,
            "apps",
            "late",
            json!({ "spec": { "secretRef": secret } }),
        );
    };
    secret(Some("absent"));
    let kube = rig.kube.clone();
    rig.run();
    let object = rig.is("False", "\"absent\" not found").await;
    assert_ne!(object["status"]["witness"], own);
    kube.edit(
        REPOSITORIES,
        "apps",
        "late",
        json!({ "spec": { "secretRef": null } }),
    );
    let is_own = |object: &serde_json::Value| object["status"]["witness"] == own;
    rig.kube.wait_for(MIRRORS, "apps", "app", is_own).await;
    assert_eq!(rig.destination.tags("mirror/team/late"), ["1.0"]);
}

#[tokio::test]
async fn a_state_that_is_not_written_down_vouches_for_nothing() {
    let rig = Rig::start().await;
    let in_the_way = rig.disk().join("mirror/mirror.known.new/x");
    std::fs::create_dir_all(&in_the_way).unwrap();
    rig.source
        .add_image("team/app", "1.0", &Image::sized(1, &[300]));
    rig.scan("1").await;
    rig.mirror(json!({}));
    let object = rig.is("True", "mirrored 1 of 1 tag").await;
    assert_eq!(object["status"].get("witness"), None, "{object}");
    std::fs::remove_dir_all(in_the_way.parent().unwrap()).unwrap();
    rig.kube.annotate(MIRRORS, "apps", "app", "again");
    let is_told = |object: &serde_json::Value| object["status"]["witness"].is_string();
    rig.kube.wait_for(MIRRORS, "apps", "app", is_told).await;
}

/// Should this process not come to the end of its first run, nobody believes what was known before.
#[tokio::test]
async fn nothing_is_written_before_it_is_said_that_no_state_is_to_be_believed() {
    let mut rig = Rig::start().await;
    rig.source
        .add_image("team/app", "1.0", &Image::sized(1, &[300]));
    rig.scan("1").await;
    rig.mirror(json!({}));
    rig.is("True", "mirrored 1 of 1 tag").await;
    rig.stop().await;
    let mut status = rig.object()["status"].clone();
    status["witness"] = json!("another");
    rig.kube.set_status(MIRRORS, "apps", "app", status);
    rig.destination.delete_tag("mirror/team/app", "1.0");
    rig.clear();
    let path = "/imagemirrors/app/status";
    rig.kube
        .refuse(Method::PATCH, path, StatusCode::SERVICE_UNAVAILABLE);
    rig.run();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(counted(&rig.destination), BTreeMap::new());
    rig.kube.heal();
    let there = || rig.destination.tag_digest("mirror/team/app", "1.0");
    until(|| there().is_some()).await;
}

#[tokio::test]
async fn without_what_was_known_both_sides_are_asked_and_nothing_is_copied() {
    let mut rig = Rig::start().await;
    for seed in 1..4 {
        let tag = format!("{seed}.0");
        rig.source
            .add_image("team/app", &tag, &Image::sized(seed, &[300]));
    }
    rig.scan("1").await;
    rig.mirror(json!({}));
    rig.is("True", "mirrored 3 of 3 tags").await;
    rig.stop().await;
    rig.lose_state();
    rig.clear();
    rig.run();
    until(|| rig.verified().is_some_and(|all| all.len() == 3)).await;
    assert_eq!(rig.destination.count_of(&Method::GET, Route::List), 1);
    assert_eq!(rig.destination.count_of(&Method::HEAD, Route::Manifest), 3);
    assert_eq!(rig.source.count_of(&Method::HEAD, Route::Manifest), 3);
    let written = rig
        .destination
        .count_where(|one| one.method != Method::GET && one.method != Method::HEAD);
    assert_eq!(written, 0);
}
