//! `cargo xtask fuzz`: runs the targets of `proxy/fuzz` with libFuzzer.
//!
//! No sanitizer is used, because it would need a nightly compiler: a target fails by a panic, a
//! failed check, an endless run or unbounded memory. Only the workspace's own crates are
//! instrumented, so the dependencies are those that the tests have already built.

use std::fs;
use std::path::Path;
use std::process::{Child, Command};

use anyhow::{Context, bail};

use crate::paths::Paths;
use crate::setup::{shown, succeed};
use crate::terminal::say;

/// Files in `proxy/fuzz/targets`.
const TARGETS: [&str; 7] = [
    "admin",
    "client_hello",
    "component",
    "configuration",
    "http1",
    "proxy_protocol",
    "questions",
];

/// Memory limit for one target, in MiB: several times the usual memory of a target.
const MEMORY: u32 = 2048;

/// Duration of each target within `cargo xtask test`: enough to replay the seeds and to find a
/// recent mistake. Real fuzzing takes hours, with `--seconds`.
const DEFAULT_SECONDS: u32 = 40;

/// Flags of this command.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Run only this target
    #[arg(value_parser = TARGETS)]
    target: Option<String>,
    /// Run each target for this many seconds
    #[arg(long, default_value_t = DEFAULT_SECONDS)]
    seconds: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            target: None,
            seconds: DEFAULT_SECONDS,
        }
    }
}

/// Builds the targets, and runs them in parallel.
///
/// # Errors
/// A target does not build, or has found something: libFuzzer names the file with the input.
pub(crate) fn run(paths: &Paths, options: &Options) -> anyhow::Result<()> {
    let folder = paths.root.join("proxy/fuzz");
    build(paths, &folder)?;
    let targets = TARGETS.iter().filter(|target| {
        let only = options.target.as_deref();
        only.is_none_or(|only| only == **target)
    });
    let mut running = Vec::new();
    for target in targets {
        say(&format!("{target}: {} s", options.seconds));
        let mut command = target_command(paths, &folder, target, options.seconds)?;
        let child = command
            .spawn()
            .with_context(|| format!("starting {}", shown(&command)))?;
        running.push((*target, child));
    }
    let failed = failures(running)?;
    if !failed.is_empty() {
        bail!("findings in {}", failed.join(", "));
    }
    Ok(())
}

/// Waits for all targets, and returns those that failed.
fn failures(running: Vec<(&'static str, Child)>) -> anyhow::Result<Vec<&'static str>> {
    let mut failed = Vec::new();
    for (target, mut child) in running {
        if !child.wait()?.success() {
            failed.push(target);
        }
    }
    Ok(failed)
}

fn build(paths: &Paths, folder: &Path) -> anyhow::Result<()> {
    // The whole workspace is selected so that dependencies have the same features as in the tests.
    // With other features, cargo would build them again.
    let mut command = paths.cargo(["build", "--workspace"]);
    for target in TARGETS {
        command.arg(format!("--bin=fuzz-{target}"));
    }
    command
        // Some optimization of the code under test is worth its cost when fuzzing.
        .arg("--config=profile.dev.package.pointsman.opt-level=1")
        .env(
            "RUSTC_WORKSPACE_WRAPPER",
            folder.join("rustc-with-coverage.sh"),
        );
    succeed(command)
}

fn target_command(
    paths: &Paths,
    folder: &Path,
    target: &str,
    seconds: u32,
) -> anyhow::Result<Command> {
    let corpus = folder.join("corpus").join(target);
    let artifacts = folder.join("artifacts").join(target);
    for folder in [&corpus, &artifacts] {
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    let program = paths.target.join("debug").join(format!("fuzz-{target}"));
    let mut command = Command::new(program);
    command
        // libFuzzer adds new inputs to the first folder, so the next run continues from them.
        .arg(&corpus)
        .arg(folder.join("seeds").join(target))
        .args(["-verbosity=0", "-print_funcs=0", "-print_final_stats=1"])
        .arg("-timeout=30")
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .arg(format!("-rss_limit_mb={MEMORY}"))
        .arg(format!("-max_total_time={seconds}"));
    Ok(command)
}
