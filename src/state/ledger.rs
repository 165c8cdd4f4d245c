//! The file of what may be deleted (`mirror::ledger`), beside that of what is known.
//!
//! No cache, but safe to lose. One process's at a time, for as long as it decides and deletes. What the bytes mean is not known here.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use super::{Error, State, failed, held, open_own, replace};

/// A longer file is none of ours.
const MOST_BYTES: u64 = 64 << 20;

const FILE: &str = "mirror.ledger";
/// What made no sense; the last one is kept, for whoever wants to know what was owned.
const BAD: &str = "mirror.ledger.bad";
const TEMPORARY: &str = "mirror.ledger.new";
const LOCK: &str = "mirror.ledger.lock";

/// The file, held.
#[derive(Debug)]
pub struct LedgerFile {
    directory: PathBuf,
    _lock: File,
}

impl LedgerFile {
    /// Opens it, and answers what is in it; waits for a process that has it, and not for long. Blocks.
    ///
    /// # Errors
    /// When it cannot be read, or another process keeps it.
    pub fn open(state: &State) -> Result<(Self, Option<Vec<u8>>), Error> {
        let path = state.path(LOCK);
        let lock = open_own(&path, false).map_err(|source| failed("open", &path, source))?;
        let file = Self {
            directory: state.directory.clone(),
            _lock: held(lock, &path)?,
        };
        let bytes = file.read()?;
        Ok((file, bytes))
    }

    /// Whether there is one.
    pub fn is_in(state: &State) -> bool {
        state.path(FILE).exists()
    }

    /// Writes it anew. Blocks.
    ///
    /// # Errors
    /// When it cannot be written: what was there before stays as it is.
    pub fn write(&self, bytes: &[u8]) -> Result<(), Error> {
        replace(&self.path(), &self.directory.join(TEMPORARY), bytes)
    }

    /// Keeps what made no sense under another name, which it answers. Blocks.
    ///
    /// # Errors
    /// When that does not work: then it stays where it is.
    pub fn set_aside(&self) -> Result<PathBuf, Error> {
        let bad = self.directory.join(BAD);
        let path = self.path();
        std::fs::rename(&path, &bad).map_err(|source| failed("set aside", &path, source))?;
        Ok(bad)
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.directory.join(FILE)
    }

    fn read(&self) -> Result<Option<Vec<u8>>, Error> {
        let path: &Path = &self.path();
        let read = |source| failed("read", path, source);
        // What is no file may never end; no ledger reads as nothing does.
        match std::fs::metadata(path) {
            Ok(found) if found.is_file() => {}
            Ok(_) => return Ok(Some(Vec::new())),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(read(error)),
        }
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(read)?;
        file.take(MOST_BYTES)
            .read_to_end(&mut bytes)
            .map_err(read)?;
        Ok(Some(bytes))
    }
}
