//! What hosts have shown about uploads, so that the next blob does not pay for it again.

use std::time::Duration;

use moka::sync::Cache;
use tokio::time::Instant;

use super::ladder::Rung;

const CAPACITY: u64 = 10_000;
const DAY: Duration = Duration::from_hours(24);
const HOUR: Duration = Duration::from_hours(1);

/// What all hosts have shown.
#[derive(Debug)]
pub(in crate::registry) struct Memory {
    rungs: Cache<String, (Rung, Instant)>,
    mounts_fail: Cache<String, Instant>,
}

/// Why a rung was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::registry) enum Cause {
    /// The registry said so.
    Answer,
    /// The connection was closed on it: that may have been something else, and is believed for an hour only.
    Reset,
    /// The connection was closed after a good deal of it: that says nothing of the next blob.
    Late,
}

impl Memory {
    pub(in crate::registry) fn new() -> Self {
        Self {
            rungs: Cache::builder()
                .max_capacity(CAPACITY)
                .time_to_live(DAY)
                .build(),
            mounts_fail: Cache::builder()
                .max_capacity(CAPACITY)
                .time_to_live(DAY)
                .build(),
        }
    }

    /// The rung to begin at.
    pub(in crate::registry) fn rung(&self, host: &str) -> Rung {
        let host = host.to_ascii_lowercase();
        match self.rungs.get(&host) {
            Some((rung, until)) if Instant::now() < until => rung,
            _ => seed(&host),
        }
    }

    /// A blob was taken at `rung`, after another one was left because of `cause`.
    pub(in crate::registry) fn learn(&self, host: &str, rung: Rung, cause: Cause) {
        let time = match cause {
            Cause::Answer => DAY,
            Cause::Reset => HOUR,
            Cause::Late => return,
        };
        let until = Instant::now() + time;
        self.rungs.insert(host.to_ascii_lowercase(), (rung, until));
    }

    /// Whether asking for a mount is worth it.
    pub(in crate::registry) fn mounts(&self, host: &str) -> bool {
        let known = self.mounts_fail.get(&host.to_ascii_lowercase());
        known.is_none_or(|until| until <= Instant::now())
    }

    /// Asking for a mount was answered with an error, where an ordinary upload was not.
    pub(in crate::registry) fn mount_failed(&self, host: &str) {
        let until = Instant::now() + HOUR;
        self.mounts_fail.insert(host.to_ascii_lowercase(), until);
    }
}

/// What is known of hosts by their name: Azure's refuse a PUT of more than 20 MB or so.
fn seed(host: &str) -> Rung {
    let is_azure = host.split('.').skip(1).any(|label| label == "azurecr");
    if is_azure { Rung::Patch } else { Rung::Put }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn azure_begins_at_the_second_rung() {
        for (host, rung) in [
            ("team.azurecr.io", Rung::Patch),
            ("team.azurecr.cn", Rung::Patch),
            ("team.eastus.data.azurecr.io", Rung::Patch),
            ("azurecr.example", Rung::Put),
            ("registry.example", Rung::Put),
            ("127.0.0.1:5000", Rung::Put),
        ] {
            assert_eq!(seed(host), rung, "{host}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_learnt_is_forgotten() {
        let memory = Memory::new();
        memory.learn("A.example", Rung::Patch, Cause::Answer);
        memory.learn("b.example", Rung::Patch, Cause::Reset);
        memory.mount_failed("a.example");
        assert_eq!(memory.rung("a.example"), Rung::Patch);
        assert_eq!(memory.rung("b.example"), Rung::Patch);
        assert_eq!(memory.rung("c.example"), Rung::Put);
        assert!(!memory.mounts("A.example") && memory.mounts("b.example"));
        tokio::time::advance(HOUR + Duration::from_secs(1)).await;
        assert_eq!(memory.rung("a.example"), Rung::Patch);
        assert_eq!(memory.rung("b.example"), Rung::Put);
        assert!(memory.mounts("a.example"));
        tokio::time::advance(DAY).await;
        assert_eq!(memory.rung("a.example"), Rung::Put);
    }
}
