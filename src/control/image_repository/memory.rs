//! What is known of each object beyond its status and the store, for as long as the program runs. Losing it costs a
//! request, and nothing else: no decision rests on it that a restart could not make again.

use std::collections::HashMap;

use parking_lot::Mutex;

use super::refusals::Refusals;
use crate::control::intake::Scanned;
use crate::control::registry::{Identity, Validator};
use crate::image::Repository;
use crate::object::Key;
use crate::store::ResourceVersion;

/// By object. As large as there are objects; an object's part goes with it.
#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<HashMap<Key, Remembered>>);

/// What is known of one object.
#[derive(Debug, Clone, Default)]
pub(super) struct Remembered {
    uid: String,
    /// The refusals that may stall it.
    pub(super) refusals: Option<Refusals>,
    /// What the registry called the list that is stored.
    pub(super) known: Option<Known>,
    /// What was committed, and could not be said yet.
    pub(super) unsaid: Option<Unsaid>,
}

/// A registry's name for a list, and all that has to be as it was for it to mean something.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) validator: Validator,
    /// Who asked whom, and how.
    pub(super) identity: Identity,
    /// What was left out of the list.
    pub(super) exclusion: Vec<String>,
    /// The TagSet that it became.
    pub(super) version: ResourceVersion,
}

/// The result of a scan whose status was not written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unsaid {
    pub(super) found: Scanned,
    pub(super) image: Repository,
    pub(super) exclusion: Vec<String>,
    /// The request that it answered.
    pub(super) requested_at: Option<String>,
}

impl Memory {
    /// What is known of the object `key` with this uid; nothing of an earlier one of that name.
    pub(super) fn of(&self, key: &Key, uid: &str) -> Remembered {
        let known = self.0.lock().get(key).cloned();
        known
            .filter(|known| known.uid == uid)
            .unwrap_or_else(|| Remembered {
                uid: uid.to_owned(),
                ..Remembered::default()
            })
    }

    /// Changes what is known of an object. Only its own reconcile does, of which there is one at a time.
    pub(super) fn change(&self, key: &Key, uid: &str, change: impl FnOnce(&mut Remembered)) {
        let mut remembered = self.of(key, uid);
        change(&mut remembered);
        let Remembered {
            uid: _,
            refusals,
            known,
            unsaid,
        } = &remembered;
        let is_blank = refusals.is_none() && known.is_none() && unsaid.is_none();
        let mut objects = self.0.lock();
        if is_blank {
            objects.remove(key);
        } else {
            objects.insert(key.clone(), remembered);
        }
    }

    /// The object is gone.
    pub(super) fn forget(&self, key: &Key) {
        self.0.lock().remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn validator(text: &str) -> Known {
        let question = crate::control::registry::Question {
            image: "registry.test/o/app".parse().unwrap(),
            ways: crate::control::registry::Ways::default(),
            timeout: std::time::Duration::ZERO,
            known: None,
        };
        Known {
            validator: Validator(text.into()),
            identity: question.identity(),
            exclusion: vec![],
            version: ResourceVersion(1),
        }
    }

    #[test]
    fn a_namesake_inherits_nothing_and_nothing_is_left_behind() {
        let (memory, key) = (Memory::default(), Key::new("apps", "app"));
        memory.change(&key, "uid-1", |known| known.known = Some(validator("a")));
        assert!(memory.of(&key, "uid-1").known.is_some());
        assert!(memory.of(&key, "uid-2").known.is_none());
        memory.change(&key, "uid-1", |known| known.known = None);
        assert!(memory.0.lock().is_empty());
        memory.change(&key, "uid-1", |known| known.known = Some(validator("a")));
        memory.forget(&key);
        assert!(memory.0.lock().is_empty());
    }
}
