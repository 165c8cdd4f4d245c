//! Watches: a stream of frames, pulled from the store's history at the speed of the reader.
//!
//! Nothing is queued per watcher: a reader that is slow falls off the history and is told so, and holds nobody up. A
//! position moves only past what was handed to the connection, so that no event is lost between two pulls. A watcher
//! sleeps until something in its own scope changes, and what several are told alike is written once.
//!
//! Initial events come in list order, as kube-apiserver's do, not by resourceVersion: client-go trusts no position before
//! the bookmark that ends them, and sorting a whole store for each watcher would not be bounded.

mod events;
mod frames;
mod observer;
mod schedule;
mod shared;
pub(super) mod websocket;

pub use self::observer::{Breadth, Observer};
pub(super) use self::shared::Shared;

use bytes::Bytes;
use futures::stream;
use http::Response;
use std::ops::ControlFlow;
use std::sync::Arc;
use tokio::time::Instant;
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
use crate::store::{Follower, Store};

/// Frames are sent when they have grown to this many bytes, or when nothing more is at hand.
const CHUNK: usize = 32 * 1024;
/// How many changes or entries are looked at before other tasks get their turn.
const BATCH: usize = 1024;

/// Starts a watch of `namespace` (`None`: of all), of the one object `name` where there is one.
pub(super) async fn watch(
    tags: &Tags,
    kind: Kind,
    namespace: Option<&str>,
    name: Option<&str>,
    query: &Query,
    negotiated: Negotiated,
) -> Result<Response<Payload>, Refusal> {
    let mut options = query.watch_options(kind)?;
    if let Some(name) = name {
        let fields = options.selection.fields.of_name(name).ok_or_else(|| {
            Status::bad_request("fieldSelector metadata.name doesn't match requested name")
        })?;
        options.selection.fields = fields;
    }
    let rendering = match negotiated.form {
        Form::Objects => frames::Rendering::Objects,
        Form::Partial(version) => frames::Rendering::Partial(version),
        Form::Table(version) => frames::Rendering::Table(version, query.include_object()?),
    };
    if let Start::State(Some(version)) = options.start {
        tags.wait_for(version).await?;
    }
    let position = match options.start {
        Start::After(version) => Some(version),
        Start::State(_) | Start::Now => None,
    };
    let transitions = Transitions::new(kind, options.selection.clone());
    let scope = transitions.scope(namespace);
    let (follower, snapshot) = tags.store().follow(scope, transitions.objects(), position);
    let phase = match options.start {
        Start::State(_) => Phase::Initial(Box::new(Initial {
            walk: Walk::new(kind, &snapshot, namespace, options.selection, None),
            marks_end: options.marks_initial_end && options.bookmarks,
            breadth: match namespace {
                Some(_) => Breadth::Namespace,
                None => Breadth::Cluster,
            },
            begun: Instant::now(),
        })),
        Start::After(_) => Phase::Awaiting(tags.store().clone()),
        Start::Now => Phase::Live,
    };
    // In a box, so that the future of each step holds no more than where it is.
    let watcher = Box::new(Watcher {
        kind,
        follower,
        shutdown: tags.shutdown().clone(),
        transitions,
        frames: Frames::new(
            kind,
            rendering,
            tags.clock().clone(),
            Arc::clone(tags.watches()),
        ),
        schedule: Schedule::new(options.timeout_seconds, options.bookmarks),
        phase,
    });
    let frames = stream::unfold(watcher, |mut watcher| async move {
        watcher.next().await.map(|chunk| (chunk, watcher))
    });
    Ok(ok(Payload::Stream(Box::pin(frames))))
}

struct Watcher {
    kind: Kind,
    follower: Follower,
    shutdown: CancellationToken,
    transitions: Transitions,
    frames: Frames,
    schedule: Schedule,
    phase: Phase,
}

enum Phase {
    /// The position may be ahead of this server.
    Awaiting(Store),
    /// Writing the state at the follower's position.
    Initial(Box<Initial>),
    /// Writing changes.
    Live,
    Ended,
}

struct Initial {
    walk: Walk,
    marks_end: bool,
    breadth: Breadth,
    begun: Instant,
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
                Phase::Awaiting(store) => {
                    let store = store.clone();
                    // In a box that is gone when it is over: the stream is as large as its largest step.
                    Box::pin(self.await_position(&store)).await;
                }
                Phase::Initial(_) => {
                    self.write_state();
                    // Whoever reads as fast as this writes never waits: others get their turn all the same.
                    if matches!(self.phase, Phase::Initial(_)) {
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
    async fn await_position(&mut self, store: &Store) {
        let position = self.follower.position();
        let mut changed = store.changed();
        tokio::select! {
            _ = tokio::time::timeout(FRESH_WAIT, changed.wait_for(|newest| *newest >= position)) => {}
            () = self.shutdown.cancelled() => {}
        }
        self.phase = Phase::Live;
    }

    /// Writes a piece of the initial state.
    fn write_state(&mut self) {
        let Phase::Initial(initial) = &mut self.phase else {
            return;
        };
        let frames = &mut self.frames;
        let step = initial.walk.step(BATCH, &mut |view| {
            frames.initial(view);
            until_full(frames)
        });
        if step == Step::Done {
            if initial.marks_end {
                frames.initial_end(self.follower.position());
                let time = initial.begun.elapsed();
                let observer = frames.shared().observer();
                observer.listed(self.kind, initial.breadth, time);
            }
            self.phase = Phase::Live;
        } else if self.schedule.is_over() {
            self.phase = Phase::Ended;
        }
    }

    async fn live(&mut self) {
        let (transitions, frames) = (&self.transitions, &mut self.frames);
        let mut budget = BATCH;
        let pulled = self.follower.pull(&mut |occurrence| {
            transitions.apply(&occurrence, frames);
            budget -= 1;
            if budget == 0 {
                return ControlFlow::Break(());
            }
            until_full(frames)
        });
        let is_level = match pulled {
            Ok(is_level) => is_level,
            Err(expired) => {
                frames.error(&Status::expired(expired.to_string()));
                frames.shared().observer().expired(self.kind);
                self.phase = Phase::Ended;
                return;
            }
        };
        let due = self.schedule.due();
        self.see_to(due);
        if !self.frames.is_empty() || matches!(self.phase, Phase::Ended) {
            return;
        }
        if is_level {
            self.wait().await;
        } else {
            tokio::task::yield_now().await;
        }
    }

    /// Until there may be something to write.
    async fn wait(&mut self) {
        tokio::select! {
            () = self.follower.changed() => {}
            () = self.shutdown.cancelled() => self.phase = Phase::Ended,
            // What is due is seen to after another pull, which tells how far this stream has come.
            () = self.schedule.wait() => {}
        }
    }

    fn see_to(&mut self, due: Due) {
        match due {
            Due::Nothing => {}
            Due::Bookmark => self.frames.bookmark(self.follower.position()),
            Due::End => self.phase = Phase::Ended,
        }
    }
}

/// Enough is written for one chunk.
fn until_full(frames: &Frames) -> ControlFlow<()> {
    if frames.len() < CHUNK {
        ControlFlow::Continue(())
    } else {
        ControlFlow::Break(())
    }
}
