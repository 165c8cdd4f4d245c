//! One blob from a source to one or several destinations at once: read once, hashed on the way, never on disk.
//!
//! Pieces go through a bounded queue (1 MiB) for each destination; a destination that lags behind by more is taken off
//! and reads on its own. A source that breaks off is asked for the rest (`Range`) and the same hash goes on. A wrong digest or length
//! is noticed before the upload is ended, so that nothing wrong is ever committed. Memory: below 2 MiB a stream.

mod deliver;
mod feed;
mod limiter;
mod reader;
mod watch;

use std::sync::Arc;

use bytes::Bytes;
use futures::future::{Either, join_all, select};

use super::Error;
use super::remote::{BlobStream, Remote};
use super::upload::{Open, Session};
use super::window::Permit;
use crate::image::Hasher;
use crate::mirror::document::Descriptor;
use deliver::Delivery;
use feed::{Cursor, Feed, Hold};
use reader::{Pieces, Reading, Source};

pub use limiter::Limiter;

/// Where a blob goes.
#[derive(Debug)]
pub struct Target {
    remote: Remote,
    /// The upload that has begun there; none: it is begun when there is something to read, and nobody waits longer for that
    /// than a moment.
    session: Option<Session>,
    /// Where it is open then.
    open: Open,
}

impl Target {
    /// `remote`, where an upload is still to be begun.
    pub fn new(remote: Remote) -> Self {
        Self {
            remote,
            session: None,
            open: Open::default(),
        }
    }

    /// `remote`, where `session` has begun.
    pub fn begun(remote: Remote, session: Session) -> Self {
        Self {
            remote,
            open: session.open().clone(),
            session: Some(session),
        }
    }

    /// For whoever has to give up what is open there, while it is used.
    pub(super) fn open(&self) -> (Remote, Open) {
        (self.remote.clone(), self.open.clone())
    }

    fn has_begun(&self) -> bool {
        self.session.is_some()
    }
}

/// How it went to one target, and whose the error was.
pub(super) type Delivered = Result<(), (Side, Error)>;

/// Which end an error is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Where the blob is read.
    Source,
    /// Where it is written.
    Destination,
}

/// Is told of bytes.
pub trait Meter: std::fmt::Debug + Send + Sync {
    /// So many more bytes of the blob were read from the source.
    fn read(&self, bytes: u64);
    /// So many more bytes were taken by destination number `target`.
    fn written(&self, target: usize, bytes: u64);
    /// What was counted for `target` (none: for the source) since its beginning is to be done again.
    fn again(&self, target: Option<usize>);
}

/// Copies `blob` from `source` to every target; one result for each, in their order. Each of `rates` holds it back (bytes per
/// second, for all transfers that share the limiter).
pub async fn transfer(
    source: &Remote,
    blob: &Descriptor,
    targets: Vec<Target>,
    rates: &[Arc<Limiter>],
    meter: &dyn Meter,
) -> Vec<Result<(), Error>> {
    let untold = Error::Setup {
        cause: "a transfer was not told of".to_owned(),
    };
    let results = parking_lot::Mutex::new(vec![Err(untold); targets.len()]);
    let on_end = |index: usize, delivered: Delivered| {
        let result = delivered.map_err(|(_, error)| error);
        if let Some(slot) = results.lock().get_mut(index) {
            *slot = result;
        }
    };
    transfer_telling(source, blob, targets, rates, meter, &on_end).await;
    results.into_inner()
}

/// As [`transfer`]; each target is told of as soon as it is done with, by its number, and whose the error was.
pub(super) async fn transfer_telling(
    source: &Remote,
    blob: &Descriptor,
    targets: Vec<Target>,
    rates: &[Arc<Limiter>],
    meter: &dyn Meter,
    on_end: &(dyn Fn(usize, Delivered) + Sync),
) {
    let on_read = |bytes| meter.read(bytes);
    // Uploads are begun when they can go on.
    let place = if blob.size > 0 && !targets.iter().any(Target::has_begun) {
        Some(source.place_to_read().await)
    } else {
        None
    };
    let reading = Reading {
        source,
        blob,
        limiters: rates,
        patience: source.inner().settings.copying.patience,
        place: parking_lot::Mutex::new(place),
        on_read: &on_read,
    };
    let mut feeds = Vec::new();
    let mut deliveries = Vec::new();
    for (index, target) in targets.into_iter().enumerate() {
        let feed = if target.has_begun() {
            Feed::new()
        } else {
            Feed::awaited()
        };
        feeds.push(Arc::clone(&feed));
        let hold = Hold(feed);
        let delivery = Delivery {
            index,
            remote: target.remote,
            open: target.open,
            reading: &reading,
            meter,
        };
        deliveries.push(async move {
            let delivered = delivery.deliver(target.session, hold).await;
            on_end(index, delivered);
        });
    }
    let read = reading.read(Cursor::begin(blob), feeds);
    let deliveries = join_all(deliveries);
    futures::pin_mut!(read, deliveries);
    if let Either::Left(((), deliveries)) = select(read, deliveries).await {
        deliveries.await;
    }
}

impl Cursor {
    /// The beginning of `blob`.
    fn begin(blob: &Descriptor) -> Self {
        Self {
            offset: 0,
            hasher: Hasher::new(blob.digest.algorithm()),
            feed_from: 0,
        }
    }
}

impl Source for Remote {
    type Pieces = BlobStream;

    fn host(&self) -> &str {
        self.api_host()
    }

    fn repository(&self) -> &str {
        Self::repository(self).path()
    }

    async fn open(
        &self,
        blob: &Descriptor,
        offset: u64,
        place: Option<Permit>,
    ) -> Result<BlobStream, Error> {
        self.open_blob_from(blob, offset, place).await
    }
}

impl Pieces for BlobStream {
    fn offset(&self) -> u64 {
        self.offset
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        Self::next(self).await
    }
}
