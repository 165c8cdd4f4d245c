//! The door: hands the command line to the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    tagscope::cli::main()
}
