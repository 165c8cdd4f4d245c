//! Which blob goes where next, and which way: streamed from its source, or mounted from a repository that has it.
//!
//! The plan grows while it is carried out: an image's wishes come in as soon as its manifests are read, and nothing waits
//! for the images that are not. For each registry one repository leads: the blob is streamed to it, for all
//! registries that want it in one reading; the others mount it from there once it has arrived. What most images wait
//! for goes first, then what is largest.
//!
//! Nothing is asked or moved here, and nothing is known of requests: whoever carries a [`Step`] out says how it
//! ended. A failure stays: whoever wishes for the same again is told, until it is forgotten.

use std::collections::hash_map::Entry;
use std::collections::{BinaryHeap, HashMap, VecDeque};

use super::document::Descriptor;
use crate::image::{Digest, Registry, Repository};

/// What is planned. `C` is whoever waits for a blob, `F` why one failed.
#[derive(Debug)]
pub struct Plan<C, F> {
    blobs: HashMap<Key, Blob<C, F>>,
    ready: BinaryHeap<Ready>,
    mounts: VecDeque<(Key, Repository, Repository)>,
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
    sources: Vec<usize>,
    failed_sources: Vec<usize>,
    /// How many have wished for it.
    fan_out: usize,
    lanes: HashMap<Registry, Lane<C, F>>,
}

/// One blob at one registry.
#[derive(Debug)]
struct Lane<C, F> {
    /// Has it, so that the others mount from there.
    holder: Option<Repository>,
    /// Whether it is on its way to one of the repositories.
    is_led: bool,
    needs: HashMap<Repository, Need<C, F>>,
}

#[derive(Debug)]
struct Need<C, F> {
    state: State<F>,
    claims: Vec<C>,
    may_mount: bool,
}

#[derive(Debug)]
enum State<F> {
    /// For its turn to be streamed to, or for the leader to have it.
    Waiting,
    /// It is streamed to.
    Leading,
    /// A mount is due or under way.
    Mounting,
    There,
    Failed {
        failure: F,
        /// Another source may have it.
        is_of_sources: bool,
    },
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
    pub to: &'a Repository,
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
        to: Repository,
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
        to: Vec<Repository>,
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

impl<C, F> Default for Lane<C, F> {
    fn default() -> Self {
        Self {
            holder: None,
            is_led: false,
            needs: HashMap::new(),
        }
    }
}

impl<C, F> Blob<C, F> {
    fn of(blob: &Descriptor) -> Self {
        Self {
            media_type: blob.media_type.clone(),
            sources: Vec::new(),
            failed_sources: Vec::new(),
            fan_out: 0,
            lanes: HashMap::new(),
        }
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
        let is_good = |source: &&usize| !self.failed_sources.contains(source);
        let mut sources = self.sources.iter();
        let good = sources.find(is_good).or(self.sources.first());
        good.copied().unwrap_or_default()
    }

    fn is_lost(&self) -> bool {
        self.sources
            .iter()
            .all(|source| self.failed_sources.contains(source))
    }

    fn ready(&self, key: &Key) -> Ready {
        Ready {
            fan_out: self.fan_out,
            size: key.1,
            key: key.clone(),
        }
    }
}

impl<C, F> Lane<C, F> {
    /// Whether somebody may be streamed to now.
    fn is_open(&self) -> bool {
        !self.is_led && self.needs.values().any(|need| self.may_lead(need))
    }

    fn may_lead(&self, need: &Need<C, F>) -> bool {
        matches!(need.state, State::Waiting) && (self.holder.is_none() || !need.may_mount)
    }

    /// Who leads: whom most wait for.
    fn leader(&self) -> Option<Repository> {
        self.needs
            .iter()
            .filter(|(_, need)| self.may_lead(need))
            .max_by_key(|(repository, need)| (need.claims.len(), *repository))
            .map(|(repository, _)| repository.clone())
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
        if !blob.sources.contains(&source) {
            blob.sources.push(source);
        }
        let is_lost = blob.is_lost();
        let lane = blob.lanes.entry(to.registry().clone()).or_default();
        let mut is_new = true;
        let need = match lane.needs.entry(to.clone()) {
            Entry::Vacant(vacant) => vacant.insert(Need {
                state: State::Waiting,
                claims: Vec::new(),
                may_mount: true,
            }),
            Entry::Occupied(occupied) => {
                let need = occupied.into_mut();
                match &need.state {
                    State::There => return Answer::There,
                    State::Failed {
                        failure,
                        is_of_sources,
                    } => {
                        if !is_of_sources || is_lost {
                            return Answer::Failed(failure.clone());
                        }
                        need.state = State::Waiting;
                    }
                    State::Waiting | State::Leading | State::Mounting => is_new = false,
                }
                need
            }
        };
        need.claims.push(claim);
        need.may_mount &= mount != Mount::Never;
        if is_new {
            let from = match mount {
                Mount::From(from) if from != to => Some(from.clone()),
                Mount::From(_) | Mount::FromLeader => lane.holder.clone(),
                Mount::Never => None,
            };
            if let Some(from) = from.filter(|from| from != to && need.may_mount) {
                need.state = State::Mounting;
                self.mounts.push_back((key.clone(), to.clone(), from));
            }
        }
        blob.fan_out += 1;
        if blob.lanes.values().any(Lane::is_open) {
            self.ready.push(blob.ready(&key));
        }
        Answer::Waits { is_new }
    }

    /// `to` is known to have the blob from before; whether that is news.
    pub fn note(&mut self, descriptor: &Descriptor, to: &Repository) -> bool {
        let key = Key::of(descriptor);
        let blob = self
            .blobs
            .entry(key)
            .or_insert_with(|| Blob::of(descriptor));
        let lane = blob.lanes.entry(to.registry().clone()).or_default();
        let Entry::Vacant(vacant) = lane.needs.entry(to.clone()) else {
            return false;
        };
        vacant.insert(Need {
            state: State::There,
            claims: Vec::new(),
            may_mount: true,
        });
        if lane.holder.is_none() {
            lane.holder = Some(to.clone());
        }
        true
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
            for lane in blob.lanes.values_mut().filter(|lane| !lane.is_led) {
                let Some(leader) = lane.leader() else {
                    continue;
                };
                if let Some(need) = lane.needs.get_mut(&leader) {
                    need.state = State::Leading;
                    lane.is_led = true;
                    to.push(leader);
                }
            }
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
    pub fn there(&mut self, descriptor: &Descriptor, to: &Repository) -> Vec<C> {
        let key = Key::of(descriptor);
        let Some(blob) = self.blobs.get_mut(&key) else {
            return Vec::new();
        };
        let Some(lane) = blob.lanes.get_mut(to.registry()) else {
            return Vec::new();
        };
        let Some(need) = lane.needs.get_mut(to) else {
            return Vec::new();
        };
        let was_leading = matches!(need.state, State::Leading);
        need.state = State::There;
        let claims = std::mem::take(&mut need.claims);
        lane.is_led &= !was_leading;
        lane.holder = Some(to.clone());
        for (repository, need) in &mut lane.needs {
            if matches!(need.state, State::Waiting) && need.may_mount {
                need.state = State::Mounting;
                let mount = (key.clone(), repository.clone(), to.clone());
                self.mounts.push_back(mount);
            }
        }
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
        to: &Repository,
        failure: &F,
        source: Option<usize>,
    ) -> Vec<C> {
        let key = Key::of(descriptor);
        let Some(blob) = self.blobs.get_mut(&key) else {
            return Vec::new();
        };
        blob.failed_sources.extend(source);
        let is_lost = blob.is_lost();
        let mut claims = Vec::new();
        for lane in blob.lanes.values_mut() {
            for (repository, need) in &mut lane.needs {
                let is_it = repository == to;
                let is_hopeless =
                    is_lost && lane.holder.is_none() && matches!(need.state, State::Waiting);
                if !is_it && !is_hopeless {
                    continue;
                }
                lane.is_led &= !matches!(need.state, State::Leading);
                if source.is_some() && !is_lost {
                    // The registry did not mount it, or there was nothing to read.
                    need.may_mount &= !matches!(need.state, State::Mounting);
                    need.state = State::Waiting;
                    if let Some(holder) = lane.holder.clone().filter(|_| need.may_mount) {
                        need.state = State::Mounting;
                        let mount = (key.clone(), repository.clone(), holder);
                        self.mounts.push_back(mount);
                    }
                    continue;
                }
                need.state = State::Failed {
                    failure: failure.clone(),
                    is_of_sources: source.is_some(),
                };
                claims.append(&mut need.claims);
            }
        }
        if blob.lanes.values().any(Lane::is_open) {
            self.ready.push(blob.ready(&key));
        }
        claims
    }

    /// `to` does not have the blob, whatever was said: the next wish for it begins anew.
    pub fn forget(&mut self, descriptor: &Descriptor, to: &Repository) {
        let lane = self
            .blobs
            .get_mut(&Key::of(descriptor))
            .and_then(|blob| blob.lanes.get_mut(to.registry()));
        let Some(lane) = lane else {
            return;
        };
        if let Entry::Occupied(need) = lane.needs.entry(to.clone())
            && matches!(need.get().state, State::There)
        {
            need.remove();
        }
        if lane.holder.as_ref() == Some(to) {
            lane.holder = None;
        }
    }

    /// Whether nothing is left to be begun.
    pub fn is_idle(&self) -> bool {
        self.ready.is_empty() && self.mounts.is_empty()
    }
}

#[cfg(test)]
mod tests;
