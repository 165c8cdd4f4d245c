//! The one place that waits: a condition is probed until it holds or its time is up.

use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Probes until `probe` answers `Ok`, and returns what it found.
///
/// `Err` says why it does not hold yet. When it still does not after `within`, the test fails with `what`
/// and the last reason.
pub(crate) async fn eventually<T, E, Probe, Answer>(
    within: Duration,
    what: &str,
    mut probe: Probe,
) -> T
where
    E: Display,
    Probe: FnMut() -> Answer,
    Answer: Future<Output = Result<T, E>>,
{
    let deadline = Instant::now() + within;
    let mut pause = Duration::from_millis(20);
    loop {
        match probe().await {
            Ok(found) => return found,
            Err(reason) if Instant::now() >= deadline => {
                panic!("not within {within:?}: {what}; at last: {reason}")
            }
            Err(_) => sleep(pause).await,
        }
        pause = (pause * 2).min(Duration::from_millis(250));
    }
}
