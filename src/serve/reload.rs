//! `--tls-cert-file` and `--tls-private-key-file`: read at the start, and followed while the program runs.
//!
//! The files are read again at every look, not watched: Kubernetes swaps the directory behind a mounted Secret by a
//! symbolic link, which file watches miss. A pair that does not serve never replaces one that does.

use std::fmt;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::SignedDuration;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::{Certificates, KeyPair, certificates};
use crate::clock::SharedClock;

/// How often the files are looked at. New certificates must be in use within a minute.
pub const PERIOD: Duration = Duration::from_secs(15);
const WARN_BEFORE: SignedDuration = SignedDuration::from_hours(14 * 24);
const FILE_BYTES: u64 = 1 << 20;

/// Why the files do not give a serving certificate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file is missing or unreadable.
    #[error("failed to read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file is far too big to be what it should be.
    #[error("failed to read {path}: it is larger than {FILE_BYTES} bytes")]
    TooBig {
        /// The file.
        path: PathBuf,
    },
    /// The content of one of them is not what it should be.
    #[error("failed to use {path}: {source}")]
    Content {
        /// The file.
        path: PathBuf,
        /// The cause; its text is in this one's, because it is about this file.
        #[source]
        source: certificates::Error,
    },
    /// Both are fine but do not belong together.
    #[error(
        "failed to use {certificate} with {key}: the private key does not belong to the certificate"
    )]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
}

/// The two files.
#[derive(Debug, Clone)]
pub struct Files {
    /// The certificate chain, PEM, the leaf first.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
}

/// The text of both files at one moment.
#[derive(PartialEq, Eq)]
struct Texts {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl fmt::Debug for Texts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Texts(..)")
    }
}

/// A serving certificate that follows its files.
#[derive(Debug)]
pub struct Follower {
    files: Files,
    certificates: Certificates,
    clock: SharedClock,
    seen: Texts,
    failures: Arc<AtomicU64>,
}

impl Follower {
    /// Reads the files now, and gives `certificates` what they hold.
    ///
    /// # Errors
    /// Which file, and what is wrong with it: the program must not start with it.
    pub fn load(
        files: Files,
        certificates: Certificates,
        clock: SharedClock,
    ) -> Result<Self, Error> {
        let seen = read(&files)?;
        certificates.replace(pair(&files, &seen)?);
        Ok(Self {
            files,
            certificates,
            clock,
            seen,
            failures: Arc::default(),
        })
    }

    /// Counts into `failures` how many looks found files that do not serve; for a metric.
    #[must_use]
    pub fn counting(mut self, failures: Arc<AtomicU64>) -> Self {
        self.failures = failures;
        self
    }

    /// Looks at the files every `period` until `stop`, and takes over what is new and good.
    pub async fn follow(mut self, period: Duration, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut complaint = None;
        let mut warned = None;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            match self.look() {
                Ok(true) => {
                    complaint = None;
                    tracing::info!(not_after = ?self.certificates.not_after(), "Serving certificate replaced");
                }
                Ok(false) => complaint = None,
                Err(error) => {
                    self.failures.fetch_add(1, Ordering::Relaxed);
                    let text = error.to_string();
                    if complaint.as_ref() != Some(&text) {
                        tracing::error!(
                            error = &error as &dyn std::error::Error,
                            "Serving certificate not reloaded, the previous one stays"
                        );
                        complaint = Some(text);
                    }
                }
            }
            let not_after = self.certificates.not_after();
            let ends_soon =
                not_after.is_some_and(|end| self.clock.now().duration_until(end) < WARN_BEFORE);
            if ends_soon && warned != not_after {
                tracing::warn!(?not_after, "Serving certificate ends soon");
                warned = not_after;
            }
        }
    }

    /// One look; true when a new pair was taken over.
    fn look(&mut self) -> Result<bool, Error> {
        let texts = read(&self.files)?;
        if texts == self.seen {
            return Ok(false);
        }
        self.certificates.replace(pair(&self.files, &texts)?);
        self.seen = texts;
        Ok(true)
    }
}

/// Two small local files: not worth leaving the thread for.
fn read(files: &Files) -> Result<Texts, Error> {
    Ok(Texts {
        certificate: read_file(&files.certificate)?,
        key: read_file(&files.key)?,
    })
}

fn read_file(path: &Path) -> Result<Vec<u8>, Error> {
    let failed = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    let mut text = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(FILE_BYTES.saturating_add(1))
        .read_to_end(&mut text)
        .map_err(failed)?;
    if text.len() as u64 > FILE_BYTES {
        return Err(Error::TooBig {
            path: path.to_owned(),
        });
    }
    Ok(text)
}

fn pair(files: &Files, texts: &Texts) -> Result<KeyPair, Error> {
    KeyPair::from_pem(&texts.certificate, &texts.key).map_err(|source| match source {
        certificates::Error::Mismatch => Error::Mismatch {
            certificate: files.certificate.clone(),
            key: files.key.clone(),
        },
        certificates::Error::Certificate | certificates::Error::Malformed => Error::Content {
            path: files.certificate.clone(),
            source,
        },
        certificates::Error::Key | certificates::Error::Unusable(_) => Error::Content {
            path: files.key.clone(),
            source,
        },
    })
}

#[cfg(test)]
mod tests;
