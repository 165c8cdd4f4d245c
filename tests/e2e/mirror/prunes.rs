//! `tagscope mirror -f … --prune --yes` at registries that delete tags (distribution v3), that delete manifests only
//! (distribution 2.8.2), and that delete nothing.

use std::fs;

use super::yard::{Home, Kind, Registry, text};

const REPOSITORY: &str = "team/app-0";

struct World {
    source: Registry,
    destination: Registry,
    home: Home,
    dir: tempfile::TempDir,
}

impl World {
    /// Copies all tags, and deletes one of them at the source, whose name is answered; none where the registry is not installed.
    async fn new(kind: Kind, deletes: bool) -> Option<(Self, String)> {
        let source = Registry::start(Kind::Distribution).await?;
        let destination = Registry::start_with(kind, deletes).await?;
        source.kit("images", &["1", "4"]).await.unwrap();
        let world = Self {
            source,
            destination,
            home: Home::new(),
            dir: tempfile::tempdir().unwrap(),
        };
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
  prune: {{enabled: true, grace: 0s, maxDeleteFraction: 100%}}
  destinations:
  - {{name: one, registry: {}, repositoryTemplate: 'copy'}}
",
            world.source.image(REPOSITORY),
            world.destination.address,
        );
        fs::write(world.file(), documents).unwrap();
        let file = world.file();
        world.home.good(&["-q", "-f", &file]).await;
        let gone = world.source.tags(REPOSITORY).await.swap_remove(0);
        world.source.delete(REPOSITORY, &gone).await;
        Some((world, gone))
    }

    fn file(&self) -> String {
        let path = self.dir.path().join("mirrors.yaml");
        path.to_str().unwrap().to_owned()
    }

    /// Prunes until the report says so: two looks within one second are one.
    async fn until(&self, words: &str) -> String {
        let mut said = String::new();
        for _ in 0..50 {
            let file = self.file();
            let output = self
                .home
                .run(&["-q", "-f", &file, "--prune", "--yes"])
                .await;
            said = text(&output.stdout) + &text(&output.stderr);
            if said.contains(words) {
                return said;
            }
        }
        panic!("{words}: {said}")
    }
}

async fn one_goes_and_the_others_stay(kind: Kind) {
    let Some((world, gone)) = World::new(kind, true).await else {
        return;
    };
    let mut before = world.destination.manifests("copy").await;
    assert!(before.len() > 1, "{before:?}");
    world.until("1 deleted").await;
    before.remove(&gone).unwrap();
    assert_eq!(world.destination.manifests("copy").await, before);
    // Other tags may be of the same images: nothing that they name is missing.
    world.destination.check(&["copy"]).await.unwrap();
    let file = world.file();
    let said = world
        .home
        .good(&["-q", "-f", &file, "--prune", "--yes"])
        .await;
    assert!(said.contains("0 deleted"), "{said}");
}

#[tokio::test]
async fn distribution_v3_deletes_the_tag() {
    one_goes_and_the_others_stay(Kind::Distribution).await;
}

#[tokio::test]
async fn docker_registry_deletes_a_placeholder_that_was_put_on_the_tag() {
    one_goes_and_the_others_stay(Kind::DockerRegistry).await;
}

async fn nothing_goes(kind: Kind) {
    let Some((world, gone)) = World::new(kind, false).await else {
        return;
    };
    let before = world.destination.manifests("copy").await;
    let said = world.until("is not deleted").await;
    assert!(said.contains(&gone), "{said}");
    assert_eq!(world.destination.manifests("copy").await, before);
}

#[tokio::test]
async fn distribution_v3_without_deletion_keeps_the_tag_as_it_was() {
    nothing_goes(Kind::Distribution).await;
}

#[tokio::test]
async fn docker_registry_without_deletion_keeps_the_tag_as_it_was() {
    nothing_goes(Kind::DockerRegistry).await;
}
