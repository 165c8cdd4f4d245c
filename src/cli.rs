//! The command line: `tagscope` alone is `tagscope run`; the other commands need no cluster.
//!
//! The only place that prints to standard output and chooses an exit code.

mod complete;
mod crds;
mod mirror;
mod policy_args;
mod resolve;
mod run;
mod tags;
mod target;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::args::Args as RunArgs;

/// Container image tags as a Kubernetes API: scans registries, elects tags, serves every one of them.
///
/// Without a command it runs the controllers and the aggregated API server, as `tagscope run`.
#[derive(Debug, Parser)]
#[command(name = "tagscope", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "parsed once per process")]
enum Command {
    /// Run the controllers and the aggregated API server
    Run(RunArgs),
    /// List the tags of an image repository
    Tags(tags::Args),
    /// Say which tag of an image repository a policy elects
    Resolve(resolve::Args),
    /// Copy images between registries: one, many, or what documents say
    Mirror(mirror::Args),
    /// Print the CustomResourceDefinitions as YAML
    Crds,
    /// Print a completion script for a shell
    Completion(complete::Args),
}

/// Exit code of a command that could not do what it was asked to.
const FAILED: u8 = 1;
/// Exit code for a command line that makes no sense.
const USAGE: u8 = 64;

/// Parses the command line and runs it.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() {
                ExitCode::from(USAGE)
            } else {
                ExitCode::SUCCESS
            };
            // Nothing can be said when the terminal is gone.
            drop(error.print());
            return code;
        }
    };
    let done = match cli.command {
        None => run::run(cli.run),
        Some(Command::Run(args)) => run::run(args),
        Some(Command::Tags(args)) => tags::run(&args),
        Some(Command::Resolve(args)) => resolve::run(&args),
        Some(Command::Mirror(args)) => mirror::run(args),
        Some(Command::Crds) => crds::run(),
        Some(Command::Completion(args)) => complete::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { code, error }) => {
            if let Some(error) = error {
                complain(&error);
            }
            ExitCode::from(code)
        }
    }
}

/// Why a command ends with something else than 0.
#[derive(Debug)]
struct Failure {
    code: u8,
    /// None: all has been said.
    error: Option<anyhow::Error>,
}

impl Failure {
    fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self {
            code: USAGE,
            error: Some(error.into()),
        }
    }

    /// Ends with `code` when everything has been said.
    fn silent(code: u8) -> Self {
        Self { code, error: None }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self {
            code: FAILED,
            error: Some(error.into()),
        }
    }
}

type Outcome = Result<(), Failure>;

fn complain(error: &anyhow::Error) {
    for line in format!("{error:#}").lines() {
        tell(&format!("tagscope: {line}"));
    }
}

/// Says something that is worth knowing but stops nothing.
fn warn(text: &str) {
    tell(&format!("tagscope: warning: {text}"));
}

/// Says how it goes. Nobody may be there to read it any more: that stops nothing.
fn tell(text: &str) {
    use std::io::Write as _;
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}

/// Writes to standard output; a reader that has gone (`| head`) is no failure.
fn print(text: &str) -> Outcome {
    use std::io::Write as _;
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Runs a command that talks to a registry.
fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    Ok(tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(future))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_command_means_run() {
        let cli = Cli::try_parse_from(["tagscope", "--secure-port", "1234"]).unwrap();
        assert!(cli.command.is_none());
        assert_eq!(cli.run.secure_port, "1234");
        let cli = Cli::try_parse_from(["tagscope", "run", "--secure-port=5"]).unwrap();
        assert!(matches!(cli.command, Some(Command::Run(args)) if args.secure_port == "5"));
    }
}
