//! What controllers leave for one another beside the tags: which tag a policy would elect, and which tags mirrors have
//! verified. In memory only: whoever told it tells it again after a start.
//!
//! A note for each object that has one; nobody is pushed to. Whoever follows takes the names of what changed, however
//! often it changed meanwhile.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::image::{Digest, Repository, Tag};
use crate::object::Key;

/// What a policy would elect if no mirror had to have it first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The ImageRepository that it elects from.
    pub repository: Key,
    /// The image that is scanned there.
    pub image: Repository,
    /// The tag.
    pub tag: Tag,
}

/// What a mirror has verified at all its destinations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mirrored {
    /// Whether destinations have digests of their own, because platforms were left out.
    pub is_rewritten: bool,
    /// By ImageRepository; of one that is not there nothing is known yet.
    pub repositories: BTreeMap<Key, Arc<Copies>>,
}

/// What a mirror has of one ImageRepository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copies {
    /// The image that it names: what is known of one says nothing of another.
    pub image: Repository,
    /// The tags that are at all destinations.
    pub tags: BTreeMap<Tag, Verified>,
    /// Whether all that are wanted were looked at; else others may be there, too.
    pub is_whole: bool,
}

impl Copies {
    /// Whether the tag is at all destinations; `None`: nobody has looked yet.
    pub fn has(&self, tag: &str) -> Option<bool> {
        let is_there = self.tags.contains_key(tag);
        (is_there || self.is_whole).then_some(is_there)
    }
}

/// One tag that is at every destination of a mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// What it is at the source.
    pub source: Digest,
    /// What it is at the destinations, in the mirror's order.
    pub destinations: Vec<Digest>,
}

/// All notes. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Board {
    candidates: Arc<Notes<Candidate>>,
    mirrored: Arc<Notes<Arc<Mirrored>>>,
}

#[derive(Debug)]
struct Notes<T> {
    /// Protects the notes, for the time of one lookup.
    held: Mutex<HashMap<Key, T>>,
    unread: Unread,
}

/// Names that somebody has to look at, each once however often it was put in: as many as there are objects at most.
#[derive(Debug, Default)]
pub struct Unread {
    /// Protects the names, for the time of one call.
    names: Mutex<BTreeSet<Key>>,
    added: Notify,
}

impl Unread {
    /// Somebody has to look at it.
    pub fn put(&self, name: Key) {
        self.names.lock().insert(name);
        self.added.notify_one();
    }

    /// All of them, and none is left; waits until there are any. For one reader.
    pub async fn take(&self) -> BTreeSet<Key> {
        loop {
            let names = std::mem::take(&mut *self.names.lock());
            if !names.is_empty() {
                return names;
            }
            self.added.notified().await;
        }
    }
}

impl<T> Default for Notes<T> {
    fn default() -> Self {
        Self {
            held: Mutex::default(),
            unread: Unread::default(),
        }
    }
}

impl<T: Clone + PartialEq> Notes<T> {
    fn put(&self, object: &Key, note: Option<T>) {
        let mut held = self.held.lock();
        if held.get(object) == note.as_ref() {
            return;
        }
        match note {
            Some(note) => held.insert(object.clone(), note),
            None => held.remove(object),
        };
        drop(held);
        self.unread.put(object.clone());
    }

    fn clear(&self) {
        let all = std::mem::take(&mut *self.held.lock());
        for object in all.into_keys() {
            self.unread.put(object);
        }
    }

    fn get(&self, object: &Key) -> Option<T> {
        self.held.lock().get(object).cloned()
    }
}

impl Board {
    /// The policy would elect this; `None`: nothing.
    pub fn put_candidate(&self, policy: &Key, candidate: Option<Candidate>) {
        self.candidates.put(policy, candidate);
    }

    /// What the policy would elect, as far as it has said.
    pub fn candidate(&self, policy: &Key) -> Option<Candidate> {
        self.candidates.get(policy)
    }

    /// The policies whose candidates changed since the last call; waits until there are any. For one follower.
    pub async fn candidate_changes(&self) -> BTreeSet<Key> {
        self.candidates.unread.take().await
    }

    /// The mirror has verified this; `None`: it is gone.
    pub fn put_mirrored(&self, mirror: &Key, mirrored: Option<Arc<Mirrored>>) {
        self.mirrored.put(mirror, mirrored);
    }

    /// What the mirror has verified, as far as it has said.
    pub fn mirrored(&self, mirror: &Key) -> Option<Arc<Mirrored>> {
        self.mirrored.get(mirror)
    }

    /// Nobody vouches any more for what mirrors have verified.
    pub fn clear_mirrored(&self) {
        self.mirrored.clear();
    }

    /// The mirror itself came, went or changed: whoever goes by it looks again.
    pub fn touch_mirror(&self, mirror: &Key) {
        self.mirrored.unread.put(mirror.clone());
    }

    /// The mirrors that were touched or have verified something else since the last call; waits until there are any. For one follower.
    pub async fn mirrored_changes(&self) -> BTreeSet<Key> {
        self.mirrored.unread.take().await
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn that_a_tag_is_missing_is_known_when_all_were_looked_at() {
        let digest = || format!("sha256:{}", "a".repeat(64)).parse().unwrap();
        let verified = Verified {
            source: digest(),
            destinations: vec![digest()],
        };
        let copies = |is_whole| Copies {
            image: "registry.test/o/app".parse().unwrap(),
            tags: [("1".parse().unwrap(), verified.clone())].into(),
            is_whole,
        };
        let has = |is_whole| ["1", "2"].map(|tag| copies(is_whole).has(tag));
        assert_eq!(has(false), [Some(true), None]);
        assert_eq!(has(true), [Some(true), Some(false)]);
    }

    #[tokio::test]
    async fn what_changes_is_told_once_and_what_does_not_is_not() {
        let board = Board::default();
        let (one, other) = (Key::new("apps", "one"), Key::new("apps", "other"));
        let candidate = |tag: &str| Candidate {
            repository: Key::new("apps", "app"),
            image: "registry.test/o/app".parse().unwrap(),
            tag: tag.parse().unwrap(),
        };
        board.put_candidate(&one, Some(candidate("1")));
        board.put_candidate(&one, Some(candidate("2")));
        board.put_candidate(&other, None);
        assert_eq!(
            board.candidate_changes().await,
            BTreeSet::from([one.clone()])
        );
        assert_eq!(board.candidate(&one), Some(candidate("2")));
        board.put_candidate(&one, Some(candidate("2")));
        assert_eq!(board.candidate_changes().now_or_never(), None);
        board.put_candidate(&one, None);
        assert_eq!(
            board.candidate_changes().await,
            BTreeSet::from([one.clone()])
        );
        assert_eq!(board.candidate(&one), None);
        board.put_mirrored(&one, Some(Arc::default()));
        assert_eq!(
            board.mirrored_changes().await,
            BTreeSet::from([one.clone()])
        );
        assert_eq!(board.mirrored(&one), Some(Arc::default()));
        board.put_mirrored(&one, Some(Arc::default()));
        assert_eq!(board.mirrored_changes().now_or_never(), None);
        board.touch_mirror(&other);
        assert_eq!(board.mirrored_changes().await, BTreeSet::from([other]));
        board.clear_mirrored();
        assert_eq!(board.mirrored(&one), None);
        assert_eq!(board.mirrored_changes().await, BTreeSet::from([one]));
    }
}
