//! The file of what is known to be where (`mirror::known`), in the user's state directory; beside it `ledger` keeps what may be
//! deleted.
//!
//! A cache: whatever is wrong with the file, it is set aside and made anew, and no run fails for it. Two processes may use it at
//! once: each reads what the other wrote and adds its own, under a lock that is held only for that. Must not know
//! what the bytes mean.

mod keep;
mod ledger;

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::mirror::known::Known;

pub use keep::Kept;
pub use ledger::LedgerFile;

/// A longer file is none of ours.
const MOST_BYTES: u64 = 256 << 20;

const FILE: &str = "mirror.known";
/// What made no sense; the last one is kept, for whoever wants to know why.
const BAD: &str = "mirror.known.bad";
const TEMPORARY: &str = "mirror.known.new";
const LOCK: &str = "mirror.lock";

/// By what this state is told from others.
const ID: &str = "mirror.id";
const ID_TEMPORARY: &str = "mirror.id.new";

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
    /// What is there in its place is no directory.
    #[error("the state directory {} is no directory", path.display())]
    NoDirectory {
        /// Which.
        path: PathBuf,
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

impl Error {
    /// Whether another directory would do: this one is none, or may not be used. Else something is wrong with the machine, or
    /// somebody is in the way.
    pub fn is_wrong_place(&self) -> bool {
        match self {
            Self::NoDirectory { .. } => true,
            Self::Directory { source, .. } => {
                source.kind() == ErrorKind::NotFound || is_refused(source)
            }
            Self::File { source, .. } => is_refused(source),
            Self::Locked { .. } | Self::TooLong { .. } => false,
        }
    }
}

fn is_refused(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::PermissionDenied
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::NotADirectory
            | ErrorKind::IsADirectory
            | ErrorKind::AlreadyExists
            | ErrorKind::InvalidFilename
            | ErrorKind::InvalidInput
    )
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

/// What is in a state that is left as it is.
#[derive(Debug)]
pub struct Peeked {
    /// What is known.
    pub known: Known,
    /// Why what is there is not used, where it is not.
    pub warning: Option<String>,
}

/// What a file is good for.
#[expect(clippy::large_enum_variant, reason = "made once for each read")]
enum Content {
    Absent,
    Useless(String),
    /// What was seen before.
    Seen,
    Known(Known, [u8; 32]),
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
    /// Opens the state in `directory`, which is made where it is not there. A file that makes no sense is set aside; that waits
    /// for whoever holds the lock.
    ///
    /// # Errors
    /// When the directory or the file cannot be used at all. A file that makes no sense is none of these.
    pub fn open(directory: &Path) -> Result<Opened, Error> {
        let state = Self::at(directory);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|source| match std::fs::metadata(directory) {
                Ok(found) if !found.is_dir() => Error::NoDirectory {
                    path: directory.to_owned(),
                },
                Ok(_) | Err(_) => Error::Directory {
                    path: directory.to_owned(),
                    source,
                },
            })?;
        // What may not be written is told before all the work is done.
        drop(state.lock_file()?);
        let (known, warning) = match state.read(None)? {
            Content::Absent | Content::Seen => (Known::default(), None),
            Content::Known(known, digest) => {
                *state.seen.lock() = Some(digest);
                (known, None)
            }
            Content::Useless(why) => state.reopen(&why)?,
        };
        Ok(Opened {
            state,
            known,
            warning,
        })
    }

    /// What is known in `directory`, if there is one. Nothing is made, moved or locked.
    ///
    /// # Errors
    /// When it is there and cannot be read at all.
    pub fn peek(directory: &Path) -> Result<Peeked, Error> {
        let nothing = |warning| Peeked {
            known: Known::default(),
            warning,
        };
        match std::fs::metadata(directory) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => {
                return Err(Error::NoDirectory {
                    path: directory.to_owned(),
                });
            }
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(nothing(None)),
            Err(source) => return Err(failed("read", directory, source)),
        }
        let state = Self::at(directory);
        Ok(match state.read(None)? {
            Content::Absent | Content::Seen => nothing(None),
            Content::Known(known, _) => Peeked {
                known,
                warning: None,
            },
            Content::Useless(why) => {
                let path = state.path(FILE);
                nothing(Some(format!("{} is not used: {why}", path.display())))
            }
        })
    }

    fn at(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            seen: Mutex::new(None),
        }
    }

    /// Looks again at what made no sense, when nobody writes it, and sets it aside.
    fn reopen(&self, why: &str) -> Result<(Known, Option<String>), Error> {
        let _held = match self.lock() {
            Ok(held) => held,
            Err(error @ Error::Locked { .. }) => {
                let path = self.path(FILE);
                let warning = format!(
                    "{} is not used, and will be made anew: {why}; {error}",
                    path.display()
                );
                return Ok((Known::default(), Some(warning)));
            }
            Err(error) => return Err(error),
        };
        Ok(match self.read(None)? {
            Content::Absent | Content::Seen => (Known::default(), None),
            Content::Known(known, digest) => {
                *self.seen.lock() = Some(digest);
                (known, None)
            }
            Content::Useless(why) => (Known::default(), Some(self.set_aside(&why))),
        })
    }

    /// Keeps what makes no sense under another name, and says so. Only under the lock.
    fn set_aside(&self, why: &str) -> String {
        let (path, bad) = (self.path(FILE), self.path(BAD));
        let kept = match std::fs::rename(&path, &bad) {
            Ok(()) => format!("it is kept as {}", bad.display()),
            Err(error) => format!("it could not be kept as {}: {error}", bad.display()),
        };
        format!(
            "{} is not used, and will be made anew: {why}; {kept}",
            path.display()
        )
    }

    /// Writes what is known, and takes in what another process has written since this one looked. Blocks for the time of
    /// one read and one write. Says so when what was there made no sense, and was set aside.
    ///
    /// # Errors
    /// When it cannot be written: what was there before stays as it is.
    pub fn save(&self, known: &Known) -> Result<Option<String>, Error> {
        let _held = self.lock()?;
        let mut seen = self.seen.lock();
        let warning = match self.read(*seen)? {
            Content::Absent | Content::Seen => None,
            Content::Known(other, _) => {
                known.merge(&other);
                None
            }
            Content::Useless(why) => Some(self.set_aside(&why)),
        };
        let bytes = known.encode();
        if u64::try_from(bytes.len()).is_ok_and(|length| length > MOST_BYTES) {
            return Err(Error::TooLong { bytes: bytes.len() });
        }
        replace(&self.path(FILE), &self.path(TEMPORARY), &bytes)?;
        *seen = Some(Sha256::digest(&bytes).into());
        Ok(warning)
    }

    /// The name of this state, made when first asked for: what is kept elsewhere can say which state knows of it. Blocks.
    ///
    /// # Errors
    /// When there is none that can be read, and none can be written.
    pub fn id(&self) -> Result<Uuid, Error> {
        let _held = self.lock()?;
        let path = self.path(ID);
        let mut text = String::new();
        let read = File::open(&path).and_then(|file| file.take(64).read_to_string(&mut text));
        if read.is_ok()
            && let Ok(id) = text.trim().parse()
        {
            return Ok(id);
        }
        // One that cannot be read is as good as none: whoever knew it asks once more.
        let id = Uuid::new_v4();
        let text = format!("{id}\n");
        replace(&path, &self.path(ID_TEMPORARY), text.as_bytes())?;
        Ok(id)
    }

    fn path(&self, file: &str) -> PathBuf {
        self.directory.join(file)
    }

    /// What is in the file, which is not decoded when it is what was `seen`.
    fn read(&self, seen: Option<[u8; 32]>) -> Result<Content, Error> {
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
        let digest = Sha256::digest(&bytes).into();
        if seen == Some(digest) {
            return Ok(Content::Seen);
        }
        Ok(match Known::decode(&bytes) {
            Ok(known) => Content::Known(known, digest),
            Err(error) => Content::Useless(error.to_string()),
        })
    }

    fn lock_file(&self) -> Result<File, Error> {
        let path = self.path(LOCK);
        open_own(&path, false).map_err(|source| failed("open", &path, source))
    }

    /// Held until it is dropped.
    fn lock(&self) -> Result<File, Error> {
        held(self.lock_file()?, &self.path(LOCK))
    }
}

/// The lock `file` at `path`, held until it is dropped.
fn held(file: File, path: &Path) -> Result<File, Error> {
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(source)) => return Err(failed("lock", path, source)),
        }
    }
    Err(Error::Locked {
        path: path.to_owned(),
    })
}

/// Puts `bytes` in the place of the file at `path`, whole or not at all.
fn replace(path: &Path, temporary: &Path, bytes: &[u8]) -> Result<(), Error> {
    let written = open_own(temporary, true).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(|source| failed("write", temporary, source))?;
    std::fs::rename(temporary, path).map_err(|source| failed("replace", path, source))
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
