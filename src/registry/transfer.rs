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
use super::upload::Session;
use crate::image::Hasher;
use crate::mirror::document::Descriptor;
use deliver::Delivery;
use feed::{Cursor, Feed, Hold};
use reader::{Pieces, Reading, Source};

pub use limiter::Limiter;

/// Where a blob goes.
#[derive(Debug)]
pub struct Target {
    /// The repository.
    pub remote: Remote,
    /// The upload that has begun there.
    pub session: Session,
}

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
    let results = transfer_blaming(source, blob, targets, rates, meter).await;
    let results = results.into_iter();
    results
        .map(|result| result.map_err(|(_, error)| error))
        .collect()
}

/// As [`transfer`], and whose error it was.
pub(super) async fn transfer_blaming(
    source: &Remote,
    blob: &Descriptor,
    targets: Vec<Target>,
    rates: &[Arc<Limiter>],
    meter: &dyn Meter,
) -> Vec<Result<(), (Side, Error)>> {
    let on_read = |bytes| meter.read(bytes);
    let reading = Reading {
        source,
        blob,
        limiters: rates,
        patience: source.inner().settings.copying.patience,
        on_read: &on_read,
    };
    let mut feeds = Vec::new();
    let mut deliveries = Vec::new();
    for (index, target) in targets.into_iter().enumerate() {
        let feed = Feed::new();
        feeds.push(Arc::clone(&feed));
        let hold = Hold(feed);
        let delivery = Delivery {
            index,
            remote: target.remote,
            reading: &reading,
            meter,
        };
        deliveries.push(delivery.deliver(target.session, hold));
    }
    let read = reading.read(Cursor::begin(blob), feeds);
    let deliveries = join_all(deliveries);
    futures::pin_mut!(read, deliveries);
    match select(read, deliveries).await {
        Either::Left(((), deliveries)) => deliveries.await,
        Either::Right((results, _)) => results,
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

    async fn open(&self, blob: &Descriptor, offset: u64) -> Result<BlobStream, Error> {
        self.open_blob(blob, offset).await
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
