//! `cargo xtask test`: sets up everything that the tests need, and runs everything.
//!
//! Contributors and continuous integration use this one command. Every step and every test runs
//! even if an earlier one has failed; missing tools are installed or listed, and an ignored test is
//! a failure.

mod counts;
mod setup;
mod steps;

use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::paths::Paths;
use crate::setup::Consent;
use crate::terminal::{heading, say};
use counts::Counts;
use steps::{STEPS, Scope};

/// Flags of this command.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Skip plugins in other languages, the browser and fuzzing
    #[arg(long)]
    quick: bool,
    /// Install what the tests need, then exit
    #[arg(long)]
    setup_only: bool,
    /// Install missing system packages and Rust targets without asking
    #[arg(long)]
    yes: bool,
}

/// Outcome of a step.
struct Outcome {
    heading: &'static str,
    time: Duration,
    failure: Option<String>,
}

/// Sets up, then runs every step.
///
/// # Errors
/// Setup or a step failed; the error contains its heading.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let paths = Paths::find()?;
    let scope = if options.quick {
        Scope::Quick
    } else {
        Scope::Full
    };
    let consent = Consent::new(options.yes);
    let mut outcomes = Vec::new();
    let mut counts = Counts::default();
    let (setup_counts, ready) = timed("set-up", || {
        (Counts::default(), setup::run(&paths, scope, consent))
    });
    counts.add(setup_counts);
    let is_ready = ready.failure.is_none();
    outcomes.push(ready);
    if is_ready && !options.setup_only {
        for step in STEPS.iter().filter(|step| step.is_in(scope)) {
            let (more, outcome) = timed(step.heading, || (step.work)(&paths, scope));
            counts.add(more);
            outcomes.push(outcome);
        }
    }
    summarize(&outcomes, counts)
}

/// Prints the table of steps and the counts of tests.
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
        reason = "measures the wall-clock time of a command; no test pauses it"
    )]
    let start = Instant::now();
    let (mut counts, result) = work();
    let failure = result.err().map(|error| format!("{error:#}"));
    if let Some(failure) = &failure {
        say(&format!("FAILED: {failure}"));
        counts.fail();
    }
    let outcome = Outcome {
        heading: name,
        time: start.elapsed(),
        failure,
    };
    (counts, outcome)
}
