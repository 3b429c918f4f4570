//! Paths for the commands: the workspace, cargo's target directory, and the programs in it.
//!
//! Must not run anything itself. Called by `test` and `fuzz`; all commands use the paths.

use std::env;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;

use crate::setup::Tools;

/// The folder of Rust's tools in `target/tools`.
pub(crate) const RUST_TOOLS: &str = "rust";

/// Directories and tools of the commands.
pub(crate) struct Paths {
    /// The workspace.
    pub(crate) root: PathBuf,
    /// Cargo's target directory.
    pub(crate) target: PathBuf,
    /// Programs that this project installs for itself.
    pub(crate) tools: Tools,
}

impl Paths {
    pub(crate) fn find() -> anyhow::Result<Self> {
        let target = target()?;
        Ok(Self {
            root: root()?,
            tools: Tools::new(&target),
            target,
        })
    }

    /// Returns a cargo command on this workspace.
    pub(crate) fn cargo<const N: usize>(&self, arguments: [&str; N]) -> Command {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        self.here(Command::new(cargo), arguments)
    }

    /// Returns a command for one of Rust's tools that setup has installed.
    pub(crate) fn rust_tool<const N: usize>(&self, name: &str, arguments: [&str; N]) -> Command {
        self.here(self.tools.program(RUST_TOOLS, name), arguments)
    }

    fn here<const N: usize>(&self, mut command: Command, arguments: [&str; N]) -> Command {
        command.args(arguments).current_dir(&self.root);
        if io::stderr().is_terminal() {
            // If cargo's output passes through this program, cargo detects no terminal.
            command.env("CARGO_TERM_COLOR", "always");
        }
        command
    }
}

/// Returns the workspace's directory.
pub(crate) fn root() -> anyhow::Result<PathBuf> {
    // Cargo sets the variable for programs that it runs; the constant is for a binary run by hand.
    let own = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    Ok(own
        .parent()
        .context("xtask is not in a workspace")?
        .to_owned())
}

/// Returns cargo's target directory: this program is target/PROFILE/xtask.
pub(crate) fn target() -> anyhow::Result<PathBuf> {
    let own = env::current_exe().context("cannot find the path of this program")?;
    Ok(own
        .ancestors()
        .nth(2)
        .context("this program is not in a target directory")?
        .to_owned())
}
