//! Elections that annotations govern, as somebody with kubectl sees them.

use serde_json::Value;

use crate::harness::eventually;
use crate::world::{SOON, World};

const PREFIX: &str = "tags.tagscope.dev";

/// One policy `app` over the ImageRepository `app`, in a namespace of its own.
struct Governed<'a> {
    world: &'a World,
    ns: String,
    repository: String,
}

impl<'a> Governed<'a> {
    async fn over(world: &'a World, name: &str, tags: &[&str]) -> Self {
        let ns = world.cluster.namespace(name).await;
        let repository = format!("{ns}/app");
        world.cluster.registry.push(&repository, tags).await;
        world.scan(&ns, "app", &repository).await;
        world.create_policy(&ns, "app", "app", ">=1.0.0").await;
        world.wait_ready(&ns, "imagepolicy/app").await;
        Self {
            world,
            ns,
            repository,
        }
    }

    /// `hold=1.0.0`, or `hold-`.
    async fn annotate(&self, change: &str) {
        let change = format!("{PREFIX}/{change}");
        self.world
            .cluster
            .kubectl(&[
                "annotate",
                "--overwrite",
                "-n",
                &self.ns,
                "imagepolicy/app",
                &change,
            ])
            .await
            .ok();
    }

    async fn push(&self, tag: &str) {
        self.world
            .cluster
            .registry
            .push(&self.repository, &[tag])
            .await;
        self.world.request_scan(&self.ns, "app").await;
    }

    async fn elects(&self, tag: &str) {
        self.world.elects(&self.ns, "app", tag).await;
    }

    /// Waits until Governed has this reason (`""`: until it is not there), while Ready stays True and ends with the same
    /// words.
    async fn is(&self, reason: &str) -> Value {
        eventually(SOON, &format!("Governed is {reason}"), || async {
            let object = self
                .world
                .get(&["imagepolicy", "app", "-n", &self.ns])
                .await;
            let of = |type_: &str| {
                let conditions = object["status"]["conditions"].as_array().unwrap();
                let found = conditions.iter().find(|one| one["type"] == type_);
                found.cloned().unwrap_or_default()
            };
            let (ready, governed) = (of("Ready"), of("Governed"));
            assert_eq!(ready["status"], "True", "{object}");
            if governed["reason"].as_str().unwrap_or_default() != reason {
                return Err(object["status"].to_string());
            }
            let (message, tail) = (
                ready["message"].as_str().unwrap(),
                governed["message"].as_str().unwrap_or_default(),
            );
            assert!(message.starts_with("Latest image tag for "), "{message}");
            assert!(message.ends_with(tail), "{message}");
            Ok(object)
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_tag_stays_until_it_is_let_go() {
    let world = World::shared().await;
    let governed = Governed::over(world, "held", &["1.0.0", "1.1.0"]).await;
    governed.elects("1.1.0").await;
    governed.annotate("hold=1.0.0").await;
    governed.elects("1.0.0").await;
    governed.is("Held").await;
    governed.push("2.0.0").await;
    governed.annotate("hold=neither/nor").await;
    let object = governed.is("InvalidAnnotation").await;
    assert_eq!(object["status"]["latestRef"]["tag"], "1.0.0");
    governed.annotate("hold-").await;
    governed.elects("2.0.0").await;
    governed.is("").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_young_tag_is_elected_by_itself_in_time() {
    let world = World::shared().await;
    let governed = Governed::over(world, "young", &["1.0.0"]).await;
    governed.annotate("minimum-age=1h").await;
    governed.push("1.1.0").await;
    let object = governed.is("Waiting").await;
    assert_eq!(object["status"]["latestRef"]["tag"], "1.0.0");
    governed.annotate("minimum-age=8s").await;
    governed.elects("1.1.0").await;
    governed.is("").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_vanished_stays_elected_where_nothing_may_go_down() {
    let world = World::shared().await;
    let governed = Governed::over(world, "down", &["1.0.0", "1.1.0", "1.2.0", "1.3.0"]).await;
    governed.elects("1.3.0").await;
    governed.annotate("downgrade=forbid").await;
    let registry = &world.cluster.registry;
    registry.delete(&governed.repository, &["1.3.0"]).await;
    world.request_scan(&governed.ns, "app").await;
    let object = governed.is("DowngradeForbidden").await;
    assert_eq!(object["status"]["latestRef"]["tag"], "1.3.0");
    world
        .create_policy(&governed.ns, "app", "app", ">=1.0.0 <1.2.0")
        .await;
    governed.elects("1.1.0").await;
    governed.is("").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_of_one_platform_gives_way_to_an_index_of_two() {
    let world = World::shared().await;
    let governed = Governed::over(world, "platforms", &["1.1.0"]).await;
    let registry = &world.cluster.registry;
    registry.push_index(&governed.repository, &["1.0.0"]).await;
    world.request_scan(&governed.ns, "app").await;
    governed.annotate("platforms=linux/amd64,linux/arm64").await;
    governed.elects("1.0.0").await;
    governed.is("PlatformsMissing").await;
    registry.push_index(&governed.repository, &["1.2.0"]).await;
    world.request_scan(&governed.ns, "app").await;
    governed.elects("1.2.0").await;
    governed.is("").await;
}
