//! A ledger as bytes, and back, sealed: pages of tags.
//!
//! Times are whole seconds. Nothing is allocated that is not there.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{Entry, Error, Ledger, Look, MOST_OWNERS, MOST_TAGS, Page, Unwanted};
use crate::image::{Repository, Tag};
use crate::mirror::canonical;
use crate::mirror::prune::LOOKS;
use crate::mirror::sealed::{self, Reader, put_count, put_digest, put_text};
use crate::object::Key;

/// What a ledger begins with.
const MAGIC: &[u8; 16] = b"tagscope ledger\n";
/// How what follows is written.
const VERSION: u32 = 2;

const UNWANTED: u8 = 1;
const ANNOUNCED: u8 = 2;
const ORPHAN: u8 = 4;

pub(super) fn encode(ledger: &Ledger) -> Vec<u8> {
    let Ledger {
        pages,
        announced,
        parties: _,
    } = ledger;
    let mut body = Vec::with_capacity(ledger.len() * 64 + 256);
    body.push(u8::from(announced.is_some()));
    body.extend_from_slice(announced.as_ref().map_or(&[], |it| it.as_slice()));
    put_count(&mut body, pages.len());
    for (to, Page { look, tags }) in pages {
        put_text(&mut body, &to.to_string());
        body.push(u8::from(look.is_some()));
        if let Some(Look { source, at, listed }) = look {
            put_text(&mut body, &source.to_string());
            put_time(&mut body, *at);
            body.extend_from_slice(&listed.to_le_bytes());
        }
        put_count(&mut body, tags.len());
        for (tag, entry) in tags {
            put_entry(&mut body, tag, entry);
        }
    }
    sealed::seal(MAGIC, VERSION, &body)
}

fn put_entry(body: &mut Vec<u8>, tag: &Tag, entry: &Entry) {
    let Entry {
        digest,
        with,
        mirrors,
        unwanted,
        is_announced,
        is_orphan,
    } = entry;
    put_text(body, tag.as_str());
    put_digest(body, digest);
    let flag = |is_set, flag| if is_set { flag } else { 0 };
    body.push(
        flag(unwanted.is_some(), UNWANTED)
            | flag(*is_announced, ANNOUNCED)
            | flag(*is_orphan, ORPHAN),
    );
    if let Some(Unwanted { since, looks }) = unwanted {
        put_time(body, *since);
        body.push(*looks);
    }
    body.push(u8::try_from(with.len()).unwrap_or(u8::MAX));
    for image in with {
        put_digest(body, image);
    }
    body.push(u8::try_from(mirrors.len()).unwrap_or(u8::MAX));
    for Key { namespace, name } in mirrors {
        put_text(body, namespace);
        put_text(body, name);
    }
}

fn put_time(body: &mut Vec<u8>, time: Timestamp) {
    body.extend_from_slice(&time.as_second().to_le_bytes());
}

/// Reads what [`encode`] wrote.
pub(super) fn decode(bytes: &[u8]) -> Result<Ledger, Error> {
    body(sealed::open(bytes, MAGIC, VERSION, "it is no ledger")?)
}

/// Reads what follows the checksum, as carefully as if there were none.
pub(super) fn body(mut reader: Reader<'_>) -> Result<Ledger, Error> {
    let announced = is_there(&mut reader)?.then(|| reader.array()).transpose()?;
    let mut pages = BTreeMap::new();
    let mut count = 0_usize;
    for _ in 0..reader.u32()? {
        let to = repository(&mut reader)?;
        let look = if is_there(&mut reader)? {
            Some(Look {
                source: repository(&mut reader)?,
                at: time(&mut reader)?,
                listed: u64::from_le_bytes(reader.array()?),
            })
        } else {
            None
        };
        let mut tags = BTreeMap::new();
        for _ in 0..reader.u32()? {
            let (tag, entry) = entry(&mut reader)?;
            count += 1;
            if count > MOST_TAGS {
                return Err(Error("it has too many tags"));
            }
            if tags.insert(tag, entry).is_some() {
                return Err(Error("a tag is there twice"));
            }
        }
        if tags.is_empty() {
            return Err(Error("a page is empty"));
        }
        if pages.insert(to, Page { look, tags }).is_some() {
            return Err(Error("a repository is there twice"));
        }
    }
    if reader.0.is_empty() {
        Ok(Ledger {
            pages,
            announced,
            parties: None,
        })
    } else {
        Err(Error("something follows it"))
    }
}

fn entry(reader: &mut Reader<'_>) -> Result<(Tag, Entry), Error> {
    let tag: Tag = reader.text()?.parse().map_err(|_| Error("a tag is none"))?;
    let digest = reader.digest()?;
    let [flags] = reader.array()?;
    if flags & !(UNWANTED | ANNOUNCED | ORPHAN) != 0 {
        return Err(Error("a mark is unknown"));
    }
    let unwanted = if flags & UNWANTED == 0 {
        None
    } else {
        let since = time(reader)?;
        let [looks] = reader.array()?;
        if looks > LOOKS {
            return Err(Error("a count of looks is none"));
        }
        Some(Unwanted { since, looks })
    };
    let [images] = reader.array()?;
    if usize::from(images) > MOST_OWNERS {
        return Err(Error("a tag belongs to too many images"));
    }
    let mut with = BTreeSet::new();
    for _ in 0..images {
        if !with.insert(reader.digest()?) {
            return Err(Error("an image is there twice"));
        }
    }
    let [wanting] = reader.array()?;
    if usize::from(wanting) > MOST_OWNERS {
        return Err(Error("a tag is wanted by too many mirrors"));
    }
    let mut mirrors = BTreeSet::new();
    for _ in 0..wanting {
        if !mirrors.insert(Key::new(reader.text()?, reader.text()?)) {
            return Err(Error("a mirror is there twice"));
        }
    }
    let entry = Entry {
        digest,
        with,
        mirrors,
        unwanted,
        is_announced: flags & ANNOUNCED != 0,
        is_orphan: flags & ORPHAN != 0,
    };
    Ok((tag, entry))
}

fn is_there(reader: &mut Reader<'_>) -> Result<bool, Error> {
    match reader.array()? {
        [0] => Ok(false),
        [1] => Ok(true),
        _ => Err(Error("a mark is unknown")),
    }
}

fn repository(reader: &mut Reader<'_>) -> Result<Repository, Error> {
    let name: Repository = reader
        .text()?
        .parse()
        .map_err(|_| Error("a repository is none"))?;
    if *canonical::repository(&name) == name {
        Ok(name)
    } else {
        Err(Error("a repository goes by another name"))
    }
}

fn time(reader: &mut Reader<'_>) -> Result<Timestamp, Error> {
    let second = i64::from_le_bytes(reader.array()?);
    Timestamp::from_second(second).map_err(|_| Error("a time is none"))
}
