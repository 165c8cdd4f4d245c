//! Elections that annotations govern, from the annotation to the status.

mod mirrored;

use std::time::Duration;

use serde_json::{Value, json};
use tagscope::control::Settings;
use tagscope::store::Store;

use super::bench::{Bench, IMAGE, POLICIES, REPOSITORIES, clock, condition, status_patches};
use super::fake_images::FakeImages;
use super::fake_kube::FakeKube;

const HOLD: &str = "tags.tagscope.dev/hold";
const MINIMUM_AGE: &str = "tags.tagscope.dev/minimum-age";
const DOWNGRADE: &str = "tags.tagscope.dev/downgrade";
const PLATFORMS: &str = "tags.tagscope.dev/platforms";

/// A policy over `1.0.0` and `1.1.0`, which has elected the latter.
async fn bench() -> Bench {
    let bench = Bench::start();
    bench.images.push(IMAGE, &["1.0.0", "1.1.0"]);
    bench.repository("app", json!({}));
    bench.policy("app", &json!({ "name": "app" }), "*");
    bench.policy_is("app", "True", "resolved to 1.1.0").await;
    bench.settle().await;
    bench.take_writes();
    bench
}

impl Bench {
    /// `null` takes an annotation away.
    fn govern(&self, annotation: &str, value: Value) {
        let annotations = json!({ annotation: value });
        self.kube.edit(
            POLICIES,
            "apps",
            "app",
            json!({ "metadata": { "annotations": annotations } }),
        );
    }

    async fn push(&self, tag: &str) {
        self.images.push(IMAGE, &[tag]);
        self.scan(tag).await;
    }

    async fn scan(&self, token: &str) {
        self.kube.annotate(REPOSITORIES, "apps", "app", token);
        let handled =
            |object: &Value| object["status"]["lastHandledReconcileAt"].as_str() == Some(token);
        self.kube
            .wait_for(REPOSITORIES, "apps", "app", handled)
            .await;
        self.settle().await;
    }

    fn latest(&self) -> Value {
        let object = self.kube.get(POLICIES, "apps", "app").unwrap();
        object["status"]["latestRef"].clone()
    }

    async fn elects(&self, tag: &str) -> Value {
        self.kube
            .wait_for(POLICIES, "apps", "app", |object| {
                object["status"]["latestRef"]["tag"] == tag
            })
            .await
    }

    /// The reason of Governed, `""` when it is not there. The policy has to be Ready in any case.
    fn governed(&self) -> String {
        let object = self.kube.get(POLICIES, "apps", "app").unwrap();
        let ready = condition(&object, "Ready").unwrap();
        assert_eq!(ready["status"], "True", "{object}");
        let Some(governed) = condition(&object, "Governed") else {
            return String::new();
        };
        assert_eq!(governed["status"], "True");
        let (tail, message) = (
            governed["message"].as_str().unwrap(),
            ready["message"].as_str().unwrap(),
        );
        assert!(message.starts_with("Latest image tag for "), "{message}");
        assert!(message.ends_with(&format!("; {tail}")), "{message}\n{tail}");
        governed["reason"].as_str().unwrap().to_owned()
    }

    /// The next life over `store`, with what was left of the cluster and the registry.
    async fn reborn(self, store: Store) -> Self {
        self.stop().await;
        self.kube.restart();
        let Self {
            kube,
            images,
            clock,
            ..
        } = self;
        kube.take_asked();
        Self::on(kube, images, store, clock, Settings::default())
    }
}

fn policy_patches(bench: &Bench) -> usize {
    let writes: Vec<_> = bench
        .take_writes()
        .into_iter()
        .filter(|one| one.path.contains(POLICIES))
        .collect();
    status_patches(&writes)
}

#[tokio::test(start_paused = true)]
async fn a_held_tag_is_elected_at_once_and_let_go_at_once() {
    let bench = bench().await;
    bench.govern(HOLD, json!("1.0.0"));
    bench.elects("1.0.0").await;
    bench.settle().await;
    assert_eq!(bench.governed(), "Held");
    assert_eq!(bench.elected("apps", "app"), ["1.0.0 by apps/app"]);
    assert_eq!(policy_patches(&bench), 1);
    bench.push("2.0.0").await;
    assert_eq!(bench.latest()["tag"], "1.0.0");
    bench.govern(HOLD, Value::Null);
    bench.elects("2.0.0").await;
    bench.settle().await;
    assert_eq!(bench.governed(), "");
}

#[tokio::test(start_paused = true)]
async fn a_tag_to_hold_that_is_missing_leaves_what_was_elected() {
    let bench = bench().await;
    bench.govern(HOLD, json!("3.0.0"));
    bench.policy_is("app", "True", "is not in the list").await;
    assert_eq!(bench.governed(), "HeldTagMissing");
    bench.push("2.0.0").await;
    assert_eq!(bench.latest()["tag"], "1.1.0");
    bench.push("3.0.0").await;
    bench.elects("3.0.0").await;
}

#[tokio::test(start_paused = true)]
async fn a_tag_is_elected_by_itself_when_it_is_old_enough() {
    let bench = bench().await;
    bench.govern(MINIMUM_AGE, json!("1h"));
    bench.push("1.2.0").await;
    bench
        .policy_is("app", "True", "; 1.2.0 waits until 2026-05-01T13:00:")
        .await;
    assert_eq!(bench.governed(), "Waiting");
    assert_eq!(bench.latest()["tag"], "1.1.0");
    bench.take_writes();
    bench.pass(Duration::from_mins(59)).await;
    assert_eq!(bench.latest()["tag"], "1.1.0");
    assert_eq!(policy_patches(&bench), 0, "waiting writes nothing");
    bench.pass(Duration::from_secs(61)).await;
    assert_eq!(bench.latest()["tag"], "1.2.0");
    assert_eq!(bench.governed(), "");
}

#[tokio::test(start_paused = true)]
async fn the_first_scan_s_tags_are_old() {
    let bench = Bench::start();
    bench.images.push(IMAGE, &["1.0.0", "1.1.0"]);
    bench.policy("app", &json!({ "name": "app" }), "*");
    bench.govern(MINIMUM_AGE, json!("72h"));
    bench.repository("app", json!({}));
    bench.elects("1.1.0").await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_elected_while_nothing_is_old_enough() {
    let bench = Bench::start();
    bench.images.push(IMAGE, &["latest"]);
    bench.repository("app", json!({}));
    bench.repository_is("app", "True", "found 1 tags").await;
    bench.push("1.0.0").await;
    bench.policy("app", &json!({ "name": "app" }), "*");
    bench.govern(MINIMUM_AGE, json!("10m"));
    let object = bench
        .policy_is("app", "False", "no tag may be elected; 1.0.0 waits until ")
        .await;
    assert_eq!(condition(&object, "Governed").unwrap()["reason"], "Waiting");
    bench.pass(Duration::from_mins(11)).await;
    assert_eq!(bench.latest()["tag"], "1.0.0");
    assert_eq!(bench.governed(), "");
}

#[tokio::test(start_paused = true)]
async fn a_restart_goes_on_with_the_wait_and_writes_nothing() {
    let bench = bench().await;
    bench.govern(MINIMUM_AGE, json!("1h"));
    bench.push("1.2.0").await;
    bench.policy_is("app", "True", "1.2.0 waits until").await;
    bench.pass(Duration::from_mins(30)).await;
    let store = bench.store.clone();
    let bench = bench.reborn(store).await;
    bench.pass(Duration::from_mins(29)).await;
    assert_eq!(policy_patches(&bench), 0);
    assert_eq!(bench.latest()["tag"], "1.1.0");
    bench.pass(Duration::from_mins(2)).await;
    assert_eq!(bench.latest()["tag"], "1.2.0");
}

#[tokio::test(start_paused = true)]
async fn what_was_pushed_while_the_store_was_lost_is_not_elected_before_its_time() {
    let bench = bench().await;
    bench.govern(MINIMUM_AGE, json!("1h"));
    bench.settle().await;
    bench.stop().await;
    bench.images.push(IMAGE, &["1.2.0"]);
    let store = Store::in_memory(bench.clock.clone());
    let bench = bench.reborn(store).await;
    bench.policy_is("app", "True", "1.2.0 waits until").await;
    assert_eq!(bench.governed(), "Waiting");
    assert_eq!(bench.latest()["tag"], "1.1.0");
    assert_eq!(bench.elected("apps", "app"), ["1.1.0 by apps/app"]);
    assert_eq!(policy_patches(&bench), 1, "it says what waits");
    bench.pass(Duration::from_mins(61)).await;
    assert_eq!(bench.latest()["tag"], "1.2.0");
}

#[tokio::test(start_paused = true)]
async fn a_lost_store_whose_list_is_the_same_changes_no_policy() {
    for age in ["1h", ""] {
        let bench = bench().await;
        if !age.is_empty() {
            bench.govern(MINIMUM_AGE, json!(age));
        }
        bench.settle().await;
        let store = Store::in_memory(bench.clock.clone());
        let bench = bench.reborn(store).await;
        bench.pass(Duration::from_secs(10)).await;
        assert_eq!(bench.elected("apps", "app"), ["1.1.0 by apps/app"]);
        assert_eq!(policy_patches(&bench), 0, "{age}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_elected_stays_ready_while_its_tags_are_on_their_way() {
    let bench = bench().await;
    bench.images.fail("down", None);
    let store = Store::in_memory(bench.clock.clone());
    let bench = bench.reborn(store).await;
    bench.pass(Duration::from_hours(1)).await;
    assert_eq!(policy_patches(&bench), 0);
    assert_eq!(bench.governed(), "");
    bench.images.heal();
    bench.images.push(IMAGE, &["1.2.0"]);
    // As long as failures grow apart.
    bench.pass(Duration::from_mins(16)).await;
    assert_eq!(bench.latest()["tag"], "1.2.0");
}

#[tokio::test(start_paused = true)]
async fn an_election_does_not_go_down_because_tags_vanished() {
    let bench = bench().await;
    bench.govern(DOWNGRADE, json!("forbid"));
    bench.images.remove(IMAGE, "1.1.0");
    for turn in 0..5 {
        bench.scan(&format!("again {turn}")).await;
    }
    bench
        .until(|bench| bench.tags("app").is_some_and(|tags| tags == ["1.0.0"]))
        .await;
    bench
        .policy_is("app", "True", "1.0.0 would be a downgrade")
        .await;
    assert_eq!(bench.governed(), "DowngradeForbidden");
    assert_eq!(bench.latest()["tag"], "1.1.0");
    // Suspending is no change of mind.
    for suspend in [true, false] {
        let spec = json!({ "spec": { "suspend": suspend } });
        bench.kube.edit(POLICIES, "apps", "app", spec);
        bench.settle().await;
    }
    bench.pass(Duration::from_mins(1)).await;
    assert_eq!(bench.latest()["tag"], "1.1.0");
    let spec = json!({ "spec": { "policy": { "semver": { "range": "1.0.x" } } } });
    bench.kube.edit(POLICIES, "apps", "app", spec);
    bench.elects("1.0.0").await;
    bench.settle().await;
    assert_eq!(bench.governed(), "");
}

#[tokio::test(start_paused = true)]
async fn a_tag_that_lacks_a_platform_is_passed_over_until_it_has_it() {
    let bench = bench().await;
    let both = ["linux/amd64", "linux/arm64/v8"];
    bench.images.index("1.1.0", "a", &both);
    bench.images.index("1.2.0", "b", &["linux/amd64"]);
    bench.govern(PLATFORMS, json!("linux/amd64,linux/arm64"));
    bench.push("1.2.0").await;
    bench
        .policy_is("app", "True", "; 1.2.0 lacks linux/arm64")
        .await;
    assert_eq!(bench.governed(), "PlatformsMissing");
    assert_eq!(bench.latest()["tag"], "1.1.0");
    assert_eq!(bench.images.manifests(), 2);
    bench.take_writes();
    bench.pass(Duration::from_mins(20)).await;
    assert_eq!(bench.images.manifests(), 2, "a digest is asked about once");
    assert_eq!(policy_patches(&bench), 0);
    bench.images.index("1.2.0", "c", &both);
    bench.pass(Duration::from_mins(6)).await;
    assert_eq!(bench.latest()["tag"], "1.2.0");
    assert_eq!(bench.governed(), "");
    assert_eq!(bench.images.manifests(), 3);
}

#[tokio::test(start_paused = true)]
async fn no_run_asks_about_more_than_twenty_tags_and_the_next_one_goes_on() {
    let bench = bench().await;
    bench.images.index("1.0.0", "a", &["linux/arm64"]);
    let tags: Vec<String> = (0..30).map(|minor| format!("2.{minor}.0")).collect();
    bench
        .images
        .push(IMAGE, &tags.iter().map(String::as_str).collect::<Vec<_>>());
    bench.govern(DOWNGRADE, json!("forbid"));
    bench.govern(HOLD, json!("1.1.0"));
    bench.settle().await;
    bench.scan("many").await;
    assert_eq!(
        (bench.latest()["tag"].as_str(), bench.images.digests()),
        (Some("1.1.0"), 0)
    );
    bench.govern(PLATFORMS, json!("linux/arm64"));
    bench.govern(HOLD, Value::Null);
    bench
        .policy_is("app", "True", "more than 20 tags have to be asked")
        .await;
    assert_eq!(bench.governed(), "BudgetExhausted");
    assert_eq!(bench.images.digests(), 20);
    assert_eq!(bench.latest()["tag"], "1.1.0");
    bench.pass(Duration::from_secs(31)).await;
    assert_eq!(bench.images.digests(), 32);
    assert_eq!(bench.latest()["tag"], "1.0.0");
    assert_eq!(bench.governed(), "PlatformsMissing");
    // From now on it looks again at the best of them, as often as the repository is scanned.
    bench.pass(Duration::from_mins(6)).await;
    assert_eq!(bench.images.digests(), 52);
    assert_eq!(bench.latest()["tag"], "1.0.0");
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_is_away_elects_nothing_lower() {
    let bench = bench().await;
    bench.images.index("1.0.0", "a", &["linux/arm64"]);
    bench.images.fail("the registry is down", None);
    bench.govern(PLATFORMS, json!("linux/arm64"));
    bench
        .policy_is(
            "app",
            "True",
            "the platforms of 1.1.0 are not known: the registry is down",
        )
        .await;
    assert_eq!(bench.governed(), "PlatformsUnknown");
    assert_eq!(bench.latest()["tag"], "1.1.0");
    bench.images.heal();
    bench.elects("1.0.0").await;
}

#[tokio::test(start_paused = true)]
async fn a_walk_over_many_tags_comes_to_its_end() {
    let bench = bench().await;
    bench.images.index("1.0.0", "a", &["linux/arm64"]);
    let tags: Vec<String> = (0..70).map(|minor| format!("2.{minor}.0")).collect();
    bench
        .images
        .push(IMAGE, &tags.iter().map(String::as_str).collect::<Vec<_>>());
    bench.govern(HOLD, json!("1.1.0"));
    let spec = json!({ "spec": { "interval": "1m" } });
    bench.kube.edit(REPOSITORIES, "apps", "app", spec);
    bench.scan("many").await;
    bench.govern(PLATFORMS, json!("linux/arm64"));
    bench.govern(HOLD, Value::Null);
    // Four runs, in which the answers to the first one's questions grow old.
    bench.pass(Duration::from_mins(3)).await;
    assert_eq!(bench.latest()["tag"], "1.0.0");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_does_not_pass_over_what_stands() {
    let bench = bench().await;
    bench.images.index("1.0.0", "a", &["linux/arm64"]);
    bench.images.refuse("registry.test does not know it");
    bench.govern(PLATFORMS, json!("linux/arm64"));
    bench
        .policy_is("app", "True", "the platforms of 1.1.0 are not known")
        .await;
    assert_eq!(bench.latest()["tag"], "1.1.0");
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_wants_to_be_left_alone_is_told_of_in_the_same_words_each_time() {
    let bench = bench().await;
    bench.images.put_off(Duration::from_secs(42));
    bench.govern(PLATFORMS, json!("linux/arm64"));
    bench
        .policy_is(
            "app",
            "True",
            "the platforms of 1.1.0 are not known: registry.test wants to be left alone for a while",
        )
        .await;
    assert_eq!(bench.latest()["tag"], "1.1.0");
}

#[tokio::test(start_paused = true)]
async fn a_digest_that_was_not_asked_for_is_no_news() {
    let bench = Bench::start();
    bench.images.push(IMAGE, &["1.0.0"]);
    let digest = bench.images.index("1.0.0", "a", &[]);
    bench.repository("app", json!({}));
    bench.policy("app", &json!({ "name": "app" }), "*");
    let spec = json!({ "spec": { "digestReflectionPolicy": "Always", "interval": "10m" } });
    bench.kube.edit(POLICIES, "apps", "app", spec);
    bench
        .policy_is("app", "True", &format!("with digest {digest}"))
        .await;
    bench.settle().await;
    bench.take_writes();
    bench.images.put_off(Duration::from_secs(42));
    bench.pass(Duration::from_mins(21)).await;
    assert_eq!(policy_patches(&bench), 0);
    bench.images.heal();
    let new = bench.images.index("1.0.0", "b", &[]);
    bench.pass(Duration::from_mins(2)).await;
    assert_eq!(bench.latest()["digest"], new.as_str());
}

/// Another process led meanwhile, and scanned and elected more than this one's store knows of.
#[tokio::test(start_paused = true)]
async fn a_store_that_is_behind_sends_no_election_back() {
    let bench = bench().await;
    bench.stop().await;
    let digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let scanned = json!({ "lastScanResult": {
        "revision": digest, "tagCount": 3, "scanTime": "2026-05-01T12:00:30Z", "latestTags": ["1.2.0"],
    } });
    bench.kube.set_status(REPOSITORIES, "apps", "app", scanned);
    let elected = json!({ "latestRef": { "tag": "1.2.0" } });
    bench.kube.set_status(POLICIES, "apps", "app", elected);
    bench.images.push(IMAGE, &["1.2.0"]);
    bench.images.fail("down", None);
    bench.take_writes();
    let store = bench.store.clone();
    let bench = bench.reborn(store).await;
    bench.pass(Duration::from_mins(5)).await;
    assert_eq!(policy_patches(&bench), 0);
    assert_eq!(bench.latest()["tag"], "1.2.0");
    bench.images.heal();
    bench.scan("again").await;
    bench
        .until(|bench| bench.elected("apps", "app") == ["1.2.0 by apps/app"])
        .await;
    assert_eq!(bench.latest()["tag"], "1.2.0");
}

#[tokio::test(start_paused = true)]
async fn a_turn_to_another_image_and_back_evades_no_age() {
    const OTHER: &str = "registry.test/o/other";
    let bench = bench().await;
    bench.govern(MINIMUM_AGE, json!("1h"));
    bench.images.push(OTHER, &["5.0.0"]);
    bench.push("1.2.0").await;
    for (image, tag) in [(OTHER, "5.0.0"), (IMAGE, "1.2.0")] {
        let spec = json!({ "spec": { "image": image } });
        bench.kube.edit(REPOSITORIES, "apps", "app", spec);
        bench
            .policy_is("app", "True", &format!("; {tag} waits until"))
            .await;
        assert_eq!(bench.latest()["tag"], "1.1.0");
        bench.settle().await;
    }
    bench.pass(Duration::from_mins(61)).await;
    assert_eq!(bench.latest()["tag"], "1.2.0");
}

#[tokio::test(start_paused = true)]
async fn a_value_that_does_not_parse_is_told_and_changes_nothing() {
    let bench = bench().await;
    bench.govern(HOLD, json!("1.0.0"));
    bench.elects("1.0.0").await;
    bench.govern(HOLD, json!("not a tag"));
    bench
        .policy_is(
            "app",
            "True",
            r#"tags.tagscope.dev/hold is "not a tag": it is no tag"#,
        )
        .await;
    assert_eq!(bench.governed(), "InvalidAnnotation");
    bench.push("2.0.0").await;
    assert_eq!(bench.latest()["tag"], "1.0.0");
    // After a start nobody knows the last good value: what stands stays all the same.
    let store = bench.store.clone();
    let bench = bench.reborn(store).await;
    bench.pass(Duration::from_mins(1)).await;
    assert_eq!(bench.governed(), "InvalidAnnotation");
    bench.push("3.0.0").await;
    assert_eq!(bench.latest()["tag"], "1.0.0");
    bench.govern(HOLD, Value::Null);
    bench.elects("3.0.0").await;
}

#[tokio::test(start_paused = true)]
async fn a_tag_that_was_pushed_again_starts_anew() {
    let bench = Bench::start();
    bench.images.push(IMAGE, &["1.0.0"]);
    let old = bench.images.index("1.0.0", "a", &[]);
    bench.repository("app", json!({}));
    bench.policy("app", &json!({ "name": "app" }), "*");
    bench.govern(MINIMUM_AGE, json!("1h"));
    let spec = json!({ "spec": { "digestReflectionPolicy": "Always", "interval": "10m" } });
    bench.kube.edit(POLICIES, "apps", "app", spec);
    bench
        .policy_is("app", "True", &format!("with digest {old}"))
        .await;
    bench.settle().await;
    let new = bench.images.index("1.0.0", "b", &[]);
    bench.pass(Duration::from_mins(11)).await;
    bench
        .policy_is(
            "app",
            "True",
            &format!("1.0.0 was pushed again, digest {new} waits until"),
        )
        .await;
    assert_eq!(bench.governed(), "Waiting");
    assert_eq!(bench.latest()["digest"], old.as_str());
    bench.pass(Duration::from_mins(30)).await;
    let store = bench.store.clone();
    let bench = bench.reborn(store).await;
    // It was noticed after ten minutes, and an hour later is 29 minutes from here.
    bench.pass(Duration::from_mins(28)).await;
    assert_eq!(bench.latest()["digest"], old.as_str());
    assert_eq!(policy_patches(&bench), 0, "the wait goes on where it was");
    bench.pass(Duration::from_mins(2)).await;
    assert_eq!(bench.latest()["digest"], new.as_str());
    assert_eq!(bench.governed(), "");
}

/// Of a status that Flux's controller wrote nothing is written anew, and nothing goes back.
#[tokio::test(start_paused = true)]
async fn a_status_of_flux_is_gone_on_with() {
    let (kube, images, clock) = (FakeKube::new(), FakeImages::default(), clock());
    images.push(IMAGE, &["1.0.0", "1.1.0"]);
    let time = "2026-04-01T00:00:00Z";
    kube.create(POLICIES, "apps", json!({
        "apiVersion": "image.toolkit.fluxcd.io/v1", "kind": "ImagePolicy", "metadata": { "name": "app" },
        "spec": { "imageRepositoryRef": { "name": "app" }, "policy": { "semver": { "range": "*" } } },
        "status": {
            "observedGeneration": 1,
            "latestRef": { "name": IMAGE, "tag": "1.1.0" },
            "observedPreviousRef": { "name": IMAGE, "tag": "1.0.0" },
            "conditions": [{
                "type": "Ready", "status": "True", "reason": "Succeeded", "observedGeneration": 1,
                "lastTransitionTime": time,
                "message": format!("Latest image tag for {IMAGE} resolved to 1.1.0 (previously {IMAGE}:1.0.0)"),
            }],
        },
    }));
    let bench = Bench::on(
        kube,
        images,
        Store::in_memory(clock.clone()),
        clock,
        Settings::default(),
    );
    bench.repository("app", json!({}));
    bench
        .until(|bench| bench.elected("apps", "app") == ["1.1.0 by apps/app"])
        .await;
    bench.pass(Duration::from_mins(1)).await;
    assert_eq!(policy_patches(&bench), 0);
}
