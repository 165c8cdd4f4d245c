//! The tags of one repository in a few bytes each: sorted, front-coded, immutable.
//!
//! Blocks of [`BLOCK`] entries; the first of a block is whole, each other says how much it shares with
//! the one before it. A search bisects the blocks by their first names and then walks one block. Beside
//! its name an entry has a [`Stamp`]: which commit created it (a small index into the repository's
//! [`Origin`]s, which hold resourceVersion and time once), its rank among that commit's changes, and the
//! resourceVersion of its last change when that is another one. Stamps mostly go up by one from entry to
//! entry (a commit numbers its changes in name order), and then they cost nothing.
//!
//! ```text
//! block   = entry{1..=16}
//! entry   = varint(shared << 1 | stamped) varint(len) suffix [stamp]
//! stamp   = varint(origin) varint(rank) varint(modified - origin.base, or 0)
//! ```
//!
//! Not here: elections and digests, which are few (see [`super::repository`]), and any input or output.

mod build;
mod cursor;

pub(super) use build::Builder;
pub(super) use cursor::Cursor;

use jiff::Timestamp;

use super::varint;
use crate::image::Tag;

/// Entries per block: more make the table smaller and a search longer.
pub(super) const BLOCK: u32 = 16;

/// How many tags one repository may hold: keeps every offset within 32 bits, also while two lists of that length merge.
pub(super) const MAX_TAGS: usize = 1 << 23;

const WELL_FORMED: &str =
    "a table is well-formed: every entry went through its builder or its checker";

/// What is wrong with bytes that should have been a table or a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Malformed(pub(super) &'static str);

/// When the tags of one commit were seen first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// They were there at the first scan of the object: incarnation 0.
    AtFirst,
    /// They were there when the object turned to this image.
    Unknown,
    /// They appeared; seconds since 1970.
    At(i64),
}

impl Seen {
    const AT_FIRST: i64 = i64::MIN;
    const UNKNOWN: i64 = i64::MIN + 1;

    pub(super) fn at(time: Timestamp) -> Self {
        Self::At(time.as_second())
    }

    pub(super) fn time(self) -> Option<Timestamp> {
        match self {
            Self::AtFirst | Self::Unknown => None,
            // Out of the calendar only if it did not come from a Timestamp; records are checked for that.
            Self::At(seconds) => Timestamp::from_second(seconds).ok(),
        }
    }
}

/// One commit that tags still stem from: what they have in common, held once, in 16 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Origin {
    /// The resourceVersion of the commit's change of rank 0.
    pub(super) base: u64,
    seen: i64,
}

impl Origin {
    pub(super) fn new(base: u64, seen: Seen) -> Self {
        let seen = match seen {
            Seen::AtFirst => Seen::AT_FIRST,
            Seen::Unknown => Seen::UNKNOWN,
            Seen::At(seconds) => seconds,
        };
        Self { base, seen }
    }

    pub(super) fn seen(self) -> Seen {
        match self.seen {
            Seen::AT_FIRST => Seen::AtFirst,
            Seen::UNKNOWN => Seen::Unknown,
            seconds => Seen::At(seconds),
        }
    }

    pub(super) fn put(self, out: &mut Vec<u8>) {
        varint::put(out, self.base);
        varint::put_signed(out, self.seen);
    }

    pub(super) fn take(input: &mut &[u8]) -> Result<Self, Malformed> {
        let base = varint::take(input).ok_or(Malformed("a commit is cut off"))?;
        let seen = varint::take_signed(input).ok_or(Malformed("a commit is cut off"))?;
        let origin = Self { base, seen };
        if matches!(origin.seen(), Seen::At(_)) && origin.seen().time().is_none() {
            return Err(Malformed("a commit's time is out of range"));
        }
        Ok(origin)
    }
}

/// Where an entry comes from and when it changed last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Stamp {
    /// Index of the commit that created it.
    pub(super) origin: u32,
    /// Its rank among that commit's changes.
    pub(super) rank: u32,
    /// The resourceVersion of its last change, 0 when that was its creation.
    pub(super) modified: u64,
}

impl Stamp {
    /// What the next entry's stamp most often is.
    fn following(self) -> Self {
        let modified = if self.modified == 0 {
            0
        } else {
            self.modified.wrapping_add(1)
        };
        Self {
            origin: self.origin,
            rank: self.rank.wrapping_add(1),
            modified,
        }
    }
}

/// The sorted tags of one repository with their stamps.
#[derive(Debug)]
pub(super) struct Table {
    bytes: Box<[u8]>,
    /// Where each block begins in `bytes`.
    blocks: Box<[u32]>,
    origins: Box<[Origin]>,
    len: u32,
}

impl Table {
    /// A table read from outside: every entry is looked at, nothing is believed. Versions must be below `ceiling`.
    pub(super) fn checked(
        bytes: &[u8],
        origins: Vec<Origin>,
        len: u32,
        ceiling: u64,
    ) -> Result<Self, Malformed> {
        let mut table = Self {
            bytes: bytes.into(),
            blocks: Box::default(),
            origins: origins.into(),
            len,
        };
        let mut blocks = Vec::new();
        let mut cursor = Cursor::at_start(&table);
        let mut before = String::new();
        loop {
            let offset = cursor.offset();
            if !cursor.try_advance()? {
                break;
            }
            if cursor.index().is_multiple_of(BLOCK) {
                blocks.push(u32::try_from(offset).map_err(|_| Malformed("a table is too long"))?);
            }
            if cursor.index() > 0 && before.as_str() >= cursor.name() {
                return Err(Malformed("tags are out of order"));
            }
            if cursor.name().parse::<Tag>().is_err() {
                return Err(Malformed("a name is not a tag"));
            }
            let stamp = cursor.stamp();
            let origin = table
                .origins
                .get(stamp.origin as usize)
                .ok_or(Malformed("a tag's commit is missing"))?;
            let created = origin.base.checked_add(u64::from(stamp.rank));
            if created.is_none_or(|created| created.max(stamp.modified) >= ceiling) {
                return Err(Malformed("a tag's version lies in the future"));
            }
            before.clear();
            before.push_str(cursor.name());
        }
        if cursor.offset() != table.bytes.len() {
            return Err(Malformed("a table is longer than its entries"));
        }
        table.blocks = blocks.into();
        Ok(table)
    }

    pub(super) fn len(&self) -> u32 {
        self.len
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn origins(&self) -> &[Origin] {
        &self.origins
    }

    /// The commit that created an entry with `stamp`.
    pub(super) fn origin(&self, stamp: Stamp) -> Origin {
        *self.origins.get(stamp.origin as usize).expect(WELL_FORMED)
    }

    /// Heap bytes.
    pub(super) fn heap_bytes(&self) -> usize {
        self.bytes.len() + size_of_val(&*self.blocks) + size_of_val(&*self.origins)
    }

    /// Before the first entry.
    pub(super) fn cursor(&self) -> Cursor<'_> {
        Cursor::at_start(self)
    }

    /// Before entry `index`, or at the end when there is none.
    pub(super) fn cursor_at(&self, index: u32) -> Cursor<'_> {
        let mut cursor = self.block_cursor(index / BLOCK);
        for _ in 0..index % BLOCK {
            cursor.advance();
        }
        cursor
    }

    /// On entry `index`.
    pub(super) fn on(&self, index: u32) -> Option<Cursor<'_>> {
        let mut cursor = self.cursor_at(index);
        cursor.advance().then_some(cursor)
    }

    /// On the entry called `name`.
    pub(super) fn find(&self, name: &str) -> Option<Cursor<'_>> {
        let mut cursor = self.block_of(name);
        while cursor.advance() {
            match cursor.name().cmp(name) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => return Some(cursor),
                std::cmp::Ordering::Greater => return None,
            }
        }
        None
    }

    /// Before the first entry greater than `name`.
    pub(super) fn cursor_after(&self, name: &str) -> Cursor<'_> {
        self.cursor_at(self.index_after(name))
    }

    /// The index of the first entry greater than `name`; the length when there is none.
    pub(super) fn index_after(&self, name: &str) -> u32 {
        let mut cursor = self.block_of(name);
        while cursor.advance() {
            if cursor.name() > name {
                return cursor.index();
            }
        }
        cursor.next_index()
    }

    /// Whether these are exactly the entries' names; `names` are sorted.
    pub(super) fn is_named(&self, names: &[Tag]) -> bool {
        let mut cursor = self.cursor();
        names.len() == self.len as usize
            && names
                .iter()
                .all(|name| cursor.advance() && cursor.name() == name.as_str())
    }

    /// Names from the last to the first; one buffer for all.
    pub(super) fn for_each_descending(&self, visit: &mut dyn FnMut(&str)) {
        let mut names = String::new();
        let mut starts = Vec::with_capacity(BLOCK as usize);
        for block in (0..self.len.div_ceil(BLOCK)).rev() {
            names.clear();
            let mut cursor = self.block_cursor(block);
            for _ in 0..BLOCK {
                if cursor.advance() {
                    starts.push(names.len());
                    names.push_str(cursor.name());
                }
            }
            while let Some(start) = starts.pop() {
                visit(
                    names
                        .get(start..)
                        .expect("names were appended at their starts"),
                );
                names.truncate(start);
            }
        }
    }

    /// Before the first entry of the block that holds `name`, if any block does.
    fn block_of(&self, name: &str) -> Cursor<'_> {
        let blocks = self
            .blocks
            .partition_point(|&offset| self.first_name(offset) <= name);
        let block = u32::try_from(blocks.saturating_sub(1)).expect(WELL_FORMED);
        self.block_cursor(block)
    }

    fn block_cursor(&self, block: u32) -> Cursor<'_> {
        match self.blocks.get(block as usize) {
            Some(&offset) => Cursor::at_block(
                self,
                block,
                self.bytes.get(offset as usize..).expect(WELL_FORMED),
            ),
            None => Cursor::at_end(self),
        }
    }

    /// The name of the entry that begins a block at `offset`: it is whole.
    fn first_name(&self, offset: u32) -> &str {
        let mut rest = self.bytes.get(offset as usize..).expect(WELL_FORMED);
        varint::take(&mut rest)
            .and_then(|_| varint::take_str(&mut rest))
            .expect(WELL_FORMED)
    }
}

#[cfg(test)]
mod tests;
