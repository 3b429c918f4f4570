//! Installs what the tests need, or lists it.
//!
//! What belongs to this project goes to `tests/node/node_modules` and `target/tools`. System
//! packages are installed only as root on Debian; elsewhere the list is the error.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use super::{Place, say, shown, succeed};

/// Debian packages, each with a command to recognise it by where Debian's packages cannot be
/// asked, and what needs it.
const PACKAGES: &[Package] = &[
    Package::new("apache2-bin", &["apache2", "httpd"], "the scenario's page"),
    Package::new("haproxy", &["haproxy"], "comparison with HAProxy"),
    Package::new("curl", &["curl"], "a client that waits for 100-continue"),
    Package::new(
        "chromium",
        &["chromium", "chromium-browser", "google-chrome"],
        "the scenario's browser",
    ),
];

/// Debian's Rust with the standard library's sources, which builds the guests without rustup.
const GUEST_TOOLCHAIN: &[&str] = &["rustc-web", "cargo-web", "rust-web-src", "lld"];

/// Cargo's subcommands, at versions known to work; any that is installed already will do.
const CARGO_TOOLS: &[CargoTool] = &[
    CargoTool {
        name: "nextest",
        // Without its self-update, it needs no TLS library.
        install: &[
            "cargo-nextest",
            "--version=0.9.151",
            "--no-default-features",
            "--features=default-no-update",
        ],
    },
    CargoTool {
        name: "deny",
        install: &["cargo-deny", "--version=0.20.2"],
    },
];

/// Plays Autobahn's WebSocket cases.
const KOSOKU: &str = "0.1.0";
/// Oldest Node that the packages in `tests/node` run on; Debian 12 has it.
const OLDEST_NODE: u32 = 18;

struct Package {
    name: &'static str,
    commands: &'static [&'static str],
    purpose: &'static str,
}

impl Package {
    const fn new(
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

struct CargoTool {
    name: &'static str,
    install: &'static [&'static str],
}

/// Makes everything ready that the steps use.
pub(super) fn run(place: &Place) -> anyhow::Result<()> {
    system_packages()?;
    npm_packages(place)?;
    python_packages(place)?;
    for tool in CARGO_TOOLS {
        if answer(place.cargo([tool.name, "--version"])).is_none() {
            say(&format!("installing cargo-{}: some minutes", tool.name));
            let mut install = place.cargo(["install", "--locked"]);
            install
                .args(tool.install)
                // Kept apart: other features of the same crates are of no use to the workspace.
                .env("CARGO_TARGET_DIR", place.target.join("tools/build"));
            succeed(install)?;
        }
    }
    say("all that the tests need is there");
    Ok(())
}

/// Installs the distribution's packages, or fails with the list of them.
fn system_packages() -> anyhow::Result<()> {
    let missing = if is_debian() {
        missing_on_debian()
    } else {
        missing_elsewhere()
    };
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
    install.args(&missing);
    succeed(install)
}

fn missing_on_debian() -> Vec<String> {
    let named = PACKAGES.iter().map(|package| package.name);
    let mut missing: Vec<String> = named
        .chain(GUEST_TOOLCHAIN.iter().copied())
        .filter(|name| !is_installed(name))
        .map(ToOwned::to_owned)
        .collect();
    if !node_is_recent() || !runs("npm") {
        missing.extend(["nodejs".to_owned(), "npm".to_owned()]);
    }
    if !python_has_venv() {
        missing.extend(["python3".to_owned(), "python3-venv".to_owned()]);
    }
    missing
}

fn missing_elsewhere() -> Vec<String> {
    let mut missing: Vec<String> = PACKAGES
        .iter()
        .filter(|package| !package.commands.iter().any(|command| runs(command)))
        .map(|package| format!("{}: {}", package.commands.join(" or "), package.purpose))
        .collect();
    if !node_is_recent() || !runs("npm") {
        missing.push(format!(
            "node, {OLDEST_NODE} or later, and npm: the scenario's notifier"
        ));
    }
    if !python_has_venv() {
        missing.push("python3 with venv, 3.10 or later: Autobahn's WebSocket cases".to_owned());
    }
    let targets = answer(program("rustup", &["target", "list", "--installed"]));
    if !targets.is_some_and(|targets| targets.contains("wasm32-unknown-unknown")) {
        missing.push("rustup target add wasm32-unknown-unknown: plugins and guests".to_owned());
    }
    missing
}

/// `npm ci`, where it has not run for this lock file yet.
fn npm_packages(place: &Place) -> anyhow::Result<()> {
    let directory = place.root.join("tests/node");
    let lock = fs::read(directory.join("package-lock.json")).context("tests/node")?;
    // Inside what it speaks of, so that it goes with it.
    let stamp = directory.join("node_modules/.installed-lock.json");
    if fs::read(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    let mut install = program("npm", &["ci", "--no-audit", "--no-fund"]);
    install.current_dir(&directory);
    succeed(install)?;
    fs::write(&stamp, lock).context("noting what npm installed")
}

/// A virtual environment with kosoku in `target/tools/venv`.
fn python_packages(place: &Place) -> anyhow::Result<()> {
    let venv = place.target.join("tools/venv");
    let python = venv.join("bin/python");
    let ask = "import importlib.metadata; print(importlib.metadata.version('kosoku'))";
    if answer(at(&python, &["-c", ask])).as_deref() == Some(KOSOKU) {
        return Ok(());
    }
    let mut create = program("python3", &["-m", "venv", "--clear"]);
    create.arg(&venv);
    succeed(create)?;
    let kosoku = format!("kosoku=={KOSOKU}");
    succeed(at(
        &python,
        &[
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            &kosoku,
        ],
    ))
}

fn is_debian() -> bool {
    fs::read_to_string("/etc/os-release")
        .is_ok_and(|release| release.lines().any(|line| line == "ID=debian"))
}

fn is_installed(package: &str) -> bool {
    let query = program("dpkg-query", &["-W", "-f=${db:Status-Status}", package]);
    answer(query).as_deref() == Some("installed")
}

fn node_is_recent() -> bool {
    answer(program("node", &["--version"])).is_some_and(|version| {
        let major = version.trim_start_matches('v').split('.').next();
        major.and_then(|major| major.parse().ok()) >= Some(OLDEST_NODE)
    })
}

fn python_has_venv() -> bool {
    let ask = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))";
    answer(program("python3", &["-c", ask])).is_some()
}

/// Whether a command is there, on the path or where servers are.
fn runs(command: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/local/sbin".into(), "/usr/sbin".into(), "/sbin".into()])
        .any(|directory| directory.join(command).is_file())
}

/// What a command prints, trimmed; `None` where it is not there or fails.
fn answer(mut command: Command) -> Option<String> {
    let output = command.stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    output.status.success().then_some(text)
}

fn apt(arguments: &[&str]) -> Command {
    let mut command = program("apt-get", &["--quiet"]);
    command
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive");
    say(&shown(&command));
    command
}

fn program(name: &str, arguments: &[&str]) -> Command {
    at(Path::new(name), arguments)
}

fn at(path: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(path);
    command.args(arguments);
    command
}
