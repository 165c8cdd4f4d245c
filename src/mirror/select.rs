//! Which tags of a source are copied.
//!
//! How tags are ranked and filtered is `policy`'s to say: an ImageMirror's policy means what an ImagePolicy's means.

use std::collections::HashMap;
use std::num::NonZeroUsize;

use super::referrers::is_companion;
use crate::api::image_policy::{PolicyChoice, TagFilter as FilterSpec};
use crate::image::Tag;
use crate::policy::{Candidates, InvalidPolicy, NoTag, Policy, Range, TagFilter};
use crate::regexp::Regexp;

#[cfg(test)]
mod tests;

/// What is wanted of a repository's tags.
#[derive(Debug, Clone)]
pub struct Selection {
    wanted: Wanted,
    /// Patterns of tags that are never wanted.
    excluded: Vec<Regexp>,
}

#[derive(Debug, Clone)]
enum Wanted {
    All,
    Matching(Regexp),
    /// Those that a filter lets through.
    Filtered(TagFilter),
    /// What a policy ranks, the best first, and how many of them.
    Ranked {
        filter: Option<TagFilter>,
        policy: Policy,
        limit: Option<NonZeroUsize>,
    },
}

/// The tags to copy, and those that belong to images (cosign's and fallback tags), apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selected {
    /// Images: in the order of a policy, the best first, where there is one; otherwise as they were given.
    pub tags: Vec<Tag>,
    /// What belongs to images, by name; copied with them or not at all. All of them: which images they belong to is known
    /// when the images' digests are.
    pub companions: Vec<Tag>,
}

/// Why nothing can be selected. The texts of policies are those of an ImagePolicy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The policy or its filter cannot work before somebody edits it.
    #[error("{0}")]
    Invalid(InvalidPolicy),
    /// A limit without an order says nothing.
    #[error("limit needs a policy: without one, no tag goes before another")]
    LimitWithoutPolicy,
    /// The limit is 0.
    #[error("limit has to be at least 1")]
    LimitZero,
    /// The policy cannot rank the tags that there are.
    #[error("{0}")]
    Unrankable(NoTag),
}

impl Selection {
    /// Every tag.
    pub fn all() -> Self {
        Self::of(Wanted::All)
    }

    /// The tags that `pattern` is somewhere in; to be about the whole tag it has to say `^` and `$`.
    pub fn matching(pattern: Regexp) -> Self {
        Self::of(Wanted::Matching(pattern))
    }

    /// The tags that are versions within `range`, the highest first.
    pub fn semver(range: Range) -> Self {
        Self::policy(None, Policy::SemVer(range), None)
    }

    /// The tags that `policy` would elect from those that `filter` lets through, the best first, at most `limit` of them.
    pub fn policy(filter: Option<TagFilter>, policy: Policy, limit: Option<NonZeroUsize>) -> Self {
        Self::of(Wanted::Ranked {
            filter,
            policy,
            limit,
        })
    }

    /// From `spec.tags` of an ImageMirror, and from the flags that say the same.
    ///
    /// # Errors
    /// A pattern, a range or an order is invalid, or there is a limit and no policy.
    pub fn from_spec(
        filter: Option<&FilterSpec>,
        policy: Option<&PolicyChoice>,
        limit: Option<u32>,
    ) -> Result<Self, Error> {
        let filter = filter
            .map(|filter| TagFilter::new(&filter.pattern, &filter.extract))
            .transpose()
            .map_err(Error::Invalid)?;
        let limit = match limit {
            None => None,
            Some(limit) => {
                let limit = usize::try_from(limit).unwrap_or(usize::MAX);
                Some(NonZeroUsize::new(limit).ok_or(Error::LimitZero)?)
            }
        };
        match (policy, filter) {
            (Some(choice), filter) => {
                let policy = Policy::from_choice(choice.into()).map_err(Error::Invalid)?;
                Ok(Self::policy(filter, policy, limit))
            }
            (None, _) if limit.is_some() => Err(Error::LimitWithoutPolicy),
            (None, Some(filter)) => Ok(Self::of(Wanted::Filtered(filter))),
            (None, None) => Ok(Self::all()),
        }
    }

    /// The same without the tags that one of `patterns` is in.
    #[must_use]
    pub fn excluding(mut self, patterns: Vec<Regexp>) -> Self {
        self.excluded.extend(patterns);
        self
    }

    fn of(wanted: Wanted) -> Self {
        Self {
            wanted,
            excluded: Vec::new(),
        }
    }

    /// Selects from a repository's tags. None that fits is an empty selection and no error.
    ///
    /// What belongs to an image is never taken for one, so that neither a limit nor a policy by number stumbles over it.
    ///
    /// # Errors
    /// A policy by number meets a tag that is none, or what `extract` makes of the tags is too large.
    pub fn select(&self, tags: &[Tag]) -> Result<Selected, Error> {
        let mut seen = HashMap::with_capacity(tags.len());
        let (mut images, mut companions) = (Vec::new(), Vec::new());
        for tag in tags {
            if seen.insert(tag.as_str(), tag).is_some() || self.excludes(tag) {
                continue;
            }
            if is_companion(tag) {
                companions.push(tag.clone());
            } else {
                images.push(tag);
            }
        }
        let with = |keep: &dyn Fn(&Tag) -> bool| {
            let kept = images.iter().copied().filter(|tag| keep(tag));
            kept.cloned().collect()
        };
        let tags = match &self.wanted {
            Wanted::All => with(&|_| true),
            Wanted::Matching(pattern) => with(&|tag| pattern.is_match(tag.as_str())),
            Wanted::Filtered(filter) => with(&|tag| filter.key(tag.as_str()).is_some()),
            Wanted::Ranked {
                filter,
                policy,
                limit,
            } => {
                let candidates: Candidates = images.iter().map(|tag| tag.as_str()).collect();
                let ranked = match policy.rank(filter.as_ref(), &candidates) {
                    Ok(ranked) => ranked,
                    Err(NoTag::Empty | NoTag::NoMatch) => Vec::new(),
                    Err(error @ (NoTag::NotANumber(_) | NoTag::KeysTooLarge(_))) => {
                        return Err(Error::Unrankable(error));
                    }
                };
                let most = limit.map_or(usize::MAX, NonZeroUsize::get);
                let best = ranked.iter().take(most);
                let best = best.filter_map(|ranked| seen.get(ranked.tag));
                best.map(|tag| (*tag).clone()).collect()
            }
        };
        Ok(Selected { tags, companions })
    }

    fn excludes(&self, tag: &Tag) -> bool {
        let mut patterns = self.excluded.iter();
        patterns.any(|pattern| pattern.is_match(tag.as_str()))
    }
}
