//! What is known together with the file it is kept in: for whoever copies, and writes down what was learnt now and then.

use std::sync::Arc;
use std::time::Duration;

use super::{Error, State};
use crate::mirror::known::Known;
use crate::task;

/// What was learnt is written down so often while something is copied.
const SAVE_EVERY: Duration = Duration::from_secs(30);

/// What is known, and where it is kept, if it is. Clones share both.
#[derive(Debug, Clone, Default)]
pub struct Kept {
    /// What is known.
    pub known: Arc<Known>,
    /// Where it is kept; `None`: nowhere, and saving it does nothing.
    pub state: Option<Arc<State>>,
}

impl Kept {
    /// Writes it down.
    ///
    /// # Errors
    /// When it cannot be written. That hurts nobody: the next run asks once more.
    pub async fn save(&self) -> Result<(), Error> {
        let Some(state) = self.state.clone() else {
            return Ok(());
        };
        let known = Arc::clone(&self.known);
        task::blocking("state", move || state.save(&known)).await
    }

    /// Writes it down again and again, for as long as it runs; `failed` hears what went wrong.
    pub async fn keep(&self, failed: impl Fn(Error)) {
        let mut ticks =
            tokio::time::interval_at(tokio::time::Instant::now() + SAVE_EVERY, SAVE_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.save().await {
                failed(error);
            }
        }
    }
}
