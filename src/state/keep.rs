//! What is known together with the file it is kept in: for whoever copies, and writes down what was learnt now and then.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

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
    /// Writes it down; a text where something of it has to be told.
    ///
    /// # Errors
    /// When it cannot be written. That hurts nobody: the next run asks once more.
    pub async fn save(&self) -> Result<Option<String>, Error> {
        let Some(state) = self.state.clone() else {
            return Ok(None);
        };
        let known = Arc::clone(&self.known);
        task::blocking("state", move || state.save(&known)).await
    }

    /// The name of what is kept; another one each time where nothing is.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub async fn id(&self) -> Result<Uuid, Error> {
        match self.state.clone() {
            Some(state) => task::blocking("state", move || state.id()).await,
            None => Ok(Uuid::new_v4()),
        }
    }

    /// Writes it down again and again, for as long as it runs; `told` hears what came of it.
    pub async fn keep(&self, told: impl Fn(Result<Option<String>, Error>)) {
        let mut ticks =
            tokio::time::interval_at(tokio::time::Instant::now() + SAVE_EVERY, SAVE_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            told(self.save().await);
        }
    }
}
