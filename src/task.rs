//! The one way to start a task: it has a name, a span, and somebody who learns how it ended.
//!
//! A [`Tasks`] set belongs to the program (or to one test). A task that ends before shutdown was
//! asked for, by return, error or panic, is reported by [`Tasks::first_end`], and is fatal.

use std::future::Future;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

/// The tasks of one program, and its shutdown signal.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    shutdown: CancellationToken,
    running: Arc<Mutex<JoinSet<&'static str>>>,
}

impl Tasks {
    /// An empty set whose shutdown has not been asked for.
    pub fn new() -> Self {
        Self::default()
    }

    /// The signal that every long-lived task watches and ends itself on.
    pub fn shutdown(&self) -> &CancellationToken {
        &self.shutdown
    }

    /// Starts `future` as `name`, supervised by this set.
    pub fn spawn(&self, name: &'static str, future: impl Future<Output = ()> + Send + 'static) {
        let span = tracing::info_span!("task", name);
        self.running.lock().spawn(
            async move {
                future.await;
                name
            }
            .instrument(span),
        );
    }

    /// Waits until some task ends. `Err` carries a panic. `None` when there are no tasks.
    pub async fn next_end(&self) -> Option<Result<&'static str, JoinError>> {
        std::future::poll_fn(|cx| self.running.lock().poll_join_next(cx)).await
    }
}

/// Starts a short-lived task that nobody waits for (one connection, one request): it must end by itself.
#[expect(
    clippy::disallowed_methods,
    reason = "the helper that everybody else is sent to"
)]
pub fn detach(name: &'static str, future: impl Future<Output = ()> + Send + 'static) {
    let span = tracing::debug_span!("task", name);
    drop(tokio::spawn(future.instrument(span)));
}
