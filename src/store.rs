//! The tag store: every scanned tag of every repository, in memory, copy-on-write, read without locks.
//!
//! Writers commit; a commit compares with what is held and publishes only changes, one monotonic
//! resourceVersion per change. Readers take a [`Snapshot`] (cheap, immutable, consistent at one
//! resourceVersion) or pull [`Change`]s from a bounded history. Nobody is pushed to: a slow reader falls
//! off the history and is told so, it never holds anybody up.
//!
//! ```text
//! commit_* ──► plan (pure) ──► reserve versions (disk) ──► publish: one pointer swap ──► write behind (disk)
//!                                                             │
//!                                            snapshot(), changes_after(), changed(), follow()
//! ```
//!
//! On disk is what is needed to go on after a stop: one record per repository, and how far versions are
//! reserved. It may be a moment behind what is published ([`Store::flush`] waits for it), and yet no version
//! is given twice: after an unclean stop counting goes on above everything that was reserved.
//!
//! This module must not know what tags are used for: no registry, no policy rule, no Kubernetes client.

mod board;
mod change;
mod disk;
mod error;
mod facts;
mod follow;
mod history;
mod plan;
mod repository;
mod snapshot;
mod sorted;
mod table;
mod varint;
mod version;
mod weight;

pub use board::{Board, Candidate, Copies, Mirrored, Unread, Verified};
pub use change::{Change, Expired};
pub use error::Error;
pub use facts::{Committed, Dating, Election, EntryRef, Owner, Pushed, Scan, TagEntry};
pub use follow::{Follower, Objects, Occurrence, Scope};
pub use history::{Limits, SetChange};
pub use repository::RepositoryTags;
pub use snapshot::{Snapshot, Spot};
pub use sorted::{Iter, Sorted};
pub use version::ResourceVersion;

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::clock::SharedClock;
use crate::image::{Digest, Tag};
use crate::object::Key;
use disk::Disk;
use follow::{Followers, Published};
use history::History;
use plan::Step;
use snapshot::World;

/// The store. Clones share it. Dropping the last one closes it as [`Store::close`] does, and blocks for it.
///
/// Commits are synchronous: one waits for the one before it, and for the disk only when versions run out faster than
/// they are reserved ahead (a million changes within one write). One that fails has published nothing.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// What is published: snapshot and history change together, in one swap.
    state: ArcSwap<State>,
    /// Held while a commit is planned and published; readers never meet it.
    gate: Mutex<Gate>,
    changed: watch::Sender<ResourceVersion>,
    followers: Followers,
    limits: Limits,
    disk: Option<Disk>,
    board: Board,
}

#[derive(Debug)]
struct State {
    world: Arc<World>,
    history: History,
}

/// Whether commits may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gate {
    Open,
    Closed,
}

impl Store {
    /// In memory only (tests, tools): epoch 1, nothing survives. The dates of a store come from its scans;
    /// the clock is asked for only when a file has to be set aside.
    pub fn in_memory(clock: SharedClock) -> Self {
        Self::in_memory_with(clock, Limits::default())
    }

    /// In memory only, with a history of another size.
    pub fn in_memory_with(clock: SharedClock, limits: Limits) -> Self {
        drop(clock);
        Self::new(
            World::new(ResourceVersion::start_of(1).0, Vec::new()),
            None,
            limits,
        )
    }

    /// With disk snapshots under `path`. `last_epoch` is the highest epoch known outside (a Lease's annotation); a store
    /// that was lost or is foreign starts at `last_epoch + 1`. A corrupt file is set aside with one log line.
    ///
    /// Reads files and waits for the disk once; call it where blocking is allowed.
    pub fn open(path: &Path, last_epoch: u64, clock: SharedClock) -> Result<Self, Error> {
        Self::open_with(path, last_epoch, clock, Limits::default())
    }

    /// [`Store::open`] with a history of another size.
    #[expect(clippy::needless_pass_by_value, reason = "taken as by `open`")]
    pub fn open_with(
        path: &Path,
        last_epoch: u64,
        clock: SharedClock,
        limits: Limits,
    ) -> Result<Self, Error> {
        let (disk, loaded) = Disk::open(path, last_epoch, clock.as_ref())?;
        let world = World::new(loaded.position, loaded.repositories);
        Ok(Self::new(world, Some(disk), limits))
    }

    fn new(world: World, disk: Option<Disk>, limits: Limits) -> Self {
        let (changed, _) = watch::channel(ResourceVersion(world.version));
        let history = History::starting_at(world.version);
        let followers = Followers::new(world.version);
        let state = ArcSwap::from_pointee(State {
            world: Arc::new(world),
            history,
        });
        Self {
            inner: Arc::new(Inner {
                state,
                gate: Mutex::new(Gate::Open),
                changed,
                followers,
                limits,
                disk,
                board: Board::default(),
            }),
        }
    }

    /// The epoch that versions are given in; to be kept outside, so that a lost store can go above it.
    pub fn epoch(&self) -> u64 {
        self.snapshot().resource_version().epoch()
    }

    /// Everything as it stands now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            world: Arc::clone(&self.inner.state.load().world),
        }
    }

    /// Everything as it stood at `version`, when that is now or the end of a commit that the history reaches back to.
    ///
    /// Costs what has changed since, not what is held.
    pub fn snapshot_at(&self, version: ResourceVersion) -> Option<Snapshot> {
        let state = self.inner.state.load_full();
        if state.world.version == version.0 {
            let world = Arc::clone(&state.world);
            return Some(Snapshot { world });
        }
        let undone = state.history.undone(version, state.world.version)?;
        let mut world = World::clone(&state.world);
        world.version = version.0;
        for (key, before) in undone {
            world.set(key, before.cloned());
        }
        let world = Arc::new(world);
        Some(Snapshot { world })
    }

    /// Commits what a scan found; see [`Scan`]. A scan that found what is held publishes nothing and leaves `scan_time`.
    pub fn commit_scan(&self, scan: Scan) -> Result<Committed, Error> {
        let key = scan.owner.key.clone();
        self.commit(&key, |held, first| plan::scan(held, scan, first))
    }

    /// Replaces what `policy` elects in `repository`; `None` withdraws it. An unknown repository or tag changes nothing.
    ///
    /// The tag that loses the election and the tag that gains it change, the TagSet does not. An election ends with its
    /// tag: when that is removed, it is forgotten, also if the tag comes back.
    pub fn commit_election(
        &self,
        repository: &Key,
        policy: &Key,
        elected: Option<(Tag, Option<Digest>)>,
    ) -> Result<Committed, Error> {
        let elected = elected.map(|(tag, digest)| Election {
            policy: policy.clone(),
            tag,
            digest,
            pushed: None,
        });
        self.commit_choice(repository, policy, elected.as_ref())
    }

    /// [`Store::commit_election`] of an election that also says that its tag was pushed again.
    pub fn commit_pushed(&self, repository: &Key, election: &Election) -> Result<Committed, Error> {
        self.commit_choice(repository, &election.policy, Some(election))
    }

    fn commit_choice(
        &self,
        repository: &Key,
        policy: &Key,
        gained: Option<&Election>,
    ) -> Result<Committed, Error> {
        self.commit(repository, |held, first| {
            Ok(Vec::from_iter(held.and_then(|held| {
                plan::election(held, policy, gained, first)
            })))
        })
    }

    /// The ImageRepository is gone: its tags and TagSet are deleted.
    pub fn remove_repository(&self, repository: &Key) -> Result<Committed, Error> {
        self.commit(repository, |held, first| {
            Ok(held
                .map(|held| Step::removal(held, first))
                .into_iter()
                .collect())
        })
    }

    /// Labels or other owner facts changed without a scan: every tag and the TagSet change. An unknown repository changes
    /// nothing. When the uid is another one, the held tags belong to an object that is gone, and are deleted.
    pub fn update_owner(&self, owner: Owner) -> Result<Committed, Error> {
        let key = owner.key.clone();
        self.commit(&key, |held, first| {
            Ok(Vec::from_iter(
                held.and_then(|held| plan::owner(held, owner, first)),
            ))
        })
    }

    /// Resolves when everything committed so far is on disk (group commit); at once for a store in memory.
    ///
    /// An error means that the disk did not take it; it is tried again every second, and meanwhile served from memory.
    pub async fn flush(&self) -> Result<(), Error> {
        match &self.inner.disk {
            Some(disk) => disk.flush().await,
            None => Ok(()),
        }
    }

    /// Takes no more commits, writes what is pending, and notes that the stop was clean: the next [`Store::open`] counts
    /// on from here, and positions in the sequence stay good. Reading goes on.
    pub async fn close(&self) -> Result<(), Error> {
        let position = {
            let mut gate = self.inner.gate.lock();
            *gate = Gate::Closed;
            self.inner.state.load().world.version
        };
        match &self.inner.disk {
            Some(disk) => disk.close(position).await,
            None => Ok(()),
        }
    }

    /// Changes after `position` (exclusive), at most `limit`, oldest first; empty: none yet, wait on [`Store::changed`].
    ///
    /// Any version is a position, also one in the middle of a commit.
    pub fn changes_after(
        &self,
        position: ResourceVersion,
        limit: usize,
    ) -> Result<Vec<Change>, Expired> {
        let state = self.inner.state.load_full();
        state.history.after(position, state.world.version, limit)
    }

    /// The sets that changed after `position` (exclusive), at most `limit`, oldest first, and the position to go on from;
    /// that is `position` itself when nothing has happened yet.
    pub fn sets_after(
        &self,
        position: ResourceVersion,
        limit: usize,
    ) -> Result<(Vec<SetChange>, ResourceVersion), Expired> {
        let state = self.inner.state.load_full();
        state
            .history
            .sets_after(position, state.world.version, limit)
    }

    /// What controllers leave for one another.
    pub fn board(&self) -> &Board {
        &self.inner.board
    }

    /// A receiver whose value is the newest resourceVersion. It is told after the change can be read.
    pub fn changed(&self) -> watch::Receiver<ResourceVersion> {
        self.inner.changed.subscribe()
    }

    /// Bytes held in memory by tags, for the metric: what a [`Snapshot`] shows, the history not counted.
    pub fn bytes(&self) -> usize {
        self.inner.state.load_full().world.heap_bytes()
    }

    /// Bytes held in memory for the history alone.
    pub fn history_bytes(&self) -> usize {
        self.inner.state.load().history.heap_bytes()
    }

    /// Ends as a kill would: what is not on disk is lost.
    #[cfg(test)]
    fn crash(self) {
        if let Some(disk) = &self.inner.disk {
            disk.crash();
        }
    }

    /// Plans under the gate, reserves, publishes, and hands over to the disk.
    fn commit(
        &self,
        key: &Key,
        plan: impl FnOnce(Option<&Arc<RepositoryTags>>, u64) -> Result<Vec<Step>, Error>,
    ) -> Result<Committed, Error> {
        let inner = &*self.inner;
        let gate = inner.gate.lock();
        if *gate == Gate::Closed {
            return Err(Error::Closed);
        }
        let state = inner.state.load_full();
        let newest = state.world.version;
        let steps = plan(state.world.get(key), newest + 1)?;
        let version = newest + steps.iter().map(|step| step.commit.len()).sum::<u64>();
        let mut committed = Committed {
            added: 0,
            removed: 0,
            changed: 0,
            set_changed: false,
            resource_version: ResourceVersion(version),
        };
        let Some(after) = steps.last().map(|step| step.commit.after.clone()) else {
            return Ok(committed);
        };
        if let Some(disk) = &inner.disk {
            disk.reserve(version)?;
        }
        let world = Arc::new(state.world.with(version, key, after.clone()));
        let mut history = state.history.clone();
        let (mut has_tags, mut has_set) = (false, false);
        for Step {
            commit,
            added,
            removed,
            changed,
        } in steps
        {
            committed.added += added;
            committed.removed += removed;
            committed.changed += changed;
            committed.set_changed |= commit.set;
            has_tags |= commit.touched_len() > 0;
            has_set |= commit.set;
            if commit.len() > 0 {
                history.push(commit, &inner.limits);
            }
        }
        inner.state.store(Arc::new(State { world, history }));
        if let Some(disk) = &inner.disk {
            disk.enqueue(key.clone(), after);
        }
        if version > newest {
            inner.changed.send_replace(ResourceVersion(version));
            inner.followers.tell(Published {
                key,
                first: newest + 1,
                last: version,
                has_tags,
                has_set,
            });
        }
        drop(gate);
        Ok(committed)
    }
}

/// The last clone is gone: nobody can commit any more, so what is pending can be written and the stop called clean.
impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(disk) = &self.disk {
            disk.close_blocking(self.state.load().world.version);
        }
    }
}

#[cfg(test)]
mod tests;
