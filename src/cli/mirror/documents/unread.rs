//! Documents that did not read, as far as it is known what they were: what refers to one of them is not told once more that
//! something is missing.

use std::collections::BTreeSet;

use crate::object::Key;

/// The kinds that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Mirror,
    Repository,
    Policy,
    Secret,
}

/// What did not read.
#[derive(Debug, Default)]
pub(super) struct Unread {
    objects: BTreeSet<(Kind, Key)>,
    /// Without a name that could be read.
    kinds: BTreeSet<Kind>,
    /// Without as much as a kind.
    is_anything: bool,
}

impl Unread {
    /// Something did not read, whatever it was.
    pub(super) fn add_anything(&mut self) {
        self.is_anything = true;
    }

    /// An object did not read; perhaps not even its name.
    pub(super) fn add(&mut self, kind: Kind, key: Option<Key>) {
        match key {
            Some(key) => drop(self.objects.insert((kind, key))),
            None => drop(self.kinds.insert(kind)),
        }
    }

    /// Whether it may have been this one.
    pub(super) fn may_be(&self, kind: Kind, key: &Key) -> bool {
        self.is_nameless(kind) || self.objects.contains(&(kind, key.clone()))
    }

    /// Whether it may have been one of that namespace.
    pub(super) fn may_be_in(&self, kind: Kind, namespace: &str) -> bool {
        let mut objects = self.objects.iter();
        self.is_nameless(kind)
            || objects.any(|(it, key)| *it == kind && &*key.namespace == namespace)
    }

    /// Whether it may have been one of that kind.
    pub(super) fn may_be_some(&self, kind: Kind) -> bool {
        self.is_nameless(kind) || self.objects.iter().any(|(it, _)| *it == kind)
    }

    fn is_nameless(&self, kind: Kind) -> bool {
        self.is_anything || self.kinds.contains(&kind)
    }
}
