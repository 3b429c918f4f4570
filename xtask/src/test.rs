//! `cargo xtask test`: sets up what the tests need, and runs everything.
//!
//! The one command that a contributor and the continuous integration share. Every step and
//! every test runs even if an earlier one has failed; missing tools are installed or listed,
//! and an ignored test is a failure.

mod counts;
mod setup;
mod steps;

use std::env;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::setup::{Consent, Tools};
use counts::Counts;
use steps::STEPS;

/// The folder of Rust's tools in `target/tools`.
const RUST_TOOLS: &str = "rust";

/// Flags of this command.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Leave out plugins in other languages, the browser and fuzzing
    #[arg(long)]
    quick: bool,
    /// Install what the tests need, and stop there
    #[arg(long)]
    setup_only: bool,
    /// Install missing system packages and Rust targets without asking
    #[arg(long)]
    yes: bool,
}

/// How much to run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    Full,
    /// For the loop while working: no languages, no browser, no fuzzing.
    Quick,
}

/// Where the steps work.
pub(crate) struct Place {
    /// The workspace.
    pub(crate) root: PathBuf,
    /// Cargo's target directory.
    pub(crate) target: PathBuf,
    /// Programs that this project installs for itself.
    tools: Tools,
}

/// What a step came to.
struct Outcome {
    heading: &'static str,
    time: Duration,
    failure: Option<String>,
}

/// Sets up, then runs every step.
///
/// # Errors
/// Set-up failed, or any step did: its heading is named.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let place = Place::find()?;
    let scope = if options.quick {
        Scope::Quick
    } else {
        Scope::Full
    };
    let consent = Consent::new(options.yes);
    let mut outcomes = Vec::new();
    let mut counts = Counts::default();
    let (_, ready) = timed("set-up", || {
        (Counts::default(), setup::run(&place, scope, consent))
    });
    let is_ready = ready.failure.is_none();
    outcomes.push(ready);
    if is_ready && !options.setup_only {
        for step in STEPS.iter().filter(|step| step.is_in(scope)) {
            let (more, outcome) = timed(step.heading, || (step.work)(&place, scope));
            counts.add(more);
            outcomes.push(outcome);
        }
    }
    summarize(&outcomes, counts)
}

/// The table of steps and the counts of tests.
fn summarize(outcomes: &[Outcome], counts: Counts) -> anyhow::Result<()> {
    heading("summary");
    let mut failures = Vec::new();
    for outcome in outcomes {
        let verdict = if outcome.failure.is_some() {
            failures.push(outcome.heading);
            "FAILED"
        } else {
            "ok"
        };
        say(&format!(
            "{:>7.1} s  {verdict:<6} {}",
            outcome.time.as_secs_f64(),
            outcome.heading
        ));
    }
    let total: Duration = outcomes.iter().map(|outcome| outcome.time).sum();
    say(&format!("{:>7.1} s  in all", total.as_secs_f64()));
    for outcome in outcomes {
        if let Some(failure) = &outcome.failure {
            say(&format!("{}: {failure}", outcome.heading));
        }
    }
    say(&counts.to_string());
    ensure!(failures.is_empty(), "failed: {}", failures.join(", "));
    Ok(())
}

/// Runs one step under its heading.
fn timed(
    name: &'static str,
    work: impl FnOnce() -> (Counts, anyhow::Result<()>),
) -> (Counts, Outcome) {
    heading(name);
    #[expect(
        clippy::disallowed_methods,
        reason = "wall-clock time of a command, which no test pauses"
    )]
    let start = Instant::now();
    let (counts, result) = work();
    let failure = result.err().map(|error| format!("{error:#}"));
    if let Some(failure) = &failure {
        say(&format!("FAILED: {failure}"));
    }
    let outcome = Outcome {
        heading: name,
        time: start.elapsed(),
        failure,
    };
    (counts, outcome)
}

impl Place {
    pub(crate) fn find() -> anyhow::Result<Self> {
        let target = target()?;
        Ok(Self {
            root: root()?,
            tools: Tools::new(&target),
            target,
        })
    }

    /// A cargo command on this workspace.
    pub(crate) fn cargo<const N: usize>(&self, arguments: [&str; N]) -> Command {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        self.here(Command::new(cargo), arguments)
    }

    /// One of Rust's tools that set-up has installed.
    fn rust_tool<const N: usize>(&self, name: &str, arguments: [&str; N]) -> Command {
        self.here(self.tools.program(RUST_TOOLS, name), arguments)
    }

    fn here<const N: usize>(&self, mut command: Command, arguments: [&str; N]) -> Command {
        command.args(arguments).current_dir(&self.root);
        if io::stderr().is_terminal() {
            // Where its output passes through here, it sees no terminal.
            command.env("CARGO_TERM_COLOR", "always");
        }
        command
    }
}

/// The workspace's directory.
pub(crate) fn root() -> anyhow::Result<PathBuf> {
    // Cargo sets the variable for what it runs; the constant is for a binary run by hand.
    let own = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    Ok(own
        .parent()
        .context("xtask lies in no workspace")?
        .to_owned())
}

/// Cargo's target directory: this program is target/PROFILE/xtask.
pub(crate) fn target() -> anyhow::Result<PathBuf> {
    let own = env::current_exe().context("where this program lies")?;
    Ok(own
        .ancestors()
        .nth(2)
        .context("this program is in no target directory")?
        .to_owned())
}

/// Tells the user something.
pub(crate) fn say(text: &str) {
    // A closed terminal is no reason to stop.
    let _ = writeln!(io::stdout(), "{text}");
}

pub(crate) fn heading(name: &str) {
    say(&format!("\n==> {name}"));
}
