//! `tagscope mirror -f ... --prune`: what it tells, what it deletes when it is told to, and which code it ends with.

use super::{Machine, Ran};
use crate::fake_registry::{FakeRegistry, Image};

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
