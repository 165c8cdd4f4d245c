//! One blob to one destination: which request on which rung, and what to do when it does not work out.
//!
//! Fed by the reader that all destinations share; by one of its own when it lags behind, or has to begin again.

mod send;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::feed::{Cursor, Feed, Hold, Look};
use super::reader::{Reading, is_passing};
use super::watch::{TICK, Watch};
use super::{Delivered, Meter, Side};
use crate::image::Hasher;
use crate::mirror::document::Descriptor;
use crate::registry::Error;
use crate::registry::remote::{Remote, STALL};
use crate::registry::upload::ladder::{Ladder, Rung, Step};
use crate::registry::upload::steps::patience_for;
use crate::registry::upload::{Cause, Open, Session};

/// Tries in all; another rung is no other try.
const TRIES: u32 = 4;
/// A resumption that brought so much is no try, either.
const PROGRESS: u64 = 1 << 20;
/// A destination that wants to be left alone for longer is given up.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// One destination.
pub(super) struct Delivery<'a> {
    pub(super) index: usize,
    pub(super) remote: Remote,
    /// Where its upload is open.
    pub(super) open: Open,
    pub(super) reading: &'a Reading<'a, Remote>,
    pub(super) meter: &'a dyn Meter,
}

/// An upload and how far it is.
struct Upload {
    session: Session,
    rung: Rung,
    /// So many bytes were there when what feeds it began.
    start: u64,
    /// So many bytes are there.
    from: u64,
    /// So many bytes are there when the request that is made was carried out.
    until: u64,
    /// So many PATCHes were taken.
    pieces: u32,
}

/// What did not work, and how to go on.
#[derive(Debug)]
struct Setback {
    next: Next,
    error: Error,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// On another rung.
    Rung(Cause),
    /// In a new session, the old one being gone or not.
    Anew { is_gone: bool },
    /// In the same session, from there on.
    Rest(u64),
    /// Later, in a new session.
    Wait,
    /// Not at all.
    End,
}

impl Next {
    fn with(self, error: Error) -> Setback {
        Setback { next: self, error }
    }
}

const ANEW: Next = Next::Anew { is_gone: false };

impl Delivery<'_> {
    fn blob(&self) -> &Descriptor {
        self.reading.blob
    }

    fn host(&self) -> &str {
        self.remote.api_host()
    }

    /// Sends what comes through `hold` to `session`, or to one that it begins, and whatever that takes.
    pub(super) async fn deliver(self, session: Option<Session>, hold: Hold) -> Delivered {
        let mut side = Side::Destination;
        let session = match session {
            Some(session) => session,
            None => match self.begin_session(&self.open).await {
                Ok(session) => session,
                Err(error) => return Err((side, error)),
            },
        };
        hold.0.begin();
        let done = self.try_until_done(session, hold, &mut side).await;
        done.map_err(|error| (side, error))
    }

    /// `side`: whose the last error was.
    async fn try_until_done(
        &self,
        session: Session,
        mut hold: Hold,
        side: &mut Side,
    ) -> Result<(), Error> {
        let memory = &self.remote.inner().uploads;
        let mut ladder = Ladder::from(memory.rung(self.host()));
        let mut learnt = None;
        let mut failed = 0;
        let mut cursor = None;
        let open = &self.open;
        let mut begun = Some(Upload {
            session,
            rung: ladder.current(),
            start: 0,
            from: 0,
            until: 0,
            pieces: 0,
        });
        loop {
            let mut upload = match begun.take() {
                Some(upload) => upload,
                None => match self.begin(ladder.current(), open).await {
                    Ok(upload) => upload,
                    Err(error) if is_passing(&error) => {
                        *side = Side::Destination;
                        failed += 1;
                        self.wait(failed, error).await?;
                        continue;
                    }
                    Err(error) => {
                        *side = Side::Destination;
                        return Err(error);
                    }
                },
            };
            let Setback { next, error } =
                match self.attempt(&mut upload, &hold.0, cursor.take()).await {
                    Ok(()) => {
                        open.close();
                        if let Some(cause) = learnt {
                            memory.learn(self.host(), ladder.current(), cause);
                        }
                        return Ok(());
                    }
                    Err(setback) => setback,
                };
            *side = match hold.0.failure() {
                Some(_) => Side::Source,
                None => Side::Destination,
            };
            tracing::debug!(%error, ?next, "An upload did not work out");
            let marks = match next {
                Next::Rest(from) => hold.0.marks_until(from),
                Next::Rung(_) | Next::Anew { .. } | Next::Wait | Next::End => Vec::new(),
            };
            // Whoever feeds it stops here.
            hold = Hold(Feed::new());
            match next {
                Next::Rest(from) => {
                    if from.saturating_sub(upload.from) < PROGRESS {
                        failed += 1;
                        if failed >= TRIES {
                            self.remote.cancel_upload(upload.session).await;
                            return Err(error);
                        }
                    }
                    hold = Hold(Feed::new().with_marks(marks.clone()));
                    cursor = (from < self.blob().size).then(|| self.cursor(marks, from));
                    upload.from = from;
                    upload.start = from;
                    self.meter.again(Some(self.index));
                    self.meter.written(self.index, from);
                    begun = Some(upload);
                    continue;
                }
                Next::Anew { is_gone: true } => open.close(),
                Next::Rung(_) | Next::Anew { is_gone: false } | Next::Wait | Next::End => {
                    self.remote.cancel_upload(upload.session).await;
                }
            }
            match next {
                Next::Rung(cause) if ladder.step() => learnt = Some(cause),
                // There is no other way; what was closed without a word may work this way yet.
                Next::Rung(Cause::Reset | Cause::Late) | Next::Anew { .. } | Next::Wait => {
                    failed += 1;
                    self.wait(failed, error).await?;
                }
                Next::Rung(Cause::Answer) | Next::Rest(_) | Next::End => return Err(error),
            }
            self.meter.again(Some(self.index));
            cursor = Some(Cursor::begin(self.blob()));
        }
    }

    async fn begin(&self, rung: Rung, open: &Open) -> Result<Upload, Error> {
        let session = self.begin_session(open).await?;
        Ok(Upload {
            session,
            rung,
            start: 0,
            from: 0,
            until: 0,
            pieces: 0,
        })
    }

    async fn begin_session(&self, open: &Open) -> Result<Session, Error> {
        let _asking = open.asking();
        let session = self.remote.begin(&self.blob().digest).await?;
        Ok(session.replacing(open))
    }

    /// Waits before the next try, if there is one to come.
    async fn wait(&self, failed: u32, error: Error) -> Result<(), Error> {
        let wait = error.retry_after().unwrap_or_default();
        if failed >= TRIES || wait > LONGEST_WAIT {
            return Err(error);
        }
        tokio::time::sleep(wait.max(self.reading.patience.wait_after(failed))).await;
        Ok(())
    }

    /// Where to read from, when all bytes before `from` are there.
    fn cursor(&self, mut marks: Vec<(u64, Hasher)>, from: u64) -> Cursor {
        match marks.pop() {
            Some((offset, hasher)) => Cursor {
                offset,
                hasher,
                feed_from: from,
            },
            None => Cursor {
                feed_from: from,
                ..Cursor::begin(self.blob())
            },
        }
    }

    /// One try, watched over, with a reader of its own from `cursor` on if there is one.
    async fn attempt(
        &self,
        upload: &mut Upload,
        feed: &Arc<Feed>,
        cursor: Option<Cursor>,
    ) -> Result<(), Setback> {
        let read = |cursor| -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
            Box::pin(self.reading.read(cursor, vec![Arc::clone(feed)]))
        };
        let mut own = cursor.map(read);
        let step = match upload.rung {
            Rung::Put => Step::Whole,
            Rung::Patch | Rung::Chunks => Step::Piece,
        };
        {
            let work = self.send(upload, feed);
            futures::pin_mut!(work);
            let mut guard = Guard::new(self.blob().size);
            let mut told = 0;
            loop {
                let done = tokio::select! {
                    biased;
                    done = &mut work => Some(done),
                    () = async { if let Some(own) = &mut own { own.await } }, if own.is_some() => {
                        own = None;
                        None
                    }
                    () = feed.stirred() => None,
                    () = tokio::time::sleep_until(guard.next) => None,
                };
                let taken = feed.taken();
                if taken > told {
                    self.meter.written(self.index, taken - told);
                    told = taken;
                }
                if let Some(done) = done {
                    return done;
                }
                if let Some(cursor) = feed.take_detached() {
                    own = Some(read(cursor));
                }
                if guard.stands_still(feed) {
                    break;
                }
            }
        }
        let stall = Error::TimedOut {
            host: self.host().to_owned(),
            allowed: STALL,
        };
        self.weigh(step, Err(stall), upload, feed).await.map(drop)
    }
}

/// Looks at a destination now and then: whether it takes what is there, and answers after that.
struct Guard {
    next: Instant,
    watch: Watch,
    taken: u64,
    quiet: Option<Instant>,
    patience: Duration,
}

impl Guard {
    fn new(size: u64) -> Self {
        Self {
            next: Instant::now() + TICK,
            watch: Watch::default(),
            taken: 0,
            quiet: None,
            patience: patience_for(size) * 2,
        }
    }

    fn stands_still(&mut self, feed: &Feed) -> bool {
        let now = Instant::now();
        if now < self.next {
            return false;
        }
        self.next = now + TICK;
        let Look {
            taken,
            could,
            active,
        } = feed.look();
        let moved = taken.saturating_sub(self.taken);
        self.taken = taken;
        // Everything was taken, and what is waited for is the answer.
        if taken > 0 && !active && moved == 0 {
            let since = *self.quiet.get_or_insert(now);
            return now.duration_since(since) >= self.patience;
        }
        self.quiet = None;
        self.watch.look(moved, could)
    }
}
