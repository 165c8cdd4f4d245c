//! Tags as flags and documents ask for them, in the words of `mirror::select`; an error says which of the parts is wrong.

use crate::api::image_policy::{
    AlphabeticalPolicy, NumericalPolicy, PolicyChoice, SemVerPolicy, TagFilter,
};
use crate::api::image_repository::DEFAULT_EXCLUSION;
use crate::mirror::select::{self, Selection};
use crate::policy::InvalidPolicy;
use crate::quote::quote;
use crate::regexp::{self, Regexp};

/// What is wanted of a source's tags.
#[derive(Debug)]
pub(super) struct Wish<'a> {
    pub(super) exclude: &'a [String],
    pub(super) filter: Option<&'a TagFilter>,
    pub(super) policy: Option<&'a PolicyChoice>,
    pub(super) limit: Option<u32>,
}

/// Which part of a wish cannot be met, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    /// A pattern of the exclusion list.
    #[error("failed to compile regex {pattern}: {error}")]
    Exclude {
        pattern: String,
        error: regexp::Error,
    },
    /// The filter.
    #[error("{0}")]
    Filter(InvalidPolicy),
    /// The policy, or its limit.
    #[error("{0}")]
    Policy(select::Error),
}

impl Wish<'_> {
    /// What is wanted, in its author's words.
    pub(super) fn words(&self) -> String {
        let Self {
            exclude,
            filter,
            policy,
            limit,
        } = self;
        let mut parts = Vec::new();
        if let Some(TagFilter { pattern, extract }) = filter {
            parts.push(format!("those that match {}", quote(pattern)));
            if !extract.is_empty() {
                parts.push(format!("by {}", quote(extract)));
            }
        }
        if let Some(PolicyChoice {
            semver,
            alphabetical,
            numerical,
        }) = policy
        {
            // Of several, the first counts.
            if let Some(SemVerPolicy { range }) = semver {
                parts.push(format!("semver {}", quote(range)));
            } else if let Some(AlphabeticalPolicy { .. }) = alphabetical {
                parts.push("alphabetical".to_owned());
            } else if let Some(NumericalPolicy { .. }) = numerical {
                parts.push("numerical".to_owned());
            }
        }
        if let Some(limit) = limit {
            parts.push(format!("the latest {limit}"));
        }
        if parts.is_empty() {
            parts.push("all tags".to_owned());
        }
        let excluded: Vec<String> = exclude
            .iter()
            .filter(|pattern| *pattern != DEFAULT_EXCLUSION)
            .map(|pattern| quote(pattern))
            .collect();
        if !excluded.is_empty() {
            parts.push(format!(
                "without those that match {}",
                excluded.join(" or ")
            ));
        }
        parts.join(", ")
    }

    /// The same in the engine's words.
    pub(super) fn selection(self) -> Result<Selection, Error> {
        let Self {
            exclude,
            filter,
            policy,
            limit,
        } = self;
        let selection =
            Selection::from_spec(filter, policy, limit).map_err(|error| match error {
                select::Error::Invalid(invalid @ InvalidPolicy::Filter { .. }) => {
                    Error::Filter(invalid)
                }
                other => Error::Policy(other),
            })?;
        let patterns = exclude.iter().map(|pattern| {
            Regexp::new(pattern).map_err(|error| Error::Exclude {
                pattern: pattern.clone(),
                error,
            })
        });
        Ok(selection.excluding(patterns.collect::<Result<_, _>>()?))
    }
}
