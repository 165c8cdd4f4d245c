//! The file of what is known to be where (`mirror::known`), in the user's state directory.
//!
//! A cache: whatever is wrong with the file, it is made anew, and no run fails for it. Two processes may use it at
//! once: each reads what the other wrote and adds its own, under a lock that is held only for that. Must not know
//! what the bytes mean.

mod keep;

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use crate::mirror::known::Known;

pub use keep::Kept;

/// A longer file is none of ours.
const MOST_BYTES: u64 = 256 << 20;

const FILE: &str = "mirror.known";
const TEMPORARY: &str = "mirror.known.new";
const LOCK: &str = "mirror.lock";

/// Another process holds the lock for the time of one write; so many times so long is waited for it.
const LOCK_TRIES: u32 = 200;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// Why the state cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory is not there, and cannot be made.
    #[error("failed to make the state directory {}", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file could not be read or written.
    #[error("failed to {attempt} {}", path.display())]
    File {
        /// What was tried.
        attempt: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Somebody holds the lock and does not let go.
    #[error("another process keeps {} locked", path.display())]
    Locked {
        /// The lock.
        path: PathBuf,
    },
    /// More is known than a file may hold.
    #[error("what is known takes {bytes} bytes, more than {MOST_BYTES}, the limit")]
    TooLong {
        /// How much.
        bytes: usize,
    },
}

/// Where the state is kept.
#[derive(Debug)]
pub struct State {
    directory: PathBuf,
    /// What was in the file when it was read or written last: what differs from that is another process's.
    seen: Mutex<Option<[u8; 32]>>,
}

/// A state, and what was in it.
#[derive(Debug)]
pub struct Opened {
    /// Where it is kept.
    pub state: State,
    /// What is known.
    pub known: Known,
    /// Why what was there is not used, where it is not.
    pub warning: Option<String>,
}

/// What a file is good for.
enum Content {
    Absent,
    Useless(String),
    Bytes(Vec<u8>),
}

/// `$XDG_STATE_HOME/tagscope`, or `~/.local/state/tagscope`; none without a home. `variable` finds a variable of the environment.
pub fn default_directory(variable: impl Fn(&str) -> Option<std::ffi::OsString>) -> Option<PathBuf> {
    let path = |name| {
        variable(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let base = path("XDG_STATE_HOME").or_else(|| Some(path("HOME")?.join(".local/state")));
    Some(base?.join("tagscope"))
}

impl State {
    /// Opens the state in `directory`, which is made where it is not there.
    ///
    /// # Errors
    /// When the directory or the file cannot be used at all. A file that makes no sense is none of these.
    pub fn open(directory: &Path) -> Result<Opened, Error> {
        let state = Self {
            directory: directory.to_owned(),
            seen: Mutex::new(None),
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|source| Error::Directory {
                path: directory.to_owned(),
                source,
            })?;
        let path = state.path(FILE);
        let (known, useless) = match state.read()? {
            Content::Absent => (Known::default(), None),
            Content::Useless(why) => (Known::default(), Some(why)),
            Content::Bytes(bytes) => match Known::decode(&bytes) {
                Ok(known) => {
                    *state.seen.lock() = Some(Sha256::digest(&bytes).into());
                    (known, None)
                }
                Err(error) => (Known::default(), Some(error.to_string())),
            },
        };
        let warning = useless.map(|why| {
            let path = path.display();
            format!("{path} is not used, and will be made anew: {why}")
        });
        Ok(Opened {
            state,
            known,
            warning,
        })
    }

    /// Writes what is known, and takes in what another process has written since this one looked. Blocks for the time of
    /// one read and one write.
    ///
    /// # Errors
    /// When it cannot be written: what was there before stays as it is.
    pub fn save(&self, known: &Known) -> Result<(), Error> {
        let _held = self.lock()?;
        let mut seen = self.seen.lock();
        if let Content::Bytes(bytes) = self.read()?
            && *seen != Some(Sha256::digest(&bytes).into())
            && let Ok(other) = Known::decode(&bytes)
        {
            known.merge(&other);
        }
        let bytes = known.encode();
        if u64::try_from(bytes.len()).is_ok_and(|length| length > MOST_BYTES) {
            return Err(Error::TooLong { bytes: bytes.len() });
        }
        let temporary = self.path(TEMPORARY);
        let written = open_own(&temporary, true).and_then(|mut file| {
            file.write_all(&bytes)?;
            file.sync_all()
        });
        written.map_err(|source| failed("write", &temporary, source))?;
        let path = self.path(FILE);
        std::fs::rename(&temporary, &path).map_err(|source| failed("replace", &path, source))?;
        *seen = Some(Sha256::digest(&bytes).into());
        Ok(())
    }

    fn path(&self, file: &str) -> PathBuf {
        self.directory.join(file)
    }

    fn read(&self) -> Result<Content, Error> {
        let path = self.path(FILE);
        let read = |source| failed("read", &path, source);
        // What is no file may never end, or not even begin.
        match std::fs::metadata(&path) {
            Ok(found) if found.is_file() => {}
            Ok(_) => return Ok(Content::Useless("it is no file".to_owned())),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Content::Absent),
            Err(error) => return Err(read(error)),
        }
        let file = File::open(&path).map_err(read)?;
        let mut bytes = Vec::new();
        file.take(MOST_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(read)?;
        if u64::try_from(bytes.len()).is_ok_and(|length| length > MOST_BYTES) {
            return Ok(Content::Useless(format!(
                "it is longer than {MOST_BYTES} bytes"
            )));
        }
        Ok(Content::Bytes(bytes))
    }

    /// Held until it is dropped.
    fn lock(&self) -> Result<File, Error> {
        let path = self.path(LOCK);
        let file = open_own(&path, false).map_err(|source| failed("open", &path, source))?;
        for _ in 0..LOCK_TRIES {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
                Err(TryLockError::Error(source)) => return Err(failed("lock", &path, source)),
            }
        }
        Err(Error::Locked { path })
    }
}

/// Opens a file for writing that nobody else may read.
fn open_own(path: &Path, truncate: bool) -> std::io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(truncate)
        .mode(0o600)
        .open(path)
}

fn failed(attempt: &'static str, path: &Path, source: std::io::Error) -> Error {
    Error::File {
        attempt,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests;
