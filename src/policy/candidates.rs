//! The tags that policies elect from, laid out once per scan and shared by all policies of a repository.
//!
//! The texts lie in one buffer; the versions among them are parsed when the first policy asks for them, and never
//! again. Must not know what a policy does with either.

use std::sync::OnceLock;

use super::version::Version;

#[cfg(test)]
mod tests;

/// Tags in descending byte order, which is the order ties are decided by; duplicates stay.
#[derive(Debug, Default)]
pub struct Candidates {
    text: String,
    /// Where each tag ends in `text`.
    ends: Vec<usize>,
    versions: OnceLock<Vec<Parsed>>,
}

/// A tag that is a version: where it lies and what is in it.
#[derive(Debug)]
struct Parsed {
    /// Where the tag begins and ends in the buffer.
    tag: (usize, usize),
    core: (u64, u64, u64),
    /// Where the prerelease begins and ends in the buffer; empty when there is none.
    prerelease: (usize, usize),
}

impl Candidates {
    /// Collects what `visit` hands out, for holders of tags that show them without giving them away.
    ///
    /// Tags in descending byte order are taken as they come, others are sorted.
    pub fn visit(visit: impl FnOnce(&mut dyn FnMut(&str))) -> Self {
        let mut collected = Self::default();
        visit(&mut |tag| collected.push(tag));
        collected.into_descending()
    }

    /// The tags.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts
            .zip(&self.ends)
            .map(|(start, end)| self.slice((start, *end)))
    }

    /// The tag of this name.
    pub fn get(&self, tag: &str) -> Option<&str> {
        let at = |index: usize| {
            let start = match index.checked_sub(1) {
                Some(before) => *self.ends.get(before)?,
                None => 0,
            };
            Some(self.slice((start, *self.ends.get(index)?)))
        };
        let (mut low, mut high) = (0, self.ends.len());
        while low < high {
            let middle = low.midpoint(high);
            if at(middle)? > tag {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        at(low).filter(|found| *found == tag)
    }

    /// How many tags there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Those tags that are versions, each with its version; metadata is left out.
    pub fn versions(&self) -> impl Iterator<Item = (Version<'_>, &str)> {
        let parsed = self.versions.get_or_init(|| self.parse_versions());
        parsed.iter().map(|parsed| {
            let (major, minor, patch) = parsed.core;
            let prerelease = self.slice(parsed.prerelease);
            (
                Version {
                    major,
                    minor,
                    patch,
                    prerelease,
                    metadata: "",
                },
                self.slice(parsed.tag),
            )
        })
    }

    fn push(&mut self, tag: &str) {
        self.text.push_str(tag);
        self.ends.push(self.text.len());
    }

    fn into_descending(self) -> Self {
        if self.iter().is_sorted_by(|a, b| a >= b) {
            return self;
        }
        let mut tags: Vec<&str> = self.iter().collect();
        tags.sort_by(|a, b| b.cmp(a));
        let mut sorted = Self::default();
        for tag in tags {
            sorted.push(tag);
        }
        sorted
    }

    fn parse_versions(&self) -> Vec<Parsed> {
        let mut end = 0;
        let spans = self
            .ends
            .iter()
            .map(|next| (std::mem::replace(&mut end, *next), *next));
        let parsed =
            spans.filter_map(|tag| Parsed::new(tag, &Version::parse_tag(self.slice(tag))?));
        parsed.collect()
    }

    /// Spans come from `push` and the parser, so they lie in the buffer and on character boundaries.
    fn slice(&self, (start, end): (usize, usize)) -> &str {
        self.text.get(start..end).unwrap_or_default()
    }
}

impl Parsed {
    fn new(tag: (usize, usize), version: &Version<'_>) -> Option<Self> {
        // Behind the prerelease stands nothing but the metadata with its plus sign.
        let metadata = match version.metadata.len() {
            0 => 0,
            length => length + 1,
        };
        let end = tag.1.checked_sub(metadata)?;
        let start = end.checked_sub(version.prerelease.len())?;
        let core = (version.major, version.minor, version.patch);
        Some(Self {
            tag,
            core,
            prerelease: (start, end),
        })
    }
}

impl<S: AsRef<str>> FromIterator<S> for Candidates {
    fn from_iter<I: IntoIterator<Item = S>>(tags: I) -> Self {
        Self::visit(|push| tags.into_iter().for_each(|tag| push(tag.as_ref())))
    }
}
