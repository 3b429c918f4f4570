//! Clocks and random numbers, whose values do not depend on a request.
//!
//! While an instance starts, before `configure`, it gets the same values as every other instance of
//! the plugin. Runtimes such as Go's read seeds and the time at their start, whether the plugin
//! needs them or not. Since all instances read the same values, state that an instance keeps from
//! its start cannot make its decisions differ, and they can be cached. The seed of hash tables,
//! `insecure-seed`, stays the same even after `configure`: Rust's `HashMap` reads it when the first
//! table is created. Linked by the parent module, which records every other use.

use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sha2::{Digest as _, Sha256};
use tokio::time::Instant;
use wasmtime::component::{HasData, Resource, ResourceTable};
use wasmtime_wasi::WasiCtx;
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};

use super::io::Timer;

/// Maximum number of random bytes that one call returns.
pub(super) const MAX_RANDOM: u64 = 64 * 1024;

/// Nanoseconds by which the clock advances at each read while an instance starts. If the clock
/// stood still, a guest that reads it until it changes would never finish.
const TICK: u64 = 1_000;

/// Earliest time that the monotonic clock shows after an instance has started. It is later than any
/// time shown before, even to the instance from which a snapshot was taken.
const STARTED: Duration = Duration::from_secs(1);

/// Number of random bytes that are generated at once.
const BLOCK: usize = 32;

/// Number of the random block that seeds hash tables. No guest reads enough blocks to reach this
/// number.
const HASH_SEED: u64 = u64::MAX;

/// Values that all instances of one plugin share while they start.
#[derive(Debug, Clone, Copy)]
pub(in crate::plugin::run) struct Origins {
    /// Seed of the random numbers. Clients must not learn it, since the seeds of hash tables are
    /// derived from it.
    seed: [u64; 4],
    loaded: SystemTime,
}

impl Origins {
    /// Creates the values for a plugin that is being loaded.
    pub(in crate::plugin::run) fn new() -> Origins {
        Origins {
            seed: std::array::from_fn(|index| RandomState::new().hash_one(index)),
            loaded: SystemTime::now(),
        }
    }

    /// Returns the SHA-256 of the seed and a block number.
    fn block(&self, number: u64) -> [u8; BLOCK] {
        let mut hash = Sha256::new();
        for word in self.seed.iter().chain([&number]) {
            hash.update(word.to_le_bytes());
        }
        hash.finalize().into()
    }
}

/// The clocks and random numbers of one instance.
pub(super) struct Sources {
    origins: Origins,
    /// Zero point of the monotonic clock.
    zero: Instant,
    /// State of the starting instance; None after the start.
    start: Option<Start>,
}

/// Position of a starting instance in the values derived from [`Origins`].
#[derive(Default)]
struct Start {
    /// Number of random blocks used.
    blocks: u64,
    /// Time that the monotonic clock showed last, in nanoseconds.
    clock: u64,
}

impl Sources {
    /// Creates the sources of an instance that is starting.
    pub(super) fn new(origins: Origins) -> Sources {
        Sources {
            origins,
            zero: Instant::now(),
            start: Some(Start::default()),
        }
    }

    /// Marks the instance as started. From then on, values differ between instances.
    pub(super) fn started(&mut self) {
        if let Some(start) = self.start.take() {
            let shown = Duration::from_nanos(start.clock).max(STARTED);
            let now = Instant::now();
            self.zero = now.checked_sub(shown).unwrap_or(now);
        }
    }

    /// Returns whether values are still the same for every instance.
    pub(super) fn is_starting(&self) -> bool {
        self.start.is_some()
    }

    /// Fills `bytes` with the shared random values and returns true; returns false if the instance
    /// has started.
    fn fill(&mut self, bytes: &mut [u8]) -> bool {
        let Some(start) = &mut self.start else {
            return false;
        };
        for block in bytes.chunks_mut(BLOCK) {
            block.copy_from_slice(&self.origins.block(start.blocks)[..block.len()]);
            start.blocks += 1;
        }
        true
    }

    fn now(&mut self) -> u64 {
        match &mut self.start {
            Some(start) => {
                start.clock += TICK;
                start.clock
            }
            None => u64::try_from(self.zero.elapsed().as_nanos()).unwrap_or(u64::MAX),
        }
    }

    fn wall_clock(&self) -> SystemTime {
        match &self.start {
            Some(_) => self.origins.loaded,
            None => SystemTime::now(),
        }
    }
}

/// One instance's data for the functions below.
pub(super) struct Impure<'a> {
    pub(super) sources: &'a mut Sources,
    pub(super) ctx: &'a mut WasiCtx,
    pub(super) table: &'a mut ResourceTable,
}

impl HasData for Impure<'static> {
    type Data<'a> = Impure<'a>;
}

impl monotonic_clock::Host for Impure<'_> {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(self.sources.now())
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(1)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let wait = when.saturating_sub(self.sources.now());
        self.subscribe_duration(wait)
    }

    fn subscribe_duration(&mut self, nanoseconds: u64) -> wasmtime::Result<Resource<DynPollable>> {
        Timer::subscribe(self.table, Duration::from_nanos(nanoseconds))
    }
}

impl wall_clock::Host for Impure<'_> {
    fn now(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        let now = self.sources.wall_clock().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default();
        Ok(wall_clock::Datetime {
            seconds: now.as_secs(),
            nanoseconds: now.subsec_nanos(),
        })
    }

    fn resolution(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        Ok(wall_clock::Datetime {
            seconds: 0,
            nanoseconds: 1,
        })
    }
}

impl random::Host for Impure<'_> {
    fn get_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        let mut bytes = self.ctx.random().get_random_bytes(len)?;
        self.sources.fill(&mut bytes);
        Ok(bytes)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        let mut bytes = [0; 8];
        if self.sources.fill(&mut bytes) {
            return Ok(u64::from_le_bytes(bytes));
        }
        self.ctx.random().get_random_u64()
    }
}

impl insecure::Host for Impure<'_> {
    fn get_insecure_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        random::Host::get_random_bytes(self, len)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        random::Host::get_random_u64(self)
    }
}

impl insecure_seed::Host for Impure<'_> {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        let block = self.sources.origins.block(HASH_SEED);
        let (seed, _) = block.as_chunks::<8>();
        Ok((u64::from_le_bytes(seed[0]), u64::from_le_bytes(seed[1])))
    }
}
