//! The one way to start a task: it has a name, a span, and somebody who learns how it ended.
//!
//! A [`Tasks`] set belongs to the program (or to one test): a task that ends before shutdown was asked for, by return
//! or by panic, is reported by [`Tasks::next_end`], and is fatal. A [`Group`] belongs to one task, for its
//! children, and ends with it. What nobody supervises ([`detach`], [`outlive`]) must be short.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::FutureExt as _;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// The name it was started with.
    pub name: &'static str,
    /// Whether it returned or panicked.
    pub outcome: Outcome,
}

/// The two ways in which a task ends by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Its future came to its end.
    Returned,
    /// It panicked, with this text.
    Panicked(String),
}

/// The tasks of one program, and its shutdown signal.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    shutdown: CancellationToken,
    running: Arc<Mutex<Group>>,
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
        self.running.lock().spawn(name, future);
    }

    /// Waits until some task ends, and says which and how. `None` when there are no tasks.
    pub async fn next_end(&self) -> Option<End> {
        std::future::poll_fn(|cx| self.running.lock().poll_end(cx)).await
    }
}

/// The children of one task. Dropping it aborts those that still run.
#[derive(Debug, Default)]
pub struct Group {
    running: JoinSet<End>,
}

impl Group {
    /// A group without children.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts `future` as `name`, a child of this group.
    pub fn spawn(&mut self, name: &'static str, future: impl Future<Output = ()> + Send + 'static) {
        let span = tracing::debug_span!("task", task = name);
        self.running.spawn(run(name, future).instrument(span));
    }

    /// How many children have not been seen to end.
    pub fn len(&self) -> usize {
        self.running.len()
    }

    /// True when no child is left.
    pub fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Waits until some child ends by itself. `None` when there are no children.
    pub async fn next_end(&mut self) -> Option<End> {
        std::future::poll_fn(|cx| self.poll_end(cx)).await
    }

    /// Aborts every child and waits until they are gone.
    pub async fn abort(&mut self) {
        self.running.shutdown().await;
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Option<End>> {
        loop {
            match std::task::ready!(self.running.poll_join_next(cx)) {
                None => return Poll::Ready(None),
                Some(Ok(end)) => return Poll::Ready(Some(end)),
                // Panics are caught inside, so this one was aborted, which is no end by itself.
                Some(Err(_)) => {}
            }
        }
    }
}

/// Starts a short-lived task that nobody waits for (one request of a connection): it must end by itself.
pub fn detach(name: &'static str, future: impl Future<Output = ()> + Send + 'static) {
    start(alone(name, future));
}

/// `future` as a task whose panic nobody else would hear of.
fn alone<F: Future<Output = ()>>(
    name: &'static str,
    future: F,
) -> impl Future<Output = ()> + use<F> {
    let span = tracing::debug_span!("task", task = name);
    let told = run(name, future).map(move |end| {
        if let Outcome::Panicked(panic) = end.outcome {
            tracing::error!(task = name, panic, "Task panicked");
        }
    });
    told.instrument(span)
}

/// Runs `future` to its end even when the caller stops waiting for its answer; `None` when it panicked.
///
/// For work that several callers share, and that the first of them must not take down with it.
pub async fn outlive<T: Send + 'static>(
    name: &'static str,
    future: impl Future<Output = T> + Send + 'static,
) -> Option<T> {
    let (sender, receiver) = oneshot::channel();
    detach(name, async move {
        // Nobody listens any more: then nobody needs the answer.
        drop(sender.send(future.await));
    });
    receiver.await.ok()
}

/// Runs `work`, which may keep a processor busy for long, where it holds nothing else up. A panic goes on in the caller.
///
/// It runs to its end even when the caller stops waiting.
pub async fn blocking<T: Send + 'static>(
    name: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    // The caller's span by itself, too: the task's own may be filtered out.
    let caller = tracing::Span::current();
    let span = tracing::debug_span!("task", task = name);
    let work = move || caller.in_scope(|| span.in_scope(work));
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(ended) => match ended.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime ends, and the caller with it.
            Err(_) => std::future::pending().await,
        },
    }
}

/// Runs `work` here and now when it `is_brief` (well under a millisecond: a thread of its own would cost as much), else
/// as [`blocking`].
pub async fn brief_or_blocking<T: Send + 'static>(
    name: &'static str,
    is_brief: bool,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    if is_brief {
        tracing::debug_span!("task", task = name).in_scope(work)
    } else {
        blocking(name, work).await
    }
}

/// What a panic said.
pub fn panic_text(payload: &(dyn Any + Send)) -> String {
    payload
        .downcast_ref::<&'static str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without text".to_owned())
}

/// Made of combinators: an async block would keep what it awaits twice, and a task lives as long as a watch.
fn run<F: Future<Output = ()>>(
    name: &'static str,
    future: F,
) -> impl Future<Output = End> + use<F> {
    AssertUnwindSafe(future).catch_unwind().map(move |done| {
        let outcome = match done {
            Ok(()) => Outcome::Returned,
            Err(payload) => Outcome::Panicked(panic_text(payload.as_ref())),
        };
        End { name, outcome }
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "the helper that everybody else is sent to"
)]
fn start(future: impl Future<Output = ()> + Send + 'static) {
    drop(tokio::spawn(future));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_set_tells_which_task_ended_and_how() {
        let tasks = Tasks::new();
        assert_eq!(tasks.next_end().await, None);
        let stop = tasks.shutdown().clone();
        tasks.spawn("lives", async move { stop.cancelled().await });
        tasks.spawn("falls", async { panic!("over {}", "a stone") });
        let outcome = Outcome::Panicked("over a stone".into());
        assert_eq!(
            tasks.next_end().await,
            Some(End {
                name: "falls",
                outcome
            })
        );
        tasks.shutdown().cancel();
        assert_eq!(
            tasks.next_end().await,
            Some(End {
                name: "lives",
                outcome: Outcome::Returned
            })
        );
        assert_eq!(tasks.next_end().await, None);
    }

    #[tokio::test]
    async fn a_task_started_while_the_end_is_awaited_is_seen() {
        let tasks = Tasks::new();
        let (go, wait) = oneshot::channel::<()>();
        tasks.spawn("first", async move { drop(wait.await) });
        let end = tasks.next_end();
        tokio::pin!(end);
        assert!(futures::poll!(end.as_mut()).is_pending());
        tasks.spawn("second", async {});
        assert_eq!(end.await.map(|end| end.name), Some("second"));
        drop(go);
    }

    #[test]
    fn a_task_holds_what_it_runs_once() {
        let future = async {
            let held = [1_u8; 1024];
            tokio::task::yield_now().await;
            std::hint::black_box(held);
        };
        let size = size_of_val(&future);
        assert!((1024..1536).contains(&size), "{size}");
        let task = size_of_val(&alone("task", future));
        assert!(task <= size + 128, "{task} bytes for {size}");
    }

    #[tokio::test]
    async fn an_aborted_group_leaves_nothing_running() {
        let mut group = Group::new();
        let held = Arc::new(());
        for _ in 0..3 {
            let held = Arc::clone(&held);
            group.spawn("waits", async move {
                std::future::pending::<()>().await;
                std::hint::black_box(held);
            });
        }
        assert_eq!(group.len(), 3);
        group.abort().await;
        assert!(group.is_empty());
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[tokio::test]
    async fn busy_work_holds_up_nobody_and_its_panic_is_the_callers() {
        let (go, wait) = std::sync::mpsc::channel();
        let busy = blocking("busy", move || wait.recv().unwrap_or("nobody"));
        // On the one thread of this test, the work could never be told to go on if it ran there.
        let (done, ()) = tokio::join!(busy, async { go.send("released").unwrap() });
        assert_eq!(done, "released");
        let falls = AssertUnwindSafe(blocking("falls", || panic!("over a stone")));
        let panic = falls.catch_unwind().await.map(|()| "none").unwrap_err();
        assert_eq!(panic_text(panic.as_ref()), "over a stone");
    }

    #[tokio::test(start_paused = true)]
    async fn shared_work_outlives_its_first_caller() {
        let (sender, receiver) = oneshot::channel();
        let work = outlive("work", async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            sender.send("done").ok();
        });
        assert!(
            tokio::time::timeout(Duration::from_millis(10), work)
                .await
                .is_err()
        );
        assert_eq!(receiver.await, Ok("done"));
        assert_eq!(
            outlive("falls", async { panic!("no answer") }).await,
            None::<()>
        );
    }
}
