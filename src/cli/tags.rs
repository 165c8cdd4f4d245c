//! `tagscope tags`: what a scan of a repository would store, one tag a line.

use super::target::Target;
use super::{Outcome, print};

/// Arguments of `tagscope tags`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    target: Target,
}

pub(super) fn run(args: &Args) -> Outcome {
    let mut lines = String::new();
    for tag in args.target.list()?.tags.iter().rev() {
        lines.push_str(tag.as_str());
        lines.push('\n');
    }
    print(&lines)
}
