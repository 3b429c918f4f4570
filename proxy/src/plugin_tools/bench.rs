//! Measures how long a plugin takes to load, to start and to decide.
//!
//! Measures in the calling thread and prints nothing. Figures are most reliable on an idle machine.
//! Called by `pointsman plugin bench`.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use thiserror::Error;
use tokio::time::Instant;

use super::cases::{Case, Table};
use crate::http::message::RequestHead;
use crate::plugin::{
    Answers, CacheError, Cacheability, CompiledCache, Engine, Fault, Instance, LoadError, Plugin,
    Reads, Request, Source,
};
use crate::router::Router;
use crate::router::stage::Stage;
use crate::router::version::{Version, VersionSpec};

/// Number of instances whose creation is timed.
const INSTANCES: usize = 20;

/// Number of cached decisions timed together, since reading the clock takes as long as a single
/// one.
const CACHED: u32 = 10_000;

/// Reasons why nothing could be measured.
#[derive(Debug, Error)]
pub enum BenchError {
    /// The file is not a plugin.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The plugin does not start, or rejects the configuration.
    #[error("the plugin does not start: {0}")]
    Start(Fault),
    /// The plugin failed on one of the requests.
    #[error("the plugin failed on the request of case {case:?}: {fault}")]
    Route {
        /// Name of the case.
        case: String,
        /// The plugin's fault.
        fault: Fault,
    },
    /// Every case expects the configuration to be rejected, so there is no request to measure.
    #[error("no case in the file expects a decision with its [config]")]
    NoRequests,
    /// The directory for compiled code could not be created.
    #[error("cannot create a folder for compiled code")]
    Folder(#[source] std::io::Error),
    /// The directory for compiled code cannot be trusted.
    #[error("cannot store compiled code")]
    Cache(#[from] CacheError),
}

/// Results. Times are in nanoseconds, sizes in bytes.
#[derive(Debug, Serialize)]
pub struct Figures {
    /// Size of the file.
    pub size: usize,
    /// Time to encode, compile and check the file.
    pub compile_ns: u128,
    /// Time to load the plugin when the compiled code is on disk.
    pub load_ns: u128,
    /// Median time to create and configure an instance.
    pub instance_ns: u128,
    /// Memory of an instance after `configure`.
    pub memory: usize,
    /// Number of decisions made by one instance, which cycles through all requests.
    pub decisions: u64,
    /// Median time of one decision.
    pub median_ns: u128,
    /// 99th percentile of the time of one decision.
    pub p99_ns: u128,
    /// Mean time of one decision, from the total time of all decisions.
    pub mean_ns: u128,
    /// Memory of the instance after half of the decisions.
    pub memory_midway: usize,
    /// Memory of the instance after all decisions.
    pub memory_after: usize,
    /// Mean time of a cached decision; None if the plugin is not cacheable.
    pub cached_ns: Option<u128>,
}

/// Measures loading and starting the plugin, and `count` decisions. Uses the table's configuration
/// and the requests of its cases.
///
/// # Errors
/// [`BenchError`].
pub fn run(
    engine: &Engine,
    source: &Source,
    table: &Table,
    count: u64,
) -> Result<Figures, BenchError> {
    let cases = requests(table)?;
    let (plugin, compile_ns, load_ns) = load(engine, source)?;
    let (mut instance, instance_ns) = start(&plugin, table, cases[0])?;
    let memory = instance.memory();
    let mut times = Vec::with_capacity(usize::try_from(count).unwrap_or_default());
    let mut heads: Vec<RequestHead> = cases.iter().map(|case| case.head()).collect();
    let mut reads = Reads::default();
    let mut memory_midway = memory;
    let begin = Instant::now();
    for (number, slot) in (0..count).zip((0..cases.len()).cycle()) {
        let case = cases[slot];
        if number == count / 2 {
            memory_midway = instance.memory();
        }
        let mut request = Request {
            head: &mut heads[slot],
            client: case.client(),
            tls: case.tls(),
            body: case.body(),
            attempt: 0,
            answers: &mut Answers::default(),
            id: None,
        };
        let start = Instant::now();
        let outcome = instance.route(&mut request, &mut reads);
        times.push(start.elapsed());
        let failed = |fault| BenchError::Route {
            case: case.name.clone(),
            fault,
        };
        match outcome {
            // Some cases expect `route` to return an error.
            Ok(_) | Err(Fault::Error(_)) => {}
            Err(fault) => return Err(failed(fault)),
        }
        if instance.is_spent() {
            return Err(failed(Fault::HandleLeak));
        }
    }
    let all = begin.elapsed();
    times.sort_unstable();
    let share = |of: usize| {
        times
            .get(times.len() * of / 100)
            .map_or(0, Duration::as_nanos)
    };
    Ok(Figures {
        size: source.bytes.len(),
        compile_ns,
        load_ns,
        instance_ns,
        memory,
        decisions: count,
        median_ns: share(50),
        p99_ns: share(99),
        mean_ns: all.as_nanos() / u128::from(count.max(1)),
        memory_midway,
        memory_after: instance.memory(),
        cached_ns: cached(&plugin, table, cases[0])?,
    })
}

/// Returns the cases that expect a decision and whose configuration is that of the first such case.
fn requests(table: &Table) -> Result<Vec<&Case>, BenchError> {
    let mut cases = table.cases.iter().filter(|case| case.is_decided());
    let first = cases.next().ok_or(BenchError::NoRequests)?;
    let alike = cases.filter(|case| case.config == first.config);
    Ok(std::iter::once(first).chain(alike).collect())
}

fn load(engine: &Engine, source: &Source) -> Result<(Plugin, u128, u128), BenchError> {
    let folder = tempfile::tempdir().map_err(BenchError::Folder)?;
    let cache = CompiledCache::open(folder.path().join("compiled"))?;
    let start = Instant::now();
    Plugin::load(engine, source, Some(&cache))?;
    let compile = start.elapsed();
    let start = Instant::now();
    let plugin = Plugin::load(engine, source, Some(&cache))?;
    Ok((plugin, compile.as_nanos(), start.elapsed().as_nanos()))
}

fn start(plugin: &Plugin, table: &Table, case: &Case) -> Result<(Instance, u128), BenchError> {
    let settings = case.settings();
    let mut times = Vec::with_capacity(INSTANCES);
    loop {
        let start = Instant::now();
        let made = plugin.instantiate(&settings, &table.environment(case), None);
        let instance = made.map_err(BenchError::Start)?;
        times.push(start.elapsed().as_nanos());
        if times.len() == INSTANCES {
            times.sort_unstable();
            return Ok((instance, times[INSTANCES / 2]));
        }
    }
}

fn cached(plugin: &Plugin, table: &Table, case: &Case) -> Result<Option<u128>, BenchError> {
    let draft = VersionSpec::new(plugin.clone(), case.settings(), table.environment(case));
    let (version, instance) = Version::try_new(draft).map_err(BenchError::Start)?;
    if instance.cacheability() == Cacheability::Uncacheable {
        return Ok(None);
    }
    let stage = Stage::new(Arc::new(version), Some(instance), 0);
    let mut router = Router::new(vec![stage], 0);
    let mut request = Request {
        head: &mut case.head(),
        client: case.client(),
        tls: case.tls(),
        body: case.body(),
        attempt: 0,
        answers: &mut Answers::default(),
        id: None,
    };
    // The first call fills the cache.
    router.decide(&mut request, None);
    if !router.decide(&mut request, None).cached {
        return Ok(None);
    }
    let start = Instant::now();
    for _ in 0..CACHED {
        router.decide(&mut request, None);
    }
    Ok(Some(start.elapsed().as_nanos() / u128::from(CACHED)))
}
