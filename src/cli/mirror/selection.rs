//! Tags as flags and documents ask for them, in the words of `mirror::select`; an error says which of the parts is wrong.

use crate::api::image_policy::{PolicyChoice, TagFilter};
use crate::mirror::select::{self, Selection};
use crate::policy::InvalidPolicy;
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
