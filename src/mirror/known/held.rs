//! What is known, behind the lock: repositories by number, their blobs, and tags.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::Copied;
use super::sorted::{Short, Sorted, entry};
use crate::image::{Digest, Registry, Repository, Tag};

/// So many repositories may be gone before what was known of them is looked for and dropped.
const MOST_GONE: usize = 64;
/// Of so many blobs it is remembered that they were not there.
const MOST_FORGOTTEN: usize = 1 << 16;

/// Copies of one source to one destination, of one kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Route {
    pub(super) from: u32,
    pub(super) to: u32,
    pub(super) variant: Arc<str>,
}

/// Everything that is known.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Repositories by number; none where one was forgotten. Entries of those may still be in `blobs`.
    pub(super) names: Vec<Option<Repository>>,
    numbers: HashMap<Repository, u32>,
    /// Numbers that nothing has any more.
    free: Vec<u32>,
    gone: usize,
    pub(super) blobs: HashMap<Registry, Sorted>,
    pub(super) tags: BTreeMap<Route, BTreeMap<Tag, Copied>>,
    /// What was found to be missing here is not learnt from others again.
    forgotten: HashSet<Repository>,
    forgotten_blobs: HashSet<(Repository, Short)>,
}

/// The first 16 bytes of a digest.
pub(super) fn short(digest: &Digest) -> Short {
    let mut short = [0; 16];
    let mut nibbles = digest
        .hex()
        .chars()
        .map(|char| u8::try_from(char.to_digit(16).unwrap_or_default()).unwrap_or_default());
    for slot in &mut short {
        let (high, low) = (nibbles.next(), nibbles.next());
        *slot = high.unwrap_or_default() << 4 | low.unwrap_or_default();
    }
    short
}

/// The same of a manifest: turned over, so that it is never taken for a blob that has its bytes.
pub(super) fn short_of_manifest(digest: &Digest) -> Short {
    short(digest).map(|byte| !byte)
}

impl Held {
    pub(super) fn number(&self, repository: &Repository) -> Option<u32> {
        self.numbers.get(repository).copied()
    }

    /// The number of `repository`, a new one where it has none. `None` when all are taken.
    pub(super) fn intern(&mut self, repository: &Repository) -> Option<u32> {
        if let Some(number) = self.number(repository) {
            return Some(number);
        }
        let number = if let Some(number) = self.free.pop() {
            let slot = self.names.get_mut(usize::try_from(number).ok()?)?;
            *slot = Some(repository.clone());
            number
        } else {
            let number = u32::try_from(self.names.len()).ok()?;
            self.names.push(Some(repository.clone()));
            number
        };
        self.numbers.insert(repository.clone(), number);
        Some(number)
    }

    pub(super) fn name(&self, number: u32) -> Option<&Repository> {
        self.names.get(usize::try_from(number).ok()?)?.as_ref()
    }

    pub(super) fn has_blob(&self, repository: &Repository, digest: Short) -> bool {
        let Some(number) = self.number(repository) else {
            return false;
        };
        let blobs = self.blobs.get(repository.registry());
        blobs.is_some_and(|blobs| blobs.contains(&entry(digest, number)))
    }

    pub(super) fn holder(&self, registry: &Registry, digest: Short) -> Option<&Repository> {
        let mut holders = self.blobs.get(registry)?.holders(digest);
        holders.find_map(|number| self.name(number))
    }

    pub(super) fn note_blob(&mut self, repository: &Repository, digest: Short) {
        if !self.forgotten_blobs.is_empty() {
            self.forgotten_blobs.remove(&(repository.clone(), digest));
        }
        self.learn_blob(repository, digest);
    }

    fn learn_blob(&mut self, repository: &Repository, digest: Short) {
        let Some(number) = self.intern(repository) else {
            return;
        };
        if let Some(blobs) = self.blobs.get_mut(repository.registry()) {
            blobs.insert(entry(digest, number));
        } else {
            let mut blobs = Sorted::default();
            blobs.insert(entry(digest, number));
            self.blobs.insert(repository.registry().clone(), blobs);
        }
    }

    pub(super) fn forget_blob(&mut self, repository: &Repository, digest: Short) {
        if self.forgotten_blobs.len() < MOST_FORGOTTEN {
            self.forgotten_blobs.insert((repository.clone(), digest));
        }
        if let Some(number) = self.number(repository)
            && let Some(blobs) = self.blobs.get_mut(repository.registry())
        {
            blobs.remove(&entry(digest, number));
        }
    }

    pub(super) fn forget_repository(&mut self, repository: &Repository) {
        self.forgotten.insert(repository.clone());
        let Some(number) = self.numbers.remove(repository) else {
            return;
        };
        let slot = usize::try_from(number).ok();
        if let Some(slot) = slot.and_then(|index| self.names.get_mut(index)) {
            *slot = None;
        }
        self.tags
            .retain(|route, _| route.from != number && route.to != number);
        self.gone += 1;
        if self.gone >= MOST_GONE {
            self.tidy();
        }
    }

    /// Drops what is left of repositories that were forgotten, and frees their numbers.
    pub(super) fn tidy(&mut self) {
        let Self {
            names,
            free,
            gone,
            blobs,
            ..
        } = self;
        if *gone == 0 {
            return;
        }
        let is_there = |number: u32| {
            let index = usize::try_from(number).unwrap_or(usize::MAX);
            names.get(index).is_some_and(Option::is_some)
        };
        for blobs in blobs.values_mut() {
            blobs.retain(is_there);
        }
        blobs.retain(|_, blobs| blobs.len() > 0);
        let empty = names.iter().zip(0_u32..).filter(|(name, _)| name.is_none());
        *free = empty.map(|(_, number)| number).collect();
        *gone = 0;
    }

    pub(super) fn tag(
        &self,
        from: &Repository,
        tag: &Tag,
        to: &Repository,
        variant: &str,
    ) -> Option<&Copied> {
        self.copies(from, to, variant)?.get(tag)
    }

    pub(super) fn copies(
        &self,
        from: &Repository,
        to: &Repository,
        variant: &str,
    ) -> Option<&BTreeMap<Tag, Copied>> {
        let route = Route {
            from: self.number(from)?,
            to: self.number(to)?,
            variant: variant.into(),
        };
        self.tags.get(&route)
    }

    pub(super) fn tags_at(&self, to: &Repository) -> Vec<Tag> {
        let number = self.number(to);
        let routes = self.tags.iter();
        let there = routes.filter(|(route, _)| Some(route.to) == number);
        there.flat_map(|(_, tags)| tags.keys().cloned()).collect()
    }

    pub(super) fn note_tag(
        &mut self,
        from: &Repository,
        tag: &Tag,
        to: &Repository,
        variant: &str,
        mut copied: Copied,
    ) {
        let (Some(from), Some(to)) = (self.intern(from), self.intern(to)) else {
            return;
        };
        if copied.source == copied.destination {
            copied.destination = copied.source.clone();
        }
        let route = Route {
            from,
            to,
            variant: variant.into(),
        };
        let tags = self.tags.entry(route).or_default();
        tags.insert(tag.clone(), copied);
    }

    /// Takes in what `other` knows, but for what was found to be wrong here. Of two copies of a tag the later one counts.
    pub(super) fn merge(&mut self, other: &Self) {
        let names = other.names.iter().map(Option::as_ref);
        let names = names.map(|name| name.filter(|name| !self.forgotten.contains(*name)));
        let names: Vec<Option<&Repository>> = names.collect();
        let numbers: Vec<_> = names.iter().map(|name| self.intern((*name)?)).collect();
        for (registry, blobs) in &other.blobs {
            let ours = self.blobs.entry(registry.clone()).or_default();
            for one in blobs.iter() {
                let (digest, old) = super::sorted::parts(one);
                let old = usize::try_from(old).unwrap_or(usize::MAX);
                let (Some(Some(name)), Some(Some(number))) = (names.get(old), numbers.get(old))
                else {
                    continue;
                };
                let is_forgotten = !self.forgotten_blobs.is_empty()
                    && self.forgotten_blobs.contains(&((*name).clone(), digest));
                if !is_forgotten {
                    ours.insert(entry(digest, *number));
                }
            }
        }
        for (route, tags) in &other.tags {
            let (Some(from), Some(to)) = (other.name(route.from), other.name(route.to)) else {
                continue;
            };
            if self.forgotten.contains(from) || self.forgotten.contains(to) {
                continue;
            }
            for (tag, copied) in tags {
                let ours = self.tag(from, tag, to, &route.variant);
                if ours.is_none_or(|ours| ours.verified < copied.verified) {
                    self.note_tag(from, tag, to, &route.variant, copied.clone());
                }
            }
        }
    }
}
