//! Opening the tag store: on disk, with the epoch that the cluster remembers for the case that the disk does not.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
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
    /// Then nothing is written into the cluster, not even a Lease of our own.
    pub(super) is_companion: bool,
}

impl State {
    /// Waits for an API server that is away: without the epoch, a lost store could give a resourceVersion twice.
    pub(super) async fn open(&self, clock: &SharedClock) -> Result<Store, store::Error> {
        let Some(known) = self.known_epoch().await else {
            let known = if self.is_empty() {
                unrepeatable_epoch(clock.now())
            } else {
                0
            };
            return Store::open(&self.path, known, clock.clone());
        };
        let store = Store::open(&self.path, known, clock.clone())?;
        if store.epoch() > known {
            // Before anything is published under it.
            self.insist(|| epoch::raise(&self.client, &self.namespace, store.epoch()))
                .await;
        }
        Ok(store)
    }

    /// The highest epoch that is recorded, when a higher one could be recorded too.
    async fn known_epoch(&self) -> Option<u64> {
        if self.is_companion {
            return None;
        }
        self.insist(|| async {
            let known = epoch::read(&self.client, &self.namespace).await?;
            epoch::raise(&self.client, &self.namespace, known).await?;
            Ok(known)
        })
        .await
    }

    /// Tries until the API server answers. `None` when it says that there is no such namespace, or no right.
    async fn insist<T, F>(&self, attempt: impl Fn() -> F) -> Option<T>
    where
        F: Future<Output = Result<T, cluster::Error>>,
    {
        let mut pause = FIRST_PAUSE;
        loop {
            match attempt().await {
                Ok(done) => return Some(done),
                Err(
                    error @ (cluster::Error::Forbidden { .. } | cluster::Error::NotFound { .. }),
                ) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "Epoch cannot be kept in the cluster, a lost store will count from the date"
                    );
                    return None;
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

    /// Whether nothing was ever stored here, or all of it is lost; a volume has files of its own. What cannot be read
    /// is for [`Store::open`] to refuse.
    fn is_empty(&self) -> bool {
        let Ok(entries) = std::fs::read_dir(&self.path) else {
            return true;
        };
        let mut names = entries.filter_map(|entry| Some(entry.ok()?.file_name()));
        !names.any(|name| name.to_string_lossy().starts_with("tags-"))
    }
}

/// Minutes of this program's calendar: higher at every loss of a store, without anybody remembering the last one.
fn unrepeatable_epoch(now: Timestamp) -> u64 {
    const START_OF_2025: i64 = 1_735_689_600;
    u64::try_from((now.as_second() - START_OF_2025) / 60).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_without_a_memory_rise_with_the_calendar_and_fit() {
        let at = |text: &str| unrepeatable_epoch(text.parse().unwrap());
        assert_eq!(at("1999-01-01T00:00:00Z"), 0);
        assert!(at("2026-11-21T10:01:00Z") > at("2026-11-21T10:00:00Z"));
        assert!(at("2050-01-01T00:00:00Z") < 1 << 24);
    }
}
