//! `tagscope run`: checks the settings, starts logging, hands over to the application.

use std::sync::Arc;
use std::time::Duration;

use super::{Failure, Outcome};
use crate::app;
use crate::clock::SystemClock;
use crate::config::args::Args;
use crate::config::settings::Settings;
use crate::telemetry;

/// What still works on a disk when the program ends may take this long; nothing is lost by it.
const LAST: Duration = Duration::from_secs(1);

pub(super) fn run(args: Args) -> Outcome {
    let settings = Settings::check(args).map_err(Failure::usage)?;
    let clock = Arc::new(SystemClock);
    telemetry::log::start(settings.log, clock.clone());
    // At least two, whatever the CPU limit: what takes long on one must not make probes wait.
    let workers = std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()?;
    let ended = runtime.block_on(app::run(settings, clock));
    runtime.shutdown_timeout(LAST);
    Ok(ended?)
}
