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
    /// Caches of the toolchains: empty on a fresh clone, shared by all tests after that.
    cache: PathBuf,
}

/// Variables by which toolchains find their caches, with a folder for each.
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
        // The binary is target/PROFILE/pointsman; set-up installs tools into target/tools.
        let target = binary.ancestors().nth(2).context("the target directory")?;
        let tools = target.join("tools");
        let mut path = vec![folder.path().join("bin")];
        // Zig is a module of that Python.
        path.extend(["zig", "go"].map(|tool| tools.join(tool).join("bin")));
        let all = env::var_os("PATH").unwrap_or_default();
        path.extend(env::split_paths(&all));
        Ok(Self {
            path: env::join_paths(path)?,
            cache: tools.join("cache"),
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
        // Cargo runs the tests; its variables are not those of a person's shell.
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
        // npm would rewrite the examples' lock files when a package adds a platform.
        command.env("npm_config_save", "false");
        // Rust's homes hold the toolchain itself, not a person's files.
        command.envs(rust_homes());
        command
    }
}

/// `RUSTUP_HOME` and `CARGO_HOME` of the user who runs the tests.
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
