//! One repository as bytes: compact, with a checksum, believed only after every part was looked at.
//!
//! ```text
//! record = body sha256(body)[..8]
//! body   = owner image revision scan_time complete version aside origins table marks elections [refound pushed]
//! ```
//! Numbers are varints, texts and lists carry their length, times are seconds and nanoseconds. The database
//! says which layout its records have ([`FORMAT_VERSION`]); a record does not. What stands in brackets is missing in
//! records of [`OLD_FORMAT_VERSION`], which stay as they are until their repository changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::image::{Digest, Tag};
use crate::object::Key;
use crate::store::repository::Mark;
use crate::store::table::{Malformed, Origin, Table};
use crate::store::{Election, Owner, Pushed, RepositoryTags, ResourceVersion, Sorted, varint};

/// The layout written here; another one is not read, but for the one before.
pub(super) const FORMAT_VERSION: u64 = 2;

/// The layout before: a record ends with its elections.
pub(super) const OLD_FORMAT_VERSION: u64 = 1;

const CHECKSUM: usize = 8;
const CUT_OFF: Malformed = Malformed("a record is cut off");

/// The record of `tags`.
pub(super) fn encode(tags: &RepositoryTags) -> Vec<u8> {
    // Destructured, so that a new field cannot be forgotten.
    let RepositoryTags {
        owner,
        image,
        revision,
        scan_time,
        complete,
        version,
        table,
        marks,
        idle: _,
        elections,
        aside,
        refound,
    } = tags;
    let Owner {
        key,
        uid,
        created,
        labels,
    } = &**owner;
    let mut out = Vec::with_capacity(table.bytes().len() + 512);
    put_str(&mut out, &key.namespace);
    put_str(&mut out, &key.name);
    put_str(&mut out, uid);
    put_time(&mut out, *created);
    put_count(&mut out, labels.len());
    for (label, value) in labels {
        put_str(&mut out, label);
        put_str(&mut out, value);
    }
    put_str(&mut out, &image.to_string());
    put_str(&mut out, revision);
    put_time(&mut out, *scan_time);
    varint::put(&mut out, u64::from(*complete));
    varint::put(&mut out, version.0);
    put_count(&mut out, aside.len());
    for tag in aside.iter() {
        put_str(&mut out, tag.as_str());
    }
    put_count(&mut out, table.origins().len());
    for origin in table.origins() {
        origin.put(&mut out);
    }
    varint::put(&mut out, u64::from(table.len()));
    varint::put_bytes(&mut out, table.bytes());
    put_count(&mut out, marks.len());
    for Mark {
        index,
        modified,
        digest,
        selected_by: _,
        pushed: _,
    } in marks
    {
        varint::put(&mut out, u64::from(*index));
        varint::put(&mut out, *modified);
        put_digest(&mut out, digest.as_ref());
    }
    put_count(&mut out, elections.len());
    for Election {
        policy,
        tag,
        digest,
        pushed: _,
    } in elections
    {
        put_str(&mut out, &policy.namespace);
        put_str(&mut out, &policy.name);
        put_str(&mut out, tag.as_str());
        put_digest(&mut out, digest.as_ref());
    }
    put_count(&mut out, usize::from(refound.is_some()));
    if let Some(time) = refound {
        put_time(&mut out, *time);
    }
    let pushed = elections
        .iter()
        .enumerate()
        .filter_map(|(index, election)| Some((index, election.pushed.as_ref()?)));
    put_count(&mut out, pushed.clone().count());
    for (index, Pushed { digest, seen }) in pushed {
        put_count(&mut out, index);
        put_digest(&mut out, Some(digest));
        put_time(&mut out, *seen);
    }
    let checksum = checksum(&out);
    out.extend_from_slice(&checksum);
    out
}

/// What [`encode`] wrote. No version in it may reach `ceiling`: such a one was never given.
pub(super) fn decode(record: &[u8], ceiling: u64) -> Result<RepositoryTags, Malformed> {
    let (body, sum) = record.split_last_chunk::<CHECKSUM>().ok_or(CUT_OFF)?;
    if checksum(body) != *sum {
        return Err(Malformed("the checksum does not match"));
    }
    let mut input = Input(body);
    let owner = Owner {
        key: input.key()?,
        uid: input.text()?.to_owned(),
        created: input.time()?,
        labels: input
            .list(|input| Ok((input.text()?.to_owned(), input.text()?.to_owned())))?
            .into_iter()
            .collect::<BTreeMap<_, _>>(),
    };
    let image = input
        .text()?
        .parse()
        .map_err(|_| Malformed("the image is not an image name"))?;
    let revision = input.text()?.into();
    let scan_time = input.time()?;
    let complete = input.number()? == 1;
    let version = ResourceVersion(input.version(ceiling)?);
    let aside = input.list(Input::tag)?;
    let origins = input.list(|input| Origin::take(&mut input.0))?;
    let len = input.index()?;
    let table = Table::checked(
        varint::take_bytes(&mut input.0).ok_or(CUT_OFF)?,
        origins,
        len,
        ceiling,
    )?;
    let mut marks = input.list(|input| {
        let index = input.index()?;
        Ok(Mark {
            index,
            modified: input.version(ceiling)?,
            digest: input.digest()?,
            selected_by: Sorted::default(),
            pushed: None,
        })
    })?;
    let mut elections: Vec<_> = input.list(|input| {
        Ok(Election {
            policy: input.key()?,
            tag: input.tag()?,
            digest: input.digest()?,
            pushed: None,
        })
    })?;
    let refound = if input.0.is_empty() {
        None
    } else {
        let refound = input.list(Input::time)?;
        let pushed = input.list(|input| Ok((input.index()?, input.digest()?, input.time()?)))?;
        for (index, digest, seen) in pushed {
            let election = elections
                .get_mut(index as usize)
                .ok_or(Malformed("a pushed tag's election is missing"))?;
            let digest = digest.ok_or(Malformed("a pushed tag has no digest"))?;
            election.pushed = Some(Pushed { digest, seen });
        }
        refound.first().copied()
    };
    if !input.0.is_empty() {
        return Err(Malformed("a record is longer than its parts"));
    }

    if !marks.is_sorted_by(|a, b| a.index < b.index) {
        return Err(Malformed("marks are out of order"));
    }
    if !elections.is_sorted_by(|a, b| a.policy < b.policy) {
        return Err(Malformed("elections are out of order"));
    }
    let mut of_tags: BTreeMap<&str, Vec<&Election>> = BTreeMap::new();
    for election in &elections {
        let of_tag = of_tags.entry(election.tag.as_str()).or_default();
        of_tag.push(election);
    }
    for mark in &mut marks {
        let cursor = table
            .on(mark.index)
            .ok_or(Malformed("a mark's tag is missing"))?;
        let elections = of_tags.remove(cursor.name()).unwrap_or_default();
        let pushed = elections
            .iter()
            .filter_map(|e| Some(e.pushed.as_ref()?.seen));
        mark.pushed = pushed.max();
        let electors = elections.iter().map(|election| election.policy.clone());
        mark.selected_by = electors.collect();
    }
    for election in &elections {
        let cursor = table
            .find(election.tag.as_str())
            .ok_or(Malformed("an elected tag is missing"))?;
        if marks
            .binary_search_by_key(&cursor.index(), |mark| mark.index)
            .is_err()
        {
            return Err(Malformed("an elected tag has no mark"));
        }
    }
    Ok(RepositoryTags {
        owner: Arc::new(owner),
        image,
        revision,
        scan_time,
        complete,
        version,
        table: Arc::new(table),
        idle: marks.iter().filter(|mark| mark.is_idle()).count(),
        marks: marks.into_iter().collect(),
        elections: elections.into_iter().collect(),
        aside: aside.into(),
        refound,
    })
}

fn checksum(body: &[u8]) -> [u8; CHECKSUM] {
    let hash: [u8; 32] = Sha256::digest(body).into();
    *hash
        .first_chunk()
        .expect("a SHA-256 is longer than its first 8 bytes")
}

fn put_str(out: &mut Vec<u8>, text: &str) {
    varint::put_bytes(out, text.as_bytes());
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    varint::put(out, count as u64);
}

fn put_time(out: &mut Vec<u8>, time: Timestamp) {
    varint::put_signed(out, time.as_second());
    varint::put_signed(out, i64::from(time.subsec_nanosecond()));
}

/// Nothing is the empty text.
fn put_digest(out: &mut Vec<u8>, digest: Option<&Digest>) {
    put_str(out, digest.map_or("", Digest::as_str));
}

/// Bytes that nobody has looked at yet.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn number(&mut self) -> Result<u64, Malformed> {
        varint::take(&mut self.0).ok_or(CUT_OFF)
    }

    fn index(&mut self) -> Result<u32, Malformed> {
        u32::try_from(self.number()?).map_err(|_| Malformed("a number is out of range"))
    }

    fn version(&mut self, ceiling: u64) -> Result<u64, Malformed> {
        Some(self.number()?)
            .filter(|version| *version < ceiling)
            .ok_or(Malformed("a version lies in the future"))
    }

    fn text(&mut self) -> Result<&'a str, Malformed> {
        varint::take_str(&mut self.0).ok_or(CUT_OFF)
    }

    fn key(&mut self) -> Result<Key, Malformed> {
        Ok(Key::new(self.text()?, self.text()?))
    }

    fn tag(&mut self) -> Result<Tag, Malformed> {
        self.text()?
            .parse()
            .map_err(|_| Malformed("a name is not a tag"))
    }

    fn digest(&mut self) -> Result<Option<Digest>, Malformed> {
        match self.text()? {
            "" => Ok(None),
            text => text
                .parse()
                .map(Some)
                .map_err(|_| Malformed("a digest is not a digest")),
        }
    }

    fn time(&mut self) -> Result<Timestamp, Malformed> {
        let out_of_range = Malformed("a time is out of range");
        let seconds = varint::take_signed(&mut self.0).ok_or(CUT_OFF)?;
        let nanoseconds = varint::take_signed(&mut self.0).ok_or(CUT_OFF)?;
        Timestamp::new(
            seconds,
            i32::try_from(nanoseconds).map_err(|_| out_of_range)?,
        )
        .map_err(|_| out_of_range)
    }

    /// A list never holds more items than there are bytes, so that a false count reserves no memory.
    fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let count = usize::try_from(self.number()?)
            .ok()
            .filter(|count| *count <= self.0.len())
            .ok_or(CUT_OFF)?;
        (0..count).map(|_| item(self)).collect()
    }
}

#[cfg(test)]
mod tests;
