//! What the API server itself counts: who wrote what is told by nobody better.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Request;
use tokio::time::Instant;

use super::{ControlPlane, eventually};

/// Requests that write, by resource, subresource and verb. Created, changed and deleted alike, refused ones too.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Writes(BTreeMap<(String, String, String), u64>);

/// The verbs of `apiserver_request_total` that write.
const VERBS: [&str; 6] = [
    "POST",
    "PUT",
    "PATCH",
    "APPLY",
    "DELETE",
    "DELETECOLLECTION",
];

impl ControlPlane {
    /// The writes so far, of everybody.
    pub(crate) async fn writes(&self) -> Writes {
        let request = Request::get("/metrics").body(Vec::new()).unwrap();
        let text = self.client().await.request_text(request).await.unwrap();
        Writes::parse(&text)
    }

    /// The writes to `resources`, once there were no more of them for `quiet`.
    pub(crate) async fn settled(
        &self,
        resources: &[&str],
        quiet: Duration,
        within: Duration,
    ) -> Writes {
        let last = std::sync::Mutex::new((Writes::default(), Instant::now()));
        eventually(within, "the writes come to an end", || async {
            let now = self.writes().await.to(resources);
            let mut last = last.lock().unwrap();
            if last.0 != now {
                *last = (now, Instant::now());
            }
            if last.1.elapsed() >= quiet {
                Ok(last.0.clone())
            } else {
                Err(format!("{:?}", last.0))
            }
        })
        .await
    }
}

impl Writes {
    fn parse(metrics: &str) -> Self {
        let mut writes = Self::default();
        let lines = metrics
            .lines()
            .filter_map(|line| line.strip_prefix("apiserver_request_total{"));
        for line in lines {
            let (labels, count) = line.rsplit_once("} ").unwrap();
            let label = |name: &str| {
                let (_, rest) = labels.split_once(&format!("{name}=\"")).unwrap();
                rest.split_once('"').unwrap().0.to_owned()
            };
            let verb = label("verb");
            if VERBS.contains(&&*verb) {
                let of = (label("resource"), label("subresource"), verb);
                // Counters are printed as floating point numbers.
                let count = count.trim().parse::<f64>().unwrap();
                #[allow(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a count, and a small one"
                )]
                let count = count as u64;
                *writes.0.entry(of).or_default() += count;
            }
        }
        writes
    }

    /// Those to `resources` only.
    pub(crate) fn to(mut self, resources: &[&str]) -> Self {
        self.0
            .retain(|(resource, _, _), _| resources.contains(&resource.as_str()));
        self
    }

    /// Those that came after `before`.
    pub(crate) fn since(mut self, before: &Self) -> Self {
        for (of, count) in &mut self.0 {
            *count -= before.0.get(of).copied().unwrap_or_default();
        }
        self.0.retain(|_, count| *count > 0);
        self
    }

    /// All but those of one kind.
    pub(crate) fn without(mut self, resource: &str, subresource: &str, verb: &str) -> Self {
        let of = (resource.to_owned(), subresource.to_owned(), verb.to_owned());
        self.0.remove(&of);
        self
    }

    /// How many there were of one kind.
    pub(crate) fn of(&self, resource: &str, subresource: &str, verb: &str) -> u64 {
        let of = (resource.to_owned(), subresource.to_owned(), verb.to_owned());
        self.0.get(&of).copied().unwrap_or_default()
    }

    /// All of them.
    pub(crate) fn total(&self) -> u64 {
        self.0.values().sum()
    }
}

impl std::fmt::Display for Writes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (at, ((resource, subresource, verb), count)) in self.0.iter().enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            let slash = if subresource.is_empty() { "" } else { "/" };
            write!(f, "{comma}{count} {verb} {resource}{slash}{subresource}")?;
        }
        Ok(())
    }
}
