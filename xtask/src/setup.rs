//! Finding and installing the external programs that a command needs.
//!
//! Changes to the machine outside `target/` are listed first, and made only with consent. Must not
//! depend on what a command needs. Called by `test` and `bench`.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufRead as _, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::terminal::say;

/// A Debian package, the commands that show its presence on other systems, and its purpose.
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

/// Whether the machine can be changed without asking.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Consent {
    /// `--yes`, or a CI machine.
    Given,
    /// The user at the terminal decides.
    Ask,
}

impl Consent {
    /// Returns `Given` if `yes` is set or if the variable `CI`, which CI services set, is not
    /// empty. Otherwise returns `Ask`.
    pub(crate) fn new(yes: bool) -> Self {
        if yes || env::var_os("CI").is_some_and(|value| !value.is_empty()) {
            Self::Given
        } else {
            Self::Ask
        }
    }
}

/// Changes to the machine that a command needs before it can run.
#[derive(Default)]
pub(crate) struct Missing {
    /// Debian's package names.
    debian: Vec<String>,
    /// Targets of the Rust toolchain in use.
    rust_targets: Vec<&'static str>,
    /// Things that only the user can install, in words.
    manual: Vec<String>,
}

impl Missing {
    /// Adds those of `packages` that are missing.
    pub(crate) fn packages(&mut self, packages: &[Package]) {
        for package in packages {
            if is_debian() {
                self.debian([package.name]);
            } else if !package.commands.iter().any(|command| runs(command)) {
                let commands = package.commands.join(" or ");
                self.manual(format!("{commands}: {}", package.purpose));
            }
        }
    }

    /// Adds those of Debian's packages that are not installed.
    pub(crate) fn debian<'a>(&mut self, names: impl IntoIterator<Item = &'a str>) {
        let missing = names.into_iter().filter(|name| !is_installed(name));
        self.debian.extend(missing.map(str::to_owned));
    }

    /// Adds targets for `rustup target add`.
    pub(crate) fn rust_targets(&mut self, targets: &[&'static str]) {
        self.rust_targets.extend(targets);
    }

    /// Adds something that cannot be installed from here.
    pub(crate) fn manual(&mut self, text: String) {
        self.manual.push(text);
    }

    /// Lists everything, and installs it with consent.
    ///
    /// # Errors
    /// Something cannot be installed from here, or there is no consent: the error contains the
    /// commands.
    pub(crate) fn install(self, consent: Consent) -> anyhow::Result<()> {
        let commands = self.commands();
        if commands.is_empty() && self.manual.is_empty() {
            return Ok(());
        }
        let is_root = answer(program("id", &["-u"])).as_deref() == Some("0");
        if !self.manual.is_empty() || (!self.debian.is_empty() && !is_root) {
            let sudo = if is_root { "" } else { "sudo " };
            let commands = commands.iter().map(|command| {
                let is_apt = command.starts_with("apt-get");
                format!("{}{command}", if is_apt { sudo } else { "" })
            });
            let all: Vec<_> = self.manual.iter().cloned().chain(commands).collect();
            bail!("please install first:\n  {}", all.join("\n  "));
        }
        say(&format!(
            "to be installed on this machine:\n  {}",
            commands.join("\n  ")
        ));
        if consent == Consent::Ask && !confirmed()? {
            bail!("run these commands yourself, or pass --yes");
        }
        if !self.debian.is_empty() {
            succeed(apt(&["update"]))?;
            let mut install = apt(&["install", "--yes", "--no-install-recommends"]);
            install.args(&self.debian);
            succeed(install)?;
        }
        if !self.rust_targets.is_empty() {
            let mut add = program("rustup", &["target", "add"]);
            add.args(&self.rust_targets);
            succeed(add)?;
        }
        Ok(())
    }

    fn commands(&self) -> Vec<String> {
        let mut commands = Vec::new();
        if !self.debian.is_empty() {
            commands.push("apt-get update".to_owned());
            commands.push(format!(
                "apt-get install --no-install-recommends {}",
                self.debian.join(" ")
            ));
        }
        if !self.rust_targets.is_empty() {
            commands.push(format!("rustup target add {}", self.rust_targets.join(" ")));
        }
        commands
    }
}

/// Asks the user at the terminal; without a terminal, the answer is no.
fn confirmed() -> anyhow::Result<bool> {
    if !io::stdin().is_terminal() {
        return Ok(false);
    }
    say("Install? [y/N]");
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

/// The folder of tools that this project installs for itself.
pub(crate) struct Tools {
    folder: PathBuf,
}

impl Tools {
    /// Uses `tools` in cargo's target directory.
    pub(crate) fn new(target: &Path) -> Self {
        Self {
            folder: target.join("tools"),
        }
    }

    /// Installs packages from PyPI at fixed versions, in a separate virtual environment.
    ///
    /// Returns the environment's folder.
    ///
    /// # Errors
    /// No Python with `venv`, or the registry does not respond.
    pub(crate) fn python(
        &self,
        folder: &str,
        packages: &[(&str, &str)],
    ) -> anyhow::Result<PathBuf> {
        let venv = self.folder.join(folder);
        let python = venv.join("bin/python");
        let versions = "import sys; from importlib.metadata import version; \
                        print(*(f'{name}=={version(name)}' for name in sys.argv[1:]))";
        let names = packages.iter().map(|(name, _)| *name);
        let wanted: Vec<_> = packages
            .iter()
            .map(|(name, version)| format!("{name}=={version}"))
            .collect();
        let mut installed = at(&python, &["-c", versions]);
        installed.args(names);
        if answer(installed) == Some(wanted.join(" ")) {
            return Ok(venv);
        }
        let mut create = program("python3", &["-m", "venv", "--clear"]);
        create.arg(&venv);
        succeed(create)?;
        let mut install = at(&python, &["-m", "pip", "install", "--quiet"]);
        install
            .arg("--disable-pip-version-check")
            .args(wanted)
            .envs(self.caches());
        succeed(install)?;
        Ok(venv)
    }

    /// Returns a command for a program that [`python`](Self::python) has installed.
    pub(crate) fn program(&self, folder: &str, name: &str) -> Command {
        Command::new(self.folder.join(folder).join("bin").join(name))
    }

    /// Returns settings that keep the caches of package managers out of the home directory.
    pub(crate) fn caches(&self) -> [(&'static str, PathBuf); 2] {
        let cache = self.folder.join("cache");
        [
            ("PIP_CACHE_DIR", cache.join("pip")),
            ("npm_config_cache", cache.join("npm")),
        ]
    }
}

pub(crate) fn is_debian() -> bool {
    fs::read_to_string("/etc/os-release")
        .is_ok_and(|release| release.lines().any(|line| line == "ID=debian"))
}

fn is_installed(package: &str) -> bool {
    let query = program("dpkg-query", &["-W", "-f=${db:Status-Status}", package]);
    answer(query).as_deref() == Some("installed")
}

/// Adds Python unless one is installed that can create virtual environments.
pub(crate) fn require_python(missing: &mut Missing) {
    let ask = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))";
    if answer(program("python3", &["-c", ask])).is_some() {
        return;
    }
    if is_debian() {
        missing.debian(["python3", "python3-venv"]);
    } else {
        missing.manual("python3 with venv, 3.10 or later: tools from PyPI".to_owned());
    }
}

/// Returns whether a command exists, on the path or in the system's directories for servers.
pub(crate) fn runs(command: &str) -> bool {
    find(command).is_some()
}

/// Finds a command on the path or in the system's directories for servers.
pub(crate) fn find(command: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/local/sbin".into(), "/usr/sbin".into(), "/sbin".into()])
        .map(|directory| directory.join(command))
        .find(|file| file.is_file())
}

/// Runs a command and returns its output, trimmed; `None` if it does not exist or fails.
pub(crate) fn answer(mut command: Command) -> Option<String> {
    let output = command.stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    output.status.success().then_some(text)
}

/// Runs a command to its end, with this program's output streams.
pub(crate) fn succeed(mut command: Command) -> anyhow::Result<()> {
    let status = command
        .status()
        .with_context(|| format!("starting {}", shown(&command)))?;
    if !status.success() {
        bail!("{}: {status}", shown(&command));
    }
    Ok(())
}

/// Returns the command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    std::iter::once(name)
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}

fn apt(arguments: &[&str]) -> Command {
    let mut command = program("apt-get", &["--quiet"]);
    command
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive");
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
