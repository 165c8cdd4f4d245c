//! Which blob goes where next, and which way: streamed from its source, or mounted from a repository that has it.
//!
//! The plan grows while it is carried out: an image's wishes come in as soon as its manifests are read, and nothing waits
//! for the images that are not. For each registry one repository leads: the blob is streamed to it, for all
//! registries that want it in one reading; the others mount it from there once it has arrived. What most images wait
//! for goes first, then what is largest.
//!
//! Nothing is asked or moved here, and nothing is known of requests: whoever carries a [`Step`] out says how it
//! ended. A failure stays: whoever wishes for the same again is told, until it is forgotten. No call looks at more than it
//! changes: a base layer of thousands of repositories is planned in the time that it takes to name them.

mod lane;

use std::collections::btree_map::Entry;
use std::collections::{BTreeSet, BinaryHeap, HashMap, VecDeque};
use std::ops::RangeInclusive;

use lane::{Lane, Need, State};

use super::document::Descriptor;
use crate::image::{Digest, Registry, Repository};

/// What is planned. `C` is whoever waits for a blob, `F` why one failed.
#[derive(Debug)]
pub struct Plan<C, F> {
    blobs: HashMap<Key, Blob<C, F>>,
    ready: BinaryHeap<Ready>,
    mounts: VecDeque<(Key, Spot, Repository)>,
}

/// A repository as one account sees it. What one account brought there is there for all; what one may not do, another may.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Spot {
    /// Which.
    pub repository: Repository,
    /// Tells accounts apart.
    pub account: u32,
}

impl Spot {
    /// All accounts' of one repository.
    fn all(repository: &Repository) -> RangeInclusive<Self> {
        let spot = |account| Self {
            repository: repository.clone(),
            account,
        };
        spot(0)..=spot(u32::MAX)
    }
}

/// Two images may disagree on a blob's length: then the one that lies must not spoil the other.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Key(Digest, u64);

impl Key {
    fn of(blob: &Descriptor) -> Self {
        Self(blob.digest.clone(), blob.size)
    }
}

#[derive(Debug)]
struct Blob<C, F> {
    media_type: String,
    /// Where it can be read, by number.
    sources: BTreeSet<usize>,
    failed_sources: BTreeSet<usize>,
    /// How many have wished for it.
    fan_out: usize,
    lanes: HashMap<Registry, Lane<C, F>>,
}

/// The most wished for first, then the largest, then by name.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Ready {
    fan_out: usize,
    size: u64,
    key: Key,
}

/// One wish: `blob` in `to`.
#[derive(Debug, Clone, Copy)]
pub struct Want<'a> {
    /// Which.
    pub blob: &'a Descriptor,
    /// Where.
    pub to: &'a Spot,
    /// The number of the source that has it.
    pub source: usize,
    /// Where it can be had from at once.
    pub mount: Mount<'a>,
}

/// Whether a blob may be taken from a neighbour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mount<'a> {
    /// From this repository, at once.
    From(&'a Repository),
    /// From whichever has it by then.
    FromLeader,
    /// Not at all: what was said of mounts has turned out to be wrong.
    Never,
}

/// What is to be said to a wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer<F> {
    /// It is there.
    There,
    /// The claim is handed back when it is decided.
    Waits {
        /// Whether nobody had this wish before.
        is_new: bool,
    },
    /// It has failed before.
    Failed(F),
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Mount it, or stream it in place of that.
    Mount {
        /// Which.
        blob: Descriptor,
        /// Where.
        to: Spot,
        /// Where it is.
        from: Repository,
        /// The source, should the registry not mount.
        source: usize,
    },
    /// Read it once, and write it to all of these; each is in another registry.
    Stream {
        /// Which.
        blob: Descriptor,
        /// Where.
        to: Vec<Spot>,
        /// Where it is read.
        source: usize,
    },
}

impl<C, F> Default for Plan<C, F> {
    fn default() -> Self {
        Self {
            blobs: HashMap::new(),
            ready: BinaryHeap::new(),
            mounts: VecDeque::new(),
        }
    }
}

impl<C, F> Blob<C, F> {
    fn of(blob: &Descriptor) -> Self {
        Self {
            media_type: blob.media_type.clone(),
            sources: BTreeSet::new(),
            failed_sources: BTreeSet::new(),
            fan_out: 0,
            lanes: HashMap::new(),
        }
    }

    /// At the registry of `to`.
    fn lane(&mut self, to: &Spot) -> &mut Lane<C, F> {
        let registry = to.repository.registry().clone();
        self.lanes.entry(registry).or_default()
    }

    fn descriptor(&self, key: &Key) -> Descriptor {
        Descriptor {
            media_type: self.media_type.clone(),
            digest: key.0.clone(),
            size: key.1,
        }
    }

    /// A source that has not failed; any, when all have.
    fn source(&self) -> usize {
        let source = self.sources.first().or_else(|| self.failed_sources.first());
        source.copied().unwrap_or_default()
    }

    fn is_lost(&self) -> bool {
        self.sources.is_empty()
    }

    /// Whether it may be streamed somewhere now.
    fn is_open(&self) -> bool {
        self.lanes.values().any(Lane::is_open)
    }

    fn ready(&self, key: &Key) -> Ready {
        Ready {
            fan_out: self.fan_out,
            size: key.1,
            key: key.clone(),
        }
    }
}

impl<C, F: Clone> Plan<C, F> {
    /// Takes a wish in. Unless it is answered at once, `claim` waits.
    pub fn want(&mut self, want: Want<'_>, claim: C) -> Answer<F> {
        let Want {
            blob: descriptor,
            to,
            source,
            mount,
        } = want;
        let key = Key::of(descriptor);
        let blob = self
            .blobs
            .entry(key.clone())
            .or_insert_with(|| Blob::of(descriptor));
        if !blob.failed_sources.contains(&source) {
            blob.sources.insert(source);
        }
        let is_lost = blob.is_lost();
        let lane = blob.lane(to);
        let is_there = lane.has(&to.repository);
        let mut is_new = true;
        let need = match lane.needs.entry(to.clone()) {
            Entry::Vacant(vacant) => {
                if is_there {
                    return Answer::There;
                }
                vacant.insert(Need::new())
            }
            Entry::Occupied(occupied) => {
                let need = occupied.into_mut();
                match &need.state {
                    State::There => return Answer::There,
                    State::Failed { .. } if is_there => {
                        need.state = State::There;
                        return Answer::There;
                    }
                    State::Failed {
                        failure,
                        is_of_sources,
                    } => {
                        if !is_of_sources || is_lost {
                            return Answer::Failed(failure.clone());
                        }
                        need.state = State::Waiting;
                    }
                    State::Waiting => {
                        lane.queue.leave(to, need);
                        is_new = false;
                    }
                    State::Leading | State::Mounting => is_new = false,
                }
                need
            }
        };
        need.claims.push(claim);
        need.may_mount &= mount != Mount::Never;
        if is_new {
            let from = match mount {
                Mount::From(from) if *from != to.repository => Some(from.clone()),
                Mount::From(_) | Mount::FromLeader => lane.holder.clone(),
                Mount::Never => None,
            };
            if let Some(from) = from.filter(|from| *from != to.repository && need.may_mount) {
                need.state = State::Mounting;
                self.mounts.push_back((key.clone(), to.clone(), from));
            }
        }
        lane.queue.join(to, need);
        blob.fan_out += 1;
        if blob.is_open() {
            self.ready.push(blob.ready(&key));
        }
        Answer::Waits { is_new }
    }

    /// `to` is known to have the blob from before, and others may mount it from there or not; whether that is news.
    pub fn note(&mut self, descriptor: &Descriptor, to: &Spot, may_mount: bool) -> bool {
        let key = Key::of(descriptor);
        let blob = self
            .blobs
            .entry(key)
            .or_insert_with(|| Blob::of(descriptor));
        let lane = blob.lane(to);
        let is_news = !lane.has(&to.repository);
        let Entry::Vacant(vacant) = lane.needs.entry(to.clone()) else {
            return false;
        };
        vacant.insert(Need {
            state: State::There,
            ..Need::new()
        });
        if may_mount {
            lane.holder.get_or_insert_with(|| to.repository.clone());
        }
        is_news
    }

    /// The next mount.
    pub fn next_mount(&mut self) -> Option<Step> {
        let (key, to, from) = self.mounts.pop_front()?;
        let blob = self.blobs.get(&key)?;
        Some(Step::Mount {
            blob: blob.descriptor(&key),
            source: blob.source(),
            to,
            from,
        })
    }

    /// The next blob to be streamed.
    pub fn next_stream(&mut self) -> Option<Step> {
        while let Some(Ready { fan_out, key, .. }) = self.ready.pop() {
            let Some(blob) = self.blobs.get_mut(&key) else {
                continue;
            };
            // Of every wish there is an entry: only the last one counts.
            if blob.fan_out != fan_out {
                continue;
            }
            let mut to = Vec::new();
            to.extend(blob.lanes.values_mut().filter_map(Lane::lead));
            if !to.is_empty() {
                to.sort();
                return Some(Step::Stream {
                    blob: blob.descriptor(&key),
                    source: blob.source(),
                    to,
                });
            }
        }
        None
    }

    /// `to` has the blob now; those who waited for that.
    pub fn there(&mut self, descriptor: &Descriptor, to: &Spot) -> Vec<C> {
        let key = Key::of(descriptor);
        let Some(blob) = self.blobs.get_mut(&key) else {
            return Vec::new();
        };
        let lane = blob.lanes.get_mut(to.repository.registry());
        let Some(lane) = lane.filter(|lane| lane.needs.contains_key(to)) else {
            return Vec::new();
        };
        let claims = lane.there(to);
        let from = &to.repository;
        let mounts = lane.mount_all().into_iter();
        self.mounts
            .extend(mounts.map(|spot| (key.clone(), spot, from.clone())));
        if lane.is_open() {
            self.ready.push(blob.ready(&key));
        }
        claims
    }

    /// The blob could not be brought to `to`; because of the source of that number, if it is to blame: then another source
    /// is tried, if there is one. Those who waited in vain.
    pub fn failed(
        &mut self,
        descriptor: &Descriptor,
        to: &Spot,
        failure: &F,
        source: Option<usize>,
    ) -> Vec<C> {
        let key = Key::of(descriptor);
        let Some(blob) = self.blobs.get_mut(&key) else {
            return Vec::new();
        };
        if let Some(source) = source {
            blob.sources.remove(&source);
            blob.failed_sources.insert(source);
        }
        let is_lost = blob.is_lost();
        let is_of_sources = source.is_some();
        let mut claims = Vec::new();
        if let Some(lane) = blob.lanes.get_mut(to.repository.registry()) {
            if is_of_sources && !is_lost {
                let mount = lane.again(to);
                self.mounts
                    .extend(mount.map(|from| (key.clone(), to.clone(), from)));
            } else {
                claims = lane.fail(to, failure, is_of_sources);
            }
        }
        if is_lost {
            // Nobody has it, and nobody will.
            for lane in blob.lanes.values_mut() {
                claims.append(&mut lane.fail_all(failure, is_of_sources));
            }
        }
        if blob.is_open() {
            self.ready.push(blob.ready(&key));
        }
        claims
    }

    /// The repository does not have the blob, whatever was said: the next wish for it begins anew.
    pub fn forget(&mut self, descriptor: &Descriptor, repository: &Repository) {
        let lane = self
            .blobs
            .get_mut(&Key::of(descriptor))
            .and_then(|blob| blob.lanes.get_mut(repository.registry()));
        if let Some(lane) = lane {
            lane.forget(repository);
        }
    }

    /// The repository has none of the blobs, whatever was said. This looks at all that is planned.
    pub fn forget_repository(&mut self, repository: &Repository) {
        for blob in self.blobs.values_mut() {
            if let Some(lane) = blob.lanes.get_mut(repository.registry()) {
                lane.forget(repository);
            }
        }
    }

    /// Whether nothing is left to be begun.
    pub fn is_idle(&self) -> bool {
        self.ready.is_empty() && self.mounts.is_empty()
    }
}

#[cfg(test)]
mod tests;
