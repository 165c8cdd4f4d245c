//! A sorted set of digests, each with the repository that holds it and who brought it there: 22 bytes an entry, in pieces
//! that are cheap to shift.
//!
//! One order answers all questions: whether this repository holds the digest, which one does, and by whom.

/// The first 16 bytes of a digest, and the numbers of a repository and of who brought it there, the highest byte first.
pub(super) type Entry = [u8; 22];

/// As much as a digest is kept.
pub(super) type Short = [u8; 16];

/// A piece with more entries is cut in two.
const MOST: usize = 512;
/// By how much a piece grows.
const GROWTH: usize = 32;

/// The set. No piece is empty.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    pieces: Vec<Vec<Entry>>,
    length: usize,
}

pub(super) fn entry(digest: Short, repository: u32, by: u16) -> Entry {
    let mut entry = [0; 22];
    let numbers = repository.to_be_bytes().into_iter().chain(by.to_be_bytes());
    for (slot, byte) in entry.iter_mut().zip(digest.into_iter().chain(numbers)) {
        *slot = byte;
    }
    entry
}

/// Digest, repository, and who brought it there.
pub(super) fn parts(entry: &Entry) -> (Short, u32, u16) {
    let (digest, numbers) = entry.split_first_chunk().unwrap_or((&[0; 16], &[]));
    let (repository, by) = numbers.split_first_chunk().unwrap_or((&[0; 4], &[]));
    let by = by.first_chunk().copied().unwrap_or_default();
    (
        *digest,
        u32::from_be_bytes(*repository),
        u16::from_be_bytes(by),
    )
}

impl Sorted {
    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// All entries, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.pieces.iter().flatten()
    }

    /// Whether `repository` holds `digest`.
    pub(super) fn contains(&self, digest: Short, repository: u32) -> bool {
        self.by(digest, repository).next().is_some()
    }

    /// Who brought `digest` to `repository`, in the order of their numbers.
    pub(super) fn by(&self, digest: Short, repository: u32) -> impl Iterator<Item = u16> {
        self.from(entry(digest, repository, 0))
            .take_while(move |(found, at, _)| *found == digest && *at == repository)
            .map(|(_, _, by)| by)
    }

    /// The repositories that hold `digest`, in the order of their numbers, and by whom.
    pub(super) fn holders(&self, digest: Short) -> impl Iterator<Item = (u32, u16)> {
        self.from(entry(digest, 0, 0))
            .take_while(move |(found, _, _)| *found == digest)
            .map(|(_, repository, by)| (repository, by))
    }

    /// All entries from `first` on.
    fn from(&self, first: Entry) -> impl Iterator<Item = (Short, u32, u16)> {
        let index = self.piece(&first);
        let within = self
            .pieces
            .get(index)
            .map_or(0, |piece| piece.partition_point(|entry| *entry < first));
        let entries = self.pieces.iter().skip(index).flatten().skip(within);
        entries.map(parts)
    }

    /// Puts it in; whether it is new.
    pub(super) fn insert(&mut self, entry: Entry) -> bool {
        let index = self.piece(&entry);
        let Some(piece) = self.pieces.get_mut(index) else {
            self.pieces.push(vec![entry]);
            self.length += 1;
            return true;
        };
        let Err(place) = piece.binary_search(&entry) else {
            return false;
        };
        if piece.len() == piece.capacity() {
            piece.reserve_exact(GROWTH);
        }
        piece.insert(place, entry);
        self.length += 1;
        if piece.len() > MOST {
            let upper = piece.split_off(MOST / 2);
            piece.shrink_to(MOST / 2 + GROWTH);
            self.pieces.insert(index + 1, upper);
        }
        true
    }

    /// Takes it out; whether it was there.
    pub(super) fn remove(&mut self, entry: &Entry) -> bool {
        let index = self.piece(entry);
        let Some(piece) = self.pieces.get_mut(index) else {
            return false;
        };
        let Ok(place) = piece.binary_search(entry) else {
            return false;
        };
        piece.remove(place);
        if piece.is_empty() {
            self.pieces.remove(index);
        }
        self.length -= 1;
        true
    }

    /// Keeps only the entries of some repositories.
    pub(super) fn retain(&mut self, keep: impl Fn(u32) -> bool) {
        for piece in &mut self.pieces {
            piece.retain(|entry| keep(parts(entry).1));
        }
        self.pieces.retain(|piece| !piece.is_empty());
        self.length = self.pieces.iter().map(Vec::len).sum();
    }

    /// Takes entries in order; `None` when they are not.
    pub(super) fn from_ordered(entries: &[Entry]) -> Option<Self> {
        if !entries.is_sorted_by(|a, b| a < b) {
            return None;
        }
        let pieces = entries.chunks(MOST - MOST / 4).map(<[Entry]>::to_vec);
        Some(Self {
            pieces: pieces.collect(),
            length: entries.len(),
        })
    }

    /// The piece in which `entry` is or belongs: the last that does not begin behind it.
    fn piece(&self, entry: &Entry) -> usize {
        let behind = self
            .pieces
            .partition_point(|piece| piece.first().is_some_and(|first| first <= entry));
        behind.saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn short(number: u16) -> Short {
        let mut digest = [0; 16];
        digest[..2].copy_from_slice(&number.to_be_bytes());
        digest
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        #[test]
        fn it_is_a_set(steps in prop::collection::vec((0..4_u8, 0..900_u16, 0..3_u32, 0..2_u16), 0..4000)) {
            let (mut sorted, mut model) = (Sorted::default(), BTreeSet::new());
            for (step, digest, repository, by) in steps {
                let one = entry(short(digest), repository, by);
                if step == 0 {
                    prop_assert_eq!(sorted.remove(&one), model.remove(&one));
                } else {
                    prop_assert_eq!(sorted.insert(one), model.insert(one));
                }
                let is_there = |repository, by| model.contains(&entry(short(digest), repository, by));
                let expected: Vec<_> = (0..2).filter(|by| is_there(repository, *by)).collect();
                prop_assert_eq!(sorted.contains(short(digest), repository), !expected.is_empty());
                let found: Vec<_> = sorted.by(short(digest), repository).collect();
                prop_assert_eq!(found, expected);
                let holders: Vec<_> = sorted.holders(short(digest)).collect();
                let all = (0..3).flat_map(|repository| (0..2).map(move |by| (repository, by)));
                let expected: Vec<_> = all.filter(|(repository, by)| is_there(*repository, *by)).collect();
                prop_assert_eq!(holders, expected);
            }
            prop_assert_eq!(sorted.len(), model.len());
            prop_assert!(sorted.iter().eq(&model));
            let entries: Vec<_> = model.iter().copied().collect();
            let again = Sorted::from_ordered(&entries).unwrap();
            prop_assert!(again.iter().eq(&model) && again.len() == model.len());
            sorted.retain(|repository| repository != 1);
            model.retain(|one| parts(one).1 != 1);
            prop_assert!(sorted.iter().eq(&model) && sorted.len() == model.len());
        }
    }

    #[test]
    fn what_is_out_of_order_or_twice_is_no_set() {
        let (a, b) = (entry(short(1), 1, 0), entry(short(1), 2, 0));
        assert!(Sorted::from_ordered(&[a, b]).is_some());
        assert!(Sorted::from_ordered(&[b, a]).is_none());
        assert!(Sorted::from_ordered(&[a, a]).is_none());
    }
}
