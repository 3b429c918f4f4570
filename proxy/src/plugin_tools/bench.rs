//! What a plugin costs: to load, to start, to ask.
//!
//! Measures in this thread, on an idle machine best; prints nothing. Called by
//! `pointsman plugin bench`.

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

/// Instances over which making one is timed.
const INSTANCES: usize = 20;

/// Decisions from the cache in one go: reading the clock takes as long as one.
const CACHED: u32 = 10_000;

/// Why nothing could be measured.
#[derive(Debug, Error)]
pub enum BenchError {
    /// The file is no plugin.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// It does not start, or refuses the configuration.
    #[error("the plugin does not start: {0}")]
    Start(Fault),
    /// It failed on one of the requests.
    #[error("the plugin failed on the request of case {case:?}: {fault}")]
    Route {
        /// The case's name.
        case: String,
        /// What happened.
        fault: Fault,
    },
    /// Every case expects the configuration to be refused, or has another one.
    #[error("no case of the file expects a decision under its [config]")]
    NoRequests,
    /// No folder for compiled code.
    #[error("cannot make a folder for compiled code")]
    Folder(#[source] std::io::Error),
    /// The folder is not to be trusted.
    #[error("cannot keep compiled code")]
    Cache(#[from] CacheError),
}

/// What was measured. Times are nanoseconds, sizes bytes.
#[derive(Debug, Serialize)]
pub struct Figures {
    /// Of the file.
    pub size: usize,
    /// Encoding, compiling and checking it.
    pub compile_ns: u128,
    /// The same with the compiled code on disk.
    pub load_ns: u128,
    /// Making an instance and configuring it: the median.
    pub instance_ns: u128,
    /// Linear memory of an instance that is configured.
    pub memory: usize,
    /// How many decisions were asked for, over all requests in turn, on one instance.
    pub decisions: u64,
    /// One decision: the median.
    pub median_ns: u128,
    /// One decision: 99 of 100 were quicker.
    pub p99_ns: u128,
    /// All decisions by their number.
    pub mean_ns: u128,
    /// Linear memory of the instance after half of them.
    pub memory_midway: usize,
    /// Linear memory of the instance after all of them.
    pub memory_after: usize,
    /// A decision from the cache: the mean; None where the plugin is not cacheable.
    pub cached_ns: Option<u128>,
}

/// Measures, with the table's configuration and the requests of its cases.
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
            // Some cases are there to see an error.
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

/// The cases that have the first one's configuration, and a decision.
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
    // The first puts it in.
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
