//! The `pointsman` command: from flags to exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    pointsman::cli::main()
}
