//! What watches share: an event is written once for all who watch it in the same form, and what the objects of one
//! repository have in common is prepared once.
//!
//! Watchers that keep up look at the same changes within moments, so that a little of the recent past is enough. Tables
//! are left out: they tell ages, and few people look at them.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::observer::Observer;
use crate::apiserver::negotiate::MetaVersion;
use crate::apiserver::object::Origin;
use crate::store::{RepositoryTags, ResourceVersion};

/// How many bytes of written events are kept.
const FRAME_BYTES: usize = 4 << 20;
/// How many events are kept, however small.
const FRAMES: usize = 4096;
/// How many repositories' moments are kept prepared: a commit has two.
const ORIGINS: usize = 8;

/// How an event's object is written, where that depends on nothing but the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Form {
    Object,
    Partial(MetaVersion),
}

/// What an event says of its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Said {
    /// What happened to it.
    Happened,
    /// That it came into sight, changed, or went out of sight: selectors decide that.
    Added,
    Modified,
    Deleted,
}

/// A version belongs to one change, which with these two names the text of its event.
pub(super) type FrameKey = (ResourceVersion, Form, Said);

/// What all watches of one server share.
pub(in crate::apiserver) struct Shared {
    observer: Arc<dyn Observer>,
    frames: Mutex<Frames>,
    origins: Mutex<VecDeque<Arc<Origin>>>,
}

#[derive(Debug, Default)]
struct Frames {
    texts: HashMap<FrameKey, Bytes>,
    /// Oldest first.
    order: VecDeque<FrameKey>,
    bytes: usize,
}

impl Shared {
    pub(in crate::apiserver) fn new(observer: Arc<dyn Observer>) -> Self {
        Self {
            observer,
            frames: Mutex::default(),
            origins: Mutex::default(),
        }
    }

    pub(super) fn observer(&self) -> &dyn Observer {
        &*self.observer
    }

    /// The text of an event, when somebody has written it lately.
    pub(super) fn written(&self, key: FrameKey) -> Option<Bytes> {
        self.frames.lock().texts.get(&key).cloned()
    }

    /// Keeps the text of an event for others. Two may write the same now and then, which costs less than waiting.
    pub(super) fn keep(&self, key: FrameKey, text: Vec<u8>) -> Bytes {
        let text = Bytes::from(text.into_boxed_slice());
        self.frames.lock().keep(key, text.clone());
        text
    }

    /// `tags`, prepared.
    pub(super) fn origin(&self, tags: &Arc<RepositoryTags>) -> Arc<Origin> {
        let is_it = |origin: &&Arc<Origin>| Arc::ptr_eq(origin.tags(), tags);
        if let Some(known) = self.origins.lock().iter().find(is_it) {
            return Arc::clone(known);
        }
        let origin = Arc::new(Origin::new(Arc::clone(tags)));
        let mut origins = self.origins.lock();
        origins.truncate(ORIGINS - 1);
        origins.push_front(Arc::clone(&origin));
        origin
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let frames = self.frames.lock();
        f.debug_struct("Shared")
            .field("frames", &frames.order.len())
            .field("bytes", &frames.bytes)
            .finish_non_exhaustive()
    }
}

impl Frames {
    fn keep(&mut self, key: FrameKey, text: Bytes) {
        let bytes = text.len();
        if bytes > FRAME_BYTES / 2 || self.texts.contains_key(&key) {
            return;
        }
        self.texts.insert(key, text);
        self.order.push_back(key);
        self.bytes += bytes;
        while self.bytes > FRAME_BYTES || self.order.len() > FRAMES {
            let Some(oldest) = self.order.pop_front() else {
                return;
            };
            self.bytes -= self.texts.remove(&oldest).map_or(0, |text| text.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(version: u64) -> FrameKey {
        (ResourceVersion(version), Form::Object, Said::Happened)
    }

    #[test]
    fn an_event_is_known_under_its_version_form_and_word() {
        let shared = Shared::new(Arc::new(()));
        assert_eq!(shared.written(key(1)), None);
        shared.keep(key(1), b"text".to_vec());
        assert_eq!(shared.written(key(1)).as_deref(), Some(&b"text"[..]));
        let version = ResourceVersion(1);
        for other in [
            key(2),
            (version, Form::Object, Said::Deleted),
            (version, Form::Partial(MetaVersion::V1), Said::Happened),
        ] {
            assert_eq!(shared.written(other), None);
        }
    }

    #[test]
    fn what_is_kept_is_bounded_by_count_and_by_bytes() {
        let shared = Shared::new(Arc::new(()));
        for version in 0..2 * FRAMES as u64 {
            shared.keep(key(version), b"small".to_vec());
        }
        assert_eq!(shared.frames.lock().order.len(), FRAMES);
        for version in 0..20 {
            shared.keep(key(100_000 + version), vec![0; FRAME_BYTES / 4]);
        }
        shared.keep(key(200_000), vec![0; FRAME_BYTES]);
        let frames = shared.frames.lock();
        assert!(frames.bytes <= FRAME_BYTES && frames.order.len() == frames.texts.len());
        let kept: usize = frames.texts.values().map(Bytes::len).sum();
        assert_eq!(kept, frames.bytes);
    }
}
