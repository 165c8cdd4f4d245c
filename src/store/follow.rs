//! Followers: each pulls what changed in its own scope, and is woken for nothing else.
//!
//! A commit walks past the followers that it concerns and leaves each a note of where the first change is that it has
//! not looked at; a follower whose scope was quiet is therefore as good as up to date, however much happened elsewhere,
//! and falls off the history only when changes of its own do. Nobody is pushed to: a note is one number.

use std::collections::HashMap;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use futures::task::AtomicWaker;
use parking_lot::Mutex;

use super::history::Commit;
use super::{Change, Expired, ResourceVersion, Snapshot, Store};
use crate::object::Key;

/// Where a follower looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Everywhere.
    Everything,
    /// In the repositories of one namespace.
    Namespace(Arc<str>),
    /// In one repository, whether it is there or not.
    Repository(Key),
}

impl Scope {
    pub(super) fn contains(&self, key: &Key) -> bool {
        match self {
            Self::Everything => true,
            Self::Namespace(namespace) => *namespace == key.namespace,
            Self::Repository(repository) => repository == key,
        }
    }
}

/// Which objects a follower looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Objects {
    /// The tags.
    Tags,
    /// The TagSets.
    Sets,
}

/// One reader of changes. Dropping it forgets it.
pub struct Follower {
    store: Store,
    scope: Scope,
    note: Arc<Note>,
    position: ResourceVersion,
    /// Whether all there was in scope has been passed, so that a note names the first change that was not.
    is_level: bool,
}

/// What commits leave behind for one follower.
#[derive(Debug)]
struct Note {
    objects: Objects,
    /// The version of the first change that it was told of and has not looked for yet; 0 for none.
    first: AtomicU64,
    waker: AtomicWaker,
}

/// Who follows what.
#[derive(Debug)]
pub(super) struct Followers(Mutex<Registry>);

#[derive(Debug)]
struct Registry {
    /// The last version of the last commit that all followers were told of.
    newest: u64,
    everything: Vec<Arc<Note>>,
    namespaces: HashMap<Arc<str>, Vec<Arc<Note>>>,
    repositories: HashMap<Key, Vec<Arc<Note>>>,
}

/// One commit that has been published, for those who are to be told of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Published<'a> {
    pub(super) key: &'a Key,
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) has_tags: bool,
    pub(super) has_set: bool,
}

/// One change, not built yet.
#[derive(Debug, Clone, Copy)]
pub struct Occurrence<'a> {
    commit: &'a Commit,
    rank: u64,
}

impl Occurrence<'_> {
    /// The place of this change in the sequence.
    pub fn resource_version(&self) -> ResourceVersion {
        ResourceVersion(self.commit.first + self.rank)
    }

    /// The repository that it is in.
    pub fn key(&self) -> &Key {
        self.commit.key()
    }

    /// The change itself.
    pub fn change(&self) -> Change {
        self.commit.built(self.rank)
    }
}

impl Follower {
    /// Everything in scope up to here was passed.
    pub fn position(&self) -> ResourceVersion {
        self.position
    }

    /// Resolves when something in scope may have changed after what was looked at.
    pub async fn changed(&mut self) {
        std::future::poll_fn(|cx| {
            self.note.waker.register(cx.waker());
            if self.note.first.load(Ordering::Acquire) == 0 {
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        })
        .await;
    }

    /// Shows what changed in scope since, oldest first, until `visit` breaks; what was shown is passed. Says whether that
    /// was all.
    ///
    /// An error when some of it may not be known any more, or when the position is ahead of the store.
    pub fn pull(
        &mut self,
        visit: &mut dyn FnMut(Occurrence<'_>) -> ControlFlow<()>,
    ) -> Result<bool, Expired> {
        let Store { inner } = &self.store;
        let (first, newest) = inner.followers.look(&self.note);
        if self.is_level {
            if first == 0 {
                self.position = self.position.max(ResourceVersion(newest));
                return Ok(true);
            }
            self.position = self.position.max(ResourceVersion(first - 1));
        }
        self.is_level = false;
        let state = inner.state.load_full();
        let newest = state.world.version;
        for commit in state.history.of(&self.scope, self.position, newest)? {
            for rank in commit.ranks(self.note.objects, self.position.0) {
                let occurrence = Occurrence { commit, rank };
                self.position = occurrence.resource_version();
                if visit(occurrence).is_break() {
                    return Ok(false);
                }
            }
        }
        self.position = ResourceVersion(newest);
        self.is_level = true;
        Ok(true)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.store.inner.followers.remove(&self.scope, &self.note);
    }
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower")
            .field("scope", &self.scope)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Follows what changes in `scope` after `position`, or from now on: after the snapshot that comes along.
    pub fn follow(
        &self,
        scope: Scope,
        objects: Objects,
        position: Option<ResourceVersion>,
    ) -> (Follower, Snapshot) {
        let note = Arc::new(Note {
            objects,
            first: AtomicU64::new(0),
            waker: AtomicWaker::new(),
        });
        self.inner.followers.add(&scope, Arc::clone(&note));
        // Read only now: whatever comes after it leaves a note.
        let snapshot = self.snapshot();
        let now = snapshot.resource_version();
        let follower = Follower {
            store: self.clone(),
            scope,
            note,
            position: position.unwrap_or(now),
            is_level: position.is_none_or(|position| position == now),
        };
        (follower, snapshot)
    }

    /// How many follow.
    pub fn followers(&self) -> usize {
        self.inner.followers.count()
    }
}

impl Followers {
    pub(super) fn new(newest: u64) -> Self {
        Self(Mutex::new(Registry {
            newest,
            everything: Vec::new(),
            namespaces: HashMap::new(),
            repositories: HashMap::new(),
        }))
    }

    /// Leaves notes of `commit`, which can be read by now.
    pub(super) fn tell(&self, commit: Published<'_>) {
        let mut wakers = Vec::new();
        {
            let mut registry = self.0.lock();
            registry.newest = commit.last;
            let Registry {
                newest: _,
                everything,
                namespaces,
                repositories,
            } = &*registry;
            let concerned = everything
                .iter()
                .chain(namespaces.get(&commit.key.namespace).into_iter().flatten())
                .chain(repositories.get(commit.key).into_iter().flatten());
            for note in concerned {
                let is_meant = match note.objects {
                    Objects::Tags => commit.has_tags,
                    Objects::Sets => commit.has_set,
                };
                // One that has not looked since it was last told knows of an older change, and is awake.
                if is_meant && note.first.load(Ordering::Relaxed) == 0 {
                    note.first.store(commit.first, Ordering::Release);
                    wakers.extend(note.waker.take());
                }
            }
        }
        // Not under the lock: what wakes may drop a follower.
        for waker in wakers {
            waker.wake();
        }
    }

    /// Takes the note, and says how far all followers have been told.
    fn look(&self, note: &Note) -> (u64, u64) {
        let registry = self.0.lock();
        (note.first.swap(0, Ordering::AcqRel), registry.newest)
    }

    fn add(&self, scope: &Scope, note: Arc<Note>) {
        let mut registry = self.0.lock();
        match scope {
            Scope::Everything => registry.everything.push(note),
            Scope::Namespace(namespace) => {
                let notes = registry.namespaces.entry(Arc::clone(namespace));
                notes.or_insert_with(few).push(note);
            }
            Scope::Repository(key) => {
                let notes = registry.repositories.entry(key.clone());
                notes.or_insert_with(few).push(note);
            }
        }
    }

    fn remove(&self, scope: &Scope, note: &Arc<Note>) {
        let mut registry = self.0.lock();
        match scope {
            Scope::Everything => take_out(&mut registry.everything, note),
            Scope::Namespace(namespace) => {
                if let Some(notes) = registry.namespaces.get_mut(namespace) {
                    take_out(notes, note);
                    if notes.is_empty() {
                        registry.namespaces.remove(namespace);
                    }
                }
            }
            Scope::Repository(key) => {
                if let Some(notes) = registry.repositories.get_mut(key) {
                    take_out(notes, note);
                    if notes.is_empty() {
                        registry.repositories.remove(key);
                    }
                }
            }
        }
    }

    fn count(&self) -> usize {
        let registry = self.0.lock();
        let namespaces = registry.namespaces.values().map(Vec::len).sum::<usize>();
        let repositories = registry.repositories.values().map(Vec::len).sum::<usize>();
        registry.everything.len() + namespaces + repositories
    }
}

/// Most repositories that anybody follows are followed by one or two.
fn few() -> Vec<Arc<Note>> {
    Vec::with_capacity(1)
}

fn take_out(notes: &mut Vec<Arc<Note>>, note: &Arc<Note>) {
    if let Some(at) = notes.iter().position(|other| Arc::ptr_eq(other, note)) {
        notes.swap_remove(at);
    }
}

#[cfg(test)]
mod tests;
