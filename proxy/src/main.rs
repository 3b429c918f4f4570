//! The `pointsman` command: flags to exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    pointsman::cli::main()
}
