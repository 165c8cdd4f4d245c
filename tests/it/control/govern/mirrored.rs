//! Elections that wait for a mirror. The mirrors are suspended, and what they have verified is put on the board by hand.

use std::sync::Arc;

use tagscope::object::Key;
use tagscope::store::{Copies, Mirrored, Verified};

use super::super::bench::events;
use super::*;

const REQUIRE_MIRRORED: &str = "tags.tagscope.dev/require-mirrored";
const MIRRORS: &str = "imagemirrors";

/// A tag, and the letter that its digest is made of.
type Copy<'a> = (&'a str, &'a str);

fn digest(fill: &str) -> String {
    format!("sha256:{fill:0>64}")
}

/// A mirror `web` of the ImageRepository `app`, and a policy that requires it.
async fn bench() -> Bench {
    let (images, clock) = (FakeImages::default(), clock());
    images.push(IMAGE, &["1.0.0", "1.1.0"]);
    let store = Store::in_memory(clock.clone());
    let bench = Bench::with_mirrors(FakeKube::new(), images, store, clock, Settings::default());
    bench.mirror("web", json!({}));
    bench.repository("app", json!({}));
    bench.repository_is("app", "True", "found 2 tags").await;
    bench.gated("web", json!({}));
    bench.settle().await;
    bench
}

impl Bench {
    fn mirror(&self, name: &str, fields: Value) {
        let mut spec = json!({
            "sourceRef": { "name": "app" }, "suspend": true,
            // What cannot be understood has nothing to tell: nobody but the test puts anything on the board.
            "overwrite": { "mode": "MutableTagsOnly", "mutable": ["("] },
            "destinations": [{ "name": "one", "registry": "mirror.test" }],
        });
        for (field, value) in fields.as_object().unwrap() {
            spec[field] = value.clone();
        }
        self.kube.create(
            MIRRORS,
            "apps",
            json!({
                "apiVersion": "mirror.tagscope.dev/v1alpha1", "kind": "ImageMirror",
                "metadata": { "name": name }, "spec": spec,
            }),
        );
    }

    /// A policy `app` that requires `mirror`, with these fields besides.
    fn gated(&self, mirror: &str, fields: Value) {
        let mut spec = json!({
            "imageRepositoryRef": { "name": "app" }, "policy": { "semver": { "range": "*" } },
        });
        for (field, value) in fields.as_object().unwrap() {
            spec[field] = value.clone();
        }
        self.kube.create(
            POLICIES,
            "apps",
            json!({
                "apiVersion": "image.toolkit.fluxcd.io/v1", "kind": "ImagePolicy",
                "metadata": { "name": "app", "annotations": { REQUIRE_MIRRORED: mirror } }, "spec": spec,
            }),
        );
    }

    /// The mirror `web` has these at its destination, and nothing else.
    fn verified(&self, tags: &[Copy<'_>]) {
        self.tell((IMAGE, tags), true);
    }

    /// The mirror `web` has these, and has not looked for others yet.
    fn found_so_far(&self, tags: &[Copy<'_>]) {
        self.tell((IMAGE, tags), false);
    }

    fn verified_of(&self, image: &str, tags: &[Copy<'_>]) {
        self.tell((image, tags), true);
    }

    fn tell(&self, (image, tags): (&str, &[Copy<'_>]), is_whole: bool) {
        let verified = |(tag, fill): &Copy<'_>| {
            let source = digest(fill).parse().unwrap();
            let verified = Verified {
                source,
                destinations: vec![digest(fill).parse().unwrap()],
            };
            (tag.parse().unwrap(), verified)
        };
        let copies = Copies {
            image: image.parse().unwrap(),
            tags: tags.iter().map(verified).collect(),
            is_whole,
        };
        let mirrored = Mirrored {
            is_rewritten: false,
            repositories: [(Key::new("apps", "app"), Arc::new(copies))].into(),
        };
        let board = self.store.board();
        board.put_mirrored(&Key::new("apps", "web"), Some(Arc::new(mirrored)));
    }

    fn candidate(&self) -> Option<String> {
        let candidate = self.store.board().candidate(&Key::new("apps", "app"))?;
        assert_eq!(candidate.repository, Key::new("apps", "app"));
        assert_eq!(candidate.image.to_string(), IMAGE);
        Some(candidate.tag.to_string())
    }

    /// The next life, which knows of no mirror what it has.
    async fn started_again(self) -> Self {
        self.stop().await;
        self.kube.restart();
        let Self {
            kube,
            images,
            clock,
            ..
        } = self;
        kube.take_asked();
        let store = Store::in_memory(clock.clone());
        Self::with_mirrors(kube, images, store, clock, Settings::default())
    }
}

#[tokio::test(start_paused = true)]
async fn a_tag_is_elected_when_the_mirror_has_it() {
    let bench = bench().await;
    let told = bench
        .policy_is(
            "app",
            "False",
            "no tag may be elected; ImageMirror apps/web has verified nothing",
        )
        .await;
    assert_eq!(
        condition(&told, "Governed").unwrap()["reason"],
        "MirrorUnknown"
    );
    assert_eq!(bench.candidate().as_deref(), Some("1.1.0"));
    assert!(bench.elected("apps", "app").is_empty());
    bench.verified(&[("1.0.0", "a")]);
    bench.elects("1.0.0").await;
    bench.settle().await;
    assert_eq!(bench.governed(), "NotMirrored");
    let text = "; 1.1.0 is not yet at all destinations of ImageMirror apps/web (tags.tagscope.dev/require-mirrored)";
    bench.policy_is("app", "True", text).await;
    assert_eq!(bench.elected("apps", "app"), ["1.0.0 by apps/app"]);
    bench.take_writes();
    bench.verified(&[("1.0.0", "a"), ("1.1.0", "b")]);
    bench.settle().await;
    assert_eq!(bench.latest()["tag"], "1.1.0");
    assert_eq!(bench.governed(), "");
    assert_eq!(policy_patches(&bench), 1);
    assert_eq!(bench.images.digests(), 0);
}

/// Nobody waits for the other tags of a mirror's first run.
#[tokio::test(start_paused = true)]
async fn a_tag_is_elected_while_the_mirror_still_looks_at_others_but_never_an_earlier_one() {
    let bench = bench().await;
    bench.found_so_far(&[("1.0.0", "a")]);
    bench.pass(Duration::from_mins(1)).await;
    assert!(bench.elected("apps", "app").is_empty());
    let text = "ImageMirror apps/web has not looked at all tags of this ImageRepository";
    let told = bench.policy_is("app", "False", text).await;
    assert_eq!(
        condition(&told, "Governed").unwrap()["reason"],
        "MirrorUnknown"
    );
    bench.found_so_far(&[("1.0.0", "a"), ("1.1.0", "b")]);
    bench.elects("1.1.0").await;
    bench.settle().await;
    assert_eq!(bench.governed(), "");
}

/// The mirror copies what the policy would elect, and the policy elects what the mirror has copied.
#[tokio::test(start_paused = true)]
async fn a_mirror_that_follows_the_policy_that_waits_for_it_is_told_what_to_copy() {
    let bench = bench().await;
    bench.verified(&[("1.1.0", "a")]);
    bench.elects("1.1.0").await;
    bench.push("2.0.0").await;
    assert_eq!(bench.latest()["tag"], "1.1.0");
    assert_eq!(bench.candidate().as_deref(), Some("2.0.0"));
    // It follows, and what was elected is none of its business any more.
    let before = bench.reconciles("imagepolicy");
    bench.verified(&[("2.0.0", "b")]);
    bench.settle().await;
    assert_eq!(bench.latest()["tag"], "2.0.0");
    assert_eq!(bench.reconciles("imagepolicy") - before, 1);
    assert_eq!(bench.candidate().as_deref(), Some("2.0.0"));
}

#[tokio::test(start_paused = true)]
async fn what_is_lost_takes_nothing_away() {
    let bench = bench().await;
    bench.verified(&[("1.1.0", "a")]);
    bench.elects("1.1.0").await;
    bench.push("2.0.0").await;
    assert_eq!(bench.governed(), "NotMirrored");
    bench.take_writes();
    // The destination was wiped.
    bench.verified(&[]);
    bench.settle().await;
    assert_eq!(policy_patches(&bench), 0);
    // Nobody remembers anything.
    let bench = bench.started_again().await;
    bench.pass(Duration::from_secs(20)).await;
    assert_eq!(bench.elected("apps", "app"), ["1.1.0 by apps/app"]);
    assert_eq!(bench.candidate().as_deref(), Some("2.0.0"));
    assert_eq!(policy_patches(&bench), 0, "the mirror is about to look");
    bench.pass(Duration::from_secs(11)).await;
    assert_eq!(bench.governed(), "MirrorUnknown");
    assert_eq!(bench.latest()["tag"], "1.1.0");
    bench.verified_of("registry.test/o/other", &[("2.0.0", "a")]);
    bench.pass(Duration::from_mins(2)).await;
    assert_eq!(bench.latest()["tag"], "1.1.0", "that is another image's");
    assert_eq!(policy_patches(&bench), 1);
    bench.verified(&[("2.0.0", "b")]);
    bench.elects("2.0.0").await;
    bench.settle().await;
    assert_eq!(bench.governed(), "");
}

#[tokio::test(start_paused = true)]
async fn a_start_writes_nothing_when_the_mirror_looks_soon() {
    let bench = bench().await;
    bench.verified(&[("1.1.0", "a")]);
    bench.elects("1.1.0").await;
    bench.settle().await;
    let bench = bench.started_again().await;
    bench.pass(Duration::from_secs(20)).await;
    bench.verified(&[("1.1.0", "a")]);
    bench.pass(Duration::from_mins(1)).await;
    let writes = bench.take_writes();
    let ours = writes.iter().filter(|one| one.path.contains(POLICIES));
    assert_eq!(ours.count(), 0);
    let events = events(&writes);
    assert!(
        !events.iter().any(|one| one.contains("mirror")),
        "{events:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_mirror_that_cannot_say_anything_is_told_with_the_reason() {
    let bench = bench().await;
    bench.verified(&[("1.1.0", "a")]);
    bench.elects("1.1.0").await;
    bench.govern(REQUIRE_MIRRORED, json!("later"));
    bench
        .policy_is("app", "True", "; there is no ImageMirror apps/later")
        .await;
    assert_eq!(bench.governed(), "MirrorMissing");
    bench.push("2.0.0").await;
    bench.policy_is("app", "True", "2.0.0 is not elected").await;
    // It comes, and has to look first.
    bench.mirror("later", json!({ "sourceRef": { "name": "other" } }));
    bench
        .policy_is(
            "app",
            "True",
            "; ImageMirror apps/later does not copy this ImageRepository",
        )
        .await;
    assert_eq!(bench.governed(), "MirrorElsewhere");
    let selector = json!({ "name": null, "selector": {} });
    let spec = json!({ "spec": { "sourceRef": selector } });
    bench.kube.edit(MIRRORS, "apps", "later", spec);
    bench.settle().await;
    bench.pass(Duration::from_secs(31)).await;
    assert_eq!(bench.governed(), "MirrorUnknown");
    bench.kube.delete(MIRRORS, "apps", "later");
    bench
        .policy_is("app", "True", "; there is no ImageMirror apps/later")
        .await;
    assert_eq!(bench.latest()["tag"], "1.1.0");
    bench.govern(REQUIRE_MIRRORED, json!("a/b/c"));
    bench.policy_is("app", "True", "it is no ImageMirror").await;
    assert_eq!(bench.governed(), "InvalidAnnotation");
    assert_eq!(bench.latest()["tag"], "1.1.0");
    bench.govern(REQUIRE_MIRRORED, Value::Null);
    bench.elects("2.0.0").await;
}

#[tokio::test(start_paused = true)]
async fn mirrors_of_other_namespaces_may_be_out_of_reach() {
    let images = FakeImages::default();
    images.push(IMAGE, &["1.0.0"]);
    let settings = Settings {
        no_cross_namespace_refs: true,
        ..Settings::default()
    };
    let clock = clock();
    let store = Store::in_memory(clock.clone());
    let bench = Bench::with_mirrors(FakeKube::new(), images, store, clock, settings);
    bench.repository("app", json!({}));
    bench.gated("images/web", json!({}));
    let told = bench
        .policy_is(
            "app",
            "False",
            "cross-namespace references have been blocked",
        )
        .await;
    assert_eq!(
        condition(&told, "Governed").unwrap()["reason"],
        "MirrorUnknown"
    );
}

#[tokio::test(start_paused = true)]
async fn where_nobody_looks_at_mirrors_nothing_new_is_elected() {
    let bench = super::bench().await;
    bench.govern(REQUIRE_MIRRORED, json!("web"));
    bench.push("2.0.0").await;
    bench.pass(Duration::from_secs(31)).await;
    assert_eq!(bench.governed(), "MirrorUnknown");
    bench
        .policy_is("app", "True", "this program does not look at mirrors")
        .await;
    assert_eq!(bench.latest()["tag"], "1.1.0");
}

#[tokio::test(start_paused = true)]
async fn the_digest_is_the_one_that_the_mirror_has() {
    let bench = bench().await;
    bench.images.index("1.1.0", "f", &[]);
    let spec = json!({ "spec": { "digestReflectionPolicy": "Always", "interval": "10m" } });
    bench.kube.edit(POLICIES, "apps", "app", spec);
    bench.verified(&[("1.1.0", "a")]);
    bench.elects("1.1.0").await;
    assert_eq!(bench.latest()["digest"], digest("a"));
    // The source's tag moves, and then the mirror's.
    bench.pass(Duration::from_mins(21)).await;
    assert_eq!(bench.latest()["digest"], digest("a"));
    bench.verified(&[("1.1.0", "b")]);
    bench.settle().await;
    assert_eq!(bench.latest()["digest"], digest("b"));
    bench.verified(&[]);
    bench.pass(Duration::from_mins(21)).await;
    assert_eq!(bench.latest()["digest"], digest("b"));
    // A new digest of the same tag has to become old.
    bench.govern(MINIMUM_AGE, json!("1h"));
    bench.verified(&[("1.1.0", "c")]);
    let text = format!("1.1.0 was pushed again, digest {} waits until", digest("c"));
    bench.policy_is("app", "True", &text).await;
    assert_eq!(bench.latest()["digest"], digest("b"));
    bench.pass(Duration::from_mins(61)).await;
    assert_eq!(bench.latest()["digest"], digest("c"));
    assert_eq!(bench.governed(), "");
    // What is known already is kept.
    let spec = json!({ "spec": { "digestReflectionPolicy": "IfNotPresent", "interval": null } });
    bench.kube.edit(POLICIES, "apps", "app", spec);
    bench.verified(&[("1.1.0", "d")]);
    bench.settle().await;
    assert_eq!(bench.latest()["digest"], digest("c"));
    assert_eq!(bench.images.digests(), 0, "the registry was never asked");
}

#[tokio::test(start_paused = true)]
async fn what_stands_without_a_digest_gets_none_that_the_mirror_lacks() {
    let bench = bench().await;
    bench.verified(&[("1.1.0", "a")]);
    bench.elects("1.1.0").await;
    bench.verified(&[]);
    bench.settle().await;
    let spec = json!({ "spec": { "digestReflectionPolicy": "IfNotPresent" } });
    bench.kube.edit(POLICIES, "apps", "app", spec);
    bench.pass(Duration::from_mins(1)).await;
    assert_eq!(bench.latest(), json!({ "name": IMAGE, "tag": "1.1.0" }));
    bench.verified(&[("1.1.0", "b")]);
    bench.settle().await;
    assert_eq!(bench.latest()["digest"], digest("b"));
    // Who holds a tag that is not there means it.
    bench.images.index("1.0.0", "f", &[]);
    bench.govern(HOLD, json!("1.0.0"));
    bench.elects("1.0.0").await;
    assert_eq!(bench.latest()["digest"], digest("f"));
    assert_eq!(bench.images.digests(), 1);
}

#[tokio::test(start_paused = true)]
async fn copies_with_digests_of_their_own_are_not_waited_for() {
    let bench = bench().await;
    bench.verified(&[("1.1.0", "a")]);
    bench.elects("1.1.0").await;
    let platforms = json!({ "spec": { "platforms": { "include": ["linux/amd64"] } } });
    bench.kube.edit(MIRRORS, "apps", "web", platforms);
    bench.verified(&[("1.1.0", "a"), ("2.0.0", "b")]);
    bench.push("2.0.0").await;
    bench.elects("2.0.0").await;
    let spec = json!({ "spec": { "digestReflectionPolicy": "Always", "interval": "10m" } });
    bench.kube.edit(POLICIES, "apps", "app", spec);
    bench
        .policy_is(
            "app",
            "True",
            "; ImageMirror apps/web leaves out platforms by rewriting images",
        )
        .await;
    assert_eq!(bench.governed(), "MirrorRewritten");
    assert_eq!(bench.latest(), json!({ "name": IMAGE, "tag": "2.0.0" }));
    let sparse = json!({ "spec": { "platforms": { "mode": "Sparse" } } });
    bench.kube.edit(MIRRORS, "apps", "web", sparse);
    bench
        .kube
        .wait_for(POLICIES, "apps", "app", |object| {
            object["status"]["latestRef"]["digest"] == digest("b").as_str()
        })
        .await;
    assert_eq!(bench.images.digests(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_any_policy_would_elect_is_told_as_long_as_there_is_one() {
    let bench = super::bench().await;
    assert_eq!(bench.candidate().as_deref(), Some("1.1.0"));
    bench.govern(HOLD, json!("1.0.0"));
    bench.elects("1.0.0").await;
    assert_eq!(bench.candidate().as_deref(), Some("1.0.0"));
    bench.govern(HOLD, json!("7.0.0"));
    bench.policy_is("app", "True", "is not in the list").await;
    assert_eq!(bench.candidate().as_deref(), Some("1.0.0"), "it stands");
    bench.kube.edit(
        POLICIES,
        "apps",
        "app",
        json!({ "spec": { "suspend": true } }),
    );
    bench.govern(HOLD, Value::Null);
    bench.settle().await;
    assert_eq!(bench.candidate().as_deref(), Some("1.0.0"), "it rests");
    bench.kube.edit(
        POLICIES,
        "apps",
        "app",
        json!({ "spec": { "suspend": false } }),
    );
    bench.elects("1.1.0").await;
    bench.kube.edit(
        POLICIES,
        "apps",
        "app",
        json!({ "spec": { "policy": { "semver": { "range": "9.x" } } } }),
    );
    bench.policy_is("app", "False", "").await;
    assert_eq!(
        bench.candidate().as_deref(),
        Some("1.1.0"),
        "whatever fails"
    );
    bench.kube.edit(
        POLICIES,
        "apps",
        "app",
        json!({ "spec": { "imageRepositoryRef": { "name": "other" } } }),
    );
    bench.policy_is("app", "False", "does not exist").await;
    bench.settle().await;
    assert_eq!(bench.candidate(), None, "that is no tag of the other one");
    let back = json!({ "spec": { "imageRepositoryRef": { "name": "app" }, "policy": { "semver": { "range": "*" } } } });
    bench.kube.edit(POLICIES, "apps", "app", back);
    bench.policy_is("app", "True", "resolved to 1.1.0").await;
    bench.settle().await;
    assert_eq!(bench.candidate().as_deref(), Some("1.1.0"));
    bench.kube.delete(POLICIES, "apps", "app");
    bench.settle().await;
    assert_eq!(bench.candidate(), None);
}
