//! A whole measurement: every workload, all its proxies side by side, round after round.
//!
//! Owns the order of things: all proxies of a workload are started once and stay; each has a
//! warm-up; then A B C, A B C, ... Must not draw conclusions. Called by `bench`.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::{Instant, sleep};

use super::load::constant::Pace;
use super::load::wrk::Hosts;
use super::load::{Load, constant, start, tunnels, wrk};
use super::measure::{Memory, Snapshot, count};
use super::origin::Origin;
use super::peers::{Peer, Running, Site};
use super::process::{Guard, Process};
use super::results::{Outcome, Row, Sample, Summary};
use super::tools::{self, Tools};
use super::workloads::{Kind, Lane, Workload};
use crate::test::{heading, say};

/// What idle tunnels are left to settle for, before memory is read.
const SETTLE: Duration = Duration::from_secs(1);
/// Starts of each proxy, over all rounds.
const STARTS: usize = 20;
/// How much is measured.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) rounds: usize,
    /// Of each run.
    pub(crate) seconds: u64,
    /// Figures that show no more than that the harness works.
    pub(crate) quick: bool,
    pub(crate) peers: Vec<Peer>,
    pub(crate) workloads: Vec<&'static Workload>,
}

/// Everything that was measured.
pub(crate) struct Measured {
    pub(crate) outcomes: Vec<Outcome>,
    /// Configurations by name, the origin's first.
    pub(crate) configurations: Vec<(String, String)>,
}

/// Measures everything.
///
/// What goes wrong with a proxy is in its row, and the others go on.
///
/// # Errors
/// The origin does not start, or ends.
pub(crate) async fn run(tools: &Tools, settings: &Settings) -> anyhow::Result<Measured> {
    let mut origin = Origin::start(tools).await?;
    compile_plugins(tools, settings, &origin).await?;
    let mut measured = Measured {
        outcomes: Vec::new(),
        configurations: vec![("origin".to_owned(), origin.configuration.clone())],
    };
    for workload in &settings.workloads {
        heading(&format!("{}: {}", workload.name, workload.about));
        let mut bench = Bench {
            tools,
            settings,
            workload,
            site: site(&origin, workload),
            rate: None,
        };
        let outcome = bench.run(&mut measured.configurations).await;
        origin.check().context("the origin of all answers")?;
        say(&super::report::table(&outcome).to_text());
        measured.outcomes.push(outcome);
    }
    Ok(measured)
}

/// Starts Pointsman once, so that no process that is measured had to compile its plugin, which
/// leaves memory in use.
async fn compile_plugins(
    tools: &Tools,
    settings: &Settings,
    origin: &Origin,
) -> anyhow::Result<()> {
    let Some(workload) = settings.workloads.first() else {
        return Ok(());
    };
    let started = Peer::Pointsman.start(tools, &site(origin, workload)).await;
    started.map(drop)
}

fn site(origin: &Origin, workload: &Workload) -> Site {
    let node = match workload.kind {
        Kind::Messages { .. } | Kind::Idle { .. } => origin.echo,
        _ => origin.node,
    };
    Site {
        www: origin.www,
        node,
        connections: workload.connections(),
        threads: tools::cores(),
    }
}

/// One workload under way.
struct Bench<'a> {
    tools: &'a Tools,
    settings: &'a Settings,
    workload: &'a Workload,
    site: Site,
    /// Requests a second, where that is fixed.
    rate: Option<f64>,
}

/// A row under way.
struct Entry {
    lane: Lane,
    /// None where each run has a process of its own, or the only one did not start.
    running: Option<Running>,
    row: Row,
}

impl Bench<'_> {
    async fn run(&mut self, configurations: &mut Vec<(String, String)>) -> Outcome {
        let mut entries = Vec::new();
        for lane in self.workload.lanes(&self.settings.peers) {
            entries.push(self.entry(lane, configurations).await);
        }
        self.warm_up(&mut entries).await;
        for round in 1..=self.settings.rounds {
            for entry in &mut entries {
                // One that did not start has said so once.
                if entry.running.is_none() && entry.row.errors().next().is_some() {
                    continue;
                }
                let sample = self.sample(entry, round).await;
                let sample = sample.unwrap_or_else(|error| Sample::failed(round, &error));
                say(&progress(self.workload, entry.lane, &sample));
                entry.row.samples.push(sample);
            }
        }
        Outcome {
            workload: self.workload.name.to_owned(),
            about: self.workload.about.to_owned(),
            unit: self.workload.unit(),
            command: self.command(),
            rows: entries.into_iter().map(|entry| entry.row).collect(),
        }
    }

    /// Starts the row's proxy, unless each run starts its own; it is checked all the same.
    async fn entry(&self, lane: Lane, configurations: &mut Vec<(String, String)>) -> Entry {
        let mut row = Row {
            name: lane.name.to_owned(),
            samples: Vec::new(),
        };
        let started = lane.peer.start(self.tools, &self.site).await;
        let mut running = None;
        match started {
            Ok(started) => {
                let name = lane.peer.name();
                if configurations.iter().all(|(known, _)| known != name) {
                    configurations.push((name.to_owned(), started.configuration.clone()));
                }
                if !matches!(self.workload.kind, Kind::Idle { .. } | Kind::Start) {
                    running = Some(started);
                }
            }
            Err(error) => {
                say(&format!("!! {} does not start: {error:#}", lane.name));
                row.samples.push(Sample::failed(0, &error));
            }
        }
        Entry { lane, running, row }
    }

    /// One run of each row that is not counted; here a fixed rate is found.
    async fn warm_up(&mut self, entries: &mut [Entry]) {
        let mut highest = Vec::new();
        for entry in entries {
            let Some(running) = &mut entry.running else {
                continue;
            };
            let outcome = if let Kind::Half { connections } = self.workload.kind {
                let duration = Duration::from_secs(self.settings.seconds);
                let node = running.listens.node;
                let load = constant::run(node, Pace::Highest, connections, duration);
                load.await.map(|load| {
                    highest.push((entry.lane.peer, count(load.answered) / load.seconds));
                })
            } else {
                let seconds = self.settings.seconds.min(2);
                self.load(entry.lane, running, 0, seconds).await.map(drop)
            };
            if let Err(error) = outcome {
                say(&format!(
                    "!! {} fails to warm up: {error:#}",
                    entry.lane.name
                ));
                entry.row.samples.push(Sample::failed(0, &error));
            }
        }
        let of_haproxy = highest.iter().find(|(peer, _)| *peer == Peer::Haproxy);
        let slowest = highest.iter().min_by(|a, b| a.1.total_cmp(&b.1));
        if let Some((peer, highest)) = of_haproxy.or(slowest) {
            say(&format!(
                "   highest load of {}: {highest:.0}/s",
                peer.name()
            ));
            self.rate = Some(highest / 2.0);
        }
    }

    async fn sample(&self, entry: &mut Entry, round: usize) -> anyhow::Result<Sample> {
        match self.workload.kind {
            Kind::Idle { tunnels } => self.idle(entry.lane.peer, round, tunnels).await,
            Kind::Start => self.start(entry.lane.peer, round).await,
            _ => {
                let running = entry.running.as_mut().context("it does not run")?;
                running.process.check()?;
                let before = Snapshot::take(running.process.id())?;
                let seconds = self.settings.seconds;
                let load = self.load(entry.lane, running, round, seconds).await?;
                running.process.check()?;
                let after = Snapshot::take(running.process.id())?;
                let memory = Memory::of(running.process.id())?;
                let cpu = after.since(&before)?;
                Ok(Sample::of_load(self.workload, round, load, cpu, memory))
            }
        }
    }

    /// Loads a proxy as the workload says.
    async fn load(
        &self,
        lane: Lane,
        running: &Running,
        round: usize,
        seconds: u64,
    ) -> anyhow::Result<Load> {
        let duration = Duration::from_secs(seconds);
        match self.workload.kind {
            Kind::Requests(requests) => {
                let hosts = if lane.cached {
                    Hosts::One
                } else {
                    Hosts::Fresh(round + 1)
                };
                wrk::run(self.tools, running.listens.node, requests, hosts, seconds).await
            }
            Kind::Messages { size, tunnels } => {
                tunnels::exchange(running.listens.node, size, tunnels, duration).await
            }
            Kind::Half { connections } => {
                let rate = self.rate.context("no highest load is known")?;
                constant::run(
                    running.listens.node,
                    Pace::Rate(rate),
                    connections,
                    duration,
                )
                .await
            }
            Kind::Idle { .. } | Kind::Start | Kind::NotYet(_) => anyhow::bail!("it is no load"),
        }
    }

    /// A process of its own, since memory that was once used stays with a process.
    async fn idle(&self, peer: Peer, round: usize, tunnels: usize) -> anyhow::Result<Sample> {
        let tunnels = self.tunnels(tunnels);
        let mut running = peer.start(self.tools, &self.site).await?;
        let process = running.process.id();
        let before = Memory::of(process)?;
        let started = Instant::now();
        let open = tunnels::open(running.listens.node, tunnels).await;
        let open = open.with_context(|| running.process.log())?;
        let seconds = started.elapsed().as_secs_f64();
        sleep(SETTLE).await;
        running.process.check()?;
        let after = Memory::of(process)?;
        drop(open);
        let came = after.private.saturating_sub(before.private);
        let tunnels = tunnels as u64;
        Ok(Sample {
            round,
            main: Some(count(came) / count(tunnels)),
            answered: tunnels,
            seconds,
            memory: Some(after),
            ..Sample::default()
        })
    }

    /// So many starts that all rounds together have [`STARTS`]; the median of these.
    async fn start(&self, peer: Peer, round: usize) -> anyhow::Result<Sample> {
        let starts = if self.settings.quick {
            2
        } else {
            STARTS.div_ceil(self.settings.rounds)
        };
        let mut times = Vec::new();
        let mut memory = Memory::default();
        for _ in 0..starts {
            let (launch, folder) = peer.prepare(self.tools, &self.site)?;
            let log = folder.path().join("log");
            let started = Instant::now();
            let mut process = Process::start(peer.name(), &launch.command, &log, Guard::Off)?;
            let took = start::first_answer(&mut process, launch.listens.node, started)?;
            memory = Memory::of(process.id())?;
            times.push(took.as_secs_f64() * 1e3);
            // The signal that ends all this is seen between two starts.
            tokio::task::yield_now().await;
        }
        let times = Summary::of(times.into_iter()).context("no start")?;
        Ok(Sample {
            round,
            main: Some(times.median),
            answered: starts as u64,
            memory: Some(memory),
            ..Sample::default()
        })
    }

    fn tunnels(&self, tunnels: usize) -> usize {
        if self.settings.quick {
            tunnels / 8
        } else {
            tunnels
        }
    }

    /// What makes the load, in words for the report.
    fn command(&self) -> String {
        let seconds = self.settings.seconds;
        match self.workload.kind {
            Kind::Requests(requests) => wrk::shown(requests, seconds),
            Kind::Messages { size, tunnels } => format!(
                "the harness's own client: {tunnels} tunnels, messages of {size} bytes, {seconds} s"
            ),
            Kind::Idle { tunnels } => format!(
                "the harness's own client: {} tunnels, a fresh process in each round",
                self.tunnels(tunnels)
            ),
            Kind::Half { connections } => format!(
                "the harness's own client: {:.0} requests/s over {connections} connections, {seconds} s, each timed from when it was due",
                self.rate.unwrap_or_default()
            ),
            Kind::Start => {
                "the harness's own client: tries to connect every 200 µs, then one GET".to_owned()
            }
            Kind::NotYet(reason) => reason.to_owned(),
        }
    }
}

/// A line while one waits.
fn progress(workload: &Workload, lane: Lane, sample: &Sample) -> String {
    let figure = sample.main.map_or_else(
        || "failed".to_owned(),
        |main| format!("{main:.2} {}", workload.unit().label()),
    );
    let mut line = format!("   round {} {:<17} {figure}", sample.round, lane.name);
    for error in &sample.errors {
        let _ = write!(line, "\n   !! {error}");
    }
    line
}
