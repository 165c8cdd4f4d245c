//! `tagscope resolve`: the tag that an ImagePolicy with these settings would elect, by the very same engine.

use super::target::Target;
use super::{Failure, Outcome, print};
use crate::policy::{Candidates, Choice, Policy, TagFilter, elect};

/// Arguments of `tagscope resolve`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    policy: PolicyArgs,
    /// Consider only tags that match this pattern (filterTags.pattern)
    #[arg(long, value_name = "REGEX")]
    filter: Option<String>,
    /// Compare what this template makes of the match, e.g. '$ts' (filterTags.extract)
    #[arg(long, value_name = "TEMPLATE", requires = "filter")]
    extract: Option<String>,
}

/// Exactly one of them.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct PolicyArgs {
    /// The highest version within this range, e.g. '>=1.0.0 <2.0.0'
    #[arg(long, value_name = "RANGE")]
    semver: Option<String>,
    /// The last text in byte order (asc), or the first (desc)
    #[arg(long, value_name = "ORDER", num_args = 0..=1, require_equals = true, default_missing_value = "asc")]
    alphabetical: Option<String>,
    /// The highest number (asc), or the lowest (desc)
    #[arg(long, value_name = "ORDER", num_args = 0..=1, require_equals = true, default_missing_value = "asc")]
    numerical: Option<String>,
}

pub(super) fn run(args: &Args) -> Outcome {
    let PolicyArgs {
        semver,
        alphabetical,
        numerical,
    } = &args.policy;
    let choice = Choice {
        semver: semver.as_deref(),
        alphabetical: alphabetical.as_deref(),
        numerical: numerical.as_deref(),
    };
    let policy = Policy::from_choice(choice).map_err(Failure::usage)?;
    let filter = match &args.filter {
        Some(pattern) => {
            let template = args.extract.as_deref().unwrap_or_default();
            Some(TagFilter::new(pattern, template).map_err(Failure::usage)?)
        }
        None => None,
    };
    let tags = args.target.list()?.tags;
    let candidates = Candidates::visit(|take| tags.iter().for_each(|tag| take(tag.as_str())));
    let elected = elect(&policy, filter.as_ref(), &candidates)?;
    print(&format!("{elected}\n"))
}
