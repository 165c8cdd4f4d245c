//! The flags that say which tag is the latest; shared by the commands that elect.

use crate::api::image_policy::{AlphabeticalPolicy, NumericalPolicy, PolicyChoice, SemVerPolicy};

/// At most one of them.
#[derive(Debug, Default, clap::Args)]
#[group(id = "policy", multiple = false)]
pub(super) struct PolicyArgs {
    /// Versions within this range, e.g. '>=1.0.0 <2.0.0'; the highest is the latest
    #[arg(long, value_name = "RANGE")]
    semver: Option<String>,
    /// The last text in byte order (asc), or the first (desc)
    #[arg(long, value_name = "ORDER", num_args = 0..=1, require_equals = true, default_missing_value = "asc")]
    alphabetical: Option<String>,
    /// The highest number (asc), or the lowest (desc)
    #[arg(long, value_name = "ORDER", num_args = 0..=1, require_equals = true, default_missing_value = "asc")]
    numerical: Option<String>,
}

impl PolicyArgs {
    /// The one that is given.
    pub(super) fn flag(&self) -> Option<&'static str> {
        [
            (self.semver.is_some(), "--semver"),
            (self.alphabetical.is_some(), "--alphabetical"),
            (self.numerical.is_some(), "--numerical"),
        ]
        .into_iter()
        .find_map(|(is_given, flag)| is_given.then_some(flag))
    }

    /// Whether only order was asked for, without any bound.
    pub(super) fn is_alphabetical(&self) -> bool {
        self.alphabetical.is_some()
    }

    /// What is given, as it stands in an ImagePolicy.
    pub(super) fn choice(&self) -> Option<PolicyChoice> {
        let Self {
            semver,
            alphabetical,
            numerical,
        } = self;
        self.flag()?;
        Some(PolicyChoice {
            semver: semver.clone().map(|range| SemVerPolicy { range }),
            alphabetical: alphabetical
                .clone()
                .map(|order| AlphabeticalPolicy { order }),
            numerical: numerical.clone().map(|order| NumericalPolicy { order }),
        })
    }
}
