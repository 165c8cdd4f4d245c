//! Runs the engine: with what is known from before, under the signals of whoever sits before it, and tells how it ended.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::super::{FAILED, Failure, Outcome, USAGE, print};
use super::memory::Memory;
use super::order::{self, Order, Suspended};
use super::progress::Console;
use super::prune::{self, After, Pruned, Pruning, Targets};
use super::summary::{self, Run};
use super::{How, Output, log};
use crate::api::Bandwidth;
use crate::clock::{Clock as _, SharedClock, SystemClock};
use crate::mirror::outcome::{Report, Verdict};
use crate::registry::copy::{self, Done, Job, Settings};
use crate::registry::transfer::Limiter;
use crate::registry::{self, Client};
use crate::task;

/// Exit code for drift, and for registries that do not let a tag be moved.
const BLOCKED: u8 = 2;
/// Exit code of a run that was told to end (128 and SIGINT).
const INTERRUPTED: u8 = 130;

/// `warnings` have been told already.
pub(super) async fn run(
    (orders, suspended): (&[Order], &[Suspended]),
    warnings: &[String],
    how: &How,
    pruning: Pruning,
) -> Outcome {
    let console = Arc::new(Console::new(how.quiet, how.dry_run));
    log::start(&console);
    let cancel = CancellationToken::new();
    // To the very end: tokio does not give signals back, and a state may be long in coming to the disk.
    let mut signals = task::Group::new();
    let begun = match watched(&mut signals, &cancel, &console) {
        Ok(()) => begin(orders, how, &cancel, &console).await,
        Err(failure) => Err(failure),
    };
    let ended = match begun {
        Ok((memory, jobs)) => {
            let targets = Targets::of(orders, &jobs, suspended);
            let (mut done, client) = copy(jobs, &memory, how, &cancel, &console).await;
            let after = After {
                client: &client,
                state: memory.state(),
                known: memory.known(),
                report: &done.report,
                now: SystemClock.now(),
                cancel: &cancel,
                console: &console,
            };
            let pruned = if how.dry_run || how.no_state {
                Pruned::default()
            } else {
                prune::run(&targets, after, pruning).await
            };
            let run = Run {
                is_dry: how.dry_run,
                is_interrupted: cancel.is_cancelled(),
                has_told_tags: console.has_told_tags(),
                took: console.elapsed(),
            };
            console.end();
            memory.save(&console).await;
            add_warnings(&mut done, orders, warnings, &console);
            Ok((done, run, pruned))
        }
        Err(failure) => Err(failure),
    };
    answer(ended, warnings, how)
}

/// Tells how it ended; for programs also that it did not begin. What makes no sense is for people alone.
pub(super) fn answer(
    ended: Result<(Done, Run, Pruned), Failure>,
    warnings: &[String],
    how: &How,
) -> Outcome {
    match ended {
        Ok((done, run, pruned)) => {
            print(&match how.output {
                Output::Text => summary::text(&done, run) + &pruned.text(),
                Output::Json => summary::json(&done, run, pruned.json()),
            })?;
            end(&done.report, &pruned, run)
        }
        Err(failure) => {
            if how.output == Output::Json && failure.code != USAGE {
                let problem = failure.error.as_ref().map(|error| format!("{error:#}"));
                let report = Report {
                    problems: problem.into_iter().collect(),
                    warnings: warnings.to_vec(),
                    ..Report::default()
                };
                let done = Done {
                    report,
                    ..Done::default()
                };
                let run = Run {
                    is_dry: how.dry_run,
                    is_interrupted: failure.code == INTERRUPTED,
                    ..Run::default()
                };
                print(&summary::json(&done, run, None))?;
            }
            Err(failure)
        }
    }
}

/// Lets signals cancel.
fn watched(
    signals: &mut task::Group,
    cancel: &CancellationToken,
    console: &Arc<Console>,
) -> Result<(), Failure> {
    let both = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    );
    signals.spawn("signals", watch(both, cancel.clone(), Arc::clone(console)));
    Ok(())
}

/// What is known, and what is to be done with the credentials for it. A credential helper may want something from its user:
/// no bars before that.
async fn begin(
    orders: &[Order],
    how: &How,
    cancel: &CancellationToken,
    console: &Console,
) -> Result<(Memory, Vec<Job>), Failure> {
    let begun = async {
        let memory = Memory::open(how, console).await?;
        Ok((memory, order::jobs(orders).await?))
    };
    tokio::select! {
        begun = begun => begun,
        () = cancel.cancelled() => Err(Failure::silent(INTERRUPTED)),
    }
}

async fn copy(
    jobs: Vec<Job>,
    memory: &Memory,
    how: &How,
    cancel: &CancellationToken,
    console: &Arc<Console>,
) -> (Done, Client) {
    let mut companions = task::Group::new();
    companions.spawn("progress", {
        let console = Arc::clone(console);
        async move { console.keep_up().await }
    });
    companions.spawn("state", {
        let (memory, console) = (memory.clone(), Arc::clone(console));
        async move { memory.keep(&console).await }
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
        mandate: None,
        cancel: cancel.clone(),
    };
    let done = copy::run(&client, jobs, memory.known(), &settings, &**console).await;
    companions.abort().await;
    (done, client)
}

/// Tells what registries warned of, and who selects nothing; the report has these and what was told before.
fn add_warnings(done: &mut Done, orders: &[Order], before: &[String], console: &Console) {
    let unmatched = done.unmatched.iter().filter_map(|unmatched| {
        let order = orders.get(unmatched.job)?;
        Some(order.unmatched(unmatched.listed))
    });
    let unmatched: BTreeSet<String> = unmatched.collect();
    let mut warnings = before.to_vec();
    for warning in done.report.warnings.drain(..).chain(unmatched) {
        console.warn(&warning);
        warnings.push(warning);
    }
    done.report.warnings = warnings;
}

/// What keeps a bandwidth.
pub(super) fn limiter(bandwidth: Bandwidth) -> Arc<Limiter> {
    Arc::new(Limiter::new(bandwidth.bytes_per_second()))
}

/// The exit code.
fn end(report: &Report, pruned: &Pruned, run: Run) -> Outcome {
    if run.is_interrupted {
        return Err(Failure::silent(INTERRUPTED));
    }
    match (report.verdict(), pruned.code()) {
        (Verdict::Failed, _) => Err(Failure::silent(FAILED)),
        (_, Some(code)) => Err(Failure::silent(code)),
        (Verdict::Blocked, None) => Err(Failure::silent(BLOCKED)),
        (Verdict::Done, None) => Ok(()),
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
