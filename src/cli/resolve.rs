//! `tagscope resolve`: the tag that an ImagePolicy with these settings would elect, by the very same engine.

use super::policy_args::PolicyArgs;
use super::target::Target;
use super::{Failure, Outcome, print};
use crate::policy::{Candidates, Choice, Policy, TagFilter, elect};

/// Arguments of `tagscope resolve`.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("one_policy").args(["semver", "alphabetical", "numerical"]).required(true)))]
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

pub(super) fn run(args: &Args) -> Outcome {
    let choice = args.policy.choice().unwrap_or_default();
    let policy = Policy::from_choice(Choice::from(&choice)).map_err(Failure::usage)?;
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
