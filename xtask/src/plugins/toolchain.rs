//! The Rust toolchain that builds guests.
//!
//! Owns the search for one: the toolchain in use if it has the target; otherwise Debian's, which
//! contains the standard library's sources and builds it for the target. Called by `plugins`, and
//! by the setup of the tests for missing parts.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};

use crate::setup::{Missing, is_debian};

/// The only target: plugins have access to nothing but the contract's imports.
pub(super) const TARGET: &str = "wasm32-unknown-unknown";

/// Debian's packages of a toolchain that can build its own standard library.
const DEBIAN_PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "lld"];

/// The guests' target, and another one that the book's page on Rust shows.
const RUSTUP_TARGETS: [&str; 2] = [TARGET, "wasm32-wasip2"];

/// Debian's directory of programs, which is used even if another directory comes first in the path.
const DEBIAN_BIN: &str = "/usr/bin";

/// Separator of flags in `CARGO_ENCODED_RUSTFLAGS`.
const FLAG_SEPARATOR: &str = "\u{1f}";

/// A toolchain that can build for [`TARGET`].
pub(super) struct Toolchain {
    kind: Kind,
    version: String,
    sysroot: PathBuf,
}

#[derive(Clone, Copy)]
enum Kind {
    /// The toolchain that runs this program, with the target installed.
    Current,
    /// Debian's toolchain, with the standard library's sources.
    Debian,
}

/// Finds a toolchain.
///
/// # Errors
/// There is none: the error names both ways to get one.
pub(super) fn find() -> anyhow::Result<Toolchain> {
    if let Some(toolchain) = current()? {
        return Ok(toolchain);
    }
    if let Some(toolchain) = debian()? {
        return Ok(toolchain);
    }
    bail!(
        "no Rust toolchain here builds for {TARGET}. Get one of\n  \
         rustup:  rustup target add {TARGET}\n  \
         Debian:  apt-get install --no-install-recommends {}",
        DEBIAN_PACKAGES.join(" ")
    )
}

/// Adds everything that a toolchain for guests still needs: targets if rustup manages the toolchain
/// in use, otherwise Debian's packages.
pub(crate) fn require(missing: &mut Missing) -> anyhow::Result<()> {
    if current()?.is_some() || debian()?.is_some() {
        return Ok(());
    }
    // Rustup sets this variable for every program that it starts.
    if env::var_os("RUSTUP_TOOLCHAIN").is_some() {
        missing.rust_targets(&RUSTUP_TARGETS);
    } else if is_debian() {
        missing.debian(DEBIAN_PACKAGES);
    } else {
        missing.manual(format!("a Rust toolchain with the target {TARGET}"));
    }
    Ok(())
}

/// Returns the toolchain that runs this program, if the target is installed in it.
fn current() -> anyhow::Result<Option<Toolchain>> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let libraries = Command::new(&rustc)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output();
    let Ok(libraries) = libraries else {
        return Ok(None);
    };
    let folder = String::from_utf8_lossy(&libraries.stdout);
    if !libraries.status.success() || !Path::new(folder.trim_end()).exists() {
        return Ok(None);
    }
    Toolchain::new(Kind::Current, &mut || Command::new(&rustc)).map(Some)
}

/// Returns Debian's toolchain, if all its parts are installed.
fn debian() -> anyhow::Result<Option<Toolchain>> {
    let bin = Path::new(DEBIAN_BIN);
    if ["cargo", "rustc", "wasm-ld"]
        .iter()
        .any(|program| !bin.join(program).exists())
    {
        return Ok(None);
    }
    let toolchain = Toolchain::new(Kind::Debian, &mut || debian_command("rustc"))?;
    let sources = toolchain.sysroot.join("lib/rustlib/src/rust/library/std");
    Ok(sources.exists().then_some(toolchain))
}

/// Returns a command for one of Debian's programs, in an environment without references to another
/// toolchain.
fn debian_command(program: &str) -> Command {
    let mut path = OsString::from(DEBIAN_BIN);
    if let Some(rest) = env::var_os("PATH") {
        path.push(":");
        path.push(rest);
    }
    let mut command = Command::new(Path::new(DEBIAN_BIN).join(program));
    command
        .env("PATH", path)
        // The cargo that runs this program sets it to the libraries of its own toolchain.
        .env_remove("LD_LIBRARY_PATH");
    for variable in [
        "CARGO",
        "RUSTC",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTDOC",
        "RUSTUP_TOOLCHAIN",
    ] {
        command.env_remove(variable);
    }
    command
}

impl Toolchain {
    /// Queries the version of the compiler that `rustc` starts.
    fn new(kind: Kind, rustc: &mut dyn FnMut() -> Command) -> anyhow::Result<Self> {
        let mut ask = |arguments: &[&str]| -> anyhow::Result<String> {
            let output = rustc()
                .args(arguments)
                .output()
                .context("cannot run rustc")?;
            ensure!(output.status.success(), "rustc {arguments:?} failed");
            Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
        };
        Ok(Self {
            kind,
            version: ask(&["--version"])?,
            sysroot: ask(&["--print", "sysroot"])?.into(),
        })
    }

    /// Returns the output of `rustc --version`.
    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// Returns a `cargo build` whose output does not depend on any path of this machine.
    pub(super) fn cargo_build(&self) -> Command {
        let mut command = match self.kind {
            Kind::Current => {
                let mut command = Command::new(cargo());
                command.arg("build");
                command
            }
            Kind::Debian => {
                let mut command = debian_command("cargo");
                command
                    .args(["build", "-Z", "build-std=std,panic_abort"])
                    // Cargo's option to build the standard library is unstable, but the result is
                    // not.
                    .env("RUSTC_BOOTSTRAP", "1")
                    .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", "wasm-ld");
                command
            }
        };
        command
            .env_remove("RUSTFLAGS")
            .env("CARGO_ENCODED_RUSTFLAGS", self.remapped_paths());
        command
    }

    /// Returns flags that keep the folders of dependencies and of the standard library out of panic
    /// messages. Cargo already uses relative paths for the workspace's own files.
    fn remapped_paths(&self) -> OsString {
        let mut flags = Vec::new();
        let home = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| {
            let home = env::var_os("HOME")?;
            Some(Path::new(&home).join(".cargo"))
        });
        if let Some(home) = home
            && let Ok(registries) = fs::read_dir(home.join("registry/src"))
        {
            let mut registries: Vec<_> = registries.flatten().map(|entry| entry.path()).collect();
            // The order of flags must not depend on the file system, or cargo rebuilds.
            registries.sort();
            flags.extend(registries.iter().map(|folder| remap(folder, "deps")));
        }
        let library = self.sysroot.join("lib/rustlib/src/rust");
        flags.push(remap(&library, "rust"));
        flags.join(OsStr::new(FLAG_SEPARATOR))
    }
}

/// Returns the flag that writes `name` in place of `folder`.
fn remap(folder: &Path, name: &str) -> OsString {
    let mut flag = OsString::from("--remap-path-prefix=");
    flag.push(folder);
    flag.push("=");
    flag.push(name);
    flag
}

/// Returns the cargo that runs this program, or the first in the path.
pub(super) fn cargo() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}
