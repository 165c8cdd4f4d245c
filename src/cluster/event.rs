//! Kubernetes Events (core/v1), published beside the work and never in its way.
//!
//! [`Events::publish`] puts a report into a bounded queue and returns; one task writes them out. What is said
//! again about the same object is counted on the Event that says it already, and an object that has a lot to
//! say is slowed down, as client-go's recorder does it. An Event that cannot be written is logged and lost: it is
//! news, not state.

mod ledger;

use k8s_openapi::api::core::v1::{Event as Object, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Client;
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::sync::mpsc;

use self::ledger::{Entry, Ledger, Step};
use super::Error;
use crate::clock::SharedClock;

/// How many reports may wait for the API server; further ones are dropped and counted in one log line each.
const WAITING: usize = 1024;

/// The longest message, in bytes, as for `events.k8s.io`; longer ones are cut.
const LONGEST_MESSAGE: usize = 1024;

/// Whether something went as it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Severity {
    /// Something happened.
    Normal,
    /// Something is wrong.
    Warning,
}

impl Severity {
    fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// News about one object.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The object, with namespace and uid.
    pub about: ObjectReference,
    /// How bad it is.
    pub severity: Severity,
    /// The reason of the Ready condition.
    pub reason: String,
    /// The message of the Ready condition.
    pub message: String,
}

/// The way in. Clones share the queue.
#[derive(Debug, Clone)]
pub struct Events {
    queue: mpsc::Sender<Report>,
}

impl Events {
    /// Hands `report` over, without waiting for anything.
    pub fn publish(&self, report: Report) {
        if let Err(
            mpsc::error::TrySendError::Full(report) | mpsc::error::TrySendError::Closed(report),
        ) = self.queue.try_send(report)
        {
            tracing::warn!(
                namespace = report.about.namespace,
                name = report.about.name,
                reason = report.reason,
                "Dropped an Event, too many are waiting"
            );
        }
    }
}

/// A way in, and the task that has to run for what goes in to come out. The task ends when every [`Events`] is
/// gone and the queue is empty.
pub fn recorder(
    client: Client,
    component: String,
    clock: SharedClock,
) -> (Events, impl Future<Output = ()> + Send) {
    let (queue, mut waiting) = mpsc::channel::<Report>(WAITING);
    let run = async move {
        let mut ledger = Ledger::default();
        while let Some(mut report) = waiting.recv().await {
            truncate(&mut report.message);
            let outcome = write(&client, &component, &mut ledger, &report, clock.now()).await;
            if let Err(error) = outcome {
                tracing::warn!(
                    namespace = report.about.namespace,
                    name = report.about.name,
                    reason = report.reason,
                    error = super::with_causes(&error),
                    "Failed to write an Event"
                );
            }
        }
    };
    (Events { queue }, run)
}

async fn write(
    client: &Client,
    component: &str,
    ledger: &mut Ledger,
    report: &Report,
    now: jiff::Timestamp,
) -> Result<(), Error> {
    let namespace = report.about.namespace.as_deref().unwrap_or("default");
    let api: Api<Object> = Api::namespaced(client.clone(), namespace);
    match ledger.next(report, now) {
        Step::Quiet => return Ok(()),
        Step::Again(entry) => {
            let patch = json!({ "count": entry.count, "lastTimestamp": Time(now), "message": report.message });
            match api
                .patch(&entry.name, &PatchParams::default(), &Patch::Merge(&patch))
                .await
                .map_err(Error::from)
            {
                Ok(_) => {
                    ledger.written(report, entry);
                    return Ok(());
                }
                // It has outlived the API server's retention: say it anew.
                Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Step::New => {}
    }
    let entry = Entry::new(report, now);
    api.create(&PostParams::default(), &object(component, report, &entry))
        .await?;
    ledger.written(report, entry);
    Ok(())
}

fn object(component: &str, report: &Report, entry: &Entry) -> Object {
    Object {
        metadata: ObjectMeta {
            name: Some(entry.name.clone()),
            namespace: Some(
                report
                    .about
                    .namespace
                    .clone()
                    .unwrap_or_else(|| "default".to_owned()),
            ),
            ..ObjectMeta::default()
        },
        involved_object: report.about.clone(),
        type_: Some(report.severity.as_str().to_owned()),
        reason: Some(report.reason.clone()),
        message: Some(report.message.clone()),
        source: Some(EventSource {
            component: Some(component.to_owned()),
            host: None,
        }),
        reporting_component: Some(component.to_owned()),
        first_timestamp: Some(Time(entry.first)),
        last_timestamp: Some(Time(entry.first)),
        count: Some(entry.count),
        ..Object::default()
    }
}

fn truncate(message: &mut String) {
    if message.len() > LONGEST_MESSAGE {
        let mut end = LONGEST_MESSAGE - '…'.len_utf8();
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        message.truncate(end);
        message.push('…');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_messages_are_cut_between_characters() {
        let mut message = "é".repeat(700);
        truncate(&mut message);
        assert!(message.len() <= LONGEST_MESSAGE && message.ends_with('…'));
        let mut short = "short".to_owned();
        truncate(&mut short);
        assert_eq!(short, "short");
    }
}
