//! News as Kubernetes Events. What is said again about the same object is counted on the Event that says it already,
//! and an object that has a lot to say is slowed down, as client-go's recorder does it.
//!
//! An API server that is away is tried again for a while; what it refuses is logged and lost.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{Event as Object, EventSource};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Client;
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::json;

use super::super::{Error, with_causes};
use super::deliver::Teller;
use super::ledger::{Entry, Ledger, Step};
use super::{Fate, News, Sink};
use crate::clock::SharedClock;

/// The longest message, in bytes, as for `events.k8s.io`; longer ones are cut.
const LONGEST_MESSAGE: usize = 1024;

/// The waits between the tries, while the API server does not answer; after the last one an Event is lost. All
/// together they outlast a restart of the API server by far.
const WAITS: [Duration; 14] = {
    let mut waits = [Duration::from_secs(15); 14];
    waits[0] = Duration::from_millis(500);
    waits[1] = Duration::from_secs(1);
    waits[2] = Duration::from_secs(2);
    waits[3] = Duration::from_secs(4);
    waits[4] = Duration::from_secs(8);
    waits
};

/// How many names are tried for an Event whose name is taken: names are made of the moment.
const SAME_NAMES: usize = 4;
const NAMES_APART: SignedDuration = SignedDuration::from_nanos(1);

/// Writes Events.
#[derive(Debug)]
pub(super) struct Writer {
    client: Target,
    ledger: Ledger,
    clock: SharedClock,
}

/// Where Events are written, and in whose name.
#[derive(Clone)]
struct Target {
    client: Client,
    component: Arc<str>,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Target").field(&self.component).finish()
    }
}

impl Writer {
    pub(super) fn new(client: Client, component: String, clock: SharedClock) -> Self {
        Self {
            client: Target {
                client,
                component: component.into(),
            },
            ledger: Ledger::default(),
            clock,
        }
    }
}

impl Teller for Writer {
    type Told = Result<Entry, Error>;

    const SINK: Sink = Sink::Kubernetes;

    const AT_ONCE: usize = 8;

    fn tell(&mut self, news: Arc<News>) -> Option<BoxFuture<'static, Self::Told>> {
        let step = self.ledger.next(&news.report, self.clock.now());
        let again = match step {
            Step::Quiet => return None,
            Step::Again(entry) => Some(entry),
            Step::New => None,
        };
        let target = self.client.clone();
        Some(async move { target.write_in_the_end(&news, again).await }.boxed())
    }

    fn told(&mut self, news: &News, told: Self::Told) -> Fate {
        match told {
            Ok(entry) => {
                self.ledger.written(&news.report, entry);
                Fate::Told
            }
            Err(error) => {
                let about = &news.report.about.object;
                tracing::warn!(
                    namespace = about.namespace,
                    name = about.name,
                    reason = news.report.reason,
                    error = with_causes(&error),
                    "Failed to write an Event"
                );
                Fate::Failed
            }
        }
    }
}

impl Target {
    async fn write_in_the_end(
        &self,
        news: &News,
        mut again: Option<Entry>,
    ) -> Result<Entry, Error> {
        let mut waits = WAITS.into_iter();
        let mut is_retry = false;
        loop {
            let error = match self.write(news, &mut again, is_retry).await {
                Ok(entry) => return Ok(entry),
                Err(error) => error,
            };
            match waits.next() {
                Some(wait) if is_passing(&error) => tokio::time::sleep(wait).await,
                Some(_) | None => return Err(error),
            }
            is_retry = true;
        }
    }

    async fn write(
        &self,
        news: &News,
        again: &mut Option<Entry>,
        is_retry: bool,
    ) -> Result<Entry, Error> {
        let report = &news.report;
        let namespace = report
            .about
            .object
            .namespace
            .as_deref()
            .unwrap_or("default");
        let api: Api<Object> = Api::namespaced(self.client.clone(), namespace);
        if let Some(entry) = again {
            let patch = json!({
                "count": entry.count, "lastTimestamp": Time(news.at), "message": cut(&report.message),
            });
            let patched = api
                .patch(&entry.name, &PatchParams::default(), &Patch::Merge(&patch))
                .await;
            match patched.map_err(Error::from) {
                Ok(_) => return Ok(entry.clone()),
                // It has outlived the API server's retention: say it anew.
                Err(Error::NotFound { .. }) => *again = None,
                Err(error) => return Err(error),
            }
        }
        let mut at = news.at;
        for _ in 0..SAME_NAMES {
            let entry = Entry::new(report, at);
            let object = object(&self.component, news, &entry);
            let created = api.create(&PostParams::default(), &object).await;
            match created.map_err(Error::from) {
                Ok(_) => return Ok(entry),
                // The try before this one was heard, and only its answer was lost.
                Err(Error::Conflict { .. }) if is_retry => return Ok(entry),
                // Two of one object at the same moment: the second is named a moment later.
                Err(Error::Conflict { .. }) => {
                    at = at.saturating_add(NAMES_APART).unwrap_or(at);
                }
                Err(error) => return Err(error),
            }
        }
        Err(Error::Conflict {
            message: "every name for it is taken".to_owned(),
        })
    }
}

/// Whether the same request may go well a little later.
fn is_passing(error: &Error) -> bool {
    match error {
        Error::Request { .. } => true,
        Error::Refused { code, .. } => *code == 429 || *code >= 500,
        Error::NotFound { .. }
        | Error::Forbidden { .. }
        | Error::Conflict { .. }
        | Error::Encode { .. } => false,
    }
}

fn object(component: &str, news: &News, entry: &Entry) -> Object {
    let report = &news.report;
    let about = &report.about;
    Object {
        metadata: ObjectMeta {
            name: Some(entry.name.clone()),
            namespace: Some(
                about
                    .object
                    .namespace
                    .clone()
                    .unwrap_or_else(|| "default".to_owned()),
            ),
            annotations: (!about.metadata.is_empty()).then(|| about.metadata.clone()),
            ..ObjectMeta::default()
        },
        involved_object: about.object.clone(),
        type_: Some(report.severity.as_type().to_owned()),
        reason: Some(report.reason.clone()),
        message: Some(cut(&report.message)),
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

/// The message as far as it may be long, cut between characters.
fn cut(message: &str) -> String {
    if message.len() <= LONGEST_MESSAGE {
        return message.to_owned();
    }
    let end = message.floor_char_boundary(LONGEST_MESSAGE - '…'.len_utf8());
    format!("{}…", message.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_messages_are_cut_between_characters() {
        let cut_off = cut(&"é".repeat(700));
        assert!(cut_off.len() <= LONGEST_MESSAGE && cut_off.ends_with('…'));
        assert_eq!(cut("short"), "short");
    }

    #[test]
    fn what_will_not_pass_is_not_tried_again() {
        let refused = |code| Error::Refused {
            message: "no".into(),
            code,
        };
        let message = || "no".to_owned();
        for (error, expected) in [
            (refused(500), true),
            (refused(503), true),
            (refused(429), true),
            (refused(422), false),
            (Error::NotFound { message: message() }, false),
            (Error::Forbidden { message: message() }, false),
            (Error::Conflict { message: message() }, false),
        ] {
            assert_eq!(is_passing(&error), expected, "{error:?}");
        }
    }
}
