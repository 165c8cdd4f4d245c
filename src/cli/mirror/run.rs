//! Runs the engine: with what is known from before, under the signals of whoever sits before it, and tells how it ended.

use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::super::{FAILED, Failure, Outcome, print, warn};
use super::order::{self, Order};
use super::progress::Console;
use super::summary::{self, Run};
use super::{How, Output};
use crate::api::Bandwidth;
use crate::clock::{SharedClock, SystemClock};
use crate::mirror::outcome::{Report, Verdict};
use crate::registry::copy::{self, Settings};
use crate::registry::transfer::Limiter;
use crate::registry::{self, Client};
use crate::state::{self, Kept, Opened, State};
use crate::task;

/// Exit code for drift, and for registries that do not let a tag be moved.
const BLOCKED: u8 = 2;
/// Exit code of a run that was told to end (128 and SIGINT).
const INTERRUPTED: u8 = 130;

pub(super) async fn run(orders: Vec<Order>, how: &How) -> Outcome {
    let cancel = CancellationToken::new();
    let console = Arc::new(Console::new(how.quiet, how.dry_run));
    let mut companions = task::Group::new();
    companions.spawn("signals", {
        let signals = (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        );
        watch(signals, cancel.clone(), Arc::clone(&console))
    });
    // A credential helper may want something from its user: no bars before that.
    let jobs = tokio::select! {
        jobs = order::jobs(orders) => jobs?,
        () = cancel.cancelled() => return Err(Failure::silent(INTERRUPTED)),
    };
    let kept = open(how)?;
    companions.spawn("progress", {
        let console = Arc::clone(&console);
        async move { console.keep_up().await }
    });
    companions.spawn("state", {
        let kept = kept.clone();
        async move { kept.keep(not_kept).await }
    });
    let clock: SharedClock = Arc::new(SystemClock);
    let client = Client::new(registry::Settings {
        clock: Arc::clone(&clock),
        copying: registry::Copying {
            concurrency: how.concurrency.get(),
            ..registry::Copying::default()
        },
        ..registry::Settings::default()
    });
    let settings = Settings {
        concurrency: how.concurrency,
        bandwidth: how.bandwidth.map(limiter),
        is_dry_run: how.dry_run,
        clock,
        cancel: cancel.clone(),
    };
    let done = copy::run(&client, jobs, &kept.known, &settings, &*console).await;
    let took = console.elapsed();
    // The signals first: what follows is short, and an end at once is welcome then.
    companions.abort().await;
    console.end();
    if let Err(error) = kept.save().await {
        not_kept(error);
    }
    let run = Run {
        is_dry: how.dry_run,
        is_interrupted: cancel.is_cancelled(),
        took,
    };
    print(&match how.output {
        Output::Text => summary::text(&done, run),
        Output::Json => summary::json(&done, run),
    })?;
    end(&done.report, run)
}

/// What keeps a bandwidth.
pub(super) fn limiter(bandwidth: Bandwidth) -> Arc<Limiter> {
    Arc::new(Limiter::new(bandwidth.bytes_per_second()))
}

/// The exit code.
fn end(report: &Report, run: Run) -> Outcome {
    if run.is_interrupted {
        return Err(Failure::silent(INTERRUPTED));
    }
    match report.verdict() {
        Verdict::Done => Ok(()),
        Verdict::Blocked => Err(Failure::silent(BLOCKED)),
        Verdict::Failed => Err(Failure::silent(FAILED)),
    }
}

/// The first signal asks everything to end soon, the second ends it.
async fn watch(
    (mut interrupt, mut terminate): (Signal, Signal),
    cancel: CancellationToken,
    console: Arc<Console>,
) {
    let mut next = async || {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    next().await;
    cancel.cancel();
    console.say("tagscope: stopping; once more to stop at once");
    next().await;
    console.end();
    std::process::exit(INTERRUPTED.into())
}

/// What is known, and where it is kept. Without a directory, or with one that cannot be used and was not asked for, nothing is
/// kept.
fn open(how: &How) -> Result<Kept, Failure> {
    if how.no_state {
        return Ok(Kept::default());
    }
    let default = || state::default_directory(|name| std::env::var_os(name));
    let Some(directory) = how.state.clone().or_else(default) else {
        return Ok(Kept::default());
    };
    match State::open(&directory) {
        Ok(Opened {
            state,
            known,
            warning,
        }) => {
            if let Some(warning) = warning {
                warn(&warning);
            }
            // A dry run leaves no trace.
            let state = (!how.dry_run).then(|| Arc::new(state));
            Ok(Kept {
                known: Arc::new(known),
                state,
            })
        }
        Err(error) if how.state.is_some() => Err(error.into()),
        Err(error) => {
            let error = anyhow::Error::from(error);
            warn(&format!("nothing is kept for the next run: {error:#}"));
            Ok(Kept::default())
        }
    }
}

fn not_kept(error: state::Error) {
    let error = anyhow::Error::from(error);
    warn(&format!("what was learnt is not kept: {error:#}"));
}
