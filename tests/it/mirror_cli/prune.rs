//! `tagscope mirror -f ... --prune`: what it tells, what it deletes when it is told to, and which code it ends with.

use http::Method;

use super::{Machine, Ran};
use crate::fake_registry::{FakeRegistry, Fault, Image, Nth};

const LEDGER: &str = ".local/state/tagscope/mirror.ledger";

struct World {
    source: FakeRegistry,
    destination: FakeRegistry,
    machine: Machine,
    file: String,
}

impl World {
    /// Five tags, of a mirror that prunes by these rules.
    async fn new(rules: &str) -> Self {
        Self::with(rules, "{}").await
    }

    /// The same, with the tags of its spec and what follows there.
    async fn with(rules: &str, tags: &str) -> Self {
        let (source, destination) = (FakeRegistry::start().await, FakeRegistry::start().await);
        for (tag, seed) in ["a", "b", "c", "d", "e"].into_iter().zip(1..) {
            source.add_image("team/app", tag, &Image::sized(seed, &[1000]));
        }
        let machine = Machine::new();
        let documents = format!(
            "apiVersion: image.toolkit.fluxcd.io/v1
kind: ImageRepository
metadata: {{name: app}}
spec: {{image: '{}', interval: 5m}}
---
apiVersion: mirror.tagscope.dev/v1alpha1
kind: ImageMirror
metadata: {{name: app}}
spec:
  sourceRef: {{name: app}}
  prune: {{{rules}}}
  tags: {tags}
  destinations:
  - {{name: one, registry: {}, repositoryTemplate: 'app'}}
",
            source.image("team/app"),
            destination.plain_host(),
        );
        let file = machine.write("mirrors.yaml", &documents);
        Self {
            source,
            destination,
            machine,
            file,
        }
    }

    async fn run(&self, args: &[&str]) -> Ran {
        let all = [&["mirror", "-q", "-f", &self.file], args].concat();
        self.machine.run(&all).await
    }

    /// A file with another mirror of the same, to the same place.
    fn another(&self, tags: &str, more: &str) -> String {
        let text = std::fs::read_to_string(&self.file).unwrap();
        let (_, mirror) = text.split_once("---\n").unwrap();
        let (head, tail) = mirror.split_once("  tags: ").unwrap();
        let (_, tail) = tail.split_once('\n').unwrap();
        let head = head.replace("metadata: {name: app}", "metadata: {name: other}");
        let mirror = format!("{head}  tags: {tags}\n{more}{tail}");
        self.machine.write("other.yaml", &mirror)
    }

    fn left(&self) -> Vec<String> {
        let mut left = self.destination.tags("app");
        left.sort_unstable();
        left
    }

    /// Runs until the report says so: two looks within one second are one.
    async fn until(&self, args: &[&str], words: &str) -> Ran {
        for _ in 0..100 {
            let ran = self.run(args).await;
            if ran.out.contains(words) {
                return ran;
            }
        }
        panic!("{words}: {:?}", self.run(args).await)
    }
}

#[tokio::test]
async fn what_would_be_deleted_is_told_and_deleted_with_yes() {
    let world = World::new("enabled: true, grace: 0s, maxDeleteFraction: 40%").await;
    world
        .destination
        .add_image("app", "foreign", &Image::sized(9, &[100]));
    let ran = world.run(&[]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(world.machine.path(LEDGER).exists());
    world.source.delete_tag("team/app", "a");
    let ran = world.run(&["--prune"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.line("waiting ").ends_with("/app:a"), "{ran:?}");
    assert!(
        ran.out
            .contains("prune: 5 tags owned, 0 deleted, 1 waiting"),
        "{ran:?}"
    );
    let ran = world.until(&["--prune"], "would be deleted").await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.line("would delete ").ends_with("/app:a"), "{ran:?}");
    assert!(
        ran.out.ends_with(
            "prune: 5 tags owned, 0 deleted, 1 would be deleted with --yes, 0 waiting\n"
        ),
        "{ran:?}"
    );
    assert_eq!(world.destination.tags("app").len(), 6);
    let ran = world.run(&["--prune", "--yes", "-o", "json"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let prune = &ran.json()["prune"];
    let deleted = prune["deleted"].as_array().unwrap();
    assert_eq!(
        (deleted.len(), &prune["planned"]),
        (1, &serde_json::json!([]))
    );
    let mut left = world.destination.tags("app");
    left.sort_unstable();
    assert_eq!(left, ["b", "c", "d", "e", "foreign"]);
    let ran = world.run(&["--prune", "--yes"]).await;
    assert!(
        ran.out
            .ends_with("prune: 4 tags owned, 0 deleted, 0 waiting\n"),
        "{ran:?}"
    );
}

#[tokio::test]
async fn fault_31_what_the_rails_refuse_is_told_with_code_2_and_stays() {
    let world = World::new("enabled: true, grace: 0s").await;
    assert_eq!(world.run(&[]).await.code, Some(0));
    world.source.delete_tag("team/app", "a");
    let words =
        "1 of 5 owned tags would be deleted, more than the 10% of spec.prune.maxDeleteFraction";
    let ran = world.until(&["--prune", "--yes"], words).await;
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.line("refused ").contains("/app: 1 of 5"), "{ran:?}");
    // A lost ledger owns nothing, and a damaged one is told.
    std::fs::write(world.machine.path(LEDGER), "nonsense").unwrap();
    let ran = world.run(&["--prune", "--yes"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.err.contains("will be made anew"), "{ran:?}");
    assert!(
        ran.out
            .ends_with("prune: 0 tags owned, 0 deleted, 0 waiting\n"),
        "{ran:?}"
    );
    // Nor does a grace that is not over let anything go.
    assert_eq!(world.destination.tags("app").len(), 5);
}

#[tokio::test]
async fn a_registry_that_deletes_nothing_is_code_1() {
    let world = World::new("enabled: true, grace: 0s, maxDeleteFraction: 100%").await;
    assert_eq!(world.run(&[]).await.code, Some(0));
    world.destination.configure(|options| {
        options.refuses_tag_deletion = Some(405);
        options.refuses_digest_deletion = Some(405);
    });
    world.source.delete_tag("team/app", "a");
    let ran = world.until(&["--prune", "--yes"], "is not deleted").await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.line("failed ")
            .contains("app:a is not deleted: the registry deletes no tags")
    );
    assert!(ran.out.contains("1 left for the next run"), "{ran:?}");
    assert_eq!(world.destination.tags("app").len(), 5);
}

#[tokio::test]
async fn without_prune_in_the_spec_nothing_is_kept_and_nothing_deleted() {
    let world = World::new("enabled: false").await;
    assert_eq!(world.run(&[]).await.code, Some(0));
    assert!(!world.machine.path(LEDGER).exists());
    world.source.delete_tag("team/app", "a");
    for _ in 0..3 {
        let ran = world.run(&["--prune", "--yes"]).await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(
            ran.out.ends_with("no mirror has spec.prune.enabled\n"),
            "{ran:?}"
        );
    }
    assert_eq!(world.destination.tags("app").len(), 5);
    let (from, to) = (
        world.source.image("team/app:b"),
        world.destination.image("x"),
    );
    for args in [
        &["mirror", &from, &to, "--prune"][..],
        &["mirror", "-f", &world.file, "--yes"],
        &["mirror", "-f", &world.file, "--prune", "--no-state"],
        &["mirror", "-f", &world.file, "--prune", "--dry-run"],
    ] {
        let ran = world.machine.run(args).await;
        assert_eq!((ran.code, ran.out.as_str()), (Some(64), ""), "{ran:?}");
    }
}

#[tokio::test]
async fn what_another_mirror_has_copied_stays_while_that_takes_no_part() {
    let rules = "enabled: true, grace: 0s, maxDeleteFraction: 100%";
    let world = World::with(rules, "{filterTags: {pattern: '^[abc]$'}}").await;
    let tags = "{filterTags: {pattern: '^[cde]$'}}";
    let other = world.another(tags, "");
    let ran = world.run(&["-f", &other]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(world.left(), ["a", "b", "c", "d", "e"]);
    // It is not named: long enough for what is its own to be missed twice, as that of the other is. `c` was wanted by both.
    for tag in ["a", "c"] {
        world.source.delete_tag("team/app", tag);
    }
    let ran = world.until(&["--prune", "--yes"], " 1 deleted").await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.line("deleted ").ends_with("/app:a"), "{ran:?}");
    assert!(
        ran.out
            .contains("prune: 2 tags owned, 1 deleted, 0 waiting")
    );
    assert_eq!(world.left(), ["b", "c", "d", "e"]);
    // It is suspended: nothing goes where it copies to.
    world.source.delete_tag("team/app", "b");
    let again = Image::sized(1, &[1000]);
    world.source.add_image("team/app", "a", &again);
    world.until(&["--prune"], "would be deleted").await;
    let other = world.another(tags, "  suspend: true\n");
    let ran = world.run(&["--prune", "--yes", "-f", &other]).await;
    assert_eq!(ran.code, Some(2), "{ran:?}");
    let words = "default/other, which is suspended, copies there, too";
    assert!(ran.line("refused ").ends_with(words), "{ran:?}");
    assert_eq!(world.left(), ["a", "b", "c", "d", "e"]);
    // With both of them, what was missed goes.
    let other = world.another(tags, "");
    let args = ["--prune", "--yes", "-f", &other];
    for _ in 0..100 {
        let ran = world.run(&args).await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        if world.left() == ["a", "d", "e"] {
            return;
        }
    }
    panic!("{:?}", world.left());
}

#[tokio::test]
async fn what_a_mirror_without_prune_wants_stays_too() {
    let rules = "enabled: true, grace: 0s, maxDeleteFraction: 100%";
    let world = World::with(rules, "{filterTags: {pattern: '^[abc]$'}}").await;
    let text = std::fs::read_to_string(&world.file).unwrap();
    let other = text
        .replace(&format!("  prune: {{{rules}}}\n"), "")
        .replace(
            "kind: ImageMirror\nmetadata: {name: app}",
            "kind: ImageMirror\nmetadata: {name: other}",
        )
        .replace("^[abc]$", "^[cde]$");
    let other = world.machine.write("alone.yaml", &other);
    let other = ["mirror", "-q", "-f", &other];
    let ran = world.machine.run(&other).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(!world.machine.path(LEDGER).exists(), "it owns nothing");
    for tag in ["c", "d", "e"] {
        world.destination.delete_tag("app", tag);
    }
    world.run(&[]).await;
    let ran = world.machine.run(&other).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(world.left(), ["a", "b", "c", "d", "e"]);
    for tag in ["a", "c"] {
        world.source.delete_tag("team/app", tag);
    }
    let ran = world.until(&["--prune", "--yes"], " 1 deleted").await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.line("deleted ").ends_with("/app:a"), "{ran:?}");
    assert_eq!(world.left(), ["b", "c", "d", "e"]);
}

#[tokio::test]
async fn a_signature_stays_while_nobody_knows_whether_its_image_is_wanted() {
    let rules = "enabled: true, grace: 0s, maxDeleteFraction: 100%";
    let more = "{filterTags: {pattern: '^(live|old)$'}}\n  referrers: true\n  verifyInterval: 0s";
    let world = World::with(rules, more).await;
    let image = Image::sized(20, &[1000]);
    for tag in ["live", "old"] {
        world.source.add_image("team/app", tag, &image);
    }
    let digest = world.destination.add_image("app", "live", &image);
    let signature = world.source.add_cosign("team/app", &digest, "sig", 21);
    let ran = world.run(&[]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let all = ["live", "old", &signature];
    assert!(
        all.iter()
            .all(|it| world.left().contains(&(*it).to_owned()))
    );
    world.source.delete_tag("team/app", "old");
    world.until(&["--prune"], "would be deleted").await;
    let refusal = Fault::Code(403, "DENIED");
    world.source.on(
        Method::HEAD,
        "/manifests/live$",
        Nth::Every,
        refusal.clone(),
    );
    world
        .source
        .on(Method::GET, "/manifests/live$", Nth::Every, refusal);
    let ran = world.run(&["--prune", "--yes"]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.line("deleted ").ends_with("/app:old"), "{ran:?}");
    let mut left = vec!["live".to_owned(), signature];
    left.sort_unstable();
    assert_eq!(world.left(), left);
}

#[tokio::test]
async fn a_placeholder_that_was_left_is_no_drift_when_its_tag_is_wanted_again() {
    let more = "{}\n  verifyInterval: 0s";
    for (status, copies) in [(None, true), (Some(405), false)] {
        let world = World::with("enabled: true", more).await;
        assert_eq!(world.run(&[]).await.code, Some(0));
        let digest = world.destination.tag_digest("app", "a");
        world.destination.configure(|options| {
            options.refuses_tag_deletion = Some(405);
            options.refuses_digest_deletion = status;
        });
        let kind = "application/vnd.tagscope.placeholder.v1";
        let placeholder = Image::sized(30, &[10]).artifact_type(kind);
        world.destination.add_image("app", "a", &placeholder);
        let ran = world.run(&[]).await;
        assert_eq!(ran.code, Some(2), "{ran:?}");
        let there = world.destination.tag_digest("app", "a");
        assert_eq!(there, digest.clone().filter(|_| !copies), "{status:?}");
        let ran = world.run(&["--prune"]).await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_eq!(world.destination.tag_digest("app", "a"), digest);
        assert!(ran.out.contains("prune: 5 tags owned"), "{ran:?}");
    }
    // What somebody else has put there is drift, as ever, and is not ours any more.
    let world = World::with("enabled: true", more).await;
    assert_eq!(world.run(&[]).await.code, Some(0));
    let theirs = world
        .destination
        .add_image("app", "a", &Image::sized(30, &[10]));
    let ran = world.run(&["--prune"]).await;
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.out.contains("prune: 4 tags owned"), "{ran:?}");
    assert_eq!(world.destination.tag_digest("app", "a"), Some(theirs));
}
