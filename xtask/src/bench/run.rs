//! One run of one row: the load, and its cost for the proxy.
//!
//! Must not depend on other rows or rounds. Called by `session`.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::time::{Instant, sleep};

use super::load::constant::Pace;
use super::load::swaps::Components;
use super::load::wrk::Hosts;
use super::load::{Load, bodies, constant, hostile, start, swaps, tunnels, wrk};
use super::measure::{Children, Memory, Snapshot, count};
use super::peers::{Peer, Running, Site};
use super::process::{Guard, Process};
use super::results::{Sample, Summary};
use super::settings::Settings;
use super::tools::Tools;
use super::workloads::{Kind, RowSpec, Variant, Workload};

/// Longest time for lines of an access log to reach the file.
const WRITTEN: Duration = Duration::from_millis(200);
/// Time for idle connections to settle before memory is read.
const SETTLE: Duration = Duration::from_secs(1);
/// Number of starts of each proxy, over all rounds.
const STARTS: usize = 20;

/// Runs the rows of a workload.
pub(crate) struct Runner<'a> {
    pub(crate) tools: &'a Tools,
    pub(crate) settings: &'a Settings,
    pub(crate) workload: &'a Workload,
    pub(crate) site: Site,
    /// Requests per second, if that is fixed.
    pub(crate) rate: Option<f64>,
}

impl Runner<'_> {
    /// Runs a row once. `running` is the row's proxy if the proxy keeps running between runs.
    pub(crate) async fn sample(
        &self,
        spec: RowSpec,
        running: Option<&mut Running>,
        round: usize,
    ) -> anyhow::Result<Sample> {
        match self.workload.kind {
            Kind::Idle { .. } | Kind::KeptAlive { .. } | Kind::Stalled { .. } => {
                self.memory(spec.peer, round).await
            }
            Kind::Start => self.start(spec.peer, round).await,
            _ => {
                let running = running.context("the proxy is not running")?;
                running.process.check()?;
                let process = running.process.id();
                let children = match self.workload.kind {
                    Kind::Swaps(..) | Kind::Hostile(_) => Children::ComeAndGo,
                    _ => Children::Stay,
                };
                let before = Snapshot::take(process, children)?;
                let seconds = self.settings.seconds;
                let mut load = self.load(spec, running, round, seconds).await?;
                running.process.check()?;
                let after = Snapshot::take(process, children)?;
                let memory = Memory::of(process, children)?;
                let spent = after.since(&before, children)?;
                if spent.children_us > 0.0 {
                    load.notes.push(format!(
                        "compilers used {:.0} ms of CPU, which the figure leaves out",
                        spent.children_us / 1e3
                    ));
                }
                Ok(Sample::of_load(
                    self.workload,
                    round,
                    load,
                    spent.own,
                    memory,
                ))
            }
        }
    }

    /// Loads a proxy with the workload.
    pub(crate) async fn load(
        &self,
        spec: RowSpec,
        running: &Running,
        round: usize,
        seconds: u64,
    ) -> anyhow::Result<Load> {
        let duration = Duration::from_secs(seconds);
        match self.workload.kind {
            Kind::Requests(requests) => {
                let hosts = if spec.variant == Variant::Baseline {
                    Hosts::One
                } else {
                    Hosts::Fresh(round + 1)
                };
                wrk::run(self.tools, running.addresses.node, requests, hosts, seconds).await
            }
            Kind::Logged(requests) => {
                let node = running.addresses.node;
                let load = wrk::run(self.tools, node, requests, Hosts::One, seconds);
                match spec.variant {
                    Variant::Baseline => load.await,
                    _ => logged(&running.access_log(), load).await,
                }
            }
            Kind::Chunks(chunks) => bodies::chunks(running.addresses.node, chunks, duration).await,
            Kind::Messages { size, tunnels } => {
                tunnels::exchange(running.addresses.node, size, tunnels, duration).await
            }
            Kind::Half { connections } => {
                let rate = self
                    .rate
                    .context("the highest load has not been measured")?;
                constant::run(
                    running.addresses.node,
                    Pace::Rate(rate),
                    connections,
                    duration,
                )
                .await
            }
            Kind::Swaps(requests, every) => {
                let node = running.addresses.node;
                let load = wrk::run(self.tools, node, requests, Hosts::One, seconds);
                let components = match spec.variant {
                    Variant::Plain => Components::Known,
                    Variant::Compiling => Components::New,
                    Variant::Baseline | Variant::WithGuest(_) => return load.await,
                };
                swaps::during(running.folder.path(), every, components, load).await
            }
            Kind::Hostile(requests) => {
                let node = running.addresses.node;
                let load = wrk::run(self.tools, node, requests, Hosts::One, seconds);
                match spec.variant {
                    Variant::WithGuest(guest) => {
                        hostile::during(running.folder.path(), guest, load).await
                    }
                    _ => hostile::beside_spinner(load).await,
                }
            }
            Kind::Idle { .. } | Kind::KeptAlive { .. } | Kind::Stalled { .. } | Kind::Start => {
                bail!("this workload is not a load")
            }
        }
    }

    /// Measures the memory of connections that do nothing. Uses a new process, because a process
    /// keeps memory that it once used.
    async fn memory(&self, peer: Peer, round: usize) -> anyhow::Result<Sample> {
        let mut running = peer.start(self.tools, &self.site).await?;
        let process = running.process.id();
        let node = running.addresses.node;
        let before = Memory::of(process, Children::Stay)?;
        let started = Instant::now();
        let number = self.connections();
        let (mut streams, mut open) = (Vec::new(), Vec::new());
        let opened = match self.workload.kind {
            Kind::Idle { .. } => tunnels::open(node, number).await.map(|new| open = new),
            Kind::KeptAlive { .. } => bodies::keep_alive(node, number)
                .await
                .map(|new| streams = new),
            Kind::Stalled { side, .. } => bodies::stall(node, number, side)
                .await
                .map(|new| streams = new),
            _ => bail!("this workload does not measure memory"),
        };
        opened.with_context(|| running.process.log())?;
        let seconds = started.elapsed().as_secs_f64();
        sleep(SETTLE).await;
        running.process.check()?;
        let after = Memory::of(process, Children::Stay)?;
        drop((streams, open));
        let came = after.private.saturating_sub(before.private);
        let number = number as u64;
        Ok(Sample {
            round,
            main: Some(count(came) / count(number)),
            answered: number,
            seconds,
            memory: Some(after),
            ..Sample::default()
        })
    }

    /// Measures this round's starts, and returns the median. Unless the run is quick, all rounds
    /// together have at least [`STARTS`].
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
            let took = start::first_answer(&mut process, launch.addresses.node, started)?;
            memory = Memory::of(process.id(), Children::Stay)?;
            times.push(took.as_secs_f64() * 1e3);
            // Lets a signal stop the measurement between two starts.
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

    /// Returns the number of connections that do nothing.
    fn connections(&self) -> usize {
        let number = self.workload.idle(self.tools.descriptors);
        if self.settings.quick {
            number / 8
        } else {
            number
        }
    }

    /// Describes the load in words, for the report.
    pub(crate) fn command(&self) -> String {
        let seconds = self.settings.seconds;
        match self.workload.kind {
            Kind::Requests(requests) | Kind::Logged(requests) => wrk::shown(requests, seconds),
            Kind::Chunks(chunks) => format!(
                "the harness's own client: consecutive POSTs of {chunks} chunks, {seconds} s"
            ),
            Kind::KeptAlive { .. } => format!(
                "the harness's own client: {} connections, a fresh process in each round",
                self.connections()
            ),
            Kind::Stalled { .. } => format!(
                "the harness's own client: {} transfers, a fresh process in each round",
                self.connections()
            ),
            Kind::Messages { size, tunnels } => format!(
                "the harness's own client: {tunnels} tunnels, messages of {size} bytes, {seconds} s"
            ),
            Kind::Idle { .. } => format!(
                "the harness's own client: {} tunnels, a fresh process in each round",
                self.connections()
            ),
            Kind::Half { connections } => format!(
                "the harness's own client: {:.0} requests/s over {connections} connections, {seconds} s, each timed from when it was due",
                self.rate.unwrap_or_default()
            ),
            Kind::Start => {
                "the harness's own client: tries to connect every 200 µs, then one GET".to_owned()
            }
            Kind::Hostile(requests) => format!(
                "{}  # and a connection for each worker to the hostile plugin",
                wrk::shown(requests, seconds)
            ),
            Kind::Swaps(requests, every) => format!(
                "{}  # and another component every {every:?}, through the admin socket",
                wrk::shown(requests, seconds)
            ),
        }
    }
}

/// Runs a load, and adds an error unless the file `log` has a line for each response.
async fn logged(
    log: &Path,
    load: impl Future<Output = anyhow::Result<Load>>,
) -> anyhow::Result<Load> {
    let before = lines(log)?;
    let mut load = load.await?;
    sleep(WRITTEN).await;
    let written = lines(log)? - before;
    if written < load.answered {
        load.errors.push(format!(
            "{written} access records for {} responses",
            load.answered
        ));
    }
    Ok(load)
}

/// Counts the lines of a file; 0 if it does not exist yet.
fn lines(file: &Path) -> anyhow::Result<u64> {
    let Ok(mut file) = File::open(file) else {
        return Ok(0);
    };
    let mut piece = vec![0; 1 << 20];
    let mut lines = 0;
    loop {
        let length = file.read(&mut piece)?;
        if length == 0 {
            return Ok(lines);
        }
        lines += piece[..length].split(|byte| *byte == b'\n').count() as u64 - 1;
    }
}
