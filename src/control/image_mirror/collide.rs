//! Mirrors that would meet in one destination repository: the later one gives way, and says whom to.
//!
//! Every mirror that is there claims the repositories that its sources go to: a suspended one too, so that nobody takes its place
//! meanwhile, and one that gives way itself, so that who goes first does not hang on who else is there. Claims are worked
//! out anew for what changed and for nothing else; whoever asks is answered by claims that are all up to date.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use parking_lot::Mutex;

use crate::api::ImageMirror;
use crate::image::Repository;
use crate::mirror::canonical;
use crate::mirror::clash::Terms;
use crate::object::Key;

/// Who claims what. As large as there are mirrors, sources and destinations.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// Protects all maps: for a lookup, or while one mirror's claims are worked out.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    mirrors: HashMap<Key, Held>,
    /// By destination repository; whoever is first goes first.
    places: HashMap<Repository, BTreeMap<Rank, Vec<Wish>>>,
    /// The mirrors whose claims may have changed.
    stale: BTreeSet<Key>,
}

/// What is held of one mirror.
#[derive(Debug)]
struct Held {
    rank: Rank,
    repositories: BTreeSet<Key>,
    places: BTreeSet<Repository>,
    /// The one that it was told to give way to.
    gives_way_to: Option<Key>,
}

/// The earlier one goes first. One that was never created in a cluster goes last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rank {
    created: Option<Timestamp>,
    mirror: Key,
}

impl Ord for Rank {
    fn cmp(&self, other: &Self) -> Ordering {
        let when = |rank: &Self| (rank.created.is_none(), rank.created);
        when(self)
            .cmp(&when(other))
            .then_with(|| self.mirror.cmp(&other.mirror))
    }
}

impl PartialOrd for Rank {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// One source that is to be in one place. All repositories by their one name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Wish {
    source: Repository,
    terms: Terms,
}

/// What one mirror claims.
#[derive(Debug)]
pub(super) struct Claim {
    rank: Rank,
    repositories: BTreeSet<Key>,
    places: BTreeMap<Repository, Vec<Wish>>,
}

/// An earlier mirror is in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Conflict {
    pub(super) other: Key,
    pub(super) destination: Repository,
    pub(super) is_about: About,
}

/// What two mirrors do not agree about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    /// What is copied.
    Source,
    /// How.
    Terms,
}

impl Claim {
    /// A mirror that claims nothing yet.
    pub(super) fn new(mirror: &Key, object: &ImageMirror) -> Self {
        let created = object.metadata.creation_timestamp.as_ref();
        Self {
            rank: Rank {
                created: created.map(|time| time.0),
                mirror: mirror.clone(),
            },
            repositories: BTreeSet::new(),
            places: BTreeMap::new(),
        }
    }

    /// It looks at this ImageRepository.
    pub(super) fn looks_at(&mut self, repository: &Key) {
        self.repositories.insert(repository.clone());
    }

    /// It wants `source` at `destination`.
    pub(super) fn wants(&mut self, source: &Repository, destination: &Repository, terms: Terms) {
        let wish = Wish {
            source: canonical::repository(source).into_owned(),
            terms,
        };
        let place = canonical::repository(destination).into_owned();
        let wishes = self.places.entry(place).or_default();
        if !wishes.contains(&wish) {
            wishes.push(wish);
            wishes.sort();
        }
    }
}

impl Claims {
    /// What `mirror` claims may have changed.
    pub(super) fn note(&self, mirror: Key) {
        self.state.lock().stale.insert(mirror);
    }

    /// Brings all claims up to date; `of` says what a mirror claims now. Answers with the mirrors that are in another position
    /// than before because of it.
    pub(super) fn settle(&self, of: impl Fn(&Key) -> Option<Claim>) -> BTreeSet<Key> {
        let mut moved = BTreeSet::new();
        loop {
            let mut state = self.state.lock();
            let Some(mirror) = state.stale.pop_first() else {
                return moved;
            };
            let claim = of(&mirror);
            state.put(&mirror, claim, &mut moved);
        }
    }

    /// The earliest mirror that `mirror` has to give way to.
    pub(super) fn conflict(&self, mirror: &Key) -> Option<Conflict> {
        let mut state = self.state.lock();
        let conflict = state.conflict(mirror);
        if let Some(held) = state.mirrors.get_mut(mirror) {
            held.gives_way_to = conflict.as_ref().map(|conflict| conflict.other.clone());
        }
        conflict
    }

    /// Whether `mirror` looked at `repository` when its claims were worked out.
    pub(super) fn looks_at(&self, mirror: &Key, repository: &Key) -> bool {
        let state = self.state.lock();
        let held = state.mirrors.get(mirror);
        held.is_some_and(|held| held.repositories.contains(repository))
    }

    /// Another mirror that copies to `destination`, too: what this one does not want may be wanted by that one.
    pub(super) fn neighbour(&self, mirror: &Key, destination: &Repository) -> Option<Key> {
        let state = self.state.lock();
        let there = state.places.get(&canonical::repository(destination))?;
        let others = there.keys().map(|rank| &rank.mirror);
        others.into_iter().find(|other| *other != mirror).cloned()
    }

    pub(super) fn clear(&self) {
        *self.state.lock() = State::default();
    }
}

impl State {
    fn put(&mut self, mirror: &Key, claim: Option<Claim>, moved: &mut BTreeSet<Key>) {
        let before = self.mirrors.remove(mirror);
        if let (Some(held), Some(claim)) = (&before, &claim)
            && self.is_same(held, claim)
        {
            let Claim { repositories, .. } = claim;
            let held = Held {
                repositories: repositories.clone(),
                rank: held.rank.clone(),
                places: held.places.clone(),
                gives_way_to: held.gives_way_to.clone(),
            };
            self.mirrors.insert(mirror.clone(), held);
            return;
        }
        if let Some(held) = &before {
            for place in &held.places {
                let Some(claims) = self.places.get_mut(place) else {
                    continue;
                };
                claims.remove(&held.rank);
                let others = claims.keys().map(|rank| &rank.mirror);
                for other in others {
                    let other_held = self.mirrors.get(other);
                    if other_held.is_some_and(|held| held.gives_way_to.as_ref() == Some(mirror)) {
                        moved.insert(other.clone());
                    }
                }
                if claims.is_empty() {
                    self.places.remove(place);
                }
            }
        }
        let Some(Claim {
            rank,
            repositories,
            places,
        }) = claim
        else {
            return;
        };
        let held = Held {
            rank: rank.clone(),
            repositories,
            places: places.keys().cloned().collect(),
            gives_way_to: before.and_then(|held| held.gives_way_to),
        };
        self.mirrors.insert(mirror.clone(), held);
        for (place, wishes) in places {
            let claims = self.places.entry(place).or_default();
            for (later, theirs) in claims.range(rank.clone()..) {
                if differ(&wishes, theirs).is_some() {
                    moved.insert(later.mirror.clone());
                }
            }
            claims.insert(rank.clone(), wishes);
        }
    }

    fn is_same(&self, held: &Held, claim: &Claim) -> bool {
        held.rank == claim.rank
            && held.places.len() == claim.places.len()
            && claim.places.iter().all(|(place, wishes)| {
                let claims = self.places.get(place);
                claims.and_then(|claims| claims.get(&held.rank)) == Some(wishes)
            })
    }

    fn conflict(&self, mirror: &Key) -> Option<Conflict> {
        let held = self.mirrors.get(mirror)?;
        let mut found: Option<(&Rank, Conflict)> = None;
        for place in &held.places {
            let Some(claims) = self.places.get(place) else {
                continue;
            };
            let Some(own) = claims.get(&held.rank) else {
                continue;
            };
            for (rank, theirs) in claims.range(..held.rank.clone()) {
                let Some(is_about) = differ(own, theirs) else {
                    continue;
                };
                if found.as_ref().is_none_or(|(first, _)| rank < first) {
                    let conflict = Conflict {
                        other: rank.mirror.clone(),
                        destination: place.clone(),
                        is_about,
                    };
                    found = Some((rank, conflict));
                }
                break;
            }
        }
        found.map(|(_, conflict)| conflict)
    }
}

/// What two mirrors that go to one place do not agree about.
fn differ(own: &[Wish], theirs: &[Wish]) -> Option<About> {
    let pairs = || {
        let each = own.iter();
        each.flat_map(|own| theirs.iter().map(move |their| (own, their)))
    };
    if pairs().any(|(own, their)| own.source != their.source) {
        return Some(About::Source);
    }
    let is_other = pairs().any(|(own, their)| own.terms != their.terms);
    is_other.then_some(About::Terms)
}

#[cfg(test)]
mod tests;
