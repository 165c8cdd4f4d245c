//! Opening the tag store: on disk, with the epoch that the cluster remembers for the case that the disk does not.

use std::path::PathBuf;
use std::time::Duration;

use kube::Client;

use crate::clock::SharedClock;
use crate::cluster::{self, epoch};
use crate::store::{self, Store};

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// Where the state is.
pub(super) struct State {
    pub(super) client: Client,
    /// The Lease's namespace.
    pub(super) namespace: String,
    pub(super) path: PathBuf,
}

impl State {
    /// Waits for an API server that is away: without the epoch, a lost store could give a resourceVersion twice.
    pub(super) async fn open(&self, clock: &SharedClock) -> Result<Store, store::Error> {
        let known = self.last_epoch().await;
        let store = Store::open(&self.path, known, clock.clone())?;
        if store.epoch() > known {
            self.remember(store.epoch()).await;
        }
        Ok(store)
    }

    async fn last_epoch(&self) -> u64 {
        let mut pause = FIRST_PAUSE;
        loop {
            match epoch::read(&self.client, &self.namespace).await {
                Ok(epoch) => return epoch,
                Err(error @ cluster::Error::Forbidden { .. }) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "Epoch not read: should the store get lost, clients may have to list again by themselves"
                    );
                    return 0;
                }
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "API server not reached, trying again"
                    );
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Before anything is published under it. Where that is not possible (no such namespace, no right), the store still works.
    async fn remember(&self, epoch: u64) {
        if let Err(error) = epoch::raise(&self.client, &self.namespace, epoch).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                epoch,
                "Epoch not recorded: should the store get lost, clients may have to list again by themselves"
            );
        }
    }
}
