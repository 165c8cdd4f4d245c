//! The files under the storage path: which one is the database, and what happens to one that cannot be read.
//!
//! ```text
//! lock                                       held by the process that has the path
//! tags-<epoch>.redb                          the database
//! tags-<epoch>.redb.new                      one that is being begun; removed at the next start
//! tags-<epoch>.redb.aside-<date>             one that was set aside; the newest few are kept
//! ```
//! The epoch is in the name, so that a store can go above it even when nothing inside can be read.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{Database, ReadableDatabase as _, ReadableTable as _, StorageError, TableError};

use super::writer::{CEILING, CLEAN, Check, EPOCH, FORMAT, META, REPOSITORIES};
use super::{Loaded, RESERVE, record};
use crate::clock::Clock;
use crate::object::Key;
use crate::store::error::Cause;
use crate::store::version::MAX_EPOCH;
use crate::store::{Error, ResourceVersion};

/// How many files that were set aside are kept.
const KEEP_ASIDE: usize = 4;

/// The tags themselves are in memory: the database needs little of it.
const CACHE_BYTES: usize = 8 << 20;

/// Opens a database again after it failed.
pub(super) type Reopen = Box<dyn FnMut(Check) -> Result<Database, redb::Error> + Send>;

/// A database that is ready to be written, and the right to do so.
pub(super) struct Opened {
    /// The storage path.
    pub(super) path: PathBuf,
    /// Versions below are reserved.
    pub(super) ceiling: u64,
    pub(super) database: Option<Database>,
    pub(super) reopen: Reopen,
    /// Locked as long as it is open.
    pub(super) lock: Option<File>,
}

/// Why a database was not opened.
enum Unusable {
    /// It is damaged, of another layout, or foreign: it can be set aside.
    Content(String),
    /// The disk, or the right to use it, is missing: nothing would be won.
    Outside(Cause),
}

/// The database under `path` and its content; a new one when there is none that can be used.
pub(super) fn open(
    path: &Path,
    last_epoch: u64,
    clock: &dyn Clock,
) -> Result<(Opened, Loaded), Error> {
    let failed = |source: Cause| Error::Open {
        path: path.display().to_string(),
        source,
    };
    fs::create_dir_all(path).map_err(|error| failed(error.into()))?;
    let lock = lock(path)?;
    let Found {
        newest_epoch,
        databases,
    } = find(path).map_err(|error| failed(error.into()))?;
    let mut usable = None;
    for (epoch, file) in databases {
        let result = if usable.is_some() {
            Err(Unusable::Content("a newer one is there".to_owned()))
        } else if epoch < last_epoch {
            Err(Unusable::Content(format!(
                "its epoch {epoch} is older than {last_epoch}"
            )))
        } else {
            load(&file, epoch)
        };
        match result {
            Ok(found) => usable = Some((file, found)),
            Err(Unusable::Outside(source)) => return Err(failed(source)),
            Err(Unusable::Content(reason)) => {
                let aside = set_aside(&file, clock).map_err(|error| failed(error.into()))?;
                let (file, aside) = (file.display(), aside.display());
                tracing::warn!(%file, %aside, reason, "Set the tag store's file aside");
            }
        }
    }
    let (file, database, ceiling, loaded) = match usable {
        Some((file, (database, ceiling, loaded))) => (file, database, ceiling, loaded),
        None => begin(path, newest_epoch.max(last_epoch)).map_err(failed)?,
    };
    let epoch = ResourceVersion(loaded.position).epoch();
    tracing::info!(file = %file.display(), epoch, repositories = loaded.repositories.len(), "Opened the tag store");
    let reopen: Reopen = Box::new(move |check| {
        let mut builder = builder();
        builder.set_check_integrity_on_open(check == Check::Integrity);
        Ok(builder.open(&file)?)
    });
    Ok((
        Opened {
            path: path.to_owned(),
            ceiling,
            database: Some(database),
            reopen,
            lock: Some(lock),
        },
        loaded,
    ))
}

fn lock(path: &Path) -> Result<File, Error> {
    let display = || path.display().to_string();
    let open = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path.join("lock"));
    let file = open.map_err(|error| Error::Open {
        path: display(),
        source: error.into(),
    })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::InUse { path: display() }),
        Err(TryLockError::Error(error)) => Err(Error::Open {
            path: display(),
            source: error.into(),
        }),
    }
}

/// What is under a storage path.
struct Found {
    /// The newest epoch that any file is of, one set aside too; 0 when there is none.
    newest_epoch: u64,
    /// Newest first.
    databases: Vec<(u64, PathBuf)>,
}

/// Looks around, and clears what an unfinished start and many misfortunes left behind.
fn find(path: &Path) -> std::io::Result<Found> {
    let mut databases = Vec::new();
    let mut aside = Vec::new();
    for entry in fs::read_dir(path)? {
        let file = entry?.path();
        let Some((epoch, rest)) = file
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(parse_name)
        else {
            continue;
        };
        match rest {
            "" => databases.push((epoch, file)),
            ".new" => fs::remove_file(&file)?,
            _ => aside.push((epoch, file)),
        }
    }
    let newest_epoch = databases
        .iter()
        .chain(&aside)
        .map(|(epoch, _)| *epoch)
        .max()
        .unwrap_or(0);
    databases.sort_unstable_by(|a, b| b.cmp(a));
    aside.sort_unstable_by(|a, b| b.cmp(a));
    for (_, file) in aside.iter().skip(KEEP_ASIDE) {
        fs::remove_file(file)?;
    }
    Ok(Found {
        newest_epoch,
        databases,
    })
}

/// `tags-<epoch>.redb<rest>`.
fn parse_name(name: &str) -> Option<(u64, &str)> {
    let (epoch, rest) = name.strip_prefix("tags-")?.split_once(".redb")?;
    Some((
        epoch.parse().ok().filter(|epoch| *epoch <= MAX_EPOCH)?,
        rest,
    ))
}

fn set_aside(file: &Path, clock: &dyn Clock) -> std::io::Result<PathBuf> {
    let date = clock.now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let name = |again: u32| {
        let mut name = file.as_os_str().to_owned();
        name.push(if again == 0 {
            format!(".aside-{date}")
        } else {
            format!(".aside-{date}-{again}")
        });
        PathBuf::from(name)
    };
    // More than one in a second: the clock is young, or stands still.
    let aside = (0..100)
        .map(name)
        .find(|aside| !aside.exists())
        .unwrap_or_else(|| name(0));
    fs::rename(file, &aside)?;
    Ok(aside)
}

fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    // Damage is reported when the file is opened, not met later.
    builder
        .set_cache_size(CACHE_BYTES)
        .set_check_integrity_on_open(true);
    builder
}

/// A database in an epoch that no file under `path` has.
fn begin(path: &Path, known_epoch: u64) -> Result<(PathBuf, Database, u64, Loaded), Cause> {
    let epoch = known_epoch
        .checked_add(1)
        .filter(|epoch| *epoch <= MAX_EPOCH)
        .ok_or("no epoch is left")?;
    let file = path.join(format!("tags-{epoch}.redb"));
    let new = path.join(format!("tags-{epoch}.redb.new"));
    let position = ResourceVersion::start_of(epoch).0;
    let ceiling = position.checked_add(RESERVE).ok_or("no epoch is left")?;
    let database = builder().create(&new)?;
    let transaction = database.begin_write()?;
    {
        transaction.open_table(REPOSITORIES)?;
        let mut meta = transaction.open_table(META)?;
        meta.insert(FORMAT, record::FORMAT_VERSION)?;
        meta.insert(EPOCH, epoch)?;
        meta.insert(CEILING, ceiling)?;
    }
    transaction.commit()?;
    // It gets its name when it is whole, so that a kill in between leaves nothing to be taken for damage.
    fs::rename(&new, &file)?;
    File::open(path)?.sync_all()?;
    Ok((
        file,
        database,
        ceiling,
        Loaded {
            position,
            repositories: Vec::new(),
        },
    ))
}

/// Reads the database in `file`, and reserves the versions to go on with.
fn load(file: &Path, epoch: u64) -> Result<(Database, u64, Loaded), Unusable> {
    let database = builder().open(file).map_err(redb::Error::from)?;
    let (clean, reserved, repositories) = read(&database, epoch)?;
    // After an unclean stop any version below the ceiling may have been given, to content that was lost.
    let position = clean.unwrap_or(reserved);
    let ceiling = position
        .checked_add(RESERVE)
        .ok_or_else(|| Unusable::Content("its versions are used up".to_owned()))?;
    let ceiling = ceiling.max(reserved);
    reserve(&database, ceiling).map_err(|error| Unusable::Outside(error.into()))?;
    Ok((
        database,
        ceiling,
        Loaded {
            position,
            repositories,
        },
    ))
}

type Content = (Option<u64>, u64, Vec<Arc<crate::store::RepositoryTags>>);

fn read(database: &Database, epoch: u64) -> Result<Content, Unusable> {
    let content = |reason: &str| Unusable::Content(reason.to_owned());
    let transaction = database.begin_read().map_err(redb::Error::from)?;
    let meta = transaction.open_table(META)?;
    let number = |name: &str| -> Result<Option<u64>, Unusable> {
        Ok(meta.get(name)?.map(|value| value.value()))
    };
    match number(FORMAT)? {
        Some(record::FORMAT_VERSION | record::OLD_FORMAT_VERSION) => {}
        Some(other) => {
            return Err(Unusable::Content(format!(
                "its format is {other}, not {}",
                record::FORMAT_VERSION
            )));
        }
        None => return Err(content("it does not say its format")),
    }
    if number(EPOCH)? != Some(epoch) {
        return Err(content("its epoch is not the one in its name"));
    }
    let start = ResourceVersion::start_of(epoch).0;
    let ceiling = number(CEILING)?
        .filter(|ceiling| *ceiling > start)
        .ok_or_else(|| content("its ceiling is out of range"))?;
    let clean = number(CLEAN)?;
    if clean.is_some_and(|clean| clean < start || clean >= ceiling) {
        return Err(content("its last version is out of range"));
    }
    let given_below = clean.map_or(ceiling, |clean| clean + 1);
    let mut repositories = Vec::new();
    for entry in transaction.open_table(REPOSITORIES)?.iter()? {
        let (name, value) = entry?;
        let (namespace, name) = name.value();
        let key = Key::new(namespace, name);
        let tags = record::decode(value.value(), given_below).map_err(|malformed| {
            Unusable::Content(format!("in the record of {key}, {malformed}"))
        })?;
        if tags.owner.key != key {
            return Err(Unusable::Content(format!(
                "the record of {key} is of {}",
                tags.owner.key
            )));
        }
        repositories.push(Arc::new(tags));
    }
    Ok((clean, ceiling, repositories))
}

/// From here on the stop counts as unclean, until a clean one is noted; and records may be of the newest layout.
fn reserve(database: &Database, ceiling: u64) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut meta = transaction.open_table(META)?;
        meta.remove(CLEAN)?;
        meta.insert(FORMAT, record::FORMAT_VERSION)?;
        meta.insert(CEILING, ceiling)?;
    }
    Ok(transaction.commit()?)
}

impl From<redb::Error> for Unusable {
    fn from(error: redb::Error) -> Self {
        use std::io::ErrorKind::{InvalidData, UnexpectedEof};
        let is_content = match &error {
            redb::Error::Corrupted(_)
            | redb::Error::UpgradeRequired(_)
            | redb::Error::RepairAborted
            | redb::Error::TableTypeMismatch { .. }
            | redb::Error::TableIsMultimap(_)
            | redb::Error::TableIsNotMultimap(_)
            | redb::Error::TypeDefinitionChanged { .. }
            | redb::Error::TableDoesNotExist(_) => true,
            redb::Error::Io(error) => matches!(error.kind(), InvalidData | UnexpectedEof),
            // The type is open; what it does not name here is no damage that we know.
            _ => false,
        };
        if is_content {
            Self::Content(error.to_string())
        } else {
            Self::Outside(error.into())
        }
    }
}

impl From<TableError> for Unusable {
    fn from(error: TableError) -> Self {
        redb::Error::from(error).into()
    }
}

impl From<StorageError> for Unusable {
    fn from(error: StorageError) -> Self {
        redb::Error::from(error).into()
    }
}

#[cfg(test)]
mod tests;
