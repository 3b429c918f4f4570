//! `cargo xtask test`: sets up what the tests need, and runs everything.
//!
//! The one command that a contributor and the continuous integration share. Nothing is
//! skipped: what is missing is installed or listed, and an ignored test is a failure.

mod counts;
mod setup;

use std::env;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::Parser;

use crate::setup::succeed;
use counts::{Counts, Runner};

/// Flags of this command.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Run every step, even after one has failed.
    #[arg(long)]
    keep_going: bool,
    /// Install what the tests need, and stop there.
    #[arg(long)]
    setup_only: bool,
}

/// One step, with the heading under which it runs.
struct Step {
    heading: &'static str,
    work: fn(&Place, &Options) -> anyhow::Result<Counts>,
}

/// Where the steps work.
pub(crate) struct Place {
    /// The workspace.
    pub(crate) root: PathBuf,
    /// Cargo's target directory.
    pub(crate) target: PathBuf,
}

/// From quick to slow, so that a slip shows early; builds before what uses them.
const STEPS: &[Step] = &[
    Step {
        heading: "format",
        work: |place, _| {
            done(place.cargo(["fmt", "--all", "--check"]))?;
            // A workspace of its own.
            let manifest = "--manifest-path=proxy/fuzz/Cargo.toml";
            done(place.cargo(["fmt", manifest, "--check"]))
        },
    },
    Step {
        heading: "tidy",
        work: |_, _| crate::tidy::run().map(|()| Counts::default()),
    },
    Step {
        heading: "dependencies: licences, sources, duplicates",
        // Not `advisories`: see deny.toml.
        work: |place, _| done(place.cargo(["deny", "check", "bans", "licenses", "sources"])),
    },
    Step {
        heading: "clippy",
        work: |place, _| {
            done(place.cargo([
                "clippy",
                "--workspace",
                "--all-targets",
                "--",
                "--deny=warnings",
            ]))
        },
    },
    Step {
        heading: "documentation",
        work: |place, _| {
            let mut command = place.cargo(["doc", "--workspace", "--no-deps"]);
            command.env("RUSTDOCFLAGS", "--deny=warnings");
            done(command)?;
            let mut book = Command::new("mdbook");
            book.args(["build", "docs"]).current_dir(&place.root);
            done(book)
        },
    },
    Step {
        heading: "plugins and guests",
        work: |_, _| {
            match crate::Command::try_parse_from(["cargo xtask", "plugins", "--check"])? {
                crate::Command::Plugins(options) => crate::plugins::run(&options)?,
                _ => bail!("`plugins` is another command"),
            }
            Ok(Counts::default())
        },
    },
    Step {
        heading: "build",
        // The end-to-end tests start the binary, which cargo builds for its own package only.
        work: |place, _| done(place.cargo(["build", "--workspace", "--bins"])),
    },
    Step {
        heading: "tests",
        // Those of plugins in every language, some ten minutes, come last.
        work: nextest,
    },
    Step {
        heading: "examples in the documentation",
        work: |place, _| {
            counts::run(
                place.cargo(["test", "--workspace", "--doc"]),
                Runner::Libtest,
            )
        },
    },
    Step {
        heading: "fuzzing: five minutes",
        work: |place, _| {
            crate::fuzz::run(place, &crate::fuzz::Options::default())?;
            Ok(Counts::default())
        },
    },
];

/// Sets up, then runs every step.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let place = Place::find()?;
    let mut rows = Vec::new();
    let mut failures = Vec::new();
    let mut counts = Counts::default();
    timed("set-up", &mut rows, || setup::run(&place))?;
    if options.setup_only {
        return Ok(());
    }
    for step in STEPS {
        match timed(step.heading, &mut rows, || (step.work)(&place, options)) {
            Ok(more) => counts.add(&more),
            Err(error) => {
                say(&format!("FAILED: {error:#}"));
                failures.push(step.heading);
                if !options.keep_going {
                    break;
                }
            }
        }
    }
    heading("summary");
    for (step, time) in &rows {
        let outcome = if failures.contains(step) {
            "FAILED"
        } else {
            "ok"
        };
        say(&format!(
            "{:>7.1} s  {outcome:<6} {step}",
            time.as_secs_f64()
        ));
    }
    let left = STEPS.len() + 1 - rows.len();
    if left > 0 {
        say(&format!("           not run: the {left} steps that follow"));
    }
    say(&counts.to_string());
    ensure!(failures.is_empty(), "failed: {}", failures.join(", "));
    Ok(())
}

/// Runs one step under its heading, and notes how long it took.
fn timed<T>(
    name: &'static str,
    rows: &mut Vec<(&'static str, Duration)>,
    work: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    heading(name);
    #[expect(
        clippy::disallowed_methods,
        reason = "wall-clock time of a command, which no test pauses"
    )]
    let start = Instant::now();
    let outcome = work();
    rows.push((name, start.elapsed()));
    outcome
}

impl Place {
    pub(crate) fn find() -> anyhow::Result<Self> {
        Ok(Self {
            root: root()?,
            target: target()?,
        })
    }

    /// A cargo command on this workspace.
    pub(crate) fn cargo<const N: usize>(&self, arguments: [&str; N]) -> Command {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(arguments).current_dir(&self.root);
        if io::stderr().is_terminal() {
            // Where its output passes through here, it sees no terminal.
            command.env("CARGO_TERM_COLOR", "always");
        }
        command
    }
}

/// Runs the workspace's tests.
fn nextest(place: &Place, options: &Options) -> anyhow::Result<Counts> {
    let mut command = place.cargo(["nextest", "run", "--workspace"]);
    if options.keep_going {
        command.arg("--no-fail-fast");
    }
    counts::run(command, Runner::Nextest)
}

/// Runs a command that counts no tests.
fn done(command: Command) -> anyhow::Result<Counts> {
    succeed(command).map(|()| Counts::default())
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
