//! `cargo xtask bench`: compares Pointsman with the proxies that people run today.
//!
//! Owns the flags and the order: prepare, measure, report. Nothing is dropped silently: a proxy
//! that does not start, a failed request or a changed set of processes marks its row. The command
//! then fails, after everything else is measured and written. Loopback only.

mod aims;
mod guests;
mod load;
mod measure;
mod origin;
mod peers;
mod process;
mod report;
mod results;
mod run;
mod selection;
mod session;
mod settings;
mod sink;
mod tools;
mod websocket;
mod workloads;

use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};
use tokio::signal::unix::{SignalKind, signal};

use crate::paths::target;
use crate::setup::Consent;
use crate::terminal::{heading, say};
use report::Report;
use session::Measured;
use settings::Settings;
use tools::Tools;

/// Flags of this command.
#[derive(clap::Args)]
#[command(after_help = "\
Run it on an otherwise idle machine: other work makes the figures noise. Unless --bin names a
binary, Pointsman is built as it is shipped (--profile dist), which takes a few minutes.")]
pub(crate) struct Options {
    /// Number of rounds, in each of which every proxy is measured in turn [default: 5; quick: 1]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: Option<u16>,
    /// Duration of each run in seconds [default: 4; quick: 1]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=600))]
    seconds: Option<u16>,
    /// Measure only this workload, or those whose names start with it and a hyphen; repeatable
    #[arg(long = "workload", value_name = "NAME")]
    workloads: Vec<String>,
    /// Measure only this proxy in addition to Pointsman; repeatable
    #[arg(long = "peer", value_name = "NAME")]
    peers: Vec<String>,
    /// Measure this Pointsman binary
    #[arg(long, value_name = "PATH")]
    bin: Option<PathBuf>,
    /// Write report.md, its charts and bench.json to this directory [default: target/bench]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// List workloads and proxies, then exit
    #[arg(long)]
    list: bool,
    /// Install missing system packages without asking
    #[arg(long)]
    yes: bool,
    /// Only check that the harness works: short runs, fewer idle tunnels
    #[arg(long)]
    quick: bool,
}

/// Measures and reports.
///
/// # Errors
/// Something cannot be prepared, a signal arrives, or any row has errors, which the report names.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    if options.list {
        list();
        return Ok(());
    }
    let settings = options.settings()?;
    let out = match &options.out {
        Some(out) => out.clone(),
        None => target()?.join("bench"),
    };
    let tools = tools::make_ready(options.bin.as_deref(), Consent::new(options.yes))?;
    for (name, version) in tools.versions() {
        say(&format!("{name:<10} {version}"));
    }
    // One thread starts all processes and lives until the end, because the processes end with the
    // thread that started them.
    let mut measured = Measured::default();
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(until_signal(&tools, &settings, &mut measured));
    if measured.outcomes.is_empty() {
        return outcome;
    }
    // Also reports an incomplete measurement, because it may have taken half an hour.
    let report = Report::new(&tools, &settings, &measured);
    report::write(&out, &report)?;
    heading("targets");
    say(&report::aims_table(&report.aims).to_text());
    say(&format!("written to {}", out.display()));
    outcome?;
    let rows = measured.outcomes.iter().flat_map(|outcome| {
        let failed = outcome.rows.iter();
        failed
            .filter(|row| row.errors().next().is_some())
            .map(|row| format!("{}/{}", outcome.workload, row.name))
    });
    let failed: Vec<String> = rows.collect();
    ensure!(
        failed.is_empty(),
        "these rows have errors: {}",
        failed.join(", ")
    );
    Ok(())
}

/// Measures until the end, or until a signal stops the measurement and all its processes.
async fn until_signal(
    tools: &Tools,
    settings: &Settings,
    measured: &mut Measured,
) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        outcome = session::run(tools, settings, measured) => outcome.context("measuring"),
        _ = interrupt.recv() => bail!("interrupted"),
        _ = terminate.recv() => bail!("terminated"),
    }
}

impl Options {
    /// Returns the command line, without the parts that only concern this machine.
    fn command(&self) -> String {
        let mut words = vec!["cargo xtask bench".to_owned()];
        words.extend(self.rounds.map(|rounds| format!("--rounds {rounds}")));
        words.extend(self.seconds.map(|seconds| format!("--seconds {seconds}")));
        words.extend(
            self.workloads
                .iter()
                .map(|name| format!("--workload {name}")),
        );
        words.extend(self.peers.iter().map(|name| format!("--peer {name}")));
        words.extend(self.quick.then(|| "--quick".to_owned()));
        words.extend(self.bin.as_ref().map(|_| "--bin PATH".to_owned()));
        words.join(" ")
    }

    fn settings(&self) -> anyhow::Result<Settings> {
        let (rounds, seconds) = if self.quick { (1, 1) } else { (5, 4) };
        Ok(Settings {
            rounds: self.rounds.unwrap_or(rounds).into(),
            seconds: self.seconds.unwrap_or(seconds).into(),
            quick: self.quick,
            command: self.command(),
            peers: selection::peers(&self.peers)?,
            workloads: selection::workloads(&self.workloads)?,
        })
    }
}

fn list() {
    heading("workloads");
    for workload in workloads::ALL {
        say(&format!("{:<14} {}", workload.name, workload.about));
    }
    heading("peers");
    for peer in peers::ALL {
        say(&format!("{:<16} {}", peer.name(), peer.about()));
    }
}
