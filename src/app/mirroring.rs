//! What mirrors are made of: the client that the scanners use, what is known to be where, and a recorder for their news.
//!
//! A file of what is known that cannot be used costs requests and nothing else: it keeps nobody from starting.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;

use crate::clock::SharedClock;
use crate::cluster::event::{self, Address, Events, Patience};
use crate::cluster::with_causes;
use crate::control::{Lead, Metrics, image_mirror};
use crate::registry;
use crate::state::{Kept, Opened, State};
use crate::task::{self, Tasks};

/// The directory below the storage path.
const DIRECTORY: &str = "mirror";

/// How long Events may still go out after shutdown was asked for.
const LAST_EVENTS: Duration = Duration::from_secs(5);

/// Who copies, and tells of it.
pub(super) struct Office {
    pub(super) client: Client,
    pub(super) lead: Lead,
    pub(super) events: Events,
}

/// Everything that mirrors need. What is known is read from below `storage`.
pub(super) async fn world(
    office: Office,
    registry: registry::Client,
    settings: image_mirror::Settings,
    storage: &Path,
) -> image_mirror::World {
    let Office {
        client,
        lead,
        events,
    } = office;
    let directory = storage.join(DIRECTORY);
    let Kept { known, state } = task::blocking("state", move || open(&directory)).await;
    image_mirror::World {
        registry,
        client: client.into(),
        lead,
        events,
        known,
        state,
        settings,
    }
}

fn open(directory: &Path) -> Kept {
    match State::open(directory) {
        Ok(Opened {
            state,
            known,
            warning,
        }) => {
            if let Some(warning) = warning {
                tracing::warn!(warning, "What is known of destinations is asked for anew");
            }
            Kept {
                known: Arc::new(known),
                state: Some(Arc::new(state)),
            }
        }
        Err(error) => {
            tracing::warn!(
                error = with_causes(&error),
                "What is known of destinations is not kept: each start asks for all of it"
            );
            Kept::default()
        }
    }
}

/// A recorder for the news of mirrors.
pub(super) fn events(
    client: &Client,
    (component, address): (String, Option<Address>),
    clock: &SharedClock,
    metrics: &Metrics,
    tasks: &Tasks,
) -> Events {
    let (events, recorder) = event::recorder(
        client.clone(),
        event::Settings {
            component,
            address,
            patience: Patience::default(),
            clock: clock.clone(),
            observer: Arc::new(metrics.clone()),
        },
    );
    let until = tasks.shutdown().clone();
    tasks.spawn(
        "mirror-events",
        recorder.run(async move { until.cancelled().await }, LAST_EVENTS),
    );
    events
}
