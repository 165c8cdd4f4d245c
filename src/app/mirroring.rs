//! What mirrors are made of: the client that the scanners use, what is known to be where, and a recorder for their news.
//!
//! A file of what is known that cannot be used costs requests and nothing else: it keeps nobody from starting.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;

use super::mirror_lead::Office;
use crate::clock::SharedClock;
use crate::cluster::event::{self, Address, Events, Patience};
use crate::cluster::with_causes;
use crate::config::settings;
use crate::control::{Metrics, image_mirror};
use crate::registry;
use crate::registry::docker_config::Renewed;
use crate::state::{Kept, Opened, State};
use crate::task::{self, Tasks};

/// The directory below the storage path.
const DIRECTORY: &str = "mirror";

/// How long Events may still go out after shutdown was asked for.
const LAST_EVENTS: Duration = Duration::from_secs(5);

/// How to mirror, by the flags.
pub(super) fn settings(flags: &settings::Mirrors) -> image_mirror::Settings {
    let settings::Mirrors {
        workers,
        concurrency,
        bandwidth,
        implicit: _,
    } = flags;
    let default = image_mirror::Settings::default();
    image_mirror::Settings {
        workers: workers.get(),
        concurrency: concurrency.unwrap_or(default.concurrency),
        bandwidth: *bandwidth,
    }
}

/// The mirrors that imagerepo-mirror's flags ask for.
pub(super) fn implicit(flags: Option<&settings::Implicit>) -> Option<image_mirror::Implicit> {
    let settings::Implicit {
        registry,
        secret,
        holds_lease: _,
    } = flags?.clone();
    let credentials = match secret {
        Some(secret) => image_mirror::Credentials::Secret(secret),
        None => image_mirror::Credentials::Docker(Renewed::default()),
    };
    Some(image_mirror::Implicit::new(registry, credentials))
}

/// Everything that mirrors need. What is known is read from below `storage`.
pub(super) async fn world(
    office: Office,
    events: Events,
    registry: registry::Client,
    settings: image_mirror::Settings,
    storage: &Path,
) -> image_mirror::World {
    let Office {
        client,
        lead,
        mandate,
    } = office;
    let directory = storage.join(DIRECTORY);
    let Kept { known, state } = task::blocking("state", move || open(&directory)).await;
    image_mirror::World {
        registry,
        client: client.into(),
        lead,
        mandate: Some(mandate),
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
