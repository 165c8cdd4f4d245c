//! The repositories whose last list was suspect, and how often it was. In memory only: after a restart counting starts
//! again, which is the safe side.

use std::collections::HashMap;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::image::Repository;
use crate::object::Key;
use crate::scan::{Doubts, Trust};

/// By object. Holds what is doubted only, and of that no more tags than were listed.
#[derive(Debug, Default)]
pub(crate) struct Doubted(Mutex<HashMap<Key, Entry>>);

#[derive(Debug)]
struct Entry {
    uid: String,
    image: Repository,
    exclusion: Vec<String>,
    asked: Instant,
    doubts: Doubts,
}

/// What has to be as it was for the lists before to count.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case<'a> {
    pub(super) uid: &'a str,
    pub(super) image: &'a Repository,
    pub(super) exclusion: &'a [String],
}

impl Doubted {
    /// Whether the last list of `key` was suspect.
    pub(super) fn has(&self, key: &Key) -> bool {
        self.0.lock().contains_key(key)
    }

    /// Has `weigh` weigh the list that was asked for at `asked`, which confirms nothing when it was weighed before.
    pub(super) fn weigh(
        &self,
        key: &Key,
        case: &Case<'_>,
        asked: Instant,
        weigh: impl FnOnce(&mut Doubts, bool) -> Trust,
    ) -> Trust {
        // Taken out for the time of the weighing: only the object's own scan is here at a time.
        let before = self.0.lock().remove(key).filter(|entry| {
            entry.uid == case.uid && entry.image == *case.image && entry.exclusion == case.exclusion
        });
        let is_news = before.as_ref().is_none_or(|entry| entry.asked != asked);
        let mut doubts = before.map(|entry| entry.doubts).unwrap_or_default();
        let trust = weigh(&mut doubts, is_news);
        if !doubts.are_none() {
            let entry = Entry {
                uid: case.uid.to_owned(),
                image: case.image.clone(),
                exclusion: case.exclusion.to_vec(),
                asked,
                doubts,
            };
            self.0.lock().insert(key.clone(), entry);
        }
        trust
    }

    /// The object is gone.
    pub(super) fn forget(&self, key: &Key) {
        self.0.lock().remove(key);
    }
}
