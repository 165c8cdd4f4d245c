//! `filterTags`: which tags a policy sees at all, and under which keys.
//!
//! Upstream walks a hash map here, so its ties between keys fall by chance. Here keys come in descending byte
//! order, always; each outcome is one that upstream could have had.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::candidates::Candidates;
use super::extract::Template;
use super::{InvalidPolicy, NoTag};
use crate::regexp::Regexp;

#[cfg(test)]
mod tests;

/// The most that the keys of one filter may take in bytes: templates repeat what they match as often as they like.
const MAX_KEY_BYTES: usize = 64 << 20;

/// A compiled `filterTags`.
#[derive(Debug, Clone)]
pub struct TagFilter {
    pattern: Regexp,
    /// `None`: the key is the tag itself.
    extract: Option<Template>,
}

/// What a filter left over: keys in descending byte order, each with the one tag it stands for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filtered<'a> {
    pairs: Vec<(Cow<'a, str>, &'a str)>,
    shadowed: usize,
}

impl TagFilter {
    /// Compiles a filter. An empty pattern matches every tag, an empty `extract` makes tags their own keys.
    pub fn new(pattern: &str, extract: &str) -> Result<Self, InvalidPolicy> {
        let pattern = Regexp::new(pattern).map_err(|error| InvalidPolicy::Filter {
            pattern: pattern.to_owned(),
            error,
        })?;
        let extract = (!extract.is_empty()).then(|| Template::new(extract, &pattern));
        Ok(Self { pattern, extract })
    }

    /// The key of `tag`, or `None` when the pattern is nowhere in it. The key may be empty.
    pub fn key<'a>(&self, tag: &'a str) -> Option<Cow<'a, str>> {
        match &self.extract {
            None => self.pattern.is_match(tag).then_some(Cow::Borrowed(tag)),
            Some(template) => Some(Cow::Owned(template.expand(&self.pattern.find(tag)?))),
        }
    }

    /// Filters `candidates`. Of several tags with one key the last one stays, the smallest in bytes.
    ///
    /// Fails when the keys take more than 64 MiB.
    pub fn apply<'a>(&self, candidates: &'a Candidates) -> Result<Filtered<'a>, NoTag> {
        Ok(self.apply_while(candidates, &|| true)?.unwrap_or_default())
    }

    /// As [`apply`](Self::apply), as long as `go_on` says so, which is asked before each tag; `None` once it does not.
    pub fn apply_while<'a>(
        &self,
        candidates: &'a Candidates,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Option<Filtered<'a>>, NoTag> {
        let mut tags = BTreeMap::new();
        let (mut shadowed, mut key_bytes) = (0, 0_usize);
        for tag in candidates.iter() {
            if !go_on() {
                return Ok(None);
            }
            let Some(key) = self.key(tag) else { continue };
            key_bytes = key_bytes.saturating_add(key.len());
            if key_bytes > MAX_KEY_BYTES {
                return Err(NoTag::KeysTooLarge(MAX_KEY_BYTES));
            }
            let gave_way = tags.insert(key, tag).filter(|other| *other != tag);
            shadowed += usize::from(gave_way.is_some());
        }
        Ok(Some(Filtered {
            pairs: tags.into_iter().rev().collect(),
            shadowed,
        }))
    }
}

impl<'a> Filtered<'a> {
    /// Keys with their tags.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &'a str)> {
        self.pairs.iter().map(|(key, tag)| (key.as_ref(), *tag))
    }

    /// The tag that stands for `key`.
    pub fn tag_of(&self, key: &str) -> Option<&'a str> {
        let found = self.pairs.binary_search_by(|(known, _)| key.cmp(known));
        let (_, tag) = self.pairs.get(found.ok()?)?;
        Some(tag)
    }

    /// Keys with their tags, given away.
    pub(super) fn into_pairs(self) -> Vec<(Cow<'a, str>, &'a str)> {
        self.pairs
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether nothing was left over.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// How many tags matched but gave way to another tag with the same key.
    pub fn shadowed(&self) -> usize {
        self.shadowed
    }
}
