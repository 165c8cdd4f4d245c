//! What a user sees: the statuses of both kinds as a watch brings them, with the least work that tells.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::{AsyncBufReadExt as _, StreamExt as _};
use http::Request;
use serde::Deserialize;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::e2e::harness::ControlPlane;
use crate::thin::KINDS;

/// Everything seen of one namespace.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// Kind and name of what is Ready.
    pub(crate) ready: BTreeSet<(String, String)>,
    /// Kind and name of what was Ready before and was not, at some time.
    pub(crate) left_ready: BTreeSet<(String, String)>,
    /// ImagePolicy → the tag that it elects.
    pub(crate) elected: BTreeMap<String, String>,
    /// ImageRepository → the request that was handled last.
    pub(crate) handled: BTreeMap<String, String>,
}

/// Follows one namespace.
pub(crate) struct Watch {
    seen: watch::Receiver<Seen>,
    _tasks: JoinSet<()>,
}

#[derive(Deserialize)]
struct Line {
    object: Object,
}

#[derive(Deserialize)]
struct Object {
    kind: String,
    metadata: Metadata,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Status {
    #[serde(default)]
    conditions: Vec<Condition>,
    latest_ref: Option<Reference>,
    last_handled_reconcile_at: Option<String>,
}

#[derive(Deserialize)]
struct Condition {
    r#type: String,
    status: String,
}

#[derive(Deserialize)]
struct Reference {
    tag: String,
}

impl Watch {
    pub(crate) async fn start(cluster: &ControlPlane, namespace: &str) -> Self {
        let (sender, seen) = watch::channel(Seen::default());
        let sender = std::sync::Arc::new(sender);
        let mut tasks = JoinSet::new();
        for plural in ["imagerepositories", "imagepolicies"] {
            let client = cluster.client().await;
            // From the state at its beginning on.
            let path = format!(
                "{KINDS}/{namespace}/{plural}?watch=true&timeoutSeconds=7200&resourceVersion=0"
            );
            let request = Request::get(path).body(Vec::new()).unwrap();
            let stream = client.request_stream(request).await.unwrap();
            let sender = sender.clone();
            tasks.spawn(async move {
                let mut lines = std::pin::pin!(stream.lines());
                while let Some(line) = lines.next().await {
                    let line: Line = serde_json::from_str(&line.unwrap()).unwrap();
                    sender.send_modify(|seen| seen.take(line.object));
                }
                panic!("the watch of {plural} ended");
            });
        }
        Self {
            seen,
            _tasks: tasks,
        }
    }

    pub(crate) fn now(&self) -> Seen {
        self.seen.borrow().clone()
    }

    /// Waits until it is so.
    pub(crate) async fn until(&mut self, what: &str, is_so: impl FnMut(&Seen) -> bool) {
        let wait = timeout(Duration::from_mins(5), self.seen.wait_for(is_so));
        let Ok(seen) = wait.await else {
            panic!("not within 5 minutes: {what}");
        };
        drop(seen.unwrap());
    }
}

impl Seen {
    fn take(&mut self, object: Object) {
        let Object {
            kind,
            metadata: Metadata { name },
            status,
        } = object;
        let is_ready = status
            .conditions
            .iter()
            .any(|one| one.r#type == "Ready" && one.status == "True");
        if let Some(reference) = status.latest_ref {
            self.elected.insert(name.clone(), reference.tag);
        }
        if let Some(token) = status.last_handled_reconcile_at {
            self.handled.insert(name.clone(), token);
        }
        let of = (kind, name);
        if is_ready {
            self.ready.insert(of);
        } else if self.ready.remove(&of) {
            self.left_ready.insert(of);
        }
    }
}
