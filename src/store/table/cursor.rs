//! Reads tables, one entry after the other, into one buffer.

use super::super::varint;
use super::{BLOCK, Malformed, Stamp, Table, WELL_FORMED};

/// A place in a table. Begins before an entry; [`Cursor::advance`] moves onto it.
#[derive(Debug)]
pub(in super::super) struct Cursor<'a> {
    table: &'a Table,
    /// Index of the entry after the present one.
    next: u32,
    rest: &'a [u8],
    name: String,
    stamp: Stamp,
}

impl<'a> Cursor<'a> {
    pub(super) fn at_start(table: &'a Table) -> Self {
        Self::new(table, 0, &table.bytes)
    }

    pub(super) fn at_end(table: &'a Table) -> Self {
        Self::new(table, table.len, &[])
    }

    pub(super) fn at_block(table: &'a Table, block: u32, rest: &'a [u8]) -> Self {
        Self::new(table, block * BLOCK, rest)
    }

    fn new(table: &'a Table, next: u32, rest: &'a [u8]) -> Self {
        Self {
            table,
            next,
            rest,
            name: String::new(),
            stamp: Stamp::default(),
        }
    }

    /// Moves onto the next entry; false at the end.
    #[inline]
    pub(in super::super) fn advance(&mut self) -> bool {
        self.try_advance().expect(WELL_FORMED)
    }

    /// The present entry's index.
    pub(in super::super) fn index(&self) -> u32 {
        self.next.saturating_sub(1)
    }

    /// The next entry's index.
    pub(in super::super) fn next_index(&self) -> u32 {
        self.next
    }

    /// The present entry's name.
    pub(in super::super) fn name(&self) -> &str {
        &self.name
    }

    /// The present entry's stamp.
    pub(in super::super) fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// Where the next entry begins.
    pub(super) fn offset(&self) -> usize {
        self.table.bytes.len() - self.rest.len()
    }

    /// [`Cursor::advance`] over bytes that nobody has looked at yet.
    #[inline]
    pub(super) fn try_advance(&mut self) -> Result<bool, Malformed> {
        if self.next >= self.table.len {
            return Ok(false);
        }
        let head = varint::take(&mut self.rest).ok_or(Malformed("an entry is cut off"))?;
        let suffix = varint::take_str(&mut self.rest).ok_or(Malformed("a name is cut off"))?;
        let stamped = head & 1 == 1;
        let shared = usize::try_from(head >> 1).map_err(|_| Malformed("a name shares too much"))?;
        if self.next.is_multiple_of(BLOCK) {
            if shared != 0 || !stamped {
                return Err(Malformed("a block does not begin by itself"));
            }
            self.name.clear();
        }
        if !self.name.is_char_boundary(shared) {
            return Err(Malformed("a name shares more than there is"));
        }
        self.name.truncate(shared);
        self.name.push_str(suffix);
        self.stamp = if stamped {
            self.take_stamp()?
        } else {
            self.stamp.following()
        };
        self.next += 1;
        Ok(true)
    }

    fn take_stamp(&mut self) -> Result<Stamp, Malformed> {
        let mut number = || varint::take(&mut self.rest).ok_or(Malformed("a stamp is cut off"));
        let origin = u32::try_from(number()?).map_err(|_| Malformed("a stamp is out of range"))?;
        let rank = u32::try_from(number()?).map_err(|_| Malformed("a stamp is out of range"))?;
        let since = number()?;
        let base = self
            .table
            .origins
            .get(origin as usize)
            .ok_or(Malformed("a tag's commit is missing"))?
            .base;
        let modified = if since == 0 {
            Some(0)
        } else {
            base.checked_add(since)
        };
        Ok(Stamp {
            origin,
            rank,
            modified: modified.ok_or(Malformed("a stamp is out of range"))?,
        })
    }
}
