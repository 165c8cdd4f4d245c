//! Watches: a stream of frames, pulled from the store's history at the speed of the reader.
//!
//! Nothing is queued per watcher: a reader that is slow falls off the history and is told so, and holds nobody up. A
//! position moves only past what was handed to the connection, so that no event is lost between two pulls.
//!
//! Initial events come in list order, not by resourceVersion: client-go trusts no position before the bookmark that
//! ends them, and sorting a whole store for each watcher would not be bounded.

mod events;
mod frames;
mod schedule;

use bytes::Bytes;
use futures::stream;
use http::Response;
use std::ops::ControlFlow;
use tokio::sync::watch::Receiver;
use tokio_util::sync::CancellationToken;

use self::events::Transitions;
use self::frames::Frames;
use self::schedule::{Due, Schedule};
use crate::apiserver::kind::Kind;
use crate::apiserver::negotiate::{Form, Negotiated};
use crate::apiserver::query::{Query, Start};
use crate::apiserver::resources::{FRESH_WAIT, Tags};
use crate::apiserver::response::{Payload, Refusal, ok};
use crate::apiserver::status::Status;
use crate::apiserver::walk::{Step, Walk};
use crate::store::{ResourceVersion, Store};

/// Frames are sent when they have grown to this many bytes, or when nothing more is at hand.
const CHUNK: usize = 32 * 1024;
/// How many changes or entries are looked at before other tasks get their turn.
const BATCH: usize = 1024;

/// Starts a watch of `namespace` (`None`: of all).
pub(super) async fn watch(
    tags: &Tags,
    kind: Kind,
    namespace: Option<&str>,
    query: &Query,
    negotiated: Negotiated,
) -> Result<Response<Payload>, Refusal> {
    let options = query.watch_options(kind)?;
    let rendering = match negotiated.form {
        Form::Objects => frames::Rendering::Objects,
        Form::Partial(version) => frames::Rendering::Partial(version),
        Form::Table(version) => frames::Rendering::Table(version, query.include_object()?),
    };
    if let Start::State(Some(version)) = options.start {
        tags.wait_for(version).await?;
    }
    let changed = tags.store().changed();
    let (phase, position) = match options.start {
        Start::State(_) => {
            let snapshot = tags.store().snapshot();
            let walk = Walk::new(kind, &snapshot, namespace, options.selection.clone(), None);
            let marks_end = options.marks_initial_end && options.bookmarks;
            (
                Phase::Initial {
                    walk: Box::new(walk),
                    marks_end,
                },
                snapshot.resource_version(),
            )
        }
        Start::After(version) => (Phase::Awaiting, version),
        Start::Now => (Phase::Live, tags.store().snapshot().resource_version()),
    };
    let watcher = Watcher {
        store: tags.store().clone(),
        changed,
        shutdown: tags.shutdown().clone(),
        transitions: Transitions::new(kind, namespace, options.selection),
        frames: Frames::new(kind, rendering, tags.clock().clone()),
        schedule: Schedule::new(options.timeout_seconds, options.bookmarks),
        phase,
        position,
    };
    let frames = stream::unfold(watcher, |mut watcher| async move {
        watcher.next().await.map(|chunk| (chunk, watcher))
    });
    Ok(ok(Payload::Stream(Box::pin(frames))))
}

struct Watcher {
    store: Store,
    changed: Receiver<ResourceVersion>,
    shutdown: CancellationToken,
    transitions: Transitions,
    frames: Frames,
    schedule: Schedule,
    phase: Phase,
    /// Everything up to here was delivered (while live), or will have been when the initial events are.
    position: ResourceVersion,
}

enum Phase {
    /// The position may be ahead of this server.
    Awaiting,
    /// Writing the state at `position`.
    Initial {
        walk: Box<Walk>,
        marks_end: bool,
    },
    /// Writing changes.
    Live,
    Ended,
}

impl Watcher {
    /// The next frames; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.shutdown.is_cancelled() {
                return None;
            }
            match &mut self.phase {
                Phase::Ended => return None,
                Phase::Awaiting => self.await_position().await,
                Phase::Initial { walk, marks_end } => {
                    let frames = &mut self.frames;
                    let step = walk.step(BATCH, &mut |view| {
                        frames.added(view);
                        if frames.len() < CHUNK {
                            ControlFlow::Continue(())
                        } else {
                            ControlFlow::Break(())
                        }
                    });
                    if step == Step::Done {
                        if *marks_end {
                            frames.initial_end(self.position);
                        }
                        self.phase = Phase::Live;
                    } else if self.schedule.is_over() {
                        self.phase = Phase::Ended;
                    } else if frames.is_empty() {
                        tokio::task::yield_now().await;
                    }
                }
                Phase::Live => self.live().await,
            }
            if !self.frames.is_empty() {
                return Some(self.frames.take());
            }
        }
    }

    /// Gives this server a moment to learn of the position; the history then judges it.
    async fn await_position(&mut self) {
        let position = self.position;
        tokio::select! {
            _ = tokio::time::timeout(FRESH_WAIT, self.changed.wait_for(|newest| *newest >= position)) => {}
            () = self.shutdown.cancelled() => {}
        }
        self.phase = Phase::Live;
    }

    async fn live(&mut self) {
        // Seen before the history is read: what comes after wakes the wait below.
        self.changed.borrow_and_update();
        let changes = match self.store.changes_after(self.position, BATCH) {
            Ok(changes) => changes,
            Err(expired) => {
                self.frames.error(&Status::expired(expired.to_string()));
                self.phase = Phase::Ended;
                return;
            }
        };
        if changes.is_empty() {
            self.wait().await;
            return;
        }
        for change in &changes {
            self.transitions.apply(change, &mut self.frames);
            self.position = change.resource_version();
            if self.frames.len() >= CHUNK {
                break;
            }
        }
        match self.schedule.due() {
            Due::Nothing => {}
            Due::Bookmark => self.frames.bookmark(self.position),
            Due::End => self.phase = Phase::Ended,
        }
        if self.frames.is_empty() {
            tokio::task::yield_now().await;
        }
    }

    async fn wait(&mut self) {
        tokio::select! {
            changed = self.changed.changed() => {
                if changed.is_err() {
                    self.phase = Phase::Ended;
                }
            }
            () = self.shutdown.cancelled() => self.phase = Phase::Ended,
            due = self.schedule.wait() => match due {
                Due::Nothing => {}
                Due::Bookmark => self.frames.bookmark(self.position),
                Due::End => self.phase = Phase::Ended,
            }
        }
    }
}
