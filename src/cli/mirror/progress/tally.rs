//! What has happened, counted, and what that makes of the rest. Pure: told the time, and shows nothing.
//!
//! What is planned is an upper bound (a blob may turn out to be there, or to be mounted), and so is the time that is left; both
//! are called that.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::cli::mirror::figures;
use crate::image::Digest;
use crate::mirror::outcome::Outcome;
use crate::registry::copy::{Estimate, Event};

/// The rate is that of so many last seconds.
const WINDOW: Duration = Duration::from_secs(10);
/// Before that there is no rate worth a name.
const LEAST: Duration = Duration::from_secs(2);

/// A blob on its way.
#[derive(Debug, Clone)]
pub(super) struct Blob {
    pub(super) name: String,
    pub(super) size: u64,
    pub(super) written: u64,
}

/// What has happened until now.
#[derive(Debug, Default)]
pub(super) struct Tally {
    planned: Estimate,
    /// That are there, or on their way.
    written: u64,
    /// All that crossed the network, those in vain as well.
    moved: u64,
    /// In the order in which they began.
    open: BTreeMap<u64, Blob>,
    written_images: u64,
    tags: u64,
    troubles: u64,
    /// When, and how much had moved then.
    samples: VecDeque<(Duration, u64)>,
}

impl Tally {
    /// Takes an event in.
    pub(super) fn note(&mut self, event: &Event<'_>) {
        match event {
            Event::Planned(estimate) => self.planned = *estimate,
            Event::BlobBegan {
                id,
                digest,
                size,
                to,
            } => {
                let name = format!("{} {}", short(digest), to.path());
                let blob = Blob {
                    name,
                    size: *size,
                    written: 0,
                };
                self.open.insert(*id, blob);
            }
            Event::BlobBytes { id, bytes } => {
                self.written += bytes;
                self.moved += bytes;
                if let Some(blob) = self.open.get_mut(id) {
                    blob.written += bytes;
                }
            }
            Event::BlobAgain { id } => {
                if let Some(blob) = self.open.get_mut(id) {
                    self.written = self.written.saturating_sub(blob.written);
                    blob.written = 0;
                }
            }
            Event::BlobEnded { id, is_there } => {
                if let Some(blob) = self.open.remove(id)
                    && !is_there
                {
                    self.written = self.written.saturating_sub(blob.written);
                }
            }
            Event::Differs { .. } | Event::Written(_) => {}
            Event::Tag(report) => {
                self.tags += 1;
                match &report.outcome {
                    Outcome::Copied => self.written_images += 1,
                    Outcome::Unchanged => {}
                    Outcome::Drifted { .. }
                    | Outcome::Immutable { .. }
                    | Outcome::Gone
                    | Outcome::NotBegun { .. }
                    | Outcome::Failed { .. } => self.troubles += 1,
                }
            }
        }
    }

    /// Notes how much has moved by `at`, for the rate.
    pub(super) fn sample(&mut self, at: Duration) {
        self.samples.push_back((at, self.moved));
        // One older than the window stays, so that the window is whole.
        while let Some((second, _)) = self.samples.get(1)
            && at.saturating_sub(*second) >= WINDOW
        {
            self.samples.pop_front();
        }
    }

    /// Blobs on their way.
    pub(super) fn open(&self) -> &BTreeMap<u64, Blob> {
        &self.open
    }

    /// Bytes that are there, and that are planned.
    pub(super) fn bytes(&self) -> (u64, u64) {
        (self.written, self.planned.bytes_written.max(self.written))
    }

    /// Bytes per second over the last seconds, once there is one.
    pub(super) fn rate(&self) -> Option<u64> {
        let ((from, before), (until, now)) = (self.samples.front()?, self.samples.back()?);
        let time = until.saturating_sub(*from);
        if time < LEAST {
            return None;
        }
        let per_second = u128::from(now - before) * 1000 / time.as_millis().max(1);
        u64::try_from(per_second).ok()
    }

    /// The longest that it may take from here at the present rate; none where there is no rate, or nothing left.
    pub(super) fn left(&self) -> Option<Duration> {
        let (written, planned) = self.bytes();
        let left = planned - written;
        let rate = self.rate().filter(|rate| *rate > 0)?;
        (left > 0).then(|| Duration::from_secs(left.div_ceil(rate)))
    }

    /// All of it in one line.
    pub(super) fn line(&self) -> String {
        let (written, planned) = self.bytes();
        let mut parts = vec![format!("{} done", figures::count(self.tags, "tag"))];
        let images = self.planned.images.max(self.written_images);
        if images > 0 {
            parts.push(format!("{} of {images} copied", self.written_images));
        }
        if self.troubles > 0 {
            parts.push(format!("{} not", self.troubles));
        }
        if planned > 0 {
            parts.push(format!(
                "{} of at most {}",
                figures::bytes(written),
                figures::bytes(planned)
            ));
        }
        if let Some(rate) = self.rate() {
            parts.push(format!("{}/s", figures::bytes(rate)));
        }
        if let Some(left) = self.left() {
            parts.push(format!("at most {} left", figures::time(left)));
        }
        parts.join(", ")
    }
}

/// `sha256:0123456789ab`
fn short(digest: &Digest) -> String {
    let hex = digest.hex();
    format!(
        "{}:{}",
        digest.algorithm().as_str(),
        hex.get(..12).unwrap_or(hex)
    )
}

#[cfg(test)]
mod tests;
