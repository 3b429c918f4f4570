//! The level filter, which can be changed while the proxy runs.
//!
//! `tracing_subscriber::reload` takes a read lock for every event. This filter loads an atomic only
//! when a callsite is registered, because `tracing` caches the result for the callsite.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

const LEVELS: [Level; 5] = [
    Level::ERROR,
    Level::WARN,
    Level::INFO,
    Level::DEBUG,
    Level::TRACE,
];

/// Targets that belong to the proxy. All other targets belong to dependencies.
const OWN_SOURCES: [&str; 2] = ["pointsman", "plugin"];

/// Dependencies that log warnings about input from peers. They get a stricter limit, since
/// otherwise any peer could fill the log.
const QUIET_SOURCES: [&str; 1] = ["h2"];

/// A filter for all layers. Clones share one level.
#[derive(Debug, Clone)]
pub(super) struct LevelSwitch(
    /// Index into `LEVELS`.
    Arc<AtomicUsize>,
);

impl LevelSwitch {
    pub(super) fn new(level: Level) -> Self {
        Self(Arc::new(AtomicUsize::new(index(level))))
    }

    pub(super) fn set_level(&self, level: Level) {
        self.0.store(index(level), Ordering::Release);
        tracing_core::callsite::rebuild_interest_cache();
    }

    fn level(&self) -> Level {
        LEVELS[self.0.load(Ordering::Acquire).min(LEVELS.len() - 1)]
    }

    fn passes(&self, metadata: &Metadata<'_>) -> bool {
        let own = OWN_SOURCES
            .iter()
            .any(|source| metadata.target().starts_with(source));
        let quiet = QUIET_SOURCES
            .iter()
            .any(|source| metadata.target().starts_with(source));
        // A more urgent level compares as less than a less urgent one.
        let limit = match (own, quiet) {
            (true, _) => self.level(),
            (false, false) => self.level().min(Level::WARN),
            (false, true) => self.level().min(Level::ERROR),
        };
        *metadata.level() <= limit
    }
}

fn index(level: Level) -> usize {
    LEVELS
        .iter()
        .position(|&known| known == level)
        .unwrap_or(LEVELS.len() - 1)
}

impl<S: Subscriber> Layer<S> for LevelSwitch {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.passes(metadata) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.passes(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::from_level(self.level()))
    }
}
