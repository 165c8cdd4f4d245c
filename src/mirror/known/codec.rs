//! What is known as bytes, and back, sealed: repositories, the registries that blobs were read from by everybody's rights,
//! blobs and tags.
//!
//! Accounts are not written: what one brought is, but not who it was.
//! Nothing is allocated that is not there: counts are believed only as far as bytes follow them.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::held::{Held, NOBODY, Route};
use super::sorted::{Entry, Sorted, entry, parts};
use super::{Copied, Error, Provenance};
use crate::image::{Repository, Tag};
use crate::mirror::sealed::{self, CUT_OFF, Reader, TEXT_BYTES, put_count, put_digest, put_text};

/// What a state begins with.
const MAGIC: &[u8; 16] = b"tagscope known\r\n";
/// How what follows is written.
const VERSION: u32 = 3;

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

    sealed::seal(MAGIC, VERSION, &body)
}

/// Reads what [`encode`] wrote.
pub(super) fn decode(bytes: &[u8]) -> Result<Held, Error> {
    body(sealed::open(bytes, MAGIC, VERSION, "it is no state")?)
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
