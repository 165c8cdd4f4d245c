//! The mirrors of `--destination-registry`: one of each ImageRepository, without an object and without a definition.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tagscope::clock::SystemClock;
use tagscope::control::image_mirror::{Credentials, Implicit};
use tagscope::object::Key;
use tagscope::registry::docker_config::Renewed;

use super::super::bench::{REPOSITORIES, says};
use super::kit::{Rig, until};
use crate::fake_registry::{Auth, Image};

/// Everything goes below `copies` at the destination. The definition of mirrors is not installed.
async fn rig(credentials: Credentials) -> Rig {
    let mut rig = Rig::prepare(Arc::new(SystemClock)).await;
    let registry = format!("{}/copies", rig.destination.plain_host());
    rig.settings.implicit = Some(Implicit::new(registry, credentials));
    for suffix in ["/apis/mirror.tagscope.dev/v1alpha1", "/imagemirrors"] {
        rig.kube.refuse(Method::GET, suffix, StatusCode::NOT_FOUND);
    }
    for (tag, seed) in [("1.0.0", 1), ("1.1.0", 2), ("latest", 3)] {
        let image = Image::sized(seed, &[100]);
        rig.source.add_image("team/app", tag, &image);
    }
    rig
}

/// No Docker configuration is there.
fn nobody() -> Credentials {
    Credentials::Docker(Renewed::at("/nowhere/config.json".into()))
}

fn repository(rig: &Rig, name: &str, path: &str) {
    let spec = json!({ "image": rig.source.image(path), "interval": "1h", "insecure": true });
    rig.kube.create(
        REPOSITORIES,
        "apps",
        json!({
            "apiVersion": "image.toolkit.fluxcd.io/v1", "kind": "ImageRepository",
            "metadata": { "name": name, "creationTimestamp": "2030-01-01T00:00:00Z" }, "spec": spec,
        }),
    );
}

/// What was told as Events about mirrors, with the ImageRepository.
fn told(rig: &Rig) -> Vec<String> {
    let asked = rig.kube.take_asked().into_iter();
    let events = asked.filter(|one| one.is_write() && one.path.contains("/events"));
    let words = events.map(|one| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let about = &one.body["involvedObject"];
        format!(
            "{} {}: {}",
            text(&about["kind"]),
            text(&about["name"]),
            text(&one.body["message"])
        )
    });
    words.filter(|words| words.contains("mirror of")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_image_repository_is_copied_whole_under_its_last_name_without_an_object() {
    let mut rig = rig(nobody()).await;
    // imagerepo-mirror overwrites.
    let old = Image::sized(9, &[10]);
    rig.destination.add_image("copies/app", "1.0.0", &old);
    rig.run();
    until(|| rig.destination.tags("copies/app").len() == 3).await;
    until(|| {
        let moved = rig.destination.tag_digest("copies/app", "1.0.0");
        moved == rig.source.tag_digest("team/app", "1.0.0")
    })
    .await;
    rig.destination.check_whole("copies/app");
    let mut events = Vec::new();
    let begin = tokio::time::Instant::now();
    let last = |events: &[String]| events.last().is_some_and(|one| one.contains("mirrored"));
    while !last(&events) && begin.elapsed().as_secs() < 30 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        events.extend(told(&rig));
    }
    let registry = format!("{}/copies", rig.destination.plain_host());
    let start = format!("ImageRepository app: mirror of 'apps/app' to {registry}: mirrored 3 of 3");
    // Before its first scan it may say that it waits for one.
    assert!(
        events.len() <= 2 && events.last().unwrap().starts_with(&start),
        "{events:?}"
    );

    // Nothing new, and nothing is told; a new tag is copied at once.
    rig.scan("once").await;
    assert_eq!(told(&rig), Vec::<String>::new());
    let image = Image::sized(4, &[100]);
    rig.source.add_image("team/app", "1.2.0", &image);
    rig.scan("twice").await;
    until(|| rig.destination.tags("copies/app").len() == 4).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_images_of_one_name_the_later_is_refused_and_told_which_one_it_meets() {
    let mut rig = rig(nobody()).await;
    let image = Image::sized(7, &[100]);
    rig.source.add_image("other/app", "9.0.0", &image);
    repository(&rig, "late", "other/app");
    // The same image once more is in nobody's way.
    repository(&rig, "again", "team/app");
    rig.run();
    until(|| rig.destination.tags("copies/app").len() == 3).await;
    let mut events = Vec::new();
    let begin = tokio::time::Instant::now();
    let about = |events: &[String], name: &str| {
        let start = format!("ImageRepository {name}:");
        events
            .iter()
            .find(|event| event.starts_with(&start))
            .cloned()
    };
    while (about(&events, "late").is_none() || about(&events, "again").is_none())
        && begin.elapsed().as_secs() < 30
    {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        events.extend(told(&rig));
    }
    let late = about(&events, "late").expect("an event");
    for part in [
        "'apps/late'",
        // Both are as old: the first by name counts.
        "'apps/again' (by --destination-registry)",
        "copies another image",
        "copies/app",
    ] {
        assert!(late.contains(part), "{part} not in {late}");
    }
    let again = about(&events, "again").expect("an event");
    assert!(again.contains("mirrored 3 of 3"), "{again}");
    assert_eq!(
        rig.destination.tags("copies/app").len(),
        3,
        "nothing of the other one"
    );

    // The name is free when the first ones have gone.
    rig.kube.delete(REPOSITORIES, "apps", "app");
    rig.kube.delete(REPOSITORIES, "apps", "again");
    until(|| {
        rig.destination
            .tags("copies/app")
            .contains(&"9.0.0".to_owned())
    })
    .await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_secret_of_the_destination_is_the_programs_and_one_that_comes_later_counts_at_once() {
    let secret = Key::new("tagscope-system", "push");
    let mut rig = rig(Credentials::Secret(secret)).await;
    rig.destination.set_auth(Auth::Basic {
        username: "pusher".into(),
        password: "hunter2-destination".into(),
    });
    rig.run();
    let mut events = Vec::new();
    let begin = tokio::time::Instant::now();
    while events.is_empty() && begin.elapsed().as_secs() < 30 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        events.extend(told(&rig));
    }
    assert!(
        events[0].contains("--destination-secret: secrets \"push\" not found"),
        "{events:?}"
    );
    let config = json!({ "auths": { rig.destination.plain_host(): {
        "username": "pusher", "password": "hunter2-destination",
    } } });
    rig.kube.create(
        "secrets",
        "tagscope-system",
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "push" },
            "type": "kubernetes.io/dockerconfigjson",
            "data": { ".dockerconfigjson": STANDARD.encode(config.to_string()) },
        }),
    );
    until(|| rig.destination.tags("copies/app").len() == 3).await;
    assert!(
        !rig.source.saw("hunter2-destination"),
        "not the source's to know"
    );
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_flux_nothing_is_written_about_its_kinds() {
    let mut rig = rig(nobody()).await;
    rig.settings.is_companion = true;
    let status = json!({
        "canonicalImageName": rig.source.image("team/app"),
        "observedExclusionList": ["^.*\\.sig$"],
        "lastScanResult": { "revision": "1", "tagCount": 3, "scanTime": "2026-05-01T12:00:00Z" },
    });
    rig.kube.set_status(REPOSITORIES, "apps", "app", status);
    repository(&rig, "broken", "absent/app");
    rig.kube.take_asked();
    rig.run();
    until(|| rig.destination.tags("copies/app").len() == 3).await;
    let writes: Vec<_> = rig
        .kube
        .take_asked()
        .into_iter()
        .filter(|one| one.is_write() && !one.path.contains("reviews"))
        .map(|one| one.path)
        .collect();
    assert_eq!(writes, Vec::<String>::new());
    let untouched = rig.kube.get(REPOSITORIES, "apps", "app").unwrap();
    assert!(!says(&untouched, "True", ""), "{untouched}");
    rig.stop().await;
}
