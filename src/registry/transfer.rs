//! One blob from a source to one or several destinations at once: read once, hashed on the way, never on disk.
//!
//! Pieces go through a bounded queue (1 MiB) for each destination; a destination that lags behind by more is taken off
//! and reads on its own. A source that breaks off is asked for the rest (`Range`) and the same hash goes on. A wrong digest or length
//! is noticed before the upload is ended, so that nothing wrong is ever committed. Memory: below 2 MiB a stream.

use super::Error;
use super::remote::Remote;
use super::upload::Session;
use crate::mirror::document::Descriptor;

/// Where a blob goes.
#[derive(Debug)]
pub struct Target {
    /// The repository.
    pub remote: Remote,
    /// The upload that has begun there.
    pub session: Session,
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

/// Copies `blob` from `source` to every target; one result for each, in their order. `rate` holds it back (bytes per second, for all
/// transfers that share the limiter).
pub async fn transfer(
    _source: &Remote,
    _blob: &Descriptor,
    _targets: Vec<Target>,
    _rate: Option<&Limiter>,
    _meter: &dyn Meter,
) -> Vec<Result<(), Error>> {
    todo!()
}

/// A bandwidth for all who share it.
#[derive(Debug)]
pub struct Limiter {}

impl Limiter {
    /// So many bytes per second.
    pub fn new(_bytes_per_second: u64) -> Self {
        todo!()
    }
}
