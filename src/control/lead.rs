//! Whether this process may act: the leader election's answer, as the controllers hear it.
//!
//! Only told here; who leads is found out in `crate::cluster`.

use tokio::sync::watch;

/// Whether this process leads. Clones hear the same.
#[derive(Debug, Clone)]
pub struct Lead(watch::Receiver<bool>);

impl Lead {
    /// Without an election everybody leads.
    pub fn always() -> Self {
        // The value outlives its sender.
        Self(watch::channel(true).1)
    }

    /// As `leads` says from moment to moment.
    pub fn of(leads: watch::Receiver<bool>) -> Self {
        Self(leads)
    }

    /// Whether it leads now.
    pub fn is_held(&self) -> bool {
        *self.0.borrow()
    }

    /// Resolves when it leads.
    pub async fn gained(&mut self) {
        if self.0.wait_for(|leads| *leads).await.is_err() {
            // Nobody is left who could say so.
            std::future::pending::<()>().await;
        }
    }

    /// Resolves when it leads no more.
    pub async fn lost(&mut self) {
        if self.0.wait_for(|leads| !*leads).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
