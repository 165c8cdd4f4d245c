//! What is known as bytes, and back: a name, a version, a length, a checksum, and then repositories, the registries that
//! blobs were read from by everybody's rights, blobs and tags.
//!
//! Accounts are not written: what one brought is, but not who it was.
//!
//! Whole numbers are little-endian, texts have their length before them. Nothing is allocated that is not there: counts are
//! believed only as far as bytes follow them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::held::{Held, NOBODY, Route};
use super::sorted::{Entry, Sorted, entry, parts};
use super::{Copied, Error, Provenance};
use crate::image::{Algorithm, Digest, Registry, Repository, Tag};

/// What a state begins with.
const MAGIC: &[u8; 16] = b"tagscope known\r\n";
/// How what follows is written.
const VERSION: u32 = 3;
/// The longest text that is written.
const TEXT_BYTES: usize = 1024;

/// Writes all of it. What is longer than any name is left out.
pub(super) fn encode(held: &mut Held) -> Vec<u8> {
    held.tidy();
    let blobs: usize = held.blobs.values().map(Sorted::len).sum();
    let mut body = Vec::with_capacity(blobs * size_of::<Entry>() + 4096);
    // Numbers close up, in their order: so the blobs stay in theirs.
    let names: Vec<_> = held.names.iter().map(Option::as_ref).collect();
    let mut numbers: Vec<Option<u32>> = Vec::with_capacity(names.len());
    let mut next = 0_u32;
    put_count(&mut body, names.iter().flatten().count());
    for name in names {
        numbers.push(name.map(|name| {
            put_text(&mut body, &name.to_string());
            let number = next;
            next += 1;
            number
        }));
    }
    let number = |old: u32| numbers.get(usize::try_from(old).ok()?).copied().flatten();

    let mut bringers: Vec<u16> = vec![NOBODY];
    let mut next = NOBODY;
    let of_everybody = |it: &&Provenance| it.account.is_none();
    put_count(&mut body, held.bringers.iter().filter(of_everybody).count());
    for bringer in &held.bringers {
        bringers.push(if bringer.account.is_none() {
            put_text(&mut body, bringer.registry.as_str());
            next += 1;
            next
        } else {
            NOBODY
        });
    }
    let bringer = |old: u16| {
        let new = bringers.get(usize::from(old));
        new.copied().unwrap_or(NOBODY)
    };

    let mut registries: Vec<_> = held.blobs.iter().collect();
    registries.sort_by_key(|(registry, _)| *registry);
    put_count(&mut body, registries.len());
    for (registry, blobs) in registries {
        put_text(&mut body, registry.as_str());
        let entries = blobs.iter().filter_map(|one| {
            let (digest, old, by) = parts(one);
            Some(entry(digest, number(old)?, bringer(by)))
        });
        let mut entries: Vec<Entry> = entries.collect();
        // Several accounts are one nobody, and he comes first.
        entries.sort_unstable();
        entries.dedup();
        put_count(&mut body, entries.len());
        for one in &entries {
            body.extend_from_slice(one);
        }
    }

    let routes = || {
        held.tags.iter().filter_map(|(route, tags)| {
            let fits = route.variant.len() <= TEXT_BYTES;
            let ends = (number(route.from)?, number(route.to)?);
            fits.then_some((ends, &route.variant, tags))
        })
    };
    put_count(&mut body, routes().count());
    for ((from, to), variant, tags) in routes() {
        body.extend_from_slice(&from.to_le_bytes());
        body.extend_from_slice(&to.to_le_bytes());
        put_text(&mut body, variant);
        put_count(&mut body, tags.len());
        for (tag, copied) in tags {
            put_text(&mut body, tag.as_str());
            put_digest(&mut body, &copied.source);
            put_digest(&mut body, &copied.destination);
            body.extend_from_slice(&copied.verified.as_second().to_le_bytes());
            body.extend_from_slice(&copied.verified.subsec_nanosecond().to_le_bytes());
        }
    }

    let mut bytes = Vec::with_capacity(body.len() + 64);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&(body.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&Sha256::digest(&body));
    bytes.append(&mut body);
    bytes
}

/// Reads what [`encode`] wrote.
pub(super) fn decode(bytes: &[u8]) -> Result<Held, Error> {
    let mut reader = Reader(bytes);
    if reader.array::<16>()? != *MAGIC {
        return Err(Error("it is no state"));
    }
    if reader.u32()? != VERSION {
        return Err(Error("it is of another version"));
    }
    let length = u64::from_le_bytes(reader.array()?);
    let checksum = reader.array::<32>()?;
    if usize::try_from(length) != Ok(reader.0.len()) {
        return Err(Error("it is cut off, or something follows it"));
    }
    if *Sha256::digest(reader.0) != checksum {
        return Err(Error("its checksum is wrong"));
    }
    body(reader)
}

/// Reads what follows the checksum, as carefully as if there were none.
pub(super) fn body(mut reader: Reader<'_>) -> Result<Held, Error> {
    let mut held = Held::default();
    for expected in 0..reader.u32()? {
        let name = reader.text()?;
        let name: Repository = name.parse().map_err(|_| Error("a repository is none"))?;
        if held.intern(&name) != Some(expected) {
            return Err(Error("a repository is there twice"));
        }
    }
    for expected in 0..reader.u32()? {
        let of_everybody = Provenance {
            registry: reader.registry()?,
            account: None,
        };
        let number = held.bringer(&of_everybody).checked_sub(1);
        if number.map(u32::from) != Some(expected) {
            return Err(Error("a source is there twice"));
        }
    }
    for _ in 0..reader.u32()? {
        let registry = reader.registry()?;
        let count = usize::try_from(reader.u32()?).map_err(|_| CUT_OFF)?;
        let bytes = count.checked_mul(size_of::<Entry>()).ok_or(CUT_OFF)?;
        let (entries, rest) = reader.take(bytes)?.as_chunks();
        debug_assert!(rest.is_empty());
        let is_here = |one: &Entry| {
            let (_, number, by) = parts(one);
            let name = held.name(number);
            name.is_some_and(|name| *name.registry() == registry)
                && (by == NOBODY || held.provenance(by).is_some())
        };
        if !entries.iter().all(is_here) {
            return Err(Error("a blob is in no repository"));
        }
        let blobs = Sorted::from_ordered(entries).ok_or(Error("blobs are out of order"))?;
        if held.blobs.insert(registry, blobs).is_some() {
            return Err(Error("a registry is there twice"));
        }
    }
    for _ in 0..reader.u32()? {
        let (from, to) = (reader.u32()?, reader.u32()?);
        if held.name(from).is_none() || held.name(to).is_none() {
            return Err(Error("a tag is in no repository"));
        }
        let variant = reader.text()?.into();
        let mut tags = BTreeMap::new();
        for _ in 0..reader.u32()? {
            let tag: Tag = reader.text()?.parse().map_err(|_| Error("a tag is none"))?;
            let source = reader.digest()?;
            let destination = reader.digest()?;
            let destination = if destination == source {
                source.clone()
            } else {
                destination
            };
            let second = i64::from_le_bytes(reader.array()?);
            let nanosecond = i32::from_le_bytes(reader.array()?);
            let verified =
                Timestamp::new(second, nanosecond).map_err(|_| Error("a time is none"))?;
            let copied = Copied {
                source,
                destination,
                verified,
            };
            tags.insert(tag, copied);
        }
        held.tags.insert(Route { from, to, variant }, tags);
    }
    if reader.0.is_empty() {
        Ok(held)
    } else {
        Err(Error("something follows it"))
    }
}

pub(in crate::mirror) fn put_count(body: &mut Vec<u8>, count: usize) {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    body.extend_from_slice(&count.to_le_bytes());
}

pub(in crate::mirror) fn put_text(body: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    body.extend_from_slice(&length.to_le_bytes());
    body.extend_from_slice(text.as_bytes());
}

pub(in crate::mirror) fn put_digest(body: &mut Vec<u8>, digest: &Digest) {
    body.push(match digest.algorithm() {
        Algorithm::Sha256 => 0,
        Algorithm::Sha512 => 1,
    });
    let digits = digest.hex().as_bytes();
    for pair in digits.chunks(2) {
        let byte = pair.iter().fold(0, |byte, digit| {
            byte << 4 | char::from(*digit).to_digit(16).unwrap_or_default()
        });
        body.push(u8::try_from(byte).unwrap_or_default());
    }
}

pub(in crate::mirror) const CUT_OFF: Error = Error("it is cut off");

/// What is still to be read.
pub(in crate::mirror) struct Reader<'a>(pub(in crate::mirror) &'a [u8]);

impl<'a> Reader<'a> {
    pub(in crate::mirror) fn take(&mut self, length: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(CUT_OFF)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(in crate::mirror) fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(CUT_OFF)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(in crate::mirror) fn u32(&mut self) -> Result<u32, Error> {
        self.array().map(u32::from_le_bytes)
    }

    pub(in crate::mirror) fn text(&mut self) -> Result<&'a str, Error> {
        let length = usize::from(u16::from_le_bytes(self.array()?));
        if length > TEXT_BYTES {
            return Err(Error("a text is too long"));
        }
        std::str::from_utf8(self.take(length)?).map_err(|_| Error("a text is none"))
    }

    fn registry(&mut self) -> Result<Registry, Error> {
        let text = self.text()?;
        text.parse().map_err(|_| Error("a registry is none"))
    }

    pub(in crate::mirror) fn digest(&mut self) -> Result<Digest, Error> {
        let (algorithm, length) = match self.array()? {
            [0] => (Algorithm::Sha256, 32),
            [1] => (Algorithm::Sha512, 64),
            _ => return Err(Error("a digest is of an unknown kind")),
        };
        let mut text = format!("{}:", algorithm.as_str());
        for byte in self.take(length)? {
            for nibble in [byte >> 4, byte & 15] {
                text.extend(char::from_digit(nibble.into(), 16));
            }
        }
        text.parse().map_err(|_| Error("a digest is none"))
    }
}
