//! What is deleted: by the controllers, over scans, runs, statuses and a ledger in ConfigMaps.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tagscope::clock::HandClock;
use tagscope::cluster::ledger::{self, Owner};
use tagscope::mirror::ledger::Ledger;
use tagscope::object::Key;

use super::super::bench::{POLICIES, REPOSITORIES, condition};
use super::*;

const SOURCE: &str = "team/app";
const THERE: &str = "mirror/team/app";
const PLACEHOLDER: &str = "application/vnd.tagscope.placeholder.v1";

/// What deletes as soon as it may.
fn prunes() -> Value {
    json!({ "enabled": true, "grace": "0s", "maxDeleteFraction": "100%" })
}

/// A mirror, and the time of day.
struct Story {
    rig: Rig,
    clock: Arc<HandClock>,
    /// How often something was asked for.
    asked: usize,
}

impl Story {
    /// With these tags at the source, scanned.
    async fn of(tags: &[&str]) -> Self {
        Self::by(tags, None).await
    }

    /// The same in a shard.
    async fn by(tags: &[&str], shard: Option<&str>) -> Self {
        let nine = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(9);
        let clock = Arc::new(HandClock::at(nine));
        let mut rig = Rig::prepare(clock.clone()).await;
        rig.settings.scope.label_selector = shard.map(str::to_owned);
        rig.run();
        let mut story = Self {
            rig,
            clock,
            asked: 0,
        };
        for tag in tags {
            story.add(tag);
        }
        story.scan().await;
        story
    }

    /// The same, copied by a mirror that deletes.
    async fn copied(tags: &[&str]) -> Self {
        let story = Self::of(tags).await;
        story.rig.mirror(json!({ "prune": prunes() }));
        let count = tags.len();
        let object = story.rig.is("True", &format!("mirrored {count} of")).await;
        assert_eq!(object["status"]["prune"]["owned"], count);
        story
    }

    /// The same after these left the source, and after it was announced that they go.
    async fn announced(tags: &[&str], gone: &[&str]) -> Self {
        let mut story = Self::copied(tags).await;
        for tag in gone {
            story.rig.source.delete_tag(SOURCE, tag);
        }
        for planned in [0, gone.len()] {
            story.scan().await;
            let told = story.turn().await;
            assert_eq!(told["planned"], planned, "{told}");
        }
        story
    }

    fn add(&self, tag: &str) -> String {
        let seed = tag
            .bytes()
            .fold(1, |seed, byte| seed * 31 + u64::from(byte));
        let image = Image::sized(seed, &[300]);
        self.rig.source.add_image(SOURCE, tag, &image)
    }

    fn token(&mut self) -> String {
        self.asked += 1;
        self.asked.to_string()
    }

    /// Scans, a minute later.
    async fn scan(&mut self) {
        self.clock.advance(SignedDuration::from_mins(1));
        let token = self.token();
        self.rig.scan(&token).await;
    }

    /// Has the mirror look, and returns what it says of deletions then.
    async fn turn(&mut self) -> Value {
        let token = self.token();
        self.rig.kube.annotate(MIRRORS, "apps", "app", &token);
        self.turned(&token).await
    }

    async fn turned(&self, token: &str) -> Value {
        let is_done = |object: &Value| object["status"]["lastHandledReconcileAt"] == token;
        let kube = &self.rig.kube;
        let object = kube.wait_for(MIRRORS, "apps", "app", is_done).await;
        object["status"]["prune"].clone()
    }

    /// What is at the destination.
    fn there(&self) -> Vec<String> {
        let mut tags = self.rig.destination.tags(THERE);
        tags.sort_unstable();
        tags
    }

    fn deletions(&self) -> usize {
        let destination = &self.rig.destination;
        destination.count_of(&Method::DELETE, Route::Manifest)
    }

    /// How many tags the ledger in the cluster has.
    async fn written_down(&self) -> usize {
        let uid = &self.rig.object()["metadata"]["uid"];
        let owner = Owner {
            key: Key::new("apps", "app"),
            uid: uid.as_str().unwrap().to_owned(),
        };
        let (_, bytes) = ledger::read(&self.rig.kube.client(), &owner).await;
        bytes
            .unwrap()
            .map_or(0, |bytes| Ledger::decode(&bytes).unwrap().len())
    }

    /// Another mirror of the same that does not delete.
    fn neighbour(&self) {
        let mut object = self.rig.object();
        object["metadata"] = json!({ "name": "other" });
        object["status"] = Value::Null;
        object["spec"]["prune"] = Value::Null;
        self.rig.kube.create(MIRRORS, "apps", object);
    }
}

#[tokio::test]
async fn what_left_the_source_is_announced_by_one_run_and_deleted_by_the_next() {
    let mut story = Story::copied(&["1.0", "1.1", "2.0"]).await;
    let by_hand = Image::sized(99, &[300]);
    let destination = &story.rig.destination;
    destination.add_image(THERE, "by-hand", &by_hand);
    story.rig.source.delete_tag(SOURCE, "1.0");
    // One list that does not have it is none.
    story.scan().await;
    assert_eq!(story.turn().await["planned"], 0);
    assert_eq!(story.turn().await["planned"], 0, "of the very same list");
    story.scan().await;
    let told = story.turn().await;
    assert_eq!((&told["planned"], &told["owned"]), (&json!(1), &json!(3)));
    let name = format!("{}/{THERE}:1.0", story.rig.destination.plain_host());
    assert_eq!(told["sample"], json!([name]));
    assert_eq!(story.there(), ["1.0", "1.1", "2.0", "by-hand"]);
    assert_eq!(story.deletions(), 0);
    let told = story.turn().await;
    assert_eq!((&told["planned"], &told["owned"]), (&json!(0), &json!(2)));
    assert_eq!(told["deleted"], 1);
    assert!(told["lastDeletion"].is_string(), "{told}");
    assert_eq!(told.get("refused"), None, "{told}");
    assert_eq!(story.there(), ["1.1", "2.0", "by-hand"]);
    assert_eq!(story.written_down().await, 2);
    // Should it come back, it is copied anew.
    story.add("1.0");
    story.scan().await;
    story.rig.is("True", "mirrored 3 of 3 tags").await;
    assert_eq!(story.there(), ["1.0", "1.1", "2.0", "by-hand"]);
    story.rig.destination.check_whole(THERE);
}

#[tokio::test]
async fn a_shard_deletes_nothing_as_it_does_not_see_who_else_copies_there() {
    let mut story = Story::by(&["1.0", "1.1"], Some("shard=one")).await;
    story.rig.mirror(json!({ "prune": prunes() }));
    story.rig.is("True", "mirrored 2 of").await;
    story.rig.source.delete_tag(SOURCE, "1.0");
    for _ in 0..3 {
        story.scan().await;
        let told = story.turn().await;
        assert_eq!(told["planned"], 0, "{told}");
        let refused = told["refused"].as_str().unwrap();
        assert!(refused.contains("mirrors of other shards"), "{refused}");
    }
    assert_eq!(story.deletions(), 0);
}

#[tokio::test]
async fn a_tag_that_is_listed_again_stays() {
    let mut story = Story::announced(&["1.0", "1.1"], &["1.0"]).await;
    story.add("1.0");
    story.scan().await;
    assert_eq!(story.turn().await["planned"], 0);
    story.rig.source.delete_tag(SOURCE, "1.0");
    for planned in [0, 1] {
        story.scan().await;
        assert_eq!(story.turn().await["planned"], planned, "it begins anew");
    }
    assert_eq!(story.deletions(), 0);
    assert_eq!(story.turn().await["deleted"], 1);
}

#[tokio::test]
async fn a_tag_that_is_listed_again_while_the_ledger_is_read_stays() {
    let mut story = Story::announced(&["1.0", "1.1"], &["1.0"]).await;
    // By then it is known what was wanted.
    let kube = story.rig.kube.clone();
    kube.takes(Method::GET, "-0", Duration::from_secs(3));
    let token = story.token();
    kube.annotate(MIRRORS, "apps", "app", &token);
    until(|| kube.most_under_way() > 0).await;
    story.add("1.0");
    story.scan().await;
    let status = &story.rig.object()["status"];
    assert_ne!(status["lastHandledReconcileAt"], token.as_str(), "too late");
    let told = story.turned(&token).await;
    let refused = told["refused"].as_str().unwrap_or_default();
    assert!(refused.contains("was scanned meanwhile"), "{told}");
    story.rig.is("True", "mirrored 2 of 2 tags").await;
    assert_eq!(story.turn().await["planned"], 0);
    assert_eq!((story.deletions(), story.there().len()), (0, 2));
}

#[tokio::test]
async fn whoever_copies_there_as_well_from_now_on_ends_it() {
    let all = ["1.0", "1.1", "2.0", "2.1", "2.2"];
    let mut story = Story::announced(&all, &["1.0", "1.1"]).await;
    let slow = Fault::Slow(Duration::from_secs(3));
    let destination = &story.rig.destination;
    destination.on(Method::DELETE, "/manifests/1.0", Nth::Every, slow);
    let token = story.token();
    story.rig.kube.annotate(MIRRORS, "apps", "app", &token);
    until(|| story.deletions() > 0).await;
    story.neighbour();
    let told = story.turned(&token).await;
    assert_eq!(told["deleted"], 1, "{told}");
    assert_eq!(story.there(), ["1.1", "2.0", "2.1", "2.2"]);
    let told = story.turn().await;
    let refused = told["refused"].as_str().unwrap_or_default();
    assert!(
        refused.contains("ImageMirror 'apps/other' copies to"),
        "{told}"
    );
    assert_eq!(story.there(), ["1.1", "2.0", "2.1", "2.2"]);
}

#[tokio::test]
async fn while_the_ledger_cannot_be_kept_nothing_is_deleted_and_what_is_copied_is_owned_later() {
    let forbidden = "grant get, create, update and delete on configmaps in namespace apps";
    for (method, path, status, words) in [
        (Method::GET, "-0", StatusCode::FORBIDDEN, forbidden),
        (Method::PUT, "-0", StatusCode::FORBIDDEN, forbidden),
        (Method::GET, "-0", StatusCode::SERVICE_UNAVAILABLE, "read"),
        (Method::PUT, "-0", StatusCode::CONFLICT, "update"),
    ] {
        let case = format!("{method} {status}");
        let mut story = Story::announced(&["1.0", "1.1"], &["1.0"]).await;
        let kube = story.rig.kube.clone();
        kube.refuse(method, path, status);
        story.add("2.0");
        story.scan().await;
        story.rig.is("True", "mirrored 2 of 2 tags").await;
        for _ in 0..2 {
            let told = story.turn().await;
            let refused = told["refused"].as_str().unwrap_or_default();
            assert!(
                refused.starts_with("nothing is deleted: "),
                "{case}: {told}"
            );
            assert!(refused.contains("mirror-ledger-"), "{case}: {told}");
            assert!(refused.contains(words), "{case}: {told}");
        }
        assert_eq!(story.there(), ["1.0", "1.1", "2.0"], "{case}");
        kube.heal();
        // What was not told before is told first.
        let mut told = story.turn().await;
        if told["deleted"].is_null() {
            assert_eq!(told["owned"], 3, "{case}: {told}");
            told = story.turn().await;
        }
        let counts = (&told["deleted"], &told["owned"]);
        assert_eq!(counts, (&json!(1), &json!(2)), "{case}: {told}");
        assert_eq!(told.get("refused"), None, "{case}: {told}");
        assert_eq!(story.written_down().await, 2, "{case}");
        assert_eq!(story.there(), ["1.1", "2.0"], "{case}");
    }
}

#[tokio::test]
async fn what_a_long_run_creates_is_written_down_before_it_ends() {
    let story = Story::of(&["1.0", "1.1"]).await;
    let long = Fault::Slow(Duration::from_mins(2));
    let source = &story.rig.source;
    source.on(Method::GET, "/manifests/1.1", Nth::Every, long);
    story.rig.mirror(json!({ "prune": prunes() }));
    let written = async {
        while story.written_down().await == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_mins(1), written).await;
    in_time.expect("it is written down soon");
    assert_eq!(story.there(), ["1.0"]);
    assert_eq!(story.written_down().await, 1);
}

#[tokio::test]
async fn a_signature_of_an_image_that_is_not_owned_and_still_wanted_stays() {
    let mut story = Story::of(&["1.0"]).await;
    story.rig.mirror(json!({ "referrers": true }));
    story.rig.is("True", "mirrored 1 of 1 tag").await;
    story.rig.edit(json!({ "prune": prunes() }));
    let source = &story.rig.source;
    let digest = source.tag_digest(SOURCE, "1.0").unwrap();
    let signature = source.add_cosign(SOURCE, &digest, "sig", 7);
    source.set_tag(SOURCE, "1.0-again", &digest);
    story.scan().await;
    story.rig.is("True", "mirrored 2 of 2 tags").await;
    story.rig.source.delete_tag(SOURCE, "1.0-again");
    for planned in [0, 1] {
        story.scan().await;
        let told = story.turn().await;
        assert_eq!(
            (&told["planned"], &told["owned"]),
            (&json!(planned), &json!(1))
        );
    }
    assert_eq!(story.turn().await["deleted"], 1);
    let there = ["1.0", &signature];
    assert_eq!(story.there(), there);
    // A run that has nothing to do with that image.
    story.clock.advance(SignedDuration::from_mins(30));
    story.add("2.0");
    story.scan().await;
    let object = story.rig.is("True", "mirrored 2 of 2 tags").await;
    assert_eq!(object["status"]["prune"]["owned"], 1);
    assert_eq!(story.there(), ["1.0", "2.0", &signature]);
    assert_eq!(story.deletions(), 1);
    // Its image is there as long as it is, wanted or not: it was never the mirror's.
    story.rig.source.delete_tag(SOURCE, "1.0");
    for _ in 0..4 {
        story.scan().await;
        story.turn().await;
    }
    assert_eq!(story.there(), ["1.0", "2.0", &signature]);
}

#[tokio::test]
async fn a_signature_goes_with_the_last_image_that_has_it() {
    let story = Story::of(&["1.0", "2.0"]).await;
    let source = &story.rig.source;
    let digest = source.tag_digest(SOURCE, "1.0").unwrap();
    source.add_cosign(SOURCE, &digest, "sig", 7);
    let mut story = story;
    story.scan().await;
    let spec = json!({ "referrers": true, "prune": prunes() });
    story.rig.mirror(spec);
    story.rig.is("True", "mirrored 2 of 2 tags").await;
    assert_eq!(story.there().len(), 3);
    story.rig.source.delete_tag(SOURCE, "1.0");
    for _ in 0..2 {
        story.scan().await;
        story.turn().await;
    }
    assert_eq!(story.turn().await["deleted"], 1);
    assert_eq!(story.there(), ["2.0"]);
}

#[tokio::test]
async fn switched_off_and_on_again_it_begins_anew() {
    let mut story = Story::announced(&["1.0", "1.1"], &["1.0"]).await;
    let prune = |is_enabled| {
        let mut prune = prunes();
        prune["enabled"] = json!(is_enabled);
        json!({ "prune": prune })
    };
    story.rig.edit(prune(false));
    let told = story.turn().await;
    assert_eq!(told, json!({ "owned": 0, "planned": 0 }));
    story.rig.edit(prune(true));
    let told = story.turn().await;
    assert_eq!((&told["owned"], &told["planned"]), (&json!(2), &json!(0)));
    for planned in [0, 1] {
        story.scan().await;
        assert_eq!(story.turn().await["planned"], planned);
        assert_eq!(story.deletions(), 0);
    }
    assert_eq!(story.turn().await["deleted"], 1);
}

/// Two ImageRepositories scan one image, and one of them does not want all of it.
#[tokio::test]
async fn what_one_repository_wants_stays_though_another_of_the_same_image_does_not() {
    let mut story = Story::of(&["1.0", "1.1", "2.0"]).await;
    let spec = json!({
        "image": story.rig.source.image(SOURCE), "interval": "1h", "insecure": true, "exclusionList": ["^1\\.0$"],
    });
    story.rig.kube.create(
        REPOSITORIES,
        "apps",
        json!({
            "apiVersion": "image.toolkit.fluxcd.io/v1", "kind": "ImageRepository",
            "metadata": { "name": "twin" }, "spec": spec,
        }),
    );
    let fields = json!({ "sourceRef": { "selector": {} }, "prune": prunes() });
    story.rig.mirror(fields);
    let object = story.rig.is("True", "mirrored 5 of 5 tags").await;
    assert_eq!(object["status"]["prune"]["owned"], 3);
    // What it wants is all the same wanted while nobody scans it.
    let suspended = json!({ "spec": { "suspend": true } });
    story.rig.kube.edit(REPOSITORIES, "apps", "app", suspended);
    for _ in 0..4 {
        story.clock.advance(SignedDuration::from_mins(1));
        let token = story.token();
        story
            .rig
            .kube
            .annotate(REPOSITORIES, "apps", "twin", &token);
        let is_done = |object: &Value| object["status"]["lastHandledReconcileAt"] == token;
        let kube = &story.rig.kube;
        kube.wait_for(REPOSITORIES, "apps", "twin", is_done).await;
        let told = story.turn().await;
        assert_eq!(told["planned"], 0, "{told}");
    }
    assert_eq!(story.there(), ["1.0", "1.1", "2.0"]);
}

#[tokio::test]
async fn what_is_elected_meanwhile_is_not_deleted() {
    let all = ["1.0", "1.1", "2.0", "2.1", "2.2"];
    let mut story = Story::copied(&all).await;
    let newest = json!({ "filterTags": { "pattern": "^2" } });
    story.rig.edit(json!({ "tags": newest }));
    for planned in [0, 2] {
        story.scan().await;
        assert_eq!(story.turn().await["planned"], planned);
    }
    let slow = Fault::Slow(Duration::from_secs(3));
    let destination = &story.rig.destination;
    destination.on(Method::DELETE, "/manifests/1.0", Nth::Every, slow);
    let token = story.token();
    story.rig.kube.annotate(MIRRORS, "apps", "app", &token);
    until(|| story.deletions() > 0).await;
    // Somebody goes back to what is about to go.
    story.rig.kube.create(
        POLICIES,
        "apps",
        json!({
            "apiVersion": "image.toolkit.fluxcd.io/v1", "kind": "ImagePolicy", "metadata": { "name": "app" },
            "spec": { "filterTags": { "pattern": "^1" }, "policy": { "alphabetical": {} }, "imageRepositoryRef": { "name": "app" } },
        }),
    );
    let has_elected = |object: &Value| object["status"]["latestRef"]["tag"] == "1.1";
    let kube = &story.rig.kube;
    kube.wait_for(POLICIES, "apps", "app", has_elected).await;
    assert_eq!(story.turned(&token).await["deleted"], 1);
    assert_eq!(story.there(), ["1.1", "2.0", "2.1", "2.2"]);
}

/// Puts a placeholder in the place of 1.0, as a run leaves it that was killed while it deleted.
fn leave_placeholder(story: &Story) {
    let placeholder = Image::sized(77, &[10]).artifact_type(PLACEHOLDER);
    story.rig.destination.add_image(THERE, "1.0", &placeholder);
}

#[tokio::test]
async fn a_placeholder_that_stays_is_a_failure_and_tried_again_with_pauses() {
    let mut story = Story::copied(&["1.0", "1.1"]).await;
    story.rig.destination.configure(|options| {
        options.refuses_tag_deletion = Some(405);
        options.refuses_digest_deletion = Some(405);
    });
    let refused = Fault::Code(403, "DENIED");
    let path = "/manifests/1.0";
    story
        .rig
        .destination
        .on(Method::PUT, path, Nth::Every, refused);
    leave_placeholder(&story);
    let told = story.turn().await;
    assert_eq!(told["owned"], 2, "{told}");
    let words = "could not be brought to its end";
    let object = story.rig.is("False", words).await;
    assert_eq!(condition(&object, "Ready").unwrap()["reason"], "CopyFailed");
    story.rig.clear();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let destination = &story.rig.destination;
    let asked = destination.count_of(&Method::HEAD, Route::Manifest);
    assert!(
        (1..20).contains(&asked),
        "{asked}: the longest pause is 0.3 s"
    );
    destination.heal();
    story.rig.is("True", "mirrored 2 of 2 tags").await;
    let source = &story.rig.source;
    let digests = [
        source.tag_digest(SOURCE, "1.0"),
        destination.tag_digest(THERE, "1.0"),
    ];
    assert_eq!(digests[0], digests[1]);
    assert_eq!(story.turn().await["owned"], 2);
}

#[tokio::test]
async fn what_differs_and_cannot_be_read_is_drift_and_not_looked_at_without_end() {
    let mut story = Story::copied(&["1.0", "1.1"]).await;
    let destination = &story.rig.destination;
    destination.add_image(THERE, "1.0", &Image::sized(99, &[10]));
    let refused = Fault::Code(403, "DENIED");
    destination.on(Method::GET, "/manifests/", Nth::Every, refused);
    let told = story.turn().await;
    assert_eq!(told["owned"], 2, "nobody knows whose it is: {told}");
    let object = story.rig.object();
    assert!(condition(&object, "Stalled").is_some(), "{object}");
    story.rig.clear();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(counted(&story.rig.destination), BTreeMap::new());
    assert_eq!(story.rig.writes(), (vec![], vec![]));
}

#[tokio::test]
async fn what_is_known_is_written_down_before_anything_is_deleted() {
    let mut story = Story::announced(&["1.0", "1.1"], &["1.0"]).await;
    let in_the_way = story.rig.disk().join("mirror/mirror.known.new/x");
    std::fs::create_dir_all(&in_the_way).unwrap();
    let told = story.turn().await;
    let refused = told["refused"].as_str().unwrap_or_default();
    assert!(
        refused.starts_with("nothing is deleted: failed to "),
        "{told}"
    );
    assert_eq!(story.there(), ["1.0", "1.1"]);
    std::fs::remove_dir_all(in_the_way.parent().unwrap()).unwrap();
    while story.turn().await["deleted"].is_null() {}
    assert_eq!(story.there(), ["1.1"]);
}
