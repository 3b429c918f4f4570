//! The toolchains, in an environment like that of a new machine.

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
    /// Caches of the toolchains: empty in a fresh clone, then shared by all tests.
    cache: PathBuf,
}

/// Environment variables that set the toolchains' caches, with a folder for each.
const CACHES: [(&str, &str); 4] = [
    ("GOCACHE", "go"),
    ("PIP_CACHE_DIR", "pip"),
    ("ZIG_GLOBAL_CACHE_DIR", "zig"),
    ("npm_config_cache", "npm"),
];

impl Place {
    pub(super) fn new() -> anyhow::Result<Self> {
        let folder = TempDir::new().context("making a folder")?;
        for name in ["home", "bin", "work"] {
            std::fs::create_dir(folder.path().join(name))?;
        }
        let binary = PathBuf::from(pointsman()?.get_program()).canonicalize()?;
        std::os::unix::fs::symlink(&binary, folder.path().join("bin/pointsman"))?;
        // The binary is target/PROFILE/pointsman; the setup installs tools into target/tools.
        let target = binary.ancestors().nth(2).context("the target directory")?;
        let tools = target.join("tools");
        let mut path = vec![folder.path().join("bin")];
        // Zig is a module of the Python in target/tools/zig.
        path.extend(["zig", "go"].map(|tool| tools.join(tool).join("bin")));
        let all = env::var_os("PATH").unwrap_or_default();
        path.extend(env::split_paths(&all));
        Ok(Self {
            path: env::join_paths(path)?,
            cache: tools.join("cache"),
            folder,
        })
    }

    /// Returns the empty folder.
    pub(super) fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    /// Returns a command that runs a program in the empty folder.
    pub(super) fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command
            .current_dir(self.work())
            .env("PATH", &self.path)
            .env("HOME", self.folder.path().join("home"));
        // npm still needs the user's settings for package registries, which the empty home would
        // hide.
        if let Some(home) = env::var_os("HOME") {
            let settings = Path::new(&home).join(".npmrc");
            if settings.exists() {
                command.env("NPM_CONFIG_USERCONFIG", settings);
            }
        }
        // Cargo runs the tests and sets variables that a user's shell does not have.
        for (name, _) in env::vars_os() {
            let name = name.to_string_lossy();
            let is_rustc = name.starts_with("RUST") && !name.starts_with("RUSTUP");
            if is_rustc
                || name.starts_with("CARGO")
                || name.starts_with("XDG_")
                || name == "LD_LIBRARY_PATH"
            {
                command.env_remove(&*name);
            }
        }
        command.envs(CACHES.map(|(variable, folder)| (variable, self.cache.join(folder))));
        // Otherwise npm would rewrite the examples' lock files when a package adds a platform.
        command.env("npm_config_save", "false");
        // Rust's home directories contain the toolchain itself, not a user's files.
        command.envs(rust_homes());
        command
    }
}

/// Returns `RUSTUP_HOME` and `CARGO_HOME` of the user who runs the tests.
fn rust_homes() -> Vec<(&'static str, PathBuf)> {
    let home = env::var_os("HOME").map(PathBuf::from);
    [("RUSTUP_HOME", ".rustup"), ("CARGO_HOME", ".cargo")]
        .into_iter()
        .filter_map(|(variable, folder)| {
            let default = home.as_ref().map(|home| home.join(folder));
            let path = env::var_os(variable).map(PathBuf::from).or(default)?;
            Some((variable, path))
        })
        .collect()
}

/// Returns the root of the workspace.
pub(super) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Prints text that the test runner can show even if the test passes, such as figures for the book.
pub(super) fn tell(text: &str) {
    // A closed output does not fail the test.
    let _ = writeln!(io::stdout(), "{text}");
}

/// Runs a command until it ends, and returns its output.
///
/// # Errors
/// Fails if the command fails; the error contains all of its output.
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
