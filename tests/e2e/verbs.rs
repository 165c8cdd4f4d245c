//! Every verb and flag of kubectl, right and wrong, of several versions of it. What is wrong is asked of a built-in kind
//! too, and answered in the same words.

mod reads;
mod refusals;
mod surface;
mod watches;

use std::path::Path;

use tokio::sync::OnceCell;

use crate::harness::ControlPlane;
use crate::world::World;

/// A namespace of the shared world with one repository of four tags, `1.1.0` elected.
async fn stage() -> (&'static World, &'static str) {
    static STAGE: OnceCell<String> = OnceCell::const_new();
    let world = World::shared().await;
    let namespace = STAGE
        .get_or_init(|| async {
            let ns = world.cluster.namespace("verbs").await;
            let tags = ["1.0.0", "1.1.0", "2.0.0-rc.1", "latest"];
            world.cluster.registry.push("verbs/app", &tags).await;
            world.scan(&ns, "app", "verbs/app").await;
            world.create_policy(&ns, "app", "app", "1.x").await;
            world.elects(&ns, "app", "1.1.0").await;
            ns
        })
        .await;
    (world, namespace)
}

/// Runs a command line; words are separated by blanks, and `~` stands for a blank within one.
async fn run(
    cluster: &ControlPlane,
    kubectl: &Path,
    line: &str,
    input: &str,
) -> (bool, String, String) {
    let words: Vec<String> = line
        .split_whitespace()
        .map(|word| word.replace('~', " "))
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let output = cluster.kubectl_of(kubectl, &words, input).await;
    (output.success, output.stdout, output.stderr)
}
