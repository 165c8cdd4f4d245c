//! To be written.
use super::Outcome;
/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {}
pub(super) fn run(_: Args) -> Outcome {
    Ok(())
}
