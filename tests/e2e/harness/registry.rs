//! The real registry, filled through the same program that `make run` fills it with.

use std::path::PathBuf;

use tokio::process::Command;

/// A distribution registry on loopback, in plain http.
#[derive(Debug)]
pub(crate) struct Registry {
    /// `127.0.0.1:PORT`, as images name it.
    pub(crate) address: String,
    pub(super) seed: PathBuf,
}

impl Registry {
    /// `ADDRESS/REPOSITORY`, for a `spec.image`.
    pub(crate) fn image(&self, repository: &str) -> String {
        format!("{}/{repository}", self.address)
    }

    /// Pushes a single-platform image under each tag, and returns the digests.
    pub(crate) async fn push(&self, repository: &str, tags: &[&str]) -> Vec<String> {
        digests(&self.seed("push", repository, tags).await)
    }

    /// Pushes an index of two platforms under each tag, and returns the digests of the indexes.
    pub(crate) async fn push_index(&self, repository: &str, tags: &[&str]) -> Vec<String> {
        digests(&self.seed("push-index", repository, tags).await)
    }

    /// Removes tags; what they named stays.
    pub(crate) async fn delete(&self, repository: &str, tags: &[&str]) {
        self.seed("delete", repository, tags).await;
    }

    /// The tags as the registry lists them.
    pub(crate) async fn tags(&self, repository: &str) -> Vec<String> {
        let url = format!("http://{}/v2/{repository}/tags/list", self.address);
        let answer = reqwest::get(url).await.unwrap().error_for_status().unwrap();
        let answer: serde_json::Value =
            serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        serde_json::from_value(answer["tags"].clone()).unwrap()
    }

    async fn seed(&self, verb: &str, repository: &str, tags: &[&str]) -> String {
        let mut command = Command::new(&self.seed);
        command.args([&self.address, verb, repository]).args(tags);
        let output = command.kill_on_drop(true).output().await.unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }
}

/// The second words of the lines `REPOSITORY:TAG DIGEST`.
fn digests(lines: &str) -> Vec<String> {
    lines
        .lines()
        .map(|line| line.split_once(' ').unwrap().1.to_owned())
        .collect()
}
