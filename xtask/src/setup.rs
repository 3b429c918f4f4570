//! What the commands that need foreign programs share: finding and installing them.
//!
//! System packages are installed only as root on Debian; elsewhere the list of what is
//! missing is the error. Must not know what any command needs. Called by `test` and `bench`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::test::say;

/// A Debian package, with commands to recognise it by where Debian's packages cannot be
/// asked, and what needs it.
pub(crate) struct Package {
    name: &'static str,
    commands: &'static [&'static str],
    purpose: &'static str,
}

impl Package {
    pub(crate) const fn new(
        name: &'static str,
        commands: &'static [&'static str],
        purpose: &'static str,
    ) -> Self {
        Self {
            name,
            commands,
            purpose,
        }
    }
}

/// Those of `packages` that are missing: by Debian's names there, else in words.
pub(crate) fn missing(packages: &[Package]) -> Vec<String> {
    let debian = is_debian();
    packages
        .iter()
        .filter(|package| {
            if debian {
                !is_installed(package.name)
            } else {
                !package.commands.iter().any(|command| runs(command))
            }
        })
        .map(|package| {
            if debian {
                package.name.to_owned()
            } else {
                format!("{}: {}", package.commands.join(" or "), package.purpose)
            }
        })
        .collect()
}

/// Installs what [`missing`] found, or fails with the list of it.
pub(crate) fn install(missing: &[String]) -> anyhow::Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    if !is_debian() {
        bail!("please install first:\n  {}", missing.join("\n  "));
    }
    if answer(program("id", &["-u"])).as_deref() != Some("0") {
        bail!(
            "please install first:\n  sudo apt-get update\n  sudo apt-get install --no-install-recommends {}",
            missing.join(" ")
        );
    }
    say(&format!("installing {}", missing.join(" ")));
    succeed(apt(&["update"]))?;
    let mut install = apt(&["install", "--yes", "--no-install-recommends"]);
    install.args(missing);
    succeed(install)
}

/// One of PyPI's packages at one version, in a virtual environment of its own under `target`.
///
/// Yields the environment's folder.
///
/// # Errors
/// No Python with `venv`, or the registry does not answer.
pub(crate) fn python_package(
    target: &Path,
    folder: &str,
    package: &str,
    version: &str,
) -> anyhow::Result<PathBuf> {
    let venv = target.join("tools").join(folder);
    let python = venv.join("bin/python");
    let ask = format!("import importlib.metadata; print(importlib.metadata.version('{package}'))");
    if answer(at(&python, &["-c", &ask])).as_deref() == Some(version) {
        return Ok(venv);
    }
    let mut create = program("python3", &["-m", "venv", "--clear"]);
    create.arg(&venv);
    succeed(create)?;
    let mut install = at(
        &python,
        &[
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ],
    );
    install.arg(format!("{package}=={version}"));
    succeed(install)?;
    Ok(venv)
}

pub(crate) fn is_debian() -> bool {
    fs::read_to_string("/etc/os-release")
        .is_ok_and(|release| release.lines().any(|line| line == "ID=debian"))
}

pub(crate) fn is_installed(package: &str) -> bool {
    let query = program("dpkg-query", &["-W", "-f=${db:Status-Status}", package]);
    answer(query).as_deref() == Some("installed")
}

pub(crate) fn python_has_venv() -> bool {
    let ask = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))";
    answer(program("python3", &["-c", ask])).is_some()
}

/// Whether a command is there, on the path or where servers are.
pub(crate) fn runs(command: &str) -> bool {
    find(command).is_some()
}

/// Where a command is, on the path or where servers are.
pub(crate) fn find(command: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/local/sbin".into(), "/usr/sbin".into(), "/sbin".into()])
        .map(|directory| directory.join(command))
        .find(|file| file.is_file())
}

/// What a command prints, trimmed; `None` where it is not there or fails.
pub(crate) fn answer(mut command: Command) -> Option<String> {
    let output = command.stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    output.status.success().then_some(text)
}

/// Runs a command to its end, its output being ours.
pub(crate) fn succeed(mut command: Command) -> anyhow::Result<()> {
    let status = command
        .status()
        .with_context(|| format!("starting {}", shown(&command)))?;
    if !status.success() {
        bail!("{}: {status}", shown(&command));
    }
    Ok(())
}

/// The command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    std::iter::once(name)
        .chain(command.get_args())
        .map(|part| part.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

fn apt(arguments: &[&str]) -> Command {
    let mut command = program("apt-get", &["--quiet"]);
    command
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive");
    say(&shown(&command));
    command
}

pub(crate) fn program(name: &str, arguments: &[&str]) -> Command {
    at(Path::new(name), arguments)
}

pub(crate) fn at(path: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(path);
    command.args(arguments);
    command
}
