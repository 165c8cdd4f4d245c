//! News about objects, told beside the work and never in its way: as Kubernetes Events (core/v1), and to the address
//! of `--events-addr`, which Flux's notification-controller listens on.
//!
//! [`Events::publish`] puts a report into bounded queues and returns. One task takes them out, a few at a time, those
//! of one object in order. A queue that is full lets go of what is oldest: an Event is news, not state, and nothing
//! ever waits for one.

mod deliver;
mod forward;
mod ledger;
mod queue;
mod write;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{Client, Resource, ResourceExt as _};

pub use self::forward::{Address, AddressError, Patience};
use self::queue::{Receiver, Sender};
use super::with_causes;
use crate::clock::SharedClock;

/// How many reports may wait for the API server.
const WAITING_TO_BE_WRITTEN: usize = 4096;

/// How many may wait to be posted.
const WAITING_TO_BE_POSTED: usize = 1024;

/// Annotations of an object with this prefix go with what is said about it.
const METADATA_PREFIX: &str = "event.toolkit.fluxcd.io/";

/// Whether something went as it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Severity {
    /// Something happened.
    Normal,
    /// Something is wrong.
    Warning,
}

impl Severity {
    /// As an Event's `type`.
    fn as_type(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }

    /// As notification-controller calls it.
    fn as_severity(self) -> &'static str {
        match self {
            Self::Normal => "info",
            Self::Warning => "error",
        }
    }
}

/// The object that a report is about.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct About {
    /// Which one, with namespace and uid.
    pub object: ObjectReference,
    /// What its author wants told along: its annotations `event.toolkit.fluxcd.io/…`, keys as they are.
    pub metadata: BTreeMap<String, String>,
}

impl About {
    /// How `object` is told about.
    pub fn object<K: Resource<DynamicType = ()>>(object: &K) -> Self {
        let annotations = object.annotations().iter();
        let metadata = annotations.filter(|(name, _)| name.starts_with(METADATA_PREFIX));
        Self {
            // The whole object's version changes with every status: it would make every repetition a new Event.
            object: ObjectReference {
                resource_version: None,
                ..object.object_ref(&())
            },
            metadata: metadata
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
        }
    }
}

/// News about one object.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The object.
    pub about: About,
    /// How bad it is.
    pub severity: Severity,
    /// The reason of the Ready condition.
    pub reason: String,
    /// The message of the Ready condition.
    pub message: String,
}

/// A report, and when it was made.
#[derive(Debug)]
struct News {
    report: Report,
    at: Timestamp,
}

impl News {
    /// What tells objects apart: what is said of one is said in order.
    fn subject(&self) -> Subject {
        let about = &self.report.about.object;
        (
            about.kind.clone(),
            about.namespace.clone(),
            about.name.clone(),
        )
    }
}

/// Kind, namespace and name.
type Subject = (Option<String>, Option<String>, Option<String>);

/// Where reports go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sink {
    /// Kubernetes Events.
    Kubernetes,
    /// The address of `--events-addr`.
    Webhook,
}

/// What became of a report at one [`Sink`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It was taken.
    Told,
    /// Its object has said too much lately.
    Suppressed,
    /// It was not taken, and not for want of trying.
    Failed,
    /// Too many were waiting.
    Dropped,
}

/// Is told what becomes of every report. Must be quick.
pub trait Observer: fmt::Debug + Send + Sync {
    /// One report has ended like this.
    fn observe(&self, sink: Sink, fate: Fate);
}

/// How to tell.
#[derive(Debug)]
pub struct Settings {
    /// The name of the controller that tells.
    pub component: String,
    /// Where to post, besides the cluster.
    pub address: Option<Address>,
    /// How long it is tried there.
    pub patience: Patience,
    /// Calendar time.
    pub clock: SharedClock,
    /// Who counts.
    pub observer: Arc<dyn Observer>,
}

/// The way in. Clones share the queues.
#[derive(Debug, Clone)]
pub struct Events(Option<Arc<Doors>>);

#[derive(Debug)]
struct Doors {
    cluster: Door,
    webhook: Option<Door>,
    clock: SharedClock,
}

#[derive(Debug)]
struct Door {
    sink: Sink,
    queue: Sender<Arc<News>>,
    observer: Arc<dyn Observer>,
}

impl Door {
    fn put(&self, news: Arc<News>) {
        let pushed = self.queue.push(news);
        if pushed.dropped {
            self.observer.observe(self.sink, Fate::Dropped);
        }
        if pushed.begins_to_drop {
            tracing::warn!(
                sink = ?self.sink,
                "Too many events are waiting, the oldest are dropped and counted"
            );
        }
    }
}

impl Events {
    /// Says nothing to anybody.
    pub fn silent() -> Self {
        Self(None)
    }

    /// Hands `report` over, without waiting for anything.
    pub fn publish(&self, report: Report) {
        let Some(doors) = &self.0 else {
            return;
        };
        let at = doors.clock.now();
        let news = Arc::new(News { report, at });
        if let Some(webhook) = &doors.webhook {
            webhook.put(news.clone());
        }
        doors.cluster.put(news);
    }
}

/// What takes reports out of the queues, and tells them.
#[derive(Debug)]
pub struct Recorder {
    cluster: (write::Writer, Receiver<Arc<News>>),
    webhook: Option<(forward::Forwarder, Receiver<Arc<News>>)>,
    observer: Arc<dyn Observer>,
}

/// A way in, and the recorder that has to run for what goes in to come out. Without an HTTP client for the address it
/// writes to the cluster only, and says so.
pub fn recorder(client: Client, settings: Settings) -> (Events, Recorder) {
    let Settings {
        component,
        address,
        patience,
        clock,
        observer,
    } = settings;
    let door = |sink, capacity| {
        let (queue, receiver) = queue::queue(capacity);
        let observer = observer.clone();
        let door = Door {
            sink,
            queue,
            observer,
        };
        (door, receiver)
    };
    let (cluster, to_write) = door(Sink::Kubernetes, WAITING_TO_BE_WRITTEN);
    let forwarder = address.and_then(|address| {
        forward::Forwarder::new(address, patience, component.clone())
            .inspect_err(|error| {
                tracing::error!(
                    error = with_causes(error),
                    "Events are written to the cluster only"
                );
            })
            .ok()
    });
    let (webhook, to_post) = forwarder
        .map(|forwarder| {
            let (door, receiver) = door(Sink::Webhook, WAITING_TO_BE_POSTED);
            (door, (forwarder, receiver))
        })
        .unzip();
    let events = Events(Some(Arc::new(Doors {
        cluster,
        webhook,
        clock: clock.clone(),
    })));
    let recorder = Recorder {
        cluster: (write::Writer::new(client, component, clock), to_write),
        webhook: to_post,
        observer,
    };
    (events, recorder)
}

impl Recorder {
    /// Runs until every [`Events`] is gone and all was told, and for `grace` at most once `stopping` has resolved.
    pub async fn run(self, stopping: impl Future<Output = ()>, grace: Duration) {
        let Self {
            cluster: (mut writer, mut to_write),
            webhook,
            observer,
        } = self;
        let (mut forwarder, mut to_post) = webhook.unzip();
        let all = async {
            let write = deliver::deliver(&mut writer, &mut to_write, &*observer);
            let post = async {
                if let (Some(forwarder), Some(to_post)) = (&mut forwarder, &mut to_post) {
                    deliver::deliver(forwarder, to_post, &*observer).await;
                }
            };
            tokio::join!(write, post);
        };
        let is_done = tokio::select! {
            () = all => true,
            () = async { stopping.await; tokio::time::sleep(grace).await } => false,
        };
        if !is_done {
            let waiting = to_write.len() + to_post.as_ref().map_or(0, Receiver::len);
            tracing::warn!(waiting, "Stopped before all events were told");
        }
    }
}
