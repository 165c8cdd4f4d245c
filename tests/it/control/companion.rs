//! Companion mode: a Flux that works is followed, and nothing is written.

use std::time::Duration;

use serde_json::{Value, json};
use tagscope::control::Settings;
use tagscope::store::Store;

use super::access::pull_secret;
use super::bench::{Bench, IMAGE, POLICIES, REPOSITORIES, clock};
use super::fake_images::FakeImages;
use super::fake_kube::FakeKube;

fn settings() -> Settings {
    Settings {
        is_companion: true,
        ..Settings::default()
    }
}

fn beside(kube: &FakeKube, images: &FakeImages, store: Store) -> Bench {
    Bench::on(kube.clone(), images.clone(), store, clock(), settings())
}

fn bench() -> Bench {
    Bench::with(settings())
}

impl Bench {
    /// Flux's controller scanned `name`, and found this list. Its revision is of no form that is known here.
    fn flux_scanned(&self, name: &str, revision: &str, count: usize) {
        let status = json!({
            "canonicalImageName": IMAGE,
            "observedExclusionList": ["^.*\\.sig$"],
            "lastScanResult": {
                "revision": revision, "tagCount": count, "scanTime": "2026-05-01T12:00:00Z", "latestTags": [],
            },
        });
        self.kube.set_status(REPOSITORIES, "apps", name, status);
    }

    /// Flux's controller elected `tag`, or nothing.
    fn flux_elected(&self, name: &str, latest: Value) {
        let status = json!({ "latestRef": latest });
        self.kube.set_status(POLICIES, "apps", name, status);
    }

    fn asked(&self) -> usize {
        self.images.take_lists().len()
    }

    async fn wrote_nothing(&self) {
        self.pass(Duration::from_secs(1)).await;
        let writes = self.take_writes();
        assert!(writes.is_empty(), "{writes:#?}");
    }
}

fn latest(tag: &str) -> Value {
    json!({ "name": IMAGE, "tag": tag })
}

#[tokio::test(start_paused = true)]
async fn scans_follow_those_of_flux_and_nothing_else() {
    let bench = bench();
    bench.images.push(IMAGE, &["1.0.0"]);
    bench.repository("app", json!({ "interval": "1m" }));
    bench.settle().await;
    assert_eq!(
        (bench.asked(), bench.tags("app").unwrap().len()),
        (1, 1),
        "first sight"
    );

    bench.flux_scanned("app", "1", 1);
    bench.settle().await;
    assert_eq!(bench.asked(), 1, "another revision than ours");
    bench.flux_scanned("app", "1", 1);
    bench.kube.annotate(REPOSITORIES, "apps", "app", "now");
    bench.pass(Duration::from_mins(10)).await;
    assert_eq!(
        bench.asked(),
        0,
        "neither its interval nor its annotations are ours to look at"
    );

    bench.images.push(IMAGE, &["1.1.0"]);
    bench.flux_scanned("app", "2", 2);
    bench.settle().await;
    assert_eq!(bench.asked(), 1);
    assert_eq!(bench.tags("app").unwrap(), ["1.0.0", "1.1.0"]);
    bench.wrote_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn a_revision_that_is_ours_already_asks_nobody() {
    // What Flux's two stores say of the same list.
    let sha256 = "sha256:29f444e1152d394b620b83eff4dcc412e60dad50f674d3d7cc3aad8757cedb7d";
    for revision in ["729547832", sha256] {
        let bench = bench();
        bench.images.push(IMAGE, &["v0.0.4", "v0.0.3"]);
        bench.repository("app", json!({}));
        bench.settle().await;
        assert_eq!(bench.asked(), 1);
        bench.flux_scanned("app", revision, 2);
        bench.settle().await;
        assert_eq!(bench.asked(), 0, "{revision}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_scan_that_fails_is_tried_again_and_takes_nothing_away() {
    let bench = bench();
    bench.images.push(IMAGE, &["1.0.0"]);
    bench.repository("app", json!({}));
    bench.settle().await;
    bench.images.fail("registry.test is down", None);
    bench.flux_scanned("app", "2", 2);
    bench.pass(Duration::from_secs(3)).await;
    assert!(bench.asked() >= 2, "again and again");
    assert_eq!(bench.tags("app").unwrap(), ["1.0.0"]);
    bench.images.heal();
    bench.images.push(IMAGE, &["1.1.0"]);
    bench
        .until(|bench| bench.tags("app").unwrap().len() == 2)
        .await;
    bench.asked();
    bench.pass(Duration::from_mins(30)).await;
    assert_eq!(bench.asked(), 0, "and then no more");
    bench.wrote_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn a_missing_secret_is_waited_for() {
    let bench = bench();
    bench.images.push(IMAGE, &["1.0.0"]);
    bench.repository("app", json!({ "secretRef": { "name": "regcred" } }));
    bench.pass(Duration::from_secs(5)).await;
    assert_eq!((bench.asked(), bench.tags("app")), (0, None));
    let config = r#"{"auths":{"registry.test":{"username":"me","password":"x"}}}"#;
    bench.kube.create(
        "secrets",
        "apps",
        json!({
            "metadata": { "name": "regcred" }, "type": "kubernetes.io/dockerconfigjson",
            "stringData": {}, "data": { ".dockerconfigjson": base64(config) },
        }),
    );
    bench.until(|bench| bench.tags("app").is_some()).await;
    let asked = bench.images.take_lists();
    assert_eq!(asked[0].user.as_deref(), Some("me"));
    bench.wrote_nothing().await;
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

#[tokio::test(start_paused = true)]
async fn what_flux_elected_is_what_selects() {
    let bench = bench();
    bench.images.push(IMAGE, &["1.0.0", "1.1.0"]);
    bench.repository("app", json!({}));
    bench.policy("app", &json!({ "name": "app" }), "1.x");
    bench.settle().await;
    assert!(
        bench.elected("apps", "app").is_empty(),
        "nothing is elected here"
    );

    let digest = format!("sha256:{}", "a".repeat(64));
    bench.flux_elected(
        "app",
        json!({ "name": IMAGE, "tag": "1.0.0", "digest": digest }),
    );
    bench.settle().await;
    assert_eq!(bench.elected("apps", "app"), ["1.0.0 by apps/app"]);
    let held = bench.store.snapshot();
    let held = held
        .repository(&tagscope::object::Key::new("apps", "app"))
        .unwrap();
    assert_eq!(
        held.tag("1.0.0").unwrap().digest.unwrap().to_string(),
        digest
    );

    bench.flux_elected("app", latest("1.1.0"));
    bench.settle().await;
    assert_eq!(bench.elected("apps", "app"), ["1.1.0 by apps/app"]);
    bench.flux_elected("app", Value::Null);
    bench.settle().await;
    assert!(bench.elected("apps", "app").is_empty(), "it vanished");
    bench.flux_elected("app", latest("1.1.0"));
    bench.settle().await;
    bench.kube.delete(POLICIES, "apps", "app");
    bench.settle().await;
    assert!(
        bench.elected("apps", "app").is_empty(),
        "the policy is gone"
    );
    bench.wrote_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn a_tag_that_flux_saw_first_is_marked_once_it_is_here() {
    let bench = bench();
    bench.images.push(IMAGE, &["1.0.0"]);
    bench.repository("app", json!({}));
    bench.policy("app", &json!({ "name": "app" }), "1.x");
    bench.flux_elected("app", latest("1.0.0"));
    bench.settle().await;
    assert_eq!(bench.elected("apps", "app"), ["1.0.0 by apps/app"]);

    bench.images.push(IMAGE, &["2.0.0"]);
    bench.flux_elected("app", latest("2.0.0"));
    bench.settle().await;
    assert!(
        bench.elected("apps", "app").is_empty(),
        "the old one is elected no more"
    );
    bench.flux_scanned("app", "2", 2);
    bench.settle().await;
    assert_eq!(bench.elected("apps", "app"), ["2.0.0 by apps/app"]);

    // Of an image that the repository does not name any more.
    bench.flux_elected(
        "app",
        json!({ "name": "registry.test/o/other", "tag": "1.0.0" }),
    );
    bench.settle().await;
    assert!(bench.elected("apps", "app").is_empty());
    bench.wrote_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn a_policy_marks_only_where_it_is_let_in() {
    let bench = bench();
    bench.images.push(IMAGE, &["1.0.0"]);
    let spec = json!({ "image": IMAGE, "interval": "5m" });
    bench.kube.create(
        REPOSITORIES,
        "images",
        json!({ "metadata": { "name": "app" }, "spec": spec }),
    );
    bench.policy(
        "app",
        &json!({ "name": "app", "namespace": "images" }),
        "1.x",
    );
    bench.flux_elected("app", latest("1.0.0"));
    bench.settle().await;
    assert!(
        bench.elected("images", "app").is_empty(),
        "nobody is let in"
    );
    let open = json!({ "spec": { "accessFrom": { "namespaceSelectors": [{ "matchLabels": { "team": "a" } }] } } });
    bench.kube.edit(REPOSITORIES, "images", "app", open);
    bench.settle().await;
    assert_eq!(bench.elected("images", "app"), ["1.0.0 by apps/app"]);
    let shut = json!({ "spec": { "accessFrom": null } });
    bench.kube.edit(REPOSITORIES, "images", "app", shut);
    bench.settle().await;
    assert!(bench.elected("images", "app").is_empty());
    bench.wrote_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn what_goes_takes_its_tags_along_and_finalizers_are_fluxs_own() {
    let bench = bench();
    bench.images.push(IMAGE, &["1.0.0"]);
    let spec = json!({ "image": IMAGE, "interval": "5m" });
    let finalizers = json!(["finalizers.fluxcd.io"]);
    bench.kube.create(
        REPOSITORIES,
        "apps",
        json!({ "metadata": { "name": "app", "finalizers": finalizers }, "spec": spec }),
    );
    bench.settle().await;
    assert!(bench.tags("app").is_some());
    bench.kube.edit(
        REPOSITORIES,
        "apps",
        "app",
        json!({ "spec": { "suspend": true } }),
    );
    bench.flux_scanned("app", "2", 2);
    bench.asked();
    bench.settle().await;
    assert_eq!(
        (bench.asked(), bench.tags("app").unwrap().len()),
        (0, 1),
        "suspended, and kept"
    );
    bench.kube.delete(REPOSITORIES, "apps", "app");
    bench.settle().await;
    assert_eq!(bench.tags("app"), None);
    let object = bench.kube.get(REPOSITORIES, "apps", "app").unwrap();
    assert_eq!(object["metadata"]["finalizers"], finalizers);
    bench.wrote_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn even_a_suspect_list_says_nothing_and_is_asked_for_again() {
    let bench = bench();
    bench.images.push(IMAGE, &["1.0.0", "1.1.0"]);
    bench.repository("app", json!({ "interval": "1m" }));
    bench.settle().await;
    bench.images.remove(IMAGE, "1.1.0");
    bench.images.lists_incompletely("page 2 is missing");
    bench.flux_scanned("app", "2", 2);
    bench.settle().await;
    assert_eq!(bench.tags("app").unwrap().len(), 2, "nothing is removed");
    bench.images.lists_completely();
    bench.asked();
    bench.pass(Duration::from_secs(90)).await;
    assert!(bench.asked() >= 1);
    bench.wrote_nothing().await;
}

#[tokio::test]
async fn a_restart_with_its_store_asks_nobody_where_the_revisions_are_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let (kube, images) = (FakeKube::new(), FakeImages::default());
    images.push(IMAGE, &["v0.0.4", "v0.0.3"]);
    let bench = beside(&kube, &images, Store::open(dir.path(), 0, clock()).unwrap());
    bench.repository("app", json!({}));
    bench.policy("app", &json!({ "name": "app" }), ">=0.0.0");
    bench.flux_scanned("app", "729547832", 2);
    bench.flux_elected("app", latest("v0.0.4"));
    bench
        .until(|bench| !bench.elected("apps", "app").is_empty())
        .await;
    bench.stop().await;
    bench.store.close().await.unwrap();
    drop(bench);
    images.take_lists();
    kube.restart();

    let bench = beside(&kube, &images, Store::open(dir.path(), 0, clock()).unwrap());
    bench.controllers.wait_until_synced().await;
    tokio::time::pause();
    bench.pass(Duration::from_mins(30)).await;
    assert_eq!(bench.asked(), 0);
    assert_eq!(bench.elected("apps", "app"), ["v0.0.4 by apps/app"]);
    bench.wrote_nothing().await;
    bench.flux_scanned("app", "1", 1);
    bench.pass(Duration::from_secs(5)).await;
    assert_eq!(bench.asked(), 1, "it changed afterwards");
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_appears_is_noticed_at_once() {
    let bench = bench();
    bench.images.push(IMAGE, &["1.0.0"]);
    bench.repository("app", json!({ "secretRef": { "name": "pull" } }));
    bench.pass(Duration::from_mins(20)).await;
    assert_eq!(bench.tags("app"), None);
    let good = pull_secret("pull", "registry.test", "me");
    bench.kube.create("secrets", "apps", good);
    bench.settle().await;
    assert_eq!(bench.tags("app").unwrap(), ["1.0.0"]);
    bench.kube.take_asked();
    bench.wrote_nothing().await;
}
