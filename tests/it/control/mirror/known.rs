//! What is known to be where: over a restart, and when it is lost.

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
    for (seed, tag) in [(1, "1.0"), (2, "2.0")] {
        rig.source
            .add_image("team/app", tag, &Image::sized(seed, &[300]));
    }
    rig.scan("1").await;
    rig.mirror(json!({}));
    let object = rig.is("True", "mirrored 2 of 2 tags").await;
    let own = object["status"]["witness"].clone();
    assert!(own.is_string(), "{own}");
    rig.stop().await;
    // It led meanwhile, and deleted a tag that came back to the source.
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
