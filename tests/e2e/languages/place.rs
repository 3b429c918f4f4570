//! Where toolchains are, and an empty machine to use them on.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use pointsman_tests::pointsman;
use tempfile::TempDir;

/// An empty folder and an empty home directory, with `pointsman` on the path.
pub(super) struct Place {
    folder: TempDir,
    path: OsString,
}

impl Place {
    pub(super) fn new() -> anyhow::Result<Self> {
        let folder = TempDir::new().context("making a folder")?;
        for name in ["home", "bin", "work"] {
            std::fs::create_dir(folder.path().join(name))?;
        }
        let binary = PathBuf::from(pointsman()?.get_program()).canonicalize()?;
        std::os::unix::fs::symlink(&binary, folder.path().join("bin/pointsman"))?;
        // target/PROFILE/pointsman; what set-up has installed lies in target/tools.
        let target = binary.ancestors().nth(2).context("the target directory")?;
        let tools = target.join("tools");
        let mut path = vec![folder.path().join("bin")];
        // Zig is a module of that Python.
        path.extend(["zig", "go"].map(|tool| tools.join(tool).join("bin")));
        // rustup is a part of somebody's home: without that, there is Debian's Rust.
        let all = env::var_os("PATH").unwrap_or_default();
        path.extend(env::split_paths(&all).filter(|folder| !folder.ends_with(".cargo/bin")));
        Ok(Self {
            path: env::join_paths(path)?,
            folder,
        })
    }

    /// The empty folder.
    pub(super) fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    /// A program in the empty folder.
    pub(super) fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command
            .current_dir(self.work())
            .env("PATH", &self.path)
            .env("HOME", self.folder.path().join("home"));
        // How this machine reaches its package registries is no part of a person's home.
        if let Some(home) = env::var_os("HOME") {
            let settings = Path::new(&home).join(".npmrc");
            if settings.exists() {
                command.env("NPM_CONFIG_USERCONFIG", settings);
            }
        }
        // What cargo, which runs the tests, tells its children is not a person's environment.
        for (name, _) in env::vars_os() {
            let name = name.to_string_lossy();
            let is_cargos = name.starts_with("CARGO") || name.starts_with("RUST");
            if is_cargos || name.starts_with("XDG_") || name == "LD_LIBRARY_PATH" {
                command.env_remove(&*name);
            }
        }
        command
    }
}

/// The workspace.
pub(super) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Tells whoever asks the runner for a passing test's output: figures for the book, say.
pub(super) fn tell(text: &str) {
    // A closed output is no failure.
    let _ = writeln!(io::stdout(), "{text}");
}

/// Runs a command to its end; yields what it printed.
///
/// # Errors
/// It failed: with all that it printed.
pub(super) fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command
        .output()
        .with_context(|| format!("starting {command:?}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    anyhow::ensure!(
        output.status.success(),
        "{command:?}: {}\n{text}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(text)
}
