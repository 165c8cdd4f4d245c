//! Objects that image-reflector-controller wrote: they are picked up where it left them, and it could go on from what
//! is written here.

use std::time::Duration;

use serde_json::{Value, json};
use tagscope::control::Settings;
use tagscope::object::Key;
use tagscope::store::Store;

use super::bench::{
    Bench, IMAGE, POLICIES, REPOSITORIES, clock, condition, events, says, status_patches,
};
use super::fake_images::FakeImages;
use super::fake_kube::FakeKube;
use super::lifecycle::reborn;

const TAGS: [&str; 2] = ["1.0.0", "1.1.0"];
/// Both forms of the revision of those, as its two stores write them.
const REVISIONS: [&str; 2] = [
    "495453000",
    "sha256:e0da126298999d1be4a8a6f5aea614d3e8b0a3dfed3d3b7b50f2d2b2d76a0572",
];
const SCANNED: &str = "2026-05-01T11:58:00Z";

/// A repository and its policy as upstream leaves them: its finalizer, its conditions, its status.
fn left_by_flux(kube: &FakeKube, revision: &str) {
    let condition = |message: &str| {
        json!([{
            "type": "Ready", "status": "True", "reason": "Succeeded", "message": message,
            "observedGeneration": 1, "lastTransitionTime": "2026-04-30T08:00:00Z",
        }])
    };
    let meta = json!({ "name": "app", "finalizers": ["finalizers.fluxcd.io"] });
    let told = format!("successful scan: found 2 tags with checksum {revision}");
    kube.create(
        REPOSITORIES,
        "apps",
        json!({
            "metadata": meta.clone(),
            "spec": { "image": IMAGE, "interval": "5m", "exclusionList": [r"^.*\.sig$"], "provider": "generic" },
            "status": {
                "canonicalImageName": IMAGE,
                "observedExclusionList": [r"^.*\.sig$"],
                "observedGeneration": 1,
                "conditions": condition(&told),
                "lastScanResult": {
                    "latestTags": ["1.1.0", "1.0.0"], "revision": revision, "scanTime": SCANNED, "tagCount": 2,
                },
            },
        }),
    );
    let told = format!("Latest image tag for {IMAGE} resolved to 1.1.0 (previously {IMAGE}:1.0.0)");
    kube.create(
        POLICIES,
        "apps",
        json!({
            "metadata": meta,
            "spec": {
                "imageRepositoryRef": { "name": "app" },
                "policy": { "semver": { "range": "1.x" } },
                "digestReflectionPolicy": "Never",
            },
            "status": {
                "observedGeneration": 1,
                "conditions": condition(&told),
                "latestRef": { "name": IMAGE, "tag": "1.1.0" },
                "observedPreviousRef": { "name": IMAGE, "tag": "1.0.0" },
            },
        }),
    );
}

fn take_over(kube: &FakeKube, images: FakeImages) -> Bench {
    kube.take_asked();
    let clock = clock();
    let store = Store::in_memory(clock.clone());
    Bench::on(kube.clone(), images, store, clock, Settings::default())
}

#[tokio::test(start_paused = true)]
async fn unchanged_tags_cost_one_request_one_patch_and_no_word() {
    for revision in REVISIONS {
        let (kube, images) = (FakeKube::new(), FakeImages::default());
        images.push(IMAGE, &TAGS);
        left_by_flux(&kube, revision);
        let policy = kube.get(POLICIES, "apps", "app").unwrap();
        let before = kube.get(REPOSITORIES, "apps", "app").unwrap();
        let bench = take_over(&kube, images);
        bench
            .until(|bench| bench.elected("apps", "app") == ["1.1.0 by apps/app"])
            .await;
        bench.pass(Duration::from_secs(100)).await;
        assert_eq!(bench.images.take_lists().len(), 1, "{revision}");
        let writes = bench.take_writes();
        assert_eq!(
            (status_patches(&writes), writes.len()),
            (1, 1),
            "{writes:#?}"
        );
        assert_eq!(
            writes[0].body["status"],
            json!({ "lastScanResult": { "scanTime": "2026-05-01T12:00:00Z" } }),
            "{revision}"
        );
        assert_eq!(
            kube.get(POLICIES, "apps", "app").unwrap(),
            policy,
            "untouched"
        );
        let after = kube.get(REPOSITORIES, "apps", "app").unwrap();
        assert_eq!(
            after["status"]["lastScanResult"]["revision"],
            before["status"]["lastScanResult"]["revision"]
        );
        // What the status tells of was there by its scan at the latest.
        let held = bench
            .store
            .snapshot()
            .repository(&Key::new("apps", "app"))
            .unwrap();
        let seen = held.tag("1.1.0").unwrap().first_seen.unwrap();
        assert_eq!(seen.to_string(), SCANNED);
        assert_eq!(held.refound(), None);
        bench.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn tags_that_changed_meanwhile_are_told_in_the_form_that_was_there() {
    for (revision, form) in REVISIONS.into_iter().zip(["", "sha256:"]) {
        let (kube, images) = (FakeKube::new(), FakeImages::default());
        images.push(IMAGE, &TAGS);
        images.push(IMAGE, &["1.2.0"]);
        left_by_flux(&kube, revision);
        let bench = take_over(&kube, images);
        let object = bench.repository_is("app", "True", "found 3 tags").await;
        let told = object["status"]["lastScanResult"]["revision"]
            .as_str()
            .unwrap();
        assert!(told != revision && told.starts_with(form), "{told}");
        assert_eq!(told.starts_with("sha256:"), form == "sha256:");
        bench.settle().await;
        let held = bench
            .store
            .snapshot()
            .repository(&Key::new("apps", "app"))
            .unwrap();
        assert_eq!(
            held.refound(),
            held.tag("1.0.0").unwrap().first_seen,
            "which of them is new is not known"
        );
        assert!(held.refound().is_some());
        bench.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_excluded_now_does_not_hide_that_the_list_is_the_same() {
    let (kube, images) = (FakeKube::new(), FakeImages::default());
    images.push(IMAGE, &TAGS);
    left_by_flux(&kube, REVISIONS[0]);
    let spec = json!({ "spec": { "exclusionList": [r"^1\.0"] } });
    kube.edit(REPOSITORIES, "apps", "app", spec);
    let bench = take_over(&kube, images);
    bench.repository_is("app", "True", "found 1 tags").await;
    let held = bench
        .store
        .snapshot()
        .repository(&Key::new("apps", "app"))
        .unwrap();
    assert_eq!(
        held.tag("1.1.0").unwrap().first_seen.unwrap().to_string(),
        SCANNED
    );
}

#[tokio::test(start_paused = true)]
async fn an_image_that_was_never_scanned_has_old_tags() {
    let (kube, images) = (FakeKube::new(), FakeImages::default());
    images.push("registry.test/o/other", &TAGS);
    left_by_flux(&kube, REVISIONS[0]);
    let spec = json!({ "spec": { "image": "registry.test/o/other" } });
    kube.edit(REPOSITORIES, "apps", "app", spec);
    let bench = take_over(&kube, images);
    bench
        .kube
        .wait_for(REPOSITORIES, "apps", "app", |object| {
            object["status"]["canonicalImageName"] == "registry.test/o/other"
        })
        .await;
    let held = bench
        .store
        .snapshot()
        .repository(&Key::new("apps", "app"))
        .unwrap();
    assert_eq!(held.tag("1.1.0").unwrap().first_seen, None);
}

#[tokio::test(start_paused = true)]
async fn what_is_written_here_is_what_upstream_writes() {
    let (kube, images) = (FakeKube::new(), FakeImages::default());
    images.push(IMAGE, &TAGS);
    left_by_flux(&kube, REVISIONS[1]);
    let bench = take_over(&kube, images);
    bench.images.push(IMAGE, &["1.2.0"]);
    bench.kube.annotate(REPOSITORIES, "apps", "app", "now");
    bench.policy_is("app", "True", "resolved to 1.2.0").await;
    bench.settle().await;
    let object = kube.get(REPOSITORIES, "apps", "app").unwrap();
    let keys = |value: &Value| {
        let keys = value.as_object().unwrap().keys();
        keys.cloned().collect::<Vec<_>>()
    };
    assert_eq!(
        keys(&object["status"]),
        [
            "canonicalImageName",
            "conditions",
            "lastHandledReconcileAt",
            "lastScanResult",
            "observedExclusionList",
            "observedGeneration"
        ]
    );
    assert_eq!(
        keys(&object["status"]["lastScanResult"]),
        ["latestTags", "revision", "scanTime", "tagCount"]
    );
    assert_eq!(object["status"]["conditions"].as_array().unwrap().len(), 1);
    // Somebody goes back, scans with another store, and comes again.
    bench.stop().await;
    let status = json!({ "lastScanResult": { "revision": "1" } });
    kube.set_status(REPOSITORIES, "apps", "app", status);
    let clock = bench.clock.clone();
    let store = bench.store.clone();
    kube.restart();
    let bench = Bench::on(
        kube,
        bench.images.clone(),
        store,
        clock,
        Settings::default(),
    );
    let object = bench
        .kube
        .wait_for(REPOSITORIES, "apps", "app", |object| {
            object["status"]["lastScanResult"]["revision"] != "1"
        })
        .await;
    let told = object["status"]["lastScanResult"]["revision"]
        .as_str()
        .unwrap();
    assert!(
        !told.starts_with("sha256:"),
        "the form is what was found: {told}"
    );
    bench.settle().await;
    bench.policy_is("app", "True", "resolved to 1.2.0").await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_store_moves_no_policy_while_the_registry_takes_its_time() {
    let (kube, images) = (FakeKube::new(), FakeImages::default());
    images.push(IMAGE, &TAGS);
    images.takes(Duration::from_secs(3));
    left_by_flux(&kube, REVISIONS[0]);
    let bench = take_over(&kube, images);
    bench
        .until(|bench| !bench.elected("apps", "app").is_empty())
        .await;
    bench.settle().await;
    let writes = bench.take_writes();
    assert!(events(&writes).is_empty(), "{writes:#?}");
    assert_eq!(status_patches(&writes), 1, "{writes:#?}");
    for (plural, message) in [
        (POLICIES, "resolved to 1.1.0"),
        (REPOSITORIES, "found 2 tags"),
    ] {
        let object = bench.kube.get(plural, "apps", "app").unwrap();
        assert!(says(&object, "True", message), "{object:#}");
        let since = &condition(&object, "Ready").unwrap()["lastTransitionTime"];
        assert_eq!(since, "2026-04-30T08:00:00Z");
    }
}

#[tokio::test(start_paused = true)]
async fn tags_that_somebody_else_scanned_meanwhile_are_as_old_as_that_scan() {
    for (later, is_known) in [(None, true), (Some("1.2.0"), false)] {
        let bench = Bench::start();
        bench.images.push(IMAGE, &["1.0.0"]);
        bench.repository("app", json!({ "interval": "12h" }));
        bench.repository_is("app", "True", "found 1 tags").await;
        bench.stop().await;
        let told = json!({ "lastScanResult": {
            "revision": REVISIONS[0], "tagCount": 2, "scanTime": "2026-05-01T13:00:00Z",
        } });
        bench.kube.set_status(REPOSITORIES, "apps", "app", told);
        bench.images.push(IMAGE, &["1.1.0"]);
        bench.images.push(IMAGE, later.as_slice());
        bench.pass(Duration::from_hours(2)).await;
        let store = bench.store.clone();
        let bench = reborn(bench, || store);
        bench
            .until(|bench| bench.tags("app").is_some_and(|tags| tags.len() > 1))
            .await;
        let held = bench
            .store
            .snapshot()
            .repository(&Key::new("apps", "app"))
            .unwrap();
        let seen = held.tag("1.1.0").unwrap().first_seen;
        if is_known {
            assert_eq!(seen.unwrap().to_string(), "2026-05-01T13:00:00Z");
            assert_eq!(held.refound(), None);
        } else {
            assert!(seen.is_some());
            assert_eq!(held.refound(), seen, "which of them is new is not known");
        }
        assert_eq!(held.tag("1.0.0").unwrap().first_seen, None, "as it was");
        // What comes later is new.
        bench.images.push(IMAGE, &["2.0.0"]);
        bench.kube.annotate(REPOSITORIES, "apps", "app", "now");
        bench.settle().await;
        let held = bench.store.snapshot();
        let held = held.repository(&Key::new("apps", "app")).unwrap();
        let newest = held.tag("2.0.0").unwrap().first_seen.unwrap();
        assert!(
            newest.to_string().starts_with("2026-05-01T14:00:"),
            "{newest}"
        );
        bench.stop().await;
    }
}
