//! What is known from runs before this one, and kept for the next: opened at the beginning, written again and again, and at the
//! end.

use std::path::Path;
use std::sync::Arc;

use super::super::Failure;
use super::How;
use super::progress::Console;
use crate::mirror::known::Known;
use crate::state::{self, Error, Kept, State};

/// What is known, and where it is kept, if it is.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory(Kept);

/// A state, or what it says alone.
type Opened = (Known, Option<State>, Option<String>);

impl Memory {
    /// Without a directory, or with one that cannot be used and was not asked for, nothing is kept. Whoever does not want to wait
    /// may drop this: what waits for a disk or a lock is left alone then.
    pub(super) async fn open(how: &How, console: &Console) -> Result<Self, Failure> {
        if how.no_state {
            return Ok(Self::default());
        }
        let default = || state::default_directory(|name| std::env::var_os(name));
        let Some(directory) = how.state.clone().or_else(default) else {
            return Ok(Self::default());
        };
        let is_dry = how.dry_run;
        let opened = tokio::task::spawn_blocking(move || open(&directory, is_dry)).await?;
        match opened {
            Ok((known, state, warning)) => {
                if let Some(warning) = warning {
                    console.warn(&warning);
                }
                Ok(Self(Kept {
                    known: Arc::new(known),
                    state: state.map(Arc::new),
                }))
            }
            // Who names another place is right, whoever mends this one.
            Err(error) if how.state.is_some() && error.is_wrong_place() => Err(Failure::usage(
                anyhow::Error::from(error).context("--state"),
            )),
            Err(error) if how.state.is_some() => {
                Err(anyhow::Error::from(error).context("--state").into())
            }
            Err(error) => {
                let error = anyhow::Error::from(error);
                console.warn(&format!("nothing is kept for the next run: {error:#}"));
                Ok(Self::default())
            }
        }
    }

    /// What is known.
    pub(super) fn known(&self) -> &Known {
        &self.0.known
    }

    /// Where it is kept, if it is.
    pub(super) fn state(&self) -> Option<Arc<State>> {
        self.0.state.clone()
    }

    /// Writes it down again and again, for as long as it runs.
    pub(super) async fn keep(&self, console: &Console) {
        self.0.keep(|told| tell(console, told)).await;
    }

    /// A failure is told and hurts nobody: the next run asks once more.
    pub(super) async fn save(&self, console: &Console) {
        tell(console, self.0.save().await);
    }
}

fn tell(console: &Console, saved: Result<Option<String>, Error>) {
    match saved {
        Ok(None) => {}
        Ok(Some(warning)) => console.warn(&warning),
        Err(error) => {
            let error = anyhow::Error::from(error);
            console.warn(&format!("what was learnt is not kept: {error:#}"));
        }
    }
}

/// A dry run leaves no trace.
fn open(directory: &Path, is_dry: bool) -> Result<Opened, Error> {
    if is_dry {
        let state::Peeked { known, warning } = State::peek(directory)?;
        return Ok((known, None, warning));
    }
    let state::Opened {
        state,
        known,
        warning,
    } = State::open(directory)?;
    Ok((known, Some(state), warning))
}
