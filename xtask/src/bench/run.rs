//! One run of one row: the load, and what it cost the proxy.
//!
//! Must not know of other rows or rounds. Called by `session`.

use std::time::Duration;

use anyhow::Context as _;
use tokio::time::{Instant, sleep};

use super::load::constant::Pace;
use super::load::swaps::Components;
use super::load::wrk::Hosts;
use super::load::{Load, constant, start, swaps, tunnels, wrk};
use super::measure::{Memory, Snapshot, count};
use super::peers::{Peer, Running, Site};
use super::process::{Guard, Process};
use super::results::{Sample, Summary};
use super::settings::Settings;
use super::tools::Tools;
use super::workloads::{Ease, Kind, Lane, Workload};

/// What idle tunnels are left to settle for, before memory is read.
const SETTLE: Duration = Duration::from_secs(1);
/// Starts of each proxy, over all rounds.
const STARTS: usize = 20;

/// How a workload's rows are run.
pub(crate) struct Runner<'a> {
    pub(crate) tools: &'a Tools,
    pub(crate) settings: &'a Settings,
    pub(crate) workload: &'a Workload,
    pub(crate) site: Site,
    /// Requests a second, where that is fixed.
    pub(crate) rate: Option<f64>,
}

impl Runner<'_> {
    /// Runs a row once; `running` is its proxy, where it is to outlast the run.
    pub(crate) async fn sample(
        &self,
        lane: Lane,
        running: Option<&mut Running>,
        round: usize,
    ) -> anyhow::Result<Sample> {
        match self.workload.kind {
            Kind::Idle { tunnels } => self.idle(lane.peer, round, tunnels).await,
            Kind::Start => self.start(lane.peer, round).await,
            _ => {
                let running = running.context("it does not run")?;
                running.process.check()?;
                let before = Snapshot::take(running.process.id())?;
                let seconds = self.settings.seconds;
                let load = self.load(lane, running, round, seconds).await?;
                running.process.check()?;
                let after = Snapshot::take(running.process.id())?;
                let memory = Memory::of(running.process.id())?;
                let cpu = after.since(&before)?;
                Ok(Sample::of_load(self.workload, round, load, cpu, memory))
            }
        }
    }

    /// Loads a proxy as the workload says.
    pub(crate) async fn load(
        &self,
        lane: Lane,
        running: &Running,
        round: usize,
        seconds: u64,
    ) -> anyhow::Result<Load> {
        let duration = Duration::from_secs(seconds);
        match self.workload.kind {
            Kind::Requests(requests) => {
                let hosts = if lane.ease == Ease::Easier {
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
            Kind::Swaps(requests, every) => {
                let node = running.listens.node;
                let load = wrk::run(self.tools, node, requests, Hosts::One, seconds);
                let components = match lane.ease {
                    Ease::Easier => return load.await,
                    Ease::Plain => Components::Known,
                    Ease::Harder => Components::New,
                };
                swaps::during(running.folder.path(), every, components, load).await
            }
            Kind::Idle { .. } | Kind::Start => anyhow::bail!("it is no load"),
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
    pub(crate) fn command(&self) -> String {
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
            Kind::Swaps(requests, every) => format!(
                "{}  # and every {every:?} another component, by the admin socket",
                wrk::shown(requests, seconds)
            ),
        }
    }
}
