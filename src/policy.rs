//! The policy engine: from a repository's tags and one policy to one tag.
//!
//! Pure, synchronous and total: nothing here reads, waits, logs or panics, whatever the input. The rules are those
//! of Flux's image-reflector-controller v1.2 with Masterminds/semver v3.5 and Go's `regexp` and `strconv`.
//! [`Policy`] says how to choose, [`TagFilter`] from what, [`Candidates`] holds the tags, [`elect`] chooses.
//! [`governance`] is ours: what may keep the chosen tag from being elected.

mod candidates;
mod choose;
pub mod explain;
mod extract;
mod filter;
pub mod governance;
pub mod number;
mod order;
pub mod range;
mod rank;
mod version;

#[cfg(test)]
mod tests;

pub use candidates::Candidates;
pub use filter::{Filtered, TagFilter};
pub use order::Order;
pub use range::Range;
pub use rank::Ranked;
pub use version::Version;

use crate::api::image_policy::PolicyChoice;
use crate::regexp;

/// How the latest tag is chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Policy {
    /// The highest version within a range.
    SemVer(Range),
    /// The last text in byte order.
    Alphabetical(Order),
    /// The last number.
    Numerical(Order),
}

/// `spec.policy` as it stands in an object: the range, and the orders of the two others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Choice<'a> {
    /// `semver.range`
    pub semver: Option<&'a str>,
    /// `alphabetical.order`
    pub alphabetical: Option<&'a str>,
    /// `numerical.order`
    pub numerical: Option<&'a str>,
}

impl<'a> From<&'a PolicyChoice> for Choice<'a> {
    fn from(choice: &'a PolicyChoice) -> Self {
        let PolicyChoice {
            semver,
            alphabetical,
            numerical,
        } = choice;
        Self {
            semver: semver.as_ref().map(|semver| semver.range.as_str()),
            alphabetical: alphabetical.as_ref().map(|it| it.order.as_str()),
            numerical: numerical.as_ref().map(|it| it.order.as_str()),
        }
    }
}

/// A policy that cannot work before somebody edits it: it stalls, and is not tried again.
///
/// The texts are whole condition messages, so a cause is part of its text and not a `source`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPolicy {
    /// The semver range does not parse.
    #[error("invalid policy: {0}")]
    Range(range::Error),
    /// The order, here in upper case, is neither of the two.
    #[error("invalid policy: invalid order argument provided: '{0}', must be one of: ASC, DESC")]
    Order(String),
    /// No policy is chosen.
    #[error("invalid policy: given ImagePolicyChoice object is invalid")]
    NoChoice,
    /// The pattern of `filterTags` does not compile.
    #[error("failed to filter tags: invalid regular expression pattern '{pattern}': {error}")]
    Filter {
        /// The pattern as it was given.
        pattern: String,
        /// What is wrong with it.
        error: regexp::Error,
    },
}

/// A policy that is sound but elects nothing from the tags of today: worth another try with other tags.
///
/// The texts are whole condition messages.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoTag {
    /// There is nothing to choose from, or the filter left nothing.
    #[error("version list argument cannot be empty")]
    Empty,
    /// No candidate is a version within the range.
    #[error("unable to determine latest version from provided list")]
    NoMatch,
    /// A candidate of a numerical policy, here its key, is no number. One such candidate fails the whole policy.
    #[error("failed to parse invalid numeric value '{0}'")]
    NotANumber(String),
    /// What `extract` makes of the tags is larger than anything sensible.
    #[error("the extracted keys take more than {0} bytes")]
    KeysTooLarge(usize),
}

impl Policy {
    /// Reads a choice. When several are set, semver goes before alphabetical before numerical.
    pub fn from_choice(choice: Choice<'_>) -> Result<Self, InvalidPolicy> {
        match choice {
            Choice {
                semver: Some(range),
                ..
            } => Range::parse(range)
                .map(Self::SemVer)
                .map_err(InvalidPolicy::Range),
            Choice {
                alphabetical: Some(order),
                ..
            } => Order::parse(order).map(Self::Alphabetical),
            Choice {
                numerical: Some(order),
                ..
            } => Order::parse(order).map(Self::Numerical),
            Choice {
                semver: None,
                alphabetical: None,
                numerical: None,
            } => Err(InvalidPolicy::NoChoice),
        }
    }

    /// Elects from all candidates.
    pub fn elect<'a>(&self, candidates: &'a Candidates) -> Result<&'a str, NoTag> {
        if candidates.is_empty() {
            return Err(NoTag::Empty);
        }
        match self {
            Self::SemVer(range) => choose::highest_version(range, candidates.versions()),
            Self::Alphabetical(order) => {
                choose::last_text(*order, candidates.iter().map(|tag| (tag, tag)))
            }
            Self::Numerical(order) => {
                choose::last_number(*order, candidates.iter().map(|tag| (tag, tag)))
            }
        }
    }

    /// Elects from the keys that a filter left over, and answers with the winning key's tag.
    pub fn elect_filtered<'a>(&self, filtered: &Filtered<'a>) -> Result<&'a str, NoTag> {
        if filtered.is_empty() {
            return Err(NoTag::Empty);
        }
        match self {
            Self::SemVer(range) => {
                let keys = filtered.iter();
                choose::highest_version(
                    range,
                    keys.filter_map(|(key, tag)| Some((Version::parse_tag(key)?, tag))),
                )
            }
            Self::Alphabetical(order) => choose::last_text(*order, filtered.iter()),
            Self::Numerical(order) => choose::last_number(*order, filtered.iter()),
        }
    }
}

/// Elects one tag. Fails only for want of a tag that fits: try again when the tags have changed.
pub fn elect<'a>(
    policy: &Policy,
    filter: Option<&TagFilter>,
    candidates: &'a Candidates,
) -> Result<&'a str, NoTag> {
    match filter {
        None => policy.elect(candidates),
        Some(filter) => policy.elect_filtered(&filter.apply(candidates)?),
    }
}
