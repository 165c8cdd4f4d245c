//! Reads one blob for one or several feeds: hashes each piece once, keeps to the slowest until it lags too far behind, and
//! goes on where a source broke off.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use futures::future::join_all;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::feed::{Cursor, Feed, length};
use super::limiter::Limiter;
use super::watch::{TICK, Watch};
use crate::mirror::document::Descriptor;
use crate::registry::retry::Patience;
use crate::registry::window::Permit;
use crate::registry::{Error, Kind};

/// Longer pieces are cut.
const PIECE: usize = 256 << 10;
/// As often is a source opened again without having sent [`PROGRESS`] bytes in between.
const RESUMES: u32 = 5;
/// Less is no progress: who sends a few bytes each time sends nothing.
const PROGRESS: u64 = 64 << 10;
/// So long a destination may hold up others that wait for more, until it has to read on its own.
const GRACE: Duration = Duration::from_millis(500);
/// So long a source is kept open, or its place, for those who have not begun to take anything: it may be what others wait for.
const PARK: Duration = Duration::from_secs(5);
/// So long a source is kept open for those who have begun, and take nothing more. Who takes anything in that time is slow, and
/// not gone: to ask anew for each piece would be worse for everybody.
const STILL: Duration = Duration::from_mins(1);
/// So long those who can begin wait for those who cannot yet; then these are fed later, or read on their own.
const ASSEMBLY: Duration = Duration::from_secs(2);
/// Between two looks at whether others wait.
const GLANCE: Duration = Duration::from_millis(50);
/// A source that wants to be left alone for longer is given up.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// Where blobs come from.
pub(super) trait Source: Sync {
    /// A blob on its way.
    type Pieces: Pieces;
    /// As messages name it.
    fn host(&self) -> &str;
    /// As messages name what is read.
    fn repository(&self) -> &str;
    /// Opens `blob` at `offset`, from a `place` that was waited for before if there is one.
    fn open(
        &self,
        blob: &Descriptor,
        offset: u64,
        place: Option<Permit>,
    ) -> impl Future<Output = Result<Self::Pieces, Error>> + Send;
}

/// A blob on its way.
pub(super) trait Pieces: Send {
    /// Where the first piece stands.
    fn offset(&self) -> u64;
    /// The next piece; none at the end.
    fn next(&mut self) -> impl Future<Output = Result<Option<Bytes>, Error>> + Send;
}

/// How one reads.
pub(super) struct Reading<'a, S> {
    pub(super) source: &'a S,
    pub(super) blob: &'a Descriptor,
    pub(super) limiters: &'a [Arc<Limiter>],
    pub(super) patience: Patience,
    /// A place at the source that was waited for, for the first who reads.
    pub(super) place: Mutex<Option<Permit>>,
    /// Is told of bytes read.
    pub(super) on_read: &'a (dyn Fn(u64) + Sync),
}

/// One that is fed, and for how long it has kept the others waiting since it last had caught up.
struct Sink {
    feed: Arc<Feed>,
    behind: Duration,
}

struct Run<'a, S: Source> {
    reading: &'a Reading<'a, S>,
    sinks: Vec<Sink>,
    cursor: Cursor,
    stream: Option<S::Pieces>,
    /// Whether the source sends parts.
    has_ranges: bool,
    /// Openings without progress, and what was read since the last one.
    resumes: u32,
    since: u64,
}

impl<S: Source> Reading<'_, S> {
    /// Reads from `cursor` on to the end, for `feeds`. What goes wrong is told to them. Ends early when none of them takes
    /// anything any more.
    pub(super) async fn read(&self, cursor: Cursor, feeds: Vec<Arc<Feed>>) {
        let sinks = feeds.into_iter().map(|feed| Sink {
            feed,
            behind: Duration::ZERO,
        });
        let mut run = Run {
            reading: self,
            sinks: sinks.collect(),
            cursor,
            stream: None,
            has_ranges: true,
            resumes: 0,
            since: 0,
        };
        if let Err(error) = run.finish_reading().await {
            for sink in &run.sinks {
                sink.feed.fail(error.clone());
            }
        }
    }

    fn integrity(&self, cause: String) -> Error {
        Error::Integrity {
            host: self.source.host().to_owned(),
            what: format!("{}@{}", self.source.repository(), self.blob.digest),
            cause,
        }
    }
}

impl<S: Source> Run<'_, S> {
    async fn finish_reading(&mut self) -> Result<(), Error> {
        if self.reading.blob.size == 0 {
            // What is empty is not worth a request.
            return self.check().await;
        }
        let mut skip = 0;
        let mut clock = Clock::default();
        self.assemble().await;
        loop {
            self.sinks.retain(|sink| !sink.feed.is_closed());
            if self.sinks.is_empty() {
                return Ok(());
            }
            let Some(stream) = &mut self.stream else {
                self.wait_for_room().await;
                match self.open().await {
                    Ok(stream) => {
                        skip = self.cursor.offset.saturating_sub(stream.offset());
                        clock = Clock::default();
                        self.stream = Some(stream);
                    }
                    Err(error) => self.weigh(error).await?,
                }
                continue;
            };
            match clock.next(stream, self.reading.source.host()).await {
                Ok(Some(mut piece)) => {
                    let read = length(&piece);
                    let limiters = self.reading.limiters.iter();
                    join_all(limiters.map(|limiter| limiter.take(read))).await;
                    (self.reading.on_read)(read);
                    let skipped = skip.min(read);
                    skip -= skipped;
                    piece.advance(
                        usize::try_from(skipped)
                            .unwrap_or(usize::MAX)
                            .min(piece.len()),
                    );
                    self.since = self.since.saturating_add(read - skipped);
                    if self.take(piece).await? {
                        return Ok(());
                    }
                }
                Ok(None) => {
                    let cause = format!(
                        "it ends after {} of {} bytes",
                        self.cursor.offset, self.reading.blob.size
                    );
                    self.weigh(Error::Broken {
                        host: self.reading.source.host().to_owned(),
                        cause,
                    })
                    .await?;
                }
                Err(error) => self.weigh(error).await?,
            }
        }
    }

    async fn open(&mut self) -> Result<S::Pieces, Error> {
        let Reading { source, blob, .. } = self.reading;
        let wanted = if self.has_ranges {
            self.cursor.offset
        } else {
            0
        };
        let place = self.reading.place.lock().take();
        let stream = source.open(blob, wanted, place).await?;
        if stream.offset() > self.cursor.offset {
            let cause = format!("it begins at {}, not at {wanted}", stream.offset());
            return Err(self.reading.integrity(cause));
        }
        Ok(stream)
    }

    /// Whether to go on after `error`; waits where that helps.
    async fn weigh(&mut self, error: Error) -> Result<(), Error> {
        let was_open = self.stream.take().is_some();
        let asked = error.retry_after().unwrap_or_default();
        self.judge(error, was_open)?;
        // The first time at once: a connection that breaks off has most likely just reached its age.
        let wait = match self.resumes.checked_sub(1) {
            None | Some(0) => Duration::ZERO,
            Some(failed) => self.reading.patience.wait_after(failed),
        };
        tokio::time::sleep(wait.max(asked)).await;
        Ok(())
    }

    fn judge(&mut self, error: Error, was_open: bool) -> Result<(), Error> {
        if self.since >= PROGRESS {
            self.resumes = 0;
        }
        self.since = 0;
        self.resumes += 1;
        // Asked for the rest, it sends something else or nothing: it is read from the beginning, and what is known is left out.
        let is_about_the_part = !was_open
            && self.has_ranges
            && self.cursor.offset > 0
            && matches!(error.kind(), Kind::Protocol | Kind::Integrity);
        if is_about_the_part {
            self.has_ranges = false;
            return Ok(());
        }
        if is_passing(&error) && self.resumes <= RESUMES {
            Ok(())
        } else {
            Err(error)
        }
    }

    /// Hashes `piece` and gives it to everybody; true: that was the last one, and all is right.
    async fn take(&mut self, mut piece: Bytes) -> Result<bool, Error> {
        let size = self.reading.blob.size;
        while !piece.is_empty() {
            let part = piece.split_to(piece.len().min(PIECE));
            let before = self.cursor.clone();
            self.cursor.offset = self.cursor.offset.saturating_add(length(&part));
            self.cursor.hasher.update(&part);
            if self.cursor.offset >= size {
                if self.cursor.offset > size || !piece.is_empty() {
                    return Err(self.too_long());
                }
                self.check().await?;
            }
            self.give(before, &part).await;
        }
        Ok(self.cursor.offset == size)
    }

    /// All bytes are there: are they the right ones, and is there nothing more?
    async fn check(&mut self) -> Result<(), Error> {
        let found = self.cursor.hasher.clone().finish();
        if found != self.reading.blob.digest {
            let cause = format!("the bytes make {found}");
            return Err(self.reading.integrity(cause));
        }
        let Some(mut stream) = self.stream.take() else {
            return Ok(());
        };
        // What breaks now does not matter any more.
        match tokio::time::timeout(TICK, stream.next()).await {
            Ok(Ok(Some(_))) => Err(self.too_long()),
            Ok(Err(error)) if error.kind() == Kind::Integrity => Err(error),
            Ok(Ok(None) | Err(_)) | Err(_) => Ok(()),
        }
    }

    fn too_long(&self) -> Error {
        let size = self.reading.blob.size;
        self.reading
            .integrity(format!("it is longer than {size} bytes"))
    }

    /// Gives `part`, which begins where `before` stands, to every sink, or lets those go that hold up the others.
    async fn give(&mut self, before: Cursor, part: &Bytes) {
        let known = before.feed_from.saturating_sub(before.offset);
        let mut part = part.clone();
        part.advance(usize::try_from(known).unwrap_or(usize::MAX).min(part.len()));
        if part.is_empty() {
            return;
        }
        let mut index = 0;
        let (mut idle, mut taken) = (Duration::ZERO, self.taken());
        while let Some(sink) = self.sinks.get(index) {
            if sink.feed.is_starving() || sink.feed.is_closed() {
                self.caught_up(index);
            }
            let feed = match self.sinks.get(index) {
                Some(sink) => Arc::clone(&sink.feed),
                None => return,
            };
            if feed.give(&part) {
                feed.mark(self.cursor.offset, &self.cursor.hasher);
                index += 1;
                continue;
            }
            let begin = Instant::now();
            let others_wait = self.others_starve(index);
            // Elapsed or not, it is looked at again.
            tokio::time::timeout(GLANCE, feed.room()).await.ok();
            let now = self.taken();
            if now > taken {
                (idle, taken) = (Duration::ZERO, now);
            } else {
                idle += begin.elapsed();
            }
            let has_begun = self.sinks.iter().any(|sink| sink.feed.is_active());
            let most = if has_begun { STILL } else { PARK };
            if idle >= most && self.has_ranges {
                self.stream = None;
            }
            if others_wait && self.falls_behind(index, begin.elapsed()) {
                feed.detach(before.clone());
                self.sinks.remove(index);
            }
        }
    }

    /// How many bytes were taken, by all together.
    fn taken(&self) -> u64 {
        let taken = self.sinks.iter().map(|sink| sink.feed.taken());
        taken.fold(0, u64::saturating_add)
    }

    /// Waits until everybody can begin, but not for long where some can.
    async fn assemble(&self) {
        let begun = Instant::now();
        let mut first = None;
        while self.sinks.iter().any(|sink| sink.feed.is_awaited()) {
            let can_begin = |sink: &Sink| !sink.feed.is_awaited() && !sink.feed.is_closed();
            if self.sinks.iter().any(can_begin) {
                let first = *first.get_or_insert_with(Instant::now);
                if first.elapsed() >= ASSEMBLY {
                    return;
                }
            } else if begun.elapsed() >= PARK {
                self.reading.place.lock().take();
            }
            let rooms = self.sinks.iter().map(|sink| Box::pin(sink.feed.room()));
            let rooms = futures::future::select_all(rooms);
            tokio::time::timeout(GLANCE, rooms).await.ok();
        }
    }

    fn caught_up(&mut self, index: usize) {
        if let Some(sink) = self.sinks.get_mut(index) {
            sink.behind = Duration::ZERO;
        }
    }

    fn others_starve(&self, index: usize) -> bool {
        let mut others = self.sinks.iter().enumerate();
        others.any(|(other, sink)| other != index && sink.feed.is_starving())
    }

    /// Counts the time that the others waited for this one; true: it is too much.
    fn falls_behind(&mut self, index: usize, time: Duration) -> bool {
        self.sinks.get_mut(index).is_some_and(|sink| {
            sink.behind += time;
            sink.behind >= GRACE
        })
    }

    /// Waits until somebody can take something: a source is not opened to wait.
    async fn wait_for_room(&self) {
        while !self.sinks.iter().any(|sink| sink.feed.has_room()) {
            let rooms = self.sinks.iter().map(|sink| Box::pin(sink.feed.room()));
            futures::future::select_all(rooms).await;
        }
    }
}

/// Whether the same may work in a moment.
pub(super) fn is_passing(error: &Error) -> bool {
    match error.kind() {
        Kind::Transport | Kind::Unavailable => true,
        Kind::RateLimited => error.retry_after().is_none_or(|wait| wait <= LONGEST_WAIT),
        Kind::Authentication
        | Kind::Forbidden
        | Kind::NotFound
        | Kind::InvalidName
        | Kind::Certificate
        | Kind::Integrity
        | Kind::Protocol
        | Kind::Limit
        | Kind::Unsafe
        | Kind::Configuration => false,
    }
}

/// Watches over a source for as long as it is waited for: not while destinations are.
#[derive(Default)]
struct Clock {
    watch: Watch,
    waited: Duration,
    bytes: u64,
}

impl Clock {
    /// The next piece, unless it is a minute of drops.
    async fn next<P: Pieces>(
        &mut self,
        stream: &mut P,
        host: &str,
    ) -> Result<Option<Bytes>, Error> {
        let next = stream.next();
        futures::pin_mut!(next);
        loop {
            let begin = Instant::now();
            let left = TICK.saturating_sub(self.waited);
            if let Ok(piece) = tokio::time::timeout(left, &mut next).await {
                self.waited += begin.elapsed();
                if let Ok(Some(piece)) = &piece {
                    self.bytes = self.bytes.saturating_add(length(piece));
                }
                return piece;
            }
            self.waited = Duration::ZERO;
            if self.watch.look(std::mem::take(&mut self.bytes), true) {
                return Err(Error::Broken {
                    host: host.to_owned(),
                    cause: "less than 1 KiB/s came for a minute".to_owned(),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests;
