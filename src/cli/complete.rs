//! `tagscope completion`.

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{Cli, Outcome, print};

/// Arguments of `tagscope completion`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The shell
    shell: Shell,
}

pub(super) fn run(args: &Args) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "tagscope", &mut script);
    print(&String::from_utf8_lossy(&script))
}
