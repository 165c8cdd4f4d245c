//! What a mirror has created at its destinations, and since when it is not wanted any more: what may be deleted one day, and
//! nothing else may.
//!
//! By destination repository and tag: the digest as it was written, and, where several mirrors share a ledger, which of them want
//! it: what one of them wants that does not take part is left alone. A tag that was there before somebody copied it is not in
//! here, nor is one that somebody else moved since. To lose a ledger is safe: then nothing is ours. Where it is kept is others' business;
//! when something is due is [`super::prune`]'s.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::canonical;
use super::outcome::{Outcome, Report, TagReport, Written};
use super::prune::{Doubt, LOOKS, Sight};
use super::referrers::is_companion;
use crate::image::{Digest, Repository, Tag};
use crate::object::Key;

mod codec;
#[cfg(test)]
mod tests;

pub use super::known::Error;

/// More tags are not owned.
pub const MOST_TAGS: usize = 100_000;
/// A signature that belongs to more images is not owned, nor is a tag of more mirrors.
const MOST_OWNERS: usize = 16;

/// The mirrors that take part in a run, by the one name of where they copy to, and the tags that each of them wants there.
pub type Parties = BTreeMap<Repository, BTreeMap<Key, BTreeSet<Tag>>>;

/// What one mirror owns, or several that share it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    /// By the repository's one name.
    pages: BTreeMap<Repository, Page>,
    /// Of what was told to be deleted next; see [`super::prune::fingerprint`].
    announced: Option<[u8; 32]>,
    /// Who takes part, which is not kept; none: all of it is one mirror's.
    parties: Option<Parties>,
}

/// One destination repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Page {
    look: Option<Look>,
    tags: BTreeMap<Tag, Entry>,
}

/// The last look at a source that told something.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Look {
    source: Repository,
    at: Timestamp,
    listed: u64,
}

/// One tag that was created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) digest: Digest,
    /// The images that it belongs to, where it is none of its own.
    pub(super) with: BTreeSet<Digest>,
    /// The mirrors that have wanted it; none where a ledger is one mirror's.
    pub(super) mirrors: BTreeSet<Key>,
    pub(super) unwanted: Option<Unwanted>,
    /// Whether it was told that it is deleted next.
    pub(super) is_announced: bool,
    /// Whether an image that it belongs to was deleted.
    pub(super) is_orphan: bool,
}

/// It is gone from the source, or from the selection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unwanted {
    pub(super) since: Timestamp,
    /// How many complete lists in a row did not have it, as far as that matters.
    pub(super) looks: u8,
}

/// Who takes part at one repository.
#[derive(Debug, Clone, Copy)]
enum Present<'a> {
    /// Whoever it is of.
    All,
    /// These mirrors; none: nobody copies there.
    These(Option<&'a BTreeMap<Key, BTreeSet<Tag>>>),
}

impl<'a> Present<'a> {
    /// At `to`, by its one name.
    fn at(to: &Repository, parties: Option<&'a Parties>) -> Self {
        parties.map_or(Self::All, |parties| Self::These(parties.get(to)))
    }

    /// Whether it is wanted by none but these.
    fn own(self, entry: &Entry) -> bool {
        match self {
            Self::All => true,
            Self::These(mirrors) => mirrors.is_some_and(|mirrors| {
                let mut wanting = entry.mirrors.iter();
                !entry.mirrors.is_empty() && wanting.all(|mirror| mirrors.contains_key(mirror))
            }),
        }
    }
}

impl Ledger {
    /// Takes in what a run has written, and forgets what somebody else has moved.
    pub fn note(&mut self, report: &Report) {
        for TagReport {
            to,
            tag,
            destination,
            outcome,
            ..
        } in &report.tags
        {
            let is_seen = matches!(outcome, Outcome::Unchanged | Outcome::Drifted { .. });
            if let (true, Some(tag), Some(found)) = (is_seen, tag, destination)
                && self
                    .entry(to, tag)
                    .is_some_and(|entry| entry.digest != *found)
            {
                self.forget(to, tag);
            }
        }
        for written in &report.written {
            self.wrote(written);
        }
    }

    /// As [`Self::note`], where several mirrors share it. From now on only what is wanted by none but `parties` is looked at, told
    /// and deleted. What none of them has selected (a signature, say) is of all of them that copy there.
    pub fn note_of(&mut self, report: &Report, parties: Parties) {
        self.note(report);
        for Written { to, tag, .. } in &report.written {
            let name = canonical::repository(to);
            let mirrors = parties.get(&*name).into_iter().flatten();
            let is_selected = mirrors.clone().any(|(_, tags)| tags.contains(tag));
            if let Some(entry) = self.entry_mut(&name, tag).filter(|_| !is_selected) {
                entry
                    .mirrors
                    .extend(mirrors.map(|(mirror, _)| mirror.clone()));
            }
        }
        for (to, mirrors) in &parties {
            for (mirror, tags) in mirrors {
                for tag in tags {
                    if let Some(entry) = self.entry_mut(to, tag) {
                        entry.mirrors.insert(mirror.clone());
                    }
                }
            }
        }
        // Nobody knows which of them need what is there already.
        for (to, mirrors) in &parties {
            let page = self.pages.get_mut(to);
            for (tag, entry) in page.into_iter().flat_map(|page| &mut page.tags) {
                if is_companion(tag) && !entry.mirrors.is_empty() {
                    entry.mirrors.extend(mirrors.keys().cloned());
                }
            }
        }
        for page in self.pages.values_mut() {
            page.tags
                .retain(|_, entry| entry.mirrors.len() <= MOST_OWNERS);
        }
        self.pages.retain(|_, page| !page.tags.is_empty());
        self.parties = Some(parties);
    }

    fn wrote(&mut self, written: &Written) {
        let Written {
            to,
            tag,
            digest,
            before,
            with,
        } = written;
        let is_full = self.len() >= MOST_TAGS;
        let name = canonical::repository(to);
        let Some(entry) = self
            .pages
            .get_mut(&*name)
            .and_then(|page| page.tags.get_mut(tag))
        else {
            if before.is_none() && !is_full {
                let page = self.pages.entry(name.into_owned()).or_default();
                let entry = Entry {
                    digest: digest.clone(),
                    with: with.iter().cloned().collect(),
                    mirrors: BTreeSet::new(),
                    unwanted: None,
                    is_announced: false,
                    is_orphan: false,
                };
                page.tags.insert(tag.clone(), entry);
            }
            return;
        };
        let is_ours = before.as_ref().is_none_or(|before| *before == entry.digest);
        entry.digest.clone_from(digest);
        entry.unwanted = None;
        entry.is_announced = false;
        entry.is_orphan = false;
        entry.with.extend(with.iter().cloned());
        if !is_ours || entry.with.len() > MOST_OWNERS {
            self.forget(to, tag);
        }
    }

    /// Takes in a look at the source of `to`: which of its tags are wanted, and which are not.
    ///
    /// # Errors
    /// Why the look cannot be believed: then what is not wanted has to be seen so anew.
    pub fn look(
        &mut self,
        to: &Repository,
        sight: &Sight<'_>,
        now: Timestamp,
    ) -> Result<(), Doubt> {
        let name = canonical::repository(to);
        let present = Present::at(&name, self.parties.as_ref());
        let Some(page) = self.pages.get_mut(&*name) else {
            return Ok(());
        };
        let source = canonical::repository(sight.source);
        let at = seconds(sight.at);
        let listed = u64::try_from(sight.listed).unwrap_or(u64::MAX);
        let doubt = page.doubt(&source, sight, listed);
        let is_new = page.look.as_ref().is_none_or(|look| look.at < at);
        let mut counts = page
            .look
            .as_ref()
            .is_none_or(|look| look.listed != listed || look.source != *source);
        let images = page.tags.iter_mut();
        let images = images.filter(|(tag, entry)| !is_companion(tag) && present.own(entry));
        for (tag, entry) in images {
            match (&doubt, &mut entry.unwanted) {
                // Whatever the list is worth: what is in it is wanted.
                (_, unwanted) if sight.wanted.contains(tag) => {
                    *unwanted = None;
                    entry.is_announced = false;
                }
                (Some(_), Some(unwanted)) => unwanted.looks = 0,
                (Some(_), None) => {}
                (None, Some(unwanted)) => {
                    if is_new && unwanted.looks < LOOKS {
                        unwanted.looks += 1;
                        counts = true;
                    }
                }
                (None, unwanted @ None) => {
                    *unwanted = Some(Unwanted {
                        since: seconds(now),
                        looks: u8::from(is_new),
                    });
                    counts = true;
                }
            }
        }
        // A list with gaps, or without anything, says nothing about what is to be expected of the next one.
        let is_told = match doubt {
            Some(Doubt::Incomplete | Doubt::Empty) => false,
            Some(_) => true,
            None => counts,
        };
        if is_told {
            let before = page.look.as_ref().map_or(at, |look| look.at);
            page.look = Some(Look {
                source: source.into_owned(),
                at: at.max(before),
                listed,
            });
        }
        doubt.map_or(Ok(()), Err)
    }

    /// Images that are owned at `to`; what belongs to them is not counted.
    pub fn owned(&self, to: &Repository) -> usize {
        self.images(to).count()
    }

    /// All that is owned, wherever.
    pub fn len(&self) -> usize {
        self.pages.values().map(|page| page.tags.len()).sum()
    }

    /// Whether nothing is owned.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The tag is not ours, or not there, any more.
    pub fn forget(&mut self, to: &Repository, tag: &Tag) {
        self.remove(to, tag);
    }

    /// The tag was deleted: what belongs to its image, and to no other, goes after it.
    pub fn deleted(&mut self, to: &Repository, tag: &Tag) {
        let Some(entry) = self.remove(to, tag) else {
            return;
        };
        let page = self.pages.get_mut(&*canonical::repository(to));
        for other in page.into_iter().flat_map(|page| page.tags.values_mut()) {
            other.is_orphan |= other.with.contains(&entry.digest);
        }
    }

    /// What belongs to images of `to` that were deleted, and to none that is owned or one of `held`.
    pub fn orphans(&self, to: &Repository, held: &BTreeSet<Digest>) -> Vec<(Tag, Digest)> {
        let name = canonical::repository(to);
        let present = Present::at(&name, self.parties.as_ref());
        let Some(page) = self.pages.get(&*name) else {
            return Vec::new();
        };
        let owned: BTreeSet<&Digest> = page.tags.values().map(|entry| &entry.digest).collect();
        let is_alone = |entry: &Entry| {
            entry.is_orphan
                && present.own(entry)
                && !entry
                    .with
                    .iter()
                    .any(|image| owned.contains(image) || held.contains(image))
        };
        let orphans = page.tags.iter().filter(|(_, entry)| is_alone(entry));
        orphans
            .map(|(tag, entry)| (tag.clone(), entry.digest.clone()))
            .collect()
    }

    /// `next` is told to be deleted next, in words of this fingerprint, and nothing else is.
    pub fn announce(&mut self, next: &BTreeSet<(Repository, Tag)>, fingerprint: Option<[u8; 32]>) {
        let next: BTreeSet<_> = next
            .iter()
            .map(|(to, tag)| (canonical::repository(to), tag))
            .collect();
        for (to, page) in &mut self.pages {
            for (tag, entry) in &mut page.tags {
                entry.is_announced = next.contains(&(std::borrow::Cow::Borrowed(to), tag));
            }
        }
        self.announced = fingerprint;
    }

    /// Whether what was told last has this fingerprint.
    pub fn has_announced(&self, fingerprint: [u8; 32]) -> bool {
        self.announced == Some(fingerprint)
    }

    /// All of it, as bytes with a version and a checksum; the same for what is the same.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// Anything else is one, and then nothing is owned.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        codec::decode(bytes)
    }

    /// Reads what stands behind a checksum, for what looks for bytes that do harm: it would hardly ever guess one.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn decode_unchecked(bytes: &[u8]) -> Result<Self, Error> {
        codec::body(super::sealed::Reader(bytes))
    }

    pub(super) fn images(&self, to: &Repository) -> impl Iterator<Item = (&Tag, &Entry)> {
        let name = canonical::repository(to);
        let present = Present::at(&name, self.parties.as_ref());
        let page = self.pages.get(&*name);
        let tags = page.into_iter().flat_map(|page| &page.tags);
        tags.filter(move |(tag, entry)| !is_companion(tag) && present.own(entry))
    }

    /// What the tag was written as, where it is owned.
    pub fn digest(&self, to: &Repository, tag: &Tag) -> Option<&Digest> {
        self.entry(to, tag).map(|entry| &entry.digest)
    }

    fn entry(&self, to: &Repository, tag: &Tag) -> Option<&Entry> {
        let page = self.pages.get(&*canonical::repository(to))?;
        page.tags.get(tag)
    }

    /// `to` by its one name.
    fn entry_mut(&mut self, to: &Repository, tag: &Tag) -> Option<&mut Entry> {
        self.pages.get_mut(to)?.tags.get_mut(tag)
    }

    fn remove(&mut self, to: &Repository, tag: &Tag) -> Option<Entry> {
        let name = canonical::repository(to);
        let page = self.pages.get_mut(&*name)?;
        let removed = page.tags.remove(tag);
        if page.tags.is_empty() {
            self.pages.remove(&*name);
        }
        removed
    }
}

impl Page {
    /// Why a look is not to be believed.
    fn doubt(&self, source: &Repository, sight: &Sight<'_>, listed: u64) -> Option<Doubt> {
        if !sight.is_complete {
            return Some(Doubt::Incomplete);
        }
        if listed == 0 {
            return Some(Doubt::Empty);
        }
        if let Some(look) = &self.look {
            if look.source != *source {
                return Some(Doubt::OtherSource {
                    before: look.source.clone(),
                });
            }
            if listed.saturating_mul(2) < look.listed {
                return Some(Doubt::Shrunk {
                    listed,
                    before: look.listed,
                });
            }
        }
        sight
            .wanted
            .is_empty()
            .then_some(Doubt::NothingWanted { listed })
    }
}

/// As a ledger keeps it.
fn seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}
