//! The objects of one kind as the API server last told them, readable by key without asking it.
//!
//! Readers also see their own writes: what a patch answered is put in ([`Index::learn`]), so that a reconcile
//! that follows on its own heels never starts from a status older than the one it wrote. Such an answer may also
//! hold what somebody else wrote just before; that is told to the listener all the same, when the watch brings it.
//! An object that cannot be decoded is remembered as such: it is neither absent (nothing is pruned for it) nor
//! usable.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use kube::{Resource, ResourceExt as _};
use parking_lot::RwLock;
use tokio::sync::watch;

use crate::object::Key;

/// What is known about one object.
#[derive(Debug)]
pub enum Found<K> {
    /// It exists, and this is it.
    Object(Arc<K>),
    /// It exists, but this program cannot read it.
    Unreadable,
    /// It does not exist.
    Absent,
}

impl<K> Clone for Found<K> {
    fn clone(&self) -> Self {
        match self {
            Self::Object(object) => Self::Object(object.clone()),
            Self::Unreadable => Self::Unreadable,
            Self::Absent => Self::Absent,
        }
    }
}

impl<K> Found<K> {
    /// The object, when there is one that can be read.
    pub fn object(self) -> Option<Arc<K>> {
        match self {
            Self::Object(object) => Some(object),
            Self::Unreadable | Self::Absent => None,
        }
    }
}

/// One object before and after something was heard of it.
#[derive(Debug)]
pub struct Touched<K> {
    /// Which object.
    pub key: Key,
    /// As it was known before.
    pub before: Found<K>,
    /// As it is known now.
    pub after: Found<K>,
}

/// All objects of one kind. Clones share it.
pub struct Index<K> {
    shared: Arc<Shared<K>>,
}

struct Shared<K> {
    /// Protects the map, for the time of one lookup or one event.
    objects: RwLock<HashMap<Key, Entry<K>>>,
    synced: watch::Sender<bool>,
}

/// One object, from two sources.
struct Entry<K> {
    /// From the watch: what the listener was told.
    heard: Found<K>,
    /// From a write of ours, while the watch has not caught up with it.
    learned: Option<Arc<K>>,
}

impl<K> Entry<K> {
    fn newest(&self) -> Found<K> {
        match (&self.learned, &self.heard) {
            (Some(learned), Found::Object(_)) => Found::Object(learned.clone()),
            (Some(_) | None, heard) => heard.clone(),
        }
    }
}

impl<K> Clone for Index<K> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
        }
    }
}

impl<K> fmt::Debug for Index<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index")
            .field("objects", &self.shared.objects.read().len())
            .field("synced", &*self.shared.synced.borrow())
            .finish()
    }
}

impl<K> Default for Index<K> {
    fn default() -> Self {
        let shared = Shared {
            objects: RwLock::default(),
            synced: watch::Sender::new(false),
        };
        Self {
            shared: Arc::new(shared),
        }
    }
}

impl<K> Index<K> {
    /// What is known about `key`.
    pub fn find(&self, key: &Key) -> Found<K> {
        let objects = self.shared.objects.read();
        objects.get(key).map_or(Found::Absent, Entry::newest)
    }

    /// Every object that can be read, in no order.
    pub fn objects(&self) -> Vec<(Key, Arc<K>)> {
        let objects = self.shared.objects.read();
        objects
            .iter()
            .filter_map(|(key, entry)| Some((key.clone(), entry.newest().object()?)))
            .collect()
    }

    /// True once the first list was heard to its end.
    pub fn is_synced(&self) -> bool {
        *self.shared.synced.borrow()
    }

    /// Resolves once the first list was heard to its end.
    pub async fn wait_until_synced(&self) {
        let mut synced = self.shared.synced.subscribe();
        // The sender lives in `self`: the wait cannot end by its loss.
        let _still_open = synced.wait_for(|synced| *synced).await.is_ok();
    }

    /// These are all objects there are, for tests without a watch.
    #[cfg(test)]
    pub(crate) fn know(&self, all: impl IntoIterator<Item = (Key, Found<K>)>)
    where
        K: Resource,
    {
        drop(self.replace(all.into_iter().collect()));
    }

    /// Forgets everything, so that the next list is news from end to end.
    pub fn clear(&self) {
        let mut objects = self.shared.objects.write();
        objects.clear();
        self.shared.synced.send_replace(false);
    }

    /// One object was deleted.
    pub(super) fn remove(&self, key: Key) -> Touched<K> {
        let before = self
            .shared
            .objects
            .write()
            .remove(&key)
            .map_or(Found::Absent, |entry| entry.heard);
        Touched {
            key,
            before,
            after: Found::Absent,
        }
    }
}

impl<K: Resource> Index<K> {
    /// One object was created or changed (or became unreadable).
    pub(super) fn apply(&self, key: Key, after: Found<K>) -> Touched<K> {
        let mut objects = self.shared.objects.write();
        let before = hear(&mut objects, &key, after.clone());
        Touched { key, before, after }
    }

    /// A complete list: every object that there is.
    pub(super) fn replace(&self, listed: HashMap<Key, Found<K>>) -> Vec<Touched<K>> {
        let mut touched = Vec::new();
        let mut objects = self.shared.objects.write();
        let gone: Vec<Key> = objects
            .keys()
            .filter(|key| !listed.contains_key(*key))
            .cloned()
            .collect();
        for key in gone {
            let before = objects
                .remove(&key)
                .map_or(Found::Absent, |entry| entry.heard);
            touched.push(Touched {
                key,
                before,
                after: Found::Absent,
            });
        }
        for (key, after) in listed {
            let before = hear(&mut objects, &key, after.clone());
            touched.push(Touched { key, before, after });
        }
        drop(objects);
        self.shared.synced.send_replace(true);
        touched
    }

    /// Takes in what a write of ours answered, unless something newer was heard already, or the object is gone or another.
    pub fn learn(&self, key: &Key, mut written: K) {
        slim(&mut written);
        let mut objects = self.shared.objects.write();
        if let Some(entry) = objects.get_mut(key)
            && let Found::Object(known) = entry.newest()
            && known.meta().uid == written.meta().uid
            && is_newer(&written, &known)
        {
            entry.learned = Some(Arc::new(written));
        }
    }
}

/// What `kubectl apply` keeps for itself: the manifest once more.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Takes out what nobody here reads, and what is often the larger half of an object.
pub(super) fn slim<K: Resource>(object: &mut K) {
    let meta = object.meta_mut();
    meta.managed_fields = None;
    if let Some(annotations) = &mut meta.annotations {
        annotations.remove(LAST_APPLIED);
    }
}

/// Puts in what the watch brought, and answers what it brought before.
fn hear<K: Resource>(objects: &mut HashMap<Key, Entry<K>>, key: &Key, after: Found<K>) -> Found<K> {
    let before = objects.remove(key);
    let (before, learned) =
        before.map_or((Found::Absent, None), |entry| (entry.heard, entry.learned));
    let learned = learned.filter(|learned| match &after {
        Found::Object(heard) => {
            learned.meta().uid == heard.meta().uid && is_newer(&**learned, heard)
        }
        Found::Unreadable | Found::Absent => false,
    });
    objects.insert(
        key.clone(),
        Entry {
            heard: after,
            learned,
        },
    );
    before
}

/// Versions are compared as numbers, as kube-apiserver's are since they became comparable; one that is not a
/// number is not newer than anything, which leaves the watch the only teacher.
fn is_newer<K: Resource>(candidate: &K, known: &K) -> bool {
    let number = |object: &K| {
        object
            .resource_version()
            .and_then(|version| version.parse::<u64>().ok())
    };
    match (number(candidate), number(known)) {
        (Some(candidate), Some(known)) => candidate > known,
        (Some(_), None) | (None, Some(_) | None) => false,
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
    use kube::api::ObjectMeta;

    use super::*;

    fn object(uid: &str, version: &str) -> ConfigMap {
        ConfigMap {
            metadata: ObjectMeta {
                uid: Some(uid.to_owned()),
                resource_version: Some(version.to_owned()),
                ..ObjectMeta::default()
            },
            ..ConfigMap::default()
        }
    }

    fn key(name: &str) -> Key {
        Key::new("apps", name)
    }

    fn found(uid: &str, version: &str) -> Found<ConfigMap> {
        Found::Object(Arc::new(object(uid, version)))
    }

    fn version_of(index: &Index<ConfigMap>, name: &str) -> Option<String> {
        index
            .find(&key(name))
            .object()
            .and_then(|object| object.resource_version())
    }

    #[test]
    fn a_list_tells_what_came_what_stayed_and_what_went() {
        let index = Index::default();
        assert!(!index.is_synced());
        index.replace(HashMap::from([
            (key("stays"), found("1", "1")),
            (key("goes"), found("2", "2")),
        ]));
        assert!(index.is_synced());
        let touched = index.replace(HashMap::from([
            (key("stays"), found("1", "5")),
            (key("new"), found("3", "6")),
        ]));
        let mut told: Vec<_> = touched
            .iter()
            .map(|one| {
                (
                    one.key.name.to_string(),
                    one.before.clone().object().is_some(),
                    one.after.clone().object().is_some(),
                )
            })
            .collect();
        told.sort();
        assert_eq!(
            told,
            [
                ("goes".into(), true, false),
                ("new".into(), false, true),
                ("stays".into(), true, true)
            ]
        );
    }

    #[test]
    fn own_writes_are_seen_but_never_undo_what_is_newer() {
        let index = Index::default();
        index.apply(key("a"), found("1", "5"));
        index.learn(&key("a"), object("1", "7"));
        assert_eq!(version_of(&index, "a").as_deref(), Some("7"));
        index.learn(&key("a"), object("1", "6"));
        assert_eq!(version_of(&index, "a").as_deref(), Some("7"), "older");
        index.learn(&key("a"), object("2", "9"));
        assert_eq!(
            version_of(&index, "a").as_deref(),
            Some("7"),
            "another object of that name"
        );
        index.remove(key("a"));
        index.learn(&key("a"), object("1", "10"));
        assert_eq!(version_of(&index, "a"), None, "gone");
    }

    #[test]
    fn what_nobody_reads_is_not_kept() {
        let mut heavy = object("1", "7");
        heavy.metadata.managed_fields = Some(vec![ManagedFieldsEntry::default()]);
        heavy.metadata.annotations = Some(
            [(LAST_APPLIED, "{}"), ("kept", "x")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        );
        let index = Index::default();
        index.apply(key("a"), found("1", "5"));
        index.learn(&key("a"), heavy);
        let held = index.find(&key("a")).object().unwrap();
        assert_eq!(held.metadata.managed_fields, None);
        let kept: Vec<_> = held.annotations().keys().collect();
        assert_eq!(kept, ["kept"]);
    }

    #[test]
    fn what_an_own_write_brought_along_is_still_told() {
        let index = Index::default();
        index.apply(key("a"), found("1", "5"));
        // Somebody wrote version 6, and we wrote version 7 upon it.
        index.learn(&key("a"), object("1", "7"));
        let version = |found: &Found<ConfigMap>| {
            found
                .clone()
                .object()
                .and_then(|object| object.resource_version())
        };
        let touched = index.apply(key("a"), found("1", "6"));
        assert_eq!(version(&touched.before).as_deref(), Some("5"));
        assert_eq!(version(&touched.after).as_deref(), Some("6"));
        assert_eq!(
            version_of(&index, "a").as_deref(),
            Some("7"),
            "readers do not go back"
        );
        let touched = index.replace(HashMap::from([(key("a"), found("1", "6"))]));
        assert_eq!(touched.len(), 1);
        assert_eq!(
            version_of(&index, "a").as_deref(),
            Some("7"),
            "nor by an old list"
        );
        index.apply(key("a"), found("1", "8"));
        assert_eq!(version_of(&index, "a").as_deref(), Some("8"));
        index.learn(&key("a"), object("1", "9"));
        index.apply(key("a"), found("2", "8"));
        assert_eq!(
            version_of(&index, "a").as_deref(),
            Some("8"),
            "another object of that name"
        );
    }

    #[test]
    fn an_unreadable_object_is_not_an_absent_one() {
        let index: Index<ConfigMap> = Index::default();
        index.apply(key("a"), Found::Unreadable);
        assert!(matches!(index.find(&key("a")), Found::Unreadable));
        assert!(matches!(index.find(&key("b")), Found::Absent));
        assert!(index.objects().is_empty());
    }
}
