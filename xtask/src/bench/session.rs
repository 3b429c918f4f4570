//! A whole measurement: every workload, all its proxies in turn, round after round.
//!
//! Owns the order: all proxies of a workload are started once and keep running; each is warmed up;
//! then they are measured in the order A B C, A B C, ... Must not draw conclusions. Called by
//! `bench`.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, anyhow};

use super::load::constant::{self, Pace};
use super::measure::count;
use super::origin::Origin;
use super::peers::{Access, Peer, Running, Site};
use super::results::{Outcome, Row, Sample};
use super::run::Runner;
use super::settings::Settings;
use super::tools::{self, Tools};
use super::workloads::{Kind, RowSpec, Side, Unit, Variant, Workload};
use crate::terminal::{heading, say};

/// All results.
#[derive(Default)]
pub(crate) struct Measured {
    pub(crate) outcomes: Vec<Outcome>,
    /// Configurations by name, the origin's first.
    pub(crate) configurations: Vec<(String, String)>,
}

/// Measures everything, adding to `measured` after each workload.
///
/// Errors of a proxy are recorded in its row, and the others continue.
///
/// # Errors
/// The origin does not start, or ends.
///
/// # Cancel safety
/// Dropping the future ends all processes. `measured` then contains the workloads that are
/// complete.
pub(crate) async fn run(
    tools: &Tools,
    settings: &Settings,
    measured: &mut Measured,
) -> anyhow::Result<()> {
    let mut origin = Origin::start(tools).await?;
    compile_plugins(tools, settings, &origin).await?;
    let configuration = ("origin".to_owned(), origin.configuration.clone());
    measured.configurations.push(configuration);
    for workload in &settings.workloads {
        heading(&format!("{}: {}", workload.name, workload.about));
        let mut runner = Runner {
            tools,
            settings,
            workload,
            site: site(tools, &origin, workload),
            rate: None,
        };
        let outcome = measure(&mut runner, &mut measured.configurations).await;
        origin.check().context("the origin server")?;
        say(&super::report::table(&outcome).to_text());
        measured.outcomes.push(outcome);
    }
    Ok(())
}

/// Starts Pointsman once, so that no measured process has to compile its plugin. Compiling would
/// leave memory in use.
async fn compile_plugins(
    tools: &Tools,
    settings: &Settings,
    origin: &Origin,
) -> anyhow::Result<()> {
    let Some(workload) = settings.workloads.first() else {
        return Ok(());
    };
    let started = Peer::Pointsman
        .start(tools, &site(tools, origin, workload))
        .await;
    started.map(drop)
}

fn site(tools: &Tools, origin: &Origin, workload: &Workload) -> Site {
    let node = match workload.kind {
        Kind::Messages { .. } | Kind::Idle { .. } => origin.echo,
        Kind::Chunks(_)
        | Kind::Stalled {
            side: Side::Server, ..
        } => origin.sink,
        _ => origin.node,
    };
    Site {
        www: origin.www,
        node,
        connections: workload.connections(tools.descriptors),
        threads: tools::cores(),
        access: Access::Off,
        beside: None,
    }
}

/// A row in progress.
struct Entry {
    spec: RowSpec,
    /// `None` if each run starts a new process, or if the row's only process did not start.
    running: Option<Running>,
    row: Row,
}

/// Measures all rows, round after round.
async fn measure(runner: &mut Runner<'_>, configurations: &mut Vec<(String, String)>) -> Outcome {
    let mut entries = Vec::new();
    for spec in runner.workload.specs(&runner.settings.peers) {
        entries.push(entry(runner, spec, configurations).await);
    }
    warm_up(runner, &mut entries).await;
    for round in 1..=runner.settings.rounds {
        for entry in &mut entries {
            // If a proxy did not start, that has already been reported.
            if entry.running.is_none() && entry.row.errors().next().is_some() {
                continue;
            }
            let sample = runner
                .sample(entry.spec, entry.running.as_mut(), round)
                .await;
            let sample = sample.unwrap_or_else(|error| Sample::failed(round, &error));
            say(&progress(runner.workload, entry.spec, &sample));
            entry.row.samples.push(sample);
        }
    }
    Outcome {
        workload: runner.workload.name.to_owned(),
        about: runner.workload.about.to_owned(),
        unit: runner.workload.unit(),
        command: runner.command(),
        rows: entries.into_iter().map(|entry| entry.row).collect(),
    }
}

/// Starts and checks the row's proxy, and keeps it running unless each run starts its own.
async fn entry(
    runner: &Runner<'_>,
    spec: RowSpec,
    configurations: &mut Vec<(String, String)>,
) -> Entry {
    let mut row = Row {
        name: spec.name.to_owned(),
        samples: Vec::new(),
    };
    let mut site = runner.site;
    if matches!(runner.workload.kind, Kind::Logged(_)) && spec.variant == Variant::Plain {
        site.access = Access::On;
    }
    if let Variant::WithGuest(guest) = spec.variant {
        site.beside = Some(guest);
    }
    let started = spec.peer.start(runner.tools, &site).await;
    let mut running = None;
    match started {
        Ok(started) => {
            let name = match site.access {
                Access::On => format!("{}, with its access log", spec.peer.name()),
                Access::Off => spec.peer.name().to_owned(),
            };
            if configurations.iter().all(|(known, _)| *known != name) {
                configurations.push((name, started.configuration.clone()));
            }
            let unit = runner.workload.unit();
            if !unit.is_memory() && unit != Unit::MillisecondsToStart {
                running = Some(started);
            }
        }
        Err(error) => {
            say(&format!("!! {} does not start: {error:#}", spec.name));
            row.samples.push(Sample::failed(0, &error));
        }
    }
    Entry { spec, running, row }
}

/// Runs each row once without counting the result. A workload at a fixed rate derives its rate from
/// this run.
async fn warm_up(runner: &mut Runner<'_>, entries: &mut [Entry]) {
    let mut highest = Vec::new();
    for entry in entries {
        let Some(running) = &mut entry.running else {
            continue;
        };
        let outcome = if let Kind::Half { connections } = runner.workload.kind {
            let duration = Duration::from_secs(runner.settings.seconds);
            let node = running.addresses.node;
            let load = constant::run(node, Pace::Highest, connections, duration);
            load.await.inspect(|load| {
                highest.push((entry.spec.peer, count(load.answered) / load.seconds));
            })
        } else {
            let seconds = runner.settings.seconds.min(2);
            runner.load(entry.spec, running, 0, seconds).await
        };
        let failed = match outcome {
            Ok(load) if load.errors.is_empty() => continue,
            Ok(load) => anyhow!("{}", load.errors.join("; ")),
            Err(error) => error,
        };
        say(&format!(
            "!! {} fails to warm up: {failed:#}",
            entry.spec.name
        ));
        entry.row.samples.push(Sample::failed(0, &failed));
    }
    let of_haproxy = highest.iter().find(|(peer, _)| *peer == Peer::Haproxy);
    let slowest = highest.iter().min_by(|a, b| a.1.total_cmp(&b.1));
    if let Some((peer, highest)) = of_haproxy.or(slowest) {
        say(&format!(
            "   highest load of {}: {highest:.0}/s",
            peer.name()
        ));
        runner.rate = Some(highest / 2.0);
    }
}

/// Returns a line of progress for the terminal.
fn progress(workload: &Workload, spec: RowSpec, sample: &Sample) -> String {
    let figure = sample.main.map_or_else(
        || "failed".to_owned(),
        |main| format!("{main:.2} {}", workload.unit().label()),
    );
    let mut line = format!("   round {} {:<17} {figure}", sample.round, spec.name);
    for error in &sample.errors {
        let _ = write!(line, "\n   !! {error}");
    }
    line
}
