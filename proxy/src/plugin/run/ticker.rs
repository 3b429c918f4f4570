//! The clock of guest deadlines: one thread that counts milliseconds.
//!
//! It runs only while guests run. Owned by `engine`; each call into a guest holds a [`Running`]
//! until it ends.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::time::Instant;
use wasmtime::EngineWeak;

/// Length of one epoch, hence the resolution of deadlines.
pub(super) const TICK: Duration = Duration::from_millis(1);

/// Number of ticks without a running guest after which the thread parks.
///
/// The number is high enough that the thread need not be woken under steady traffic, and low enough
/// that an idle proxy uses no processor time.
const IDLE_TICKS: u32 = 100;

/// Number of epochs after which a call's deadline is checked for the first time. One would not be
/// enough, because the current epoch may end at once.
pub(super) const FIRST_CHECK: u64 = 2;

/// The ticker thread, stopped on drop.
#[derive(Debug)]
pub(super) struct Ticker {
    pulse: Arc<Pulse>,
    thread: Option<JoinHandle<()>>,
}

/// State shared by the callers and the ticker thread.
///
/// A caller writes `running`, then reads `parked`; the thread writes `parked`, then reads
/// `running`. In the single total order of `SeqCst` at least one of them sees the other's write, so
/// the thread never sleeps while a guest runs.
#[derive(Debug, Default)]
struct Pulse {
    running: AtomicUsize,
    parked: AtomicBool,
    stop: AtomicBool,
}

impl Ticker {
    pub(super) fn try_new(engine: EngineWeak) -> io::Result<Ticker> {
        let pulse = Arc::new(Pulse::default());
        let shared = Arc::clone(&pulse);
        let thread = thread::Builder::new()
            .name("plugin-ticker".into())
            .spawn(move || shared.run(&engine))?;
        Ok(Ticker {
            pulse,
            thread: Some(thread),
        })
    }

    /// Keeps the clock running until the returned guard is dropped.
    pub(super) fn running(&self) -> Running<'_> {
        self.pulse.running.fetch_add(1, SeqCst);
        // If many callers start at once, the swap selects one of them to wake the thread.
        if self.pulse.parked.load(SeqCst)
            && self.pulse.parked.swap(false, SeqCst)
            && let Some(thread) = &self.thread
        {
            thread.thread().unpark();
        }
        Running(&self.pulse)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.pulse.stop.store(true, SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // The thread's loop cannot panic, and a panic could not be reported here anyway.
            let _ = thread.join();
        }
    }
}

/// Guard that marks a guest as running.
#[derive(Debug)]
pub(super) struct Running<'a>(&'a Pulse);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, SeqCst);
    }
}

impl Pulse {
    fn run(&self, engine: &EngineWeak) {
        let mut idle = 0;
        let mut clock = Clock::start(Instant::now());
        while !self.stop.load(SeqCst) {
            if idle >= IDLE_TICKS {
                self.parked.store(true, SeqCst);
                if self.running.load(SeqCst) == 0 && !self.stop.load(SeqCst) {
                    thread::park();
                }
                self.parked.store(false, SeqCst);
                idle = 0;
                clock = Clock::start(Instant::now());
            }
            thread::sleep(TICK);
            let Some(engine) = engine.upgrade() else {
                return;
            };
            for _ in 0..clock.ticks(Instant::now()) {
                engine.increment_epoch();
            }
            if self.running.load(SeqCst) == 0 {
                idle += 1;
            } else {
                idle = 0;
            }
        }
    }
}

/// Counts ticks by elapsed time rather than by the number of sleeps: a sleep takes longer than
/// requested, especially on a busy machine.
#[derive(Debug)]
struct Clock {
    counted: Instant,
}

impl Clock {
    fn start(now: Instant) -> Clock {
        Clock { counted: now }
    }

    /// Returns the number of whole ticks that have not been counted yet.
    fn ticks(&mut self, now: Instant) -> u32 {
        let passed = now.saturating_duration_since(self.counted);
        let ticks = u32::try_from(passed.as_nanos() / TICK.as_nanos()).unwrap_or(u32::MAX);
        self.counted += TICK * ticks;
        ticks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_follow_the_time_that_has_passed() {
        let start = Instant::now();
        let mut clock = Clock::start(start);
        let mut check = |micros, expected| {
            assert_eq!(
                clock.ticks(start + Duration::from_micros(micros)),
                expected,
                "{micros}"
            );
        };
        check(0, 0);
        check(1060, 1);
        check(1990, 0);
        check(2010, 1);
        check(9500, 7);
    }

    #[test]
    fn the_thread_parks_when_idle_and_wakes_for_a_guest() {
        let engine = wasmtime::Engine::default();
        let ticker = Ticker::try_new(engine.weak()).unwrap();
        for _ in 0..2 {
            wait_until(|| ticker.pulse.parked.load(SeqCst));
            let running = ticker.running();
            wait_until(|| !ticker.pulse.parked.load(SeqCst));
            drop(running);
            assert_eq!(ticker.pulse.running.load(SeqCst), 0);
        }
    }

    fn wait_until(condition: impl Fn() -> bool) {
        let start = Instant::now();
        while !condition() {
            assert!(start.elapsed() < Duration::from_secs(10));
            thread::yield_now();
        }
    }
}
