//! Writes tables, one entry after the other.

use super::super::varint;
use super::{BLOCK, Origin, Stamp, Table, WELL_FORMED};

/// A table in the making. Entries come in ascending order, each name once.
#[derive(Debug, Default)]
pub(in super::super) struct Builder {
    bytes: Vec<u8>,
    blocks: Vec<u32>,
    origins: Vec<Origin>,
    len: u32,
    last_name: String,
    last_stamp: Stamp,
}

impl Builder {
    /// Adds a commit for stamps to name; returns its index.
    pub(in super::super) fn add_origin(&mut self, origin: Origin) -> u32 {
        let index =
            u32::try_from(self.origins.len()).expect("there are at most as many commits as tags");
        self.origins.push(origin);
        index
    }

    /// Appends an entry; returns its index.
    pub(in super::super) fn push(&mut self, name: &str, stamp: Stamp) -> u32 {
        debug_assert!(
            self.len == 0 || self.last_name.as_str() < name,
            "{name} out of order"
        );
        let index = self.len;
        let starts_block = index.is_multiple_of(BLOCK);
        if starts_block {
            self.blocks
                .push(u32::try_from(self.bytes.len()).expect("MAX_TAGS keeps tables below 4 GiB"));
        }
        let shared = if starts_block {
            0
        } else {
            shared_prefix(&self.last_name, name)
        };
        let stamped = starts_block || stamp != self.last_stamp.following();
        varint::put(&mut self.bytes, (shared as u64) << 1 | u64::from(stamped));
        varint::put_bytes(
            &mut self.bytes,
            name.as_bytes().get(shared..).unwrap_or_default(),
        );
        if stamped {
            self.put_stamp(stamp);
        }
        self.last_name.clear();
        self.last_name.push_str(name);
        self.last_stamp = stamp;
        self.len += 1;
        index
    }

    /// How many entries there are so far.
    pub(in super::super) fn len(&self) -> u32 {
        self.len
    }

    pub(in super::super) fn finish(self) -> Table {
        Table {
            bytes: self.bytes.into(),
            blocks: self.blocks.into(),
            origins: self.origins.into(),
            len: self.len,
        }
    }

    fn put_stamp(&mut self, stamp: Stamp) {
        let base = self
            .origins
            .get(stamp.origin as usize)
            .expect(WELL_FORMED)
            .base;
        varint::put(&mut self.bytes, u64::from(stamp.origin));
        varint::put(&mut self.bytes, u64::from(stamp.rank));
        // A change comes after the creation, so that 0 is free to mean "none".
        varint::put(&mut self.bytes, stamp.modified.saturating_sub(base));
    }
}

/// How many leading bytes two names have in common, cut at a character.
fn shared_prefix(before: &str, name: &str) -> usize {
    let shared = before
        .bytes()
        .zip(name.bytes())
        .take_while(|(a, b)| a == b)
        .count();
    name.floor_char_boundary(shared)
}
