//! `tagscope mirror`: images from registry to registry, by flags or by documents as in a cluster.
//!
//! What is wanted is read and checked whole before anybody is asked anything; the engine (`registry::copy`) does the rest.

mod documents;
mod figures;
mod flags;
mod log;
mod memory;
mod order;
mod progress;
mod prune;
mod run;
mod selection;
mod summary;

use std::io::Read;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use self::documents::Asked;
use self::flags::Flags;
use super::Outcome;
use crate::api::Bandwidth;

const EXAMPLES: &str = "\
Examples:
  tagscope mirror ghcr.io/stefanprodan/podinfo:6.7.0 registry.example.com/podinfo
  tagscope mirror ghcr.io/stefanprodan/podinfo registry.example.com/podinfo --semver '6.x' --latest 5 --referrers
  tagscope mirror alpine localhost:5000/alpine --tags '^3\\.' --platform linux/amd64 --platform linux/arm64
  tagscope mirror alpine@sha256:... localhost:5000/alpine:pinned
  tagscope mirror -f mirrors.yaml --dry-run
  tagscope mirror -f mirrors.yaml --prune
  kubectl get imagerepositories,secrets -o yaml | tagscope mirror -f - -f mirrors.yaml

Credentials are those of $DOCKER_CONFIG/config.json or ~/.docker/config.json, credential helpers included.

Exit codes: 0 all is there; 1 something failed; 2 drift, a registry that does not let a tag be moved, or --prune that may not delete
what it would;
64 the flags or documents make no sense; 130 interrupted (a second Ctrl-C ends at once; a new run goes on).";

/// Arguments of `tagscope mirror`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    flags: Flags,

    /// Read ImageMirror, ImageRepository, ImagePolicy and Secret documents from this file; - is standard input (repeatable)
    #[arg(
        short,
        long,
        value_name = "FILE",
        conflicts_with_all = flags::OF_FLAGS_ALONE,
        help_heading = "Documents"
    )]
    file: Vec<PathBuf>,

    #[command(flatten)]
    prune: prune::Pruning,

    #[command(flatten)]
    how: How,
}

/// How it is done, whatever it is.
#[derive(Debug, clap::Args)]
struct How {
    /// Write nothing, and say what would happen
    #[arg(long, help_heading = "How")]
    dry_run: bool,
    /// The most requests of one kind under way at one registry; how many there are is found out
    #[arg(long, value_name = "N", default_value = "32", help_heading = "How")]
    concurrency: NonZeroUsize,
    /// The most bytes per second in all, e.g. 50MiB
    #[arg(long, value_name = "BYTES", help_heading = "How")]
    bandwidth: Option<Bandwidth>,
    /// Keep what is known to be where in this directory [default: $XDG_STATE_HOME/tagscope, or ~/.local/state/tagscope]
    #[arg(
        long,
        value_name = "DIR",
        conflicts_with = "no_state",
        help_heading = "How"
    )]
    state: Option<PathBuf>,
    /// Know nothing of runs before this one, and keep nothing for the next
    #[arg(long, help_heading = "How")]
    no_state: bool,
    /// How the result is written
    #[arg(
        short,
        long,
        value_name = "FORMAT",
        value_enum,
        default_value = "text",
        help_heading = "How"
    )]
    output: Output,
    /// Say nothing on the way; warnings and the result are written
    #[arg(short, long, help_heading = "How")]
    quiet: bool,
}

/// How the result is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// A line for each tag, and sums
    Text,
    /// One JSON object
    Json,
}

pub(super) fn run(args: Args) -> Outcome {
    let Args {
        flags,
        file,
        prune,
        how,
    } = args;
    let Asked {
        orders,
        suspended,
        warnings,
    } = if file.is_empty() {
        Asked {
            orders: vec![flags.order()?],
            suspended: Vec::new(),
            warnings: Vec::new(),
        }
    } else {
        documents::load(&file)?
    };
    for warning in &warnings {
        super::warn(warning);
    }
    // Bytes are hashed, and encrypted, as fast as the cores are.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return run::answer(Err(error.into()), &warnings, &how),
    };
    let ended = runtime.block_on(run::run((&orders, &suspended), &warnings, &how, prune));
    // What still waits for a disk or a name is not waited for.
    runtime.shutdown_background();
    ended
}

/// All of it, if it is not too much.
fn read_bounded(input: impl Read, limit: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    input.take(limit + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > limit) {
        return Err(std::io::Error::other(format!(
            "it is longer than {limit} bytes"
        )));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
